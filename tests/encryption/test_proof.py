"""The proof: complete, with keys and without, and sure of what it cannot see."""

from __future__ import annotations

import bson
import pytest
from hypothesis import given, settings, strategies as st

from kit.documents import find, replace
from kit.encryption import KeySet, Proof, ValueDigest, prove
from kit.errors import UsageError
from tests.documents.strategies import string
from tests.encryption.site import Site, note, scope


def kinds(proof: Proof) -> list[str]:
    return [finding.kind for finding in proof.findings]


def moved(source: bytes, target: bytes) -> bytes:
    place = find(source, ["body"])
    assert place is not None
    return replace(target, ["body"], 3, source[place.value : place.end])


def test_an_encrypted_collection_holds_with_keys_and_without(site: Site) -> None:
    sealed = site.encrypt(note(1), note(2, body=None), note(3, meta={}), note(4, "__builtin__"))
    proof = prove(site.collection, sealed)
    assert proof.holds
    assert (proof.documents, proof.selected) == (4, 3)
    body = proof.fields["body"]
    assert (body.envelopes, body.locked, body.opened, body.null, body.skipped_owner) == (2, 2, 0, 1, 1)
    assert proof.fields["meta.title"].missing == 1
    opened = prove(site.collection, sealed, keys=site.keys)
    assert opened.holds
    assert (opened.fields["body"].opened, opened.fields["body"].locked) == (2, 0)


def test_plaintext_and_half_encrypted_documents_are_named(site: Site) -> None:
    (sealed,) = site.encrypt(note("n1"))
    half = replace(sealed, ["body"], 2, string("left"))
    proof = prove(site.collection, [half, note("n2")])
    assert not proof.holds
    assert (proof.half_encrypted, proof.fields["body"].plaintext, proof.fields["meta.title"].plaintext) == (1, 2, 1)
    assert kinds(proof) == ["plaintext", "half-encrypted", "plaintext", "plaintext"]
    assert proof.findings[0].reason == (
        'app.notes: document 0 (_id "n1"): field "body": plaintext where an envelope must be'
    )
    assert {finding.partition for finding in proof.findings} == {"w1"}
    assert "left" not in str(proof.findings)


def test_a_moved_envelope_is_found_with_keys_only(site: Site) -> None:
    one, other = site.encrypt(note(1, body="first"), note(2, body="second"))
    swapped = [moved(other, one), moved(one, other)]
    assert prove(site.collection, swapped).holds
    proof = prove(site.collection, swapped, keys=site.keys)
    assert kinds(proof) == ["envelope", "envelope"]
    assert proof.fields["body"].faults == 2


def test_lost_keys_foreign_owners_and_faults_are_told_apart(site: Site, compat: Site) -> None:
    (sealed,) = site.encrypt(note())
    site.provide({scope("bob"): 1})
    keys = site.keys
    stolen = replace(sealed, ["userId"], 2, string("bob"))
    assert kinds(prove(site.collection, [stolen], keys=keys)) == ["owner", "owner"]
    assert kinds(prove(site.collection, [sealed], keys=Site().keys)) == ["key", "key"]
    assert kinds(prove(site.collection, compat.encrypt(note()))) == ["envelope", "envelope"]
    assert kinds(prove(site.collection, [note(body={"__encrypted": 1}, meta={})])) == ["envelope"]
    nobody = prove(site.collection, [note(owner=None), bson.encode({"_id": 1}), note()[:-1]])
    assert kinds(nobody) == ["content", "content", "content"]
    assert nobody.without_partition_key == 1
    assert nobody.fields["body"].faults == 2
    assert kinds(prove(site.collection, [note(meta=[{"title": "x"}], body=None)])) == ["content"]


def test_documents_that_are_not_meant_are_not_judged(site: Site) -> None:
    other = Site()
    other.transform = type(site.transform)(
        field_map=site.transform.field_map,
        profile=site.transform.profile,
        keys=site.keys,
        partitions=frozenset({"w2"}),
    )
    proof = prove(other.collection, [note()])
    assert proof.holds
    assert (proof.documents, proof.selected) == (1, 0)


def test_known_plaintext_is_found_wherever_it_is_left(site: Site) -> None:
    documents = [note(1, body="secret"), note(2, summary="a secret!"), note(3, secret=1), note(4, tags=["x", "secret"])]
    sealed = site.encrypt(*documents)
    proof = prove(site.collection, sealed, canaries=[b"absent", b"secret"])
    assert kinds(proof) == ["canary"] * 3
    assert proof.canaries == 3
    assert "secret" not in str(proof.findings[0].reason)
    with pytest.raises(UsageError, match="empty canary"):
        prove(site.collection, sealed, canaries=[b""])


def test_the_digest_taken_before_is_that_of_what_opens_after(site: Site) -> None:
    plain = [note(1), note(2, body=7), note(3, "bob", body=None)]
    site.prepare(*plain)
    keys = site.keys
    before = prove(site.collection, plain, keys=keys)
    after = prove(site.collection, site.encrypt(*plain), keys=keys)
    assert not before.holds
    assert after.holds
    for field, proof in after.fields.items():
        assert proof.digest == before.fields[field].digest
    assert after.fields["body"].digest.values == 2


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(note(1, body="hellp"), id="another value"),
        pytest.param(note(2), id="another document"),
        pytest.param(note(1, body=b"hello"), id="another type"),
        pytest.param(note(1, owner="bob"), id="another owner"),
    ],
)
def test_any_difference_gives_another_digest(site: Site, other: bytes) -> None:
    site.prepare(note(), other)
    keys = site.keys
    digests = [prove(site.collection, [data], keys=keys).fields["body"].digest for data in (note(1), other)]
    assert digests[0] != digests[1]
    assert digests[0].values == digests[1].values


def test_without_a_key_at_hand_there_is_no_digest(site: Site) -> None:
    site.prepare(note())
    keys = site.keys
    locked = KeySet(scopes=keys.scopes, opening={}, sealing=keys.sealing, mek_versions=1)
    assert prove(site.collection, [note()], keys=locked).fields["body"].digest == ValueDigest()


@settings(deadline=None, max_examples=20)
@given(st.permutations(range(6)), st.integers(1, 6))
def test_proofs_of_parts_add_up_to_that_of_the_whole_in_any_order(order: list[int], size: int) -> None:
    site = Site()
    documents = [*site.encrypt(*[note(at, f"o{at % 2}") for at in range(5)]), note(5)]
    keys = site.keys
    whole = prove(site.collection, documents, keys=keys)
    total = Proof()
    for at in range(0, 6, size):
        total.add(prove(site.collection, [documents[which] for which in order[at : at + size]], at, keys=keys))
    assert total.fields == whole.fields
    assert (total.documents, total.faults, sorted(kinds(total))) == (6, whole.faults, sorted(kinds(whole)))


def test_findings_are_bounded_and_counts_exact(site: Site) -> None:
    first = prove(site.collection, [note()] * 6_000)
    assert (first.faults, len(first.findings)) == (12_000, 10_000)
    first.add(prove(site.collection, [note()]))
    assert (first.faults, len(first.findings)) == (12_002, 10_000)


@given(st.integers(0, 10**18), st.integers(0, 2**256 - 1))
def test_digests_survive_printing_and_parsing(values: int, total: int) -> None:
    digest = ValueDigest(values=values, total=total)
    assert ValueDigest.parse(str(digest)) == digest


@pytest.mark.parametrize("text", ["", "1", "1:", "x:" + "0" * 64, "1:" + "g" * 64, "01:" + "0" * 64, "1:" + "A" * 64])
def test_what_is_no_digest_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not a digest of values"):
        ValueDigest.parse(text)

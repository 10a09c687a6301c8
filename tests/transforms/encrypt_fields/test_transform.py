"""The transform: what changes, what never does, and what stops a run with nothing written."""

from __future__ import annotations

import pickle
from collections import Counter
from dataclasses import replace as with_changes
from typing import Any

import bson
import pytest
from hypothesis import given, settings, strategies as st

from kit.documents import find, replace
from kit.encryption import (
    Envelope,
    KeySet,
    Profile,
    RandomIv,
    ValueDigest,
    check_canary,
    check_partition_keys,
    check_reference,
    field_counts,
    prove,
    shipped,
)
from kit.encryption.envelope import SUBDOCUMENTS
from kit.encryption.mapped import read
from kit.encryption.needs import DIGEST_TOTAL, DIGEST_VALUES, FieldCounts
from kit.encryption.opening import CollectionKeys, DocumentKeys
from kit.errors import BsonError, ContentError, EnvelopeError, KeyUnusableError, KitError, StoppedError, UsageError
from kit.transforms.encrypt_fields import NAME, OUTCOMES, EncryptFields
from kit.transforms.protocol import Change, Transform
from kit.transforms.raw_linkset import RawLinkset
from kit.transforms.registry import check_order
from kit.values import CollectionName, CountName, FieldOutcome
from tests.documents.strategies import NAMES, VALUES, document, string
from tests.encryption.site import ENTRY, MAP, NOTES, Site, Stream, map_of, note, scope
from tests.tiers import examples

OBSERVATIONS = CollectionName(database="concelier", collection="advisory_observations")


def envelope(data: bytes, *path: str) -> Envelope:
    element = find(data, path)
    assert element is not None
    return Envelope.parse(data[element.value : element.end])


def opened(site: Site, data: bytes) -> bytes:
    """Put the plaintext back: what strip∘encrypt = id is about."""
    collection = site.collection
    for field in collection.fields:
        mapped = read(data, collection)
        value = mapped.value(field)
        if value.envelope is not None:
            keys = CollectionKeys(collection, site.keys)
            got = DocumentKeys(keys, mapped).open(field, value.envelope)
            assert got is not None
            data = replace(data, field.path.steps, got.kind, got.value)
    return data


def counted(*changes: Change) -> dict[str, FieldCounts]:
    total: dict[CountName, int] = {}
    for change in changes:
        for name, count in change.counts.items():
            total[name] = total.get(name, 0) + count
    return {counts.field: counts for counts in field_counts(total)}


def test_it_is_a_transform(site: Site) -> None:
    transform: Transform = site.transform
    assert (transform.name, transform.version) == (NAME, 1)
    assert transform.handles(NOTES)
    assert not transform.handles(OBSERVATIONS)
    assert not transform.indexes(NOTES)
    assert list(transform.gather(NOTES, [note()])) == []
    with pytest.raises(UsageError, match="does not name concelier"):
        site.transform.mapped(OBSERVATIONS)


def outcome(change: Change) -> tuple[object, ...]:
    return change.outcome, change.document, change.tenant, dict(change.counts), list(change.sums)


@settings(deadline=None, max_examples=examples(60))
@given(st.lists(st.tuples(st.sampled_from(["ada", "bob", ""]), st.sampled_from(["w", "v", None])), max_size=6))
def test_what_becomes_of_a_document_does_not_depend_on_those_before(whose: list[tuple[str, str | None]]) -> None:
    site = Site()
    site.transform = with_changes(site.transform, stop_at_errors=False)
    notes = [note(number, owner, workspaceId=partition) for number, (owner, partition) in enumerate(whose)]
    site.prepare(*notes)
    assert list(map(outcome, site.apply(*notes))) == [outcome(one) for data in notes for one in site.apply(data)]


def test_only_mapped_values_change(site: Site) -> None:
    plain = note(tags=["hello"], meta={"before": 1, "title": "t", "after": 2})
    (sealed,) = site.encrypt(plain)
    assert envelope(sealed, "body").profile is Profile.BOUND
    assert list(bson.decode(sealed)) == list(bson.decode(plain))
    assert list(bson.decode(sealed)["meta"]) == ["before", "title", "after"]
    assert opened(site, sealed) == plain


@settings(deadline=None, max_examples=examples(60))
@given(st.lists(st.tuples(NAMES, VALUES), max_size=4), VALUES.filter(lambda value: value[0] != 10), st.booleans())
def test_opening_what_was_sealed_gives_the_document_back(
    others: list[tuple[str, tuple[int, bytes]]],
    value: tuple[int, bytes],
    title: bool,  # noqa: FBT001
) -> None:
    site = Site()
    taken = {"_id", "workspaceId", "userId", "body", "meta"}
    rest = list({name: (name, item) for name, item in others if name not in taken}.values())
    meta = document([("title", (2, string("t")))] if title else [])
    head = [("_id", (16, b"\1\0\0\0")), ("workspaceId", (2, string("w"))), ("userId", (2, string("ada")))]
    plain = document([*head, ("body", value), *rest, ("meta", (3, meta))])
    (sealed,) = site.encrypt(plain)
    assert sealed != plain
    assert opened(site, sealed) == plain
    assert site.encrypt(sealed) == [sealed]


def test_a_second_application_changes_nothing_and_says_so(site: Site) -> None:
    (sealed,) = site.encrypt(note())
    assert site.prepare(sealed).values == {}
    (change,) = site.apply(sealed)
    assert (change.outcome, change.document) == ("unchanged", None)
    assert counted(change)["body"].skipped_encrypted == 1


def test_unchanged_plaintext_keeps_its_ciphertext_when_the_rest_changes(site: Site) -> None:
    (one,) = site.encrypt(note())
    (other,) = site.encrypt(note(more="later", meta={"title": "edited"}))
    assert envelope(one, "body") == envelope(other, "body")
    assert envelope(one, "meta", "title") != envelope(other, "meta", "title")


def test_equal_values_in_two_documents_do_not_show(site: Site) -> None:
    one, other = site.encrypt(note(1), note(2))
    assert envelope(one, "body").ciphertext != envelope(other, "body").ciphertext


def test_random_vectors_differ_from_run_to_run(site: Site) -> None:
    site.transform = with_changes(site.transform, iv=RandomIv(Stream()))
    (one,), (other,) = site.encrypt(note()), site.encrypt(note())
    assert one != other
    assert opened(site, one) == opened(site, other) == note()
    assert site.transform.parameters()["iv"] == "random"


def test_the_result_does_not_depend_on_the_worker(site: Site) -> None:
    documents = [note(at, f"owner {at % 3}") for at in range(9)]
    whole = site.encrypt(*documents)
    copy: Site = Site()
    copy.transform = pickle.loads(pickle.dumps(site.transform))  # noqa: S301
    assert copy.transform == site.transform
    parts = [change.document for at in range(0, 9, 2) for change in copy.apply(*documents[at : at + 2])]
    assert parts == whole


def test_each_owner_has_a_key_of_its_own(site: Site) -> None:
    one, other = site.encrypt(note(1, "ada"), note(1, "bob"))
    assert envelope(one, "body").dek_id != envelope(other, "body").dek_id


def test_preparation_counts_what_will_be_sealed(site: Site) -> None:
    (sealed,) = site.encrypt(note(1))
    needs = site.transform.needs(
        NOTES, [sealed, note(2), note(3, body=None), note(4, "bob", meta=1), note(5, "__builtin__")], 0
    )
    assert dict(needs.values) == {scope("ada"): 3, scope("bob"): 1}
    assert (needs.documents, needs.without_partition_key) == (5, 0)
    other = site.transform.needs(NOTES, [note(6), bson.encode({"_id": 7})], 5)
    needs.add(other)
    assert (needs.documents, needs.without_partition_key, needs.values[scope("ada")]) == (7, 1, 5)


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        pytest.param({}, {"encrypted": 1}, id="plaintext"),
        pytest.param({"body": ""}, {"encrypted": 1}, id="an empty string"),
        pytest.param({"body": {"a": 1}}, {"encrypted": 1}, id="a subdocument"),
        pytest.param({"body": None}, {"skipped_null": 1}, id="null"),
        pytest.param({"meta": {}}, {"encrypted": 1}, id="another field missing"),
        pytest.param({"userId": "__builtin__"}, {"skipped_owner": 1}, id="an owner to skip"),
    ],
)
def test_each_value_is_counted_under_exactly_one_outcome(site: Site, more: dict[str, Any], expected: Any) -> None:
    data = note(**more)
    site.prepare(data)
    counts = counted(*site.apply(data))["body"]
    assert {
        name: count for name, count in counts.to_json().items() if name not in {"collection", "field"} and count
    } == {
        "scanned": 1,
        **expected,
    }


@pytest.mark.parametrize("meta", [{}, 7, None, {"title": None}])
def test_a_path_that_ends_early_is_missing(site: Site, meta: Any) -> None:
    data = note(meta=meta)
    site.prepare(data)
    counts = counted(*site.apply(data))["meta.title"]
    assert (counts.skipped_missing, counts.skipped_null) == ((0, 1) if meta == {"title": None} else (1, 0))


def test_counts_that_do_not_add_up_stop() -> None:
    scanned, sealed = (FieldOutcome(word, "app.notes", "body") for word in ("scanned", "encrypted"))
    with pytest.raises(StoppedError, match=r"app\.notes: scanned 2 values of 'body', but accounted for 1"):
        field_counts(Counter[CountName]({scanned: 2, sealed: 1, "other": 7}))


def test_the_digest_counted_on_the_way_is_that_of_the_proof_before_and_after(site: Site) -> None:
    plain = [note(1), note(2, "bob", body=None), note(3)]
    sealed = site.encrypt(*plain)
    for documents in (plain, sealed):
        total = Counter[CountName]()
        for change in site.apply(*documents):
            total.update(dict(change.sums))
        for path in ("body", "meta.title"):
            values, sums = (total[FieldOutcome(name, str(NOTES), path)] for name in (DIGEST_VALUES, DIGEST_TOTAL))
            proven = prove(site.collection, sealed, keys=site.keys).fields[path].digest
            assert ValueDigest.of_sums(values, sums) == proven


# What stops a run


def fault(site: Site, data: bytes, error: type[KitError], words: str) -> KitError:
    """The run stops; the message has container, _id and field; a dry run counts it instead and writes nothing."""
    with pytest.raises(error, match=words) as caught:
        site.apply(data)
    dry = with_changes(site.transform, stop_at_errors=False)
    (change,) = dry.apply(site.name, [data], None, 0)  # type: ignore[arg-type]
    assert (change.outcome, change.document) == ("error", None)
    assert change.findings[0].reason == str(caught.value)
    assert {counts.errors for counts in counted(change).values()} == {1}
    return caught.value


def changed(data: bytes, path: list[str], **members: Any) -> bytes:
    """Change members of the envelope at ``path``; None removes one."""
    element = find(data, path)
    assert element is not None
    value = {**bson.decode(data[element.value : element.end]), **members}
    value = {name: item for name, item in value.items() if item is not None}
    return replace(data, path, 3, bson.encode(value))


@pytest.mark.parametrize(
    "members",
    [
        pytest.param({"ct": "AAAA"}, id="ct"),
        pytest.param({"iv": "AAAAAAAAAAAAAAAA"}, id="iv"),
        pytest.param({"tag": "AAAAAAAAAAAAAAAAAAAAAA=="}, id="tag"),
        pytest.param({"alg": "none"}, id="alg"),
        pytest.param({"v": 1}, id="v"),
        pytest.param({"mekVersion": 2}, id="mekVersion"),
        pytest.param({"ctx": "other"}, id="ctx"),
        pytest.param({"bt": 13}, id="bt"),
        pytest.param({"__encrypted": False}, id="__encrypted"),
        pytest.param({"__encrypted": None}, id="no __encrypted"),
        pytest.param({"tag": None}, id="no tag"),
        pytest.param({"extra": 1}, id="another member"),
    ],
)
def test_an_altered_envelope_stops_the_run(site: Site, members: dict[str, Any]) -> None:
    (sealed,) = site.encrypt(note("n1"))
    error = fault(site, changed(sealed, ["body"], **members), EnvelopeError, 'field "body"')
    assert error.where == 'app.notes: document 0 (_id "n1"): field "body"'


def test_an_envelope_under_a_key_that_is_lost_names_it(site: Site) -> None:
    (sealed,) = site.encrypt(note())
    fault(site, changed(sealed, ["body"], dekId="gone"), KeyUnusableError, "data key gone is not in the keyring")


@pytest.mark.parametrize(("one", "other"), [(["body"], ["meta", "title"]), (["meta", "title"], ["body"])])
def test_envelopes_swapped_within_a_document_are_refused(site: Site, one: list[str], other: list[str]) -> None:
    (sealed,) = site.encrypt(note())
    source = find(sealed, one)
    assert source is not None
    moved = replace(sealed, other, 3, sealed[source.value : source.end])
    fault(site, moved, EnvelopeError, "does not open under data key .*moved")


def test_envelopes_of_one_owner_swapped_between_documents_are_both_refused(site: Site) -> None:
    one, other = site.encrypt(note(1, body="first"), note(2, body="second"))
    values = [data[place.value : place.end] for data in (one, other) if (place := find(data, ["body"])) is not None]
    for data, value in ((one, values[1]), (other, values[0])):
        fault(site, replace(data, ["body"], 3, value), EnvelopeError, "moved from another document")


def test_a_document_given_to_another_owner_stops_the_run(site: Site) -> None:
    (sealed,) = site.encrypt(note())
    site.provide({scope("bob"): 1})
    stolen = replace(sealed, ["userId"], 2, string("bob"))
    fault(site, stolen, StoppedError, "owner mismatch: data key .* is for product 'notelett', .* owner 'ada'")


def test_user_data_that_looks_like_an_envelope_stops_the_run(site: Site) -> None:
    site.provide({scope(): 1})
    fault(site, note(body={"__encrypted": True}), EnvelopeError, "lacks 'v'")
    fault(site, note(body={"__encrypted": "ha"}), EnvelopeError, "is not true")
    twice = document([("__encrypted", (8, b"\1")), ("__encrypted", (8, b"\1"))])
    fault(site, replace(note(), ["body"], 3, twice), EnvelopeError, "looks like an envelope and is malformed")


def test_an_envelope_of_the_other_profile_stops_the_run(site: Site, compat: Site) -> None:
    (sealed,) = compat.encrypt(note())
    site.provide({scope(): 1})
    fault(site, sealed, EnvelopeError, "a compat envelope, but the profile is bound")


def test_a_value_that_is_no_string_stops_a_run_in_compat(compat: Site) -> None:
    compat.provide({scope(): 1})
    fault(compat, note(body=7), ContentError, 'field "body": a compat envelope holds only strings')


@pytest.mark.parametrize("profile", Profile)
def test_invalid_utf_8_stops_the_run(profile: Profile) -> None:
    site = Site(profile)
    site.provide({scope(): 1})
    broken = replace(note(), ["body"], 2, b"\3\0\0\0\xff\xff\0")
    fault(site, broken, ContentError, "not a well-formed BSON value")


def test_a_document_is_written_whole_or_not_at_all(compat: Site) -> None:
    compat.provide({scope(): 2})
    fault(compat, note(meta={"title": 7}), ContentError, 'field "meta.title"')


@pytest.mark.parametrize("owner", [None, "", 7, "a\0b"])
def test_a_document_without_owner_stops_the_run(site: Site, owner: object) -> None:
    fault(site, note(owner=owner), ContentError, "owner")


def test_a_document_without_id_stops_the_run(site: Site) -> None:
    data = bson.encode({"workspaceId": "w", "userId": "ada", "body": "x"})
    error = fault(site, data, ContentError, "no _id")
    assert '(_id "(none)")' in error.where


def test_an_owner_without_key_stops_the_run(site: Site) -> None:
    fault(site, note(), KeyUnusableError, "no data key for product 'notelett', context 'notes', owner 'ada'")


def test_a_path_through_an_array_or_an_envelope_stops_the_run(site: Site) -> None:
    site.provide({scope(): 1})
    fault(site, note(meta=[{"title": "secret"}]), ContentError, "leads through the array 'meta'")
    fault(site, note(meta={"__encrypted": True}), EnvelopeError, "leads into an envelope")


def test_a_malformed_document_stops_the_run(site: Site) -> None:
    error = fault(site, note()[:-1], BsonError, "shorter than its length")
    assert '(_id "(unreadable)")' in error.where


def test_preparation_keeps_the_first_fault_and_the_needs_of_the_others(site: Site) -> None:
    broken = note("n", body={"__encrypted": True})
    needs = site.transform.needs(NOTES, [note(1), broken, note()[:-1], note(2, "bob")], 7)
    assert isinstance(needs.failure, EnvelopeError)
    assert str(needs.failure).startswith('app.notes: document 8 (_id "n"): field "body": ')
    assert (dict(needs.values), needs.documents) == ({scope("ada"): 2, scope("bob"): 2}, 4)
    first = site.transform.needs(NOTES, [note()[:-1]], 3)
    first.add(needs)
    assert isinstance(first.failure, BsonError)
    assert "app.notes: document 3 " in str(first.failure)


def test_preparation_finds_what_the_profile_cannot_hold(compat: Site) -> None:
    failure = compat.transform.needs(NOTES, [note("n", body=7)], 0).failure
    assert isinstance(failure, ContentError)
    assert '(_id "n"): field "body": a compat envelope holds only strings' in str(failure)


def test_a_name_met_twice_on_the_way_stops_the_run(site: Site) -> None:
    data = document([("_id", (16, bytes(4))), ("body", (2, string("a"))), ("body", (2, string("b")))])
    fault(site, data, BsonError, "repeated element name")


def test_repeated_names_inside_a_value_are_sealed_as_they_are(site: Site) -> None:
    twice = document([("a", (2, string("a"))), ("a", (2, string("b")))])
    data = replace(note(), ["body"], 3, twice)
    (sealed,) = site.encrypt(data)
    assert opened(site, sealed) == data


# Selection


@pytest.mark.parametrize("key", [None, "missing"])
def test_documents_without_partition_key_are_left_counted_and_named(site: Site, key: object) -> None:
    members = {"_id": 1, "userId": "ada", "body": "x"}
    data = bson.encode(members if key else {**members, "workspaceId": None})
    assert site.prepare(data).without_partition_key == 1
    (change,) = site.apply(data)
    assert (change.outcome, change.document, change.tenant) == ("no-partition-key", None, "")
    assert counted(change)["body"].errors == 1
    assert change.findings[0].kind == "no-partition-key"


@pytest.mark.parametrize(
    ("documents", "without", "stops"),
    [(100, 10, False), (100, 11, True), (100_000, 100, False), (100_000, 101, True), (0, 0, False)],
)
def test_too_many_documents_without_partition_key_stop(documents: int, without: int, stops: bool) -> None:  # noqa: FBT001
    if stops:
        with pytest.raises(StoppedError, match=f"{without} of {documents:,} documents have no partition key"):
            check_partition_keys(documents, without)
    else:
        check_partition_keys(documents, without)


def test_the_stop_rule_applies_to_what_was_prepared(site: Site) -> None:
    needs = site.prepare(bson.encode({"_id": 1}), note())
    needs.check()
    with pytest.raises(StoppedError, match="the maximum is 0"):
        needs.check(at_least=0)


@pytest.mark.parametrize(
    ("key", "tenant"),
    [("w1", "w1"), (bson.ObjectId("0" * 24), "0" * 24), (7, "7"), (bson.Int64(-7), "-7")],
)
def test_documents_are_counted_under_their_partition_key(site: Site, key: object, tenant: str) -> None:
    data = note(workspaceId=key)
    site.prepare(data)
    assert site.apply(data)[0].tenant == tenant


def test_a_partition_key_of_another_type_stops_the_run(site: Site) -> None:
    fault(site, note(workspaceId=1.5), ContentError, "the partition key is of BSON type 1")


def test_only_the_partitions_asked_for_are_touched(site: Site) -> None:
    site.transform = with_changes(site.transform, partitions=frozenset({"w2"}))
    one, other = note(1), note(2, workspaceId="w2")
    site.prepare(one, other)
    left, done = site.apply(one, other)
    assert (left.outcome, left.document, dict(left.counts)) == ("not-selected", None, {})
    assert done.outcome == "encrypted"
    assert site.transform.parameters()["tenants"] == ["w2"]


def test_only_documents_of_the_product_are_touched() -> None:
    site = Site(field_map=map_of({**ENTRY, "productId": "lett"}))
    documents = note(1, productId="lett"), note(2, productId="other"), note(3), note(4, productId=7)
    site.prepare(*documents)
    assert [change.outcome for change in site.apply(*documents)] == ["encrypted", *["not-selected"] * 3]


def test_nested_partition_keys_and_owners_are_found() -> None:
    site = Site(field_map=map_of({**ENTRY, "partitionKey": "at.w", "userIdField": "by.u"}))
    good = note(1, at={"w": "x"}, by={"u": "ada"})
    site.prepare(good)
    assert site.apply(good)[0].tenant == "x"
    assert site.apply(note(2, at=7))[0].outcome == "no-partition-key"
    assert site.apply(note(3, at={}))[0].outcome == "no-partition-key"


def test_outcomes_are_a_closed_list(site: Site) -> None:
    assert len(set(OUTCOMES)) == 6
    assert "secret" not in repr(site.transform)


def test_observations_are_encrypted_by_the_shipped_map() -> None:
    site = Site(field_map=shipped("concelier"), name=OBSERVATIONS)
    data = bson.encode(
        {"_id": "o1", "tenant": "acme", "content": {"format": "osv", "raw": {"id": "X", "n": [1, 2]}}, "rawLinkset": {}}
    )
    (sealed,) = site.encrypt(data)
    assert envelope(sealed, "content", "raw").bson_type == 3
    assert opened(site, sealed) == data
    assert site.apply(data)[0].tenant == "acme"


@pytest.mark.parametrize("names", [["raw-linkset", NAME], [NAME], ["raw-linkset"], []])
def test_raw_linkset_runs_first(names: list[str]) -> None:
    chain = {"raw-linkset": RawLinkset(), NAME: EncryptFields(field_map=shipped("notelett"), profile=Profile.BOUND)}
    check_order([chain[name] for name in names])
    with pytest.raises(UsageError, match="raw-linkset cannot run after encrypt-fields"):
        check_order([chain[NAME], chain["raw-linkset"]])


# Preflight


def test_a_canary_is_sealed_and_opened_under_every_key(site: Site) -> None:
    site.provide({scope("ada"): 1, scope("bob"): 1})
    (entry,) = MAP.collections
    keys = site.keys
    wrong = {dek_id: with_changes(key, secret=bytes(32)) for dek_id, key in keys.opening.items()}

    def tried(owners: list[str], stored: KeySet | None = None) -> int:
        scopes = [scope(owner) for owner in owners]
        return check_canary(entry, product="notelett", profile=Profile.BOUND, keys=keys, scopes=scopes, stored=stored)

    assert tried(["ada", "bob"]) == tried(["ada", "bob"], keys) == 2
    assert tried(["ada"], with_changes(keys, opening={})) == 1
    with pytest.raises(KeyUnusableError, match=r"no data key for .*eve"):
        tried(["eve"])
    with pytest.raises(KeyUnusableError, match=r"the stored data key .* does not open what it sealed"):
        tried(["ada"], with_changes(keys, opening=wrong))


@pytest.mark.parametrize("profile", SUBDOCUMENTS)
def test_a_reference_document_of_the_live_writer_opens(profile: Profile) -> None:
    site = Site(profile)
    (sealed,) = site.encrypt(note(body=None))
    keys = site.keys
    assert check_reference(site.collection, sealed, keys) == 1
    other = Site(Profile.COMPAT if profile is Profile.BOUND else Profile.BOUND)
    with pytest.raises(EnvelopeError, match="but the profile is"):
        check_reference(other.collection, sealed, keys)
    with pytest.raises(EnvelopeError, match="does not open"):
        check_reference(site.collection, changed(sealed, ["meta", "title"], ct="AA=="), keys)
    with pytest.raises(ContentError, match="holds no envelope"):
        check_reference(site.collection, note(), keys)
    with pytest.raises(ContentError, match="is skipped-owner"):
        check_reference(site.collection, note(owner="__builtin__"), keys)
    locked = KeySet(scopes=keys.scopes, opening={}, sealing=keys.sealing, mek_versions=1)
    with pytest.raises(KeyUnusableError, match="is locked"):
        check_reference(site.collection, sealed, locked)


def test_a_locked_envelope_is_left_alone(site: Site) -> None:
    (sealed,) = site.encrypt(note())
    keys = site.keys
    site.transform = with_changes(
        site.transform, keys=KeySet(scopes=keys.scopes, opening={}, sealing=keys.sealing, mek_versions=1)
    )
    assert site.apply(sealed)[0].outcome == "unchanged"
    assert prove(site.collection, [sealed], keys=site.keys).fields["body"].locked == 1

"""Core and reference give the same of every run: documents of every kind, under many maps, sealed or not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from copy import copy
from dataclasses import replace as with_changes
from typing import Any

import bson
import pytest
from hypothesis import given, settings, strategies as st

from kit.documents import Run, core
from kit.encryption import FieldMap, KeySet, MappedCollection, Profile, Scope, find_needs, prove
from kit.encryption.envelope import ALGORITHM, NAMES, SUBDOCUMENTS
from kit.encryption.keys import DataKey
from kit.encryption.needs import find_needs_each
from kit.encryption.proof import prove_each
from kit.encryption.restoring import Reopener, reopen, unseal, unseal_each
from kit.encryption.runs import CoreMap, seal
from kit.errors import KitError
from kit.values import CollectionName
from tests.documents.strategies import VALUES, Typed, document, int32, string
from tests.encryption.site import ENTRY, MAP, NOTES, NoLookup, Site, Stream, map_of, note, scope
from tests.encryption.test_vectors import VECTORS

pytestmark = pytest.mark.skipif(bool(core.ABSENCE), reason="there is no core")

NESTED = map_of(
    {
        **ENTRY,
        "fields": ["body", "meta.title", "meta.deep.a", "meta.deep.b", "other"],
        "partitionKey": "place.of",
        "userIdField": "place.owner",
        "productId": "p",
    }
)
MAPS = (MAP, NESTED, map_of({**ENTRY, "fields": [["a.b"], ["meta", "a.b", "__encrypted"], "body"], "skipOwners": []}))
OWNERS = ("ada", "bob", "__builtin__", "nobody", "", "nul\0", "ünï")
TEXT = st.sampled_from([*OWNERS, "p", "w1", "7", "text"]).map(lambda text: (2, string(text)))
ODD: st.SearchStrategy[Typed] = st.sampled_from(
    [
        (2, b"\x03\0\0\0\xff\xfe\0"),
        (2, b"\x02\0\0\0xx"),
        (2, b"\x00\0\0\0"),
        (8, b"\x02"),
        (3, b"\x05\0\0\0\x01"),
        (3, b"\x04\0\0\0"),
        (20, b""),
        (16, b"\x07\0\0\0"),
        (18, b"\x07\0\0\0\0\0\0\0"),
        (7, b"0123456789ab"),
    ]
)
VALUE = st.one_of(TEXT, ODD, VALUES)
ELEMENT = ["_id", "workspaceId", "userId", "productId", "body", "other", "a.b", "x"]


def _level(names: Sequence[str], value: st.SearchStrategy[Typed]) -> st.SearchStrategy[Typed]:
    elements = st.lists(st.tuples(st.sampled_from(names), value), max_size=4)
    return elements.map(lambda some: (3, document(some)))


LOOKALIKE = _level([NAMES.mark, NAMES.ciphertext, NAMES.iv, NAMES.tag, NAMES.dek_id], VALUE)
DEEP = _level(["a", "b", "title", NAMES.mark], VALUE)
META = _level(["title", "deep", "a.b", "n", NAMES.ciphertext], st.one_of(VALUE, DEEP, LOOKALIKE))
PLACE = _level(["of", "owner"], TEXT)


@st.composite
def plain_documents(draw: st.DrawFn) -> bytes:
    """A note that is mostly as a map wants it, with some of its parts another, missing or there twice."""
    elements: list[tuple[str, Typed]] = [
        ("_id", draw(st.one_of(st.integers(0, 9).map(lambda n: (16, int32(n))), VALUE))),
        ("workspaceId", draw(TEXT)),
        ("userId", draw(TEXT)),
        ("productId", (2, string("p"))),
        (
            "place",
            draw(st.one_of(PLACE, st.just((3, document([("of", (2, string("w1"))), ("owner", (2, string("bob")))]))))),
        ),
        ("body", draw(st.one_of(VALUE, LOOKALIKE, st.just((10, b""))))),
        ("meta", draw(st.one_of(META, VALUE))),
    ]
    for _ in range(draw(st.integers(0, 2))):
        at, change = draw(st.integers(0, len(elements))), draw(st.sampled_from("ird"))
        if change == "i":
            elements.insert(at, (draw(st.sampled_from(ELEMENT)), draw(VALUE)))
        elif change == "r":
            elements[at : at + 1] = []
        else:
            elements[at:at] = elements[at : at + 1]
    return document(elements)


def key_set(owners: Sequence[str]) -> KeySet:
    keys = [
        DataKey(dek_id=f"dek-{number}", scope=scope(owner), mek_version=number + 1, secret=Stream(owner)(32))
        for number, owner in enumerate(owners)
    ]
    return KeySet(
        scopes={key.dek_id: key.scope for key in keys},
        opening={key.dek_id: key for key in keys},
        sealing={key.scope: key.dek_id for key in keys},
        mek_versions=len(keys),
    )


KEYS = key_set(["ada", "bob", "ünï", "p", "w1", "7", "text"])
LOCKED = with_changes(KEYS, opening={name: key for name, key in KEYS.opening.items() if key.scope.owner == "ada"})
OF_OTHERS = key_set(["bob", "ada"])
ALL_KEYS = (KEYS, None, LOCKED, OF_OTHERS, with_changes(KEYS, mek_versions=1))


@st.composite
def runs(draw: st.DrawFn) -> tuple[Site, list[bytes], list[bytes]]:
    """A run of documents, and the same with some sealed, of which some are altered, moved or another's."""
    site = copy(SITES[draw(st.sampled_from(list(SITES)))])
    plain = draw(st.lists(plain_documents(), min_size=1, max_size=5))
    lenient = with_changes(site.transform, stop_at_errors=False)
    changes = lenient.apply(NOTES, plain, NoLookup(), 0)
    after = [change.document or old for change, old in zip(changes, plain, strict=True)]
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(after) - 1))
        spoiled = bytearray(after[at])
        spoiled[draw(st.integers(0, len(spoiled) - 1))] = draw(st.integers(0, 255))
        after[at] = draw(st.sampled_from([bytes(spoiled), after[-1], plain[at]]))
    return site, plain, after


def _site(field_map: FieldMap, profile: Profile) -> Site:
    site = Site(profile, field_map=field_map)
    site.transform = with_changes(site.transform, keys=KEYS)
    return site


SITES = {
    (number, profile): _site(field_map, profile) for number, field_map in enumerate(MAPS) for profile in SUBDOCUMENTS
}


def _outcome(act: Any) -> tuple[str, Any]:
    try:
        return "gave", act()
    except KitError as error:
        return type(error).__name__, str(error)


def _shown(needs: Any) -> tuple[Any, ...]:
    return needs.documents, needs.without_partition_key, needs.first_without, needs.owners, str(needs.failure)


@settings(deadline=None)
@given(runs(), st.sampled_from(ALL_KEYS), st.sampled_from([None, frozenset({"body"}), frozenset({"meta.title"})]))
def test_whole_runs_are_what_one_document_after_the_other_is(
    run: tuple[Site, list[bytes], list[bytes]], keys: KeySet | None, fields: frozenset[str] | None
) -> None:
    site, plain, after = run
    mapped, documents = site.collection, [*after, *plain]
    assert _shown(find_needs(mapped, documents, 3)) == _shown(find_needs_each(mapped, documents, 3))
    assert prove(mapped, after, 3, keys=keys) == prove_each(mapped, after, 3, keys=keys)
    flags = [number % 3 != 1 for number in range(len(documents))]
    assert _outcome(lambda: unseal(mapped, documents, flags, keys, fields, first=3)) == _outcome(
        lambda: unseal_each(mapped, documents, flags, keys, fields, first=3)
    )
    for some in (KEYS, keys or LOCKED):
        for stop_at_errors in (True, False):
            site.transform = with_changes(site.transform, stop_at_errors=stop_at_errors, keys=some)
            _outcome(lambda: site.apply(*documents))  # compares
        assert _outcome(lambda: _reopened(mapped, some, plain, after)) == _outcome(  # noqa: B023  called here
            lambda: _reopened_each(mapped, some, plain, after)  # noqa: B023  called here
        )


OpenedValue = tuple[bytes, bytes, Counter[tuple[str, str]], Counter[tuple[str, str]]]


def _reopened(mapped: MappedCollection, keys: KeySet, before: list[bytes], after: list[bytes]) -> OpenedValue:
    done = reopen(mapped, keys, Run.of(before), Run.of(after))
    if done is None:
        return _reopened_each(mapped, keys, before, after)
    return done.data, done.other, Counter(done.envelopes), Counter(done.opened)


def _reopened_each(mapped: MappedCollection, keys: KeySet, before: list[bytes], after: list[bytes]) -> OpenedValue:
    opening = Reopener(mapped, keys)
    undone = [opening.undo(old, new) for old, new in zip(before, after, strict=True)]
    other = bytes(old != new for old, new in zip(before, after, strict=True))
    return b"".join(undone), other, opening.envelopes, opening.opened


# What is kept as text is left to the reference.
@pytest.mark.parametrize(
    "vector", [one for one in VECTORS if one["id"]["type"] != "json"], ids=lambda vector: vector["name"]
)
def test_the_core_makes_every_vector_of_bson(vector: dict[str, Any]) -> None:
    name = CollectionName(database=vector["database"], collection=vector["collection"])
    path = ".".join(vector["path"]) if not any("." in step for step in vector["path"]) else vector["path"]
    entry = {**ENTRY, "collection": name.collection, "fields": [path], "context": vector["context"], "skipOwners": []}
    entry |= {"partitionKey": "of", "userIdField": "owner"}
    field_map = map_of(entry, product=vector["product"])
    collection = MappedCollection.of(
        field_map.collections[0], name, product=field_map.product, profile=Profile.named(vector["profile"])
    )
    purpose = Scope(product=field_map.product, context=vector["context"], owner=vector["owner"])
    key = DataKey(
        dek_id=vector["dekId"], scope=purpose, mek_version=vector["mekVersion"], secret=bytes.fromhex(vector["dek"])
    )
    keys = KeySet(
        scopes={key.dek_id: purpose}, opening={key.dek_id: key}, sealing={purpose: key.dek_id}, mek_versions=99
    )

    def holding(value: Typed) -> bytes:
        for step in reversed(vector["path"][1:]):
            value = 3, document([(step, value)])
        identity = (vector["id"]["type"], bytes.fromhex(vector["id"]["value"]))
        owner = (2, string(vector["owner"]))
        return document([("_id", identity), ("of", (16, int32(1))), ("owner", owner), (vector["path"][0], value)])

    plain = holding((vector["bsonType"], bytes.fromhex(vector["value"])))
    done = seal(collection, Run.of([plain]), keys)
    if done is None:  # of a type that the reference decides about
        assert vector["bsonType"] not in {1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 18, 19}
        return
    assert done.body == holding((3, bytes.fromhex(vector["bson"])))
    assert [f"{total:064x}" for _, _, total in done.digests] == [vector["valueDigest"]]
    undone = reopen(collection, keys, Run.of([plain]), Run.of([done.body]))
    assert undone is not None
    assert undone.data == plain


@pytest.mark.parametrize("profile", SUBDOCUMENTS)
def test_ordinary_documents_are_none_of_the_references(profile: Profile) -> None:
    site = Site(profile)
    plain = [note(1), note(2, "bob", body="ünï\0"), note(3, body=None), note(4, "__builtin__"), note(5, meta={})]
    site.prepare(*plain)
    done = seal(site.collection, Run.of(plain), site.keys)
    assert done is not None
    assert (done.alone, list(done.touched)) == ([], [1, 1, 1, 0, 1])
    assert done.body == b"".join(site.encrypt(*plain))


def test_a_run_that_is_another_than_the_one_before_is_not_opened() -> None:
    site = Site()
    sealed = site.encrypt(note(1), note(2))
    assert reopen(site.collection, site.keys, Run.of([note(1)]), Run.of(sealed)) is None


def test_a_partition_key_of_another_type_counts_under_the_same_text() -> None:
    site = Site()
    documents = [note(n, workspaceId=key) for n, key in enumerate(["7", 7, bson.Int64(7), bson.ObjectId(b"7" * 12)])]
    site.prepare(*documents)
    done = seal(site.collection, Run.of(documents), site.keys)
    assert done is not None
    assert {tally.partition: tally.changed for tally in done.tallies} == {"7": 3, "37" * 12: 1}


def test_a_key_that_is_another_owners_is_not_used() -> None:
    site = Site()
    (stolen,) = site.encrypt(note(1))
    (own,) = site.encrypt(note(2, "bob"))
    stolen = bson.encode(bson.decode(stolen) | {"userId": "bob"})
    done = prove(site.collection, [stolen, own], keys=site.keys)
    assert [finding.kind for finding in done.findings] == ["owner", "owner"]
    assert done.fields["body"].opened == 1


def test_names_of_envelopes_and_documents_are_those_that_are_handed_over() -> None:
    site = Site()
    site.provide({scope(): 1})
    told = CoreMap.of(site.collection, site.collection.fields, site.keys)
    other = {name: f"{getattr(NAMES, name)}X" for name in NAMES.__dataclass_fields__}
    told = with_changes(told, names=with_changes(NAMES, **other), algorithm=f"{ALGORITHM}-X", identity="name")
    key = site.keys.sealing_key(scope())
    secrets = (key.secret, key.pseudorandom_key, key.iv_key, key.digest_key)
    handed = [((key.dek_id, "ada", True), (key.mek_version, key.part), secrets)]
    plain = bson.encode(bson.decode(note(1)) | {"name": 1})
    assert core.apply_map is not None
    done = core.apply_map(plain, [len(plain)], mapped=told, keys=handed, task="seal")
    assert done is not None
    sealed = done[0]
    assert sealed is not None
    envelope = bson.decode(sealed)["body"]
    assert list(envelope) == list(other.values())
    assert envelope[other["algorithm"]] == f"{ALGORITHM}-X"
    undone = core.apply_map(sealed, [len(sealed)], mapped=told, keys=handed, task="open", against=b"\1")
    assert undone is not None
    assert undone[0] == plain


def test_what_is_no_task_or_no_key_is_not_for_the_core() -> None:
    site = Site()
    told = CoreMap.of(site.collection, site.collection.fields, site.keys)
    assert core.apply_map is not None
    short = [(("dek", "ada", True), (1, b"part"), (b"short",) * 4)]
    assert core.apply_map(note(), [len(note())], mapped=told, keys=short, task="seal") is None
    assert core.apply_map(note(), [len(note())], mapped=told, keys=[], task="rewind") is None  # type: ignore[arg-type]
    assert core.apply_map(note(), [len(note())], mapped=told, keys=[], task="open", against=b"\1\1") is None
    assert core.apply_map(note(), [1], mapped=told, keys=[], task="seal") is None
    deep = CoreMap.of(site.collection, (), site.keys)
    deep = with_changes(deep, fields=(("a",) * 40,), infixes=(b"",))
    assert core.apply_map(note(), [len(note())], mapped=deep, keys=[], task="seal") is None

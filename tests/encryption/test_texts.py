"""Sealing of documents that are kept as JSON text: laws for every spelling, and what is refused in them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import bson
import pytest
from hypothesis import given, settings, strategies as st

from kit.documents import Run
from kit.documents.json_runs import json_lines
from kit.encryption import Profile, Proof, prove
from kit.encryption.approval import DocumentName, RecoveryScope
from kit.encryption.restoring import RestorePlan, restore, unseal
from kit.engine.texts import prove_texts, respell
from kit.errors import BsonError, ContentError, EnvelopeError, KitError
from kit.transforms.protocol import apply_changes
from kit.values import Limits, Sha256
from tests.documents.strategies import spell
from tests.documents.test_json_view import VALUES
from tests.encryption.site import ENTRY, NOTES, Site, map_of, note

LIMITS = Limits()
ALL = RecoveryScope(manifest_sha256=Sha256("0" * 64), collections=(NOTES,))


def run_of(*texts: str | bytes) -> Run:
    (run,) = json_lines([b"\n".join(one if isinstance(one, bytes) else one.encode() for one in texts)], limits=LIMITS)
    return run


def text(**more: Any) -> str:
    """Return a note; ``...`` removes a member."""
    whole = {"_id": 1, "workspaceId": "w1", "userId": "ada", "body": "hello"} | more
    return json.dumps({name: value for name, value in whole.items() if value is not ...})


def seal(site: Site, run: Run) -> Run:
    """Seal a run as the engine does, and prove its texts."""
    needs = site.transform.needs(NOTES, run, 0)
    if needs.failure is not None:
        raise needs.failure
    site.provide(dict(needs.values))
    changes = site.transform.apply_to_texts(NOTES, run)
    touched = [change.document is not None for change in changes]
    after = respell(run, Run.of(apply_changes(changes, list(run), set())), touched)
    prove_texts(run, after, touched, LIMITS)
    return after


def restored(site: Site, run: Run, scope: RecoveryScope = ALL) -> list[bytes]:
    plan = RestorePlan(
        field_map=site.transform.field_map, profile=site.transform.profile, scope=scope, keys=site.transform.keys
    )
    return list(restore(plan, site.collection, run).restored)


def envelopes(run: Run) -> list[dict[str, Any]]:
    return [json.loads(one)["body"] for one in run.originals]


def proof(site: Site, run: Run) -> Proof:
    return prove(site.collection, run, keys=site.keys)


IDS = (
    st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(st.characters(exclude_categories=["Cs"]))
)


@settings(max_examples=15)
@given(IDS, VALUES, VALUES, st.data())
def test_what_is_sealed_comes_back_byte_for_byte_in_any_spelling(
    identity: Any, value: Any, more: Any, data: Any
) -> None:
    document = {
        "_id": identity,
        "workspaceId": "w1",
        "userId": "ada",
        "body": value,
        "meta": {"title": more, "n": more},
    }
    given_text = spell(document, data)
    try:
        run, site = run_of(given_text), Site()
    except BsonError:
        return  # a number beyond a double
    after = seal(site, run)
    assert (after.texts == run.texts) == (value is None and more is None)
    assert seal(site, after).texts == after.texts
    assert restored(site, after) == list(run.originals)
    assert proof(site, after).holds
    assert proof(site, after).fields["body"].digest == proof(site, run).fields["body"].digest
    touched = [after.texts != run.texts]
    assert unseal(site.collection, after, touched, site.keys).data == run.stored


def test_what_is_between_documents_and_other_documents_stay() -> None:
    run, site = run_of(f"\t{text()} \r", text(body=None), f"{text(_id=2)} ", ""), Site()
    after = seal(site, run)
    assert after.texts is not None
    assert run.stored != after.stored
    assert list(after.originals)[1] == list(run.originals)[1]
    assert unseal(site.collection, after, [True, False, True], site.keys).data == run.stored


def test_an_envelope_opens_under_the_very_text_of_the_id_only() -> None:
    site = Site()
    (one,) = seal(site, run_of(text(_id=1))).originals
    for other in (b"1.0", b'"1"', b"1e0", b'{"$numberInt":"1"}'):
        moved = run_of(one.replace(b'"_id": 1,', b'"_id": %b,' % other))
        assert [finding.kind for finding in proof(site, moved).findings] == ["envelope"]
    assert proof(site, run_of(one.replace(b'"_id": 1,', b'"id":1,'))).holds  # the same identity under its other name


def test_one_that_was_made_in_bson_does_not_count_and_the_reverse() -> None:
    site = Site()
    (after,) = envelopes(seal(site, run_of(text())))
    assert after["bt"] == "json"
    number = run_of(text(body=after | {"bt": 2}))
    with pytest.raises(EnvelopeError, match='bt is 2, and is "json" in a collection of JSON'):
        seal(site, number)
    as_bson = prove(site.collection, [number.document(0), run_of(text(body=after)).document(0)], keys=site.keys)
    assert [finding.kind for finding in as_bson.findings] == ["envelope", "envelope"]
    assert 'bt is "json", and is a number in one of BSON' in as_bson.findings[1].reason


REFUSED: list[tuple[str, str, type[KitError], str]] = [
    ("a name twice at the path", text()[:-1] + ',"body":1}', BsonError, "a name is there twice"),
    ("a name twice in the value", text(body="@").replace('"@"', '{"a":1,"a":2}'), BsonError, "there twice"),
    ("a lone surrogate", text(body="@").replace("@", "\\ud800"), BsonError, "lone surrogate"),
    ("a number beyond a double", text(body="@").replace('"@"', "1e999"), BsonError, "beyond a double"),
    ("an _id and an id that differ", text(id=2), BsonError, "an _id and an id that differ"),
    ("no _id and no id", text(_id=...), ContentError, "no _id and no id"),
    ("the mark of an envelope", text(body={"__encrypted": "no"}), EnvelopeError, "__encrypted is not true"),
    ("members of an envelope", text(body={"ct": "", "iv": "", "tag": ""}), EnvelopeError, "not an envelope"),
    ("a path through an array", text(meta=[{"title": 1}]), ContentError, "leads through the array 'meta'"),
    ("no owner", text(userId=...), ContentError, "no owner"),
]


@pytest.mark.parametrize(
    ("given_text", "error", "words"), [one[1:] for one in REFUSED], ids=[one[0] for one in REFUSED]
)
def test_what_is_refused_in_bson_is_refused(given_text: str, error: type[KitError], words: str) -> None:
    with pytest.raises(error, match=words):
        seal(Site(), run_of(given_text))


def test_a_path_that_ends_at_a_scalar_is_missing() -> None:
    site = Site()
    sealed = proof(site, seal(site, run_of(text(meta="a scalar"))))
    assert (sealed.fields["meta.title"].missing, sealed.holds) == (1, True)


def test_a_number_of_any_length_keeps_its_digits() -> None:
    site, digits = Site(), b"-0." + b"123456789" * 50 + b"E+1"
    (after,) = seal(site, run_of(text(body="@").replace('"@"', digits.decode()))).originals
    (back,) = restored(site, run_of(after))
    assert digits in back


def test_the_id_itself_is_not_sealed() -> None:
    site = Site(field_map=map_of(ENTRY | {"fields": ["id"]}))
    with pytest.raises(ContentError, match="'id' identifies documents in JSON"):
        seal(site, run_of(text(id=1)))


class TestCompat:
    def test_the_decoded_string_is_sealed(self) -> None:
        site, value = Site(Profile.COMPAT), 'é\n\t"\\/\U0001f600'
        given_text = json.dumps({"_id": 1, "workspaceId": "w1", "userId": "ada", "body": value}, ensure_ascii=False)
        after = seal(site, run_of(given_text))
        (envelope,) = envelopes(after)
        assert set(envelope) == {"__encrypted", "v", "alg", "ct", "iv", "tag", "dekId", "mekVersion"}
        assert restored(site, after) == [given_text.encode()]

    @pytest.mark.parametrize("value", ['"\\u00e9"', '"a\\/b"', '"\\u0041"'])
    def test_a_spelling_that_would_be_lost_is_refused(self, value: str) -> None:
        with pytest.raises(ContentError, match="other escapes than it needs"):
            seal(Site(Profile.COMPAT), run_of(text(body="@").replace('"@"', value)))

    @pytest.mark.parametrize("value", [1, True, {}, [], {"$oid": "0" * 24}])
    def test_only_strings_are(self, value: Any) -> None:
        with pytest.raises(ContentError, match="a compat envelope holds only strings"):
            seal(Site(Profile.COMPAT), run_of(text(body=value)))


def test_a_scope_names_documents_by_what_their_id_stands_for() -> None:
    site = Site()
    after = seal(site, run_of(text(_id=1), text(_id="1"), text(_id=...)[:-1] + ',"id":"n\\u0033"}'))
    for name, number in (({"$numberInt": "1"}, 0), ("1", 1), ("n3", 2)):
        scope = replace(ALL, documents=frozenset({DocumentName.parse(name)}))
        (found,) = restored(site, after, scope)
        assert json.loads(found)["body"] == "hello"
        assert json.loads(found).get("_id", "n3") == [1, "1", "n3"][number]


NUMBERED = map_of(ENTRY | {"idField": "number"})


def test_a_map_names_what_identifies_documents_in_json() -> None:
    site = Site(field_map=NUMBERED)
    (one,) = seal(site, run_of(text(number=7))).originals
    assert proof(site, run_of(one.replace(b'"_id": 1', b'"_id": 2'))).holds
    (finding,) = proof(site, run_of(one.replace(b'"number": 7', b'"number": 8'))).findings
    assert finding.kind == "envelope"
    with pytest.raises(ContentError, match="no number, to which envelopes could be bound"):
        seal(site, run_of(text()))


def test_a_map_names_what_identifies_documents_in_bson() -> None:
    site = Site(field_map=NUMBERED)
    (sealed,) = site.encrypt(note(1, number=7))  # by the core as by the reference
    moved = [bson.encode(bson.decode(sealed) | change) for change in ({"_id": 2}, {"number": 8})]
    assert [prove(site.collection, [one], keys=site.keys).holds for one in moved] == [True, False]
    with pytest.raises(ContentError, match="no number, to which envelopes could be bound"):
        site.encrypt(note(1))


def test_what_identifies_documents_is_not_sealed() -> None:
    for field in ("number", "number.a"):
        with pytest.raises(ContentError, match="the identity of documents"):
            map_of(ENTRY | {"idField": "number", "fields": [field]})
    assert NUMBERED.to_json()["collections"][0]["idField"] == "number"
    # The name that is meant without it changes no digest of parameters.
    assert map_of(ENTRY | {"idField": "_id"}).to_json() == map_of(ENTRY).to_json()

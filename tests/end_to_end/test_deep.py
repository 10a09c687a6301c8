"""``kit verify --deep``: what a patcher with a good key could hide inside of collections."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import bson
import pytest

from kit.signing import dsse, jws
from tests import kits
from tests.commands import Outcome, kit
from tests.end_to_end.desk import Desk, key
from tests.kits import MANIFEST, OBSERVATIONS, SIGNATURE, Members

STATEMENT = "manifest/history/3/patch.intoto.json"


def deep(desk: Desk, members: Members, name: str = "deep.tar") -> Outcome:
    return desk.verify(desk.write(members, name), options=("--deep",))


def meddled(members: Members, body: bytes, *, path: str = OBSERVATIONS, **statement: Any) -> Members:
    """Change a collection as the patcher himself could: manifest and statement are signed anew, and fit."""
    manifest = json.loads(members[MANIFEST])
    entry = next(entry for entry in manifest["files"] if entry["path"] == path)
    entry.update(kits.facts(body))
    data = kits.to_json(manifest)
    site = key("site")
    payload = json.loads(dsse.verify(members[STATEMENT], {site.public.key_id: site.public}).payload)
    payload["subject"][0]["digest"]["sha256"] = kits.sha256(data)
    payload["subject"][1]["digest"]["sha256"] = kits.sha256(body)
    payload["predicate"] = {n: v for n, v in (payload["predicate"] | statement).items() if v is not ...}
    return members | {
        path: body,
        MANIFEST: data,
        SIGNATURE: jws.sign(data, [site]),
        STATEMENT: dsse.sign(kits.to_json(payload), [site]),
    }


@pytest.fixture
def patched(desk: Desk) -> Members:
    return kits.read(desk.patched())


def documents(members: Members) -> list[dict[str, Any]]:
    return [bson.decode(document) for document in kits.documents_of(members[OBSERVATIONS])]


def test_what_was_only_appended_is_proven(patched: Members, desk: Desk) -> None:
    outcome = desk.verify(desk.write(patched, "deep.tar"), options=("--deep", "--json"))
    assert outcome.code == 0, outcome
    assert outcome.json["proofs"] == [
        {
            "path": OBSERVATIONS,
            "db": "concelier",
            "collection": "advisory_observations",
            "documents": 3,
            "changed": 2,
            "onlyRawLinkset": 2,
            "other": 0,
            "basis": "the previous manifest's digest",
            "proven": True,
        }
    ]


def test_observations_that_had_one_before_are_told_apart(desk: Desk) -> None:
    had = [kits.observation(n) | {"rawLinkset": {"aliases": []}} for n in (5, 6)]
    base = desk.kit(kits.content(had[0], kits.observation(1), had[1]))
    outcome = deep(desk, kits.read(desk.patched(base)))
    assert outcome.code == 0, outcome
    assert "appended rawLinkset to 1 and changed no other byte" in outcome.out


def edit_first(change: Callable[[dict[str, Any]], object]) -> Callable[[Members], bytes]:
    def edit(members: Members) -> bytes:
        found = documents(members)
        change(found[0])
        return kits.collection(found)

    return edit


@pytest.mark.parametrize(
    ("edit", "code", "words"),
    [
        (edit_first(lambda d: d["linkset"].update(aliases=["forged"])), 2, "changed more than it claims"),
        (edit_first(lambda d: d.update(extra=d.pop("rawLinkset"))), 2, "in another way"),
        (edit_first(lambda d: d.update(rawLinkset="text")), 2, "in another way"),
        (edit_first(lambda d: d.update(after=1)), 2, "in another way"),
        (lambda m: kits.collection(documents(m)[::-1]), 2, ""),
        (lambda m: kits.collection(documents(m)[:2]), 2, "counts 3 documents"),
        (lambda m: m[OBSERVATIONS] + kits.collection(documents(m)[:1]), 2, "counts 3 documents"),
        (lambda m: m[OBSERVATIONS].replace(b"\x02summary\0", b"\x7asummary\0", 1), 11, "document 0"),
    ],
    ids=[
        "another element changed",
        "renamed",
        "no document",
        "an element after it",
        "documents in another order",
        "a document removed",
        "a document added",
        "an element of no type",
    ],
)
def test_a_patcher_changes_more_than_he_says(
    edit: Callable[[Members], bytes], code: int, words: str, patched: Members, desk: Desk
) -> None:
    # Without collections to contradict, everything fits but the documents themselves.
    manifest = json.loads(patched[MANIFEST])
    manifest["collections"] = []
    members = meddled(patched | {MANIFEST: kits.to_json(manifest)}, edit(patched))
    shallow = desk.verify(desk.write(members, "shallow.tar"))
    assert shallow.code == 0, shallow
    outcome = deep(desk, members)
    assert outcome.code == code, outcome
    assert words in outcome.err, outcome
    assert OBSERVATIONS in outcome.err


@pytest.mark.parametrize(
    ("statement", "code", "words"),
    [
        ({"documents": ...}, 11, "does not state which documents"),
        ({"documents": []}, 11, "does not state which documents"),
        ({"documents": [{"name": OBSERVATIONS, "baseSha256": "0" * 64, "changed": [0, 1, 2]}]}, 2, ""),
        ({"documents": [{"name": "README.txt", "baseSha256": "0" * 64, "changed": [0, 1]}]}, 11, "not a collection"),
        ({"documents": [{"name": OBSERVATIONS, "baseSha256": "0" * 64, "changed": [3, 0]}]}, 11, "alternating runs"),
        ({"documents": [{"name": OBSERVATIONS, "baseSha256": "0" * 64, "changed": ["3"]}]}, 11, "alternating runs"),
    ],
    ids=["silent", "empty", "fewer than changed", "of no collection", "in a second spelling", "of no counts"],
)
def test_a_statement_that_hides_what_changed(
    statement: dict[str, Any], code: int, words: str, patched: Members, desk: Desk
) -> None:
    outcome = deep(desk, meddled(patched, patched[OBSERVATIONS], **statement))
    assert outcome.code == code, outcome
    assert words in outcome.err, outcome


def test_a_step_that_does_more_than_append_is_not_proven_and_says_so(patched: Members, desk: Desk) -> None:
    site = key("site")
    payload = json.loads(dsse.verify(patched[STATEMENT], {site.public.key_id: site.public}).payload)
    transforms = [transform | {"name": "encrypt-fields"} for transform in payload["predicate"]["transforms"]]
    outcome = deep(desk, meddled(patched, patched[OBSERVATIONS], transforms=transforms))
    assert outcome.code == 0, outcome
    assert "that the last step only appended is not proven: it does more than append" in outcome.out


@pytest.mark.parametrize(
    ("lie", "words"),
    [
        (lambda c: c[0].update(documents=4), "documents"),
        (lambda c: c[0].update(bytes=1), "bytes"),
        (lambda c: c[0].update(db="other"), "db"),
        (lambda c: c[0]["tenants"].update(ghost={"documents": 0}), "tenants"),
        (lambda c: c[0]["tenants"]["acme"].update(documents=3), "documents of tenant 'acme'"),
        (lambda c: c[0]["tenants"]["acme"]["rawLinkset"].update(present=2), "rawLinkset present"),
        (lambda c: c[0]["tenants"]["acme"]["rawLinkset"].update(missing=2), "rawLinkset missing"),
        (lambda c: c[0].update(path="README.txt"), "declared"),
    ],
    ids=["documents", "bytes", "database", "a tenant", "of a tenant", "present", "missing", "path"],
)
def test_collections_that_are_not_as_declared(
    lie: Callable[[Any], object], words: str, patched: Members, desk: Desk
) -> None:
    manifest = json.loads(patched[MANIFEST])
    lie(manifest["collections"])
    members = meddled(patched | {MANIFEST: kits.to_json(manifest)}, patched[OBSERVATIONS])
    assert desk.verify(desk.write(members, "shallow.tar")).code == 0
    outcome = deep(desk, members)
    assert outcome.code == 11, outcome
    assert words in outcome.err, outcome


def test_a_malformed_document_of_a_vendor_is_found_whatever_the_number_of_workers(desk: Desk) -> None:
    body = kits.content()[OBSERVATIONS].replace(b"\x02summary\0", b"\x7asummary\0", 1)
    path = desk.kit({OBSERVATIONS: body})
    assert desk.verify(path).code == 0
    for workers in (1, 2):
        outcome = kit("verify", path, *desk.trust("vendor"), "--deep", "--workers", workers)
        assert outcome.code == 11, outcome
        assert f"{OBSERVATIONS}: document 0" in outcome.err


def test_a_broken_lineage_proves_nothing(patched: Members, desk: Desk) -> None:
    outcome = deep(desk, {name: body for name, body in patched.items() if name != STATEMENT})
    assert outcome.code == 2, outcome
    assert "what the last step changed is unknown" in outcome.out

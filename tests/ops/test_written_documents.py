"""What a patch writes can be read again, and a plan ends as the patch does, in code and in words."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import bson
import pytest
from hypothesis import given, strategies as st

from kit.documents import replace
from kit.engine.checks import find_oversized, suspects
from kit.values import Limits
from tests import kits
from tests.attacks.bombs import nested_document
from tests.commands import Outcome, kit
from tests.documents.strategies import DOCUMENTS
from tests.end_to_end.desk import Desk, key
from tests.end_to_end.vault import Vault, members, note
from tests.kits import AT, OBSERVATIONS, observation


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault(tmp_path)


def planned(desk: Desk, path: Path, *options: object) -> Outcome:
    return kit("plan", path, *desk.trust("vendor"), "--created-at", AT, "--workers", 1, *options)


def said(outcome: Outcome) -> tuple[int, str]:
    """Give the exit code and the first sentence."""
    errors = [line for line in outcome.err.splitlines() if line.startswith("kit: error: ")]
    return outcome.code, errors[0] if errors else ""


def alike(desk: Desk, path: Path, *options: object) -> tuple[int, str]:
    """Check that plan and patch end alike and leave nothing, and give how."""
    before = kits.folder_state(desk.kits)
    plan = planned(desk, path, *options)
    patch = desk.patch(path, "--output", desk.kits / "out", *options)
    assert said(plan) == said(patch), (plan, patch)
    assert kits.folder_state(desk.kits) == before
    return said(plan)


def encrypted_alike(vault: Vault, path: Path, *options: object, field_map: object = "notelett") -> tuple[int, str]:
    """As :func:`alike`, with encrypt-fields; the keyring stays as it is, too."""
    before, keyring = kits.folder_state(vault.kits), vault.keyring.read_bytes()
    plan = vault.encrypting("plan", path, *options, field_map=field_map)
    patch = vault.encrypting("patch", path, "--output", vault.kits / "out", *options, field_map=field_map)
    assert said(plan) == said(patch), (plan, patch)
    assert kits.folder_state(vault.kits) == before
    if "document_bytes=300" not in options:  # which is only seen once values are sealed
        assert vault.keyring.read_bytes() == keyring
    return said(plan)


def twice(document: bytes, name: str, value: Any) -> bytes:
    """Give a document with one more element at its end, whatever its name."""
    more = bson.encode({name: value})[4:-1]
    return (len(document) + len(more)).to_bytes(4, "little") + document[4:-1] + more + b"\0"


def deep(levels: int) -> bytes:
    return replace(bson.encode(observation(1, deep={})), ["deep"], 3, nested_document(levels))


FINE = bson.encode(observation(1))
WIDE = [observation(number, pad="p" * 600) for number in range(25)]
NO_TENANT = bson.encode(observation(2)).replace(b"\x02tenant\0\5\0\0\0acme", b"\x02tenant\0\5\0\0\0ac\xffe")
# How a patch ends, whatever a plan would have to say of it: kit, options, exit code, a part of the sentence.
RAW_LINKSET: dict[str, tuple[bytes, tuple[object, ...], int, str]] = {
    "no _id": (kits.collection([observation(1, _id=...)]), (), 0, ""),
    "an _id twice": (FINE + FINE, (), 11, "the unique index '_id_' has the same key"),
    "an _id twice, permitted": (FINE + FINE, ("--allow-unimportable",), 0, ""),
    "an element _id twice": (twice(FINE, "_id", 1) + FINE, (), 11, "it has more than one _id"),
    "the tenant twice": (twice(FINE, "tenant", "other"), (), 0, ""),
    "a tenant that is no UTF-8": (NO_TENANT, (), 0, ""),
    "an alias that is no UTF-8": (FINE.replace(b"CVE-2025", b"CVE\xff2025"), (), 0, ""),
    "an unknown type": (b"\x0b\0\0\0\x55a\0\0\0\0\0" + FINE, (), 0, ""),
    "no document": (b"", (), 0, ""),
    "cut": (FINE[:-3], (), 11, "document 0"),
    "no end": (FINE + FINE[:-1] + b"\1", (), 11, "document 1"),
    "too large": (FINE, ("--max", "document_bytes=740"), 11, '(_id "acme:osv:GO-2025-0001:1"): cannot be written: '),
    "25 too large": (
        kits.collection(WIDE),
        ("--max", "document_bytes=1350"),
        11,
        "the first of 25 documents that stop",
    ),
    "too large, then cut": (
        *(kits.collection(WIDE) + FINE[:-3], ("--max", "document_bytes=1350")),
        *(11, "document 25: "),
    ),
    "too large beyond the limit": (kits.collection(WIDE), ("--max", "document_bytes=1350", "--limit", 0), 0, ""),
    "deeper than is read": (FINE + deep(300), (), 11, "document 1 (_id"),
    "deeper than a server promises to store": (deep(198), (), 11, "deeper than 100 levels; already in the base"),
    "as deep as is read": (deep(198), ("--allow-unimportable",), 0, ""),
    "as deep as a server promises to store": (deep(98), (), 0, ""),
    "divergent": (
        *(kits.collection([observation(1, linkset={"aliases": ["x"]})]), ("--on-divergence", "stop")),
        *(12, "would diverge"),
    ),
    "too large, then divergent": (
        kits.collection([*WIDE, observation(1, linkset={"aliases": ["x"]})]),
        *(("--on-divergence", "stop", "--max", "document_bytes=1350"), 12, "would diverge"),
    ),
    "more members than may be": (FINE, ("--max", "members=10"), 9, "the new kit would be over a limit: 11 is over"),
    "a manifest over its limit": (FINE, ("--max", "json_bytes=1400"), 9, "the new kit would be over a limit: "),
    "as many members as may be": (FINE, ("--max", "members=14"), 0, ""),
    "coverage is not complete": (
        *(kits.collection([observation(1), observation(2, raw=False)]), ("--validate", "coverage")),
        *(11, "the new kit fails the validation of 20251031_raw_linkset: not every observation has"),
    ),
    "coverage of the tenant selected": (
        *(kits.collection([observation(1), observation(2, "b")]), ("--validate", "coverage", "--tenant", "acme")),
        *(0, ""),
    ),
    "not well-formed, where that is demanded": (
        *(FINE + kits.collection([observation(2, note="text")]).replace(b"text\0", b"textX"), ("--validate", "deep")),
        *(11, 'document 1 (_id "acme:osv:GO-2025-0002:1"): element "note"'),
    ),
    "well-formed, where that is demanded": (FINE, ("--validate", "deep"), 0, ""),
    "nobody's tenant": (FINE, ("--tenant", "nobody"), 64, "nobody"),
    "a document over a limit": (FINE, ("--max", "document_bytes=100"), 9, "document_bytes = 100"),
}


@pytest.mark.parametrize(("body", "options", "code", "words"), RAW_LINKSET.values(), ids=RAW_LINKSET)
def test_a_plan_ends_as_the_patch_does(
    body: bytes, options: tuple[object, ...], code: int, words: str, desk: Desk
) -> None:
    path = desk.kit({**kits.content(), OBSERVATIONS: body})
    if code:
        met, sentence = alike(desk, path, *options)
        assert (met, words in sentence) == (code, True), sentence
        return
    assert planned(desk, path, *options).code == 0
    assert desk.patch(path, "--output", desk.kits / "out", *options).code == 0


NOT_AN_ENVELOPE = {"__encrypted": True, "v": 1}
NOTES: dict[str, tuple[bytes, tuple[object, ...], int, str]] = {
    "three without _id": (
        kits.collection([note(1), *(note(number, _id=...) for number in (2, 3, 4))]),
        *((), 11, 'document 1 (_id "(none)"): no _id'),
    ),
    "no owner": (kits.collection([note(1, userId=...)]), (), 11, "no owner"),
    "no owner, then no end": (kits.collection([note(1, userId=...), note(2)])[:-2], (), 11, "document 1: "),
    "a body that is an odd envelope": (kits.collection([note(1), note(2, body=NOT_AN_ENVELOPE)]), (), 5, "document 1 "),
    "no owner, then an odd envelope": (
        *(kits.collection([note(1, userId=...), note(2, body=NOT_AN_ENVELOPE)]), ()),
        *(11, 'the first of 2 documents that stop the patch: "n1", "n2"'),
    ),
    "an odd envelope, then no owner": (
        *(kits.collection([note(2, body=NOT_AN_ENVELOPE), note(1, userId=...)]), ()),
        *(5, 'the first of 2 documents that stop the patch: "n2", "n1"'),
    ),
    "a name twice": (twice(bson.encode(note(1)), "title", "x"), (), 11, "repeated element name"),
    "a body that is no UTF-8": (bson.encode(note(1, body="MARK")).replace(b"MARK", b"MA\xffK"), (), 11, "UTF-8"),
    "no partition keys, and no owner": (
        *(kits.collection([note(1, userId=...), *(note(n, workspaceId=...) for n in range(20))]), ()),
        *(12, "have no partition key"),
    ),
    "too large": (kits.collection([note(1)]), ("--max", "document_bytes=300"), 11, 'document 0 (_id "n1"): cannot be'),
    "no owner, then too large": (
        *(kits.collection([note(1, userId=...), note(2)]), ("--max", "document_bytes=300")),
        *(11, "no owner"),
    ),
    "a list of notes": (kits.collection([note(1, body=["a"])]), ("--profile", "compat"), 11, 'field "body"'),
}


@pytest.mark.parametrize(("body", "options", "code", "words"), NOTES.values(), ids=NOTES)
def test_a_plan_to_encrypt_ends_as_the_patch_does_and_the_keyring_is_as_it_was(
    body: bytes, options: tuple[object, ...], code: int, words: str, vault: Vault
) -> None:
    met, sentence = encrypted_alike(vault, vault.containers(notes=body), *options)
    assert (met, words in sentence) == (code, True), sentence


def test_fields_that_would_be_left_in_the_clear_are_foreseen_in_the_words_of_the_patch(vault: Vault) -> None:
    path = vault.notes(note(1), note(2), note(3))
    options = ("--validate", "fields", "--limit", 1)
    plan = vault.encrypting("plan", path, *options)
    patch = vault.encrypting("patch", path, "--output", vault.kits / "out", *options)
    assert said(plan) == said(patch)
    assert plan.code == 11
    assert 'document 1 (_id "n2"): field "body": plaintext where an envelope must be' in plan.err


@pytest.mark.parametrize(("limit", "code"), [(2, 11), (4, 0)])
def test_a_limit_counts_what_other_steps_change_where_fields_are_foreseen_too(
    limit: int, code: int, vault: Vault
) -> None:
    observed = kits.content(observation(1), observation(2))
    path = vault.write(kits.signed({**observed, **members({"notes": [note(1), note(2)]})}, key("vendor")))
    options, before = ("--validate", "fields", "--limit", limit), ("--transform", "raw-linkset")
    plan = vault.encrypting("plan", path, *options, before=before)
    patch = vault.encrypting("patch", path, "--output", vault.kits / "out", *options, before=before)
    assert (plan.code, patch.code) == (code, code), (plan, patch)
    assert not code or said(plan) == said(patch)


def test_where_every_field_would_be_sealed_the_plan_foresees_nothing(vault: Vault) -> None:
    path = vault.notes(note(1), note(2))
    assert vault.encrypting("plan", path, "--validate", "fields").code == 0
    assert vault.encrypting("patch", path, "--validate", "fields", "--output", vault.kits / "out").code == 0


def test_a_plan_names_each_document_that_stops_the_patch(desk: Desk) -> None:
    path = desk.kit({**kits.content(), OBSERVATIONS: kits.collection(WIDE)})
    outcome = planned(desk, path, "--max", "document_bytes=1350", "--json")
    report = json.loads(outcome.out)
    found = [finding for finding in report["findings"] if finding["kind"] == "too-large"]
    assert [finding["document"] for finding in found] == [document["_id"] for document in WIDE]
    assert report["refusal"]["kind"] == "ContentError"
    assert report["refusal"]["what"].count(' bytes, "acme:') == 19
    assert report["refusal"]["what"].endswith("bytes and 5 more")
    assert "kit patch would be stopped" in planned(desk, path, "--max", "document_bytes=1350").out


BOUNDS = Limits()
LARGEST = 16 * 1024 * 1024
EMPTY = b"\5\0\0\0\0"


@pytest.mark.parametrize(
    ("document", "measure"),
    [
        pytest.param(b"\0" * LARGEST, None, id="16 MiB"),
        pytest.param(b"\0" * (LARGEST + 1), "16,777,217 bytes", id="a byte more"),
        pytest.param(nested_document(BOUNDS.document_depth - 1), None, id="200 levels"),
        pytest.param(nested_document(BOUNDS.document_depth), "over 200 levels", id="a level more"),
        pytest.param(bson.encode({"": [None] * 599_999}), None, id="600,000 elements"),
        pytest.param(bson.encode({"": [None] * 600_000}), "600,001 elements", id="an element more"),
    ],
)
def test_no_option_lets_a_patch_write_what_cannot_be_read_again(document: bytes, measure: str | None) -> None:
    more = Limits(document_bytes=1 << 30, document_depth=5000, document_elements=1 << 30)
    for limits in (BOUNDS, more):
        found = [refusal.measure for refusal, _ in find_oversized([(1, document)], 7, limits)]
        assert found == ([] if measure is None else [measure])
        whole = EMPTY + document
        suspected = suspects(whole, [5, len(whole)], [True, True], limits)
        assert measure is None or list(suspected)[-1:] == [1]
    assert list(suspects(EMPTY + document, [5, 5 + len(document)], [True, False], BOUNDS)) in ([], [0])


SMALL = Limits(document_bytes=60, document_depth=3, document_elements=4)


@given(st.lists(DOCUMENTS, min_size=1, max_size=4), st.data())
def test_what_is_not_suspected_is_within_every_bound(documents: list[bytes], data: st.DataObject) -> None:
    documents = [*documents, nested_document(3), bson.encode({"": [None] * 5}), b"\x09\0\0\0\x0fa\0\0\0"]
    touched = data.draw(st.lists(st.booleans(), min_size=len(documents), max_size=len(documents)))
    ends = list(itertools.accumulate(map(len, documents)))
    suspected = suspects(b"".join(documents), ends, touched, SMALL)
    over = [refusal.ordinal for refusal, _ in find_oversized(enumerate(documents), 0, SMALL)]
    assert {number for number in over if touched[number]} <= set(suspected) <= set(range(len(documents)))
    assert all(touched[number] for number in suspected)

"""``kit census``: what is on each path, and what a field map leaves plain."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tests import kits
from tests.commands import ROOT, Outcome, kit
from tests.end_to_end.desk import Desk

NOTES = "dump/notelett/notes.bson"
VERSIONS = "dump/notelett/note_versions.bson"
BODY = "A few words that nobody else should read"
PLAIN = "correct horse battery"
ENVELOPE = {"__encrypted": True, "v": 1, "alg": "aes-256-gcm", "ct": "", "iv": "", "tag": ""}


def note(number: int, **more: Any) -> dict[str, Any]:
    facts = {"_id": f"n{number}", "productId": "notelett", "workspaceId": "w", "userId": f"u{number % 2}"}
    return facts | {"body": f"{BODY} {number}", "tags": ["a"]} | more


@pytest.fixture(name="path", scope="module")
def a_kit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    versions = [{"_id": number, "body": f"{PLAIN} {number}", "by": f"u{number}@example.org"} for number in range(30)]
    notes = [note(1), note(2, body=ENVELOPE), note(3, body=None), note(4, summary=f"{BODY} again")]
    members = {NOTES: kits.collection(notes), VERSIONS: kits.collection(versions)}
    return Desk(tmp_path_factory.mktemp("desk")).kit(members)


def census(path: Path, *options: object) -> Outcome:
    outcome = kit("census", path, "--workers", 1, *options)
    assert outcome.code == 0, outcome
    return outcome


def paths(path: Path, collection: str, *options: object) -> dict[str, Any]:
    found = census(path, "--json", *options).json
    schema = json.loads((ROOT / "schemas/census-report.schema.json").read_text())
    Draft202012Validator(schema).validate(found)
    (one,) = [one for one in found["collections"] if one["collection"] == collection]
    return {entry["path"]: entry for entry in one["paths"]}


def test_each_path_is_counted(path: Path) -> None:
    found = paths(path, "notes")
    body = found["body"]
    assert (body["documents"], body["types"]) == (4, {"envelope": 1, "null": 1, "string": 2})
    assert (body["distinct"], body["shapes"]) == ({"number": 3, "exact": True}, {"prose": 2})
    assert found["tags[]"]["values"] == 4
    assert set(found) == {"_id", "productId", "workspaceId", "userId", "body", "tags", "tags[]", "summary"}


def test_a_map_shows_what_is_sealed_and_what_else_is_of_its_kind(path: Path) -> None:
    notes = {name: (one["map"], one["why"]) for name, one in paths(path, "notes", "--field-map", "notelett-2").items()}
    assert notes["body"] == ("partly", None)
    assert notes["userId"] == notes["workspaceId"] == notes["_id"] == ("protected", None)
    assert notes["summary"] == ("alike", "looks like prose")
    versions = paths(path, "note_versions", "--field-map", "notelett-2")
    assert (versions["body"]["map"], versions["body"]["why"]) == ("alike", "named as notes.body")
    assert (versions["by"]["map"], versions["by"]["why"]) == ("alike", "looks like mail")


def test_a_mapped_collection_that_is_not_there_is_named(path: Path) -> None:
    outcome = census(path, "--field-map", "notelett-2")
    assert "palace_memories: mapped, and not in the kit" in outcome.out
    assert "1 partly sealed" in outcome.out
    assert not census(path, "--json", "--field-map", "notelett-2", "--collection", "notelett.notes").json["missing"]


@pytest.mark.parametrize("form", ["text", "json", "page"])
def test_no_value_is_shown_unless_asked_for(path: Path, tmp_path: Path, form: str) -> None:
    page = tmp_path / "census.html"
    options = {"text": (), "json": ("--json",), "page": ("--html", page)}[form]

    def shown(*more: object) -> str:
        outcome = census(path, *options, *more, "--field-map", "notelett-2")
        return page.read_text() if form == "page" else outcome.out + outcome.err

    assert PLAIN not in shown()
    assert BODY not in shown()
    assert PLAIN in shown("--examples", 2)


def test_a_text_lists_no_more_than_the_limit_and_says_so(path: Path) -> None:
    lines = census(path, "--collection", "notelett.notes", "--limit", 2).out.splitlines()
    assert [line.split()[0] for line in lines[2:4]] == ["_id", "body"]
    assert "6 more paths (--limit N, --json, --html)" in lines[4]


def test_any_number_of_workers_gives_the_same_report(path: Path) -> None:
    one, two = (kit("census", path, "--json", "--workers", workers, "--examples", 3).json for workers in (1, 2))
    assert one == two


def test_a_document_that_cannot_be_read_is_counted_apart(tmp_path: Path) -> None:
    broken = kits.collection([note(1)]).replace(b"\x02body\0", b"\x02b\xffdy\0")
    path = Desk(tmp_path).kit({NOTES: kits.collection([note(2)]) + broken})
    outcome = census(path)
    assert "notelett.notes: 1 document, 1 that cannot be read (kit verify --deep)" in outcome.out


@pytest.mark.parametrize(
    ("options", "code"),
    [(("--collection", "notelett.none"), 1), (("--examples", 21), 64), (("--field-map", "no-such-map"), 1)],
)
def test_what_is_not_there_is_an_error(path: Path, options: tuple[object, ...], code: int) -> None:
    assert kit("census", path, *options).code == code


def test_a_path_that_a_terminal_would_obey_is_escaped(tmp_path: Path) -> None:
    path = Desk(tmp_path).kit({NOTES: kits.collection([{"_id": 1, "a\x1b[31m": 1}])})
    assert "\x1b" not in census(path).out

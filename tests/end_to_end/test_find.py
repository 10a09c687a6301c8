"""``kit find``: where an advisory is, by any of its names."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import bson
import pytest
from jsonschema import Draft202012Validator

from tests import kits
from tests.commands import ROOT, Outcome, kit
from tests.end_to_end.desk import Desk
from tests.kits import OBSERVATIONS, observation, snapshot

NAME = kits.identifier(3)
PART = "dump/part/concelier/advisory_observations.bson.gz"
RAW = "dump/concelier/advisory_raw.bson"
NOTES = "dump/notes/notes.bson"


@pytest.fixture(name="path", scope="module")
def a_kit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    desk = Desk(tmp_path_factory.mktemp("desk"))
    members = kits.content(*map(observation, range(1, 30)))
    members |= {PART: gzip.compress(kits.collection([observation(3, "globex"), observation(4, "globex")]))}
    members |= {RAW: kits.collection([snapshot(3)]), NOTES: kits.collection([{"_id": NAME}, {"_id": 7}])}
    return desk.kit(members)


def find(path: Path, text: str, *options: object) -> Outcome:
    return kit("find", path, text, "--workers", 1, *options)


def found(path: Path, text: str, *options: object) -> dict[str, list[str]]:
    outcome = find(path, text, "--json", *options)
    assert outcome.code == 0, outcome
    schema = json.loads((ROOT / "schemas/find-report.schema.json").read_text())
    Draft202012Validator(schema).validate(outcome.json)
    where: dict[str, list[str]] = {}
    for one in outcome.json["matches"]["items"]:
        where.setdefault(one["member"], []).append(one["document"])
    return where


def test_an_upstream_id_is_found_in_every_collection_whatever_its_codec(path: Path) -> None:
    everywhere = {
        OBSERVATIONS: [f"acme:osv:{NAME}:1"],
        RAW: ["raw:acme:3"],
        NOTES: [NAME],
        PART: [f"globex:osv:{NAME}:1"],
    }
    assert found(path, NAME) == found(path, NAME.lower()) == everywhere


@pytest.mark.parametrize(
    ("text", "by"),
    [
        ("CVE-2025-0003", "alias"),
        ("pkg:golang/example.com/y@3", "purl"),
        (f"globex:osv:{NAME}:1", "id"),
        (f"osv:{NAME}", "id"),
    ],
)
def test_other_names_are_shown_as_what_they_are(path: Path, text: str, by: str) -> None:
    items = find(path, text, "--json").json["matches"]["items"]
    assert [one["by"] for one in items] == [[by]] * len(items)
    assert f"globex:osv:{NAME}:1" in [one["id"] for one in items]


def test_an_id_that_is_no_text_is_shown_as_other_commands_take_it(path: Path) -> None:
    (one,) = find(path, "7", "--json").json["matches"]["items"]
    assert (one["id"], one["document"], one["tenant"]) == ({"$numberInt": "7"}, "7", None)


def test_the_table_has_a_row_for_each_document_and_says_what_was_not_done(path: Path) -> None:
    outcome = find(path, NAME)
    assert outcome.code == 0
    assert f"{PART}:\n" in outcome.out
    (row,) = [line for line in outcome.out.splitlines() if "globex" in line]
    assert row.split(None, 3) == [f"globex:osv:{NAME}:1", "globex", NAME, "_id, upstream id, alias"]
    assert outcome.out.endswith("4 documents of 34; not verified (kit verify)\n")


def test_a_limit_is_named_where_it_leaves_something_out_and_json_has_all_without_one(path: Path) -> None:
    outcome = find(path, "pkg:golang/example.com/y")
    assert outcome.out.count(":osv:") == 20
    assert "31 documents of 34; 11 more are not shown (--limit)" in outcome.out
    assert find(path, "pkg:golang/example.com/y", "--limit", 31).out.count(":osv:") == 31
    whole = find(path, "pkg:golang/example.com/y", "--json").json["matches"]
    assert (whole["total"], len(whole["items"])) == (31, 31)
    assert len(find(path, "pkg:golang/example.com/y", "--json", "--limit", 2).json["matches"]["items"]) == 2


def test_what_is_not_there_is_an_error(path: Path) -> None:
    find(path, "GO-2025").refused(1, "no document of 34 has 'GO-2025'")
    outcome = find(path, "GO-2025", "--json")
    assert (outcome.code, outcome.json["error"]["kind"]) == (1, "NotFoundError")
    find(path, " ").refused(64, "empty")


def test_the_result_does_not_depend_on_workers_or_container(path: Path, desk: Desk) -> None:
    folder = desk.kits / "unpacked"
    for name, data in kits.read(path).items():
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    assert found(folder, NAME, "--workers", 2).items() == found(path, NAME).items()


def test_a_document_that_may_be_meant_and_cannot_be_read_is_counted(desk: Desk) -> None:
    twice: Any = bson.encode(observation(1))[4:-1] + bson.encode({"tenant": "b"})[4:]
    broken = (len(twice) + 4).to_bytes(4, "little") + twice
    path = desk.kit({OBSERVATIONS: broken + bson.encode(observation(2))})
    find(path, kits.identifier(1)).refused(1, "1 that may have it cannot be read", "kit verify --deep")
    assert "cannot be read" not in find(path, kits.identifier(2)).out


def test_names_do_not_reach_the_terminal_as_they_are(desk: Desk) -> None:
    path = desk.kit(kits.content(observation(1, "\x1b[2Jx")))
    assert "\x1b" not in find(path, kits.identifier(1)).out

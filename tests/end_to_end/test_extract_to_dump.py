"""``kit extract --archive`` writes what ``mongorestore --archive`` reads: names, metadata and documents."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import bson
import pytest
from jsonschema import Draft202012Validator

from kit.dump import Described, Part, Prelude, Sort, read_dump
from kit.values import CollectionName, Limits
from tests import kits
from tests.commands import ROOT, Outcome, kit, subprocess_kit
from tests.dump.dumps import Dump, Name
from tests.end_to_end.desk import Desk
from tests.end_to_end.test_create_from_dump import (
    BUCKETS,
    FIRST,
    LONG,
    OBSERVATIONS,
    ODD,
    OTHER,
    SECOND,
    SERIES,
    SMALL,
    USERS,
    create,
)

SCHEMA = json.loads((ROOT / "schemas" / "extract-report.schema.json").read_text())


def extract(desk: Desk, path: Path, output: object, *options: object) -> Outcome:
    return kit("extract", path, *desk.trust("vendor"), "--workers", 1, "--archive", "--output", output, *options)


def read(data: bytes) -> tuple[Prelude, dict[Name, bytes]]:
    found: dict[Name, bytes] = {}
    prelude, *pieces = read_dump([data], Limits())
    assert isinstance(prelude, Prelude)
    for piece in pieces:
        if isinstance(piece, Part):
            name = (piece.name.database, piece.name.collection)
            found[name] = found.get(name, b"") + piece.run.data
    return prelude, found


def names(prelude: Prelude) -> set[Name]:
    return {(one.name.database, one.name.collection) for one in prelude.described}


@pytest.fixture
def path(desk: Desk, tmp_path: Path) -> Path:
    (tmp_path / "dump").write_bytes(SMALL.to_bytes())
    assert create(desk, tmp_path / "dump").code == 0
    return desk.kits / "new.tar"


@pytest.mark.parametrize(("name", "options"), [("out", ()), ("out", ("--gzip",)), ("out.gz", ())])
def test_what_came_from_a_dump_is_in_the_dump(
    name: str, options: tuple[str, ...], path: Path, desk: Desk, tmp_path: Path
) -> None:
    outcome = extract(desk, path, tmp_path / name, *options, "--json")
    assert outcome.code == 0, outcome
    Draft202012Validator(SCHEMA).validate(outcome.json)
    data, is_packed = (tmp_path / name).read_bytes(), bool(options) or name.endswith(".gz")
    assert (outcome.json["archive"], outcome.json["gzip"]) == (True, is_packed)
    assert {one["path"] for one in outcome.json["files"]} == {str(tmp_path / name)}
    prelude, found = read(gzip.decompress(data) if is_packed else data)
    assert found == {OBSERVATIONS: FIRST + SECOND, ODD: OTHER, USERS: OTHER}
    assert names(prelude) == found.keys()
    assert {one.metadata for one in prelude.described} == {'{"indexes":[]}'}
    assert (prelude.origin.server_version, prelude.origin.tool_version) == ("7.0.14", "100.10.0")


def test_a_dump_that_was_extracted_becomes_the_kit_that_it_was_extracted_from(desk: Desk, tmp_path: Path) -> None:
    dump = Dump(SMALL.names[:3], SMALL.blocks)
    (tmp_path / "plain").write_bytes(dump.to_bytes())
    assert create(desk, tmp_path / "plain", "first.tar").code == 0
    assert extract(desk, desk.kits / "first.tar", tmp_path / "again").code == 0
    assert create(desk, tmp_path / "again", "second.tar").code == 0
    assert (desk.kits / "first.tar").read_bytes() == (desk.kits / "second.tar").read_bytes()


def test_a_dump_goes_to_standard_output(path: Path, desk: Desk) -> None:
    run = subprocess_kit("extract", path, *desk.trust("vendor"), "--archive", "--output", "-", "--progress", "none")
    assert run.returncode == 0, run
    assert read(run.stdout)[1] == {OBSERVATIONS: FIRST + SECOND, ODD: OTHER, USERS: OTHER}


def test_a_dump_has_what_is_selected(path: Path, desk: Desk, tmp_path: Path) -> None:
    identity = bson.decode(SECOND)["_id"]
    chosen = ("--collection", "concelier.advisory_observations", "--id", identity)
    assert extract(desk, path, tmp_path / "out", *chosen).code == 0
    assert read((tmp_path / "out").read_bytes())[1] == {OBSERVATIONS: SECOND}
    extract(desk, path, tmp_path / "none", "--id", "other").refused(11, "other")
    assert not (tmp_path / "none").exists()


def test_time_series_and_names_that_were_cut_come_back(desk: Desk, tmp_path: Path) -> None:
    dump = Dump((SERIES, LONG), ((BUCKETS, (OTHER,)), (LONG, (FIRST,))), {SERIES: "timeseries"})
    stated = json.dumps({"collectionName": LONG[1]}).encode()
    (tmp_path / "dump").write_bytes(dump.to_bytes())
    assert create(desk, tmp_path / "dump", "unstated.tar").code == 0
    extract(desk, desk.kits / "unstated.tar", tmp_path / "x").refused(11, "is cut", "collectionName")

    files = kits.read(desk.kits / "unstated.tar")
    folder = tmp_path / "folder"
    for name, body in files.items():
        if not name.startswith("manifest/"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(stated if "long-" in name and name.endswith(".json") else body)
    assert create(desk, folder, "stated.tar").code == 0
    assert extract(desk, desk.kits / "stated.tar", tmp_path / "out").code == 0
    prelude, found = read((tmp_path / "out").read_bytes())
    assert found == {BUCKETS: OTHER, LONG: FIRST}
    series = CollectionName(database=SERIES[0], collection=SERIES[1])
    assert Described(name=series, metadata='{"indexes":[]}', sort=Sort.TIME_SERIES) in prelude.described
    assert names(prelude) == {SERIES, LONG}


def test_a_kit_that_does_not_state_a_server_gives_a_version_that_readers_parse(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "dump/concelier").mkdir(parents=True)
    (tmp_path / "dump/concelier/advisory_observations.bson").write_bytes(FIRST)
    assert create(desk, tmp_path / "dump").code == 0
    assert extract(desk, desk.kits / "new.tar", tmp_path / "out").code == 0
    prelude, found = read((tmp_path / "out").read_bytes())
    assert found == {OBSERVATIONS: FIRST}
    assert prelude.origin.server_version == "0.0.0"


@pytest.mark.parametrize(
    ("output", "options", "word"),
    [("out.bson", (), "one collection"), ("out", ("--format", "json"), "exclude each other")],
)
def test_what_a_dump_cannot_be_is_refused(
    output: str, options: tuple[str, ...], word: str, desk: Desk, tmp_path: Path
) -> None:
    (tmp_path / "dump").write_bytes(SMALL.to_bytes())
    assert create(desk, tmp_path / "dump").code == 0
    extract(desk, desk.kits / "new.tar", tmp_path / output, *options).refused(64, word)

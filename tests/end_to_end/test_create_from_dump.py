"""What ``mongodump --archive`` writes becomes the kit that the folder of the same database becomes."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import bson
import pytest
import zstandard

from tests import kits
from tests.commands import Outcome, kit
from tests.dump.dumps import Dump, Name
from tests.end_to_end.desk import Desk
from tests.kits import AT, observation

OBSERVATIONS: Name = ("concelier", "advisory_observations")
ODD: Name = ("concelier", "b/c %")
USERS: Name = ("admin", "system.users")
OPLOG: Name = ("", "oplog")
VIEW: Name = ("concelier", "view")
SERIES: Name = ("concelier", "series")
BUCKETS: Name = ("concelier", "system.buckets.series")
LONG: Name = ("concelier", "long-" + "é" * 120)
FIRST, SECOND = (bson.encode(observation(number)) for number in (1, 2))
OTHER = bson.encode({"_id": 7})


def create(desk: Desk, source: Path, name: str = "new.tar") -> Outcome:
    words = ("--bundle-id", "small", "--signing-key", desk.keys / "vendor", "--created-at", AT, "--workers", 1)
    return kit("create", source, "--output", desk.kits / name, *words)


def written(folder: Path, dump: Dump, pack: Any = bytes) -> Path:
    path = folder / "the dump"
    path.write_bytes(pack(dump.to_bytes()))
    return path


SMALL = Dump(
    (OBSERVATIONS, ODD, USERS, VIEW),
    ((OBSERVATIONS, (FIRST,)), (ODD, (OTHER,)), (OBSERVATIONS, (SECOND,)), (USERS, (OTHER,))),
    {VIEW: "view"},
)
FILES = {
    "prelude.json": b'{"ServerVersion": "7.0.14", "ToolVersion": "100.10.0"}',
    "concelier/advisory_observations.bson": FIRST + SECOND,
    "concelier/advisory_observations.metadata.json": b'{"indexes":[]}',
    "concelier/b%2Fc%20%25.bson": OTHER,
    "concelier/b%2Fc%20%25.metadata.json": b'{"indexes":[]}',
    "concelier/view.metadata.json": b'{"indexes":[]}',
    "admin/system.users.bson": OTHER,
    "admin/system.users.metadata.json": b'{"indexes":[]}',
}


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstandard.compress], ids=["plain", "gzip", "zstd"])
def test_a_dump_and_its_folder_become_the_same_kit(pack: Any, desk: Desk, tmp_path: Path) -> None:
    assert create(desk, written(tmp_path, SMALL, pack)).code == 0
    folder = tmp_path / "folder"
    for name, data in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    assert create(desk, folder, "other.tar").code == 0
    assert (desk.kits / "new.tar").read_bytes() == (desk.kits / "other.tar").read_bytes()
    assert desk.verify(desk.kits / "new.tar", "vendor", options=("--deep",)).code == 0
    assert {item.name for item in desk.kits.iterdir()} >= {"new.tar", "new.tar.sha256", "new.tar.sig"}
    assert not list(desk.kits.glob("*.kit-build*"))


def test_the_order_of_blocks_is_no_part_of_the_kit(desk: Desk, tmp_path: Path) -> None:
    first, other, second, users = SMALL.blocks
    made = []
    for name, blocks in (("a.tar", SMALL.blocks), ("b.tar", (users, first, second, other))):
        assert create(desk, written(tmp_path, Dump(SMALL.names, blocks, SMALL.sorts)), name).code == 0
        made.append((desk.kits / name).read_bytes())
    assert made[0] == made[1]


def test_oplog_views_time_series_and_long_names_are_carried(desk: Desk, tmp_path: Path) -> None:
    dump = Dump(
        (OBSERVATIONS, OPLOG, VIEW, SERIES, LONG),
        ((OPLOG, (OTHER,)), (VIEW, (OTHER,)), (BUCKETS, (OTHER, OTHER)), (LONG, (FIRST,))),
        {VIEW: "view", SERIES: "timeseries"},
    )
    data = dump.to_bytes()
    (tmp_path / "dump").write_bytes(data)
    outcome = create(desk, tmp_path / "dump")
    assert outcome.code == 0, outcome
    found = kits.read(desk.kits / "new.tar")
    cut = [name for name in found if "long-" in name and name.endswith(".bson")]
    assert len(cut) == 1
    assert len(cut[0].partition("/")[2]) == 238 + len(".bson")
    assert {name: body for name, body in found.items() if name.endswith(".bson")} == {
        "concelier/advisory_observations.bson": b"",
        "oplog.bson": OTHER,
        "concelier/view.bson": OTHER,
        "concelier/system.buckets.series.bson": OTHER + OTHER,
        cut[0]: FIRST,
    }


@pytest.mark.parametrize(
    ("damage", "code", "word"),
    [
        (lambda data: data[:-3], 9, "cut"),
        (lambda data: data + b"\0", 9, "cut"),
        (lambda data: data.replace(b"GO-2025-0002", b"GO-2025-0003", 1), 9, "CRC"),
        (lambda data: data.replace(FIRST, FIRST[:-1] + b"x"), 11, "document 0"),
        (lambda data: data.replace(b"\x02db\0\x0a\0\0\0concelier\0", b"\x02db\0\x0a\0\0\0../elsew/\0"), 9, "slash"),
        (lambda data: gzip.compress(data)[:-6], 9, "gzip"),
    ],
)
def test_a_dump_that_is_none_leaves_nothing(damage: Any, code: int, word: str, desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "dump").write_bytes(damage(SMALL.to_bytes()))
    outcome = create(desk, tmp_path / "dump")
    outcome.refused(code, str(tmp_path / "dump"), word)
    assert not list(desk.kits.glob("new.tar*"))
    assert sorted(item.name for item in tmp_path.iterdir() if "elsew" in item.name) == []

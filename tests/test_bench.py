from __future__ import annotations

import json
from pathlib import Path

import bson
import pytest
import zstandard

from benchmarks import floor, kits, patches as bench, peer, table
from kit.archive.read.reader import open_kit
from kit.documents import runs
from kit.engine.lookup import EmptyLookup
from kit.transforms.raw_linkset.transform import RawLinkset
from kit.values import CollectionName, Limits

LEFT = f"{kits.SMALL}.bson"


def test_the_peer_derives_what_the_toolkit_derives() -> None:
    made = [kits.template(record, n)[0] for n, record in enumerate(kits.load_records(300))]
    name = CollectionName(database="concelier", collection="advisory_observations")
    changes = RawLinkset().apply(name, made, EmptyLookup(), 0)
    for before, change in zip(made, changes, strict=True):
        assert change.document is not None
        assert bson.decode(change.document)["rawLinkset"] == peer.raw_linkset(bson.decode(before))


def test_what_is_measured_is_a_patch_of_every_kind_of_kit() -> None:
    kinds = {(case.source, case.container, case.member) for case in bench.CASES}
    assert {"content", "snapshot", kits.SECOND, kits.ENCRYPT} <= {source for source, _, _ in kinds}
    assert {("tar.zst", ""), ("tar.zst", ".zst"), ("tar.zst", ".gz"), ("tar.gz", "")} <= {kind[1:] for kind in kinds}


@pytest.mark.slow
def test_a_kit_for_a_second_patch_lacks_only_what_was_left(tmp_path: Path) -> None:
    kit, size = bench.Desk(folder=tmp_path, runs=1).make(kits.Case(source=kits.SECOND), 300)
    total, lacking = 0, dict[str, int]()
    with open_kit(kit, limits=Limits()) as reader:
        for member, body in reader.members():
            if member.path is not None and member.path.text.endswith(".bson"):
                for run in runs(body, limits=Limits()):
                    documents = list(run)
                    total += sum(map(len, documents))
                    lacking[member.path.text] = sum("rawLinkset" not in bson.decode(one) for one in documents)
    assert lacking == {f"{kits.FOLDER}/advisory_observations.bson": 0, LEFT: kits.SMALL_COUNT}
    assert total > size


@pytest.mark.slow
def test_observations_of_a_wanted_size_are_of_that_size_on_average(tmp_path: Path) -> None:
    case = kits.Case(source="content", average=4000)
    size = bench.Desk(folder=tmp_path, runs=1).make(case, 2000)[1]
    assert 3700 < size / 2000 <= 4050


@pytest.mark.slow
def test_a_measurement_becomes_a_row_and_a_plot(tmp_path: Path) -> None:
    desk = bench.Desk(folder=tmp_path, runs=1)
    case = kits.Case(source=kits.SECOND, container="tar.gz")
    kit, size = desk.make(case, 300)
    rows = desk.measure(case, kit, 300, 1)
    result = bench.summary(case, observations=300, size=size, workers=1, stored=kit.stat().st_size, rows=rows)
    facts = {"command": "c", "machine": "m", "cores": 1, "python": "3", "core": "core 0.1.0", "load": 0.0, "runs": 1}
    assert "| second patch, 100 left, tar.gz | 300 | 1 |" in table.markdown(
        json.loads(json.dumps({**facts, "results": [result]}))
    )
    from benchmarks import plot  # noqa: PLC0415  its library takes a second to import, in every process of the tests

    plot.plot([result, {**result, "observations": 600}], tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


def test_the_floor_is_of_the_bytes_of_two_archives(tmp_path: Path) -> None:
    kit = tmp_path / "kit.tar.zst"
    kit.write_bytes(zstandard.compress(bytes(1000)))
    assert b"".join(floor.decoded(kit)) == bytes(1000)
    found = dict(floor.steps(kit, kit))
    assert len(found) == 7
    assert min(found.values()) >= 0

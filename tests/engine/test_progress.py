"""What a pass tells while it runs: all of it, in the order of the kit, the same for any number of workers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from kit.archive.read.reader import open_kit
from kit.engine.executors import InlineExecutor, local_executor
from kit.engine.pipeline import Pipeline
from kit.engine.progress import Advanced, BatchDone, Event, PassDone, PassStarted, Stage, watch_pass
from kit.engine.survey import survey
from kit.errors import StoppedError
from kit.transforms.raw_linkset import RawLinkset
from kit.values import Limits, Timestamp
from kit.verbs.patch.patch import Output, PatchRequest, patch, plan
from kit.verbs.verify.kits import Environment
from tests.end_to_end.desk import key
from tests.kits import OBSERVATIONS, SNAPSHOTS, signed, small_files, write_kit

AT = Timestamp.parse("2026-01-02T03:04:05Z")


@dataclass
class Heard:
    events: list[Event] = field(default_factory=list)

    def tell(self, event: Event) -> None:
        self.events.append(event)

    def of(self, stage: Stage) -> list[Event]:
        """Give the events of the last pass of this stage: one before it was begun in vain."""
        found = [event for event in self.events if event.stage is stage]
        return found[max((at for at, event in enumerate(found) if isinstance(event, PassStarted)), default=0) :]

    def batches(self) -> list[BatchDone]:
        """Give the batches without how far the reader was ahead of them."""
        return [replace(event, read=0) for event in self.events if isinstance(event, BatchDone)]


@pytest.fixture(params=["kit.tar", "kit.tar.zst", "kit.tar.gz", "folder"])
def kit(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return write_kit(tmp_path / request.param, signed(small_files(50), key("vendor")))


def request_for(kit: Path, told: Heard, workers: int = 1) -> PatchRequest:
    environment = Environment(workers=workers, progress=told, batch_documents=10)
    vendor = key("vendor").public
    return PatchRequest(
        kit=kit,
        transforms=(RawLinkset(),),
        trusted={vendor.key_id: vendor},
        created_at=AT,
        environment=environment,
    )


def test_a_patch_tells_every_document_once_in_the_order_of_the_kit(kit: Path, tmp_path: Path) -> None:
    heard = Heard()
    report = patch(request_for(kit, heard), Output(path=tmp_path / "out", key=key("site")))
    rewritten = [event for event in heard.of(Stage.REWRITE) if isinstance(event, BatchDone)]
    assert [event.member for event in rewritten] == [member.text for member in report.rewrite.members]
    told: Counter[tuple[str, str, str]] = Counter()
    for event in rewritten:
        told.update(event.outcomes)
    assert told == report.rewrite.outcomes
    assert sum(event.documents for event in rewritten) == sum(told.values())
    # The second pass, which carries the collection that was complete already, looks at the changed ones alone.
    carried = [event.member for event in heard.of(Stage.CARRY) if isinstance(event, BatchDone)]
    assert carried == [OBSERVATIONS]


def test_passes_begin_and_end_in_turn_and_say_how_much_there_is_to_read(kit: Path) -> None:
    heard = Heard()
    plan(request_for(kit, heard))
    stages = [Stage.SURVEY, Stage.REWRITE, Stage.CARRY]
    for stage in stages:
        first, *_, last = heard.of(stage)
        assert isinstance(first, PassStarted)
        assert isinstance(last, PassDone)
        assert first.total == (
            kit.stat().st_size if kit.is_file() else sum(p.stat().st_size for p in kit.rglob("*") if p.is_file())
        )
        assert last.documents == sum(event.documents for event in heard.of(stage) if isinstance(event, BatchDone))
    assert list(dict.fromkeys(event.stage for event in heard.events)) == stages


@pytest.mark.parametrize("kit", ["kit.tar.zst"], indirect=True)
def test_batches_do_not_depend_on_the_number_of_workers(kit: Path) -> None:
    one, two = Heard(), Heard()
    plan(request_for(kit, one))
    plan(request_for(kit, two, workers=2))
    assert one.batches() == two.batches() != []


def test_a_pass_that_looks_at_no_document_tells_the_bytes_it_has_read(kit: Path) -> None:
    heard = Heard()
    with (
        open_kit(kit, limits=Limits()) as reader,
        watch_pass(
            heard, Stage.SURVEY, reader, Pipeline(InlineExecutor(), budget=1 << 20), advance_bytes=4096
        ) as pipeline,
    ):
        found = survey(reader, pipeline, keep=lambda _: False, count=lambda _: False)
    started, *advanced, done = heard.events
    assert isinstance(started, PassStarted)
    assert isinstance(done, PassDone)
    assert done.bytes == sum(size for _, size in found.members.values())
    reads = [event.read for event in advanced if isinstance(event, Advanced)]
    assert len(reads) == len(advanced) > 1
    assert reads == sorted(reads)
    assert 0 < reads[-1] <= (started.total or 0)


class Counted:
    documents = 3

    def __init__(self, _: int) -> None:
        pass


@pytest.mark.parametrize("sizes", [[4, 4, 4, 4], [1]], ids=["several batches", "less than one"])
def test_a_batch_ends_with_the_run_that_fills_it_and_with_its_member(sizes: Sequence[int], tmp_path: Path) -> None:
    heard = Heard()
    path = write_kit(tmp_path / "kit.tar", {"a": b""})
    with (
        open_kit(path, limits=Limits()) as reader,
        watch_pass(heard, Stage.SURVEY, reader, Pipeline(InlineExecutor(), budget=100), batch_documents=6) as pipeline,
    ):
        for member in ("x", "y"):
            for size in sizes:
                pipeline.submit(Counted, size, cost=size, then=lambda _: None, where=member)
            pipeline.submit(int, 0, cost=50, then=lambda _: None, where="carried")
    found = [(batch.member, batch.documents, batch.bytes) for batch in heard.batches()]
    assert found == (
        [("x", 6, 8), ("x", 6, 8), ("y", 6, 8), ("y", 6, 8)] if len(sizes) > 1 else [("x", 3, 1), ("y", 3, 1)]
    )


def test_a_pass_that_fails_is_not_told_as_done_and_the_reader_is_left_alone(tmp_path: Path) -> None:
    heard = Heard()
    path = write_kit(tmp_path / "kit.tar", {"a": b""})
    with open_kit(path, limits=Limits()) as reader:
        with (
            pytest.raises(StoppedError),
            watch_pass(heard, Stage.SURVEY, reader, Pipeline(InlineExecutor(), budget=100)),
        ):
            raise StoppedError("x")
        assert reader.watch is None
    assert [type(event) for event in heard.events] == [PassStarted]


def test_the_peaks_of_the_queue_are_within_the_budget() -> None:
    with local_executor(2) as pool, Pipeline(pool, budget=100) as pipeline:
        for _ in range(50):
            pipeline.submit(abs, -1, cost=30, then=lambda _: None)
    assert 1 <= pipeline.peak_pieces <= 3
    assert pipeline.peak_bytes == 30 * pipeline.peak_pieces


def test_snapshots_are_told_while_they_are_gathered(tmp_path: Path) -> None:
    heard = Heard()
    path = write_kit(tmp_path / "kit.tar", signed(small_files(5), key("vendor")))
    plan(request_for(path, heard))
    assert SNAPSHOTS in [event.member for event in heard.of(Stage.SURVEY) if isinstance(event, BatchDone)]

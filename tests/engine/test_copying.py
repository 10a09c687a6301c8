"""The second patch of a kit that this program wrote: what stays is copied as it is stored, and still proven."""

from __future__ import annotations

import random
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

import pytest

from kit.archive.frames import Frame
from kit.archive.read.reader import open_kit
from kit.archive.write.tar import Slot
from kit.engine.executors import InlineExecutor, WorkExecutor
from kit.engine.pipeline import Pipeline
from kit.engine.reading import Survey
from kit.engine.rewrite import Request, rewrite
from kit.engine.survey import survey
from kit.errors import DigestError
from kit.transforms.raw_linkset import RawLinkset
from kit.values import Codec, Limits, MemberPath
from tests.archive.building import archive_in
from tests.engine.test_rewrite import AT, IDLE, run
from tests.kits import OBSERVATIONS, contents, small_files, write_kit

T = TypeVar("T")
NOISE = random.Random(3).randbytes(5 << 20)  # noqa: S311  no secret
FILES = small_files() | {"images/noise": NOISE}
SUFFIXES = {"kit.tar.zst": Codec.ZSTD, "kit.tar.gz": Codec.GZIP}
every_suffix = pytest.mark.parametrize("name", SUFFIXES, ids=lambda name: name.removeprefix("kit."))


@pytest.fixture
def own(tmp_path: Path, name: str) -> Path:
    """Give a kit that this program wrote, with observations that lack what a patch adds."""
    foreign = write_kit(tmp_path / name, FILES)
    return run(foreign, tmp_path / "first", leave=[OBSERVATIONS, IDLE]).output.rename(tmp_path / f"own-{name}")


class Counting(WorkExecutor):
    """Works at once, and counts what was asked for."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self._inline = InlineExecutor()

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        self.calls.append(fn.__name__)
        return self._inline.submit(fn, *args, **kwargs)


@every_suffix
def test_nothing_that_stays_is_compressed_again(own: Path, name: str, tmp_path: Path) -> None:
    executor = Counting()
    output = second(own, tmp_path / "job", executor, codec=SUFFIXES[name])
    assert executor.calls == ["transform_run"]
    assert {path for path, data in contents(output).items() if data != FILES[path]} == {OBSERVATIONS}
    assert frames_of(own)["images/noise"] in output


@every_suffix
def test_the_bytes_do_not_depend_on_the_workers(own: Path, tmp_path: Path) -> None:
    outputs = {
        run(own, tmp_path / f"job-{workers}", workers=workers, leave=[IDLE]).output.read_bytes() for workers in (1, 2)
    }
    assert len(outputs) == 1


@every_suffix
def test_a_copy_of_a_copy_is_the_same_archive(own: Path, tmp_path: Path) -> None:
    again = run(own, tmp_path / "job", leave=[OBSERVATIONS, IDLE]).output
    assert again.read_bytes() == own.read_bytes()


@every_suffix
def test_a_frame_that_was_damaged_since_it_was_read_is_refused(own: Path, tmp_path: Path) -> None:
    data = bytearray(own.read_bytes())
    data[data.index(frames_of(own)["images/noise"]) + 1000] ^= 1
    with pytest.raises(DigestError, match="the kit changed while it was being read"):
        run(own, tmp_path / "job", leave=[IDLE], between=lambda: own.write_bytes(data))


@every_suffix
@pytest.mark.parametrize("patches", [1, 2], ids=["compressed", "copied"])
def test_what_was_written_is_known_when_it_is_read_back(own: Path, name: str, patches: int, tmp_path: Path) -> None:
    kit = own if patches > 1 else write_kit(tmp_path / name, FILES)
    destination = archive_in(tmp_path, codec=SUFFIXES[name], proves=True)
    with open_kit(kit, limits=Limits()) as reader:
        pipeline = Pipeline(InlineExecutor(), budget=1 << 20)
        found = survey(reader, pipeline, keep=lambda _: False, count=lambda _: False)
        request = Request(transforms=(RawLinkset(),), lookup=None, created_at=AT, leave=frozenset({MemberPath(IDLE)}))
        done = rewrite(reader, found, destination, pipeline, request)
    path = destination.assemble()
    made = {one: (change.sha256, change.size) for one, change in done.members.items() if change.sha256 is not None}
    digests = found.members | made
    proven = destination.proven(digests)
    with open_kit(path, limits=Limits()) as reader:
        decoded = {str(member.path): sum(map(len, body)) for member, body in reader.members(proven=proven)}
        again = survey(reader, pipeline, keep=lambda _: False, count=lambda _: False, proven=proven)
        plain = survey(reader, pipeline, keep=lambda _: False, count=lambda _: False)
    # Its first frame holds its header, too.
    assert set(proven.bodies) == {MemberPath("images/noise")}
    assert decoded["images/noise"] < len(NOISE)
    assert again.members == plain.members == digests


@pytest.mark.slow
@every_suffix
def test_a_run_that_is_interrupted_while_it_copies_goes_on_to_the_same_bytes(
    own: Path, name: str, tmp_path: Path
) -> None:
    whole = second(own, tmp_path / "whole", InlineExecutor(), codec=SUFFIXES[name])
    for frames in range(1, 8):
        job = tmp_path / f"job-{frames}"
        with pytest.raises(KeyboardInterrupt):
            second(own, job, InlineExecutor(), codec=SUFFIXES[name], frames=frames)
        assert second(own, job, InlineExecutor(), codec=SUFFIXES[name]) == whole


def second(kit: Path, job: Path, executor: WorkExecutor, *, codec: Codec, frames: int | None = None) -> bytes:
    """Patch a kit, or go on with that; after so many frames, be interrupted."""
    job.mkdir(exist_ok=True)
    destination = archive_in(job, codec=codec)
    add, left = destination.add, [frames]

    def interrupted(slot: Slot, frame: Frame, *, piece: bool = False) -> None:
        add(slot, frame, piece=piece)
        if left[0] is not None:
            left[0] -= 1
            if not left[0]:
                raise KeyboardInterrupt

    destination.add = interrupted  # type: ignore[method-assign]
    try:
        with open_kit(kit, limits=Limits()) as reader:
            with Pipeline(executor, budget=1 << 20) as pipeline:
                found: Survey = survey(reader, pipeline, keep=lambda _: False, count=lambda _: False)
            request = Request(
                transforms=(RawLinkset(),), lookup=None, created_at=AT, leave=frozenset({MemberPath(IDLE)})
            )
            with Pipeline(executor, budget=1 << 20) as pipeline:
                rewrite(reader, found, destination, pipeline, request)
        return destination.assemble().read_bytes()
    except KeyboardInterrupt:
        destination._spool.sync()
        raise
    finally:
        destination.release()


def frames_of(archive: Path) -> dict[str, bytes]:
    """Give what is stored of each member, if that is whole frames."""
    found = {}
    with open_kit(archive, limits=Limits()) as reader:
        paths = [str(member.path) for member, _ in reader.members()]
        layout = reader.layout()
        assert layout is not None
        data = archive.read_bytes()
        for number, path in enumerate(paths):
            (stretch,) = layout.stretches([at == number for at in range(len(paths))])
            start = sum(layout.sizes[: stretch.first])
            found[path] = data[start : start + sum(layout.sizes[stretch.first : stretch.end])]
    return found

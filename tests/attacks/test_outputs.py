"""What is written is for nobody who could not get at what it is made of, whatever the umask; not for a moment."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from kit.engine.progress import Event, PassStarted
from kit.signing import Algorithm, generate
from kit.transforms.raw_linkset import RawLinkset
from kit.values import Timestamp
from kit.verbs.delta.apply import DeltaApplyRequest, apply_delta
from kit.verbs.delta.build import DeltaBuildRequest, build_delta
from kit.verbs.patch.patch import Output, PatchRequest, patch
from kit.verbs.rollback import RollbackRequest, rollback
from kit.verbs.verify.kits import Environment
from kit.verbs.verify.obligations import Expectation
from tests.kits import MANIFEST, OBSERVATIONS, collection, observation, signed, write_kit

KEY = generate(Algorithm.ES256)
TRUSTED = {KEY.public.key_id: KEY.public}
AT = Timestamp.parse("2026-01-02T03:04:05Z")
ONE = Environment(workers=1)


@pytest.fixture(autouse=True)
def open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def kit(path: Path, mode: int, *, complete: bool = False, generation: int = 0) -> Path:
    more: dict[str, object] = {"rawLinkset": {}} if complete else {}
    files = {"docs/readme.txt": b"read me\n", OBSERVATIONS: collection([observation(1) | more])}
    write_kit(path, signed(files, KEY, generation=generation))
    path.chmod(mode)
    return path


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def modes_in(folder: Path) -> dict[str, int]:
    return {path.relative_to(folder).as_posix(): mode_of(path) for path in folder.rglob("*")}


def run(path: Path, out: Path | None, environment: Environment = ONE) -> None:
    request = PatchRequest(
        kit=path, transforms=(RawLinkset(),), trusted=TRUSTED, created_at=AT, environment=environment
    )
    patch(request, Output(path=out, key=KEY))


@pytest.mark.parametrize("complete", ["", "complete"])
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644, 0o755])
def test_an_archive_and_what_is_beside_it_are_for_whom_the_kit_is(mode: int, complete: str, tmp_path: Path) -> None:
    path, out = kit(tmp_path / "kit.tar.zst", mode, complete=bool(complete)), tmp_path / "out.tar.zst"
    run(path, out)
    written = [item for item in tmp_path.iterdir() if item != path]
    assert len(written) == 2 + (not complete)
    assert {mode_of(item) for item in written} == {mode & 0o666}


def test_the_umask_still_takes_away(tmp_path: Path) -> None:
    path, out = kit(tmp_path / "kit.tar.zst", 0o644), tmp_path / "out.tar.zst"
    os.umask(0o077)
    run(path, out)
    assert {mode_of(item) for item in tmp_path.iterdir() if item != path} == {0o600}


def test_in_place_the_mode_stays_and_what_is_put_beside_is_no_wider(tmp_path: Path) -> None:
    path = kit(tmp_path / "kit.tar.zst", 0o640)
    run(path, None)
    assert {mode_of(item) for item in tmp_path.iterdir()} == {0o640}
    rollback(RollbackRequest(kit=path, trusted=TRUSTED, environment=ONE))
    assert {mode_of(item) for item in tmp_path.iterdir()} == {0o640}


@pytest.mark.parametrize("complete", ["", "complete"])
def test_a_folder_and_all_in_it_are_for_whom_it_was(complete: str, tmp_path: Path) -> None:
    path, out = kit(tmp_path / "kit", 0o700, complete=bool(complete)), tmp_path / "out"
    for item in path.rglob("*"):
        item.chmod(0o750 if item.is_dir() else 0o640)
    (path / "docs/readme.txt").chmod(0o750)
    (path / MANIFEST).chmod(0o600)
    run(path, out)
    before, after = modes_in(path), modes_in(out)
    assert mode_of(out) == 0o700
    assert {name: after[name] for name in before} == before
    # New files are for whom the manifest is for; new folders for whom the kit is for.
    assert {mode for name, mode in after.items() if name not in before} == (set() if complete else {0o600, 0o700})


def test_a_delta_is_for_who_may_read_both_and_what_it_makes_for_who_may_read_it_and_the_base(tmp_path: Path) -> None:
    base, target = kit(tmp_path / "base.tar", 0o644), kit(tmp_path / "target.tar", 0o640, complete=True, generation=1)
    delta, expectation = tmp_path / "d.delta", Expectation(trusted=TRUSTED)
    request = DeltaBuildRequest(
        base=base,
        target=target,
        output=delta,
        key=KEY,
        expectation=expectation,
        created_at=AT,
        environment=ONE,
    )
    build_delta(request)
    assert mode_of(delta) == mode_of(delta.with_name("d.delta.sha256")) == 0o640
    out = tmp_path / "out.tar"
    apply_delta(DeltaApplyRequest(base=base, delta=delta, expectation=expectation, output=out, environment=ONE))
    assert mode_of(out) == mode_of(out.with_name("out.tar.sha256")) == 0o640


def test_a_folder_that_a_delta_makes_is_no_wider_than_the_folder_it_is_made_of(tmp_path: Path) -> None:
    base, target = kit(tmp_path / "base", 0o700), kit(tmp_path / "target", 0o755, complete=True, generation=1)
    for item in base.rglob("*"):
        item.chmod(0o700 if item.is_dir() else 0o600)
    expectation = Expectation(trusted=TRUSTED)
    request = DeltaBuildRequest(
        base=base,
        target=target,
        output=tmp_path / "d.delta",
        key=KEY,
        expectation=expectation,
        created_at=AT,
        environment=ONE,
    )
    build_delta(request)
    out = tmp_path / "out"
    apply_delta(
        DeltaApplyRequest(base=base, delta=tmp_path / "d.delta", expectation=expectation, output=out, environment=ONE)
    )
    assert mode_of(out) == 0o700
    assert not any(mode & 0o077 for mode in modes_in(out).values())


class Watcher:
    """Looks at everything that is there whenever a pass begins."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.widest = 0

    def tell(self, event: Event) -> None:
        if isinstance(event, PassStarted):
            for path in self._folder.glob("*.kit-job/*"):
                self.widest |= mode_of(path) if path.name != "lookup" else 0  # SQLite makes it; the folder is 0700
            for job in self._folder.glob("*.kit-job"):
                self.widest |= mode_of(job)


@pytest.mark.parametrize("name", ["kit.tar.zst", "kit"])
def test_nothing_is_wider_for_a_moment(name: str, tmp_path: Path) -> None:
    path = kit(tmp_path / name, 0o700 if name == "kit" else 0o600)
    for item in path.rglob("*"):
        item.chmod(0o700 if item.is_dir() else 0o600)
    watcher = Watcher(tmp_path)
    run(path, tmp_path / "out", Environment(workers=1, progress=watcher))
    assert watcher.widest
    assert not watcher.widest & 0o077

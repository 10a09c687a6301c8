"""Publishing and replacing: nothing is overwritten, nothing mismatches. Crashes at each step: tests/faults."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from kit.archive.read.reader import open_kit
from kit.archive.write.copies import Verified, copy_kit
from kit.errors import OutputError, UsageError
from kit.output.commit import finish, perform, put_back
from kit.output.job import Job
from kit.output.paths import backup_path, path_next_to, require_free
from kit.output.switch import Switch, checksum_line, has_begun, require_backup_free, stage
from kit.values import Limits, MemberPath, Sha256
from tests.kits import tar, write_kit

OLD, NEW = b"the old archive", b"the new archive"
NEW_SIDECARS = {".sha256": checksum_line(Sha256.of(NEW), "kit.tar"), ".sig": b"new signature\n"}
OUTPUT_SIDECARS = NEW_SIDECARS | {".sha256": checksum_line(Sha256.of(NEW), "out.tar")}
BACKUP_SUM = checksum_line(Sha256.of(OLD), "kit.tar.bak")


@pytest.fixture
def kit(tmp_path: Path) -> Path:
    path = tmp_path / "kit.tar"
    path.write_bytes(OLD)
    return path


def work_in(job: Job) -> Path:
    work = job.folder / "archive"
    work.write_bytes(NEW)
    return work


def publish(work: Path, target: Path, sidecars: dict[str, bytes]) -> None:
    new = Sha256.of(work.read_bytes()) if work.is_file() else None
    perform(stage(work, target, sidecars, new=new))


def replace(work: Path, kit: Path, sidecars: dict[str, bytes], *, keep_backup: bool) -> None:
    new, old = (Sha256.of(path.read_bytes()) if path.is_file() else None for path in (work, kit))
    perform(stage(work, kit, sidecars, new=new, old=old, in_place=True, keep_backup=keep_backup))


def names(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_while_there_is_a_job_a_second_one_on_the_same_kit_is_refused(kit: Path) -> None:
    with Job(kit), pytest.raises(OutputError, match="an earlier run on this kit was interrupted") as caught, Job(kit):
        pass
    assert "--resume" in caught.value.hint
    assert not Job(kit).exists


def test_a_job_folder_is_nobody_elses_business_and_goes_with_the_job(kit: Path) -> None:
    with Job(kit) as job:
        assert stat.S_IMODE(job.folder.stat().st_mode) == 0o700
        (job.folder / "locked").mkdir()
        (job.folder / "locked" / "file").write_bytes(b"x")
        (job.folder / "locked").chmod(0o500)
    assert [path.name for path in kit.parent.iterdir()] == ["kit.tar"]


def test_a_job_in_a_folder_that_is_not_there_is_an_output_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="No such file"), Job(tmp_path / "missing" / "kit"):
        pass


@pytest.mark.parametrize("path", [".", "..", "a/.."])
def test_a_target_without_a_name_of_its_own_is_refused(path: str) -> None:
    for refused in (Job, backup_path, require_free):
        with pytest.raises(UsageError, match="no name of its own"):
            refused(Path(path))


def test_an_archive_is_published_with_what_stands_beside_it(kit: Path, tmp_path: Path) -> None:
    with Job(kit) as job:
        publish(work_in(job), tmp_path / "out.tar", NEW_SIDECARS)
    found = names(tmp_path)
    assert found == {
        "kit.tar": OLD,
        "out.tar": NEW,
        "out.tar.sha256": NEW_SIDECARS[".sha256"],
        "out.tar.sig": NEW_SIDECARS[".sig"],
    }


@pytest.mark.parametrize("taken", ["out.tar", "out.tar.sha256", "out.tar.sig"])
def test_publishing_never_overwrites(kit: Path, tmp_path: Path, taken: str) -> None:
    (tmp_path / taken).write_bytes(b"mine")
    with Job(kit) as job, pytest.raises(OutputError, match=f"{taken}: already exists"):
        publish(work_in(job), tmp_path / "out.tar", NEW_SIDECARS)
    assert names(tmp_path) == {"kit.tar": OLD, taken: b"mine"}


def test_a_dangling_link_is_in_the_way_too(tmp_path: Path) -> None:
    (tmp_path / "out").symlink_to("nowhere")
    with pytest.raises(OutputError, match="already exists"):
        require_free(tmp_path / "out")


def test_a_name_too_long_for_what_stands_beside_it_leaves_nothing(kit: Path, tmp_path: Path) -> None:
    target = tmp_path / ("n" * 250)
    with Job(kit) as job, pytest.raises(OutputError, match="File name too long"):
        publish(work_in(job), target, NEW_SIDECARS)
    assert names(tmp_path) == {"kit.tar": OLD}


def test_replacing_keeps_the_old_kit_with_its_signature_and_a_checksum_of_its_own_name(kit: Path) -> None:
    kit.with_name("kit.tar.sig").write_bytes(b"old signature\n")
    kit.with_name("kit.tar.sha256").write_bytes(checksum_line(Sha256.of(OLD), "kit.tar"))
    with Job(kit) as job:
        replace(work_in(job), kit, NEW_SIDECARS, keep_backup=True)
    assert names(kit.parent) == {
        "kit.tar": NEW,
        "kit.tar.sha256": NEW_SIDECARS[".sha256"],
        "kit.tar.sig": NEW_SIDECARS[".sig"],
        "kit.tar.bak": OLD,
        "kit.tar.bak.sha256": checksum_line(Sha256.of(OLD), "kit.tar.bak"),
        "kit.tar.bak.sig": b"old signature\n",
    }


def test_without_a_new_signature_the_old_one_does_not_stay_beside_the_new_kit(kit: Path) -> None:
    kit.with_name("kit.tar.sig").write_bytes(b"old signature\n")
    with Job(kit) as job:
        replace(work_in(job), kit, {".sha256": b"sum"}, keep_backup=False)
    assert names(kit.parent) == {"kit.tar": NEW, "kit.tar.sha256": b"sum"}


@pytest.mark.parametrize("taken", ["kit.tar.bak", "kit.tar.bak.sha256", "kit.tar.bak.sig"])
def test_replacing_never_overwrites_an_older_backup(kit: Path, taken: str) -> None:
    kit.with_name(taken).write_bytes(b"older")
    with Job(kit) as job, pytest.raises(OutputError, match="already exists"):
        replace(work_in(job), kit, NEW_SIDECARS, keep_backup=True)
    assert names(kit.parent) == {"kit.tar": OLD, taken: b"older"}


def test_a_second_name_of_the_very_kit_is_no_older_backup(kit: Path) -> None:
    os.link(kit, backup_path(kit))
    require_backup_free(kit)
    with Job(kit) as job:
        replace(work_in(job), kit, {}, keep_backup=True)
    assert names(kit.parent) == {"kit.tar": NEW, "kit.tar.bak": OLD, "kit.tar.bak.sha256": BACKUP_SUM}


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664])
def test_who_may_read_and_write_the_kit_stays_the_same(kit: Path, mode: int) -> None:
    kit.chmod(mode)
    if os.geteuid() == 0:
        os.chown(kit, 12345, 23456)
    owner = (kit.stat().st_uid, kit.stat().st_gid)
    with Job(kit) as job:
        replace(work_in(job), kit, {}, keep_backup=False)
    assert stat.S_IMODE(kit.stat().st_mode) == mode
    assert (kit.stat().st_uid, kit.stat().st_gid) == owner


def test_a_folder_changes_places_with_the_finished_one(tmp_path: Path) -> None:
    kit = write_kit(tmp_path / "kit", {"a": OLD})
    kit.chmod(0o750)
    for keep_backup in (True, False):
        with Job(kit) as job:
            work = write_kit(job.folder / "kit", {"a": NEW, "b": b""})
            replace(work, kit, {}, keep_backup=keep_backup)
        assert (kit / "a").read_bytes() == NEW
        assert stat.S_IMODE(kit.stat().st_mode) == 0o750
        assert sorted(path.name for path in tmp_path.iterdir()) == ["kit", "kit.bak"]
    assert (tmp_path / "kit.bak" / "a").read_bytes() == OLD


def test_a_folder_is_published_and_never_over_another(tmp_path: Path) -> None:
    publish(write_kit(tmp_path / "work", {"a": NEW}), tmp_path / "out", {})
    with pytest.raises(OutputError, match="already exists"):
        publish(write_kit(tmp_path / "work", {"a": OLD}), tmp_path / "out", {})
    assert (tmp_path / "out" / "a").read_bytes() == NEW


def test_a_copy_is_the_same_bytes_with_the_same_signature_and_a_checksum_of_its_own_name(tmp_path: Path) -> None:
    kit = tmp_path / "kit.tar"
    kit.write_bytes(tar({"a": b"a"}))
    with open_kit(kit, limits=Limits()) as reader, Job(tmp_path / "copy.tar") as job:
        verified = Verified(archive=reader.stored_digest(), members={}, signature=b"signature\n")
        perform(copy_kit(reader, verified, job))
    found = names(tmp_path)
    assert found["copy.tar"] == found["kit.tar"]
    assert found["copy.tar.sig"] == b"signature\n"
    assert found["copy.tar.sha256"] == checksum_line(Sha256.of(found["kit.tar"]), "copy.tar")


def test_a_copy_of_a_folder_is_the_same_folder(tmp_path: Path) -> None:
    kit = write_kit(tmp_path / "kit", {"a/b": b"b", "c": b""})
    with open_kit(kit, limits=Limits()) as reader, Job(tmp_path / "copy") as job:
        files = {MemberPath("a/b"): (Sha256.of(b"b"), 1), MemberPath("c"): (Sha256.of(b""), 0)}
        perform(copy_kit(reader, Verified(archive=None, members=files, signature=None), job))
    assert (tmp_path / "copy" / "a" / "b").read_bytes() == b"b"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy", "kit"]


def begun(job: Job, kit: Path, steps: int, *, keep_backup: bool) -> Switch:
    """Stage a switch in place, do so many of its steps, damage the new kit: as a crash and a bad medium leave it."""
    work = work_in(job)
    switch = stage(
        work,
        kit,
        NEW_SIDECARS,
        new=Sha256.of(NEW),
        old=Sha256.of(OLD),
        in_place=True,
        keep_backup=keep_backup,
    )
    backup = backup_path(kit)
    sig = path_next_to(backup, ".sig") if keep_backup else work.with_name("old.sig")
    done: list[Callable[[], object]] = [
        *([lambda: os.link(kit, backup)] if keep_backup else []),
        lambda: path_next_to(kit, ".sha256").rename(work.with_name("old.sha256")),
        lambda: path_next_to(kit, ".sig").rename(sig),
        *([lambda: path_next_to(backup, ".sha256").write_bytes(BACKUP_SUM)] if keep_backup else []),
        lambda: kit.rename(work.with_name("old")),  # a system without exchange, and no backup
    ]
    for step in done[:steps]:
        step()
    work.write_bytes(NEW[:-1])
    return switch


@pytest.mark.parametrize(("keep_backup", "steps"), [*((True, n) for n in range(5)), *((False, n) for n in range(4))])
def test_a_new_kit_that_was_damaged_never_gets_its_name_and_all_that_was_moved_is_put_back(
    kit: Path,
    keep_backup: bool,  # noqa: FBT001  a row of the table
    steps: int,
) -> None:
    path_next_to(kit, ".sig").write_bytes(b"old signature\n")
    path_next_to(kit, ".sha256").write_bytes(checksum_line(Sha256.of(OLD), "kit.tar"))
    before = names(kit.parent)
    with Job(kit) as job:
        switch = begun(job, kit, steps, keep_backup=keep_backup)
        assert has_begun(switch) == (steps > 0)
        with pytest.raises(OutputError, match="was damaged in the job folder since it was verified") as caught:
            finish(switch)
        assert "--abandon" in caught.value.hint
        assert put_back(switch)
        assert names(kit.parent) == before
        assert not has_begun(switch)


def test_a_switch_that_can_be_finished_is_not_undone(kit: Path) -> None:
    with Job(kit) as job:
        switch = begun(job, kit, 1, keep_backup=True)
        switch.work.write_bytes(NEW)
        assert not put_back(switch)
        finish(switch)
        assert not put_back(switch)
    assert kit.read_bytes() == NEW


def test_what_a_stranger_put_in_the_place_of_the_kit_is_not_moved(kit: Path) -> None:
    with Job(kit) as job:
        switch = begun(job, kit, 1, keep_backup=True)
        kit.unlink()
        kit.write_bytes(b"mine")
        before = names(kit.parent)
        assert not put_back(switch)
        with pytest.raises(OutputError, match="neither the kit that the interrupted run read nor the one it made"):
            finish(switch)
        assert names(kit.parent) == before


@pytest.mark.parametrize("in_place", [True, False], ids=["in place", "output"])
@pytest.mark.parametrize("harm", ["changed", "cut", "gone", "more", "another name", "another link"])
def test_a_finished_folder_that_was_damaged_never_gets_its_name(
    tmp_path: Path,
    in_place: bool,  # noqa: FBT001  a row of the table
    harm: str,
) -> None:
    kit = write_kit(tmp_path / "kit", {"a": OLD})
    with Job(kit) as job:
        work = write_kit(job.folder / "kit", {"d/a": NEW, "d/b": b"bb", "e": b""})
        (work / "link").symlink_to("d/a")
        target = kit if in_place else tmp_path / "out"
        switch = stage(work, target, {}, new=None, in_place=in_place, keep_backup=in_place)
        assert Switch.of(job.folder, target, switch.to_json()) == switch
        file = work / "d" / "b"
        if harm == "another link":
            (work / "link").unlink()
            (work / "link").symlink_to("d/b")
        elif harm == "another name":
            file.rename(file.with_name("c"))
        elif harm == "gone":
            file.unlink()
        else:
            file.write_bytes({"changed": b"bc", "cut": b"b", "more": b"bb\0"}[harm])
        with pytest.raises(OutputError, match="damaged in the job folder"):
            finish(switch)
        assert put_back(switch) == in_place
    assert [path.name for path in tmp_path.iterdir()] == ["kit"]
    assert (kit / "a").read_bytes() == OLD


def staged_output(job: Job, target: Path) -> Switch:
    return stage(work_in(job), target, OUTPUT_SIDECARS, new=Sha256.of(NEW))


@pytest.mark.parametrize("published", [0, 1, 2, 3], ids=["nothing", "the archive", "a checksum too", "all"])
def test_what_a_crash_left_of_publishing_is_finished(tmp_path: Path, published: int) -> None:
    target = tmp_path / "out.tar"
    with Job(target) as job:
        switch = staged_output(job, target)
        assert not has_begun(switch)
        if published:
            os.link(switch.work, target)
            assert has_begun(switch)
        for suffix in list(NEW_SIDECARS)[: max(published - 1, 0)]:
            switch.work.with_name(f"beside{suffix}").rename(path_next_to(target, suffix))
        for _ in range(2):  # once more changes nothing
            finish(switch)
            assert names(tmp_path) == {
                "out.tar": NEW,
                **{f"out.tar{name}": data for name, data in OUTPUT_SIDECARS.items()},
            }


def test_what_somebody_else_put_in_the_place_of_the_output_stays(tmp_path: Path) -> None:
    target = tmp_path / "out.tar"
    with Job(target) as job:
        switch = staged_output(job, target)
        target.mkdir()
        for _ in range(2):
            with pytest.raises(OutputError):
                finish(switch)
            switch.work.unlink(missing_ok=True)
        assert not list(target.iterdir())


def test_a_staged_checksum_that_was_damaged_is_made_again_and_a_signature_left_out(tmp_path: Path) -> None:
    target = tmp_path / "out.tar"
    with Job(target) as job:
        switch = staged_output(job, target)
        for suffix in NEW_SIDECARS:
            switch.work.with_name(f"beside{suffix}").write_bytes(b"damaged")
        with pytest.raises(OutputError, match=r"the staged \.sig was damaged since it was written") as caught:
            finish(switch)
        assert "--resume again" in caught.value.hint
        assert not target.exists()
        finish(switch)
    assert names(tmp_path) == {"out.tar": NEW, "out.tar.sha256": checksum_line(Sha256.of(NEW), "out.tar")}


@pytest.mark.parametrize("keep_backup", [True, False], ids=["backup", "no backup"])
def test_on_a_system_without_exchange_a_kit_that_has_only_its_other_name_is_finished(
    kit: Path,
    keep_backup: bool,  # noqa: FBT001  a row of the table
) -> None:
    path_next_to(kit, ".sig").write_bytes(b"old signature\n")
    path_next_to(kit, ".sha256").write_bytes(checksum_line(Sha256.of(OLD), "kit.tar"))
    with Job(kit) as job:
        switch = begun(job, kit, 4 if keep_backup else 2, keep_backup=keep_backup)
        other = backup_path(kit) if keep_backup else switch.work.with_name("old")
        other.unlink(missing_ok=True)  # there are no links either
        kit.rename(other)
        switch.work.write_bytes(NEW)
        assert has_begun(switch)
        finish(switch)
    found = names(kit.parent)
    assert (found["kit.tar"], found["kit.tar.sig"]) == (NEW, NEW_SIDECARS[".sig"])
    assert (found.get("kit.tar.bak") == OLD) == keep_backup


@pytest.mark.parametrize("beside", [(), (".sig",), (".sig", ".sha256")], ids=["nothing", "signature", "both"])
@pytest.mark.parametrize("steps", range(4))
def test_on_a_system_without_links_what_was_moved_away_is_no_older_backup(
    kit: Path, beside: tuple[str, ...], steps: int
) -> None:
    for suffix in beside:
        path_next_to(kit, suffix).write_bytes(b"old")
    backup = backup_path(kit)
    with Job(kit) as job:
        switch = begun(job, kit, 0, keep_backup=True)
        switch.work.write_bytes(NEW)
        moves = {".sha256": switch.work.with_name("old.sha256"), ".sig": path_next_to(backup, ".sig")}
        done: list[Callable[[], object]] = [
            *(partial(path_next_to(kit, suffix).rename, moves[suffix]) for suffix in moves if suffix in beside),
            lambda: path_next_to(backup, ".sha256").write_bytes(BACKUP_SUM),
        ]
        for step in done[:steps]:
            step()
        assert has_begun(switch) == (steps > 0)
        finish(switch)
    assert names(kit.parent) == {
        "kit.tar": NEW,
        "kit.tar.bak": OLD,
        "kit.tar.bak.sha256": BACKUP_SUM,
        **({"kit.tar.bak.sig": b"old"} if ".sig" in beside else {}),
        **{f"kit.tar{suffix}": data for suffix, data in NEW_SIDECARS.items()},
    }


@pytest.mark.parametrize("taken", [".sig", ".sha256"])
def test_what_a_stranger_put_beside_the_backups_name_since_stays(kit: Path, taken: str) -> None:
    path_next_to(kit, ".sig").write_bytes(b"old signature\n")
    with Job(kit) as job:
        switch = begun(job, kit, 0, keep_backup=True)
        switch.work.write_bytes(NEW)
        path_next_to(backup_path(kit), taken).write_bytes(b"mine")
        assert not has_begun(switch)
        before = names(kit.parent)
        with pytest.raises(OutputError, match="already exists"):
            finish(switch)
        assert names(kit.parent) == before


@contextmanager
def interrupted_after(number: int) -> Iterator[list[str]]:
    """Raise what Ctrl-C raises right after the ``number``-th change of a name."""
    met: list[str] = []

    def watch(frame: FrameType, event: str, called: Any) -> None:
        # renameat2 is called by way of ctypes, which announces no call of its own.
        by_ctypes = event == "return" and frame.f_code.co_name == "_rename"
        name = getattr(called, "__name__", "") if event == "c_return" else ""
        if by_ctypes or name in {"rename", "link", "unlink"}:
            met.append(name)
            if len(met) == number:
                raise KeyboardInterrupt

    sys.setprofile(watch)
    try:
        yield met
    finally:
        sys.setprofile(None)


@pytest.mark.parametrize("keep_backup", [True, False], ids=["backup", "no backup"])
@pytest.mark.parametrize("number", range(1, 9))
def test_an_interrupt_during_a_switch_leaves_what_a_kill_leaves(kit: Path, number: int, keep_backup: bool) -> None:  # noqa: FBT001
    kit.with_name("kit.tar.sig").write_bytes(b"old signature\n")
    kit.with_name("kit.tar.sha256").write_bytes(checksum_line(Sha256.of(OLD), "kit.tar"))
    with Job(kit) as job:
        work = work_in(job)
        new, old = Sha256.of(NEW), Sha256.of(OLD)
        switch = stage(work, kit, NEW_SIDECARS, new=new, old=old, in_place=True, keep_backup=keep_backup)
        with interrupted_after(number) as met, suppress(KeyboardInterrupt):
            perform(switch)
        sums = kit.with_name("kit.tar.sha256")
        assert not sums.exists() or sums.read_bytes() == checksum_line(Sha256.of(kit.read_bytes()), "kit.tar")
        assert kit.read_bytes() == OLD or not keep_backup or kit.with_name("kit.tar.bak").read_bytes() == OLD
        finish(switch)
        assert len(met) >= min(number, 5)
    left = names(kit.parent)
    assert left["kit.tar"] == NEW
    assert left["kit.tar.sha256"] == NEW_SIDECARS[".sha256"]
    assert not keep_backup or left["kit.tar.bak"] == OLD

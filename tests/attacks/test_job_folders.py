"""Somebody who may create a name beside a kit puts a job folder there: it is refused by name, and nothing is touched.

The folders that a run makes for itself are ``.kit-job``, ``.kit-done``, ``.kit-build`` and ``.kit-build-done``. What
has one of these names and was not made by a run of this user is never emptied, chmodded, locked, written to or
believed.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from kit.cli.commands import exit_code
from kit.engine.progress import Event, PassStarted, Stage
from kit.errors import KitError, OutputError
from kit.output.disk import remove_tree
from kit.output.job import LOCK, Job
from kit.verbs.delta.build import open_build_job
from kit.verbs.jobs import abandon
from kit.verbs.patch.patch import patch, resume
from kit.verbs.rollback import RollbackRequest, rollback
from kit.verbs.verify.kits import Environment
from tests.attacks.forging import PUBLISHER, SITE, Snapshot, job_of, kit_in, output, request
from tests.delta.kits import pair

NOBODY = 65534
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
KINDS = (".kit-job", ".kit-done", ".kit-build", ".kit-build-done")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Give a folder that somebody else cares for."""
    home = tmp_path / "home"
    for folder in (home, home / ".ssh", home / "public"):
        folder.mkdir()
        folder.chmod(0o755)
    (home / "thesis.txt").write_text("precious")
    (home / ".ssh" / "id").write_text("key")
    return home


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """Give the folder of the kit, which others may write to."""
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    return shared


def link(place: Path, home: Path) -> None:
    place.symlink_to(home)


def dangling_link(place: Path, home: Path) -> None:
    place.symlink_to(home / "missing")


def file(place: Path, _: Path) -> None:
    place.write_text("mine")


def link_to_a_file(place: Path, home: Path) -> None:
    place.symlink_to(home / "thesis.txt")


def fifo(place: Path, _: Path) -> None:
    os.mkfifo(place)


def unix_socket(place: Path, _: Path) -> None:
    with socket.socket(socket.AF_UNIX) as end:
        here = Path.cwd()
        os.chdir(place.parent)  # such names are short
        end.bind(place.name)
        os.chdir(here)


def readable_folder(place: Path, _: Path) -> None:
    _filled(place).chmod(0o755)


def folder_for_all(place: Path, _: Path) -> None:
    _filled(place).chmod(0o777)


def sticky_folder(place: Path, _: Path) -> None:
    _filled(place).chmod(0o1700)


def another_users_folder(place: Path, _: Path) -> None:
    os.chown(_filled(place), NOBODY, NOBODY)


def private_folder_renamed(place: Path, _: Path) -> None:
    """Leave what its owner keeps for himself: who may write to the folder above may rename it."""
    _filled(place)


def _filled(place: Path) -> Path:
    place.mkdir(mode=0o700)
    (place / "inner").mkdir()
    (place / "inner" / "letter.txt").write_text("private")
    (place / "letter.txt").write_text("private")
    return place


FORMS = [
    link,
    dangling_link,
    file,
    link_to_a_file,
    fifo,
    unix_socket,
    readable_folder,
    folder_for_all,
    sticky_folder,
    pytest.param(another_users_folder, marks=needs_root),
    private_folder_renamed,
]
every_form = pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)


def refused(attempt: Callable[[], object], name: Path, folder: Path) -> KitError:
    """Attempt something that is refused with 74 and this name, and changes nothing below ``folder``."""
    before = Snapshot.of(folder)
    with pytest.raises(OutputError) as caught:
        attempt()
    assert exit_code(caught.value) == 74
    assert str(name) in str(caught.value)
    assert caught.value.hint
    assert Snapshot.of(folder) == before
    return caught.value


def look(target: Path) -> None:
    """Ask as a preflight does."""
    if (found := Job(target).obstacle()) is not None:
        raise found


def enter(target: Path, *, again: bool = False) -> None:
    with Job(target, resume=again):
        pass


def build(target: Path) -> None:
    with open_build_job(target):
        pass


USERS: dict[str, tuple[Callable[[Path], object], ...]] = {
    ".kit-job": (look, enter, lambda target: enter(target, again=True), abandon),
    ".kit-done": (look, enter),
    ".kit-build": (build,),
    ".kit-build-done": (build,),
}


@every_form
@pytest.mark.parametrize("kind", KINDS)
def test_what_no_run_made_is_refused_by_name_and_not_touched(
    kind: str, form: Callable[[Path, Path], None], shared: Path, home: Path
) -> None:
    target = shared / "kit.tar.zst"
    place = shared / f"{target.name}{kind}"
    form(place, home)
    for use in USERS[kind]:
        refused(lambda use=use: use(target), place, shared.parent)  # type: ignore[misc]


@every_form
def test_a_finished_jobs_name_is_no_way_in_when_a_run_is_resumed_or_given_up(
    form: Callable[[Path, Path], None], shared: Path, home: Path
) -> None:
    target = shared / "kit.tar.zst"
    job_of(target, b"")
    form(target.with_name("kit.tar.zst.kit-done"), home)
    for use in (lambda: enter(target, again=True), lambda: abandon(target)):
        refused(use, shared / "kit.tar.zst.kit-done", shared.parent)


@pytest.mark.parametrize("kind", [".kit-job", ".kit-done"])
def test_every_command_that_switches_a_kit_refuses_such_a_link(kind: str, shared: Path, home: Path) -> None:
    kit = kit_in(shared)
    two = pair(shared)
    two.build()
    for target in (kit, two.base):
        target.with_name(f"{target.name}{kind}").symlink_to(home)
    trusted = {key.public.key_id: key.public for key in (PUBLISHER, SITE)}
    attempts: list[tuple[Path, Callable[[], object]]] = [
        (kit, lambda: patch(request(kit), output())),
        (kit, lambda: rollback(RollbackRequest(kit=kit, trusted=trusted))),
        (two.base, two.apply),
    ]
    for target, attempt in attempts:
        refused(attempt, target.with_name(f"{target.name}{kind}"), shared.parent)


@pytest.mark.parametrize("kind", [".kit-build", ".kit-build-done"])
def test_a_delta_is_not_built_through_such_a_link(kind: str, shared: Path, home: Path) -> None:
    two = pair(shared)
    place = two.delta.with_name(f"{two.delta.name}{kind}")
    place.symlink_to(home)
    refused(two.build, place, shared.parent)


@pytest.mark.parametrize("name", [LOCK, "journal", "spool"])
@pytest.mark.parametrize("form", ["link", "hard link", "FIFO", "folder"])
def test_a_file_in_the_folder_that_leads_elsewhere_is_refused_and_never_waited_for(
    name: str, form: str, shared: Path, home: Path
) -> None:
    kit = kit_in(shared)
    job = job_of(kit, b"")
    (job / name).unlink(missing_ok=True)
    match form:
        case "link":
            (job / name).symlink_to(home / "thesis.txt")
        case "hard link":
            (job / name).hardlink_to(home / "thesis.txt")
        case "FIFO":
            os.mkfifo(job / name)
        case _:
            (job / name).mkdir()
    before = Snapshot.of(home)
    with pytest.raises(OutputError) as caught:
        resume(request(kit), output())
    assert "kit.tar.zst.kit-job" in str(caught.value)
    assert "/proc/" not in str(caught.value)
    assert Snapshot.of(home) == before


def test_what_is_left_in_a_work_folder_is_removed_and_nothing_it_leads_to(shared: Path, home: Path) -> None:
    target = shared / "d.delta"
    folder = job_of(target, b"", kind="build")
    (folder / "target-0.documents").symlink_to(home / "thesis.txt")
    (folder / "deep").mkdir()
    (folder / "deep" / "outside").symlink_to(home)
    (folder / "deep" / "closed").mkdir(mode=0o000)
    (folder / "outside").symlink_to(home)
    before = Snapshot.of(home)
    build(target)
    assert Snapshot.of(home) == before
    assert not folder.exists()


def test_a_folder_that_is_a_link_is_not_removed_through_it(shared: Path, home: Path) -> None:
    (shared / "kit").symlink_to(home)
    before = Snapshot.of(home)
    remove_tree(shared / "kit")
    assert Snapshot.of(home) == before


class Exchange:
    """Stands by while a run is at work, and exchanges folders when it begins to read what it has written."""

    def __init__(self, stage: Stage, strike: Callable[[], None]) -> None:
        self.stage, self.strike, self.struck = stage, strike, False

    def tell(self, event: Event) -> None:
        if isinstance(event, PassStarted) and event.stage is self.stage and not self.struck:
            self.struck = True
            self.strike()

    def environment(self) -> Environment:
        return Environment(workers=1, progress=self)


@pytest.fixture
def expected(tmp_path: Path) -> bytes:
    folder = tmp_path / "quiet"
    folder.mkdir()
    kit = kit_in(folder)
    patch(request(kit), output())
    return kit.read_bytes()


@pytest.mark.parametrize("stage", [Stage.SURVEY, Stage.REWRITE, Stage.REREAD])
def test_a_job_folder_that_is_exchanged_while_a_run_works_in_it_leads_it_nowhere(
    stage: Stage, shared: Path, expected: bytes
) -> None:
    kit = kit_in(shared)
    job = shared / "kit.tar.zst.kit-job"
    evil = shared / "evil"
    evil.mkdir()
    for name in ("archive", "spool", "journal", "beside.sha256", "beside.sig"):
        (evil / name).write_text("of the attacker")

    def strike() -> None:
        job.rename(shared / "taken-away")
        evil.rename(job)

    exchange = Exchange(stage, strike)
    before = Snapshot.of(evil)
    patch(request(kit, environment=exchange.environment()), output())
    assert exchange.struck
    assert kit.read_bytes() == expected
    assert Snapshot.of(job).entries == before.entries
    assert (shared / "kit.tar.zst.sha256").read_text().endswith("  kit.tar.zst\n")


@pytest.mark.parametrize("stage", [Stage.REWRITE, Stage.REREAD])
def test_a_job_folder_that_becomes_a_link_meanwhile_leads_it_nowhere(
    stage: Stage, shared: Path, home: Path, expected: bytes
) -> None:
    kit = kit_in(shared)
    job = shared / "kit.tar.zst.kit-job"

    def strike() -> None:
        job.rename(shared / "taken-away")
        job.symlink_to(home)

    before = Snapshot.of(home)
    patch(request(kit, environment=Exchange(stage, strike).environment()), output())
    assert kit.read_bytes() == expected
    assert Snapshot.of(home) == before


def test_a_folder_of_the_kit_that_is_exchanged_keeps_the_result_where_the_run_began(
    tmp_path: Path, expected: bytes
) -> None:
    folder, elsewhere = tmp_path / "folder", tmp_path / "elsewhere"
    for one in (folder, elsewhere):
        one.mkdir()
    kit = kit_in(folder)
    (elsewhere / "kit.tar.zst").write_text("mine")

    def strike() -> None:
        folder.rename(tmp_path / "moved")
        elsewhere.rename(folder)

    patch(request(kit, environment=Exchange(Stage.REREAD, strike).environment()), output())
    assert (tmp_path / "moved" / "kit.tar.zst").read_bytes() == expected
    assert [path.name for path in folder.iterdir()] == ["kit.tar.zst"]
    assert (folder / "kit.tar.zst").read_text() == "mine"


def test_a_folder_is_patched_from_inside_and_the_folder_above_stays_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kit = kit_in(tmp_path, "kit")
    monkeypatch.chdir(kit)
    patch(request(Path("../kit")), output())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kit", "kit.bak.3"]
    assert (kit / "manifest" / "history").is_dir()


def test_a_kit_that_is_exchanged_meanwhile_is_not_replaced(shared: Path) -> None:
    kit = kit_in(shared)

    def strike() -> None:
        kit.unlink()
        kit.write_text("mine")

    with pytest.raises(KitError, match="was replaced while it was being patched"):
        patch(request(kit, environment=Exchange(Stage.REREAD, strike).environment()), output())
    assert kit.read_text() == "mine"


@pytest.mark.parametrize("stage", [Stage.COMPARE, Stage.SURVEY])
def test_a_work_folder_that_is_exchanged_while_a_delta_is_built_leads_it_nowhere(
    stage: Stage, shared: Path, home: Path
) -> None:
    two = pair(shared)
    work = shared / "delta.kit-build"

    def strike() -> None:
        work.rename(shared / "taken-away")
        work.symlink_to(home)

    before = Snapshot.of(home)
    exchange = Exchange(stage, strike)
    two.build(environment=exchange.environment())
    assert exchange.struck
    assert Snapshot.of(home) == before
    assert two.apply(output=shared / "out").applied

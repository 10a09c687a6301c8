"""A journal that somebody forged, in a folder that passes for a run's: nothing of it is believed.

Such a folder comes out of an archive that is unpacked beside a kit: it has the user's name, mode 0700 and a lock. What
``--resume`` would rename into place is judged like any kit, and held to what the run that is asked for would make of
this kit. Frames on record save work only where they hold what this run makes itself.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from kit.cli.commands import exit_code
from kit.engine.progress import Event, PassStarted, Stage
from kit.errors import InterruptedRunError, KitError, OutputError
from kit.output.journal import BEGIN, FRAME, JUDGED, READY, RESTART, JournalFile, checksum
from kit.output.switch import checksum_line
from kit.values import Sha256, Timestamp
from kit.verbs.delta.apply import resume_delta
from kit.verbs.jobs import Completion, abandon
from kit.verbs.patch.patch import PatchReport, patch, resume
from kit.verbs.rollback import RollbackRequest, rollback
from kit.verbs.verify.kits import Environment
from tests.attacks.forging import (
    AT,
    PUBLISHER,
    SITE,
    STRANGER,
    Snapshot,
    begun,
    finished,
    identity,
    job_of,
    journal,
    judged,
    kit_in,
    output,
    ready,
    request,
)
from tests.delta.kits import KEY, Pair, november, pair
from tests.kits import OBSERVATIONS, collection, observation, signed, small_files, tar, write_kit

ARCHIVE, FOLDER = "kit.tar.zst", "kit"
REFUSALS = {2, 3, 4, 5, 8, 9, 10, 11, 64, 74}


class Interruption:
    """Presses Ctrl-C when a pass begins."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage

    def tell(self, event: Event) -> None:
        if isinstance(event, PassStarted) and event.stage is self.stage:
            raise KeyboardInterrupt


def refused(attempt: Callable[[], object], folder: Path, *, codes: set[int] = REFUSALS) -> KitError:
    """Attempt something that is refused with one of these codes; beside the job, nothing in ``folder`` changes."""
    before = beside(folder)
    with pytest.raises(KitError) as caught:
        attempt()
    assert exit_code(caught.value) in codes, repr(caught.value)
    assert "/proc/" not in f"{caught.value}{caught.value.hint}"
    assert caught.value.hint
    assert beside(folder) == before
    return caught.value


def beside(folder: Path) -> dict[str, tuple[int, int, str]]:
    return {name: facts for name, facts in Snapshot.of(folder).entries.items() if name != "." and ".kit-" not in name}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "folder"
    folder.mkdir()
    return folder


def patched(folder: Path, name: str = ARCHIVE, **changes: Any) -> Path:
    """Give what the site makes of a kit, with these options."""
    folder.mkdir()
    source = changes.pop("source", None) or kit_in(folder, name)
    made = folder / f"made-{name}"
    patch(request(source, **changes.pop("asked", {})), output(made, **changes))
    return made


def evil_archive(_: Path) -> bytes:
    return tar({"evil.sh": b"#!/bin/sh\n"})


def any_file(_: Path) -> bytes:
    return b"root:x:0:0\n"


def unsigned(folder: Path) -> bytes:
    folder.mkdir()
    return kit_in(folder, key=None).read_bytes()


def by_a_stranger(folder: Path) -> bytes:
    folder.mkdir()
    return kit_in(folder, key=STRANGER).read_bytes()


def the_publishers_own(folder: Path) -> bytes:
    folder.mkdir()
    return kit_in(folder).read_bytes()


def of_another_base(folder: Path) -> bytes:
    folder.mkdir()
    return patched(folder / "site", source=kit_in(folder, documents=9)).read_bytes()


def made_with_other_options(folder: Path) -> bytes:
    return patched(folder, operator="somebody").read_bytes()


def made_at_another_time(folder: Path) -> bytes:
    return patched(folder, asked={"created_at": Timestamp(AT.seconds + 60)}).read_bytes()


def signed_by_another_site(folder: Path) -> bytes:
    return patched(folder, key=STRANGER).read_bytes()


SWAPS = [
    evil_archive,
    any_file,
    unsigned,
    by_a_stranger,
    the_publishers_own,
    of_another_base,
    made_with_other_options,
    made_at_another_time,
    signed_by_another_site,
]


@pytest.mark.parametrize("made", SWAPS, ids=lambda made: made.__name__)
def test_what_a_forged_record_says_to_be_finished_never_gets_the_kits_name(
    made: Callable[[Path], bytes], folder: Path, tmp_path: Path
) -> None:
    kit = kit_in(folder)
    finished(kit, made(tmp_path / "evil"))
    refused(lambda: resume(request(kit), output()), folder)
    assert abandon(kit).job == kit.with_name(f"{ARCHIVE}.kit-job")
    assert [path.name for path in folder.iterdir()] == [ARCHIVE]


@pytest.mark.parametrize("made", [evil_archive, unsigned, by_a_stranger, signed_by_another_site])
def test_nor_is_it_written_beside_the_kit(made: Callable[[Path], bytes], folder: Path, tmp_path: Path) -> None:
    kit, out = kit_in(folder), folder / "out.tar.zst"
    asked, wanted = request(kit), output(out)
    finished(out, made(tmp_path / "evil"), asked=asked, wanted=wanted, inPlace=False, backup=False, old="")
    refused(lambda: resume(asked, wanted), folder)
    assert not out.exists()


@pytest.mark.parametrize("made", [unsigned, the_publishers_own, made_with_other_options])
def test_nor_is_it_reported_as_the_sites_where_it_has_the_name_already(
    made: Callable[[Path], bytes], folder: Path, tmp_path: Path
) -> None:
    kit = kit_in(folder)
    old = identity(kit)
    data = made(tmp_path / "evil")
    finished(kit, data, old=old)
    kit.write_bytes(data)
    (folder / f"{ARCHIVE}.kit-job" / "archive").unlink()
    refused(lambda: resume(request(kit), output()), folder)


@pytest.mark.parametrize("key", [None, STRANGER, PUBLISHER], ids=["unsigned", "by a stranger", "the publisher's own"])
def test_a_folder_that_a_forged_record_names_never_gets_the_kits_name(key: Any, folder: Path, tmp_path: Path) -> None:
    kit = kit_in(folder, FOLDER)
    finished(kit, write_kit(tmp_path / "evil", signed(small_files(3), key)))
    refused(lambda: resume(request(kit), output()), folder)
    abandon(kit)
    assert [path.name for path in folder.iterdir()] == [FOLDER]


@pytest.mark.parametrize("name", [ARCHIVE, FOLDER])
def test_what_the_run_really_finished_is_installed_all_the_same(name: str, folder: Path, tmp_path: Path) -> None:
    kit = kit_in(folder, name)
    made = patched(tmp_path / "site", name, source=kit)
    finished(kit, made if made.is_dir() else made.read_bytes())
    report = resume(request(kit), output())
    assert isinstance(report, Completion)
    assert report.signed_by == (SITE.public.key_id,)
    assert report.generation == 4
    assert report.backup == kit.with_name(f"{name}.bak.3")


def test_a_backup_gets_no_other_number_than_that_of_the_kit_it_is(folder: Path, tmp_path: Path) -> None:
    kit = kit_in(folder)
    finished(kit, patched(tmp_path / "site", source=kit).read_bytes(), keptAs=".bak.7")
    refused(lambda: resume(request(kit), output()), folder, codes={74})


NAMES = [
    {"work": "../kit.tar.zst"},
    {"work": "/etc/passwd"},
    {"work": "kit.tar.zst"},
    {"work": ""},
    {"work": "."},
    {"work": "kit-job.lock"},
    {"work": 7},
    {"work": "kit"},
    {"keptAs": "/../../outside"},
    {"keptAs": ""},
    {"keptAs": ".rolled-back.4"},
    {"keptAs": ".rolled-back"},
    {"keptAs": ".bak"},
    {"keptAs": "/somewhere/else"},
    {"sidecars": {"/../../outside": "0" * 64}},
    {"sidecars": {".sig": "x"}},
    {"sidecars": [".sig"]},
    {"inPlace": "yes"},
    {"inPlace": False},
    {"backup": 1},
    {"backup": False},
    {"new": "inode:2"},
    {"new": "sha256:"},
    {"old": "inode:"},
    {"old": None},
    {"content": "0" * 64},
    {"result": {}},
]


@pytest.mark.parametrize("change", NAMES, ids=str)
def test_names_and_values_in_a_record_are_those_that_a_run_writes(change: Mapping[str, Any], folder: Path) -> None:
    kit = kit_in(folder)
    finished(kit, b"the new kit", **change)
    refused(lambda: resume(request(kit), output()), folder, codes={74})
    abandon(kit)
    assert [path.name for path in folder.iterdir()] == [ARCHIVE]


Record = tuple[str, dict[str, Any]]
_FRAME: dict[str, Any] = {"at": 0, "size": 4, "length": 4, "crc32": 0}


def _options(first: dict[str, Any], **changes: Any) -> list[Record]:
    return [(BEGIN, {**first, "options": {**first["options"], **changes}})]


JOURNALS: dict[str, Callable[[dict[str, Any], Path], list[Record]]] = {
    "without anything": lambda _first, _kit: [(BEGIN, {})],
    "whose options are a list": lambda first, _: [(BEGIN, {**first, "options": []})],
    "whose base is text": lambda first, _: [(BEGIN, first), (JUDGED, {"base": "x"})],
    "without a version": lambda first, _: [(BEGIN, {**first, "tool": {"name": "kit"}})],
    "of another format": lambda first, _: [(BEGIN, {**first, "format": 2})],
    "of the format before": lambda first, _: [(BEGIN, {**first, "format": 2, "base": {}})],
    "with a time that is none": lambda first, _: _options(first, createdAt="yesterday"),
    "with a time that is a number": lambda first, _: _options(first, createdAt=5),
    "with an option that is a list": lambda first, _: _options(first, limit=[1, {"a": [None]}]),
    "of another base": lambda first, _: judged(first, {"dataKeys": 3, "members": [], "size": {}}),
    "that begins with the end": lambda _, kit: [(READY, ready(kit, kit))],
    "that begins with a frame": lambda _first, _kit: [(FRAME, _FRAME)],
    "that begins twice": lambda first, _: [(BEGIN, first), (BEGIN, first)],
    "that judges twice": lambda first, _: [*judged(first), (JUDGED, {"base": {}})],
    "that judges what did not begin": lambda _first, _kit: [(JUDGED, {"base": {}})],
    "that begins a second pass of what was not judged": lambda first, _: [(BEGIN, first), (RESTART, {})],
    "that ends without a judgement": lambda first, kit: [(BEGIN, first), (READY, ready(kit, kit))],
    "with a record of no kind": lambda first, _: [(BEGIN, first), ("x", {})],
    "that goes on after the end": lambda first, kit: [*judged(first), (READY, ready(kit, kit)), (FRAME, _FRAME)],
    **{
        f"with a frame of {change}": lambda first, _, change=change: [(BEGIN, first), (FRAME, {**_FRAME, **change})]  # type: ignore[misc]
        for change in ({"at": -1}, {"size": "4"}, {"length": 2**60}, {"crc32": 2**40}, {"piece": 1}, {"more": 1})
    },
}


@pytest.mark.parametrize("name", JOURNALS)
def test_a_journal_that_no_run_writes_is_refused_and_can_be_given_up(name: str, folder: Path) -> None:
    kit = kit_in(folder)
    asked = request(kit, created_now=True)
    job_of(kit, JOURNALS[name](begun(asked, output()), kit))
    refused(lambda: resume(asked, output()), folder, codes={2, 64, 74})
    assert abandon(kit).job is not None
    assert [path.name for path in folder.iterdir()] == [ARCHIVE]


@pytest.mark.parametrize(
    "text",
    [
        b"[" * 100_000,
        b'{"record":' + b"[" * 90 + b"]" * 90 + b"}",
        b'{"record":NaN}',
        b'{"a":1,"a":1}',
        b"7",
        b"\xff",
        b"",
    ],
    ids=lambda text: text[:12].decode("latin-1"),
)
def test_a_line_that_is_no_record_ends_the_journal_however_well_it_is_summed(text: bytes, folder: Path) -> None:
    kit = kit_in(folder)
    job_of(kit, b"%08x %s\n" % (checksum(text), text))
    assert isinstance(resume(request(kit), output()), PatchReport)


@pytest.mark.parametrize(
    "frame",
    [
        {"at": 0, "size": 2**53 - 1, "length": 4, "crc32": 0, "piece": True},
        {"at": 2**53 - 1, "size": 4, "length": 2**53 - 1, "crc32": 0, "piece": True},
        {"at": 0, "size": 0, "length": 0, "crc32": 0, "piece": True},
    ],
    ids=["larger than the spool", "beyond its end", "empty"],
)
def test_a_frame_that_the_spool_does_not_have_costs_nothing(frame: Mapping[str, Any], folder: Path) -> None:
    kit = kit_in(folder)
    expected = quiet(folder.parent / "quiet")
    job = job_of(kit, [*judged(begun(request(kit), output()), base_of(folder.parent / "base")), (FRAME, frame)])
    (job / "spool").write_bytes(b"four")
    resume(request(kit), output())
    assert kit.read_bytes() == expected


def quiet(folder: Path, **options: Any) -> bytes:
    """Give what an undisturbed run makes."""
    folder.mkdir()
    kit = kit_in(folder)
    patch(request(kit, **options), output())
    return kit.read_bytes()


def interrupted(kit: Path, stage: Stage, **changes: Any) -> Path:
    """Patch a kit in place, up to the beginning of a pass, and give the job that is left."""
    environment = Environment(workers=1, progress=Interruption(stage))
    with pytest.raises(InterruptedRunError):
        patch(request(kit, environment=environment, **changes), output())
    return kit.with_name(f"{kit.name}.kit-job")


def base_of(folder: Path, **options: Any) -> Mapping[str, Any]:
    """Give what a journal says of the kit that all these tests patch: anybody who has it can tell."""
    folder.mkdir()
    journal = JournalFile(interrupted(kit_in(folder), Stage.REREAD, **options) / "journal")
    assert journal.judged is not None
    return journal.judged.base


def strangers_frames(folder: Path, **options: Any) -> tuple[list[Record], bytes]:
    """Give the records and the spool of a run on a kit with other documents, which somebody else made."""
    folder.mkdir()
    documents = [observation(number, upstream={"upstreamId": "FORGED"}) for number in range(6)]
    kit = write_kit(folder / ARCHIVE, signed({**small_files(), OBSERVATIONS: collection(documents)}, PUBLISHER))
    job = interrupted(kit, Stage.REREAD, **options)
    journal = JournalFile(job / "journal")
    found: list[Record] = [(RESTART, {})] if journal.restarted is not None else []
    found += [(FRAME, record.to_json()) for record, _ in journal.frame_records()]
    return found, (job / "spool").read_bytes()


@pytest.mark.parametrize(("merkle", "is_judged"), [(None, True), (True, True), (None, False)])
def test_frames_of_other_documents_are_not_signed_whatever_their_checksums(
    merkle: bool | None,  # noqa: FBT001
    is_judged: bool,  # noqa: FBT001
    folder: Path,
) -> None:
    kit = kit_in(folder)
    frames, spool = strangers_frames(folder.parent / "evil", merkle=merkle)
    assert any(body.get("piece") for _, body in frames)
    base = base_of(folder.parent / "base", merkle=merkle)
    first = judged(begun(request(kit, merkle=merkle), output()), base)
    job = job_of(kit, [*first, *frames] if is_judged else [first[0], *(one for one in frames if one[0] == FRAME)])
    (job / "spool").write_bytes(spool)
    assert isinstance(resume(request(kit, merkle=merkle), output()), PatchReport)
    assert kit.read_bytes() == quiet(folder.parent / "quiet", merkle=merkle)


def test_a_run_that_was_interrupted_reports_what_a_quiet_one_does(folder: Path) -> None:
    kit = kit_in(folder)
    interrupted(kit, Stage.REREAD)
    report = resume(request(kit), output())
    other = folder / "other"
    other.mkdir()
    fresh = patch(request(kit_in(other)), output())
    assert isinstance(report, PatchReport)
    assert report.rewrite.members.keys() == fresh.rewrite.members.keys()
    for field in ("outcomes", "counts", "findings", "changed"):
        assert getattr(report.rewrite, field) == getattr(fresh.rewrite, field)
    assert kit.read_bytes() == (other / ARCHIVE).read_bytes()


def with_backup(folder: Path) -> Path:
    """Give a kit that has a backup of an earlier year with all that belongs beside it."""
    kit = kit_in(folder)
    backup = kit.with_name(f"{ARCHIVE}.bak.3")
    backup.write_bytes(b"of an earlier year")
    backup.with_name(f"{backup.name}.sig").write_bytes(b"its signature")
    for path in (kit, backup):
        path.with_name(f"{path.name}.sha256").write_bytes(checksum_line(Sha256.of(path.read_bytes()), path.name))
    return kit


def test_giving_a_forged_switch_up_takes_nothing_that_is_beside_the_kit(folder: Path) -> None:
    kit = with_backup(folder)
    for change in ({}, {"new": "sha256:" + "0" * 64}, {"old": "sha256:" + "0" * 64}, {"backup": False}):
        job = finished(kit, b"damaged", **change)
        for suffix in (".sha256", ".sig"):
            (job / f"beside{suffix}").write_bytes(b"staged")
        before = beside(folder)
        abandon(kit)
        assert beside(folder) == before


@pytest.mark.parametrize("made", [unsigned, by_a_stranger])
def test_a_delta_is_not_finished_by_an_archive_that_it_does_not_lead_to(
    made: Callable[[Path], bytes], tmp_path: Path
) -> None:
    two, job = delta_job(tmp_path)
    forge(two, job, made(tmp_path / "evil"))
    refused(lambda: resume_delta(two.request()), two.folder)


def test_a_delta_is_not_finished_over_a_kit_it_is_not_for(tmp_path: Path) -> None:
    two, job = delta_job(tmp_path)
    target = two.target.read_bytes()
    newer = signed({**november(), "docs/newer.txt": b"newer"}, KEY, generation=9)
    two.base.write_bytes(write_kit(tmp_path / "newer.tar.zst", newer).read_bytes())
    forge(two, job, target)
    refused(lambda: resume_delta(two.request()), two.folder, codes={8, 10})


def delta_job(folder: Path) -> tuple[Pair, Path]:
    """Give two kits with the delta between them, and the job of an application that was interrupted."""
    (folder / "pair").mkdir()
    two = pair(folder / "pair")
    two.build()
    environment = Environment(workers=1, progress=Interruption(Stage.REREAD))
    with pytest.raises(InterruptedRunError):
        two.apply(environment=environment)
    return two, two.base.with_name(f"{two.base.name}.kit-job")


def forge(two: Pair, job: Path, data: bytes) -> None:
    (job / "archive").write_bytes(data)
    first = JournalFile(job / "journal").begun
    assert first is not None
    (job / "journal").write_bytes(journal([*judged(first.to_json()), (READY, ready(two.base, job / "archive"))]))


def rolling(kit: Path) -> RollbackRequest:
    trusted = {key.public.key_id: key.public for key in (PUBLISHER, SITE)}
    return RollbackRequest(kit=kit, trusted=trusted, environment=Environment(workers=1))


@pytest.mark.parametrize("made", [evil_archive, unsigned, by_a_stranger, of_another_base])
def test_a_rollback_is_not_finished_by_a_kit_that_this_one_was_not_made_of(
    made: Callable[[Path], bytes], folder: Path, tmp_path: Path
) -> None:
    kit = kit_in(folder)
    patch(request(kit), output())
    job = job_of(kit, b"")
    (job / "archive").write_bytes(made(tmp_path / "evil"))
    first = {**begun(request(kit), output()), "options": {"rollback": "0" * 64}}
    last = ready(kit, job / "archive", keptAs=".rolled-back.4")
    (job / "journal").write_bytes(journal([*judged(first), (READY, last)]))
    refused(lambda: rollback(rolling(kit), again=True), folder)


def test_a_backup_that_is_not_what_was_restored_stays_when_a_rollback_is_finished(folder: Path) -> None:
    kit = kit_in(folder)
    old = kit.read_bytes()
    patch(request(kit), output())
    job = job_of(kit, b"")
    (job / "archive").write_bytes(old)
    first = {**begun(request(kit), output()), "options": {"rollback": "0" * 64}}
    last = ready(kit, job / "archive", keptAs=".rolled-back.4")
    (job / "journal").write_bytes(journal([*judged(first), (READY, last)]))
    backup = kit.with_name(f"{ARCHIVE}.bak.3")
    backup.unlink()
    backup.write_bytes(b"of an earlier year")
    report = rollback(rolling(kit), again=True)
    assert report.resumed
    assert kit.read_bytes() == old
    assert backup.read_bytes() == b"of an earlier year"


@pytest.mark.parametrize("name", ["archive", "beside.sha256", "old.sha256", "backup.sha256"])
@pytest.mark.parametrize("form", ["link", "hard link"])
def test_a_finished_file_that_leads_elsewhere_is_neither_installed_nor_written_to(
    name: str, form: str, folder: Path, tmp_path: Path
) -> None:
    kit = kit_in(folder)
    made = patched(tmp_path / "site", source=kit)
    outside = tmp_path / "outside"
    shutil.copy(made, outside)
    job = finished(kit, made.read_bytes())
    (job / name).unlink(missing_ok=True)
    if form == "link":
        (job / name).symlink_to(outside)
    else:
        os.link(outside, job / name)
    before = Snapshot.of(tmp_path / "site"), outside.read_bytes()
    with suppress(OutputError):
        resume(request(kit), output())
    assert (Snapshot.of(tmp_path / "site"), outside.read_bytes()) == before
    assert not kit.is_symlink()
    assert kit.stat().st_ino != outside.stat().st_ino

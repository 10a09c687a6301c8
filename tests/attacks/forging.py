"""What somebody who knows a kit and nothing secret can put beside it: job folders with journals like those of a run."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kit.output.job import Job
from kit.output.journal import BEGIN, FORMAT, JUDGED, READY, BeginRecord, Position, encode_record
from kit.output.switch import tree_digest
from kit.signing import Algorithm, PrivateKey, generate
from kit.transforms.raw_linkset import RawLinkset
from kit.values import Sha256, Timestamp
from kit.verbs.patch.passes import options_of
from kit.verbs.patch.patch import Output, PatchRequest
from kit.verbs.verify.kits import Environment
from kit.version import TOOL, VERSION
from tests.kits import signed, small_files, write_kit

PUBLISHER, SITE, STRANGER = (generate(Algorithm.ED25519) for _ in range(3))
AT = Timestamp.parse("2026-01-02T03:04:05Z")
Records = Sequence[tuple[str, Mapping[str, Any]]]


def kit_in(folder: Path, name: str = "kit.tar.zst", *, key: PrivateKey | None = PUBLISHER, documents: int = 6) -> Path:
    """Write a kit of the publisher, whose observations lack what a patch adds."""
    return write_kit(folder / name, signed(small_files(documents), key))


def request(kit: Path, **changes: Any) -> PatchRequest:
    """Ask for what the site does every month."""
    facts: dict[str, Any] = {
        "kit": kit,
        "transforms": (RawLinkset(),),
        "trusted": {key.public.key_id: key.public for key in (PUBLISHER, SITE)},
        "created_at": AT,
        "environment": Environment(workers=1),
    }
    return PatchRequest(**(facts | changes))


def output(path: Path | None = None, **changes: Any) -> Output:
    """Sign as the site does, in place if no path is given."""
    return replace(Output(path=path, key=SITE), **changes)


def journal(records: Records) -> bytes:
    """Give the lines of records, with the checksums that go with them."""
    at, lines = Position(), b""
    for kind, body in records:
        line, at = encode_record(kind, body, at)
        lines += line
    return lines


def begun(asked: PatchRequest, wanted: Output) -> dict[str, Any]:
    """Give the first record of the run that is asked for."""
    options = options_of(asked, asked.described(), wanted)
    return BeginRecord(format=FORMAT, tool=TOOL, version=VERSION, options=options).to_json()


def judged(first: dict[str, Any], base: Mapping[str, Any] | None = None) -> list[tuple[str, dict[str, Any]]]:
    """Give the first records of a run that judged its base."""
    return [(BEGIN, first), (JUDGED, {"base": base or {}})]


def ready(kit: Path, made: Path, **changes: Any) -> dict[str, Any]:
    """Give the last record of a run in place that made this."""
    return {
        "work": "kit" if made.is_dir() else "archive",
        "inPlace": True,
        "backup": True,
        "sidecars": {},
        "new": identity(made),
        "old": identity(kit) if kit.exists() else "",
        "keptAs": ".bak.3",
        **({"content": tree_digest(made).hex} if made.is_dir() else {}),
    } | changes


def identity(path: Path) -> str:
    """Tell a kit as a journal does."""
    if path.is_dir():
        return f"inode:{path.stat().st_ino}"
    return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


def job_of(target: Path, records: Records | bytes, *, kind: str = "job") -> Path:
    """Leave a job folder of this user with a lock and this journal: as it would come out of an unpacked archive."""
    with Job(target, kind=kind) as job:
        job.keep = True
        (job.folder / "journal").write_bytes(records if isinstance(records, bytes) else journal(records))
    return target.with_name(f"{target.name}.kit-{kind}")


def finished(kit: Path, made: bytes | Path, **changes: Any) -> Path:
    """Leave the job of a run in place that says to have finished ``made``: the bytes of an archive, or a folder."""
    job = job_of(kit, b"")
    work = job / ("archive" if isinstance(made, bytes) else "kit")
    if isinstance(made, bytes):
        work.write_bytes(made)
    else:
        made.rename(work)
    asked = changes.pop("asked", request(kit))
    records = [*judged(begun(asked, changes.pop("wanted", output()))), (READY, ready(kit, work, **changes))]
    (job / "journal").write_bytes(journal(records))
    return job


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything below a folder: names, kinds, modes, times and contents; links are not followed."""

    entries: Mapping[str, tuple[int, int, str]]

    @classmethod
    def of(cls, folder: Path) -> Snapshot:
        """Take one."""
        found = {}
        for path in [folder, *sorted(folder.rglob("*"))]:
            status = path.lstat()
            content = ""
            if path.is_symlink():
                content = str(path.readlink())
            elif path.is_file():
                content = Sha256.of(path.read_bytes()).hex
            found[str(path.relative_to(folder))] = (status.st_mode, status.st_mtime_ns, content)
        return cls(found)

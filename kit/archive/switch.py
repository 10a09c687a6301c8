"""What a switch is: a finished kit in the job folder, the name it is to get, and how to tell old from new.

It is staged and in the journal before any name changes (:mod:`kit.archive.commit`), so that a later process knows what
an earlier one was about (:mod:`kit.archive.finishing`).
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from kit.archive.disk import sync_folder, write_file, writing
from kit.archive.places import BACKUP, SIDECARS, backup_path, place_beside, require_backup_free, require_free
from kit.archive.tree_digest import tree_digest
from kit.values import Sha256

_DIGEST = "sha256:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch:
    """A finished kit in the job folder, and the name it is to get. Law: ``Switch.of(…, s.to_json()) == s``."""

    work: Path
    target: Path
    in_place: bool
    keep_backup: bool
    sidecars: Mapping[str, str]
    """What is staged beside ``work``, to be put beside ``target``: suffix → SHA-256 of its bytes."""
    new: str
    """Identity of the finished kit: its digest or, of a folder, its inode, which survives every rename."""
    old: str
    """Identity of the kit it replaces; empty with ``--output``."""
    kept_as: str = BACKUP
    """Suffix under which the old kit is kept, if it is."""
    content: str = ""
    """Of a folder, the digest of all that is in it: its inode does not tell whether it is still what was verified."""

    @classmethod
    def of(cls, folder: Path, target: Path, body: Mapping[str, Any]) -> Self:
        """Read the switch of the job in ``folder`` from its journal."""
        return cls(
            work=folder / body["work"],
            target=target,
            in_place=body["inPlace"],
            keep_backup=body["backup"],
            sidecars=dict(body["sidecars"]),
            new=body["new"],
            old=body["old"],
            kept_as=body.get("keptAs", BACKUP),
            content=body.get("content", ""),
        )

    def to_json(self) -> dict[str, Any]:
        """Give what the journal keeps."""
        body = {
            "work": self.work.name,
            "inPlace": self.in_place,
            "backup": self.keep_backup,
            "sidecars": dict(self.sidecars),
            "new": self.new,
            "old": self.old,
        }
        body |= {"content": self.content} if self.content else {}
        return body if self.kept_as == BACKUP else body | {"keptAs": self.kept_as}

    @property
    def new_digest(self) -> Sha256:
        """Of the finished kit, which is an archive."""
        return Sha256(self.new.removeprefix(_DIGEST))

    @property
    def old_digest(self) -> Sha256:
        """Of the kit it replaces, which is an archive."""
        return Sha256(self.old.removeprefix(_DIGEST))

    @property
    def backup(self) -> Path | None:
        """Where the old kit is kept; None where it is not, or where there is none."""
        return backup_path(self.target, self.kept_as) if self.in_place and self.keep_backup else None


def staged(
    work: Path,
    target: Path,
    sidecars: Mapping[str, bytes],
    *,
    new: Sha256 | None,
    old: Sha256 | None = None,
    in_place: bool = False,
    keep_backup: bool = False,
    kept_as: str = BACKUP,
) -> Switch:
    """Do step 1, and give the switch for the journal; ``new`` and ``old`` are digests of archives, None of folders.

    Raises:
        OutputError: What belongs beside the kit could not be written, or a name is taken.
    """
    if not in_place:
        require_free(target)
    elif keep_backup:
        require_backup_free(target, kept_as)
    with writing(work):
        for suffix, data in sidecars.items():
            write_file(work.with_name(f"beside{suffix}"), data)
        sync_folder(work.parent)
        return Switch(
            work=work,
            target=target,
            in_place=in_place,
            keep_backup=keep_backup,
            sidecars={suffix: Sha256.of(data).hex for suffix, data in sidecars.items()},
            new=f"{_DIGEST}{new}" if new is not None else identity_of(work),
            old="" if not in_place else f"{_DIGEST}{old}" if old is not None else identity_of(target),
            kept_as=kept_as,
            content=tree_digest(work).hex if new is None else "",
        )


def has_begun(switch: Switch) -> bool:
    """Whether any name outside the job folder is other than before the switch, so that it must be finished."""
    if not switch.in_place:
        return identity_of(switch.target) == switch.new
    linked = switch.backup is not None and os.path.lexists(switch.backup)
    return linked or bool(parked(switch)) or identity_of(switch.target) != switch.old


def parked(switch: Switch) -> frozenset[Path]:
    """Name what the switch has moved away from beside the kit, and the checksum that it made for the backup.

    When it was staged nothing stood beside the backup's name, unless that was the kit's second. So a signature there is
    the one that the kit had, if it has none; and a checksum is ours, if it is the old kit's.
    """
    places = [switch.work.with_name(f"old{suffix}") for suffix in SIDECARS]
    if switch.backup is not None and switch.old.startswith(_DIGEST):
        if not os.path.lexists(place_beside(switch.target, ".sig")):
            places.append(place_beside(switch.backup, ".sig"))
        checksum = place_beside(switch.backup, ".sha256")
        line = checksum_line(switch.old_digest, switch.backup.name)
        if checksum.is_file() and checksum.stat().st_size == len(line) and checksum.read_bytes() == line:
            places.append(checksum)
    return frozenset(place for place in places if os.path.lexists(place))


def identity_of(path: Path) -> str:
    """Tell what stands under a name: digest of a file, inode of a folder, empty for nothing or anything else."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return ""
    if stat.S_ISDIR(status.st_mode):
        return f"inode:{status.st_ino}"
    if not stat.S_ISREG(status.st_mode):
        return "other"
    with path.open("rb") as file:
        return f"{_DIGEST}{hashlib.file_digest(file, 'sha256').hexdigest()}"


def checksum_line(digest: Sha256, name: str) -> bytes:
    """Make the content of a ``.sha256`` file, as sha256sum writes and checks it."""
    return f"{digest}  {name}\n".encode()

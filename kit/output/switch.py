"""What a switch is: a finished kit in the job folder, the name it is to get, and how to distinguish old from new.

It is staged and in the journal before any name changes (:mod:`kit.output.commit`), so that a later process knows what
an earlier one was about (:mod:`kit.output.commit`).

One digest of a whole folder: names, files and links in it, but not who owns them or when they were written.

What an archive's digest is to an archive: by it a later process can tell whether the folder that was finished is still
what was finished. Law: it depends on what is in the folder alone, not on the order the system gives it in.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from kit.errors import ManifestError
from kit.output.disk import write_file, writing
from kit.output.paths import (
    BACKUP,
    ROLLED_BACK,
    SIDECARS,
    backup_path,
    is_twin,
    place_beside,
    require_backup_free,
    require_free,
)
from kit.output.publish import sync_folder
from kit.values import Sha256
from kit.values.fields import ManifestFields


def tree_digest(folder: Path) -> Sha256:
    """Digest everything below ``folder``; links are not followed.

    Raises:
        OSError: Something cannot be read.
    """
    digest = hashlib.sha256()
    for name, kind, content in _entries(folder):
        # The names come sorted and hold no NUL, and what follows them is of fixed size, so none passes for another.
        digest.update(os.fsencode(name) + b"\0" + kind + content)
    return Sha256(digest.hexdigest())


def _entries(folder: Path) -> Iterator[tuple[str, bytes, bytes]]:
    for place, folders, files in os.walk(folder, onerror=_raise):
        folders.sort()
        for name in sorted([*folders, *files]):
            path = Path(place) / name
            shown = str(path.relative_to(folder))
            if path.is_symlink():
                yield shown, b"l", hashlib.sha256(os.fsencode(path.readlink())).digest()
            elif path.is_dir():
                yield shown, b"d", bytes(32)
            else:
                with path.open("rb") as file:
                    yield shown, b"f", hashlib.file_digest(file, "sha256").digest()


def _raise(error: OSError) -> None:
    raise error


ARCHIVE, FOLDER = "archive", "kit"
"""What a finished kit is called in the job folder."""
_DIGEST, _TREE = "sha256:", "tree:"
_ARCHIVE = re.compile(r"sha256:[0-9a-f]{64}")
_INODE = re.compile(r"(?:inode:[0-9]{1,20}|tree:[0-9a-f]{64})")
_MEMBERS = frozenset({"work", "inPlace", "backup", "sidecars", "new", "old"})
_OPTIONAL = frozenset({"keptAs", "content"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch:
    """A finished kit in the job folder, and the name it is to get. Law: ``Switch.of(…, s.to_json()) == s``."""

    work: Path
    target: Path
    in_place: bool
    keep_backup: bool
    sidecars: Mapping[str, str]
    """What is staged next to ``work``, to be put next to ``target``: suffix → SHA-256 of its bytes."""
    new: str
    """Identity of the finished kit: its digest or, of a folder, its inode, which survives every rename.

    Of a folder that waits outside of the job folder it is the digest of its tree, since FAT keeps no numbers of files.
    """
    old: str
    """Identity of the kit it replaces; empty with ``--output``."""
    kept_as: str = BACKUP
    """Suffix under which the old kit is kept, if it is."""
    content: str = ""
    """Of a folder, the digest of all that is in it: its inode does not show whether it is still what was verified."""

    @classmethod
    def of(cls, folder: Path, target: Path, body: Mapping[str, Any]) -> Self:
        """Read the switch of the job in ``folder`` from its journal; every name in it is one of a few.

        Raises:
            ManifestError: It is no switch that a run puts on record.
        """
        fields = ManifestFields.of(dict(body), "ready")
        fields.exactly(_MEMBERS, _OPTIONAL)
        sidecars = fields.object("sidecars")
        sidecars.exactly((), SIDECARS)
        in_place, is_folder = _flag(fields, "inPlace"), _one_of(fields, "work", (ARCHIVE, FOLDER)) == FOLDER
        return cls(
            work=folder / fields.text("work"),
            target=target,
            in_place=in_place,
            keep_backup=_flag(fields, "backup"),
            sidecars={suffix: str(sidecars.digest(suffix)) for suffix in sidecars.members},
            new=_identity(fields, "new", (_INODE if is_folder else _ARCHIVE,)),
            old=_identity(fields, "old", (_INODE, _ARCHIVE)) if in_place else _one_of(fields, "old", ("",)),
            kept_as=_one_of(fields, "keptAs", (BACKUP, ROLLED_BACK)) if "keptAs" in body else BACKUP,
            content=str(fields.digest("content")) if is_folder else _one_of(fields, "content", (None,)) or "",
        )

    def to_json(self) -> dict[str, Any]:
        """Return what the journal keeps."""
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

    def identity(self, path: Path) -> str:
        """Return the identity of what has a name, in the form of ``new`` and ``old``."""
        return identity_of(path, by_content=self.new.startswith(_TREE))

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
    by_content: bool = False,
) -> Switch:
    """Stage a switch (step 1) and return it for the journal.

    ``new`` and ``old`` are digests of archives, None of folders. With ``by_content``, folders are known by what is in
    them. What is put next to the kit is for those whom ``work`` is for.

    Raises:
        OutputError: What belongs next to the kit could not be written, or a name is taken.
    """
    if not in_place:
        require_free(target)
    elif keep_backup:
        require_backup_free(target, kept_as)
    with writing(work):
        for suffix, data in sidecars.items():
            write_file(work.with_name(f"beside{suffix}"), data, mode=work.lstat().st_mode)
        sync_folder(work.parent)
        return Switch(
            work=work,
            target=target,
            in_place=in_place,
            keep_backup=keep_backup,
            sidecars={suffix: Sha256.of(data).hex for suffix, data in sidecars.items()},
            new=f"{_DIGEST}{new}" if new is not None else identity_of(work, by_content=by_content),
            old=""
            if not in_place
            else f"{_DIGEST}{old}"
            if old is not None
            else identity_of(target, by_content=by_content),
            kept_as=kept_as,
            content=tree_digest(work).hex if new is None else "",
        )


def has_begun(switch: Switch) -> bool:
    """Whether any name outside the job folder is other than before the switch, so that it must be finished."""
    if not switch.in_place:
        return switch.identity(switch.target) == switch.new
    target = switch.identity(switch.target)
    if target not in {"", switch.old, switch.new}:
        # Something else has the name, so nothing can be finished. But the old kit, or what was beside it, may be here.
        kept = [switch.work.with_name(f"old{suffix}") for suffix in ("", *SIDECARS)]
        return switch.identity(switch.work) == switch.old or any(os.path.lexists(place) for place in kept)
    linked = switch.backup is not None and is_twin(switch.target, switch.backup)
    return linked or bool(parked(switch)) or target != switch.old


def parked(switch: Switch) -> frozenset[Path]:
    """Return what the switch has moved away from next to the kit, and the checksum that it made for the backup.

    When it was staged nothing was next to the backup's name, unless that was the kit's second. So a signature there is
    the one that the kit had, if it has none; and a checksum is ours, if it is the old kit's.
    """
    places = [switch.work.with_name(f"old{suffix}") for suffix in SIDECARS]
    if has_own_backup(switch) and switch.backup is not None and switch.old.startswith(_DIGEST):
        if not os.path.lexists(place_beside(switch.target, ".sig")):
            places.append(place_beside(switch.backup, ".sig"))
        checksum = place_beside(switch.backup, ".sha256")
        line = checksum_line(switch.old_digest, switch.backup.name)
        if is_file_of(checksum, line):
            places.append(checksum)
    return frozenset(place for place in places if os.path.lexists(place))


def has_own_backup(switch: Switch) -> bool:
    """Whether what has the backup's name, if anything has, is the old kit, so that this switch put it there."""
    backup = switch.backup
    if backup is None or not os.path.lexists(backup):
        return True
    return is_twin(switch.target, backup) or switch.identity(backup) == switch.old


def is_file_of(path: Path, data: bytes) -> bool:
    """Whether a regular file, and no link to one, holds exactly ``data``."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    with open(descriptor, "rb") as file:  # noqa: PTH123  a descriptor
        return stat.S_ISREG(os.fstat(descriptor).st_mode) and file.read(len(data) + 1) == data


def identity_of(path: Path, *, by_content: bool = False) -> str:
    """Return the identity of what has a name: digest of a file, inode of a folder, empty for nothing or anything else.

    Args:
        path: The name.
        by_content: Whether a folder is known by the digest of its tree.
    """
    try:
        status = path.lstat()
    except FileNotFoundError:
        return ""
    if stat.S_ISDIR(status.st_mode):
        return f"{_TREE}{tree_digest(path)}" if by_content else f"inode:{status.st_ino}"
    if not stat.S_ISREG(status.st_mode):
        return "other"
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:  # noqa: PTH123  a descriptor
        if not os.path.samestat(os.fstat(descriptor), status):
            return "other"
        return f"{_DIGEST}{hashlib.file_digest(file, 'sha256').hexdigest()}"


def _flag(fields: ManifestFields, name: str) -> bool:
    value = fields.members.get(name)
    if not isinstance(value, bool):
        raise ManifestError(f"{fields.place}.{name}: true or false is expected")
    return value


def _one_of(fields: ManifestFields, name: str, allowed: tuple[str | None, ...]) -> Any:
    value = fields.members.get(name)
    if value not in allowed:
        raise ManifestError(f"{fields.place}.{name}: one of {allowed} is expected")
    return value


def _identity(fields: ManifestFields, name: str, forms: tuple[re.Pattern[str], ...]) -> str:
    """Read a digest of an archive, or the inode of a folder."""
    text = fields.text(name)
    if not any(form.fullmatch(text) for form in forms):
        raise ManifestError(f"{fields.place}.{name}: names no archive or folder of the kind that is expected")
    return text


def checksum_line(digest: Sha256, name: str) -> bytes:
    """Return the content of a ``.sha256`` file, as sha256sum writes and checks it.

    A name with a backslash, line feed or carriage return is escaped, which a backslash before the line declares; the
    bytes of one that is not UTF-8 are as they are.
    """
    escaped = name.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
    return ("" if escaped == name else "\\").encode() + f"{digest}  ".encode() + os.fsencode(escaped) + b"\n"

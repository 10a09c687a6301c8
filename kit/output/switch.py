"""What a switch is: a finished kit in the job folder, the name it gets, and what identifies the old kit and the new.

A switch is staged and recorded in the journal before any name changes (:mod:`kit.output.commit`), so a later process
knows what an earlier one was about to do. An archive is identified by its digest, a folder by its inode or by
:func:`tree_digest`, with which a later process can check that a finished folder is still what was finished.
Law: a tree digest covers names, files and links, but not owners and times, and does not depend on the order in which
the system lists them. Stops before the first name outside the job folder changes.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from kit.errors import ManifestError, OutputError
from kit.output.disk import write_file, writing
from kit.output.paths import (
    BACKUP,
    SIDECARS,
    backup_path,
    is_twin,
    path_next_to,
    require_free,
)
from kit.output.publish import sync_folder
from kit.values import Sha256
from kit.values.fields import ManifestFields


def tree_digest(folder: Path) -> Sha256:
    """Return the digest of everything below ``folder``; links are not followed.

    Raises:
        OSError: Something cannot be read.
    """
    digest = hashlib.sha256()
    for name, kind, content in _entries(folder):
        # Names are sorted and have no NUL, and what follows one has a fixed size, so no two trees have the same bytes.
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
"""Names of a finished kit in the job folder."""
_DIGEST, _TREE = "sha256:", "tree:"
_ARCHIVE = re.compile(r"sha256:[0-9a-f]{64}")
_INODE = re.compile(r"(?:inode:[0-9]{1,20}|tree:[0-9a-f]{64})")
_MEMBERS = frozenset({"work", "inPlace", "backup", "sidecars", "new", "old"})
_OPTIONAL = frozenset({"keptAs", "content"})
_KEPT_AS = re.compile(r"\.(?:bak|rolled-back)(?:\.[0-9]{1,19})?")
_NEAR = "name a place on the same file system; a copy elsewhere can be made from there"


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch:
    """A finished kit in the job folder, and the name it gets. Law: ``Switch.of(…, s.to_json()) == s``."""

    work: Path
    target: Path
    in_place: bool
    keep_backup: bool
    sidecars: Mapping[str, str]
    """Sidecars staged next to ``work``, for ``target``: suffix → SHA-256 of its bytes."""
    new: str
    """Identity of the finished kit: its digest or, for a folder, its inode, which survives every rename.

    For a folder staged outside the job folder it is the digest of its tree, since FAT keeps no inodes.
    """
    old: str
    """Identity of the kit it replaces; empty with ``--output``."""
    kept_as: str = BACKUP
    """Suffix of the name under which the old kit is kept, if it is; or the whole path, if the user named one."""
    content: str = ""
    """For a folder, its tree digest: the inode does not show whether it is still what was verified."""

    @classmethod
    def of(cls, folder: Path, target: Path, body: Mapping[str, Any]) -> Self:
        """Return the switch of the job in ``folder`` from its journal record; only known names are accepted.

        Raises:
            ManifestError: It is no switch that a run records.
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
            kept_as=_kept_as(fields) if "keptAs" in body else BACKUP,
            content=str(fields.digest("content")) if is_folder else _one_of(fields, "content", (None,)) or "",
        )

    def to_json(self) -> dict[str, Any]:
        """Return the body of the journal record."""
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
        """Digest of the finished kit, which is an archive."""
        return Sha256(self.new.removeprefix(_DIGEST))

    @property
    def old_digest(self) -> Sha256:
        """Digest of the kit it replaces, which is an archive."""
        return Sha256(self.old.removeprefix(_DIGEST))

    def identity(self, path: Path) -> str:
        """Return the identity of the file or folder at a path, in the form of ``new`` and ``old``."""
        return identity_of(path, by_content=self.new.startswith(_TREE))

    @property
    def backup(self) -> Path | None:
        """Path under which the old kit is kept; None if it is not kept, or if there is none."""
        return backup_path(self.target, self.kept_as) if self.in_place and self.keep_backup else None


def stage(
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

    ``new`` and ``old`` are the digests of archives, None for folders. With ``by_content``, folders are identified by
    their tree digest. Sidecars get the mode of ``work``.

    Raises:
        OutputError: A sidecar could not be written, or a name is taken.
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


def require_backup_free(kit: Path, suffix: str = BACKUP, *, but: Collection[Path] = ()) -> None:
    """Refuse to overwrite a backup of ``kit`` that is another kit.

    A second name that an earlier run gave this same kit is no backup; nor is a copy of it (:func:`is_same_kit`), if its
    sidecars are those of the kit. The paths in ``but``, sidecars of a backup that are ours, are ignored.

    Args:
        kit: The kit that is to be replaced.
        suffix: As of :func:`kit.output.paths.backup_path`.
        but: Paths that may exist.

    Raises:
        OutputError: There is one already, or the kit cannot get a name there.
        UsageError: As :func:`path_next_to`.
    """
    backup = backup_path(kit, suffix)
    if suffix.startswith("/"):
        _require_reachable(kit, backup)
    if not is_twin(kit, backup):
        require_free(
            backup, but=but if not is_same_kit(kit, backup) else {*but, backup, *_expected_sidecars(kit, backup)}
        )


def _require_reachable(kit: Path, backup: Path) -> None:
    try:
        is_near = backup.parent.stat().st_dev == kit.absolute().parent.stat().st_dev
    except OSError as error:
        raise OutputError(f"its folder: {error.strerror or error}", where=str(backup), hint=_NEAR) from error
    if not is_near:
        raise OutputError(
            "is on another file system, and the old kit only gets another name", where=str(backup), hint=_NEAR
        )


def is_same_kit(kit: Path, other: Path) -> bool:
    """Return whether another file or folder, not a link, has the same bytes as the kit."""
    try:
        kinds = {stat.S_IFMT(place.lstat().st_mode) for place in (kit, other)}
        if kinds == {stat.S_IFDIR}:
            return tree_digest(kit) == tree_digest(other)
        return (
            kinds == {stat.S_IFREG}
            and kit.stat().st_size == other.stat().st_size
            and identity_of(kit) == identity_of(other)
        )
    except OSError:
        return False


def _expected_sidecars(kit: Path, backup: Path) -> Iterator[Path]:
    """Yield the sidecars of a copy of the kit that are the same as the run would write there."""
    checksum, signature = (path_next_to(backup, suffix) for suffix in SIDECARS)
    if kit.is_file() and is_file_of(
        checksum, checksum_line(Sha256(identity_of(kit).removeprefix(_DIGEST)), backup.name)
    ):
        yield checksum
    try:
        if is_file_of(signature, path_next_to(kit, ".sig").read_bytes()):
            yield signature
    except OSError:  # the kit has none
        return


def has_begun(switch: Switch) -> bool:
    """Return whether a name outside the job folder has changed, so that the switch must be finished."""
    if not switch.in_place:
        return switch.identity(switch.target) == switch.new
    target = switch.identity(switch.target)
    if target not in {"", switch.old, switch.new}:
        # Something else has the name, so nothing can be finished. But the old kit or its sidecars may be here.
        kept = [switch.work.with_name(f"old{suffix}") for suffix in ("", *SIDECARS)]
        return switch.identity(switch.work) == switch.old or any(os.path.lexists(place) for place in kept)
    linked = switch.backup is not None and is_twin(switch.target, switch.backup)
    return linked or bool(parked_files(switch)) or target != switch.old


def parked_files(switch: Switch) -> frozenset[Path]:
    """Return the old kit's sidecars where the switch has moved them, and the checksum that it made for the backup.

    When the switch was staged, nothing was next to the backup's name, unless that was a second name of the kit. So a
    signature there is the kit's if the kit has none now, and a checksum is ours if it is that of the old kit.
    """
    places = [switch.work.with_name(f"old{suffix}") for suffix in SIDECARS]
    if has_own_backup(switch) and switch.backup is not None and switch.old.startswith(_DIGEST):
        if not os.path.lexists(path_next_to(switch.target, ".sig")):
            places.append(path_next_to(switch.backup, ".sig"))
        checksum = path_next_to(switch.backup, ".sha256")
        line = checksum_line(switch.old_digest, switch.backup.name)
        if is_file_of(checksum, line):
            places.append(checksum)
    return frozenset(place for place in places if os.path.lexists(place))


def has_own_backup(switch: Switch) -> bool:
    """Return whether the backup's name is free or has the old kit, which this switch put there."""
    backup = switch.backup
    if backup is None or not os.path.lexists(backup):
        return True
    return is_twin(switch.target, backup) or switch.identity(backup) == switch.old


def is_file_of(path: Path, data: bytes) -> bool:
    """Return whether a regular file, and no link to one, holds exactly ``data``."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    with open(descriptor, "rb") as file:  # noqa: PTH123  a descriptor
        return stat.S_ISREG(os.fstat(descriptor).st_mode) and file.read(len(data) + 1) == data


def identity_of(path: Path, *, by_content: bool = False) -> str:
    """Return an identity: the digest of a file, the inode of a folder, ``other`` for anything else, or "" for nothing.

    Args:
        path: Path of the file or folder.
        by_content: Whether a folder is identified by its tree digest.
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


def _kept_as(fields: ManifestFields) -> str:
    """Read a suffix, or the path that the user named, which leads nowhere else than it seems to."""
    text = fields.text("keptAs")
    if not _KEPT_AS.fullmatch(text) and not (text.startswith("/") and os.path.normpath(text) == text):
        raise ManifestError(f"{fields.place}.keptAs: names no backup")
    return text


def _identity(fields: ManifestFields, name: str, forms: tuple[re.Pattern[str], ...]) -> str:
    """Return the digest of an archive, or the identity of a folder."""
    text = fields.text(name)
    if not any(form.fullmatch(text) for form in forms):
        raise ManifestError(f"{fields.place}.{name}: names no archive or folder of the kind that is expected")
    return text


def checksum_line(digest: Sha256, name: str) -> bytes:
    """Return the content of a ``.sha256`` file, as sha256sum writes and checks it.

    A name with a backslash, line feed or carriage return is escaped, which a backslash before the line declares. The
    bytes of a name that is not UTF-8 are unchanged.
    """
    escaped = name.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
    return ("" if escaped == name else "\\").encode() + f"{digest}  ".encode() + os.fsencode(escaped) + b"\n"

"""The list of files, in the project's own spelling or in one found in the field (schemas/offline-manifest.md).

An update keeps the spelling of each entry. Ambiguity is refused: two lists that both look like the list of files, two
digests of one file that differ.

The closed world: every file and link is listed, and every listed one is present as listed.

Pure comparison of two lists; the members are read elsewhere.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kit.errors import DigestError, ManifestError
from kit.manifest.location import Link, LinkKind, is_reserved
from kit.values import MemberPath, Sha256
from kit.values.fields import ManifestFields, describe

LIST_NAMES = ("files", "artifacts", "entries", "chunks")
PATH_NAMES = ("path", "name")
DIGEST_NAMES = ("sha256", "digest", "hash")
_PREFIX = "sha256:"


class Shape(enum.Enum):
    """The format of a manifest: this project's own, or a foreign one."""

    OWN = "own"
    FOREIGN = "foreign"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One listed file; ``size`` is None if a foreign manifest has none."""

    path: MemberPath
    sha256: Sha256
    size: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FileList:
    """The name of the list and the spelling of its first entry."""

    shape: Shape
    name: str
    path_name: str
    digest_name: str


def recognise(document: Mapping[str, Any]) -> FileList:
    """Return where and how a document lists its files.

    Raises:
        ManifestError: There is no list, it is empty, there are two, or the document is in the project's own format of
            an unknown version; the message lists the expected names.
    """
    found = [spelled for name in LIST_NAMES for spelled in _candidates(name, document.get(name))]
    if not found:
        raise _nothing_found(document)
    if len(found) > 1:
        raise ManifestError(f"two lists of files: {' and '.join(list_.name for list_ in found)}; which one counts?")
    files = found[0]
    if (files.name, files.path_name, files.digest_name) != ("files", "path", "sha256"):
        return files
    version = document.get("schemaVersion")
    if version == "1":
        return FileList(shape=Shape.OWN, name=files.name, path_name="path", digest_name="sha256")
    if {"schemaVersion", "bundleId", "generation"} <= set(document):
        # Everything but the version is this project's: a later format, whose rules are not known here.
        raise ManifestError(f"schemaVersion {describe(version)} is not known; this program reads '1'")
    return files


def read_entries(document: Mapping[str, Any], files: FileList) -> tuple[Entry, ...]:
    """Return every entry, in the order found.

    Raises:
        ManifestError: An entry is not spelled like the first, a path is refused, listed twice (also in another case or
            normal form) or reserved, a digest is not SHA-256, or a size is not one.
    """
    entries = tuple(
        _entry(ManifestFields.of(value, f"{files.name}[{n}]"), files) for n, value in enumerate(document[files.name])
    )
    seen: dict[str, MemberPath] = {}
    for number, entry in enumerate(entries):
        earlier = seen.setdefault(entry.path.collision_key, entry.path)
        if earlier is not entry.path:
            raise ManifestError(f"{files.name}[{number}]: {entry.path} names the same file as {earlier}")
        if is_reserved(entry.path):
            raise ManifestError(f"{files.name}[{number}]: {entry.path} is kept for manifests and cannot be listed")
    return entries


def respell(item: dict[str, Any], sha256: Sha256, size: int) -> None:
    """Write a new digest and size into a parsed entry, in its spelling; a size only if it had one."""
    for name in _digest_names(item):
        item[name] = _in_spelling_of(item[name], sha256)
    if "size" in item:
        item["size"] = size


def spell_new(entry: Entry, files: FileList, model: dict[str, Any]) -> dict[str, Any]:
    """Return a new entry in the spelling of ``model``, an existing one."""
    if files.shape is Shape.OWN:
        kinds = {"mediaType": "application/octet-stream", "kind": "data"}
        return {"path": str(entry.path), "sha256": str(entry.sha256), "size": entry.size, **kinds}
    spelled: dict[str, Any] = {
        files.path_name: str(entry.path),
        files.digest_name: _in_spelling_of(model[files.digest_name], entry.sha256),
    }
    if "size" in model:
        spelled["size"] = entry.size
    return spelled


def _candidates(name: str, value: object) -> Iterator[FileList]:
    if not isinstance(value, list) or not value or not isinstance(value[0], dict):
        return
    path_name = next((key for key in PATH_NAMES if isinstance(value[0].get(key), str)), None)
    digest_name = next((key for key in DIGEST_NAMES if isinstance(value[0].get(key), str)), None)
    if path_name and digest_name:
        yield FileList(shape=Shape.FOREIGN, name=name, path_name=path_name, digest_name=digest_name)


def _nothing_found(document: Mapping[str, Any]) -> ManifestError:
    empty = [name for name in LIST_NAMES if document.get(name) == []]
    if empty:
        # A signature over an empty list would be valid and worthless.
        return ManifestError(f"the manifest lists no files: {empty[0]!r} is empty")
    return ManifestError(
        "no list of files is recognised: looked for a list under "
        f"{', '.join(LIST_NAMES)} of objects with {' or '.join(PATH_NAMES)} and {' or '.join(DIGEST_NAMES)}"
    )


def _entry(fields: ManifestFields, files: FileList) -> Entry:
    names = _digest_names(fields.members)
    if files.digest_name not in names:
        raise ManifestError(f"{fields.place}.{files.digest_name}: a digest is expected, as in the first entry")
    sha256 = fields.digest("sha256") if files.shape is Shape.OWN else fields.any_digest(files.digest_name)
    for name in names:
        # A patch would leave a second digest stale, unless it is known to be the same one.
        if fields.any_digest(name) != sha256:
            raise ManifestError(f"{fields.place}: {files.digest_name} and {name} differ")
    size = None
    if files.shape is Shape.OWN or "size" in fields.members:
        size = fields.integer("size")
    return Entry(path=fields.member_path(files.path_name), sha256=sha256, size=size)


def _digest_names(item: Mapping[str, Any]) -> list[str]:
    return [name for name in DIGEST_NAMES if name in item]


def _in_spelling_of(found: str, sha256: Sha256) -> str:
    prefix = _PREFIX if found.startswith(_PREFIX) else ""
    digits = found.removeprefix(_PREFIX)
    # A digest without a letter has no case; lower is the usual one.
    upper = digits != digits.lower() and digits == digits.upper()
    return prefix + (str(sha256).upper() if upper else str(sha256))


class FaultKind(enum.Enum):
    """How a member and the manifest disagree."""

    ABSENT = "absent"
    UNLISTED = "unlisted"
    DIGEST = "digest differs"
    SIZE = "size differs"
    LINK = "link differs"


@dataclass(frozen=True, slots=True, order=True, kw_only=True)
class Fault:
    """One disagreement; ``expected`` is the manifest's value and ``found`` the actual one, "" for none."""

    path: MemberPath
    kind: FaultKind
    expected: str
    found: str

    def __str__(self) -> str:
        match self.kind:
            case FaultKind.ABSENT:
                return f"{self.path}: listed in the manifest, but absent"
            case FaultKind.UNLISTED:
                return f"{self.path}: not listed in the manifest"
            case FaultKind.DIGEST | FaultKind.SIZE | FaultKind.LINK:
                return f"{self.path}: {self.kind.value}: {self.found} where the manifest lists {self.expected}"


def compare(entries: Iterable[Entry], members: Mapping[MemberPath, tuple[Sha256, int]]) -> tuple[Fault, ...]:
    """Return the disagreements between the list and the members.

    Args:
        entries: The manifest's list.
        members: Actual digest and size of every member within the closed world (:meth:`Location.is_outside`).

    Returns:
        All faults, by path; for one path, the digest before the size. Empty if the kit agrees with its manifest.
    """
    listed = {entry.path: entry for entry in entries}
    faults: list[Fault] = []
    for path in sorted(listed.keys() | members.keys()):
        entry, found = listed.get(path), members.get(path)
        if entry is None and found is not None:
            faults.append(Fault(path=path, kind=FaultKind.UNLISTED, expected="", found=str(found[0])))
        elif entry is not None and found is None:
            faults.append(Fault(path=path, kind=FaultKind.ABSENT, expected=str(entry.sha256), found=""))
        elif entry is not None and found is not None:
            faults.extend(_differences(entry, *found))
    return tuple(faults)


def compare_links(listed: Iterable[Link], present: Mapping[MemberPath, Link]) -> tuple[Fault, ...]:
    """Return the disagreements between the listed links and those present, by path."""
    due = {link.path: link for link in listed}
    faults: list[Fault] = []
    for path in sorted(due.keys() | present.keys()):
        expected, found = due.get(path), present.get(path)
        if expected == found:
            continue
        kind = FaultKind.UNLISTED if expected is None else FaultKind.ABSENT if found is None else FaultKind.LINK
        faults.append(Fault(path=path, kind=kind, expected=str(expected or ""), found=str(found or "")))
    return tuple(faults)


def find_unpacked_links(
    listed: Iterable[Link], members: Mapping[MemberPath, tuple[Sha256, int]]
) -> dict[MemberPath, Link]:
    """Return the listed hard links that an unpacked kit has as files, recognised by the bytes of their targets."""
    return {
        link.path: link
        for link in listed
        if link.kind is LinkKind.HARD
        and link.path in members
        and members[link.path] == members.get(MemberPath(link.target))
    }


def extra_folders(
    folders: Iterable[MemberPath], listed: Iterable[MemberPath], outside: Iterable[MemberPath]
) -> tuple[MemberPath, ...]:
    """Return the folders that contain neither a listed member nor one outside the closed world."""
    holding: set[str] = set()
    for path in (*listed, *outside):
        folder = path.text.rpartition("/")[0]
        while folder and folder not in holding:
            holding.add(folder)
            folder = folder.rpartition("/")[0]
    return tuple(sorted(folder for folder in folders if folder.text not in holding))


def require(faults: Sequence[Fault]) -> None:
    """Check that there are no faults.

    Raises:
        DigestError: There are; the message has the first and the number of others.
    """
    if faults:
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        raise DigestError(f"{faults[0]}{more}")


def _differences(entry: Entry, sha256: Sha256, size: int) -> list[Fault]:
    faults: list[Fault] = []
    if sha256 != entry.sha256:
        faults.append(Fault(path=entry.path, kind=FaultKind.DIGEST, expected=str(entry.sha256), found=str(sha256)))
    if entry.size is not None and size != entry.size:
        faults.append(Fault(path=entry.path, kind=FaultKind.SIZE, expected=str(entry.size), found=str(size)))
    return faults

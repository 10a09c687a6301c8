"""The closed world: every file and link is listed, and every listed one is present as listed.

Pure comparison of two lists; the members are read elsewhere.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from kit.errors import DigestError
from kit.manifest.links import Link, LinkKind
from kit.manifest.shapes import Entry
from kit.values import MemberPath, Sha256


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

"""The closed world: every file and link is listed, and every listed one is there, as it is listed.

Pure comparison of two lists; who read the members, and how strictly, is not decided here.
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
    """In what way a member and the manifest disagree."""

    ABSENT = "absent"
    UNLISTED = "unlisted"
    DIGEST = "digest differs"
    SIZE = "size differs"
    LINK = "link differs"


@dataclass(frozen=True, slots=True, order=True, kw_only=True)
class Fault:
    """One disagreement; ``expected`` is what the manifest says and ``met`` what is there, "" for nothing."""

    path: MemberPath
    kind: FaultKind
    expected: str
    met: str

    def __str__(self) -> str:
        match self.kind:
            case FaultKind.ABSENT:
                return f"{self.path}: listed in the manifest, but absent"
            case FaultKind.UNLISTED:
                return f"{self.path}: not listed in the manifest"
            case FaultKind.DIGEST | FaultKind.SIZE | FaultKind.LINK:
                return f"{self.path}: {self.kind.value}: {self.met} where the manifest says {self.expected}"


def compare(entries: Iterable[Entry], members: Mapping[MemberPath, tuple[Sha256, int]]) -> tuple[Fault, ...]:
    """Compare what is listed with what is there.

    Args:
        entries: The manifest's list.
        members: Digest and size, as met, of every member but those ``Location.is_outside`` names.

    Returns:
        All faults, by path; of one path, the digest before the size. Empty when the kit is what the manifest says.
    """
    listed = {entry.path: entry for entry in entries}
    faults: list[Fault] = []
    for path in sorted(listed.keys() | members.keys()):
        entry, met = listed.get(path), members.get(path)
        if entry is None and met is not None:
            faults.append(Fault(path=path, kind=FaultKind.UNLISTED, expected="", met=str(met[0])))
        elif entry is not None and met is None:
            faults.append(Fault(path=path, kind=FaultKind.ABSENT, expected=str(entry.sha256), met=""))
        elif entry is not None and met is not None:
            faults.extend(_differences(entry, *met))
    return tuple(faults)


def compare_links(listed: Iterable[Link], met: Mapping[MemberPath, Link]) -> tuple[Fault, ...]:
    """Compare the links that are listed with those that are there; all faults, by path."""
    due = {link.path: link for link in listed}
    faults: list[Fault] = []
    for path in sorted(due.keys() | met.keys()):
        expected, found = due.get(path), met.get(path)
        if expected == found:
            continue
        kind = FaultKind.UNLISTED if expected is None else FaultKind.ABSENT if found is None else FaultKind.LINK
        faults.append(Fault(path=path, kind=kind, expected=str(expected or ""), met=str(found or "")))
    return tuple(faults)


def unpacked_links(listed: Iterable[Link], members: Mapping[MemberPath, tuple[Sha256, int]]) -> dict[MemberPath, Link]:
    """Return the hard links that files of an unpacked kit are, which nothing but their bytes tells from other files."""
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
    """Return the folders that hold nothing of what is listed, or of what is outside the closed world."""
    holding: set[str] = set()
    for path in (*listed, *outside):
        folder = path.text.rpartition("/")[0]
        while folder and folder not in holding:
            holding.add(folder)
            folder = folder.rpartition("/")[0]
    return tuple(sorted(folder for folder in folders if folder.text not in holding))


def require(faults: Sequence[Fault]) -> None:
    """Turn faults into an error.

    Raises:
        DigestError: There are any; names the first and how many more there are.
    """
    if faults:
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        raise DigestError(f"{faults[0]}{more}")


def _differences(entry: Entry, sha256: Sha256, size: int) -> list[Fault]:
    faults: list[Fault] = []
    if sha256 != entry.sha256:
        faults.append(Fault(path=entry.path, kind=FaultKind.DIGEST, expected=str(entry.sha256), met=str(sha256)))
    if entry.size is not None and size != entry.size:
        faults.append(Fault(path=entry.path, kind=FaultKind.SIZE, expected=str(entry.size), met=str(size)))
    return faults

"""Where symbolic links lead, through each other: none may lead out of the kit (schemas/archive.md, "Links").

A link is followed as a system follows it, not by its text alone: ``a -> b`` and ``b/.. -> …`` are harmless each by
itself. Links may come in any order, so they are followed once all are known. Law: each is followed once, and what that
takes is bounded by the parts of all targets together.
"""

from __future__ import annotations

from dataclasses import dataclass

from kit.errors import ArchiveError
from kit.values import Limits, MemberPath

MAX_FOLLOWED = 40
"""Links passed on the way to one place: as many as Linux follows (path_resolution(7))."""


def check_target(path: MemberPath, target: str) -> MemberPath | None:
    """Check what a symbolic link says; returns the names in it, None where it has none (``..``).

    ``.`` and ``..`` are taken as written, from the folder that the link is in; one slash may end it.

    Raises:
        ArchiveError: It is empty, absolute, leaves the kit, has an empty part or one that no member may be called.
    """
    parts = target.removesuffix("/").split("/")
    if not target or "" in parts:
        raise ArchiveError("is empty, absolute, or has an empty part")
    depth = path.text.count("/")
    for part in parts:
        depth += {".": 0, "..": -1}.get(part, 1)
        if depth < 0:
            raise ArchiveError("leads out of the kit")
    names = "/".join(part for part in parts if part not in {".", ".."})
    return MemberPath.parse(names) if names else None


@dataclass(frozen=True, slots=True)
class _End:
    """Where a link leads."""

    place: str
    """As a collision key: a file system that folds case follows a link of another case."""
    followed: int
    """Links passed, itself included."""


class LinkTargets:
    """The symbolic links of one kit."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._links: dict[str, tuple[MemberPath, str]] = {}
        self._ends: dict[str, _End] = {}
        self._bytes = 0

    def add(self, path: MemberPath, target: str) -> None:
        """Take in one link, whose target :func:`check_target` has accepted.

        Raises:
            LimitError: The targets have more bytes together than names may have.
        """
        self._count(target)
        self._links[path.collision_key] = path, target

    def check(self) -> None:
        """Follow every link.

        Raises:
            ArchiveError: One leads out of the kit, in a circle, or through too many others; names it.
            LimitError: The places they lead to are longer than names may be.
        """
        for key, (path, target) in self._links.items():
            try:
                self._follow(key, 1)
            except ArchiveError as error:
                raise type(error)(f"links to {target!r}: {error.what}", where=str(path), hint=error.hint) from error

    def _follow(self, key: str, depth: int) -> _End:
        if key in self._ends:
            return self._ends[key]
        path, target = self._links[key]
        place = path.collision_key.rpartition("/")[0]
        followed = 1
        for part in target.split("/"):
            if part == "..":
                if not place:
                    raise ArchiveError("leads out of the kit through another link")
                place = place.rpartition("/")[0]
            elif part not in {"", "."}:
                name = MemberPath(part).collision_key
                place = f"{place}/{name}" if place else name
                self._limits.check("path_bytes", len(place))
            if place in self._links and part not in {"", ".", ".."}:
                if depth == MAX_FOLLOWED:
                    raise ArchiveError(f"leads through more than {MAX_FOLLOWED} links, or in a circle")
                end = self._follow(place, depth + 1)
                place, followed = end.place, followed + end.followed
        if followed > MAX_FOLLOWED:
            raise ArchiveError(f"leads through more than {MAX_FOLLOWED} links")
        self._count(place)
        self._ends[key] = _End(place, followed)
        return self._ends[key]

    def _count(self, text: str) -> None:
        self._bytes += len(text)
        self._limits.check("names_bytes", self._bytes)

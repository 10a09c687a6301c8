"""The check that a run writes nowhere where it reads, or writes something else: before anything is done.

Two paths are one place if one file has both names (device and inode: hard links, symbolic links, ``./`` and ``..``,
folders mounted twice). What is not there yet is compared by its folder and its name, where case, trailing dots and the
Unicode form do not count: some file systems ignore them. Law: no error unless one of the two is written.
"""

from __future__ import annotations

import os
import stat
import unicodedata
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, auto
from itertools import combinations
from pathlib import Path

from kit.errors import UsageError
from kit.values.suffixes import SIDECARS

_MAX_LINKS = 40
"""As many as Linux follows (path_resolution(7))."""
_NAME_MAX = 255

_Key = tuple[object, ...]


class Use(Enum):
    """What is done at a place."""

    READ = auto()
    WRITE = auto()
    WORK = auto()
    """A folder that is emptied and removed."""
    ROOM = auto()
    """A folder in which something is made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One place that a command reads or writes, and what it is to the path that the user named."""

    path: Path
    use: Use
    parameter: str
    role: str
    keys: frozenset[_Key]
    above: frozenset[_Key]

    @property
    def phrase(self) -> str:
        """The place in words."""
        return f"the {self.role} of {self.parameter}" if self.role else self.parameter


def require_apart(claims: Sequence[Claim]) -> None:
    """Refuse two places that are one, or one inside of the other, where one of them is written.

    Raises:
        UsageError: Names the place and both parameters.
    """
    for one, other in combinations(claims, 2):
        if one.parameter != other.parameter:
            _require_apart(one, other)


def require_output_apart(output: Path, inputs: Mapping[str, Path], *, kind: str = "job") -> None:
    """Refuse an output at, within or around what is read, what is beside it and the folders of its run included.

    The command line compares all that its parameters declare; this is for callers of the library.

    Args:
        output: A kit or a delta that is written.
        inputs: Kits and deltas that are read, by what the caller calls them.
        kind: Of the folders of its run, as of :class:`kit.archive.job.Job`.

    Raises:
        UsageError: Names both.
    """
    jobs = (f".kit-{kind}", ".kit-done" if kind == "job" else f".kit-{kind}-done")
    claims = [claim_of(_beside(output, suffix), Use.WRITE, "output", suffix) for suffix in ("", *SIDECARS)]
    claims += [claim_of(_beside(output, suffix), Use.WORK, "output", suffix) for suffix in jobs]
    for name, path in inputs.items():
        claims += [claim_of(_beside(path, suffix), Use.READ, name, suffix) for suffix in ("", *SIDECARS)]
    require_apart(claims)


def _beside(path: Path, suffix: str) -> Path:
    settled = path if path.name not in {"", ".."} else Path(os.path.realpath(path))
    return settled.parent / f"{settled.name}{suffix}"


def claim_of(path: Path, use: Use, parameter: str, role: str = "") -> Claim:
    """Return the claim that ``parameter`` makes on ``path``, which is its ``role``; without one, what was named."""
    return Claim(path=path, use=use, parameter=parameter, role=role, keys=keys_of(path), above=above(path))


def _require_apart(one: Claim, other: Claim) -> None:
    if {one.use, other.use} in ({Use.READ}, {Use.ROOM}):
        return
    if one.keys & other.keys:
        alike = one.path.name != other.path.name and _is_free(one) and _is_free(other)
        are = "have names that some file systems take for one" if alike else "are one place"
        raise UsageError(
            f"{one.phrase} and {other.phrase} {are}, and it would be written",
            where=str(other.path),
            hint=_way_out(one, other),
        )
    for inner, outer in ((one, other), (other, one)):
        if (
            outer.use is not Use.ROOM
            and (inner.use is not Use.READ or outer.use is Use.WORK)
            and inner.above & outer.keys
        ):
            what = "the kit that is read" if outer.use is Use.READ and not outer.role else outer.phrase
            raise UsageError(
                f"{inner.phrase} would be inside {what}", where=str(inner.path), hint=_way_out(inner, outer)
            )


def _is_free(claim: Claim) -> bool:
    return not os.path.lexists(claim.path)


def _way_out(one: Claim, other: Claim) -> str:
    """Name the parameter to change: an option, and one that writes something besides the kit, if there is one."""
    ranked = sorted(
        (one, other),
        key=lambda claim: (not claim.parameter.startswith("-"), claim.use is Use.READ, claim.parameter == "--output"),
    )
    return f"choose another place for {ranked[0].parameter}"


def require_short(claim: Claim) -> None:
    """Refuse a name to which what is put beside it cannot be added: the system would, after the work."""
    try:
        longest = os.pathconf(claim.path.parent, "PC_NAME_MAX")
    except (OSError, ValueError):
        longest = _NAME_MAX
    length = len(os.fsencode(claim.path.name))
    if length > longest:
        raise UsageError(
            f"{claim.phrase} would have a name of {length} bytes, and {longest} are the most here",
            where=str(claim.path),
            hint=f"choose a shorter name for {claim.parameter}",
        )


def keys_of(path: Path) -> frozenset[_Key]:
    """Return every way to tell which place a path is; two paths are one place if they share one."""
    keys: set[_Key] = set()
    for _ in range(_MAX_LINKS):
        if path.name in {"", ".."}:
            path = Path(os.path.realpath(path))
        folder = _folder(path.parent)
        try:
            status = path.lstat()
        except (OSError, ValueError):
            keys.add(("free", *folder, _folded(path.name)))
            break
        keys |= {("named", *folder, path.name), ("file", status.st_dev, status.st_ino)}
        if not stat.S_ISLNK(status.st_mode):
            break
        with suppress(OSError):  # it leads nowhere yet
            keys.add(_file(path.stat()))
        try:
            path = path.parent / path.readlink()  # replaced, the link would lead elsewhere; and so would the next
        except OSError:
            break
    return frozenset(keys)


def above(path: Path) -> frozenset[_Key]:
    """Return the keys of every folder that a path is in."""
    real = Path(os.path.realpath(path.parent))
    return frozenset(key for folder in (real, *real.parents) for key in keys_of(folder))


def _folder(folder: Path) -> _Key:
    """Return which folder one is: device and inode of it or, where it is not there, of the nearest above and names."""
    real = os.path.realpath(folder)
    missing: list[str] = []
    while True:
        try:
            return (*_file(os.stat(real))[1:], *missing)  # noqa: PTH116  text throughout
        except OSError:
            above, name = os.path.split(real)
            if above == real:
                return (real, *missing)
            real, missing = above, [_folded(name), *missing]


def _file(status: os.stat_result) -> _Key:
    return ("file", status.st_dev, status.st_ino)


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold()).rstrip(" .")

"""A sequence of flags as lengths of runs: no, yes, no, yes … (schemas/patch-provenance.md, "Documents").

A patch changes nearly all documents of a collection or nearly none, so a few numbers state which. Laws:
``RunLengths.of(flags).flags() == flags``; one spelling for each sequence; the result of ``join`` does not depend on
where a sequence was cut.

Names of what is counted: a word, or the outcome of the values of one field.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, Self, TypeAlias


@dataclass(frozen=True, slots=True)
class RunLengths:
    """Lengths of alternating runs; the first is of "no" and may be 0, the others may not."""

    lengths: tuple[int, ...] = ()

    @classmethod
    def of(cls, flags: Iterable[bool]) -> Self:
        """Return the run lengths of flags."""
        return cls.join((flag, len(list(group))) for flag, group in itertools.groupby(flags))

    @classmethod
    def join(cls, runs: Iterable[tuple[bool, int]]) -> Self:
        """Return the run lengths of runs, which may be empty or have neighbours of the same flag."""
        lengths: list[int] = []
        for flag, length in runs:
            if not length:
                continue
            if not lengths and flag:
                lengths.append(0)
            if lengths and (len(lengths) % 2 == 0) == flag:
                lengths[-1] += length
            else:
                lengths.append(length)
        return cls(tuple(lengths))

    @classmethod
    def union(cls, *sequences: RunLengths) -> Self:
        """Return what is "yes" in any of the sequences, as long as the longest of them."""
        # The edges of every run of "yes", in order: between two edges the flag is whether any run is open.
        edges: dict[int, int] = {}
        for one in sequences:
            at = 0
            for flag, length in one.runs():
                if flag:
                    edges[at] = edges.get(at, 0) + 1
                    edges[at + length] = edges.get(at + length, 0) - 1
                at += length
        joined: list[tuple[bool, int]] = []
        at = is_open = 0
        for edge in sorted(edges):
            joined.append((is_open > 0, edge - at))
            at, is_open = edge, is_open + edges[edge]
        joined.append((False, max((one.total for one in sequences), default=0) - at))
        return cls.join(joined)

    @property
    def is_canonical(self) -> bool:
        """Whether this is the one spelling of its sequence."""
        return all(self.lengths[1:]) and self.lengths != (0,) and all(length >= 0 for length in self.lengths)

    @property
    def total(self) -> int:
        """The number of flags."""
        return sum(self.lengths)

    @property
    def chosen(self) -> int:
        """The number of "yes"."""
        return sum(self.lengths[1::2])

    def runs(self) -> Iterator[tuple[bool, int]]:
        """Return pairs (flag, length), in order."""
        return ((bool(number % 2), length) for number, length in enumerate(self.lengths))

    def flags(self) -> list[bool]:
        """Return the flags one by one."""
        return [flag for flag, length in self.runs() for _ in range(length)]


class RunLengthsReader:
    """Splits a sequence into pieces."""

    def __init__(self, whole: RunLengths) -> None:
        self._left = whole.runs()
        self._flag, self._length = False, 0

    def take(self, count: int) -> RunLengths:
        """Return the next ``count`` flags; fewer at the end."""
        taken: list[tuple[bool, int]] = []
        while count:
            if not self._length:
                following = next(self._left, None)
                if following is None:
                    break
                self._flag, self._length = following
                continue
            length = min(count, self._length)
            taken.append((self._flag, length))
            count -= length
            self._length -= length
        return RunLengths.join(taken)


class FieldOutcome(NamedTuple):
    """An outcome of the values of one field of one collection."""

    outcome: str
    collection: str
    """``db.collection``."""
    field: str

    def __str__(self) -> str:
        """Return ``outcome/db.collection/field``: the name in reports and in the provenance."""
        return "/".join(self)


CountName: TypeAlias = str | FieldOutcome

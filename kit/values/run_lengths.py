"""Which of a sequence, as lengths of runs: no, yes, no, yes … (schemas/patch-provenance.md, "Documents").

A patch changes nearly all documents of a collection or nearly none, so a few numbers say which. Laws:
``RunLengths.of(flags).flags() == flags``; one spelling for each sequence; the result of ``joined`` does not depend on
where a sequence was cut.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class RunLengths:
    """Lengths of alternating runs, the first of which is "no" and may be 0; the others are not."""

    lengths: tuple[int, ...] = ()

    @classmethod
    def of(cls, flags: Iterable[bool]) -> Self:
        """Take flags."""
        return cls.joined((flag, len(list(group))) for flag, group in itertools.groupby(flags))

    @classmethod
    def joined(cls, runs: Iterable[tuple[bool, int]]) -> Self:
        """Join runs, neighbours of one flag and empty ones included."""
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
        """Return what is "yes" in any of these, as long as the longest of them."""
        # Where a run of "yes" begins and ends, of all of them in order: how many are open says what holds between.
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
        return cls.joined(joined)

    @property
    def is_canonical(self) -> bool:
        """Whether this is the one spelling of its sequence."""
        return all(self.lengths[1:]) and self.lengths != (0,) and all(length >= 0 for length in self.lengths)

    @property
    def total(self) -> int:
        """How many there are."""
        return sum(self.lengths)

    @property
    def chosen(self) -> int:
        """How many are "yes"."""
        return sum(self.lengths[1::2])

    def runs(self) -> Iterator[tuple[bool, int]]:
        """Give (flag, length), in order."""
        return ((bool(number % 2), length) for number, length in enumerate(self.lengths))

    def flags(self) -> list[bool]:
        """Give one flag for each."""
        return [flag for flag, length in self.runs() for _ in range(length)]


class RunLengthsReader:
    """Gives a sequence out piece by piece."""

    def __init__(self, whole: RunLengths) -> None:
        self._left = whole.runs()
        self._flag, self._length = False, 0

    def take(self, count: int) -> RunLengths:
        """Give the next ``count``; fewer at the end."""
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
        return RunLengths.joined(taken)

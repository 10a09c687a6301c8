"""Runs: whole documents, back to back, the unit that workers get."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from kit.documents.width import elements_in

_WIDE_BYTES = 1 << 20
_ELEMENT_BYTES = 250
"""The memory of an element in an index: its name, the place of its value, and its entry in a table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Consecutive documents of a member. Law: ``b"".join(run) == run.data``."""

    first: int = 0
    """Ordinal of the first document in the member, from 0."""
    offset: int = 0
    """Offset of the first document in the decoded member."""
    data: bytes
    """The documents, back to back."""
    ends: tuple[int, ...]
    """Offset after each document, within ``data``; the last one is the length of ``data``."""

    @classmethod
    def of(cls, documents: Iterable[bytes]) -> Run:
        """Return documents as a run; a run is returned as it is."""
        if isinstance(documents, cls):
            return documents
        parts = tuple(documents)
        return cls(data=b"".join(parts), ends=tuple(itertools.accumulate(map(len, parts))))

    def __len__(self) -> int:
        return len(self.ends)

    @property
    def weight(self) -> int:
        """Bytes of memory that work on the run takes: for a wide document many times its size."""
        if max(map(operator.sub, self.ends, (0, *self.ends[:-1])), default=0) < _WIDE_BYTES:
            return len(self.data)
        return len(self.data) + _ELEMENT_BYTES * elements_in(self.data, exactly=True)

    def document(self, number: int) -> bytes:
        """Return one of the documents."""
        return self.data[self.ends[number - 1] if number else 0 : self.ends[number]]

    def __iter__(self) -> Iterator[bytes]:
        start = 0
        for end in self.ends:
            yield self.data[start:end]
            start = end

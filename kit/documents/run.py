"""Whole documents that follow each other: the unit that is handed to workers."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from kit.documents.width import elements_in

_WIDE_BYTES = 1 << 20
_ELEMENT_BYTES = 250
"""Of an element that is looked up: its name, where its value is, and its place in a table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Whole documents that follow each other in a member. Law: ``b"".join(run) == run.data``."""

    first: int = 0
    """Ordinal of the first document in the member, from 0."""
    offset: int = 0
    """Offset of the first document in the decoded member."""
    data: bytes
    """The documents, back to back."""
    ends: tuple[int, ...]
    """Offset after each document, within ``data``; the last one is its length."""

    @classmethod
    def of(cls, documents: Iterable[bytes]) -> Run:
        """Return documents as a run; one that is a run already is given back."""
        if isinstance(documents, cls):
            return documents
        parts = tuple(documents)
        return cls(data=b"".join(parts), ends=tuple(itertools.accumulate(map(len, parts))))

    def __len__(self) -> int:
        return len(self.ends)

    @property
    def weight(self) -> int:
        """Bytes of memory that the run takes while it is worked on: a wide document many times its own."""
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

"""One level of many documents that mostly have the same names: those of the latest are remembered, not looked up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

from kit.transforms.raw_linkset.direct.scanning import Doubt, closed, end_of_value, is_name, value_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mypy_extensions import i64

_MOST: Final = 64
"""Names of a level that are remembered; one with more is left to the twin."""


@final
class Mark:
    """Where an element of the latest document stands.

    Attributes:
        kind: Its type; 0 where the document has no such element.
        start: Offset of the value's first byte.
        end: Offset after the value.
    """

    def __init__(self) -> None:
        """Mark nothing."""
        self.kind: i64 = 0
        self.start: i64 = 0
        self.end: i64 = 0


@final
class Level:
    """Walks one level; law: what it marks is what ``index`` finds, and what that refuses is a :class:`Doubt`.

    That no name is there twice was seen when the names were learnt, and is so as long as a document has the same ones,
    in their order. Names compare faster than tables are made.
    """

    def __init__(self, wanted: Sequence[bytes]) -> None:
        """Mark the elements of these names; :attr:`marks` has them in this order."""
        self.marks = [Mark() for _ in wanted]
        self._wanted = {name + b"\0": mark for name, mark in zip(wanted, self.marks, strict=True)}
        self._other = Mark()
        self._names: list[bytes] = []
        self._places: list[Mark] = []

    def walk(self, buffer: bytes, start: i64, last: i64) -> None:
        """Mark what is wanted of the document at ``start`` whose final NUL is at ``last``.

        Raises:
            Doubt: It is odd, or repeats a name.
            IndexError: It is cut.
        """
        if not self._walk(buffer, start, last):
            self._learn(buffer, start, last)
            if not self._walk(buffer, start, last):
                raise Doubt

    def clear(self) -> None:
        """Mark nothing: the document has no such level."""
        for mark in self.marks:
            mark.kind = 0

    def _walk(self, buffer: bytes, start: i64, last: i64) -> bool:
        self.clear()
        names, places = self._names, self._places
        count: i64 = len(names)
        place: i64 = 0
        at: i64 = start + 4
        while at < last:
            if place >= count:
                return False
            name = names[place]
            if not is_name(buffer, at, name):
                return False
            value: i64 = at + 1 + len(name)
            end = end_of_value(buffer, at, value, last)
            mark = places[place]
            mark.kind, mark.start, mark.end = buffer[at], value, end
            at = end
            place += 1
        closed(at, last)
        return True

    def _learn(self, buffer: bytes, start: i64, last: i64) -> None:
        names: list[bytes] = []
        at: i64 = start + 4
        while at < last:
            value = value_of(buffer, at)
            end = end_of_value(buffer, at, value, last)
            names.append(buffer[at + 1 : value])
            at = end
        closed(at, last)
        if len(names) > _MOST or len(set(names)) < len(names):
            raise Doubt
        self._names = names
        self._places = [self._wanted.get(name, self._other) for name in names]

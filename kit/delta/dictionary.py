"""What of the base the packed streams of a segment may repeat, and how little of it will do.

References, and the older selves of changed documents, taken apart like documents that are said. Where much is changed,
what is said repeats few columns of the older selves: those are chosen by a sample, named in the segment, and
picked out of the others, which takes a tenth of the time. Laws: builder and reader make the same bytes of the same
documents and places; a choice depends on the documents alone, and decides only how small a segment gets.
"""

from __future__ import annotations

from collections.abc import Sequence

from kit.delta.columns import STRING, Place, joined
from kit.delta.gathering import Gathered
from kit.delta.picking import MOST_PATH_BYTES, MOST_PLACES, Picker

_SCRIPT_BYTES = 128 * 1024
_SAMPLE = 16
_SHORTEST = 3
"""Texts of fewer bytes stand everywhere."""
_WORTH_IT = 20
"""A column is chosen if one in so many of the texts of a column that is said are in it."""


class Dictionary:
    """See the module docstring."""

    def __init__(self, references: Sequence[bytes], olds: Sequence[bytes], *, picking: bool) -> None:
        """Take ``references`` apart, and ``olds`` too unless only columns of them are picked."""
        self._olds = olds
        self._picking = picking
        self._gathered = Gathered.of(references if picking else (*references, *olds))
        self._columns: dict[tuple[Place, ...], bytes] = {}

    @property
    def script(self) -> bytes:
        """What scripts may repeat."""
        return bytes(self._gathered.script[-_SCRIPT_BYTES:])

    def columns(self, places: tuple[Place, ...]) -> bytes:
        """Give what columns may repeat, with those at ``places`` of the older selves if they are picked."""
        found = self._columns.get(places)
        if found is None:
            table = self._gathered.node.table
            if self._picking:
                picker = Picker(places)
                for old in self._olds:
                    picker.add(old)
                table = {
                    **table,
                    **{place: table.get(place, bytearray()) + column for place, column in picker.table.items()},
                }
            found = self._columns[places] = joined(table)
        return found


def choose(olds: Sequence[bytes], documents: Sequence[bytes]) -> tuple[Place, ...]:
    """Choose the columns of ``olds`` that ``documents``, made of them one by one, will repeat; sorted."""
    older, said = Gathered(), Gathered()
    step = max(1, len(olds) // _SAMPLE)
    for old, document in zip(olds[::step], documents[::step], strict=True):
        if older.add_carefully(old, None):
            said.add_carefully(document, old)
    table = {place: column for place, column in older.node.table.items() if len(place[0]) <= MOST_PATH_BYTES}
    offered = {place: texts for place, column in table.items() if (texts := _texts(place, column))}
    chosen = {place for place in said.node.table if place in table}
    for place, column in sorted(said.node.table.items()):
        _cover(_texts(place, column), offered, chosen)
    return tuple(sorted(chosen)[:MOST_PLACES])


def _cover(wanted: set[bytes], offered: dict[Place, set[bytes]], chosen: set[Place]) -> None:
    """Choose columns until few of the wanted texts are left that any has: always the one that has most of them."""
    few = len(wanted) / _WORTH_IT
    while wanted and offered:
        best = max(offered, key=lambda place: (len(wanted & offered[place]), place in chosen, place))
        met = wanted & offered[best]
        if len(met) <= few:
            return
        chosen.add(best)
        wanted -= met


def _texts(place: Place, column: bytearray) -> set[bytes]:
    if place[1] != STRING:
        return set()
    return {text for text in bytes(column).split(b"\0") if len(text) >= _SHORTEST}

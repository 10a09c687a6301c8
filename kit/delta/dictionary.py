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
from kit.documents import core

_SCRIPT_BYTES = 128 * 1024
_SAMPLE = 16
_SHORTEST = 3
"""Texts of fewer bytes stand everywhere."""
_WORTH_IT = 20
"""A column is chosen if one in so many of the texts of a column that is said are in it."""


class Dictionary:
    """See the module docstring."""

    def __init__(self, references: Sequence[bytes], olds: Sequence[bytes], *, picking: bool) -> None:
        """Take of ``references`` everything, and of ``olds`` too unless only columns of them are picked."""
        self._references = references
        self._olds = olds
        self._picking = picking
        self._gathered: Gathered | None = None
        self._script: bytes | None = None
        self._columns: dict[tuple[Place, ...], bytes] = {}

    @property
    def script(self) -> bytes:
        """What scripts may repeat."""
        if self._script is None:
            self.columns(())
        return self._script or b""

    def columns(self, places: tuple[Place, ...]) -> bytes:
        """Return what columns may repeat, with those at ``places`` of the older selves if they are picked."""
        found = self._columns.get(places)
        if found is None:
            script, found = self._by_core(places) or self._by_reference(places)
            self._columns[places] = found
            self._script = script[-_SCRIPT_BYTES:]
        return found

    def _by_core(self, places: tuple[Place, ...]) -> tuple[bytes, bytes] | None:
        if core.delta_dictionary is None:
            return None
        # Without places the older selves are not looked into.
        olds = self._olds if places or not self._picking else ()
        return core.delta_dictionary(self._references, olds, places if self._picking else None)

    def _by_reference(self, places: tuple[Place, ...]) -> tuple[bytes, bytes]:
        if self._gathered is None:
            self._gathered = Gathered.of(self._references if self._picking else (*self._references, *self._olds))
        gathered = self._gathered
        table = gathered.node.table
        if self._picking:
            picker = Picker(places)
            for old in self._olds if places else ():
                picker.add(old)
            picked = {place: table.get(place, bytearray()) + column for place, column in picker.table.items()}
            table = {**table, **picked}
        return bytes(gathered.script), joined(table)


def choose(olds: Sequence[bytes], documents: Sequence[bytes]) -> tuple[Place, ...]:
    """Return the columns of ``olds`` that ``documents``, made of them one by one, will repeat; sorted."""
    step = max(1, len(olds) // _SAMPLE)
    olds, documents = olds[::step], documents[::step]
    if core.delta_choose is not None:
        found = core.delta_choose(olds, documents, MOST_PLACES, MOST_PATH_BYTES)
        if found is not None:
            return tuple(found)
    return choose_by_reference(olds, documents)


def choose_by_reference(olds: Sequence[bytes], documents: Sequence[bytes]) -> tuple[Place, ...]:
    """Return what :func:`choose` does, of all pairs."""
    older, said = Gathered(), Gathered()
    for old, document in zip(olds, documents, strict=True):
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

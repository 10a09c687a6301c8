"""The zstd dictionary of a segment: what its packed streams may repeat of the base.

It is made of references and of the earlier versions of changed documents, split into columns like the documents that
are encoded. Where much is changed, few columns of the earlier versions are repeated. Those are chosen from a sample and
named in the segment, and only they are extracted, which takes a tenth of the time. Laws: builder and reader make the
same bytes of the same documents and places; a choice depends on the documents alone, and decides only how small a
segment gets.
"""

from __future__ import annotations

from collections.abc import Sequence

from kit.delta.columns import STRING, Place, join_columns
from kit.delta.gathering import StreamBuilder
from kit.delta.picking import MAX_PATH_BYTES, MAX_PLACES, Picker
from kit.documents import core

_SCRIPT_BYTES = 128 * 1024
_SAMPLE = 16
_MIN_TEXT = 3
"""Shorter texts occur everywhere."""
_WORTH_IT = 20
"""A column is chosen if it holds one in so many of the texts of an encoded column."""


class Dictionary:
    """See the module docstring."""

    def __init__(self, references: Sequence[bytes], olds: Sequence[bytes], *, picking: bool) -> None:
        """Use all of ``references``; of ``olds`` only picked columns with ``picking``, else everything."""
        self._references = references
        self._olds = olds
        self._picking = picking
        self._builder: StreamBuilder | None = None
        self._script: bytes | None = None
        self._columns: dict[tuple[Place, ...], bytes] = {}

    @property
    def script(self) -> bytes:
        """The dictionary of scripts."""
        if self._script is None:
            self.columns(())
        return self._script or b""

    def columns(self, places: tuple[Place, ...]) -> bytes:
        """Return the dictionary of columns; with ``picking``, only columns at ``places`` are taken of ``olds``."""
        found = self._columns.get(places)
        if found is None:
            script, found = self._by_core(places) or self._by_reference(places)
            self._columns[places] = found
            self._script = script[-_SCRIPT_BYTES:]
        return found

    def _by_core(self, places: tuple[Place, ...]) -> tuple[bytes, bytes] | None:
        if core.delta_dictionary is None:
            return None
        # Without places the earlier versions are not read.
        olds = self._olds if places or not self._picking else ()
        return core.delta_dictionary(self._references, olds, places if self._picking else None)

    def _by_reference(self, places: tuple[Place, ...]) -> tuple[bytes, bytes]:
        if self._builder is None:
            self._builder = StreamBuilder.of(self._references if self._picking else (*self._references, *self._olds))
        builder = self._builder
        table = builder.node.table
        if self._picking:
            picker = Picker(places)
            for old in self._olds if places else ():
                picker.add(old)
            picked = {place: table.get(place, bytearray()) + column for place, column in picker.table.items()}
            table = {**table, **picked}
        return bytes(builder.script), join_columns(table)


def choose(olds: Sequence[bytes], documents: Sequence[bytes]) -> tuple[Place, ...]:
    """Return the columns of ``olds`` worth repeating in ``documents``, their later versions; sorted."""
    step = max(1, len(olds) // _SAMPLE)
    olds, documents = olds[::step], documents[::step]
    if core.delta_choose is not None:
        found = core.delta_choose(olds, documents, MAX_PLACES, MAX_PATH_BYTES)
        if found is not None:
            return tuple(found)
    return choose_by_reference(olds, documents)


def choose_by_reference(olds: Sequence[bytes], documents: Sequence[bytes]) -> tuple[Place, ...]:
    """Return what :func:`choose` does, from all pairs."""
    earlier, later = StreamBuilder(), StreamBuilder()
    for old, document in zip(olds, documents, strict=True):
        if earlier.try_add(old, None):
            later.try_add(document, old)
    table = {place: column for place, column in earlier.node.table.items() if len(place[0]) <= MAX_PATH_BYTES}
    offered = {place: texts for place, column in table.items() if (texts := _texts(place, column))}
    chosen = {place for place in later.node.table if place in table}
    for place, column in sorted(later.node.table.items()):
        _cover(_texts(place, column), offered, chosen)
    return tuple(sorted(chosen)[:MAX_PLACES])


def _cover(wanted: set[bytes], offered: dict[Place, set[bytes]], chosen: set[Place]) -> None:
    """Choose columns greedily, most wanted texts first, until no column has more than a few of those left."""
    few = len(wanted) / _WORTH_IT
    while wanted and offered:
        best = max(offered, key=lambda place: (len(wanted & offered[place]), place in chosen, place))
        covered = wanted & offered[best]
        if len(covered) <= few:
            return
        chosen.add(best)
        wanted -= covered


def _texts(place: Place, column: bytearray) -> set[bytes]:
    if place[1] != STRING:
        return set()
    return {text for text in bytes(column).split(b"\0") if len(text) >= _MIN_TEXT}

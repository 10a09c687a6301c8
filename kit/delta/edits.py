"""Encodes documents as edits of their earlier versions: elements kept, skipped, entered, set, or new.

Elements are matched by name in documents and by value in arrays, so that a member put in front of an array costs one
member. A :class:`StreamBuilder` collects the streams of a segment: the scripts of its documents in a row, and the
columns that they share. Laws: :func:`apply_edits` undoes :func:`edit`, byte for byte; :meth:`StreamBuilder.try_add`
leaves no trace of a document that cannot be walked.

The script of a level edits the base's level from a position in it, at first that of its first element:

======  ==========================  =====================================================================
0x00    end                         skip the rest of the base's level
0x01    keep the rest               of the base's level, and end
0x02 n  keep n                      elements of the base from the position on, as they are
0x03 n  skip n                      elements of the base
0x04 f  enter the element here      a document or array whose members are edited; f: arrays without names
0x05 …  set the element here        its name stays; a value as in :mod:`kit.delta.shred`, type byte first
0x06 …  new                         name and NUL (not in arrays without names), then a value
======  ==========================  =====================================================================
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

from kit.delta.columns import RAW, Node, NodeReader, encode_headers, join_columns, root
from kit.delta.packing import unsigned
from kit.delta.shred import (
    CANONICAL,
    DEPTH,
    MEMBER,
    NAMED,
    Script,
    frame_document,
    index_name,
    is_canonical,
    restore_value,
    shred,
    shred_value,
)
from kit.documents.elements import Element, document_end, element_end
from kit.documents.kinds import INT32, Kind
from kit.errors import ArchiveError, BsonError

_END, _KEEP_REST, _KEEP, _SKIP, _ENTER, _SET, _NEW = range(7)
_DOCUMENT, _ARRAY = int(Kind.DOCUMENT), int(Kind.ARRAY)
_NESTED = frozenset({_DOCUMENT, _ARRAY})


def edit(base: bytes, target: bytes, script: bytearray, node: Node) -> None:
    """Append the edits that turn ``base`` into ``target`` to ``script`` and the columns below ``node``.

    Raises:
        BsonError: One of them cannot be walked; script and columns may have grown and are void.
    """
    for document in (base, target):
        if len(document) < 5 or INT32.unpack_from(document)[0] != len(document):
            raise BsonError("not one document")
    _Level(base, target, script, DEPTH).edit(0, 0, node, named=True)


class _Level:
    """Two documents and the script between them; one method per level, which calls itself for the levels below."""

    def __init__(self, base: bytes, target: bytes, script: bytearray, depth: int) -> None:
        self._base = base
        self._target = target
        self._script = script
        self._depth = depth

    def edit(self, old_start: int, new_start: int, node: Node, *, named: bool) -> None:
        if self._depth <= 0:
            raise BsonError("nested too deep to be walked")
        base, target = self._base, self._target
        old_last, new_last = document_end(base, old_start) - 1, document_end(target, new_start) - 1
        # The common prefix, byte for byte: only one side is walked for it.
        old_at, at, kept = old_start + 4, new_start + 4, 0
        while at < new_last:
            end = element_end(target, at, new_last)
            size = end - at
            if old_at + size > old_last or base[old_at : old_at + size] != target[at:end]:
                break
            old_at += size
            at = end
            kept += 1
        self._rest(_elements(base, old_at, old_last), _elements(target, at, new_last), kept, node, named=named)

    def _rest(self, old: list[Element], new: list[Element], kept: int, node: Node, *, named: bool) -> None:
        """Encode the elements ``new`` as edits of ``old``; ``kept`` equal ones precede both."""
        base, target, script = self._base, self._target, self._script
        if not new:
            if kept and not old:
                script.append(_KEEP_REST)
            else:
                self._keep(kept)
                script.append(_END)
            return
        # An element's key: its name or, where names only count, its value.
        old_keys = [_key(base, element, named=named) for element in old]
        new_keys = [_key(target, element, named=named) for element in new]
        places: dict[bytes, list[int]] = {}
        for place in range(len(old) - 1, -1, -1):
            places.setdefault(old_keys[place], []).append(place)
        wanted: dict[bytes, int] = {key: place for place, key in enumerate(new_keys)}
        at = 0
        for number, element in enumerate(new):
            key = new_keys[number]
            if at >= len(old) or old_keys[at] != key:
                found = _next(places.get(key), at)
                if found is not None:
                    kept = self._keep(kept)
                    script.append(_SKIP)
                    script += unsigned(found - at)
                    at = found
                elif named or at >= len(old) or wanted.get(old_keys[at], -1) > number:
                    kept = self._keep(kept)
                    self._new(element, node, named=named)
                    continue
            if _same(base, old[at], target, element, named=named):
                kept += 1
            else:
                kept = self._keep(kept)
                self._change(old[at], element, node, named=named)
            at += 1
        if kept and at == len(old):
            script.append(_KEEP_REST)
        else:
            self._keep(kept)
            script.append(_END)

    def _keep(self, count: int) -> int:
        if count:
            self._script.append(_KEEP)
            self._script += unsigned(count)
        return 0

    def _new(self, element: Element, node: Node, *, named: bool) -> None:
        self._script.append(_NEW)
        if named:
            self._script += element.name + b"\0"
        self._value(element, node.child(element.name if named else MEMBER))

    def _change(self, old: Element, new: Element, node: Node, *, named: bool) -> None:
        base, target, script = self._base, self._target, self._script
        below = node.child(new.name if named else MEMBER)
        if old.kind == new.kind and new.kind in _NESTED:
            plain = (
                new.kind == _ARRAY
                and is_canonical(base, old.value, old.end)
                and is_canonical(target, new.value, new.end)
            )
            script.append(_ENTER)
            script.append(CANONICAL if plain else NAMED)
            inner = _Level(base, target, script, self._depth - 1)
            inner.edit(old.value, new.value, below, named=not plain)
            return
        script.append(_SET)
        self._value(new, below)

    def _value(self, element: Element, node: Node) -> None:
        self._script.append(element.kind)
        shred_value(self._target, element.kind, element.value, self._script, node, end=element.end, depth=self._depth)


def _elements(buffer: bytes, at: int, last: int) -> list[Element]:
    """Return the elements from ``at`` to ``last``."""
    found: list[Element] = []
    while at < last:
        end = element_end(buffer, at, last)
        value = buffer.index(0, at + 1) + 1
        found.append(tuple.__new__(Element, (buffer[at + 1 : value - 1], at, buffer[at], value, end)))
        at = end
    return found


def _key(buffer: bytes, element: Element, *, named: bool) -> bytes:
    return element.name if named else buffer[element.start : element.start + 1] + buffer[element.value : element.end]


def _next(places: list[int] | None, at: int) -> int | None:
    """Return the first place at or after ``at``, and drop those before it, which are never needed again."""
    while places and places[-1] < at:
        places.pop()
    return places[-1] if places else None


def _same(base: bytes, old: Element, target: bytes, new: Element, *, named: bool) -> bool:
    if not named:
        return old.kind == new.kind and base[old.value : old.end] == target[new.value : new.end]
    return base[old.start : old.end] == target[new.start : new.end]


def apply_edits(base: bytes, script: Script, node: NodeReader) -> bytes:
    """Return the target document.

    Raises:
        ArchiveError: The script does not fit the base.
        BsonError: The base cannot be walked.
    """
    return _apply_level(base, 0, script, node, DEPTH, named=True)


def _apply_level(base: bytes, start: int, script: Script, node: NodeReader, depth: int, *, named: bool) -> bytes:
    if depth <= 0:
        raise ArchiveError("a script of edits is nested too deep")
    last = document_end(base, start) - 1
    parts: list[bytes] = []
    at, number = start + 4, 0
    while step := script.byte():
        if step == _KEEP_REST:
            _copy_elements(base, at, last, parts, number, named=named)
            break
        if step in {_KEEP, _SKIP}:
            count = script.count()
            end = _skip_elements(base, at, last, count)
            if step == _KEEP:
                _copy_elements(base, at, end, parts, number, named=named)
                number += count
            at = end
            continue
        if step == _NEW:
            name = script.name() if named else index_name(number)
            kind, value = restore_value(script, script.byte(), node.child(name if named else MEMBER), depth)
        else:
            end = _skip_elements(base, at, last, 1)
            element = _elements(base, at, end)[0]
            name = element.name if named else index_name(number)
            below = node.child(name if named else MEMBER)
            kind, value = _apply_change(base, element, script, below, step=step, depth=depth)
            at = end
        parts += bytes((kind,)), name, b"\0", value
        number += 1
    return frame_document(parts)


def _skip_elements(base: bytes, at: int, last: int, count: int) -> int:
    """Return the offset after the ``count`` elements from ``at``."""
    for _ in range(count):
        if at >= last:
            raise ArchiveError("a script of edits continues after the end of its base")
        at = element_end(base, at, last)
    return at


def _copy_elements(base: bytes, at: int, end: int, parts: list[bytes], number: int, *, named: bool) -> None:
    if named:
        parts.append(base[at:end])
        return
    for element in _elements(base, at, end):
        parts += bytes((element.kind,)), index_name(number), b"\0", base[element.value : element.end]
        number += 1


def _apply_change(
    base: bytes, element: Element, script: Script, node: NodeReader, *, step: int, depth: int
) -> tuple[int, bytes]:
    if step == _SET:
        return restore_value(script, script.byte(), node, depth)
    if step != _ENTER or element.kind not in _NESTED:
        raise ArchiveError(f"a script of edits has the step {step}, which does not fit its base")
    named = script.byte() != CANONICAL
    return element.kind, _apply_level(base, element.value, script, node, depth - 1, named=named)


WHOLE, SHREDDED, EDITED = 0, 1, 2
"""The byte that begins a document's script."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Streams:
    """The streams of encoded documents, before they are packed."""

    head: bytes
    """The headers of the columns, length-prefixed."""
    script: bytes
    columns: bytes


def prefix_with_length(data: bytes) -> bytes:
    """Return ``data`` behind its length."""
    return unsigned(len(data)) + data


@dataclass(slots=True)
class StreamBuilder:
    """Scripts and columns under construction."""

    script: bytearray = field(default_factory=bytearray)
    node: Node = field(default_factory=root)

    @classmethod
    def of(cls, documents: Sequence[bytes]) -> Self:
        """Return a builder with these documents, without those that cannot be walked."""
        builder = cls()
        try:
            for document in documents:
                builder.add(document, None)
        except BsonError:
            builder = cls()  # again, since a document may have to be undone
            for document in documents:
                builder.try_add(document, None)
        return builder

    @property
    def head(self) -> bytes:
        """The headers of the columns, length-prefixed."""
        return prefix_with_length(encode_headers(self.node.table))

    @property
    def streams(self) -> Streams:
        """The streams so far, which are packed next."""
        return Streams(head=self.head, script=bytes(self.script), columns=join_columns(self.node.table))

    def add(self, document: bytes, old: bytes | None) -> None:
        """Add a document as edits of ``old``, or by itself.

        Raises:
            BsonError: It cannot be walked; everything added so far is void.
        """
        if old is not None:
            self.script.append(EDITED)
            edit(old, document, self.script, self.node)
        else:
            self.script.append(SHREDDED)
            shred(document, self.script, self.node)

    def add_whole(self, document: bytes) -> None:
        """Add a document as its bytes."""
        self.script.append(WHOLE)
        column = self.node.column(RAW)
        column += unsigned(len(document))
        column += document

    def try_add(self, document: bytes, old: bytes | None) -> bool:
        """Add as :meth:`add`, and return whether the document could be walked; otherwise nothing is added."""
        place = len(self.script)
        marks = {key: len(column) for key, column in self.node.table.items()}
        try:
            self.add(document, old)
        except BsonError:
            for key, column in self.node.table.items():
                del column[marks.get(key, 0) :]
            del self.script[place:]
            return False
        return True

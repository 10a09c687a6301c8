"""Looks at a run of documents as a server would that is to store them: schemas/importing.md.

Most documents need no look: the core, or its reference here, finds those that may be refused in one walk of their
topmost level (``suspects``), and makes the key of each ``_id``. Validators and other indexes need all documents.

A key is a record of 24 bytes: a digest of the index and of the value, then the place of the document. Which keys are
there twice is only known once all are (:mod:`kit.engine.importability`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final

from kit.documents import Kind, Place, core, elements, index, is_deeper
from kit.errors import BsonError
from kit.importing.indexes import KEY_BYTES, ParallelArraysError, digest, id_key
from kit.importing.metadata import Demands, Rule
from kit.importing.schema import find_violation
from kit.importing.values import Leaf, canonical, decode
from kit.values import CollectionName, MemberPath

MAX_LEVELS: Final = 100
"""Levels of nesting that a server promises to store, https://www.mongodb.com/docs/manual/reference/limits/."""
MAX_BYTES: Final = 16 * 1024 * 1024
"""Bytes of a document that it stores; the same page."""
_PLACE_BITS: Final = 36
_RECORD_BYTES: Final = KEY_BYTES + 8
"""A record: see the module docstring."""
_NEVER_IDS: Final = {Kind.ARRAY: "an array", Kind.REGEX: "a regular expression", Kind.UNDEFINED: "undefined"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportCheck:
    """What the documents of one member are checked by."""

    name: CollectionName
    path: MemberPath
    slot: int
    """The number of the member; an index of it is at a place of its own (:meth:`place`)."""
    demands: Demands = field(default_factory=Demands)

    @property
    def essence(self) -> tuple[object, ...]:
        """All that decides what :func:`check_run` finds."""
        return self.name, self.path, self.slot, self.demands.schemas, self.demands.indexes

    def scope(self, index: str | None) -> bytes:
        """Return what distinguishes an index of this member from all others; None for that of ``_id``."""
        parts = (self.path.text, *((index,) if index is not None else ()))
        return blake2b("\0".join(parts).encode("utf-8", "surrogateescape"), digest_size=KEY_BYTES).digest()

    def place(self, ordinal: int, number: int = 0) -> int:
        """Return the place of a document: member and ordinal; ``number`` is that of the index, 0 for ``_id``."""
        return ((self.slot << 8 | number) << _PLACE_BITS) + ordinal


@dataclass(frozen=True, slots=True)
class Fault:
    """A document that a server refuses."""

    number: int
    """In its run."""
    rule: Rule
    what: str


@dataclass(slots=True)
class Checked:
    """What was found in a run."""

    faults: list[Fault]
    """At most one for each document."""
    records: bytes
    """The keys of unique indexes."""


def place_of(place: int) -> tuple[int, int, int]:
    """Return member, index and ordinal of a place."""
    high = place >> _PLACE_BITS
    return high >> 8, high & 255, place & ((1 << _PLACE_BITS) - 1)


def check_run(check: ImportCheck, data: bytes, ends: Sequence[int], first: int) -> Checked:
    """Return what a server would refuse of a run, and the keys of its unique indexes.

    Args:
        check: What applies to the member.
        data: Documents, back to back.
        ends: The offset after each.
        first: The ordinal of the first in its member.
    """
    suspects, records = scan(data, ends, MAX_LEVELS, check.scope(None), check.place(first))
    whole = bool(check.demands.schemas or check.demands.indexes)
    numbers = range(len(ends)) if whole else sorted({*suspects, *_large(ends)})
    odd = set(suspects)
    faults: list[Fault] = []
    parts = [records]
    for number in numbers:
        document = data[ends[number - 1] if number else 0 : ends[number]]
        if number in odd and (key := _odd_id_key(document, check.scope(None))) is not None:
            parts.append(key + check.place(first + number).to_bytes(8, "big"))
        found = next(_own_faults(document), None)
        if found is None and whole:
            found = _demanded(check, document, first + number, parts)
        if found is not None:
            faults.append(Fault(number, *found))
    return Checked(faults, b"".join(parts))


def base_fault(check: ImportCheck, document: bytes, rule: Rule) -> bool:
    """Return whether a document as it was before already broke ``rule``."""
    found = next(_own_faults(document), None) or _demanded(check, document, 0, [])
    return found is not None and found[0] is rule


def index_keys(check: ImportCheck, document: bytes, number: int) -> set[bytes]:
    """Return the keys of a document in one index, 0 for that of ``_id``; none where it cannot be read."""
    parts: list[bytes] = []
    if number == 0:
        _, records = scan_by_reference(document, [len(document)], MAX_LEVELS, check.scope(None), 0)
        odd = _odd_id_key(document, check.scope(None))
        return {*([records[:KEY_BYTES]] if records else []), *([odd] if odd is not None else [])}
    if next(_own_faults(document), None) is None:
        _demanded(check, document, 0, parts)
    wanted = check.place(0, number).to_bytes(8, "big")
    return {part[:KEY_BYTES] for part in parts if part[KEY_BYTES:] == wanted}


def scan(data: bytes, ends: Sequence[int], levels: int, scope: bytes, place: int) -> tuple[Sequence[int], bytes]:
    """Return the numbers of documents that must be looked at, and a record for each ``_id`` of a plain type.

    Args:
        data: Documents, back to back.
        ends: The offset after each.
        levels: Levels that a document may have.
        scope: That of the index of ``_id``.
        place: The place of the first document.
    """
    if core.import_scan is not None and (found := core.import_scan(data, ends, levels, scope, place)) is not None:
        return found
    return scan_by_reference(data, ends, levels, scope, place)


def scan_by_reference(
    data: bytes, ends: Sequence[int], levels: int, scope: bytes, place: int
) -> tuple[Sequence[int], bytes]:
    """Return the result of :func:`scan`, by the reference."""
    suspects: list[int] = []
    records: list[bytes] = []
    start = 0
    for number, end in enumerate(ends):
        document = data[start:end]
        start = end
        try:
            names, ids = _names(document)
        except BsonError:
            suspects.append(number)
            continue
        key = None
        if len(ids) == 1:
            kind, value, stop = ids[0]
            key = id_key(kind, document[value:stop], scope)
        if key is not None:
            records += (key, (place + number).to_bytes(8, "big"))
        is_odd = bool(ids) and key is None
        if is_odd or any(name[:1] == b"$" for name in names) or is_deeper(document, levels):
            suspects.append(number)
    return suspects, b"".join(records)


def _names(document: bytes) -> tuple[Iterable[bytes], Sequence[Place]]:
    """Return the names of the topmost level, and the place of every ``_id``.

    Raises:
        BsonError: The level is malformed.
    """
    try:
        found = index(document)  # in half the time, where no name is repeated
    except BsonError:
        walked = list(elements(document))
        return [one.name for one in walked], [one[2:] for one in walked if one.name == b"_id"]
    return found, [found[b"_id"]] if b"_id" in found else []


def select(records: bytes, part: int, parts: int) -> bytes:
    """Return the records whose keys are in ``part`` of ``parts`` equal ranges."""
    if parts == 1:
        return records
    if core.import_select is not None:
        return core.import_select(records, part, parts)
    return select_by_reference(records, part, parts)


def select_by_reference(records: bytes, part: int, parts: int) -> bytes:
    """Return the result of :func:`select`, by the reference."""
    return b"".join(one for one in _records(records) if int.from_bytes(one[:4], "big") * parts >> 32 == part)


def repeats(records: bytes, most: int) -> tuple[int, list[tuple[int, int, bytes]]]:
    """Return at how many places a key is repeated, and the first ``most``: place, first place with the key, and key."""
    if core.import_repeats is not None:
        return core.import_repeats(records, most)
    return repeats_by_reference(records, most)


def repeats_by_reference(records: bytes, most: int) -> tuple[int, list[tuple[int, int, bytes]]]:
    """Return the result of :func:`repeats`, by the reference."""
    first: dict[bytes, int] = {}
    found: list[tuple[int, int, bytes]] = []
    for one in sorted(_records(records)):
        key, place = one[:KEY_BYTES], int.from_bytes(one[KEY_BYTES:], "big")
        if (earlier := first.setdefault(key, place)) != place:
            found.append((place, earlier, key))
    places = {place: (place, earlier, key) for place, earlier, key in sorted(found, reverse=True)}
    return len(places), sorted(places.values())[:most]


def _records(records: bytes) -> Iterator[bytes]:
    return (records[at : at + _RECORD_BYTES] for at in range(0, len(records), _RECORD_BYTES))


def _large(ends: Sequence[int]) -> Iterator[int]:
    start = 0
    for number, end in enumerate(ends):
        if end - start > MAX_BYTES:
            yield number
        start = end


def _odd_id_key(document: bytes, scope: bytes) -> bytes | None:
    """Return the key of an ``_id`` whose bytes alone do not decide; None of any other, which has one or none."""
    try:
        ids = [one for one in elements(document) if one.name == b"_id"]
        if len(ids) != 1 or ids[0].kind in _NEVER_IDS or is_deeper(document, MAX_LEVELS):
            return None
        value = document[ids[0].value : ids[0].end]
        if id_key(ids[0].kind, value, scope) is not None:
            return None
        found = (
            decode(document[ids[0].value : ids[0].end]) if ids[0].kind == Kind.DOCUMENT else Leaf(ids[0].kind, value)
        )
        return digest(scope, canonical(found))
    except BsonError:
        return None


def _own_faults(document: bytes) -> Iterator[tuple[Rule, str]]:
    """Yield what every server refuses of a document; nothing of one that cannot be walked, which is no document."""
    size = len(document)
    if size > MAX_BYTES:
        yield Rule.SIZE, f"it has {size:,} bytes, and a server stores {MAX_BYTES:,}"
    if is_deeper(document, MAX_LEVELS):
        yield Rule.NESTING, f"it is nested deeper than {MAX_LEVELS} levels"
    try:
        found = list(elements(document))
        ids = [one for one in found if one.name == b"_id"]
        if any(one.name[:1] == b"$" for one in found):
            yield Rule.NAME, "a name of its topmost level begins with $"
        if len(ids) > 1:
            yield Rule.NAME, "it has more than one _id"
        for one in ids:
            if one.kind in _NEVER_IDS:
                yield Rule.NAME, f"its _id is {_NEVER_IDS[Kind(one.kind)]}"
            if one.kind == Kind.DOCUMENT and any(inner.name[:1] == b"$" for inner in elements(document, one.value)):
                yield Rule.NAME, "a name in its _id begins with $"
    except BsonError:
        return


def _demanded(check: ImportCheck, document: bytes, ordinal: int, parts: list[bytes]) -> tuple[Rule, str] | None:
    """Return what the collection refuses of a document, and add its keys in unique indexes to ``parts``."""
    demands = check.demands
    if is_deeper(document, MAX_LEVELS):
        return None
    try:
        values = decode(document)
    except BsonError:
        return None
    for schema in demands.schemas:
        if (violated := find_violation(schema, values)) is not None:
            return Rule.VALIDATOR, f"the validator of {check.name}: {violated}"
    for number, one in enumerate(demands.indexes, 1):
        try:
            keys = one.keys(values, check.scope(one.name))
        except ParallelArraysError as error:
            return Rule.INDEX, f"the index {one.name!r}: {error.what}"
        place = check.place(ordinal, number).to_bytes(8, "big")
        parts += (key + place for key in keys)
    return None

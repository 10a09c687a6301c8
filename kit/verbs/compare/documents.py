"""Fingerprints of documents, and what becomes of two documents of one ``_id`` whose bytes differ.

Equal are equal bytes. Two other kinds are distinguished, since a server makes them: a document with added fields that
the user has allowed, and one whose fields are the same in another order. Laws: what is added is dropped only if the
signed document has no field of that name, and what is left must be the signed bytes; an order is that of fields within
one document, never that of items of an array. A document that cannot be walked has changed.
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from kit.documents import Kind, Run, document_name, elements
from kit.documents.framing import is_deeper
from kit.documents.identity import identity_key
from kit.errors import BsonError
from kit.transforms.coverage import tenant_named

MAX_FIELDS: Final = 20
"""Names of fields that are listed for a document that has changed."""
_MAX_LEVELS: Final = 120
"""Levels of a document in which another order is looked for; a server stores fewer (schemas/compare-report.md)."""
_MAX_NAME: Final = 100


class Fingerprint(NamedTuple):
    """What is kept of a document."""

    identity: bytes
    """Digest of the typed ``_id``; of the whole document if it has none."""
    digest: bytes
    """SHA-256 of the document."""
    name: str
    """The ``_id`` in readable form."""
    tenant: str
    """Empty if it has none."""


@dataclass(frozen=True, slots=True)
class Fingerprints:
    """Those of a run, in the order of its documents."""

    each: Sequence[Fingerprint]

    @property
    def documents(self) -> int:
        """Number of documents."""
        return len(self.each)


class Standing(enum.StrEnum):
    """What became of a signed document."""

    EQUAL = "equal"
    """Its bytes are there."""
    ALLOWED = "allowed"
    """Its bytes are there, and fields that the user allows to be added."""
    REORDERED = "reordered"
    """It is there with the same fields and values; some are in another order."""
    CHANGED = "changed"
    MISSING = "missing"
    EXTRA = "extra"
    """Not a signed document: there is none of its ``_id``, or one more than was signed."""


def fingerprint_run(run: Run) -> Fingerprints:
    """Return the fingerprints of a run; a worker does this."""
    return Fingerprints([fingerprint(document) for document in run])


def fingerprint(document: bytes) -> Fingerprint:
    """Return the fingerprint of a document, malformed or not."""
    digest = hashlib.sha256(document).digest()
    key = identity_key(document)
    identity = hashlib.sha256(key).digest() if key else hashlib.sha256(b"\0" + digest).digest()
    return Fingerprint(identity, digest, document_name(document), tenant_named(document))


def stand(signed: bytes, present: bytes, allowed: frozenset[bytes]) -> tuple[Standing, tuple[str, ...]]:
    """Return how a document relates to the signed one of its ``_id``, and the fields that differ or were allowed.

    Args:
        signed: The document of the kit.
        present: That of the dump or database, with other bytes.
        allowed: Names of fields of its top level that may have been added.
    """
    try:
        had = {element.name for element in elements(signed)}
        added = [element for element in elements(present) if element.name in allowed and element.name not in had]
        reduced = _without(present, [(one.start, one.end) for one in added])
        names = tuple(_spell(one.name) for one in added)
        if reduced == signed:
            return Standing.ALLOWED, names
        is_shallow = not is_deeper(signed, _MAX_LEVELS) and not is_deeper(reduced, _MAX_LEVELS)
        if is_shallow and _in_order(signed, 0) == _in_order(reduced, 0):
            return Standing.REORDERED, names
        return Standing.CHANGED, _differing(signed, reduced)
    except BsonError:
        return Standing.CHANGED, ()


def _without(document: bytes, parts: Sequence[tuple[int, int]]) -> bytes:
    if not parts:
        return document
    kept, at = [], 4
    for start, end in parts:
        kept.append(document[at:start])
        at = end
    body = b"".join((*kept, document[at:]))
    return (len(body) + 4).to_bytes(4, "little") + body


def _in_order(buffer: bytes, start: int, *, is_array: bool = False) -> bytes:
    """Return the fields of a document sorted, those of documents within it too, as bytes for a comparison only."""
    parts = []
    for element in elements(buffer, start):
        value = buffer[element.value : element.end]
        if element.kind in {Kind.DOCUMENT, Kind.ARRAY}:
            value = _in_order(buffer, element.value, is_array=element.kind == Kind.ARRAY)
        parts.append(b"%c%b\0%d\0%b" % (element.kind, element.name, len(value), value))
    return b"".join(parts if is_array else sorted(parts))


def _differing(signed: bytes, present: bytes) -> tuple[str, ...]:
    """Return the names of top-level fields that differ, in order of their names."""
    one, other = (
        [(element.name, buffer[element.start : element.end]) for element in elements(buffer)]
        for buffer in (signed, present)
    )
    there = set(other)
    names = {name for name, value in one if (name, value) not in there}
    there = set(one)
    names |= {name for name, value in other if (name, value) not in there}
    return tuple(_spell(name) for name in sorted(names)[:MAX_FIELDS])


def _spell(name: bytes) -> str:
    return name[:_MAX_NAME].decode("utf-8", "backslashreplace")

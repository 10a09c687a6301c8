"""Another partition key, or fewer fields: documents are copied into a new collection, and none is changed.

``reshape-project`` makes one member next to each member of its collection, with the copies in the order of the
documents. Every document must have the new partition key as text. The documents of the source stay as they are, since
a container's partition key cannot be changed in place.

Laws: a copy has the elements of its document that the projection names, byte for byte and in their order, ``_id``
among them; where the new collection is there, it is the very copy, or the run is refused.
"""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from kit.documents import Kind, Place, elements, find, index
from kit.encryption.envelope import looks_like
from kit.encryption.field_map import IDENTITY, FieldPath
from kit.errors import ContentError, KitError
from kit.transforms.change import Change, Finding
from kit.transforms.protocol import Lookup, ProjectingTransform
from kit.transforms.reshape.scope import (
    NOT_SELECTED,
    DocumentRefusedError,
    Reshape,
    find_spot,
    refuse,
    text_at,
)
from kit.values import CollectionName

PROJECTED: Final = "projected"
_SOURCE, _TARGET = b"s", b"t"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReshapeProject(Reshape):
    """See the module docstring."""

    target: str
    target_key: FieldPath
    fields: tuple[str, ...] | None = None
    """The top-level elements that are copied, besides ``_id``; None for all."""
    validation: str
    """The query by which a site compares both collections, in its own words."""

    NAME = "reshape-project"
    name = NAME
    version = 1
    kind = "partition-key"
    description = "Copies documents into a new collection."

    def own_parameters(self) -> dict[str, Any]:
        """See :class:`Reshape`."""
        return {
            "target": self.target,
            "targetPartitionKey": self.target_key.json,
            "fields": None if self.fields is None else list(self.fields),
            "validation": self.validation,
        }

    @property
    def projection(self) -> ProjectingTransform:
        """See the protocol."""
        return self

    @property
    def is_whole(self) -> bool:
        """See the protocol."""
        return True

    @property
    def statement(self) -> Mapping[str, Any]:
        """See the protocol."""
        return {"targetPartitionKey": self.target_key.json, "validation": self.validation}

    def indexes(self, name: CollectionName) -> bool:
        """See the protocol: what the target has, and which identities come twice."""
        return self.handles(name) or self._is_target(name)

    def _is_target(self, name: CollectionName) -> bool:
        return name.collection == self.target and self.database in {None, name.database}

    def gather(self, name: CollectionName, documents: Iterable[bytes]) -> Iterator[tuple[bytes, bytes] | Finding]:
        """See the protocol."""
        side = _TARGET if self._is_target(name) else _SOURCE
        for document in documents:
            try:
                if side == _TARGET or self._is_copied(document):
                    yield _key(side, name, document), hashlib.sha256(document).digest()
            except KitError:
                continue  # the pass over the documents names it

    def _is_copied(self, document: bytes) -> bool:
        places = index(document)
        return self.is_selected(document, places, self.tenant_in(document, places))

    def apply(self, name: CollectionName, documents: Sequence[bytes], lookup: Lookup, first: int) -> list[Change]:
        """See the protocol: no document changes; one that has no place in the new collection stops the run."""
        changes = Reshape.apply(self, name, documents, lookup, first)
        copied = [number for number, change in enumerate(changes) if change.outcome == PROJECTED]
        keys = {
            number: (_key(_SOURCE, name, documents[number]), _key(_TARGET, name, documents[number]))
            for number in copied
        }
        found = lookup.find([key for pair in keys.values() for key in pair])
        for number, (source, target) in keys.items():
            document, change = documents[number], changes[number]
            there = found.get(target, ())
            if len(found.get(source, ())) > 1:
                what = f"has an _id that comes twice in {name}, and would in {self.target}"
                changes[number] = refuse(document, first + number, change.tenant, what)
            elif there and list(there) != [hashlib.sha256(self.copied(document)).digest()]:
                what = f"has an _id that {self.target} has already, for another document"
                changes[number] = refuse(document, first + number, change.tenant, what)
            elif there:
                change.outcome = "present"
        return changes

    def change(self, document: bytes, places: Mapping[bytes, Place], tenant: str, *, is_selected: bool) -> Change:
        """See :class:`Reshape`."""
        if not is_selected:
            return Change(tenant=tenant, outcome=NOT_SELECTED)
        if IDENTITY.encode() not in places:
            raise DocumentRefusedError("has no _id")
        if not text_at(document, find_spot(document, places, self.target_key).place):
            raise DocumentRefusedError(f"has no text at {self.target_key}, the new partition key")
        copied = self.copied(document)
        if _has_sealed(copied):
            raise DocumentRefusedError("has a sealed value, which is bound to its collection and would not open")
        if find(copied, self.target_key.steps) is None:
            raise DocumentRefusedError(f"would lose {self.target_key}, the new partition key: fields must name it")
        return Change(tenant=tenant, outcome=PROJECTED)

    def _keeps(self, name: bytes) -> bool:
        return self.fields is None or name == IDENTITY.encode() or name.decode(errors="replace") in self.fields

    def copied(self, document: bytes) -> bytes:
        """Return the copy of a document."""
        if self.fields is None:
            return document
        body = b"".join(document[one.start : one.end] for one in elements(document) if self._keeps(one.name))
        return b"%b%b\0" % ((len(body) + 5).to_bytes(4, "little"), body)

    def is_lacking(self, outcome: str) -> bool:
        """See the protocol."""
        return outcome == PROJECTED

    def project(self, name: CollectionName, documents: Sequence[bytes]) -> list[bytes]:  # noqa: ARG002
        """See the protocol."""
        return [self.copied(document) for document in documents if self._is_copied(document)]


def _has_sealed(document: bytes) -> bool:
    """Return whether a document has an envelope on any level."""
    starts = [0]
    while starts:
        inner = list(elements(document, starts.pop()))
        if looks_like({one.name for one in inner}):
            return True
        starts += [one.value for one in inner if one.kind in _NESTED]
    return False


_NESTED: Final = frozenset({int(Kind.DOCUMENT), int(Kind.ARRAY)})


def _key(side: bytes, name: CollectionName, document: bytes) -> bytes:
    """Return the key of an ``_id`` in the lookup; numbers of one value are one ``_id``, as in a database."""
    found = find(document, [IDENTITY])
    if found is None:
        raise ContentError("has no _id")
    value = document[found.value : found.end]
    number: float | None = None
    if found.kind in {Kind.INT32, Kind.INT64}:
        number = int.from_bytes(value, "little", signed=True)
    elif found.kind == Kind.DOUBLE:
        number = struct.unpack("<d", value)[0]
    identity = bytes((found.kind,)) + value
    if number is not None and math.isfinite(number) and number == int(number):
        identity = b"number" + str(int(number)).encode()
    return hashlib.sha256(b"\0".join((b"reshape-project", side, name.database.encode(), identity))).digest()

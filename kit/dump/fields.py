"""The small documents between the data of a dump: every field known, of its type, and there once.

A program that skips what it does not know would copy a dump and lose what the field meant. So an unknown field is an
error, as a missing one is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kit.documents import Element, Kind, elements, string_at, validate
from kit.documents.elements import spell_path
from kit.documents.kinds import INT32
from kit.errors import ArchiveError, BsonError, KitError
from kit.values import Limits

__all__ = ["Fields", "boolean", "document", "integer", "read_fields", "text"]

_INTEGERS = {Kind.INT32: 4, Kind.INT64: 8}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fields:
    """The fields of one document; each is asked for by its name and type."""

    what: str
    """What the document is, for messages."""
    where: str
    values: Mapping[str, str | int | bool]

    def text(self, name: str, default: str | None = None) -> str:
        """Return a text; ``default`` where the field is absent and may be.

        Raises:
            ArchiveError: There is none, or it is no text, or has a NUL.
        """
        found = self.values.get(name, default)
        if not isinstance(found, str):
            raise self.fault(f"has no text {name}")
        if "\0" in found:
            raise self.fault(f"has a NUL in {name}")
        return found

    def number(self, name: str) -> int:
        """Return an integer of 32 or 64 bits.

        Raises:
            ArchiveError: There is none.
        """
        found = self.values.get(name)
        if isinstance(found, bool) or not isinstance(found, int):
            raise self.fault(f"has no integer {name}")
        return found

    def truth(self, name: str) -> bool:
        """Return a boolean.

        Raises:
            ArchiveError: There is none.
        """
        found = self.values.get(name)
        if not isinstance(found, bool):
            raise self.fault(f"has no boolean {name}")
        return found

    def fault(self, what: str) -> ArchiveError:
        """Return the error that ends the reading of this document."""
        return ArchiveError(f"{self.what} {what}", where=self.where)


def read_fields(data: bytes, known: frozenset[str], limits: Limits, *, what: str, where: str) -> Fields:
    """Return the fields of a document, in any order.

    Raises:
        ArchiveError: It is malformed, or has a field twice, of another type, or one that is not ``known``.
    """
    values: dict[str, str | int | bool] = {}
    found = Fields(what=what, where=where, values=values)
    try:
        validate(data, limits=limits)
        for one in elements(data):
            name = one.name.decode("utf-8", "backslashreplace")
            fault = f"has a field that is not known: {name!r}" if name not in known else ""
            fault = f"has the field {name} twice" if name in values else fault
            if fault:
                break
            values[name] = _value(data, one)
        else:
            return found
    except KitError as error:
        fault = f"is malformed: {error}"
    raise found.fault(fault)


def _value(data: bytes, one: Element) -> str | int | bool:
    """Return a value.

    Raises:
        BsonError: It is of a type that no field has.
    """
    if one.kind == Kind.STRING:
        return string_at(data, one)
    if one.kind == Kind.BOOLEAN:
        return data[one.value] == 1
    if one.kind in _INTEGERS:
        return int.from_bytes(data[one.value : one.end], "little", signed=True)
    raise BsonError(f"it has a value of type 0x{one.kind:02x}", where=f'element "{spell_path([one.name])}"')


def text(name: str, value: str) -> bytes:
    """Return a field with a text."""
    data = value.encode() + b"\0"
    return b"\2" + name.encode() + b"\0" + INT32.pack(len(data)) + data


def integer(name: str, value: int, *, bits: int) -> bytes:
    """Return a field with an integer of 32 or 64 bits."""
    kind = Kind.INT64 if bits == 64 else Kind.INT32
    return bytes([kind]) + name.encode() + b"\0" + value.to_bytes(_INTEGERS[kind], "little", signed=True)


def boolean(name: str, *, value: bool) -> bytes:
    """Return a field with a boolean."""
    return b"\x08" + name.encode() + b"\0" + bytes([value])


def document(*fields: bytes) -> bytes:
    """Return the document of these fields."""
    body = b"".join(fields)
    return INT32.pack(len(body) + 5) + body + b"\0"

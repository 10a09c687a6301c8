"""The prelude of a dump: which program wrote it from which server, and each collection that follows with its metadata.

Laws: parsing what :meth:`Prelude.to_bytes` made gives the same prelude; a prelude that was read keeps its bytes.
"""

from __future__ import annotations

import enum
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field

from kit.dump import fields
from kit.errors import ArchiveError
from kit.values import CollectionName, Limits

MAGIC = bytes.fromhex("6de29981")
"""The first four bytes of every dump."""
TERMINATOR = b"\xff\xff\xff\xff"
"""In place of a document's length, where a block or the prelude ends."""
FORMAT_VERSION = "0.1"
"""The only version there has ever been."""
BUCKETS = "system.buckets."
"""What the data of a time series has in front of its name."""

_HEADER = frozenset({"concurrent_collections", "version", "server_version", "tool_version"})
_DESCRIPTION = frozenset({"db", "collection", "metadata", "size", "type"})


_GZIP = b"\x1f\x8b"


def begins_dump(head: bytes) -> bool:
    """Return whether a file with these first bytes, some hundreds, is a dump, plain or as ``--gzip`` writes it."""
    if head.startswith(_GZIP):
        try:
            head = zlib.decompressobj(wbits=31).decompress(head, len(MAGIC))
        except zlib.error:
            return False
    return head.startswith(MAGIC)


class Sort(enum.StrEnum):
    """What is described: ``type`` in the prelude."""

    UNSTATED = ""
    """Written by older tools, and for the oplog."""
    COLLECTION = "collection"
    VIEW = "view"
    TIME_SERIES = "timeseries"


_SORTS = frozenset(one.value for one in Sort)


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a dump comes from, as its writer states it."""

    server_version: str
    tool_version: str
    concurrent: int = 1
    """How many collections were read at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """One collection, view or time series."""

    name: CollectionName
    metadata: str = ""
    """Options and indexes, as JSON; empty where there is none."""
    size: int = 0
    sort: Sort = Sort.UNSTATED

    @property
    def data_names(self) -> tuple[CollectionName, ...]:
        """The names that its blocks may have: servers before 8.3 keep a time series in a collection of buckets."""
        if self.sort is not Sort.TIME_SERIES:
            return (self.name,)
        buckets = CollectionName(database=self.name.database, collection=BUCKETS + self.name.collection)
        return (buckets, self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prelude:
    """Everything in front of the first block."""

    origin: Origin
    described: tuple[Described, ...]
    stored: bytes = field(default=b"", compare=False, repr=False)
    """Its bytes, magic and terminator included."""

    def to_bytes(self) -> bytes:
        """Return the bytes, as ``mongodump`` orders the fields."""
        head = fields.document(
            fields.integer("concurrent_collections", self.origin.concurrent, bits=32),
            fields.text("version", FORMAT_VERSION),
            fields.text("server_version", self.origin.server_version),
            fields.text("tool_version", self.origin.tool_version),
        )
        return b"".join((MAGIC, head, *map(_description, self.described), TERMINATOR))


def _description(one: Described) -> bytes:
    return fields.document(
        fields.text("db", one.name.database),
        fields.text("collection", one.name.collection),
        fields.text("metadata", one.metadata),
        fields.integer("size", one.size, bits=32 if one.size < 1 << 31 else 64),
        fields.text("type", one.sort.value),
    )


def parse_origin(data: bytes, limits: Limits, *, where: str) -> Origin:
    """Return what the first document states.

    Raises:
        ArchiveError: It is malformed, has a field that is not known, or is of another version.
    """
    found = fields.read_fields(data, _HEADER, limits, what="the header of the dump", where=where)
    version = found.text("version")
    if version != FORMAT_VERSION:
        raise found.fault(f"is of version {version!r}, and {FORMAT_VERSION} is understood")
    concurrent = found.number("concurrent_collections")
    if concurrent < 0:
        raise found.fault(f"has {concurrent} concurrent_collections")
    return Origin(
        server_version=found.text("server_version"), tool_version=found.text("tool_version"), concurrent=concurrent
    )


def parse_description(data: bytes, limits: Limits, *, where: str) -> Described:
    """Return what one of the following documents describes.

    Raises:
        ArchiveError: It is malformed, has a field or type that is not known, or names no collection.
    """
    found = fields.read_fields(data, _DESCRIPTION, limits, what="a description of a collection", where=where)
    sort = found.text("type", "")
    if sort not in _SORTS:
        raise found.fault(f"has a type that is not known: {sort!r}")
    size = found.number("size")
    if size < 0:
        raise found.fault(f"has a size of {size}")
    return Described(name=parse_name(found), metadata=found.text("metadata"), size=size, sort=Sort(sort))


def parse_name(found: fields.Fields) -> CollectionName:
    """Return the name in ``db`` and ``collection``; only the oplog has an empty database.

    Raises:
        ArchiveError: There is no collection.
    """
    name = CollectionName(database=found.text("db"), collection=found.text("collection"))
    if not name.collection:
        raise found.fault("names no collection")
    return name


def index_names(described: Iterable[Described], *, where: str) -> dict[CollectionName, Described]:
    """Return what is described, by each name that its blocks may have.

    Raises:
        ArchiveError: Two have the same.
    """
    found: dict[CollectionName, Described] = {}
    for one in described:
        for name in one.data_names:
            if name in found:
                raise ArchiveError(f"{name} is described twice", where=where)
            found[name] = one
    return found

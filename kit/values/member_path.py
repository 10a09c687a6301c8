"""Member paths: the one place that decides which names may exist in a kit.

Every rule here answers an attack, or a disagreement between tools that extract the same archive. A signature covers the
name, so it must mean one file on every system that unpacks it.

Which members are collections: the layout of ``mongodump``, and what a manifest or a migration declares
(schemas/offline-manifest.md, "Collections").

What a user permits in a container that is refused otherwise; verdicts and records list what was permitted.
"""

from __future__ import annotations

import enum
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Self

from kit.errors import ArchiveError, ContentError, UsageError

MAX_COMPONENT_BYTES = 255
"""The maximum of one segment: no common file system holds more, and tools that unpack it cut, skip or fail."""


class NameClass(enum.StrEnum):
    """Names that some systems read differently from archive readers; a user may permit each class."""

    COLON = "colon"
    """A segment with ``:``, which on NTFS names a stream of a file."""
    DOT = "dot"
    """A segment that ends in ``.``, also before blanks, which Windows cuts off."""
    DEVICE = "device"
    """A segment that is a device of Windows (``NUL``, ``com1.txt``), whatever its extension."""


_DEVICE = re.compile(
    r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9\u00b9\u00b2\u00b3]) *(?:[.:].*)?", re.IGNORECASE
)
_CLASSES: tuple[tuple[NameClass, Callable[[str], bool]], ...] = (
    (NameClass.COLON, lambda part: ":" in part),
    (NameClass.DOT, lambda part: part.rstrip(" ").endswith(".")),
    (NameClass.DEVICE, lambda part: _DEVICE.fullmatch(part) is not None),
)
# The substitute that libarchive writes for characters that Windows forbids in names (cleanup_pathname_win).
_SUBSTITUTES = str.maketrans(dict.fromkeys('*?"<>|:', "_"))
# The end of a segment that Windows cuts off. It follows another character, so that no run is scanned twice.
_CUT_OFF = re.compile(r"(?<=[^/ .])[ .]+(?=/|\Z)")


@dataclass(frozen=True, slots=True, order=True)
class MemberPath:
    """A relative path with ``/`` between non-empty segments, NFC, printable. Law: ``parse(str(p)) == p``."""

    text: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the path of a name in an archive or manifest; the caller has removed a directory's trailing slash.

        Raises:
            ArchiveError: The name is empty, absolute, has ``.``, ``..`` or empty segments, one of more than 255 bytes,
                a backslash, a control character, a lone surrogate (the mark of undecodable bytes), is not NFC, or
                begins like a drive (``C:``).
        """
        fault = _fault(text)
        if fault:
            raise ArchiveError(f"member name {text!r} {fault}")
        return cls(text)

    @property
    def collision_key(self) -> str:
        """A key that two paths share if some file system takes them for one (APFS, NTFS: case, Unicode form, ends)."""
        text = self.text
        folded = text.lower() if text.isascii() else "/".join(map(_folded, text.split("/")))
        return _CUT_OFF.sub("", folded.translate(_SUBSTITUTES))

    @property
    def classes(self) -> tuple[NameClass, ...]:
        """The classes for which a container may not have this name, unless the user permits them."""
        parts = self.text.split("/")
        return tuple(name for name, holds in _CLASSES if any(map(holds, parts)))

    def __str__(self) -> str:
        return self.text


def _folded(part: str) -> str:
    # Compatibility forms may contain a slash (U+2100), which is no separator.
    return unicodedata.normalize("NFC", unicodedata.normalize("NFKD", part).casefold()).replace("/", "_")


def _has_invisible(text: str) -> bool:
    return any(unicodedata.category(c) in {"Cc", "Cf", "Zl", "Zp"} for c in text)


def _is_too_long(text: str) -> bool:
    # A character has at most four bytes, so most texts need not be encoded.
    return len(text) * 4 > MAX_COMPONENT_BYTES and any(
        len(part.encode()) > MAX_COMPONENT_BYTES for part in text.split("/")
    )


# libarchive cuts a letter and a colon off the front, whatever follows, and again: x:b.txt is unpacked over b.txt.
_DRIVE = re.compile(r"[A-Za-z]:")

# The first rule that holds names the fault.
_RULES: tuple[tuple[Callable[[str], bool], str], ...] = (
    (lambda text: not text, "is empty"),
    (lambda text: any("\ud800" <= c <= "\udfff" for c in text), "is not valid UTF-8"),
    (_has_invisible, "contains control or formatting characters"),
    (lambda text: "\\" in text, "contains a backslash"),
    (lambda text: not unicodedata.is_normalized("NFC", text), "is not in Unicode normal form C"),
    (lambda text: text.startswith("/"), "is absolute"),
    (lambda text: ".." in text.split("/"), "has a '..' segment"),
    (lambda text: not {"", "."}.isdisjoint(text.split("/")), "has an empty or '.' segment"),
    (lambda text: _DRIVE.match(text) is not None, "starts with a drive letter"),
    (_is_too_long, f"has a segment of more than {MAX_COMPONENT_BYTES} bytes"),
)


def _fault(text: str) -> str:
    return next((fault for holds, fault in _RULES if holds(text)), "")


class Codec(enum.Enum):
    """The compression of a container or of a member; the value is a member's suffix."""

    NONE = ""
    GZIP = ".gz"
    ZSTD = ".zst"


@dataclass(frozen=True, slots=True, order=True, kw_only=True)
class CollectionName:
    """A collection as MongoDB names it."""

    database: str
    collection: str

    def __str__(self) -> str:
        return f"{self.database}.{self.collection}"


@dataclass(frozen=True, slots=True, order=True, kw_only=True)
class CollectionPattern:
    """A collection that is selected: by both of its names, or in whatever database it is."""

    collection: str
    database: str = ""
    """Empty for any."""

    @classmethod
    def parse(cls, text: str) -> CollectionPattern:
        """Return the pattern of ``COLLECTION`` or ``DB.COLLECTION``; a collection with a dot needs its database.

        Raises:
            UsageError: A name is empty, or has a slash or NUL.
        """
        database, dot, collection = text.partition(".") if "." in text else ("", "", text)
        if not collection or (dot and not database) or not {"/", "\0"}.isdisjoint(text):
            raise UsageError(f"{text!r} is not COLLECTION or DB.COLLECTION")
        return cls(collection=collection, database=database)

    def __str__(self) -> str:
        return f"{self.database}.{self.collection}" if self.database else self.collection

    def matches(self, name: CollectionName) -> bool:
        """Return whether it is that collection."""
        return name.collection == self.collection and self.database in {"", name.database}


class CollectionFormat(enum.StrEnum):
    """How a member holds the documents of a collection, below its codec; the value is that of manifests."""

    BSON = "bson"
    """Documents back to back, as ``mongodump`` writes them."""
    NDJSON = "ndjson"
    """A JSON object a line."""
    JSON = "json"
    """One JSON array of objects."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionMember:
    """A member that holds documents of one collection; several members may hold parts of the same collection."""

    path: MemberPath
    name: CollectionName
    codec: Codec
    format: CollectionFormat = CollectionFormat.BSON


def collection_member(path: MemberPath) -> CollectionMember | None:
    """Return the collection of ``…/<db>/<collection>.bson[.gz|.zst]``; None for other members, metadata included.

    MongoDB permits no name that begins with a dot. So companion files are no collections: ``._advisories.bson`` of
    macOS, and what is in a folder ``.AppleDouble``.
    """
    folder, _, leaf = path.text.rpartition("/")
    database = folder.rpartition("/")[2]
    if leaf.startswith(".") or database.startswith("."):
        return None
    for codec in Codec:
        stem = leaf.removesuffix(f".bson{codec.value}")
        if stem and stem != leaf and folder:
            name = CollectionName(database=database, collection=stem)
            return CollectionMember(path=path, name=name, codec=codec)
    return None


_SUFFIXES: Mapping[str, frozenset[CollectionFormat]] = {
    ".bson": frozenset({CollectionFormat.BSON}),
    ".ndjson": frozenset({CollectionFormat.NDJSON}),
    ".jsonl": frozenset({CollectionFormat.NDJSON}),
    # mongoexport writes a document a line, and one array with --jsonArray, both under this name.
    ".json": frozenset({CollectionFormat.NDJSON, CollectionFormat.JSON}),
}
_METADATA = ".metadata.json"


def codec_of(path: MemberPath) -> Codec:
    """Return the codec that a member's name ends in."""
    return next(codec for codec in reversed(Codec) if path.text.endswith(codec.value))


def declarable_formats(path: MemberPath) -> frozenset[CollectionFormat]:
    """Return the formats of which a member of this name may be declared as a collection; empty for other names."""
    leaf = path.text.rpartition("/")[2]
    stem = leaf.removesuffix(codec_of(path).value)
    if leaf.startswith(".") or stem.endswith(_METADATA) or (stem.endswith(".bson") and not collection_member(path)):
        return frozenset()
    return next((formats for suffix, formats in _SUFFIXES.items() if stem.endswith(suffix)), frozenset())


def declared_member(path: MemberPath, format_: CollectionFormat, name: CollectionName) -> CollectionMember:
    """Return the collection that is declared to be in a member.

    Raises:
        ContentError: The name of the member is none of this format, or names another collection.
    """
    if format_ not in declarable_formats(path):
        raise ContentError(f"is declared as {format_}, and no {format_} collection has such a name", where=str(path))
    named = collection_member(path)
    if named is not None and named.name != name:
        raise ContentError(f"is declared as {name}, and its name is that of {named.name}", where=str(path))
    return CollectionMember(path=path, name=name, codec=codec_of(path), format=format_)


@dataclass(frozen=True, slots=True, kw_only=True)
class Collections:
    """The table of a kit's collections: by their names, and as declared. Nothing is guessed from contents."""

    declared: Mapping[MemberPath, CollectionMember] = field(default_factory=dict)

    @classmethod
    def of(cls, declared: Iterable[CollectionMember]) -> Self:
        """Return the table of what is declared, in as many places as it is.

        Raises:
            ContentError: A member is declared twice, and differently.
        """
        found: dict[MemberPath, CollectionMember] = {}
        for one in declared:
            other = found.setdefault(one.path, one)
            if other != one:
                raise ContentError(
                    f"is declared as {other.format} of {other.name}, and as {one.format} of {one.name}",
                    where=str(one.path),
                )
        return cls(declared=found)

    def to_json(self) -> list[dict[str, str]]:
        """Return what is declared, as a migration has it."""
        return [
            {
                "path": one.path.text,
                "format": one.format.value,
                "db": one.name.database,
                "collection": one.name.collection,
            }
            for one in self.declared.values()
        ]

    def member(self, path: MemberPath) -> CollectionMember | None:
        """Return the collection in a member; None for any other member."""
        return self.declared.get(path) or collection_member(path)


NAMED = Collections()
"""The table of a kit that declares nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetadataName:
    """What the name of a metadata file states."""

    collection: CollectionName
    codec: Codec


def metadata_name(path: MemberPath) -> MetadataName | None:
    """Return of which collection ``…/<db>/<collection>.metadata.json[.gz|.zst]`` is; None for other members."""
    stem, dot, suffix = path.text.rpartition(".metadata.json")
    if not dot or suffix not in {codec.value for codec in Codec}:
        return None
    collection = collection_member(MemberPath(f"{stem}.bson"))
    return MetadataName(collection=collection.name, codec=Codec(suffix)) if collection is not None else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """Exceptions from the rules of schemas/archive.md; none by default."""

    links: bool = False
    """Links that stay inside the kit (``--allow-links``)."""
    names: frozenset[NameClass] = frozenset()
    """Classes of names that Windows reads differently (``--allow-names CLASS``)."""
    records: frozenset[str] = frozenset()
    """Keys of PAX records that are not known to be harmless (``--allow-records KEY``); some are never accepted."""


STRICT = Allowed()

"""Writes selected collections as one dump, as ``mongodump --archive`` does; and reads the metadata that belong to them.

A dump begins with all names and their metadata, so those are read before any document is written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from kit.archive.frames import FRAME_BYTES, encode
from kit.archive.read.codecs import decode_member
from kit.archive.read.tar import Member
from kit.dump import Described, DumpWriter, Origin, Prelude, Sort
from kit.dump.names import ORIGIN, collection_of, is_cut
from kit.dump.prelude import BUCKETS
from kit.engine.passing import read_again
from kit.engine.reading import Survey
from kit.errors import ContentError, KitError
from kit.values import Codec, CollectionName, Limits, MemberPath, collection_member, strict_json
from kit.verbs.verify.kits import OpenKit
from kit.version import TOOL, VERSION

_UNKNOWN = "0.0.0"
"""The version of the server where the kit does not state it: readers want three numbers."""
_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class DumpPlan:
    """What a dump begins with, and the name that each collection of the kit has in it."""

    prelude: Prelude
    names: Mapping[CollectionName, CollectionName]


def plan_dump(kit: OpenKit, found: Survey, chosen: Iterable[CollectionName]) -> DumpPlan:
    """Return the plan of a dump of these collections.

    Raises:
        ContentError: Parts of a collection have different metadata, or those that name a collection are not there.
        DigestError: The kit changed since it was judged.
    """
    chosen = tuple(chosen)
    described: dict[CollectionName, dict[MemberPath, bytes]] = {}
    origins: set[Origin] = set()

    def visit(member: Member, body: Iterator[bytes]) -> None:
        if member.path is None or not member.is_file:
            return
        parsed = parse_metadata_path(member.path)
        if parsed is not None:
            name, codec = parsed
            described.setdefault(name, {})[member.path] = read_whole(member, body, codec, kit.reader.limits)
        codec = next(codec for codec in reversed(Codec) if member.path.text.endswith(codec.value))
        if member.path.text.removesuffix(codec.value).rpartition("/")[2] == ORIGIN:
            origin = stated_origin(read_whole(member, body, codec, kit.reader.limits), kit.reader.limits)
            origins.update((origin,) if origin is not None else ())

    read_again(kit.reader, found, visit)
    entries: list[Described] = []
    names: dict[CollectionName, CollectionName] = {}
    for name in chosen:
        entry, names[name] = _describe(name, described, kit.reader.limits)
        entries.append(entry)
    if len({one.name for one in entries}) < len(entries):
        twice = next(one.name for one in entries if sum(other.name == one.name for other in entries) > 1)
        raise ContentError(f"two collections of the kit are {twice} in a dump", hint="choose one with --collection")
    unknown = Origin(server_version=_UNKNOWN, tool_version=f"{TOOL} {VERSION}")
    stated = origins.pop() if len(origins) == 1 else unknown
    return DumpPlan(prelude=Prelude(origin=stated, described=tuple(entries)), names=names)


def _describe(
    name: CollectionName, described: Mapping[CollectionName, Mapping[MemberPath, bytes]], limits: Limits
) -> tuple[Described, CollectionName]:
    """Return the description of a collection, and the name of its blocks."""
    stem = name.collection.removeprefix(BUCKETS)
    series = CollectionName(database=name.database, collection=stem)
    is_series = stem != name.collection and series in described
    path, data = _one(name, described.get(series if is_series else name, {}))
    metadata = _text(data, path)
    collection = collection_of(stem if is_series else name.collection)
    if is_cut(name.collection):
        collection = stated_name(data, limits, where=str(name))
    real = CollectionName(database=name.database, collection=collection)
    entry = Described(name=real, metadata=metadata, sort=Sort.TIME_SERIES if is_series else Sort.COLLECTION)
    return entry, entry.data_names[0]


def _one(name: CollectionName, found: Mapping[MemberPath, bytes]) -> tuple[str, bytes]:
    """Return the metadata of a collection and where they are; empty where there are none."""
    if not found:
        return "", b""
    first, *others = found.items()
    differing = [str(path) for path, data in others if data != first[1]]
    if differing:
        raise ContentError(f"parts of {name} have different metadata: {first[0]} and {', '.join(differing[:_SHOWN])}")
    return str(first[0]), first[1]


def _text(data: bytes, where: str) -> str:
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise ContentError("metadata are not UTF-8", where=where) from error
    if "\0" in text:
        raise ContentError("metadata have a NUL", where=where)
    return text


def stated_name(data: bytes, limits: Limits, *, where: str) -> str:
    """Return the name that metadata state of their collection.

    Raises:
        ContentError: They are no JSON, or state none.
    """
    found = strict_json.parse(data, limits=limits, where=where) if data else {}
    stated = found.get("collectionName") if isinstance(found, dict) else None
    if not isinstance(stated, str) or not stated or "\0" in stated:
        raise ContentError("its name is cut, and there are no metadata that state it (collectionName)", where=where)
    return stated


def stated_origin(data: bytes, limits: Limits) -> Origin | None:
    """Return where a dump is from; None if the file is not one that states it."""
    try:
        found = strict_json.parse(data, limits=limits, where=ORIGIN)
    except KitError:
        return None
    if not isinstance(found, dict):
        return None
    server, tool = found.get("ServerVersion"), found.get("ToolVersion", f"{TOOL} {VERSION}")
    if not isinstance(server, str) or not isinstance(tool, str) or "\0" in server + tool:
        return None
    return Origin(server_version=server, tool_version=tool)


class DumpFile:
    """Writes a dump as its documents come, compressed in frames."""

    def __init__(self, plan: DumpPlan, codec: Codec, write: Callable[[bytes], object]) -> None:
        """Begin a dump; ``write`` takes its bytes."""
        self._plan = plan
        self._writer = DumpWriter(plan.prelude)
        self._codec = codec
        self._write = write
        self._held = [self._writer.begin()]
        self._held_bytes = len(self._held[0])

    def add(self, name: CollectionName, documents: bytes) -> None:
        """Write documents of a collection, which is named as in the kit."""
        self._put(self._writer.add(self._plan.names[name], documents))

    def close(self) -> None:
        """Write the end of every collection, and what is held."""
        for name in self._plan.names.values():
            self._put(self._writer.close(name))
        self._flush()

    def _put(self, data: bytes) -> None:
        self._held.append(data)
        self._held_bytes += len(data)
        if self._held_bytes >= FRAME_BYTES:
            self._flush()

    def _flush(self) -> None:
        data, self._held, self._held_bytes = b"".join(self._held), [], 0
        self._write(encode(self._codec, data))


def parse_metadata_path(path: MemberPath) -> tuple[CollectionName, Codec] | None:
    """Return collection and codec of a path ``…/<db>/<collection>.metadata.json[.gz|.zst]``; None for any other."""
    for codec in Codec:
        stem = path.text.removesuffix(f".metadata.json{codec.value}")
        if stem != path.text:
            collection = collection_member(MemberPath(f"{stem}.bson"))
            return (collection.name, codec) if collection is not None else None
    return None


def read_whole(member: Member, body: Iterator[bytes], codec: Codec, limits: Limits) -> bytes:
    """Return the content of a small file, decompressed.

    Raises:
        LimitError: It is over ``json_bytes``.
        ArchiveError: It is malformed in its codec.
    """
    where = str(member.path)
    whole = bytearray()
    for chunk in decode_member(body, codec, limits, where=where):
        whole += chunk
        limits.check("json_bytes", len(whole), where=where)
    return bytes(whole)

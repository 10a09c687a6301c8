"""Reads a dump of ``mongodump --archive``, run by run or into the folder that ``mongodump`` writes without that option.

Law: however the blocks are interleaved, and whatever compresses the dump, the same collections give the same files.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from kit.archive.read.codecs import decode, detect
from kit.archive.source import ChunkReader, FileSource, source_chunks
from kit.documents import Run
from kit.dump import MAGIC, BlockHeader, Part, Prelude, Sort, read_dump
from kit.dump.names import ORIGIN, data_path, metadata_path
from kit.dump.prelude import Described
from kit.errors import KitError, OutputError, UnreadableError
from kit.output.scratch import append_to
from kit.values import CollectionName, Limits, MemberPath, collection_member

__all__ = ["dump_runs", "is_dump", "origin_bytes", "unpack_dump"]


def is_dump(path: Path) -> bool:
    """Return whether the file at ``path`` begins as a dump does, perhaps compressed; it decides nothing else."""
    if not path.is_file():
        return False
    try:
        with closing(FileSource.open(path)) as source:
            return next(_decoded(source, str(path), Limits()), b"")[: len(MAGIC)] == MAGIC
    except KitError:
        return False


def unpack_dump(path: Path, folder: Path, limits: Limits) -> None:
    """Write the collections of a dump to ``folder``, with their metadata and where they are from.

    Raises:
        KitError: The dump is malformed, cut or over a limit, or has a name that no file may have.
        OutputError: A file cannot be written.
    """
    with _named(path):
        _unpack(_pieces(path, limits), folder)


def dump_runs(path: Path, limits: Limits) -> Iterator[tuple[CollectionName, Run | None]]:
    """Yield the documents of a dump, run by run, under the names that its collections have as files.

    The first of a collection is None, so that one without documents is seen, too.

    Raises:
        KitError: The dump is malformed, cut or over a limit, or has a name that no file may have.
    """
    with _named(path):
        yield from _runs(_pieces(path, limits))


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Raise every error with the name of the dump, also one about the name that a collection has as a file."""
    try:
        yield
    except (UnreadableError, OutputError):  # they name the file that they are about
        raise
    except KitError as error:
        raise (error if str(path) in error.where else error.inside(str(path))) from error.__cause__


def _pieces(path: Path, limits: Limits) -> Iterator[Prelude | BlockHeader | Part]:
    with closing(FileSource.open(path)) as source:
        metered = limits.with_meter(lambda: source.size)
        yield from read_dump(_decoded(source, str(path), metered), metered)


def _runs(pieces: Iterator[Prelude | BlockHeader | Part]) -> Iterator[tuple[CollectionName, Run | None]]:
    for piece in pieces:
        if isinstance(piece, Prelude):
            for name in (name for one in piece.described if one.sort is not Sort.VIEW for name in one.data_names):
                if (member := collection_member(data_path(name))) is not None:
                    yield member.name, None
        elif isinstance(piece, Part) and (member := collection_member(data_path(piece.name))) is not None:
            yield member.name, piece.run


def _decoded(source: FileSource, name: str, limits: Limits) -> Iterator[bytes]:
    codec = detect(source.read(len(MAGIC)))
    expanded = 0
    for chunk in decode(codec, ChunkReader(source_chunks(source, name=name), where=name), limits, where=name):
        expanded += len(chunk)
        limits.check("expanded_bytes", expanded, where=name)
        yield chunk


def _unpack(pieces: Iterator[Prelude | BlockHeader | Part], folder: Path) -> None:
    sorts: dict[CollectionName, Described] = {}
    for piece in pieces:
        if isinstance(piece, Prelude):
            append_to(folder, MemberPath(ORIGIN), origin_bytes(piece))
            sorts = {name: one for one in piece.described for name in one.data_names}
            for one in piece.described:
                if one.metadata:
                    append_to(folder, metadata_path(one.name), one.metadata.encode())
        elif isinstance(piece, Part):
            append_to(folder, data_path(piece.name), piece.run.data)
        elif piece.closes and sorts[piece.name].sort is not Sort.VIEW:
            append_to(folder, data_path(piece.name), b"")  # also of a collection without documents


def origin_bytes(prelude: Prelude) -> bytes:
    """Return the content of the file that states where a dump is from."""
    origin = prelude.origin
    return json.dumps({"ServerVersion": origin.server_version, "ToolVersion": origin.tool_version}).encode()

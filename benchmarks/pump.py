"""The yardsticks of benchmarks/run, each a process of its own that imports nothing but the codecs it needs.

    python benchmarks/pump.py pump KIT      decompress → SHA-256 → compress, and nothing else
    python benchmarks/pump.py read KIT      decompress → SHA-256

Two threads compress, beside decompression and hashing: zstd at level 3, gzip by libdeflate at level 1. Of a kit that is
called ``inner…``, whose collections have a codec of their own (``.bson.gz``), ``pump`` opens and compresses these, as a
patch must; ``read`` does not, as verify does not.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tarfile
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO

import deflate
import zstandard
from isal import isal_zlib

STEP = 1 << 20
_READ_STEP = 1 << 18
_THREADS = 2
Sink = Callable[[bytes], object]


def pump(kit: Path) -> None:
    """Decompress → SHA-256 → compress; decompression and hashing overlap with compression."""
    digest = hashlib.sha256()
    with kit.open("rb") as file, Path(os.devnull).open("wb") as sink:
        outer = _compressor(kit.name, sink.write)
        for name, chunks in _streams(kit, file):
            inner = _compressor(name, outer.write) if name else None
            for chunk in chunks:
                digest.update(chunk)
                (inner or outer).write(chunk)
            if inner is not None:
                inner.close()
        outer.close()


def read(kit: Path) -> None:
    """Decompress → SHA-256: the yardstick of verify."""
    digest = hashlib.sha256()
    with kit.open("rb") as file:
        for chunk in _opened(kit.name, file):
            digest.update(chunk)


def _streams(kit: Path, file: BinaryIO) -> Iterator[tuple[str, Iterator[bytes]]]:
    """Give the kit as one stream without a name or, if it is called so, its members that have a codec of their own."""
    if not kit.name.startswith("inner"):
        yield "", _opened(kit.name, file)
        return
    source: Any = _Readable(_opened(kit.name, file))
    with tarfile.open(fileobj=source, mode="r|") as members:
        for member in members:
            if member.name.endswith((".bson.zst", ".bson.gz")):
                body: Any = members.extractfile(member)
                yield member.name, _opened(member.name, body)


def _opened(name: str, file: BinaryIO) -> Iterator[bytes]:
    if name.endswith(".zst"):
        stream: Any = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
        while chunk := stream.read(STEP):
            yield chunk
        return
    decoder = isal_zlib.decompressobj(31)
    while data := file.read(_READ_STEP):
        while data:
            yield decoder.decompress(data)
            data = decoder.unused_data
            if decoder.eof:
                decoder = isal_zlib.decompressobj(31)


def _compressor(name: str, sink: Sink) -> Any:
    if name.endswith(".gz"):
        return _Gzip(sink)
    target: Any = _Writable(sink)
    return zstandard.ZstdCompressor(level=3, threads=_THREADS).stream_writer(target, closefd=False)


class _Gzip:
    """Makes a gzip member of every piece written, on two threads, in order."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._pool = ThreadPoolExecutor(_THREADS)
        self._made: deque[Future[Any]] = deque()

    def write(self, data: bytes) -> None:
        self._made.append(self._pool.submit(deflate.gzip_compress, data, 1))
        while len(self._made) > 2 * _THREADS:
            self._sink(self._made.popleft().result())

    def close(self) -> None:
        while self._made:
            self._sink(self._made.popleft().result())
        self._pool.shutdown()


class _Writable:
    def __init__(self, sink: Sink) -> None:
        self.write = sink

    def flush(self) -> None:
        """Nothing is held."""


class _Readable:
    """A file over chunks, as tarfile reads a stream."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._held = b""

    def read(self, size: int) -> bytes:
        parts, missing = [self._held], size - len(self._held)
        while missing > 0 and (chunk := next(self._chunks, b"")):
            parts.append(chunk)
            missing -= len(chunk)
        data = b"".join(parts)
        self._held = data[size:]
        return data[:size]


if __name__ == "__main__":
    {"pump": pump, "read": read}[sys.argv[1]](Path(sys.argv[2]))

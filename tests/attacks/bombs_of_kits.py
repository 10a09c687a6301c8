"""Kits of a few kilobytes, whole and signed, that would cost their reader much: what each layer can be made to hold.

Made as streams, so that making one costs no memory. A kit is what :mod:`tests.attacks.bombs` puts together, with a
manifest that is right, so that every command goes on to what it has to read next.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import zstandard

from kit.archive.read.zstd import MAGIC
from kit.signing import PrivateKey, jws
from tests import kits
from tests.archive.building import END, header, pax, record
from tests.attacks.bombs import OBSERVATIONS, size_field, zstd_block, zstd_of

MIB = 1 << 20
AT = "2025-10-20T00:00:00Z"
STATEMENT = "patch.intoto.json"
MANIFEST = b"manifest/offline-manifest.json"
Body = Callable[[], Iterable[bytes]]
"""Gives the same bytes each time it is asked."""


@dataclass(frozen=True, slots=True)
class File:
    """One member."""

    name: bytes
    body: Body

    def facts(self) -> tuple[str, int]:
        """Digest and size."""
        digest, size = hashlib.sha256(), 0
        for chunk in self.body():
            digest.update(chunk)
            size += len(chunk)
        return digest.hexdigest(), size


def of(data: bytes) -> Body:
    """Give these bytes."""
    return lambda: (data,)


def repeated(text: bytes, times: int) -> Body:
    """Give a text again and again, in chunks of some size."""
    batch = max(1, MIB // len(text))

    def chunks() -> Iterator[bytes]:
        rounds, rest = divmod(times, batch)
        whole = text * batch
        for _ in range(rounds):
            yield whole
        yield text * rest

    return chunks


def tar_stream(files: Iterable[File]) -> Iterator[bytes]:
    """Give an archive of these files."""
    for file in files:
        size = 0
        digest_size = sum(len(chunk) for chunk in file.body())
        name = file.name
        if len(name) > 100:
            yield pax(record("path", name))
        yield header(name[:100], size=size_field(digest_size))
        for chunk in file.body():
            size += len(chunk)
            yield chunk
        yield bytes(-size % 512)
    yield END


def manifest_of(members: Iterable[File], **changes: Any) -> bytes:
    """Give a manifest of the own shape."""
    listed = []
    for file in members:
        digest, size = file.facts()
        listed.append({"path": file.name.decode(), "sha256": digest, "size": size})
    entries = sorted(listed, key=lambda one: str(one["path"]))
    whole = kits.manifest_of({}, **({"bundleId": "bomb", "createdAt": AT, "files": entries} | changes))
    return json.dumps(whole, indent=1, sort_keys=True, ensure_ascii=False).encode() + b"\n"


def kit_of(
    files: list[File],
    key: PrivateKey | None = None,
    manifest: bytes | None = None,
    *,
    beside: Iterable[File] = (),
    pack: Callable[[Iterator[bytes]], bytes] = zstd_of,
    **changes: Any,
) -> bytes:
    """Give a whole kit, compressed."""
    data = manifest if manifest is not None else manifest_of(files, **changes)
    signature = [File(MANIFEST + b".jws", of(jws.sign(data, [key])))] if key is not None else []
    return pack(tar_stream([*files, File(MANIFEST, of(data)), *signature, *beside]))


def well_packed(parts: Iterator[bytes]) -> bytes:
    """Compress better than usual, so that more fits into a small file."""
    packer = zstandard.ZstdCompressor(level=9).compressobj()
    return b"".join([*(packer.compress(part) for part in parts), packer.flush()])


def best_packed(parts: Iterator[bytes]) -> bytes:
    """Compress as well as it goes, which takes long."""
    parameters = zstandard.ZstdCompressionParameters.from_level(19, window_log=24)
    packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    return b"".join([*(packer.compress(part) for part in parts), packer.flush()])


def wide_window(parts: Iterator[bytes]) -> bytes:
    """Compress with a window of 128 MiB, which the reader has to hold."""
    parameters = zstandard.ZstdCompressionParameters.from_level(3, window_log=27)
    packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    return b"".join([*(packer.compress(part) for part in parts), packer.flush()])


def element(kind: int, name: bytes, value: bytes = b"") -> bytes:
    """Give one element of BSON."""
    return bytes((kind,)) + name + b"\0" + value


def text(value: bytes) -> bytes:
    """Give the value of a string."""
    return struct.pack("<i", len(value) + 1) + value + b"\0"


def bson_of(*elements: bytes) -> bytes:
    """Frame elements as a document."""
    inside = b"".join(elements)
    return struct.pack("<i", len(inside) + 5) + inside + b"\0"


def numbered(count: int, make: Callable[[int], bytes], batch: int = 4096) -> Body:
    """Give as many pieces, each made from its number."""

    def chunks() -> Iterator[bytes]:
        for start in range(0, count, batch):
            yield b"".join(make(number) for number in range(start, min(start + batch, count)))

    return chunks


def gzipped(body: Body, level: int = 9) -> bytes:
    """Compress a body as one gzip member."""
    out = io.BytesIO()
    with gzip.GzipFile(fileobj=out, mode="wb", compresslevel=level, mtime=0) as file:
        for chunk in body():
            file.write(chunk)
    return out.getvalue()


EMPTY_ZSTD = zstandard.ZstdCompressor(level=1, write_content_size=False).compress(b"")
EMPTY_GZIP = gzip.compress(b"", 1, mtime=0)
SKIPPABLE = b"\x50\x2a\x4d\x18\0\0\0\0"
TINY = b"\x05\0\0\0\0"
COLLECTION = File(OBSERVATIONS, of(bson_of(element(2, b"_id", text(b"a")), element(2, b"tenant", text(b"t")))))


def collection(body: Body, suffix: bytes = b"", number: int | None = None) -> File:
    """Name a collection of observations."""
    if number is None:
        return File(OBSERVATIONS + suffix, body)
    return File(b"dump/concelier/c%d.bson" % number + suffix, body)


def wide_document(count: int, kind: int = 10, name: bytes = b"%x") -> bytes:
    """Give a document of so many elements that have no value."""
    return bson_of(*(element(kind, name % number if b"%" in name else name) for number in range(count)))


def identity(number: int) -> bytes:
    """Give an ``_id``."""
    return element(2, b"_id", text(b"%d" % number))


def observation(number: int, tenants: int = 9000) -> bytes:
    """Give an observation that a patch would have to look into."""
    source = bson_of(element(2, b"vendor", text(b"osv")))
    raw = bson_of(element(2, b"id", text(b"X-%d" % number)))
    content = bson_of(element(2, b"format", text(b"OSV")), element(3, b"raw", raw))
    tenant = element(2, b"tenant", text(b"t%d" % (number % tenants)))
    return bson_of(identity(number), tenant, element(3, b"source", source), element(3, b"content", content))


def deflate_blocks(size: int) -> bytes:
    """Give a gzip member of blocks that have tables and no content: some 13 bytes each."""
    bits: list[int] = []

    def put(value: int, count: int) -> None:
        bits.extend(value >> at & 1 for at in range(count))

    # RFC 1951 3.2.7: no block is the last; 257 literals, one distance, 18 code lengths, in their odd order.
    for value, count in ((0, 1), (2, 2), (0, 5), (0, 5), (14, 4)):
        put(value, count)
    for length in (16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1):
        put({18: 1, 0: 2, 1: 2}.get(length, 0), 3)
    # 138 and 117 zeros; then codes of one bit for 255, for the end of the block, and for the distance; then that end.
    for value, count in ((0, 1), (127, 7), (0, 1), (106, 7), *[(1, 1), (1, 1)] * 3, (1, 1)):
        put(value, count)
    whole = bits * 8
    block = bytes(sum(whole[at + place] << place for place in range(8)) for at in range(0, len(whole), 8))
    last = [1, *bits[1:]]
    last += [0] * (-len(last) % 8)
    end = bytes(sum(last[at + place] << place for place in range(8)) for at in range(0, len(last), 8))
    return b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + block * (size // len(block)) + end + bytes(8)


def gzip_comment(size: int) -> bytes:
    """Give an empty gzip member with a comment of so many bytes."""
    return b"\x1f\x8b\x08\x10\0\0\0\0\0\xff" + b"c" * size + b"\0" + EMPTY_GZIP[10:]


def zstd_of_blocks(content: bytes, count: int) -> bytes:
    """Give one frame of raw blocks of so little each."""
    block = zstd_block(0, content, len(content))
    return MAGIC + b"\0\x38" + block * count + zstd_block(0, b"", 0, last=True)


def history(count: int, body: Callable[[int], Body]) -> list[File]:
    """Give earlier manifests that nothing names."""
    return [File(b"manifest/history/%d/offline-manifest.json" % number, body(number)) for number in range(count)]


def lineage_kit(key: PrivateKey, steps: int, files: int) -> bytes:
    """Give a kit of many generations, each with a lineage that is as long as it can be."""
    listed = [{"path": f"f{number:06}", "sha256": "0" * 64, "size": 0} for number in range(files)]
    lineage: list[dict[str, Any]] = []
    kept: list[File] = []
    data = b""
    for generation in range(1, steps + 2):
        data = manifest_of([], generation=generation, files=listed, lineage=lineage)
        if generation > steps:
            break
        folder = f"manifest/history/{generation}"
        names = {"path": "offline-manifest.json", "signature": "offline-manifest.json.jws", "statement": STATEMENT}
        bodies = {"path": data, "signature": jws.sign(data, [key]), "statement": b"{}"}
        kept += [File(f"{folder}/{name}".encode(), of(bodies[what])) for what, name in names.items()]
        entry = {what: f"{folder}/{name}" for what, name in names.items()}
        digest = hashlib.sha256(data).hexdigest()
        more = {"generation": generation, "manifestSha256": digest, "operation": "patch", "tool": "t", "at": AT}
        lineage = [*lineage, entry | more]
    return kit_of([], key, manifest=data, beside=kept)


def many_signatures(count: int) -> bytes:
    """Give a JWS of as many signers."""
    signatures = []
    for number in range(count):
        header = {"alg": "ES256", "b64": False, "crit": ["b64"], "kid": f"{number:064x}", "typ": jws.MANIFEST_TYPE}
        protected = base64.urlsafe_b64encode(json.dumps(header, separators=(",", ":")).encode()).rstrip(b"=")
        signatures.append({"protected": protected.decode(), "signature": "A"})
    return json.dumps({"signatures": signatures}, separators=(",", ":")).encode()


def astral_names(count: int, length: int) -> Iterator[bytes]:
    """Give empty files with names that take four bytes for each character, in the archive and in memory."""
    folder = "\U0001f600".encode() * 50 + b"/"
    for number in range(count):
        yield pax(record("path", b"%09d/" % number + folder * (length // len(folder)) + b"x")) + header(b"x")
    yield END


def global_keys(members: int, keys: int) -> Iterator[bytes]:
    """Give members that each have global PAX records of keys of their own in front."""
    for number in range(members):
        names = (f"LIBARCHIVE.k{number * keys + key}" for key in range(keys))
        yield pax(*(record(name, b"c" * 100) for name in names), flag=b"g") + header(b"m%d" % number)
    yield END

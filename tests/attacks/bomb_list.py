"""The bombs: what each is called, and how it is made. None is over a megabyte; most are a few kilobytes.

Each is one file that somebody may be handed, of the kind that its table says. Kits are signed by a key that is trusted,
so that the commands go as far as they can.
"""

from __future__ import annotations

import base64
import hashlib
import json
import random
import struct
from collections.abc import Callable, Iterator
from typing import Any

import zstandard

from kit.signing import PrivateKey, jws
from tests.archive.building import END, header, member, padded, pax, record
from tests.attacks import bombs
from tests.attacks.bombs import GIB, OBSERVATIONS, zstd_of
from tests.attacks.bombs_of_kits import (
    AT,
    COLLECTION,
    EMPTY_GZIP,
    EMPTY_ZSTD,
    MANIFEST,
    MIB,
    SKIPPABLE,
    TINY,
    Body,
    File,
    astral_names,
    best_packed,
    bson_of,
    collection,
    deflate_blocks,
    element,
    global_keys,
    gzip_comment,
    gzipped,
    history,
    identity,
    kit_of,
    lineage_kit,
    many_signatures,
    numbered,
    observation,
    of,
    repeated,
    text,
    well_packed,
    wide_document,
    wide_window,
    zstd_of_blocks,
)

Maker = Callable[[PrivateKey], bytes]
_ZSTD_TINY = zstandard.ZstdCompressor().compress(TINY)


def _coded(*parts: bytes | Body, suffix: bytes = b".zst") -> Maker:
    """A collection whose own codec reads these bytes."""

    def body() -> Iterator[bytes]:
        for part in parts:
            yield from (part,) if isinstance(part, bytes) else part()

    return lambda key: kit_of([COLLECTION, collection(body, suffix, 1)], key)


def _documents(body: Body, pack: Callable[[Iterator[bytes]], bytes] = zstd_of) -> Maker:
    return lambda key: kit_of([collection(body)], key, pack=pack)


def _late(maker: Callable[[], Maker]) -> Maker:
    """What takes long to make is made when it is asked for, not when the list is read."""

    def make(key: PrivateKey) -> bytes:
        return maker()(key)

    return make


def _manifest(data: Callable[[], bytes]) -> Maker:
    return lambda key: kit_of([COLLECTION], key, manifest=data())


def _tar(parts: Callable[[], Iterator[bytes]]) -> Maker:
    return lambda _: zstd_of(parts())


def _listing(count: int) -> bytes:
    files = [{"path": f"f{number:06}", "sha256": "0" * 64, "size": 0} for number in range(count)]
    more = {"schemaVersion": "1", "bundleId": "b", "generation": 1, "createdAt": AT, "collections": [], "lineage": []}
    return json.dumps({"files": files, **more}).encode()


def _declared(tenants: int) -> Maker:
    coverage = {"documents": 1, "rawLinkset": {"present": 0, "missing": 1, "unresolvable": 0}}
    summary = {
        "path": COLLECTION.name.decode(),
        "db": "concelier",
        "collection": "advisory_observations",
        "documents": 1,
        "bytes": 1,
        "tenants": {f"{number:x}": coverage for number in range(tenants)},
    }
    return lambda key: kit_of([COLLECTION], key, collections=[summary])


def _tenant(name: bytes) -> bytes:
    return bson_of(element(2, b"tenant", text(name)))


def _two_codecs(key: PrivateKey) -> bytes:
    # So much of it is noise that no ratio is met before the windows are full.
    noise = random.Random(1).randbytes(200_000)  # noqa: S311
    odd = bson_of(element(5, b"b", struct.pack("<i", len(noise)) + b"\0" + noise))
    body = wide_window(iter([odd, *[bombs.document(MIB)] * 200]))
    first = [File(b"noise", of(noise[::-1])), File(b"z", repeated(bytes(MIB), 200))]
    return kit_of([*first, collection(of(body), b".zst", 1)], key, pack=wide_window)


KITS: dict[str, Maker] = {
    # containers and codecs
    "zstd: 1 TiB of zeros": lambda _: bombs.zstd_runs(header(b"z", size=bombs.size_field(1024 * GIB)), 16 * GIB),
    "zstd: a window of 2 GiB": lambda _: b"\x28\xb5\x2f\xfd\x00\xa8" + bombs.zstd_block(1, b"\0", 9, last=True),
    "zstd: two windows of 128 MiB": _two_codecs,
    "zstd in zstd: empty frames": _coded(_ZSTD_TINY, repeated(EMPTY_ZSTD, 800_000)),
    "zstd in zstd: skippable frames": _coded(_ZSTD_TINY, repeated(SKIPPABLE, 2 * MIB)),
    "zstd in zstd: empty blocks": _coded(_ZSTD_TINY, repeated(zstd_of_blocks(b"", 100_000), 60)),
    "zstd in zstd: blocks of a byte": _coded(_ZSTD_TINY, repeated(zstd_of_blocks(b"\5", 100_000), 60)),
    "gzip: 900 MiB of zeros": lambda _: bombs.gzip_zeros(header(b"z", size=bombs.size_field(900 * MIB)), 900 * MIB),
    "gzip in zstd: empty members": _coded(repeated(EMPTY_GZIP, 800_000), suffix=b".gz"),
    "gzip in zstd: comments": _late(lambda: _coded(repeated(gzip_comment(1_000_000), 60), suffix=b".gz")),
    "gzip in zstd: empty blocks": _late(lambda: _coded(deflate_blocks(40 * MIB), suffix=b".gz")),
    "gzip in zstd: 16 GiB of documents": _late(lambda: _coded(bombs.packed_documents(256), suffix=b".gz")),
    # archives
    "tar: empty members": _tar(lambda: bombs.empty_members(240_000)),
    "tar: names of 4,000 bytes": _tar(lambda: bombs.long_names(15_000, 3_900)),
    "tar: names of wide characters": _tar(lambda: astral_names(15_000, 3_900)),
    "tar: folders in folders": _tar(lambda: bombs.deep_names(4_000, 60)),
    "tar: header records without end": _tar(lambda: bombs.global_records(300_000)),
    "tar: global records": _tar(
        lambda: (pax(record("comment", b"c"), flag=b"g") + header(b"m%d" % number) for number in range(100_000))
    ),
    "tar: global keys": _tar(lambda: global_keys(200, 4900)),
    "tar: a name record of 4 GiB": _tar(lambda: iter((header(size=1 << 32, flag=b"L"),))),
    "tar: collections": lambda key: kit_of([collection(of(TINY), number=at) for at in range(20_000)], key),
    # JSON
    "manifest: lists": _manifest(lambda: b"[" + b"[]," * 1_900_000 + b"0]"),
    "manifest: objects": _manifest(lambda: b"[" + b'{"a":1},' * 990_000 + b"0]"),
    "manifest: keys": _manifest(lambda: b"{" + b",".join(b'"%x":0' % number for number in range(100_000)) + b"}"),
    "manifest: a wide character": _manifest(lambda: b'"\xf0\x9f\x98\x80' + b"a" * 60_000_000 + b'"'),
    "manifest: escapes": _manifest(lambda: b'"' + b"\\n" * 25_000_000 + b'"'),
    "manifest: one number": _manifest(lambda: b"1" + b"0" * 30_000_000),
    "manifest: fractions": _manifest(lambda: b"[" + b"1e300," * 1_900_000 + b"0]"),
    "manifest: nothing but [": _manifest(lambda: b"[" * 60 * MIB),
    "manifest: ][ without end": _manifest(lambda: b"][" * 30 * MIB),
    "manifest: a long way to many items": _manifest(
        lambda: b'{"%s":[%s0],"\\ud83d\\ude00":0}' % (b"k" * 20_000_000, b"0," * 300_000)
    ),
    "manifest: 240,000 files": _manifest(lambda: _listing(240_000)),
    "manifest: tenants": _declared(150_000),
    "history: nobody's manifests": lambda key: kit_of(
        [COLLECTION], key, beside=history(12, lambda _: repeated(b"[],", 1_300_000))
    ),
    "history: blanks": lambda key: kit_of([COLLECTION], key, beside=history(4, lambda _: repeated(b" ", 60 * MIB))),
    "history: 120 generations": lambda key: lineage_kit(key, 120, 2000),
    "signature: 5,000 signers": lambda _: kit_of(
        [COLLECTION], None, beside=[File(MANIFEST + b".jws", of(many_signatures(5000)))]
    ),
    # BSON
    "documents: 5 bytes each": _documents(repeated(TINY, 20_000_000)),
    "documents: an _id each": _documents(
        numbered(400_000, lambda number: bson_of(element(16, b"_id", struct.pack("<i", number)))), well_packed
    ),
    "documents: the same _id": _documents(
        repeated(bson_of(element(2, b"_id", text(b"same")), element(16, b"x", b"1234")), 1_000_000)
    ),
    "documents: observations": _documents(numbered(60_000, observation), well_packed),
    "documents: _ids of 15 MiB": _documents(
        numbered(60, lambda number: bson_of(element(2, b"_id", text(b"%d" % number + b"i" * (15 * MIB)))), 1)
    ),
    "documents: binary values": _documents(repeated(bombs.document(16 * MIB), 64)),
    "document: 270,000 names": _late(lambda: _documents(repeated(wide_document(270_000), 12), best_packed)),
    "document: 590,000 empty names": _late(lambda: _documents(repeated(wide_document(590_000, name=b""), 60))),
    "documents: 20,000 elements each": _late(lambda: _documents(repeated(wide_document(20_000), 3_000))),
    "documents: 190 levels each": _documents(repeated(bombs.nested_document(190), 100_000)),
    "document: 100,000 levels": _documents(repeated(bombs.nested_document(100_000), 8)),
    "document: 2 GiB in 4 bytes": _documents(of(struct.pack("<i", 2**31 - 1))),
    "arrays: long names": _documents(
        repeated(bson_of(element(4, b"a", wide_document(5000, name=b"9" * 200 + b"%d"))), 300)
    ),
    "tenants: of 400,000 documents": _documents(
        numbered(400_000, lambda number: bson_of(identity(number), element(2, b"tenant", text(b"%d" % number)))),
        well_packed,
    ),
    "tenants: of 100 collections": lambda key: kit_of(
        [collection(numbered(9_000, lambda number: _tenant(b"%d" % number)), number=at) for at in range(100)], key
    ),
    "tenants: names of 1 MiB": _documents(numbered(1_000, lambda number: _tenant(b"%9d" % number + b"t" * MIB), 1)),
    "metadata: nothing but [": lambda key: kit_of(
        [COLLECTION, File(OBSERVATIONS.replace(b".bson", b".metadata.json"), repeated(b"[", 50 * MIB))], key
    ),
    "gzip of documents in a plain tar": lambda _: (
        member(OBSERVATIONS + b".gz", gzipped(repeated(TINY, 20_000_000))) + END
    ),
}


def _delta(members: list[dict[str, Any]], beside: list[File], key: PrivateKey) -> bytes:
    end = {"generation": 1, "manifestSha256": "0" * 64}
    layout = {"path": "layout", "sha256": hashlib.sha256(b"").hexdigest(), "size": 0}
    whole = {
        "format": "kit-delta",
        "schemaVersion": "1",
        "bundleId": "b",
        "base": end,
        "target": {**end, "archive": {"container": "tar", "sha256": None}},
        "layout": layout,
        "members": members,
        "createdAt": AT,
        "tool": {"name": "t", "version": "1"},
    }
    return _delta_of(json.dumps(whole).encode(), beside, key)


def _delta_of(data: bytes, beside: list[File], key: PrivateKey) -> bytes:
    signature = jws.sign(data, [key], typ="application/vnd.offline-kit.delta+jws")

    def parts() -> Iterator[bytes]:
        yield member(b"delta-manifest.json", data) + member(b"delta-manifest.json.jws", signature)
        for file in beside:
            body = b"".join(file.body())
            yield header(file.name, size=len(body))
            yield padded(body)
        yield END

    return zstd_of(parts())


def _pieces(key: PrivateKey) -> bytes:
    """A manifest of the target whose payload makes four MiB of every few bytes."""
    packed = zstandard.ZstdCompressor(write_content_size=False).compress(bytes(4 * MIB))
    piece = _varint(0) + _varint(0) + _varint(4 * MIB) + b"\1" + _varint(len(packed)) + packed
    payload = File(b"payloads/0", repeated(_varint(len(piece)) + piece, 100_000))
    digest, size = payload.facts()
    entry = {
        "path": "manifest/offline-manifest.json",
        "sha256": "0" * 64,
        "size": 50 * MIB,
        "method": "full",
        "payload": {"path": "payloads/0", "sha256": digest, "size": size},
    }
    return _delta([entry], [File(b"layout", of(b"")), payload], key)


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes((*out, number))


def _entries(count: int, key: PrivateKey) -> bytes:
    digest = "0" * 64
    copies = [
        {"path": f"m{number:06}", "sha256": digest, "size": 0, "method": "copy", "source": "a"}
        for number in range(count)
    ]
    return _delta(copies, [], key)


DELTAS: dict[str, Maker] = {
    "delta: lists": lambda key: _delta_of(b"[" + b"[]," * 1_900_000 + b"0]", [], key),
    "delta: 200,000 entries": lambda key: _entries(200_000, key),
    "delta: pieces that make 400 GiB": _pieces,
    "delta: a list for its container": lambda key: _delta_of(
        json.dumps({"target": {"archive": {"container": []}}}).encode(), [], key
    ),
}


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _proof(data: bytes, key: PrivateKey, members: list[Any] | None = None) -> bytes:
    whole = {
        "schemaVersion": "1",
        "claim": {"id": "a", "collection": "a.b", "present": True},
        "manifest": _encoded(data),
        "signature": _encoded(jws.sign(data, [key])),
        "members": members or [],
    }
    return json.dumps(whole).encode()


JSON_TEXTS: dict[str, Maker] = {
    "JSON: lists": lambda _: b"[" + b"[]," * 330_000 + b"0]",
    "JSON: objects": lambda _: b"[" + b'{"a":1},' * 120_000 + b"0]",
    "JSON: a long way to many items": lambda _: b'{"%s":[%s0],"\\ud83d\\ude00":0}' % (b"k" * 400_000, b"0," * 250_000),
    "JSON: a key twice": lambda _: b'{"%s":0,"%s":0}' % (b"k" * 490_000, b"k" * 490_000),
    "JSON: one number": lambda _: b"1" + b"0" * 990_000,
    "JSON: nothing but [": lambda _: b"[" * 990_000,
    "JSON: keys": lambda _: b"{" + b",".join(b'"%x":0' % number for number in range(90_000)) + b"}",
    "JSON: a deep number": lambda _: b'{"a":' * 60 + b"1e99999999999" + b"}" * 60,
}
"""For whatever reads a file of JSON: a policy, a keyring, a migration, an approval, a field map, a proof."""

PROOFS: dict[str, Maker] = {
    "proof: a manifest of lists": lambda key: _proof(b"[" + b"[]," * 240_000 + b"0]", key),
    "proof: a path of 13,000 steps": lambda key: _proof(
        _listing(1),
        key,
        [{"path": "a", "leaves": [{"index": 0, "key": "", "documentSha256": "0" * 64, "path": ["0" * 64] * 13_000}]}],
    ),
}

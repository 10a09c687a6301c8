"""Builds small signed kits with stock tools only (tarfile, zlib, zstandard, bson), for tests of what reads them."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import bson
import zstandard

from kit.signing import Algorithm, PrivateKey, generate, jws, write_private, write_public

MANIFEST = "offline-manifest.json"
MTIME = 1_760_000_000
OBSERVATIONS = "feeds/concelier/advisory_observations.bson"
SNAPSHOTS = "feeds/concelier/advisory_raw.bson"
CACHE = "feeds/concelier/dto.bson"


def osv(number: int, **changes: Any) -> dict[str, Any]:
    """Give an OSV record; ``...`` removes a member."""
    whole = {
        "schema_version": "1.6.0",
        "id": f"GO-2024-{number:04}",
        "modified": "2024-01-01T00:00:00Z",
        "aliases": [f"CVE-2024-{number:04}", f"CVE-2024-{number:04}"],
        "affected": [{"package": {"ecosystem": "Go", "name": "x/y", "purl": f"pkg:GoLang/example.com/y@{number}"}}],
        "references": [{"type": "WEB", "url": f"https://example.com/{number}"}],
    }
    return {name: value for name, value in (whole | changes).items() if value is not ...}


def canonical_linkset(number: int) -> dict[str, Any]:
    """Give the canonical linkset of :func:`osv`: normalised, without duplicates."""
    return {
        "aliases": [f"cve-2024-{number:04}", f"go-2024-{number:04}"],
        "purls": [f"pkg:golang/example.com/y@{number}"],
        "cpes": [],
        "references": [{"type": "web", "url": f"https://example.com/{number}"}],
    }


SOUND: dict[str, Any] = {"aliases": [], "purls": [], "cpes": [], "references": [], "reconciled_from": [], "notes": {}}
"""A ``rawLinkset`` of shape v1 that holds nothing."""


def observation(number: int, *, tenant: Any = "acme", raw: Any = None, **changes: Any) -> dict[str, Any]:
    """Give an observation without ``rawLinkset``; ``...`` removes an element."""
    whole = {
        "_id": f"{tenant}:{number}",
        "tenant": tenant,
        "source": {"vendor": "go", "stream": "osv"},
        "upstream": {"upstreamId": f"GO-2024-{number:04}", "contentHash": f"sha256:{number}"},
        "content": {"format": "OSV", "specVersion": "1.6.0", "raw": osv(number) if raw is None else raw},
        "linkset": canonical_linkset(number),
    }
    return {name: value for name, value in (whole | changes).items() if value is not ...}


def snapshot(number: int, *, tenant: str = "acme", linkset: Any = None, **changes: Any) -> dict[str, Any]:
    """Give the ``advisory_raw`` document of :func:`observation`, in its own spelling."""
    whole = {
        "_id": f"raw:{tenant}:{number}",
        "tenant": tenant,
        "source": {"vendor": "go"},
        "upstream": {"upstream_id": f"GO-2024-{number:04}", "content_hash": f"sha256:{number}"},
        "identifiers": {"aliases": ["from-identifiers"]},
        "linkset": {"aliases": ["b", "a", "b"], "purls": ["pkg:golang/x"]} if linkset is None else linkset,
    }
    return {name: value for name, value in (whole | changes).items() if value is not ...}


def collection(documents: Iterable[Mapping[str, Any]]) -> bytes:
    """Give documents back to back, as ``mongodump`` writes them."""
    return b"".join(bson.encode(document) for document in documents)


def stored(path: str, data: bytes) -> bytes:
    """Compress a member as its name says."""
    if path.endswith(".gz"):
        return gzip.compress(data, mtime=0)
    return zstandard.compress(data) if path.endswith(".zst") else data


def signed(files: Mapping[str, bytes], key: PrivateKey | None, *, generation: int = 0) -> dict[str, bytes]:
    """Add the manifest of ``files``, and its signature where there is a key."""
    entries = [
        {
            "path": path,
            "sha256": hashlib.sha256(data).hexdigest(),
            "size": len(data),
            "mediaType": "application/octet-stream",
            "kind": "data",
        }
        for path, data in sorted(files.items())
    ]
    document = {
        "schemaVersion": "1",
        "bundleId": "kit-1",
        "version": "2025.10",
        "channel": "stable",
        "generation": generation,
        "createdAt": "2025-10-01T00:00:00Z",
        "producer": "test",
        "files": entries,
        "collections": [],
        "lineage": [],
    }
    manifest = (json.dumps(document, sort_keys=True, indent=2, ensure_ascii=False) + "\n").encode()
    signature = {} if key is None else {f"{MANIFEST}.jws": jws.sign(manifest, [key])}
    return {MANIFEST: manifest, **signature, **files}


def tar(files: Mapping[str, bytes], *, layout: int = tarfile.PAX_FORMAT, mode: int = 0o640) -> bytes:
    """Pack files in the order given; a name that ends in a slash is a folder."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=layout) as archive:
        for path, data in files.items():
            info = tarfile.TarInfo(path)
            info.size, info.mode, info.mtime, info.uid, info.uname = len(data), mode, MTIME, 1000, "builder"
            if path.endswith("/"):
                info.type, info.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def packed(archive: bytes, name: str) -> bytes:
    """Compress an archive as ``name`` says."""
    if name.endswith((".gz", ".tgz")):
        return gzip.compress(archive, mtime=0)
    return zstandard.compress(archive) if name.endswith(".zst") else archive


def unpacked(data: bytes) -> bytes:
    """Decompress an archive by its content, with none of the code under test."""
    if data.startswith(b"\x1f\x8b"):
        return gzip.decompress(data)
    if data.startswith(b"\x28\xb5\x2f\xfd"):
        return zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True).read()
    return data


def contents(archive: bytes) -> dict[str, bytes]:
    """Give the regular files of an archive, decompressed where needed, in its order."""
    found = {}
    with tarfile.open(fileobj=io.BytesIO(unpacked(archive))) as opened:
        for info in opened:
            if info.isreg() and (body := opened.extractfile(info)) is not None:
                found[info.name] = body.read()
    return found


def write_kit(path: Path, files: Mapping[str, bytes]) -> Path:
    """Write files as an archive, or as a folder where ``path`` has no suffix."""
    if path.suffix:
        path.write_bytes(packed(tar(files), path.name))
        return path
    for name, data in files.items():
        place = path / name
        place.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("/"):
            place.mkdir(exist_ok=True)
        else:
            place.write_bytes(data)
    return path


def small_files(documents: int = 6) -> dict[str, bytes]:
    """Give a kit's files: two collections of observations, one of them complete, snapshots, and things to carry."""
    complete = [observation(n) | {"rawLinkset": {"aliases": []}} for n in range(2)]
    return {
        "docs/readme.txt": b"read me\n",
        OBSERVATIONS: collection(observation(n) for n in range(documents)),
        "feeds/concelier/part-2/concelier/advisory_observations.bson.gz": gzip.compress(
            collection(complete), 9, mtime=0
        ),
        SNAPSHOTS: collection(snapshot(n) for n in range(2)),
        "images/empty": b"",
        "images/layer.bin": bytes(range(256)) * 40,
    }


def write_keys(folder: Path, algorithm: Algorithm = Algorithm.ES256) -> tuple[PrivateKey, Path, Path]:
    """Generate a key and write both its halves; returns key, private file, public file."""
    key = generate(algorithm)
    private, public = folder / "key.pem", folder / "key.pub.pem"
    write_private(private, key)
    write_public(public, key.public)
    return key, private, public

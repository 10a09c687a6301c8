"""The one builder of kits for tests: documents, members, manifest and signature, packed by stock tools only.

Made by tarfile, zlib, zstandard, bson and json, so that what reads a kit is tested, and not a round trip. Kits that are
odd byte by byte are spelled out in ``conformance/build``; those that ask for much are streams of ``bombs_of_kits``.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import bson
import zstandard

from kit.signing import Algorithm, PrivateKey, generate, jws, write_private, write_public

REAL = Path(__file__).parents[2] / "shared/data/kits"
"""Kits that somebody else published; not there on every machine."""
MANIFEST = "manifest/offline-manifest.json"
SIGNATURE = f"{MANIFEST}.jws"
OBSERVATIONS = "dump/concelier/advisory_observations.bson"
SNAPSHOTS = "dump/concelier/advisory_raw.bson"
CACHE = "dump/concelier/dto.bson"
AT = "2026-01-02T03:04:05Z"
MTIME = 1_760_918_400

Members = dict[str, bytes]
Document = dict[str, Any]


def identifier(number: int) -> str:
    """Return the identifier of the advisory of this number."""
    return f"GO-2025-{number:04}"


def advisory(number: int, **changes: Any) -> Document:
    """Return an OSV record with an alias twice and a purl to normalise; ``...`` removes a member."""
    return _changed(
        {
            "schema_version": "1.6.0",
            "id": identifier(number),
            "modified": "2025-01-01T00:00:00Z",
            "summary": "A summary",
            "aliases": [f"CVE-2025-{number:04}", f"CVE-2025-{number:04}"],
            "affected": [{"package": {"ecosystem": "Go", "name": "x/y", "purl": f"pkg:GoLang/example.com/y@{number}"}}],
            "references": [{"type": "WEB", "url": f"https://example.com/{number}"}],
        },
        changes,
    )


def canonical_linkset(number: int) -> Document:
    """Return the canonical linkset of :func:`advisory`: normalised, without duplicates."""
    return {
        "aliases": [f"cve-2025-{number:04}", identifier(number).lower()],
        "purls": [f"pkg:golang/example.com/y@{number}"],
        "cpes": [],
        "references": [{"type": "web", "url": f"https://example.com/{number}"}],
    }


SOUND: Document = {"aliases": [], "purls": [], "cpes": [], "references": [], "reconciled_from": [], "notes": {}}
"""A ``rawLinkset`` of shape v1 that holds nothing."""


def observation(number: int, tenant: Any = "acme", *, raw: Any = True, **changes: Any) -> Document:
    """Return an observation without ``rawLinkset``; ``...`` removes an element.

    Args:
        number: Of the advisory.
        tenant: Whose it is; None removes the element.
        raw: The upstream document: True for :func:`advisory`, False for none, which makes it unresolvable.
        changes: Elements that are set or removed.
    """
    name = identifier(number)
    content: Document = {"format": "OSV"}
    if raw is not False:
        content["raw"] = advisory(number) if raw is True else raw
    return _changed(
        {
            "_id": f"{tenant}:osv:{name}:1",
            "tenant": ... if tenant is None else tenant,
            "source": {"vendor": "osv"},
            "upstream": {"upstreamId": name, "contentHash": f"sha256:{number}"},
            "content": content,
            "linkset": canonical_linkset(number),
        },
        changes,
    )


def snapshot(number: int, *, tenant: str = "acme", linkset: Any = None, **changes: Any) -> Document:
    """Return the ``advisory_raw`` document of :func:`observation`, in its own spelling; ``...`` removes an element."""
    return _changed(
        {
            "_id": f"raw:{tenant}:{number}",
            "tenant": tenant,
            "source": {"vendor": "osv"},
            "upstream": {"upstream_id": identifier(number), "content_hash": f"sha256:{number}"},
            "identifiers": {"aliases": ["from-identifiers"]},
            "linkset": {"aliases": ["b", "a", "b"], "purls": ["pkg:golang/x"]} if linkset is None else linkset,
        },
        changes,
    )


def _changed(document: Document, changes: Document) -> Document:
    return {name: value for name, value in (document | changes).items() if value is not ...}


def collection(documents: Iterable[Mapping[str, Any]]) -> bytes:
    """Return documents back to back, as ``mongodump`` writes them."""
    return b"".join(bson.encode(document) for document in documents)


def documents_of(body: bytes) -> list[bytes]:
    """Return the documents of a collection."""
    documents = []
    while body:
        length = int.from_bytes(body[:4], "little")
        documents.append(body[:length])
        body = body[length:]
    return documents


def content(*documents: Mapping[str, Any]) -> Members:
    """Return the files of a kit of three; three observations of two tenants if no documents are given."""
    chosen = documents or (observation(1), observation(2, "globex"), observation(3, raw=False))
    return {"README.txt": b"a kit\n", OBSERVATIONS: collection(chosen), "images/layer.bin": bytes(range(256)) * 8}


def small_files(documents: int = 6) -> Members:
    """Return the files of a kit: two collections of observations, one of them complete, snapshots, and other files."""
    complete = [observation(n) | {"rawLinkset": {"aliases": []}} for n in range(2)]
    return {
        "docs/readme.txt": b"read me\n",
        OBSERVATIONS: collection(observation(n) for n in range(documents)),
        "dump/concelier/part-2/concelier/advisory_observations.bson.gz": gzip.compress(
            collection(complete), 9, mtime=0
        ),
        SNAPSHOTS: collection(snapshot(n) for n in range(2)),
        "images/empty": b"",
        "images/layer.bin": bytes(range(256)) * 40,
    }


def stored(path: str, data: bytes) -> bytes:
    """Return a member compressed as its name says."""
    if path.endswith(".gz"):
        return gzip.compress(data, mtime=0)
    return zstandard.compress(data) if path.endswith(".zst") else data


def sha256(data: bytes) -> str:
    """Return a digest as manifests spell it."""
    return hashlib.sha256(data).hexdigest()


def facts(data: bytes) -> Document:
    """Return what a manifest has of a file besides its path."""
    return {"sha256": sha256(data), "size": len(data)}


def manifest_of(members: Mapping[str, bytes], **changes: Any) -> Document:
    """Return a manifest of the own shape; ``...`` removes a member."""
    return _changed(
        {
            "schemaVersion": "1",
            "bundleId": "small",
            "version": "2025.10",
            "channel": "stable",
            "generation": 3,
            "createdAt": "2025-10-20T00:00:00Z",
            "files": [{"path": path, **facts(data)} for path, data in sorted(members.items())],
            "collections": [],
            "lineage": [],
        },
        changes,
    )


def foreign_manifest_of(members: Mapping[str, bytes]) -> Document:
    """Return a manifest as another producer writes it: other names, no generation."""
    files = [{"name": path, "digest": f"sha256:{sha256(data)}"} for path, data in sorted(members.items())]
    return {"release": "2025.10", "artifacts": files, "vendor": {"keep": [1, None]}}


def to_json(document: Mapping[str, Any]) -> bytes:
    """Return JSON as manifests of the own shape are printed."""
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False).encode() + b"\n"


def signed(
    members: Mapping[str, bytes],
    key: PrivateKey | None,
    manifest: Mapping[str, Any] | bytes | None = None,
    **changes: Any,
) -> Members:
    """Return the members of a kit: manifest, its signature unless ``key`` is None, and the files.

    Args:
        members: The files.
        key: Who signs.
        manifest: Another one than :func:`manifest_of` makes.
        changes: To the manifest that it makes, such as ``generation=1``.
    """
    document = manifest_of(members, **changes) if manifest is None else manifest
    data = document if isinstance(document, bytes) else to_json(document)
    signature = {} if key is None else {SIGNATURE: jws.sign(data, [key])}
    return {MANIFEST: data, **signature, **members}


def tar(
    members: Mapping[str, bytes | tarfile.TarInfo], *, layout: int = tarfile.PAX_FORMAT, mode: int = 0o640
) -> bytes:
    """Return an archive in the order given.

    A name that ends in a slash is a folder. A TarInfo in the place of bytes is added as it is.
    """
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=layout) as archive:
        for path, data in members.items():
            if isinstance(data, tarfile.TarInfo):
                archive.addfile(data)
                continue
            info = tarfile.TarInfo(path)
            info.size, info.mode, info.mtime, info.uid, info.uname = len(data), mode, MTIME, 0, "builder"
            if path.endswith("/"):
                info.type, info.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def packed(archive: bytes, name: str) -> bytes:
    """Return an archive compressed as ``name`` says."""
    if name.endswith((".gz", ".tgz")):
        return gzip.compress(archive, mtime=0)
    return zstandard.compress(archive) if name.endswith(".zst") else archive


def unpacked(data: bytes) -> bytes:
    """Return what is compressed, told by its content, or the data themselves."""
    if data.startswith(b"\x1f\x8b"):
        return gzip.decompress(data)
    if data.startswith(b"\x28\xb5\x2f\xfd"):
        return zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True).read()
    return data


def plain(data: bytes, name: str) -> bytes:
    """Return a member decompressed as its name says."""
    return unpacked(data) if name.endswith((".gz", ".zst")) else data


def plain_tar(path: Path) -> bytes:
    """Return the tar inside an archive."""
    return unpacked(path.read_bytes())


def write_kit(path: Path, members: Mapping[str, bytes | tarfile.TarInfo]) -> Path:
    """Write members as an archive, compressed as its name says, or as a folder if ``path`` has no suffix."""
    if path.suffix:
        path.write_bytes(packed(tar(members), path.name))
        return path
    for name, data in members.items():
        assert isinstance(data, bytes)
        place = path / name
        place.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("/"):
            place.mkdir(exist_ok=True)
            continue
        place.write_bytes(data)
        os.utime(place, (MTIME, MTIME))
    return path


def contents(archive: bytes) -> Members:
    """Return the regular files of an archive, compressed or not, in its order."""
    with tarfile.open(fileobj=io.BytesIO(unpacked(archive))) as opened:
        return {info.name: _body(opened, info) for info in opened if info.isreg()}


def read(path: Path) -> Members:
    """Return every regular file of an archive, in its order, or of a folder."""
    if path.is_dir():
        return {str(file.relative_to(path)): file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file()}
    return contents(path.read_bytes())


def entries(path: Path) -> dict[str, tuple[bytes, bytes]]:
    """Return header block and body of every entry of an archive."""
    data = plain_tar(path)
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {info.name: (data[info.offset : info.offset_data], _body(archive, info)) for info in archive}


def _body(archive: tarfile.TarFile, info: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(info)
    assert file is not None
    return file.read()


def folder_state(folder: Path, *, itself: bool = False) -> dict[str, tuple[object, ...]]:
    """Return all that can be seen in a folder: names, modes, times, contents; and of itself if asked."""
    seen: dict[str, tuple[object, ...]] = {}
    for path in sorted([*([folder] if itself else []), *folder.rglob("*")]):
        status = path.lstat()
        body = sha256(path.read_bytes()) if path.is_file() and not path.is_symlink() else ""
        seen[str(path.relative_to(folder))] = (status.st_mode, status.st_mtime_ns, status.st_size, status.st_ino, body)
    return seen


def write_keys(folder: Path, algorithm: Algorithm = Algorithm.ES256) -> tuple[PrivateKey, Path, Path]:
    """Generate a key and write both its halves; return key, private file and public file."""
    key = generate(algorithm)
    private, public = folder / "key.pem", folder / "key.pub.pem"
    write_private(private, key)
    write_public(public, key.public)
    return key, private, public

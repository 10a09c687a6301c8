"""The kit that is struck: small, signed by a key made for it, and large enough for every kind of step.

Made with stock libraries (tarfile, bson), so that the program is tried on what it did not write itself.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import random
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bson
import zstandard

from kit.signing import Algorithm, generate, jws, write_private, write_public

CLOCK = 1_760_000_001
"""The time of every run, in seconds since 1970, so that all give the same bytes."""
_MANIFEST = "offline-manifest.json"
_FOLDER = "feeds/concelier"
_DOCUMENTS = 4
_NOISE_BYTES = 3000


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """Files of the one key that signs the kit and what is made of it; it is worth nothing outside of its folder."""

    private: Path
    public: Path


def write_sample(kit: Path, folder: Path) -> Keys:
    """Write a kit, an archive or (for a name without suffix) a folder, its checksum, and the key that signs it.

    Raises:
        OutputError: The key cannot be written.
    """
    kit.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(parents=True)
    key = generate(Algorithm.ES256)
    keys = Keys(private=folder / "key.pem", public=folder / "key.pub.pem")
    write_private(keys.private, key)
    write_public(keys.public, key.public)
    files = sample_files()
    manifest = _manifest(files)
    _write(kit, {_MANIFEST: manifest, f"{_MANIFEST}.jws": jws.sign(manifest, [key]), **files})
    if kit.is_file():
        digest = hashlib.sha256(kit.read_bytes()).hexdigest()
        kit.with_name(f"{kit.name}.sha256").write_text(f"{digest}  {kit.name}\n")
    return keys


def sample_files() -> dict[str, bytes]:
    """Give its members, but for the manifest and its signature."""
    done = [_observation(number) | {"rawLinkset": {"aliases": []}} for number in range(2)]
    return {
        "docs/readme.txt": b"read me\n",
        f"{_FOLDER}/advisory_observations.bson": _collection(_observation(number) for number in range(_DOCUMENTS)),
        f"{_FOLDER}/part-2/concelier/advisory_observations.bson.gz": gzip.compress(_collection(done), 9, mtime=0),
        f"{_FOLDER}/advisory_raw.bson": _collection(_snapshot(number) for number in range(2)),
        "images/empty": b"",
        "images/layer.bin": bytes(range(256)) * 40,
        "images/noise.bin": random.Random(7).randbytes(_NOISE_BYTES),  # noqa: S311  what does not compress, no secret
    }


def _observation(number: int) -> dict[str, Any]:
    name = f"GO-2024-{number:04}"
    reference = {"type": "WEB", "url": f"https://example.com/{number}"}
    return {
        "_id": f"acme:{number}",
        "tenant": "acme",
        "source": {"vendor": "go", "stream": "osv"},
        "upstream": {"upstreamId": name, "contentHash": f"sha256:{number}"},
        "content": {"format": "OSV", "raw": {"schema_version": "1.6.0", "id": name, "references": [reference]}},
        "linkset": {"aliases": [name.lower()], "purls": [], "cpes": [], "references": [reference | {"type": "web"}]},
    }


def _snapshot(number: int) -> dict[str, Any]:
    return {
        "_id": f"raw:acme:{number}",
        "tenant": "acme",
        "source": {"vendor": "go"},
        "upstream": {"upstream_id": f"GO-2024-{number:04}", "content_hash": f"sha256:{number}"},
        "linkset": {"aliases": [f"GO-2024-{number:04}"], "references": []},
    }


def _collection(documents: Any) -> bytes:
    return b"".join(bson.encode(document) for document in documents)


def _manifest(files: Mapping[str, bytes]) -> bytes:
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
        "version": "1",
        "channel": "selftest",
        "generation": 0,
        "createdAt": "2025-10-01T00:00:00Z",
        "producer": "kit selftest",
        "files": entries,
        "collections": [],
        "lineage": [],
    }
    return (json.dumps(document, sort_keys=True, indent=2) + "\n").encode()


def _write(kit: Path, members: Mapping[str, bytes]) -> None:
    if not kit.suffix:
        for name, data in members.items():
            (kit / name).parent.mkdir(parents=True, exist_ok=True)
            (kit / name).write_bytes(data)
        return
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, data in members.items():
            header = tarfile.TarInfo(name)
            header.size, header.mode, header.mtime = len(data), 0o640, CLOCK
            archive.addfile(header, io.BytesIO(data))
    plain = buffer.getvalue()
    codecs = {".zst": zstandard.compress, ".gz": lambda data: gzip.compress(data, mtime=0)}
    kit.write_bytes(codecs.get(kit.suffix, bytes)(plain))

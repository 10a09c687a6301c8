"""Small kits, made by other code than the kit's own: tarfile, zstandard, bson, json; and a way to run the commands."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bson
import click
import zstandard

from kit.cli import kit as group, run
from kit.cli.hints import unknown_options
from kit.signing import PrivateKey, jws

ROOT = Path(__file__).parents[2]
REAL = ROOT.parent / "shared/data/kits"
OBSERVATIONS = "dump/concelier/advisory_observations.bson"
SNAPSHOTS = "dump/concelier/advisory_raw.bson"
MANIFEST = "manifest/offline-manifest.json"
SIGNATURE = f"{MANIFEST}.jws"
AT = "2026-01-02T03:04:05Z"
MTIME = 1_760_918_400

Members = dict[str, bytes]


def observation(number: int, tenant: str | None = "acme", *, raw: bool = True, **changes: Any) -> dict[str, Any]:
    """Give one OSV observation; ``raw=False`` makes it unresolvable, ``...`` removes a field."""
    name = f"GO-2025-{number:04}"
    document = {
        "_id": f"{tenant}:osv:{name}:1",
        "tenant": tenant if tenant is not None else ...,
        "source": {"vendor": "osv"},
        "upstream": {"upstreamId": name, "contentHash": f"sha256:{number:064x}"},
        "content": {"format": "OSV", "raw": advisory(number) if raw else ...},
        "linkset": {"aliases": [f"cve-2025-{number:04}", name.lower()], "purls": [], "cpes": [], "references": []},
    } | changes
    content = document["content"]
    if isinstance(content, dict):
        document["content"] = {key: value for key, value in content.items() if value is not ...}
    return {key: value for key, value in document.items() if value is not ...}


def advisory(number: int) -> dict[str, Any]:
    name = f"GO-2025-{number:04}"
    return {"schema_version": "1.3.1", "id": name, "aliases": [f"CVE-2025-{number:04}"], "summary": "A summary"}


def bson_of(documents: Iterable[Mapping[str, Any]]) -> bytes:
    return b"".join(bson.encode(document) for document in documents)


def documents_of(body: bytes) -> list[bytes]:
    documents = []
    while body:
        length = int.from_bytes(body[:4], "little")
        documents.append(body[:length])
        body = body[length:]
    return documents


def content(*documents: Mapping[str, Any]) -> Members:
    """Give the members of a kit, without manifest; three observations of two tenants where none are given."""
    chosen = documents or (observation(1), observation(2, "globex"), observation(3, raw=False))
    return {"README.txt": b"a kit\n", OBSERVATIONS: bson_of(chosen), "images/layer.bin": bytes(range(256)) * 8}


def manifest_of(members: Members, **changes: Any) -> dict[str, Any]:
    """Give a manifest of the own shape; ``...`` removes a field."""
    whole = {
        "schemaVersion": "1",
        "bundleId": "small",
        "version": "2025.10",
        "channel": "stable",
        "generation": 3,
        "createdAt": "2025-10-20T00:00:00Z",
        "files": [{"path": path, **facts(data)} for path, data in sorted(members.items())],
        "collections": [],
        "lineage": [],
    }
    return {name: value for name, value in (whole | changes).items() if value is not ...}


def foreign_manifest_of(members: Members) -> dict[str, Any]:
    files = [{"name": path, "digest": f"sha256:{sha256(data)}"} for path, data in sorted(members.items())]
    return {"release": "2025.10", "artifacts": files, "vendor": {"keep": [1, None]}}


def facts(data: bytes) -> dict[str, Any]:
    return {"sha256": sha256(data), "size": len(data)}


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def to_json(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False).encode() + b"\n"


def signed(members: Members, key: PrivateKey | None, manifest: Mapping[str, Any] | bytes | None = None) -> Members:
    """Add a manifest and its signature; none for ``key=None``."""
    document = manifest_of(members) if manifest is None else manifest
    data = document if isinstance(document, bytes) else to_json(document)
    return {**members, MANIFEST: data, **({SIGNATURE: jws.sign(data, [key])} if key else {})}


def tar(members: Mapping[str, bytes | tarfile.TarInfo]) -> bytes:
    """Make a plain tar; a TarInfo in the place of bytes is added as it is."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in members.items():
            if isinstance(data, tarfile.TarInfo):
                archive.addfile(data)
                continue
            info = tarfile.TarInfo(name)
            info.size, info.mtime, info.mode = len(data), MTIME, 0o640
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def compressed(data: bytes, name: str) -> bytes:
    if name.endswith(".zst"):
        return zstandard.ZstdCompressor().compress(data)
    if name.endswith((".gz", ".tgz")):
        return gzip.compress(data, mtime=0)
    return data


def write(path: Path, members: Mapping[str, bytes | tarfile.TarInfo]) -> Path:
    """Write an archive, compressed as its name says, or a folder where the name has no suffix."""
    if path.suffix:
        path.write_bytes(compressed(tar(members), path.name))
        return path
    for name, data in members.items():
        assert isinstance(data, bytes)
        place = path / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
        os.utime(place, (MTIME, MTIME))
    return path


def plain_tar(path: Path) -> bytes:
    """Give the tar inside an archive."""
    data = path.read_bytes()
    suffix = {b"\x28\xb5": ".zst", b"\x1f\x8b": ".gz"}.get(data[:2], "")
    return plain(data, suffix)


def plain(data: bytes, name: str) -> bytes:
    """Decompress what its name says is compressed."""
    if name.endswith(".zst"):
        with zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data), read_across_frames=True) as stream:
            return stream.read()
    return gzip.decompress(data) if name.endswith(".gz") else data


def read(path: Path) -> Members:
    """Read every regular file, in order, from an archive or a folder."""
    if path.is_dir():
        return {str(file.relative_to(path)): file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file()}
    with tarfile.open(fileobj=io.BytesIO(plain_tar(path))) as archive:
        return {info.name: _body(archive, info) for info in archive if info.isfile()}


def entries(path: Path) -> dict[str, tuple[bytes, bytes]]:
    """Give header block and body of every entry of an archive."""
    data = plain_tar(path)
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {info.name: (data[info.offset : info.offset_data], _body(archive, info)) for info in archive}


def _body(archive: tarfile.TarFile, info: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(info)
    assert file is not None
    return file.read()


def snapshot(folder: Path, *, itself: bool = False) -> dict[str, tuple[object, ...]]:
    """Give everything that can be seen in a folder: names, modes, times, contents; and of itself if asked."""
    seen: dict[str, tuple[object, ...]] = {}
    for path in sorted([*([folder] if itself else []), *folder.rglob("*")]):
        status = path.lstat()
        body = sha256(path.read_bytes()) if path.is_file() and not path.is_symlink() else ""
        seen[str(path.relative_to(folder))] = (status.st_mode, status.st_mtime_ns, status.st_size, status.st_ino, body)
    return seen


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command gave."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        document = json.loads(self.out)
        assert isinstance(document, dict)
        return document

    def refused(self, code: int, *words: str) -> None:
        """Check the manners of a refusal: its code, one line, at most one hint, nothing on standard output."""
        lines = self.err.splitlines()
        assert (self.code, self.out) == (code, ""), self
        assert lines, self
        assert lines[0].startswith("kit: error: "), self
        assert len(lines) <= 2, self
        assert all(line.startswith("kit: hint: ") for line in lines[1:]), self
        for word in words:
            assert word in self.err, self


def kit(*arguments: object) -> Outcome:
    """Run a command in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run([str(argument) for argument in arguments])
    require_fitting_hints([str(argument) for argument in arguments], err.getvalue())
    return Outcome(code, out.getvalue(), err.getvalue())


def require_fitting_hints(arguments: list[str], printed: str) -> None:
    """Check that hints name no option that the command, or the one that they name, does not have."""
    command: click.Command = group
    context = click.Context(group, info_name="kit")
    for word in arguments:
        inner = command.get_command(context, word) if isinstance(command, click.Group) else None
        if inner is None:
            break
        command, context = inner, click.Context(inner, parent=context)
    for line in printed.splitlines():
        if line.startswith("kit: hint: ") and " --help" not in line:
            assert list(unknown_options(line.removeprefix("kit: hint: "), context)) == [], (arguments, line)


COMMAND = [sys.executable, "-c", "from kit.cli import main; main()"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


def subprocess_kit(*arguments: object) -> subprocess.CompletedProcess[bytes]:
    """Run a command in a process of its own, with standard output and error apart."""
    words = [*COMMAND, *map(str, arguments)]
    return subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, env=ENVIRONMENT, check=False)

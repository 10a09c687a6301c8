"""One container patched in one way, again and again: where it starts, where it should end, and a child to strike.

The kit is small, signed by a key made for it, and large enough for every kind of step. It is made with stock libraries
(tarfile, bson), so that the program is tried on what it did not write itself. The folder is judged by names, modes and
digests alone, with none of the code that wrote it.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import random
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import bson
import zstandard

from kit.errors import StoppedError
from kit.output.paths import BACKUP
from kit.signing import Algorithm, generate, jws, write_private, write_public

__all__ = ["CLOCK", "CONTAINERS", "WAYS", "Bench", "Facts", "Keys", "sample_files", "write_sample"]

CLOCK = 1_760_000_001
"""The time of every run, in seconds since 1970, so that all give the same bytes."""
_MANIFEST = "offline-manifest.json"
_FOLDER = "feeds/concelier"
_DOCUMENTS = 4
_NOISE_BYTES = 3000


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """Files of the one key that signs the kit and its patched versions; it is trusted nowhere else."""

    private: Path
    public: Path


def write_sample(kit: Path, folder: Path, files: Mapping[str, bytes] | None = None) -> Keys:
    """Write a kit, an archive or (for a name without suffix) a folder, its checksum, and the key that signs it.

    Args:
        kit: Where.
        folder: Where the key goes.
        files: The members, except manifest and signature; None for those of :func:`sample_files`.

    Raises:
        OutputError: The key cannot be written.
    """
    kit.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(parents=True)
    key = generate(Algorithm.ES256)
    keys = Keys(private=folder / "key.pem", public=folder / "key.pub.pem")
    write_private(keys.private, key)
    write_public(keys.public, key.public)
    files = files if files is not None else sample_files()
    manifest = _manifest(files)
    _write(kit, {_MANIFEST: manifest, f"{_MANIFEST}.jws": jws.sign(manifest, [key]), **files})
    if kit.is_file():
        digest = hashlib.sha256(kit.read_bytes()).hexdigest()
        kit.with_name(f"{kit.name}.sha256").write_text(f"{digest}  {kit.name}\n")
    return keys


def sample_files() -> dict[str, bytes]:
    """Return the members of the kit, except manifest and signature."""
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


CONTAINERS = ("kit.tar.zst", "kit.tar.gz", "kit.tar", "kit")
WAYS = ("in place", "no backup", "output")
Delta = Callable[[Path, Path, Keys], Path]
"""Builds a delta in a folder, for the kit, signed by the keys; returns its file."""
_STRIKER = "kit.verbs.selftest.striker"
_ROOT = Path(__file__).resolve().parents[3]
_CHECKPOINT = 2000
"""Bytes of finished work between two syncs: little, so that a small kit has many of them."""


@dataclass(frozen=True, slots=True)
class Facts:
    """The state of a folder: content of every file and mode of everything, except job folders."""

    names: Mapping[str, tuple[int, str]]

    @classmethod
    def of(cls, folder: Path) -> Self:
        """Read a folder."""
        found = {}
        for path in sorted(folder.rglob("*")):
            name = str(path.relative_to(folder))
            if ".kit-job" not in name and ".kit-done" not in name:
                content = "" if path.is_dir() else hashlib.sha256(path.read_bytes()).hexdigest()
                found[name] = (path.stat().st_mode, content)
        return cls(found)

    def kit(self, name: str) -> dict[str, tuple[int, str]]:
        """Return the part that belongs to one kit."""
        return {path: facts for path, facts in self.names.items() if path == name or path.startswith(f"{name}/")}


class Bench:
    """One container patched in one way: the folder it starts from, the one it ends in, and a runner to strike."""

    def __init__(
        self,
        folder: Path,
        container: str,
        way: str,
        *,
        delta: Delta | None = None,
        migration: str | None = None,
        files: Mapping[str, bytes] | None = None,
    ) -> None:
        """Make the kit, count the steps of a quiet run, and record its result.

        Args:
            folder: Where to work.
            container: The name of the kit.
            way: One of :data:`WAYS`.
            delta: What builds the delta that is applied; None to patch.
            migration: The migration that is run, as JSON; None for that of ``rawLinkset``.
            files: The members of the kit, as of :func:`write_sample`.

        Raises:
            StoppedError: The child does not run, or a quiet run fails.
        """
        self.name = f"{container} {way}" if delta is None else f"delta {container} {way}"
        self.folder, self.container, self.way = folder, container, way
        self.start, self.place = folder / "start", folder / "place"
        self.target = "out" if way == "output" else container
        keys = write_sample(self.start / container, folder / "keys", files)
        self.request: dict[str, Any] = {
            "kit": container,
            "output": "out" if way == "output" else None,
            "backup": way != "no backup",
            "key": str(keys.private),
            "trusted": [str(keys.public)],
            "checkpoint": _CHECKPOINT,
        }
        if migration is not None:
            self.name = f"reshape {self.name}"
            self.request["migration"] = migration
        if delta is not None:
            self.request["delta"] = str(delta(folder / "delta", self.start / container, keys))
        self.runner = _runner({})
        self.old = Facts.of(self.start)
        # The first run also reports what it imports late, so that the calls of the second do not include it.
        self.steps: dict[str, int] = self._quiet("kinds")["kinds"]
        self.steps["calls"] = self._quiet("calls")["met"]
        self.new = Facts.of(self.place)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.runner.communicate()
        shutil.rmtree(self.folder)

    def restart(self, environment: Mapping[str, str]) -> None:
        """Replace the child by another, which has this in its environment, too."""
        self.runner.communicate()
        self.runner = _runner(environment)

    def reset(self) -> None:
        """Put the folder back as it was before everything."""
        shutil.rmtree(self.place, ignore_errors=True)
        shutil.copytree(self.start, self.place, symlinks=True)

    def run(
        self, *, strike: str = "none", at: int = -1, steps: str = "durable", do: str = "patch", clock: int = CLOCK
    ) -> dict[str, Any]:
        """Run patch once in the folder as it is, or resume it, or abandon it."""
        order = {"place": str(self.place), "strike": strike, "at": at, "steps": steps, "do": do, "clock": clock}
        if self.runner.stdin is None or self.runner.stdout is None:
            raise StoppedError("the child to be struck has no pipes")
        self.runner.stdin.write(json.dumps(order | {"request": self.request}) + "\n")
        self.runner.stdin.flush()
        line = self.runner.stdout.readline()
        if not line:
            raise StoppedError("the child to be struck has ended", where=self.name)
        answer: dict[str, Any] = json.loads(line)
        return answer

    def has_job(self) -> bool:
        """Return whether a run left its job."""
        return (self.place / f"{self.target}.kit-job").exists()

    def fault(self) -> str:
        """Return what is wrong with the folder as a strike left it; empty if nothing."""
        found = Facts.of(self.place)
        allowed = [self.new.kit(self.target), self.old.kit(self.target)]
        if found.kit(self.target) not in allowed:
            return f"{self.target} is neither old nor new"
        if found.kit(self.container) not in (self.old.kit(self.container), self.new.kit(self.container)):
            return f"{self.container} is damaged"
        for name in (self.target, *self._backups(found)):
            if pair := self._mismatch(found, name):
                return pair
        incomplete = found.kit(self.target) == self.new.kit(self.target) and found != self.new
        if incomplete and not self.has_job():
            return "the new kit is in place, something next to it is missing, and no job records that"
        return ""

    def _backups(self, found: Facts) -> set[str]:
        """Return the names of backups, also of those of which only a sidecar exists."""
        names = (name.removesuffix(".sha256").removesuffix(".sig") for name in found.names)
        return {name for name in names if name.startswith(f"{self.target}{BACKUP}.")}

    def _mismatch(self, found: Facts, name: str) -> str:
        digest = found.names.get(name, (0, ""))[1]
        checksum = self.place / f"{name}.sha256"
        if checksum.exists() and (not digest or checksum.read_text() != f"{digest}  {name}\n"):
            return f"{checksum.name} contradicts {name}"
        signature = found.names.get(f"{name}.sig")
        # The kit it starts from has none, so a signature can only be that of the new kit.
        if signature and (signature != self.new.names.get(f"{name}.sig") or found.kit(name) != self.new.kit(name)):
            return f"{name}.sig contradicts {name}"
        return ""

    def recover(self) -> tuple[dict[str, Any], bool]:
        """Recover as the message of the program advises; return the answer, and whether a job was resumed."""
        resumed = self.has_job()
        if not resumed and Facts.of(self.place) == self.new:
            return {"failure": "", "told": ""}, False
        return self.run(do="resume" if resumed else "patch", steps="none"), resumed

    def _quiet(self, steps: str) -> dict[str, Any]:
        self.reset()
        answer = self.run(steps=steps)
        if answer["failure"] != "":
            message = answer["told"]
            raise StoppedError(f"an undisturbed run fails: {message}", where=self.name)
        return answer


def _runner(environment: Mapping[str, str]) -> subprocess.Popen[str]:
    path = os.pathsep.join([str(_ROOT), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(  # noqa: S603  this interpreter, and a module of this package
        [sys.executable, "-m", _STRIKER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": path, **environment},
        text=True,
    )

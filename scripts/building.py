"""Builds what is shipped, each from a clean copy of this checkout, by the standard backends that pyproject.toml names.

Same sources, build tools (build-constraints.txt), Rust compiler and platform give the same bytes, whatever folder the
checkout is in: one time for everything (SOURCE_DATE_EPOCH), paths remapped, Cargo.lock obeyed.
"""

from __future__ import annotations

import gzip
import io
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from platform import machine

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:  # run as a file: its folder is on the path, but not the one above
    sys.path.insert(0, str(ROOT))

from kit.version import tool_commit  # noqa: E402

_EPOCH = 315_532_800  # 1980-01-01, the earliest a wheel can say
_NOT_COPIED = shutil.ignore_patterns("__pycache__", "*.so", "*.c", "target")


def epoch() -> int:
    """Return the one time of all that is built: SOURCE_DATE_EPOCH, in seconds, but not before 1980."""
    return max(int(os.environ.get("SOURCE_DATE_EPOCH", _EPOCH)), _EPOCH)


def is_this_platform(platform: str) -> bool:
    """Return whether a core built on this machine is one for ``platform``, as pip names it (manylinux2014_x86_64)."""
    system = sysconfig.get_platform().partition("-")[0]
    return re.fullmatch(rf"(many)?{system}.*_{machine()}", platform) is not None


def build_core(place: Path) -> None:
    """Build the wheel of the core for this platform, for every Python from 3.11 on, into ``place``.

    Raises:
        subprocess.CalledProcessError: There is no cargo, no crate, or the build fails.
    """
    with tempfile.TemporaryDirectory(prefix="kit-core-") as scratch:
        work = Path(scratch).resolve()
        shutil.copytree(ROOT / "core", work / "core", ignore=_NOT_COPIED)
        cargo = Path(os.environ.get("CARGO_HOME", Path.home() / ".cargo"))
        remapped = {work / "core": "/core", cargo: "/cargo"}
        flags = [os.environ.get("RUSTFLAGS", ""), *(f"--remap-path-prefix={a}={b}" for a, b in remapped.items())]
        around = {"RUSTFLAGS": " ".join(filter(None, flags)), "CARGO_TARGET_DIR": str(work / "target")}
        run_pip("wheel", "--no-deps", "--wheel-dir", place, work / "core" / "kit-core-python", around=around)


def build_package(place: Path) -> None:
    """Build the wheel of the package, which is pure Python, into ``place``.

    Raises:
        subprocess.CalledProcessError: The build fails.
    """
    with copied_package() as copy:
        run_pip("wheel", "--no-deps", "--wheel-dir", place, copy)


def build_sources(place: Path) -> None:
    """Build the source distribution of the package into ``place``, by the hook of its backend (PEP 517).

    Raises:
        subprocess.CalledProcessError: The build fails.
    """
    with copied_package() as copy, tempfile.TemporaryDirectory(prefix="kit-backend-") as tools:
        system = tomllib.loads((copy / "pyproject.toml").read_text(encoding="utf-8"))["build-system"]
        run_pip("install", "--target", tools, "--constraint", ROOT / "build-constraints.txt", *system["requires"])
        hook = f"import sys, {system['build-backend']} as backend; backend.build_sdist(sys.argv[1])"
        words = [sys.executable, "-c", hook, str(place)]
        subprocess.run(words, check=True, cwd=copy, env={**os.environ, "PYTHONPATH": tools}, stdout=subprocess.DEVNULL)
    for path in place.glob("*.tar.gz"):
        path.write_bytes(normalised(path.read_bytes(), epoch()))


def normalised(archive: bytes, mtime: int) -> bytes:
    """Return a .tar.gz of the same files that depends on nothing else: setuptools keeps times and owners."""
    files: dict[str, bytes] = {}
    with tarfile.open(fileobj=io.BytesIO(archive)) as source:
        for entry in source:
            body = source.extractfile(entry) if entry.isfile() else None
            if body is not None:
                files[entry.name] = body.read()
    return packed(files, mtime)


def packed(files: Mapping[str, bytes], mtime: int) -> bytes:
    """Pack files by name into a .tar.gz whose bytes depend on nothing else than the arguments."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in sorted(files.items()):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mtime, entry.mode = len(data), mtime, 0o644
            archive.addfile(entry, io.BytesIO(data))
    return gzip.compress(buffer.getvalue(), 9, mtime=mtime)


def run_pip(*words: object, around: Mapping[str, str] | None = None) -> None:
    """Run pip with the pinned build tools and the one time.

    Raises:
        subprocess.CalledProcessError: It fails.
    """
    pinned = str(ROOT / "build-constraints.txt")
    # The first name is what pip knew before 25.3, the second what it knows since.
    pins = {"PIP_CONSTRAINT": pinned, "PIP_BUILD_CONSTRAINT": pinned}
    environment = {**os.environ, **pins, "SOURCE_DATE_EPOCH": str(epoch()), **(around or {})}
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *map(str, words)]
    subprocess.run(command, check=True, env=environment, stdout=sys.stderr)


@contextmanager
def copied_package() -> Iterator[Path]:
    """Copy what the package is built from, without anything that earlier builds may have left."""
    with tempfile.TemporaryDirectory(prefix="kit-package-") as scratch:
        copy = Path(scratch) / "source"
        copy.mkdir()
        for name in ("pyproject.toml", "README.md", "LICENSE", "MANIFEST.in"):
            shutil.copy(ROOT / name, copy)
        for name in ("kit", "docs", "schemas", "conformance", "scripts"):
            shutil.copytree(ROOT / name, copy / name, ignore=_NOT_COPIED)
        commit = tool_commit()
        if commit is not None:
            (copy / "kit" / "COMMIT").write_text(f"{commit}\n", encoding="ascii")
        yield copy

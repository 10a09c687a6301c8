#!/usr/bin/env python3
"""Makes one archive with which kit is installed where there is no network: wheels, their hashes, and install.sh.

Wheels of all that pyproject.toml needs, in the versions of constraints.txt, are fetched from the package registry
for the platform and the Python named; the wheel of kit itself is built from a clean copy of this checkout. Same
versions, platform and Python give the same bytes: sorted names, no owners, one time for all (SOURCE_DATE_EPOCH).

    scripts/make_offline_install --platform manylinux2014_x86_64 --python 3.11 --output dist/
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:  # run as a file: its folder is on the path, but not the one above
    sys.path.insert(0, str(ROOT))

from kit.cli.commit import tool_commit  # noqa: E402

PIP = "pip==26.3"
"""Comes along, since a Python may be without it; pinned here because constraints.txt lists what kit itself runs on."""
_EPOCH = 315_532_800  # 1980-01-01, the earliest a wheel can say
_README = """\
kit {version}, for Python {python} on {platform}; needs no network, no compiler and no administrator.

    sh install.sh /opt/kit              installs into a new folder
    sh install.sh /opt/kit python{python}   with another Python than python3
    /opt/kit/bin/kit --help

Compare the SHA-256 of this archive with the one you were given another way. install.sh checks every file by SHA256SUMS.
"""


def bundle(wheels: Mapping[str, bytes], *, version: str, python: str, platform: str) -> dict[str, bytes]:
    """Give every file of the archive by its name: the wheels, what installs them, and the digests of all."""
    files = {f"wheels/{name}": data for name, data in wheels.items()}
    files["requirements.txt"] = requirements(wheels)
    files["install.sh"] = (ROOT / "scripts" / "install_offline.sh").read_bytes()
    files["python-version"] = f"{python}\n".encode()
    files["README.txt"] = _README.format(version=version, python=python, platform=platform).encode()
    digests = [f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in sorted(files.items())]
    return files | {"SHA256SUMS": "".join(digests).encode()}


def requirements(wheels: Mapping[str, bytes]) -> bytes:
    """Pin every wheel but pip's, which installs and is not installed, by version and digest."""
    lines = []
    for name, data in sorted(wheels.items()):
        project, version, *_ = name.split("-")
        if project != "pip":
            lines.append(f"{project.replace('_', '-')}=={version} --hash=sha256:{hashlib.sha256(data).hexdigest()}\n")
    return "".join(lines).encode()


def packed(files: Mapping[str, bytes], folder: str, mtime: int) -> bytes:
    """Pack files below ``folder`` into a .tar.gz whose bytes depend on nothing else than the arguments."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in sorted(files.items()):
            entry = tarfile.TarInfo(f"{folder}/{name}")
            entry.size, entry.mtime, entry.mode = len(data), mtime, 0o644
            archive.addfile(entry, io.BytesIO(data))
    return gzip.compress(buffer.getvalue(), 9, mtime=mtime)


def fetched(place: Path, *, python: str, platform: str, extras: list[str]) -> None:
    """Fetch the wheels of everything that kit needs, for a platform and a Python, into ``place``."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed = [*project["dependencies"], *(line for name in extras for line in project["optional-dependencies"][name])]
    where = ["--platform", platform, "--python-version", python, "--implementation", "cp", "--only-binary", ":all:"]
    _pip("download", "--dest", place, *where, "--constraint", ROOT / "constraints.txt", *needed)
    _pip("download", "--dest", place, *where, "--no-deps", PIP)


def built(place: Path) -> None:
    """Build the wheel of kit from a copy without anything that earlier builds may have left."""
    with tempfile.TemporaryDirectory(prefix="kit-wheel-") as scratch:
        copy = Path(scratch) / "source"
        copy.mkdir()
        for name in ("pyproject.toml", "setup.py", "README.md"):
            shutil.copy(ROOT / name, copy)
        shutil.copytree(ROOT / "kit", copy / "kit", ignore=shutil.ignore_patterns("__pycache__", "*.so", "*.c"))
        commit = tool_commit()
        if commit is not None:
            (copy / "kit" / "COMMIT").write_text(f"{commit}\n", encoding="ascii")
        _pip("wheel", "--no-deps", "--wheel-dir", place, copy)


def main(arguments: list[str]) -> int:
    """Make the archive, and print its name and digest."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--platform", default="manylinux2014_x86_64", help="as pip names it (%(default)s)")
    parser.add_argument("--python", default="3.11", help="version of Python there (%(default)s)")
    parser.add_argument(
        "--extra", action="append", default=[], help="an extra of pyproject.toml, as pkcs11; repeatable"
    )
    parser.add_argument("--output", type=Path, default=Path("dist"), help="folder for the archive (%(default)s)")
    options = parser.parse_args(arguments)
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    with tempfile.TemporaryDirectory(prefix="kit-offline-") as scratch:
        place = Path(scratch)
        fetched(place, python=options.python, platform=options.platform, extras=options.extra)
        built(place)
        wheels = {path.name: path.read_bytes() for path in sorted(place.glob("*.whl"))}
    files = bundle(wheels, version=version, python=options.python, platform=options.platform)
    folder = f"offline-kit-{version}-py{options.python}-{options.platform}"
    data = packed(files, folder, _epoch())
    options.output.mkdir(parents=True, exist_ok=True)
    target = options.output / f"{folder}.tar.gz"
    target.write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    target.with_name(f"{target.name}.sha256").write_text(f"{digest}  {target.name}\n", encoding="ascii")
    print(f"{target}: {len(wheels)} wheels, {len(data):,} bytes\nsha256 {digest}")
    return 0


def _epoch() -> int:
    return max(int(os.environ.get("SOURCE_DATE_EPOCH", _EPOCH)), _EPOCH)


def _pip(*words: object) -> None:
    around = {**os.environ, "SOURCE_DATE_EPOCH": str(_epoch())}
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *map(str, words)]
    subprocess.run(command, check=True, env=around, stdout=sys.stderr)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

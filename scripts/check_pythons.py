#!/usr/bin/env python3
"""Proves that one wheel of the core serves every Python from 3.11 on, and that the core does what the reference does.

With each Python, what scripts/release builds is installed into a new environment; there the same kit is patched by the
core and by the reference. All that is written must have one SHA-256. Needs a registry for what kit itself needs.

    scripts/check_pythons --release dist/ [PYTHON]...
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_LEAST = (3, 11)
_VERSION = "import sys; print(*sys.version_info[:2])"
_KIT = ROOT / "fixtures/kits/harbor.tar.zst"
_KEYS = ROOT / "fixtures/keys"


def main(arguments: list[str]) -> int:
    """Check, and print a line for each Python and each way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--release", type=Path, required=True, help="folder that scripts/release wrote")
    parser.add_argument("--kit", type=Path, default=_KIT, help="a kit signed with fixtures/keys (%(default)s)")
    parser.add_argument("pythons", nargs="*", metavar="PYTHON", help="programs (else those on PATH and of pyenv)")
    options = parser.parse_args(arguments)
    digests = set()
    for python in options.pythons or _there():
        with tempfile.TemporaryDirectory(prefix="kit-python-") as scratch:
            work = Path(scratch)
            program = _installed(python, work / "venv", sorted(options.release.glob("*.whl")))
            for switch, due in (("", "core"), ("off", "reference")):
                named = _run(program, "--version", core=switch)
                if not re.search(rf"^  {due}\b", named, re.MULTILINE):
                    print(f"check_pythons: error: {python}: not the {due}:\n{named}", file=sys.stderr)
                    return 1
                digest = _patched(program, options.kit, work / f"{due}.tar.zst", core=switch)
                digests.add(digest)
                print(f"{named.splitlines()[1].split('(')[0].strip():<14} {due:<9} {digest}", flush=True)
    if len(digests) != 1:
        print(f"check_pythons: error: {len(digests)} results, where one is due", file=sys.stderr)
        return 2
    return 0


def _there() -> Iterator[str]:
    """Yield a program of each minor version that is to be had here."""
    names = [f"python{_LEAST[0]}.{minor}" for minor in range(_LEAST[1], 30)]
    found = [path for name in names if (path := shutil.which(name))]
    found += [str(path) for path in sorted(Path.home().glob(".pyenv/versions/*/bin/python"))]
    versions = set()
    for program in (*found, sys.executable):
        done = subprocess.run([program, "-c", _VERSION], capture_output=True, text=True, check=False)
        version = tuple(map(int, done.stdout.split())) if done.returncode == 0 else ()
        if version >= _LEAST and version not in versions:
            versions.add(version)
            yield program


def _installed(python: str, place: Path, wheels: list[Path]) -> Path:
    """Install the wheels with what they need into a new environment, and return its program ``kit``."""
    subprocess.run([python, "-m", "venv", place], check=True)
    pip: list[object] = [place / "bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run(
        [*map(str, (*pip, "--constraint", ROOT / "constraints.txt", *wheels))], check=True, stdout=sys.stderr
    )
    return place / "bin/kit"


def _patched(program: Path, kit: Path, output: Path, *, core: str) -> str:
    """Patch the kit, and return the SHA-256 of the result."""
    key = output.with_suffix(".pem")
    key.touch(0o600)  # git keeps no modes, and kit refuses a private key that others can read
    key.write_bytes((_KEYS / "site-TEST-ONLY.pem").read_bytes())
    publisher = _KEYS / "publisher-TEST-ONLY.pub.pem"
    words: list[object] = ["--trusted-key", publisher, "--signing-key", key, "--created-at", "2099-06-01T00:00:00Z"]
    _run(program, "patch", kit, "--output", output, *words, core=core)
    return hashlib.sha256(output.read_bytes()).hexdigest()


def _run(program: Path, *words: object, core: str) -> str:
    around = {name: value for name, value in os.environ.items() if name not in {"KIT_CORE", "PYTHONPATH"}}
    done = subprocess.run(
        [program, *map(str, words)], check=True, env={**around, "KIT_CORE": core}, stdout=subprocess.PIPE, text=True
    )
    return done.stdout


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

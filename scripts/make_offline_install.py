#!/usr/bin/env python3
"""Makes one archive with which kit is installed where there is no network: wheels, their hashes, and install.sh.

Wheels of all that pyproject.toml needs, in the versions of constraints.txt, are fetched from the package registry
for the platform and the Python named; the wheels of kit itself and of its core are built from a clean copy of this
checkout (scripts/building.py). Same versions, platform and Python give the same bytes: sorted names, no owners, one
time for all (SOURCE_DATE_EPOCH). The core is built on a machine of its platform; for another, --core FILE names the
wheel that was built there (scripts/release).

    scripts/make_offline_install --platform manylinux2014_x86_64 --python 3.11 --output dist/
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import sys
import tempfile
import tomllib
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:  # run as a file: its folder is on the path, but not the one above
    sys.path.insert(0, str(ROOT))

from scripts.building import build_core, build_package, epoch, is_this_platform, packed, run_pip  # noqa: E402
from scripts.pages import manual, shipped  # noqa: E402

PIP = "pip==26.3"
"""Comes along, since a Python may be without it; pinned here because constraints.txt lists what kit itself runs on."""
_README = """\
kit {version}, for Python {python} on {platform}; needs no network, no compiler and no administrator.

    sh install.sh /opt/kit              installs into a new folder
    sh install.sh /opt/kit python{python}   with another Python than python3
    /opt/kit/bin/kit --help

To read before and afterwards, with any browser: docs/runbook.html, docs/auditor.html, docs/reference.html, and the
formats in schemas/. With man: man -M man kit, kit-runbook, kit-auditor; once installed, man -M /opt/kit/share/man kit.

The core, which does the work on documents, needs a C library no older than where it was built; kit --version names it,
or why the slower reference does the same work instead.

Compare the SHA-256 of this archive with the one you were given another way. install.sh checks every file by SHA256SUMS.
"""


def bundle(wheels: Mapping[str, bytes], *, version: str, python: str, platform: str) -> dict[str, bytes]:
    """Give every file of the archive by its name: wheels, what installs them, pages, and the digests of all."""
    files = {f"wheels/{name}": data for name, data in wheels.items()}
    files["requirements.txt"] = requirements(wheels)
    files |= shipped() | {f"man/{name}": data for name, data in manual().items()}
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


def fetched(place: Path, *, python: str, platform: str, extras: list[str]) -> None:
    """Fetch the wheels of everything that kit needs, for a platform and a Python, into ``place``."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed = [*project["dependencies"], *(line for name in extras for line in project["optional-dependencies"][name])]
    where = ["--platform", platform, "--python-version", python, "--implementation", "cp", "--only-binary", ":all:"]
    run_pip("download", "--dest", place, *where, "--constraint", ROOT / "constraints.txt", *needed)
    run_pip("download", "--dest", place, *where, "--no-deps", PIP)


def main(arguments: list[str]) -> int:
    """Make the archive, and print its name and digest."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--platform", default="manylinux2014_x86_64", help="as pip names it (%(default)s)")
    parser.add_argument("--python", default="3.11", help="version of Python there (%(default)s)")
    parser.add_argument(
        "--extra", action="append", default=[], help="an extra of pyproject.toml, as pkcs11; repeatable"
    )
    parser.add_argument("--output", type=Path, default=Path("dist"), help="folder for the archive (%(default)s)")
    parser.add_argument(
        "--core", type=Path, metavar="FILE", help="the core's wheel, built on a machine of the platform"
    )
    parser.add_argument("--without-core", action="store_true", help="ship the slower reference alone")
    options = parser.parse_args(arguments)
    if options.core is None and not options.without_core and not is_this_platform(options.platform):
        parser.error(f"this is no {options.platform}: name the core's wheel (--core), or ship none (--without-core)")
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    with tempfile.TemporaryDirectory(prefix="kit-offline-") as scratch:
        place = Path(scratch)
        fetched(place, python=options.python, platform=options.platform, extras=options.extra)
        build_package(place)
        if options.core is not None:
            shutil.copy(options.core, place)
        elif not options.without_core:
            build_core(place)
        wheels = {path.name: path.read_bytes() for path in sorted(place.glob("*.whl"))}
    files = bundle(wheels, version=version, python=options.python, platform=options.platform)
    folder = f"offline-kit-{version}-py{options.python}-{options.platform}"
    data = packed({f"{folder}/{name}": body for name, body in files.items()}, epoch())
    options.output.mkdir(parents=True, exist_ok=True)
    target = options.output / f"{folder}.tar.gz"
    target.write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    target.with_name(f"{target.name}.sha256").write_text(f"{digest}  {target.name}\n", encoding="ascii")
    print(f"{target}: {len(wheels)} wheels, {len(data):,} bytes\nsha256 {digest}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""The archive for sites without a network: reproducible, complete, and refused when a byte of it changed.

That it installs and works, with wheels from a registry and without a network, is what scripts/check_offline_install
proves; here its making and its refusals are tested, which need neither.
"""

from __future__ import annotations

import hashlib
import io
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from scripts import make_offline_install as make

HERE = f"{sys.version_info.major}.{sys.version_info.minor}"
WHEELS = {"some_part-1.2-py3-none-any.whl": b"a wheel", "pip-26.3-py3-none-any.whl": b"another"}


def files(python: str = HERE) -> dict[str, bytes]:
    return make.bundle(WHEELS, version="0.1.0", python=python, platform="any")


def unpacked(folder: Path, python: str = HERE) -> Path:
    with tarfile.open(fileobj=io.BytesIO(make.packed(files(python), "kit", 0))) as archive:
        archive.extractall(folder)  # noqa: S202  our own
    return folder / "kit"


def install(place: Path, *arguments: object, program: str = sys.executable) -> subprocess.CompletedProcess[str]:
    words = ["/bin/sh", *map(str, (place / "install.sh", *arguments, program))]
    return subprocess.run(words, capture_output=True, text=True, check=False, env={})


def test_the_same_wheels_give_the_same_bytes_whatever_their_order() -> None:
    other = make.bundle(dict(reversed(WHEELS.items())), version="0.1.0", python=HERE, platform="any")
    assert make.packed(other, "kit", 7) == make.packed(files(), "kit", 7) != make.packed(files(), "kit", 8)


def test_every_wheel_is_pinned_by_version_and_digest_except_pip_which_installs() -> None:
    digest = hashlib.sha256(b"a wheel").hexdigest()
    assert make.requirements(WHEELS).decode() == f"some-part==1.2 --hash=sha256:{digest}\n"


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="needs sha256sum")
def test_sha256sum_checks_every_file(tmp_path: Path) -> None:
    place = unpacked(tmp_path)
    done = subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=place, capture_output=True, text=True, check=True)
    there = [path for path in place.rglob("*") if path.is_file()]
    assert done.stdout.count(": OK") == len(there) - 1 == len(files()) - 1


@pytest.mark.parametrize(
    ("spoil", "word"),
    [
        (lambda place: (place / "wheels/some_part-1.2-py3-none-any.whl").write_bytes(b"a wheeL"), "digest differs"),
        (lambda place: (place / "requirements.txt").unlink(), "absent"),
        (lambda place: (place / "wheels/more-1-py3-none-any.whl").write_bytes(b""), "not listed"),
    ],
    ids=["a byte of a wheel", "a file removed", "a wheel added"],
)
def test_what_is_not_as_it_was_made_is_not_installed(spoil: object, word: str, tmp_path: Path) -> None:
    place = unpacked(tmp_path)
    assert callable(spoil)
    spoil(place)
    done = install(place, tmp_path / "new")
    assert (done.returncode, done.stdout) == (2, "")
    assert word in done.stderr
    assert not (tmp_path / "new").exists()


def test_another_python_than_the_wheels_are_for_is_refused(tmp_path: Path) -> None:
    done = install(unpacked(tmp_path, python="3.2"), tmp_path / "new")
    assert (done.returncode, done.stderr) == (1, f"install.sh: error: this Python is {HERE}, the wheels are for 3.2\n")


def test_a_folder_that_is_there_is_left_alone_and_a_python_that_is_not_is_named(tmp_path: Path) -> None:
    place = unpacked(tmp_path)
    (tmp_path / "there").mkdir()
    assert install(place, tmp_path / "there").returncode == 74
    done = install(place, tmp_path / "new", program="/no/such/python")
    assert (done.returncode, "/no/such/python" in done.stderr) == (1, True)


@pytest.mark.skipif(shutil.which("dash") is None, reason="needs dash")
@pytest.mark.parametrize("script", ["install_offline.sh", "make_offline_install", "check_offline_install"])
def test_the_scripts_are_plain_sh(script: str) -> None:
    subprocess.run(["dash", "-n", make.ROOT / "scripts" / script], check=True)

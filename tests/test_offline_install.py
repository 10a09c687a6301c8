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
from platform import machine

import pytest

from scripts import building, make_offline_install as make, release

HERE = f"{sys.version_info.major}.{sys.version_info.minor}"
WHEELS = {"some_part-1.2-py3-none-any.whl": b"a wheel", "pip-26.3-py3-none-any.whl": b"another"}


def files(python: str = HERE) -> dict[str, bytes]:
    return make.bundle(WHEELS, version="0.1.0", python=python, platform="any")


def packed(python: str) -> bytes:
    return building.packed({f"kit/{name}": data for name, data in files(python).items()}, 0)


def unpacked(folder: Path, python: str = HERE) -> Path:
    with tarfile.open(fileobj=io.BytesIO(packed(python))) as archive:
        archive.extractall(folder)  # noqa: S202  our own
    return folder / "kit"


def install(place: Path, *arguments: object, program: str = sys.executable) -> subprocess.CompletedProcess[str]:
    words = ["/bin/sh", *map(str, (place / "install.sh", *arguments, program))]
    return subprocess.run(words, capture_output=True, text=True, check=False, env={})


def test_the_same_wheels_give_the_same_bytes_whatever_their_order() -> None:
    other = make.bundle(dict(reversed(WHEELS.items())), version="0.1.0", python=HERE, platform="any")
    assert building.packed(other, 7) == building.packed(files(), 7) != building.packed(files(), 8)


def test_every_wheel_is_pinned_by_version_and_digest_except_pip_which_installs() -> None:
    digest = hashlib.sha256(b"a wheel").hexdigest()
    assert make.requirements(WHEELS).decode() == f"some-part==1.2 --hash=sha256:{digest}\n"


def test_the_core_is_pinned_as_the_others_are() -> None:
    wheels = {"offline_kit_core-0.1.0-cp311-abi3-linux_x86_64.whl": b"the core"}
    digest = hashlib.sha256(b"the core").hexdigest()
    assert make.requirements(wheels).decode() == f"offline-kit-core==0.1.0 --hash=sha256:{digest}\n"


@pytest.mark.parametrize(
    ("platform", "is_here"),
    [
        (f"manylinux2014_{machine()}", sys.platform == "linux"),
        (f"manylinux_2_28_{machine()}", sys.platform == "linux"),
        (f"linux_{machine()}", sys.platform == "linux"),
        (f"musllinux_1_2_{machine()}", False),
        ("manylinux2014_riscv64", machine() == "riscv64"),
        (f"win_{machine()}", False),
    ],
)
def test_a_core_is_built_for_the_platform_of_this_machine_alone(platform: str, *, is_here: bool) -> None:
    assert building.is_this_platform(platform) is is_here


def test_a_bundle_for_another_platform_says_where_its_core_is_from_or_that_it_has_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        make.main(["--platform", "manylinux2014_other", "--output", str(tmp_path / "out")])
    assert "--core" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_an_archive_of_sources_keeps_its_files_and_neither_times_nor_owners() -> None:
    made = []
    for at in (1, 2):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
            for name in sorted(["kit-1/a", "kit-1/b"], reverse=at == 2):
                entry = tarfile.TarInfo(name)
                entry.size, entry.mtime, entry.uid, entry.uname = 1, at, at, f"user{at}"
                archive.addfile(entry, io.BytesIO(name[-1:].encode()))
        made.append(building.normalised(buffer.getvalue(), 7))
    assert made[0] == made[1]
    with tarfile.open(fileobj=io.BytesIO(made[0])) as archive:
        bodies = {entry.name: archive.extractfile(entry) for entry in archive}
        assert {name: body.read() for name, body in bodies.items() if body} == {"kit-1/a": b"a", "kit-1/b": b"b"}


@pytest.mark.parametrize(("other", "found"), [({"a": b"1"}, []), ({"a": b"2"}, ["a"]), ({}, ["a"])])
def test_what_is_not_the_same_twice_is_not_released(other: dict[str, bytes], found: list[str]) -> None:
    assert release.differing({"a": b"1"}, other) == found


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
@pytest.mark.parametrize(
    "script", ["install_offline.sh", "make_offline_install", "check_offline_install", "release", "check_pythons"]
)
def test_the_scripts_are_plain_sh(script: str) -> None:
    subprocess.run(["dash", "-n", make.ROOT / "scripts" / script], check=True)

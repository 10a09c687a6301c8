from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from fixtures.build import make_fixtures
from fixtures.build.kits import KITS, FixtureKit
from kit.errors import KeyUnusableError
from kit.signing import load_private, load_public

FIXTURES = make_fixtures.FIXTURES


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fixtures")
    make_fixtures.build(folder)
    return folder


def test_what_is_kept_is_what_the_script_makes(built: Path) -> None:
    assert make_fixtures.differences(built, FIXTURES) == []


@pytest.mark.parametrize(
    "spoil",
    [
        lambda folder: (folder / "kits" / "parts.tar").write_bytes(b""),
        lambda folder: (folder / "kits" / "parts.tar").unlink(),
        lambda folder: (folder / "kits" / "stray.tar").write_bytes(b""),
    ],
    ids=["a changed file", "a missing file", "a file nobody makes"],
)
def test_what_is_not_current_is_named(spoil: Callable[[Path], object], built: Path, tmp_path: Path) -> None:
    kept = tmp_path / "fixtures"
    shutil.copytree(built, kept)
    spoil(kept)
    assert len(make_fixtures.differences(built, kept)) == 1


@pytest.mark.parametrize("fixture", [make() for make in KITS], ids=lambda fixture: fixture.name)
def test_a_fixture_holds_every_document_once(fixture: FixtureKit) -> None:
    for listed in fixture.observations.values():
        identifiers = [one.document["_id"] for one in listed]
        assert len(identifiers) == len(set(identifiers))


@pytest.mark.parametrize("name", [make().name for make in KITS])
def test_the_checksum_beside_a_fixture_is_one_for_sha256sum(name: str) -> None:
    line = (FIXTURES / "kits" / f"{name}.sha256").read_text()
    assert line == f"{hashlib.sha256((FIXTURES / 'kits' / name).read_bytes()).hexdigest()}  {name}\n"


@pytest.mark.skipif(shutil.which("tar") is None, reason="needs tar")
@pytest.mark.parametrize("name", ["foreign.tar.gz", "parts.tar"])
def test_stock_tar_reads_a_fixture(name: str) -> None:
    subprocess.run(["tar", "-tf", FIXTURES / "kits" / name], check=True, capture_output=True)


@pytest.mark.parametrize("name", ["publisher", "site"])
def test_the_keys_are_pairs_and_refused_until_copied_to_a_safe_mode(name: str, tmp_path: Path) -> None:
    copied = tmp_path / "key.pem"
    shutil.copyfile(FIXTURES / "keys" / f"{name}-TEST-ONLY.pem", copied)
    copied.chmod(0o644)
    with pytest.raises(KeyUnusableError):
        load_private(copied)
    copied.chmod(0o600)
    assert load_private(copied).public == load_public(FIXTURES / "keys" / f"{name}-TEST-ONLY.pub.pem")

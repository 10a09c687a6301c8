from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from fixtures.build.keys import publisher_key, site_key
from fixtures.build.kits import PATCHED_AT
from fixtures.build.make_fixtures import FIXTURES
from kit.errors import OutputError
from kit.transforms.raw_linkset import RawLinkset
from kit.values import Timestamp
from kit.verbs.patch.patch import Output, PatchReport, PatchRequest, patch
from kit.verbs.verify.kits import Environment


def patch_in_place(kit: Path, *, limit: int | None = None) -> PatchReport:
    request = PatchRequest(
        kit=kit,
        transforms=(RawLinkset(),),
        trusted={key.public.key_id: key.public for key in (publisher_key(), site_key())},
        created_at=Timestamp.parse(PATCHED_AT),
        limit=limit,
        environment=Environment(workers=1),
    )
    return patch(request, Output(path=None, key=site_key()))


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def kit(tmp_path: Path) -> Path:
    return Path(shutil.copy(FIXTURES / "kits" / "harbor.tar.zst", tmp_path))


def test_a_second_patch_in_place_changes_nothing_though_the_backup_of_the_first_is_there(kit: Path) -> None:
    patch_in_place(kit)
    before = files(kit.parent)
    report = patch_in_place(kit)
    assert (report.changed, report.output, report.backup) == (0, None, None)
    assert files(kit.parent) == before


def test_a_backup_of_an_earlier_patch_is_never_overwritten(kit: Path) -> None:
    first = patch_in_place(kit, limit=3)
    before = files(kit.parent)
    second = patch_in_place(kit)
    assert first.backup is not None
    assert second.backup is not None
    assert first.backup != second.backup
    assert files(kit.parent)[first.backup.name] == before[first.backup.name]
    assert files(kit.parent)[second.backup.name] == before[kit.name]


def test_another_file_in_the_place_of_the_backup_ends_the_patch_before_any_work(kit: Path) -> None:
    first = patch_in_place(kit, limit=3)
    assert first.backup is not None
    generation = int(first.backup.name.rpartition(".")[2])
    kit.with_name(f"{kit.name}.bak.{generation + 1}").write_bytes(b"something else")
    before = files(kit.parent)
    with pytest.raises(OutputError, match="bak"):
        patch_in_place(kit)
    assert files(kit.parent) == before

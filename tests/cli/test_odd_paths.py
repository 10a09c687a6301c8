"""Paths that are not UTF-8, that hold a line feed, that are as long as can be, or that lead elsewhere."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from kit.values import Limits, strict_json
from tests import kits
from tests.commands import kit
from tests.end_to_end.desk import Desk

ODD = {
    "not UTF-8": "l\udce9",
    "a line feed": "l\nx",
    "a carriage return": "l\rx",
    "a backslash": "l\\x",
    "a mark": "l\x1b",
}
EVERY = pytest.mark.parametrize("odd", ODD.values(), ids=list(ODD))


def read(data: bytes) -> Any:
    """Read JSON as strictly as kits are read: half a surrogate pair is refused."""
    return strict_json.parse(data, limits=Limits(), where="")


@EVERY
def test_a_patch_in_place_and_back_again_with_sha256sum_as_the_witness(desk: Desk, odd: str) -> None:
    path = desk.kit(name=f"{odd}.tar")
    before = path.read_bytes()
    assert desk.patch(path, "--in-place").code == 0
    for name in (f"{path.name}.sha256", f"{path.name}.bak.3.sha256"):
        checked = subprocess.run(["sha256sum", "--strict", "-c", name], cwd=desk.kits, check=False, capture_output=True)
        assert checked.returncode == 0, checked
    outcome = desk.verify(path)
    assert outcome.code == 0
    assert outcome.out.splitlines()[-1].startswith("valid: ")
    assert kit("rollback", path, *desk.trust("vendor", "site")).code == 0
    assert path.read_bytes() == before


@EVERY
def test_every_document_that_names_the_path_is_json(desk: Desk, odd: str) -> None:
    folder = desk.kits / odd
    folder.mkdir()
    path = desk.kit(name=f"{odd}/{odd}.tar")
    record, receipt, page = (folder / f"{odd}.{what}" for what in ("json", "receipt", "html"))
    assert kit("plan", path, *desk.trust("vendor"), "--record", record).code == 0
    outcome = desk.patch(path, "--output", folder / f"{odd}.new", "--record", record, "--json")  # the record goes on
    assert outcome.code == 0, outcome
    names = {read(record.read_bytes())["kit"], read(outcome.out.encode())["kit"]}
    assert names == {str(path).encode("utf-8", "backslashreplace").decode()}
    signing = ("--receipt", receipt, "--signing-key", desk.keys / "site", "--html", page)
    assert desk.verify(path, options=signing).code == 0
    read(receipt.read_bytes())
    page.read_text(encoding="utf-8")


def test_text_that_is_not_utf_8_is_refused_before_the_work(desk: Desk) -> None:
    path = desk.kit()
    before = kits.folder_state(desk.kits)
    for option in ("--operator", "--environment", "--rollback-note", "--tenant"):
        desk.patch(path, "--in-place", option, "l\udce9").refused(64, f"{option}: its text is not UTF-8")
    assert kits.folder_state(desk.kits) == before


def test_a_kit_whose_name_leaves_no_room_for_what_is_beside_it_is_still_read(desk: Desk) -> None:
    path = desk.kit().rename(desk.kits / ("n" * 255))
    assert desk.verify(path, "vendor").code == 0
    assert desk.patch(path, "--output", desk.kits / "new").code == 0


@pytest.mark.parametrize("name", ["kit.tar.zst", "folder"])
def test_a_link_to_a_kit_is_refused_with_what_to_name_instead(desk: Desk, name: str) -> None:
    desk.kit(name=name)
    link = desk.kits / "latest kit"
    link.symlink_to(name)
    before = kits.folder_state(desk.kits)
    for outcome in (desk.verify(link), desk.patch(link, "--in-place"), desk.patch(link, "-o", desk.kits / "new")):
        outcome.refused(1, "it is a symbolic link, which is not followed", f"readlink -f '{link}'")
    assert kits.folder_state(desk.kits) == before


def test_a_page_or_receipt_that_cannot_be_written_is_refused_before_the_kit_is_read(desk: Desk) -> None:
    nowhere = desk.kits / "absent" / "file"
    for options in (
        ("--html", nowhere),
        ("--receipt", nowhere, "--signing-key", desk.keys / "site"),
        ("--write-script", nowhere),
    ):
        desk.verify(desk.kits / "no kit", options=options).refused(74, "cannot be written")
    kit("diff", "no", "kit", "--html", nowhere).refused(74, "cannot be written")


def test_a_folder_patched_from_within_is_switched_whole(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = desk.kit(name="folder")
    monkeypatch.chdir(folder)
    here = Path("..") / folder.name
    assert desk.patch(here, "--in-place").code == 0
    assert {place.name for place in folder.parent.iterdir()} == {"folder", "folder.bak.3"}
    assert desk.verify(here).code == 0
    assert kit("rollback", here, *desk.trust("vendor", "site")).code == 0
    assert desk.verify(folder, "vendor").code == 0

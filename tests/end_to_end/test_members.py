"""``kit ls`` and ``kit cat``: what is in a kit, without verifying it."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tests import kits
from tests.cli.terminal import Terminal
from tests.commands import ROOT, Outcome, kit, subprocess_kit
from tests.end_to_end.desk import Desk
from tests.kits import MANIFEST, OBSERVATIONS, SIGNATURE, observation

PART = "dump/part/concelier/notes.bson.gz"
TEXT = "docs/read me.txt"


@pytest.fixture(name="path")
def a_kit(desk: Desk) -> Path:
    part = {PART: gzip.compress(kits.collection([{"_id": 1}])), TEXT: "hé\n\tyou\n".encode()}
    return desk.kit(kits.content(observation(1)) | part | {"docs/evil.txt": b"a\x1b[2Jb"})


def report(outcome: Outcome) -> dict[str, Any]:
    assert outcome.code == 0, outcome
    schema = json.loads((ROOT / "schemas/members-report.schema.json").read_text())
    Draft202012Validator(schema).validate(outcome.json)
    return outcome.json


def test_every_member_is_listed_in_the_order_of_the_kit_with_its_size_and_digest(path: Path) -> None:
    members = report(kit("ls", path, "--json"))["members"]
    due = kits.read(path)
    assert [one["path"] for one in members] == list(due)
    assert {one["path"]: (one["bytes"], one["sha256"]) for one in members} == {
        name: (len(data), kits.sha256(data)) for name, data in due.items()
    }
    lines = kit("ls", path).out.splitlines()
    assert [line.split(None, 1)[1] for line in lines[:-1]] == list(due)
    assert lines[-1].startswith(f"{len(due)} members, ")
    assert lines[-1].endswith("not verified (kit verify)")


def test_a_path_lists_what_is_at_or_below_it_and_nothing_that_begins_alike(path: Path) -> None:
    for below in ("manifest", "manifest/", "./manifest"):
        assert {one["path"] for one in report(kit("ls", path, below, "--json"))["members"]} == {MANIFEST, SIGNATURE}
    assert [one["path"] for one in report(kit("ls", path, OBSERVATIONS, "--json"))["members"]] == [OBSERVATIONS]
    kit("ls", path, "mani").refused(1, "mani: no such member")


def test_links_and_empty_folders_are_shown_as_what_they_are(desk: Desk) -> None:
    folder = desk.kits / "unpacked"
    for name, data in kits.read(desk.kit()).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    (folder / "empty").mkdir()
    (folder / "link").symlink_to(MANIFEST)
    kinds = {
        one["path"]: (one["kind"], one["target"])
        for one in report(kit("ls", folder, "--allow-links", "--json"))["members"]
    }
    assert (kinds["empty"], kinds["link"]) == (("folder", None), ("symbolic link", MANIFEST))
    assert f"link -> {MANIFEST} (symbolic link)" in kit("ls", folder, "--allow-links").out
    kit("cat", folder, "link", "--allow-links").refused(64, f"is a symbolic link to {MANIFEST}")
    kit("cat", folder, "empty", "--allow-links").refused(64, "is a folder, and not a file")


@pytest.mark.parametrize("name", [MANIFEST, OBSERVATIONS, PART, TEXT])
def test_the_bytes_of_a_member_are_printed_or_written_as_they_are(path: Path, tmp_path: Path, name: str) -> None:
    due = kits.read(path)[name]
    done = subprocess_kit("cat", path, name)
    assert (done.returncode, done.stdout, done.stderr) == (0, due, b"")
    written = report(kit("cat", path, f"./{name}", "-o", tmp_path / "out", "--json"))
    assert (tmp_path / "out").read_bytes() == due
    assert (written["bytes"], written["sha256"], written["decompressed"]) == (len(due), kits.sha256(due), False)
    kit("cat", path, name, "-o", tmp_path / "out").refused(74, "already there")


def test_a_compressed_member_is_decompressed_when_asked_for(path: Path) -> None:
    assert subprocess_kit("cat", path, PART, "--decompress").stdout == kits.collection([{"_id": 1}])
    kit("cat", path, OBSERVATIONS, "--decompress").refused(64, "is not compressed")


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("offline-manifest.json", 1, [f"did you mean {MANIFEST}?"]),
        (MANIFEST.replace("-", ""), 1, [f"did you mean {MANIFEST}"]),
        ("xyz", 1, ["no such member", "kit ls KIT"]),
        ("manifest", 64, ["is a folder", "kit ls KIT manifest"]),
    ],
)
def test_what_is_no_member_is_an_error_with_near_matches(path: Path, name: str, code: int, words: list[str]) -> None:
    kit("cat", path, name).refused(code, *words)


def test_nothing_is_printed_of_a_kit_that_is_malformed_behind_the_member(path: Path, desk: Desk) -> None:
    cut = desk.kits / "cut.tar"
    cut.write_bytes(kits.write_kit(desk.kits / "whole.tar", kits.read(path)).read_bytes()[:-1500])
    done = subprocess_kit("cat", cut, next(iter(kits.read(path))))
    assert (done.returncode, done.stdout) == (9, b"")


def test_a_terminal_gets_text_and_nothing_that_it_would_obey(path: Path) -> None:
    with Terminal("cat", path, TEXT) as terminal:
        assert terminal.wait() == 0
        assert "you" in terminal.shown
    for name in (OBSERVATIONS, "docs/evil.txt"):
        with Terminal("cat", path, name) as terminal:
            assert terminal.wait() == 64
            assert "not plain text" in terminal.shown
            assert "\x1b[2J" not in terminal.shown


def test_json_needs_a_file_for_the_bytes(path: Path) -> None:
    assert kit("cat", path, TEXT, "--json").code == 64

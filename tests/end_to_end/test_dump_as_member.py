"""A dump of ``mongodump --archive`` among the files of a kit is named, and no patch passes it by."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from kit.dump import begins_dump
from tests import kits
from tests.commands import ROOT, kit
from tests.end_to_end.desk import Desk
from tests.end_to_end.test_create_from_dump import FIRST, SMALL, create

SCHEMA = json.loads((ROOT / "schemas" / "inspect-report.schema.json").read_text())
PACKED = pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])


@PACKED
def test_a_new_kit_is_not_made_of_a_dump_and_other_files(pack: Any, desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "files/of.today").write_bytes(pack(SMALL.to_bytes()))
    (tmp_path / "files/README").write_bytes(b"text")
    create(desk, tmp_path / "files").refused(64, "of.today", "mongodump --archive", "kit create")
    assert not list(desk.kits.glob("new.tar*"))


@PACKED
def test_a_kit_with_a_dump_is_shown_verified_and_not_patched(pack: Any, desk: Desk) -> None:
    path = desk.kit(kits.content() | {"backup/of.today": pack(SMALL.to_bytes())})
    shown = kit("inspect", path, "--json", "--workers", 1)
    Draft202012Validator(SCHEMA).validate(shown.json)
    assert shown.json["dumps"] == ["backup/of.today"]
    assert "backup/of.today, a dump of mongodump" in kit("inspect", path, "--workers", 1).out
    assert desk.verify(path, "vendor", options=("--deep",)).code == 0
    for words in (("plan",), ("patch", "--in-place", "--signing-key", desk.keys / "site")):
        kit(words[0], path, *words[1:], *desk.trust("vendor"), "--workers", 1).refused(64, "backup/of.today", "dump")


def test_what_is_no_dump_is_none() -> None:
    data = SMALL.to_bytes()
    assert begins_dump(data[:512])
    assert begins_dump(gzip.compress(data)[:512])
    for other in (b"", data[:3], data[1:], gzip.compress(b"text"), gzip.compress(data)[:9], b"\x1f\x8bxx", FIRST):
        assert not begins_dump(other)

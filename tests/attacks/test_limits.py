"""Every limit, met by a kit of one command: refused with its name, the value met and the option that lets it pass."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import bson
import pytest
from jsonschema import Draft202012Validator

from kit import Limits
from tests.archive.building import END, header, long_name, member, pax, record
from tests.attacks import bombs
from tests.attacks.test_containers import packed, zstd
from tests.commands import ROOT, kit
from tests.end_to_end.desk import Desk
from tests.kits import MANIFEST, OBSERVATIONS

NAME = OBSERVATIONS.encode()
DOCUMENT = bson.encode({"_id": 1, "tenant": "a", "nested": {"deep": {}}})
TWO_TENANTS = DOCUMENT + bson.encode({"_id": 2, "tenant": "b"})
HISTORY = b"manifest/history/%d/offline-manifest.json"


def _history() -> bytes:
    return b"".join(member(HISTORY % number, b" " * 400) for number in range(3))


def _two_mib() -> bytes:
    return member(b"a", bytes(2 << 20))


def _json(text: bytes) -> bytes:
    return member(MANIFEST.encode(), text)


# The kit, the limit as it is set, and what is met.
CASES: dict[str, tuple[Callable[[], bytes], int, int]] = {
    "members": (lambda: member(b"a") + member(b"b/c"), 2, 3),
    "member_bytes": (lambda: member(b"a", b"x" * 10), 9, 10),
    "total_bytes": (lambda: member(b"a", b"x" * 600), 1000, 1112),
    "expanded_bytes": (lambda: member(NAME + b".gz", packed(DOCUMENT)), 20, len(DOCUMENT)),
    "ratio": (lambda: member(NAME + b".gz", packed(bombs.document(1 << 20))), 500, 0),
    "ratio_floor_bytes": (lambda: member(NAME + b".gz", packed(bombs.document(1 << 20))), 1 << 18, 0),
    "window_bytes": (lambda: b"\x28\xb5\x2f\xfd\x00\x50" + bombs.zstd_block(0, b"x", 1, last=True), 1 << 10, 1 << 20),
    "header_bytes": (lambda: pax(record("comment", b"c" * 100)) + member(), 600, 625),
    "names_bytes": (lambda: member(b"abc") + member(b"def/ghi"), 10, 13),
    "path_bytes": (lambda: long_name(b"n" * 120 + b"\0") + header(b"n" * 100), 100, 120),
    "path_depth": (lambda: member(b"a/b/c"), 2, 3),
    "document_bytes": (lambda: member(NAME, DOCUMENT), 20, len(DOCUMENT)),
    "document_elements": (lambda: member(NAME, DOCUMENT), 3, 4),
    "document_depth": (lambda: member(NAME, DOCUMENT), 2, 3),
    "tenants": (lambda: member(NAME, TWO_TENANTS), 1, 2),
    "json_bytes": (lambda: _json(b"{}" + b" " * 100), 100, 102),
    "json_depth": (lambda: _json(b'{"a":[[]]}'), 2, 3),
    "json_values": (lambda: _json(b'{"a":[1,2,3]}'), 4, 5),
    "work_bytes": (lambda: member(b"a"), 30_000, 32_768),
    "work_ratio": (_two_mib, 1, 0),
    "kept_bytes": (_history, 4000, 0),
    "kept_ratio": (_two_mib, 0, 0),
}
# What must be set, too, for the limit to be met, and what the refusal is then called.
WITH = {
    "ratio": ("ratio", ["ratio_floor_bytes=100"]),
    "ratio_floor_bytes": ("ratio", ["ratio=500"]),
    "work_ratio": ("work_bytes", ["work_bytes=1000"]),
    "kept_ratio": ("kept_bytes", ["kept_bytes=1000"]),
}


def test_every_limit_is_here() -> None:
    assert tuple(CASES) == Limits.names()


def told_by(path: Path, command: list[str], *maxima: str) -> str:
    """Run a command and give all it says."""
    options = [word for maximum in maxima for word in ("--max", maximum)]
    outcome = kit(command[0], path, "--workers", 1, *command[1:], *options)
    return f"{outcome.code}\n{outcome.out}{outcome.err}"


@pytest.mark.parametrize("name", CASES)
def test_a_limit_is_said_with_the_value_met_and_the_option_that_lets_it_pass(
    name: str, tmp_path: Path, desk: Desk
) -> None:
    make, bound, met = CASES[name]
    path = tmp_path / "kit"
    data = make()
    path.write_bytes(data if name == "window_bytes" else data + END)
    command = ["inspect"]
    if name == "document_depth":  # a document is walked to its depth by verify --deep only
        path = desk.kit({OBSERVATIONS: DOCUMENT})
        command = ["verify", "--deep", *map(str, desk.trust("vendor"))]
    asked, others = WITH.get(name, (name, []))
    refused = told_by(path, command, f"{name}={bound}", *others)
    limit = {"ratio_floor_bytes": 500, "work_ratio": 1000, "kept_ratio": 1000}.get(name, bound)
    assert f"limit {asked} = {limit:,}" in refused, refused
    if met:
        assert f"{met:,} is over the limit {name} = {bound:,}" in refused, refused
    if name in {"json_depth", "json_values"}:  # a problem of an inspection, which goes on without a manifest
        return
    assert refused.startswith("9\n"), refused
    # What is met is what was met so far: further on it may be more, but what the hint says leads through.
    raised: list[str] = []
    for _ in range(4):
        told = re.search(rf"raise it: --max ({asked}=\d+)", refused)
        if told is None:
            break
        raised.append(told[1])
        refused = told_by(path, command, *others, f"{name}={bound}", *raised)
    assert raised
    assert f"over the limit {asked} = " not in refused, refused


def test_limits_in_force_are_shown_as_text_and_as_json_and_to_python() -> None:
    shown = kit("inspect", "--limits", "--max", "tenants=7", "--json")
    document = shown.json
    Draft202012Validator(json.loads((ROOT / "schemas/limits-report.schema.json").read_text())).validate(document)
    explained = {one.name: (one.value, one.default) for one in Limits(tenants=7).table()}
    assert {one["name"]: (one["value"], one["default"]) for one in document["limits"]} == explained
    assert explained["tenants"] == (7, Limits().tenants)
    lines = kit("inspect", "--limits", "--max", "tenants=7").out.splitlines()
    assert [line.split()[0] for line in lines[: len(explained)]] == list(Limits.names())
    assert any("7 tenants" in line and line.endswith("(default 10,000)") for line in lines)
    # The options it prints set what it prints.
    options = [word for one in document["limits"] for word in shlex.split(one["option"])]
    assert kit("inspect", "--limits", "--json", *options).json == document


def test_limits_and_a_kit_exclude_each_other(tmp_path: Path) -> None:
    kit("inspect", "--limits", tmp_path).refused(64, "--limits shows no kit")
    kit("inspect").refused(64, "Missing argument 'KIT'")


def test_a_compressed_archive_is_held_to_the_ratio_too(tmp_path: Path) -> None:
    path = tmp_path / "kit"
    path.write_bytes(zstd(member(b"a", bytes(1 << 20)) + END))
    kit("inspect", path, "--workers", 1, "--max", "ratio=100", "--max", "ratio_floor_bytes=1000").refused(
        9, "ratio = 100"
    )


def test_what_may_be_asked_for_grows_with_what_is_stored(tmp_path: Path) -> None:
    path = tmp_path / "kit"
    path.write_bytes(member(b"a", bytes(2 << 20)) + END)
    outcome = kit("inspect", path, "--workers", 1, "--max", "work_bytes=1000", "--max", "work_ratio=3")
    assert outcome.code == 0, outcome
    outcome = kit("inspect", path, "--workers", 1, "--max", "work_bytes=1000", "--max", "work_ratio=1")
    outcome.refused(
        9,
        "over the limit work_bytes = 1,000, and over the 1,051,112 that work_ratio = 1 allows for 2,098,688",
    )


def test_a_folder_is_held_to_the_limits_of_a_kit_as_well(tmp_path: Path) -> None:
    for number in range(20):
        (tmp_path / f"{number}").write_bytes(b"")
    kit("inspect", tmp_path, "--max", "work_bytes=500000").refused(9, "over the limit work_bytes = 500,000")
    kit("inspect", tmp_path, "--max", "kept_bytes=20000").refused(9, "over the limit kept_bytes = 20,000")

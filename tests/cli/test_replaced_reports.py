"""A report takes the place of an earlier one, so that a run can be repeated, and of nothing else."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from kit.reports import html
from tests import kits
from tests.commands import Outcome, kit
from tests.end_to_end.desk import Desk

Run = Callable[[Desk, Path, Path], Outcome]


def verify(option: str) -> Run:
    def run(desk: Desk, path: Path, place: Path) -> Outcome:
        signing = ("--signing-key", desk.keys / "stranger") if option == "--receipt" else ()
        return kit("verify", path, *desk.trust("vendor"), option, place, *signing)

    return run


def diff(_desk: Desk, path: Path, place: Path) -> Outcome:
    return kit("diff", path, path, "--html", place)


REPORTS = pytest.mark.parametrize(
    "run",
    [verify("--html"), verify("--receipt"), verify("--write-script"), diff],
    ids=["page", "receipt", "script", "page of differences"],
)


@REPORTS
def test_an_earlier_report_is_replaced_whole(run: Run, desk: Desk, tmp_path: Path) -> None:
    place = tmp_path / "report"
    assert run(desk, desk.kit(), place).code == 0
    first, mode = place.read_bytes(), place.stat().st_mode
    later = desk.kit({"README": b"another"}, name="later.tar")
    assert run(desk, later, place).code == 0
    assert place.stat().st_mode == mode
    fresh = tmp_path / "fresh"
    assert run(desk, later, fresh).code == 0
    assert (place.read_bytes() == first) == (fresh.read_bytes() == first)
    assert sorted(tmp_path.iterdir()) == [fresh, desk.keys, desk.kits, place]


def test_a_page_of_a_refused_kit_replaces_one_of_a_valid_kit(desk: Desk, tmp_path: Path) -> None:
    place = tmp_path / "page"
    assert verify("--html")(desk, desk.kit(), place).code == 0
    assert verify("--html")(desk, desk.kit(signer="stranger", name="other.tar"), place).code == 4
    assert b"Refused" in place.read_bytes()


FOREIGN = {
    "text": b"precious",
    "another page": b"<!DOCTYPE html>\n<html><head><title>ours</title></head></html>\n",
    "another script": b"#!/bin/sh\nrm -rf /\n",
    "another envelope": b'{"payload": "e30=", "payloadType": "application/vnd.in-toto+json", "signatures": []}',
    "nothing": b"",
}


def link_to_a_report(place: Path) -> None:
    # A page, to which nothing is written even if a page is asked for.
    place.with_name("target").write_bytes(html.page("earlier"))
    place.symlink_to("target")


ODD: dict[str, Callable[[Path], object]] = {
    **{name: partial(Path.write_bytes, data=data) for name, data in FOREIGN.items()},
    "a link to a report": link_to_a_report,
    "a dangling link": lambda place: place.symlink_to("nowhere"),
    "a folder": Path.mkdir,
    "a pipe": os.mkfifo,
}


@REPORTS
@pytest.mark.parametrize("there", ODD)
def test_anything_else_is_kept(run: Run, there: str, desk: Desk, tmp_path: Path) -> None:
    path, place = desk.kit(), tmp_path / "place"
    ODD[there](place)
    before = kits.folder_state(tmp_path)
    run(desk, path, place).refused(74, f"{place}: already exists, and is not a", "move it away or choose another name")
    assert kits.folder_state(tmp_path) == before


@pytest.mark.parametrize(("made", "asked"), [("--html", "--receipt"), ("--receipt", "--write-script")])
def test_a_report_of_another_kind_is_kept(made: str, asked: str, desk: Desk, tmp_path: Path) -> None:
    path, place = desk.kit(), tmp_path / "report"
    assert verify(made)(desk, path, place).code == 0
    before = place.read_bytes()
    verify(asked)(desk, path, place).refused(74, "already exists, and is not a")
    assert place.read_bytes() == before


def test_a_plan_of_an_unverified_base_warns_as_a_patch_does(desk: Desk, tmp_path: Path) -> None:
    path = desk.kit(signer="stranger")
    options = ("--insecure-unverified-base", "--workers", 1, "--created-at", kits.AT)
    plan = kit("plan", path, *options)
    patch = kit("patch", path, *options, "-o", tmp_path / "out.tar", "--signing-key", desk.keys / "site")
    assert (plan.code, patch.code) == (0, 0)
    warnings = [line for line in plan.err.splitlines() if line.startswith("kit: warning: unverified base: ")]
    assert warnings
    assert warnings == [line for line in patch.err.splitlines() if "unverified base" in line]

"""``kit selftest``: what it says of a sound disk, and of one that is not."""

from __future__ import annotations

import json
import random
import signal
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from kit.reports.site import selftest_json, selftest_lines
from kit.verbs.selftest import Bench, Facts, Matrix, Row, SelftestReport
from kit.verbs.selftest.strikes import kill_randomly, strike
from tests.commands import ROOT, kit


def report_of(matrix: Matrix) -> SelftestReport:
    return SelftestReport(
        directory=Path("/srv"),
        kills=2,
        rows=tuple(matrix.rows.items()),
        points=tuple(matrix.points.items()),
        faults=tuple(matrix.faults),
    )


def valid(report: SelftestReport) -> dict[str, object]:
    document = selftest_json(report)
    Draft202012Validator(json.loads((ROOT / "schemas/selftest-report.schema.json").read_text())).validate(document)
    return document


@pytest.mark.slow
def test_on_a_sound_disk_random_kills_find_nothing(tmp_path: Path) -> None:
    matrix = Matrix()
    with Bench(tmp_path / "bench", "kit.tar.zst", "in place") as bench:
        kill_randomly(bench, matrix, 2, random.Random(1))  # noqa: S311
    assert not list(tmp_path.iterdir())
    report = report_of(matrix)
    assert report.sound
    assert valid(report)["sound"] is True
    assert "sound: nothing was lost in /srv" in list(selftest_lines(report))[-1]


def test_a_kit_that_changes_under_it_is_a_wrong_outcome(tmp_path: Path) -> None:
    matrix = Matrix()
    with Bench(tmp_path / "bench", "kit.tar", "in place") as bench:
        # A disk that gives back other bytes: nothing of the kit it starts from is what it was.
        archive = bench.start / "kit.tar"
        archive.write_bytes(archive.read_bytes()[:-1] + b"x")
        strike(bench, matrix, "kill before a durable step", [{"strike": "kill", "at": 0}])
    report = report_of(matrix)
    assert not report.sound
    assert matrix.rows["kill before a durable step"] == Row(strikes=1, wrong=1)
    assert valid(report)["sound"] is False
    assert any("kit.tar is neither old nor new" in line for line in selftest_lines(report))
    assert "NOT SOUND" in list(selftest_lines(report))[-1]


@pytest.mark.slow
def test_ctrl_c_strikes_a_run_even_where_the_shell_has_it_ignored_and_leaves_a_job_to_resume(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # what a shell does to all it runs in the background
    try:
        with Bench(tmp_path / "bench", "kit.tar.gz", "in place") as bench:
            signal.signal(signal.SIGINT, before)
            bench.reset()
            answer = bench.run(strike="SIGINT", at=bench.steps["durable"] // 2)
            assert (answer["struck"] != "", answer["failure"]) == (True, "InterruptedRunError"), answer
            assert bench.has_job()
            assert bench.fault() == ""
            assert bench.recover() == ({"killed": False, "failure": "", "told": "", "struck": "", "met": 0}, True)
            assert Facts.of(bench.place) == bench.new
    finally:
        signal.signal(signal.SIGINT, before)


def test_there_must_be_a_folder_to_work_in(tmp_path: Path) -> None:
    kit("selftest", "--directory", tmp_path / "no").refused(64, "is no folder to work in")


@pytest.mark.slow
def test_the_command_tries_a_disk_and_leaves_nothing_there(tmp_path: Path) -> None:
    outcome = kit("selftest", "--quick", "--kills", 3, "--directory", tmp_path, "--json")
    assert (outcome.code, list(tmp_path.iterdir())) == (0, []), outcome
    Draft202012Validator(json.loads((ROOT / "schemas/selftest-report.schema.json").read_text())).validate(outcome.json)
    total = outcome.json["total"]
    assert (total["wrong"], total["bytesDiffer"]) == (0, 0)
    assert total["strikes"] > 12
    assert set(outcome.json["killPoints"]) == {"kit in place", "kit.tar.zst in place", "kit.tar.zst output"}

"""The conformance table: every case gets the verdict, the exit code and the failing obligation that the table says."""

from __future__ import annotations

import json
import os
import runpy
import shlex
import shutil
import subprocess
import sys
from argparse import Namespace
from fnmatch import fnmatchcase
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from conformance.build import make_conformance
from conformance.build.beyond import BEYOND, NOT_WRITTEN, TOO_STRICT, is_beyond, is_too_strict
from conformance.build.case import Attack
from conformance.build.signing import key
from conformance.build.trust import KEYS, POLICIES
from fixtures.build import make_fixtures
from kit.cli.commands import TABLE as EXIT_CODES
from kit.errors import UsageError
from kit.trust import Anchor
from kit.values import Timestamp
from kit.verbs.verify.judgement import Expectation
from kit.verbs.verify.receipt import make_script
from tests.commands import COMMAND, ENVIRONMENT, kit

FOLDER = make_conformance.FOLDER
# It stands alone, outside of every package.
runner: Any = SimpleNamespace(**runpy.run_path(str(FOLDER / "run.py")))
TABLE: dict[str, Any] = json.loads((FOLDER / "table.json").read_text())
CASES: list[dict[str, Any]] = TABLE["cases"]
VERIFIER = (
    "verify {kit} {keys:--trusted-key} {policy:--trust} {at:--at} {deep:--deep} {coverage:--require-raw-linkset} "
    "{fields:--field-map} {links:--allow-links} --workers 1 --json"
)


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_the_verdict_on(case: dict[str, Any], tmp_path: Path) -> None:
    table = runner.Runner(Namespace(verifier=VERIFIER, no_verdict="", prepare=None, column="verdict"), TABLE, tmp_path)
    assert not table.leaves_out(case)
    values = table.trusted(case, tmp_path)
    for number, path in enumerate(case.get("before", ())):
        before = {"kit": [str(runner.copied(path, tmp_path / f"before-{number}"))]}
        assert kit(*runner.command(VERIFIER, values | before)).code == 0
    outcome = kit(*runner.command(VERIFIER, values | {"kit": [str(runner.placed(case, tmp_path))]}))
    assert outcome.code == case["exitCode"], outcome
    report = outcome.json
    failed = [o["number"] for o in report.get("obligations", ()) if o["status"] == "failed"]
    assert (failed[0] if failed else None) == case["obligation"], outcome
    assert report.get("verdict", "refused") == case["verdict"], outcome


def test_what_is_kept_is_what_the_builders_make(tmp_path: Path) -> None:
    make_conformance.build(tmp_path)
    assert make_fixtures.differences(tmp_path, FOLDER, make_conformance.GENERATED) == []
    (tmp_path / "keys" / "stray.pem").write_bytes(b"")
    (tmp_path / "TABLE.md").write_text("")
    found = make_fixtures.differences(tmp_path, FOLDER, make_conformance.GENERATED)
    assert found == ["TABLE.md", "keys/stray.pem"]


def test_the_table_is_about_every_obligation_attack_and_exit_code_of_a_verdict() -> None:
    assert len(CASES) >= 250
    assert {case["attack"] for case in CASES} == {None, *map(str, Attack)}
    assert {case["obligation"] for case in CASES} == {None, *range(1, 9)}
    verdicts = {code for code, _ in EXIT_CODES} - {1, 10, 12, 13, 64, 70, 74, 130}
    assert {case["exitCode"] for case in CASES} == verdicts
    kits, table = (FOLDER / "kits").iterdir(), FOLDER / "table.json"
    assert sum(path.stat().st_size for path in (*kits, table)) < 1_500_000


def test_the_front_page_counts_the_kits_that_there_are() -> None:
    kits = {case["kit"] for case in CASES}
    assert f" has {len(kits)} kits" in (make_fixtures.ROOT / "README.md").read_text()


def run_table(*words: str, code: int) -> list[str]:
    """Run the runner as its page says, and return its lines."""
    command = [sys.executable, str(FOLDER / "run.py"), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=ENVIRONMENT)
    assert done.returncode == code, done
    return (done.stdout + done.stderr).splitlines()


def last_line(*words: str, code: int) -> str:
    return run_table(*words, code=code)[-1]


NAMES = ("patched", "container-folder", "alg-none", "rollback", "folder-fifo", "proven", "coverage-missing")
EVERYTHING = "{keys} {policy} {deep} {coverage}"
ONLY = [word for name in NAMES for word in ("--only", name)]


@pytest.mark.slow
def test_the_runner_runs_any_command() -> None:
    command = f"{shlex.join(COMMAND)} {VERIFIER}"
    assert (
        last_line("--verifier", command, "--exact", *ONLY, code=0)
        == "7 cases, 7 right (3 valid, 4 refused), 0 wrong, 0 left out"
    )


@pytest.mark.parametrize(
    ("verifier", "last"),
    [
        (f"true {EVERYTHING}", "7 cases, 3 right (3 valid, 0 refused), 4 wrong, 0 left out"),
        (
            f"sh -c 'exit 3' {EVERYTHING}",
            "7 cases, 3 right (0 valid, 3 refused), 4 wrong, 0 left out",
        ),
        ("sh -c 'exit 3' {keys}", "4 cases, 2 right (0 valid, 2 refused), 2 wrong, 3 left out"),
        ("sh -c 'kill -9 $$' {keys}", "4 cases, 0 right (0 valid, 0 refused), 4 wrong, 3 left out"),
        ("sh -c 'exit 70' {keys}", "4 cases, 0 right (0 valid, 0 refused), 4 wrong, 3 left out"),
    ],
    ids=["accepts everything", "refuses everything", "knows keys only", "dies", "fails"],
)
def test_the_runner_finds_a_verifier_that(verifier: str, last: str) -> None:
    assert last_line("--verifier", verifier, *ONLY, code=1) == last


REFUSES_ALL = ("--verifier", "sh -c 'exit 3' {keys}", *ONLY)
"""Of the four cases that need no more than keys, it is wrong about ``patched`` and ``container-folder``."""


class TestKnownFailures:
    def test_a_case_that_fails_as_listed_is_no_failure(self, tmp_path: Path) -> None:
        listed = tmp_path / "known"
        listed.write_text("# Needs a second key.\npatched refused\n\ncontainer-folder refused 3  # no folders\n")
        assert last_line(*REFUSES_ALL, "--known-failures", str(listed), code=0) == (
            "4 cases, 2 right (0 valid, 2 refused), 0 wrong, 3 left out; 2 failed as listed, 0 passed although listed"
        )

    def test_a_listed_case_that_passes_is_reported_and_fails_the_run(self, tmp_path: Path) -> None:
        listed = tmp_path / "known"
        listed.write_text("patched refused\ncontainer-folder refused\nalg-none valid\n")
        lines = run_table(*REFUSES_ALL, "--known-failures", str(listed), code=1)
        assert lines == [
            f"UNEXPECTED PASS alg-none: it is listed as valid; remove it from {listed}",
            "4 cases, 2 right (0 valid, 2 refused), 0 wrong, 3 left out; 2 failed as listed, 1 passed although listed",
        ]

    @pytest.mark.parametrize("listed_as", ["no verdict", "refused 5"])
    def test_a_case_that_fails_in_another_way_than_listed_is_wrong(self, listed_as: str, tmp_path: Path) -> None:
        listed = tmp_path / "known"
        listed.write_text(f"patched {listed_as}\ncontainer-folder refused\n")
        lines = run_table(*REFUSES_ALL, "--known-failures", str(listed), code=1)
        assert lines[0].startswith(f"WRONG patched: valid 0 is right, {listed_as} is listed, got refused 3: ")
        assert len(lines) == 2

    def test_a_list_written_by_one_run_is_what_the_next_run_expects(self, tmp_path: Path) -> None:
        listed, exact = tmp_path / "known", tmp_path / "exact"
        last_line(*REFUSES_ALL, "--write-known-failures", str(listed), code=1)
        assert listed.read_text().splitlines()[1:] == [
            "container-folder refused  # right: valid 0",
            "patched refused  # right: valid 0",
        ]
        last_line(*REFUSES_ALL, "--known-failures", str(listed), code=0)
        last_line(*REFUSES_ALL, "--exact", "--write-known-failures", str(exact), code=1)
        assert "alg-none refused 3  # right: refused 5" in exact.read_text().splitlines()
        last_line(*REFUSES_ALL, "--exact", "--known-failures", str(exact), code=0)

    @pytest.mark.parametrize(
        ("line", "message"),
        [
            ("alg-none", "expected NAME VERDICT [CODE], found 'alg-none'"),
            ("alg-none accepted", "expected NAME VERDICT [CODE], found 'alg-none accepted'"),
            ("no-such-case valid", "the table has no case 'no-such-case'"),
            ("patched valid", "'patched' is listed twice"),
        ],
    )
    def test_a_list_that_is_wrong_is_refused_with_its_line(self, line: str, message: str, tmp_path: Path) -> None:
        listed = tmp_path / "known"
        listed.write_text(f"patched refused\n{line}\n")
        last = last_line(*REFUSES_ALL, "--known-failures", str(listed), code=2)
        assert last == f"run.py: error: {listed}:2: {message}"


def test_a_case_that_the_table_does_not_have_cannot_be_chosen() -> None:
    last = last_line("--verifier", "true", "--only", "no-such-case", code=2)
    assert last == "run.py: error: --only: the table has no case 'no-such-case'"


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("openssl") is None or shutil.which("zstd") is None, reason="needs openssl and zstd")
def test_verify_sh_over_what_is_in_its_scope() -> None:
    """A few of each, run as conformance/README.md says; all of them get their exit code below."""
    scope = [case for case in CASES if case["script"] is not None]
    valid, others = ([case["name"] for case in scope if bool(case["script"]) is spoilt] for spoilt in (False, True))
    chosen = valid[::8] + others[::16]
    words = [word for name in chosen for word in ("--only", name)]
    prepare = "verify {sample} {keys:--trusted-key} --workers 1 --write-script {script}"
    last = last_line(
        *("--column", "script", "--prepare", f"{shlex.join(COMMAND)} {prepare}", "--verifier", "sh {script} {kit}"),
        *("--exact", *words),
        code=0,
    )
    assert len(chosen) > 10
    assert last.endswith(f"({len(valid[::8])} valid, {len(others[::16])} refused), 0 wrong, 0 left out")


def script_for(case: dict[str, Any]) -> bytes | None:
    """Return the script for whom a case trusts; None where the policy asks for more than a script can check."""
    if case["trust"] in KEYS:
        keys = [key(name).public for name in KEYS[case["trust"]]]
        return make_script(Expectation(trusted={one.key_id: one for one in keys}))
    policy = POLICIES[case["trust"]]
    try:
        return make_script(
            Expectation(trust=Anchor(policy=policy, policy_sha256=policy.sha256, at=Timestamp.parse(case["at"])))
        )
    except UsageError:
        return None


def script_code(case: dict[str, Any], folder: Path, path: str) -> int | None:
    text = script_for(case)
    if text is None or case["name"] in NOT_WRITTEN:
        return None
    (folder / "verify.sh").write_bytes(text)
    command = ["sh", folder / "verify.sh", runner.placed(case, folder)]
    environment = {**os.environ, "PATH": path + os.environ["PATH"], "TMPDIR": str(folder)}
    run = subprocess.run(command, capture_output=True, check=False, env=environment, timeout=300)
    assert all(0x20 <= byte < 0x7F or byte == 0x0A for byte in run.stdout + run.stderr), run
    return run.returncode


SOME = (
    "patched",
    "patched-policy",
    "name-climbs",
    "file-added",
    "stale",
    "json-key-twice",
    "folder-fifo",
    "kind-symlink",
)
SHARES = 12
FIRST = pytest.param([case for case in CASES if case["name"] in SOME], id="some")
REST = [pytest.param(CASES[n::SHARES], marks=pytest.mark.slow, id=f"share {n}") for n in range(SHARES)]


@pytest.mark.skipif(shutil.which("openssl") is None or shutil.which("zstd") is None, reason="needs openssl and zstd")
@pytest.mark.parametrize("tar", ["tar", pytest.param("bsdtar", marks=pytest.mark.slow)])
@pytest.mark.parametrize("cases", [FIRST, *REST])
def test_verify_sh_accepts_what_kit_verify_accepts_or_the_reason_is_listed(
    cases: list[dict[str, Any]], tar: str, tmp_path: Path
) -> None:
    by_bsdtar = tar == "bsdtar"
    if by_bsdtar:
        (tmp_path / "tar").symlink_to(shutil.which("bsdtar") or pytest.skip("needs bsdtar"))
    wrong = []
    for case in cases:
        name, is_valid = case["name"], case["exitCode"] == 0
        folder = tmp_path / name
        folder.mkdir()
        code = script_code(case, folder, f"{tmp_path}:" if by_bsdtar else "")
        shutil.rmtree(folder)
        may_refuse, may_accept = not is_valid or is_too_strict(name), is_valid or is_beyond(name, by_bsdtar=by_bsdtar)
        right = {None} | ({0} if may_accept else set()) | ({2, 3, 4, 5, 9, 11} if may_refuse else set())
        if case["script"] is not None and not by_bsdtar:
            right = {case["script"]}
        if code not in right:
            wrong.append((name, case["exitCode"], code))
    assert not wrong


def test_what_the_script_cannot_know_is_about_cases_of_the_table() -> None:
    refused = {case["name"]: case for case in CASES if case["exitCode"]}
    accepted = {case["name"]: case for case in CASES if not case["exitCode"]}
    for listed, cases in ((BEYOND, refused), (TOO_STRICT, accepted)):
        for pattern in (pattern for patterns in listed.values() for pattern in patterns):
            assert any(fnmatchcase(name, pattern) for name in cases), pattern
    assert all(refused[name]["obligation"] is None for name in NOT_WRITTEN)

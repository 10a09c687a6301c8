"""The two tiers of tests: what scripts/test asks pytest for, and that no room is left to the second."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
QUICK = ["-m", "not slow", "--hypothesis-profile", "quick"]
EVERYTHING: list[str] = []


def asked(folder: Path, *words: str) -> list[str]:
    """Return what the script asks pytest for, by running it where Python is a program that prints its arguments."""
    python, scripts = folder / ".venv" / "bin" / "python", folder / "scripts"
    python.parent.mkdir(parents=True)
    scripts.mkdir()
    python.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    python.chmod(0o755)
    shutil.copy(ROOT / "scripts" / "test", scripts)
    (scripts / "environment.sh").write_text("set -eu\n")
    run = subprocess.run([scripts / "test", *words], capture_output=True, text=True, check=True)
    compiling, _, words_of_pytest = run.stdout.partition("-m\npytest\n")
    folders = ["kit", "benchmarks", "conformance", "docs", "fixtures", "hardening", "scripts"]
    assert compiling.splitlines() == ["-m", "compileall", "-q", *folders]
    arguments = words_of_pytest.splitlines()
    assert arguments[:4] == ["-n", "auto", "--dist", "worksteal"]
    return arguments[4:]


@pytest.mark.parametrize(
    ("words", "due"),
    [
        ([], QUICK),
        (["-x", "-k", "a b"], [*QUICK, "-x", "-k", "a b"]),
        (["-m", "slow"], [*QUICK, "-m", "slow"]),
        (["--all"], EVERYTHING),
        (["-q", "--all", "--cov"], ["-q", "--cov"]),
        (["tests/test_tiers.py", "-k", "tier"], ["tests/test_tiers.py", "-k", "tier"]),
        (["-x", "./tests/cli/test_help.py::test_it"], ["-x", "./tests/cli/test_help.py::test_it"]),
        (["tests"], ["tests"]),
    ],
    ids=lambda words: " ".join(words) or "nothing",
)
def test_the_script_asks_for_the_quick_tests_unless_all_or_some_are_named(
    words: list[str], due: list[str], tmp_path: Path
) -> None:
    assert asked(tmp_path, *words) == due


PROGRAM = """#!/bin/sh
echo "$(basename "$0") $*"
case "$(basename "$0") $*" in "$FAILING"*) exit 3 ;; esac
"""


@pytest.mark.parametrize(
    "failing", ["", "ruff check", "mypy", "lint-imports", "cargo clippy", "cargo test", "test", "coverage"]
)
def test_the_check_fails_where_a_part_of_it_does_and_shows_every_part_that_ran(failing: str, tmp_path: Path) -> None:
    programs, scripts = tmp_path / ".venv" / "bin", tmp_path / "scripts"
    for folder in (programs, scripts, tmp_path / "core"):
        folder.mkdir(parents=True)
    shutil.copy(ROOT / "scripts" / "check", scripts)
    (scripts / "environment.sh").write_text("set -eu\n")
    for program in (
        scripts / "test",
        scripts / "coverage",
        *(programs / name for name in ("cargo", "lint-imports", "mypy", "ruff")),
    ):
        program.write_text(PROGRAM)
        program.chmod(0o755)
    environment = {"PATH": "/usr/bin:/bin", "TMPDIR": str(tmp_path), "FAILING": failing or "nothing"}
    run = subprocess.run([scripts / "check", "-x"], capture_output=True, text=True, check=False, env=environment)
    assert run.returncode == (3 if failing else 0), run
    told = (run.stdout + run.stderr).splitlines()
    assert [line for line in told if failing and line.startswith(failing)] or not failing
    assert ("test --all -q -m slow or repeating -x" in told) is (failing != "ruff check")
    assert ("coverage --all -m not slow and not repeating -q -x" in told) is (failing != "ruff check")
    assert ("cargo test --locked" in told) is (failing in {"", "cargo test", "test", "coverage"})
    assert sorted(path.name for path in tmp_path.iterdir()) == [".venv", "core", "scripts"]


def test_what_the_checks_of_a_commit_run_is_everything() -> None:
    check = (ROOT / "scripts" / "check").read_text()
    assert '"$root/scripts/coverage" --all -m "not slow and not repeating" ' in check
    assert '"$root/scripts/test" --all -q -m "slow or repeating" ' in check
    assert '"$root/scripts/test" ' in (ROOT / "scripts" / "coverage").read_text()
    assert "exec ./scripts/check" in (ROOT / ".ci" / "run").read_text()


def test_laws_and_attacks_are_marked_wherever_they_are(request: pytest.FixtureRequest) -> None:
    for item in request.session.items:
        due = {"attacks", "faults", "language", "laws"} & set(item.path.parts) or item.get_closest_marker("hypothesis")
        assert bool(due) is (item.get_closest_marker("repeating") is not None), item


def test_every_room_has_tests_in_the_first_tier(request: pytest.FixtureRequest) -> None:
    tests = {item.path.parent: False for item in request.session.items}
    for item in request.session.items:
        tests[item.path.parent] |= item.get_closest_marker("slow") is None
    assert [str(room) for room, quick in tests.items() if not quick] == []

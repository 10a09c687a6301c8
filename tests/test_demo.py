from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def program(path: Path, command: str) -> Path:
    path.write_text(f"#!/bin/sh\n{command}\n")
    path.chmod(0o755)
    return path


def demo(kit: Path, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    folder.mkdir()
    around = {**os.environ, "KIT": str(kit), "TMPDIR": str(folder), "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run(
        [ROOT / "scripts" / "demo"], env=around, capture_output=True, text=True, timeout=300, check=False
    )


def told_in_readme() -> list[str]:
    """Give the lines of the demo that the README shows; blank ones and marks of omission left out."""
    told = (ROOT / "README.md").read_text().partition("<!-- demo -->\n```text\n")[2].partition("```")[0]
    return [line for line in told.splitlines() if line not in {"", "…"}]


def in_this_order(wanted: list[str], printed: list[str]) -> list[str]:
    """Give as many of the first lines of ``wanted`` as are printed in that order."""
    found = 0
    for line in printed:
        found += found < len(wanted) and line == wanted[found]
    return wanted[:found]


@pytest.fixture
def this_kit(tmp_path: Path) -> Path:
    """Give kit as it stands in this checkout, run by the Python that runs the tests."""
    return program(tmp_path / "kit", f'exec {sys.executable} -c "from kit.cli import main; main()" "$@"')


@pytest.mark.slow
def test_every_step_of_the_demo_gives_its_exit_code_and_nothing_is_left(this_kit: Path, tmp_path: Path) -> None:
    done = demo(this_kit, tmp_path / "tmp")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "\nProven: " in done.stdout
    assert told_in_readme() == in_this_order(told_in_readme(), done.stdout.splitlines())
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_step_that_fails_ends_the_demo_with_an_error(tmp_path: Path) -> None:
    done = demo(program(tmp_path / "kit", "exit 70"), tmp_path / "tmp")
    assert done.returncode == 1
    assert done.stderr == "demo: error: exit code 0 was expected\n"
    assert "Proven" not in done.stdout


def test_a_refusal_that_does_not_come_ends_the_demo_with_an_error(tmp_path: Path) -> None:
    done = demo(program(tmp_path / "kit", "exit 0"), tmp_path / "tmp")
    assert done.returncode == 1
    assert done.stderr == "demo: error: exit code 4 was expected\n"


def test_keep_keeps_the_folder_with_the_key_closed_to_others(tmp_path: Path) -> None:
    done = demo(program(tmp_path / "kit", "exit 70"), tmp_path / "tmp", KEEP="1")
    (kept,) = (tmp_path / "tmp").iterdir()
    assert done.stdout.endswith(f"kept: {kept}\n")
    assert (kept / "site.pem").stat().st_mode & 0o077 == 0


@pytest.mark.skipif(shutil.which("dash") is None, reason="needs dash")
def test_the_demo_is_plain_sh() -> None:
    subprocess.run(["dash", "-n", ROOT / "scripts" / "demo"], check=True)

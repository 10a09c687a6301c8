"""The pages that people follow are true: every command is run, in order, and prints what the page shows."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from docs.build import make_recording
from tests.docs.commands import ROOT, TOOLS, blocks, offline

PAGES = {
    "docs/runbook.md": "site",
    "docs/auditor.md": "auditor",
}
"""What each page starts from, by its name in :data:`tests.docs.staging.STAGES`."""
PAGES["docs/release-engineer.md"] = "release"
PAGES["docs/create.md"] = "export"


def follow(page: str, stage: str, folder: Path) -> subprocess.CompletedProcess[str]:
    folder.mkdir()
    words = [*offline(), sys.executable, "-m", "tests.docs.follow", str(ROOT / page), stage, str(folder)]
    # A measurement of coverage asks the socket module for the host's name, and has its own things to say.
    environment = {name: text for name, text in os.environ.items() if not name.startswith("COV")}
    return subprocess.run(words, capture_output=True, text=True, cwd=ROOT, env=environment, check=False)


@pytest.mark.slow
@pytest.mark.skipif(not all(map(shutil.which, TOOLS)), reason=f"needs {', '.join(TOOLS)}")
@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_the_page_does_what_the_page_says_without_a_network(page: str, tmp_path: Path) -> None:
    done = follow(page, PAGES[page], tmp_path / "desk")
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 0


@pytest.mark.parametrize(
    "command",
    [
        "import socket; socket.socket()",
        "import socket; socket.socketpair()",
        "import socket; socket.getaddrinfo('localhost', 80)",
        "import os, socket; os.fork() or socket.socket(); os.wait()",
        "import socket\ntry: socket.socket()\nexcept BaseException: pass",
    ],
)
def test_a_page_that_would_use_a_socket_fails(command: str) -> None:
    program = f"from tests.docs import no_sockets; no_sockets.forbid()\n{command}\nprint('not noticed')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=False)
    assert "a socket was used" in done.stderr
    assert (done.returncode == 99 and "not noticed" not in done.stdout) or "fork" in command


def test_no_page_has_commands_that_nobody_runs() -> None:
    pages = [*(ROOT / "docs").glob("*.md"), *(ROOT / "schemas").glob("*.md")]
    having = {str(page.relative_to(ROOT)) for page in pages if any(blocks(page.read_text(encoding="utf-8")))}
    # The commands of an engine that runs containers are taken apart by tests/test_deploy.py, which runs those of kit;
    # those of a database are run by tests/database/test_online.py, those of reshapes by tests/docs/test_reshape.py,
    # those of the plan by tests/docs/test_notelett.py.
    elsewhere = {f"docs/{name}.md" for name in ("containers", "notelett", "online", "reshape")}
    assert having - elsewhere == set(PAGES)


def test_the_recording_is_what_a_terminal_shows_today() -> None:
    assert make_recording.RECORDING.read_text() == make_recording.recorded(), "run docs/build/make_recording.py"

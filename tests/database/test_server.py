"""The database of these tests: how it starts, and that it never stays."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pymongo import MongoClient
from pymongo.errors import ConnectionFailure

from tests.commands import ROOT

BUILDS = [pytest.mark.slow, pytest.mark.timeout(1200)]
"""Of a test that may have to build the programs first."""


def database(*words: object, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts" / "database.py"), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **environment})


def answers(uri: str) -> bool:
    with MongoClient[dict[str, object]](uri, serverSelectionTimeoutMS=2000) as client:
        try:
            return client.admin.command("ping") == {"ok": 1.0}
        except ConnectionFailure:  # refused, or lost while it ended
            return False


def test_without_go_there_is_a_word_and_no_database(tmp_path: Path) -> None:
    run = database("start", tmp_path / "data", PATH=str(tmp_path))
    assert (run.returncode, run.stdout) == (1, "")
    assert run.stderr == "database: error: go is not on PATH; its modules are the database\n"


def test_a_server_that_was_never_started_is_not_stopped(tmp_path: Path) -> None:
    run = database("stop", tmp_path)
    assert (run.returncode, run.stdout) == (1, "")
    assert "no server was started there" in run.stderr


@pytest.mark.parametrize("words", [["start"], ["stop", "a", "b"], ["build", "a"], ["run"], ["other"], []])
def test_what_is_no_command_is_usage(words: list[str]) -> None:
    assert database(*words).returncode == 2


@pytest.mark.usefixtures("programs")
class TestServer:
    pytestmark = BUILDS

    def test_it_stays_until_it_is_stopped_and_its_files_are_served_again(self, tmp_path: Path) -> None:
        folder = tmp_path / "a folder"
        for times in (0, 1):
            started = database("start", folder)
            uri = started.stdout.strip()
            assert started.returncode == 0, started
            assert uri.startswith("mongodb://127.0.0.1:")
            assert "a server is running" in database("start", folder).stderr
            with MongoClient[dict[str, object]](uri) as client:
                assert client.a.b.count_documents({}) == times
                client.a.b.insert_one({"_id": times})
            assert database("stop", folder).returncode == 0
            assert not answers(uri)
        assert database("stop", folder).returncode == 0

    def test_it_ends_with_the_command_that_it_was_run_for(self) -> None:
        run = database(
            "run", "sh", "-c", 'echo "$DATABASE_URI"; mongodump --uri "$DATABASE_URI" --out /nonexistent; exit 7'
        )
        assert run.returncode == 7, run
        assert not answers(run.stdout.strip())

    def test_it_ends_with_whoever_started_it_even_if_that_is_killed(self, tmp_path: Path) -> None:
        program = (
            "import os, pathlib, signal, sys; from scripts.database import running_server\n"
            "with running_server(pathlib.Path(sys.argv[1])) as uri:\n"
            "    print(uri, flush=True)\n"
            "    os.kill(os.getpid(), signal.SIGKILL)\n"
        )
        killed = subprocess.run(
            [sys.executable, "-c", program, tmp_path], capture_output=True, text=True, check=False, cwd=ROOT
        )
        assert killed.returncode == -9, killed
        uri = killed.stdout.strip()
        assert uri.startswith("mongodb://")
        for _ in range(20):  # each asks for as long as it takes to be refused
            if not answers(uri):
                return
        pytest.fail("the server is still there")

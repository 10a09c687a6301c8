#!/usr/bin/env python3
"""Builds a document database and its tools with Go, and starts and stops the database in a folder.

    scripts/database build                      build on first use, and print the folder of the programs
    scripts/database start FOLDER               start a server whose files are in FOLDER; print its connection string
    scripts/database stop FOLDER                stop it; the files stay
    scripts/database run COMMAND …              run a command with a server that ends with it, in DATABASE_URI
    scripts/database tool mongorestore …        run a tool

The database is FerretDB with SQLite, which speaks MongoDB's protocol; it listens on loopback only, at a free port, asks
nobody for a password and sends nothing to anybody. The tools are mongodump, mongorestore, mongoimport and bsondump. All
are Go modules, pinned by scripts/database_programs/go.sum. They are for tests and demonstrations: kit needs neither.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ROOT / "scripts" / "database_programs"
PROGRAMS = ROOT / ".venv" / "database"
TOOLS = ("bsondump", "mongodump", "mongoimport", "mongorestore")


class UnavailableError(Exception):
    """There is no database to be had here: no Go, or no way to the modules."""


def build_programs() -> Path:
    """Build the programs unless they are current, one run at a time, and return their folder.

    Raises:
        UnavailableError: Go is absent, or its modules cannot be fetched.
        subprocess.CalledProcessError: They cannot be built.
    """
    PROGRAMS.mkdir(parents=True, exist_ok=True)
    with (PROGRAMS / ".lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _build_in_turn()
    return PROGRAMS


def _build_in_turn() -> None:
    go = shutil.which("go")
    if go is None:
        raise UnavailableError("go is not on PATH; its modules are the database")
    # Neither another compiler nor newer modules than those pinned are fetched, and no C compiler is needed.
    environment = {**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly"}
    found = subprocess.run([go, "version"], capture_output=True, env=environment, check=True).stdout
    files = [found, *(path.read_bytes() for path in sorted(SOURCES.iterdir()))]
    state = hashlib.sha256(b"\0".join(files)).hexdigest()
    stamp = PROGRAMS / ".made-from"
    if stamp.is_file() and stamp.read_text(encoding="ascii") == state:
        return
    print("building the database and its tools with Go, which takes a minute or two, once", file=sys.stderr)
    fetched = subprocess.run([go, "mod", "download"], cwd=SOURCES, env=environment, stderr=subprocess.PIPE, check=False)
    if fetched.returncode:
        raise UnavailableError(f"Go could not fetch the modules of the database: {fetched.stderr.decode()[-500:]}")
    packages = {"server": ".", **{tool: f"github.com/mongodb/mongo-tools/{tool}/main" for tool in TOOLS}}
    for name, package in packages.items():
        words = [go, "build", "-buildvcs=false", "-ldflags", "-s -w", "-o", str(PROGRAMS / name), package]
        subprocess.run(words, cwd=SOURCES, env=environment, check=True)
    stamp.write_text(state, encoding="ascii")


def _start_server(folder: Path, stdin: int, *, lock: int | None = None) -> tuple[subprocess.Popen[bytes], str]:
    """Start a server and wait until it says where it listens; without that it has ended, and its log says why."""
    data = folder / "data"
    data.mkdir(parents=True, exist_ok=True)
    with (folder / "log").open("ab") as log:
        server = subprocess.Popen(
            [build_programs() / "server", str(data.resolve())],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=log,
            cwd="/",
            pass_fds=() if lock is None else (lock,),
            start_new_session=True,  # Ctrl-C is for who uses the server
        )
    assert server.stdout is not None  # noqa: S101  a pipe was asked for
    with server.stdout as answer:
        uri = answer.readline().decode().strip()
    if not uri:
        server.wait()
        raise RuntimeError(f"the server did not start: {(folder / 'log').read_text(encoding='utf-8')[-500:]}")
    return server, uri


@contextlib.contextmanager
def running_server(folder: Path) -> Iterator[str]:
    """Run a server whose files are in a folder, and yield its connection string; it never outlives this process.

    Raises:
        UnavailableError: There are no programs.
        RuntimeError: It does not start.
    """
    reading, writing = os.pipe()  # the writing end closes with this process, however that ends
    try:
        server, uri = _start_server(folder, reading)
    except BaseException:
        os.close(writing)
        raise
    finally:
        os.close(reading)
    try:
        yield uri
    finally:
        os.close(writing)
        server.wait()


def _start(folder: Path) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    # The server inherits the lock, so that what is locked is served, whatever became of the number in the file.
    with (folder / "pid").open("a+b") as pid:
        try:
            fcntl.flock(pid, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(
                f"database: error: {folder}: a server is running; stop it: scripts/database stop {folder}",
                file=sys.stderr,
            )
            return 1
        server, uri = _start_server(folder, subprocess.DEVNULL, lock=pid.fileno())
        pid.truncate(0)
        pid.write(f"{server.pid}\n".encode())
    print(uri)
    return 0


def _stop(folder: Path) -> int:
    try:
        pid = (folder / "pid").open("rb")
    except FileNotFoundError:
        print(f"database: error: {folder}: no server was started there", file=sys.stderr)
        return 1
    with pid:
        try:
            fcntl.flock(pid, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.kill(int(pid.read()), signal.SIGTERM)
            fcntl.flock(pid, fcntl.LOCK_EX)  # had when it has ended
    return 0


def _run(command: list[str]) -> int:
    with tempfile.TemporaryDirectory(prefix="kit-database-") as folder, running_server(Path(folder)) as uri:
        path = f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}"
        return subprocess.run(command, env={**os.environ, "DATABASE_URI": uri, "PATH": path}, check=False).returncode


def main(arguments: list[str]) -> int:
    """Do one of the above."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["build", "start", "stop", "run", "tool"])
    parser.add_argument("words", nargs=argparse.REMAINDER, metavar="…")
    options = parser.parse_args(arguments)
    if bool(options.words) == (options.action == "build") or (
        options.action in {"start", "stop"} and len(options.words) != 1
    ):
        parser.error("see above for the arguments of each")
    try:
        if options.action == "stop":
            return _stop(Path(options.words[0]))
        programs = build_programs()
        if options.action == "start":
            return _start(Path(options.words[0]))
        if options.action == "run":
            return _run(options.words)
        if options.action == "build":
            print(programs)
            return 0
        return subprocess.run([programs / options.words[0], *options.words[1:]], check=False).returncode
    except (UnavailableError, RuntimeError, OSError, subprocess.CalledProcessError) as error:
        print(f"database: error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

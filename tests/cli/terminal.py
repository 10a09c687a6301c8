"""A command at a terminal of its own, driven by what it shows and never by time."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
from types import TracebackType
from typing import IO, Self

from tests.commands import COMMAND, ENVIRONMENT

# The leader of a session gets its controlling terminal by opening one; getpass(3) asks at that one.
# Ctrl-C works there as in a login shell, also where the tests themselves run with it ignored, as background jobs do.
_AT_THE_TERMINAL = (
    "import os, signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
    "os.close(os.open(os.ttyname(0), os.O_RDWR)); from kit.cli import main; main()"
)


class Terminal:
    """Runs ``kit`` as the leader of a session whose controlling terminal is ours."""

    def __init__(self, *arguments: object, **environment: str) -> None:
        self.shown = ""
        self._master, slave = pty.openpty()
        words = [COMMAND[0], "-c", _AT_THE_TERMINAL, *map(str, arguments)]
        # Without colour unless a test is about it.
        everything = {**ENVIRONMENT, "NO_COLOR": "1", **environment}
        self._process = subprocess.Popen(
            words, stdin=slave, stdout=slave, stderr=slave, start_new_session=True, env=everything
        )
        os.close(slave)

    @staticmethod
    def without(stdin: IO[str], *arguments: object) -> subprocess.CompletedProcess[bytes]:
        """Run a command in a session that has no terminal at all."""
        return subprocess.run(
            [*COMMAND, *map(str, arguments)],
            stdin=stdin,
            capture_output=True,
            env=ENVIRONMENT,
            start_new_session=True,
            check=False,
        )

    def expect(self, text: str) -> None:
        """Read until ``text`` is shown."""
        while text not in self.shown:
            data = self._read()
            assert data, f"{text!r} was never shown, but {self.shown!r}"

    def enter(self, text: str) -> None:
        os.write(self._master, text.encode())

    def interrupt(self) -> None:
        self._process.send_signal(signal.SIGINT)

    def wait(self) -> int:
        """Read to the end and give the exit code."""
        while self._read():
            pass
        return self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._master)

    def _read(self) -> str:
        try:
            data = os.read(self._master, 4096).decode()
        except OSError:  # how Linux tells that the other side is closed
            return ""
        self.shown += data
        return data

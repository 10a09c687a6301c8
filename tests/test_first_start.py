"""``scripts/kit`` in a checkout: its first use, and the core: built where it can be, else the reference is used.

Each test has a checkout of its own, whose environment has all that is installed here except the core.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

from kit.version import CORE_VERSION

ROOT = Path(__file__).parents[1]
TOOLS = ("cat", "cksum", "cp", "dirname", "env", "find", "mkdir", "mv", "readlink", "rm", "sh", "sort", "tail", "xargs")
REFERENCE = "  reference, since the core is not installed"
NO_CARGO = "no cargo here to build the core with; the slower reference is used\n"

pytestmark = pytest.mark.skipif(not all(map(shutil.which, TOOLS)), reason="needs a POSIX system")


class Checkout:
    """A checkout whose environment is complete but for the core, and a PATH that has what it is given."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "checkout"
        self.tools = folder / "tools"
        (self.root / "scripts").mkdir(parents=True)
        for name in ("pyproject.toml", "constraints.txt", "scripts/kit", "scripts/environment.sh", "scripts/core.sh"):
            shutil.copy(ROOT / name, self.root / name)
        shutil.copytree(ROOT / "core", self.root / "core", ignore=shutil.ignore_patterns("target"))
        self.tools.mkdir()
        for name in TOOLS:
            (self.tools / name).symlink_to(str(shutil.which(name)))
        self._install()

    def _install(self) -> None:
        place = self.root / ".venv"
        venv.create(place, with_pip=False, symlinks=True)
        (site,) = place.glob("lib/python*/site-packages")
        for path in Path(sysconfig.get_paths()["purelib"]).iterdir():
            if not path.name.startswith(("kit_core", "offline_kit_core")):
                (site / path.name).symlink_to(path)
        (site / "checkout.pth").write_text(f"{ROOT}\n")
        program = place / "bin/kit"
        program.write_text(f"#!{place}/bin/python\nfrom kit.cli import main\nmain()\n")
        program.chmod(0o755)
        made_from = re.search(r"inputs=(.*)\n", (self.root / "scripts/environment.sh").read_text())
        packages = re.search(r"packages=(.*)\n", (self.root / "scripts/environment.sh").read_text())
        assert made_from is not None
        assert packages is not None
        script = f'root={self.root}; packages={packages[1]}; printf %s "{made_from[1]}" > {place}/.made-from-run'
        subprocess.run(["sh", "-c", script], check=True)

    def write_cargo(self, script: str) -> None:
        """Put a program of this name on the PATH."""
        (self.tools / "cargo").write_text(f"#!/bin/sh\n{script}\n")
        (self.tools / "cargo").chmod(0o755)

    def run(self, **environment: str) -> tuple[list[str], str]:
        """Return what ``scripts/kit --version`` prints, and its messages; it succeeds."""
        done = subprocess.run(
            [self.root / "scripts/kit", "--version"],
            # No registry: nothing listens at that port.
            env={"PATH": str(self.tools), "PIP_INDEX_URL": "http://127.0.0.1:9/", "PIP_RETRIES": "0"} | environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines(), done.stderr


@pytest.fixture(name="checkout")
def complete_but_for_the_core(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_without_cargo_the_reference_is_used_and_said_once(checkout: Checkout) -> None:
    lines, messages = checkout.run()
    assert REFERENCE in lines
    assert messages == NO_CARGO
    assert checkout.run() == (lines, "")


def test_a_start_after_which_nothing_changed_reads_no_source(checkout: Checkout) -> None:
    checkout.run()
    (checkout.tools / "cksum").unlink()  # what reads them all
    assert checkout.run()[1] == ""


def test_whatever_the_core_is_made_from_is_looked_at_again_when_it_changes(checkout: Checkout) -> None:
    source, other = (checkout.root / "core/kit-core" / name for name in ("src/lib.rs", "Cargo.toml"))

    def write_with_an_old_time() -> None:
        source.write_text("old")
        os.utime(source, (0, 0))

    checkout.run()
    for change in (
        lambda: source.write_text(""),
        write_with_an_old_time,
        other.unlink,
        (checkout.root / ".venv/.core-made-from").unlink,
    ):
        change()
        assert checkout.run()[1] == NO_CARGO
        assert checkout.run()[1] == ""


def test_when_cargo_comes_and_there_is_no_registry_the_reference_is_used(checkout: Checkout) -> None:
    assert checkout.run()[1] == NO_CARGO
    checkout.write_cargo("exit 101")
    lines, messages = checkout.run()
    assert REFERENCE in lines
    log = checkout.root / ".venv/core-build.log"
    first, second = messages.splitlines()
    assert first == "building the core, which takes a minute or two, once"
    assert second.startswith(f"the core could not be built (see {log};")
    assert second.endswith("; the slower reference is used")
    assert log.read_text()
    assert checkout.run() == (lines, "")


@pytest.mark.skipif(find_spec("maturin") is None, reason="needs maturin")
def test_a_build_that_fails_in_cargo_is_no_error(checkout: Checkout) -> None:
    checkout.write_cargo("echo no crates >&2; exit 101")
    (checkout.tools / "maturin").symlink_to(Path(sysconfig.get_paths()["scripts"]) / "maturin")
    lines, messages = checkout.run(PIP_NO_BUILD_ISOLATION="0")
    assert REFERENCE in lines
    assert "the slower reference is used" in messages
    assert "no crates" in (checkout.root / ".venv/core-build.log").read_text()


def test_a_core_of_another_version_is_not_used(checkout: Checkout) -> None:
    checkout.run()
    (site,) = (checkout.root / ".venv").glob("lib/python*/site-packages")
    (site / "kit_core.py").write_text(f'VERSION = "{CORE_VERSION}.1"\n')
    lines, _ = checkout.run()
    assert f"  reference, since the core is of version {CORE_VERSION}.1, not {CORE_VERSION}" in lines


PYTHON = """#!/bin/sh
# A python whose venv and pip do as little as possible, and note that they were asked.
case "$1 $2" in
"-c "*) exec {python} -S "$@" ;;
"-m venv")
    echo venv >> {log}
    mkdir -p "$3/bin" && cp "$0" "$3/bin/python" && : > "$3/bin/pip"
    ;;
"-m pip")
    [ -e "${{0%/*}}/pip" ] || exit 1
    [ "$3" = --version ] && exit 0
    echo pip >> {log}
    echo noise; echo noise >&2
    [ ! -p {gate} ] || cat {gate}
    [ ! -e {fault} ] || {{ echo no such index >&2; exit 1; }}
    printf '#!/bin/sh\\necho kit was started with "$@"\\n' > "${{0%/*}}/kit"
    /bin/chmod +x "${{0%/*}}/kit"
    ;;
esac
"""
INSTALLING = "installing kit into {}, once; that takes about a minute\n"


class Clone:
    """A fresh checkout. Its first use waits in pip until somebody writes into a pipe, if there is one."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "clone"
        self.tools, self.log, self.gate, self.fault = (folder / name for name in ("tools", "log", "gate", "fault"))
        (self.root / "scripts").mkdir(parents=True)
        (self.root / "core").mkdir()
        for name in ("pyproject.toml", "constraints.txt", "scripts/kit", "scripts/environment.sh", "scripts/core.sh"):
            shutil.copy(ROOT / name, self.root / name)
        self.tools.mkdir()
        for name in TOOLS:
            (self.tools / name).symlink_to(str(shutil.which(name)))
        values = {"python": sys.executable, "log": self.log, "gate": self.gate, "fault": self.fault}
        (self.tools / "python3").write_text(PYTHON.format(**values))
        (self.tools / "python3").chmod(0o755)

    @contextmanager
    def start(self, program: Path | None = None) -> Iterator[subprocess.Popen[str]]:
        with subprocess.Popen(
            [program or self.root / "scripts/kit", "word"],
            env={"PATH": str(self.tools)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def run(self, program: Path | None = None) -> tuple[int, str, str]:
        with self.start(program) as process:
            out, err = process.communicate(timeout=60)
            return process.returncode, out, err

    @property
    def installing(self) -> str:
        return INSTALLING.format(self.root / ".venv")

    @property
    def calls(self) -> list[str]:
        return self.log.read_text().split()


@pytest.fixture(name="clone")
def fresh(tmp_path: Path) -> Clone:
    return Clone(tmp_path)


STARTED = "kit was started with word\n"


def test_the_first_use_is_one_line_without_the_noise_of_what_it_calls(clone: Clone) -> None:
    assert clone.run() == (0, STARTED, clone.installing + NO_CARGO)
    assert clone.run() == (0, STARTED, "")
    assert clone.calls == ["venv", "pip"]


def test_a_link_to_the_script_is_followed(clone: Clone, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/kit").symlink_to("../other")
    (tmp_path / "other").symlink_to(clone.root / "scripts/kit")
    assert clone.run(tmp_path / "bin/kit") == (0, STARTED, clone.installing + NO_CARGO)


def test_after_an_interrupt_the_next_use_continues(clone: Clone) -> None:
    os.mkfifo(clone.gate)
    with clone.start() as process:
        gate = os.open(clone.gate, os.O_WRONLY)  # returns when pip waits for it
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=60)
        os.close(gate)
    assert process.returncode in {130, -signal.SIGINT}  # a shell shows both as 130
    assert (out, err) == ("", f"{clone.installing}interrupted; the next run continues\n")
    clone.gate.unlink()
    assert clone.run() == (0, STARTED, clone.installing + NO_CARGO)


def test_what_an_interrupt_left_without_pip_is_made_anew(clone: Clone) -> None:
    place = clone.root / ".venv/bin"
    place.mkdir(parents=True)
    shutil.copy(clone.tools / "python3", place / "python")
    (place / "half").touch()
    assert clone.run() == (0, STARTED, clone.installing + NO_CARGO)


def test_of_two_first_uses_at_once_one_installs_and_the_other_waits(clone: Clone) -> None:
    os.mkfifo(clone.gate)
    with clone.start() as first:
        gate = os.open(clone.gate, os.O_WRONLY)
        with clone.start() as second:
            assert second.stderr is not None
            waiting = second.stderr.readline()
            assert waiting == f"another run is installing into {clone.root / '.venv'}; waiting for it\n"
            clone.gate.unlink()
            os.close(gate)
            assert [one.communicate(timeout=60)[0] for one in (first, second)] == [STARTED, STARTED]
    assert (first.returncode, second.returncode) == (0, 0)
    assert clone.calls == ["venv", "pip"]


def test_a_failure_shows_its_end_and_where_the_rest_is(clone: Clone) -> None:
    clone.fault.touch()
    code, out, err = clone.run()
    assert (code, out) == (70, "")
    log = clone.root / ".venv/install.log"
    assert err == f"{clone.installing}noise\nnoise\nno such index\nthat failed; all of its output is in {log}\n"
    clone.fault.unlink()
    assert clone.run() == (0, STARTED, clone.installing + NO_CARGO)

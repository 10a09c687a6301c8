"""How every command behaves, whatever it does: help, exit codes, streams, terminals."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import IO

import click
import pytest

from kit import api, errors
from kit.cli import commands as exit_codes, kit as group, run
from kit.cli.commands import TABLE, exit_code
from kit.errors import KitError
from kit.version import VERSION
from tests import kits
from tests.commands import COMMAND, ENVIRONMENT, ROOT, kit
from tests.end_to_end.desk import Desk
from tests.kits import observation


def commands(command: click.Command = group, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            yield from commands(inner(command, name), (*words, name))
    else:
        yield words


def inner(command: click.Group, name: str) -> click.Command:
    found = command.get_command(click.Context(command), name)
    assert found is not None
    return found


assert all(getattr(api, name) for name in api.__all__)  # imported, so that all errors are there


def all_errors(kind: type[KitError] = KitError) -> Iterator[type[KitError]]:
    for subclass in kind.__subclasses__():
        yield subclass
        yield from all_errors(subclass)


def command(
    *arguments: object,
    stdout: int | IO[bytes] = subprocess.PIPE,
    stderr: int = subprocess.PIPE,
    env: Mapping[str, str] = ENVIRONMENT,
) -> subprocess.CompletedProcess[bytes]:
    """Run a command in a process of its own."""
    words = [*COMMAND, *map(str, arguments)]
    return subprocess.run(words, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, env=env, check=False)


class TestHelp:
    @pytest.mark.parametrize("words", list(commands()), ids=" ".join)
    def test_every_command_explains_itself_by_an_example(self, words: tuple[str, ...]) -> None:
        outcome = kit(*words, "--help")
        assert (outcome.code, outcome.err) == (0, "")
        assert re.search(rf"Examples?:\n +kit {' '.join(words)} ", outcome.out)

    @pytest.mark.parametrize("words", list(commands()), ids=" ".join)
    def test_every_option_of_every_command_is_explained(self, words: tuple[str, ...]) -> None:
        found: click.Command = group
        for word in words:
            assert isinstance(found, click.Group)
            found = inner(found, word)
        options = [parameter for parameter in found.params if isinstance(parameter, click.Option)]
        assert [option.name for option in options if not option.help] == []
        assert "--json" in {name for option in options for name in option.opts}

    def test_every_command_can_be_reached_by_the_short_option_too(self) -> None:
        assert kit("-h").out == kit("--help").out

    def test_help_has_the_table_of_exit_codes(self) -> None:
        shown = kit("--help").out.split("Exit codes:\n")[1]
        rows = [line.strip().split("  ", 1) for line in shown.splitlines() if line.strip()]
        assert [(int(code), meaning) for code, meaning in rows] == list(TABLE)

    def test_the_version_is_the_same_everywhere(self) -> None:
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        assert kit("--version").out.splitlines()[0].split(" (commit")[0] == f"{project['name']} {VERSION}"
        assert project["version"] == VERSION

    def test_the_program_that_is_installed_is_this_one(self) -> None:
        (script,) = entry_points(group="console_scripts", name="kit")
        assert script.value == "kit.cli:main"

    def test_the_package_runs_as_the_program_does_with_workers_of_its_own(self) -> None:
        fixtures = ROOT / "fixtures"
        key = fixtures / "keys/publisher-TEST-ONLY.pub.pem"
        words = ["plan", fixtures / "kits/harbor.tar.zst", "--trusted-key", key, "--workers", "2", "--json"]
        command = [sys.executable, "-m", "kit", *map(str, words)]
        environment = {**os.environ, "KIT_CORE": "off"}  # workers are processes, which import what was run
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        assert json.loads(done.stdout)["changed"] == 30


class TestExitCodes:
    @pytest.mark.parametrize("kind", list(all_errors()), ids=lambda kind: kind.__name__)
    def test_every_error_has_a_code_of_the_table(self, kind: type[KitError]) -> None:
        assert exit_code(kind("x")) in dict(TABLE)
        assert exit_code(kind("x")) not in {0, 70}

    def test_an_error_of_no_known_kind_is_a_defect(self) -> None:
        assert exit_code(KitError("x")) == 70

    def test_a_kind_of_error_not_in_the_table_has_the_code_of_its_parent(self) -> None:
        class OddError(errors.ManifestError):
            pass

        assert exit_code(OddError("x")) == 11

    def test_no_two_rows_have_one_code(self) -> None:
        assert len(dict(TABLE)) == len(TABLE)
        assert exit_codes.table_text().count("\n") == len(TABLE) - 1


class TestWrongUse:
    @pytest.mark.parametrize(
        ("words", "complaint"),
        [
            pytest.param(("mend",), "there is no command 'mend'\n", id="a command that there is not"),
            pytest.param(("verfy",), "there is no command 'verfy'; did you mean verify?", id="a mistyped command"),
            pytest.param(("keys", "sow"), "'sow'; did you mean show?", id="a mistyped command of a group"),
            pytest.param(("delta", "aply"), "'aply'; did you mean apply?", id="a mistyped command of a lazy group"),
            pytest.param(
                ("inspect", "k", "--workers", "many"), "'many' is not a whole number from 1 to 256.", id="text"
            ),
            pytest.param(("inspect",), "Missing argument 'KIT'", id="no kit"),
            pytest.param(("inspect", "k", "--fast"), "No such option", id="an option that there is not"),
            pytest.param(("inspect", "k", "--workers", 0), "0 is not in the range", id="no workers"),
            pytest.param(("inspect", "k", "--max", "members"), "--max members: NAME=VALUE", id="a limit without value"),
            pytest.param(("inspect", "k", "--max", "speed=1"), "there is no limit 'speed'", id="an unknown limit"),
            pytest.param(
                ("inspect", "k", "--max", "members=-1"),
                "must be a number in digits",
                id="a negative limit",
            ),
            pytest.param(
                ("inspect", "k", "--max", "members=٣"), "must be a number in digits", id="a limit in other digits"
            ),
            pytest.param(
                ("inspect", "k", "--max", f"members={'9' * 5000}"), "more than 18 digits", id="a limit past all bounds"
            ),
            pytest.param(("inspect", "k", "--max", "memmbers=1"), "; did you mean members?", id="a limit nearly so"),
            pytest.param(("verify", "k", "--tenant", "t"), "--tenant needs", id="a tenant without coverage"),
            pytest.param(("plan", "k"), "name the publisher's key with --trusted-key", id="no word about trust"),
            pytest.param(("plan", "k", "--trusted-key", "p", "--insecure-unverified-base"), "excludes", id="both"),
            pytest.param(("patch", "k", "--signing-key", "s"), "either --output OUT or --in-place", id="no output"),
            pytest.param(
                ("patch", "k", "--signing-key", "s", "--output", "o", "--in-place"), "either", id="two outputs"
            ),
            pytest.param(
                ("patch", "k", "--signing-key", "s", "--output", "o", "--no-backup"),
                "needs",
                id="backup of nothing",
            ),
            pytest.param(("patch", "k", "--output", "o"), "Missing option '--signing-key'", id="no key"),
            pytest.param(
                ("patch", "k", "--signing-key", "s", "--output", "o", "--operator", ""),
                "--operator is empty",
                id="nobody",
            ),
            pytest.param(("keys", "generate", "p", "--algorithm", "rsa"), "not one of", id="an unknown algorithm"),
        ],
    )
    def test_wrong_use_is_one_line_and_where_to_read_on(self, words: tuple[object, ...], complaint: str) -> None:
        kit(*words).refused(64, complaint, "kit inspect --limits" if "--max" in words else "--help")

    @pytest.mark.parametrize("text", ["yesterday", "2026-01-02", "2026-01-02T03:04:05+02:00", "-1", "1e9"])
    def test_a_time_that_is_none_is_wrong_use(self, text: str, desk: Desk) -> None:
        desk.patch(desk.kit(), "--output", desk.kits / "o", "--created-at", text).refused(64, "--created-at: ")

    def test_the_environment_s_time_is_judged_like_the_option_s(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SOURCE_DATE_EPOCH", "soon")
        words = ("plan", desk.kit(), *desk.trust("vendor"))
        kit(*words).refused(64, "SOURCE_DATE_EPOCH: 'soon' is not an RFC 3339 UTC time stamp")
        kit(*words, "--created-at", "later").refused(64, "--created-at: 'later' is not an RFC 3339 UTC time stamp")

    @pytest.mark.parametrize(
        ("text", "fault"),
        [
            ("-1", "before 1970"),
            ("99999999999999", "it is after the year 9999"),
            ("2026-01-01", "the time of the day is missing"),
            ("2026-01-01T00:00:00", "the zone is missing"),
            ("2026-01-01T00:00:00+01:00", "in another zone than UTC"),
        ],
    )
    def test_what_is_wrong_with_a_time_is_named(self, text: str, fault: str) -> None:
        words = ("verify", "k", "--trusted-key", "p", "--at", text)
        kit(*words).refused(64, f"--at: '{text}'", fault, "a time is 2026-01-02T03:04:05Z")


class TestJson:
    def test_an_error_is_one_object_on_standard_output_and_the_same_line_as_ever(self, tmp_path: Path) -> None:
        outcome = kit("inspect", tmp_path / "absent.tar", "--json")
        what, where = "cannot be read: No such file or directory", str(tmp_path / "absent.tar")
        assert outcome.json == {
            "schemaVersion": "1",
            "error": {"kind": "UnreadableError", "where": where, "what": what, "hint": ""},
            "exitCode": 1,
        }
        assert (outcome.code, outcome.err) == (1, f"kit: error: {where}: {what}\n")

    def test_wrong_use_is_an_object_too(self) -> None:
        outcome = kit("inspect", "--json")
        assert (outcome.code, outcome.json["exitCode"], outcome.json["error"]["kind"]) == (64, 64, "UsageError")

    def test_a_refused_kit_is_one_report_with_the_exit_code(self, desk: Desk) -> None:
        outcome = desk.verify(desk.kit(signer=None), options=("--json",))
        assert (outcome.code, outcome.json["exitCode"], outcome.json["verdict"]) == (3, 3, "refused")
        assert outcome.json["error"]["kind"] == "UnsignedError"
        assert outcome.err.startswith("kit: error: ")


ESCAPES = "\x1b[2J\x9b1m\u202e\nvalid: all.tar\r"
SPELLED = "\\x1b[2J\\x9b1m\\u202e\\nvalid: all.tar\\r"


class TestHostileText:
    """What a kit's maker chose cannot steer the terminal of who looks at it, or forge a line of a report."""

    @pytest.fixture
    def hostile(self, desk: Desk) -> Path:
        members = kits.content(observation(1, f"acme{ESCAPES}"))
        return desk.kit(members, manifest=kits.manifest_of(members, bundleId=f"small{ESCAPES}"))

    def test_inspect_spells_it_out(self, hostile: Path) -> None:
        outcome = kit("inspect", hostile, "--workers", 1)
        assert f"small{SPELLED}" in outcome.out
        assert f"acme{SPELLED}" in outcome.out
        assert "valid: all.tar" not in outcome.out.splitlines()
        assert set(ESCAPES).isdisjoint(set(outcome.out) - set("\n[2Jm1valid: all.tar"))

    def test_verify_spells_it_out_on_both_streams(self, hostile: Path, desk: Desk) -> None:
        outcome = desk.verify(hostile, "vendor", options=("--require-raw-linkset",))
        assert outcome.code == 11
        assert [line.split(": ")[1] for line in outcome.err.splitlines()] == ["error", "hint"]
        assert f"acme{SPELLED} 0 of 1" in outcome.err
        assert "valid: all.tar" not in outcome.out.splitlines()

    def test_json_keeps_the_value_and_shows_no_control_character(self, hostile: Path) -> None:
        outcome = kit("inspect", hostile, "--workers", 1, "--json")
        assert outcome.json["manifest"]["bundleId"] == f"small{ESCAPES}"
        assert not set("\x1b\x9b\u202e\r") & set(outcome.out)

    def test_a_file_name_that_is_no_text_is_printed_in_both_forms(self, tmp_path: Path) -> None:
        name = os.fsdecode(b"a\xff\n.tar")
        kit("inspect", tmp_path / name).refused(1, "a\\udcff\\n.tar: cannot be read")
        # A lone surrogate is no text that another reader of JSON could take, so the byte is spelled.
        assert json.loads(kit("inspect", name, "--json").out)["error"]["where"] == "a\\udcff\n.tar"

    @pytest.mark.slow
    def test_a_terminal_of_another_encoding_gets_an_answer(self, desk: Desk) -> None:
        path = desk.kit(kits.content(observation(1, "ακμή")))
        done = command("inspect", path, env={**ENVIRONMENT, "PYTHONIOENCODING": "latin-1"})
        assert (done.returncode, done.stderr) == (0, b"")
        assert rb"\u03b1\u03ba\u03bc\u03ae" in done.stdout


class TestStreams:
    @pytest.mark.slow
    def test_no_colour_also_on_a_terminal(self, desk: Desk) -> None:
        done = command("inspect", desk.kit(), env={**ENVIRONMENT, "FORCE_COLOR": "1", "TERM": "xterm-256color"})
        assert done.returncode == 0
        assert b"\x1b" not in done.stdout + done.stderr

    @pytest.mark.parametrize(("signer", "code"), [("vendor", 0), (None, 3)], ids=["a valid kit", "a refused kit"])
    def test_a_reader_that_goes_away_changes_no_verdict(self, signer: str | None, code: int, desk: Desk) -> None:
        reading, writing = os.pipe()
        os.close(reading)
        try:
            done = command("verify", desk.kit(signer=signer), *desk.trust("vendor"), stdout=writing)
        finally:
            os.close(writing)
        assert done.returncode == code
        assert b"Broken" not in done.stderr
        assert (done.stderr == b"") == (code == 0)

    @pytest.mark.slow
    def test_a_reader_of_help_that_goes_away_is_no_failure(self) -> None:
        reading, writing = os.pipe()
        os.close(reading)
        try:
            done = command("--help", stdout=writing)
        finally:
            os.close(writing)
        assert (done.returncode, done.stderr) == (0, b"")

    @pytest.mark.slow
    def test_a_listener_of_errors_that_goes_away_changes_no_exit_code(self, tmp_path: Path) -> None:
        reading, writing = os.pipe()
        os.close(reading)
        try:
            done = command("inspect", tmp_path / "absent", "--json", stdout=writing, stderr=writing)
        finally:
            os.close(writing)
        assert done.returncode == 1

    def test_standard_output_on_a_full_disk_is_output_not_written(self, desk: Desk) -> None:
        with Path("/dev/full").open("wb") as full:
            done = command("inspect", desk.kit(), stdout=full)
        assert done.returncode == 74
        assert done.stderr == b"kit: error: standard output: cannot write: No space left on device\n"

    def test_a_report_that_is_lost_is_an_output_that_is_not_written_and_what_was_done_is_named(
        self, desk: Desk, capsys: pytest.CaptureFixture[str]
    ) -> None:
        path, both = desk.kit(), desk.trust("vendor", "site")
        patching = (*desk.trust("vendor"), "--signing-key", desk.keys / "site", "--workers", 1)
        new, delta, policy = desk.kits / "new", desk.kits / "delta", desk.kits / "policy"
        commands: list[tuple[tuple[object, ...], str]] = [
            (("--version",), ""),
            (("patch", "--help"), ""),
            (("completion", "bash"), ""),
            (("inspect", path), ""),
            (("verify", path, *desk.trust("vendor"), "--json"), ""),
            (("plan", path, *patching), ""),
            (("patch", path, "-o", new, *patching), "the kit is patched"),
            (("patch", path, "-o", desk.kits / "other", *patching, "--metrics", "-"), "the kit is patched"),
            (
                ("delta", "build", path, new, "-o", delta, *both, "--signing-key", desk.keys / "site"),
                "delta is written",
            ),
            (("patch", path, "--in-place", *patching, "--json"), "the kit is patched"),
            (("rollback", path, *both), "the kit is rolled back"),
            (("delta", "apply", path, delta, "--in-place", *both), "the delta is applied"),
            (("extract", new, *both, "-o", desk.kits / "dump"), "the documents are written"),
            (("extract", new, *both, "-o", "-"), ""),
            (("keys", "generate", desk.kits / "pair"), "the keys are written"),
            (("trust", "init", policy, "--key", desk.public("vendor"), "publisher"), "the policy is made"),
        ]
        for words, what in commands:
            with contextlib.suppress(OSError), Path("/dev/full").open("w") as full, contextlib.redirect_stdout(full):
                code = run([str(word) for word in words])
            said = capsys.readouterr().err
            assert code == 74, (words, said)
            assert "No space left on device" in said
            assert (what in said) if what else ("but the report is lost" not in said), (words, said)
        assert desk.verify(path).code == 0

    def test_closed_streams_are_no_failure(self, desk: Desk) -> None:
        words = " ".join([*COMMAND[:2], f"'{COMMAND[2]}'", "verify", str(desk.kit()), *map(str, desk.trust("vendor"))])
        done = subprocess.run(["sh", "-c", f"{words} <&- >&- 2>&-"], env=ENVIRONMENT, check=False)
        assert done.returncode == 0

"""What the program says of itself is true: examples are commands it takes, and a shell completes them."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import click
import pytest
from jsonschema import Draft202012Validator

from kit.cli import kit as group
from kit.cli.commands import TABLE
from kit.cli.manual import grouped_commands
from kit.documents import core
from kit.version import CORE_VERSION
from tests.cli.test_manners import commands, inner
from tests.commands import COMMAND, ENVIRONMENT, ROOT, kit, subprocess_kit
from tests.docs.pasting import examples_of_help, examples_of_page, parse, paste
from tests.end_to_end.desk import Desk
from tests.tiers import slow

EVERY = pytest.mark.parametrize("words", list(commands()), ids=" ".join)


@EVERY
def test_every_example_can_be_pasted_and_is_a_command_that_the_program_takes(
    words: tuple[str, ...], tmp_path: Path
) -> None:
    started = paste(examples_of_help(kit(*words, "--help").out), tmp_path)
    assert started
    for arguments in started:
        assert arguments[: len(words)] == list(words)
        parse(arguments)


PAGES = sorted(path for folder in (".", "docs", "schemas") for path in (ROOT / folder).glob("*.md"))


def test_every_example_of_a_page_can_be_pasted_too(tmp_path: Path) -> None:
    found = {str(page.relative_to(ROOT)): list(examples_of_page(page.read_text())) for page in PAGES}
    assert {"README.md", "docs/reference.md"} <= {name for name, texts in found.items() if texts}
    for number, text in enumerate(text for texts in found.values() for text in texts):
        for arguments in paste(text, tmp_path / str(number)):
            parse(arguments)


@pytest.mark.parametrize(
    "text",
    ["kit verify k\n  --trusted-key p\n", "kit verify k \\ \n  --trusted-key p\n", "kit verify k \\\nkit verify k\n"],
    ids=["no backslash", "a blank after it", "one too many"],
)
def test_an_example_that_cannot_be_pasted_is_found(text: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        paste(text, tmp_path)


def test_an_example_that_is_wrong_is_found() -> None:
    with pytest.raises(click.ClickException):
        parse(["verify", "kit.tar", "--no-such-option"])


GROUPS = sorted({words[:-1] for words in commands()})


@pytest.mark.parametrize("words", GROUPS, ids=lambda words: " ".join(words) or "kit")
def test_a_list_of_commands_has_every_summary_whole_in_80_columns(words: tuple[str, ...]) -> None:
    command = inner(group, words[0]) if words else group
    shown = command.get_help(click.Context(command, info_name="kit", terminal_width=80))
    listed = [line for line in shown.splitlines() if re.match(r"  [a-z][a-z-]+ +[A-Z]", line)]
    assert listed
    assert [line for line in listed if not re.fullmatch(r"  [a-z][a-z-]+ +[A-Z].*[^.]\.", line)] == []
    assert max(map(len, shown.splitlines())) <= 80


def options(page: str) -> set[str]:
    """Return the options that a help page describes, or a group of it."""
    page = re.split(r"^(?:Needed|Options|Trust and time|Reports):$", page, maxsplit=1, flags=re.MULTILINE)[
        -1
    ]  # after the prose
    return set(re.findall(r"^  (?:-\w, )?(--[a-z][a-z0-9-]*)", page, re.MULTILINE))


@EVERY
def test_all_options_are_in_the_help_of_all_and_what_is_needed_is_first(words: tuple[str, ...]) -> None:
    command: click.Command = group
    for word in words:
        assert isinstance(command, click.Group)
        command = inner(command, word)
    known = {max(one.opts, key=len) for one in command.params if isinstance(one, click.Option)}
    whole, short = kit(*words, "--help-all").out, kit(*words, "--help").out
    assert options(whole) >= known
    assert kit("help", "--all", *words).out == whole
    assert kit("help", *words).out == short
    required = {max(one.opts, key=len) for one in command.params if isinstance(one, click.Option) and one.required}
    assert required <= options(short.partition("\nNeeded:\n")[2].partition("\n\n")[0])
    left_out = options(whole) - options(short)
    if left_out:
        assert f"\n{len(left_out)} more options, of " in short
        assert "--help-all" in short.split("more options, of ")[1]


def test_an_ordinary_patch_needs_the_first_options_and_no_page_is_long() -> None:
    page = kit("patch", "--help").out
    needed = options(page.partition("\nNeeded:\n")[2].partition("\n\n")[0])
    assert needed == {"--output", "--in-place", "--signing-key", "--trusted-key", "--trust"}
    assert "--max" not in options(page)
    assert page.index("Needed:") < page.index("\nOptions:") < page.index("\nTrust and time:")


def test_without_a_command_the_answer_is_which_there_are() -> None:
    assert (kit().code, kit().out) == (0, kit("--help").out)
    assert kit("help").out == kit("--help").out
    assert (kit("keys").code, kit("keys").out) == (0, kit("keys", "--help").out)
    assert kit("help", "mend").code == 64


def test_every_command_is_in_one_group() -> None:
    page = kit("--help").out
    listed = re.findall(r"^  ([a-z][a-z-]+) +[A-Z]", page, re.MULTILINE)
    assert sorted(listed) == sorted(name for name in group.list_commands(click.Context(group)))
    assert [name for _, names in grouped_commands(["mend", "verify"]) for name in names] == ["verify", "mend"]


def test_a_quiet_command_prints_no_report_and_still_its_errors(desk: Desk) -> None:
    path = desk.kit()
    outcome = kit("verify", path, *desk.trust("vendor"), "-q", "--workers", 1)
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "")
    refused = kit("verify", path, *desk.trust("site"), "--quiet", "--workers", 1)
    assert (refused.code, refused.out) == (4, "")
    assert refused.err.startswith("kit: error: ")
    assert kit("verify", path, *desk.trust("vendor"), "-q", "--json").json["verdict"] == "valid"
    assert kit("inspect", path, "-q", "-v").code == 64


def test_a_verbose_command_prints_progress_of_a_small_kit_too(desk: Desk) -> None:
    path = desk.kit()
    assert kit("inspect", path, "--workers", 1).err == ""
    assert "kit: survey: done: 3 documents" in kit("inspect", path, "-v", "--workers", 1).err


@EVERY
def test_every_command_tells_the_exit_codes(words: tuple[str, ...]) -> None:
    text = " ".join(kit(*words, "--help").out.split())
    assert "Exit codes: " + ", ".join(f"{code} {meaning}" for code, meaning in TABLE) + "." in text


def test_the_version_names_every_part_that_is_needed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = kit("--version").out.splitlines()
    needed = [re.split(r"[<>=]", line)[0] for line in project["dependencies"]]
    assert [name for name in needed if not any(line.startswith(f"  {name} ") for line in lines)] == []
    assert any(re.search(r"cryptography .*\(OpenSSL \d", line) for line in lines)
    assert any(re.search(r"zstandard .*\(libzstd \d", line) for line in lines)


def test_the_version_names_the_core_or_why_there_is_none() -> None:
    lines = kit("--version").out.splitlines()
    named = f"  reference, since the core is {core.ABSENCE}" if core.ABSENCE else f"  core {CORE_VERSION}"
    assert named in lines
    script = "from kit.documents import core; print(core.ABSENCE, core.keys, core.rewrite, core.gather)"
    off = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=os.environ | {"KIT_CORE": "off"}, check=True, capture_output=True
    )
    assert off.stdout == b"switched off by KIT_CORE None None None\n"


def test_the_core_and_the_package_expect_one_version_of_each_other() -> None:
    workspace = tomllib.loads((ROOT / "core/Cargo.toml").read_text())["workspace"]
    assert workspace["package"]["version"] == CORE_VERSION


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_is_made_for_every_shell_and_is_one(shell: str, tmp_path: Path) -> None:
    document = kit("completion", shell, "--json").json
    Draft202012Validator(json.loads((ROOT / "schemas/completion-report.schema.json").read_text())).validate(document)
    script = document["script"]
    assert "_KIT_COMPLETE" in script
    assert subprocess_kit("completion", shell).stdout.decode().strip() == script
    if (program := shutil.which(shell)) is not None:
        (tmp_path / "script").write_text(script)
        subprocess.run([program, "-n", tmp_path / "script"], check=True)


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        (["ver"], {"verify"}),
        *slow(
            (["keyring", ""], {"add", "export", "import", "init", "rekey", "retire", "rewrap", "show"}),
            (["patch", "--on-div"], {"--on-divergence"}),
            (["patch", "--on-divergence", "s"], {"stop"}),
            (["verify", "--no-such-op"], set()),
        ),
    ],
    ids=["a command", "commands of a group", "an option", "a choice", "nothing"],
)
def test_bash_completes(typed: list[str], offered: set[str], tmp_path: Path) -> None:
    program = tmp_path / "kit"
    program.write_text(f'#!/bin/sh\nexec {shlex.join(COMMAND)} "$@"\n')
    program.chmod(0o755)
    line = " ".join(map(shlex.quote, ["kit", *typed]))
    asked = f"source <(kit completion bash); COMP_WORDS=({line}); COMP_CWORD={len(typed)}; _kit_completion kit"
    done = subprocess.run(
        ["bash", "-c", f'{asked}; printf "%s\\n" "${{COMPREPLY[@]}}"'],
        env={**ENVIRONMENT, "PATH": f"{tmp_path}:{ENVIRONMENT['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert set(done.stdout.split()) == offered

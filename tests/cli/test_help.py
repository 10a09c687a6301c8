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
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from jsonschema import Draft202012Validator

from kit.cli import kit as group
from kit.cli.commands import TABLE
from kit.documents import core
from kit.version import CORE_VERSION
from tests.cli.test_manners import commands, inner
from tests.commands import COMMAND, ENVIRONMENT, ROOT, kit, subprocess_kit
from tests.tiers import slow

EVERY = pytest.mark.parametrize("words", list(commands()), ids=" ".join)


def examples(text: str) -> Iterator[str]:
    """Give the commands of a help page; what is indented deeper goes on with the one before."""
    found: list[str] = []
    indent = 0
    for line in re.split(r"\n +Examples?:\n", text, maxsplit=1)[1].split("\n\n", 1)[0].splitlines():
        if not found or len(line) - len(line.lstrip()) <= indent:
            found.append(line.strip())
            indent = len(line) - len(line.lstrip())
        else:
            found[-1] += f" {line.strip()}"
    yield from found


def parsed(words: list[str]) -> None:
    """Let click take a command apart, without running it.

    Raises:
        click.ClickException: It does not understand it.
    """
    context, command = click.Context(group, info_name="kit"), inner(group, words[0])
    while isinstance(command, click.Group):
        words = words[1:]
        context, command = click.Context(command, parent=context), inner(command, words[0])
    command.make_context(words[0], words[1:], context)


@EVERY
def test_every_example_is_a_command_that_the_program_takes(words: tuple[str, ...]) -> None:
    shown = list(examples(kit(*words, "--help").out))
    assert shown
    for example in shown:
        name, *arguments = shlex.split(re.split(r" (?:>|[|]|3<) ", example)[0])
        assert name == "kit"
        assert arguments[: len(words)] == list(words)
        parsed(arguments)


def test_an_example_that_is_wrong_would_be_found() -> None:
    with pytest.raises(click.ClickException):
        parsed(["verify", "kit.tar", "--no-such-option"])


GROUPS = sorted({words[:-1] for words in commands()})


@pytest.mark.parametrize("words", GROUPS, ids=lambda words: " ".join(words) or "kit")
def test_a_list_of_commands_has_every_summary_whole_in_80_columns(words: tuple[str, ...]) -> None:
    command = inner(group, words[0]) if words else group
    shown = command.get_help(click.Context(command, info_name="kit", terminal_width=80))
    listed = shown.partition("Commands:\n")[2].partition("\n\n")[0].splitlines()
    assert listed
    assert [line for line in listed if not re.fullmatch(r"  [a-z]+ +[A-Z].*[^.]\.", line)] == []
    assert max(map(len, shown.splitlines())) <= 80


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
            (["keyring", ""], {"add", "init", "rewrap", "show"}),
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

"""A hint is a command that works: every one in the source is taken apart, and options are held to their command.

What the commands print in any test is checked where tests run them (:func:`tests.commands.kit`).
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from kit.cli import kit as group
from kit.cli.output import filter_hint
from tests.cli.test_collisions import found
from tests.cli.test_manners import commands
from tests.commands import ROOT, kit
from tests.end_to_end.desk import Desk

_NOUN = {"", "is", "was", "has", "itself", "again", "whole", "that", "from", "there", "by", "and", "cannot", "to"}
_NOUN |= {
    "permit",
    "says",
    "instead",
    "X",
    "with",
    "which",
    "will",
    "of",
    "read",
    "you",
    "signed",
    "patched",
    "not",
    "under",
    "other",
    "beside",
    "than",
}
"""What goes on after "the kit"."""
_PLACEHOLDER = "X"


def texts(node: ast.expr) -> Iterator[str]:
    """Give the texts that an expression can be; what is formatted into one is a word."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.JoinedStr):
        yield "".join(str(part.value) if isinstance(part, ast.Constant) else _PLACEHOLDER for part in node.values)
    elif isinstance(node, ast.BoolOp):
        for value in node.values:
            yield from texts(value)
    elif isinstance(node, ast.IfExp):
        yield from texts(node.body)
        yield from texts(node.orelse)
    elif isinstance(node, ast.BinOp):
        for left in texts(node.left):
            for right in texts(node.right):
                yield left + right


def hints() -> Iterator[tuple[str, str]]:
    """Give every hint in the source, and constants that are put into one, with its place."""
    for path in sorted((ROOT / "kit").rglob("*.py")):
        source = path.read_text(encoding="utf-8")
        if "hint" not in source.lower() and "_RESUME" not in source:
            continue  # none of the names below is there
        nodes = list(ast.walk(ast.parse(source)))
        names = {
            one.value.id
            for one in nodes
            if isinstance(one, ast.keyword) and one.arg == "hint" and isinstance(one.value, ast.Name)
        }
        for node in nodes:
            values: list[ast.expr | None] = []
            if isinstance(node, ast.Call):
                values = [one.value for one in node.keywords if one.arg == "hint"]
            elif isinstance(node, ast.Assign | ast.AnnAssign):
                target = node.targets[0] if isinstance(node, ast.Assign) else node.target
                name = getattr(target, "attr", getattr(target, "id", ""))
                if name in names or name == "hint" or "HINT" in name or name == "_RESUME":
                    values = [node.value]
            for value in values:
                line = getattr(value, "lineno", 0)
                for text in texts(value) if value is not None else ():
                    yield f"{path.relative_to(ROOT)}:{line}", text


HINTS = {f"{place} {text}": text for place, text in hints()}
OPTIONS = {name for words in commands() for one in found(words).params for name in (*one.opts, *one.secondary_opts)}


def test_hints_are_found() -> None:
    assert len(HINTS) > 150


@pytest.mark.parametrize("text", HINTS.values(), ids=list(HINTS))
def test_a_hint_names_commands_and_options_that_there_are(text: str) -> None:
    for part in re.split(r"; |, or ", text):
        words = re.findall(r"[^\s,:;()]+", part)
        named: tuple[str, ...] = ()
        for number, word in enumerate(words):
            if word == "kit":
                named = next(
                    (
                        tuple(words[number + 1 : number + 1 + size])
                        for size in (2, 1)
                        if tuple(words[number + 1 : number + 1 + size]) in set(commands())
                    ),
                    (),
                )
                follows = words[number + 1] if number + 1 < len(words) else ""
                assert named or follows.rstrip(".") in _NOUN, f"is {follows!r} a command?"
            elif word.startswith("--") and "dask" not in words:
                options = OPTIONS
                if named:
                    options = {name for one in found(named).params for name in (*one.opts, *one.secondary_opts)}
                assert word.rstrip(".") in options | {"--help"}, (named, word)


@pytest.mark.parametrize(
    ("words", "hint", "due"),
    [
        (("verify",), "get a newer kit; to use this one anyway, on record: --force --reason TEXT", ...),
        (("plan",), "get a newer kit; to use this one anyway, on record: --force --reason TEXT", "get a newer kit"),
        (("approval", "create"), "if this kit is known to be sound, raise it: --max members=3", ""),
        (("rollback",), "make room, or write to another file system with --output", "make room"),
        (("keys", "show"), "kit verify --trust makes it", ...),
        (("verify",), "kit keys show --trust makes it; kit inspect shows it", "kit inspect shows it"),
        (("verify",), "one process, one thread: dask worker --nthreads 1", ...),
        (("rollback",), "the kit is whole; --resume finishes it", ...),
        (("patch",), "kit patch --help", ...),
        (("delta", "build"), "continue with the same command and --resume, or give it up with --abandon", ""),
    ],
)
def test_what_the_command_does_not_have_is_left_out(words: tuple[str, ...], hint: str, due: object) -> None:
    context = click.Context(found(words), parent=click.Context(group, info_name="kit"))
    assert filter_hint(hint, context) == (hint if due is ... else due)


def test_a_limit_that_the_command_cannot_raise_is_not_told_to_be_raised(desk: Desk, tmp_path: Path) -> None:
    ratio = desk.write({"zeros": bytes(64 << 20), "manifest/offline-manifest.json": b"{}"})
    assert "--max" in kit("inspect", ratio).err
    words = ("--incident", "i", "--reason", "r", "--collection", "a.b", "--whole-collections")
    signing = ("--expires", "2099-01-01T00:00:00Z", "--signing-key", desk.keys / "site", "-o", tmp_path / "approval")
    outcome = kit("approval", "create", ratio, *words, *signing)
    outcome.refused(9)
    assert "--max" not in outcome.err

"""Colour on a terminal only, and a failure once where one person sees both streams."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from kit.cli.output import style_line
from tests import kits
from tests.cli.terminal import Terminal
from tests.end_to_end.desk import Desk
from tests.kits import observation

REASON = "not every observation has linkset and rawLinkset (v1)"


def shown(desk: Desk, path: Path, *options: str, **environment: str) -> str:
    words = ("verify", path, *desk.trust("vendor"), "--workers", 1, "--progress", "none", *options)
    with Terminal(*words, **{"TERM": "xterm", "NO_COLOR": "", **environment}) as terminal:
        terminal.wait()
        return terminal.shown


@pytest.fixture
def refused(tmp_path: Path) -> tuple[Desk, Path]:
    desk = Desk(tmp_path)
    return desk, desk.kit(kits.content(observation(1)))


def test_a_terminal_shows_the_verdict_in_colour_and_a_failure_once(refused: tuple[Desk, Path]) -> None:
    text = shown(*refused, "--require-raw-linkset")
    assert "  1  \x1b[32mok\x1b[0m      container reads strictly" in text
    assert "  8  \x1b[31m\x1b[1mFAILED\x1b[0m  rawLinkset" in text
    assert "\x1b[31m\x1b[1mrefused\x1b[0m: " in text
    assert text.count(REASON) == 1
    assert text.count("add it: kit patch KIT") == 1
    assert "kit: error" not in text
    assert "\x1b[32m\x1b[1mvalid\x1b[0m: " in shown(*refused)


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=str)
def test_who_wants_no_colour_has_the_same_words(refused: tuple[Desk, Path], environment: dict[str, str]) -> None:
    desk, path = refused
    plain = shown(desk, path, "--require-raw-linkset", **environment)
    coloured = shown(*refused, "--require-raw-linkset")
    assert "\x1b" not in plain
    assert re.sub(r"\x1b\[\d+m", "", coloured) == plain


def test_without_a_terminal_there_is_no_colour_and_each_stream_has_the_reason(refused: tuple[Desk, Path]) -> None:
    desk, path = refused
    outcome = desk.verify(path, options=("--require-raw-linkset",))
    assert "\x1b" not in outcome.out + outcome.err
    assert (outcome.out.count(REASON), outcome.err.count(REASON)) == (1, 1)


@pytest.mark.parametrize(
    ("line", "styled"),
    [
        ("kit: error: x", "\x1b[31m\x1b[1mkit: error\x1b[0m: x"),
        ("kit: warning: x", "\x1b[33m\x1b[1mkit: warning\x1b[0m: x"),
        ("kit: hint: x", "\x1b[36mkit: hint\x1b[0m: x"),
        ("  5  ok      all", "  5  \x1b[32mok\x1b[0m      all"),
        ("  valid: not at the beginning", "  valid: not at the beginning"),
        ("  ok  1  a row of a table", "  ok  1  a row of a table"),
    ],
)
def test_only_words_of_ours_at_the_beginning_are_coloured(line: str, styled: str) -> None:
    assert style_line(line) == styled

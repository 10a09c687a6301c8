"""The runner of pages itself: a page that is not true does not pass."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.commands import Block, blocks, contradictions, execute, follow


def page(*fences: tuple[str, str], between: str = "\n") -> str:
    return between.join(f"```{kind}\n{text}```\n" for kind, text in fences)


def only(text: str) -> Block:
    (block,) = blocks(text)
    return block


def told(text: str, folder: Path) -> list[str]:
    block = only(text)
    return contradictions(block, execute(block, folder))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "desk").mkdir()
    return tmp_path / "desk"


def test_only_commands_are_run_and_what_follows_them_is_their_output() -> None:
    found = list(blocks(page(("json", "{}\n"), ("sh", "a\n"), ("text", "A\n(exit code 7)\n"), ("sh", "b\n"))))
    assert [(b.commands, b.shown, b.code) for b in found] == [("a\n", ("A",), 7), ("b\n", None, 0)]
    assert [b.line for b in found] == [5, 14]


def test_a_text_that_does_not_follow_at_once_is_no_output() -> None:
    assert only(page(("sh", "a\n"), ("text", "A\n"), between="\nand\n")).shown is None


@pytest.mark.parametrize("kind", ["bash", "console", "shell"])
def test_commands_that_would_not_be_run_are_an_error(kind: str) -> None:
    with pytest.raises(ValueError, match="line 1"):
        list(blocks(page((kind, "a\n"))))


@pytest.mark.parametrize(
    ("commands", "shown"),
    [
        ("echo a; echo b", "a\nb\n"),
        ("echo a; echo b; echo c", "a\n…\nc\n"),
        ("echo a; echo b; echo c", "…\nb\n…\n"),
        ("echo a 17 b", "a … b\n"),
        ("echo a; exit 3", "a\n(exit code 3)\n"),
        ("echo wrong >&2", "wrong\n"),
        ("false; echo never", "(exit code 1)\n"),
        (
            "kit inspect no-such-kit",
            "kit: error: no-such-kit: cannot be read: No such file or directory\n(exit code 1)\n",
        ),
        (
            "kit inspect no-such-kit 2>&1 | tail -n 1",
            "kit: error: no-such-kit: cannot be read: No such file or directory\n",
        ),
    ],
)
def test_a_true_page_is_not_contradicted(commands: str, shown: str, folder: Path) -> None:
    assert told(page(("sh", f"{commands}\n"), ("text", shown)), folder) == []


@pytest.mark.parametrize(
    ("commands", "shown"),
    [
        ("echo b; echo a", "a\nb\n"),
        ("echo a; echo b", "a\n"),
        ("echo a", "a\nb\n"),
        ("echo a; echo b; echo c", "a\nc\n"),
        ("echo a 17 c", "a … b\n"),
        ("echo a.", "a!\n"),
        ("echo a; exit 3", "a\n"),
        ("echo a", "a\n(exit code 3)\n"),
        ("kit verify no-such-kit", "…\n"),
        ("kit --help", "…\nno such line\n…\n"),
    ],
)
def test_a_page_that_is_not_true_is_contradicted(commands: str, shown: str, folder: Path) -> None:
    assert told(page(("sh", f"{commands}\n"), ("text", shown)), folder)


def test_files_survive_a_block_and_variables_do_not(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text(
        page(("sh", "x=1; echo $x > file\n"), ("sh", 'cat file; echo "${x:-none}"\n'), ("text", "1\nnone\n"))
    )
    assert follow(path, folder) == 2


def test_the_first_thing_that_is_not_true_ends_the_page(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text(page(("sh", "echo a\n"), ("text", "b\n"), ("sh", "touch after\n")))
    with pytest.raises(AssertionError, match="shows 'b', met 'a'"):
        follow(path, folder)
    assert list(folder.iterdir()) == []


def test_a_command_in_this_process_and_one_in_a_shell_say_the_same(folder: Path) -> None:
    alone, inside = (
        execute(only(page(("sh", "kit keys show none\n"))), folder),
        execute(only(page(("sh", "true; kit keys show none\n"))), folder),
    )
    assert alone == inside

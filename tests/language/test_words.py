"""The language of the package: no private word in docstrings, help texts, messages and hints (docs/glossary.md)."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import click
import pytest

import kit
from kit.cli import kit as program
from tests.language.words import AVOIDED, OPENINGS, Finding, Module, error_makers, find_in, find_in_help, read_modules

ROOT = Path(kit.__file__).parent
GLOSSARY = ROOT.parent / "docs" / "glossary.md"
NOT_YET: frozenset[str] = frozenset()
"""Rooms whose language is still to be gone over. The list only shrinks: a room without a finding is taken off."""


@pytest.fixture(scope="module")
def findings() -> dict[str, list[str]]:
    """Return the findings of each room; help pages are of the room ``cli``."""
    modules = read_modules(ROOT)
    makers = error_makers(modules)
    found: dict[str, list[str]] = {}
    for module in modules:
        room = module.place.partition("/")[0].removesuffix(".py")
        found.setdefault(room, []).extend(map(str, find_in(module, makers)))
    found["cli"] += map(str, find_in_help(program, "kit"))
    return found


def test_no_private_word_is_in_a_room_that_was_gone_over(findings: dict[str, list[str]]) -> None:
    assert [finding for room in sorted(findings.keys() - NOT_YET) for finding in findings[room]] == []


def test_every_room_that_is_excepted_exists_and_needs_it(findings: dict[str, list[str]]) -> None:
    assert [room for room in sorted(NOT_YET) if not findings.get(room)] == []


PLACES = {
    "module": '"""Read what they {} here."""\n',
    "class": 'class Kit:\n    """Read what they {} here."""\n',
    "method": 'class Kit:\n    def read(self):\n        """R.\n\n        Raises:\n            E: They {} it.\n"""\n',
    "attribute": 'MAX = 1\n"""Read what they {} here."""\n',
    "message": 'raise ContentError("they {} it", where=place)\n',
    "formatted message": 'raise ContentError(f"{{name}}: they {} it", where=place)\n',
    "hint": 'raise ContentError("too long", hint="they {} it")\n',
    "named hint": 'HINT = "they {} it"\n\n\ndef check():\n    raise ContentError("too long", hint=HINT)\n',
    "message of a function": 'def fault() -> ContentError:\n    text = "they {} it"\n    return ContentError(text)\n',
    "argument of such a function": 'def check(fields):\n    raise fields.refusal("they {} it")\n',
}


@pytest.mark.parametrize("word", AVOIDED)
@pytest.mark.parametrize("place", PLACES)
def test_a_word_is_found_wherever_it_is_put(place: str, word: str) -> None:
    module = Module.of(PLACES[place].format(word), "room/module.py")
    assert [finding.word for finding in find_in(module, frozenset({"refusal"}))] == [word]


@pytest.mark.parametrize("word", AVOIDED)
def test_a_word_is_found_in_the_help_of_commands_and_options(word: str) -> None:
    option = click.Option(["--force"], help=f"They {word} it.")
    inner = click.Command("inner", help=f"Read what they {word}.", params=[option])
    group = click.Group("outer", commands={"inner": inner})
    assert find_in_help(group, "outer") == [Finding(place="outer inner", line=0, word=word)]


@pytest.mark.parametrize("opening", sorted(OPENINGS))
@pytest.mark.parametrize(
    "source",
    [
        '"""{} it."""\n',
        'class Kit:\n    """{} it."""\n',
        'def read():\n    """{} it."""\n',
        'async def read():\n    """{} it."""\n',
    ],
)
def test_an_opening_is_found(source: str, opening: str) -> None:
    assert opening in {finding.word for finding in find_in(Module.of(source.format(opening), "room/module.py"))}


@pytest.mark.parametrize(
    "source",
    [
        '"""Return ``told``, which :class:`Met` and `gap` are called for the sake of a format."""\n',
        '"""Understand the metrics of a standard; besides, the storyteller is outstanding."""\n',
        'told = met = "they said it"\n',
        'print("they said it")\n',
    ],
)
def test_quoted_names_longer_words_and_other_strings_are_no_findings(source: str) -> None:
    assert find_in(Module.of(source, "room/module.py")) == []


def test_a_phrase_is_found_across_a_line_end() -> None:
    module = Module.of('"""A run that can be gone\non with."""\n', "room/module.py")
    assert [finding.word for finding in find_in(module)] == ["gone on with"]


def test_functions_that_return_an_error_are_known_from_their_annotations() -> None:
    source = (
        "def refuse() -> KeyUnusableError: ...\ndef check() -> ContentError | None: ...\ndef read() -> bytes: ...\n"
    )
    assert error_makers([Module.of(source, "room/module.py")]) == {"refuse", "check"}


def test_the_glossary_is_sorted_and_names_modules_that_exist() -> None:
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \| `([\w.]+)` \|$", GLOSSARY.read_text(), re.MULTILINE)
    terms = [term for term, _, _ in rows]
    assert len(terms) >= 50
    assert terms == sorted(terms, key=str.casefold)
    assert [place for _, _, place in rows if importlib.util.find_spec(place) is None] == []


def test_the_glossary_lists_every_word_that_is_avoided() -> None:
    page = GLOSSARY.read_text()
    assert [word for word in AVOIDED if f"*{word}*" not in page] == []

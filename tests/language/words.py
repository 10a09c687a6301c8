"""Find private language in what a reader of this package meets as prose: docstrings, help texts, messages and hints.

A word is looked for in prose only: what is quoted as code (in backticks, or as a role such as ``:class:``) is left out.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import click

AVOIDED = {
    "say": "state, show, print",
    "says": "states, shows, prints",
    "saying": "encode, state",
    "said": "stated, encoded",
    "tell": "show, report, distinguish",
    "tells": "shows, reports, distinguishes",
    "telling": "showing, reporting",
    "told": "reported, given, known",
    "met": "found, read, actual",
    "meet": "find, reach, satisfy",
    "meets": "finds, reaches, satisfies",
    "meeting": "finding, reaching",
    "stand": "be, represent",
    "stands": "is, represents",
    "stood": "was",
    "aside": "spool, keep",
    "gap": "missing document",
    "gaps": "missing documents",
    "whoever": "the caller, the owner, anybody who",
    "beside": "next to",
    "leave away": "omit",
    "left away": "omitted",
    "day to come": "future date",
    "time to come": "future",
    "times to come": "the future",
    "go on with": "resume, continue",
    "goes on with": "resumes, continues",
    "going on with": "resuming, continuing",
    "gone on with": "resumed, continued",
}
"""What is not written, and what is instead."""
OPENINGS = frozenset({"Give", "Gives", "Say", "Says", "Tell", "Tells", "Do", "Does", "Have", "Has"})
"""What no docstring opens with: it returns, writes, checks, raises, or is a noun."""

_QUOTED = re.compile(r"``.*?``|:\w+:`[^`]*`|`[^`\n]*`", re.DOTALL)
_AVOIDED = re.compile(
    rf"\b(?:{'|'.join(sorted(AVOIDED, key=len, reverse=True))})\b".replace(" ", r"\s+"), re.IGNORECASE
)
_SCOPE = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True, slots=True, order=True, kw_only=True)
class Finding:
    """One word where it is not to be."""

    place: str
    line: int
    word: str

    def __str__(self) -> str:
        instead = AVOIDED.get(self.word.lower(), "Return, Write, Check, Raise, or a noun")
        return f"{self.place}:{self.line}: {self.word!r} (write: {instead})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """One module, parsed."""

    place: str
    tree: ast.Module

    @classmethod
    def of(cls, source: str, place: str) -> Module:
        """Parse a source."""
        return cls(place=place, tree=ast.parse(source))


def read_modules(root: Path) -> list[Module]:
    """Return the modules below a folder, in the order of their paths."""
    return [Module.of(path.read_text(), path.relative_to(root).as_posix()) for path in sorted(root.rglob("*.py"))]


def error_makers(modules: Iterable[Module]) -> frozenset[str]:
    """Return the names of functions that return an error, which is then raised: their arguments are messages, too."""
    functions = (node for module in modules for node in ast.walk(module.tree) if isinstance(node, ast.FunctionDef))
    return frozenset(
        node.name for node in functions if node.returns is not None and _is_error(ast.unparse(node.returns))
    )


def find_in(module: Module, makers: frozenset[str] = frozenset()) -> list[Finding]:
    """Return every finding of one module.

    Args:
        module: Its source, parsed.
        makers: Functions whose arguments are messages, besides the classes whose names end in ``Error``.
    """
    found = [
        Finding(place=module.place, line=line, word=word)
        for line, text in (*_docstrings(module.tree), *_messages(module.tree, makers))
        for word in avoided(text)
    ]
    found += [
        Finding(place=module.place, line=line, word=text.split()[0])
        for line, text in _opening_docstrings(module.tree)
        if text.split()[:1] and text.split()[0].rstrip(",.:") in OPENINGS
    ]
    return sorted(set(found))


def find_in_help(command: click.Command, name: str) -> list[Finding]:
    """Return every finding in the help of a command, of its options, and of the commands below it."""
    texts = [command.help, command.short_help, command.epilog]
    texts += [parameter.help for parameter in command.params if isinstance(parameter, click.Option)]
    found = [Finding(place=name, line=0, word=word) for text in texts for word in avoided(text or "")]
    if isinstance(command, click.Group):
        with click.Context(command) as context:
            for inner in command.list_commands(context):
                below = command.get_command(context, inner)
                assert below is not None
                found += find_in_help(below, f"{name} {inner}")
    return sorted(set(found))


def avoided(text: str) -> list[str]:
    """Return the avoided words of a text, in its order."""
    return [" ".join(match[0].split()) for match in _AVOIDED.finditer(_QUOTED.sub(" ", text))]


def _opening_docstrings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, _SCOPE):
            text = ast.get_docstring(node)
            if text:
                yield node.body[0].lineno, text


def _docstrings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    # Every string that is a statement: docstrings, and what is written below an attribute.
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.lineno, node.value.value


def _messages(tree: ast.Module, makers: frozenset[str]) -> Iterator[tuple[int, str]]:
    constants = {
        target.id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.returns is not None and _is_error(ast.unparse(node.returns)):
            yield from _strings(ast.Module(body=node.body[bool(ast.get_docstring(node)) :], type_ignores=[]), constants)
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func).rpartition(".")[2]
        if _is_error(name) or name in makers:
            yield from _strings(node, constants)
        for keyword in node.keywords:
            if keyword.arg == "hint":
                yield from _strings(keyword.value, constants)


def _strings(tree: ast.AST, constants: dict[str, ast.expr]) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value
        elif isinstance(node, ast.Name) and node.id in constants:
            yield from _strings(constants[node.id], {})


def _is_error(name: str) -> bool:
    return name.removesuffix(" | None").strip("\"'").endswith(("Error", "Exception"))

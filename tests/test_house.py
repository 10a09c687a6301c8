"""Laws of the house that no linter has: what is frozen stays as it is, and how much is in one place."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import kit

ROOT = Path(kit.__file__).parent
MUTABLE = re.compile(r"\b(list|dict|set|bytearray|Counter|deque|defaultdict|OrderedDict)\b")


def modules() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(ROOT.rglob("*.py")):
        yield str(path.relative_to(ROOT)), ast.parse(path.read_text(encoding="utf-8"))


def is_frozen(found: ast.ClassDef) -> bool:
    calls = (one for one in found.decorator_list if isinstance(one, ast.Call) and ast.unparse(one.func) == "dataclass")
    return any(word.arg == "frozen" and ast.unparse(word.value) == "True" for call in calls for word in call.keywords)


def fields_that_change(tree: ast.Module) -> Iterator[str]:
    for found in ast.walk(tree):
        if isinstance(found, ast.ClassDef) and is_frozen(found):
            for one in found.body:
                if isinstance(one, ast.AnnAssign) and MUTABLE.search(ast.unparse(one.annotation)):
                    yield f"{found.name}.{ast.unparse(one.target)}: {ast.unparse(one.annotation)}"


def assigned_elsewhere(tree: ast.Module) -> Iterator[str]:
    """Return where a frozen value is written to behind its back, outside of its own construction."""
    made = {
        id(call)
        for found in ast.walk(tree)
        if isinstance(found, ast.FunctionDef) and found.name in {"__post_init__", "__init__", "__setstate__"}
        for call in ast.walk(found)
    }
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "object.__setattr__" and id(call) not in made:
            yield f"line {call.lineno}: {ast.unparse(call)}"


def test_what_is_frozen_holds_nothing_that_can_change() -> None:
    assert [f"{name}: {one}" for name, tree in modules() for one in fields_that_change(tree)] == []


def test_no_frozen_value_is_written_to_after_it_was_made() -> None:
    assert [f"{name}: {one}" for name, tree in modules() for one in assigned_elsewhere(tree)] == []


def test_a_field_that_can_change_and_a_write_behind_the_back_are_found() -> None:
    tree = ast.parse(
        "@dataclass(frozen=True)\nclass A:\n  a: dict[str, int]\n  b: Mapping[str, int]\n"
        "@dataclass\nclass B:\n  a: list[int]\n"
        "def f(a):\n  object.__setattr__(a, 'b', {})\n"
    )
    assert list(fields_that_change(tree)) == ["A.a: dict[str, int]"]
    assert list(assigned_elsewhere(tree)) == ["line 9: object.__setattr__(a, 'b', {})"]

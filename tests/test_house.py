"""Laws of the house that no linter has: what is frozen stays as it is, and how much is in one place.

What may import what are contracts in pyproject.toml, which ``scripts/check`` holds; here they are shown to hold
something.
"""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import kit
from benchmarks.house import MOST_LINES, MOST_MODULES, count

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


SMALL = {
    "kit/transforms/raw_linkset/kind.py": "found by its name, as the kinds of other packages are",
    "kit/transforms/encrypt_fields/kind.py": "found by its name, as the kinds of other packages are",
    "kit/transforms/raw_linkset/purl_types.py": "made by a script",
    "kit/__main__.py": "run by its name",
    "kit/version.py": "what every room may know",
}
"""Modules under 60 lines with one importer or none, and why they are apart."""


@pytest.fixture(scope="module")
def house() -> dict[str, Any]:
    return count(ROOT.parent)


def test_no_room_has_more_modules_than_a_person_keeps_in_mind(house: dict[str, Any]) -> None:
    assert {room: number for room, number in house["rooms"].items() if number > MOST_MODULES} == {}


def test_no_module_is_longer_than_one_idea(house: dict[str, Any]) -> None:
    assert house["large"] == [], MOST_LINES


def test_no_small_module_has_a_single_importer_but_those_with_a_reason(house: dict[str, Any]) -> None:
    assert [path for path in house["smallWithOneImporter"] if path not in SMALL] == []


def test_one_place_words_that_a_kit_changed_while_it_was_read() -> None:
    text = "changed while it was being read"
    found = [name for name, tree in modules() for node in ast.walk(tree) if text in str(getattr(node, "value", ""))]
    raised = [
        name
        for name, tree in modules()
        for call in ast.walk(tree)
        if isinstance(call, ast.Call)
        and any(isinstance(one, ast.Constant) and text in str(one.value) for one in call.args)
    ]
    assert len(raised) == 1, found


def test_nothing_outside_of_the_transforms_asks_which_class_one_is_of() -> None:
    asking = [
        f"{name}: line {call.lineno}"
        for name, tree in modules()
        if not name.startswith("transforms/")
        for call in ast.walk(tree)
        if isinstance(call, ast.Call)
        and ast.unparse(call.func) in {"isinstance", "issubclass", "type"}
        and re.search(r"\b(RawLinkset|EncryptFields)\b", ast.unparse(call))
    ]
    assert asking == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "line", "contract"),
    [
        ("values/digest.py", "import time", "the clock is the command line's"),
        ("manifest/model.py", "import random", "randomness comes from the caller"),
        ("engine/work.py", "from secrets import token_bytes", "randomness comes from the caller"),
        ("archive/read/reader.py", "import subprocess", "no program is started"),
        ("trust/policy.py", "from os import path", "files are for archive and output"),
        ("reports/verify.py", "import tempfile", "files are for archive and output"),
        ("delta/segment.py", "from threading import Thread", "threads and processes"),
        ("verbs/patch/patch.py", "import concurrent.futures", "threads and processes"),
        ("values/digest.py", "import socket", "no code path opens a socket"),
        ("documents/kinds.py", "from kit.engine import pipeline", "imports go one way"),
    ],
)
def test_the_contracts_notice_an_import_that_they_forbid(module: str, line: str, contract: str, tmp_path: Path) -> None:
    shutil.copytree(ROOT, tmp_path / "kit", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT.parent / "pyproject.toml", tmp_path)
    target = tmp_path / "kit" / module
    target.write_text(f"{target.read_text()}\n\n{line}\n")
    program = (
        "import sys; sys.path.insert(0, '.'); from importlinter.cli import lint_imports_command; lint_imports_command()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "--no-cache"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    broken = [text for text in done.stdout.splitlines() if text.endswith("BROKEN") or " BROKEN" in text]
    assert done.returncode == 1, done.stdout
    assert any(text.startswith(contract) for text in broken), done.stdout

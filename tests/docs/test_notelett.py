"""The page of the plan is true: its eight steps run on the export of the fixtures, and Node reads what was sealed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from fixtures.build.notelett import LIVE_TEXT, containers
from kit.encryption.field_map import shipped
from tests.docs.commands import TOOLS
from tests.docs.test_pages import follow


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(not all(map(shutil.which, (*TOOLS, "node"))), reason=f"needs {', '.join(TOOLS)}, node")
def test_an_export_goes_through_the_steps_of_the_plan_and_every_value_is_read_again(tmp_path: Path) -> None:
    desk = tmp_path / "desk"
    done = follow("docs/notelett.md", "product", desk)
    assert done.returncode == 0, done.stderr
    read = json.loads((desk / "read.json").read_text())
    assert read == {name: expected(name) for name in containers()}
    assert json.loads((desk / "record-5.json").read_text())["dryRun"] is not None


def expected(container: str) -> dict[str, dict[str, str]]:
    """Return what was sealed of each document: mapped texts of the product that are not the system's."""
    (mapped,) = (one for one in shipped("notelett-2").collections if one.collection == container)
    names = [str(path) for path in mapped.fields]
    found = {}
    for document in containers()[container]:
        is_sealed = document["productId"] == "notelett" and document["userId"] != "__builtin__"
        texts = {name: document[name] for name in names if is_sealed and document.get(name) is not None}
        found[document["id"]] = {name: LIVE_TEXT if isinstance(text, dict) else text for name, text in texts.items()}
    return found

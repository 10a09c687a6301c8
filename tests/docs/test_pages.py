"""The pages that people follow are true: every command is run, in order, and prints what the page shows."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.docs import staging
from tests.docs.commands import ROOT, blocks, follow

PAGES: Mapping[str, Callable[[Path], None]] = {
    "docs/runbook.md": staging.site,
}
"""What each page starts from."""
TOOLS = ("openssl", "sha256sum", "tar", "zstd")


@pytest.mark.skipif(not all(map(shutil.which, TOOLS)), reason=f"needs {', '.join(TOOLS)}")
@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_the_page_does_what_the_page_says(page: str, tmp_path: Path) -> None:
    folder = tmp_path / "desk"
    folder.mkdir()
    PAGES[page](folder)
    assert follow(ROOT / page, folder) > 0


def test_no_page_has_commands_that_nobody_runs() -> None:
    pages = [*(ROOT / "docs").glob("*.md"), *(ROOT / "schemas").glob("*.md")]
    having = {str(page.relative_to(ROOT)) for page in pages if any(blocks(page.read_text(encoding="utf-8")))}
    assert having == set(PAGES)

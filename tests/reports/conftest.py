from __future__ import annotations

from pathlib import Path

import pytest

from tests.end_to_end.desk import Desk


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """Give a desk at which one works in the folder of the kits, so that reports name them as a user does."""
    made = Desk(tmp_path)
    monkeypatch.chdir(made.kits)
    return made

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.docs.no_sockets import Watch
from tests.end_to_end.desk import Desk

_CONNECTING = "test_cluster.py"
"""A cluster is the one thing that is asked for by its address."""


@cache
def _watch() -> Watch:
    return Watch()


@pytest.fixture(autouse=True)
def without_sockets(request: pytest.FixtureRequest) -> Iterator[None]:
    """No code path opens a socket: every test of this folder, and whatever process it forks, fails at the first one."""
    if request.path.name == _CONNECTING:
        yield
        return
    with _watch().forbidden():
        yield


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)

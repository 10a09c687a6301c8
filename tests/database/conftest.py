"""A document database and its tools: built once, by Go; a server for each test, in a folder of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.database import UnavailableError, build_programs, running_server


@pytest.fixture(scope="session")
def programs() -> Path:
    """Return the folder of the server and the tools; without Go or its modules the test is skipped, and says so."""
    try:
        return build_programs()
    except UnavailableError as error:
        pytest.skip(str(error))


@pytest.fixture
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield the connection string of an empty server."""
    request.getfixturevalue("programs")
    with running_server(tmp_path_factory.mktemp("server")) as uri:
        yield uri

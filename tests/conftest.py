"""What holds for every test, wherever it is run from."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from tests.faults.attacking import Attacker

# A background job of a shell starts with Ctrl-C ignored, and all it starts inherit that; tests that press it could only
# hang there. A handler of ours is reset to the default in every program that is started.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def attacker() -> Iterator[Attacker]:
    """Yield the process that attacks commands at their steps; it starts once."""
    with Attacker() as attacker:
        yield attacker

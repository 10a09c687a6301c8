"""What holds for every test, wherever it is run from; and the two tiers of tests.

``scripts/test`` runs the first tier, a verdict on every room, meant to take three minutes on two processors;
``scripts/test --all`` runs everything. A test is marked ``slow``, and so left to the second tier, if it takes more
than half a second of processor time, which is what an interpreter takes to start; where nothing cheaper shows the
same, one of a family of such tests stays in the first. Laws are tried there on a quarter of the examples
(tests/tiers.py). What takes minutes is a script, of which a test takes a share. Laws and attacks are marked
``repeating``; scripts/check measures how much of the package all others of the first tier reach.
"""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Iterator

import pytest
from hypothesis import is_hypothesis_test, settings

from tests.faults.attacking import Attacker

# Neither has a deadline for an example: nothing here depends on speed.
settings.register_profile("all", deadline=None)
settings.register_profile("quick", deadline=None, max_examples=25)
settings.load_profile("all")


# No setting of whoever runs the tests is one of theirs; what they start inherits this.
for name in [name for name in os.environ if name.startswith("KIT_") and name not in {"KIT_CORE", "KIT_DEBUG"}]:
    del os.environ[name]
os.environ["XDG_CONFIG_HOME"] = "/nonexistent"

# A background job of a shell starts with Ctrl-C ignored, and all it starts inherit that; tests that press it could only
# hang there. A handler of ours is reset to the default in every program that is started.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


# Rooms whose tests try what others have tried already, with every damage, input or name that can be thought of.
_REPEATING = ("tests/attacks/", "tests/faults/", "tests/language/", "tests/laws/")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests that go the same ways through the package again and again."""
    for item in items:
        if item.nodeid.startswith(_REPEATING) or is_hypothesis_test(getattr(item, "obj", None)):
            item.add_marker("repeating")


def pytest_collection_finish() -> None:
    """Leave modules and tests, which live until the end, out of every later collection of garbage."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def attacker() -> Iterator[Attacker]:
    """Yield the process that attacks commands at their steps; it starts once."""
    with Attacker() as attacker:
        yield attacker

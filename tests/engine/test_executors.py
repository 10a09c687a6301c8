"""Who does the work: threads or processes, fewer where they run out, and with the keys that were handed out."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from kit.archive.source import prefetch
from kit.encryption import KeySource
from kit.engine.executors import (
    HandedKeys,
    InlineExecutor,
    ProcessExecutor,
    ThreadExecutor,
    WorkExecutor,
    count_startable,
)
from kit.errors import StoppedError
from tests.encryption.site import Site, note, scope

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="a limit of processes is not one for its own user's others")


def limited(processes: int, body: str, core: str = "on") -> str:
    """Run Python where so many processes of a user without others are allowed; give what it prints."""

    start = f"import os, resource\nlimit = {processes}\n{PROLOGUE}\n{body}"
    environment = os.environ | {"KIT_CORE": core}
    done = subprocess.run(
        [sys.executable, "-c", start], capture_output=True, text=True, timeout=60, check=False, env=environment
    )
    assert done.returncode == 0, done
    return done.stdout.strip()


# As root nothing limits processes, so another user is taken on once everything is imported.
PROLOGUE = """
from kit.archive.source import prefetch
from kit.engine.executors import local_executor
import concurrent.futures.process, multiprocessing.context, multiprocessing.popen_fork, multiprocessing.queues
import multiprocessing.synchronize, queue, threading
resource.setrlimit(resource.RLIMIT_NPROC, (limit, limit))
os.setgroups([])
os.setresuid(65534, 65534, 65534)
"""


@needs_root
@pytest.mark.parametrize("core", ["on", "off"])
@pytest.mark.parametrize("processes", [1, 2, 4, 7, 9, 12])
def test_whatever_the_limit_the_work_is_done(processes: int, core: str) -> None:
    body = "with local_executor(3) as one: print(one.submit(abs, -7).result())"
    assert limited(processes, body, core) == "7"


@needs_root
def test_without_a_thread_chunks_are_made_when_they_are_asked_for() -> None:
    assert limited(1, "print(list(prefetch(iter([b'a', b'b']))))") == "[b'a', b'b']"


def test_where_nothing_is_limited_all_can_be_started() -> None:
    assert count_startable(3) == 3


def test_trying_leaves_nothing_behind() -> None:
    # Other tests may have left processes of theirs to this one: what counts is that none was added.
    before, children = _descriptors(), _children()
    count_startable(2)
    assert _descriptors() == before
    assert _children() <= children


@pytest.fixture
def site() -> Site:
    site = Site()
    site.prepare(note())
    return site


def key_of(keys: KeySource) -> bytes:
    found = keys.key_set().at_hand(scope())
    return found.secret if found is not None else b""


@pytest.fixture(params=[InlineExecutor, ThreadExecutor, ProcessExecutor])
def executor(request: pytest.FixtureRequest) -> Iterator[WorkExecutor]:
    made = request.param() if request.param is InlineExecutor else request.param(2)
    yield made
    made.shutdown()


def test_a_worker_has_the_keys_that_were_handed_out(site: Site, executor: WorkExecutor) -> None:
    assert executor.submit(abs, -7).result() == 7
    handed = executor.hand_out(site.keys)
    assert (handed.names, handed.complete) == (site.keys.names, True)
    assert key_of(handed)
    assert [executor.submit(key_of, handed).result() for _ in range(4)] == [key_of(site.keys)] * 4


def test_keys_reach_processes_that_are_not_forked(site: Site) -> None:
    with ThreadPoolExecutor(1) as other:  # beside which nothing is forked
        assert other.submit(abs, -7).result() == 7
        executor = ProcessExecutor(1)
        assert executor.submit(key_of, executor.hand_out(site.keys)).result() == key_of(site.keys)
        executor.shutdown()


def test_no_key_travels_with_the_work(site: Site) -> None:
    executor = ProcessExecutor(1)
    crossing = pickle.dumps(executor.hand_out(site.keys))
    executor.shutdown()
    key = site.keys.at_hand(scope())
    assert key is not None
    assert key.dek_id.encode() not in crossing
    assert key.secret not in crossing
    with pytest.raises(StoppedError, match="started too late"):
        pickle.loads(crossing).key_set()  # noqa: S301


def test_what_stands_for_keys_does_not_print_them(site: Site) -> None:
    assert repr(HandedKeys(7, site.keys)) == "HandedKeys(7)"


def test_chunks_come_in_order_by_a_thread() -> None:
    assert list(prefetch(iter(range(20)))) == list(range(20))


def _children() -> set[str]:
    """Return the ids of the child processes of this one, ended ones that were not waited for included."""

    return {child for task in Path("/proc/self/task").iterdir() for child in (task / "children").read_text().split()}


def _descriptors() -> list[str]:
    return sorted(path.name for path in Path("/proc/self/fd").iterdir())

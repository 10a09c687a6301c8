"""Where processes and threads run out: fewer workers, or none, and nobody waits for ever."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kit.archive.prefetch import prefetched
from kit.engine.processes import startable

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="a limit of processes is not one for its own user's others")


def limited(processes: int, body: str) -> str:
    """Run Python where so many processes of a user without others are allowed; give what it prints."""

    start = f"import os, resource\nlimit = {processes}\n{PROLOGUE}\n{body}"
    done = subprocess.run([sys.executable, "-c", start], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done
    return done.stdout.strip()


# As root nothing limits processes, so another user is taken on once everything is imported.
PROLOGUE = """
from kit.archive.prefetch import prefetched
from kit.engine import processes, shared_memory
from kit.engine.executors import local_executor
import concurrent.futures.process, multiprocessing.context, multiprocessing.popen_fork, multiprocessing.queues
import multiprocessing.synchronize, queue, threading
resource.setrlimit(resource.RLIMIT_NPROC, (limit, limit))
os.setgroups([])
os.setresuid(65534, 65534, 65534)
"""


@needs_root
@pytest.mark.parametrize("processes", [1, 2, 4, 7, 9, 12])
def test_whatever_the_limit_the_work_is_done(processes: int) -> None:
    body = "with local_executor(3) as one: print(one.submit(abs, -7).result())"
    assert limited(processes, body) == "7"


@needs_root
def test_without_a_thread_chunks_are_made_when_they_are_asked_for() -> None:
    assert limited(1, "print(list(prefetched(iter([b'a', b'b']))))") == "[b'a', b'b']"


def test_where_nothing_is_limited_all_can_be_started() -> None:
    assert startable(3) == 3


def test_trying_leaves_nothing_behind() -> None:
    # Other tests may have left processes of theirs to this one: what counts is that none was added.
    before, children = _descriptors(), _children()
    startable(2)
    assert _descriptors() == before
    assert _children() <= children


def test_chunks_come_in_order_by_a_thread() -> None:
    assert list(prefetched(iter(range(20)))) == list(range(20))


def _children() -> set[str]:
    """Return the ids of the child processes of this one, ended ones that were not waited for included."""

    return {child for task in Path("/proc/self/task").iterdir() for child in (task / "children").read_text().split()}


def _descriptors() -> list[str]:
    return sorted(path.name for path in Path("/proc/self/fd").iterdir())

"""One thread of a process works with kits at a time."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from kit.errors import UsageError
from kit.ops.kits import Environment, opened, workers_when_asked
from tests.kits import write_kit

ALONE = Environment(workers=1)


@pytest.fixture
def kit(tmp_path: Path) -> Path:
    return write_kit(tmp_path / "kit.tar", {"a": b"a"})


def is_opened(kit: Path) -> bool:
    with opened(kit, ALONE):
        return True


def test_a_second_thread_is_refused_until_the_first_is_done(kit: Path) -> None:
    with ThreadPoolExecutor(1) as other:
        with opened(kit, ALONE):
            assert is_opened(kit)
            with pytest.raises(UsageError, match="another thread"):
                other.submit(is_opened, kit).result()
        assert other.submit(is_opened, kit).result()
    assert is_opened(kit)


def test_workers_that_are_asked_for_later_count_from_then_on(kit: Path) -> None:
    with ThreadPoolExecutor(1) as other, workers_when_asked(ALONE) as start:
        assert other.submit(is_opened, kit).result()
        start()
        with pytest.raises(UsageError, match="another thread"):
            other.submit(is_opened, kit).result()


def test_a_process_that_another_thread_forked_meanwhile_may_work(kit: Path) -> None:
    def forked() -> int:
        child = os.fork()
        if not child:
            code = 1
            try:
                code = int(not is_opened(kit))
            finally:
                os._exit(code)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    with ThreadPoolExecutor(1) as other, opened(kit, ALONE):
        assert other.submit(forked).result() == 0

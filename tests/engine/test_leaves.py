"""Leaves sorted on disk: GNU sort is the oracle, and neither bounds nor runs nor workers show."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from kit.documents.identity import hash_digits
from kit.engine import leaves
from kit.engine.executors import InlineExecutor, local_executor
from kit.engine.leaves import LeafStore
from kit.engine.pipeline import Pipeline
from kit.errors import OutputError
from kit.values import MemberPath
from kit.values.digest import root_of
from tests.engine.test_rewrite import IDLE, run
from tests.kits import OBSERVATIONS, small_files, write_kit
from tests.tiers import examples

PATH, OTHER = MemberPath("a/b/c.bson"), MemberPath("a/b/d.bson")


def line(key: int, leaf: int) -> bytes:
    return b"%x %064x\n" % (key, leaf)


def pipeline() -> Pipeline:
    return Pipeline(InlineExecutor(), budget=1 << 20)


def expected(lines: list[bytes]) -> str:
    return root_of([bytes.fromhex(hash_digits(one).decode()) for one in sorted(lines)]).hex()


LINES = st.builds(line, st.integers(0, 300), st.integers(0, 3))


@settings(max_examples=examples(60))
@given(st.lists(st.lists(LINES, max_size=20), max_size=20), st.sampled_from([1, 300, 1 << 20]))
def test_the_order_of_runs_and_what_fits_in_memory_do_not_show(
    tmp_path_factory: pytest.TempPathFactory, runs: list[list[bytes]], held: int
) -> None:
    store = LeafStore(tmp_path_factory.mktemp("leaves"), held_bytes=held)
    for one in runs:
        store.add(PATH, b"".join(sorted(one)))
    every = [one for lines in runs for one in lines]
    assert list(store.lines(PATH)) == sorted(every)
    assert str(store.root(PATH, pipeline())) == expected(every)


@pytest.mark.skipif(shutil.which("sort") is None, reason="no sort")
def test_spilled_files_merge_to_what_gnu_sort_makes_of_them(tmp_path: Path) -> None:
    store = LeafStore(tmp_path, held_bytes=1000)
    every = [line((number * 7919) % 5003, number % 5) for number in range(9000)]
    for at in range(0, len(every), 10):  # more files than may be open at once, so that they are merged in between
        store.add(PATH, b"".join(sorted(every[at : at + 10])))
    oracle = subprocess.run(
        ["sort"], input=b"".join(every), capture_output=True, check=True, env={"LC_ALL": "C"}
    ).stdout
    assert b"".join(store.lines(PATH)) == oracle
    assert len(list(tmp_path.iterdir())) < leaves._MAX_FILES
    assert str(store.root(PATH, pipeline())) == expected(every)


def test_more_leaves_than_a_block(tmp_path: Path) -> None:
    store = LeafStore(tmp_path)
    every = [line(0x100000 + number, number) for number in range(2 * leaves.BLOCK + 3)]
    store.add(PATH, b"".join(every))
    assert len(store.block_roots(PATH, pipeline())) == 3
    assert str(store.root(PATH, pipeline())) == expected(every)


def test_members_are_kept_apart_and_one_without_documents_has_the_empty_root(tmp_path: Path) -> None:
    store = LeafStore(tmp_path / "made", held_bytes=1)
    store.add(PATH, line(1, 1))
    store.add(OTHER, line(2, 2))
    assert [str(store.root(path, pipeline())) for path in (PATH, OTHER, MemberPath("none"))] == [
        expected([line(1, 1)]),
        expected([line(2, 2)]),
        expected([]),
    ]


def test_a_disk_that_takes_no_more_is_said(tmp_path: Path) -> None:
    (tmp_path / "taken").write_bytes(b"")
    store = LeafStore(tmp_path / "taken", held_bytes=1)
    with pytest.raises(OutputError, match="leaves of a Merkle tree"):
        store.add(PATH, line(1, 1))


@pytest.mark.parametrize("workers", [1, 2])
def test_a_rewrite_and_its_survey_give_the_leaves_of_what_is_written(tmp_path: Path, workers: int) -> None:
    kit = write_kit(tmp_path / "kit.tar.zst", small_files())
    store = LeafStore(tmp_path / "leaves")
    ran = run(kit, tmp_path / "job", workers=workers, leaves=store)
    assert ran.done.changed
    again = LeafStore(tmp_path / "again")
    second = run(ran.output, tmp_path / "job-2", workers=workers, leaves=again)
    assert not second.done.changed
    with local_executor(workers) as executor:
        work = Pipeline(executor, budget=1 << 20)
        for path in (MemberPath(OBSERVATIONS), MemberPath(IDLE)):
            lines = list(store.lines(path))
            assert lines
            assert list(again.lines(path)) == lines
            assert store.root(path, work) == again.root(path, work)

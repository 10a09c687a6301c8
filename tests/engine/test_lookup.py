"""The lookup on disk: a multi-map that does not care in which order it was filled, nor how large it is."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from kit.engine.lookup import EmptyLookup, LookupReader, LookupWriter
from kit.errors import OutputError
from tests.tiers import examples

ROOT = Path(__file__).parents[2]
KEYS = st.binary(min_size=1, max_size=3) | st.sampled_from([b"\xff" * 32, b"\xff" * 31 + b"\0", b"a" * 32])
PAIRS = st.lists(st.tuples(KEYS, st.binary(max_size=5)), max_size=40)


def built(folder: str, pairs: list[tuple[bytes, bytes]], parts: int = 1) -> LookupReader:
    path = Path(folder) / "lookup with ? and #"
    with LookupWriter(path) as writer:
        for part in range(parts):
            writer.put(pairs[part::parts])
        writer.finish()
    return LookupReader(writer.path)


@settings(deadline=None, max_examples=examples(50))
@given(pairs=PAIRS, asked=st.lists(KEYS, max_size=10), parts=st.integers(1, 4), data=st.data())
def test_what_is_found_does_not_depend_on_the_order_of_filling(
    pairs: list[tuple[bytes, bytes]], asked: list[bytes], parts: int, data: st.DataObject
) -> None:
    expected = defaultdict(list)
    for key, value in pairs:
        expected[key].append(value)
    keys = [*expected, *asked]
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        for reader in (built(one, pairs), built(two, data.draw(st.permutations(pairs)), parts)):
            assert reader.find(keys) == {key: sorted(values) for key, values in expected.items()}
            for prefix in (key[:length] for key in keys for length in (0, 1, 16, 32)):
                assert reader.has_prefix(prefix) == any(key.startswith(prefix) for key in expected)
            reader.close()


def test_many_keys_are_found_in_one_call(tmp_path: Path) -> None:
    pairs = [(number.to_bytes(4, "big"), b"v") for number in range(2500)]
    reader = built(str(tmp_path), pairs)
    assert len(reader.find([key for key, _ in pairs] * 2)) == 2500
    reader.close()


def test_equal_pairs_are_all_kept(tmp_path: Path) -> None:
    reader = built(str(tmp_path), [(b"k", b"v")] * 3)
    assert reader.find([b"k"]) == {b"k": [b"v"] * 3}
    reader.close()


def test_an_empty_lookup_finds_nothing(tmp_path: Path) -> None:
    reader = built(str(tmp_path), [])
    for one in (reader, EmptyLookup()):
        assert one.find([b"k"]) == {}
        assert not one.has_prefix(b"")
    reader.close()


def test_a_lookup_that_is_not_there_is_an_output_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot keep the lookup on disk"):
        LookupReader(tmp_path / "missing")
    with pytest.raises(OutputError, match="cannot keep the lookup on disk"):
        LookupWriter(tmp_path / "missing" / "lookup")


@pytest.fixture
def small_files_only() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.usefixtures("small_files_only")
def test_a_full_disk_is_an_output_error_with_a_way_out(tmp_path: Path) -> None:
    pairs = [(number.to_bytes(32, "big"), bytes(300)) for number in range(100_000)]
    with pytest.raises(OutputError) as caught:
        built(str(tmp_path), pairs)
    assert "make room" in caught.value.hint


_FILL = """
import hashlib, resource, sys
from pathlib import Path
from kit.engine.lookup import LookupReader, LookupWriter
count, path = int(sys.argv[1]), Path(sys.argv[2])
key = lambda number: hashlib.sha256(number.to_bytes(8, "big")).digest()
with LookupWriter(path) as writer:
    for start in range(0, count, 5000):
        writer.put((key(number), b"v" * 20) for number in range(start, start + 5000))
    writer.finish()
writer.path.rename(path)
reader = LookupReader(path)
for start in range(0, count, 5000):
    assert len(reader.find([key(number) for number in range(start, start + 50)])) == 50
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def peak_kib(count: int, folder: Path) -> int:
    run = subprocess.run(
        [sys.executable, "-c", _FILL, str(count), str(folder / str(count))],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]},
    )
    return int(run.stdout)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_entries(tmp_path: Path) -> None:
    few, many = peak_kib(200_000, tmp_path), peak_kib(500_000, tmp_path)
    assert (tmp_path / "500000").stat().st_size > 40 * 1024 * 1024
    assert many - few < 12 * 1024


@pytest.mark.slow
def test_the_sorter_spills_beside_the_lookup_and_nowhere_else(tmp_path: Path) -> None:
    folder = tmp_path / "it's here"
    folder.mkdir()
    with LookupWriter(folder / "lookup") as writer:
        writer.put((number.to_bytes(32, "big"), bytes(400)) for number in range(100_000, 0, -1))
        writer.finish()
    reader = LookupReader(writer.path)
    assert len(reader.find([(7).to_bytes(32, "big")])) == 1
    assert reader._database.execute("PRAGMA temp_store_directory").fetchall() in ([], [("",)])
    reader.close()


_CLOSE = """
import threading
from pathlib import Path
from kit.engine.lookup import LookupReader, LookupWriter
from kit.errors import OutputError
import sys
with LookupWriter(Path(sys.argv[1])) as writer:
    writer.put((number.to_bytes(32, "big"), bytes(40)) for number in range(2000))
    writer.finish()
for _ in range(100):
    reader, reading, ended = LookupReader(writer.path), threading.Event(), []
    def read():
        try:
            while True:
                reader.has_prefix(bytes(20))
                reader.find([number.to_bytes(32, "big") for number in range(400)])
                reading.set()
        except OutputError:
            ended.append(True)
    thread = threading.Thread(target=read)
    thread.start()
    reading.wait()
    reader.close()
    thread.join()
    assert ended == [True]
"""


def test_a_lookup_that_is_closed_while_another_thread_reads_it_ends_the_reading_and_not_the_process(
    tmp_path: Path,
) -> None:
    words = [sys.executable, "-c", _CLOSE, str(tmp_path / "lookup")]
    done = subprocess.run(words, capture_output=True, env={"PYTHONPATH": str(ROOT)}, check=False)
    assert (done.returncode, done.stderr) == (0, b"")

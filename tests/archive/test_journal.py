"""A journal is believed up to the first line that is not what was written in its turn, and names nothing unsynced."""

from __future__ import annotations

import os
import random
import resource
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from kit.archive.frames import Frame
from kit.errors import OutputError
from kit.output.journal import (
    BEGIN,
    FORMAT,
    FRAME,
    JUDGED,
    READY,
    RESTART,
    BeginRecord,
    FrameRecord,
    JournalFile,
    Position,
    Record,
    encode_record,
    scan,
)
from kit.output.spool import Extent, Spool

TEXT = st.text(max_size=20)
INTEGERS = st.integers(-(2**63), 2**63 - 1)
BODIES = st.dictionaries(TEXT.filter(lambda key: key != "record"), TEXT | INTEGERS | st.none() | st.lists(TEXT))
COUNTS = st.integers(0, 2**53 - 1)
BEGUN = BeginRecord(format=FORMAT, tool="kit", version="1", options={})


def written(bodies: list[dict[str, object]]) -> tuple[list[bytes], list[Record]]:
    lines, records, at = [], [], Position()
    for body in bodies:
        line, at = encode_record(FRAME, body, at)
        lines.append(line)
        records.append(Record(kind=FRAME, body=body, after=at))
    return lines, records


@given(st.lists(BODIES, max_size=6))
def test_what_is_written_is_read_in_its_order(bodies: list[dict[str, object]]) -> None:
    lines, records = written(bodies)
    assert all(line.count(b"\n") == 1 for line in lines)
    assert list(scan(lines)) == records
    for number, record in enumerate(records):
        assert list(scan(lines[number + 1 :], record.after)) == records[number + 1 :]


@given(st.lists(BODIES, min_size=1, max_size=4), st.data())
def test_a_tail_that_is_cut_anywhere_leaves_the_records_before_it(
    bodies: list[dict[str, object]], data: st.DataObject
) -> None:
    lines, records = written(bodies)
    whole = b"".join(lines)
    cut = data.draw(st.integers(0, len(whole)))
    expected = [record for record in records if record.after.offset <= cut]
    assert list(scan(whole[:cut].splitlines(keepends=True))) == expected


@given(st.lists(BODIES, min_size=1, max_size=4), st.data())
def test_a_flipped_bit_ends_the_journal_before_its_record(bodies: list[dict[str, object]], data: st.DataObject) -> None:
    lines, records = written(bodies)
    whole = bytearray(b"".join(lines))
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] ^= 1 << data.draw(st.integers(0, 7))
    expected = [record for record in records if record.after.offset <= at]
    assert list(scan(bytes(whole).splitlines(keepends=True)))[: len(expected) + 1] == expected


def test_a_record_out_of_turn_is_not_believed() -> None:
    lines, records = written([{"a": 1}, {"a": 1}, {"b": 2}])
    assert list(scan([lines[0], lines[2]])) == records[:1]


@given(COUNTS, COUNTS, COUNTS, st.integers(0, 2**32 - 1), st.booleans())
def test_a_frame_record_round_trips(offset: int, size: int, length: int, crc32: int, piece: bool) -> None:  # noqa: FBT001
    record = FrameRecord(offset=offset, size=size, length=length, crc32=crc32, piece=piece)
    assert FrameRecord.of(record.to_json()) == record


def frame(number: int) -> Frame:
    return Frame(encoded=b"%04d" % number * 5, length=40)


def filled(folder: Path, frames: int, **options: int) -> JournalFile:
    journal = JournalFile(folder / "journal")
    journal.write(BEGIN, BEGUN.to_json())
    spool = Spool(folder, journal, **options)
    for number in range(frames):
        spool.write(frame(number), piece=number % 3 > 0)  # the first of three is made by no worker
    spool.sync()
    spool.close()
    journal.close()
    return JournalFile(folder / "journal")


def taken_over(folder: Path) -> list[bytes]:
    """Write again what an earlier process wrote, and give what was offered for the pieces among it."""
    journal = JournalFile(folder / "journal")
    spool = Spool(folder, journal)
    before, offered = journal.frames, []
    while data := spool.next_piece():
        offered.append(data)
    for number in range(before):
        assert spool.write(frame(number), piece=number % 3 > 0) == Extent(offset=20 * number, size=20, length=40)
    spool.sync()
    spool.close()
    journal.close()
    return offered


def pieces(frames: int) -> list[bytes]:
    return [frame(number).encoded for number in range(frames) if number % 3]


@pytest.mark.parametrize("options", [{}, {"checkpoint_bytes": 1}, {"checkpoint_bytes": 50}])
def test_another_process_takes_over_what_was_finished(tmp_path: Path, options: dict[str, int]) -> None:
    assert filled(tmp_path, 7, **options).frames == 7
    before = (tmp_path / "spool").stat().st_mtime_ns, (tmp_path / "journal").read_bytes()
    assert taken_over(tmp_path) == pieces(7)
    assert ((tmp_path / "spool").stat().st_mtime_ns, (tmp_path / "journal").read_bytes()) == before


def test_what_was_committed_is_on_record_and_what_was_not_is_not(tmp_path: Path) -> None:
    journal = JournalFile(tmp_path / "journal")
    journal.write(BEGIN, BEGUN.to_json())
    spool = Spool(tmp_path, journal)
    spool.commit()
    for number in range(3):
        spool.write(frame(number))
        if number == 1:
            spool.commit()
    journal.close()
    spool.close()
    assert JournalFile(tmp_path / "journal").frames == 2


def test_a_checkpoint_is_on_record_without_being_asked_for(tmp_path: Path) -> None:
    journal = JournalFile(tmp_path / "journal")
    journal.write(BEGIN, BEGUN.to_json())
    spool = Spool(tmp_path, journal, checkpoint_bytes=1)
    spool.write(frame(0))
    spool.write(frame(1))
    journal.close()
    spool.close()
    assert JournalFile(tmp_path / "journal").frames == 2


def test_a_damaged_frame_ends_what_is_taken_over_and_the_rest_is_written_anew(tmp_path: Path) -> None:
    filled(tmp_path, 5)
    with (tmp_path / "spool").open("r+b") as file:
        file.seek(43)
        file.write(b"!")
    assert taken_over(tmp_path) == pieces(2)
    assert JournalFile(tmp_path / "journal").frames == 5
    assert (tmp_path / "spool").read_bytes() == b"".join(frame(number).encoded for number in range(5))


def test_a_spool_that_is_shorter_than_its_journal_ends_it_too(tmp_path: Path) -> None:
    filled(tmp_path, 5)
    os.truncate(tmp_path / "spool", 70)
    assert taken_over(tmp_path) == pieces(3)


def test_frames_beyond_the_journal_are_cut_off(tmp_path: Path) -> None:
    filled(tmp_path, 2)
    with (tmp_path / "spool").open("ab") as file:
        file.write(b"never recorded")
    assert taken_over(tmp_path) == pieces(2)
    JournalFile(tmp_path / "journal").close()


def test_another_frame_than_the_recorded_one_takes_its_place(tmp_path: Path) -> None:
    filled(tmp_path, 3)
    journal = JournalFile(tmp_path / "journal")
    spool = Spool(tmp_path, journal)
    spool.write(frame(0))
    spool.write(Frame(encoded=b"other", length=5))
    assert spool.next_piece() == b""
    spool.sync()
    assert b"".join(spool.read(Extent(offset=0, size=25, length=45), 7)) == frame(0).encoded + b"other"
    with pytest.raises(OSError, match="ends 5 bytes early"):
        list(spool.read(Extent(offset=0, size=30, length=0), 100))
    spool.close()
    journal.close()
    assert JournalFile(tmp_path / "journal").frames == 2


@pytest.mark.parametrize("folder", [None, "/dev/shm"], ids=["same file system", "another"])  # noqa: S108
def test_an_extent_is_copied_to_where_a_file_is(tmp_path: Path, folder: str | None) -> None:
    if folder is not None and not Path(folder).is_dir():
        pytest.skip(f"there is no {folder}")
    journal = JournalFile(tmp_path / "journal")
    journal.write(BEGIN, BEGUN.to_json())
    spool = Spool(tmp_path, journal)
    data = random.Random(9).randbytes(5 << 20)  # noqa: S311  no secret
    extents = [spool.write(Frame(encoded=one, length=1)) for one in (b"first", data, b"last")]
    with tempfile.TemporaryFile(dir=folder or tmp_path, buffering=0) as target:
        target.write(b"before ")
        for extent in (*extents[1:], extents[0]):
            spool.copy(extent, target)
        target.write(b" behind")
        target.seek(0)
        assert target.read() == b"before " + data + b"lastfirst behind"
        with pytest.raises(OSError, match="ends 1 bytes early"):
            spool.copy(Extent(offset=extents[2].offset, size=5, length=1), target)
    spool.close()
    journal.close()


def test_a_copy_that_there_is_no_room_for_fails(tmp_path: Path) -> None:
    journal = JournalFile(tmp_path / "journal")
    journal.write(BEGIN, BEGUN.to_json())
    spool = Spool(tmp_path, journal)
    extent = spool.write(Frame(encoded=bytes(9000), length=1))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, hard))
    try:
        with (
            tempfile.TemporaryFile(dir=tmp_path, buffering=0) as target,
            pytest.raises(OSError, match="File too large"),
        ):
            spool.copy(extent, target)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    spool.close()
    journal.close()


@pytest.mark.parametrize("before", [0, 2, 5], ids=["before the frames", "among them", "after them"])
def test_what_was_judged_stays_judged_when_frames_are_dropped(tmp_path: Path, before: int) -> None:
    journal = JournalFile(tmp_path / "journal")
    journal.write(BEGIN, BEGUN.to_json())
    spool = Spool(tmp_path, journal)
    for number in range(5):
        if number == before:
            journal.write(JUDGED, {"base": {"size": 7}})
        spool.write(frame(number))
    if before == 5:
        spool.sync()
        journal.write(JUDGED, {"base": {"size": 7}})
    spool.sync()
    spool.close()
    journal.close()
    again = JournalFile(tmp_path / "journal")
    spool = Spool(tmp_path, again)
    for number in (0, 9):  # the second is another than the one on record, so that is dropped with all after it
        spool.write(frame(number))
    spool.sync()
    spool.close()
    again.close()
    last = JournalFile(tmp_path / "journal")
    assert last.judged is not None
    assert (last.frames, last.judged.base) == (2, {"size": 7})


def test_a_torn_record_is_overwritten(tmp_path: Path) -> None:
    filled(tmp_path, 2)
    with (tmp_path / "journal").open("ab") as file:
        file.write(b'00000000 {"record":"frame"')
    journal = JournalFile(tmp_path / "journal")
    journal.write(JUDGED, {"base": {}})
    journal.write(READY, {"new": "x"})
    journal.close()
    again = JournalFile(tmp_path / "journal")
    assert (again.frames, again.ready is not None) == (2, True)


def test_a_second_pass_voids_the_frames_of_the_first(tmp_path: Path) -> None:
    journal = filled(tmp_path, 3)
    journal.write(JUDGED, {"base": {}})
    journal.write(RESTART, {})
    assert journal.frames == 0
    journal.close()
    again = JournalFile(tmp_path / "journal")
    assert again.frames == 0
    assert again.restarted is not None
    assert list(again.frame_records()) == []
    Spool(tmp_path, again).close()
    assert (tmp_path / "spool").stat().st_size == 0


def test_after_a_sync_that_failed_nothing_more_is_put_on_record(tmp_path: Path) -> None:
    journal = filled(tmp_path, 1)
    journal.append(FRAME, {"at": 20})
    reading, writing = os.pipe()
    with pytest.raises(OSError, match="Invalid argument"):
        journal.sync(reading)  # a pipe cannot be synced
    os.close(reading)
    os.close(writing)
    with pytest.raises(OutputError, match="an earlier sync of this job failed"):
        journal.write(READY, {})
    journal.close()
    assert JournalFile(tmp_path / "journal").frames == 1


def test_a_checkpoint_that_failed_is_told_with_the_next(tmp_path: Path) -> None:
    journal = filled(tmp_path, 1)
    reading, writing = os.pipe()
    journal.append(FRAME, {"at": 20})
    journal.sync_soon(reading)
    with pytest.raises(OSError, match="Invalid argument"):
        journal.sync_soon(reading)
    journal.close()
    os.close(reading)
    os.close(writing)


def test_a_journal_that_cannot_be_read_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "journal").mkdir()
    with pytest.raises(OutputError, match="is not a file of this run"):
        JournalFile(tmp_path / "journal")

"""An archive as assembled: the members in the order of their slots, whatever the order of the writes."""

from __future__ import annotations

import io
import os
import resource
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from kit.archive.frames import encode_frame
from kit.archive.read.reader import open_kit
from kit.archive.write.tar import END, ArchiveDestination, CountingDestination, Destination, Slot, add_bytes
from kit.errors import OutputError
from kit.values import Codec, Limits, MemberPath, Timestamp
from tests.archive.building import archive_in
from tests.kits import contents, tar, unpacked
from tests.tiers import examples

AT = Timestamp(1_760_000_000)
CODECS = (Codec.NONE, Codec.GZIP, Codec.ZSTD)
every_codec = pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.name.lower())

NAMES = st.text("abcé漢-", min_size=1, max_size=20) | st.integers(99, 200).map(lambda size: "n" * size)
FILES = st.dictionaries(NAMES, st.binary(max_size=3000), min_size=1, max_size=12)
LAYOUTS = st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path


def carry_all(archive: bytes, destination: Destination, folder: Path) -> None:
    path = folder / "source.tar"
    path.write_bytes(archive)
    with open_kit(path, limits=Limits()) as reader:
        for member, body in reader.members():
            slot, content = destination.carry(member, body)
            for chunk in content:
                destination.add(slot, encode_frame(destination.codec, chunk))
            destination.close(slot, mtime=AT)


def numbered(files: dict[str, bytes]) -> dict[str, bytes]:
    """Give names apart in every file system, below a folder that is a member itself."""
    return {"top/": b""} | {f"top/{number}{name}": data for number, (name, data) in enumerate(files.items())}


@every_codec
@settings(deadline=None, max_examples=examples(40))
@given(files=FILES, layout=LAYOUTS)
def test_carrying_every_member_gives_the_same_tar_bytes(codec: Codec, files: dict[str, bytes], layout: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        archive = tar(numbered(files), layout=layout)
        destination = archive_in(Path(name), codec=codec)
        carry_all(archive, destination, Path(name))
        whole = unpacked(destination.assemble().read_bytes())
        # A tar of tarfile's is filled up to a record of 20 blocks; what comes before its end blocks is the same.
        members = whole.removesuffix(END)
        assert whole.endswith(END)
        assert archive.startswith(members)
        assert not archive[len(members) :].strip(b"\0")


def fill(destination: ArchiveDestination, *, late: bool) -> bytes:
    """Write three members, the first one's content before or after the others'."""
    slots = [destination.open(MemberPath(name), mode=0o644) for name in ("a", "b", "c")]
    order = [slots[1], slots[2], slots[0]] if late else slots
    for slot in order:
        add_bytes(destination, slot, f"{slot.path} holds this".encode() * 100, mtime=AT)
    return destination.assemble().read_bytes()


@every_codec
def test_the_order_of_writes_does_not_show(codec: Codec, tmp_path: Path) -> None:
    early, late = tmp_path / "early", tmp_path / "late"
    early.mkdir()
    late.mkdir()
    one = fill(archive_in(early, codec=codec), late=False)
    assert one == fill(archive_in(late, codec=codec), late=True)
    assert list(contents(one)) == ["a", "b", "c"]


def test_slots_filled_in_turns_do_not_mix(place: Path) -> None:
    destination = archive_in(place, codec=Codec.ZSTD)
    one, two = (destination.open(MemberPath(name), mode=0o600) for name in ("one", "two"))
    for number in range(5):
        destination.add(one, encode_frame(Codec.ZSTD, b"1" * number))
        destination.add(two, encode_frame(Codec.ZSTD, b"2" * number))
    destination.close(two, mtime=AT)
    destination.close(one, mtime=AT)
    assert contents(destination.assemble().read_bytes()) == {"one": b"1" * 10, "two": b"2" * 10}


@every_codec
def test_stock_tar_lists_and_extracts_what_was_assembled(codec: Codec, place: Path) -> None:
    if shutil.which("tar") is None:
        pytest.skip("tar is not installed")
    files = {"docs/": b"", "docs/é.txt": b"e", "empty": b"", "long/" + "n" * 200: b"x" * 1000}
    destination = archive_in(place, codec=codec)
    carry_all(tar(files), destination, place)
    add_bytes(destination, destination.open(MemberPath("new.json"), mode=0o644), b"{}", mtime=AT)
    path = destination.assemble()
    plain = place / "plain.tar"
    plain.write_bytes(unpacked(path.read_bytes()))
    out = place / "out"
    out.mkdir()
    subprocess.run(["tar", "-xf", str(plain), "-C", str(out)], check=True, capture_output=True)
    assert {name: (out / name).read_bytes() for name in [*files, "new.json"] if not name.endswith("/")} == {
        name: data for name, data in (files | {"new.json": b"{}"}).items() if not name.endswith("/")
    }
    listed = subprocess.run(
        ["tar", "-tf", str(path)], check=True, capture_output=True, env=os.environ | {"LC_ALL": "C"}
    )
    assert len(listed.stdout.splitlines()) == 5


def test_zstd_lists_the_assembled_archive_and_its_seek_table_adds_up(place: Path) -> None:
    if shutil.which("zstd") is None:
        pytest.skip("zstd is not installed")
    destination = archive_in(place, codec=Codec.ZSTD)
    carry_all(tar({f"m{number}": b"x" * number for number in range(30)}), destination, place)
    path = destination.assemble().rename(place / "a.tar.zst")
    data = path.read_bytes()
    subprocess.run(["zstd", "-t", str(path)], check=True, capture_output=True)
    subprocess.run(["zstd", "-l", str(path)], check=True, capture_output=True)
    count = int.from_bytes(data[-9:-5], "little")
    table = data[-9 - 8 * count : -9]
    sizes = [
        (int.from_bytes(table[at : at + 4], "little"), int.from_bytes(table[at + 4 : at + 8], "little"))
        for at in range(0, len(table), 8)
    ]
    assert sum(encoded for encoded, _ in sizes) + len(table) + 17 == len(data)
    assert sum(decoded for _, decoded in sizes) == len(unpacked(data))


def test_a_changed_member_gets_its_mode_its_time_and_no_owner(place: Path) -> None:
    destination = archive_in(place, codec=Codec.NONE)
    add_bytes(destination, destination.open(MemberPath("changed"), mode=0o640), b"new", mtime=AT)
    with tarfile.open(fileobj=io.BytesIO(destination.assemble().read_bytes())) as archive:
        info = archive.getmember("changed")
    assert (info.mode, info.mtime, info.uid, info.uname) == (0o640, AT.seconds, 0, "")


def test_nothing_is_written_outside_the_job_folder(place: Path) -> None:
    job = place / "job"
    job.mkdir()
    destination = archive_in(job, codec=Codec.GZIP)
    add_bytes(destination, destination.open(MemberPath("a"), mode=0o644), b"a", mtime=AT)
    destination.assemble()
    assert [path.name for path in place.iterdir()] == ["job"]
    assert {path.name for path in job.iterdir()} == {"archive", "journal", "spool"}


def test_a_place_that_cannot_be_written_is_an_output_error(place: Path) -> None:
    with pytest.raises(OutputError, match="cannot write: No such file"):
        archive_in(place / "missing", codec=Codec.NONE)


@pytest.fixture
def small_files_only() -> Iterator[None]:
    """Let this process write no file beyond 1000 bytes: a full disk, as far as a write can tell."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.usefixtures("small_files_only")
def test_after_a_failed_write_the_destination_accepts_nothing_more(place: Path) -> None:
    destination = archive_in(place, codec=Codec.NONE)
    slot = destination.open(MemberPath("a"), mode=0o644)
    destination.add(slot, encode_frame(Codec.NONE, bytes(900)))
    with pytest.raises(OutputError, match="File too large"):
        destination.add(slot, encode_frame(Codec.NONE, bytes(200)))
    with pytest.raises(OutputError, match="an earlier write failed"):
        destination.add(slot, encode_frame(Codec.NONE, b"fits"))
    with pytest.raises(OutputError, match="an earlier write failed"):
        destination.assemble()
    destination.release()


def test_counting_writes_nothing_and_counts_what_the_frames_take() -> None:
    destination = CountingDestination(codec=Codec.GZIP)
    slot = destination.open(MemberPath("a"), mode=0o644)
    frame = encode_frame(Codec.GZIP, b"x" * 1000)
    destination.add(slot, frame)
    destination.close(slot, mtime=AT)
    assert (destination.encoded, slot.length) == (len(frame.encoded), 1000)


def test_a_slot_is_itself_and_not_what_it_holds() -> None:
    assert Slot(path=None, mode=0) != Slot(path=None, mode=0)

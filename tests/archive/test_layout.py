"""What of an archive can be copied as stored: whole entries in whole frames, and nothing of other writers' archives."""

from __future__ import annotations

import io
import random
import struct
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from kit.archive.frames import Frame, encode, encode_frame, seek_table
from kit.archive.read.reader import Copying, open_kit
from kit.archive.read.tar import Layout
from kit.archive.write.tar import END
from kit.values import Allowed, Codec, Limits
from tests.archive.building import archive_in
from tests.archive.test_destination import AT
from tests.kits import packed, tar, unpacked
from tests.tiers import examples

NOISE = random.Random(2).randbytes(9 << 20)  # noqa: S311  no secret
FILES = {"a": b"a" * 700, "big": NOISE, "empty": b"", "folder/z": b"z"}
CODECS = (Codec.ZSTD, Codec.GZIP)
every_codec = pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.name.lower())


def written(folder: Path, codec: Codec, files: dict[str, bytes]) -> Path:
    """Write an archive as a patch does: carried members and new ones."""
    source = folder / "source.tar"
    source.write_bytes(tar(files))
    destination = archive_in(folder, codec=codec)
    with open_kit(source, limits=Limits()) as reader:
        for number, (member, body) in enumerate(reader.members()):
            if number % 2 and member.is_file and member.path is not None:
                slot, content = destination.open(member.path, mode=member.mode), body
            else:
                slot, content = destination.carry(member, body)
            data = b"".join(content)
            for at in range(0, len(data), 4 << 20):
                destination.add(slot, encode_frame(codec, data[at : at + (4 << 20)]))
            destination.close(slot, mtime=AT)
    return destination.assemble()


def layout_of(archive: Path, *, allow_links: bool = False) -> Layout | None:
    with open_kit(archive, limits=Limits(), allowed=Allowed(links=allow_links)) as reader:
        assert reader.layout() is None
        for _ in reader.members():
            pass
        return reader.layout()


@every_codec
def test_of_an_archive_this_program_wrote_everything_but_its_end_can_be_copied(codec: Codec, tmp_path: Path) -> None:
    layout = layout_of(written(tmp_path, codec, FILES))
    assert layout is not None
    (stretch,) = layout.stretches([True] * len(FILES))
    assert (stretch.first, stretch.end, stretch.files) == (0, len(layout.sizes) - 1, len(FILES))


@pytest.fixture(scope="module", params=CODECS, ids=lambda codec: codec.name.lower())
def archive(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("archive"), request.param, FILES)


@settings(deadline=None, max_examples=examples(16))
@given(stays=st.lists(st.booleans(), min_size=len(FILES), max_size=len(FILES)))
def test_what_is_copied_and_what_is_read_are_together_all_there_is(archive: Path, stays: list[bool]) -> None:
    with open_kit(archive, limits=Limits()) as reader:
        for _ in reader.members():
            pass
        layout, digest, size = reader.layout(), reader.pass_digest(), reader.read_bytes
        assert layout is not None
        stretches = tuple(layout.stretches(stays))
        assert sum(stretch.files for stretch in stretches) == sum(stays)
        pieces: list[bytes] = []

        def take(frame: Frame) -> None:
            data = unpacked(frame.encoded)
            assert len(data) == frame.length
            pieces.append(data)

        met = []
        for member, body in reader.members(Copying(layout=layout, stretches=stretches, take=take)):
            met.append(str(member.path))
            data = member.header + b"".join(body)
            pieces.append(data + bytes(-len(data) % 512))
        assert (reader.pass_digest(), reader.read_bytes) == (digest, size)
    assert met == [name for name, stay in zip(FILES, stays, strict=True) if not stay]
    assert b"".join(pieces) + END == unpacked(archive.read_bytes())


def cut_anywhere(codec: Codec) -> bytes:
    """Frames that are this program's own, but not cut at the starts of members."""
    archive = tar(FILES)
    frames = [encode_frame(codec, archive[at : at + 1_000_000]) for at in range(0, len(archive), 1_000_000)]
    data = b"".join(frame.encoded for frame in frames)
    return data + (seek_table([(len(f.encoded), f.length) for f in frames]) if codec is Codec.ZSTD else b"")


@every_codec
def test_a_member_that_shares_a_frame_with_another_is_not_copied(codec: Codec, tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    archive.write_bytes(cut_anywhere(codec))
    layout = layout_of(archive)
    assert layout is not None
    assert list(layout.stretches([True] * len(FILES))) == []


def with_global_record(_: bytes) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.PAX_FORMAT, pax_headers={"comment": "to all"}) as archive:
        archive.addfile(tarfile.TarInfo("a"))
    return own(made.getvalue())


def with_hard_link(_: bytes) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(tarfile.TarInfo("a"))
        link = tarfile.TarInfo("b")
        link.type, link.linkname = tarfile.LNKTYPE, "a"
        archive.addfile(link)
    return own(made.getvalue())


def own(archive: bytes) -> bytes:
    """Give an archive as a single frame with its table."""
    frame = encode(Codec.ZSTD, archive)
    return frame + seek_table([(len(frame), len(archive))])


def with_zstd(archive: bytes) -> bytes:
    return subprocess.run(["zstd", "-3", "-q", "-c"], input=archive, capture_output=True, check=True).stdout


@pytest.mark.parametrize(
    "make",
    [
        with_zstd,
        lambda archive: encode(Codec.ZSTD, archive),
        lambda archive: own(archive)[:-1] + b"\xb0",
        lambda archive: struct.pack("<II", 0x184D2A50, 3) + b"any" + own(archive),
        lambda archive: own(archive) + struct.pack("<II", 0x184D2A50, 3) + b"any",
        lambda archive: packed(archive, "kit.tar.gz"),
        with_global_record,
        with_hard_link,
    ],
    ids=[
        "zstd's own",
        "no table",
        "another table",
        "a skippable frame before",
        "a skippable frame after",
        "gzip's own",
        "a global record",
        "a hard link",
    ],
)
def test_nothing_of_another_writers_archive_is_copied(make: Callable[[bytes], bytes], tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    archive.write_bytes(make(tar({"a": b"1", "b": NOISE[:5000]})))
    assert layout_of(archive, allow_links=True) is None


@every_codec
def test_a_reading_that_did_not_come_to_its_end_has_no_layout(codec: Codec, tmp_path: Path) -> None:
    with open_kit(written(tmp_path, codec, FILES), limits=Limits()) as reader:
        members = reader.members()
        next(members)
        assert reader.layout() is None
        for _ in members:
            pass
        assert reader.layout() is not None


def test_a_plain_tar_and_a_folder_have_no_frames(tmp_path: Path) -> None:
    plain = tmp_path / "kit.tar"
    plain.write_bytes(tar(FILES))
    assert layout_of(plain) is None
    (tmp_path / "kit").mkdir()
    assert layout_of(tmp_path / "kit") is None

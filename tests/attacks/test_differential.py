"""What two readers of one archive would read differently is refused: GNU tar, bsdtar and tarfile against this one.

A signature covers bytes, an operator sees files: an archive that unpacks to other files with another program is an
attack on whoever verified it with this one. The law is one-sided. What is accepted here, all of them accept, with the
same members in the same order, of the same kinds, sizes and contents; what they disagree on, or refuse, is refused.
"""

from __future__ import annotations

import gzip
import itertools
import shutil
import struct
import subprocess
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings, strategies as st

from kit.archive.read.codecs import decode, detect
from kit.archive.source import ChunkReader
from kit.errors import KitError
from kit.values import Allowed, Codec
from tests.archive.building import (
    END,
    GNU,
    LIMITS,
    USTAR,
    V7,
    header,
    long_name,
    member,
    padded,
    pax,
    record,
    with_checksum,
)
from tests.archive.test_tar_attacks import ATTACKS, LINKS_OUT
from tests.attacks.bombs import size_field
from tests.attacks.readers import disagreement, expected_files, ours, readings, unpacked
from tests.attacks.test_containers import SKIPPABLE, TARS
from tests.attacks.test_names import ALL_CLASSES, CLASSES, NEVER as NAMES_NEVER, ORDINARY, spellings
from tests.attacks.test_records import NEVER, PERMITTED
from tests.laws.test_reading import TAR
from tests.tiers import examples, slow

pytestmark = pytest.mark.skipif(
    shutil.which("tar") is None or shutil.which("bsdtar") is None, reason="GNU tar and bsdtar are the oracles"
)


HANDWRITTEN = {
    **{f"attack: {name}": data for name, (data, _) in ATTACKS.items()},
    **{f"link: {name}": data + END for name, data in LINKS_OUT.items()},
    **{f"table: {name}": data + END for name, data in TARS.items()},
    "a sound archive of many kinds": TAR,
    "nothing but end blocks": END,
    "much padding behind the end": member(b"a", b"x") + END + bytes(9216),
    "an old flag": member(b"a", b"x", flag=b"\0") + END,
    "an old flag and a slash": member(b"a/", b"", flag=b"\0") + END,
    "an old flag and a slash, v7": member(b"a/", b"", flag=b"\0", magic=V7) + END,
    "an old file with a size and a slash, v7": member(b"a/", b"x", flag=b"\0", magic=V7) + END,
    "a folder without a slash": member(b"a", flag=b"5") + END,
    "a folder with a size and no body": header(b"a/", size=512, flag=b"5") + END,
    "a prefix that ends in a slash": member(b"b", prefix=b"a/") + END,
    "a prefix and an absolute name": member(b"/b", prefix=b"a") + END,
    "a prefix with spaces": member(b"b", prefix=b"a ") + END,
    "a prefix in a v7 header": member(b"b", magic=V7, prefix=b"a") + END,
    "a name of 100 bytes": member(b"n" * 100) + END,
    "a prefix of 155 bytes": member(b"n" * 100, prefix=b"p" * 155) + END,
    "a size led by spaces": header(b"a", size=b"          1 ") + padded(b"x") + END,
    "a size without an end": header(b"a", size=b"000000000001") + padded(b"x") + END,
    "a size ended by a space": header(b"a", size=b"00000000001 ") + padded(b"x") + END,
    "a size in base 256": header(b"a", size=b"\x80" + (1).to_bytes(11, "big")) + padded(b"x") + END,
    "a size in base 256, flag 0x81": header(b"a", size=b"\x81" + (1).to_bytes(11, "big")) + padded(b"x") + END,
    "a mode in base 256": header(b"a", mode=b"\x80" + (0o644).to_bytes(7, "big")) + END,
    "a mode of many digits": header(b"a", mode=b"7777777\0") + END,
    "a time in base 256": header(b"a", mtime=b"\x80" + (12).to_bytes(11, "big")) + END,
    "a uid in base 256": header(b"a", uid=b"\x80" + (1).to_bytes(7, "big")) + END,
    "a PAX size that agrees": pax(record("size", b"1")) + member(b"a", b"x") + END,
    "a PAX size over zero": pax(record("size", b"1")) + header(b"a") + padded(b"x") + END,
    "a PAX path that agrees": pax(record("path", b"a")) + member(b"a", b"x") + END,
    "a PAX path of a folder without a slash": (
        pax(record("path", b"d/" + b"n" * 120)) + member(b"d/" + b"n" * 90, flag=b"5") + END
    ),
    "a PAX path of a folder with a slash": (
        pax(record("path", b"d/" + b"n" * 120 + b"/")) + member(b"d/" + b"n" * 90, flag=b"5") + END
    ),
    "a PAX path with a dot in front": pax(record("path", b"./" + b"n" * 120)) + member(b"n" * 100, b"x") + END,
    "a long PAX path of a file over a folder's name": (
        pax(record("path", b"n" * 120)) + member(b"d/", b"x", flag=b"\0", magic=USTAR) + END
    ),
    "a PAX path in front of a v7 header": pax(record("path", b"n" * 120)) + member(b"n" * 100, b"x", magic=V7) + END,
    "a PAX header in front of a GNU header": (
        pax(record("path", b"n" * 120)) + member(b"n" * 100, b"x", magic=GNU) + END
    ),
    "a GNU name in front of a ustar header": long_name(b"n" * 120 + b"\0") + member(b"n" * 100, b"x") + END,
    "a GNU name in front of a v7 header": long_name(b"n" * 120 + b"\0") + member(b"n" * 100, b"x", magic=V7) + END,
    "a GNU name over another": long_name(b"n" * 120 + b"\0") + member(b"evil", b"x", magic=GNU) + END,
    "a GNU name of a folder": long_name(b"n" * 120 + b"/\0") + member(b"n" * 100, flag=b"5", magic=GNU) + END,
    "a GNU name with a slash over a file": long_name(b"n" * 120 + b"/\0") + member(b"n" * 100, b"x", magic=GNU) + END,
    "a GNU name that begins with a dot": long_name(b"./" + b"n" * 120 + b"\0") + member(b"n" * 99, magic=GNU) + END,
    "a GNU name and a prefix": long_name(b"n" * 120 + b"\0") + member(b"x", b"x", prefix=b"p") + END,
    "a GNU name and a PAX comment": (
        long_name(b"n" * 120 + b"\0") + pax(record("comment", b"c")) + member(b"n" * 100, b"x", magic=GNU) + END
    ),
    "a PAX comment and a GNU name": (
        pax(record("comment", b"c")) + long_name(b"n" * 120 + b"\0") + member(b"n" * 100, b"x", magic=GNU) + END
    ),
    "a GNU name and a PAX time": (
        long_name(b"n" * 120 + b"\0") + pax(record("mtime", b"7")) + member(b"n" * 100, b"x", magic=GNU) + END
    ),
    "a GNU link name on a file": long_name(b"l" * 120 + b"\0", b"K") + member(b"a", b"x", magic=GNU) + END,
    "a PAX header, a global one, a member": (
        pax(record("path", b"n" * 120)) + pax(record("comment", b"c"), flag=b"g") + member(b"n" * 100, b"x") + END
    ),
    "a GNU name, a global PAX header, a member": (
        long_name(b"n" * 120 + b"\0") + pax(record("comment", b"c"), flag=b"g") + member(b"n" * 100, magic=GNU) + END
    ),
    "a global PAX time": pax(record("mtime", b"7"), flag=b"g") + member(b"a", b"x") + END,
    "a global character set": pax(record("hdrcharset", b"BINARY"), flag=b"g") + member(b"a", b"x") + END,
    "a PAX uname that is not UTF-8": pax(record("uname", b"\xff")) + member(b"a", b"x") + END,
    "a PAX charset": pax(record("charset", b"ISO-IR 8859 1 1998")) + member(b"a", b"x") + END,
    "a PAX time without digits": pax(record("mtime", b"now")) + member(b"a", b"x") + END,
    "a PAX time of 2^63": pax(record("mtime", b"9223372036854775808")) + member(b"a", b"x") + END,
    "a PAX gid without digits": pax(record("gid", b"x")) + member(b"a", b"x") + END,
    "a PAX uid without digits": pax(record("uid", b"x")) + member(b"a", b"x") + END,
    "a PAX record of Solaris": pax(record("SUN.holesdata", b" 0 1")) + member(b"a", b"x") + END,
    "a PAX record of SCHILY": pax(record("SCHILY.filetype", b"directory")) + member(b"a", b"x") + END,
    "a PAX record of libarchive": pax(record("LIBARCHIVE.symlinktype", b"file")) + member(b"a", b"x") + END,
    "a PAX record RHT.security": pax(record("RHT.security.selinux", b"x")) + member(b"a", b"x") + END,
    "a sparse name of PAX": pax(record("GNU.sparse.name", b"evil")) + member(b"a", b"x") + END,
    "a PAX realtime access list": pax(record("SCHILY.acl.access", b"user::rwx")) + member(b"a", b"x") + END,
    "a NUL in a PAX key": pax(record("co\0mment", b"c")) + member(b"a", b"x") + END,
    "a NUL in a PAX value": pax(record("comment", b"c\0d")) + member(b"a", b"x") + END,
    "a NUL in a PAX name of a user": pax(record("uname", b"c\0d")) + member(b"a", b"x") + END,
    "a NUL in a PAX time": pax(record("mtime", b"7\0")) + member(b"a", b"x") + END,
    "a uid beyond 32 bits": header(b"a", uid=b"\x80" + (1 << 32).to_bytes(7, "big")) + END,
    "a PAX uid beyond 32 bits": pax(record("uid", b"4294967296")) + member(b"a", b"x") + END,
    "the largest uid": header(b"a", uid=b"\x80\0\0\0\xff\xff\xff\xfe") + END,
    "a PAX header of no records": pax() + member(b"a", b"x") + END,
    "a PAX header of NULs": member(b"PaxHeaders/a", bytes(10), flag=b"x") + member(b"a", b"x") + END,
    "a PAX header with NULs behind its record": (
        member(b"PaxHeaders/a", record("comment", b"c") + bytes(9), flag=b"x") + member(b"a", b"x") + END
    ),
    "a hard link with a size": member(b"a", b"x") + header(b"b", size=1, flag=b"1", link=b"a") + END,
    "a hard link": member(b"a", b"x") + member(b"b", flag=b"1", link=b"a") + END,
    "a symbolic link": member(b"a", b"x") + member(b"b", flag=b"2", link=b"a") + END,
    "a name of two spaces": member(b"a  b", b"x") + END,
    "a name that begins with a space": member(b" a", b"x") + END,
    "a name that ends in a space": member(b"a ", b"x") + END,
    "a name that begins with a dash": member(b"-rf", b"x") + END,
    "a name of dots": member(b"...", b"x") + END,
    "a name with a colon": member(b"host:a", b"x") + END,
    "a name with an at": member(b"@a", b"x") + END,
    "a name with stars and quotes": member(b"a*?[]'\"`$", b"x") + END,
    "a name in other scripts": member("日本/é".encode(), b"x") + END,
    "a name outside of the basic plane": member("\U0001f600".encode(), b"x") + END,
    "a name not assigned in Unicode": member("\U000e0fff".encode(), b"x") + END,
    "a private name": member("\ue000".encode(), b"x") + END,
    "a noncharacter": member("\uffff".encode(), b"x") + END,
    "a name with a no-break space": member("a\u00a0b".encode(), b"x") + END,
}  # fmt: skip


# Values of each kind that some writer gives, or a reader might take otherwise; what is refused here is not compared.
TIMES = [b"1", b"1.5", b"1.", b"-1", b"-0.5", b"253402300799.999999999", b"-62135596800", b".5", b"1e3", b"+1", b"01"]
COUNTS = [b"0", b"1", b"01", b"4294967294", b"18446744073709551615", b"9999999999999999999", b"-1", b"x"]
TEXTS = [b"user", "é".encode(), "e\u0301".encode(), b"a\nb", b" ", b"x" * 300, b"\x1b[2J", b"7 a=b\n"]
VALUES = {
    **dict.fromkeys(("mtime", "atime", "ctime", "LIBARCHIVE.creationtime"), TIMES),
    **dict.fromkeys(("uid", "gid", "SCHILY.dev", "SCHILY.ino", "SCHILY.nlink"), COUNTS),
    **dict.fromkeys(("uname", "gname", "comment"), TEXTS),
    "hdrcharset": [b"ISO-IR 10646 2000 UTF-8", b"BINARY", b"UTF-8"],
    "size": [b"1500", b"0", b"512"],
    "linkpath": [b"a"],
    **{key: [b"1", b"0,1,2,3", b" 0 64 1000 1500", b"x", b"\0", b""] for key in (*NEVER.values(), *PERMITTED.values())},
}


def recorded(flag: bytes, accepted: Allowed) -> bytes:
    """Give an archive that has, in front of a member each, every record of :data:`VALUES` that is accepted."""
    parts, body = [], padded(b"x" * 1500)
    for number, (key, value) in enumerate((key, value) for key, values in VALUES.items() for value in values):
        part = pax(record(key, value), flag=flag) + header(b"%d" % number, size=1500) + body
        if ours(part + END, accepted) is not None:
            parts.append(part)
    return b"".join(parts) + END


@pytest.mark.parametrize("flag", [b"g", *slow(b"x")])
def test_every_record_that_is_accepted_is_harmless_in_every_reader(flag: bytes, scratch: Path) -> None:
    plain = recorded(flag, Allowed())
    assert len(ours(plain) or []) > (60 if flag == b"x" else 50)
    assert disagreement(scratch, plain) == ""
    permitting = Allowed(records=frozenset(VALUES))
    permitted = recorded(flag, permitting)
    assert len(ours(permitted, permitting) or []) > len(ours(plain) or []) + 40
    assert disagreement(scratch, permitted, permitting) == ""


# No listing tells "a -> b" from a link, so these names are only unpacked.
ARROWS = ["a -> b", "a link to b"]


@pytest.mark.parametrize("spelling", range(6))
def test_every_name_that_is_accepted_is_that_name_in_every_reader(spelling: int, scratch: Path) -> None:
    """Also names that the user permits: what Windows reads otherwise, the readers here do not."""
    every = [*NAMES_NEVER.values(), *ORDINARY, *(name for names in CLASSES.values() for name in names)]
    parts: list[bytes] = []
    for name in every:
        ways = spellings(name)
        part = ways[spelling][: -len(END)] if spelling < len(ways) else b""
        if part and ours(b"".join(parts) + part + END, ALL_CLASSES) is not None:
            parts.append(part)
    assert len(parts) > 60
    data = b"".join(parts) + END
    assert disagreement(scratch, data, ALL_CLASSES) == ""
    arrows = b"".join(member(name.encode(), name.encode()) for name in ARROWS) + END
    due = expected_files(ours(arrows) or [])
    assert all(files == due for files in unpacked(scratch, arrows).values())


def test_every_type_flag_that_is_accepted_is_of_that_kind_in_every_reader(scratch: Path) -> None:
    parts = [member(b"z", b"z")]
    accepted = {b"0", b"\0", b"1", b"2", b"5"}
    for flag in (bytes([number]) for number in range(256)):
        sizes, links = ((0, 1), (b"", b"z")) if flag in accepted else ((0,), (b"",))
        for magic, name, size, link in itertools.product((USTAR, GNU, V7), (b"", b"/"), sizes, links):
            full = b"%d%s" % (len(parts), name)
            part = header(full, size=size, flag=flag, magic=magic, link=link) + padded(b"x" * size)
            if ours(parts[0] + part + END) is not None:
                assert flag in accepted
                parts.append(part)
    assert len(parts) > 25
    assert disagreement(scratch, b"".join(parts) + END) == ""


def with_header_checksum(flags: bytes, texts: bytes) -> bytes:
    """Give a gzip member with optional parts; bit 1 of ``flags`` says that its header has a checksum."""
    head = b"\x1f\x8b\x08" + flags + bytes(6) + texts
    return head + struct.pack("<H", zlib.crc32(head) & 0xFFFF) + gzip.compress(b"text", mtime=0)[10:]


def decompressed(data: bytes) -> bytes | None:
    """Decompress with the decoders under test."""
    try:
        codec = detect(data[:4])
        if codec is Codec.NONE:  # bytes without a magic are no stream; whether they are a tar is another question
            return None
        return b"".join(decode(codec, ChunkReader([data], where="k"), LIMITS, where="k"))
    except KitError:
        return None


@pytest.fixture(scope="module")
def scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@pytest.mark.parametrize("data", HANDWRITTEN.values(), ids=HANDWRITTEN)
def test_an_odd_archive_is_read_alike_by_all_or_refused(data: bytes, scratch: Path) -> None:
    assert disagreement(scratch, data) == ""


def test_the_readers_are_comparable(scratch: Path) -> None:
    """Sound archives are accepted, and the four readings are of the same form; else the law would hold for nothing."""
    sound = HANDWRITTEN["a sound archive of many kinds"]
    mine = ours(sound)
    assert mine
    assert len(mine) == 4
    assert disagreement(scratch, sound) == ""
    assert all(read == mine for read in readings(scratch, sound).values())
    accepted = [name for name, data in HANDWRITTEN.items() if ours(data) is not None]
    assert len(accepted) > 30
    evil = member(b"a", b"good") + member(b"a", b"evil") + END
    assert len({str(read) for read in readings(scratch, evil).values()}) == 1
    hidden = pax(record("size", b"512")) + header(b"a", size=0) + padded(b"x" * 512) + END
    assert ours(hidden) is None


NAMES = st.sampled_from(
    [
        b"a",
        b"b",
        b"d/a",
        b"d/",
        b"./a",
        b"./",
        b".",
        b"n" * 100,
        b"n" * 99,
        "é".encode(),
        b"A",
        b"a/",
        b"-a",
        b" a",
        b"a b",
    ]
)
LONG_NAMES = st.sampled_from(
    [b"n" * 101, b"n" * 100, b"n" * 99, b"d/" + b"n" * 150, b"n" * 120 + b"/", b"./" + b"m" * 110, "é".encode() * 60]
)
SIZES = st.sampled_from(["octal", "spaces", "full", "base 256", "zero", "more", "blank", "saturated"])
RECORDS = st.sampled_from(
    [
        ("path", None),
        ("size", b"0"),
        ("size", b"1"),
        ("size", b"512"),
        ("size", b"1024"),
        ("mtime", b"7.5"),
        ("mtime", b"-1"),
        ("linkpath", b"a"),
        ("comment", b"c"),
        ("hdrcharset", b"BINARY"),
        ("hdrcharset", b"ISO-IR 10646 2000 UTF-8"),
        ("GNU.sparse.size", b"5"),
        ("GNU.sparse.major", b"1"),
        ("SCHILY.realsize", b"9"),
        ("uid", b"7"),
        ("uid", b"x"),
        ("gid", b"x"),
        ("uname", b"\xff"),
        ("charset", b"x"),
        ("SCHILY.dev", b"1"),
        ("GNU.dumpdir", b"Da\0"),
        ("LIBARCHIVE.creationtime", b"1"),
        ("atime", b"x"),
    ]
)


@st.composite
def elements(draw: st.DrawFn) -> bytes:
    """Give a member with what may stand in front of it, nearly as a writer would have it."""
    flag = draw(st.sampled_from([b"0", b"0", b"0", b"\0", b"5", b"1", b"2", b"7", b"S", b"D"]))
    magic = draw(st.sampled_from([USTAR, USTAR, GNU, V7]))
    name, body = draw(NAMES), draw(st.sampled_from([b"", b"x", b"x" * 512, b"x" * 513]))
    body = body if flag in {b"0", b"\0", b"7"} else b""
    parts = []
    for kind in draw(st.lists(st.sampled_from("xgLK"), max_size=2)):
        long = draw(LONG_NAMES)
        if kind in "xg":
            records = [
                record(key, long if value is None else value) for key, value in draw(st.lists(RECORDS, max_size=2))
            ]
            parts.append(pax(*records, flag=kind.encode()))
        else:
            parts.append(long_name(long + draw(st.sampled_from([b"\0", b"\0", b"", b"\0\0"])), kind.encode()))
        if draw(st.booleans()):
            name = long[:100]
    fields: dict[str, int | bytes] = {
        "octal": len(body),
        "spaces": b"%11o " % len(body),
        "full": b"%012o" % len(body),
        "zero": 0,
        "base 256": b"\x80" + len(body).to_bytes(11, "big"),
        "more": len(body) + 512,
        "blank": b" " * 12,
        "saturated": b"7" * 11 + b"\0",
    }
    field = fields[draw(SIZES) if draw(st.integers(0, 4)) == 0 else "octal"]
    link = draw(st.sampled_from([b"a", b"d/a", b""])) if flag in {b"1", b"2"} else b""
    head = header(
        name, size=field, flag=flag, magic=magic, link=link, prefix=draw(st.sampled_from([b"", b"", b"", b"p"]))
    )
    return b"".join([*parts, head, padded(body)])


@st.composite
def archives(draw: st.DrawFn) -> bytes:
    """Give a few of them and an end, one byte perhaps changed and its header's checksum made to fit."""
    whole = b"".join(draw(st.lists(elements(), min_size=1, max_size=3)))
    end = draw(
        st.sampled_from([END, END, END, END + bytes(512), bytes(512), b"", END + member(b"z"), END + bytes(8704)])
    )
    data = bytearray(whole + end)
    if draw(st.integers(0, 3)) == 0 and whole:
        at = draw(st.integers(0, len(whole) // 512 - 1)) * 512
        data[at + draw(st.integers(0, 511))] = draw(st.sampled_from([0, 0x20, 0x2F, 0x30, 0x31, 0x35, 0x80, 0xFF]))
        data[at : at + 512] = with_checksum(data[at : at + 512])
    return bytes(data)


@settings(
    max_examples=examples(250),
    suppress_health_check=[HealthCheck.too_slow],
    deadline=None,
)
@given(archives())
def test_a_generated_archive_is_read_alike_by_all_or_refused(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        assert disagreement(Path(folder), data) == ""


def stock_stream(data: bytes) -> dict[str, bytes | None]:
    """Decompress with stock tools, each of which must come to the end without an error."""
    found: dict[str, bytes | None] = {}
    if data[:2] == b"\x1f\x8b":
        commands = {"gzip": ["gzip", "-dc"]}
        try:
            found["Python's gzip"] = gzip.decompress(data)
        except (OSError, EOFError, zlib.error):
            found["Python's gzip"] = None
    else:
        commands = {"zstd": ["zstd", "-dcq", "--long=31"]}
    for name, command in commands.items():
        run = subprocess.run(command, input=data, capture_output=True, check=False)
        found[name] = run.stdout if run.returncode == 0 else None
    return found


SOUND_STREAMS = {
    "gzip": gzip.compress(b"some text" * 20, mtime=7),
    "gzip with a name, a comment and a checksum of its header": with_header_checksum(b"\x1a", b"name\0comment\0"),
    "two gzip members": gzip.compress(b"one", mtime=0) + gzip.compress(b"two", mtime=0),
    "zstd": zstandard.ZstdCompressor(write_checksum=True).compress(b"some text" * 20),
    "zstd without a checksum": zstandard.ZstdCompressor(write_content_size=False).compress(b"some text" * 20),
    "two zstd frames and a skippable one": zstandard.compress(b"one") + SKIPPABLE + zstandard.compress(b"two"),
}


@pytest.mark.parametrize("data", SOUND_STREAMS.values(), ids=SOUND_STREAMS)
def test_a_changed_stream_is_decompressed_alike_by_all_or_refused(data: bytes) -> None:
    if not shutil.which("gzip") or not shutil.which("zstd"):
        pytest.skip("gzip and zstd are the oracles")
    mine = decompressed(data)
    assert mine is not None
    assert set(stock_stream(data).values()) == {mine}
    for at in range(min(len(data), 60)):
        for bit in (0x01, 0x04, 0x20, 0x80):
            changed = bytearray(data)
            changed[at] ^= bit
            mine = decompressed(bytes(changed))
            if mine is not None:
                others = stock_stream(bytes(changed))
                assert set(others.values()) == {mine}, (at, bit, others)


def test_sizes_beyond_octal_are_spelled_as_the_readers_have_them(scratch: Path) -> None:
    """Eleven digits hold less than 8 GiB: beyond, base 256, which the readers agree on (here: of an absent body)."""
    assert ours(header(b"a", size=size_field(9 << 30)) + END) is None
    assert all(read is None for read in readings(scratch, header(b"a", size=size_field(9 << 30)) + END).values())

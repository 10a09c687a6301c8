"""What other readers let through, each refused with member, where it is known, and offset."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from kit.archive.read.tar import read_tar
from kit.archive.source import ChunkReader
from kit.errors import ArchiveError, LimitError
from kit.values import Limits
from tests.archive.building import (
    END,
    GNU,
    LIMITS,
    V7,
    header,
    long_name,
    member,
    padded,
    pax,
    read,
    record,
    with_checksum,
)

LONG = b"d/" + b"n" * 120
BIG = 8**11
NEGATIVE = b"\xff" * 12


def _base256(number: int) -> bytes:
    return number.to_bytes(12, "big", signed=True) if number < 0 else b"\x80" + number.to_bytes(11, "big")


def _without_checksum() -> bytes:
    block = header()
    return block[:148] + bytes(8) + block[156:]


SPARSE_1_0 = (record("GNU.sparse.major", b"1"), record("GNU.sparse.name", b"a"))

ATTACKS = {
    "cut inside a header": (member(body=b"x")[:300], r"cut: it ends at byte 300, inside a tar header from byte 0"),
    "cut inside a later header": (member() + member(b"b")[:100], r"ends at byte 612, .* from byte 512"),
    "cut inside a body": (member(body=b"x" * 2000)[:1500], r"ends at byte 1500, inside the body of a from byte 512"),
    "cut inside padding": (member(body=b"x")[:600], r"inside the padding of a from byte 513"),
    "cut before the end blocks": (member(), r"ends at byte 512, inside a tar header"),
    "cut between the end blocks": (member() + bytes(512), r"ends at byte 1024, inside the end blocks"),
    "cut inside the second end block": (member() + bytes(1000), r"inside the end blocks"),
    "empty": (b"", r"ends at byte 0"),
    "data after the end": (member() + END + b"hidden", r"data after the end of the archive \(byte 1536\)"),
    "a second archive after the end": (member() + END + member(b"b") + END, r"data after the end .*byte 1536"),
    "data after more zero blocks": (member() + END + bytes(999) + b"x", r"byte 2535"),
    "not a multiple of 512": (member() + END + bytes(100), r"does not end with a whole block"),
    "one zero block, then a member": (member() + bytes(512) + member(b"b") + END, r"single zero block .*byte 1024"),
    "padding that hides data": (header(size=1) + b"x" + b"y" * 511 + END, r"padding of a is not zero \(byte 513\)"),
    "padding of an extension that hides data": (
        header(size=len(record("comment", b"c")), flag=b"x")
        + record("comment", b"c").ljust(512, b"!")
        + member()
        + END,
        r"padding of an extension record",
    ),
    "two members of one name": (member(body=b"good") + member(body=b"evil") + END, r"byte 1024: a: is a second member"),
    "names that differ in case": (member(b"Readme") + member(b"README") + END, r"README: collides with 'Readme'"),
    "names that fold to one": (member("ﬁle".encode()) + member(b"file") + END, r"file: collides with"),
    "folders that differ in case": (member(b"D/a") + member(b"d/b") + END, r"its folder 'd' collides with 'D'"),
    "a plain and a dotted name": (member() + member(b"./a") + END, r"second member"),
    "a file below a file": (member() + member(b"a/b") + END, r"a/b: lies below 'a', which is a file"),
    "a file in place of a folder": (member(b"a/b") + member() + END, r"a: is a folder of an earlier member"),
    "a folder in place of a file": (member() + member(b"a/", flag=b"5") + END, r"second member"),
    "one folder twice": (member(b"d/", flag=b"5") * 2 + END, r"second member"),
    "two root folders": (member(b"./", flag=b"5") * 2 + END, r"second entry for the root"),
    "an absolute name": (member(b"/etc/passwd") + END, r"is absolute"),
    "a climbing name": (member(b"a/../../b") + END, r"'\.\.' segment"),
    "a climbing name behind the dot": (member(b"./../b") + END, r"'\.\.' segment"),
    "an absolute name behind the dot": (member(b".//b") + END, r"is absolute"),
    "an empty name": (member(b"") + END, r"is empty"),
    "a name that is only a prefix": (member(b"", prefix=b"p", flag=b"5") + END, r"is empty"),
    "a name that is only a dot": (member(b".") + END, r"'\.' segment"),
    "a backslash": (member(rb"a\b") + END, r"backslash"),
    "a drive letter": (member(b"C:/a") + END, r"drive letter"),
    "a control character": (member(b"a\nb") + END, r"control"),
    "a name not in normal form C": (member("e\u0301".encode()) + END, r"normal form C"),
    "a name not in UTF-8": (member(b"\xe9") + END, r"UTF-8"),
    "a name behind the end of the name": (member(b"a\0evil") + END, r"hidden behind the end of its name"),
    "a file with a trailing slash": (member(b"a/") + END, r"ends in a slash"),
    "a folder with two trailing slashes": (member(b"a//", flag=b"5") + END, r"empty or '\.' segment"),
    "a folder with a body": (member(b"a/", b"x", flag=b"5") + END, r"is a directory and declares 1 bytes"),
    "a symbolic link": (member(flag=b"2", link=b"b") + END, r"byte 0: a: is a symlink"),
    "a hard link": (member() + member(b"b", flag=b"1", link=b"a") + END, r"b: is a hardlink"),
    "a file with a link target": (member(link=b"b") + END, r"is a file and has the link target"),
    "a character device": (member(flag=b"3") + END, r"is a character device"),
    "a block device": (member(flag=b"4") + END, r"is a block device"),
    "a FIFO": (member(flag=b"6") + END, r"is a FIFO"),
    "a contiguous file": (member(flag=b"7") + END, r"is a contiguous file"),
    "an old sparse file": (member(flag=b"S", magic=GNU) + END, r"is a sparse file"),
    "a sparse file of PAX": (pax(*SPARSE_1_0) + member() + END, r"decides which bytes or which name"),
    "a multi-volume member": (pax(record("GNU.volume.offset", b"1")) + member() + END, r"decides which bytes"),
    "an unknown vendor's kind": (member(flag=b"Z") + END, r"unknown kind \(type flag b'Z'\)"),
    "an extension in a v7 archive": (member(flag=b"x", magic=V7) + END, r"unknown kind"),
    "a negative size": (header(size=NEGATIVE) + END, r"negative or oversized size"),
    "a size of minus one in octal": (header(size=b"-0000000001\0") + END, r"size that is no octal"),
    "an oversized size": (header(size=b"\x80" + b"\xff" * 11) + END, r"oversized size"),
    "a size with a sign": (header(size=b"+0000000001\0") + END, r"no octal"),
    "a size with an underscore": (header(size=b"0000_000001\0") + END, r"no octal"),
    "a size that is not octal": (header(size=b"00000000009\0") + END, r"no octal"),
    "a size of blanks, at which GNU tar stops": (header(size=b" " * 12) + END, r"no octal"),
    "a mode of blanks, 7777 to GNU tar": (header(mode=b" " * 8) + END, r"no octal"),
    "a checksum that is blank": (_without_checksum() + END, r"checksum that is no octal"),
    "digits behind the end of the size": (header(size=b"1\0" + b"7" * 10) + END, r"no octal"),
    "a negative uid": (header(uid=b"\xff" * 7 + b"\xfe") + END, r"negative or oversized uid"),
    "an mtime in the year 0": (header(mtime=_base256(-62_135_596_801)) + END, r"outside of the years 1 to 9999"),
    "an mtime in the year 10000": (header(mtime=_base256(253_402_300_800)) + END, r"outside of the years 1 to 9999"),
    "an mtime of -2^63": (header(mtime=_base256(-(2**63))) + END, r"outside of the years 1 to 9999"),
    "an mtime with a sign in octal": (header(mtime=b"-0000000001\0") + END, r"mtime that is no octal"),
    "a uid that is no number": (header(uid=b"root\0\0\0\0") + END, r"uid that is no octal"),
    "an unknown magic": (member(magic=b"ustar\x0099") + END, r"unknown tar magic"),
    "a wrong checksum": (b"b" + member()[1:] + END, r"byte 0: is no tar header: its checksum"),
    "a signed checksum": (with_checksum(header("é".encode()), signed=True) + END, r"checksum does not match"),
    "bytes after the last field": (member(tail=b"x") + END, r"after the last field"),
    "a prefix in a GNU header": (member(magic=GNU, prefix=b"evil") + END, r"prefix, time or sparse map"),
    "a PAX mtime in the year 0": (pax(record("mtime", b"-62135596801")) + member() + END, r"of the years 1 to 9999"),
    "a PAX mtime with two signs": (pax(record("mtime", b"--1")) + member() + END, r"of the years 1 to 9999"),
    "a PAX path over a name that fits": (pax(record("path", b"evil")) + member(b"good") + END, r"'evil'.*'good'"),
    "a PAX size over another size": (
        pax(record("size", b"512")) + member(body=b"x" * 1024) + END,
        r"declares 512 bytes in its PAX record and 1024",
    ),
    "a PAX size over a zero": (pax(record("size", b"512")) + header() + bytes(512) + END, r"512 bytes .* and 0"),
    "a large PAX size over a small one": (pax(record("size", b"%d" % BIG)) + member(body=b"x") + END, r"and 1 in"),
    "a negative PAX size": (pax(record("size", b"-1")) + member() + END, r"PAX size b'-1'"),
    "a PAX size with a leading zero": (pax(record("size", b"00")) + member() + END, r"PAX size b'00'"),
    "an empty PAX path": (pax(record("path", b"")) + member() + END, r"empty PAX path"),
    "a PAX path with a NUL": (pax(record("path", LONG + b"\0x")) + member() + END, r"with a NUL"),
    "a PAX path not in UTF-8": (pax(record("path", b"\xff" * 120)) + member() + END, r"not valid UTF-8"),
    "a PAX link target on a file": (pax(record("linkpath", b"/etc")) + member() + END, r"in an extension record"),
    "another character set": (pax(record("hdrcharset", b"BINARY")) + member() + END, r"hdrcharset b'BINARY'"),
    "two PAX records of one key": (
        pax(record("path", LONG), record("path", LONG + b"2")) + member() + END,
        r"two PAX records 'path'",
    ),
    "two PAX headers": (pax(record("comment", b"1")) * 2 + member() + END, r"byte 1024: has two records .*PAX"),
    "a PAX header without a member": (pax(record("comment", b"1")) + END, r"followed by no member \(byte 1024\)"),
    "a PAX header cut off": (pax(record("comment", b"1"))[:520], r"inside an extension record"),
    "a PAX record longer than its header": (pax(b"99 path=a\n") + member() + END, r"malformed PAX record at byte 0"),
    "a PAX record of length zero": (pax(b"0 path=a\n") + member() + END, r"malformed PAX record"),
    "a PAX record with a leading zero": (pax(b"010 path=a\n") + member() + END, r"malformed PAX record"),
    "a PAX record without a newline": (pax(b"9 path=ab") + member() + END, r"malformed PAX record"),
    "a PAX record without a key": (pax(b"5 =a\n") + member() + END, r"without a key"),
    "a PAX record without a value": (pax(b"7 path\n") + member() + END, r"without a key"),
    "a PAX record with a key not in UTF-8": (pax(b"6 \xff=a\n") + member() + END, r"without a key"),
    "a PAX record shorter than its digits": (pax(b"1 path=a\n") + member() + END, r"PAX record"),
    "a global PAX path": (pax(record("path", LONG), flag=b"g") + member() + END, r"global PAX path"),
    "a global PAX size": (pax(record("size", b"0"), flag=b"g") + member() + END, r"global PAX size"),
    "a GNU and a PAX name": (long_name(LONG + b"\0") + pax(record("path", LONG)) + member() + END, r"both"),
    "two GNU names": (long_name(LONG + b"\0") * 2 + member(magic=GNU) + END, r"GNU long name"),
    "two GNU link targets": (long_name(LONG + b"\0", b"K") * 2 + member(magic=GNU) + END, r"GNU long link"),
    "a GNU name without its end": (long_name(LONG) + member(magic=GNU) + END, r"ended by one NUL"),
    "a GNU name with two ends": (long_name(LONG + b"\0evil\0") + member(magic=GNU) + END, r"ended by one NUL"),
    "an empty GNU name": (long_name(b"\0") + member(magic=GNU) + END, r"ended by one NUL"),
    "a GNU name over a name that fits": (long_name(b"evil\0") + member(b"good", magic=GNU) + END, r"'evil'.*'good'"),
    "a GNU name without a member": (long_name(LONG + b"\0") + END, r"followed by no member"),
}


@pytest.mark.parametrize(("data", "message"), ATTACKS.values(), ids=ATTACKS)
def test_a_hostile_or_cut_archive_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(ArchiveError, match=message) as caught:
        read(data)
    assert not isinstance(caught.value, LimitError)
    assert caught.value.where.startswith("kit.tar")
    assert re.search(r"byte \d+", str(caught.value))


OVER_A_LIMIT = {
    "members": (replace(LIMITS, members=2), b"".join(member(b"%d" % i) for i in range(3))),
    "members, of one folder root": (replace(LIMITS, members=1), member(b"./", flag=b"5") + member()),
    "members, by implied folders": (replace(LIMITS, members=3), member(b"a/b/c/d")),
    "member_bytes": (replace(LIMITS, member_bytes=9), member(body=b"x" * 10)),
    "member_bytes, only declared": (LIMITS, header(size=b"\x80\0\0\0" + b"\x7f" + b"\xff" * 7)),
    "total_bytes": (replace(LIMITS, total_bytes=2000), member(body=b"x" * 600) + member(b"b", b"x" * 600)),
    "total_bytes, by end blocks": (replace(LIMITS, total_bytes=5000), member() + bytes(9 * 512)),
    "header_bytes": (replace(LIMITS, header_bytes=2000), pax(record("comment", b"c" * 1500)) + member()),
    "header_bytes, only declared": (LIMITS, header(size=1 << 32, flag=b"x")),
    "header_bytes, by global records": (replace(LIMITS, header_bytes=2000), pax(flag=b"g") * 4 + member()),
    "path_bytes": (replace(LIMITS, path_bytes=100), long_name(LONG + b"\0") + member(LONG[:100], magic=GNU)),
    "path_depth": (replace(LIMITS, path_depth=3), member(b"a/b/c/d")),
}


@pytest.mark.parametrize(("limit", "case"), OVER_A_LIMIT.items(), ids=OVER_A_LIMIT)
def test_an_archive_over_a_limit_is_refused(limit: str, case: tuple[Limits, bytes]) -> None:
    limits, data = case
    with pytest.raises(LimitError, match=limit.partition(",")[0]):
        read(data + END, limits=limits)


LINKS_OUT = {
    "an absolute target": member(flag=b"2", link=b"/etc/passwd"),
    "a target that climbs out": member(flag=b"2", link=b"../b"),
    "a target that climbs out of folders": member(b"d/e/a", flag=b"2", link=b"../../../b"),
    "a target that climbs behind a name": member(b"d/a", flag=b"2", link=b"b/../../../x"),
    "a target that climbs in the middle": member(b"d/a", flag=b"2", link=b"../b/../../c"),
    "a target that climbs through a later link": (
        member(b"a", flag=b"2", link=b"d/b/..") + member(b"d/b", flag=b"2", link=b"..")
    ),
    "links in a circle": member(b"a", flag=b"2", link=b"b") + member(b"b", flag=b"2", link=b"a"),
    "an empty target": member(flag=b"2"),
    "a backslash in the target": member(flag=b"2", link=rb"b\c"),
    "a target not in UTF-8": member(flag=b"2", link=b"\xff"),
    "a link with a body": member(body=b"x", flag=b"2", link=b"b"),
    "a member below a link": member(flag=b"2", link=b"b") + member(b"a/x"),
    "a hard link to nothing": member(flag=b"1", link=b"nothing"),
    "a hard link to a later file": member(flag=b"1", link=b"b") + member(b"b"),
    "a hard link out of the kit": member(flag=b"1", link=b"../b"),
    "a hard link to a symbolic link": member(flag=b"2", link=b"x") + member(b"b", flag=b"1", link=b"a"),
    "a hard link to a folder": member(b"d/", flag=b"5") + member(b"b", flag=b"1", link=b"d"),
    "a hard link to another spelling": member() + member(b"b", flag=b"1", link=b"A"),
    "a root folder that is a link": member(b"./", flag=b"2", link=b"b"),
}


@pytest.mark.parametrize("data", LINKS_OUT.values(), ids=LINKS_OUT)
def test_a_link_that_may_leave_the_kit_is_refused_even_when_links_are_allowed(data: bytes) -> None:
    with pytest.raises(ArchiveError):
        read(data + END, allow_links=True)


def test_links_that_stay_inside_are_carried_when_allowed() -> None:
    data = b"".join(
        (
            member(b"d/e/a", b"x"),
            member(b"d/e/up", flag=b"2", link=b"../../other/x"),
            member(b"d/e/top", flag=b"2", link=b"../.."),
            member(b"hard", flag=b"1", link=b"./d/e/a"),
            long_name(LONG + b"\0", b"K") + member(b"soft", flag=b"2", link=LONG[:100], magic=GNU),
            pax(record("linkpath", LONG)) + member(b"soft2", flag=b"2", link=LONG[:100]),
        )
    )
    found = {item.name: item.member.link_target for item in read(data + END, allow_links=True)}
    assert found == {
        "d/e/a": "",
        "d/e/up": "../../other/x",
        "d/e/top": "../..",
        "hard": "./d/e/a",
        "soft": LONG.decode(),
        "soft2": LONG.decode(),
    }


def test_a_body_asked_for_after_the_next_member_is_no_empty_body() -> None:
    members = read_tar(ChunkReader([member(body=b"x") + member(b"b") + END], where="k"), LIMITS, where="k")
    _, body = next(members)
    next(members)
    with pytest.raises(RuntimeError, match="the body of a"):
        next(body)


def test_a_body_not_read_is_drained_and_still_checked() -> None:
    data = member(body=b"x" * 5000) + member(b"b") + END
    members = read_tar(ChunkReader([data], where="k"), LIMITS, where="k")
    assert [str(item.path) for item, _ in members] == ["a", "b"]
    cut = read_tar(ChunkReader([data[:3000]], where="k"), LIMITS, where="k")
    next(cut)
    with pytest.raises(ArchiveError, match="the body of a"):
        next(cut)


def test_global_records_that_touch_no_name_or_size_are_accepted_and_kept_verbatim() -> None:
    comment = pax(record("comment", b"0" * 40), record("mtime", b"77.5"), flag=b"g")
    first, second = read(comment + member() + member(b"b") + END)
    assert first.member.header == comment + header()
    assert (first.member.mtime, second.member.mtime, second.member.offset) == (77, 77, len(comment) + 512)


def test_a_folder_may_follow_what_is_in_it() -> None:
    found = read(member(b"d/e/a") + member(b"d/", flag=b"5") + member(b"d/e", flag=b"5") + END)
    assert [(item.name, item.member.kind.value) for item in found] == [
        ("d/e/a", "file"),
        ("d", "directory"),
        ("d/e", "directory"),
    ]


def test_every_field_of_a_member() -> None:
    extension = pax(record("mtime", b"1700000000.25"), record("path", LONG))
    data = member(b"first") + extension + member(LONG[:100], b"body") + END
    item = read(data)[1]
    assert (item.member.mode, item.member.mtime, item.member.size) == (0o644, 1700000000, 4)
    assert (item.member.offset, item.member.ordinal) == (512, 1)
    assert item.name == LONG.decode()
    assert item.member.header + padded(item.body) == extension + member(LONG[:100], b"body")


def test_sizes_of_more_than_eight_gibibytes_are_read_as_their_writers_have_them() -> None:
    headers = {
        "GNU tar and Python gnu": header(size=b"\x80" + BIG.to_bytes(11, "big")),
        "GNU tar posix, Python pax, Go": pax(record("size", b"%d" % BIG)) + header(),
        "saturated": pax(record("size", b"%d" % BIG)) + header(size=b"7" * 11 + b"\0"),
        "bsdtar ustar, all twelve digits": header(size=b"%012o" % BIG),
        "bsdtar pax, both": pax(record("size", b"%d" % BIG)) + header(size=b"%012o" % BIG),
    }
    for writer, head in headers.items():
        found, _ = next(read_tar(ChunkReader([head], where="k"), LIMITS, where="k"))
        assert found.size == BIG, writer

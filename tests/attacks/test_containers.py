"""Hostile archives, as a user meets them: one file, one command, one exit code, one line that says why.

What each reader refuses and with which words is tested beside it; here every case goes through ``kit inspect`` and
``kit verify``, so that no wrapping, no other pass and no verdict gets between a refusal and the exit code.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from tests.archive.building import END, GNU, V7, header, long_name, member, padded, pax, record, with_checksum
from tests.archive.test_tar_attacks import ATTACKS, LINKS_OUT
from tests.attacks import bombs
from tests.commands import kit
from tests.end_to_end.desk import Desk
from tests.kits import MANIFEST, SIGNATURE

HOSTILE = 9
BIG_NAME = b"d/" + b"n" * 120
NEGATIVE = b"\xff" * 12
SOUND = member(b"README.txt", b"a kit\n")
SKIPPABLE = b"\x50\x2a\x4d\x18\x04\0\0\0skip"


def zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(write_checksum=True).compress(data)


def packed(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


TARS = {
    "PAX headers one after another": pax(record("comment", b"1")) * 50 + SOUND,
    "a PAX header in front of a PAX header": pax(record("path", BIG_NAME)) + pax(record("size", b"6")) + SOUND,
    "a PAX header that gives a size to the next header record": (
        pax(record("size", b"4096")) + long_name(BIG_NAME + b"\0") + SOUND
    ),
    "a PAX size that hides a member in a body": pax(record("size", b"1024")) + header(b"a", size=0) + SOUND * 2,
    "a PAX size of a folder": pax(record("size", b"512")) + member(b"d/", flag=b"5") + padded(b"x"),
    "a PAX header of its own size": header(b"x", size=0, flag=b"x") * 2 + SOUND,
    "a PAX path into the folder above": pax(record("path", b"../" + b"n" * 120)) + SOUND,
    "a PAX path that is absolute": pax(record("path", b"/" + b"n" * 120)) + SOUND,
    "a PAX path of another case": b"".join(
        pax(record("path", name + b"n" * 120)) + member(name + b"n" * 90) for name in (b"readme", b"README")
    ),
    "a PAX uid without digits": pax(record("uid", b"root")) + header(uid=b"root\0\0\0\0"),
    "a GNU name with a NUL inside": long_name(b"good\0" + b"evil" * 30 + b"\0") + member(b"good", magic=GNU),
    "a GNU name of NULs": long_name(bytes(120)) + member(magic=GNU),
    "a GNU name that climbs": long_name(b"../" + b"n" * 120 + b"\0") + member(magic=GNU),
    "a GNU name in front of a PAX header": long_name(BIG_NAME + b"\0") + pax(record("path", BIG_NAME)) + SOUND,
    "a GNU name and no more": long_name(BIG_NAME + b"\0"),
    "a size of -1 in base 256": header(size=NEGATIVE),
    "a size of -512 in base 256": header(size=(-512).to_bytes(12, "big", signed=True)),
    "a size of 2^64 in base 256": header(size=b"\x80" + (1 << 64).to_bytes(11, "big")),
    "a size of 2^63 - 1 in base 256": header(size=b"\x80" + ((1 << 63) - 1).to_bytes(11, "big")),
    "a PAX size of 2^63 - 1": pax(record("size", b"9223372036854775807")) + header(),
    "a PAX size of 2^64": pax(record("size", b"18446744073709551616")) + header(),
    "a header record of -1 bytes": header(size=NEGATIVE, flag=b"x") + SOUND,
    "a time before the year 1 in base 256": member(mtime=(-62_135_596_801).to_bytes(12, "big", signed=True)),
    "a mode of -1 in base 256": header(mode=b"\xff" * 8),
    "a body of 4 GiB that is not there": header(size=1 << 32),
    "a body one byte longer than declared": header(b"a", size=512) + bytes(513) + SOUND,
    "a body one block shorter than declared": header(b"a", size=1024) + padded(b"x" * 512) + SOUND,
    "a member after the end": SOUND + END + member(b"more"),
    "an archive after the end": SOUND + END + SOUND,
    "members between the end blocks": SOUND + bytes(512) + member(b"more") + bytes(512),
    "a name with a right-to-left override": member("a\u202egpj.exe".encode()),
    "a name with a zero width joiner": member("a\u200db".encode()),
    "a name that is decomposed": member("e\u0301".encode()),
    "names that fold to the same, long s and s": member("\u017f".encode()) + member(b"s"),
    "names that fold to the same, sharp s and ss": member("stra\u00dfe".encode()) + member(b"strasse"),
    "names that fold to the same, full width": member("\uff41".encode()) + member(b"a"),
    "names that fold to the same, a dotted capital I": member("\u0130".encode()) + member("i\u0307".encode()),
    "a name in Latin-1": member(b"caf\xe9"),
    "a name in UTF-16": member("a".encode("utf-16-be") + b"b"),
    "an overlong slash": member(b"a\xc0\xafb"),
    "a device of DOS with a stream": member(b"C:"),
    "a carriage return in a name": member(b"a\rb"),
    "an escape sequence in a name": member(b"a\x1b[2Jb"),
    "a sparse file of GNU": member(flag=b"S", magic=GNU),
    "a GNU folder dump": member(flag=b"D", magic=GNU),
    "a record of a v7 archive": member(flag=b"L", magic=V7),
    "a checksum of signed bytes": with_checksum(header("ü".encode()), signed=True),
    "two manifests of one name": member(MANIFEST.encode(), b"{}") * 2,
    "two manifests that differ in case": member(MANIFEST.encode(), b"{}") + member(MANIFEST.upper().encode(), b"{}"),
    "two signatures of one name": member(SIGNATURE.encode(), b"{}") * 2,
    "a manifest and one with a dot in front": member(MANIFEST.encode()) + member(b"./" + MANIFEST.encode()),
    "a manifest that is a link": member(MANIFEST.encode(), flag=b"2", link=b"README.txt"),
}
# What must hold whatever is behind it: the end blocks are added where a case does not bring its own.
ALL_TARS = {
    **{name: data for name, (data, _) in ATTACKS.items() if data},
    **{f"{name}, links allowed": data + END for name, data in LINKS_OUT.items()},
    **{name: data + END for name, data in TARS.items()},
}
_TAR = SOUND + END
STREAMS = {
    "zstd after gzip": packed(_TAR) + zstd(b""),
    "gzip after zstd": zstd(_TAR) + packed(b""),
    "a tar cut in two, gzip and zstd": packed(_TAR[:700]) + zstd(_TAR[700:]),
    "a plain tar after gzip": packed(SOUND) + END,
    "a plain tar after zstd": zstd(SOUND) + END,
    "a second archive in a second gzip member": packed(_TAR) + packed(_TAR),
    "a second archive in a second zstd frame": zstd(_TAR) + zstd(_TAR),
    "gzip behind a skippable frame": SKIPPABLE + packed(_TAR),
    "a tar behind a skippable frame": SKIPPABLE + _TAR,
    "gzip in gzip": packed(packed(_TAR)),
    "zstd in gzip": packed(zstd(_TAR)),
    "zeros after gzip": packed(_TAR) + bytes(512),
    "a frame of zstd of an older format": b"\x27\xb5\x2f\xfd" + zstd(_TAR)[4:],
    "xz": b"\xfd7zXZ\0" + bytes(600),
    "bzip2": b"BZh9" + bytes(600),
    "zip": b"PK\3\4" + bytes(600),
    "a gzip member that says to be longer": packed(_TAR)[:-4] + (len(_TAR) + 1).to_bytes(4, "little"),
    "a gzip member that says to be empty": packed(_TAR)[:-4] + bytes(4),
    "a zstd frame that says to be longer": zstd(_TAR)[:5]
    + (len(_TAR) + 1 - 256).to_bytes(2, "little")
    + zstd(_TAR)[7:],
    "a zstd frame of many blocks that says to be longer": b"\x28\xb5\x2f\xfd\xa0"
    + (len(_TAR) + 1).to_bytes(4, "little")
    + bombs.zstd_block(0, _TAR, len(_TAR))
    + bombs.zstd_block(0, b"", 0) * 8
    + bombs.zstd_block(0, b"", 0, last=True),
    "a zstd frame that says to be shorter": zstd(_TAR)[:5]
    + (len(_TAR) - 1 - 256).to_bytes(2, "little")
    + zstd(_TAR)[7:],
    "a skippable frame that says to be 4 GiB": zstd(_TAR) + b"\x50\x2a\x4d\x18\xff\xff\xff\xff",
    "a window of 2 GiB": b"\x28\xb5\x2f\xfd\x00\xa8" + bombs.zstd_block(1, b"\0", 9, last=True),
}
BOMBS: dict[str, tuple[Callable[[], bytes], str]] = {
    "a tebibyte of zeros in half a megabyte of zstd": (
        lambda: bombs.zstd_runs(header(b"zeros", size=bombs.size_field(1 << 40)), 16 << 30),
        "ratio = 2000",
    ),
    "zeros after the end blocks": (lambda: bombs.zstd_runs(SOUND + END, 1 << 30), "ratio = 2000"),
    "a skippable bomb": (lambda: SKIPPABLE * 100_000 + zstd(b""), "only 0 bytes"),
    "global header records without end": (
        lambda: bombs.zstd_of(bombs.global_records(3_000)),
        "header_bytes = 1,048,576",
    ),
    "a name record of 4 GiB": (lambda: zstd(header(size=1 << 32, flag=b"L")), "header_bytes = 1,048,576"),
    "a manifest of 64 GiB": (
        lambda: member(b"x") + header(b"offline-manifest.json", size=bombs.size_field(1 << 36)),
        "json_bytes",
    ),
    "a zstd window over the limit": (lambda: STREAMS["a window of 2 GiB"], "window_bytes = 134,217,728"),
}


def check_refused(path: Path, *words: str, allow_links: bool = False) -> None:
    links = ["--allow-links"] if allow_links else []
    kit("inspect", path, "--workers", 1, *links).refused(HOSTILE, *words)


@pytest.mark.parametrize("name", ALL_TARS)
def test_a_hostile_tar_is_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / "kit.tar"
    path.write_bytes(ALL_TARS[name])
    check_refused(path, allow_links=name.endswith("links allowed"))


@pytest.mark.parametrize("data", STREAMS.values(), ids=STREAMS)
def test_a_stream_that_is_not_one_archive_is_refused(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "kit.tar.zst"
    path.write_bytes(data)
    check_refused(path)


@pytest.mark.parametrize(("make", "words"), BOMBS.values(), ids=BOMBS)
def test_a_bomb_is_refused_at_the_limit(make: Callable[[], bytes], words: str, tmp_path: Path) -> None:
    path = tmp_path / "kit"
    path.write_bytes(make())
    check_refused(path, words)


@pytest.mark.parametrize("name", ["a member after the end", "two manifests of one name", "a size of -1 in base 256"])
@pytest.mark.parametrize("container", ["kit.tar", "kit.tar.gz", "kit.tar.zst"])
def test_verify_patch_and_plan_refuse_what_inspect_refuses(name: str, container: str, desk: Desk) -> None:
    path = desk.kits / container
    data = ALL_TARS[name]
    path.write_bytes({"kit.tar": data, "kit.tar.gz": packed(data), "kit.tar.zst": zstd(data)}[container])
    outcome = desk.verify(path)
    assert (outcome.code, "\nvalid: " in outcome.out) == (HOSTILE, False), outcome
    desk.patch(path, "--output", desk.kits / "out.tar").refused(HOSTILE)
    desk.patch(path, "--in-place").refused(HOSTILE)
    assert [file.name for file in desk.kits.iterdir()] == [container]
    kit("plan", path, *desk.trust("vendor"), "--workers", 1).refused(HOSTILE)

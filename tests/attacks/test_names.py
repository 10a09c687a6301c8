"""Names that mean another file somewhere: to a reader of archives, to Windows, or to a file system that merges names.

``x:b.txt`` beside ``b.txt`` are two files to GNU tar; bsdtar cuts the drive off and overwrites the one with the other.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from kit.errors import ArchiveError
from kit.values import Allowed, MemberPath, NameClass
from tests import kits
from tests.archive.building import END, GNU, USTAR, V7, long_name, member, pax, read, record
from tests.attacks.readers import ours
from tests.commands import kit
from tests.end_to_end.desk import Desk

ALL_CLASSES = Allowed(links=True, names=frozenset(NameClass))
NEVER = {
    "a drive letter in front of a name": "x:b.txt",
    "a drive letter alone": "C:",
    "a drive letter and a slash": "C:/x",
    "a drive letter that climbs": "c:../x",
    "two drive letters": "a:b:c/d.txt",
    "a drive letter behind a dot": "./x:b.txt",
    "a part of 256 bytes": "n" * 256,
    "a part of 256 bytes in a folder": "d/" + "n" * 256 + "/x",
    "a part of 128 characters and 256 bytes": "é" * 128,
}
CLASSES = {
    NameClass.COLON: ["ab:c", "d/x:b.txt", "d/C:", "ab:/b", "ab::$DATA", "é:x"],
    NameClass.DOT: ["a.", "a./b", "d/...", "...", "a. ", "a . .", "..a./x"],
    NameClass.DEVICE: [
        *("CON", "con", "PRN", "Aux", "NUL", "nul.txt", "d/NUL.tar.gz", "nul/x", "NUL ", "NUL .txt"),
        *(f"{name}{digit}.x" for name in ("com", "LPT") for digit in "0123456789¹²³"),
        *("CONIN$", "conout$.txt"),
    ],
}
ORDINARY = [
    *("a ", " a", "d /x", "  ", "a b", "docs/notes ", ".a", "..a", "..a/b", "-rf", "@x", "~", "a~1", "PROGRA~1.TXT"),
    *("CONTENT", "console.txt", "COM", "COM10", "com1x", "lpt", "nully.txt", "xcon", "aux-1", "d/conin", "nul\u00a0"),
    *("a*b", "a?b", 'a"b', "a<b>", "a|b", "._a", ".DS_Store", "a,b;c&d", "a'b", "n" * 255, "é" * 127, "日本/é"),
]  # fmt: skip


def spellings(name: str) -> list[bytes]:
    """Give archives of one member of that name, in every way that an archive can spell it."""
    data = name.encode()
    ways = [
        pax(record("path", data)) + member(data[:100], b"x"),
        long_name(data + b"\0") + member(data[:100], magic=GNU),
    ]
    if len(data) <= 100:
        ways += [member(data, b"x", magic=magic) for magic in (USTAR, GNU, V7)]
        ways += [member(data, flag=b"5"), member(b"leaf", prefix=data)]
    return [way + END for way in ways]


@pytest.mark.parametrize("name", NEVER.values(), ids=NEVER)
def test_a_name_that_readers_of_archives_take_for_another_is_refused_whatever_is_permitted(
    name: str, tmp_path: Path
) -> None:
    assert [ours(data, ALL_CLASSES) for data in spellings(name)] == [None] * len(spellings(name))
    with pytest.raises(ArchiveError):
        MemberPath.parse(name)
    if len(name) < 100 and not name.startswith("."):
        place = tmp_path / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(b"x")
        kit("inspect", tmp_path, "--allow-names", "colon").refused(9, "drive letter")


@pytest.mark.parametrize(("group", "name"), [(group, name) for group, names in CLASSES.items() for name in names])
def test_a_name_that_windows_reads_otherwise_is_refused_unless_its_class_is_permitted(
    group: NameClass, name: str, tmp_path: Path
) -> None:
    assert group in MemberPath.parse(name).classes
    others = Allowed(names=frozenset(NameClass) - {group})
    for data in spellings(name):
        assert ours(data, others) is None
        assert ours(data, ALL_CLASSES) is not None
    data = member(name.encode(), b"x") + END
    with pytest.raises(ArchiveError, match="that Windows") as refusal:
        read(data, allowed=others)
    assert refusal.value.hint.endswith(f"--allow-names {group}")
    assert f"name {group}" in read(data, allowed=ALL_CLASSES)[0].member.permitted
    place = tmp_path / "kit" / name
    place.parent.mkdir(parents=True)
    place.write_bytes(b"x")
    kit("inspect", tmp_path / "kit").refused(9, "Windows")
    assert kit("inspect", tmp_path / "kit", *(f"--allow-names={one}" for one in NameClass)).code == 0


@pytest.mark.parametrize("name", ORDINARY)
def test_other_names_are_accepted_as_they_are(name: str) -> None:
    readings = [ours(data) for data in spellings(name)]
    assert [found[0].name for found in readings if found] == [name] * (len(readings) - 1) + [
        f"{name}/leaf" if len(name.encode()) <= 100 else name
    ]


MERGED = {
    "a blank at the end": ("a ", "a"),
    "a blank at the end of a folder": ("d /x", "d/x"),
    "another case and a blank": ("README ", "readme"),
    "a letter composed and a blank": ("é ", "É"),
    "a question mark and what bsdtar writes for it": ("a?b", "a_b"),
    "a star and a bar": ("a*b", "a|b"),
    "a dot at the end": ("a.", "a"),
    "a colon and what bsdtar writes for it": ("ab:c", "ab_c"),
    "a full width colon": ("ab\uff1ac", "ab_c"),
}


@pytest.mark.parametrize(("one", "other"), MERGED.values(), ids=MERGED)
def test_names_that_a_file_system_merges_are_refused(one: str, other: str) -> None:
    for first, second in ((one, other), (other, one)):
        with pytest.raises(ArchiveError, match="collides with"):
            read(member(first.encode()) + member(second.encode()) + END, allowed=ALL_CLASSES)


def test_a_manifest_cannot_list_what_waits_in_the_place_of_a_manifest_with_a_blank(desk: Desk) -> None:
    desk.refused(desk.kit(kits.content() | {"offline-manifest.json ": b"{}"}), 11, "kept for manifests")

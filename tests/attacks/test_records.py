"""PAX records by an allow list: what one reader obeys and another passes over is refused, whatever its key.

The first of these was ``SUN.holesdata``: the signed bytes stand in the archive, and bsdtar unpacks zeros.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kit.archive.read.pax import HARMLESS, reason_to_refuse
from kit.errors import ArchiveError
from kit.values import Allowed
from tests.archive.building import END, GNU, long_name, member, pax, read, record
from tests.attacks.readers import ours
from tests.commands import kit

NEVER = {
    "a map of holes, of Solaris": "SUN.holesdata",
    "another key of Solaris": "SUN.other",
    "a sparse map of GNU": "GNU.sparse.map",
    "a sparse version of GNU": "GNU.sparse.major",
    "a sparse name of GNU": "GNU.sparse.name",
    "a sparse key without its second dot": "GNU.sparse",
    "a sparse key that goes on": "GNU.sparsely",
    "a sparse key in small letters": "gnu.sparse.map",
    "a sparse key with a percent sign": "GNU%2Esparse.map",
    "a folder dump of GNU": "GNU.dumpdir",
    "a volume of GNU": "GNU.volume.offset",
    "a key of GNU that nobody knows": "GNU.future",
    "a real size of star": "SCHILY.realsize",
    "an offset of star": "SCHILY.offset",
    "a type of star": "SCHILY.filetype",
    "another type of star": "SCHILY.tarfiletype",
    "a folder of star": "SCHILY.dir",
    "an access list": "SCHILY.acl.access",
    "a default access list": "SCHILY.acl.default",
    "an access list of NFSv4": "SCHILY.acl.ace",
    "a capability": "SCHILY.xattr.security.capability",
    "a capability in the names of libarchive": "LIBARCHIVE.xattr.security.capability",
    "a capability, encoded": "LIBARCHIVE.xattr.%73ecurity.capability",
    "a capability without its second dot": "SCHILY.xattr_security.capability",
    "an access list as an attribute": "SCHILY.xattr.system.posix_acl_access",
    "an access list of NFSv4 as an attribute": "SCHILY.xattr.system.nfs4_acl",
    "a redirection of an overlay": "SCHILY.xattr.trusted.overlay.redirect",
    "an attribute without a name": "SCHILY.xattr.user.",
    "another character set of bodies": "charset",
    "a key without a vendor": "mode",
    "a key that POSIX has reserved": "security.label",
    "a vendor in small letters": "vendor.key",
    "a key with a control character": "VENDOR.a\x1b",
}
PERMITTED = {
    "an attribute of a user": "SCHILY.xattr.user.origin",
    "an attribute in the names of libarchive": "LIBARCHIVE.xattr.user.origin",
    "a label": "RHT.security.selinux",
    "file flags": "SCHILY.fflags",
    "attributes of Windows": "MSWINDOWS.fileattr",
    "a checksum of apk": "APK-TOOLS.checksum.SHA1",
    "an unknown vendor": "VENDOR.keyword",
    "the version of star": "SCHILY.release",
}  # fmt: skip
BAD_VALUES = {
    "an empty name of a user": record("uname", b""),
    "an empty time": record("mtime", b""),
    "an empty comment": record("comment", b""),
    "an empty size": record("size", b""),
    "a NUL in a comment": record("comment", b"a\0b"),
    "a NUL in a name of a user": record("uname", b"a\0b"),
    "a time with a sign": record("mtime", b"+7"),
    "a time with an exponent": record("atime", b"1e9"),
    "a time after the year 9999": record("ctime", b"253402300800"),
    "a time of creation in words": record("LIBARCHIVE.creationtime", b"now"),
    "a size with a sign": record("size", b"+1"),
    "a size with a leading zero": record("size", b"01"),
    "an owner beyond 32 bits": record("uid", b"4294967296"),
    "an owner with a sign": record("gid", b"+1"),
    "a number of links in words": record("SCHILY.nlink", b"many"),
    "a binary character set": record("hdrcharset", b"BINARY"),
    "a character set of one country": record("hdrcharset", b"ISO-IR 8859 1 1998"),
    "a character set inside of a comment": record("comment", b"a\n21 hdrcharset=BINARY\n"),
    "two of a key": record("comment", b"a") + record("comment", b"b"),
    "a length with a leading zero": b"013 comment=a\n",
    "a length with a sign": b"+13 comment=a\n",
    "a length led by a space": b" 13 comment=a\n",
    "a length in hexadecimal": b"0xd comment=a\n",
    "a length longer than the header": b"99 comment=a\n",
    "a length that ends before the newline": b"11 comment=a\n",
    "a length beyond the newline": b"14 comment=a\n",
}  # fmt: skip
ALL_PERMITTED = Allowed(links=True, records=frozenset({*NEVER.values(), *PERMITTED.values(), *HARMLESS}))


def of(*records: bytes, flag: bytes = b"x") -> bytes:
    return pax(*records, flag=flag) + member(b"a", b"x" * 100) + END


@pytest.mark.parametrize("key", NEVER.values(), ids=NEVER)
@pytest.mark.parametrize("flag", [b"x", b"g"])
def test_a_record_that_changes_what_a_member_is_cannot_be_permitted(key: str, flag: bytes) -> None:
    assert reason_to_refuse(key)
    for value in (b"1", b"0,1,2,3", b" 0 20 40 100"):
        with pytest.raises(ArchiveError, match="no kit may hold it"):
            read(of(record(key, value), flag=flag), allowed=ALL_PERMITTED)


def test_the_switch_refuses_such_a_key_before_anything_is_read(tmp_path: Path) -> None:
    for key in NEVER.values():
        kit("inspect", tmp_path / "none.tar", "--allow-records", key).refused(64, "cannot be allowed")


@pytest.mark.parametrize("key", PERMITTED.values(), ids=PERMITTED)
@pytest.mark.parametrize("flag", [b"x", b"g"])
def test_an_unknown_record_is_refused_unless_permitted_by_its_key(key: str, flag: bytes) -> None:
    data = of(record(key, b"1"), flag=flag)
    with pytest.raises(ArchiveError, match="not known to be harmless") as refusal:
        read(data, allowed=Allowed(records=frozenset({"VENDOR.other", key.upper(), key[:-1]})))
    assert refusal.value.hint.endswith(f"--allow-records {key}")
    assert read(data, allowed=Allowed(records=frozenset({key})))[0].member.permitted == (f"record {key}",)


@pytest.mark.parametrize("records", BAD_VALUES.values(), ids=BAD_VALUES)
@pytest.mark.parametrize("flag", [b"x", b"g"])
def test_a_value_that_some_reader_takes_otherwise_is_refused(records: bytes, flag: bytes) -> None:
    assert ours(of(records, flag=flag), ALL_PERMITTED) is None


@pytest.mark.parametrize("key", sorted(key for key, known in HARMLESS.items() if not known.is_global))
def test_what_is_said_of_one_member_cannot_be_said_of_all(key: str) -> None:
    with pytest.raises(ArchiveError, match="has a global PAX"):
        read(of(record(key, b"1"), flag=b"g"), allowed=ALL_PERMITTED)


BETWEEN = {
    "a PAX header": pax(record("path", b"n" * 120)),
    "a GNU name": long_name(b"n" * 120 + b"\0"),
    "a GNU link": long_name(b"n" * 120 + b"\0", b"K"),
}


@pytest.mark.parametrize("before", BETWEEN.values(), ids=BETWEEN)
def test_a_global_header_between_a_record_and_its_member_is_refused(before: bytes) -> None:
    """Go forgets the record then."""
    data = before + pax(record("comment", b"c"), flag=b"g") + member(b"n" * 100, magic=GNU) + END
    with pytest.raises(ArchiveError, match="between a record and the member"):
        read(data)


MODES = {"setuid": 0o4755, "setgid": 0o2755, "sticky": 0o1644, "all": 0o7777}


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
def test_a_file_that_runs_as_another_is_refused(mode: int, tmp_path: Path) -> None:
    field = b"%07o\0" % mode
    with pytest.raises(ArchiveError, match=f"a: is a file with the mode {mode:04o}"):
        read(member(b"a", b"x", mode=field) + END)
    with pytest.raises(ArchiveError, match="is a symlink with the mode"):
        read(member(b"a", mode=field, flag=b"2", link=b"b") + END, allow_links=True)
    with pytest.raises(ArchiveError, match="is a hardlink with the mode"):
        read(member(b"b") + member(b"a", mode=field, flag=b"1", link=b"b") + END, allow_links=True)
    (tmp_path / "a").write_bytes(b"x")
    (tmp_path / "a").chmod(mode)
    kit("inspect", tmp_path).refused(9, "a: is a file with the mode")


def test_a_shared_folder_is_accepted_and_a_setuid_one_is_not(tmp_path: Path) -> None:
    assert read(member(b"d/", flag=b"5", mode=b"0003775\0") + END)[0].member.mode == 0o3775
    with pytest.raises(ArchiveError, match="d: is a directory with the mode 4755"):
        read(member(b"d/", flag=b"5", mode=b"0004755\0") + END)
    (tmp_path / "d").mkdir()
    (tmp_path / "d").chmod(0o3775)
    (tmp_path / "d/a").write_bytes(b"x")
    assert kit("inspect", tmp_path).code == 0


# Version 2 and one entry for each of owner, group, others, a named user and the mask (linux/posix_acl_xattr.h).
_ACL = bytes.fromhex(
    "02000000 0100 0600 ffffffff 0200 0700 01000000 0400 0400 ffffffff 1000 0700 ffffffff 2000 0400 ffffffff"
)
ATTRIBUTES = {
    "a capability": ("security.capability", bytes.fromhex("0100000200040000000000000000000000000000")),
    "an access list": ("system.posix_acl_access", _ACL),
}  # fmt: skip


@pytest.mark.parametrize(("name", "value"), ATTRIBUTES.values(), ids=ATTRIBUTES)
def test_an_unpacked_file_with_rights_of_its_own_is_refused(name: str, value: bytes, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d/a").write_bytes(b"x")
    try:
        os.setxattr(tmp_path / "d/a", name, value)
    except (AttributeError, OSError):
        pytest.skip("this user or file system sets no such attribute")
    kit("inspect", tmp_path).refused(9, f"d/a: has {name}")


def test_an_unpacked_folder_that_hands_down_rights_is_refused(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    try:
        os.setxattr(tmp_path / "d", "system.posix_acl_default", _ACL)
    except (AttributeError, OSError):
        pytest.skip("this user or file system sets no such attribute")
    kit("inspect", tmp_path).refused(9, "d: has system.posix_acl_default")

"""Tar headers as this tool writes them: POSIX ustar, with PAX records only where a value does not fit (POSIX.1 pax).

Untouched members keep the header they came with and never pass here. Law: the bytes depend on the arguments alone, and
the strict reader of this package gives back what was asked for.
"""

from __future__ import annotations

from kit.archive.tar_headers import EntryKind
from kit.archive.tar_reader import Member
from kit.values import MemberPath, Timestamp

BLOCK = 512
END = bytes(2 * BLOCK)
"""Two zero blocks end an archive; no further padding to a tape record is written."""

_OCTAL_11 = 0o77777777777


def padding(size: int) -> bytes:
    """Give the zeros that fill a body of ``size`` bytes to a whole block."""
    return bytes(-size % BLOCK)


def file_header(path: MemberPath, *, size: int, mode: int, mtime: Timestamp) -> bytes:
    """Make the header blocks of a regular file: owner 0:0, no user names."""
    name = path.text.encode()
    records = {}
    prefix, leaf = _split(name)
    if leaf is None or not path.text.isascii():
        # ustar names are ASCII by the standard; everything else is a PAX path, with a readable stand-in before it.
        records["path"] = path.text
        prefix, leaf = b"", name[:100].decode("ascii", "replace").replace("\ufffd", "_").rstrip("/").encode()
    if size > _OCTAL_11:
        records["size"] = str(size)
    records |= _time_record(mtime)
    header = _block(prefix, leaf, kind=b"0", size=0 if "size" in records else size, mode=mode, mtime=mtime)
    if not records:
        return header
    data = b"".join(_record(key, value) for key, value in sorted(records.items()))
    extension = _block(b"", b"PaxHeaders/" + leaf[:80], kind=b"x", size=len(data), mode=0o644, mtime=mtime)
    return extension + data + padding(len(data)) + header


def entry_header(member: Member) -> bytes:
    """Make the header blocks of an entry that came from a folder and has none: as :func:`file_header`, of any kind."""
    name = f"{member.path}" if member.path is not None else "."
    if member.kind is EntryKind.FILE:
        return file_header(MemberPath(name), size=member.size, mode=member.mode, mtime=Timestamp(member.mtime))
    is_folder = member.kind is EntryKind.DIRECTORY
    records = {"path": f"{name}/" if is_folder else name}
    if not is_folder:
        records["linkpath"] = member.link_target
    mtime = Timestamp(member.mtime)
    records |= _time_record(mtime)
    # A name or target of any length and alphabet goes into a PAX record; what stands in the fields is a stand-in.
    data = b"".join(_record(key, value) for key, value in sorted(records.items()))
    leaf, link = (text.encode()[:100].decode("ascii", "replace") for text in (records["path"], member.link_target))
    extension = _block(b"", b"PaxHeaders/entry", kind=b"x", size=len(data), mode=0o644, mtime=mtime)
    kind = {EntryKind.DIRECTORY: b"5", EntryKind.SYMLINK: b"2", EntryKind.HARDLINK: b"1"}[member.kind]
    fields = (text.replace("\ufffd", "_").encode() for text in (leaf, link))
    block = _block(b"", *fields, kind=kind, size=0, mode=member.mode, mtime=mtime)
    return extension + data + padding(len(data)) + block


def _split(name: bytes) -> tuple[bytes, bytes | None]:
    """Split a name into ustar prefix (155 bytes) and name (100 bytes) at a slash; no name where it does not fit."""
    if len(name) <= 100:
        return b"", name
    for at in range(max(0, len(name) - 101), min(156, len(name))):
        if name[at : at + 1] == b"/":
            return name[:at], name[at + 1 :]
    return b"", None


def _time_record(mtime: Timestamp) -> dict[str, str]:
    """Return the PAX record of a time that octal digits do not hold: before 1970, or after 2242."""
    return {} if 0 <= mtime.seconds <= _OCTAL_11 else {"mtime": str(mtime.seconds)}


def _record(key: str, value: str) -> bytes:
    """Make one PAX record: its own decimal length, a space, ``key=value``, a newline."""
    rest = f" {key}={value}\n".encode()
    length = len(rest) + 1
    while length != len(rest) + len(str(length)):
        length = len(rest) + len(str(length))
    return str(length).encode() + rest


def _block(
    prefix: bytes, name: bytes, link: bytes = b"", *, kind: bytes, size: int, mode: int, mtime: Timestamp
) -> bytes:
    fields = (
        name.ljust(100, b"\0"),
        b"%07o\0" % (mode & 0o7777),
        b"0000000\x00" * 2,
        b"%011o\0" % size,
        b"%011o\0" % min(max(mtime.seconds, 0), _OCTAL_11),
        b"        ",
        kind,
        link.ljust(100, b"\0"),
        b"ustar\x0000",
        bytes(32 + 32),
        b"0000000\x00" * 2,
        prefix.ljust(155, b"\0"),
        bytes(12),
    )
    block = b"".join(fields)
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]

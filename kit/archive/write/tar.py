"""Where a run writes a kit: members in the order of the source, headers after bodies, the manifest last.

A changed member's size is only known once its last run is transformed, and the manifest's content once every digest is
known. Both come earlier in the archive than they can be written. So frames go to a spool file in the order in which
they are finished, each slot of the archive records its extents there, and :meth:`ArchiveDestination.assemble` puts them
in order. Headers are POSIX ustar, with PAX records only where a value does not fit (POSIX.1 pax); an untouched member
keeps the header that it had.

Laws: the bytes depend on what was added and on the order of slots, never on when it was added; a header depends on its
arguments alone, and the strict reader of this package reads back the values it was made from; nothing is written
outside the job folder; a failed write is an ``OutputError``, after which the destination accepts nothing more.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Protocol

from kit.archive.frames import FRAME_BYTES, Frame, encode_frame, seek_table
from kit.archive.read.headers import EntryKind
from kit.archive.read.proven import LEAST_BYTES, Body, Proven, ProvenBody
from kit.archive.read.tar import Member
from kit.output.disk import new_file, write_all, writing
from kit.output.spool import Extent, Spool
from kit.values import Codec, MemberPath, Sha256, Timestamp

BLOCK = 512
END = bytes(2 * BLOCK)
"""Two zero blocks end an archive; no further padding to a tape record is written."""

_MAX_OCTAL = 0o77777777777


def padding(size: int) -> bytes:
    """Return the zeros that fill the last block of a body of ``size`` bytes."""
    return bytes(-size % BLOCK)


def file_header(path: MemberPath, *, size: int, mode: int, mtime: Timestamp) -> bytes:
    """Return the header blocks of a regular file: owner 0:0, no user names."""
    name = path.text.encode()
    records = {}
    prefix, leaf = _split(name)
    if leaf is None or not path.text.isascii():
        # ustar names are ASCII by the standard; any other is a PAX path, and the header has a readable placeholder.
        records["path"] = path.text
        prefix, leaf = b"", name[:100].decode("ascii", "replace").replace("\ufffd", "_").rstrip("/").encode()
    if size > _MAX_OCTAL:
        records["size"] = str(size)
    records |= _time_record(mtime)
    header = _block(prefix, leaf, kind=b"0", size=0 if "size" in records else size, mode=mode, mtime=mtime)
    if not records:
        return header
    data = b"".join(_record(key, value) for key, value in sorted(records.items()))
    extension = _block(b"", b"PaxHeaders/" + leaf[:80], kind=b"x", size=len(data), mode=0o644, mtime=mtime)
    return extension + data + padding(len(data)) + header


def entry_header(member: Member) -> bytes:
    """Return the header blocks of an entry of any kind that came from a folder; see :func:`file_header`."""
    name = f"{member.path}" if member.path is not None else "."
    if member.kind is EntryKind.FILE:
        return file_header(MemberPath(name), size=member.size, mode=member.mode, mtime=Timestamp(member.mtime))
    is_folder = member.kind is EntryKind.DIRECTORY
    records = {"path": f"{name}/" if is_folder else name}
    if not is_folder:
        records["linkpath"] = member.link_target
    mtime = Timestamp(member.mtime)
    records |= _time_record(mtime)
    # A name or target of any length and alphabet goes into a PAX record; the fields have placeholders.
    data = b"".join(_record(key, value) for key, value in sorted(records.items()))
    leaf, link = (text.encode()[:100].decode("ascii", "replace") for text in (records["path"], member.link_target))
    extension = _block(b"", b"PaxHeaders/entry", kind=b"x", size=len(data), mode=0o644, mtime=mtime)
    kind = {EntryKind.DIRECTORY: b"5", EntryKind.SYMLINK: b"2", EntryKind.HARDLINK: b"1"}[member.kind]
    fields = (text.replace("\ufffd", "_").encode() for text in (leaf, link))
    block = _block(b"", *fields, kind=kind, size=0, mode=member.mode, mtime=mtime)
    return extension + data + padding(len(data)) + block


def _split(name: bytes) -> tuple[bytes, bytes | None]:
    """Return ustar prefix (155 bytes) and name (100 bytes), split at a slash; None as the name if it does not fit."""
    if len(name) <= 100:
        return b"", name
    for at in range(max(0, len(name) - 101), min(156, len(name))):
        if name[at : at + 1] == b"/":
            return name[:at], name[at + 1 :]
    return b"", None


def _time_record(mtime: Timestamp) -> dict[str, str]:
    """Return the PAX record of a time that octal digits cannot hold: before 1970, or after 2242."""
    return {} if 0 <= mtime.seconds <= _MAX_OCTAL else {"mtime": str(mtime.seconds)}


def _record(key: str, value: str) -> bytes:
    """Return one PAX record: its own decimal length, a space, ``key=value``, a newline."""
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
        b"%011o\0" % min(max(mtime.seconds, 0), _MAX_OCTAL),
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


class Destination(Protocol):
    """What the engine writes to. Each member is one slot; slots are opened in the order of the archive.

    They are filled in any order.
    """

    codec: Codec
    """How frames passed to :meth:`add` must be encoded."""
    proves: bool
    """Whether frames passed to :meth:`add` must be proven; those are not decoded when the archive is read back."""

    def carry(self, member: Member, body: Iterator[bytes]) -> tuple[Slot, Iterator[bytes]]:
        """Open the next slot for an unchanged member; return it and the bytes whose frames must be added to it."""
        ...

    def copy(self, bodies: Sequence[Body] = ()) -> Slot:
        """Open the next slot for frames that are copied from the base as stored, headers and padding included.

        Args:
            bodies: The bodies in them whose digest is worth keeping, in order.
        """
        ...

    def open(self, path: MemberPath, *, mode: int) -> Slot:
        """Open the next slot for a changed or new member; its header is made when it is closed."""
        ...

    def next_piece(self) -> bytes:
        """Return the frame that an earlier process of this job recorded for the next piece of work, unproven.

        Called once for each piece, in the order of the pieces. Empty where there is none.
        """
        ...

    def add(self, slot: Slot, frame: Frame, *, piece: bool = False) -> None:
        """Append one encoded frame to a slot; with ``piece``, :meth:`next_piece` may return it to a later process.

        Raises:
            OutputError: The bytes could not be written.
        """
        ...

    def commit(self) -> None:
        """Put what was added so far on record once the disk has it, so that a resumed run need not do it again.

        Raises:
            OutputError: An earlier batch could not be written.
        """
        ...

    def close(self, slot: Slot, *, mtime: Timestamp) -> None:
        """End a slot; ``mtime`` is the time of a changed or new member, and a carried one keeps its own."""
        ...


@dataclass(slots=True, kw_only=True, eq=False)
class Slot:
    """One place in the archive: the name of its member, and where its frames are."""

    path: MemberPath | None
    mode: int
    carried: Member | None = None
    length: int = 0
    """Decoded bytes added."""
    extents: list[Extent] = field(default_factory=list)
    bodies: Sequence[Body] = ()
    """Bodies of files in it, in order, of at least :data:`kit.archive.read.proven.LEAST_BYTES`."""


class ArchiveDestination:
    """A tar archive, compressed frame by frame; the module docstring has the order of events."""

    def __init__(self, folder: Path, spool: Spool, *, codec: Codec, mode: int = 0o600, proves: bool = False) -> None:
        """Write into ``folder``, which exists and belongs to this job, through its spool.

        ``mode`` is the widest mode of the archive, within the umask; ``proves`` is that of :class:`Destination`.
        """
        self.codec = codec
        self.proves = proves and codec is not Codec.NONE
        self._folder = folder
        self._spool = spool
        self._mode = mode
        self._slots: list[Slot] = []
        self._frames: list[Extent] = []
        """In the order of the archive; empty until it is assembled."""

    def carry(self, member: Member, body: Iterator[bytes]) -> tuple[Slot, Iterator[bytes]]:
        """Keep header, body and padding byte for byte."""
        slot = Slot(path=member.path, mode=member.mode, carried=member)
        if member.path is not None and member.size >= LEAST_BYTES:
            slot.bodies = (Body(path=member.path, start=len(member.header), size=member.size),)
        self._slots.append(slot)
        return slot, chain([member.header], body, [padding(member.size)])

    def copy(self, bodies: Sequence[Body] = ()) -> Slot:
        """See :class:`Destination`; such a slot need not be closed."""
        slot = Slot(path=None, mode=0, bodies=bodies)
        self._slots.append(slot)
        return slot

    def open(self, path: MemberPath, *, mode: int) -> Slot:
        """See :class:`Destination`."""
        slot = Slot(path=path, mode=mode)
        self._slots.append(slot)
        return slot

    def next_piece(self) -> bytes:
        """See :class:`Destination`."""
        return self._spool.next_piece()

    def add(self, slot: Slot, frame: Frame, *, piece: bool = False) -> None:
        """See :class:`Destination`."""
        slot.extents.append(self._spool.write(frame, piece=piece))
        slot.length += frame.length

    def commit(self) -> None:
        """See :class:`Destination`."""
        self._spool.commit()

    def close(self, slot: Slot, *, mtime: Timestamp) -> None:
        """Add the header and padding of a changed or new member."""
        if slot.path is None or slot.carried is not None:
            return
        header = file_header(slot.path, size=slot.length, mode=slot.mode, mtime=mtime)
        slot.extents.insert(0, self._spool.write(encode_frame(self.codec, header)))
        if tail := padding(slot.length):
            slot.extents.append(self._spool.write(encode_frame(self.codec, tail)))
        if slot.length >= LEAST_BYTES:
            slot.bodies = (Body(path=slot.path, start=len(header), size=slot.length),)

    def release(self) -> None:
        """Close the spool; what was written stays until the job folder is removed. Further calls do nothing."""
        self._spool.close()

    def assemble(self) -> Path:
        """Write the finished archive into the job folder, synced, and return its path.

        The spool is synced and recorded first, so that a crash from here on costs no frame. It stays until the job
        folder is removed: only a verified archive may replace it.

        Raises:
            OutputError: The disk is full or failed.
        """
        end = self._spool.write(encode_frame(self.codec, END))
        self._frames = extents = [extent for slot in self._slots for extent in slot.extents] + [end]
        path = self._folder / "archive"
        with writing(path):
            path.unlink(missing_ok=True)  # of an earlier process
        with writing(path), new_file(path, self._mode) as target:
            self._spool.sync()
            for extent in _join(extents):
                self._spool.copy(extent, target)
            write_all(target, self._tail())
            os.fsync(target.fileno())
            self._spool.close()
        return path

    def proven(self, digests: Mapping[MemberPath, tuple[Sha256, int]]) -> Proven:
        """Return what is known of the assembled archive, for reading it back.

        Args:
            digests: Digest and size of the body of each file whose frames were added here.
        """
        return Proven.of(self._frames, self._known(digests), self._tail())

    def _known(self, digests: Mapping[MemberPath, tuple[Sha256, int]]) -> Iterator[tuple[MemberPath, ProvenBody]]:
        at = 0
        for slot in self._slots:
            for body in slot.bodies:
                digest, size = digests.get(body.path, (None, 0))
                if digest is not None and size == body.size:
                    yield body.path, ProvenBody(start=at + body.start, size=size, sha256=digest)
            at += sum(extent.length for extent in slot.extents)

    def _tail(self) -> bytes:
        """Return the bytes after the last frame."""
        return seek_table([(one.size, one.length) for one in self._frames]) if self.codec is Codec.ZSTD else b""


class CountingDestination:
    """Counts what would be written, and writes nothing: the destination of ``kit plan``.

    Also that of a repeated pass of which only the findings are needed.
    """

    def __init__(self, *, codec: Codec) -> None:
        self.codec = codec
        self.proves = False
        self.encoded = 0

    def carry(self, member: Member, body: Iterator[bytes]) -> tuple[Slot, Iterator[bytes]]:
        """See :class:`Destination`."""
        return Slot(path=member.path, mode=member.mode, carried=member), body

    def copy(self, bodies: Sequence[Body] = ()) -> Slot:  # noqa: ARG002
        """See :class:`Destination`."""
        return Slot(path=None, mode=0)

    def open(self, path: MemberPath, *, mode: int) -> Slot:
        """See :class:`Destination`."""
        return Slot(path=path, mode=mode)

    def next_piece(self) -> bytes:
        """Return nothing: no earlier process recorded a frame."""
        return b""

    def add(self, slot: Slot, frame: Frame, *, piece: bool = False) -> None:  # noqa: ARG002
        """See :class:`Destination`."""
        slot.length += frame.length
        self.encoded += len(frame.encoded)

    def commit(self) -> None:
        """See :class:`Destination`."""

    def close(self, slot: Slot, *, mtime: Timestamp) -> None:
        """See :class:`Destination`."""


def add_bytes(destination: Destination, slot: Slot, data: bytes, *, mtime: Timestamp) -> None:
    """Write a small member from memory to a slot, and close the slot."""
    for start in range(0, len(data), FRAME_BYTES):
        destination.add(slot, encode_frame(destination.codec, data[start : start + FRAME_BYTES]))
    destination.close(slot, mtime=mtime)


def _join(extents: Iterable[Extent]) -> Iterator[Extent]:
    """Yield the extents, those joined that follow each other in the spool, so that few large copies are made."""
    current = Extent(offset=0, size=0, length=0)
    for extent in extents:
        if current.offset + current.size == extent.offset:
            current = Extent(
                offset=current.offset, size=current.size + extent.size, length=current.length + extent.length
            )
        else:
            yield current
            current = extent
    yield current

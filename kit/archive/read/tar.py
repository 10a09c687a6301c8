"""Reads a tar stream into members in one pass, strictly, and records where its frames and entries are.

Laws of reading: the members and their bodies account for every byte of the stream, so anything but headers, bodies and
zero padding is refused. ``member.header`` + body + padding, in order, and the end blocks are the stream. Memory holds
only the current chunk, the extension records of one member and the names so far. A refusal states the member, where its
name is known, and the decimal byte offset in the decompressed stream. Links are never followed.

A patch of a kit that this program wrote need not compress unchanged members again. Frames are cut at the starts of
members, so a member is stored as complete frames, which can be copied; :class:`Layout` finds them. Laws of copying:
nothing is copied unless the entire archive has the form that this program writes, which is frames of its encoder's form
(:mod:`kit.archive.frames`) and, with zstd, the seek table that lists them, and nothing else; a stretch is complete
entries and complete frames. The pass that made the layout decoded and digested the content of a copied frame.
:meth:`kit.archive.read.reader.KitReader.pass_digest` proves that a later pass reads the same stored bytes.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from kit.archive.frames import DecodedFrame, is_own, seek_table
from kit.archive.read.headers import BLOCK_BYTES, ZERO_BLOCK, EntryKind, ExtensionKind, TarHeader, parse_header
from kit.archive.read.names import LINK_HINT, MemberTree, check_mode, check_name, parse_name
from kit.archive.read.pax import Extensions
from kit.archive.read.proven import Body, ProvenBody
from kit.archive.source import ChunkReader
from kit.errors import ArchiveError
from kit.values import STRICT, Allowed, Codec, Limits, MemberPath, Price

_CHUNK_BYTES = 1024 * 1024
_NOTHING: Mapping[MemberPath, ProvenBody] = {}
_LINKS = frozenset({EntryKind.SYMLINK, EntryKind.HARDLINK})


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One entry of a kit's container."""

    path: MemberPath | None
    """None for the entry of the root folder."""
    kind: EntryKind
    size: int
    """Bytes of its body; 0 for anything but a file."""
    mode: int
    """Permission bits, 0 to 0o7777."""
    mtime: int
    """Seconds since 1970, negative before."""
    header: bytes
    """All its header blocks verbatim, extension records included; empty for a member of a folder."""
    link_target: str
    """As written; empty if it is no link."""
    offset: int
    """Offset of its first header block in the decompressed stream; 0 for a member of a folder."""
    ordinal: int
    """Counted from 0, in the order of the container."""
    permitted: tuple[str, ...] = ()
    """What is only accepted in it because the user permits it: ``name colon``, ``record SCHILY.fflags``, sorted."""

    @property
    def is_file(self) -> bool:
        """Whether it is a regular file, the only kind with a body."""
        return self.kind is EntryKind.FILE


def read_tar(
    reader: ChunkReader,
    limits: Limits,
    *,
    where: str,
    allowed: Allowed = STRICT,
    proven: Mapping[MemberPath, ProvenBody] = _NOTHING,
) -> Iterator[tuple[Member, Iterator[bytes]]]:
    """Yield each member with an iterator over its body, which is drained here if the caller has not done so.

    For a body in ``proven`` the iterator yields only the parts that must be read, which may be none.

    Raises:
        ArchiveError: The stream is cut, malformed, ambiguous or hostile.
        LimitError: A size or count is over a limit.
    """
    yield from _TarReader(reader, limits, where=where, allowed=allowed, proven=proven).members()


class _Body:
    """The body of one member: chunks of ``size`` bytes in all."""

    __slots__ = ("_is_proven", "_label", "_reader", "_start", "abandoned", "left")

    def __init__(self, reader: ChunkReader, size: int, label: str, *, is_proven: bool) -> None:
        self._reader = reader
        self._label = label
        self._is_proven = is_proven
        self._start = reader.offset
        self.left = size
        self.abandoned = False

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self.abandoned:
            # A bug of the caller, not of the kit; without an error it would look like an empty body.
            raise RuntimeError(f"the body of {self._label} was asked for after the next member")
        while self._is_proven and self.left and (skipped := self._reader.skip_known(self.left)):
            self.left -= skipped
        if not self.left:
            raise StopIteration
        chunk = self._reader.read_some(min(self.left, _CHUNK_BYTES))
        if not chunk:
            raise self._reader.cut(f"the body of {self._label}", self._start)
        self.left -= len(chunk)
        return chunk

    def drain(self) -> None:
        for _ in self:
            pass


class _TarReader:
    def __init__(
        self,
        reader: ChunkReader,
        limits: Limits,
        *,
        where: str,
        allowed: Allowed,
        proven: Mapping[MemberPath, ProvenBody],
    ) -> None:
        self._reader = reader
        self._proven = proven
        self._limits = limits
        self._where = where
        self._allowed = allowed
        self._tree = MemberTree(limits)
        self._defaults: dict[str, bytes] = {}

    def members(self) -> Iterator[tuple[Member, Iterator[bytes]]]:
        ordinal = 0
        while member := self._next_member(ordinal):
            ordinal += 1
            label = str(member.path or "./")
            body = _Body(self._reader, member.size, label, is_proven=self._is_proven(member))
            yield member, body
            body.drain()
            body.abandoned = True
            self._limits.spend(member.size, where=self._where)
            self._take_padding(member.size, label)
        self._take_end()
        self._check_links()

    def _is_proven(self, member: Member) -> bool:
        """Return whether the next body is known; it must then be where it was written."""
        body = self._proven.get(member.path) if member.path is not None else None
        if body is not None and (member.kind, self._reader.offset, member.size) != (
            EntryKind.FILE,
            body.start,
            body.size,
        ):
            raise self._reader.fault(f"{member.path} is not where it was written", self._reader.offset)
        return body is not None

    def _next_member(self, ordinal: int) -> Member | None:
        """Take the header blocks of the next member; None at the first end block."""
        start = self._reader.offset
        extensions = Extensions(defaults=self._defaults, permitted=self._allowed.records)
        blocks: list[bytes] = []
        extension_bytes = 0
        while True:
            at = self._reader.offset
            block = self._reader.read_exactly(BLOCK_BYTES, "a tar header")
            if block == ZERO_BLOCK:
                if blocks:
                    raise self._reader.fault("an extension record is followed by no member", at)
                return None
            try:
                header = parse_header(block)
                blocks.append(block)
                if isinstance(header.kind, EntryKind):
                    return self._member(
                        header=header,
                        kind=header.kind,
                        extensions=extensions,
                        blocks=b"".join(blocks),
                        start=start,
                        ordinal=ordinal,
                    )
                extension_bytes += BLOCK_BYTES + header.size
                self._limits.check("header_bytes", extension_bytes)
                self._limits.spend(Price.RECORD + Price.RECORD_BYTE * header.size)
            except ArchiveError as error:
                raise error.inside(f"byte {at}").inside(self._where) from error
            data = self._reader.read_exactly(header.size, "an extension record")
            padding = self._take_padding(header.size, "an extension record")
            blocks += (data, padding)
            self._extend(extensions, header.kind, data, at)

    def _extend(self, extensions: Extensions, kind: ExtensionKind, data: bytes, at: int) -> None:
        try:
            extensions.add(kind, data)
        except ArchiveError as error:
            raise error.inside(f"byte {at}").inside(self._where) from error

    def _member(
        self, *, header: TarHeader, kind: EntryKind, extensions: Extensions, blocks: bytes, start: int, ordinal: int
    ) -> Member:
        name = extensions.name_over(header)
        path = parse_name(name, kind, self._limits)
        try:
            names = check_name(path, self._allowed)
            check_mode(header.mode, kind)
            size = extensions.size_over(header)
            if kind is not EntryKind.FILE and size:
                raise ArchiveError(f"is a {kind.value} and declares {size} bytes")  # noqa: TRY301
            self._limits.check("member_bytes", size)
            # A size over the limit is refused before a byte of the body is read.
            self._limits.check("total_bytes", self._reader.offset + size)
            self._limits.check("members", ordinal + 1)
            self._limits.spend(Price.MEMBER)
            target = self._link_target(kind, path, extensions.link_over(header))
            self._tree.add(path, kind)
            mtime = extensions.mtime_over(header)
        except ArchiveError as error:
            raise error.inside(str(path or "./")) from error
        return Member(
            path=path,
            kind=kind,
            size=size,
            mode=header.mode,
            mtime=mtime,
            header=blocks,
            link_target=target,
            offset=start,
            ordinal=ordinal,
            permitted=(*names, *(f"record {key}" for key in sorted(extensions.used))),
        )

    def _link_target(self, kind: EntryKind, path: MemberPath | None, link: bytes) -> str:
        if kind not in _LINKS:
            if link:
                raise ArchiveError(f"is a {kind.value} and has the link target {link!r}")
            return ""
        if not self._allowed.links:
            raise ArchiveError(f"is a {kind.value}", hint=LINK_HINT)
        try:
            target = link.decode("utf-8")
        except UnicodeDecodeError:
            raise ArchiveError(f"links to {link!r}, which is not valid UTF-8") from None
        if path is not None:
            self._tree.check_link(path, kind, target, self._allowed)
        return target

    def _check_links(self) -> None:
        try:
            self._tree.check_links()
        except ArchiveError as error:
            raise error.inside(self._where) from error

    def _take_padding(self, size: int, label: str) -> bytes:
        """Take the zero bytes that fill the last block of ``size`` bytes."""
        at = self._reader.offset
        padding = self._reader.read_exactly(-size % BLOCK_BYTES, f"the padding of {label}")
        if padding.strip(b"\0"):
            raise self._reader.fault(f"the padding of {label} is not zero", at)
        return padding

    def _take_end(self) -> None:
        """Take the second end block and the padding of the last record (POSIX: two zero blocks end the archive)."""
        at = self._reader.offset
        if self._reader.read_exactly(BLOCK_BYTES, "the end blocks") != ZERO_BLOCK:
            raise self._reader.fault("a single zero block is followed by other data", at)
        start = self._reader.offset
        while True:
            at = self._reader.offset
            self._limits.check("total_bytes", at, where=self._where)
            data = self._reader.read_some(_CHUNK_BYTES)
            if not data:
                break
            rest = data.lstrip(b"\0")
            if rest:
                raise self._reader.fault("data after the end of the archive", at + len(data) - len(rest))
        if (at - start) % BLOCK_BYTES:
            raise self._reader.fault("the archive does not end with a whole block", at)


MAX_FRAMES = 1 << 20
"""Nothing is copied from an archive of more frames, since each takes memory."""
_TYPE_AT = 156
_GLOBAL = ord("g")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """Consecutive entries that are complete frames."""

    first: int
    """The first of the frames, counted from 0."""
    end: int
    """The frame after the last one."""
    files: int
    """Number of regular files among the entries."""


def _numbers() -> array[int]:
    return array("Q")


@dataclass(slots=True, kw_only=True)
class Layout:
    """Where the frames and entries of an archive are; it grows during a pass, and each kind may have its own thread."""

    codec: Codec
    sizes: array[int] = field(default_factory=_numbers)
    """Stored bytes of each frame."""
    lengths: array[int] = field(default_factory=_numbers)
    """Decoded bytes of each frame."""
    _starts: array[int] = field(default_factory=_numbers)
    """Start of each entry in the decoded stream."""
    files: bytearray = field(default_factory=bytearray)
    """For each entry, whether it is a regular file."""
    _end: int = 0
    """End of the last entry in the decoded stream."""
    _foreign_frame: bool = False
    _bound: bool = False
    """Whether entries depend on others."""

    def add_frame(self, frame: DecodedFrame) -> None:
        """Add the next frame."""
        if self._foreign_frame:
            return
        self._foreign_frame = not is_own(self.codec, frame) or len(self.sizes) == MAX_FRAMES
        self.sizes.append(frame.size)
        self.lengths.append(frame.length)

    @property
    def is_foreign(self) -> bool:
        """Whether there is a frame that this program's encoder would not make."""
        return self._foreign_frame

    def add_entry(self, member: Member) -> None:
        """Add the next entry."""
        # A global PAX record affects all entries after it, and a hard link needs the entry that it names: none of these
        # may be skipped. The data of another record may have the letter of a global one at the same place: then
        # nothing is copied, and no more is lost.
        self._bound |= member.kind is EntryKind.HARDLINK or _GLOBAL in member.header[_TYPE_AT::BLOCK_BYTES]
        if self._foreign_frame or self._bound:
            return
        self._starts.append(member.offset)
        self.files.append(member.is_file)
        self._end = member.offset + len(member.header) + member.size + -member.size % BLOCK_BYTES

    def is_own(self, stored: int, tail: Callable[[int], bytes]) -> bool:
        """Return whether the archive of ``stored`` bytes has this program's form; ``tail`` returns its last bytes."""
        if self._foreign_frame or self._bound:
            return False
        table = seek_table(list(zip(self.sizes, self.lengths, strict=True))) if self.codec is Codec.ZSTD else b""
        return stored == sum(self.sizes) + len(table) and tail(len(table)) == table

    def bodies(
        self, stretches: Iterable[Stretch], files: Iterable[tuple[MemberPath, int]], *, least: int
    ) -> Iterator[tuple[Body, ...]]:
        """Yield, for each of ``stretches``, where in it the bodies of at least ``least`` bytes are.

        Args:
            stretches: Stretches of this layout, in order.
            files: Path and size of every regular file, in order.
            least: Size of the smallest body that is worth keeping.
        """
        ends = [*self._starts[1:], self._end]
        files, number, frame, at = iter(files), 0, 0, 0
        for stretch in stretches:
            at += sum(self.lengths[frame : stretch.first])
            first, frame = at, stretch.end
            at += sum(self.lengths[stretch.first : frame])
            found = []
            while number < len(ends) and ends[number] <= at:
                if self.files[number]:
                    path, size = next(files)
                    if size >= least and self._starts[number] >= first:
                        start = ends[number] - size - -size % BLOCK_BYTES - first
                        found.append(Body(path=path, start=start, size=size))
                number += 1
            yield tuple(found)

    def stretches(self, keep: Iterable[bool]) -> Iterator[Stretch]:
        """Yield the stretches that can be copied, in order and as long as possible.

        Args:
            keep: For each entry, whether it stays unchanged.
        """
        first = end = files = 0
        frame = at = 0
        ends = [*self._starts[1:], self._end]
        for start, stop, is_file, stays in zip(self._starts, ends, self.files, keep, strict=True):
            while at < start:
                at += self.lengths[frame]
                frame += 1
            from_frame, from_at = frame, at
            while at < stop:
                at += self.lengths[frame]
                frame += 1
            if not stays or (from_at, at) != (start, stop):
                continue
            if from_frame != end:
                if end > first:
                    yield Stretch(first=first, end=end, files=files)
                first, files = from_frame, 0
            end, files = frame, files + is_file
        if end > first:
            yield Stretch(first=first, end=end, files=files)

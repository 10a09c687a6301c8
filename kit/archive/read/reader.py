"""Opens a kit in any container and yields its members: the one entry point of reading.

Laws: a container is recognised by its content, never by its name; it is opened once, and every pass over the members
reads through the same descriptor, so what one pass verified is what the next one uses. A kit whose first block is no
tar header is refused when it is opened; any other fault is found while the members are read.
"""

from __future__ import annotations

import enum
import hashlib
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self

from kit.archive.frames import Frame
from kit.archive.read.codecs import decode, decode_member, detect
from kit.archive.read.folder import folder_bytes, open_folder, read_folder
from kit.archive.read.headers import BLOCK_BYTES, ZERO_BLOCK, check_sum
from kit.archive.read.outlook import Outlook, may_be_ours
from kit.archive.read.proven import Proven, decode_proven
from kit.archive.read.tar import Layout, Member, Stretch, read_tar
from kit.archive.source import (
    CHUNK_BYTES,
    ByteSource,
    ChunkReader,
    FileSource,
    KnownBytes,
    prefetch,
    source_chunks,
    unreadable,
)
from kit.errors import ArchiveError, DigestError, LimitError, UsageError
from kit.values import NAMED, STRICT, Allowed, Codec, Limits, MemberPath, Sha256

__all__ = ["Container", "Copying", "KitReader", "Member", "changed_meanwhile", "decode_member", "open_kit"]


class Container(enum.Enum):
    """What holds the members."""

    FOLDER = "folder"
    TAR = "tar"
    TAR_GZIP = "tar.gz"
    TAR_ZSTD = "tar.zst"


_CONTAINERS = {Codec.NONE: Container.TAR, Codec.GZIP: Container.TAR_GZIP, Codec.ZSTD: Container.TAR_ZSTD}
_CODECS = {container: codec for codec, container in _CONTAINERS.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Copying:
    """What a pass over an archive takes as stored and does not read."""

    layout: Layout
    """The layout that an earlier pass found."""
    stretches: Sequence[Stretch]
    """Stretches of it, in order."""
    take: Callable[[Frame], None]
    """Called with each of their frames, in order between the entries, on the thread that reads them."""


class KitReader:
    """An open kit; a context manager that closes what it opened.

    Attributes:
        container: What holds the members.
        path: The path by which it was opened.
        limits: Limits that are enforced.
        allowed: What the user permits in it.
        read_bytes: Stored bytes that the latest pass over the members has read so far.
        collections: Which members are collections. By their names alone until the first pass knows what is declared.
        declared: What a caller declares to be collections, in addition to the kit itself.
        outlook: How far the latest pass has decoded the archive, if that is observed.
        watch: Called with the number of bytes of a member's body that were just used, on the thread that uses them.
    """

    def __init__(
        self,
        source: ByteSource | int,
        *,
        path: Path,
        limits: Limits,
        allowed: Allowed = STRICT,
        close: Callable[[], None] | None = None,
    ) -> None:
        """Read from ``source``: the bytes of an archive, or the descriptor of an open folder.

        Raises:
            ArchiveError: The bytes are neither a tar archive nor one compressed by gzip or zstd.
            UnreadableError: The source failed.
        """
        self.path = path
        self.limits = limits.with_meter(self._metered_bytes)
        # Every byte of the container itself is stored, which bounds the cost of its frames.
        self._outer_limits = limits
        self.read_bytes = 0
        self._read_digest = hashlib.sha256()
        self._layout: Layout | None = None
        self.outlook: Outlook | None = None
        self._entries: bytes | None = None
        """Digest of the entries of the first complete pass; None before."""
        self._is_complete = False
        self.watch: Callable[[int], None] | None = None
        self.collections = NAMED
        self.declared = NAMED
        self._expanded_bytes = 0
        self._stored_bytes: int | None = None
        self.allowed = allowed
        self._close = close
        self._source = source
        self.container = Container.FOLDER if isinstance(source, int) else self._recognise(source)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the descriptor; further calls do nothing."""
        if self._close is not None:
            self._close()
            self._close = None

    @property
    def stored_bytes(self) -> int | None:
        """Size of the archive as stored, or of all files of a folder (which walks it); None if not known."""
        if isinstance(self._source, int):
            return folder_bytes(self._source, self._outer_limits, where=str(self.path), allowed=self.allowed)
        return self._source.size

    @property
    def mode(self) -> int:
        """Permissions of the archive or of the root of a folder; 0600 where there is no file."""
        if isinstance(self._source, int):
            return stat.S_IMODE(os.fstat(self._source).st_mode)
        return stat.S_IMODE(self._source.status.st_mode) if isinstance(self._source, FileSource) else 0o600

    def _metered_bytes(self) -> int:
        """Return the size by which the budget is measured: each entry of a folder counts as a header."""
        if not isinstance(self._source, int):
            return self._source.size or self.read_bytes
        allowed = replace(self.allowed, links=True)
        members = read_folder(self._source, self._outer_limits, where=str(self.path), allowed=allowed)
        return sum(BLOCK_BYTES + member.size for member, _ in members)

    def stored_digest(self) -> Sha256:
        """Return the digest of the archive as stored, read through the descriptor that the members are read from.

        Raises:
            UnreadableError: The medium failed.
            UsageError: The kit is a folder, which has no such bytes.
        """
        if isinstance(self._source, int):
            raise UsageError("a folder has no digest of its own", where=str(self.path))
        digest = hashlib.sha256()
        for chunk in source_chunks(self._source, name=str(self.path)):
            digest.update(chunk)
        return Sha256(digest.hexdigest())

    def pass_digest(self) -> Sha256 | None:
        """Return the digest of the stored bytes that the latest pass has read: of the archive, once the pass is over.

        Two passes with the same digest read the same members with the same bodies. None for a folder.
        """
        return None if isinstance(self._source, int) else Sha256(self._read_digest.hexdigest())

    def stored_chunks(self) -> Iterator[bytes]:
        """Return the bytes of the archive as stored, in chunks; none for a folder.

        Raises:
            UnreadableError: The medium failed.
        """
        return iter(()) if isinstance(self._source, int) else source_chunks(self._source, name=str(self.path))

    def again(self) -> KitReader:
        """Return a reader of the same open kit, whose passes do not disturb those of this one; it closes nothing."""
        return KitReader(self._source, path=self.path, limits=self._outer_limits, allowed=self.allowed)

    def is_still_named(self, place: Path | None = None) -> bool:
        """Return whether ``place``, or ``path``, names what is open here, with the size and time from the opening."""
        try:
            named = os.lstat(place or self.path)
        except OSError:
            return False
        if isinstance(self._source, int):
            return os.path.samestat(named, os.fstat(self._source))
        if not isinstance(self._source, FileSource):
            return False
        opened = self._source.status
        is_unchanged = (named.st_size, named.st_mtime_ns) == (opened.st_size, opened.st_mtime_ns)
        return os.path.samestat(named, opened) and is_unchanged

    def layout(self) -> Layout | None:
        """Return where the frames and entries of the latest pass are; None if it is not over or none can be copied."""
        if self._layout is None or not self._is_complete or isinstance(self._source, int):
            return None
        stored, source = self.read_bytes, self._source

        def tail(size: int) -> bytes:
            return b"".join(source_chunks(source, name=str(self.path), start=stored - size)) if stored > size else b""

        return self._layout if self._layout.is_own(stored, tail) else None

    def may_be_ours(self) -> bool:
        """Return whether this program may have written the archive, by its first and last bytes; between passes only.

        Raises:
            UnreadableError: The medium failed.
        """
        return isinstance(self._source, int) or may_be_ours(self._source, _CODECS[self.container])

    def is_foreign(self) -> bool:
        """Return whether the latest pass read a frame that this program's encoder would not make."""
        return self._layout is not None and self._layout.is_foreign

    def members(
        self, copying: Copying | None = None, proven: Proven | None = None
    ) -> Iterator[tuple[Member, Iterator[bytes]]]:
        """Yield all members from the start, each with its body; may be called again, also before the end.

        A complete pass yields the same entries as those before it.

        Args:
            copying: The entries of its stretches are not yielded; its ``take`` gets their frames.
            proven: What is known of exactly this archive; of the bodies in it only parts are yielded.

        Raises:
            DigestError: The entries differ from those of the first pass.
            ArchiveError: The container is malformed, cut, ambiguous or hostile.
            LimitError: Something is over a limit.
            UnreadableError: The medium failed.
        """
        where = str(self.path)
        self.read_bytes = self._expanded_bytes = 0
        if self.limits.meter is not None:
            self.limits.meter.begin()
        self._read_digest = hashlib.sha256()
        if isinstance(self._source, int):
            members = read_folder(self._source, self.limits, where=where, allowed=self.allowed)
            return self._watch_bodies(self._check_unchanged(members))
        codec = _CODECS[self.container]
        self._is_complete = False
        is_read = copying is None and proven is None
        self._layout = Layout(codec=codec) if codec is not Codec.NONE and is_read else None
        self.outlook = Outlook(self._source.size) if self._layout is not None else None
        chunks: Iterator[bytes | KnownBytes]
        if proven is not None:
            # There is little to decode now; another thread digests the stored bytes meanwhile.
            stored = ChunkReader(prefetch(self._count(source_chunks(self._source, name=where))), where=where)
            chunks = self._watch_known(decode_proven(codec, stored, self._outer_limits, where=where, proven=proven))
        elif copying is not None:
            chunks = self._take_copied(prefetch(self._read_stretches(self._source, codec, copying)), copying.take)
        else:
            chunks = self._tar_chunks(self._source, codec, self._layout)
            if codec is not Codec.NONE:
                chunks = prefetch(chunks)
        members = read_tar(
            ChunkReader(chunks, where=where),
            self.limits,
            where=where,
            allowed=self.allowed,
            proven=proven.bodies if proven is not None else {},
        )
        if self._layout is not None:
            members = self._add_to_layout(members, self._layout)
        return self._watch_bodies(members if copying is not None else self._check_unchanged(members))

    def _check_unchanged(
        self, members: Iterator[tuple[Member, Iterator[bytes]]]
    ) -> Iterator[tuple[Member, Iterator[bytes]]]:
        """Yield the entries and check that they are those of the first pass: a missing one has no digest to compare."""
        digest = hashlib.sha256()
        for member, body in members:
            digest.update(f"{member.path}\n{member.kind} {member.size} {member.link_target!r}\n".encode())
            yield member, body
        if self._entries is None:
            self._entries = digest.digest()
        elif self._entries != digest.digest():
            raise changed_meanwhile(self.path)

    def _add_to_layout(
        self, members: Iterator[tuple[Member, Iterator[bytes]]], layout: Layout
    ) -> Iterator[tuple[Member, Iterator[bytes]]]:
        for member, body in members:
            layout.add_entry(member)
            yield member, body
        self._is_complete = self._layout is layout  # else another pass was begun meanwhile

    def decode_member(self, body: Iterator[bytes], codec: Codec, *, where: str) -> Iterator[bytes]:
        """Yield the content of a collection member of this pass, whose stored bytes are ``body``.

        A codec inside a codec expands by the product of both, and many small members each stay below the floor of
        ``ratio``. So the limit also holds for the sum of what a pass decodes over the size of the kit as stored.

        Raises:
            ArchiveError: The stream is cut or malformed in that codec.
            LimitError: It, or all of them together, expand too far.
        """
        for chunk in decode_member(body, codec, self.limits, where=where):
            if codec is not Codec.NONE:
                self._expanded_bytes += len(chunk)
                self.limits.spend(len(chunk), where=where)
                if self._expanded_bytes > self.limits.ratio_floor_bytes:
                    self._check_expansion()
            yield chunk

    def _check_expansion(self) -> None:
        expanded = self._expanded_bytes
        if self._stored_bytes is None:
            self._stored_bytes = self.stored_bytes
        stored = max(self._stored_bytes or self.read_bytes, 1)
        if expanded > self.limits.ratio * stored:
            ratio = -(-expanded // stored)
            raise LimitError(
                f"its collections expand {ratio} times in all ({expanded} bytes so far, of {stored} stored), over the"
                f" limit ratio = {self.limits.ratio}",
                where=str(self.path),
                hint=f"if this kit is known to be sound, raise it: --max ratio={ratio}",
            )

    def _watch_bodies(
        self, members: Iterator[tuple[Member, Iterator[bytes]]]
    ) -> Iterator[tuple[Member, Iterator[bytes]]]:
        return (
            members
            if self.watch is None
            else ((member, self._watch_body(body, self.watch)) for member, body in members)
        )

    def _watch_body(self, body: Iterator[bytes], watch: Callable[[int], None]) -> Iterator[bytes]:
        for chunk in body:
            if isinstance(self._source, int):
                self.read_bytes += len(chunk)
            watch(len(chunk))
            yield chunk

    def _count(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        digest = self._read_digest  # of this pass, even if another is begun before its end
        for chunk in chunks:
            self.read_bytes += len(chunk)
            digest.update(chunk)
            yield chunk

    def _tar_chunks(self, source: ByteSource, codec: Codec, layout: Layout | None = None) -> Iterator[bytes]:
        where = str(self.path)
        chunks = self._count(source_chunks(source, name=where))
        if codec is Codec.NONE:
            return chunks
        ended, stored = layout.add_frame if layout is not None else None, ChunkReader(chunks, where=where)
        decoded = decode(codec, stored, self._outer_limits, where=where, ended=ended)
        return self.outlook.watch(decoded, stored) if layout is not None and self.outlook is not None else decoded

    def _read_stretches(self, source: ByteSource, codec: Codec, copying: Copying) -> Iterator[Frame | bytes]:
        """Yield the frames of stretches as stored, and the content of all others; every stored byte is digested."""
        where = str(self.path)
        stored = ChunkReader(self._count(source_chunks(source, name=where)), where=where)
        sizes, lengths = copying.layout.sizes, copying.layout.lengths
        frame = 0
        for stretch in copying.stretches:
            if stretch.first > frame:
                between = ChunkReader(_next(stored, sum(sizes[frame : stretch.first])), where=where)
                yield from decode(codec, between, self._outer_limits, where=where)
            for frame in range(stretch.first, stretch.end):
                yield Frame(encoded=stored.read_exactly(sizes[frame], "a frame"), length=lengths[frame])
            frame = stretch.end
        # The frame with the end blocks of the archive is in no stretch, so there is always a rest.
        yield from decode(codec, ChunkReader(_rest(stored), where=where), self._outer_limits, where=where)

    def _take_copied(self, pieces: Iterator[Frame | bytes], take: Callable[[Frame], None]) -> Iterator[bytes]:
        for piece in pieces:
            if not isinstance(piece, Frame):
                yield piece
                continue
            if self.watch is not None:
                self.watch(piece.length)
            take(piece)

    def _watch_known(self, chunks: Iterator[bytes | KnownBytes]) -> Iterator[bytes | KnownBytes]:
        for chunk in chunks:
            if isinstance(chunk, KnownBytes) and self.watch is not None:
                self.watch(chunk.length)
            yield chunk

    def _recognise(self, source: ByteSource) -> Container:
        """Return the container by its first bytes, which must decode to a tar header or an end block."""
        where = str(self.path)
        codec = detect(ChunkReader(source_chunks(source, name=where), where=where).read_up_to(4))
        block = ChunkReader(self._tar_chunks(source, codec), where=where).read_up_to(BLOCK_BYTES)
        container = _CONTAINERS[codec]
        try:
            if len(block) < BLOCK_BYTES:
                raise ArchiveError(f"only {len(block)} bytes")  # noqa: TRY301
            if block != ZERO_BLOCK:
                check_sum(block)
        except ArchiveError as error:
            inside = "" if codec is Codec.NONE else f" inside its {codec.name.lower()} stream"
            raise ArchiveError(
                f"is no kit: there is no tar archive{inside} ({error.what})",
                where=where,
                hint="a kit is a .tar, .tar.gz or .tar.zst archive, or the folder one was unpacked to",
            ) from error
        return container


def _next(reader: ChunkReader, size: int) -> Iterator[bytes]:
    """Yield the next ``size`` bytes, or fewer at the end."""
    while size and (data := reader.read_some(size)):
        size -= len(data)
        yield data


def _rest(reader: ChunkReader) -> Iterator[bytes]:
    return iter(lambda: reader.read_some(CHUNK_BYTES), b"")


def changed_meanwhile(where: Path | MemberPath) -> DigestError:
    """Return the error for a kit that two passes read differently; ``where`` names it or a member of it."""
    return DigestError("the kit changed while it was being read", where=str(where), hint="start again")


def open_kit(path: Path, *, limits: Limits, allowed: Allowed = STRICT) -> KitReader:
    """Open the archive or folder at ``path``; no link is followed to it.

    Raises:
        UnreadableError: It is absent, a link, neither a regular file nor a folder, or not permitted.
        ArchiveError: It is neither a folder nor a tar archive, plain or compressed.
    """
    try:
        is_folder = stat.S_ISDIR(os.lstat(path).st_mode)
    except (OSError, ValueError) as error:
        raise unreadable(error, str(path)) from error
    if is_folder:
        folder = open_folder(path)
        return KitReader(folder, path=path, limits=limits, allowed=allowed, close=lambda: os.close(folder))
    source = FileSource.open(path)
    try:
        return KitReader(source, path=path, limits=limits, allowed=allowed, close=source.close)
    except BaseException:
        source.close()
        raise

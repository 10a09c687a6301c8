"""Opens a kit, whatever holds it, and gives its members: the one entrance to reading.

Laws: a container is recognised by content, never by name; it is opened once, and every pass over the members reads
through that same descriptor, so what one pass verified is what the next one uses. A kit whose first block is no tar
header is refused when it is opened; everything else is found while the members are read.
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
from kit.archive.read.codecs import decode, decoded, detect
from kit.archive.read.folder import folder_bytes, open_folder, read_folder
from kit.archive.read.headers import BLOCK_BYTES, ZERO_BLOCK, check_sum
from kit.archive.read.proven import Proven, decode_proven
from kit.archive.read.tar import Layout, Member, Stretch, read_tar
from kit.archive.source import (
    CHUNK_BYTES,
    ByteSource,
    ChunkReader,
    FileSource,
    Passed,
    prefetched,
    source_chunks,
    unreadable,
)
from kit.errors import ArchiveError, DigestError, LimitError, UsageError
from kit.values import STRICT, Allowed, Codec, Limits, MemberPath, Sha256

__all__ = ["Container", "Copying", "KitReader", "Member", "changed_meanwhile", "decoded", "open_kit"]


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
    """What a pass over an archive takes as it is stored, instead of reading it."""

    layout: Layout
    """As an earlier pass found it."""
    stretches: Sequence[Stretch]
    """Of it, in order."""
    take: Callable[[Frame], None]
    """Gets each frame of these in its place between the entries, on the thread that reads them."""


class KitReader:
    """An open kit; a context manager that closes what it opened.

    Attributes:
        container: What holds the members.
        path: Where it was opened.
        limits: What it is held to.
        allowed: What the user permits in it.
        read_bytes: Stored bytes that the latest pass over the members has read so far.
        watch: Called with how many bytes of a member's body were just used, on the thread that uses them.
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
        self.limits = limits.with_meter(self._stored)
        # Of the container itself every byte is stored, which bounds what its frames cost.
        self._outer_limits = limits
        self.read_bytes = 0
        self._read_digest = hashlib.sha256()
        self._layout: Layout | None = None
        self._entries: bytes | None = None
        """What the first pass found, if one is over."""
        self._over = False
        self.watch: Callable[[int], None] | None = None
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
        """Size of the archive as stored, or of all files of a folder (which walks it); None when not known."""
        if isinstance(self._source, int):
            return folder_bytes(self._source, self._outer_limits, where=str(self.path), allowed=self.allowed)
        return self._source.size

    @property
    def mode(self) -> int:
        """Permissions of the archive, or of the root of a folder; its owner's alone where there is no file."""
        if isinstance(self._source, int):
            return stat.S_IMODE(os.fstat(self._source).st_mode)
        return stat.S_IMODE(self._source.status.st_mode) if isinstance(self._source, FileSource) else 0o600

    def _stored(self) -> int:
        """Return the size by which the meter goes: of a folder, each entry counts as a header would."""
        if not isinstance(self._source, int):
            return self._source.size or self.read_bytes
        allowed = replace(self.allowed, links=True)
        members = read_folder(self._source, self._outer_limits, where=str(self.path), allowed=allowed)
        return sum(BLOCK_BYTES + member.size for member, _ in members)

    def stored_digest(self) -> Sha256:
        """Digest the archive as stored, compression included, through the descriptor that the members are read from.

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
        """Digest of the stored bytes that the latest pass has read: of the whole archive once it is over.

        Two passes with one digest read the same members with the same bodies. None for a folder.
        """
        return None if isinstance(self._source, int) else Sha256(self._read_digest.hexdigest())

    def stored_chunks(self) -> Iterator[bytes]:
        """Return the archive as stored; of a folder, nothing.

        Raises:
            UnreadableError: The medium failed.
        """
        return iter(()) if isinstance(self._source, int) else source_chunks(self._source, name=str(self.path))

    def is_still_named(self, place: Path | None = None) -> bool:
        """Whether ``place``, or ``path``, names what is open here, with the size and time it was opened with."""
        try:
            named = os.lstat(place or self.path)
        except OSError:
            return False
        if isinstance(self._source, int):
            return os.path.samestat(named, os.fstat(self._source))
        if not isinstance(self._source, FileSource):
            return False
        met, opened = named, self._source.status
        return os.path.samestat(met, opened) and (met.st_size, met.st_mtime_ns) == (opened.st_size, opened.st_mtime_ns)

    def layout(self) -> Layout | None:
        """Return where everything is that the latest pass read; None if it is not over, or if nothing can be copied."""
        if self._layout is None or not self._over or isinstance(self._source, int):
            return None
        stored, source = self.read_bytes, self._source

        def tail(size: int) -> bytes:
            return b"".join(source_chunks(source, name=str(self.path), start=stored - size)) if stored > size else b""

        return self._layout if self._layout.is_own(stored, tail) else None

    def is_foreign(self) -> bool:
        """Whether the latest pass read a frame of an archive that this program's encoder would not give."""
        return self._layout is not None and self._layout.is_foreign

    def members(
        self, copying: Copying | None = None, proven: Proven | None = None
    ) -> Iterator[tuple[Member, Iterator[bytes]]]:
        """Read all members from the start, each with its body; may be called again, also before the end.

        A pass that ends has given the same entries as those before it. With ``copying``, the entries of its stretches
        are not given; their frames are, to its ``take``. With ``proven``, the archive must be the one that this is
        known of; of the bodies in it only parts are given.

        Raises:
            DigestError: The kit has other entries than when it was first read.
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
            return self._watched(self._alike(members))
        codec = _CODECS[self.container]
        self._over = False
        is_read = copying is None and proven is None
        self._layout = Layout(codec=codec) if codec is not Codec.NONE and is_read else None
        chunks: Iterator[bytes | Passed]
        if proven is not None:
            # Decoding is little now, and is done beside the digest of what is stored.
            stored = ChunkReader(prefetched(self._counted(source_chunks(self._source, name=where))), where=where)
            chunks = self._passing(decode_proven(codec, stored, self._outer_limits, where=where, proven=proven))
        elif copying is not None:
            chunks = self._uncopied(prefetched(self._stored_or_decoded(self._source, codec, copying)), copying.take)
        else:
            chunks = self._tar_chunks(self._source, codec, self._layout)
            if codec is not Codec.NONE:
                chunks = prefetched(chunks)
        members = read_tar(
            ChunkReader(chunks, where=where),
            self.limits,
            where=where,
            allowed=self.allowed,
            proven=proven.bodies if proven is not None else {},
        )
        if self._layout is not None:
            members = self._laid_out(members, self._layout)
        return self._watched(members if copying is not None else self._alike(members))

    def _alike(self, members: Iterator[tuple[Member, Iterator[bytes]]]) -> Iterator[tuple[Member, Iterator[bytes]]]:
        """Pass entries on, and see that they are those of the first pass: nobody asks the digest of what is gone."""
        digest = hashlib.sha256()
        for member, body in members:
            digest.update(f"{member.path}\n{member.kind} {member.size} {member.link_target!r}\n".encode())
            yield member, body
        if self._entries is None:
            self._entries = digest.digest()
        elif self._entries != digest.digest():
            raise changed_meanwhile(self.path)

    def _laid_out(
        self, members: Iterator[tuple[Member, Iterator[bytes]]], layout: Layout
    ) -> Iterator[tuple[Member, Iterator[bytes]]]:
        for member, body in members:
            layout.met_member(member)
            yield member, body
        self._over = self._layout is layout  # and no other pass was begun meanwhile

    def decoded(self, body: Iterator[bytes], codec: Codec, *, where: str) -> Iterator[bytes]:
        """Yield the content of a collection member of this pass, whose stored bytes are ``body``.

        A codec inside of a codec expands by the product of both, and many small members each stay below the floor of
        ``ratio``; so all that a pass decodes is held to the same ratio over the kit as it is stored.

        Raises:
            ArchiveError: The stream is not whole and well-formed in that codec.
            LimitError: It, or all of them together, expand too far.
        """
        for chunk in decoded(body, codec, self.limits, where=where):
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
            met = -(-expanded // stored)
            raise LimitError(
                f"its collections expand {met} times in all ({expanded} bytes so far, of {stored} stored), over the"
                f" limit ratio = {self.limits.ratio}",
                where=str(self.path),
                hint=f"if this kit is known to be sound, raise it: --max ratio={met}",
            )

    def _watched(self, members: Iterator[tuple[Member, Iterator[bytes]]]) -> Iterator[tuple[Member, Iterator[bytes]]]:
        return members if self.watch is None else ((member, self._told(body, self.watch)) for member, body in members)

    def _told(self, body: Iterator[bytes], watch: Callable[[int], None]) -> Iterator[bytes]:
        for chunk in body:
            if isinstance(self._source, int):
                self.read_bytes += len(chunk)
            watch(len(chunk))
            yield chunk

    def _counted(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        digest = self._read_digest  # of this pass, also where another is begun before its end
        for chunk in chunks:
            self.read_bytes += len(chunk)
            digest.update(chunk)
            yield chunk

    def _tar_chunks(self, source: ByteSource, codec: Codec, layout: Layout | None = None) -> Iterator[bytes]:
        where = str(self.path)
        chunks = self._counted(source_chunks(source, name=where))
        if codec is Codec.NONE:
            return chunks
        ended = layout.met_frame if layout is not None else None
        return decode(codec, ChunkReader(chunks, where=where), self._outer_limits, where=where, ended=ended)

    def _stored_or_decoded(self, source: ByteSource, codec: Codec, copying: Copying) -> Iterator[Frame | bytes]:
        """Yield the frames of stretches as stored, and what all others decode to; every stored byte is digested."""
        where = str(self.path)
        stored = ChunkReader(self._counted(source_chunks(source, name=where)), where=where)
        sizes, lengths = copying.layout.sizes, copying.layout.lengths
        frame = 0
        for stretch in copying.stretches:
            if stretch.first > frame:
                between = ChunkReader(_next(stored, sum(sizes[frame : stretch.first])), where=where)
                yield from decode(codec, between, self._outer_limits, where=where)
            for frame in range(stretch.first, stretch.end):
                yield Frame(encoded=stored.read_exactly(sizes[frame], "a frame"), length=lengths[frame])
            frame = stretch.end
        # The end blocks of the archive are a frame that is in no stretch, so that there is always a rest.
        yield from decode(codec, ChunkReader(_rest(stored), where=where), self._outer_limits, where=where)

    def _uncopied(self, pieces: Iterator[Frame | bytes], take: Callable[[Frame], None]) -> Iterator[bytes]:
        for piece in pieces:
            if not isinstance(piece, Frame):
                yield piece
                continue
            if self.watch is not None:
                self.watch(piece.length)
            take(piece)

    def _passing(self, chunks: Iterator[bytes | Passed]) -> Iterator[bytes | Passed]:
        for chunk in chunks:
            if isinstance(chunk, Passed) and self.watch is not None:
                self.watch(chunk.length)
            yield chunk

    def _recognise(self, source: ByteSource) -> Container:
        """Recognise the container by its first bytes; a tar header or an end block must come out of it."""
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
    """Yield the next ``size`` bytes, or what there is of them."""
    while size and (data := reader.read_some(size)):
        size -= len(data)
        yield data


def _rest(reader: ChunkReader) -> Iterator[bytes]:
    return iter(lambda: reader.read_some(CHUNK_BYTES), b"")


def changed_meanwhile(where: Path | MemberPath) -> DigestError:
    """Return the one error for a kit of which two readings differ; ``where`` names it or a member of it."""
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

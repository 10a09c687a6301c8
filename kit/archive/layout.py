"""Where the frames and entries of an archive are, as one reading met them, and which can be copied as stored.

Whoever patches a kit that this program wrote need not compress again what stays: its frames are cut at the starts of
members, so what is stored of a member is whole frames. Laws: nothing is copied unless the whole archive has the form
this program writes, which is frames of its encoder's form (:mod:`kit.archive.frame_form`) and, of zstd, the seek table
that lists them, and nothing else; a stretch is whole entries and whole frames. What a copied frame holds was decoded in
full and digested by the reading that made the layout; that a later reading meets the same stored bytes is proven by
:meth:`kit.archive.reader.KitReader.pass_digest`.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from kit.archive.encoding import seek_table
from kit.archive.frame_form import FrameMet, is_own
from kit.archive.proven import Body
from kit.archive.tar_headers import BLOCK_BYTES, EntryKind
from kit.archive.tar_reader import Member
from kit.values import Codec, MemberPath

MOST_FRAMES = 1 << 20
"""Of an archive of more frames none is copied: what is known of each takes memory."""
_TYPE_AT = 156
_GLOBAL = ord("g")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """Entries that follow each other and are whole frames."""

    first: int
    """The first of the frames, counted from 0."""
    end: int
    """The frame after the last one."""
    files: int
    """How many of the entries are regular files."""


def _numbers() -> array[int]:
    return array("Q")


@dataclass(slots=True, kw_only=True)
class Layout:
    """Grows while an archive is read; frames and entries may be told from different threads."""

    codec: Codec
    sizes: array[int] = field(default_factory=_numbers)
    """Stored bytes of each frame."""
    lengths: array[int] = field(default_factory=_numbers)
    """Decoded bytes of each frame."""
    _starts: array[int] = field(default_factory=_numbers)
    """Where each entry begins in the decoded stream."""
    files: bytearray = field(default_factory=bytearray)
    """Of each entry, whether it is a regular file."""
    _end: int = 0
    """Where the last entry ends."""
    _foreign_frame: bool = False
    _bound: bool = False
    """Whether entries depend on others."""

    def met_frame(self, met: FrameMet) -> None:
        """Take in the next frame."""
        if self._foreign_frame:
            return
        self._foreign_frame = not is_own(self.codec, met) or len(self.sizes) == MOST_FRAMES
        self.sizes.append(met.size)
        self.lengths.append(met.length)

    @property
    def is_foreign(self) -> bool:
        """Whether a frame was met that this program's encoder would not give."""
        return self._foreign_frame

    def met_member(self, member: Member) -> None:
        """Take in the next entry."""
        # A global PAX record has a say in all entries after it, and a hard link needs the one it names: of these none
        # may be passed over. In the data of another record the letter of a global one may stand at the same place:
        # that costs a copy, nothing else.
        self._bound |= member.kind is EntryKind.HARDLINK or _GLOBAL in member.header[_TYPE_AT::BLOCK_BYTES]
        if self._foreign_frame or self._bound:
            return
        self._starts.append(member.offset)
        self.files.append(member.is_file)
        self._end = member.offset + len(member.header) + member.size + -member.size % BLOCK_BYTES

    def is_own(self, stored: int, tail: Callable[[int], bytes]) -> bool:
        """Whether the archive, of ``stored`` bytes, has the form this program writes; ``tail`` gives its last bytes."""
        if self._foreign_frame or self._bound:
            return False
        table = seek_table(list(zip(self.sizes, self.lengths, strict=True))) if self.codec is Codec.ZSTD else b""
        return stored == sum(self.sizes) + len(table) and tail(len(table)) == table

    def bodies(
        self, stretches: Iterable[Stretch], files: Iterable[tuple[MemberPath, int]], *, least: int
    ) -> Iterator[tuple[Body, ...]]:
        """Yield, for each of ``stretches``, where in it the bodies of at least ``least`` bytes are.

        Args:
            stretches: Of this, in order.
            files: Path and size of every regular file, in order.
            least: What is worth knowing.
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
        """Give what can be copied, in order and as long as possible.

        Args:
            keep: Of each entry, whether it stays as it is.
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

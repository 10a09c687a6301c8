"""The encodings that all payloads of a delta use: numbers, packed streams, and pieces.

- Numbers are LEB128, as in DWARF and protobuf: seven bits a byte, the lowest first, the high bit set on all but the
  last. Signed numbers are zigzag-encoded first: 0, -1, 1, -2 … become 0, 1, 2, 3 …. :class:`Reader` reads untrusted
  bytes.
- A packed stream is compressed by zstd against a dictionary that both sides have. The dictionary is raw content, not a
  trained one: bytes of the base that the stream is likely to repeat.
- A payload is pieces, each length-prefixed, and a length of 0 at the end; one piece is held at a time.

Laws: ``unpack(pack(data, d), d) == data``; a packed stream depends on the arguments alone; unpacking never yields more
than the caller allows, whatever the stream claims.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import zstandard

from kit.errors import ArchiveError

_MAX_BYTES = 9
"""63 bits: no count here is larger."""


def unsigned(value: int) -> bytes:
    """Return an encoded number that is not negative."""
    if value < 0x80:
        return bytes((value,))
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def signed(value: int) -> bytes:
    """Return an encoded number of either sign."""
    return unsigned(zigzag(value))


def zigzag(value: int) -> int:
    """Return the number with its sign in the lowest bit."""
    return value << 1 if value >= 0 else (-value << 1) - 1


def unzigzag(value: int) -> int:
    """Return the number that :func:`zigzag` encoded."""
    return (value >> 1) ^ -(value & 1)


class Reader:
    """Reads numbers and bytes from the front of ``data``, and never past its end."""

    __slots__ = ("_at", "_data", "_what")

    def __init__(self, data: bytes, what: str) -> None:
        """Read ``data``; errors call it ``what``."""
        self._data = data
        self._at = 0
        self._what = what

    def unsigned(self) -> int:
        """Return the next number.

        Raises:
            ArchiveError: The data ends inside it, or it has more than 63 bits.
        """
        data, at = self._data, self._at
        value = shift = 0
        for _ in range(_MAX_BYTES):
            if at >= len(data):
                raise self.fault("ends inside a number")
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                self._at = at
                return value
            shift += 7
        raise self.fault("has a number of more than 63 bits")

    def signed(self) -> int:
        """Return the next number, which may be negative; errors as :meth:`unsigned`."""
        return unzigzag(self.unsigned())

    def bounded(self, most: int, name: str) -> int:
        """Return the next number, which is at most ``most``.

        Raises:
            ArchiveError: It is larger, or as :meth:`unsigned`.
        """
        value = self.unsigned()
        if value > most:
            raise self.fault(f"has {value:,} as its {name}; the maximum is {most:,}")
        return value

    def take(self, size: int) -> bytes:
        """Return the next ``size`` bytes.

        Raises:
            ArchiveError: There are fewer.
        """
        end = self._at + size
        if end > len(self._data):
            raise self.fault(f"ends {end - len(self._data):,} bytes early")
        piece = self._data[self._at : end]
        self._at = end
        return piece

    def rest(self) -> bytes:
        """Return all that is left."""
        return self.take(len(self._data) - self._at)

    def finish(self) -> None:
        """Check that nothing is left.

        Raises:
            ArchiveError: Something is left.
        """
        if self._at != len(self._data):
            raise self.fault(f"has {len(self._data) - self._at:,} bytes too many")

    def fault(self, what: str) -> ArchiveError:
        """Return the error for ``what``, with the current offset."""
        return ArchiveError(f"{self._what} {what} (byte {self._at})")


_STORED, _ZSTD = 0, 1
_MIN_WINDOW, _MAX_WINDOW = 10, 27
"""Logarithms; 2^27 is what every decoder must allow for (RFC 8878 3.1.1.1.2) and this program's own limit."""
_WORTH_IT = 32
"""Below so many bytes a frame's own header costs more than it saves."""


def pack(data: bytes, dictionary: bytes = b"", *, level: int) -> bytes:
    """Return ``data`` compressed, or stored if that is no longer: size, form, packed size, bytes.

    Raises:
        MemoryError: There is not enough memory.
    """
    form, packed = _STORED, data
    if len(data) >= _WORTH_IT:
        try:
            compressed = _compressor(len(data), dictionary, level).compress(data)
        except zstandard.ZstdError as error:
            raise MemoryError from error  # the only error possible for any bytes
        if len(compressed) < len(data):
            form, packed = _ZSTD, compressed
    return b"".join((unsigned(len(data)), bytes((form,)), unsigned(len(packed)), packed))


def unpack(reader: Reader, dictionary: bytes = b"", *, most: int) -> bytes:
    """Return the next packed stream, unpacked: at most ``most`` bytes.

    Raises:
        ArchiveError: It claims more, is truncated, or does not match its sizes.
        MemoryError: There is not enough memory.
    """
    size = reader.bounded(most, "size")
    form = reader.take(1)[0]
    packed = reader.take(reader.bounded(most, "packed size"))
    if form == _STORED and len(packed) == size:
        return packed
    if form != _ZSTD:
        raise reader.fault(f"has a stream of the unknown form {form}, or of another size than stated")
    try:
        # The library would allocate whatever size a frame states.
        if zstandard.frame_content_size(packed) != -1:
            raise reader.fault("has a stream whose frame states a size")
        data = _decompressor(dictionary).decompress(packed, max_output_size=max(size, 1), allow_extra_data=False)
    except zstandard.ZstdError as error:
        if "not enough memory" in str(error):
            raise MemoryError from error
        raise ArchiveError(f"a packed stream does not unpack with this base: {error}") from error
    if len(data) != size:
        raise reader.fault(f"has a stream of {len(data):,} bytes, not the {size:,} stated")
    return data


def _compressor(size: int, dictionary: bytes, level: int) -> zstandard.ZstdCompressor:
    # The window spans dictionary and data, so every byte of the dictionary stays in reach; the tables are sized by
    # both, too, where the library would size them by the data alone.
    whole = size + len(dictionary)
    parameters = zstandard.ZstdCompressionParameters.from_level(
        level,
        source_size=whole,
        window_log=max(_MIN_WINDOW, min(_MAX_WINDOW, whole.bit_length())),
        write_content_size=0,
        write_checksum=0,
        write_dict_id=0,
    )
    return zstandard.ZstdCompressor(compression_params=parameters, dict_data=_raw(dictionary))


def _decompressor(dictionary: bytes) -> zstandard.ZstdDecompressor:
    return zstandard.ZstdDecompressor(dict_data=_raw(dictionary), max_window_size=1 << _MAX_WINDOW)


def _raw(dictionary: bytes) -> zstandard.ZstdCompressionDict | None:
    if len(dictionary) < 8:  # the library's minimum
        return None
    return zstandard.ZstdCompressionDict(dictionary, dict_type=zstandard.DICT_TYPE_RAWCONTENT)


MAX_PIECE_BYTES = 256 * 1024 * 1024
"""This program makes pieces of a few MiB, or of one document."""
END = unsigned(0)


def frame_piece(data: bytes) -> bytes:
    """Return a piece behind its length; not of an empty one, which would be the end."""
    return unsigned(len(data)) + data


def read_pieces(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the pieces of a payload.

    Raises:
        ArchiveError: It is truncated, a piece is too large, or something follows the end.
    """
    source = _Source(chunks)
    while size := source.size():
        if size > MAX_PIECE_BYTES:
            raise ArchiveError(f"a payload has a piece of {size:,} bytes; the maximum is {MAX_PIECE_BYTES:,}")
        yield source.take(size)
    if not source.at_end():
        raise ArchiveError("a payload continues after its end")


class _Source:
    """Reads bytes from chunks; each is copied once, however many pieces it holds."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._chunk = b""
        self._at = 0

    def size(self) -> int:
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7
            if shift > 28:
                raise ArchiveError("a payload has a piece of an impossible size")

    def take(self, size: int) -> bytes:
        parts: list[bytes] = []
        while size:
            if self.at_end():
                raise ArchiveError("a payload is truncated")
            part = self._chunk[self._at : self._at + size]
            self._at += len(part)
            size -= len(part)
            parts.append(part)
        return b"".join(parts)

    def at_end(self) -> bool:
        while self._at == len(self._chunk):
            chunk = next(self._chunks, None)
            if chunk is None:
                return True
            self._chunk, self._at = chunk, 0
        return False

"""Packed streams: bytes compressed by zstd against a dictionary that both sides have.

The dictionary is raw content, not a trained one: bytes of the base that the stream is likely to repeat. Laws:
``unpack(pack(data, d), d) == data``; a packed stream depends on the arguments alone; unpacking never yields more than
the caller allows, whatever the stream claims.
"""

from __future__ import annotations

import zstandard

from kit.delta.varint import Reader, unsigned
from kit.errors import ArchiveError

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

"""Does what ``zstd --patch-from`` does, by the libzstd of the package ``zstandard``, which is newer than many programs.

    python benchmarks/patch_from.py make BEFORE AFTER DELTA
    python benchmarks/patch_from.py apply BEFORE DELTA AFTER

The earlier file is a raw dictionary and long distances are looked for, as the program does at level 19.
"""

from __future__ import annotations

import sys
from pathlib import Path

import zstandard

_LEVEL, _WINDOW_LOG = 19, 31


def make(before: bytes, after: bytes) -> bytes:
    """Return ``after`` as a frame that repeats ``before``."""
    window = min(max((len(before) + len(after)).bit_length(), 10), _WINDOW_LOG)
    parameters = zstandard.ZstdCompressionParameters.from_level(
        _LEVEL, source_size=len(after), window_log=window, enable_ldm=True
    )
    compressor = zstandard.ZstdCompressor(compression_params=parameters, dict_data=_raw(before))
    return compressor.compress(after)


def apply(before: bytes, delta: bytes) -> bytes:
    """Return what ``delta`` was made of."""
    decompressor = zstandard.ZstdDecompressor(dict_data=_raw(before), max_window_size=1 << _WINDOW_LOG)
    return decompressor.decompress(delta)


def _raw(data: bytes) -> zstandard.ZstdCompressionDict:
    return zstandard.ZstdCompressionDict(data, dict_type=zstandard.DICT_TYPE_RAWCONTENT)


if __name__ == "__main__":
    work = {"make": make, "apply": apply}[sys.argv[1]]
    first, second, out = map(Path, sys.argv[2:5])
    out.write_bytes(work(first.read_bytes(), second.read_bytes()))

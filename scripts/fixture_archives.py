"""How the kits under ``fixtures/`` are packed: by stdlib ``tarfile``, zstandard and libdeflate.

Without kit's writer, so that reading them is reading what others wrote: with owners, and frames that end anywhere.
"""

from __future__ import annotations

import datetime as dt
import io
import struct
import tarfile
import zlib
from collections.abc import Mapping

import deflate
import zstandard

BUILT_AT = "2099-04-01T00:00:00Z"


def tar_of(members: Mapping[str, bytes], layout: int, *, folders: bool) -> bytes:
    """Pack with stdlib tarfile; owner, mode and time are somebody's, so that a patch is seen to keep them."""
    built = int(dt.datetime.fromisoformat(BUILT_AT).timestamp())
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=layout) as archive:
        made: set[str] = set()
        for path, data in members.items():
            parents = ["/".join(path.split("/")[: n + 1]) for n in range(path.count("/"))] if folders else []
            for parent in [parent for parent in parents if parent not in made]:
                made.add(parent)
                archive.addfile(_entry(parent, tarfile.DIRTYPE, 0o755, built))
            entry = _entry(path, tarfile.REGTYPE, 0o640, built)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def _entry(path: str, kind: bytes, mode: int, mtime: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(path)
    entry.type, entry.mode, entry.mtime = kind, mode, mtime
    entry.uid = entry.gid = 1000
    entry.uname = entry.gname = "quartermaster"
    return entry


def zstd_frames(data: bytes) -> bytes:
    """Give two frames, cut where no member ends, and a skippable one between them: what a reader must take."""
    compressor = zstandard.ZstdCompressor(level=19, write_checksum=True)
    middle = len(data) // 2 + 7
    skippable = struct.pack("<II", 0x184D2A50, 4) + b"skip"
    return compressor.compress(data[:middle]) + skippable + compressor.compress(data[middle:])


def gzip_members(data: bytes) -> bytes:
    """Give two gzip members, cut where no tar member ends."""
    return gzip_member(data[:1000]) + gzip_member(data[1000:])


def gzip_member(data: bytes) -> bytes:
    """Give a gzip member with a name in its header; deflate is the pinned one, since zlib's bytes vary by its build."""
    header = b"\x1f\x8b\x08\x08" + bytes(4) + b"\x02\x03" + b"a-name\0"
    return header + bytes(deflate.deflate_compress(data, 9)) + struct.pack("<II", zlib.crc32(data), len(data))

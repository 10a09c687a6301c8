"""Archives of ``mongodump --archive``: many collections in one stream, in blocks that may be interleaved.

Law of the package: what is read and written again unchanged is the same, byte for byte. Bytes in, bytes out: who opens
files and decompresses them is above (schemas/mongodump-archive.md).
"""

from kit.dump.prelude import MAGIC, Described, Origin, Prelude, Sort, begins_dump
from kit.dump.reader import BlockHeader, Part, Piece, checksum, read_dump
from kit.dump.writer import DumpWriter, write_dump

__all__ = [
    "MAGIC",
    "BlockHeader",
    "Described",
    "DumpWriter",
    "Origin",
    "Part",
    "Piece",
    "Prelude",
    "Sort",
    "begins_dump",
    "checksum",
    "read_dump",
    "write_dump",
]

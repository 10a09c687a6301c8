"""Containers: strict reading, deterministic writing, and the switch from an old file to a new one.

Reading starts at :func:`open_kit`; writing at a :class:`Destination`; nothing else of this toolkit touches files of
kits. What is written here, the strict reader of this package reads back, and so do stock ``tar``, ``gzip``, ``zstd``.
"""

from kit.archive.codecs import decoded
from kit.archive.commit import (
    Job,
    backup_path,
    checksum_line,
    copy_kit,
    publish,
    replace,
    require_backup_free,
    require_free,
)
from kit.archive.destination import ArchiveDestination, CountingDestination, Destination, Slot, add_bytes
from kit.archive.encoding import FRAME_BYTES, Frame, encode, encode_frame
from kit.archive.folder_destination import FolderDestination
from kit.archive.reader import Container, KitReader, open_kit
from kit.archive.secret_output import SecretOutput
from kit.archive.source import read_small
from kit.archive.tar_headers import EntryKind
from kit.archive.tar_reader import Member

__all__ = [
    "FRAME_BYTES",
    "ArchiveDestination",
    "Container",
    "CountingDestination",
    "Destination",
    "EntryKind",
    "FolderDestination",
    "Frame",
    "Job",
    "KitReader",
    "Member",
    "SecretOutput",
    "Slot",
    "add_bytes",
    "backup_path",
    "checksum_line",
    "copy_kit",
    "decoded",
    "encode",
    "encode_frame",
    "open_kit",
    "publish",
    "read_small",
    "replace",
    "require_backup_free",
    "require_free",
]

"""Containers: strict reading, deterministic writing, and the switch from an old file to a new one.

Reading starts at :func:`open_kit`; writing at a :class:`Destination`; nothing else of this toolkit touches files of
kits. What is written here, the strict reader of this package reads back, and so do stock ``tar``, ``gzip``, ``zstd``.

- Reading: ``reader`` opens a ``source``, detects the codec (``codecs``; ``gzip_members``, ``zstd_frames``; ``prefetch``
  runs ahead) and reads ``chunks`` as tar (``tar_reader``, ``tar_headers``, ``tar_extensions``) or a folder
  (``folder_reader``); ``member_tree`` keeps names apart. ``layout``, ``frame_form`` and ``reproduction`` show what of
  the stored bytes can be kept or made again.
- Writing: ``destination`` and ``folder_destination``, by ``tar_writer`` and ``encoding``; finished frames wait in a
  ``spool``, and what is ``proven`` of them need not be decoded when they are read back.
- A run and its end: ``job`` is the folder, a ``held_folder``; ``journal`` and ``journal_file`` are what is on record,
  ``switch`` what is to get which name, ``commit`` the steps, ``finishing`` what becomes of them after a crash;
  ``copies`` are kits that only get another name. By ``places``, ``disk`` and ``tree_digest``; names are given by
  :mod:`kit.publishing`.
- Other files: ``new_folder``; ``workplace`` and ``scratch`` for what a run keeps meanwhile.
"""

from kit.archive.codecs import decoded
from kit.archive.commit import perform
from kit.archive.copies import Verified, copy_kit, land, restored_kit, retire
from kit.archive.destination import ArchiveDestination, CountingDestination, Destination, Slot, add_bytes
from kit.archive.encoding import FRAME_BYTES, Frame, encode, encode_frame
from kit.archive.finishing import Standing, finish, retreat, standing
from kit.archive.folder_destination import FolderDestination, searchable
from kit.archive.frame_form import content_of, encode_again, encode_frame_again
from kit.archive.job import Job
from kit.archive.journal import checksum
from kit.archive.layout import Layout, Stretch
from kit.archive.member_tree import LINK_HINT, MemberTree
from kit.archive.new_folder import NewFolder
from kit.archive.places import backup_path, require_backup_free, require_free, require_replaceable
from kit.archive.proven import LEAST_BYTES, Body, Proven, encode_proven, known_frame
from kit.archive.reader import Container, Copying, KitReader, changed_meanwhile, open_kit
from kit.archive.source import read_small
from kit.archive.spool import CHECKPOINT_BYTES, Spool
from kit.archive.switch import Switch, checksum_line, has_begun, staged
from kit.archive.tar_headers import EntryKind
from kit.archive.tar_reader import Member

__all__ = [
    "CHECKPOINT_BYTES",
    "FRAME_BYTES",
    "LEAST_BYTES",
    "LINK_HINT",
    "ArchiveDestination",
    "Body",
    "Container",
    "Copying",
    "CountingDestination",
    "Destination",
    "EntryKind",
    "FolderDestination",
    "Frame",
    "Job",
    "KitReader",
    "Layout",
    "Member",
    "MemberTree",
    "NewFolder",
    "Proven",
    "Slot",
    "Spool",
    "Standing",
    "Stretch",
    "Switch",
    "Verified",
    "add_bytes",
    "backup_path",
    "changed_meanwhile",
    "checksum",
    "checksum_line",
    "content_of",
    "copy_kit",
    "decoded",
    "encode",
    "encode_again",
    "encode_frame",
    "encode_frame_again",
    "encode_proven",
    "finish",
    "has_begun",
    "known_frame",
    "land",
    "open_kit",
    "perform",
    "read_small",
    "require_backup_free",
    "require_free",
    "require_replaceable",
    "restored_kit",
    "retire",
    "retreat",
    "searchable",
    "staged",
    "standing",
]

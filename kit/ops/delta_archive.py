"""The archive of a delta being written: what a site must read first stands in front, and is known last.

Entries stand in the order of schemas/kit-delta.md: manifest, its signature, layout, signature of the target's archive
if it has one, payloads. Law: the same bytes in the same order give the same archive.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from kit.archive import ArchiveDestination, Slot, Spool, add_bytes, encode_frame
from kit.archive.journal_file import JournalFile
from kit.delta.model import ARCHIVE_SIGNATURE, DELTA_TYPE, LAYOUT, MANIFEST, SIGNATURE, DeltaManifest, Payload
from kit.signing import PrivateKey, jws
from kit.values import Codec, MemberPath, Sha256, Timestamp

_MODE = 0o644


class DeltaArchive:
    """See the module docstring. A context manager that closes its files."""

    def __init__(self, folder: Path, at: Timestamp, *, signature: bytes | None, mode: int) -> None:
        """Begin an archive in ``folder``, whose entries have the time ``at``.

        Args:
            folder: On the file system of the output.
            at: The time of every entry.
            signature: Of the target's archive, carried as it is.
            mode: The widest that the archive may have.

        Raises:
            OutputError: Its files cannot be made.
        """
        self._at = at
        self._signature = signature
        self._payloads = 0
        with ExitStack() as stack:
            journal = JournalFile(folder / "journal")
            stack.callback(journal.close)
            spool = Spool(folder, journal, checkpoint_bytes=1 << 62)
            self._destination = ArchiveDestination(folder, spool, codec=Codec.ZSTD, mode=mode)
            stack.callback(self._destination.release)
            in_front = (MANIFEST, SIGNATURE, LAYOUT, *((ARCHIVE_SIGNATURE,) if signature is not None else ()))
            self._slots = {path: self._destination.open(path, mode=_MODE) for path in in_front}
            self._open = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def add(self, chunks: Iterator[bytes]) -> Payload:
        """Add the payload of the next member that has one.

        Raises:
            OutputError: The disk is full or failed; or what ``chunks`` raises.
        """
        path = MemberPath(f"payload/{self._payloads}")
        self._payloads += 1
        return self._fill(self._destination.open(path, mode=_MODE), path, chunks)

    def close_front(self, layout: bytes) -> tuple[Payload, Payload | None]:
        """Put what the manifest names of the entries in front: the layout, and the signature if there is one.

        Raises:
            OutputError: The disk is full or failed.
        """
        signature = None
        if self._signature is not None:
            signature = self._fill(self._slots[ARCHIVE_SIGNATURE], ARCHIVE_SIGNATURE, iter([self._signature]))
        return self._fill(self._slots[LAYOUT], LAYOUT, iter([layout])), signature

    def signed(self, manifest: DeltaManifest, key: PrivateKey) -> Path:
        """Put the manifest and its signature by ``key``, and give the finished archive.

        Raises:
            OutputError: The disk is full or failed.
        """
        data = manifest.to_bytes()
        add_bytes(self._destination, self._slots[MANIFEST], data, mtime=self._at)
        document = jws.sign(data, [key], typ=DELTA_TYPE)
        add_bytes(self._destination, self._slots[SIGNATURE], document, mtime=self._at)
        return self._destination.assemble()

    def _fill(self, slot: Slot, path: MemberPath, chunks: Iterator[bytes]) -> Payload:
        digest = hashlib.sha256()
        size = 0
        for chunk in chunks:
            digest.update(chunk)
            size += len(chunk)
            self._destination.add(slot, encode_frame(self._destination.codec, chunk))
        self._destination.close(slot, mtime=self._at)
        return Payload(path=path, sha256=Sha256(digest.hexdigest()), size=size)

"""The audit log: one line a record, each with the digest of the line before it (schemas/audit-log.md).

A change, a removal or an insertion anywhere but at the end breaks the chain; what is cut off at the end shows only to
whoever knows the digest of a line that was there, which is why every command that appends prints it. Laws: ``verify``
accepts what ``append`` writes; nothing is appended to a log that does not verify; a record is on disk, whole, before
``append`` returns. The file is only ever opened for appending.
"""

from __future__ import annotations

import fcntl
import json
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from kit.errors import DigestError, KeyUnusableError, KitError, OutputError, UnreadableError
from kit.secret_files import sync_folder
from kit.values import Limits, Sha256, strict_json

SCHEMA_VERSION = "1"
FIRST = Sha256("0" * 64)
"""What the first line has in the place of a digest."""
LARGEST_LINE = 64 * 1024 * 1024
_OPEN = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_EXPOSED = stat.S_IWGRP | stat.S_IWOTH


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """A log that verified: how many records it has, and the digest of its last line."""

    records: int = 0
    head: Sha256 = FIRST

    def line(self, record: Mapping[str, Any]) -> bytes:
        """Print ``record`` as the next line."""
        return _printed(
            {**record, "schemaVersion": SCHEMA_VERSION, "sequence": self.records + 1, "previous": str(self.head)}
        )

    def checked(self, line: bytes, *, where: str) -> Chain:
        """Check that ``line`` is the next one, and give the chain with it.

        Raises:
            DigestError: It is not whole, not JSON as printed here, or does not follow this chain.
        """
        where = f"{where}: line {self.records + 1:,}"
        if not line.endswith(b"\n") or len(line) > LARGEST_LINE:
            raise DigestError("is cut short, or longer than any line", where=where)
        try:
            record = strict_json.parse(line, limits=Limits(), where=where)
        except KitError as error:
            raise DigestError(f"is no record: {error.what}", where=where) from error
        if not isinstance(record, dict) or record.get("schemaVersion") != SCHEMA_VERSION or _printed(record) != line:
            raise DigestError("is no record in its one spelling", where=where)
        if record.get("previous") != str(self.head):
            raise DigestError("does not follow the line before it: the log was changed", where=where)
        if record.get("sequence") != self.records + 1:
            raise DigestError(f"has the sequence number {record.get('sequence')!r}: the log was changed", where=where)
        return Chain(records=self.records + 1, head=Sha256.of(line))


def verify(path: Path, *, anchor: Sha256 | None = None) -> Chain:
    """Verify a whole log.

    Args:
        path: The log.
        anchor: Digest of a line that must be there, as a command printed it: tells whether the end was cut off.

    Raises:
        UnreadableError: It is not there, or cannot be read.
        DigestError: It does not verify, or has no line of that digest.
    """
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise UnreadableError("is not a regular file", where=str(path))
            return _verified(file, where=str(path), anchor=anchor)
    except OSError as error:
        raise UnreadableError(f"cannot be read: {error.strerror}", where=str(path)) from error


class AuditLog:
    """A log under a lock, verified, to which records are appended."""

    def __init__(self, path: Path, file: BinaryIO, chain: Chain, sync: Callable[[int], None]) -> None:
        """Use :meth:`opened`."""
        self._path, self._file, self._sync = path, file, sync
        self.chain = chain

    def append(self, record: Mapping[str, Any]) -> Sha256:
        """Append a record, on disk before this returns; gives the digest of its line.

        Raises:
            OutputError: It cannot be written.
            DigestError: It holds what a line cannot: half a surrogate pair, or too much.
        """
        line = self.chain.line(record)
        after = self.chain.checked(line, where=str(self._path))
        try:
            if self._file.write(line) != len(line):
                raise OutputError("only a part of the audit record was written", where=str(self._path))
            self._sync(self._file.fileno())
        except OSError as error:
            raise OutputError(f"cannot write the audit record: {error.strerror}", where=str(self._path)) from error
        self.chain = after
        return self.chain.head


@contextmanager
def opened(path: Path, *, sync: Callable[[int], None] = os.fsync) -> Iterator[AuditLog]:
    """Open a log, or begin one of mode 0600; nobody else can append to it until it is closed.

    Args:
        path: The log.
        sync: Brings what was written through a descriptor to the disk.

    Raises:
        KeyUnusableError: It is a link or no regular file, or others may write it.
        DigestError: It does not verify.
        OutputError: It cannot be opened for writing, or another process has it.
    """
    where = str(path)
    try:
        descriptor = os.open(path, _OPEN, 0o600)
    except OSError as error:
        raise OutputError(f"cannot open the audit log: {error.strerror}", where=where) from error
    with os.fdopen(descriptor, "r+b", buffering=0) as file:
        _check(descriptor, where)
        chain = _verified_start(descriptor, path)
        yield AuditLog(path, file, chain, sync)


def _verified_start(descriptor: int, path: Path) -> Chain:
    try:
        with os.fdopen(os.dup(descriptor), "rb") as reading:
            chain = _verified(reading, where=str(path))
        sync_folder(path.parent)
    except OSError as error:
        raise OutputError(f"cannot use the audit log: {error.strerror}", where=str(path)) from error
    return chain


def _check(descriptor: int, where: str) -> None:
    facts = os.fstat(descriptor)
    if not stat.S_ISREG(facts.st_mode):
        raise KeyUnusableError("is not a regular file", where=where)
    if facts.st_mode & _EXPOSED:
        raise KeyUnusableError("others can write this audit log", where=where, hint=f"chmod 600 {where}")
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise OutputError("another process is appending to this audit log", where=where, hint="wait for it") from error


def _verified(file: BinaryIO, *, where: str, anchor: Sha256 | None = None) -> Chain:
    chain = Chain()
    found = anchor is None
    while line := file.readline(LARGEST_LINE + 1):
        chain = chain.checked(line, where=where)
        found = found or chain.head == anchor
    if not found:
        raise DigestError(f"has no line of digest {anchor}: its end was cut off, or it is another log", where=where)
    return chain


def _printed(record: Mapping[str, Any]) -> bytes:
    return (
        json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode() + b"\n"
    )

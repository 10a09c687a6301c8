"""The audit log: one line a record, each with the digest of the previous line (schemas/audit-log.md).

A change, a removal or an insertion anywhere but at the end breaks the chain. A truncated end can be noticed only with
the digest of a missing line, so every command that appends prints it. Laws: ``verify`` accepts what ``append`` writes;
nothing is appended to a log that does not verify; the whole record is on disk before ``append`` returns. The file is
only opened for appending.
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
from kit.output.publish import sync_folder
from kit.values import Limits, Sha256, strict_json

SCHEMA_VERSION = "1"
FIRST = Sha256("0" * 64)
"""The first line has this instead of a previous digest."""
MAX_LINE_BYTES = 64 * 1024 * 1024
_OPEN = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_EXPOSED = stat.S_IWGRP | stat.S_IWOTH


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """A verified log: the number of its records, and the digest of its last line."""

    records: int = 0
    head: Sha256 = FIRST

    def line(self, record: Mapping[str, Any]) -> bytes:
        """Return ``record`` as the next line."""
        return _encode(
            {**record, "schemaVersion": SCHEMA_VERSION, "sequence": self.records + 1, "previous": str(self.head)}
        )

    def check_next(self, line: bytes, *, where: str) -> Chain:
        """Check that ``line`` is the next one, and return the chain with it.

        Raises:
            DigestError: It is incomplete, not JSON as encoded here, or does not follow this chain.
        """
        where = f"{where}: line {self.records + 1:,}"
        if not line.endswith(b"\n") or len(line) > MAX_LINE_BYTES:
            raise DigestError("is truncated, or longer than any line", where=where)
        try:
            record = strict_json.parse(line, limits=Limits(), where=where)
        except KitError as error:
            raise DigestError(f"is not a record: {error.what}", where=where) from error
        if not isinstance(record, dict) or record.get("schemaVersion") != SCHEMA_VERSION or _encode(record) != line:
            raise DigestError("is not a record in canonical form", where=where)
        if record.get("previous") != str(self.head):
            raise DigestError("does not follow the previous line: the log was changed", where=where)
        if record.get("sequence") != self.records + 1:
            raise DigestError(f"has the sequence number {record.get('sequence')!r}: the log was changed", where=where)
        return Chain(records=self.records + 1, head=Sha256.of(line))


def verify(path: Path, *, anchor: Sha256 | None = None) -> Chain:
    """Verify a whole log, and return its chain.

    Args:
        path: The log.
        anchor: Digest of a line that must exist, as a command printed it: detects a truncated log.

    Raises:
        UnreadableError: It does not exist, or cannot be read.
        DigestError: It does not verify, or has no line with that digest.
    """
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise UnreadableError("is not a regular file", where=str(path))
            return _verify_lines(file, where=str(path), anchor=anchor)
    except OSError as error:
        raise UnreadableError(f"cannot be read: {error.strerror}", where=str(path)) from error


class AuditLog:
    """A locked and verified log, to which records are appended."""

    def __init__(self, path: Path, file: BinaryIO, chain: Chain, sync: Callable[[int], None]) -> None:
        """Use :func:`open_log`."""
        self._path, self._file, self._sync = path, file, sync
        self.chain = chain

    def append(self, record: Mapping[str, Any]) -> Sha256:
        """Append a record, sync it to disk, and return the digest of its line.

        Raises:
            OutputError: It cannot be written.
            DigestError: It does not fit a line: half a surrogate pair, or too long.
        """
        line = self.chain.line(record)
        after = self.chain.check_next(line, where=str(self._path))
        try:
            if self._file.write(line) != len(line):
                raise OutputError("only a part of the audit record was written", where=str(self._path))
            self._sync(self._file.fileno())
        except OSError as error:
            raise OutputError(f"cannot write the audit record: {error.strerror}", where=str(self._path)) from error
        self.chain = after
        return self.chain.head


@contextmanager
def open_log(path: Path, *, sync: Callable[[int], None] = os.fsync) -> Iterator[AuditLog]:
    """Open a log, or create one with mode 0600; no other process can append to it until it is closed.

    Args:
        path: The log.
        sync: Syncs a descriptor to disk.

    Raises:
        KeyUnusableError: It is a link or no regular file, or others can write it.
        DigestError: It does not verify.
        OutputError: It cannot be opened for writing, or another process has it open.
    """
    where = str(path)
    try:
        descriptor = os.open(path, _OPEN, 0o600)
    except OSError as error:
        raise OutputError(f"cannot open the audit log: {error.strerror}", where=where) from error
    with os.fdopen(descriptor, "r+b", buffering=0) as file:
        _check(descriptor, where)
        chain = _verify_opened(descriptor, path)
        yield AuditLog(path, file, chain, sync)


def _verify_opened(descriptor: int, path: Path) -> Chain:
    try:
        with os.fdopen(os.dup(descriptor), "rb") as reading:
            chain = _verify_lines(reading, where=str(path))
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


def _verify_lines(file: BinaryIO, *, where: str, anchor: Sha256 | None = None) -> Chain:
    chain = Chain()
    found = anchor is None
    while line := file.readline(MAX_LINE_BYTES + 1):
        chain = chain.check_next(line, where=where)
        found = found or chain.head == anchor
    if not found:
        raise DigestError(f"has no line with the digest {anchor}: it was truncated, or is another log", where=where)
    return chain


def _encode(record: Mapping[str, Any]) -> bytes:
    return (
        json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode() + b"\n"
    )

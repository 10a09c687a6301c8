"""Seals a stream to age recipients, so that what is recovered never stands on a disk in the clear.

The age library pulls from a reader and pushes to a writer, 64 KiB at a time (https://age-encryption.org/v1, "Payload"),
so memory does not depend on the length of the stream. Law: what was sealed opens, with any of the identities, to the
chunks joined.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from kit.encryption.meks import age_recipient, pyrage_module
from kit.errors import KeyUnusableError, OutputError

_WHERE = "--sealed-to"


def recipients_of(texts: Sequence[str]) -> list[Any]:
    """Read age recipients.

    Raises:
        KeyUnusableError: There is none, or one is not an X25519 recipient.
    """
    if not texts:
        raise KeyUnusableError("no age recipient, so that nobody could open what is sealed", where=_WHERE)
    return [age_recipient(text, _WHERE) for text in texts]


def seal(chunks: Iterable[bytes], recipients: Sequence[str], write: Callable[[bytes], None]) -> None:
    """Seal ``chunks`` and hand the age file on, piece by piece.

    Raises:
        KeyUnusableError: As :func:`recipients_of`.
        OutputError: It cannot be sealed.
        Exception: Whatever ``chunks`` or ``write`` raise.
    """
    keys = recipients_of(recipients)
    age = pyrage_module(_WHERE)
    ports = _Ports(chunks, write)
    try:
        age.encrypt_io(ports, ports, keys)
    except age.EncryptError as error:
        # The library keeps only the words of what a port raised.
        raise ports.failure or OutputError(f"cannot be sealed: {error}") from error
    if ports.failure is not None:
        # Its last writes happen where it cannot report, and it does not.
        raise ports.failure


class _Ports:
    """A reader and a writer as the library wants them, which remember why they failed."""

    def __init__(self, chunks: Iterable[bytes], write: Callable[[bytes], None]) -> None:
        self._chunks, self._write = iter(chunks), write
        self._held = memoryview(b"")
        self.failure: BaseException | None = None

    def read(self, size: int = -1) -> bytes:
        try:
            while not self._held:
                chunk = next(self._chunks, None)
                if chunk is None:
                    return b""
                self._held = memoryview(chunk)
        except BaseException as error:
            self.failure = error
            raise
        size = len(self._held) if size < 0 else size
        given, self._held = self._held[:size], self._held[size:]
        return bytes(given)

    def write(self, data: bytes) -> int:
        try:
            self._write(data)
        except BaseException as error:
            self.failure = error
            raise
        return len(data)

    def flush(self) -> None:
        """Do nothing: whoever is written to brings it to the disk at the end."""

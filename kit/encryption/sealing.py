"""Seals a stream to age recipients, so that recovered plaintext is never on disk in the clear.

The age library pulls from a reader and pushes to a writer, 64 KiB at a time (https://age-encryption.org/v1, "Payload"),
so memory does not depend on the length of the stream. Law: the sealed stream opens, with any of the identities, to the
joined chunks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from kit.encryption.meks import age_recipient, pyrage_module
from kit.errors import KeyUnusableError, OutputError

_WHERE = "--sealed-to"


def parse_recipients(texts: Sequence[str]) -> list[Any]:
    """Return age recipients.

    Raises:
        KeyUnusableError: There is none, or one is not an X25519 recipient.
    """
    if not texts:
        raise KeyUnusableError("no age recipient; nobody could open what is sealed", where=_WHERE)
    return [age_recipient(text, _WHERE) for text in texts]


def seal(chunks: Iterable[bytes], recipients: Sequence[str], write: Callable[[bytes], None]) -> None:
    """Seal ``chunks``, and write the age file piece by piece.

    Raises:
        KeyUnusableError: As :func:`parse_recipients`.
        OutputError: It cannot be sealed.
        Exception: Whatever ``chunks`` or ``write`` raise.
    """
    keys = parse_recipients(recipients)
    age = pyrage_module(_WHERE)
    ports = _Ports(chunks, write)
    try:
        age.encrypt_io(ports, ports, keys)
    except age.EncryptError as error:
        # The library keeps only the text of what a port raised.
        raise ports.failure or OutputError(f"cannot be sealed: {error}") from error
    if ports.failure is not None:
        # The library does not report errors of its last writes.
        raise ports.failure


class _Ports:
    """A reader and a writer for the library; they keep the error that they raised."""

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
        """Do nothing: the receiver syncs to disk at the end."""

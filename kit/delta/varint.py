"""Variable-length numbers, and a reader of them for untrusted bytes.

LEB128, as in DWARF and protobuf: seven bits a byte, the lowest first, the high bit set on all but the last. Signed
numbers are zigzag-encoded first: 0, -1, 1, -2 … become 0, 1, 2, 3 ….
"""

from __future__ import annotations

from kit.errors import ArchiveError

_MAX_BYTES = 9
"""63 bits: no count here is larger."""


def unsigned(value: int) -> bytes:
    """Return an encoded number that is not negative."""
    if value < 0x80:
        return bytes((value,))
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def signed(value: int) -> bytes:
    """Return an encoded number of either sign."""
    return unsigned(zigzag(value))


def zigzag(value: int) -> int:
    """Return the number with its sign in the lowest bit."""
    return value << 1 if value >= 0 else (-value << 1) - 1


def unzigzag(value: int) -> int:
    """Return the number that :func:`zigzag` encoded."""
    return (value >> 1) ^ -(value & 1)


class Reader:
    """Reads numbers and bytes from the front of ``data``, and never past its end."""

    __slots__ = ("_at", "_data", "_what")

    def __init__(self, data: bytes, what: str) -> None:
        """Read ``data``; errors call it ``what``."""
        self._data = data
        self._at = 0
        self._what = what

    def unsigned(self) -> int:
        """Return the next number.

        Raises:
            ArchiveError: The data ends inside it, or it has more than 63 bits.
        """
        data, at = self._data, self._at
        value = shift = 0
        for _ in range(_MAX_BYTES):
            if at >= len(data):
                raise self.fault("ends inside a number")
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                self._at = at
                return value
            shift += 7
        raise self.fault("has a number of more than 63 bits")

    def signed(self) -> int:
        """Return the next number, which may be negative; errors as :meth:`unsigned`."""
        return unzigzag(self.unsigned())

    def bounded(self, most: int, name: str) -> int:
        """Return the next number, which is at most ``most``.

        Raises:
            ArchiveError: It is larger, or as :meth:`unsigned`.
        """
        value = self.unsigned()
        if value > most:
            raise self.fault(f"has {value:,} as its {name}; the maximum is {most:,}")
        return value

    def take(self, size: int) -> bytes:
        """Return the next ``size`` bytes.

        Raises:
            ArchiveError: There are fewer.
        """
        end = self._at + size
        if end > len(self._data):
            raise self.fault(f"ends {end - len(self._data):,} bytes early")
        piece = self._data[self._at : end]
        self._at = end
        return piece

    def rest(self) -> bytes:
        """Return all that is left."""
        return self.take(len(self._data) - self._at)

    def finish(self) -> None:
        """Check that nothing is left.

        Raises:
            ArchiveError: Something is left.
        """
        if self._at != len(self._data):
            raise self.fault(f"has {len(self._data) - self._at:,} bytes too many")

    def fault(self, what: str) -> ArchiveError:
        """Return the error for ``what``, with the current offset."""
        return ArchiveError(f"{self._what} {what} (byte {self._at})")

"""Numbers of any size in few bytes, and a reader that takes them from bytes nobody has checked.

LEB128, as DWARF and protobuf have it: seven bits a byte, the lowest first, the high bit set on all but the last. Signed
numbers are folded first: 0, -1, 1, -2 … become 0, 1, 2, 3 ….
"""

from __future__ import annotations

from kit.errors import ArchiveError

_MOST_BYTES = 9
"""63 bits: no count of this toolkit is larger."""


def unsigned(value: int) -> bytes:
    """Print a number that is not negative."""
    if value < 0x80:
        return bytes((value,))
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def signed(value: int) -> bytes:
    """Print any number."""
    return unsigned(folded(value))


def folded(value: int) -> int:
    """Fold the sign into the lowest bit."""
    return value << 1 if value >= 0 else (-value << 1) - 1


def unfolded(value: int) -> int:
    """Undo :func:`folded`."""
    return (value >> 1) ^ -(value & 1)


class Reader:
    """Takes numbers and bytes from the front of ``data``; every step is bounded by what is there."""

    __slots__ = ("_at", "_data", "_what")

    def __init__(self, data: bytes, what: str) -> None:
        """Read ``data``, which errors call ``what``."""
        self._data = data
        self._at = 0
        self._what = what

    def unsigned(self) -> int:
        """Take a number.

        Raises:
            ArchiveError: The data ends inside it, or it is longer than any number is.
        """
        data, at = self._data, self._at
        value = shift = 0
        for _ in range(_MOST_BYTES):
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
        """Take a number that may be negative; errors as :meth:`unsigned`."""
        return unfolded(self.unsigned())

    def bounded(self, most: int, name: str) -> int:
        """Take a number of at most ``most``.

        Raises:
            ArchiveError: It is larger, or as :meth:`unsigned`.
        """
        value = self.unsigned()
        if value > most:
            raise self.fault(f"has {value:,} as its {name}; at most {most:,} can be")
        return value

    def take(self, size: int) -> bytes:
        """Take ``size`` bytes.

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
        """Take all that is left."""
        return self.take(len(self._data) - self._at)

    def finish(self) -> None:
        """See that nothing is left.

        Raises:
            ArchiveError: Something is.
        """
        if self._at != len(self._data):
            raise self.fault(f"has {len(self._data) - self._at:,} bytes too many")

    def fault(self, what: str) -> ArchiveError:
        """Make the error for something wrong here."""
        return ArchiveError(f"{self._what} {what} (byte {self._at})")

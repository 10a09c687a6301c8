"""Typed reading of parsed JSON objects: each field is of the type expected, or an error that says where.

Python takes ``true`` for the integer 1, so every integer is checked to be one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Self, TypeGuard, TypeVar

from kit.errors import KitError, ManifestError
from kit.values import MemberPath, Sha256, Timestamp

LARGEST_INTEGER = 2**53 - 1
"""Sizes, counts and generations stay where every JSON reader agrees on the number (RFC 7493 2.2)."""

_V = TypeVar("_V")


@dataclass(frozen=True, slots=True)
class Fields:
    """One JSON object and its place in the document."""

    members: dict[str, Any]
    place: str

    @classmethod
    def of(cls, value: object, place: str) -> Self:
        """Take ``value`` as an object.

        Raises:
            ManifestError: It is something else.
        """
        if not isinstance(value, dict):
            raise ManifestError(f"{place}: an object is expected, not {kind(value)}")
        return cls(value, place)

    def exactly(self, required: Iterable[str], optional: Iterable[str] = ()) -> None:
        """Refuse missing and unknown members.

        Raises:
            ManifestError: There are some; the message names them.
        """
        needed = set(required)
        missing = sorted(needed - set(self.members))
        unknown = sorted(set(self.members) - needed - set(optional))
        if missing or unknown:
            raise ManifestError(f"{self.place}: missing {missing}, not understood {unknown}")

    def text(self, name: str) -> str:
        """Read a non-empty string.

        Raises:
            ManifestError: It is missing, empty or something else; so for the other readers.
        """
        value = self.members.get(name)
        if not isinstance(value, str) or not value:
            raise self._fault(name, "a non-empty string")
        return value

    def integer(self, name: str) -> int:
        """Read an integer from 0 to 2^53 - 1."""
        value = self.members.get(name)
        if not is_count(value):
            raise self._fault(name, "an integer from 0 to 2^53 - 1")
        return value

    def items(self, name: str) -> list[Any]:
        """Read a list."""
        value = self.members.get(name)
        if not isinstance(value, list):
            raise self._fault(name, "a list")
        return value

    def object(self, name: str) -> Fields:
        """Read an object."""
        return Fields.of(self.members.get(name), f"{self.place}.{name}")

    def any_digest(self, name: str) -> Sha256:
        """Read a digest in any spelling that ``Sha256.parse`` takes."""
        return self._parsed(name, Sha256.parse, self.text(name))

    def digest(self, name: str) -> Sha256:
        """Read a digest in this project's own spelling: 64 lower-case hex digits."""
        digest = self.any_digest(name)
        if str(digest) != self.members[name]:
            raise self._fault(name, "64 lower-case hex digits")
        return digest

    def member_path(self, name: str) -> MemberPath:
        """Read a member's name."""
        return self._parsed(name, MemberPath.parse, self.text(name))

    def timestamp(self, name: str) -> Timestamp:
        """Read an RFC 3339 UTC time stamp; a bare count of seconds is for command lines, not for documents."""
        text = self.text(name)
        if text.isdigit():
            raise self._fault(name, "an RFC 3339 UTC time stamp")
        return self._parsed(name, Timestamp.parse, text)

    def _parsed(self, name: str, parse: Callable[[str], _V], text: str) -> _V:
        try:
            return parse(text)
        except KitError as error:
            raise ManifestError(f"{self.place}.{name}: {error.what}") from error

    def _fault(self, name: str, expected: str) -> ManifestError:
        met = kind(self.members[name]) if name in self.members else "nothing"
        return ManifestError(f"{self.place}.{name}: {expected} is expected, not {met}")


def is_count(value: object) -> TypeGuard[int]:
    """Tell whether a JSON value is an integer that may be a size, a count or a generation."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LARGEST_INTEGER


def kind(value: object) -> str:
    """Describe a JSON value in a message; long ones by their type."""
    match value:
        case dict():
            return "an object"
        case list():
            return "a list"
        case None | bool():
            return {None: "null", True: "true", False: "false"}[value]
        case _:
            shown = repr(value)
            return shown if len(shown) <= 80 else f"{shown[:77]}..."

"""Typed reading of parsed JSON objects: each field is of the type expected, or an error that says where.

Every format of this program that is JSON is read through this class, or through the one of
:mod:`kit.encryption.json_members`, which names places by pointers: never by an index into what was parsed, since that
ends in an internal error where a member was taken out. Python takes ``true`` for the integer 1, so every integer is
checked to be one. A room whose errors are of another class has a subclass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self, TypeGuard, TypeVar

from kit.errors import ContentError, KitError
from kit.values.digest import Sha256
from kit.values.member_path import MemberPath
from kit.values.timestamp import Timestamp

LARGEST_INTEGER = 2**53 - 1
"""Sizes, counts and generations stay where every JSON reader agrees on the number (RFC 7493 2.2)."""

_V = TypeVar("_V")


@dataclass(frozen=True, slots=True)
class Fields:
    """One JSON object and its place in the document."""

    error: ClassVar[type[KitError]] = ContentError
    """What a fault raises."""
    where: ClassVar[str] = ""
    """The file, where there is but one of its kind."""

    members: Mapping[str, Any]
    place: str

    @classmethod
    def of(cls, value: object, place: str) -> Self:
        """Take ``value`` as an object.

        Raises:
            KitError: It is something else.
        """
        if not isinstance(value, dict):
            raise cls.error(f"{place}: an object is expected, not {kind(value)}", where=cls.where)
        return cls(value, place)

    def exactly(self, required: Iterable[str], optional: Iterable[str] = ()) -> None:
        """Refuse missing and unknown members.

        Raises:
            KitError: There are some; the message names them.
        """
        needed = set(required)
        missing = sorted(needed - set(self.members))
        unknown = sorted(set(self.members) - needed - set(optional))
        if missing or unknown:
            raise self.refusal(f"missing {missing}, not understood {unknown}")

    def text(self, name: str) -> str:
        """Read a non-empty string.

        Raises:
            KitError: It is missing, empty or something else; so for the other readers.
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
        return int(value)  # without the spelling of a fraction (strict_json.Whole)

    def items(self, name: str) -> list[Any]:
        """Read a list."""
        value = self.members.get(name)
        if not isinstance(value, list):
            raise self._fault(name, "a list")
        return value

    def object(self, name: str) -> Self:
        """Read an object."""
        return self.of(self.members.get(name), f"{self.place}.{name}")

    def any_digest(self, name: str) -> Sha256:
        """Read a digest in any spelling that ``Sha256.parse`` takes."""
        return self.parsed(name, Sha256.parse)

    def digest(self, name: str) -> Sha256:
        """Read a digest in this project's own spelling: 64 lower-case hex digits."""
        digest = self.any_digest(name)
        if str(digest) != self.members[name]:
            raise self._fault(name, "64 lower-case hex digits")
        return digest

    def member_path(self, name: str) -> MemberPath:
        """Read a member's name."""
        return self.parsed(name, MemberPath.parse)

    def timestamp(self, name: str) -> Timestamp:
        """Read an RFC 3339 UTC time stamp; a bare count of seconds is for command lines, not for documents."""
        text = self.text(name)
        if text.isdigit():
            raise self._fault(name, "an RFC 3339 UTC time stamp")
        return self.parsed(name, Timestamp.parse)

    def parsed(self, name: str, parse: Callable[[str], _V]) -> _V:
        """Read a non-empty string as ``parse`` does."""
        text = self.text(name)
        try:
            return parse(text)
        except KitError as error:
            raise self.error(f"{self.place}.{name}: {error.what}", where=self.where) from error

    def refusal(self, what: str) -> KitError:
        """Return the error that says ``what`` of this object."""
        return self.error(f"{self.place}: {what}", where=self.where)

    def _fault(self, name: str, expected: str) -> KitError:
        found = kind(self.members[name]) if name in self.members else "nothing"
        return self.error(f"{self.place}.{name}: {expected} is expected, not {found}", where=self.where)


def is_count(value: object) -> TypeGuard[int]:
    """Return whether a JSON value is an integer that may be a size, a count or a generation."""
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

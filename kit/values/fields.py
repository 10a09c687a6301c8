"""Typed reading of parsed JSON objects: a field has the expected type, or an error states where it does not.

Every JSON format of this program is read through this class, or through that of :mod:`kit.encryption.json_members`,
which names places by pointers. Indexing the parsed value would be an internal error where a member is missing. Python
takes ``true`` for the integer 1, so every integer is checked to be one. A room with its own error class has a subclass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self, TypeGuard, TypeVar

from kit.errors import ContentError, KitError
from kit.values.digest import Sha256
from kit.values.member_path import MemberPath
from kit.values.timestamp import Timestamp

MAX_INTEGER = 2**53 - 1
"""The maximum of sizes, counts and generations: up to here JSON readers agree on a number (RFC 7493 2.2)."""

_V = TypeVar("_V")


@dataclass(frozen=True, slots=True)
class Fields:
    """One JSON object and its place in the document."""

    error: ClassVar[type[KitError]] = ContentError
    """The class of the errors raised."""
    where: ClassVar[str] = ""
    """The file, where there is only one of its kind."""

    members: Mapping[str, Any]
    place: str

    @classmethod
    def of(cls, value: object, place: str) -> Self:
        """Return the fields of ``value``, which must be an object.

        Raises:
            KitError: It is something else.
        """
        if not isinstance(value, dict):
            raise cls.error(f"{place}: an object is expected, not {describe(value)}", where=cls.where)
        return cls(value, place)

    def exactly(self, required: Iterable[str], optional: Iterable[str] = ()) -> None:
        """Check that no required member is missing and no other is present.

        Raises:
            KitError: Members are missing or unknown; the message names them.
        """
        needed = set(required)
        missing = sorted(needed - set(self.members))
        unknown = sorted(set(self.members) - needed - set(optional))
        if missing or unknown:
            faults = {"missing members": missing, "unknown members": unknown}
            # repr, because names come from outside and messages go to terminals.
            raise self.refusal(
                "; ".join(f"{what}: {', '.join(map(repr, names))}" for what, names in faults.items() if names)
            )

    def text(self, name: str) -> str:
        """Return a non-empty string.

        Raises:
            KitError: The member is missing or of another type; the other readers raise the same.
        """
        value = self.members.get(name)
        if not isinstance(value, str) or not value:
            raise self._fault(name, "a non-empty string")
        return value

    def integer(self, name: str) -> int:
        """Return an integer from 0 to 2^53 - 1."""
        value = self.members.get(name)
        if not is_count(value):
            raise self._fault(name, "an integer from 0 to 2^53 - 1")
        return int(value)  # without the spelling of a fraction (strict_json.Whole)

    def items(self, name: str) -> list[Any]:
        """Return a list."""
        value = self.members.get(name)
        if not isinstance(value, list):
            raise self._fault(name, "a list")
        return value

    def object(self, name: str) -> Self:
        """Return the fields of an object."""
        return self.of(self.members.get(name), f"{self.place}.{name}")

    def any_digest(self, name: str) -> Sha256:
        """Return a digest in any spelling that ``Sha256.parse`` accepts."""
        return self.parse_text(name, Sha256.parse)

    def digest(self, name: str) -> Sha256:
        """Return a digest in the spelling of this project: 64 lower-case hex digits."""
        digest = self.any_digest(name)
        if str(digest) != self.members[name]:
            raise self._fault(name, "64 lower-case hex digits")
        return digest

    def member_path(self, name: str) -> MemberPath:
        """Return a member path."""
        return self.parse_text(name, MemberPath.parse)

    def timestamp(self, name: str) -> Timestamp:
        """Return an RFC 3339 UTC time stamp; a bare count of seconds is accepted on command lines only."""
        text = self.text(name)
        if text.isdigit():
            raise self._fault(name, "an RFC 3339 UTC time stamp")
        return self.parse_text(name, Timestamp.parse)

    def parse_text(self, name: str, parse: Callable[[str], _V]) -> _V:
        """Return the result of ``parse`` for a non-empty string."""
        text = self.text(name)
        try:
            return parse(text)
        except KitError as error:
            raise self.error(f"{self.place}.{name}: {error.what}", where=self.where) from error

    def refusal(self, what: str) -> KitError:
        """Return an error about this object."""
        return self.error(f"{self.place}: {what}", where=self.where)

    def _fault(self, name: str, expected: str) -> KitError:
        found = describe(self.members[name]) if name in self.members else "nothing"
        return self.error(f"{self.place}.{name}: {expected} is expected, not {found}", where=self.where)


def is_count(value: object) -> TypeGuard[int]:
    """Return whether a JSON value can be a size, a count or a generation."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_INTEGER


def describe(value: object) -> str:
    """Return a JSON value as messages show it: objects and lists by their type, long texts cut."""
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

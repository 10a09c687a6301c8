"""Typed reading of parsed JSON objects: a field has the expected type, or an error states where it does not.

Every JSON format of this program is read through this class, or through that of :mod:`kit.values.fields`,
which names places by pointers. Indexing the parsed value would be an internal error where a member is missing. Python
takes ``true`` for the integer 1, so every integer is checked to be one. A room with its own error class has a subclass.

Typed reading of manifests and statements.

Reads objects of a strict JSON file member by member; errors name the place of a missing, extra or ill-typed one.

A misread field map encrypts the wrong field, a misread keyring loses a key. So members are required unless marked
optional, and an unknown member is refused, since it is most likely a misspelt one.

Time stamps of manifests and archives: RFC 3339, UTC, whole seconds.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self, TypeGuard, TypeVar

from kit.errors import ContentError, KitError, ManifestError
from kit.values import strict_json
from kit.values.digest import Sha256
from kit.values.limits import Limits
from kit.values.member_path import MemberPath

__all__ = ["MAX_INTEGER", "Fields", "ManifestFields", "Members", "Timestamp", "describe", "is_count"]

_T = TypeVar("_T")
_NAMES: dict[type, str] = {
    str: "a string",
    int: "an integer",
    list: "a list",
    dict: "an object",
    object: "a string, a number, a list or an object",
}


class Members:
    """One object of the file; :meth:`take` its members, then call :meth:`done`."""

    def __init__(self, value: Any, *, error: type[KitError], where: str, pointer: str = "") -> None:
        self._error = error
        self._where = where
        self.pointer = pointer
        """RFC 6901 pointer to this object."""
        if not isinstance(value, dict):
            raise self.refusal("is not an object")
        self._left = dict(value)

    @classmethod
    def parse(cls, data: bytes, *, error: type[KitError], where: str, limits: Limits | None = None) -> Members:
        """Return the top of a file, which must be an object.

        Raises:
            KitError: Of class ``error`` where the top is no object; as :func:`kit.values.strict_json.parse`.
        """
        return cls(strict_json.parse(data, limits=limits or Limits(), where=where), error=error, where=where)

    def take(self, name: str, kind: type[_T]) -> _T:
        """Return the member ``name``, which must exist and have this type.

        Raises:
            KitError: It does not; the class is that given at construction.
        """
        if name not in self._left:
            raise self.refusal(f"has no {name!r}")
        return self.typed(self._left.pop(name), kind, name)

    def take_any(self, name: str) -> Any:
        """Return the member ``name``, which exists, of any type; true and false are no integers."""
        return self._left.pop(name)

    def rest(self) -> dict[str, Any]:
        """Return all members that are left, whatever their types, and take them."""
        left, self._left = self._left, {}
        return left

    def __contains__(self, name: str) -> bool:
        return name in self._left

    def optional(self, name: str, kind: type[_T], default: _T) -> _T:
        """Return the member ``name``, or ``default`` if it is absent; null is not absent."""
        return self.take(name, kind) if name in self._left else default

    def objects(self, name: str) -> list[Members]:
        """Return the list ``name``, whose elements must be objects."""
        return [self._inner(item, f"{name}/{at}") for at, item in enumerate(self.take(name, list))]

    def object(self, name: str) -> Members:
        """Return the object ``name``."""
        return self._inner(self.take(name, dict), name)

    def strings(self, name: str, *, optional: bool = False) -> tuple[str, ...]:
        """Return the list of non-empty strings ``name``; empty if it is optional and absent."""
        items = self.optional(name, list, []) if optional else self.take(name, list)
        return tuple(self.text(item, f"{name}/{at}") for at, item in enumerate(items))

    def text(self, value: Any, name: str) -> str:
        """Return ``value``, found at ``name``, if it is a non-empty string without NUL."""
        text = self.typed(value, str, name)
        if not text or "\0" in text:
            raise self.refusal("is empty or contains NUL", name)
        return text

    def typed(self, value: Any, kind: type[_T], name: str) -> _T:
        """Return ``value``, found at ``name``, if it has this type; true and false are no integers."""
        if not isinstance(value, kind) or isinstance(value, bool):
            raise self.refusal(f"is not {_NAMES[kind]}", name)
        return value

    def done(self) -> None:
        """Check that all members were taken."""
        if self._left:
            raise self.refusal(f"has an unknown member: {min(self._left)!r}")

    def refusal(self, what: str, name: str = "") -> KitError:
        """Return the error for this object, or for its part ``name`` (a pointer without its leading slash)."""
        pointer = f"{self.pointer}/{name}" if name else self.pointer
        return self._error(f"at {pointer or 'the top'}: {what}", where=self._where)

    def _inner(self, value: Any, name: str) -> Members:
        return Members(value, error=self._error, where=self._where, pointer=f"{self.pointer}/{name}")


_RFC3339_UTC = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d+)?(?:Z|\+00:00)", re.ASCII)
_NEVER = dt.datetime.min.replace(tzinfo=dt.UTC)


@dataclass(frozen=True, slots=True, order=True)
class Timestamp:
    """Seconds since 1970-01-01T00:00:00Z, to year 9999 (files: before, too). Law: ``Timestamp.parse(str(t)) == t``."""

    seconds: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the time of an RFC 3339 UTC time stamp or of a count of seconds (``SOURCE_DATE_EPOCH``).

        Fractions of a second are dropped.

        Raises:
            ContentError: ``text`` is neither, has another zone, or is no date of the calendar from 1970 on.
        """
        if text.isascii() and text.isdigit() and len(text) <= 12 and int(text) <= 253402300799:
            return cls(int(text))
        match = _RFC3339_UTC.fullmatch(text)
        try:
            # A tenth of the time of strptime, which a keyring of a million keys would spend a million times.
            moment = dt.datetime.fromisoformat(f"{match[1]}+00:00") if match else _NEVER
        except ValueError:
            moment = _NEVER
        if moment.year < 1970:
            raise ContentError(f"{text!r} is not an RFC 3339 UTC time stamp from 1970 on")
        return cls(int(moment.timestamp()))

    def __str__(self) -> str:
        moment = dt.datetime.fromtimestamp(self.seconds, tz=dt.UTC)
        return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


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


class ManifestFields(Fields):
    """One JSON object; a fault is a ``ManifestError``."""

    __slots__ = ()
    error = ManifestError

"""Reads objects of a strict JSON file member by member; errors name the place of a missing, extra or ill-typed one.

A misread field map encrypts the wrong field, a misread keyring loses a key. So members are required unless marked
optional, and an unknown member is refused, since it is most likely a misspelt one.
"""

from __future__ import annotations

from typing import Any, TypeVar

from kit.errors import KitError
from kit.values import Limits, strict_json

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

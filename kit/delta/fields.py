"""JSON objects of a delta's manifest, read strictly: what is not understood might say how to make something else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from kit.errors import ArchiveError, ContentError, KitError
from kit.values import Sha256

MANIFEST_NAME = "delta-manifest.json"
_LARGEST = 2**53 - 1

_V = TypeVar("_V")


def exact_digest(text: str) -> Sha256:
    """Read a digest in its one spelling.

    Raises:
        ContentError: It is another.
    """
    digest = Sha256.parse(text)
    if digest.hex != text:
        raise ContentError(f"{text!r} is not 64 lower-case hex digits")
    return digest


class Fields:
    """See the module docstring; ``place`` is where it stands, for messages."""

    def __init__(self, value: object, place: str, *names: str) -> None:
        """Read ``value``, and with ``names`` demand just these.

        Raises:
            ArchiveError: It is no object, or has others.
        """
        self._place = place
        if not isinstance(value, dict):
            raise self.fault("is not an object")
        self._members: dict[str, Any] = value
        if names:
            self.exactly(*names)

    def __contains__(self, name: str) -> bool:
        """Whether there is a member of that name."""
        return name in self._members

    def __getitem__(self, name: str) -> Any:
        """Give a member that is there, as it came."""
        return self._members[name]

    def exactly(self, *names: str, optional: tuple[str, ...] = ()) -> None:
        """Refuse to go on unless all of ``names`` are there and nothing besides them and ``optional`` is.

        Raises:
            ArchiveError: Names what is missing and what is not understood.
        """
        missing = sorted(set(names) - set(self._members))
        unknown = sorted(set(self._members) - set(names) - set(optional))
        if missing or unknown:
            raise self.fault(f"is missing {missing}, and has {unknown}, which are not understood")

    def text(self, name: str) -> str:
        """Give a text that is not empty.

        Raises:
            ArchiveError: There is none.
        """
        value = self._members.get(name)
        if not isinstance(value, str) or not value:
            raise self.fault(f"has no text as its {name}")
        return value

    def count(self, name: str) -> int:
        """Give a number from 0 to 2^53 - 1.

        Raises:
            ArchiveError: There is none.
        """
        value = self._members.get(name)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _LARGEST:
            raise self.fault(f"has no count as its {name}")
        return value

    def items(self, name: str) -> list[Any]:
        """Give a list.

        Raises:
            ArchiveError: There is none.
        """
        value = self._members.get(name)
        if not isinstance(value, list):
            raise self.fault(f"has no list as its {name}")
        return value

    def parsed(self, name: str, parse: Callable[[str], _V]) -> _V:
        """Give a text as ``parse`` reads it.

        Raises:
            ArchiveError: There is none, or it is refused.
        """
        try:
            return parse(self.text(name))
        except KitError as error:
            raise self.fault(f"{name}: {error.what}") from error

    def fault(self, what: str) -> ArchiveError:
        """Make the error that says ``what`` of this object."""
        return ArchiveError(f"{self._place} {what}", where=MANIFEST_NAME)

"""The core of offline-kit: whole runs of documents in, whole results out; None is "not me", and the reference does it.

``places`` and ``names`` are the values of ``kit.transforms.raw_linkset.shape``. ``data`` are whole documents, back to
back, and ``ends`` the offset after each. Every function releases the interpreter's lock.
"""

from collections.abc import Callable, Mapping, Sequence, Set as AbstractSet
from typing import Protocol, TypeAlias, final

VERSION: str

Needs: TypeAlias = Mapping[str, Needs | None]

class Place(Protocol):
    @property
    def paths(self) -> tuple[tuple[str, ...], ...]: ...

class Places(Protocol):
    @property
    def tenant(self) -> Place: ...
    @property
    def vendor(self) -> Place: ...
    @property
    def upstream_id(self) -> Place: ...
    @property
    def content_hash(self) -> Place: ...
    @property
    def format(self) -> Place: ...
    @property
    def raw(self) -> Place: ...
    @property
    def linkset(self) -> Place: ...
    @property
    def identifiers(self) -> Place: ...

class Names(Protocol):
    @property
    def linkset(self) -> str: ...
    @property
    def raw_linkset(self) -> str: ...
    @property
    def aliases(self) -> str: ...
    @property
    def purls(self) -> str: ...
    @property
    def cpes(self) -> str: ...
    @property
    def references(self) -> str: ...
    @property
    def scopes(self) -> str: ...
    @property
    def relationships(self) -> str: ...
    @property
    def reconciled_from(self) -> str: ...
    @property
    def reconciled_from_spellings(self) -> tuple[str, ...]: ...
    @property
    def notes(self) -> str: ...
    @property
    def type(self) -> str: ...
    @property
    def url(self) -> str: ...
    @property
    def source(self) -> str: ...
    @property
    def target(self) -> str: ...
    @property
    def envelope(self) -> str: ...

@final
class Tally:
    """Documents of one tenant, by what became of them; those of :attr:`Rewritten.alone` are not counted."""

    @property
    def tenant(self) -> str:
        """Empty where a document has none."""

    @property
    def present(self) -> int:
        """Those that had both projections; others that had the element are the reference's."""

    @property
    def not_selected(self) -> int: ...
    @property
    def from_content(self) -> int: ...
    @property
    def from_source(self) -> list[int]:
        """By the number of the source."""

@final
class Rewritten:
    """What became of a run."""

    @property
    def body(self) -> bytes | None:
        """The documents as they are now; those of :attr:`alone`, as they were. None if none changed."""

    @property
    def touched(self) -> bytes:
        """A byte for each document: 1 if it changed, else 0."""

    @property
    def tallies(self) -> list[Tally]: ...
    @property
    def alone(self) -> list[tuple[int, int]]:
        """The documents that are the reference's: the number of each, and its offset in the body."""

def keys(
    data: bytes,
    ends: Sequence[int],
    *,
    names: Names,
    places: Places,
    tenants: AbstractSet[str] | None,
    database: str,
) -> list[bytes | None] | None:
    """Return the key of each observation that needs a source, without its kind; empty for none, None in doubt."""

def rewrite(
    data: bytes,
    ends: Sequence[int],
    *,
    names: Names,
    places: Places,
    tenants: AbstractSet[str] | None,
    found: Sequence[tuple[int, bytes] | None] | None,
    sources: int,
    format_of: Callable[[str], str | None],
) -> Rewritten | None:
    """Give each observation of a run its element.

    Args:
        data: See above.
        ends: See above.
        names: See above.
        places: Of observations.
        tenants: Only observations of these; None for all.
        found: For each document what the kit has for it beside its content: the number of the source, and the finished
            element; -1 where that is the reference's to decide; None where there is nothing.
        sources: How many there are.
        format_of: Returns the name of the shipped extractor that reads documents of a stated format, if one does.

    Raises:
        Exception: What ``format_of`` raised.
    """

def gather(
    data: bytes,
    ends: Sequence[int],
    *,
    names: Names,
    places: Places,
    database: str,
    format_of: Callable[[str], str | None] | None,
) -> list[tuple[bytes, bytes] | None] | None:
    """Return what each document gives to the lookup: its key without its kind, and its finished element; None in doubt.

    ``format_of`` is None for snapshots, whose linkset is copied; otherwise the raw document is extracted.

    Raises:
        Exception: What ``format_of`` raised.
    """

def tables() -> dict[str, dict[str, Needs]]:
    """Return what is read of each format by the name of its extractor: ``needs``, and ``known`` members by place."""

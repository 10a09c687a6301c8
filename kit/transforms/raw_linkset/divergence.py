"""The check of a derived ``rawLinkset`` against the observation's own ``linkset``.

Other code made ``linkset`` from the same upstream document when the observation was stored. It cannot be turned back
into a projection, since order and duplicates are lost, but it must hold the same values. Otherwise the document was
changed since, came from another revision, or is read differently here. Such a document is *divergent*; the caller
decides what follows.

Both sides are put into canonical form (``canonical``) and compared as sets, list by list. A value in ``linkset`` of the
wrong type matches nothing, except a reference that is just its URL. Types and sources of references are not compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import Any, Final

from kit.transforms.raw_linkset import shape
from kit.transforms.raw_linkset.canonical import canonical_alias, canonical_cpe, canonical_purl
from kit.transforms.raw_linkset.projection import Projection, Reference

NAMED: Final = 5
"""Maximum values named of one side of a list; the rest is counted."""
_SHOWN: Final = 200
"""Maximum characters shown of one value."""

_url_of_value = itemgetter(Reference._fields.index("url"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """The values that only one side of a list has, in canonical form."""

    count: int
    named: tuple[str, ...]
    """The first NAMED of them, sorted, each cut to a readable length."""

    @classmethod
    def of(cls, values: Iterable[str]) -> Side:
        """Return ``values`` counted, the first of them named."""
        ordered = sorted(values)
        named = (value if len(value) <= _SHOWN else f"{value[:_SHOWN]}…" for value in ordered[:NAMED])
        return cls(count=len(ordered), named=tuple(named))

    def __str__(self) -> str:
        more = [f"{self.count - len(self.named)} more"] if self.count > len(self.named) else []
        return ", ".join([*map(repr, self.named), *more])


@dataclass(frozen=True, slots=True, kw_only=True)
class ListDivergence:
    """One list in which the two sides differ."""

    name: str
    """``aliases``, ``purls``, ``cpes`` or ``references``."""
    only_raw: Side
    only_linkset: Side
    element: str = shape.RAW_LINKSET
    """The name of the derived element."""

    def __str__(self) -> str:
        sides = ((self.element, self.only_raw), ("linkset", self.only_linkset))
        return f"{self.name}: " + "; ".join(f"only in {name} {side}" for name, side in sides if side.count)


@dataclass(frozen=True, slots=True, kw_only=True)
class Divergence:
    """How a derived ``rawLinkset`` and the canonical ``linkset`` differ; ``str()`` is one line for the report."""

    lists: tuple[ListDivergence, ...]
    """At least one; in the order of ``shape.ELEMENTS``."""

    def __str__(self) -> str:
        return " | ".join(map(str, self.lists))


def compare(projection: Projection, linkset: Mapping[str, Any], names: shape.Names = shape.NAMES) -> Divergence | None:
    """Return the differences of ``projection`` and a decoded ``linkset``; None if they agree.

    Args:
        projection: The derived value.
        linkset: The observation's subdocument; a missing list counts as empty.
        names: The names of its lists and their members.
    """
    aliases = linkset.get(names.aliases)
    purls = linkset.get(names.purls)
    cpes = linkset.get(names.cpes)
    references = linkset.get(names.references)
    # Nearly all documents agree without normalising: then four set comparisons are the whole check.
    if type(aliases) is list and type(purls) is list and type(cpes) is list and type(references) is list:
        try:
            if (
                set(map(str.casefold, projection.aliases)) == set(map(str.casefold, aliases))
                and (not (purls or projection.purls) or set(projection.purls) == set(purls))
                and (not (cpes or projection.cpes) or set(projection.cpes) == set(cpes))
                and set(map(_url_of_value, projection.references)) == set(map(itemgetter(names.url), references))
            ):
                return None
        except (KeyError, TypeError):
            pass  # a value is no string or no reference; it is named below
    urls = [reference.url for reference in projection.references]
    lists = (
        _differ(names.aliases, projection.aliases, aliases, canonical_alias),
        _differ(names.purls, projection.purls, purls, canonical_purl),
        _differ(names.cpes, projection.cpes, cpes, canonical_cpe),
        _differ(names.references, urls, _urls(references, names.url), str),
    )
    found = tuple(replace(one, element=names.raw_linkset) for one in lists if one is not None)
    return Divergence(lists=found) if found else None


def _differ(name: str, raw: Iterable[str], listed: object, canonical: Callable[[str], str]) -> ListDivergence | None:
    left = {canonical(value) for value in raw}
    right = set()
    strange = []
    for value in _as_list(listed):
        if type(value) is str:
            right.add(canonical(value))
        else:
            strange.append(_name_of(value))
    if left == right and not strange:
        return None
    # The placeholder of a value that is no string must count even if a real value has the same text.
    only_linkset = [*(right - left), *strange]
    return ListDivergence(name=name, only_raw=Side.of(left - right), only_linkset=Side.of(only_linkset))


def _urls(references: object, url: str) -> list[object]:
    return [reference.get(url) if isinstance(reference, dict) else reference for reference in _as_list(references)]


def _as_list(values: object) -> list[object]:
    if isinstance(values, list):
        return values
    return [] if values is None else [(values,)]


def _name_of(value: object) -> str:
    if isinstance(value, tuple):
        return f"<{type(value[0]).__name__} instead of a list>"
    return f"<{type(value).__name__} instead of a string>"

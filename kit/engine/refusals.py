"""Documents that stop a patch: what is wrong with each, and the one error in which plan and patch name them.

Both read on to the end of the kit and then end with the same error, so that what a plan foretells is what a patch does.
Laws: the error has the class and the words of the first such document in the order of the kit; it names the first
:data:`SHOWN` of them by ``_id`` and counts all.

What is written must be readable again, by this program and by a server (schemas/raw-linkset.md, "What is written"). So
a document that changed is held to the bounds here, whatever ``--max`` allows of the kit that is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Self

from kit.documents import core, count_elements, document_name, is_deeper, narrow_bytes
from kit.errors import ContentError, KitError
from kit.transforms.coverage import tenant_named
from kit.transforms.protocol import Finding
from kit.values import Limits

SHOWN = 20
"""Documents that the error names."""
MAX_DOCUMENT_BYTES = 16 * 1024 * 1024
"""What a MongoDB server stores of a document, https://www.mongodb.com/docs/manual/reference/limits/."""
TOO_LARGE = "too-large"
"""The kind of the finding."""
_HINT = "kit plan with the same options and --json names each of them; other tenants are patched by --tenant"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """One document that stops a patch."""

    ordinal: int
    """In its member, from 0."""
    document: str
    """Its ``_id`` as text."""
    error: KitError
    measure: str = ""
    """Of what it has too much, for a list; "" where something else is wrong."""


@dataclass(slots=True, kw_only=True)
class Refusals:
    """The documents of a run, or of a kit, that stop a patch."""

    total: int = 0
    first: list[Refusal] = field(default_factory=list)
    """At most :data:`SHOWN`, in the order of the kit."""

    @classmethod
    def of(cls, found: Iterable[Refusal]) -> Self:
        """Return the refusals of one run; of one document the first that was found."""
        by_ordinal: dict[int, Refusal] = {}
        for one in found:
            by_ordinal.setdefault(one.ordinal, one)
        return cls(total=len(by_ordinal), first=[by_ordinal[at] for at in sorted(by_ordinal)[:SHOWN]])

    def take(self, other: Refusals, where: str) -> None:
        """Take what a run of the member ``where`` found."""
        for one in other.first[: SHOWN - len(self.first)]:
            one.error.inside(where)
            self.first.append(one)
        self.total += other.total

    def error(self) -> KitError | None:
        """Return the error that a patch ends with; None where no document stops it."""
        if not self.first:
            return None
        error = self.first[0].error
        if self.total == 1:
            return error
        named = ", ".join(f'"{one.document}"{f" {one.measure}" if one.measure else ""}' for one in self.first)
        more = f" and {self.total - len(self.first):,} more" if self.total > len(self.first) else ""
        what = f"{error.what}; the first of {self.total:,} documents that stop the patch: {named}{more}"
        whole = type(error)(what, where=error.where, hint=error.hint)
        whole.__cause__ = error.__cause__
        return whole


def suspects(data: bytes, ends: Sequence[int], touched: Sequence[bool], limits: Limits) -> Sequence[int]:
    """Return the numbers of the documents that :func:`oversized` must look at: all others are within its bounds.

    Args:
        data: Documents back to back, as they would be written.
        ends: Offset after each.
        touched: Whether each changed.
        limits: As for :func:`oversized`.
    """
    if core.suspects is not None:
        bounds = _Bounds.of(limits)
        found = core.suspects(data, ends, bytes(touched), (min(bounds.size, bounds.narrow_size), bounds.levels))
        if found is not None:
            return found
    return [number for number, is_touched in enumerate(touched) if is_touched]


def oversized(documents: Iterable[tuple[int, bytes]], first: int, limits: Limits) -> Iterator[tuple[Refusal, Finding]]:
    """Find the changed documents that nothing could read again.

    Args:
        documents: Those that changed, each with its number, as they would be written.
        first: The ordinal of the first document in its member.
        limits: What this run reads; a bound that the user lowered holds for what is written, too.
    """
    bounds = _Bounds.of(limits)
    for number, document in documents:
        excess = bounds.excess(document)
        if excess is None:
            continue
        what, measure = excess
        name = document_name(document)
        error = ContentError(
            f"cannot be written: {what}", where=f'document {first + number:,} (_id "{name}")', hint=_HINT
        )
        finding = Finding(kind=TOO_LARGE, reason=str(error), document=name, tenant=tenant_named(document))
        yield Refusal(ordinal=first + number, document=name, error=error, measure=measure), finding


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bounds:
    """What a document that is written may have at most."""

    size: int
    levels: int
    elements: Limits
    """Only ``document_elements`` and ``document_depth`` of it count."""

    @classmethod
    def of(cls, limits: Limits) -> Self:
        most = Limits()
        levels = min(most.document_depth, limits.document_depth)
        elements = min(most.document_elements, limits.document_elements)
        return cls(
            size=min(MAX_DOCUMENT_BYTES, limits.document_bytes),
            levels=levels,
            elements=Limits(document_elements=elements, document_depth=levels),
        )

    @property
    def narrow_size(self) -> int:
        """Bytes up to which a document has no room for too many elements."""
        return narrow_bytes(self.elements)

    def excess(self, document: bytes) -> tuple[str, str] | None:
        """Return of what a document has too much, as a sentence and in short; None where it is within all bounds."""
        size = len(document)
        if size > self.size:
            return f"it would have {size:,} bytes, and a document may have {self.size:,}", f"{size:,} bytes"
        if is_deeper(document, self.levels):
            return f"it would be nested deeper than {self.levels:,} levels", f"over {self.levels:,} levels"
        most = self.elements.document_elements
        if size > self.narrow_size and (met := count_elements(document, 0, size, self.elements)) > most:
            return f"it would have {met:,} elements, and a document may have {most:,}", f"{met:,} elements"
        return None

"""What a transform is: a pure function over runs of documents that may add or replace elements by splicing.

A transform never sees files, archives or other documents than those handed to it; what it must know of other
collections it declares (:meth:`Transform.indexes`), the engine gathers it once and hands back a :class:`Lookup`.
Laws: a document whose change says ``document is None`` stays byte-identical; a second application changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from kit.transforms.change import NO_COUNTS, Change, Rewritten
from kit.values import CollectionName

__all__ = ["NO_COUNTS", "Change", "Finding", "Lookup", "Rewritten", "Transform"]


class Lookup(Protocol):
    """A multi-map from fixed-size keys to bytes, larger than memory, written once before it is read."""

    def find(self, keys: Sequence[bytes]) -> Mapping[bytes, Sequence[bytes]]:
        """Return every value stored under each of ``keys``; a key without values is absent from the result."""
        ...

    def has_prefix(self, prefix: bytes) -> bool:
        """Whether any key starts with ``prefix``."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One document worth naming in the report: why it was left alone, or in what it disagrees."""

    kind: str
    reason: str
    document: str
    """The document's ``_id`` as text."""
    tenant: str


class Transform(Protocol):
    """A versioned migration of documents; instances are picklable and hold parameters only."""

    @property
    def name(self) -> str:
        """The name on the command line and in the provenance."""
        ...

    @property
    def version(self) -> int:
        """Raised whenever the same input and parameters would give other bytes."""
        ...

    @property
    def kind(self) -> str:
        """What it may do to readers: ``additive-optional`` or ``encrypted-field`` (schemas/patch-provenance.md)."""
        ...

    def parameters(self) -> Mapping[str, Any]:
        """All that determines the output besides the input, as JSON; its digest goes into the provenance."""
        ...

    def handles(self, name: CollectionName) -> bool:
        """Whether this transform changes documents of that collection."""
        ...

    def indexes(self, name: CollectionName) -> bool:
        """Whether documents of that collection must be gathered for :class:`Lookup` before any run."""
        ...

    def gather(self, name: CollectionName, documents: Iterable[bytes]) -> Iterable[tuple[bytes, bytes] | Finding]:
        """Return the (key, value) pairs that ``documents`` of an indexed collection contribute to the lookup.

        A document that cannot be read where its key is contributes nothing, and is a finding.
        """
        ...

    def apply(self, name: CollectionName, documents: Sequence[bytes], lookup: Lookup, first: int) -> Sequence[Change]:
        """Decide about each of ``documents``, in order; ``first`` is the ordinal of the first of them in its member.

        What cannot be read in one document is the outcome of that document.

        Raises:
            StoppedError: A stop rule of the transform holds.
        """
        ...

    def rewrite(
        self, name: CollectionName, data: bytes, ends: Sequence[int], lookup: Lookup, first: int
    ) -> Rewritten | None:
        """Do what :meth:`apply` does and splice it, for a whole run at once; None where that must be asked.

        Args:
            name: Of the collection.
            data: The documents, back to back.
            ends: Offset after each.
            lookup: As for :meth:`apply`.
            first: As for :meth:`apply`.
        """
        ...

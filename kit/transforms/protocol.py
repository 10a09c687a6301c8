"""The protocol of transforms: pure functions over runs of documents that add or replace elements by splicing.

A transform sees no files, no archives, and only the documents passed to it. It declares what it must know of other
collections (:meth:`Transform.indexes`); the engine gathers that once and passes it as a :class:`Lookup`. Its results
are a :class:`Change` for each document, or the body and the totals of a run. All that the engine, a migration or a
report must know of a transform is declared here: nothing outside of ``kit.transforms`` depends on its class.

A class of another distribution inherits from :class:`Transform`, whose methods are those of a transform that needs
nothing. It is found by the entry point group ``kit.transforms`` (:mod:`kit.transforms.registry`, docs/transforms.md).

Laws: a document whose change has ``document is None`` stays byte-identical; a second application changes nothing; what
``of_parameters`` makes of ``t.parameters()`` has the same parameters.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, Self

from kit.errors import UsageError
from kit.transforms.change import (
    NO_COUNTS,
    Change,
    ChangeTotals,
    Counts,
    Finding,
    RewrittenRun,
    Sample,
    apply_changes,
)
from kit.values import CollectionMember, CollectionName, CollectionPattern

if TYPE_CHECKING:
    from kit.documents import Run
    from kit.encryption import KeySource, MappedCollection, Needs
    from kit.encryption.envelope import Profile
    from kit.encryption.field_map import FieldMap
    from kit.transforms.coverage import Tally
    from kit.values.extractor_release import ExtractorRelease

__all__ = [
    "NO_COUNTS",
    "Change",
    "ChangeTotals",
    "Counts",
    "Finding",
    "KeyedTransform",
    "Lookup",
    "ProductConflictError",
    "RewrittenRun",
    "Sample",
    "Selection",
    "Transform",
    "apply_changes",
]


class Lookup(Protocol):
    """A multimap from fixed-size keys to bytes, larger than memory, written once before it is read."""

    def find(self, keys: Sequence[bytes]) -> Mapping[bytes, Sequence[bytes]]:
        """Return every value stored under each of ``keys``; a key without values is absent from the result."""
        ...

    def has_prefix(self, prefix: bytes) -> bool:
        """Return whether any key starts with ``prefix``."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which documents a migration limits its transforms to, and at what it stops them."""

    tenants: frozenset[str] | None = None
    """None for all."""
    product_id: str | None = None
    """None for all."""
    collections: frozenset[CollectionPattern] | None = None
    """None for all."""
    stop_on_divergence: bool = False


class Transform(Protocol):
    """A versioned migration of documents; instances are picklable, compare by value and hold parameters only.

    What has no body here a transform must define. The rest has the answer of one that needs no lookup and no keys.
    """

    # What it is.

    @property
    def name(self) -> str:
        """The name on the command line and in the provenance."""
        ...

    @property
    def version(self) -> int:
        """Incremented whenever the same input and parameters would give other bytes."""
        ...

    @property
    def kind(self) -> str:
        """What it may do to readers: a kind of migration (schemas/migration.md), or ``additive-optional``."""
        ...

    def parameters(self) -> Mapping[str, Any]:
        """Return all that determines the output besides the input, as JSON; the provenance has its digest."""
        ...

    @property
    def is_reproducible(self) -> bool:
        """Return whether equal input and parameters give equal bytes, so that a delta can name it instead of them."""
        return True

    @property
    def appends(self) -> str | None:
        """Return the name of the one top-level element that it appends to documents and changes nothing else.

        The engine then proves by itself that nothing else changed. None where it does more: see :meth:`undo`.
        """
        return None

    @property
    def extractors(self) -> tuple[ExtractorRelease, ...]:
        """Return the extractors of other distributions that it asks, by name; provenance and recipes list them.

        Raises:
            UsageError: One is installed that cannot be loaded or breaks its protocol.
        """
        return ()

    @property
    def keyed(self) -> KeyedTransform | None:
        """Return the transform as one that seals values with data keys; None where it needs none."""
        return None

    # What it does to documents.

    def handles(self, name: CollectionName) -> bool:
        """Return whether this transform changes documents of that collection."""
        ...

    def apply(self, name: CollectionName, documents: Sequence[bytes], lookup: Lookup, first: int) -> Sequence[Change]:
        """Return a change for each of ``documents``, in order; ``first`` is the ordinal of the first in its member.

        A document that cannot be read has that as its outcome; it raises nothing.

        Raises:
            StoppedError: A stop rule of the transform applies.
        """
        ...

    def rewrite(
        self,
        name: CollectionName,  # noqa: ARG002
        data: bytes,  # noqa: ARG002
        ends: Sequence[int],  # noqa: ARG002
        lookup: Lookup,  # noqa: ARG002
        first: int,  # noqa: ARG002
    ) -> RewrittenRun | None:
        """Return what :meth:`apply` makes of a run, already spliced; None if :meth:`apply` must do it.

        Args:
            name: The name of the collection.
            data: The documents, back to back.
            ends: The offset after each.
            lookup: As in :meth:`apply`.
            first: As in :meth:`apply`.
        """
        return None

    def undo(self, name: CollectionName, document: bytes) -> bytes | None:  # noqa: ARG002
        """Return what a changed document was before the change; None if that cannot be derived.

        Called only on transforms that neither append (:attr:`appends`) nor need keys (:attr:`keyed`). The engine
        compares the result with what it read.
        """
        return None

    def earlier(self, name: CollectionName, document: bytes) -> Iterator[bytes]:
        """Yield each document that may have become this one, always in the same order.

        For a change that more than one document leads to; the engine finds the one that it read, and where
        :attr:`is_recorded`, the record of the step states which it was (schemas/reshape-record.md).
        """
        before = self.undo(name, document)
        if before is not None:
            yield before

    @property
    def is_recorded(self) -> bool:
        """Return whether its parameters go into the record of the step, so that a verdict can undo it without them."""
        return False

    @property
    def is_whole(self) -> bool:
        """Return whether it does all or nothing, so that no ``--limit`` goes with it."""
        return False

    @property
    def follows(self) -> str | None:
        """Return the transform that must have run in an earlier migration: no migration has both."""
        return None

    def indexes(self, name: CollectionName) -> bool:  # noqa: ARG002
        """Return whether documents of that collection must be gathered for :class:`Lookup` before any run."""
        return False

    def gather(self, name: CollectionName, documents: Iterable[bytes]) -> Iterable[tuple[bytes, bytes] | Finding]:  # noqa: ARG002
        """Return the (key, value) pairs that ``documents`` of an indexed collection contribute to the lookup.

        A document whose key cannot be read contributes nothing, and is a finding.
        """
        return ()

    # What it does to other members; the engine proves it, as it does of documents.

    @property
    def edits_metadata(self) -> bool:
        """Return whether it edits the ``metadata.json`` next to the collections that it handles."""
        return False

    def edit_metadata(self, data: bytes) -> bytes | None:  # noqa: ARG002
        """Return what becomes of a metadata file; None where it stays as it is.

        Raises:
            ContentError: It is not one that can be edited so.
        """
        return None

    def unedit_metadata(self, data: bytes) -> bytes | None:  # noqa: ARG002
        """Return what an edited metadata file was before; None if that cannot be derived."""
        return None

    @property
    def projection(self) -> ProjectingTransform | None:
        """Return the transform as one that copies documents into a new collection; None where it makes none."""
        return None

    # What the engine may do without running the transform.

    def settles(self, member: CollectionMember) -> bool:  # noqa: ARG002
        """Return whether counted coverage alone shows that a member needs no change."""
        return False

    def settled(self, tally: Tally) -> Counter[tuple[str, str]]:  # noqa: ARG002
        """Return the number of documents of a settled member, by (tenant, outcome)."""
        return Counter()

    def cover(self, tally: Tally, totals: ChangeTotals) -> None:  # noqa: ARG002
        """Count into ``tally`` the coverage that ``totals`` shows; nothing if the documents must be counted."""
        return

    def reading_on(self) -> Self:
        """Return the transform as one that continues after a document that stops it, so that all such are named."""
        return self

    # What a migration sets, and states about it.

    @property
    def tenants(self) -> frozenset[str] | None:
        """The tenants it is limited to; None for all."""
        return None

    @property
    def stops_on_divergence(self) -> bool:
        """Return whether it stops at the first document whose projections would disagree."""
        return False

    def selecting(self, selection: Selection) -> Self:
        """Return the transform limited to ``selection``.

        Raises:
            UsageError: It cannot be.
        """
        if selection.product_id is not None:
            raise without_products(self.name)
        if selection.collections is not None:
            raise UsageError(f"{self.name} cannot select by collection")
        if selection.tenants is not None:
            raise UsageError(f"{self.name} cannot select by tenant")
        return self

    def alternatives(self, tenants: frozenset[str] | None) -> Iterator[Self]:
        """Return transforms like this one that a step may have used, for a recipe, which only knows their digests."""
        if tenants is None:
            yield self

    @property
    def slug(self) -> str:
        """Its name in the id of a migration without a file: lower-case letters, digits and underscores."""
        return re.sub("[^a-z0-9]+", "_", self.name.lower()).strip("_") or "transform"

    @property
    def description(self) -> str:
        """What it does, in a sentence, for a migration without a file."""
        return ""

    def advice(self) -> tuple[str, ...]:
        """Return a sentence for each rule of its product's plan that it breaks."""
        return ()

    def remarks(self) -> tuple[str, ...]:
        """Return a sentence for each thing that readers of the result must know."""
        return ()


class KeyedTransform(Transform, Protocol):
    """A transform that seals values of documents with data keys (:mod:`kit.encryption`)."""

    @property
    def field_map(self) -> FieldMap:
        """Which values of which collections."""
        ...

    @property
    def profile(self) -> Profile:
        """How an envelope is bound."""
        ...

    @property
    def keys(self) -> KeySource:
        """The data keys; none before the run that is to seal."""
        ...

    @property
    def replaced(self) -> frozenset[str]:
        """The data keys whose envelopes are opened and sealed again under others; most transforms have none."""
        return frozenset()

    def with_keys(self, keys: KeySource) -> Self:
        """Return the transform with the keys of a run."""
        ...

    def needs(self, name: CollectionName, documents: Iterable[bytes], first: int) -> Needs:
        """Return for whom a run needs keys; a pure function of its arguments, for workers as well."""
        ...

    def apply_to_texts(self, name: CollectionName, run: Run) -> Sequence[Change]:
        """Return what :meth:`apply` does, of documents that are kept as text: what is sealed is the text of a value.

        The change is one of the view; the engine makes it in the text.
        """
        ...

    def mapped(self, name: CollectionName) -> MappedCollection:
        """Return the map of a collection that this transform handles.

        Raises:
            UsageError: It does not.
        """
        ...


class ProjectingTransform(Transform, Protocol):
    """A transform that copies documents of a collection into a new one, next to it."""

    @property
    def target(self) -> str:
        """The name of the new collection, in the same database."""
        ...

    @property
    def statement(self) -> Mapping[str, Any]:
        """What the manifest of the move states of it besides counts and digests, as JSON."""
        ...

    def is_lacking(self, outcome: str) -> bool:
        """Return whether a document with that outcome is not in the new collection yet."""
        ...

    def project(self, name: CollectionName, documents: Sequence[bytes]) -> Sequence[bytes]:
        """Return the documents of the new collection, in order; those that are not selected have none.

        Raises:
            KitError: A document has no place in the new collection.
        """
        ...


class ProductConflictError(UsageError):
    """The selection and the field map are of different products."""


def without_products(name: str) -> UsageError:
    """Return the error of a transform whose documents have no ``productId``."""
    return UsageError(f"{name} cannot select by productId: its documents have none", hint="select by tenant")

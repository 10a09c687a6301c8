"""Replaces mapped plaintext values by envelopes, and proves that nothing else changed but lengths.

Laws (schemas/field-map.md): the values of a document are sealed together or not at all; a valid envelope, null and a
missing field stay unchanged, so a second application changes nothing; any other value stops the run. Every value is
counted under exactly one outcome.

Data keys are made before a run (``kit.encryption.preparation``) and reach the workers in the instance; see
:class:`kit.transforms.protocol.Transform` for the rest of the contract.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

from kit.encryption import platform_names
from kit.encryption.envelope import Profile
from kit.encryption.field_map import FieldMap
from kit.encryption.initialisation import IvSource, RandomIv, SyntheticIv
from kit.encryption.key_set import NO_KEYS, KeySource
from kit.encryption.mapped import DocumentStatus
from kit.encryption.mapping import MappedCollection
from kit.encryption.needs import Needs
from kit.encryption.preparation import find_needs
from kit.errors import UsageError
from kit.transforms.encrypt_fields.sealing import ENCRYPTED, ERROR, UNCHANGED, SealingRun
from kit.transforms.protocol import Change, Lookup, ProductConflictError, RewrittenRun, Selection, Transform
from kit.values import CollectionName

NAME = "encrypt-fields"
VERSION = 1

OUTCOMES = (
    ENCRYPTED,
    UNCHANGED,
    DocumentStatus.SKIPPED_OWNER.value,
    DocumentStatus.NOT_SELECTED.value,
    DocumentStatus.NO_PARTITION_KEY.value,
    ERROR,
)


_SEALS = "Replaces the mapped plaintext fields of NoteLett documents by envelopes of the profile"
_BY_PLAN = {
    Profile.COMPAT: f"{_SEALS} compat, which the platform's own reader opens.",
    Profile.BOUND: f"{_SEALS} bound, which the platform's own reader cannot open: for kits that nothing but kit reads.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class EncryptFields(Transform):
    """The ``encrypt-fields`` transform; see :class:`kit.transforms.protocol.Transform`."""

    field_map: FieldMap
    profile: Profile
    keys: KeySource = field(default=NO_KEYS, repr=False)
    """Set by the run once it knows which keys are needed (``kit.ops.keying``)."""
    iv: IvSource = field(default=SyntheticIv(), repr=False)
    partitions: frozenset[str] | None = None
    """Select the documents of these partitions; None for all."""
    stop_at_errors: bool = True
    """False counts faulty values instead of raising, so that a run can name all of them before it ends."""

    @property
    def name(self) -> str:
        """See the protocol."""
        return NAME

    @property
    def version(self) -> int:
        """See the protocol."""
        return VERSION

    @property
    def kind(self) -> str:
        """See the protocol."""
        return "encrypted-field"

    @property
    def keyed(self) -> Self:
        """See the protocol."""
        return self

    @property
    def is_reproducible(self) -> bool:
        """See the protocol: random initialisation vectors do not come out again."""
        return not isinstance(self.iv, RandomIv)

    @property
    def tenants(self) -> frozenset[str] | None:
        """See the protocol."""
        return self.partitions

    @property
    def slug(self) -> str:
        """See the protocol."""
        product = re.sub("[^a-z0-9]+", "_", self.field_map.product.lower()).strip("_")
        return f"{product}_encryption{f'_{self.profile}' if self._is_by_plan() else ''}"

    @property
    def description(self) -> str:
        """See the protocol."""
        if self._is_by_plan():
            return _BY_PLAN[self.profile]
        return "Replaces the mapped plaintext fields by authenticated envelopes."

    def advice(self) -> tuple[str, ...]:
        """See the protocol."""
        found = platform_names.advice(self.field_map)
        return (*found, "the shipped field map notelett-2 keeps these rules") if found else ()

    def remarks(self) -> tuple[str, ...]:
        """See the protocol."""
        if self.profile is not Profile.BOUND:
            return ()
        return ("envelopes have the profile bound: the platform's own reader cannot open them (it opens compat)",)

    def _is_by_plan(self) -> bool:
        """Whether it is of NoteLett, and keeps the rules of its plan: as the migrations that ship for it."""
        return self.field_map.product == platform_names.PRODUCT and not platform_names.advice(self.field_map)

    def with_keys(self, keys: KeySource) -> Self:
        """See :class:`kit.transforms.protocol.KeyedTransform`."""
        return replace(self, keys=keys)

    def reading_on(self) -> Self:
        """See the protocol."""
        return replace(self, stop_at_errors=False)

    def selecting(self, selection: Selection) -> Self:
        """See the protocol.

        Raises:
            ProductConflictError: The field map limits a collection to another product.
        """
        chosen, product_id = self.field_map, selection.product_id
        if product_id is not None:
            other = next((one for one in chosen.collections if one.product_id not in {None, product_id}), None)
            if other is not None:
                raise ProductConflictError(
                    f"the selection is productId {product_id!r}, but the field map limits {other.collection}"
                    f" to {other.product_id!r}",
                    hint="omit productId from the selection, or give the other product a field map of its own",
                )
            chosen = replace(chosen, collections=tuple(replace(c, product_id=product_id) for c in chosen.collections))
        return replace(self, partitions=selection.tenants, field_map=chosen)

    def alternatives(self, tenants: frozenset[str] | None) -> Iterator[Self]:
        """See the protocol."""
        for source in (SyntheticIv(), RandomIv(bytes)):
            yield replace(self, partitions=self.partitions if tenants is None else tenants, iv=source)

    def parameters(self) -> Mapping[str, Any]:
        """See the protocol; without key names and secrets."""
        return {
            "fieldMap": self.field_map.to_json(),
            "profile": str(self.profile),
            "iv": "random" if isinstance(self.iv, RandomIv) else "synthetic",
            "tenants": sorted(self.partitions) if self.partitions is not None else None,
            "onError": "stop",  # a fault ends the run with nothing written, raised or counted
        }

    def handles(self, name: CollectionName) -> bool:
        """See the protocol."""
        return self.field_map.collection(name) is not None

    def needs(self, name: CollectionName, documents: Iterable[bytes], first: int) -> Needs:
        """Return what a run needs before it starts; pure, so that workers can call it."""
        return find_needs(self.mapped(name), documents, first)

    def mapped(self, name: CollectionName) -> MappedCollection:
        """Return the map of a collection that this transform handles.

        Raises:
            UsageError: It does not handle it.
        """
        entry = self.field_map.collection(name)
        if entry is None:
            raise UsageError(f"the field map does not name {name}")
        return MappedCollection.of(
            entry, name, product=self.field_map.product, profile=self.profile, partitions=self.partitions
        )

    def rewrite(
        self,
        name: CollectionName,
        data: bytes,
        ends: Sequence[int],
        lookup: Lookup,  # noqa: ARG002
        first: int,
    ) -> RewrittenRun | None:
        """See the protocol; the errors are those of :meth:`apply`."""
        return self._run(name).rewrite(data, ends, first)

    def apply(self, name: CollectionName, documents: Sequence[bytes], lookup: Lookup, first: int) -> Sequence[Change]:  # noqa: ARG002
        """Return the change of each document, its plaintext sealed.

        Raises:
            EnvelopeError: A value looks like an envelope, but is no valid one of this profile and place.
            KeyUnusableError: An envelope's data key is not known, or an owner has none.
            StoppedError: An envelope is sealed under another owner's key.
            ContentError: A document has no owner or ``_id``, or a value that this profile cannot hold.
        """
        return self._run(name).changes(documents, first)

    def _run(self, name: CollectionName) -> SealingRun:
        return SealingRun(self.mapped(name), self.keys.key_set(), self.iv, stop_at_errors=self.stop_at_errors)

"""The value: one description of a job, from a file, from options or from a program.

Laws: equal descriptions have equal digests, however they were written; ``parse_migration(m.to_bytes()) == m`` for every
migration of transforms that a file can name; a kind never understates what the transforms do.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass, field, replace
from typing import Any, Self

from kit.encryption import shipped
from kit.engine.progress import BATCH_DOCUMENTS
from kit.errors import UsageError
from kit.manifest.rollback import PlanStep, RollbackDetails
from kit.transforms import registry
from kit.transforms.protocol import Selection, Transform
from kit.values import NAMED, CollectionPattern, Collections, Sha256, strict_json

SCHEMA_VERSION = "1"
_ID = re.compile(r"[0-9]{8}_[a-z0-9]+(_[a-z0-9]+)*")
_SINCE = "20251031"
"""The day from which observations carry rawLinkset; the migrations in the package have this date."""


class Kind(enum.StrEnum):
    """What a migration may change for readers of the documents."""

    ADDITIVE_OPTIONAL = "additive-optional"
    ADDITIVE_REQUIRED = "additive-required"
    ENUM_EXPANSION = "enum-expansion"
    RENAME = "rename"
    PARTITION_KEY = "partition-key"
    OWNERSHIP = "ownership"
    ENCRYPTED_FIELD = "encrypted-field"


_OPTIONAL = Kind.ADDITIVE_OPTIONAL.value

SUPERSEDED = "20251031_notelett_encryption"
"""Its bytes never change, since provenances hold their digest."""


class Validation(enum.StrEnum):
    """Checks that the new kit must pass before it is published; obligations of schemas/verify-report.md."""

    INTEGRITY = "integrity"
    """Obligations 1 to 6: always."""
    DEEP = "deep"
    """Obligation 7: every document is well-formed, and nothing changed but what was appended."""
    COVERAGE = "coverage"
    """Obligation 8: every selected observation has rawLinkset."""
    FIELDS = "fields"
    """Every mapped value is an envelope that opens to the value it replaced."""


class Decision(enum.StrEnum):
    """How a site rolls back."""

    LEAVE = "leave"
    """Nothing is undone: readers ignore what was added."""
    RESTORE_BACKUP = "restore-backup"
    """The old kit is restored: the base next to the result, or the backup of a patch in place."""
    RESTORE_COPY = "restore-copy"
    """A copy that the site keeps elsewhere is restored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollback:
    """How to roll back, as decided beforehand."""

    decision: Decision
    note: str = ""
    details: RollbackDetails = field(default_factory=RollbackDetails)


@dataclass(frozen=True, slots=True, kw_only=True)
class StopRules:
    """When a run stops with nothing changed, besides the errors that always stop it."""

    stop_on_divergence: bool = False
    """Stop at the first document whose rawLinkset and linkset would disagree."""
    most_divergent: int | None = None
    """Stop above this number of such documents."""
    most_unresolvable: int | None = None
    """Stop above this number of documents without a source."""
    partition_key_fraction: float = 0.001
    partition_key_least: int = 10
    """Stop if the documents without a partition key exceed both this fraction and this number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """See the module docstring."""

    id: str
    """``yyyymmdd_name``."""
    kind: Kind
    description: str
    transforms: tuple[Transform, ...]
    """In the order they are applied; each has the selection and stop rules in it."""
    tenants: frozenset[str] | None = None
    """Select the documents of these tenants; None for all."""
    product_id: str | None = None
    """Select the documents of this product; None for all."""
    selected: frozenset[CollectionPattern] | None = None
    """Select the documents of these collections; None for all."""
    batch_size: int = BATCH_DOCUMENTS
    """Documents between two progress reports."""
    stop_rules: StopRules = field(default_factory=StopRules)
    validation: frozenset[Validation] = frozenset({Validation.INTEGRITY})
    rollback: Rollback
    collections: Collections = NAMED
    """Which members are collections, in addition to what the kit's names and its manifest state."""
    checklist: tuple[PlanStep, ...] = ()
    """Steps of the plan that a live run must have ticked off."""

    def __post_init__(self) -> None:
        """Check that the parts agree.

        Raises:
            UsageError: The id is no ``yyyymmdd_name``; there is no transform, one twice, or their order cannot work;
                the kind understates what the transforms do, or no transform is of it; a validation needs a
                transform that is missing.
        """
        names = [transform.name for transform in self.transforms]
        if not _ID.fullmatch(self.id):
            raise UsageError(f"{self.id!r} is not a migration id; the form is yyyymmdd_name")
        if not names or len(set(names)) < len(names):
            raise UsageError("a migration needs at least one transform, and each at most once")
        registry.check_order(self.transforms)
        wrong = [t.name for t in self.transforms if t.kind not in {_OPTIONAL, self.kind}]
        # A site may require what the transform adds as optional; every other kind is that of a transform.
        lacking = self.kind not in {_OPTIONAL, Kind.ADDITIVE_REQUIRED} and self.kind not in {
            transform.kind for transform in self.transforms
        }
        if wrong or lacking:
            raise UsageError(f"the kind {self.kind} does not describe {wrong[0] if wrong else names[0]}")
        for validation, needed in ((Validation.COVERAGE, "raw-linkset"), (Validation.FIELDS, "encrypt-fields")):
            if validation in self.validation and needed not in names:
                raise UsageError(f"the validation {validation} needs the transform {needed}")
        if self.batch_size < 1:
            raise UsageError("a batch has at least one document")
        object.__setattr__(self, "validation", self.validation | {Validation.INTEGRITY})

    @classmethod
    def of(
        cls,
        transforms: tuple[Transform, ...],
        *,
        stop_rules: StopRules | None = None,
        validation: frozenset[Validation] = frozenset(),
        rollback: Rollback | None = None,
    ) -> Self:
        """Return a migration of these transforms; selection and stop rules are taken from them.

        Raises:
            UsageError: As for the value; or the transforms select different tenants.
        """
        selections = {transform.tenants for transform in transforms}
        if len(selections) > 1:
            raise UsageError("the transforms of a migration must select the same tenants")
        stopping = any(transform.stops_on_divergence for transform in transforms)
        kind = _kind_of(transforms)
        decision = Decision.LEAVE if kind is Kind.ADDITIVE_OPTIONAL else Decision.RESTORE_BACKUP
        return cls(
            id=f"{_SINCE}_{'_and_'.join(transform.slug for transform in transforms)}",
            kind=kind,
            description=" ".join(filter(None, (transform.description for transform in transforms))),
            transforms=transforms,
            tenants=selections.pop() if selections else None,
            stop_rules=replace(stop_rules or StopRules(), stop_on_divergence=stopping),
            validation=validation,
            rollback=rollback or Rollback(decision=decision),
        )

    @classmethod
    def made(
        cls,
        *,
        transforms: tuple[Transform, ...],
        tenants: frozenset[str] | None,
        product_id: str | None,
        selected: frozenset[CollectionPattern] | None = None,
        **rest: Any,
    ) -> Self:
        """Return a migration of transforms without selection and stop rules, which are set in them.

        Raises:
            UsageError: As for the value; or a transform cannot select by product.
        """
        rules: StopRules = rest.get("stop_rules", StopRules())
        selection = Selection(
            tenants=tenants,
            product_id=product_id,
            collections=selected,
            stop_on_divergence=rules.stop_on_divergence,
        )
        applied = tuple(transform.selecting(selection) for transform in transforms)
        return cls(transforms=applied, tenants=tenants, product_id=product_id, selected=selected, **rest)

    @property
    def warnings(self) -> tuple[str, ...]:
        """A sentence for each rule of the product's own plan that it breaks."""
        found = [line for transform in self.transforms for line in transform.advice()]
        if self.id == SUPERSEDED and any(_has_superseded_map(transform) for transform in self.transforms):
            found.insert(
                0,
                f"the migration {SUPERSEDED} is kept only because provenances hold its digest: it does not check "
                f"fields afterwards, and the platform's own reader cannot open its envelopes; use {SUPERSEDED}_compat, "
                f"or {SUPERSEDED}_bound if only kit reads the documents",
            )
        return tuple(found)

    @property
    def needs_note(self) -> bool:
        """Whether a live run needs a rollback note, since it can change what readers see."""
        return self.kind is not Kind.ADDITIVE_OPTIONAL

    @property
    def sha256(self) -> Sha256:
        """Digest of :meth:`to_bytes`."""
        return Sha256.of(self.to_bytes())

    def narrowed(
        self, tenants: frozenset[str] | None, collections: frozenset[CollectionPattern] | None = None
    ) -> Migration:
        """Return the migration for these tenants and collections alone; None keeps the selection.

        Raises:
            UsageError: One of them is not among those selected, or a transform cannot select it.
        """
        if tenants is None and collections is None:
            return self
        beyond = sorted((tenants or frozenset()) - self.tenants) if self.tenants is not None else []
        if beyond:
            raise UsageError(f"the migration {self.id} does not select the tenant {beyond[0]!r}")
        others = sorted((collections or frozenset()) - self.selected) if self.selected is not None else []
        if others:
            raise UsageError(f"the migration {self.id} does not select the collection {others[0]}")
        tenants, collections = tenants or self.tenants, collections or self.selected
        selection = Selection(
            tenants=tenants, collections=collections, stop_on_divergence=self.stop_rules.stop_on_divergence
        )
        transforms = tuple(transform.selecting(selection) for transform in self.transforms)
        return replace(self, tenants=tenants, selected=collections, transforms=transforms)

    def with_note(self, note: str | None) -> Migration:
        """Return the migration with this rollback note; None keeps the note it has."""
        return self if note is None else replace(self, rollback=replace(self.rollback, note=note))

    def to_json(self) -> dict[str, Any]:
        """Return the value of the file, defaults included."""
        rules = self.stop_rules
        declared = self.collections.to_json()
        return {
            "schemaVersion": SCHEMA_VERSION,
            "id": self.id,
            "kind": self.kind.value,
            "description": self.description,
            "transforms": [registry.to_json(transform) for transform in self.transforms],
            "selection": {
                "tenants": sorted(self.tenants) if self.tenants is not None else None,
                "productId": self.product_id,
                # Absent where all are selected: migrations of before there was such a selection keep their digest.
                **({"collections": sorted(map(str, self.selected))} if self.selected is not None else {}),
            },
            "batchSize": self.batch_size,
            "stopRules": {
                "onDivergence": "stop" if rules.stop_on_divergence else "warn",
                "mostDivergent": rules.most_divergent,
                "mostUnresolvable": rules.most_unresolvable,
                "withoutPartitionKey": {"fraction": rules.partition_key_fraction, "atLeast": rules.partition_key_least},
            },
            "validation": sorted(self.validation),
            "rollback": {
                "decision": self.rollback.decision.value,
                "note": self.rollback.note,
                **self.rollback.details.to_json(),
            },
            **({"checklist": list(self.checklist)} if self.checklist else {}),
            **({"collections": declared} if declared else {}),
        }

    def to_bytes(self) -> bytes:
        """Return the file: canonical JSON."""
        return strict_json.canonical(self.to_json())


def _kind_of(transforms: tuple[Transform, ...]) -> Kind:
    """Return the kind of a migration of ``transforms``.

    Raises:
        UsageError: They are of two kinds that no migration has at once, or of none that is known.
    """
    beyond = sorted({transform.kind for transform in transforms} - {_OPTIONAL})
    if len(beyond) > 1:
        raise UsageError(f"one migration cannot be {' and '.join(beyond)}", hint="one migration for each of them")
    try:
        return Kind(beyond[0]) if beyond else Kind.ADDITIVE_OPTIONAL
    except ValueError:
        raise UsageError(f"{beyond[0]!r} is no kind of migration; there are {', '.join(Kind)}") from None


def _has_superseded_map(transform: Transform) -> bool:
    """Whether a transform has the first map that shipped for NoteLett."""
    return transform.keyed is not None and transform.keyed.field_map == shipped("notelett")

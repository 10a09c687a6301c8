"""A receipt of a comparison as it is read: schemas/comparison-receipt.md.

:mod:`kit.verbs.compare.receipt` writes it, and :mod:`kit.verbs.receipt` verifies who signed it. Law: what it states of
the result follows from the numbers that it states.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kit.errors import ContentError
from kit.values import CollectionName, Sha256, Timestamp
from kit.values.fields import Fields
from kit.verbs.compare.documents import Standing
from kit.verbs.compare.receipt import PREDICATE_TYPE
from kit.verbs.statement_fields import behind, objects, policy, require, resources, texts, tool
from kit.verbs.verify.receipt import BUNDLE_URI, STATEMENT_TYPE, VERIFIER_URI

_RESULTS = {"SAME": True, "DIFFERENT": False}
_FAILING = frozenset({Standing.CHANGED, Standing.MISSING, Standing.EXTRA})


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedCounts:
    """The number of documents of each standing in one collection."""

    name: CollectionName
    documents: Mapping[Standing, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonReceipt:
    """What was compared with a kit, and what was found.

    Attributes:
        subjects: The kit: archive and manifest, by name.
        verifier: Key id of who compared.
        tool: Name and version of the program.
        at: The time of the comparison.
        bundle: The bundle id; None if the kit has none.
        policy: Digest of the policy by which the kit was judged.
        source: ``dump`` or ``server``.
        passed: Whether it was what was signed.
        allowed_fields: Fields that were allowed to be added.
        is_order_free: Whether fields were allowed to be in another order.
        collections: What was found, in the order of the kit.
    """

    subjects: Mapping[str, Sha256]
    verifier: str
    tool: tuple[str, str]
    at: Timestamp
    bundle: str | None
    policy: Sha256
    source: str
    passed: bool
    allowed_fields: tuple[str, ...]
    is_order_free: bool
    collections: tuple[ComparedCounts, ...]

    def total(self, standing: Standing) -> int:
        """Return the number of documents of that standing in all collections."""
        return sum(one.documents[standing] for one in self.collections)

    @property
    def failure(self) -> ContentError | None:
        """The error of a comparison that found something else; None if it was what was signed."""
        if self.passed:
            return None
        found = [f"{self.total(standing):,} {standing}" for standing in self.failing]
        return ContentError(f"the {self.source} of the receipt was not what was signed: {', '.join(found)}")

    @property
    def failing(self) -> tuple[Standing, ...]:
        """The standings that make it something else than what was signed."""
        judged = _FAILING if self.is_order_free else _FAILING | {Standing.REORDERED}
        return tuple(standing for standing in Standing if standing in judged and self.total(standing))


def comparison_of(whole: Fields) -> ComparisonReceipt:
    """Return the receipt of a statement.

    Raises:
        ContentError: It is not of the schema, or its result does not follow from its numbers.
    """
    whole.exactly(("_type", "subject", "predicateType", "predicate"))
    require(whole, "_type", STATEMENT_TYPE)
    require(whole, "predicateType", PREDICATE_TYPE)
    predicate = whole.object("predicate")
    predicate.exactly(
        (
            *("verifier", "timeCompared", "resourceUri", "policy", "source", "result", "allowedFields"),
            *("orderIsFree", "collections"),
        )
    )
    verifier = predicate.object("verifier")
    verifier.exactly(("id", "version"))
    source, result, is_free = predicate.text("source"), predicate.text("result"), predicate.members["orderIsFree"]
    if source not in {"dump", "server"} or result not in _RESULTS or not isinstance(is_free, bool):
        raise predicate.refusal("source, result or orderIsFree is not of the schema")
    fields = tuple(texts(predicate, "allowedFields"))
    if not all(fields):
        raise predicate.refusal("allowedFields: a field has a name")
    found = ComparisonReceipt(
        subjects=dict(resources(whole, "subject", "name")),
        verifier=behind(verifier, "id", VERIFIER_URI),
        tool=tool(verifier.object("version")),
        at=predicate.timestamp("timeCompared"),
        bundle=behind(predicate, "resourceUri", BUNDLE_URI) or None,
        policy=policy(predicate.object("policy")),
        source=source,
        passed=_RESULTS[result],
        allowed_fields=fields,
        is_order_free=is_free,
        collections=tuple(map(_counts, objects(predicate, "collections"))),
    )
    if found.passed != (not found.failing):
        raise predicate.refusal("result and numbers contradict each other")
    return found


def _counts(item: Fields) -> ComparedCounts:
    item.exactly(("db", "collection", *map(str, Standing)))
    name = CollectionName(database=item.text("db"), collection=item.text("collection"))
    return ComparedCounts(name=name, documents={standing: item.integer(str(standing)) for standing in Standing})

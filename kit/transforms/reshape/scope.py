"""What every change of a schema has: its collection, its selection, and strict reading of one path.

A path is followed through documents only. An array on the way, or an envelope, is an error and never "missing": the
migration may mean each of its items, and a value that is sealed must not be copied or replaced in the clear.

Laws: a document that is refused stops the run, and all such documents are named; one that is not selected stays.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace as with_changes
from typing import Any, Final, NamedTuple, Protocol, Self

from kit.documents import Kind, Place, append, document_name, index, replace, string_at, without_last
from kit.encryption.envelope import looks_like
from kit.encryption.field_map import IDENTITY, PRODUCT_ID, FieldPath
from kit.errors import ContentError, KitError, UsageError
from kit.transforms.change import Change, Finding
from kit.transforms.protocol import Lookup, Selection, Transform
from kit.values import CollectionName

REFUSED: Final = "refused"
"""The outcome, and the kind of the finding, of a document that stops the run."""
NOT_SELECTED: Final = "not-selected"
TENANT: Final = FieldPath(("tenant",))
_STRING, _DOCUMENT, _ARRAY = int(Kind.STRING), int(Kind.DOCUMENT), int(Kind.ARRAY)


class Spot(NamedTuple):
    """Where a path leads in one document."""

    parent: tuple[int, int] | None
    """Start and end of the document that has, or would have, the element; None where that is missing, too."""
    place: Place | None
    """Type and value; None where the element is missing."""

    def value(self, document: bytes) -> tuple[int, bytes] | None:
        """Return type and bytes of the value; None where it is missing."""
        return None if self.place is None else (self.place[0], document[self.place[1] : self.place[2]])


def find_spot(document: bytes, places: Mapping[bytes, Place], path: FieldPath) -> Spot:
    """Follow a path.

    Raises:
        BsonError: A level on the way is malformed or repeats a name.
        ContentError: The path leads through an array or into an envelope, or to one.
    """
    parent = (0, len(document))
    for depth, step in enumerate(path.steps):
        place = places.get(step.encode())
        last = depth == len(path.steps) - 1
        if place is None:
            return Spot(parent if last else None, None)
        if place[0] == _DOCUMENT:
            places = index(document, place[1])
            if looks_like(places):
                raise ContentError(f"at {path} there is a sealed value, which is not to be changed in the clear")
        if last:
            return Spot(parent, place)
        if place[0] == _ARRAY:
            raise ContentError(f"the path {path} leads through an array")
        if place[0] != _DOCUMENT:
            return Spot(None, None)
        parent = (place[1], place[2])
    raise AssertionError(path)  # a path has at least one step


def append_at(document: bytes, path: FieldPath, spot: Spot, element: bytes) -> bytes:
    """Return a document with an element at the end of the parent of ``path``; ``spot`` is where it is missing."""
    if len(path.steps) == 1 or spot.parent is None:
        return append(document, element)
    start, end = spot.parent
    return replace(document, path.steps[:-1], _DOCUMENT, append(document[start:end], element))


def without_appended(document: bytes, path: FieldPath) -> bytes | None:
    """Return what :func:`append_at` was given; None where the element is not the last of its document."""
    spot = find_spot(document, index(document), path)
    if spot.parent is None or spot.place is None:
        return None
    start, end = spot.parent
    before = without_last(document[start:end], path.steps[-1])
    if before is None or len(path.steps) == 1:
        return before
    return replace(document, path.steps[:-1], _DOCUMENT, before)


def text_at(document: bytes, place: Place | None) -> str | None:
    """Return the text of a string; None where it is missing or something else."""
    return string_at(document, place) if place is not None and place[0] == _STRING else None


class DocumentRefusedError(Exception):
    """A document that the rules of the change do not permit, in a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reshape(Transform, Protocol):
    """One change of the schema of one collection."""

    collection: str
    database: str | None = None
    """None for a collection with this name in any database."""
    partition_key: FieldPath = TENANT
    """By which documents are counted and selected (``--tenant``); no kind changes it in place."""
    product_id: str | None = None
    partitions: frozenset[str] | None = None

    def handles(self, name: CollectionName) -> bool:
        """See the protocol."""
        return name.collection == self.collection and self.database in {None, name.database}

    def parameters(self) -> Mapping[str, Any]:
        """See the protocol."""
        partitions = None if self.partitions is None else sorted(self.partitions)
        return {**self.described(), "productId": self.product_id, "tenants": partitions}

    def described(self) -> dict[str, Any]:
        """Return the parameters as in a migration file, whose selection has the rest."""
        return {
            "collection": self.collection,
            "db": self.database,
            "partitionKey": self.partition_key.json,
            **self.own_parameters(),
        }

    @abstractmethod
    def own_parameters(self) -> dict[str, Any]:
        """Return the parameters of this kind alone."""

    @property
    def is_recorded(self) -> bool:
        """See the protocol."""
        return True

    @property
    def tenants(self) -> frozenset[str] | None:
        """See the protocol."""
        return self.partitions

    def selecting(self, selection: Selection) -> Self:
        """See the protocol."""
        product = selection.product_id if selection.product_id is not None else self.product_id
        database = self.database
        if selection.collections is not None:
            databases = {one.database for one in selection.collections if one.collection == self.collection}
            others = [str(one) for one in selection.collections if one.collection != self.collection]
            wrong = len(databases) != 1 or (database is not None and not databases <= {"", database})
            if others or wrong:
                raise UsageError(
                    f"{self.name} changes {self.collection} alone, and cannot select"
                    f" {', '.join(sorted(map(str, selection.collections)))}",
                    hint="one migration for each collection",
                )
            database = next(iter(databases)) or database
        return with_changes(self, partitions=selection.tenants, product_id=product, database=database)

    def alternatives(self, tenants: frozenset[str] | None) -> Iterator[Self]:
        """See the protocol."""
        yield self if tenants is None else with_changes(self, partitions=tenants)

    def apply(self, name: CollectionName, documents: Sequence[bytes], lookup: Lookup, first: int) -> list[Change]:  # noqa: ARG002
        """See the protocol."""
        return [self._apply(document, first + number) for number, document in enumerate(documents)]

    def _apply(self, document: bytes, ordinal: int) -> Change:
        tenant = ""
        try:
            places = index(document)
            tenant = self.tenant_in(document, places)
            return self.change(document, places, tenant, is_selected=self.is_selected(document, places, tenant))
        except DocumentRefusedError as refusal:
            return refuse(document, ordinal, tenant, str(refusal))
        except KitError as error:
            return refuse(document, ordinal, tenant, error.what)

    @abstractmethod
    def change(self, document: bytes, places: Mapping[bytes, Place], tenant: str, *, is_selected: bool) -> Change:
        """Return what becomes of one document.

        Raises:
            DocumentRefusedError: The rules of the change do not permit it.
            KitError: It cannot be read.
        """

    def tenant_in(self, document: bytes, places: Mapping[bytes, Place]) -> str:
        """Return the partition key of a document as text, empty where it is no string."""
        return text_at(document, find_spot(document, places, self.partition_key).place) or ""

    def is_selected(self, document: bytes, places: Mapping[bytes, Place], tenant: str) -> bool:
        """Return whether the selection has the document."""
        if self.partitions is not None and tenant not in self.partitions:
            return False
        return self.product_id is None or text_at(document, places.get(PRODUCT_ID.encode())) == self.product_id

    @property
    def slug(self) -> str:
        """See the protocol."""
        return self.name.replace("-", "_")


def refuse(document: bytes, ordinal: int, tenant: str, what: str) -> Change:
    """Return the change of a document that stops the run."""
    name = document_name(document)
    error = ContentError(
        what,
        where=f'document {ordinal:,} (_id "{name}")',
        hint="nothing was written; kit plan with the same options and --json names each such document",
    )
    finding = Finding(kind=REFUSED, reason=what, document=name, tenant=tenant)
    return Change(tenant=tenant, outcome=REFUSED, findings=(finding,), failure=error)


def protected(path: FieldPath, partition_key: FieldPath) -> str | None:
    """Return why no kind may change what is at ``path``; None where it may."""
    kept = {IDENTITY: "the identity", PRODUCT_ID: "the product", "createdAt": "the time of creation"}
    if path.steps[0] in kept:
        return f"{path} is {kept[path.steps[0]]} of a document, which a migration preserves"
    if path.overlaps(partition_key):
        return f"{path} is the partition key, which is not changed in place: reshape-project makes a new collection"
    return None

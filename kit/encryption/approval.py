"""Approvals of a recovery: which documents of which kit may be decrypted, why, and until when.

Normative: schemas/recovery-approval.md. The caller verifies the signatures of the envelope around it before it uses any
of this. Laws: ``Approval.parse(a.to_json()) == a``; nothing is in scope that the approval does not name, so an absent
list never widens it: all documents of a collection are in scope only with ``wholeCollections``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

from kit.documents import Kind
from kit.documents.kinds import INT32
from kit.errors import ContentError, StaleError, UntrustedError
from kit.values import CollectionName, Sha256, Timestamp
from kit.values.fields import Members
from kit.values.strict_json import canonical

PAYLOAD_TYPE = "application/vnd.offline-kit.recovery-approval+json"
SCHEMA_VERSION = "1"
REQUIRED_SIGNATURES = 2
_NUMBERS = {"$numberInt": (Kind.INT32, 4), "$numberLong": (Kind.INT64, 8)}
_OBJECT_ID_BYTES = 12


@dataclass(frozen=True, slots=True, order=True, kw_only=True)
class DocumentName:
    """The exact ``_id`` of a document: the text ``"1"`` and the number 1 name two documents."""

    identity: bytes
    """Type byte and value bytes."""

    @classmethod
    def parse(cls, value: Any) -> Self:
        """Return the name of an ``_id``: a string, ``{"$oid": …}``, ``{"$numberInt": …}`` or ``{"$numberLong": …}``.

        Raises:
            ContentError: It is something else, or not in its one spelling.
        """
        name = None
        if isinstance(value, str):
            text = value.encode()
            name = cls(identity=bytes((Kind.STRING,)) + INT32.pack(len(text) + 1) + text + b"\0")
        elif isinstance(value, dict) and len(value) == 1:
            ((key, text),) = value.items()
            name = cls._parse_number_or_id(key, text) if isinstance(text, str) and text.isascii() else None
        if name is None or name.to_json() != value:
            raise ContentError(
                "not the _id of a document: text, or one of $oid, $numberInt, $numberLong in its one spelling"
            )
        return name

    @classmethod
    def _parse_number_or_id(cls, key: str, text: str) -> Self | None:
        try:
            if key == "$oid":
                value = bytes.fromhex(text)
                return cls(identity=bytes((Kind.OBJECT_ID,)) + value) if len(value) == _OBJECT_ID_BYTES else None
            if key in _NUMBERS:
                kind, size = _NUMBERS[key]
                return cls(identity=bytes((kind,)) + int(text).to_bytes(size, "little", signed=True))
        except (ValueError, OverflowError):
            pass
        return None

    @property
    def text(self) -> str:
        """The ``_id`` without its type."""
        spelled = self.to_json()
        return spelled if isinstance(spelled, str) else next(iter(spelled.values()))

    def to_json(self) -> str | dict[str, str]:
        """Return it as an approval spells it."""
        kind, value = self.identity[0], self.identity[1:]
        if kind == Kind.STRING:
            return value[4:-1].decode()
        if kind == Kind.OBJECT_ID:
            return {"$oid": value.hex()}
        key = "$numberInt" if kind == Kind.INT32 else "$numberLong"
        return {key: str(int.from_bytes(value, "little", signed=True))}


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveryScope:
    """Documents of a kit. A document is in scope if every given list has it."""

    manifest_sha256: Sha256
    collections: tuple[CollectionName, ...]
    partitions: frozenset[str] | None = None
    owners: frozenset[str] | None = None
    documents: frozenset[DocumentName] | None = None

    @classmethod
    def parse(cls, entry: Members) -> Self:
        """Return the scope in the member ``scope``.

        Raises:
            KitError: As :meth:`Approval.parse`.
        """
        digest = entry.take("manifestSha256", str)
        try:
            manifest = Sha256.parse(digest)
        except ContentError as error:
            raise entry.refusal(error.what, "manifestSha256") from error
        if str(manifest) != digest:
            raise entry.refusal("is not 64 lower-case hex digits", "manifestSha256")
        collections = tuple(_collection(entry, text, at) for at, text in enumerate(entry.strings("collections")))
        whole = _whole(entry)
        found = cls(
            manifest_sha256=manifest,
            collections=collections,
            partitions=_texts(entry, "partitions"),
            owners=_texts(entry, "owners"),
            documents=_documents(entry),
        )
        entry.done()
        if not collections or len(set(collections)) != len(collections):
            raise entry.refusal("is empty or names a collection twice", "collections")
        if whole is found.narrowed:
            raise entry.refusal("must have wholeCollections, or at least one of partitions, owners, documents")
        return found

    @property
    def narrowed(self) -> bool:
        """Whether the scope has only some documents of its collections."""
        return any(part is not None for part in (self.partitions, self.owners, self.documents))

    def to_json(self) -> dict[str, Any]:
        """Return it as approvals and audit records spell it."""
        printed: dict[str, Any] = {
            "manifestSha256": str(self.manifest_sha256),
            "collections": [str(name) for name in self.collections],
        }
        for name, texts in (("partitions", self.partitions), ("owners", self.owners)):
            if texts is not None:
                printed[name] = sorted(texts)
        if self.documents is not None:
            printed["documents"] = [document.to_json() for document in sorted(self.documents)]
        if not self.narrowed:
            printed["wholeCollections"] = True
        return printed

    def has(self, *, partition: str, owner: str, identity: bytes) -> bool:
        """Return whether a document of one of the collections is in scope.

        Args:
            partition: Its partition key as text.
            owner: Its owner.
            identity: Type byte and value bytes of its ``_id``.
        """
        return (
            (self.partitions is None or partition in self.partitions)
            and (self.owners is None or owner in self.owners)
            and (self.documents is None or DocumentName(identity=identity) in self.documents)
        )

    def check_kit(self, manifest_sha256: Sha256, collections: Iterable[CollectionName]) -> None:
        """Check that the scope is for this kit.

        Raises:
            UntrustedError: It has another manifest, or lacks a collection.
        """
        if manifest_sha256 != self.manifest_sha256:
            raise UntrustedError(
                f"the approval is for the kit with manifest {self.manifest_sha256}; this one has {manifest_sha256}"
            )
        absent = sorted(set(self.collections) - set(collections))
        if absent:
            raise UntrustedError(f"the approval is for {absent[0]}, which this kit does not have")


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """The payload that approvers sign."""

    incident_id: str
    reason: str
    scope: RecoveryScope
    not_before: Timestamp
    """First second of validity."""
    expires: Timestamp
    """First second after it."""

    @classmethod
    def parse(cls, data: bytes, *, where: str = "approval") -> Self:
        """Return the approval of a payload.

        Raises:
            ContentError: Not strict JSON, or not of the schema; names the place (RFC 6901).
        """
        top = Members.parse(data, error=ContentError, where=where)
        if (version := top.take("schemaVersion", str)) != SCHEMA_VERSION:
            raise top.refusal(f"is version {version!r} of the format, not {SCHEMA_VERSION!r}", "schemaVersion")
        found = cls(
            incident_id=top.text(top.take("incidentId", str), "incidentId"),
            reason=top.text(top.take("reason", str), "reason"),
            scope=RecoveryScope.parse(top.object("scope")),
            not_before=_time(top, "notBefore"),
            expires=_time(top, "expires"),
        )
        top.done()
        if found.expires <= found.not_before:
            raise top.refusal("is not after notBefore", "expires")
        return found

    def to_json(self) -> bytes:
        """Return the payload in canonical form."""
        return canonical(
            {
                "schemaVersion": SCHEMA_VERSION,
                "incidentId": self.incident_id,
                "reason": self.reason,
                "scope": self.scope.to_json(),
                "notBefore": str(self.not_before),
                "expires": str(self.expires),
            }
        )

    def check_time(self, now: Timestamp) -> None:
        """Check that the approval is valid at ``now``.

        Raises:
            StaleError: It has expired, or is not valid yet.
        """
        if now < self.not_before:
            raise StaleError(f"the approval is not valid before {self.not_before}; it is {now}")
        if now >= self.expires:
            raise StaleError(
                f"the approval expired at {self.expires}; it is {now}",
                hint="have a new one signed, or override it on record: --force --reason TEXT",
            )


def collection_name(text: str) -> CollectionName:
    """Return the name ``db.collection``; a database's name has no dot, a collection's may.

    Raises:
        ContentError: One of the two is missing.
    """
    database, _, collection = text.partition(".")
    if not database or not collection:
        raise ContentError(f"{text[:80]!r} is not DB.COLLECTION")
    return CollectionName(database=database, collection=collection)


def _collection(entry: Members, text: str, at: int) -> CollectionName:
    try:
        return collection_name(text)
    except ContentError as error:
        raise entry.refusal(error.what, f"collections/{at}") from error


def _whole(entry: Members) -> bool:
    if "wholeCollections" not in entry:
        return False
    if entry.take_any("wholeCollections") is not True:
        raise entry.refusal("is not true; omit it", "wholeCollections")
    return True


def _texts(entry: Members, name: str) -> frozenset[str] | None:
    if name not in entry:
        return None
    texts = entry.strings(name)
    if not texts or len(set(texts)) != len(texts):
        raise entry.refusal("is empty or repeats an entry", name)
    return frozenset(texts)


def _documents(entry: Members) -> frozenset[DocumentName] | None:
    if "documents" not in entry:
        return None
    names: list[DocumentName] = []
    for at, value in enumerate(entry.take("documents", list)):
        try:
            names.append(DocumentName.parse(value))
        except ContentError as error:
            raise entry.refusal(error.what, f"documents/{at}") from error
    if not names or len(set(names)) != len(names):
        raise entry.refusal("is empty or repeats an entry", "documents")
    return frozenset(names)


def _time(top: Members, name: str) -> Timestamp:
    text = top.take(name, str)
    try:
        time = Timestamp.parse(text)
    except ContentError as error:
        raise top.refusal(error.what, name) from error
    if str(time) != text:
        raise top.refusal("is not of the form 2026-01-02T03:04:05Z", name)
    return time

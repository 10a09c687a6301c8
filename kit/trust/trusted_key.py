"""One key of a policy: what it may sign, and when. Schema: schemas/trust-policy.md, "Keys".

The roles of keys: what a signature can mean.
"""

from __future__ import annotations

import enum
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self, TypeVar

from kit.errors import ContentError, KeyUnusableError
from kit.signing import PublicKey
from kit.values import CollectionName, Timestamp
from kit.values.fields import ManifestFields


class Role(enum.StrEnum):
    """One purpose of signing; a key has only the roles that its policy names."""

    PUBLISHER = "publisher"
    """Signs first generations, which come from the vendor."""
    PATCHER = "patcher"
    """Signs generations made from another, and statements of provenance."""
    INCIDENT = "incident"
    """Signs approvals to open encrypted fields."""
    AUDITOR = "auditor"
    """Signs receipts of verifications."""
    RECIPIENT = "recipient"
    """Signs nothing: data keys may be handed out wrapped for it."""
    ROOT = "root"
    """Signs policies, and nothing else: the keys that decide about trust are not used daily."""


Word = TypeVar("Word", bound=enum.StrEnum)

ANY = "*"
"""The wildcard for the database of a collection."""

_SPKI = "-----BEGIN PUBLIC KEY-----\n"


class RevocationReason(enum.StrEnum):
    """Why a key is revoked (the terms of RFC 5280 5.3.1), which decides whether its old signatures count."""

    COMPROMISED = "compromised"
    """Somebody else may have it, who can write any time into what it signs: none of its signatures counts."""
    SUPERSEDED = "superseded"
    """Another key replaced it: an earlier signature counts if others prove that it is earlier."""
    CEASED = "ceased"
    """Its holder no longer signs: an earlier signature counts if others prove that it is earlier."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """The time from which a key is not trusted, and the reason."""

    at: Timestamp
    reason: RevocationReason

    @classmethod
    def parse(cls, fields: ManifestFields) -> Self:
        """Return the revocation of a parsed object.

        Raises:
            ContentError: It is not exactly ``{at, reason}``.
        """
        fields.exactly(("at", "reason"))
        return cls(at=fields.timestamp("at"), reason=parse_word(RevocationReason, fields.text("reason"), fields.place))

    def to_json(self) -> dict[str, Any]:
        """Return the value for ``strict_json.canonical``."""
        return {"at": str(self.at), "reason": self.reason.value}


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedKey:
    """A public key and its limits. Law: ``TrustedKey.parse(k.to_json(), place) == k``.

    Attributes:
        key: The key; its id is computed, never read.
        roles: What its signatures can mean; never empty.
        name: The name of its holder; keys of one name belong to one person.
        bundle_ids: The bundles it may sign; None for all.
        collections: The collections it may sign, ``database.collection`` or ``*.collection``; None for all.
        not_before: The begin of its validity; None for none.
        not_after: The end of its validity; None for none.
        revocation: None while it is not revoked.
    """

    key: PublicKey
    roles: frozenset[Role]
    name: str | None = None
    bundle_ids: frozenset[str] | None = None
    collections: frozenset[str] | None = None
    not_before: Timestamp | None = None
    not_after: Timestamp | None = None
    revocation: Revocation | None = None

    @property
    def key_id(self) -> str:
        """The key id that documents use."""
        return self.key.key_id

    @property
    def label(self) -> str:
        """Id and name, for messages."""
        return f"{self.key_id} ({self.name})" if self.name else self.key_id

    @property
    def person(self) -> tuple[str, str]:
        """The holder, for thresholds: the normalised name; a key without a name has a holder of its own."""
        if self.name is None:
            return "key", self.key_id
        return "name", " ".join(unicodedata.normalize("NFKC", self.name).casefold().split())

    @classmethod
    def parse(cls, value: object, place: str) -> Self:
        """Return the key of a parsed value.

        Raises:
            ContentError: A member is missing, unknown or malformed; the key id is not the key's; there is no role; a
                list is empty (which would forbid everything, where its absence allows all); or the end of the validity
                is before its begin.
        """
        fields = ManifestFields.of(value, place)
        fields.exactly(
            ("keyId", "publicKey", "roles"),
            ("name", "bundleIds", "collections", "notBefore", "notAfter", "revoked"),
        )
        text = fields.text("publicKey")
        if not text.startswith(_SPKI):  # a document has one form of keys, files have several
            raise ContentError(f"{place}.publicKey: a PEM block PUBLIC KEY and nothing before it is expected")
        try:
            key = PublicKey.parse(text.encode(), where=f"{place}.publicKey")
        except KeyUnusableError as error:
            raise ContentError(error.what, where=error.where) from error
        if fields.text("keyId") != key.key_id:
            raise ContentError(f"{place}.keyId: this key is {key.key_id}")
        trusted = cls(
            key=key,
            roles=frozenset(parse_word(Role, role, f"{place}.roles") for role in read_distinct(fields, "roles")),
            name=fields.text("name") if "name" in fields.members else None,
            bundle_ids=_limit(fields, "bundleIds"),
            collections=_limit(fields, "collections"),
            not_before=fields.timestamp("notBefore") if "notBefore" in fields.members else None,
            not_after=fields.timestamp("notAfter") if "notAfter" in fields.members else None,
            revocation=Revocation.parse(fields.object("revoked")) if "revoked" in fields.members else None,
        )
        for pattern in trusted.collections or ():
            database, dot, collection = pattern.partition(".")
            if not (database and dot and collection):
                raise ContentError(f"{place}.collections: {pattern!r} is not database.collection")
        if trusted.not_before and trusted.not_after and trusted.not_after < trusted.not_before:
            raise ContentError(f"{place}: notAfter is before notBefore")
        return trusted

    def to_json(self) -> dict[str, Any]:
        """Return the value for ``strict_json.canonical``."""
        printed: dict[str, Any] = {
            "keyId": self.key_id,
            "publicKey": self.key.pem.decode("ascii"),
            "roles": sorted(self.roles),
        }
        given = {
            "name": self.name,
            "bundleIds": sorted(self.bundle_ids) if self.bundle_ids is not None else None,
            "collections": sorted(self.collections) if self.collections is not None else None,
            "notBefore": str(self.not_before) if self.not_before else None,
            "notAfter": str(self.not_after) if self.not_after else None,
            "revoked": self.revocation.to_json() if self.revocation else None,
        }
        return printed | {name: value for name, value in given.items() if value is not None}

    def may_sign_bundle(self, bundle_id: str | None) -> bool:
        """Return whether it may sign a kit of a bundle; a kit without a bundle id only if the key has no limit."""
        return self.bundle_ids is None or bundle_id in self.bundle_ids

    def may_sign_collection(self, name: CollectionName) -> bool:
        """Return whether it may sign documents of a collection."""
        return self.collections is None or not self.collections.isdisjoint({str(name), f"{ANY}.{name.collection}"})


def count_people(keys: Iterable[TrustedKey]) -> int:
    """Return the number of people who hold the keys, which is what a threshold counts."""
    return len({key.person for key in keys})


def read_distinct(fields: ManifestFields, name: str) -> list[str]:
    """Return a list of texts, not empty, each once.

    Raises:
        ContentError: It is something else.
    """
    items = fields.items(name)
    if not items or not all(isinstance(item, str) and item for item in items) or len(set(items)) != len(items):
        raise ContentError(f"{fields.place}.{name}: a list of texts is expected, not empty, each once")
    return items


def parse_word(words: type[Word], text: str, place: str) -> Word:
    """Return one word of a closed list.

    Raises:
        ContentError: It is another.
    """
    try:
        return words(text)
    except ValueError as error:
        raise ContentError(f"{place}: {text!r} is none of {', '.join(words)}") from error


def _limit(fields: ManifestFields, name: str) -> frozenset[str] | None:
    return frozenset(read_distinct(fields, name)) if name in fields.members else None

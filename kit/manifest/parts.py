"""``collections`` of a manifest: the documents of each collection member, per tenant (schemas/offline-manifest.md).

One entry of ``lineage``: a generation that was replaced, and the place of its proof.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from kit.errors import ContentError, ManifestError
from kit.manifest.location import SIGNATURE_SUFFIXES, history_paths
from kit.values import (
    CollectionFormat,
    CollectionMember,
    CollectionName,
    MemberPath,
    Sha256,
    Timestamp,
    declared_member,
)
from kit.values.fields import ManifestFields


@dataclass(frozen=True, slots=True, kw_only=True)
class RawLinksetCoverage:
    """The number of a tenant's observations with ``rawLinkset``; ``unresolvable`` ones are among the missing."""

    present: int
    missing: int
    unresolvable: int

    @classmethod
    def parse(cls, fields: ManifestFields) -> Self:
        """Return the coverage of a parsed object.

        Raises:
            ManifestError: A count is missing or malformed, or more documents are unresolvable than missing.
        """
        coverage = cls(
            present=fields.integer("present"),
            missing=fields.integer("missing"),
            unresolvable=fields.integer("unresolvable"),
        )
        if coverage.unresolvable > coverage.missing:
            raise ManifestError(f"{fields.place}: more documents are unresolvable than missing")
        return coverage

    def to_json(self) -> dict[str, Any]:
        """Return the value for ``strict_json.canonical``."""
        return {"present": self.present, "missing": self.missing, "unresolvable": self.unresolvable}


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantSummary:
    """One tenant's documents of a collection.

    Attributes:
        documents: Their number.
        raw_linkset: Coverage, for collections with ``rawLinkset``, else None.
        encrypted: Envelopes by field, for collections that a field map names, else None.
    """

    documents: int
    raw_linkset: RawLinksetCoverage | None = None
    encrypted: Mapping[str, int] | None = None

    @classmethod
    def parse(cls, fields: ManifestFields) -> Self:
        """Return the summary of a parsed object; unknown members are ignored.

        Raises:
            ManifestError: A count is malformed.
        """
        encrypted = fields.object("encrypted") if "encrypted" in fields.members else None
        return cls(
            documents=fields.integer("documents"),
            raw_linkset=RawLinksetCoverage.parse(fields.object("rawLinkset"))
            if "rawLinkset" in fields.members
            else None,
            encrypted={name: encrypted.integer(name) for name in encrypted.members} if encrypted else None,
        )

    def to_json(self) -> dict[str, Any]:
        """Return the value for ``strict_json.canonical``."""
        printed: dict[str, Any] = {"documents": self.documents}
        if self.raw_linkset is not None:
            printed["rawLinkset"] = self.raw_linkset.to_json()
        if self.encrypted is not None:
            printed["encrypted"] = dict(self.encrypted)
        return printed


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionSummary:
    """One collection member. Law: ``CollectionSummary.parse(c.to_json(), place) == c``."""

    path: MemberPath
    database: str
    collection: str
    documents: int
    bytes: int
    """The size of the documents, without the member's own codec; of JSON, of all that the member holds."""
    tenants: Mapping[str, TenantSummary]
    merkle_root: Sha256 | None = None
    """The root over its ``documents`` leaves (schemas/merkle.md), if the manifest has one."""
    format: CollectionFormat | None = None
    """How the member holds its documents; None where only its name states that."""

    @classmethod
    def parse(cls, value: object, place: str) -> Self:
        """Return the summary of a parsed value; unknown members are ignored.

        Raises:
            ManifestError: A member is missing or of the wrong type.
        """
        fields = ManifestFields.of(value, place)
        tenants = fields.object("tenants")
        stated = fields.text("format") if "format" in fields.members else None
        if stated is not None and stated not in set(CollectionFormat):
            raise ManifestError(f"{place}.format: {stated!r} is not one of {', '.join(CollectionFormat)}")
        found = cls(
            path=fields.member_path("path"),
            database=fields.text("db"),
            collection=fields.text("collection"),
            documents=fields.integer("documents"),
            bytes=fields.integer("bytes"),
            tenants={name: TenantSummary.parse(tenants.object(name)) for name in tenants.members},
            merkle_root=fields.digest("merkleRoot") if "merkleRoot" in fields.members else None,
            format=CollectionFormat(stated) if stated is not None else None,
        )
        try:
            _ = found.declared
        except ContentError as error:
            raise ManifestError(error.what, where=f"{place}: {error.where}") from error
        return found

    @property
    def declared(self) -> CollectionMember | None:
        """The collection that it declares; None where only the member's name states that there is one.

        Raises:
            ContentError: The member's name contradicts it.
        """
        if self.format is None:
            return None
        name = CollectionName(database=self.database, collection=self.collection)
        return declared_member(self.path, self.format, name)

    def to_json(self) -> dict[str, Any]:
        """Return the value for ``strict_json.canonical``."""
        printed: dict[str, Any] = {
            "path": str(self.path),
            "db": self.database,
            "collection": self.collection,
            "documents": self.documents,
            "bytes": self.bytes,
            "tenants": {name: tenant.to_json() for name, tenant in self.tenants.items()},
        }
        if self.format is not None:
            printed["format"] = self.format.value
        return printed if self.merkle_root is None else printed | {"merkleRoot": str(self.merkle_root)}


_KNOWN = ("path", "db", "collection", "documents", "bytes", "tenants", "merkleRoot", "format")
_KNOWN_OF_TENANT = ("documents", "rawLinkset", "encrypted")


def merge_summaries(items: Sequence[Mapping[str, Any]], summaries: Sequence[CollectionSummary]) -> list[dict[str, Any]]:
    """Return the JSON of ``collections`` with new summaries, by path; unknown fields are kept.

    Args:
        items: The parsed summaries.
        summaries: The new ones; a member without a new one keeps its old one.
    """
    old = {str(item["path"]): item for item in items}
    new = {str(summary.path): _merge(old.get(str(summary.path), {}), summary) for summary in summaries}
    return [new[path] if path in new else dict(old[path]) for path in sorted(old.keys() | new.keys())]


def _merge(old: Mapping[str, Any], summary: CollectionSummary) -> dict[str, Any]:
    printed = {**{name: value for name, value in old.items() if name not in _KNOWN}, **summary.to_json()}
    before = old.get("tenants", {})
    for name, tenant in printed["tenants"].items():
        known = before.get(name, {})
        kept = {key: value for key, value in known.items() if key not in _KNOWN_OF_TENANT}
        printed["tenants"][name] = kept | tenant
        if "rawLinkset" in tenant and "rawLinkset" in known:
            printed["tenants"][name]["rawLinkset"] = {**known["rawLinkset"], **tenant["rawLinkset"]}
    return printed


_NAMES = ("generation", "manifestSha256", "path", "signature", "statement", "operation", "tool", "at")
_DIGESTS = ("signatureSha256", "priorStatementSha256", "recordSha256")


@dataclass(frozen=True, slots=True, kw_only=True)
class LineageEntry:
    """A step from one generation to the next. Law: ``LineageEntry.parse(e.to_json(), place) == e``.

    Attributes:
        generation: The generation that was replaced and is kept.
        manifest_sha256: Digest of its manifest, byte for byte.
        path: Path of that manifest.
        signature: Path of its signature; None if it had none, which only an option of the patch permits.
        statement: Path of the signed provenance of the step that replaced it.
        operation: The operation that replaced it (``patch``).
        tool: Name and version of the program that did.
        at: The ``createdAt`` of the successor.
        signature_sha256: Digest of the kept signature, byte for byte; None if there is none, or in an entry by an
            earlier version.
        prior_statement_sha256: Digest of the statement of the step **to** the replaced generation; None for the first,
            or in an entry by an earlier version. The statement of this step names the new manifest, so its digest
            cannot be in that manifest.
        record_sha256: Digest of the record of the step that replaced the generation (schemas/reshape-record.md); None
            where it has none.
    """

    generation: int
    manifest_sha256: Sha256
    path: str
    signature: str | None
    statement: str
    operation: str
    tool: str
    at: Timestamp
    signature_sha256: Sha256 | None = None
    prior_statement_sha256: Sha256 | None = None
    record_sha256: Sha256 | None = None

    @property
    def record(self) -> str | None:
        """Path of the record; None where there is none."""
        return None if self.record_sha256 is None else str(history_paths(self.generation).record)

    @classmethod
    def of(
        cls,
        *,
        generation: int,
        manifest_sha256: Sha256,
        signature: Sha256 | None,
        tool: str,
        at: Timestamp,
        prior_statement: Sha256 | None = None,
        operation: str = "patch",
        record: Sha256 | None = None,
        form: str = SIGNATURE_SUFFIXES[0],
    ) -> Self:
        """Return the entry of the step that replaces ``generation``, with the paths of the format.

        Args:
            generation: Its number.
            manifest_sha256: Digest of its manifest.
            signature: Digest of its signature; None if it has none.
            tool: Name and version of the program.
            at: The time of the step.
            prior_statement: Digest of the statement of the step to it; None if it is the first.
            operation: The operation that replaces it.
            record: Digest of the record of the step, where there is one.
            form: The ending of its signature's name.
        """
        paths = history_paths(generation)
        return cls(
            generation=generation,
            manifest_sha256=manifest_sha256,
            path=str(paths.manifest),
            signature=f"{paths.manifest}{form}" if signature is not None else None,
            statement=str(paths.statement),
            operation=operation,
            tool=tool,
            at=at,
            signature_sha256=signature,
            prior_statement_sha256=prior_statement,
            record_sha256=record,
        )

    @classmethod
    def parse(cls, value: object, place: str) -> Self:
        """Return the entry of a parsed value.

        Raises:
            ManifestError: A member is missing, unknown or of the wrong type; a path is not that of the generation
                (otherwise lineage could present any file as history); or there is a digest without a signature.
        """
        fields = ManifestFields.of(value, place)
        fields.exactly(_NAMES, _DIGESTS)
        entry = cls(
            generation=fields.integer("generation"),
            manifest_sha256=fields.digest("manifestSha256"),
            path=fields.text("path"),
            signature=None if fields.members["signature"] is None else fields.text("signature"),
            statement=fields.text("statement"),
            operation=fields.text("operation"),
            tool=fields.text("tool"),
            at=fields.timestamp("at"),
            signature_sha256=fields.digest("signatureSha256") if "signatureSha256" in fields.members else None,
            prior_statement_sha256=(
                fields.digest("priorStatementSha256") if "priorStatementSha256" in fields.members else None
            ),
            record_sha256=fields.digest("recordSha256") if "recordSha256" in fields.members else None,
        )
        if entry.signature is None and entry.signature_sha256 is not None:
            raise ManifestError(f"{place}.signatureSha256: there is no signature")
        paths = history_paths(entry.generation)
        for name, stated, due in (
            ("path", entry.path, (paths.manifest,)),
            ("signature", entry.signature, paths.signatures),
            ("statement", entry.statement, (paths.statement,)),
        ):
            if stated is not None and stated not in map(str, due):
                raise ManifestError(f"{place}.{name}: {' or '.join(map(str, due))} is expected, not {stated!r}")
        return entry

    def to_json(self) -> dict[str, Any]:
        """Return the value for ``strict_json.canonical``."""
        printed: dict[str, Any] = {
            "generation": self.generation,
            "manifestSha256": str(self.manifest_sha256),
            "path": self.path,
            "signature": self.signature,
            "statement": self.statement,
            "operation": self.operation,
            "tool": self.tool,
            "at": str(self.at),
        }
        known = self.signature_sha256, self.prior_statement_sha256, self.record_sha256
        digests = zip(_DIGESTS, known, strict=True)
        return printed | {name: str(digest) for name, digest in digests if digest is not None}

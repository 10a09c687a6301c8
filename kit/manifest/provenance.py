"""The provenance of a patch, as an in-toto Statement v1: schemas/patch-provenance.md.

All facts are arguments; no clock, host name or user is read. Values are counts, digests, names and key ids: never a
secret, never plaintext of a document. Laws: ``parse_statement(s.to_bytes()) == s``; equal facts give equal bytes, so
that archives reproduce.

The envelope around the statement, and its signers, are left to :mod:`kit.signing`.

The parts of a statement of provenance: members by digest, applied transforms, changed documents.

Each parses and prints itself as in schemas/patch-provenance.md. Law: ``T.parse(p.to_json(), …) == p``.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from kit.errors import ContentError, ManifestError
from kit.manifest.location import MANIFEST_PATHS, history_paths, is_reserved
from kit.values import Limits, MemberPath, RunLengths, Sha256, Timestamp, declarable_formats
from kit.values.extractor_release import ExtractorRelease, list_extractors
from kit.values.fields import ManifestFields, is_count
from kit.values.strict_json import canonical, parse as parse_json


@dataclass(frozen=True, slots=True, order=True, kw_only=True)
class Artifact:
    """A member and its digest: an in-toto ResourceDescriptor."""

    path: MemberPath
    sha256: Sha256

    @classmethod
    def parse(cls, value: object, place: str) -> Self:
        """Return the part of a parsed value.

        Raises:
            ManifestError: It is not exactly ``{name, digest: {sha256}}``.
        """
        fields = ManifestFields.of(value, place)
        fields.exactly(("name", "digest"))
        digest = fields.object("digest")
        digest.exactly(("sha256",))
        return cls(path=fields.member_path("name"), sha256=digest.digest("sha256"))

    def to_json(self) -> dict[str, Any]:
        """Return the value for ``strict_json.canonical``."""
        return {"name": str(self.path), "digest": {"sha256": str(self.sha256)}}


@dataclass(frozen=True, slots=True, kw_only=True)
class AppliedTransform:
    """One applied transform.

    Attributes:
        name: As registered, such as ``raw-linkset``.
        kind: Its effect on readers: ``additive-optional`` only adds, ``encrypted-field`` changes existing fields.
        version: The version of its format.
        parameters_sha256: Digest of its parameters as ``strict_json.canonical`` prints them.
        extractors: Those of other distributions that took part, by name.
    """

    name: str
    kind: str
    version: str
    parameters_sha256: Sha256
    extractors: tuple[ExtractorRelease, ...] = ()

    @classmethod
    def parse(cls, value: object, place: str) -> Self:
        """Return the part of a parsed value.

        Raises:
            ManifestError: It is not exactly ``{name, kind, version, parametersSha256}``, perhaps with ``extractors``.
        """
        fields = ManifestFields.of(value, place)
        fields.exactly(("name", "kind", "version", "parametersSha256"), ("extractors",))
        return cls(
            name=fields.text("name"),
            kind=fields.text("kind"),
            version=fields.text("version"),
            parameters_sha256=fields.digest("parametersSha256"),
            extractors=ExtractorRelease.parse_all(fields),
        )

    def to_json(self) -> dict[str, Any]:
        """Return the value for ``strict_json.canonical``."""
        return {
            "name": self.name,
            "kind": self.kind,
            "version": self.version,
            "parametersSha256": str(self.parameters_sha256),
            **list_extractors(self.extractors),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class AppliedMigration:
    """The description of the job of the step (schemas/migration.md).

    Attributes:
        id: The id in its file.
        kind: Its effect on readers.
        sha256: Digest of its canonical description.
    """

    id: str
    kind: str
    sha256: Sha256

    @classmethod
    def parse(cls, fields: ManifestFields) -> Self:
        """Return the part of a parsed value.

        Raises:
            ManifestError: It is not exactly ``{id, kind, sha256}``.
        """
        fields.exactly(("id", "kind", "sha256"))
        return cls(id=fields.text("id"), kind=fields.text("kind"), sha256=fields.digest("sha256"))

    def to_json(self) -> dict[str, Any]:
        """Return the value for ``strict_json.canonical``."""
        return {"id": self.id, "kind": self.kind, "sha256": str(self.sha256)}


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentChanges:
    """The changed documents of a collection member, and the digest of all its documents before the step.

    Attributes:
        path: The member.
        base_sha256: Digest of its documents before the step, back to back, without the member's own codec.
        changed: Which documents the step changed.
    """

    path: MemberPath
    base_sha256: Sha256
    changed: RunLengths

    @classmethod
    def parse(cls, value: object, place: str) -> Self:
        """Return the part of a parsed value.

        Raises:
            ManifestError: It is not exactly ``{name, baseSha256, changed}``, or the runs are not in their one spelling.
        """
        fields = ManifestFields.of(value, place)
        fields.exactly(("name", "baseSha256", "changed"))
        lengths = fields.items("changed")
        if not all(is_count(length) for length in lengths) or not RunLengths(tuple(lengths)).is_canonical:
            raise ManifestError(f"{place}.changed: lengths of alternating runs are expected, none 0 but the first")
        return cls(
            path=fields.member_path("name"),
            base_sha256=fields.digest("baseSha256"),
            changed=RunLengths(tuple(lengths)),
        )

    def to_json(self) -> dict[str, Any]:
        """Return the value for ``strict_json.canonical``."""
        return {
            "name": str(self.path),
            "baseSha256": str(self.base_sha256),
            "changed": list(self.changed.lengths),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotsOrigin:
    """Where snapshots were taken from besides the base; one of the two digests is there.

    Attributes:
        manifest: Digest of the manifest of a kit that was verified.
        members: Digest of the list of files of what was not verified, a line for each as ``sha256sum`` prints it.
    """

    manifest: Sha256 | None = None
    members: Sha256 | None = None

    @property
    def is_verified(self) -> bool:
        """Return whether it is a kit that was judged as the base was."""
        return self.manifest is not None

    @classmethod
    def parse(cls, fields: ManifestFields) -> Self:
        """Return the part of a parsed value.

        Raises:
            ManifestError: It is not exactly ``{manifestSha256}`` or ``{membersSha256}``.
        """
        if "manifestSha256" in fields.members:
            fields.exactly(("manifestSha256",))
            return cls(manifest=fields.digest("manifestSha256"))
        fields.exactly(("membersSha256",))
        return cls(members=fields.digest("membersSha256"))

    def to_json(self) -> dict[str, Any]:
        """Return the value for ``strict_json.canonical``."""
        if self.manifest is not None:
            return {"manifestSha256": str(self.manifest)}
        return {"membersSha256": str(self.members)}


STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
"""A constant of the in-toto specification; it is never fetched."""
PREDICATE_TYPE = "urn:offline-kit:patch:v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchStatement:
    """The step from ``base_generation`` to ``generation``.

    Attributes:
        manifest: The new manifest.
        changed: New digests of the members that changed or were added, by path.
        base_manifest: The manifest that was replaced, under its former name.
        materials: Old digests of the members that changed, by path; an added member has none.
        tool_name: The program.
        tool_version: Its version.
        transforms: The transforms applied, in order; not empty.
        migration: The description of the job; a step of an early version has none.
        counts: Results by name, such as ``raw-linkset.patched``.
        key_ids: The keys that sign the new manifest, sorted.
        operator: As given, or None.
        environment: As given, or None.
        rollback_note: How to go back, as given; required for a step that changes what readers see.
        value_digests: By member and field, the keyed digest of the plaintext that an encryption sealed.
        documents: The changed documents of collections, by path; empty if the step does not list them.
        record: The record of a step that changed the schema of collections, under history; None where it has none.
        permitted: Faults of the base that only the user's permission excused (``name colon``), sorted.
        unimportable: Documents that no server takes and that were signed all the same, by rule.
        snapshots: Where snapshots were taken from besides the base; None if from nowhere else.
        created_at: ``createdAt`` of the new generation; the only time in the statement.
        bundle_id: The kit's bundle id; None if its manifest has none.
        base_generation: The replaced generation.
        generation: The new generation.
    """

    manifest: Artifact
    changed: tuple[Artifact, ...]
    base_manifest: Artifact
    materials: tuple[Artifact, ...]
    tool_name: str
    tool_version: str
    transforms: tuple[AppliedTransform, ...]
    counts: Mapping[str, int]
    key_ids: tuple[str, ...]
    operator: str | None
    environment: str | None
    rollback_note: str | None
    value_digests: Mapping[str, Mapping[str, str]]
    created_at: Timestamp
    bundle_id: str | None
    base_generation: int
    generation: int
    documents: tuple[DocumentChanges, ...] = ()
    migration: AppliedMigration | None = None
    permitted: tuple[str, ...] = ()
    unimportable: Mapping[str, int] = field(default_factory=dict)
    snapshots: SnapshotsOrigin | None = None
    record: Artifact | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the statement as a JSON value."""
        predicate: dict[str, Any] = {
            "tool": {"name": self.tool_name, "version": self.tool_version},
            "transforms": [transform.to_json() for transform in self.transforms],
            "counts": dict(self.counts),
            "keyIds": list(self.key_ids),
            "createdAt": str(self.created_at),
            "materials": [artifact.to_json() for artifact in (self.base_manifest, *self.materials)],
            "baseGeneration": self.base_generation,
            "generation": self.generation,
        }
        given = {
            "operator": self.operator,
            "environment": self.environment,
            "bundleId": self.bundle_id,
            "rollbackNote": self.rollback_note,
        }
        if self.value_digests:
            predicate["valueDigests"] = {path: dict(fields) for path, fields in self.value_digests.items()}
        if self.documents:
            predicate["documents"] = [changes.to_json() for changes in self.documents]
        if self.permitted:
            predicate["permitted"] = list(self.permitted)
        if self.unimportable:
            predicate["unimportable"] = dict(self.unimportable)
        if self.snapshots is not None:
            predicate["snapshots"] = self.snapshots.to_json()
        if self.record is not None:
            predicate["record"] = self.record.to_json()
        if self.migration is not None:
            predicate["migration"] = self.migration.to_json()
        predicate |= {name: text for name, text in given.items() if text is not None}
        return {
            "_type": STATEMENT_TYPE,
            "subject": [artifact.to_json() for artifact in (self.manifest, *self.changed)],
            "predicateType": PREDICATE_TYPE,
            "predicate": predicate,
        }

    def to_bytes(self) -> bytes:
        """Return the payload to sign, after ``parse_statement`` has read it back.

        Raises:
            ManifestError: The facts contradict each other or lack what the format requires.
        """
        data = canonical(self.to_json())
        if parse_statement(data) != self:
            raise ManifestError("the statement does not read back as the same; are members and key ids sorted?")
        return data


def parse_statement(data: bytes, *, where: str = "the provenance statement") -> PatchStatement:
    """Return the statement of a verified envelope's payload.

    Raises:
        ManifestError: Not strict JSON, or not exactly a statement of this format: unknown and missing members, a first
            subject or material that is not a manifest, a material without its subject, names twice or out of order,
            a generation that does not follow its base.
        LimitError: Larger or deeper than any statement.
    """
    try:
        return _statement(ManifestFields.of(parse_json(data, limits=Limits(), where=where), "statement"))
    except ManifestError as error:
        raise error.inside(where) from error.__cause__
    except ContentError as error:
        raise ManifestError(error.what, where=error.where) from error


def _statement(fields: ManifestFields) -> PatchStatement:
    fields.exactly(("_type", "subject", "predicateType", "predicate"))
    for name, due in (("_type", STATEMENT_TYPE), ("predicateType", PREDICATE_TYPE)):
        if fields.text(name) != due:
            raise ManifestError(f"{fields.place}.{name}: {due} is expected, not {fields.text(name)!r}")
    predicate = fields.object("predicate")
    predicate.exactly(
        ("tool", "transforms", "counts", "keyIds", "createdAt", "materials", "baseGeneration", "generation"),
        (
            *("operator", "environment", "bundleId", "rollbackNote", "valueDigests", "documents", "migration"),
            *("permitted", "unimportable", "snapshots", "record"),
        ),
    )
    tool, counts = predicate.object("tool"), predicate.object("counts")
    tool.exactly(("name", "version"))
    manifest, *changed = _artifacts(fields, "subject")
    base_manifest, *materials = _artifacts(predicate, "materials")
    transforms = [AppliedTransform.parse(v, f"transforms[{n}]") for n, v in enumerate(predicate.items("transforms"))]
    statement = PatchStatement(
        manifest=manifest,
        changed=tuple(changed),
        base_manifest=base_manifest,
        materials=tuple(materials),
        tool_name=tool.text("name"),
        tool_version=tool.text("version"),
        transforms=tuple(transforms),
        counts={name: counts.integer(name) for name in counts.members},
        key_ids=_sorted_texts(predicate, "keyIds"),
        operator=predicate.text("operator") if "operator" in predicate.members else None,
        environment=predicate.text("environment") if "environment" in predicate.members else None,
        rollback_note=predicate.text("rollbackNote") if "rollbackNote" in predicate.members else None,
        value_digests=_value_digests(predicate),
        created_at=predicate.timestamp("createdAt"),
        bundle_id=predicate.text("bundleId") if "bundleId" in predicate.members else None,
        base_generation=predicate.integer("baseGeneration"),
        generation=predicate.integer("generation"),
        documents=_documents(predicate),
        permitted=_sorted_texts(predicate, "permitted") if "permitted" in predicate.members else (),
        unimportable=_unimportable(predicate),
        snapshots=SnapshotsOrigin.parse(predicate.object("snapshots")) if "snapshots" in predicate.members else None,
        migration=AppliedMigration.parse(predicate.object("migration")) if "migration" in predicate.members else None,
        record=Artifact.parse(predicate.members["record"], "predicate.record")
        if "record" in predicate.members
        else None,
    )
    _check_sense(statement)
    return statement


def _artifacts(fields: ManifestFields, name: str) -> list[Artifact]:
    """Return a list of artifacts: first the manifest, then members by path."""
    artifacts = [Artifact.parse(value, f"{name}[{number}]") for number, value in enumerate(fields.items(name))]
    if not artifacts or artifacts[0].path not in MANIFEST_PATHS:
        raise ManifestError(f"{fields.place}.{name}: the first item must be the manifest")
    paths = [artifact.path for artifact in artifacts[1:]]
    _check_sorted([str(path) for path in paths], f"{fields.place}.{name}")
    reserved = next((path for path in paths if is_reserved(path)), None)
    if reserved:
        raise ManifestError(f"{fields.place}.{name}: {reserved} is not a member that a patch changes")
    return artifacts


def _value_digests(predicate: ManifestFields) -> dict[str, dict[str, str]]:
    if "valueDigests" not in predicate.members:
        return {}
    found = predicate.object("valueDigests")
    return {
        path: {name: found.object(path).text(name) for name in found.object(path).members} for path in found.members
    }


def _unimportable(predicate: ManifestFields) -> dict[str, int]:
    if "unimportable" not in predicate.members:
        return {}
    counts = predicate.object("unimportable")
    found = {rule: counts.integer(rule) for rule in counts.members}
    if not found or min(found.values()) < 1:
        raise ManifestError("predicate.unimportable: counts of documents by rule are expected, none of them 0")
    return found


def _documents(predicate: ManifestFields) -> tuple[DocumentChanges, ...]:
    if "documents" not in predicate.members:
        return ()
    items = enumerate(predicate.items("documents"))
    changes = tuple(DocumentChanges.parse(value, f"documents[{number}]") for number, value in items)
    _check_sorted([str(change.path) for change in changes], "predicate.documents")
    return changes


def _sorted_texts(predicate: ManifestFields, name: str) -> tuple[str, ...]:
    texts = predicate.items(name)
    if not all(isinstance(text, str) and text for text in texts):
        raise ManifestError(f"predicate.{name}: strings are expected")
    _check_sorted(texts, f"predicate.{name}")
    return tuple(texts)


def _check_sorted(names: Sequence[str], place: str) -> None:
    # One order, so that equal facts are equal bytes; strictly increasing, so that nothing is there twice.
    if any(later <= earlier for earlier, later in itertools.pairwise(names)):
        raise ManifestError(f"{place}: names are expected sorted, each once")


def _check_sense(statement: PatchStatement) -> None:
    if not statement.transforms:
        raise ManifestError("predicate.transforms: a patch applies at least one")
    if statement.generation != statement.base_generation + 1:
        raise ManifestError(f"generation {statement.generation} does not follow {statement.base_generation}")
    if statement.manifest.path != statement.base_manifest.path:
        raise ManifestError("a patch does not move the manifest, but subject and material name two places")
    due = history_paths(statement.base_generation).record
    if statement.record is not None and statement.record.path != due:
        raise ManifestError(f"predicate.record: {due} is expected, not {statement.record.path}")
    lost = sorted({a.path for a in statement.materials} - {a.path for a in statement.changed})
    if lost:
        raise ManifestError(f"predicate.materials: {lost[0]} is not among the subjects")
    _check_documents(statement)


def _check_documents(statement: PatchStatement) -> None:
    materials = {artifact.path for artifact in statement.materials}
    for changes in statement.documents:
        if not declarable_formats(changes.path) or changes.path not in materials:
            raise ManifestError(f"predicate.documents: {changes.path} is not a collection that changed")

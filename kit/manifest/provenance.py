"""The provenance of a patch, as an in-toto Statement v1: schemas/patch-provenance.md.

All facts are arguments; no clock, host name or user is read. Values are counts, digests, names and key ids: never a
secret, never plaintext of a document. Laws: ``parse_statement(s.to_bytes()) == s``; equal facts give equal bytes, so
that archives reproduce.

The envelope around the statement, and its signers, are left to :mod:`kit.signing`.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kit.errors import ContentError, ManifestError
from kit.manifest.location import MANIFEST_PATHS, history_paths, is_reserved
from kit.manifest.rollback import StatedRollback, Tick
from kit.manifest.statement_parts import AppliedMigration, AppliedTransform, Artifact, DocumentChanges, SnapshotsOrigin
from kit.values import Limits, Timestamp, declarable_formats
from kit.values.fields import ManifestFields
from kit.values.strict_json import canonical, parse as parse_json

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
        rollback: The decision and the details of how to go back; None where a migration names none.
        checklist: The steps of the plan, in its order; empty where neither migration nor operator has one.
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
    rollback: StatedRollback | None = None
    checklist: tuple[Tick, ...] = ()

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
        if self.rollback is not None:
            predicate["rollback"] = self.rollback.to_json()
        if self.checklist:
            predicate["checklist"] = [tick.to_json() for tick in self.checklist]
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
            *("permitted", "unimportable", "snapshots", "record", "rollback", "checklist"),
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
        rollback=StatedRollback.parse(predicate.object("rollback")) if "rollback" in predicate.members else None,
        checklist=_checklist(predicate),
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


def _checklist(predicate: ManifestFields) -> tuple[Tick, ...]:
    if "checklist" not in predicate.members:
        return ()
    ticks = tuple(Tick.parse(value, f"checklist[{at}]") for at, value in enumerate(predicate.items("checklist")))
    if not ticks or len({one.step for one in ticks}) < len(ticks):
        raise ManifestError("predicate.checklist: steps are expected, each once")
    return ticks


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

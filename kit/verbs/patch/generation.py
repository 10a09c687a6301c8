"""Makes the new generation's own members: manifest, signature, history and the signed provenance of the step.

Pure: digests and counts in, bytes out. The manifest is made from what the destination was given; the statement is made
from the manifest; nothing here is written or read.

The record of a step that changes the schema of collections (schemas/reshape-record.md) is made exactly if a transform
asks for one; all that it names was proven while the step was made.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from kit.encryption import ValueDigest
from kit.encryption.needs import DIGEST_TOTAL, DIGEST_VALUES, ENCRYPTED, SCANNED, SKIPPED_OWNER
from kit.engine.changes import AddedMember
from kit.engine.reading import Survey
from kit.engine.rewrite import MemberChange, Rewrite
from kit.errors import DigestError
from kit.manifest import (
    UNBOUNDED,
    AppliedMigration,
    AppliedTransform,
    Artifact,
    CollectionSummary,
    DocumentChanges,
    EndOfMove,
    LineageEntry,
    Location,
    Manifest,
    MemberWays,
    MetadataBefore,
    Move,
    PatchStatement,
    RawLinksetCoverage,
    RecordedTransform,
    ReshapeRecord,
    SampledGroup,
    Shape,
    SnapshotsOrigin,
    TenantSummary,
    files as closed_world,
    history_paths,
)
from kit.manifest.rollback import StatedRollback, Tick
from kit.migrations import Migration
from kit.signing import PrivateKey, SignatureForm, dsse, manifests
from kit.transforms.coverage import NO_TENANT, Tally, is_observations
from kit.transforms.protocol import Transform
from kit.transforms.registry import parameters_digest
from kit.transforms.undoing import join_ways
from kit.values import CollectionFormat, CollectionMember, FieldOutcome, MemberPath, Sha256, Timestamp
from kit.version import TOOL, VERSION


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """A new generation: its number and the members that make it one."""

    number: int
    manifest_sha256: Sha256
    key_ids: tuple[str, ...]
    """Who signed it, sorted."""
    files: Mapping[MemberPath, bytes]
    """Manifest and signature, and what is added under ``manifest/history``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What leads from the base to the new generation."""

    survey: Survey
    location: Location
    manifest: Manifest
    rewrite: Rewrite
    migration: Migration
    transforms: tuple[Transform, ...]
    created_at: Timestamp
    operator: str | None
    environment: str | None
    snapshots: SnapshotsOrigin | None = None
    checklist: tuple[Tick, ...] = ()


def make_generation(step: Step, keys: Sequence[PrivateKey]) -> Generation:
    """Make and sign everything that the step adds.

    Raises:
        ManifestError: A changed member is not listed in the base's manifest.
        DigestError: The new manifest lists another digest of a member than was read in the base or, if it changed,
            proven of the result; or one was not proven. Nothing is signed.
    """
    base, location = step.manifest, step.location
    signature = step.survey.kept.get(location.signature)
    changed, manifest = _changed_members(step), next_manifest(step)
    key_ids = tuple(sorted(key.public.key_id for key in keys))
    history, record = history_paths(base.generation), _record(step)
    stated = Artifact(path=history.record, sha256=Sha256.of(record)) if record is not None else None
    statement = replace(_statement(step, Sha256.of(manifest), changed, key_ids), record=stated)
    files = {
        location.manifest: manifest,
        location.signature: manifests.sign(manifest, keys, form=SignatureForm(location.form)),
        history.manifest: step.survey.kept[location.manifest],
        history.statement: dsse.sign(statement.to_bytes(), keys),
    }
    if signature is not None:
        files[location.kept_signature(base.generation)] = signature
    if record is not None:
        files[history.record] = record
    files |= {path: file.stored for path, file in step.rewrite.files.items()}
    return Generation(number=base.generation + 1, manifest_sha256=Sha256.of(manifest), key_ids=key_ids, files=files)


def next_manifest(step: Step) -> bytes:
    """Return the manifest of the new generation, not signed yet; a plan makes it, too, to find out whether it can be.

    Raises:
        ManifestError: As :func:`make_generation`.
        DigestError: As :func:`make_generation`.
    """
    base, changed = step.manifest, _changed_members(step)
    signature = step.survey.kept.get(step.location.signature)
    prior = step.survey.kept.get(MemberPath(base.lineage[-1].statement)) if base.lineage else None
    added = {path: (one.sha256, one.size) for path, one in step.rewrite.added.items()}
    record = _record(step)
    manifest = base.next_generation(
        changed=changed,
        added=added,
        collections=_summaries(step) if base.shape is Shape.OWN else None,
        lineage_entry=LineageEntry.of(
            generation=base.generation,
            manifest_sha256=base.sha256,
            signature=Sha256.of(signature) if signature is not None else None,
            prior_statement=Sha256.of(prior) if prior is not None else None,
            tool=f"{TOOL} {VERSION}",
            at=step.created_at,
            record=Sha256.of(record) if record is not None else None,
            form=step.location.form,
        ),
        created_at=step.created_at,
    )
    _check_own(step, manifest, changed, added)
    return manifest


def _record(step: Step) -> bytes | None:
    record = make_record(step.transforms, step.rewrite)
    return record.to_bytes() if record is not None else None


def _changed_members(step: Step) -> dict[MemberPath, tuple[Sha256, int]]:
    """Return the changed members, each with the digest and size that it has now."""
    documents = {
        path: (change.sha256, change.size)
        for path, change in step.rewrite.members.items()
        if change.changed and change.sha256 is not None
    }
    files = {path: (Sha256.of(file.stored), len(file.stored)) for path, file in step.rewrite.files.items()}
    return dict(sorted((documents | files).items()))


def _check_own(
    step: Step,
    manifest: bytes,
    changed: Mapping[MemberPath, tuple[Sha256, int]],
    added: Mapping[MemberPath, tuple[Sha256, int]],
) -> None:
    """Compare the manifest to be signed with what was read of the base, and with what was proven of the result."""
    for path in changed:
        if path not in step.rewrite.files and not step.rewrite.members[path].proven:
            raise DigestError("changed, and nothing proves how", where=str(path))
    parsed = Manifest.parse(manifest, limits=UNBOUNDED, where=str(step.location.manifest))
    listed, links = parsed.links or (), dict(step.survey.links)
    if step.survey.stored is None:  # of a folder
        links |= closed_world.find_unpacked_links(listed, step.survey.members)
    due = {
        path: read
        for path, read in step.survey.members.items()
        if not step.location.is_outside(path) and path not in links
    }
    faults = closed_world.compare(parsed.entries, due | dict(changed) | dict(added)) + closed_world.compare_links(
        listed, links
    )
    closed_world.require(faults)


def _statement(
    step: Step, manifest: Sha256, changed: Mapping[MemberPath, tuple[Sha256, int]], key_ids: tuple[str, ...]
) -> PatchStatement:
    """Return the statement of the step: its materials, what was done, and the result."""
    base, location = step.manifest, step.location
    return PatchStatement(
        manifest=Artifact(path=location.manifest, sha256=manifest),
        changed=tuple(
            Artifact(path=path, sha256=sha256)
            for path, sha256 in sorted(
                [(path, sha256) for path, (sha256, _) in changed.items()]
                + [(path, one.sha256) for path, one in step.rewrite.added.items()]
            )
        ),
        base_manifest=Artifact(path=location.manifest, sha256=base.sha256),
        materials=tuple(Artifact(path=path, sha256=step.survey.members[path][0]) for path in changed),
        tool_name=TOOL,
        tool_version=VERSION,
        transforms=tuple(_applied_transform(transform) for transform in step.transforms),
        counts=_counts(step.rewrite),
        key_ids=key_ids,
        operator=step.operator,
        environment=step.environment,
        rollback_note=step.migration.rollback.note or None,
        rollback=stated_rollback(step.migration),
        checklist=step.checklist,
        migration=AppliedMigration(id=step.migration.id, kind=step.migration.kind.value, sha256=step.migration.sha256),
        value_digests=_value_digests(step.rewrite),
        created_at=step.created_at,
        bundle_id=base.bundle_id,
        base_generation=base.generation,
        generation=base.generation + 1,
        snapshots=step.snapshots,
        unimportable=dict(sorted(step.rewrite.unimportable.counts.items())),
        permitted=tuple(sorted({what for found in step.survey.permitted.values() for what in found})),
        documents=tuple(
            DocumentChanges(path=path, base_sha256=change.base_documents, changed=change.selection)
            for path, change in sorted(step.rewrite.members.items())
            if change.changed and change.base_documents is not None
        ),
    )


def stated_rollback(migration: Migration) -> StatedRollback | None:
    """Return the rollback as a statement has it; None where it has no details."""
    rollback = migration.rollback
    if rollback.details.is_empty:
        return None
    return StatedRollback(decision=rollback.decision.value, details=rollback.details)


def _applied_transform(transform: Transform) -> AppliedTransform:
    return AppliedTransform(
        name=transform.name,
        kind=transform.kind,
        version=str(transform.version),
        parameters_sha256=parameters_digest(transform),
        extractors=transform.extractors,
    )


def _counts(done: Rewrite) -> dict[str, int]:
    total: Counter[str] = Counter()
    for (transform, _, counted), count in (*done.outcomes.items(), *done.counts.items()):
        if not isinstance(counted, FieldOutcome) or counted.outcome not in {DIGEST_VALUES, DIGEST_TOTAL}:
            total[f"{transform}.{counted}"] += count
    return dict(sorted(total.items()))


def _value_digests(done: Rewrite) -> dict[str, dict[str, str]]:
    """Return digests of what an encryption sealed in each member, by field, as ``kit verify`` will compare them."""
    found: dict[str, dict[str, str]] = {}
    for path, change in sorted(done.members.items()):
        sums: Counter[tuple[str, str]] = Counter()
        for (_, _, counted), count in change.counts.items():
            if isinstance(counted, FieldOutcome):
                sums[counted.outcome, counted.field] += count
        digests = {
            name: str(ValueDigest.of_sums(values, sums[DIGEST_TOTAL, name]))
            for (outcome, name), values in sorted(sums.items())
            if outcome == DIGEST_VALUES
        }
        if digests:
            found[str(path)] = digests
    return found


def _summaries(step: Step) -> list[CollectionSummary]:
    """Return the summaries of the new manifest: counted anew where documents changed, else as they were.

    What the base states of a member that stays as it is, counts of envelopes included, is kept word for word.
    """
    tallies = {path: change.tally for path, change in step.rewrite.members.items()}
    tallies |= {path: tally for path, tally in step.survey.tallies.items() if path not in tallies}
    earlier = {summary.path: summary for summary in step.manifest.collections}
    summaries: list[CollectionSummary] = []
    for path, tally in sorted(tallies.items()):
        change, before, root = step.rewrite.members.get(path), earlier.get(path), step.rewrite.roots.get(path)
        if before is not None and (change is None or not change.changed):
            summaries.append(replace(before, merkle_root=root))
        else:
            envelopes = _envelopes(change, tally, before)
            made = summarise(step.survey.collections[path], tally, envelopes, root)
            stated = before.format if before is not None and made.format is None else made.format
            summaries.append(replace(made, format=stated))
    for path, added in step.rewrite.added.items():
        summaries.append(summarise(added.collection, added.tally, {}, step.rewrite.roots.get(path)))
    return sorted(summaries, key=lambda one: one.path)


def _envelopes(
    change: MemberChange | None, tally: Tally, before: CollectionSummary | None
) -> dict[str, Mapping[str, int]]:
    """Count the envelopes of a member by tenant and field; those of no tenant in it count under ``NO_TENANT``.

    A step that looked at every document of a tenant has counted all that are there now. One that looked at some of them
    adds what it sealed to the count of the base. Where the base has no count, such a step cannot know it, and none is
    stated.
    """
    outcomes: dict[str, dict[str, Counter[str]]] = {}
    there: dict[str, Counter[str]] = {}
    for (_, partition, counted), count in change.counts.items() if change is not None else ():
        if isinstance(counted, FieldOutcome) and counted.outcome in {SCANNED, SKIPPED_OWNER, ENCRYPTED}:
            name = partition if partition in tally.tenants else NO_TENANT
            outcomes.setdefault(name, {}).setdefault(counted.field, Counter())[counted.outcome] += count
    for (partition, field), count in change.envelopes.items() if change is not None else ():
        name = partition if partition in tally.tenants else NO_TENANT
        there.setdefault(name, Counter())[field] += count
    found: dict[str, Mapping[str, int]] = {}
    for name, covered in tally.tenants.items():
        known = before.tenants.get(name) if before is not None else None
        counts: dict[str, int] = dict((known.encrypted if known is not None else None) or {})
        for field, seen in outcomes.get(name, {}).items():
            if seen[SCANNED] - seen[SKIPPED_OWNER] == covered.documents:
                counts[field] = there.get(name, Counter())[field]
            elif field in counts:
                counts[field] += seen[ENCRYPTED]
        if counts or (known is not None and known.encrypted is not None):
            found[name] = dict(sorted(counts.items()))
    return found


def summarise(
    member: CollectionMember, tally: Tally, envelopes: Mapping[str, Mapping[str, int]], root: Sha256 | None
) -> CollectionSummary:
    """Return what a manifest shows of a collection: its counts, envelopes by tenant and field, and its root."""
    observed = is_observations(member.name)
    return CollectionSummary(
        path=member.path,
        database=member.name.database,
        collection=member.name.collection,
        documents=tally.documents,
        bytes=tally.bytes,
        tenants={
            tenant: TenantSummary(
                documents=covered.documents,
                raw_linkset=RawLinksetCoverage(
                    present=covered.present, missing=covered.missing, unresolvable=covered.unresolvable
                )
                if observed
                else None,
                encrypted=envelopes.get(tenant),
            )
            for tenant, covered in tally.tenants.items()
        },
        merkle_root=root,
        format=member.format if member.format is not CollectionFormat.BSON else None,
    )


MOST_GROUPS: Final = 1_000
"""Groups of a sample that are put on record; a person reads them."""


MOST_METADATA: Final = 1 << 20
"""Bytes of compressed metadata that are put on record as they were."""


def make_record(transforms: Sequence[Transform], done: Rewrite) -> ReshapeRecord | None:
    """Return the record of a step; None where its transforms ask for none."""
    if not any(transform.is_recorded for transform in transforms):
        return None
    groups = sorted(done.samples)
    return ReshapeRecord(
        transforms=tuple(
            RecordedTransform(name=one.name, version=str(one.version), parameters=dict(one.parameters()))
            for one in transforms
        ),
        members=tuple(
            MemberWays(path=path, ways=join_ways(change.ways))
            for path, change in sorted(done.members.items())
            if change.changed
        ),
        moves=tuple(_move(one, transforms) for _, one in sorted(done.added.items())),
        samples=tuple(
            SampledGroup(owner=owner, workspace=workspace, product=product, documents=tuple(done.samples[group]))
            for group in groups[:MOST_GROUPS]
            for owner, workspace, product in [group]
        ),
        omitted_groups=max(0, len(groups) - MOST_GROUPS),
        metadata=tuple(
            MetadataBefore(path=path, stored=edited.base_stored)
            for path, edited in sorted(done.files.items())
            if path.text.endswith((".gz", ".zst")) and len(edited.base_stored) <= MOST_METADATA
        ),
    )


def _move(added: AddedMember, transforms: Sequence[Transform]) -> Move:
    projection = next(one.projection for one in transforms if one.name == added.transform)
    return Move(
        transform=added.transform,
        source=EndOfMove(path=added.source, documents=added.source_count, sha256=added.source_documents),
        target=EndOfMove(path=added.collection.path, documents=added.tally.documents, sha256=added.documents),
        statement=dict(projection.statement) if projection is not None else {},
    )

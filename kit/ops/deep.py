"""Obligation 7: are the collections what the manifest says, and did the last step only append?

Pure: compares what a deep reading met with what was signed.
"""

from __future__ import annotations

from collections.abc import Mapping

from kit.engine.proving import MemberReading
from kit.engine.reading import Survey
from kit.errors import ContentError, DigestError
from kit.manifest import CollectionSummary, Manifest, PatchStatement
from kit.ops.judgement import MemberProof
from kit.transforms.coverage import TenantCoverage, is_observations
from kit.values import Codec, CollectionMember, MemberPath, RunLengths

_APPENDING = {"raw-linkset"}
PUBLISHED = "the previous manifest's digest"
STATED = "the digest in the patcher's statement"


def selections(statement: PatchStatement | None) -> dict[MemberPath, RunLengths]:
    """Tell which documents the last step changed, where it only may have appended.

    Raises:
        ContentError: The step does not say so of a member it changed.
    """
    if statement is None or not only_appends(statement):
        return {}
    stated = {changes.path: changes.changed for changes in statement.documents}
    silent = next((artifact.path for artifact in statement.materials if artifact.path not in stated), None)
    if silent is not None:
        raise ContentError(
            "the statement of the last step does not say which documents it changed, so nothing proves that it only "
            "appended",
            where=str(silent),
            hint="patch the previous generation again with this version",
        )
    return stated


def only_appends(statement: PatchStatement) -> bool:
    """Whether every transform of a step is one that appends an element and does nothing else."""
    return {transform.name for transform in statement.transforms} <= _APPENDING


def check_declared(manifest: Manifest, survey: Survey, readings: Mapping[MemberPath, MemberReading]) -> str:
    """Compare ``collections`` of the manifest with what was met.

    Raises:
        ContentError: They differ; names the member and the count.
    """
    if not manifest.collections:
        return "the manifest declares no collections"
    rooted = sum(summary.merkle_root is not None for summary in manifest.collections)
    declared = {summary.path: summary for summary in manifest.collections}
    for path in sorted(declared.keys() ^ readings.keys()):
        raise ContentError("declared, but no collection" if path in declared else "not declared", where=str(path))
    for path, summary in declared.items():
        _check_summary(summary, survey.collections[path], readings[path])
    return f"as declared (Merkle roots of {rooted} included)" if rooted else "as declared"


def prove_appended(
    statement: PatchStatement,
    members: Mapping[MemberPath, CollectionMember],
    readings: Mapping[MemberPath, MemberReading],
) -> dict[MemberPath, MemberProof]:
    """Compare the documents as they were, by what was cut out, with the digest that was signed for them.

    Raises:
        DigestError: They differ: the step did more than it says.
    """
    stated = {changes.path: changes for changes in statement.documents}
    materials = {artifact.path: artifact.sha256 for artifact in statement.materials}
    proofs = {path: _proof(members[path], reading, stated.get(path) is not None) for path, reading in readings.items()}
    for path, changes in stated.items():
        proof, reading = proofs[path], readings[path]
        if changes.changed.total != proof.documents:
            raise DigestError(
                f"the statement counts {changes.changed.total:,} documents, there are {proof.documents:,}",
                where=str(path),
            )
        if proof.other:
            raise DigestError(
                f"{proof.other:,} documents changed in another way than by a rawLinkset at their end", where=str(path)
            )
        # Without a codec the documents are the member, whose digest the previous generation's signer vouches for.
        due = materials[path] if proof.member.codec is Codec.NONE else changes.base_sha256
        if reading.before != due:
            raise DigestError(
                f"without what was appended its documents have digest {reading.before}, but {due} was signed for "
                "them: the step changed more than it says",
                where=str(path),
            )
    return proofs


def unproven(
    members: Mapping[MemberPath, CollectionMember], readings: Mapping[MemberPath, MemberReading]
) -> dict[MemberPath, MemberProof]:
    """Give what was met where there is no step to prove."""
    return {path: _proof(members[path], reading, changed=False) for path, reading in readings.items()}


def _proof(member: CollectionMember, reading: MemberReading, changed: bool) -> MemberProof:  # noqa: FBT001
    basis = ""
    if changed:
        basis = PUBLISHED if member.codec is Codec.NONE else STATED
    return MemberProof(
        member=member,
        documents=reading.tally.documents,
        changed=reading.changed,
        only_raw_linkset=reading.appended,
        other=reading.changed - reading.appended,
        basis=basis,
    )


def _check_summary(summary: CollectionSummary, member: CollectionMember, reading: MemberReading) -> None:
    tally = reading.tally
    if summary.merkle_root is not None and summary.merkle_root != reading.merkle_root:
        raise ContentError(
            f"the manifest declares Merkle root {summary.merkle_root}, its documents have {reading.merkle_root}",
            where=str(summary.path),
        )
    facts: list[tuple[str, object, object]] = [
        ("db", summary.database, member.name.database),
        ("collection", summary.collection, member.name.collection),
        ("documents", summary.documents, tally.documents),
        ("bytes", summary.bytes, tally.bytes),
        ("tenants", sorted(summary.tenants), sorted(tally.tenants)),
    ]
    for name, tenant in sorted(summary.tenants.items()):
        met = tally.tenants.get(name, TenantCoverage())
        facts.append((f"documents of tenant {name!r}", tenant.documents, met.documents))
        if tenant.raw_linkset is not None and is_observations(member.name):
            facts.append((f"rawLinkset present of tenant {name!r}", tenant.raw_linkset.present, met.present))
            facts.append((f"rawLinkset missing of tenant {name!r}", tenant.raw_linkset.missing, met.missing))
    for name, declared, found in facts:
        if declared != found:
            raise ContentError(f"{name}: the manifest declares {declared}, met {found}", where=str(summary.path))

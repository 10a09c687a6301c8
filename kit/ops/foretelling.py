"""What a plan can tell of the new kit that it does not write: whether a patch would be refused once it reads it back.

A patch makes the manifest of the new generation, reads the finished kit from its file, within the limits, and judges it
as the migration's validation demands. A plan makes the same manifest, counts the members there would be, and asks the
documents of the base what those of the new kit would be asked. Law: the error is in the words of the patch.

Not foretold: what the signed statement of the step adds to the limits on bytes that are held.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

from kit.archive import EntryKind, MemberTree
from kit.encryption import FieldProof, Proof
from kit.engine.passing import entries
from kit.engine.pipeline import Pipeline
from kit.engine.progress import Stage
from kit.engine.proving import prove
from kit.engine.reading import member_runs
from kit.engine.work import FieldsForetold, RunWork, foretell_run
from kit.errors import BsonError, KitError, LimitError, OutputError
from kit.manifest import LinkKind, history_paths
from kit.migrations import Validation
from kit.ops import gate
from kit.ops.field_proof import FieldExpectation, fields_error
from kit.ops.generation import Step, next_manifest
from kit.ops.judging import Base, fields_expected, invalid, over_limit
from kit.ops.kits import OpenKit
from kit.ops.patching import Output, PatchReport
from kit.transforms.coverage import Tally, TenantCoverage, is_observations
from kit.values import Codec, CollectionMember

_LINKS = {LinkKind.SYMBOLIC: EntryKind.SYMLINK, LinkKind.HARD: EntryKind.HARDLINK}


def step_of(report: PatchReport, base: Base, output: Output | None = None) -> Step:
    """Return the step that leads from the base to the new generation; without an output, that of a plan."""
    if base.judgement.location is None:
        raise OutputError("a judged kit without a manifest")
    return Step(
        survey=base.survey,
        location=base.judgement.location,
        manifest=base.manifest,
        rewrite=report.rewrite,
        migration=report.migration,
        transforms=report.transforms,
        created_at=report.created_at,
        operator=output.operator if output is not None else None,
        environment=output.place if output is not None else None,
    )


def foretold(kit: OpenKit, report: PatchReport, base: Base, limit: int | None) -> KitError | None:
    """Return the error in which a patch would end after its pass over the documents; None where none is foreseen.

    Args:
        kit: The base.
        report: Of the plan, its transforms with their keys.
        base: What was found when the base was judged.
        limit: How many documents may change at most; None for all.

    Raises:
        UnreadableError: The kit cannot be read again.
    """
    step = step_of(report, base)
    try:
        manifest = next_manifest(step)
        _check_limits(kit, step, manifest)
    except LimitError as error:
        return over_limit(error)
    except KitError as error:
        return error
    return _invalid(kit, report, base, limit)


def _check_limits(kit: OpenKit, step: Step, manifest: bytes) -> None:
    """Hold the members that there would be, and the manifest, to the limits that the new kit is read back with.

    Raises:
        LimitError: One is over.
    """
    limits, survey = replace(kit.reader.limits, meter=None), step.survey
    history = history_paths(step.manifest.generation)
    added = {step.location.manifest, step.location.signature, history.manifest, history.statement}
    if step.location.signature in survey.kept:
        added.add(history.signature)
    tree = MemberTree(limits)
    for folder in sorted(survey.folders):
        tree.add(folder, EntryKind.DIRECTORY)
    for path in (*survey.members, *sorted(added - survey.members.keys())):
        tree.add(path, EntryKind.FILE)
    for path, link in survey.links.items():
        tree.add(path, _LINKS[link.kind])
    limits.check("json_bytes", len(manifest))


def _invalid(kit: OpenKit, report: PatchReport, base: Base, limit: int | None) -> KitError | None:
    """Return in what the new kit would fail the validation of the migration."""
    wanted = report.migration.validation
    found: KitError | None = None
    if Validation.FIELDS in wanted:
        found = _fields_error(kit, report, base, limit)
    if found is None and Validation.DEEP in wanted:
        try:
            with kit.pipeline(Stage.DEEP) as pipeline:
                prove(kit.reader, base.survey, pipeline, {}, [])
        except (BsonError, LimitError) as error:
            found = error
    if found is None and Validation.COVERAGE in wanted:
        try:
            found = gate.check(_coverage(report, base), report.migration.tenants).error
        except KitError as error:
            found = error
    return invalid(report.migration, found) if found is not None else None


def _fields_error(kit: OpenKit, report: PatchReport, base: Base, limit: int | None) -> KitError | None:
    """Return in what the mapped fields of the new kit would fail: its documents are made again, and proven."""
    for transform in report.transforms:
        if (keyed := transform.keyed) is not None:
            made = _Made(kit=kit, report=report, base=base, limit=limit)
            expectation = fields_expected(keyed)
            if (error := fields_error(made.proofs(expectation), expectation)) is not None:
                return error
    return None


@dataclass(slots=True, kw_only=True)
class _Made:
    """The documents of mapped collections, made as a patch would make them."""

    kit: OpenKit
    report: PatchReport
    base: Base
    limit: int | None
    changed: int = 0

    def proofs(self, expectation: FieldExpectation) -> list[tuple[CollectionMember, Proof]]:
        """Return what is found of the mapped values, by member."""
        found: list[tuple[CollectionMember, Proof]] = []
        with self.kit.pipeline(Stage.FIELDS) as pipeline:
            for member, body in entries(self.kit.reader, self.base.survey):
                collection = self.base.survey.collections.get(member.path) if member.path is not None else None
                if collection is None:
                    continue
                mapped = expectation.mapped(collection)
                if mapped is None:
                    self._pass_over(collection, pipeline)
                    continue
                proof = Proof(fields={str(one): FieldProof() for one in mapped.fields})
                found.append((collection, proof))
                work = self._work(collection)
                for run in member_runs(collection, body, self.kit.reader):
                    if self.limit is not None:
                        pipeline.drain()  # how many may still change is only known once all before are done
                    left = None if self.limit is None else self.limit - self.changed
                    pipeline.submit(
                        foretell_run,
                        *(work, run, left, mapped, expectation.keys),
                        cost=len(run.data),
                        weight=run.weight,
                        then=partial(self._take, proof),
                        where=str(collection.path),
                    )
        return found

    def _pass_over(self, collection: CollectionMember, pipeline: Pipeline) -> None:
        """Count what changes in a member without mapped fields, which a limit counts, too."""
        change = self.report.rewrite.members.get(collection.path)
        if self.limit is not None and change is not None:
            pipeline.drain()
            self.changed += change.changed

    def _work(self, collection: CollectionMember) -> RunWork:
        return RunWork(
            name=collection.name,
            transforms=tuple(one for one in self.report.transforms if one.handles(collection.name)),
            lookup=self.base.lookup,
            member_codec=Codec.NONE,
            container_codec=Codec.NONE,
            limits=self.kit.reader.limits,
            prove=False,
        )

    def _take(self, proof: Proof, result: FieldsForetold) -> None:
        self.changed += result.changed
        proof.add(result.proof)


def _coverage(report: PatchReport, base: Base) -> dict[str, TenantCoverage]:
    """Add up what the observations of the new kit have, by tenant."""
    total = Tally()
    for path, collection in base.survey.collections.items():
        if is_observations(collection.name):
            change = report.rewrite.members.get(path)
            total.add(change.tally if change is not None else base.survey.tallies.get(path, Tally()))
    return total.tenants

"""The obligations of a kit, in the order in which they decide (schemas/verify-report.md, "Obligations").

1. The container reads strictly (checked by the survey, the input of this module).
2. There is exactly one manifest, strict JSON, of a known shape.
3. Its signature is over the exact bytes, by as many keys as the policy requires for the role.
4. No such key is revoked, expired or not valid yet; the kit is not stale and not rolled back.
5. Closed world: every member is listed, every listed file present, every digest and size equal; the sidecars match.
6. Lineage: every earlier manifest, its signature and the statement of every step, unbroken to the first.
7. Every document is well-formed, collections are as declared, and the last step only appended.
8. Coverage: ``rawLinkset`` on every observation, if required.

Laws: no obligation is skipped silently, since each ends as checked, failed, overridden, or not applicable with the
reason; the first failure decides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

from kit.archive.read.names import LINK_HINT
from kit.engine.reading import Survey
from kit.errors import (
    ArchiveError,
    ContentError,
    DigestError,
    KitError,
    UnsignedError,
    UntrustedError,
)
from kit.manifest import (
    Link,
    Location,
    Manifest,
    PatchStatement,
    Step,
    check_lineage,
    compare,
    files,
    is_history,
    locate,
)
from kit.signing import manifests
from kit.transforms.coverage import Tally, TenantCoverage, is_observations
from kit.trust import Signing, freshness, state as rollback
from kit.trust.state import OverrideRecord
from kit.values import Limits, MemberPath, Sha256
from kit.verbs.verify import appending, deep, ends, signers
from kit.verbs.verify.ends import (
    MAX_EVIDENCE,
    EvidentError,
    NotApplicableError,
    OverriddenError,
    PartlyChecked,
    attempt,
    refused_judgement,
    with_digests,
)
from kit.verbs.verify.judgement import Evidence, Expectation, InTime, Judgement, Obligation, Sidecars, Status
from kit.verbs.verify.reshaping import UndoStep, prove_reshaped, with_changes

if TYPE_CHECKING:
    from kit.engine.proving import MemberReading, Wanted

__all__ = ["Expectation", "Judgement", "Obligation", "Sidecars", "Status", "coverage_of", "judge", "refused_judgement"]

DeepReader: TypeAlias = "Callable[[Mapping[MemberPath, Wanted]], Mapping[MemberPath, MemberReading]]"
"""Reads every document, given what else is required of each collection; see :func:`kit.engine.proving.prove`."""


def judge(
    survey: Survey,
    sidecars: Sidecars,
    expectation: Expectation,
    *,
    limits: Limits,
    read_deep: DeepReader | None = None,
    explain: deep.Explainer | None = None,
    undo: UndoStep | None = None,
) -> Judgement:
    """Check every obligation that can be checked, even after one has failed.

    Args:
        survey: What one reading of the kit found.
        sidecars: The files next to it.
        expectation: What is required of it.
        limits: The limits for what is parsed.
        read_deep: Reads the kit again, document by document; needed for ``expectation.deep``.
        explain: Finds out why observations lack ``rawLinkset``; None to give no reasons.
        undo: Reads the kit again and undoes its last step; needed for ``expectation.deep``.

    Raises:
        UnreadableError: The second reading failed.
        StoppedError: A worker died in the second reading.
        OutputError: There was no room for temporary files.
    """
    permitted = survey.permitted_things()
    judgement = Judgement(archive=sidecars.archive, allowed=survey.allowed, permitted=permitted)
    inspector = _Inspector(
        survey, sidecars, expectation, limits=limits, judgement=judgement, read_deep=read_deep, explain=explain
    )
    inspector.undo = undo
    checks = (
        inspector.container,
        inspector.one_manifest,
        inspector.signature,
        inspector.in_time,
        inspector.closed_world,
        inspector.lineage,
        inspector.documents,
        inspector.coverage,
    )
    for number, check in enumerate(checks, start=1):
        judgement.obligations.append(with_digests(attempt(number, check), survey))
    return judgement


class _Inspector:
    def __init__(
        self,
        survey: Survey,
        sidecars: Sidecars,
        expectation: Expectation,
        *,
        limits: Limits,
        judgement: Judgement,
        read_deep: DeepReader | None,
        explain: deep.Explainer | None,
    ) -> None:
        self._survey = survey
        self._sidecars = sidecars
        self._expectation = expectation
        self._anchor = expectation.anchor
        self._limits = limits
        self._judgement = judgement
        self._read_deep = read_deep
        self._explain = explain
        self._signing: Signing | None = None
        self._over_archive: Signing | None = None
        self._known_steps: tuple[Step, ...] | None = None
        self.undo: UndoStep | None = None
        self._holds = False
        """Whether the lineage holds."""

    def container(self) -> str:
        permitted = sorted({what for things in self._survey.permitted.values() for what in things})
        return f"{len(self._survey.members):,} files" + (f"; permitted: {', '.join(permitted)}" if permitted else "")

    def one_manifest(self) -> str:
        location = locate(self._survey.members)
        self._judgement.location = location
        data = self._survey.kept[location.manifest]
        manifest = Manifest.parse(data, limits=self._limits, where=str(location.manifest))
        self._judgement.manifest = manifest
        self._judgement.attestations = {
            path: Sha256.of(data)
            for path, data in sorted(self._survey.kept.items())
            if location.is_outside(path)
            and path != location.manifest
            and not path.text.endswith(location.manifest.text.rpartition("/")[2])
        }
        return f"{location.manifest}, generation {manifest.generation}, {len(manifest.entries):,} files listed"

    def signature(self) -> str:
        location, manifest = self._found()
        payload, document = self._survey.kept[location.manifest], self._survey.kept.get(location.signature)
        if document is None:
            raise UnsignedError("the manifest has no signature", where=str(location.signature))
        try:
            signing = signers.sign_off(self._anchor, manifest, payload, document, str(location.signature))
        except UntrustedError as error:
            known = ", ".join(key.label for key in self._anchor.policy.keys[:MAX_EVIDENCE])
            evidence = Evidence(place=str(location.signature), expected=f"a signature by {known}", found=error.what)
            raise EvidentError(error, (evidence,)) from error
        self._signing = signing
        self._judgement.signers = tuple(key.key_id for key in signing.able)
        detail = f"by {', '.join(key.label for key in signing.able)}"
        if self._expectation.trust is not None:
            detail += f" as {signing.subject.role} ({signing.threshold} needed)"
        if self._sidecars.signature is not None and self._sidecars.archive is not None:
            over = signers.sign_off_archive(self._anchor, manifest, self._sidecars.archive, self._sidecars.signature)
            self._over_archive = over
            detail += f"; .sig file by {over.able[0].key_id}"
        return detail

    def in_time(self) -> str | PartlyChecked:
        at = self._anchor.at
        if at is None:
            raise NotApplicableError("keys without a policy have no time and no memory (--trust)")
        _, manifest = self._found()
        if self._signing is None:
            raise NotApplicableError("nobody who may has signed, so there is nothing to date")
        signings = [self._signing, *([self._over_archive] if self._over_archive is not None else [])]
        self._judgement.signers = self._signing.key_ids if self._signing.fault is None else ()
        for signing in signings:
            signing.require(insisted=True)  # a revoked key is refused first, whatever else is wrong with the history
        steps = self._steps()
        first = steps[0].manifest if steps else manifest
        found = signers.judge_time(self._anchor, at, signings, manifest, first)
        self._judgement.accepted, faults = found.accepted, found.faults
        if not faults:
            policy, state = self._anchor.policy, self._anchor.state
            self._judgement.in_time = compared = InTime(
                signers=True,
                age=first.made_at is not None
                and freshness.allowed_hours(policy, first.staleness_window_hours) is not None,
                memory=rollback.has_memory(policy, state, manifest.bundle_id),
            )
            detail = f"at {at}: {'; '.join(found.good)}"
            name = ends.name_in_time(compared)
            if name is None:
                raise NotApplicableError(detail)
            return PartlyChecked(name=name, detail=detail)
        override = self._anchor.override
        fault = next((fault for fault in faults if not signers.may_be_overridden(fault)), faults[0])
        if override is None or not signers.may_be_overridden(fault):
            raise fault
        refusal = "; ".join(str(fault) for fault in faults)
        self._judgement.signers = self._signing.require(insisted=True).key_ids
        self._judgement.override = OverrideRecord(
            at=at,
            bundle_id=manifest.bundle_id or "(no bundle id)",
            manifest=manifest.sha256,
            refusal=refusal,
            reason=override.reason,
        )
        raise OverriddenError(f"by --force ({override.reason}): {refusal}")

    def closed_world(self) -> str:
        location, manifest = self._found()
        members = {path: found for path, found in self._survey.members.items() if not location.is_outside(path)}
        listed, links = manifest.links or (), dict(self._survey.links)
        if self._sidecars.archive is None:
            unpacked = self._unpack_hard_links(listed)
            members = {path: found for path, found in members.items() if path not in unpacked}
            links |= unpacked
        faults = files.compare(manifest.entries, members)
        if links and not listed and not faults:
            first = min(links.values())
            raise ArchiveError(
                f"is {first}, and the manifest lists no links ({len(links):,} in all)",
                where=str(first.path),
                hint="kits with links need a publisher whose manifest lists them (links)",
            )
        faults += files.compare_links(listed, links)
        self._judgement.extra_folders = files.extra_folders(
            self._survey.folders,
            (*(entry.path for entry in manifest.entries), *(link.path for link in listed)),
            (path for path in self._survey.members if location.is_outside(path)),
        )
        try:
            files.require(faults)
        except DigestError as error:
            shown = faults[:MAX_EVIDENCE]
            evidence = tuple(Evidence(place=str(f.path), expected=f.expected, found=f.found) for f in shown)
            raise EvidentError(error, evidence) from error
        detail = f"{len(members):,} files, {sum(size for _, size in members.values()):,} bytes"
        if listed:
            detail += f"; {len(listed):,} links"
        if self._judgement.extra_folders:
            named = ", ".join(f"{folder}/" for folder in self._judgement.extra_folders[:3])
            detail += f"; {len(self._judgement.extra_folders):,} folders that hold nothing listed: {named}"
        if self._sidecars.checksum is not None:
            if not self._sidecars.checksum.is_of(self._sidecars.archive):
                stated = f"states {self._sidecars.checksum}, the archive has {self._sidecars.archive}"
                raise DigestError(stated, where="the .sha256 file")
            detail += "; .sha256 file matches"
        return detail

    def _unpack_hard_links(self, listed: Iterable[Link]) -> dict[MemberPath, Link]:
        """Return the files of a folder that the manifest lists as hard links, and take them off the collections.

        Raises:
            ArchiveError: There are some, and links are not permitted.
        """
        found = files.find_unpacked_links(listed, self._survey.members)
        for path, link in found.items():
            if not self._survey.allowed.links:
                raise ArchiveError(f"is listed as {link}", where=str(path), hint=LINK_HINT)
            # As in an archive, where a link is no collection, whatever its name.
            self._survey.collections.pop(path, None)
            self._survey.tallies.pop(path, None)
        return found

    def lineage(self) -> str:
        location, manifest = self._found()
        steps = self._steps()
        if not steps:
            raise NotApplicableError("the kit was never patched")
        before: PatchStatement | None = None
        known, earlier = self._judgement.steps, set[Sha256]()
        # Signers of the current generation who are trusted today had verified what it covers.
        covered = self._signing is not None and self._signing.covers
        for number, step in enumerate(steps, start=1):
            base = signers.check_base(
                self._anchor, step, covered=covered, allow_unsigned=self._expectation.allow_unsigned_history
            )
            if before is not None and base.signing is not None:
                signers.check_changed(self._anchor, base.signing, step.manifest, before)
            differences = compare(step.manifest, step.successor)
            made = replace(base.step, operation=step.entry.operation, record=step.record)
            known.append(replace(made, differences=differences))
            last = number == len(steps)
            stated = signers.check_statement(self._anchor, step, last=last, covered=covered)
            step.check_recorded()
            before = stated.statement
            known[-1] = replace(known[-1], statement=before, statement_signers=stated.signing.key_ids)
            signature = steps[number].signature if not last else self._survey.kept.get(location.signature)
            if signature is not None:
                _check_key_ids(before, signature, step.entry.statement)
            earlier |= {step.manifest.sha256} if base.signing is not None and base.signing.by_memory else set()
            earlier |= {step.successor.sha256} if not last and stated.signing.by_memory else set()
            if not last:
                known[-1] = replace(known[-1], base=known[-1].base.brief(self._survey.collections))
        self._judgement.statements = tuple(step.statement for step in known if step.statement is not None)
        if before is not None:
            for signing in self._signings():
                signers.check_changed(self._anchor, signing, manifest, before)
        self._holds = True
        if self._judgement.accepted is not None:
            self._judgement.accepted = replace(self._judgement.accepted, earlier=frozenset(earlier))
        found = f"{len(steps)} earlier generation{'s' if len(steps) > 1 else ''}, from {steps[0].entry.generation}"
        if steps[0].manifest.made_at is None:
            found += f"; generation {steps[0].entry.generation} has no time, so none was compared with it"
        return found + ends.describe_admitted(self._judgement.statements)

    def documents(self) -> str | PartlyChecked:
        if not self._expectation.deep or self._read_deep is None:
            raise NotApplicableError("not asked for (--deep)")
        _, manifest = self._found()
        members, steps = self._survey.collections, self._judgement.steps
        if manifest.lineage and not self._holds:
            raise ContentError("what the last step changed is unknown, since the lineage does not hold")
        if not members:
            raise NotApplicableError("there are no collections in this kit")
        _require_no_excess(appending.excess(steps))
        plan = appending.plan(steps, members) if steps else None
        readings = self._read_deep(deep.requirements(manifest, plan, members.keys()))
        declared = deep.check_declared(manifest, self._survey, readings)
        declared += self._unresolvable(manifest)
        if plan is None:
            self._judgement.proofs = appending.proofs_without_steps(members, readings)
        else:
            found, proofs = appending.prove(plan, members, readings, manifest.generation)
            if self._judgement.extra_folders:
                folder = self._judgement.extra_folders[0]
                found = replace(found, since=None, is_whole=False, why=f"nobody signed that there is a folder {folder}")
            self._judgement.appended, self._judgement.proofs = found, proofs
            if self.undo is not None:
                reshaped = prove_reshaped(steps, members, self.undo)
                if reshaped is not None and self._judgement.extra_folders:
                    reshaped = replace(reshaped, is_proven=False, why=found.why)
                self._judgement.reshaped = reshaped
                self._judgement.proofs = with_changes(proofs, steps, reshaped)
        documents = sum(reading.tally.documents for reading in readings.values())
        proven = self._judgement.appended, self._judgement.reshaped
        return PartlyChecked(
            name=ends.name_documents(*proven),
            detail=f"{documents:,} documents of {len(readings)} collection members are well-formed, {declared}; "
            f"{ends.describe_appended(*proven)}",
        )

    def _unresolvable(self, manifest: Manifest) -> str:
        """Check what the manifest calls unresolvable; return what to add to the detail if that is not possible."""
        declared = deep.unresolvable(manifest)
        if not declared:
            return ""
        if self._explain is None:
            return ", except for what it calls unresolvable, which was not examined"
        deep.check_unresolvable(declared, self._explain(frozenset(declared)))
        return ""

    def coverage(self) -> str:
        if not self._expectation.require_raw_linkset:
            raise NotApplicableError("not asked for (--require-raw-linkset)")
        found = deep.check_gate(coverage_of(self._survey), self._expectation.tenants, self._explain)
        self._judgement.gaps = found.gaps
        if found.error is not None:
            raise EvidentError(found.error, found.evidence)
        return found.detail

    def _signings(self) -> tuple[Signing, ...]:
        """Return who signed the current generation; obligation 4 has refused keys that do not count."""
        found: list[Signing] = []
        for signing in (self._signing, self._over_archive):
            if signing is None:
                continue
            try:
                found.append(signing.require(insisted=self._anchor.override is not None))
            except KitError:
                found.append(replace(signing, faults={}))
        return tuple(found)

    def _steps(self) -> tuple[Step, ...]:
        if self._signing is None and not self._expectation.allow_unsigned_history:
            # This manifest names its history by digest; without a signature those could be anybody's bytes.
            raise NotApplicableError("nobody who may has signed the manifest, so its history is not read")
        if self._known_steps is None:
            _, manifest = self._found()
            history = {path: data for path, data in self._survey.kept.items() if is_history(path)}
            self._known_steps = check_lineage(manifest, history, limits=self._limits)
        return self._known_steps

    def _found(self) -> tuple[Location, Manifest]:
        location, manifest = self._judgement.location, self._judgement.manifest
        if location is None or manifest is None:
            raise ContentError("cannot be checked without a manifest")
        return location, manifest


def _require_no_excess(excess: appending.Excess | None) -> None:
    """Check that no step of a chain did more to the manifest than it claims.

    Raises:
        EvidentError: One did; names what it did.
    """
    if excess is not None:
        shown = excess.differences[:MAX_EVIDENCE]
        evidence = tuple(
            Evidence(place=f"{one.kind}: {one.place}", expected=one.before, found=one.after) for one in shown
        )
        raise EvidentError(ContentError(str(excess)), evidence)


def _check_key_ids(statement: PatchStatement, signature: bytes, where: str) -> None:
    """Check that the keys that a statement names are among the signers of its manifest.

    Others may have signed it since: that is how a valid key confirms what a revoked one signed
    (schemas/trust-policy.md, "Revoked keys").

    Raises:
        ContentError: A key is not, or the statement names none.
    """
    signed_by = sorted(claim.key_id for claim in manifests.claims(signature))
    if not statement.key_ids or not set(statement.key_ids) <= set(signed_by):
        raise ContentError(
            f"states that generation {statement.generation} is signed by {', '.join(statement.key_ids) or 'nobody'}, "
            f"but it is by {', '.join(signed_by)}",
            where=where,
        )


def coverage_of(survey: Survey) -> dict[str, TenantCoverage]:
    """Return the total coverage of all collections of observations, by tenant."""
    total = Tally()
    for path, tally in survey.tallies.items():
        if is_observations(survey.collections[path].name):
            total.add(tally)
    return total.tenants

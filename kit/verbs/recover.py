"""``kit recover``: the documents that an approval names, as they were before their values were sealed.

Approval verified → kit read and judged as anybody would → record in the audit log, on disk → keys opened → documents
restored into a file without a name → reread → second record, on disk → the file gets its name. Laws: no key is opened
before the first record is on disk; no output has its name before the second is; a run that fails leaves its records and
nothing else. One collection a run, since a ``.bson`` file holds one.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from kit.encryption import Credentials, FieldMap, Profile, audit_log, load, unlock
from kit.encryption.approval import RecoveryScope
from kit.encryption.audit_log import AuditLog
from kit.encryption.keys import KeySet
from kit.encryption.providers import parse_recipients, seal_to_recipients
from kit.encryption.restoring import RestoreCounts, RestoredRun, RestorePlan
from kit.engine.passing import entries
from kit.engine.progress import Stage
from kit.engine.reading import Survey, member_runs
from kit.engine.work import restore_run
from kit.errors import KitError, StaleError, UntrustedError, UsageError
from kit.output.publish import NewFile
from kit.signing import PublicKey
from kit.trust import Anchor, Override, freshness
from kit.values import CollectionName, Sha256, Timestamp, collection_member
from kit.verbs.approval import ApprovalFile, check_time, require_bundle, verify_by_keys, verify_by_policy
from kit.verbs.verify.judged import judge_kit, require_trust
from kit.verbs.verify.judgement import Expectation, Judgement
from kit.verbs.verify.kits import Environment, OpenKit, open_with_workers

_NO_KEYS = KeySet(scopes={}, opening={}, sealing={}, mek_versions=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoverRequest:
    """What to recover from which kit, by whose leave."""

    kit: Path
    trusted: Mapping[str, PublicKey] = field(default_factory=dict)
    """By key id: whose signatures on the kit count."""
    trust: Anchor | None = None
    """A policy goes before ``trusted`` and ``approvers``: then its keys of the role ``incident`` approve."""
    approval: Path
    approvers: tuple[PublicKey, ...] = ()
    """Whose signatures on the approval count."""
    field_map: FieldMap
    profile: Profile
    keyring: Path
    credentials: Credentials = field(repr=False)
    audit_log: Path
    output: Path
    sealed_to: tuple[str, ...] = ()
    """age recipients; empty writes plaintext."""
    collection: CollectionName | None = None
    """Which one, where the approval names several."""
    now: Timestamp
    """The time that the kit is held to, as the user gives it."""
    clock: Callable[[], Timestamp] = field(repr=False)
    """The time that the approval, its signers and the policy are held to, and that of audit records: nobody's word."""
    override: Override | None = None
    """That an approval out of its time is not to be refused, and why: recorded in the audit log."""
    environment: Environment = field(default_factory=Environment)


@dataclass(frozen=True, slots=True, kw_only=True)
class Forced:
    """That an approval out of its time was acted on."""

    refusal: str
    """Why it would have been refused."""
    reason: str
    """Why it was not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoverReport:
    """What was recovered."""

    kit: Path
    judgement: Judgement
    approval: ApprovalFile
    forced: Forced | None
    """What the user insisted on of the approval, if that was needed."""
    collection: CollectionName
    counts: RestoreCounts
    absent: int
    """Documents that the approval names and the collection does not have."""
    output: Path
    output_bytes: int
    output_sha256: Sha256
    sealed_to: tuple[str, ...]
    audit_log: Path
    audit_records: int
    audit_head: Sha256
    """Digest of the last record's line; kept elsewhere, it shows whether the log was cut."""


def recover(request: RecoverRequest) -> RecoverReport:
    """Decrypt what the approval names into a new file, or seal it there.

    Raises:
        UntrustedError: The approval does not count, is for another kit, or nothing in the kit is in its scope; or the
            kit is not signed by whom the user trusts.
        StaleError: By the clock, the approval is expired or not valid yet and nobody insists, or a signer's key or the
            policy is out of its time.
        DigestError: The audit log does not verify, or the kit is not what its manifest lists.
        EnvelopeError: A value in scope does not open.
        KeyUnusableError: A key for it is not at hand.
        OutputError: Output or audit record cannot be written.
        KitError: The kit is refused, a document is malformed, or the request does not make sense.
    """
    approval, forced = _approval(request)
    if request.sealed_to:
        parse_recipients(request.sealed_to)
    output = NewFile(request.output)
    output.require_free()
    with open_with_workers(request.kit, request.environment) as kit:
        found, judgement, name = _judged(kit, request, approval.approval.scope)
        if request.trust is not None and judgement.manifest is not None:
            approval = require_bundle(approval, request.trust, judgement.manifest.bundle_id)
        restoring = RestorePlan(
            field_map=request.field_map, profile=request.profile, scope=approval.approval.scope, keys=_NO_KEYS
        )
        restoring.mapped(name)
        with audit_log.open_log(request.audit_log) as log:
            begun = log.append(
                {**_begun(request, approval, name), **_under(request, judgement), **_insisted(forced)},
            )
            try:
                counts = _recovered(_Run(kit, found, request, name), restoring, output, log, begun)
            except BaseException as error:
                failed = {"record": "recovery-failed", "begun": str(begun), "time": str(request.clock())}
                with contextlib.suppress(KitError):  # the first failure is the one to tell
                    log.append({**failed, "error": type(error).__name__})
                raise
            return RecoverReport(
                kit=request.kit,
                judgement=judgement,
                approval=approval,
                forced=forced,
                collection=name,
                counts=counts,
                absent=_absent(restoring.scope, counts),
                output=request.output,
                output_bytes=output.written,
                output_sha256=output.sha256,
                sealed_to=request.sealed_to,
                audit_log=request.audit_log,
                audit_records=log.chain.records,
                audit_head=log.chain.head,
            )


def _approval(request: RecoverRequest) -> tuple[ApprovalFile, Forced | None]:
    """Verify the approval by the clock: who may recover could else claim that it is still last year."""
    time = request.clock()
    if request.trust is not None:
        freshness.check_policy(request.trust.policy, time)
        approval = verify_by_policy(request.approval, replace(request.trust, at=time))
    else:
        approval = verify_by_keys(request.approval, request.approvers)
    try:
        check_time(approval, time)
    except StaleError as error:
        if request.override is None:
            raise
        return approval, Forced(refusal=str(error), reason=request.override.reason)
    return approval, None


def _judged(kit: OpenKit, request: RecoverRequest, scope: RecoveryScope) -> tuple[Survey, Judgement, CollectionName]:
    """Read the kit once, refuse it unless it is what its signers signed and what the approvers meant."""
    require_trust(request.trusted, request.trust)
    judged = judge_kit(kit, Expectation(trusted=request.trusted, trust=request.trust)).require()
    scope.check_kit(judged.manifest.sha256, {member.name for member in judged.survey.collections.values()})
    return judged.survey, judged.judgement, _collection(request, scope)


def _collection(request: RecoverRequest, scope: RecoveryScope) -> CollectionName:
    if request.collection is not None:
        if request.collection not in scope.collections:
            raise UntrustedError(f"the approval is not for {request.collection}")
        return request.collection
    if len(scope.collections) > 1:
        names = ", ".join(map(str, scope.collections))
        raise UsageError(f"the approval is for several collections: {names}", hint="choose one with --collection")
    return scope.collections[0]


@dataclass(frozen=True, slots=True)
class _Run:
    kit: OpenKit
    found: Survey
    request: RecoverRequest
    name: CollectionName


def _recovered(run: _Run, restoring: RestorePlan, output: NewFile, log: AuditLog, begun: Sha256) -> RestoreCounts:
    """Open the keys, restore, check, record, and only then give the output its name."""
    request, counts = run.request, RestoreCounts()
    keyring = load(request.keyring).keyring
    keys = unlock(keyring, request.credentials, where=str(request.keyring)).key_set()
    with output:
        ready = replace(restoring, keys=run.kit.executor.hand_out(keys))
        chunks = _chunks(run, ready, counts)
        if request.sealed_to:
            seal_to_recipients(chunks, request.sealed_to, output.write)
        else:
            for chunk in chunks:
                output.write(chunk)
        if not counts.in_scope:
            raise UntrustedError(f"no document of {run.name} is in the scope of the approval")
        output.check()
        log.append(
            {
                "record": "recovery-completed",
                "begun": str(begun),
                "time": str(request.clock()),
                "documents": counts.in_scope,
                "values": dict(counts.opened),
                "absent": _absent(ready.scope, counts),
                "outputBytes": output.written,
                "outputSha256": str(output.sha256),
            }
        )
        output.publish()
    return counts


def _chunks(run: _Run, restoring: RestorePlan, counts: RestoreCounts) -> Iterator[bytes]:
    """Yield the documents in scope, run by run, in the order of the kit; the bytes read are those that were judged.

    Raises:
        DigestError: The kit changed since it was judged.
        KitError: As :func:`kit.encryption.restoring.restore`.
    """
    ready: deque[bytes] = deque()

    def take(restored: RestoredRun) -> None:
        counts.add(restored.counts)
        ready.append(restored.data)

    reader = run.kit.reader
    with run.kit.pipeline(Stage.RECOVER) as pipeline:
        for member, body in entries(reader, run.found):
            collection = collection_member(member.path) if member.path is not None and member.is_file else None
            if collection is None or collection.name != run.name:
                continue
            for documents in member_runs(collection, body, reader):
                pipeline.submit(
                    restore_run,
                    *(restoring, run.name, documents),
                    cost=len(documents.data),
                    then=take,
                    where=str(collection.path),
                )
                yield from _taken(ready)
        pipeline.drain()
    yield from _taken(ready)


def _taken(ready: deque[bytes]) -> Iterator[bytes]:
    while ready:
        yield ready.popleft()


def _absent(scope: RecoveryScope, counts: RestoreCounts) -> int:
    return len(scope.documents - counts.found) if scope.documents is not None else 0


def _begun(request: RecoverRequest, approval: ApprovalFile, name: CollectionName) -> dict[str, Any]:
    return {
        "record": "recovery-begun",
        "time": str(request.clock()),
        "judgedAt": str(request.now),
        "incidentId": approval.approval.incident_id,
        "approvalSha256": str(approval.sha256),
        "approvers": list(approval.signers),
        "manifestSha256": str(approval.approval.scope.manifest_sha256),
        "scope": approval.approval.scope.to_json(),
        "collection": str(name),
        # A file name may be no text; half a surrogate pair is no JSON.
        "output": str(request.output.absolute()).encode("utf-8", "backslashreplace").decode(),
        "sealedTo": list(request.sealed_to),
    }


def _under(request: RecoverRequest, judgement: Judgement) -> dict[str, Any]:
    """Name the policy, and why the age of the kit was not to matter, if it was not."""
    if request.trust is None:
        return {}
    insisted = {"override": judgement.override.reason} if judgement.override is not None else {}
    return {"policySha256": str(request.trust.policy_sha256), **insisted}


def _insisted(forced: Forced | None) -> dict[str, Any]:
    return {"approvalOverride": {"refusal": forced.refusal, "reason": forced.reason}} if forced is not None else {}

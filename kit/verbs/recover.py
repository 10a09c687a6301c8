"""``kit recover``: decrypts the documents that an approval names, as they were before their values were sealed.

Verify the approval → read and judge the kit → write a record to the audit log → open the keys → restore documents into
a file without a name → read it back → write a second record → give the file its name. Laws: no key is opened before the
first record is on disk; no output is published before the second is; a failed run leaves its records and nothing else.
A run recovers one collection, since a file holds one, in the form that the kit keeps it in.
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
from kit.values import CollectionFormat, CollectionName, Sha256, Timestamp
from kit.verbs.approval import ApprovalFile, check_time, require_bundle, verify_by_keys, verify_by_policy
from kit.verbs.verify.judged import judge_kit, require_trust
from kit.verbs.verify.judgement import Expectation, Judgement
from kit.verbs.verify.kits import Environment, OpenKit, open_with_workers

_NO_KEYS = KeySet(scopes={}, opening={}, sealing={}, mek_versions=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoverRequest:
    """What to recover from which kit, and who must permit it."""

    kit: Path
    trusted: Mapping[str, PublicKey] = field(default_factory=dict)
    """By key id: the keys whose signatures on the kit count."""
    trust: Anchor | None = None
    """A policy replaces ``trusted`` and ``approvers``; its keys of the role ``incident`` approve."""
    approval: Path
    approvers: tuple[PublicKey, ...] = ()
    """The keys whose signatures on the approval count."""
    field_map: FieldMap
    profile: Profile
    keyring: Path
    credentials: Credentials = field(repr=False)
    audit_log: Path
    output: Path
    sealed_to: tuple[str, ...] = ()
    """age recipients; empty to write plaintext."""
    collection: CollectionName | None = None
    """The one to recover, where the approval names several."""
    now: Timestamp
    """The time at which the kit must be valid, as the user gives it."""
    clock: Callable[[], Timestamp] = field(repr=False)
    """The time at which approval, signers and policy must be valid, and that of audit records; no user sets it."""
    override: Override | None = None
    """Accept an approval that is expired or not valid yet; the reason goes into the audit log."""
    environment: Environment = field(default_factory=Environment)


@dataclass(frozen=True, slots=True, kw_only=True)
class Forced:
    """The override of an approval that is expired or not valid yet."""

    refusal: str
    """Why it would have been refused."""
    reason: str
    """Why it was accepted, in the user's words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoverReport:
    """What was recovered."""

    kit: Path
    judgement: Judgement
    approval: ApprovalFile
    forced: Forced | None
    """The override of the approval's time, if one was needed."""
    collection: CollectionName
    counts: RestoreCounts
    absent: int
    """Number of documents that the approval names and the collection lacks."""
    output: Path
    output_bytes: int
    output_sha256: Sha256
    sealed_to: tuple[str, ...]
    audit_log: Path
    audit_records: int
    audit_head: Sha256
    """Digest of the last record's line; a copy kept elsewhere shows whether the log was truncated."""


def recover(request: RecoverRequest) -> RecoverReport:
    """Decrypt what the approval names into a new file, sealed to recipients if any are given.

    Raises:
        UntrustedError: The approval does not count, is for another kit, or covers nothing in this one; or nobody whom
            the user trusts signed the kit.
        StaleError: By the clock, the approval, a signer's key or the policy is expired or not valid yet; only that of
            the approval can be overridden.
        DigestError: The audit log does not verify, or the kit is not what its manifest lists.
        EnvelopeError: A value in scope does not open.
        KeyUnusableError: A key for such a value cannot be opened.
        OutputError: The output or an audit record cannot be written.
        KitError: The kit is refused, a document is malformed, or the request contradicts itself.
    """
    approval, forced = _verify_approval(request)
    if request.sealed_to:
        parse_recipients(request.sealed_to)
    output = NewFile(request.output)
    output.require_free()
    with open_with_workers(request.kit, request.environment) as kit:
        found, judgement, name = _judge(kit, request, approval.approval.scope)
        if request.trust is not None and judgement.manifest is not None:
            approval = require_bundle(approval, request.trust, judgement.manifest.bundle_id)
        restoring = RestorePlan(
            field_map=request.field_map, profile=request.profile, scope=approval.approval.scope, keys=_NO_KEYS
        )
        restoring.mapped(name)
        form = _format(found, name)
        with audit_log.open_log(request.audit_log) as log:
            begun = log.append(
                {
                    **_begun_record(request, approval, name),
                    **_policy_record(request, judgement),
                    **_override_record(forced),
                },
            )
            try:
                counts = _restore(_Run(kit, found, request, name, form), restoring, output, log, begun)
            except BaseException as error:
                failed = {"record": "recovery-failed", "begun": str(begun), "time": str(request.clock())}
                with contextlib.suppress(KitError):  # the first failure is the one to report
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


def _verify_approval(request: RecoverRequest) -> tuple[ApprovalFile, Forced | None]:
    """Verify the approval by the clock; otherwise a user could pass a time at which an expired approval was valid."""
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


def _judge(kit: OpenKit, request: RecoverRequest, scope: RecoveryScope) -> tuple[Survey, Judgement, CollectionName]:
    """Read the kit once, and check that its signers signed it and that the approval is for it."""
    require_trust(request.trusted, request.trust)
    judged = judge_kit(kit, Expectation(trusted=request.trusted, trust=request.trust)).require()
    scope.check_kit(judged.manifest.sha256, {member.name for member in judged.survey.collections.values()})
    return judged.survey, judged.judgement, _choose_collection(request, scope)


def _choose_collection(request: RecoverRequest, scope: RecoveryScope) -> CollectionName:
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
    form: CollectionFormat


def _format(found: Survey, name: CollectionName) -> CollectionFormat:
    """Return how the collection is kept, which is how its documents are written.

    Raises:
        UsageError: Its members are of several formats, and one file is of one.
    """
    forms = sorted({one.format for one in found.collections.values() if one.name == name})
    if len(forms) > 1:
        raise UsageError(f"is kept in several formats ({', '.join(forms)}), of which one file has one", where=str(name))
    return forms[0]


def _restore(run: _Run, restoring: RestorePlan, output: NewFile, log: AuditLog, begun: Sha256) -> RestoreCounts:
    """Open the keys, restore, read back, record, and only then publish the output."""
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
    """Yield the output: the documents in scope, run by run, in the kit's order; the bytes read are those judged.

    Raises:
        DigestError: The kit changed since it was judged.
        KitError: As :func:`kit.encryption.restoring.restore`.
    """
    ready: deque[bytes] = deque()
    before, between, last = _AROUND[run.form]
    is_first = True

    def take(restored: RestoredRun) -> None:
        nonlocal is_first
        counts.add(restored.counts)
        if restored.restored:
            ready.append((before if is_first else between) + between.join(restored.restored))
            is_first = False

    reader = run.kit.reader
    with run.kit.pipeline(Stage.RECOVER) as pipeline:
        for member, body in entries(reader, run.found):
            collection = run.found.collections.get(member.path) if member.path is not None else None
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
                yield from _pop_all(ready)
        pipeline.drain()
    yield from _pop_all(ready)
    yield b"" if is_first else last


_AROUND = {
    CollectionFormat.BSON: (b"", b"", b""),
    CollectionFormat.NDJSON: (b"", b"\n", b"\n"),
    CollectionFormat.JSON: (b"[", b",\n", b"]\n"),
}
"""By format: what is before the first document, between two, and after the last."""


def _pop_all(ready: deque[bytes]) -> Iterator[bytes]:
    while ready:
        yield ready.popleft()


def _absent(scope: RecoveryScope, counts: RestoreCounts) -> int:
    return len(scope.documents - counts.found) if scope.documents is not None else 0


def _begun_record(request: RecoverRequest, approval: ApprovalFile, name: CollectionName) -> dict[str, Any]:
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


def _policy_record(request: RecoverRequest, judgement: Judgement) -> dict[str, Any]:
    """Return the policy's digest, and the reason for overriding the kit's age if it was overridden."""
    if request.trust is None:
        return {}
    override = {"override": judgement.override.reason} if judgement.override is not None else {}
    return {"policySha256": str(request.trust.policy_sha256), **override}


def _override_record(forced: Forced | None) -> dict[str, Any]:
    return {"approvalOverride": {"refusal": forced.refusal, "reason": forced.reason}} if forced is not None else {}

"""The release record of a job for an auditor: dry run and live run in one file (schemas/release-record.md).

A plan begins it. Each run of a patch adds its attempt, even if it fails. Laws: it contains counts, digests, names and
times, never a secret or a value of a document; the record of another job is never extended.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from kit.encryption import KeyringFile
from kit.errors import ContentError, KitError, UsageError
from kit.migrations import Migration
from kit.reports.patch import NOT_SELECTED, counts_json
from kit.reports.text import error_json, well_formed
from kit.transforms.allowance import Limit
from kit.values import Limits, Sha256, Timestamp, strict_json
from kit.values.fields import Fields
from kit.verbs.jobs import Completion
from kit.verbs.patch.request import Output, PatchReport, PatchRequest
from kit.version import TOOL, VERSION

SCHEMA_VERSION = "1"


class Outcome(enum.StrEnum):
    """How an attempt ended."""

    PLANNED = "planned"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    COMPLETED = "completed"
    """An interrupted run had finished; only renaming remained."""
    STOPPED = "stopped"
    """Stopped by a rule; nothing was changed."""
    FAILED = "failed"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One run of a command."""

    command: str
    """``plan``, ``patch`` or ``resume``."""
    start: Timestamp
    end: Timestamp
    seconds: float
    exit_code: int
    report: PatchReport | Completion | None = None
    error: KitError | None = None

    @property
    def outcome(self) -> Outcome:
        """How it ended."""
        if self.error is not None:
            return _ENDS.get(self.exit_code, Outcome.FAILED)
        if isinstance(self.report, Completion):
            return Outcome.COMPLETED
        if self.report is None or not self.report.live:
            return Outcome.STOPPED if self.exit_code else Outcome.PLANNED
        return Outcome.CHANGED if self.report.rewrite.makes_generation else Outcome.UNCHANGED


_ENDS = {12: Outcome.STOPPED, 130: Outcome.INTERRUPTED}


def release_record(
    known: Mapping[str, Any] | None,
    request: PatchRequest,
    output: Output | None,
    attempt: Attempt,
    *,
    commit: str | None,
    keyring: KeyringFile | None,
) -> dict[str, Any]:
    """Return the record after ``attempt``; ``known`` is the existing record (:func:`read_record`)."""
    before: Mapping[str, Any] = known or {}
    migration = request.described(output.rollback_note if output is not None else None)
    report = attempt.report
    planned = isinstance(report, PatchReport) and not report.live
    counted = {**counts_json(report), "covered": _covered(report)} if isinstance(report, PatchReport) else None
    dry = counted if planned else before.get("dryRun")
    live = counted if counted is not None and not planned else before.get("live")
    return {
        "schemaVersion": SCHEMA_VERSION,
        "migration": {"id": migration.id, "kind": migration.kind.value, "sha256": migration.sha256.hex},
        "selection": {
            "tenants": sorted(migration.tenants) if migration.tenants is not None else None,
            "productId": migration.product_id,
        },
        "kit": str(request.kit),
        "createdAt": str(request.created_at),
        "operator": output.operator if output is not None else before.get("operator"),
        "environment": output.place if output is not None else before.get("environment"),
        "keyProvider": _key_provider(output, keyring) if output is not None else before.get("keyProvider"),
        "base": _base(report) if isinstance(report, PatchReport) else before.get("base"),
        "dryRun": dry,
        "live": live,
        "result": _result(report) if report is not None and not planned else before.get("result"),
        "rollback": {
            "decision": migration.rollback.decision.value,
            "note": migration.rollback.note,
            **migration.rollback.details.to_json(),
        },
        **_checklist(report, before),
        "backup": _backup(report) if report is not None and not planned else before.get("backup"),
        "attempts": [*before.get("attempts", ()), _attempt_json(attempt, request.most, commit)],
    }


def _checklist(report: PatchReport | Completion | None, before: Mapping[str, Any]) -> dict[str, Any]:
    """Return the steps of the plan as the latest run ticked them off; nothing where there is no checklist."""
    ticks = report.checklist if isinstance(report, PatchReport) else ()
    known = [tick.to_json() for tick in ticks] or before.get("checklist")
    return {"checklist": known} if known else {}


def read_record(data: bytes, request: PatchRequest, migration: Migration, *, where: str) -> dict[str, Any]:
    """Return an existing record of the same job.

    Raises:
        ContentError: It is not a release record of this version.
        UsageError: It is the record of another job: another kit, or another migration.
    """
    try:
        found = Fields.of(strict_json.parse(data, limits=Limits(), where=where), "record")
        found.items("attempts")
        is_record = found.text("schemaVersion") == SCHEMA_VERSION
        was = found.object("migration").text("sha256"), PurePath(found.text("kit")).name
    except ContentError as error:
        raise _no_record(where) from error
    if not is_record:
        raise _no_record(where)
    if was != (migration.sha256.hex, well_formed(request.kit.name)):
        raise UsageError(
            "is the record of another kit or another migration",
            where=where,
            hint="name another file with --record",
        )
    return dict(found.members)


def _no_record(where: str) -> ContentError:
    return ContentError("exists and is not a release record", where=where, hint="name another file with --record")


def _covered(report: PatchReport) -> dict[str, Any]:
    """Return which tenants were processed completely and which not, so that a part never looks like the whole."""
    left: dict[str, int] = {}
    seen: set[str] = set()
    for (_, tenant, outcome), count in report.rewrite.outcomes.items():
        seen.add(tenant)
        if outcome == NOT_SELECTED:
            left[tenant] = max(left.get(tenant, 0), count)
    return {"whole": not left, "tenants": sorted(seen - left.keys()), "leftOut": dict(sorted(left.items()))}


def _attempt_json(attempt: Attempt, limit: Limit, commit: str | None) -> dict[str, Any]:
    return {
        "command": attempt.command,
        "limit": limit.total,
        **({"limitPerTenant": limit.each} if limit.each is not None else {}),
        "tool": {"name": TOOL, "version": VERSION, "commit": commit},
        "start": str(attempt.start),
        "end": str(attempt.end),
        "seconds": round(attempt.seconds, 3),
        "outcome": attempt.outcome.value,
        "exitCode": attempt.exit_code,
        "error": error_json(attempt.error) if attempt.error is not None else None,
    }


def _key_provider(output: Output, keyring: KeyringFile | None) -> dict[str, Any]:
    encryption = None
    if keyring is not None:
        newest = keyring.keyring.meks[-1]
        encryption = {
            "keyring": str(keyring.path),
            "provider": newest.record.provider,
            "masterKeyVersion": newest.version,
        }
    return {
        "signing": [
            {"provider": "file", "keyId": key.public.key_id, "algorithm": key.public.algorithm.value}
            for key in output.keys
        ],
        "encryption": encryption,
    }


def _base(report: PatchReport) -> dict[str, Any]:
    manifest = report.base.manifest
    return {
        "bundleId": manifest.bundle_id if manifest is not None else None,
        "generation": manifest.generation if manifest is not None else None,
        "manifestSha256": manifest.sha256.hex if manifest is not None else None,
        "bytes": report.stored_bytes,
        "sha256": _hex(report.base.archive),
        "signers": list(report.base.signers),
    }


def _result(report: PatchReport | Completion) -> dict[str, Any]:
    if isinstance(report, Completion):
        number, manifest, key_ids = report.generation, report.manifest_sha256, report.signed_by
    else:
        made = report.generation
        number, manifest, key_ids = (
            (made.number, made.manifest_sha256, made.key_ids) if made is not None else (None, None, ())
        )
    return {
        "path": str(report.output) if report.output is not None else None,
        "bytes": report.output_bytes,
        "sha256": _hex(report.output_sha256),
        "generation": number,
        "manifestSha256": _hex(manifest),
        "signedBy": list(key_ids),
    }


def _backup(report: PatchReport | Completion) -> dict[str, Any] | None:
    if report.backup is None:
        return None
    digest = report.base.archive if isinstance(report, PatchReport) else None
    return {"path": str(report.backup), "sha256": _hex(digest)}


def _hex(digest: Sha256 | None) -> str | None:
    return digest.hex if digest is not None else None

"""Trust policies as ``kit trust`` shows them: schemas/trust-report.md."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from kit.reports.errors import SCHEMA_VERSION
from kit.trust import Policy, State, TrustedKey
from kit.values import Sha256


def policy_json(policy: Policy, sha256: Sha256, state: State | None = None) -> dict[str, Any]:
    """Return policy, digest and state as JSON, each in its own format."""
    return {
        "schemaVersion": SCHEMA_VERSION,
        "policySha256": str(sha256),
        "policy": json.loads(policy.to_bytes()),
        "state": json.loads(state.to_bytes()) if state is not None else None,
    }


def policy_lines(policy: Policy, sha256: Sha256, state: State | None = None) -> Iterator[str]:
    """Yield the policy as lines of text."""
    yield f"version {policy.version}, digest {sha256}"
    yield f"algorithms: {', '.join(sorted(policy.algorithms))}"
    if policy.expires_at is not None:
        yield f"expires at {policy.expires_at}"
    if policy.staleness_window_hours is not None:
        yield f"kits are stale after {policy.staleness_window_hours:,} hours"
    for bundle, floor in sorted(policy.minimum_generations.items()):
        yield f"bundle {bundle}: generation {floor} at least"
    for role, count in sorted(policy.thresholds.items()):
        yield f"{role}: {count} must sign"
    for key in policy.keys:
        yield f"key {key.label}: {_limits(key)}"
    if policy.is_sealed:
        yield "only its root keys can change it: kit trust sign, kit trust rotate"
    if state is not None:
        for bundle, accepted in sorted(state.bundles.items()):
            yield f"accepted of {bundle}: {accepted}, manifest {accepted.manifest}"
        for record in state.overrides:
            yield f"overridden at {record.at} for {record.bundle_id}: {record.refusal} ({record.reason})"


def _limits(key: TrustedKey) -> str:
    parts = [str(key.key.algorithm), ", ".join(sorted(key.roles))]
    if key.bundle_ids is not None:
        parts.append(f"only {', '.join(sorted(key.bundle_ids))}")
    if key.collections is not None:
        parts.append(f"only {', '.join(sorted(key.collections))}")
    if key.not_before is not None:
        parts.append(f"from {key.not_before}")
    if key.not_after is not None:
        parts.append(f"until {key.not_after}")
    if key.revocation is not None:
        parts.append(f"REVOKED at {key.revocation.at} ({key.revocation.reason})")
    return "; ".join(parts)

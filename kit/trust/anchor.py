"""The anchor of a verdict: policy, state, time and override."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from kit.signing import PublicKey
from kit.trust.policy import Policy
from kit.trust.state import State
from kit.values import Sha256, Timestamp


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """The user's decision that obligation 4 does not refuse, with its reason; recorded in the state."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """What one verdict trusts.

    Attributes:
        policy: Who may sign what.
        policy_sha256: Digest of the policy's exact bytes.
        state: What was accepted before; None on first use, and for keys without a policy.
        at: The time of the verdict; None for keys without a policy, which are valid at any time.
        override: The user's override; None without one.
    """

    policy: Policy
    policy_sha256: Sha256
    state: State | None = None
    at: Timestamp | None = None
    override: Override | None = None

    def has_accepted(self, bundle_id: str | None, manifest: Sha256) -> bool:
        """Return whether exactly this manifest of the bundle was accepted before, according to the state."""
        return self.state is not None and bundle_id is not None and self.state.has_accepted(bundle_id, manifest)

    @classmethod
    def of_keys(cls, trusted: Mapping[str, PublicKey]) -> Self:
        """Return the anchor of ``--trusted-key``: no roles, no time, no state."""
        policy = Policy.of_keys(trusted.values())
        return cls(policy=policy, policy_sha256=policy.sha256)

"""Everything one verdict starts from: policy, memory, time, and what the user insists on."""

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
    """That obligation 4 is not to refuse, and why: recorded with the state."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """Whom to believe in one verdict.

    Attributes:
        policy: Whom, for what.
        policy_sha256: Of the policy's exact bytes.
        state: What was accepted before; None on first use, and for keys without a policy.
        at: The time of the verdict; None for keys without a policy, which are good at any time.
        override: None unless the user insists.
    """

    policy: Policy
    policy_sha256: Sha256
    state: State | None = None
    at: Timestamp | None = None
    override: Override | None = None

    def has_accepted(self, bundle_id: str | None, manifest: Sha256) -> bool:
        """Whether exactly this manifest of the bundle was accepted before, as the state remembers."""
        return self.state is not None and bundle_id is not None and self.state.has_accepted(bundle_id, manifest)

    @classmethod
    def of_keys(cls, trusted: Mapping[str, PublicKey]) -> Self:
        """Give what ``--trusted-key`` stands for: no roles, no time, no memory."""
        policy = Policy.of_keys(trusted.values())
        return cls(policy=policy, policy_sha256=policy.sha256)

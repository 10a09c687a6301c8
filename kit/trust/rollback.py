"""Rules R1 to R3: no kit or policy is older than what was accepted before."""

from __future__ import annotations

from kit.errors import RollbackError, UntrustedError
from kit.trust.policy import Policy
from kit.trust.state import Accepted, State
from kit.values import Sha256

_FORCE = "get the newest kit; to use this one anyway, on record: --force --reason TEXT"


class BelowFloorError(RollbackError):
    """A kit is below the minimum of the policy; only another policy, not an override, can accept it."""


def check_kit(policy: Policy, state: State | None, bundle_id: str | None, kit: Accepted) -> str:
    """Return what a kit was compared with, after checking it against the policy's minimum and the state.

    Raises:
        BelowFloorError: The publisher's generation is below the minimum (R1). The kit's own is not compared, since a
            patch of an old kit raises it and makes no data newer.
        RollbackError: Older than what was accepted (R2), or as old and with another manifest (R3).
    """
    if bundle_id is None:
        return "the manifest names no bundle, so nothing accepted before was compared"
    floor = policy.minimum_generations.get(bundle_id)
    if floor is not None and kit.published < floor:  # R1
        raise BelowFloorError(
            f"publisher's generation {kit.published} of {bundle_id!r} is below {floor}, the policy's minimum",
            hint="get a newer kit; --force does not lift this",
        )
    known = state.bundles.get(bundle_id) if state is not None else None
    if known is None:
        compared = "so nothing accepted before was compared" if floor is None else f"not below the minimum {floor}"
        return f"first kit of {bundle_id!r}, {compared}"
    if kit.rank < known.rank:  # R2
        raise RollbackError(f"{kit} of {bundle_id!r}, but {known} was accepted before", hint=_FORCE)
    if kit.rank == known.rank and kit.manifest != known.manifest:  # R3
        raise RollbackError(
            f"{kit} of {bundle_id!r} has manifest {kit.manifest}, but was accepted before with {known.manifest}",
            hint=_FORCE,
        )
    return "accepted before" if kit.rank == known.rank else f"newer than {known}"


def has_memory(policy: Policy, state: State | None, bundle_id: str | None) -> bool:
    """Return whether :func:`check_kit` has a minimum or an accepted kit to compare a kit of this bundle with."""
    if bundle_id is None:
        return False
    return bundle_id in policy.minimum_generations or (state is not None and bundle_id in state.bundles)


def check_policy(version: int, sha256: Sha256, state: State | None) -> None:
    """Check that a policy's exact bytes are those in force.

    Raises:
        RollbackError: It is an older version.
        UntrustedError: It was changed by other means than ``kit trust``.
    """
    if state is None or sha256 == state.policy_sha256:
        return
    if version < state.policy_version:
        raise RollbackError(f"policy version {version}, but {state.policy_version} is in force")
    raise UntrustedError(
        f"the policy was changed: digest {sha256}, but {state.policy_sha256} was put in force",
        hint="change policies with kit trust add or kit trust rotate",
    )

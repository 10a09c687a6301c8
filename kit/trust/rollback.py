"""Is this kit, or this policy, older than what was accepted before? Rules R1 to R3."""

from __future__ import annotations

from kit.errors import RollbackError, UntrustedError
from kit.trust.policy import Policy
from kit.trust.state import Accepted, State
from kit.values import Sha256

_FORCE = "get the newest kit; to use this one all the same, say why: --force --reason TEXT, which is recorded"


class BelowFloorError(RollbackError):
    """Below what the policy allows: only another policy, not an override, can accept it."""


def check_kit(policy: Policy, state: State | None, bundle_id: str | None, met: Accepted) -> str:
    """Compare a kit with the policy's floor and the site's memory; tell what it was compared with.

    Raises:
        BelowFloorError: The publisher's generation is below the floor (R1). The publisher's, since a patch of an old
            kit raises the kit's own generation and makes nothing newer.
        RollbackError: Older than what was accepted (R2), or as old and with another manifest (R3).
    """
    if bundle_id is None:
        return "the manifest names no bundle, so nothing accepted before was compared"
    floor = policy.minimum_generations.get(bundle_id)
    if floor is not None and met.published < floor:  # R1
        raise BelowFloorError(
            f"publisher's generation {met.published} of {bundle_id!r} is below {floor}, the policy's minimum",
            hint="get a newer kit; --force does not lift this",
        )
    known = state.bundles.get(bundle_id) if state is not None else None
    if known is None:
        told = "so nothing accepted before was compared" if floor is None else f"not below the minimum {floor}"
        return f"first kit of {bundle_id!r}, {told}"
    if met.rank < known.rank:  # R2
        raise RollbackError(f"{met} of {bundle_id!r}, but {known} was accepted before", hint=_FORCE)
    if met.rank == known.rank and met.manifest != known.manifest:  # R3
        raise RollbackError(
            f"{met} of {bundle_id!r} has manifest {met.manifest}, but was accepted before with {known.manifest}",
            hint=_FORCE,
        )
    return "accepted before" if met.rank == known.rank else f"newer than {known}"


def has_memory(policy: Policy, state: State | None, bundle_id: str | None) -> bool:
    """Whether :func:`check_kit` has anything to compare a kit of this bundle with."""
    if bundle_id is None:
        return False
    return bundle_id in policy.minimum_generations or (state is not None and bundle_id in state.bundles)


def check_policy(version: int, sha256: Sha256, state: State | None) -> None:
    """Compare a policy's exact bytes with the one in force.

    Raises:
        RollbackError: It is an older version.
        UntrustedError: It is another than was put in force, by other means than ``kit trust``.
    """
    if state is None or sha256 == state.policy_sha256:
        return
    if version < state.policy_version:
        raise RollbackError(f"policy version {version}, but {state.policy_version} is in force")
    raise UntrustedError(
        f"the policy was changed: digest {sha256}, but {state.policy_sha256} was put in force",
        hint="change policies with kit trust add or kit trust rotate",
    )

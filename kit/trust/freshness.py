"""Is it in its time? Rules F1 to F3; the clock is an input."""

from __future__ import annotations

from dataclasses import dataclass

from kit.errors import KitError, StaleError, UntrustedError
from kit.trust.policy import Policy
from kit.trust.trusted_key import RevocationReason, TrustedKey
from kit.values import Timestamp

_HOUR = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """When a signature was made, and whether it must still be good.

    Attributes:
        signed_at: As the signed document says; None where it does not, which is taken for ``now``.
        now: The time of the verdict.
        vouched_for: The signature is history: a later generation, whose signer had verified it, is signed over it.
            Then it must have been good when it was made, and need not be still.
    """

    signed_at: Timestamp | None
    now: Timestamp
    vouched_for: bool


def standing(key: TrustedKey, moment: Moment) -> KitError | None:
    """Tell why a key's signature does not count at that moment; None if it does."""
    signed_at = moment.signed_at or moment.now
    revoked = key.revocation
    if revoked is not None and (revoked.reason is RevocationReason.COMPROMISED or revoked.at <= signed_at):  # F1
        # Whoever has the key can write any time into what it signs, so no time proves a compromised one.
        return UntrustedError(f"key {key.label} was revoked at {revoked.at} ({revoked.reason})")
    times = (signed_at,) if moment.vouched_for else (signed_at, moment.now)
    for time in times:  # F2
        if key.not_before is not None and time < key.not_before:
            return StaleError(f"key {key.label} is good from {key.not_before} on, not at {time}")
        if key.not_after is not None and time > key.not_after:
            return StaleError(f"key {key.label} expired at {key.not_after}, before {time}")
    return None


def check_age(policy: Policy, created_at: Timestamp | None, window_hours: int | None, now: Timestamp) -> str:
    """Check that a kit is not stale; tell its age.

    Args:
        policy: Its window goes before the kit's own.
        created_at: Of the publisher's generation: a patch makes no data newer.
        window_hours: As the kit says.
        now: The time of the verdict.

    Raises:
        StaleError: It is older than the window, from the future, or of no known age where there is a window (F3).
    """
    window = policy.staleness_window_hours if policy.staleness_window_hours is not None else window_hours
    if window is None:
        return "no staleness window"
    if created_at is None:
        raise StaleError(f"the kit does not say when it was made, but may be {window:,} hours old at most")
    age = now.seconds - created_at.seconds
    if age < 0:
        raise StaleError(
            f"made at {created_at}, which is after {now}: its age cannot be told",
            hint="set the clock, or give the time with --at",
        )
    if age > window * _HOUR:
        raise StaleError(
            f"made at {created_at}, {age // _HOUR:,} hours before {now}; {window:,} are allowed",
            hint="get a newer kit; to use this one all the same, say why: --force --reason TEXT, which is recorded",
        )
    return f"{age // _HOUR:,} of {window:,} hours old"


def check_policy(policy: Policy, now: Timestamp) -> None:
    """Check that a policy is still in force.

    Raises:
        StaleError: It expired; an override does not lift this.
    """
    if policy.expires_at is not None and now > policy.expires_at:
        raise StaleError(
            f"the policy expired at {policy.expires_at}", hint="put its successor in force: kit trust rotate"
        )

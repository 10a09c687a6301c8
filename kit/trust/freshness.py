"""Rules F1 to F4: revocation, validity of keys, age of kits. The time is an argument."""

from __future__ import annotations

from dataclasses import dataclass

from kit.errors import KitError, StaleError, UntrustedError
from kit.trust.policy import Policy
from kit.trust.trusted_key import RevocationReason, TrustedKey
from kit.values import Timestamp

_HOUR = 3600
_DAY = 24 * _HOUR


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """When a signature was made, and the evidence for it.

    Attributes:
        signed_at: The time in the signed document; None if it has none, which counts as ``now``.
        now: The time of the verdict.
        kept: Whether it is history: a later generation replaced the signed one.
        covered: Whether that later generation is signed by keys that are not revoked, or was accepted before: a trusted
            signer had verified this one. Then it must have been valid when it was made, and need not be now.
        accepted: Whether exactly the signed bytes were accepted before, according to the state.
    """

    signed_at: Timestamp | None
    now: Timestamp
    kept: bool = False
    covered: bool = False
    accepted: bool = False


def key_fault(key: TrustedKey, moment: Moment) -> KitError | None:
    """Return why a key's signature does not count at a moment; None if it does."""
    return _revoked(key, moment) or _out_of_time(key, moment)


def is_revoked(key: TrustedKey, at: Timestamp) -> bool:
    """Return whether a key is revoked at a time; a compromised one is revoked at any time."""
    revoked = key.revocation
    return revoked is not None and (revoked.reason is RevocationReason.COMPROMISED or revoked.at <= at)


def _revoked(key: TrustedKey, moment: Moment) -> KitError | None:  # F1
    signed_at, revoked = moment.signed_at or moment.now, key.revocation
    if revoked is None or moment.accepted or not is_revoked(key, max(signed_at, moment.now)):
        return None
    if revoked.reason is RevocationReason.COMPROMISED:
        # A thief can write any time into what the key signs, so neither the time nor a later signer proves anything.
        return UntrustedError(
            f"key {key.label} was revoked at {revoked.at} ({revoked.reason}): none of its signatures counts",
            hint="ask for a kit signed by a key in force: kit trust show POLICY",
        )
    # Its holder wrote the time, too; only a signer who verified it then and is not revoked can confirm it.
    if moment.kept and moment.covered and signed_at < revoked.at:
        return None
    why = f"and this was signed at {signed_at}" if signed_at >= revoked.at else "and only its own date makes this older"
    return UntrustedError(
        f"key {key.label} was revoked at {revoked.at} ({revoked.reason}), {why}",
        hint="ask for the same manifest signed by a key in force: kit trust show POLICY",
    )


def _out_of_time(key: TrustedKey, moment: Moment) -> KitError | None:  # F2
    signed_at = moment.signed_at or moment.now
    times = (signed_at,) if moment.kept and moment.covered else (signed_at, moment.now)
    for time in times:
        if key.not_before is not None and time < key.not_before:
            return StaleError(f"key {key.label} is valid from {key.not_before} on, not at {time}")
        if key.not_after is not None and time > key.not_after:
            return StaleError(f"key {key.label} expired at {key.not_after}, before {time}")
    return None


def check_future(made_at: Timestamp | None, now: Timestamp) -> str:
    """Check that a generation is not from the future by more than a day, which time zones can explain.

    Raises:
        StaleError: It is (F4).
    """
    if made_at is not None and made_at.seconds - now.seconds > _DAY:
        raise StaleError(
            f"made at {made_at}, which is after {now}: nothing can be signed in the future",
            hint="set the clock, or give the time with --at",
        )
    return ""


def allowed_hours(policy: Policy, window_hours: int | None) -> int | None:
    """Return the maximum age of a kit that states ``window_hours``; None for no maximum."""
    return policy.staleness_window_hours if policy.staleness_window_hours is not None else window_hours


def check_age(policy: Policy, created_at: Timestamp | None, window_hours: int | None, now: Timestamp) -> str:
    """Return the age of a kit in words, after checking that it is not stale.

    Args:
        policy: Its window has precedence over the kit's own.
        created_at: The time of the publisher's generation: a patch makes no data newer.
        window_hours: As the kit states it.
        now: The time of the verdict.

    Raises:
        StaleError: It is older than the window, from the future, or of unknown age although there is a window (F3).
    """
    window = allowed_hours(policy, window_hours)
    if window is None:
        return "no staleness window, so no age was compared"
    if created_at is None:
        raise StaleError(f"the kit does not state when it was made, but may be {window:,} hours old at most")
    age = now.seconds - created_at.seconds
    if age < 0:
        raise StaleError(
            f"made at {created_at}, which is after {now}: its age is unknown",
            hint="set the clock, or give the time with --at",
        )
    if age > window * _HOUR:
        raise StaleError(
            f"made at {created_at}, {age // _HOUR:,} hours before {now}; {window:,} are allowed",
            hint="get a newer kit; to use this one anyway, on record: --force --reason TEXT",
        )
    return f"{age // _HOUR:,} of {window:,} hours old"


def check_policy(policy: Policy, now: Timestamp) -> None:
    """Check that a policy is still in force.

    Raises:
        StaleError: It expired, which no override excuses.
    """
    if policy.expires_at is not None and now > policy.expires_at:
        raise StaleError(
            f"the policy expired at {policy.expires_at}", hint="put its successor in force: kit trust rotate POLICY NEW"
        )

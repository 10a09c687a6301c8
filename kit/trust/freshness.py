"""Is it in its time? Rules F1 to F4; the clock is an input."""

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
    """When a signature was made, and what speaks for it besides its own word.

    Attributes:
        signed_at: As the signed document says; None where it does not, which is taken for ``now``.
        now: The time of the verdict.
        kept: The signature is history: a later generation took its place.
        covered: That generation is signed by keys that are not revoked, or was accepted before: somebody who is to be
            believed had verified this one. Then it must have been good when it was made, and need not be still.
        accepted: The very bytes that are signed were accepted before, as the state remembers.
    """

    signed_at: Timestamp | None
    now: Timestamp
    kept: bool = False
    covered: bool = False
    accepted: bool = False


def standing(key: TrustedKey, moment: Moment) -> KitError | None:
    """Return why a key's signature does not count at that moment; None if it does."""
    return _revoked(key, moment) or _out_of_time(key, moment)


def is_revoked(key: TrustedKey, at: Timestamp) -> bool:
    """Whether a key is revoked at a time; a compromised one always was."""
    revoked = key.revocation
    return revoked is not None and (revoked.reason is RevocationReason.COMPROMISED or revoked.at <= at)


def _revoked(key: TrustedKey, moment: Moment) -> KitError | None:  # F1
    signed_at, revoked = moment.signed_at or moment.now, key.revocation
    if revoked is None or moment.accepted or not is_revoked(key, max(signed_at, moment.now)):
        return None
    if revoked.reason is RevocationReason.COMPROMISED:
        # Whoever has the key can write any time into what it signs, so no time proves it, nor who built upon it.
        return UntrustedError(
            f"key {key.label} was revoked at {revoked.at} ({revoked.reason}): whatever it signed counts no more",
            hint="ask for a kit signed by a key in force: kit trust show POLICY",
        )
    # Its holder writes the time as well; only who is not revoked and verified it then can say that it was earlier.
    if moment.kept and moment.covered and signed_at < revoked.at:
        return None
    why = (
        f"and this is of {signed_at}"
        if signed_at >= revoked.at
        else "and its own word that this is older is not enough"
    )
    return UntrustedError(
        f"key {key.label} was revoked at {revoked.at} ({revoked.reason}), {why}",
        hint="ask for this very manifest signed by a key in force: kit trust show POLICY",
    )


def _out_of_time(key: TrustedKey, moment: Moment) -> KitError | None:  # F2
    signed_at = moment.signed_at or moment.now
    times = (signed_at,) if moment.kept and moment.covered else (signed_at, moment.now)
    for time in times:
        if key.not_before is not None and time < key.not_before:
            return StaleError(f"key {key.label} is good from {key.not_before} on, not at {time}")
        if key.not_after is not None and time > key.not_after:
            return StaleError(f"key {key.label} expired at {key.not_after}, before {time}")
    return None


def check_future(made_at: Timestamp | None, now: Timestamp) -> str:
    """Check that a generation is not of a time to come, by more than a time zone can explain.

    Raises:
        StaleError: It is (F4).
    """
    if made_at is not None and made_at.seconds - now.seconds > _DAY:
        raise StaleError(
            f"made at {made_at}, which is after {now}: nothing is signed in times to come",
            hint="set the clock, or give the time with --at",
        )
    return ""


def allowed_hours(policy: Policy, window_hours: int | None) -> int | None:
    """Return how old a kit that itself says ``window_hours`` may be; None where nobody says, and no age is compared."""
    return policy.staleness_window_hours if policy.staleness_window_hours is not None else window_hours


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
    window = allowed_hours(policy, window_hours)
    if window is None:
        return "no staleness window, so no age was compared"
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

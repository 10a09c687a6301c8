"""Rotation of policies: the old policy and the new one both authorise the new one (rules P3 and P4).

As in TUF 5.3, a new policy is accepted only if as many root keys signed it as the **old** policy demands, and as many
as the **new** one demands; its version is the next number. So neither a thief of the next root keys nor a holder of
retired ones can put a policy in force alone, and no version that revoked a key can be skipped.
"""

from __future__ import annotations

from kit.errors import KitError, RollbackError, UnsignedError, UntrustedError
from kit.trust.authority import Detached, Subject, authorise
from kit.trust.policy import Policy
from kit.trust.state import Anchor
from kit.trust.trusted_key import Role
from kit.values import Sha256, Timestamp

POLICY_TYPE = "application/vnd.offline-kit.trust-policy+jws"


def check_seal(policy: Policy, data: bytes, signature: bytes | None, now: Timestamp) -> None:
    """Check that a policy with root keys is signed by enough of them (P3); a policy without is not signed.

    Args:
        policy: As parsed from ``data``.
        data: Its exact bytes.
        signature: The detached JWS next to it.
        now: The time at which a root key must be valid.

    Raises:
        KitError: Unsigned, the signature is invalid, or too few valid root keys signed.
    """
    if policy.is_sealed:
        _require(policy, data, signature, now, f"policy version {policy.version}")


def check_successor(old: Policy, new: Policy, data: bytes, signature: bytes | None, now: Timestamp) -> None:
    """Check that ``new`` may replace ``old`` (P4).

    Raises:
        RollbackError: The version is not the next number.
        UntrustedError: ``new`` drops the root keys, or too few of the old or of the new ones signed it.
        KitError: Unsigned, or the signature is invalid.
    """
    if new.version != old.version + 1:
        raise RollbackError(f"version {new.version} does not follow version {old.version}")
    if old.is_sealed and not new.is_sealed:
        raise UntrustedError(
            "the new policy has no root keys: from then on, anybody who can write the file could change it"
        )
    if old.is_sealed:
        _require(old, data, signature, now, f"by the old policy, version {old.version}")
    check_seal(new, data, signature, now)


def _require(policy: Policy, data: bytes, signature: bytes | None, now: Timestamp, what: str) -> None:
    if signature is None:
        raise UnsignedError("the policy names root keys, but is not signed", where=what, hint="kit trust sign POLICY")
    anchor = Anchor(policy=policy, policy_sha256=Sha256.of(data), at=now)
    subject = Subject(what=what, role=Role.ROOT, bundle_id=None)
    try:
        authorise(anchor, subject, Detached(document=signature, payload=data, typ=POLICY_TYPE))
    except KitError as error:
        raise (error if error.where.startswith(what) else error.inside(what)) from error.__cause__

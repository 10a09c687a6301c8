"""``kit trust``: what it takes to change a policy."""

from __future__ import annotations

from pathlib import Path

from kit import publishing
from kit.errors import UsageError
from kit.ops import trust_files
from kit.ops.trust_files import PolicyFile
from kit.signing import PrivateKey, jws
from kit.trust import Policy, TrustedKey, rollback, rotation
from kit.values import Timestamp


def add(path: Path, key: TrustedKey, at: Timestamp, output: Path | None) -> Policy:
    """Make the next version of a policy, with a key that is new or replaced; in place where no root key forbids it.

    Raises:
        UsageError: The policy has root keys and no output is named.
        KitError: The policy is not in force, or the next version would not be a policy.
    """
    found = trust_files.read(path)
    found.check(at)
    after = found.policy.with_key(key)
    after.check()
    if output is not None:
        trust_files.write_beside(output, after.to_bytes(), what="trust policy")
        return after
    if found.policy.is_sealed or after.is_sealed:
        raise UsageError(
            "a policy with root keys is not changed in place",
            hint="write the next version with --output NEW, then kit trust sign NEW and kit trust rotate",
        )
    trust_files.put_in_force(path, after.to_bytes(), after, None)
    return after


def sign(path: Path, key: PrivateKey) -> tuple[str, ...]:
    """Add a signature to those beside a policy; tell whose there are.

    Raises:
        KitError: The policy or the signatures there are malformed, or the key has signed.
    """
    found = trust_files.read(path)
    document = jws.sign(found.data, [key], typ=rotation.POLICY_TYPE)
    if found.signature is not None:
        document = jws.join([found.signature, document], typ=rotation.POLICY_TYPE)
    publishing.replace(trust_files.signature_path(path), document, what="policy signature")
    return tuple(claim.key_id for claim in jws.claims(document, typ=rotation.POLICY_TYPE))


def rotate(path: Path, new: Path, at: Timestamp) -> PolicyFile:
    """Put the next version of a policy in force.

    A rotation that was cut off left the state of the new policy beside the old one; then this finishes it.

    Raises:
        KitError: The old policy is not the one in force, or does not let the new one take its place.
    """
    old, after = trust_files.read(path), trust_files.read(new)
    if old.state is None or old.state.policy_sha256 != after.sha256:
        rollback.check_policy(old.policy.version, old.sha256, old.state)
    # The old policy's own signature may be half replaced by then; its keys are what counts, and they are pinned.
    rotation.check_successor(old.policy, after.policy, after.data, after.signature, at)
    trust_files.put_in_force(path, after.data, after.policy, after.signature)
    return trust_files.read(path)

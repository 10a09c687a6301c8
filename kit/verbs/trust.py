"""``kit trust``: reads, changes and signs the files of a trust policy.

``policy.json``, ``policy.json.jws`` (of a policy with root keys) and ``policy.json.state`` are next to each other. Each
is read once and replaced as a whole. The state is updated under a lock and merged with what is there, so that of two
concurrent verdicts neither lowers what the other accepted. What the files mean is for :mod:`kit.trust`.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from kit.archive.source import read_small
from kit.errors import KitError, OutputError, UnreadableError, UntrustedError, UsageError
from kit.output import publish, secret_files
from kit.signing import PrivateKey, jws
from kit.trust import Anchor, Override, Policy, State, TrustedKey, freshness, rotation, state, state as rollback
from kit.trust.state import Accepted, OverrideRecord
from kit.values import Sha256, Timestamp

_LARGEST = 16 * 1024 * 1024
_MODE = 0o644
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyFile:
    """A policy as it is on disk, not yet believed."""

    path: Path
    data: bytes
    policy: Policy
    signature: bytes | None
    state: State | None

    @property
    def sha256(self) -> Sha256:
        """The digest of the exact bytes."""
        return Sha256.of(self.data)

    def check(self, at: Timestamp) -> None:
        """Check that this policy is in force: not changed, not expired, and signed if it must be.

        Raises:
            KitError: It is not in force; see the rules of :mod:`kit.trust`.
        """
        rollback.check_policy_rollback(self.policy.version, self.sha256, self.state)
        rotation.check_seal(self.policy, self.data, self.signature, at)
        freshness.check_policy(self.policy, at)


def state_path(policy: Path) -> Path:
    """Return the path of the state of a policy."""
    return policy.with_name(f"{policy.name}.state")


def signature_path(policy: Path) -> Path:
    """Return the path of the signature of a policy."""
    return policy.with_name(f"{policy.name}.jws")


def read(path: Path) -> PolicyFile:
    """Read a policy, its signature and its state.

    Raises:
        UnreadableError: There is no policy, or one of the files cannot be read.
        KitError: One of them is malformed.
    """
    data = read_small(path, at_most=_LARGEST)
    if data is None:
        raise UnreadableError("cannot be read: there is no such file", where=str(path), hint="kit trust init")
    state = _read_state(path)
    return PolicyFile(
        path=path,
        data=data,
        policy=Policy.parse(data, where=str(path)),
        signature=read_small(signature_path(path), at_most=_LARGEST),
        state=State.parse(state, where=str(state_path(path))) if state is not None else None,
    )


def _read_state(policy: Path) -> bytes | None:
    """Read the state of a policy; None where there is none.

    Raises:
        UntrustedError: Other users can write the state, or own it.
        UnreadableError: The state cannot be read.
    """
    place = state_path(policy)

    def check(status: os.stat_result) -> None:
        if status.st_uid not in {os.geteuid(), 0}:
            raise UntrustedError(
                f"belongs to another user ({status.st_uid}), who could make this policy forget what it accepted",
                where=str(place),
                hint="find out who put it there; verifying a kit that you trust begins a new state",
            )
        if status.st_mode & _OTHERS_WRITE:
            raise UntrustedError(
                f"others can write this trust state (mode {stat.S_IMODE(status.st_mode):04o})",
                where=str(place),
                hint=f"check that nobody changed it, then: chmod go-w {place}",
            )

    return read_small(place, at_most=_LARGEST, check=check)


def read_anchor(path: Path, at: Timestamp, override: Override | None = None) -> Anchor:
    """Read the policy from which a verdict starts.

    Raises:
        KitError: The policy cannot be read or is not in force.
    """
    found = read(path)
    try:
        found.check(at)
    except KitError as error:
        raise error.inside(str(path)) from error.__cause__
    return Anchor(policy=found.policy, policy_sha256=found.sha256, state=found.state, at=at, override=override)


def remember(
    path: Path, used: Anchor, bundle_id: str | None, accepted: Accepted, overridden: OverrideRecord | None
) -> None:
    """Record a valid kit in the state, which is read again under the lock: another verdict may have changed it.

    Raises:
        RollbackError: Meanwhile another verdict has accepted a newer kit, or another kit of this generation.
        OutputError: The state cannot be written, or the policy was replaced meanwhile.
    """
    with secret_files.lock(state_path(path), what="trust state"):
        data = _read_state(path)
        known = State.parse(data, where=str(state_path(path))) if data is not None else None
        if known is not None and known.policy_sha256 != used.policy_sha256:
            raise OutputError("the policy was replaced during this run", where=str(path), hint="start again")
        state = known or State(policy_version=used.policy.version, policy_sha256=used.policy_sha256)
        after = state
        if overridden is not None:
            after = after.with_override(overridden)
        elif bundle_id is not None:
            rollback.check_kit_rollback(used.policy, state, bundle_id, accepted)
            after = after.with_accepted(bundle_id, accepted)
        if known is None or after != known:
            publish.replace(state_path(path), after.to_bytes(), what="trust state")


def create(path: Path, policy: Policy) -> None:
    """Write a new policy, and its state unless it must be signed first.

    Raises:
        OutputError: A file exists, or cannot be written.
    """
    data = policy.to_bytes()
    publish.write_new(path, data, mode=_MODE, what="trust policy")
    if not policy.is_sealed:
        _pin(path, State(policy_version=policy.version, policy_sha256=Sha256.of(data)))


def put_in_force(path: Path, data: bytes, policy: Policy, signature: bytes | None) -> None:
    """Replace a policy by its successor; the caller has checked that it may succeed.

    The state is replaced first, the signature next, the policy last. After an interruption the old policy does not
    match the state, so nothing is valid until the rotation is repeated. An old policy is never in force unnoticed under
    a new state.

    Raises:
        OutputError: A file cannot be written.
    """
    with secret_files.lock(state_path(path), what="trust state"):
        known = _read_state(path)
        digest = Sha256.of(data)
        state = State(policy_version=policy.version, policy_sha256=digest)
        if known is not None:
            state = State.parse(known, where=str(state_path(path))).with_policy(policy.version, digest)
        _pin(path, state)
        if signature is not None:
            publish.replace(signature_path(path), signature, what="policy signature")
        publish.replace(path, data, what="trust policy")


def write_readable(path: Path, data: bytes, *, what: str) -> None:
    """Write a new file that others can read.

    Raises:
        OutputError: The file exists, or cannot be written.
    """
    publish.write_new(path, data, mode=_MODE, what=what)


def _pin(path: Path, state: State) -> None:
    publish.replace(state_path(path), state.to_bytes(), what="trust state")


def add(path: Path, key: TrustedKey, at: Timestamp, output: Path | None) -> Policy:
    """Write the next version of a policy, with a key added or replaced; in place if the policy has no root keys.

    Raises:
        UsageError: The policy has root keys and no output is named.
        KitError: The policy is not in force, or the next version would not be valid.
    """
    found = read(path)
    found.check(at)
    after = found.policy.with_key(key)
    after.check()
    if output is not None:
        write_readable(output, after.to_bytes(), what="trust policy")
        return after
    if found.policy.is_sealed or after.is_sealed:
        raise UsageError(
            "a policy with root keys is not changed in place",
            hint="write the next version with --output NEW, then kit trust sign NEW and kit trust rotate",
        )
    put_in_force(path, after.to_bytes(), after, None)
    return after


def sign(path: Path, key: PrivateKey) -> tuple[str, ...]:
    """Add a signature to those of a policy, and return the key ids of all.

    Raises:
        KitError: The policy or its signatures are malformed, or the key has signed already.
    """
    found = read(path)
    document = jws.sign(found.data, [key], typ=rotation.POLICY_TYPE)
    if found.signature is not None:
        document = jws.join([found.signature, document], typ=rotation.POLICY_TYPE)
    publish.replace(signature_path(path), document, what="policy signature")
    return tuple(claim.key_id for claim in jws.claims(document, typ=rotation.POLICY_TYPE))


def rotate(path: Path, new: Path, at: Timestamp) -> PolicyFile:
    """Put the next version of a policy in force.

    An interrupted rotation left the state of the new policy next to the old policy; then this finishes it.

    Raises:
        KitError: The old policy is not in force, or does not permit the new one to replace it.
    """
    old, after = read(path), read(new)
    if old.state is None or old.state.policy_sha256 != after.sha256:
        state.check_policy_rollback(old.policy.version, old.sha256, old.state)
    # By then the old policy's own signature may be replaced; only its keys count, and they are pinned.
    rotation.check_successor(old.policy, after.policy, after.data, after.signature, at)
    put_in_force(path, after.data, after.policy, after.signature)
    return read(path)

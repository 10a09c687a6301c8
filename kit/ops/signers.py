"""Who signed what in a kit, judged by a policy: obligations 3, 4 and the signatures of 6.

Pure: signed bytes and a policy in, key ids or an error out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar

from kit.errors import KitError, RollbackError, StaleError, UnsignedError
from kit.manifest import Manifest, PatchStatement, Step, parse_statement
from kit.ops.judgement import CheckedStep
from kit.signing import PrivateKey, dsse, jws
from kit.trust import Anchor, Role, Signing, Subject, authorised, freshness, rollback
from kit.trust.freshness import Moment
from kit.trust.state import Accepted
from kit.values import Timestamp

T = TypeVar("T")


def role_of(manifest: Manifest) -> Role:
    """Tell who has to sign a generation: its publisher if nothing was before it, else a patcher."""
    return Role.PATCHER if manifest.lineage else Role.PUBLISHER


def made_at(manifest: Manifest) -> Timestamp | None:
    """Tell when a generation was made; a foreign manifest of a patch does not say, its lineage does."""
    if manifest.lineage:
        return manifest.lineage[-1].at  # equal to createdAt where the shape is the project's own
    return manifest.created_at


def sign_off(anchor: Anchor, manifest: Manifest, data: bytes, signature: bytes, where: str) -> Signing:
    """Find those who signed a manifest and may.

    Raises:
        KitError: The signature is invalid, or too few of those who may have signed.
    """
    check = inside(where, partial(jws.verify, signature, data, anchor.policy.public_keys))
    subject = Subject(
        what=f"generation {manifest.generation}",
        role=role_of(manifest),
        bundle_id=manifest.bundle_id,
        members=() if manifest.lineage else tuple(entry.path for entry in manifest.entries),
    )
    return inside(where, partial(authorised, anchor.policy, subject, check.valid_key_ids))


def check_base(anchor: Anchor, step: Step, *, allow_unsigned: bool) -> CheckedStep:
    """Check who signed a replaced generation.

    Raises:
        KitError: The first thing that is wrong.
    """
    entry = step.entry
    if step.signature is None:
        if allow_unsigned:
            return CheckedStep(base=step.manifest)
        raise UnsignedError(
            f"generation {entry.generation} was never signed",
            where=entry.path,
            hint="it was patched with --insecure-unverified-base; patch a signed kit instead",
        )
    signing = sign_off(anchor, step.manifest, step.manifest_bytes, step.signature, str(entry.signature))
    # Its successor's signer verified it and signed over its digest: it must have been good then.
    made = made_at(step.manifest) or entry.at
    inside(entry.path, partial(require_standing, anchor, signing, made, vouched_for=True))
    return CheckedStep(base=step.manifest, signers=tuple(key.key_id for key in signing.keys))


def check_statement(anchor: Anchor, step: Step, base: CheckedStep, *, last: bool) -> CheckedStep:
    """Check the statement of what replaced a generation, and who signed it.

    Raises:
        KitError: The first thing that is wrong; the statement is not about this step, if nothing else.
    """
    entry = step.entry
    signed = inside(entry.statement, partial(dsse.verify, step.statement, anchor.policy.public_keys))
    statement = parse_statement(signed.payload, where=entry.statement)
    step.check_statement(statement)
    subject = Subject(
        what=f"the step to generation {statement.generation}",
        role=Role.PATCHER,
        bundle_id=step.manifest.bundle_id,
        members=tuple(artifact.path for artifact in statement.changed),
        only_collections=True,
    )
    signing = inside(entry.statement, partial(authorised, anchor.policy, subject, signed.check.valid_key_ids))
    inside(entry.statement, partial(require_standing, anchor, signing, entry.at, vouched_for=not last))
    return replace(base, statement=statement, statement_signers=tuple(key.key_id for key in signing.keys))


def check_changed(anchor: Anchor, successor: Manifest, signers: Sequence[str], statement: PatchStatement) -> None:
    """Check that those who signed a patched generation may sign the members that its step changed (A2).

    Raises:
        UntrustedError: They may not.
    """
    subject = Subject(
        what=f"generation {successor.generation}",
        role=Role.PATCHER,
        bundle_id=successor.bundle_id,
        members=tuple(artifact.path for artifact in statement.changed),
        only_collections=True,
    )
    authorised(anchor.policy, subject, signers)


def require_standing(anchor: Anchor, signing: Signing, signed_at: Timestamp | None, *, vouched_for: bool) -> None:
    """Check that enough signers are neither revoked nor out of their time; keys without a policy always are good.

    Raises:
        KitError: They are not.
    """
    if anchor.at is not None:
        moment = Moment(signed_at=signed_at, now=anchor.at, vouched_for=vouched_for)
        signing.require(lambda key: freshness.standing(key, moment))


def faults_in_time(
    anchor: Anchor, at: Timestamp, signing: Signing, manifest: Manifest, first: Manifest
) -> tuple[list[str], list[KitError], Accepted]:
    """Check obligation 4 to its end, also after a fault.

    Args:
        anchor: Policy and state.
        at: The time of the verdict.
        signing: Who signed the current generation.
        manifest: The current one.
        first: The publisher's.

    Returns:
        What was found good, what was not, and what the state is to remember.
    """
    met = Accepted(published=first.generation, generation=manifest.generation, manifest=manifest.sha256)
    good: list[str] = []
    faults: list[KitError] = []
    checks: tuple[Callable[[], str], ...] = (
        lambda: _in_standing(anchor, signing, manifest),
        lambda: freshness.check_age(anchor.policy, made_at(first), first.staleness_window_hours, at),
        lambda: rollback.check_kit(anchor.policy, anchor.state, manifest.bundle_id, met),
    )
    for check in checks:
        try:
            good.append(check())
        except KitError as error:
            faults.append(error)
    return good, faults, met


def may_be_overridden(fault: KitError) -> bool:
    """Whether the user may insist: on age and rollback, never on a revoked key or below the policy's floor."""
    return isinstance(fault, StaleError | RollbackError) and not isinstance(fault, rollback.BelowFloorError)


def inside(where: str, check: Callable[[], T]) -> T:
    """Run a check; its error says where."""
    try:
        return check()
    except KitError as error:
        raise error.inside(where) from error.__cause__


def _in_standing(anchor: Anchor, signing: Signing, manifest: Manifest) -> str:
    require_standing(anchor, signing, made_at(manifest), vouched_for=False)
    return "signers in good standing"


def check_patchers(trust: Anchor, keys: Sequence[PrivateKey], created_at: Timestamp) -> None:
    """Refuse at once what would be refused under the policy when it is read back.

    Raises:
        KitError: As the rules of :mod:`kit.trust` for a patcher of any bundle.
    """
    what = "the signing key" if len(keys) == 1 else "the signing keys"
    subject = Subject(what=what, role=Role.PATCHER, bundle_id=None)
    key_ids = [key.public.key_id for key in keys]
    # Which bundle and collections it will be is not known yet.
    known = (trust.policy.key(key_id) for key_id in key_ids)
    unlimited = tuple(replace(key, bundle_ids=None, collections=None) for key in known if key is not None)
    trust = replace(trust, policy=replace(trust.policy, keys=unlimited))
    signing = authorised(trust.policy, subject, key_ids)
    require_standing(trust, signing, created_at, vouched_for=False)

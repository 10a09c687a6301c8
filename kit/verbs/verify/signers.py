"""Who signed what in a kit, judged by a policy: obligations 3, 4 and the signatures of 6.

Says of each signature what it is about, in which role, and when it was made; whether its keys may and count is for
:mod:`kit.trust.authority`. Pure: signed bytes and a policy in, signers or an error out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from kit.errors import KitError, RollbackError, StaleError, UnsignedError
from kit.manifest import Manifest, PatchStatement, Step, parse_statement
from kit.signing import PrivateKey
from kit.trust import (
    Anchor,
    Detached,
    Occasion,
    OverArchive,
    Role,
    Signing,
    SigningKeys,
    Subject,
    authorise,
    freshness,
    narrow,
    open_envelope,
    state,
    weigh,
)
from kit.trust.state import Accepted
from kit.values import MemberPath, Sha256, Timestamp
from kit.verbs.verify.judgement import CheckedStep

T = TypeVar("T")


def role_of(manifest: Manifest) -> Role:
    """Return who has to sign a generation: its publisher if nothing was before it, else a patcher."""
    return Role.PATCHER if manifest.lineage else Role.PUBLISHER


def sign_off(anchor: Anchor, manifest: Manifest, data: bytes, signature: bytes, where: str) -> Signing:
    """Find those who signed a manifest as the current generation, and may; whether they count is in the result.

    Raises:
        KitError: The signature is invalid, or too few of those who may have signed.
    """
    return inside(
        where,
        partial(
            weigh,
            anchor,
            _generation(manifest),
            Detached(document=signature, payload=data),
            Occasion(signed_at=manifest.made_at, manifest=manifest.sha256),
        ),
    )


def sign_off_archive(anchor: Anchor, manifest: Manifest, archive: Sha256, signature: bytes) -> Signing:
    """Find who signed the archive of a kit (its ``.sig`` file), and may; whether they count is in the result.

    It does not say when it was made; the manifest in it is what was accepted or not.

    Raises:
        KitError: The signature is invalid, or by a key that may not sign such a kit.
    """
    subject = replace(_generation(manifest), what="the .sig file", single=True)
    over = OverArchive(document=signature, archive=archive)
    return inside("the .sig file", partial(weigh, anchor, subject, over, Occasion(manifest=manifest.sha256)))


def check_base(anchor: Anchor, step: Step, *, covered: bool, allow_unsigned: bool) -> CheckedBase:
    """Check who signed a replaced generation.

    Args:
        anchor: Whom to believe.
        step: Of the lineage.
        covered: The current generation holds for what it covers (:attr:`kit.trust.Signing.covers`).
        allow_unsigned: Accept that nobody did.

    Raises:
        KitError: The first thing that is wrong.
    """
    entry = step.entry
    if step.signature is None:
        if allow_unsigned:
            return CheckedBase(step=CheckedStep(base=step.manifest), signing=None)
        raise UnsignedError(
            f"generation {entry.generation} was never signed",
            where=entry.path,
            hint="it was made by kit patch --insecure-unverified-base; patch a signed kit instead",
        )
    occasion = Occasion(
        # Without a time of its own it is at least as old as what took its place.
        signed_at=step.manifest.made_at or entry.at,
        manifest=step.manifest.sha256,
        kept=True,
        covered=covered,
    )
    signature = Detached(document=step.signature, payload=step.manifest_bytes)
    found = inside(str(entry.signature), partial(weigh, anchor, _generation(step.manifest), signature, occasion))
    signing = inside(entry.path, found.require)
    return CheckedBase(step=CheckedStep(base=step.manifest, signers=signing.key_ids), signing=signing)


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedBase:
    """A replaced generation whose signers count; None for one that nobody signed and that was accepted."""

    step: CheckedStep
    signing: Signing | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedStatement:
    """The statement of a step, about it, by signers that count."""

    statement: PatchStatement
    signing: Signing


def check_statement(anchor: Anchor, step: Step, *, last: bool, covered: bool) -> CheckedStatement:
    """Check the statement of what replaced a generation, and who signed it.

    Args:
        anchor: Whom to believe.
        step: Of the lineage.
        last: It led to the current generation: nobody has signed over it since.
        covered: As of :func:`check_base`.

    Raises:
        KitError: The first thing that is wrong; the statement is not about this step, if nothing else.
    """
    entry = step.entry

    def read(payload: bytes) -> tuple[PatchStatement, Subject, Occasion]:
        statement = parse_statement(payload, where=entry.statement)
        step.check_statement(statement)
        what = f"the step to generation {statement.generation}"
        made = step.successor.sha256
        occasion = Occasion(signed_at=entry.at, manifest=made, kept=not last, covered=covered and not last)
        return statement, _step(what, step.manifest.bundle_id, statement), occasion

    opened = inside(entry.statement, partial(open_envelope, anchor, step.statement, read))
    return CheckedStatement(statement=opened.content, signing=opened.signing)


def check_changed(anchor: Anchor, signing: Signing, successor: Manifest, statement: PatchStatement) -> None:
    """Check that those who signed a patched generation, and count, may sign the members that its step changed (A2).

    Raises:
        UntrustedError: They may not.
    """
    narrow(anchor, signing, _step(f"generation {successor.generation}", successor.bundle_id, statement))


@dataclass(frozen=True, slots=True, kw_only=True)
class InTime:
    """What obligation 4 came to."""

    good: tuple[str, ...]
    """What was found good."""
    faults: tuple[KitError, ...]
    accepted: Accepted
    """What the state is to remember."""


def judge_time(
    anchor: Anchor, at: Timestamp, signings: Sequence[Signing], manifest: Manifest, first: Manifest
) -> InTime:
    """Check obligation 4 to its end, also after a fault.

    Args:
        anchor: Policy and state.
        at: The time of the verdict.
        signings: Who signed the current generation and, where there is such a signature, its archive.
        manifest: The current one.
        first: The publisher's.
    """
    met = Accepted(published=first.generation, generation=manifest.generation, manifest=manifest.sha256)
    good: list[str] = []
    faults: list[KitError] = []
    checks: tuple[Callable[[], str], ...] = (
        *(partial(_in_standing, signing) for signing in signings),
        lambda: freshness.check_future(manifest.made_at, at),
        lambda: freshness.check_age(anchor.policy, first.made_at, first.staleness_window_hours, at),
        lambda: state.check_kit_rollback(anchor.policy, anchor.state, manifest.bundle_id, met),
    )
    for check in checks:
        try:
            good.append(check())
        except KitError as error:
            faults.append(error)
    return InTime(good=tuple(text for text in dict.fromkeys(good) if text), faults=tuple(faults), accepted=met)


def may_be_overridden(fault: KitError) -> bool:
    """Whether the user may insist: on age and rollback, never on a revoked key or below the policy's floor."""
    return isinstance(fault, StaleError | RollbackError) and not isinstance(fault, state.BelowFloorError)


def inside(where: str, check: Callable[[], T]) -> T:
    """Run a check; its error says where."""
    try:
        return check()
    except KitError as error:
        raise (error if error.where.startswith(where) else error.inside(where)) from error.__cause__


def check_patchers(trust: Anchor, keys: Sequence[PrivateKey], created_at: Timestamp) -> None:
    """Refuse at once what would be refused under the policy when it is read back.

    Raises:
        KitError: As the rules of :mod:`kit.trust` for a patcher of any bundle.
    """
    what = "the signing key" if len(keys) == 1 else "the signing keys"
    # Which bundle and collections it will be is not known yet.
    subject = Subject(what=what, role=Role.PATCHER, bundle_id=None, any_bundle=True)
    authorise(trust, subject, SigningKeys(keys=[key.public for key in keys]), Occasion(signed_at=created_at))


def _generation(manifest: Manifest) -> Subject:
    return Subject(
        what=f"generation {manifest.generation}",
        role=role_of(manifest),
        bundle_id=manifest.bundle_id,
        members=() if manifest.lineage else _listed(manifest),
    )


def _listed(manifest: Manifest) -> tuple[MemberPath, ...]:
    return tuple(entry.path for entry in manifest.entries)


def _step(what: str, bundle_id: str | None, statement: PatchStatement) -> Subject:
    return Subject(
        what=what,
        role=Role.PATCHER,
        bundle_id=bundle_id,
        members=tuple(artifact.path for artifact in statement.changed),
        only_collections=True,
    )


def _in_standing(signing: Signing) -> str:
    signing.require()
    return "signers in good standing"

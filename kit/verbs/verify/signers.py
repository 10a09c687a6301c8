"""Who signed what in a kit, judged by a policy: obligations 3, 4 and the signatures of 6.

Determines the subject, role and time of each signature. Whether its keys are permitted and count is for
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
    Occasion,
    OverArchive,
    OverManifest,
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
    """Return the role that must sign a generation: the publisher of the first, a patcher of every other."""
    return Role.PATCHER if manifest.lineage else Role.PUBLISHER


def sign_off(anchor: Anchor, manifest: Manifest, data: bytes, signature: bytes, where: str) -> Signing:
    """Return the permitted signers of the current generation's manifest; the result states whether they count.

    Args:
        anchor: The policy to judge by.
        manifest: The manifest.
        data: Its exact bytes.
        signature: Its signature.
        where: The place of errors, which ends in the name of the signature's file where it has one.

    Raises:
        KitError: The signature is invalid, or too few permitted keys signed.
    """
    return inside(
        where,
        partial(
            weigh,
            anchor,
            _generation(manifest),
            OverManifest(document=signature, manifest=data, name=where),
            Occasion(signed_at=manifest.made_at, manifest=manifest.sha256),
        ),
    )


def sign_off_archive(anchor: Anchor, manifest: Manifest, archive: Sha256, signature: bytes) -> Signing:
    """Return the permitted signer of a kit's archive (its ``.sig`` file); the result states whether it counts.

    The file has no time of its own; what the state accepted is the manifest in the archive.

    Raises:
        KitError: The signature is invalid, or its key may not sign such a kit.
    """
    subject = replace(_generation(manifest), what="the .sig file", single=True)
    over = OverArchive(document=signature, archive=archive)
    return inside("the .sig file", partial(weigh, anchor, subject, over, Occasion(manifest=manifest.sha256)))


def check_base(anchor: Anchor, step: Step, *, covered: bool, allow_unsigned: bool) -> CheckedBase:
    """Check who signed a replaced generation.

    Args:
        anchor: The policy to judge by.
        step: The step of the lineage that replaced it.
        covered: Whether the current signers confirm what it covers (:attr:`kit.trust.Signing.covers`).
        allow_unsigned: Whether to accept a generation that nobody signed.

    Raises:
        KitError: Nobody whose signature counts signed it.
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
        # Without a time of its own it is at least as old as its successor.
        signed_at=step.manifest.made_at or entry.at,
        manifest=step.manifest.sha256,
        kept=True,
        covered=covered,
    )
    name = str(entry.signature)
    signature = OverManifest(document=step.signature, manifest=step.manifest_bytes, name=name)
    found = inside(name, partial(weigh, anchor, _generation(step.manifest), signature, occasion))
    signing = inside(entry.path, found.require)
    return CheckedBase(step=CheckedStep(base=step.manifest, signers=signing.key_ids), signing=signing)


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedBase:
    """A replaced generation and its signers, who count; None if an unsigned one was accepted."""

    step: CheckedStep
    signing: Signing | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedStatement:
    """The statement about a step, by signers that count."""

    statement: PatchStatement
    signing: Signing


def check_statement(anchor: Anchor, step: Step, *, last: bool, covered: bool) -> CheckedStatement:
    """Check the statement about a step, and who signed it.

    Args:
        anchor: The policy to judge by.
        step: The step of the lineage.
        last: Whether it led to the current generation, so that no later signature covers it.
        covered: As in :func:`check_base`.

    Raises:
        KitError: Nobody whose signature counts signed it, or it is not about this step.
    """
    entry = step.entry

    def read(payload: bytes) -> tuple[PatchStatement, Subject, Occasion]:
        statement = parse_statement(payload, where=entry.statement)
        step.check_statement(statement)
        what = f"the step to generation {statement.generation}"
        made = step.successor.sha256
        occasion = Occasion(signed_at=entry.at, manifest=made, kept=not last, covered=covered and not last)
        return statement, _step(what, step.successor, statement), occasion

    opened = inside(entry.statement, partial(open_envelope, anchor, step.statement, read))
    return CheckedStatement(statement=opened.content, signing=opened.signing)


def check_changed(anchor: Anchor, signing: Signing, successor: Manifest, statement: PatchStatement) -> None:
    """Check that the signers of a patched generation may sign the members that its step changed (A2).

    Raises:
        UntrustedError: They may not.
    """
    narrow(anchor, signing, _step(f"generation {successor.generation}", successor, statement))


@dataclass(frozen=True, slots=True, kw_only=True)
class InTime:
    """The result of obligation 4."""

    good: tuple[str, ...]
    """The checks that passed, in words."""
    faults: tuple[KitError, ...]
    accepted: Accepted
    """What the state will record."""


def judge_time(
    anchor: Anchor, at: Timestamp, signings: Sequence[Signing], manifest: Manifest, first: Manifest
) -> InTime:
    """Run every check of obligation 4, even after a fault.

    Args:
        anchor: The policy and its state.
        at: The time of the verdict.
        signings: The signers of the current generation and, if there is a ``.sig`` file, of its archive.
        manifest: The current manifest.
        first: The publisher's manifest.
    """
    accepted = Accepted(published=first.generation, generation=manifest.generation, manifest=manifest.sha256)
    good: list[str] = []
    faults: list[KitError] = []
    checks: tuple[Callable[[], str], ...] = (
        *(partial(_check_standing, signing) for signing in signings),
        lambda: freshness.check_future(manifest.made_at, at),
        lambda: freshness.check_age(anchor.policy, first.made_at, first.staleness_window_hours, at),
        lambda: state.check_kit_rollback(anchor.policy, anchor.state, manifest.bundle_id, accepted),
    )
    for check in checks:
        try:
            good.append(check())
        except KitError as error:
            faults.append(_with_record(error, anchor, accepted, manifest))
    return InTime(good=tuple(text for text in dict.fromkeys(good) if text), faults=tuple(faults), accepted=accepted)


def _with_record(fault: KitError, anchor: Anchor, accepted: Accepted, manifest: Manifest) -> KitError:
    """Return a fault whose hint has the latest override of exactly this kit, if there was one."""
    records = anchor.state.overrides if anchor.state is not None else ()
    latest = next((one for one in reversed(records) if one.manifest == manifest.sha256), None)
    if latest is not None and may_be_overridden(fault):
        fault.hint = (
            f"{accepted} was forced at {latest.at} ({latest.reason}); until there is a newer one, each verdict of "
            "it is forced on record: --force --reason TEXT"
        )
    return fault


def may_be_overridden(fault: KitError) -> bool:
    """Return whether a user may override: age and rollback, but no revoked key and not the policy's minimum."""
    return isinstance(fault, StaleError | RollbackError) and not isinstance(fault, state.BelowFloorError)


def inside(where: str, check: Callable[[], T]) -> T:
    """Run a check, and add the place to its error."""
    try:
        return check()
    except KitError as error:
        raise (error if error.where.startswith(where) else error.inside(where)) from error.__cause__


def check_patchers(trust: Anchor, keys: Sequence[PrivateKey], created_at: Timestamp) -> None:
    """Check before a patch that the policy will accept its signatures when the result is read back.

    Raises:
        KitError: By the rules of :mod:`kit.trust`, the keys may not sign as patchers of any bundle.
    """
    what = "the signing key" if len(keys) == 1 else "the signing keys"
    # The bundle and the collections are not known yet.
    subject = Subject(what=what, role=Role.PATCHER, bundle_id=None, any_bundle=True)
    authorise(trust, subject, SigningKeys(keys=[key.public for key in keys]), Occasion(signed_at=created_at))


def _generation(manifest: Manifest) -> Subject:
    return Subject(
        what=f"generation {manifest.generation}",
        role=role_of(manifest),
        bundle_id=manifest.bundle_id,
        members=() if manifest.lineage else _listed_paths(manifest),
        collections=manifest.table,
    )


def _listed_paths(manifest: Manifest) -> tuple[MemberPath, ...]:
    return tuple(entry.path for entry in manifest.entries)


def _step(what: str, successor: Manifest, statement: PatchStatement) -> Subject:
    return Subject(
        what=what,
        role=Role.PATCHER,
        bundle_id=successor.bundle_id,
        members=tuple(artifact.path for artifact in statement.changed),
        collections=successor.table,
        only_collections=True,
    )


def _check_standing(signing: Signing) -> str:
    signing.require()
    return "signers in good standing"

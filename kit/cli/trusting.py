"""Whom to believe: the options that say so, shared by every command that judges, and what a policy then remembers."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from kit.cli.places import POLICY
from kit.errors import KitError, OutputError, UsageError
from kit.values import Timestamp

if TYPE_CHECKING:
    from kit.ops.obligations import Judgement
    from kit.trust import Anchor, Override

Command = TypeVar("Command", bound=Callable[..., Any])


def policy_option(command: Command) -> Command:
    """A trust policy instead of bare keys."""
    return click.option(
        "--trust",
        "policy",
        type=POLICY,
        metavar="POLICY",
        help="A trust policy (kit trust init). Its state, in POLICY.state, detects rollbacks.",
    )(command)


def time_option(command: Command) -> Command:
    """The time to judge at."""
    return click.option(
        "--at", "at", metavar="TIME", help="Judge as of this time (RFC 3339 UTC or seconds). Default: the clock."
    )(command)


def override_options(told: str) -> Callable[[Command], Command]:
    """Insist, against what the policy remembers: --force, of which ``told`` says what it does here, and --reason."""

    def with_both(command: Command) -> Command:
        reason = click.option("--reason", metavar="TEXT", help="Why --force is given, for the record.")
        return click.option("--force", is_flag=True, help=told)(reason(command))

    return with_both


def unverified_option(command: Command) -> Command:
    """Go on without signatures that count."""
    return click.option(
        "--insecure-unverified-base",
        "insecure",
        is_flag=True,
        help="Accept a kit with unverified signatures. The report is marked as such.",
    )(command)


def require_one_trust(trusted_keys: tuple[Path, ...], policy: Path | None, *, insecure: bool) -> None:
    """Check that exactly one of the three ways was said.

    Raises:
        UsageError: None was, or several.
    """
    if insecure and (trusted_keys or policy):
        raise UsageError("--insecure-unverified-base and --trusted-key exclude each other, --trust too")
    if policy is not None and trusted_keys:
        raise UsageError("--trust and --trusted-key exclude each other: a policy names its keys")
    if not insecure and not trusted_keys and policy is None:
        raise UsageError("name the publisher's key with --trusted-key (or use --insecure-unverified-base)")


def anchor(policy: Path | None, at: Timestamp, *, force: bool = False, reason: str | None = None) -> Anchor | None:
    """Read the policy, if one is named.

    Raises:
        UsageError: ``--force`` and ``--reason`` do not come together, or without a policy.
        KitError: The policy cannot be read, or is not the one in force.
    """
    insisted = override(force=force, reason=reason)
    if policy is None:
        if force:
            raise UsageError("--force needs --trust: keys without a policy have nothing to override")
        return None
    from kit.ops import trust_files

    return trust_files.anchor(policy, at, insisted)


def override(*, force: bool, reason: str | None) -> Override | None:
    """Return what the user insists on, if anything.

    Raises:
        UsageError: ``--force`` and ``--reason`` do not come together.
    """
    from kit.trust import Override

    if force != bool(reason):
        raise UsageError(
            "--force needs --reason TEXT, and --reason needs --force: an override is recorded with its reason"
        )
    return Override(reason=reason) if reason else None


def remember_if_possible(policy: Path | None, trust: Anchor | None, judgement: Judgement | None) -> OutputError | None:
    """Put a kit into the state as :func:`remember`; where that lies on what cannot be written, return why not.

    A verdict on read-only media is still one, as long as nothing says that it will be remembered.

    Raises:
        KitError: As :func:`kit.ops.trust_files.remember`, for any other reason.
    """
    try:
        remember(policy, trust, judgement)
    except OutputError as error:
        cause = error.__cause__
        if isinstance(cause, OSError) and cause.errno in {errno.EROFS, errno.EACCES, errno.EPERM}:
            return error
        raise
    return None


class Remembering:
    """Puts a kit that was installed into the state of the policy, while the job that installed it can be resumed.

    What is in its way does not undo the job: it is raised, or read, when that is over.
    """

    def __init__(self, policy: Path | None, trust: Anchor | None) -> None:
        """Remember under ``policy``, if there is one."""
        self._policy, self._trust = policy, trust
        self.failure: KitError | None = None

    def __call__(self, judgement: Judgement) -> None:
        """Remember the kit that ``judgement`` is about."""
        try:
            remember(self._policy, self._trust, judgement)
        except KitError as error:
            error.what = f"the kit is in its place, but it is not in the state of the policy: {error.what}"
            error.hint = error.hint or "once that is solved, kit verify --trust records it"
            self.failure = error

    def check(self) -> None:
        """Raise what was in the way.

        Raises:
            KitError: As :func:`remember`.
        """
        if self.failure is not None:
            raise self.failure


def remember(policy: Path | None, trust: Anchor | None, judgement: Judgement | None) -> None:
    """Put a kit that was found valid, or insisted on, into the state of the policy, if there is one.

    Raises:
        KitError: As :func:`kit.ops.trust_files.remember`.
    """
    if policy is None or trust is None or judgement is None:
        return
    from kit.ops import trust_files

    if judgement.manifest is not None and judgement.accepted is not None:
        bundle = judgement.manifest.bundle_id
        trust_files.remember(policy, trust, bundle, judgement.accepted, judgement.override)

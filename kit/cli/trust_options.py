"""The trust options, shared by every command that judges a kit, and the update of a policy's state."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from kit.cli.output import note_names
from kit.cli.paths import POLICY
from kit.cli.settings.options import POLICY_YIELDS_TO, ConfiguredOption
from kit.errors import KitError, OutputError, UsageError
from kit.values import Timestamp

if TYPE_CHECKING:
    from kit.trust import Anchor, Override
    from kit.verbs.verify.obligations import Judgement

Command = TypeVar("Command", bound=Callable[..., Any])


def policy_option(command: Command) -> Command:
    """Add ``--trust``."""
    return configured_policy_option()(command)


def configured_policy_option(needs: str | None = None) -> Callable[[Command], Command]:
    """Add ``--trust``; its setting is used only with the parameter ``needs``."""
    return click.option(
        "--trust",
        "policy",
        cls=ConfiguredOption,
        setting="trust",
        yields_to=POLICY_YIELDS_TO,
        needs=needs,
        type=POLICY,
        metavar="POLICY",
        help="A trust policy (kit trust init). Its state, in POLICY.state, detects rollbacks. Also KIT_TRUST.",
    )


def time_option(command: Command) -> Command:
    """Add ``--at``."""
    return click.option(
        "--at", "at", metavar="TIME", help="Judge as of this time (RFC 3339 UTC or seconds). Default: the clock."
    )(command)


def override_options(help_text: str) -> Callable[[Command], Command]:
    """Add ``--force``, with this help, and ``--reason``: they override what the policy remembers."""

    def with_both(command: Command) -> Command:
        reason = click.option("--reason", metavar="TEXT", help="Why --force is given, for the record.")
        return click.option("--force", is_flag=True, help=help_text)(reason(command))

    return with_both


def unverified_option(command: Command) -> Command:
    """Add ``--insecure-unverified-base``."""
    return click.option(
        "--insecure-unverified-base",
        "insecure",
        is_flag=True,
        help="Accept a kit with unverified signatures. The report is marked as such.",
    )(command)


def require_one_trust(trusted_keys: tuple[Path, ...], policy: Path | None, *, insecure: bool) -> None:
    """Check that exactly one of ``--trusted-key``, ``--trust`` and ``--insecure-unverified-base`` is given.

    Raises:
        UsageError: None is, or several are.
    """
    if insecure and (trusted_keys or policy):
        raise UsageError("--insecure-unverified-base excludes --trusted-key and --trust")
    if policy is not None and trusted_keys:
        raise UsageError("--trust and --trusted-key exclude each other: a policy names its keys")
    if not insecure and not trusted_keys and policy is None:
        raise UsageError("name the publisher's key with --trusted-key (or use --insecure-unverified-base)")


def read_anchor(policy: Path | None, at: Timestamp, *, force: bool = False, reason: str | None = None) -> Anchor | None:
    """Return the anchor of the policy, if one is named.

    Raises:
        UsageError: ``--force`` is given without ``--reason`` or without a policy.
        KitError: The policy cannot be read, or is not the one in force.
    """
    insisted = make_override(force=force, reason=reason)
    if policy is None:
        if force:
            raise UsageError("--force needs --trust: keys without a policy have nothing to override")
        return None
    from kit.verbs import trust

    anchor = trust.read_anchor(policy, at, insisted)
    note_names({key.key_id: key.name for key in anchor.policy.keys if key.name is not None})
    return anchor


def make_override(*, force: bool, reason: str | None) -> Override | None:
    """Return the override of ``--force`` and ``--reason``, if given.

    Raises:
        UsageError: One is given without the other.
    """
    from kit.trust import Override

    if force != bool(reason):
        raise UsageError(
            "--force needs --reason TEXT, and --reason needs --force: an override is recorded with its reason"
        )
    return Override(reason=reason) if reason else None


def require_memory(policy: Path | None, *, is_left_alone: bool, force: bool) -> None:
    """Check that ``--no-remember`` has a memory to leave alone, and no override that must be recorded.

    Raises:
        UsageError: There is no policy, or ``--force`` is given.
    """
    if not is_left_alone:
        return
    if policy is None:
        raise UsageError("--no-remember needs --trust: keys without a policy have no memory")
    if force:
        raise UsageError("--no-remember and --force exclude each other: an override is recorded")


def record_kit_if_possible(
    policy: Path | None, trust: Anchor | None, judgement: Judgement | None
) -> OutputError | None:
    """Record a kit as :func:`record_kit` does; return the error if the state is on a read-only medium.

    A verdict on read-only media is still a verdict, as long as the user is warned that it is not recorded. One that was
    forced is none without its record.

    Raises:
        KitError: As for :func:`kit.verbs.trust.remember`, for any other reason, or the verdict was forced.
    """
    try:
        record_kit(policy, trust, judgement)
    except OutputError as error:
        cause = error.__cause__
        if judgement is not None and judgement.override is not None:
            error.hint = "an override counts only with its record: put the policy where its state can be written"
            raise
        if isinstance(cause, OSError) and cause.errno in {errno.EROFS, errno.EACCES, errno.EPERM}:
            return error
        raise
    return None


class StateRecorder:
    """Records an installed kit in the state of the policy, while the job that installed it can still be resumed.

    A failure does not undo the job: it is kept, and raised or printed when the job is over.
    """

    def __init__(self, policy: Path | None, trust: Anchor | None) -> None:
        """Record under ``policy``, if there is one."""
        self._policy, self._trust = policy, trust
        self.failure: KitError | None = None

    def __call__(self, judgement: Judgement) -> None:
        """Record the kit of ``judgement``."""
        try:
            record_kit(self._policy, self._trust, judgement)
        except KitError as error:
            error.what = f"the kit is in its place, but it is not in the state of the policy: {error.what}"
            error.hint = error.hint or "once that is solved, kit verify --trust records it"
            self.failure = error

    def check(self) -> None:
        """Raise the failure, if there was one.

        Raises:
            KitError: As for :func:`record_kit`.
        """
        if self.failure is not None:
            raise self.failure


def record_kit(policy: Path | None, trust: Anchor | None, judgement: Judgement | None) -> None:
    """Record a kit that is valid or forced in the state of the policy, if there is one.

    Raises:
        KitError: As for :func:`kit.verbs.trust.remember`.
    """
    if policy is None or trust is None or judgement is None:
        return
    from kit.verbs import trust as trust_files

    if judgement.manifest is not None and judgement.accepted is not None:
        bundle = judgement.manifest.bundle_id
        trust_files.remember(policy, trust, bundle, judgement.accepted, judgement.override)

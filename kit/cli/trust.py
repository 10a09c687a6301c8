"""``kit trust``: policies are made, changed, signed and put in force."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kit.cli.choices import ALGORITHMS, REASONS, ROLES
from kit.cli.collisions import Group
from kit.cli.options import FILE, json_option, passphrase_option, private_key
from kit.cli.output import print_report
from kit.cli.places import CHANGED_POLICY, NEW, POLICY, SIGNED
from kit.cli.times import moment
from kit.cli.trusting import time_option
from kit.errors import UsageError
from kit.values import Timestamp

if TYPE_CHECKING:
    from kit.trust import Role

_ROLE = click.Choice(ROLES)


@click.group("trust", cls=Group)
def trust_group() -> None:
    """Make, show and change trust policies: whom to believe, for what, until when."""


def _key_options(command: Any) -> Any:
    for option in reversed(
        (
            click.option(
                "--role", "roles", type=_ROLE, multiple=True, required=True, help="What it signs; repeatable."
            ),
            click.option("--name", metavar="NAME", help="Whose key it is, for people."),
            click.option("--bundle-id", "bundles", multiple=True, metavar="ID", help="It signs only this; repeatable."),
            click.option(
                "--collection", "collections", multiple=True, metavar="DB.COLL", help="It signs only this; repeatable."
            ),
            click.option("--not-before", metavar="TIME", help="It signs nothing before."),
            click.option("--not-after", metavar="TIME", help="It signs nothing after."),
        )
    ):
        command = option(command)
    return command


@trust_group.command("init")
@click.argument("policy", type=CHANGED_POLICY)
@click.option(
    "--key",
    "keys",
    type=(FILE, str),
    multiple=True,
    required=True,
    metavar="PEM ROLE[,ROLE]",
    help=f"A public key and what it signs ({', '.join(ROLES)}); repeatable.",
)
@click.option(
    "--threshold",
    "thresholds",
    type=(_ROLE, click.IntRange(1)),
    multiple=True,
    metavar="ROLE N",
    help="So many keys must sign.",
)
@click.option(
    "--algorithm",
    "algorithms",
    type=click.Choice(ALGORITHMS),
    multiple=True,
    help="Allow only these.",
)
@click.option(
    "--minimum-generation",
    "floors",
    type=(str, click.IntRange(0)),
    multiple=True,
    metavar="BUNDLE N",
    help="Accept nothing older.",
)
@click.option("--staleness-hours", type=click.IntRange(0), metavar="N", help="Instead of what kits say of themselves.")
@click.option("--expires-at", metavar="TIME", help="Nothing is valid under the policy afterwards.")
@json_option
def init_command(
    policy: Path,
    keys: tuple[tuple[Path, str], ...],
    thresholds: tuple[tuple[str, int], ...],
    algorithms: tuple[str, ...],
    floors: tuple[tuple[str, int], ...],
    staleness_hours: int | None,
    expires_at: str | None,
    as_json: bool,
) -> None:
    """Make version 1 of a policy at POLICY, and its state beside it.

    A policy that names root keys must be signed by them before anything is valid under it: kit trust sign.

    \b
    Example:
      kit trust init policy.json --key publisher.pub.pem publisher --key site.pub.pem patcher
    """
    from kit.ops import trust_files
    from kit.reports.policies import policy_json, policy_lines
    from kit.signing import Algorithm, load_public
    from kit.trust import Policy, Role, TrustedKey

    made = Policy(
        version=1,
        keys=tuple(TrustedKey(key=load_public(path), roles=_roles(roles)) for path, roles in keys),
        thresholds={Role(role): count for role, count in thresholds},
        algorithms=frozenset(Algorithm(name) for name in algorithms) or frozenset(Algorithm),
        minimum_generations=dict(floors),
        staleness_window_hours=staleness_hours,
        expires_at=_time(expires_at, "--expires-at"),
    )
    made.check()
    trust_files.create(policy, made)
    print_report(
        policy_lines(made, made.sha256), policy_json(made, made.sha256), as_json=as_json, done="the policy is made"
    )


@trust_group.command("add")
@click.argument("policy", type=CHANGED_POLICY)
@click.argument("key", type=FILE)
@_key_options
@click.option("--revoke", type=click.Choice(REASONS), help="Why it is revoked.")
@click.option("--output", "-o", type=NEW, metavar="NEW", help="Write the next version here, to be signed.")
@time_option
@json_option
def add_command(
    policy: Path,
    key: Path,
    roles: tuple[str, ...],
    name: str | None,
    bundles: tuple[str, ...],
    collections: tuple[str, ...],
    not_before: str | None,
    not_after: str | None,
    revoke: str | None,
    output: Path | None,
    at: str | None,
    as_json: bool,
) -> None:
    """Add KEY to POLICY, or replace what the policy says of it, as the next version.

    A policy with root keys is not changed in place: the next version is written to NEW, signed by the root keys (kit
    trust sign) and put in force (kit trust rotate).

    \b
    Examples:
      kit trust add policy.json site-b.pub.pem --role patcher --collection '*.advisory_observations'
      kit trust add policy.json site-b.pub.pem --role patcher --revoke compromised
    """
    from kit.ops import trusting
    from kit.reports.policies import policy_json, policy_lines
    from kit.signing import load_public
    from kit.trust import Revocation, RevocationReason, Role, TrustedKey

    now = moment(at)
    added = TrustedKey(
        key=load_public(key),
        roles=frozenset(Role(role) for role in roles),
        name=name,
        bundle_ids=frozenset(bundles) or None,
        collections=frozenset(collections) or None,
        not_before=_time(not_before, "--not-before"),
        not_after=_time(not_after, "--not-after"),
        revocation=Revocation(at=now, reason=RevocationReason(revoke)) if revoke else None,
    )
    after = trusting.add(policy, added, now, output)
    print_report(
        policy_lines(after, after.sha256),
        policy_json(after, after.sha256),
        as_json=as_json,
        done="the policy is written",
    )


@trust_group.command("sign")
@click.argument("policy", type=CHANGED_POLICY)
@click.option("--signing-key", type=FILE, metavar="PEM", required=True, help="A root key of this policy or the last.")
@passphrase_option
@json_option
def sign_command(policy: Path, signing_key: Path, passphrase_fd: int | None, as_json: bool) -> None:
    """Add a root key's signature to POLICY.jws; repeat with each key that must sign.

    \b
    Example:
      kit trust sign policy-2.json --signing-key root.pem
    """
    from kit.ops import trusting

    key = private_key(signing_key, passphrase_fd)
    signers = trusting.sign(policy, key)
    print_report(
        [f"signed by {key_id}" for key_id in signers],
        {"policy": str(policy), "signers": list(signers)},
        as_json=as_json,
        done="the policy is signed",
    )


@trust_group.command("rotate")
@click.argument("policy", type=CHANGED_POLICY)
@click.argument("new", type=SIGNED)
@time_option
@json_option
def rotate_command(policy: Path, new: Path, at: str | None, as_json: bool) -> None:
    """Put NEW in force in the place of POLICY.

    NEW must be the very next version, signed by as many root keys as POLICY demands and as many as NEW demands.

    \b
    Example:
      kit trust rotate policy.json policy-2.json
    """
    from kit.ops import trusting
    from kit.reports.policies import policy_json, policy_lines

    after = trusting.rotate(policy, new, moment(at))
    print_report(
        policy_lines(after.policy, after.sha256),
        policy_json(after.policy, after.sha256),
        as_json=as_json,
        done="the policy is in force",
    )


@trust_group.command("show")
@click.argument("policy", type=POLICY)
@time_option
@json_option
def show_command(policy: Path, at: str | None, as_json: bool) -> None:
    """Show POLICY and what was accepted under it; refuses one that is not in force.

    \b
    Example:
      kit trust show policy.json
    """
    from kit.ops import trust_files
    from kit.reports.policies import policy_json, policy_lines

    found = trust_files.read(policy)
    found.check(moment(at))
    print_report(
        policy_lines(found.policy, found.sha256, found.state),
        policy_json(found.policy, found.sha256, found.state),
        as_json=as_json,
    )


def _roles(text: str) -> frozenset[Role]:
    from kit.trust import Role

    try:
        return frozenset(Role(role) for role in text.split(","))
    except ValueError as error:
        raise UsageError(f"--key: {text!r} names no role; roles are {', '.join(ROLES)}") from error


def _time(text: str | None, option: str) -> Timestamp | None:
    return moment(text, option) if text is not None else None

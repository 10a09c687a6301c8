"""``kit trust``: create, change, sign, show and rotate trust policies."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kit.cli.options import (
    ALGORITHMS,
    FILE,
    REASONS,
    ROLES,
    json_option,
    load_signing_key,
    passphrase_option,
    time_or_now,
)
from kit.cli.output import print_report
from kit.cli.paths import CHANGED_POLICY, NEW, POLICY, SIGNED, SIGNING_KEY, Group
from kit.cli.places import SecretSource
from kit.cli.trust_options import time_option
from kit.errors import UsageError
from kit.values import Timestamp

if TYPE_CHECKING:
    from kit.trust import Role

_ROLE = click.Choice(ROLES)


@click.group("trust", cls=Group)
def trust_group() -> None:
    """Create, change and show trust policies.

    A policy lists the trusted keys, what each may sign, and until when.
    """


def _key_options(command: Any) -> Any:
    for option in reversed(
        (
            click.option(
                "--role", "roles", type=_ROLE, multiple=True, required=True, help="A role of the key. Repeatable."
            ),
            click.option("--name", metavar="NAME", help="The owner of the key, for people."),
            click.option(
                "--bundle-id", "bundles", multiple=True, metavar="ID", help="Trust it for this bundle only. Repeatable."
            ),
            click.option(
                "--collection",
                "collections",
                multiple=True,
                metavar="DB.COLL",
                help="Trust it for this collection only. Repeatable.",
            ),
            click.option("--not-before", metavar="TIME", help="Trust nothing that it signed before this time."),
            click.option("--not-after", metavar="TIME", help="Trust nothing that it signed after this time."),
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
    help=f"A public key and its roles ({', '.join(ROLES)}). Repeatable.",
)
@click.option(
    "--name",
    "names",
    type=(FILE, str),
    multiple=True,
    metavar="PEM NAME",
    help="Who holds a key that is given with --key. Reports show the name. Repeatable.",
)
@click.option(
    "--threshold",
    "thresholds",
    type=(_ROLE, click.IntRange(1)),
    multiple=True,
    metavar="ROLE N",
    help="Demand signatures of N keys with this role.",
)
@click.option(
    "--algorithm",
    "algorithms",
    type=click.Choice(ALGORITHMS),
    multiple=True,
    help="Accept only this algorithm. Repeatable.",
)
@click.option(
    "--minimum-generation",
    "floors",
    type=(str, click.IntRange(0)),
    multiple=True,
    metavar="BUNDLE N",
    help="Accept no older generation of this bundle.",
)
@click.option(
    "--staleness-hours",
    type=click.IntRange(0),
    metavar="N",
    help="Refuse kits older than N hours, instead of the limit that kits declare.",
)
@click.option("--expires-at", metavar="TIME", help="Accept nothing under the policy after this time.")
@json_option
def init_command(
    policy: Path,
    keys: tuple[tuple[Path, str], ...],
    names: tuple[tuple[Path, str], ...],
    thresholds: tuple[tuple[str, int], ...],
    algorithms: tuple[str, ...],
    floors: tuple[tuple[str, int], ...],
    staleness_hours: int | None,
    expires_at: str | None,
    as_json: bool,
) -> None:
    """Create version 1 of a policy at POLICY, with its state.

    A policy with root keys takes effect once they have signed it (kit trust sign).

    \b
    Example:
      kit trust init policy.json --key publisher.pub.pem publisher --key site.pub.pem patcher \\
        --name publisher.pub.pem "Harbour Ltd" --name site.pub.pem "Site 4"
    """
    from kit.reports.inspect import policy_json, policy_lines
    from kit.signing import Algorithm, load_public
    from kit.trust import Policy, Role, TrustedKey
    from kit.verbs import trust

    loaded = [(load_public(path), roles) for path, roles in keys]
    named = {load_public(path).key_id: name for path, name in names}
    _require_names(named, {key.key_id for key, _ in loaded})
    made = Policy(
        version=1,
        keys=tuple(
            TrustedKey(key=key, roles=_parse_roles(roles), name=named.pop(key.key_id, None)) for key, roles in loaded
        ),
        thresholds={Role(role): count for role, count in thresholds},
        algorithms=frozenset(Algorithm(name) for name in algorithms) or frozenset(Algorithm),
        minimum_generations=dict(floors),
        staleness_window_hours=staleness_hours,
        expires_at=_parse_time(expires_at, "--expires-at"),
    )
    made.check()
    trust.create(policy, made)
    print_report(
        policy_lines(made, made.sha256), policy_json(made, made.sha256), as_json=as_json, done="the policy is made"
    )


@trust_group.command("add")
@click.argument("policy", type=CHANGED_POLICY)
@click.argument("key", type=FILE)
@_key_options
@click.option("--revoke", type=click.Choice(REASONS), help="Revoke the key, for this reason.")
@click.option("--output", "-o", type=NEW, metavar="NEW", help="Write the next version to NEW, to be signed.")
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
    """Add KEY to POLICY, or replace its entry, as the next version.

    A policy with root keys is not changed in place. The next version is written to NEW. The root keys sign it (kit
    trust sign), and kit trust rotate puts it in force.

    \b
    Examples:
      kit trust add policy.json site-b.pub.pem --role patcher --collection '*.advisory_observations'
      kit trust add policy.json site-b.pub.pem --role patcher --revoke compromised
    """
    from kit.reports.inspect import policy_json, policy_lines
    from kit.signing import load_public
    from kit.trust import Revocation, RevocationReason, Role, TrustedKey
    from kit.verbs import trust

    now = time_or_now(at)
    added = TrustedKey(
        key=load_public(key),
        roles=frozenset(Role(role) for role in roles),
        name=name,
        bundle_ids=frozenset(bundles) or None,
        collections=frozenset(collections) or None,
        not_before=_parse_time(not_before, "--not-before"),
        not_after=_parse_time(not_after, "--not-after"),
        revocation=Revocation(at=now, reason=RevocationReason(revoke)) if revoke else None,
    )
    after = trust.add(policy, added, now, output)
    print_report(
        policy_lines(after, after.sha256),
        policy_json(after, after.sha256),
        as_json=as_json,
        done="the policy is written",
    )


@trust_group.command("sign")
@click.argument("policy", type=CHANGED_POLICY)
@click.option(
    "--signing-key",
    type=SIGNING_KEY,
    metavar="PEM",
    required=True,
    help="A root key of this policy or of the previous version. A file, env:NAME, fd:N or pkcs11:URI.",
)
@passphrase_option
@json_option
def sign_command(
    policy: Path, signing_key: Path | SecretSource, passphrase_fd: int | SecretSource | None, as_json: bool
) -> None:
    """Add a root key's signature to POLICY.jws.

    Repeat the command with each key that must sign.

    \b
    Example:
      kit trust sign policy-2.json --signing-key root.pem
    """
    from kit.verbs import trust

    key = load_signing_key(signing_key, passphrase_fd)
    signers = trust.sign(policy, key)
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
    """Put the policy NEW in force instead of POLICY.

    NEW must be the next version. It must be signed by as many root keys as POLICY demands, and as NEW demands.

    \b
    Example:
      kit trust rotate policy.json policy-2.json
    """
    from kit.reports.inspect import policy_json, policy_lines
    from kit.verbs import trust

    after = trust.rotate(policy, new, time_or_now(at))
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
    """Show POLICY and what was accepted under it.

    A policy that is not in force is refused.

    \b
    Example:
      kit trust show policy.json
    """
    from kit.reports.inspect import policy_json, policy_lines
    from kit.verbs import trust

    found = trust.read(policy)
    found.check(time_or_now(at))
    print_report(
        policy_lines(found.policy, found.sha256, found.state),
        policy_json(found.policy, found.sha256, found.state),
        as_json=as_json,
    )


def _require_names(named: dict[str, str], key_ids: set[str]) -> None:
    if others := sorted(named.keys() - key_ids):
        raise UsageError(f"--name: key {others[0]} is not given with --key")
    if not all(named.values()):
        raise UsageError("--name: the name is empty")


def _parse_roles(text: str) -> frozenset[Role]:
    from kit.trust import Role

    try:
        return frozenset(Role(role) for role in text.split(","))
    except ValueError as error:
        raise UsageError(f"--key: {text!r} is not a list of roles; the roles are {', '.join(ROLES)}") from error


def _parse_time(text: str | None, option: str) -> Timestamp | None:
    return time_or_now(text, option) if text is not None else None

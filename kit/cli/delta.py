"""``kit delta``: build, apply, inspect, verify and squash deltas.

Options that the commands of ``kit delta`` share.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kit.cli.commands import Commands, Home
from kit.cli.encryption_options import credential_options
from kit.cli.options import (
    FILE,
    load_trusted_keys,
    passphrase_option,
    signing_key_option,
    time_or_now,
    trust_option,
)
from kit.cli.paths import FIELD_MAP_OR_NAME, MIGRATION_OR_NAME, NEW_DELTA
from kit.cli.trust_options import policy_option, read_anchor, time_option

if TYPE_CHECKING:
    from kit.transforms.protocol import Transform
    from kit.verbs.verify.obligations import Expectation

HOMES = {
    "build": Home("publishing.delta_build.build_command", "Build the signed delta from BASE to TARGET."),
    "apply": Home("delta_apply.apply_command", "Build the target kit of DELTA from BASE."),
    "inspect": Home("delta_apply.inspect_command", "Show what DELTA contains and claims, without verifying it."),
    "verify": Home("delta_apply.verify_command", "Verify the signatures of DELTA and of its target."),
    "squash": Home("publishing.delta_build.squash_command", "Combine a chain of deltas that begins at BASE into one."),
}


@click.group("delta", cls=Commands, homes=HOMES)
def delta_group() -> None:
    """Build, apply and check deltas between kits.

    A delta is sent instead of the second kit.
    """


def trust_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the trust options: keys, or a policy with its state and the time."""
    for option in (time_option, policy_option, trust_option):
        command = option(command)
    return command


def make_expectation(
    trusted_keys: tuple[Path, ...],
    policy: Path | None,
    at: str | None,
    *,
    force: bool = False,
    reason: str | None = None,
) -> Expectation:
    """Return the expectation for the options of :func:`trust_options`.

    Raises:
        UsageError: Neither keys nor a policy are named, or both.
        KitError: A key, the policy or its state is refused.
    """
    from kit.verbs.verify.obligations import Expectation

    if policy is not None and trusted_keys:
        raise click.UsageError("--trust and --trusted-key exclude each other: a policy names its keys")
    if policy is None and not trusted_keys:
        raise click.UsageError("name the trusted keys with --trusted-key or --trust")
    return Expectation(
        trusted=load_trusted_keys(trusted_keys), trust=read_anchor(policy, time_or_now(at), force=force, reason=reason)
    )


def signed_output_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the output of a new delta and its signing key."""
    for option in reversed(
        (
            click.option(
                "--output",
                "-o",
                type=NEW_DELTA,
                required=True,
                metavar="D",
                help="Write the delta to D, which must not exist.",
            ),
            signing_key_option("The private key that signs the delta.", is_required=True),
            passphrase_option,
        )
    ):
        command = option(command)
    return command


def recipe_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that help to find and prove a recipe."""
    for option in reversed(
        (
            click.option(
                "--no-recipe", is_flag=True, help="Also send what a transform made, for sites with another version."
            ),
            click.option(
                "--migration",
                type=MIGRATION_OR_NAME,
                metavar="MIGRATION",
                help="The migration that made TARGET, if it has a cache map or field map of its own.",
            ),
            click.option("--cache-map", type=FILE, metavar="FILE", help="The cache map that raw-linkset used."),
            click.option(
                "--field-map",
                "map_name",
                type=FIELD_MAP_OR_NAME,
                metavar="MAP",
                help="The field map that encrypt-fields used, if it is not one of kit's.",
            ),
            click.option(
                "--tenant",
                "tenants",
                multiple=True,
                metavar="T",
                help="A tenant that TARGET was limited to, if the kits do not show it. Repeatable.",
            ),
            credential_options,
        )
    ):
        command = option(command)
    return command


def take_candidates(what: dict[str, Any]) -> tuple[Transform, ...]:
    """Return the transforms that may have made the target, from the options of :func:`recipe_options`.

    Raises:
        UnreadableError: A file does not exist.
        ContentError: A migration, cache map or field map is refused.
    """
    migration, cache_map, map_name = what.pop("migration"), what.pop("cache_map"), what.pop("map_name")
    tenants = frozenset(what.pop("tenants")) or None
    if migration is None and cache_map is None and map_name is None and tenants is None:
        return ()
    # These load all transforms: only if one is named.
    from kit.cli.encryption_options import load_field_map
    from kit.cli.run_options import load_migration, with_cache
    from kit.encryption import SHIPPED, Profile
    from kit.transforms.encrypt_fields import EncryptFields
    from kit.transforms.raw_linkset import RawLinkset

    made: list[Transform] = []
    if migration is not None:
        made += load_migration(migration).narrowed(tenants).transforms
    backfill = with_cache(RawLinkset(tenants=tenants), cache_map)
    maps = [load_field_map(name) for name in ((map_name,) if map_name is not None else SHIPPED if tenants else ())]
    made += [backfill] if cache_map is not None or tenants else []
    made += [EncryptFields(field_map=one, profile=profile, partitions=tenants) for one in maps for profile in Profile]
    return tuple(made)

"""``kit delta``: build, apply, inspect, verify and squash what leads from one kit to another."""

from __future__ import annotations

import click

from kit.cli.commands import Commands, Home

HOMES = {
    "build": Home(
        "delta_build.build_command",
        "Build the signed delta that leads from BASE to TARGET, two generations of one bundle.",
    ),
    "apply": Home(
        "delta_apply.apply_command",
        "Make the kit that DELTA leads to from BASE, beside it or in its place; no signing key is needed.",
    ),
    "inspect": Home(
        "delta_apply.inspect_command",
        "Show what DELTA leads from and to, how each member is made, and who says to have signed it; nothing is"
        " verified.",
    ),
    "verify": Home(
        "delta_apply.verify_command",
        "Decide whether DELTA is what its signers say, and who signed the kit it leads to; no kit is needed.",
    ),
    "squash": Home(
        "delta_squash.squash_command",
        "Make one delta of a chain that begins at the kit BASE; it gives what the chain gives, and no more.",
    ),
}


@click.group("delta", cls=Commands, homes=HOMES)
def delta_group() -> None:
    """Send the difference between two kits instead of the second one."""

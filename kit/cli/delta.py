"""``kit delta``: build, apply, inspect, verify and squash deltas."""

from __future__ import annotations

import click

from kit.cli.commands import Commands, Home

HOMES = {
    "build": Home("delta_build.build_command", "Build the signed delta from BASE to TARGET."),
    "apply": Home("delta_apply.apply_command", "Build the target kit of DELTA from BASE."),
    "inspect": Home("delta_apply.inspect_command", "Show what DELTA contains and claims, without verifying it."),
    "verify": Home("delta_apply.verify_command", "Verify the signatures of DELTA and of its target."),
    "squash": Home("delta_squash.squash_command", "Combine a chain of deltas that begins at BASE into one."),
}


@click.group("delta", cls=Commands, homes=HOMES)
def delta_group() -> None:
    """Build, apply and check deltas between kits.

    A delta is sent instead of the second kit.
    """

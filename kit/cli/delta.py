"""``kit delta``: build, apply, inspect, verify and squash what leads from one kit to another."""

from __future__ import annotations

import click

from kit.cli.commands import Commands

HOMES = {
    "build": "delta_build.build_command",
    "apply": "delta_apply.apply_command",
    "inspect": "delta_apply.inspect_command",
    "verify": "delta_apply.verify_command",
    "squash": "delta_squash.squash_command",
}


@click.group("delta", cls=Commands, homes=HOMES)
def delta_group() -> None:
    """Send the difference between two kits instead of the second one."""

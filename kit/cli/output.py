"""How reports and errors reach the user."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import click

from kit.errors import KitError
from kit.reports.verdicts import SCHEMA_VERSION, error_json


def print_report(lines: Iterable[str], document: Mapping[str, Any], *, as_json: bool) -> None:
    """Print a report on standard output, as text or as JSON."""
    if as_json:
        click.echo(json.dumps(document, ensure_ascii=False, indent=2, sort_keys=True))
        return
    for line in lines:
        click.echo(line)


def print_error(error: KitError, code: int, *, as_json: bool) -> None:
    """Say what went wrong on standard error; with ``--json`` also as an object on standard output."""
    click.echo(f"kit: error: {error}", err=True)
    if error.hint:
        click.echo(f"kit: hint: {error.hint}", err=True)
    if as_json:
        document = {"schemaVersion": SCHEMA_VERSION, "error": error_json(error), "exitCode": code}
        click.echo(json.dumps(document, ensure_ascii=False, indent=2, sort_keys=True))


def wants_json(arguments: Iterable[str]) -> bool:
    """Whether ``--json`` was asked for, also where the arguments are otherwise wrong."""
    return "--json" in arguments

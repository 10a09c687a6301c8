"""``kit extract``: which documents, in which form, to where."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kit.cli.choices import FORMS, PROJECTIONS
from kit.cli.collisions import Command
from kit.cli.naming import parse_collection, parse_document
from kit.cli.options import (
    json_option,
    kit_argument,
    load_trusted_keys,
    make_environment,
    reading_options,
    trust_option,
)
from kit.cli.output import print_bytes, print_report, print_warning
from kit.cli.places import NEW_OR_STREAM, STREAM
from kit.cli.progress import progress_option, show_progress
from kit.cli.times import time_or_now
from kit.cli.trusting import policy_option, read_anchor, require_one_trust, time_option, unverified_option
from kit.values import Codec

if TYPE_CHECKING:
    from kit.engine.extracting import Selection

_GZIP = ".gz"


@click.command("extract", cls=Command)
@kit_argument
@click.option(
    "--output",
    "-o",
    type=NEW_OR_STREAM,
    metavar="OUT",
    required=True,
    help="A new folder or file. - is standard output.",
)
@click.option(
    "--collection", "collections", multiple=True, metavar="DB.COLLECTION", help="Only this collection. Repeatable."
)
@click.option("--tenant", "tenants", multiple=True, metavar="T", help="Only documents of this tenant. Repeatable.")
@click.option(
    "--id", "ids", multiple=True, metavar="ID", help='Only this _id: text, or JSON such as {"$oid": "…"}. Repeatable.'
)
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMS),
    help="Format of the documents. Default: by the name of OUT, else BSON.",
)
@click.option("--gzip", "zipped", is_flag=True, help="Compress each file, as mongodump --gzip does.")
@click.option(
    "--projection",
    type=click.Choice(PROJECTIONS),
    default=PROJECTIONS[0],
    show_default=True,
    help="canonical: observations without rawLinkset, as before it was added.",
)
@trust_option
@policy_option
@time_option
@unverified_option
@reading_options
@progress_option
@json_option
def extract_command(
    kit: Path,
    output: Path,
    trusted_keys: tuple[Path, ...],
    policy: Path | None,
    at: str | None,
    insecure: bool,
    progress_mode: str,
    as_json: bool,
    **what: Any,
) -> None:
    """Write documents of KIT into files that stock tools read.

    OUT is a folder with the layout of mongodump (DB/COLLECTION.bson and its metadata), or one file if its name ends in
    .bson, .json, .bson.gz or .json.gz. JSON is canonical Extended JSON, one document per line. Encrypted fields stay
    encrypted.

    The kit is verified first. If something that was asked for is missing, that is an error and nothing is written.

    \b
    Examples:
      kit extract kit.tar.zst --trusted-key publisher.pub.pem --output dump
      kit extract kit.tar.zst --trust policy.json --tenant acme --projection canonical --gzip --output acme-dump
      kit extract kit.tar.zst --trust policy.json --collection concelier.advisory_observations --id acme:osv:GO-1:1 -o -
    """
    from kit.engine.extracting import Form
    from kit.ops.extract import ExtractRequest, extract
    from kit.ops.extracted_files import Destination
    from kit.reports.extractions import extract_json, extract_lines, omission_lines, unverified_lines

    require_one_trust(trusted_keys, policy, insecure=insecure)
    selection = _make_selection(output, **what)
    stream = output == STREAM
    if stream and as_json:
        raise click.UsageError("--json and --output - exclude each other: both are for standard output")
    if stream and selection.form is Form.BSON and sys.stdout.isatty():
        raise click.UsageError("BSON is not for a terminal: add --format json")
    environment = make_environment(what["workers"], what["maxima"], allowed=what["allowed"])
    request = ExtractRequest(
        kit=kit,
        trusted=None if insecure else load_trusted_keys(trusted_keys),
        trust=read_anchor(policy, time_or_now(at)),
        selection=selection,
        destination=Destination(sink=print_bytes) if stream else Destination(path=output, single=_is_file(output)),
    )
    # A display would draw over documents that go to the same terminal.
    quiet = stream and progress_mode == "auto" and sys.stdout.isatty()
    with show_progress("none" if quiet else progress_mode) as progress:
        report = extract(replace(request, environment=replace(environment, progress=progress)))
    if not stream:
        print_report(extract_lines(report), extract_json(report), as_json=as_json, done="the documents are written")
    for line in (*unverified_lines(report), *omission_lines(report)):
        print_warning(f"warning: {line}")


def _make_selection(output: Path, **what: Any) -> Selection:
    from kit.engine.extracting import Form, Projection, Selection

    named = [suffix.lstrip(".") for suffix in output.suffixes[-2:]] if _is_file(output) else []
    zipped = what["zipped"] or named[-1:] == ["gz"]
    form = what["form"] or next((form.value for form in Form if form.value in named), None)
    form = form or (Form.JSON if output == STREAM and not what["zipped"] else Form.BSON)
    if named and (form not in named or zipped != (named[-1] == "gz")):
        raise click.UsageError(f"--output {output}: its name contradicts --format or --gzip; omit them")
    return Selection(
        collections=frozenset(map(parse_collection, what["collections"])) or None,
        tenants=frozenset(what["tenants"]) or None,
        documents=frozenset(map(parse_document, what["ids"])) or None,
        form=Form(form),
        codec=Codec.GZIP if zipped else Codec.NONE,
        projection=Projection(what["projection"]),
    )


def _is_file(output: Path) -> bool:
    from kit.engine.extracting import Form

    name = output.name.removesuffix(_GZIP)
    return any(name.endswith(f".{form.value}") for form in Form)

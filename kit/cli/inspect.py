"""``kit inspect``: what a kit contains, or with ``--limits`` what a kit may demand of this host.

``kit find``: where in a kit an advisory is, by any of its names.

``kit ls`` and ``kit cat``: the members of a kit, and the bytes of one.

``kit census``: what is on each path of the documents, and what a field map leaves plain.

``kit formats``: which formats of advisories are read, and by which extractor.

``kit diff``: what differs between two kits, as text, JSON or a page.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import click

from kit.cli.encryption_options import field_map_option, load_field_map
from kit.cli.options import LISTED, json_option, kit_argument, make_environment, parse_collection, reading_options
from kit.cli.output import TerminalText, print_bytes, print_report, print_text, require_report_place, write_report
from kit.cli.paths import KIT, NEW_OR_STREAM, REPORT, ROOM, STREAM, Command
from kit.cli.progress import progress_option, show_progress
from kit.cli.resuming import warn_of_unfinished
from kit.values import Allowed
from kit.values.file_kind import FileKind


@click.command("inspect", cls=Command)
@click.argument("kit", type=KIT, required=False)
@click.option("--limits", "show_limits", is_flag=True, help="Show the limits in force instead of a kit; --max applies.")
@reading_options
@progress_option
@json_option
def inspect_command(
    kit: Path | None,
    show_limits: bool,
    workers: int,
    maxima: tuple[str, ...],
    allowed: Allowed,
    progress_mode: str,
    as_json: bool,
) -> None:
    """Show what KIT contains and claims, without verifying it.

    The signers are those that its signatures name.

    \b
    Examples:
      kit inspect offline-kit.tar.zst
      kit inspect --limits
    """
    from kit.reports.inspect import inspect_json, inspect_lines, limits_json, limits_lines
    from kit.verbs.inspect import inspect

    environment = make_environment(workers, maxima, allowed=allowed)
    if show_limits:
        if kit is not None:
            raise click.UsageError("--limits shows no kit: omit KIT")
        print_report(limits_lines(environment.limits), limits_json(environment.limits), as_json=as_json)
        return
    if kit is None:
        raise click.UsageError("Missing argument 'KIT'.")
    warn_of_unfinished(kit)
    with show_progress(progress_mode) as progress:
        report = inspect(kit, replace(environment, progress=progress))
    print_report(inspect_lines(report), inspect_json(report), as_json=as_json)


@click.command("find", cls=Command)
@kit_argument
@click.argument("text")
@click.option(
    "--limit",
    type=click.IntRange(0),
    metavar="N",
    help=f"Show at most N documents. All are counted. Default: {LISTED}; all in JSON.",
)
@reading_options
@progress_option
@json_option
def find_command(
    kit: Path,
    text: str,
    limit: int | None,
    workers: int,
    maxima: tuple[str, ...],
    allowed: Allowed,
    progress_mode: str,
    as_json: bool,
) -> None:
    """Find the documents of KIT that have TEXT as a name.

    TEXT is an upstream id, an alias, a purl (with or without its version), an _id, or whole parts of one. Case does not
    count. Nothing is verified.

    The exit code is 1 if nothing is found.

    \b
    Examples:
      kit find kit.tar.zst CVE-2025-22870
      kit find kit.tar.zst pkg:golang/golang.org/x/net
      kit find kit.tar.zst GO-2025-3503 --json | jq -r '.matches.items[].document'
    """
    from kit.reports.contents import find_json, find_lines
    from kit.verbs.find import FindRequest, find

    environment = make_environment(workers, maxima, allowed=allowed)
    with show_progress(progress_mode) as progress:
        report = find(FindRequest(kit=kit, text=text, environment=replace(environment, progress=progress))).require()
    shown = find_lines(report, limit=LISTED if limit is None else limit)
    print_report(shown, find_json(report, limit=limit), as_json=as_json)


@click.command("ls", cls=Command)
@kit_argument
@click.argument("below", metavar="[PATH]", required=False, default="")
@reading_options
@progress_option
@json_option
def ls_command(
    kit: Path,
    below: str,
    workers: int,
    maxima: tuple[str, ...],
    allowed: Allowed,
    progress_mode: str,
    as_json: bool,
) -> None:
    """List the members of KIT.

    With PATH, only the members at or below that path in the kit are listed. Sizes are as stored. Nothing is verified.

    \b
    Examples:
      kit ls kit.tar.zst
      kit ls kit.tar.zst manifest
    """
    from kit.reports.contents import members_json, members_lines
    from kit.verbs.members import list_members

    environment = make_environment(workers, maxima, allowed=allowed)
    with show_progress(progress_mode) as progress:
        report = list_members(kit, below=below, environment=replace(environment, progress=progress))
    print_report(members_lines(report), members_json(report), as_json=as_json)


@click.command("cat", cls=Command)
@kit_argument
@click.argument("member")
@click.option(
    "--output",
    "-o",
    type=NEW_OR_STREAM,
    metavar="OUT",
    default=STREAM,
    help="A new file instead of standard output.",
)
@click.option("--decompress", is_flag=True, help="Decompress a member whose name ends in .gz or .zst.")
@reading_options
@progress_option
@json_option
def cat_command(
    kit: Path,
    member: str,
    output: Path,
    decompress: bool,
    workers: int,
    maxima: tuple[str, ...],
    allowed: Allowed,
    progress_mode: str,
    as_json: bool,
) -> None:
    """Print the bytes of MEMBER of KIT.

    The kit is first read to its end, so nothing is printed of a malformed one. Nothing is verified. Documents are for
    kit extract, which verifies.

    \b
    Examples:
      kit cat kit.tar.zst manifest/offline-manifest.json | jq .
      kit cat kit.tar.zst dump/concelier/advisory_raw.bson.gz --decompress | bsondump
    """
    from kit.reports.contents import cat_json, cat_lines
    from kit.verbs.members import CatRequest, cat

    is_stream = output == STREAM
    if is_stream and as_json:
        raise click.UsageError("--json needs --output OUT: standard output has the bytes")
    at_terminal = is_stream and sys.stdout.isatty()
    request = CatRequest(
        kit=kit,
        member=member,
        output=None if is_stream else output,
        sink=None if not is_stream else TerminalText().print if at_terminal else print_bytes,
        decompress=decompress,
        environment=make_environment(workers, maxima, allowed=allowed),
    )
    quiet = at_terminal and progress_mode == "auto"
    with show_progress("none" if quiet else progress_mode) as progress:
        report = cat(replace(request, environment=replace(request.environment, progress=progress)))
    if not is_stream:
        print_report(cat_lines(report), cat_json(report), as_json=as_json, done="the file is written")


@click.command("census", cls=Command)
@kit_argument
@click.option(
    "--collection", "collections", multiple=True, metavar="DB.COLLECTION", help="Only this collection. Repeatable."
)
@field_map_option
@click.option(
    "--examples",
    type=click.IntRange(0, 20),
    default=0,
    metavar="N",
    help="Also show N values of each path, at most 20. Default: no value of a document is shown.",
)
@click.option(
    "--limit",
    type=click.IntRange(0),
    metavar="N",
    help="Show at most N paths of each collection. Default: all; with a map, those that it is about.",
)
@click.option(
    "--html",
    "html",
    type=REPORT,
    metavar="F",
    help="Also write the report to F as an HTML page. An earlier one is replaced.",
)
@reading_options
@progress_option
@json_option
def census_command(
    kit: Path,
    collections: tuple[str, ...],
    field_map: str | None,
    examples: int,
    limit: int | None,
    html: Path | None,
    workers: int,
    maxima: tuple[str, ...],
    allowed: Allowed,
    progress_mode: str,
    as_json: bool,
) -> None:
    """Count what is on each path of the documents of KIT.

    By path: documents, types, distinct values (about, if there are more than 511), lengths in bytes, and shapes of
    texts, such as identifier, mail, token or prose. Nothing is verified.

    With --field-map, the report shows what the map covers: which fields are sealed or plain, and which are not mapped
    but have the name or the shape of those that are. These are suggestions for the author of the map. Envelopes are
    counted by their form and not opened.

    \b
    Examples:
      kit census kit.tar.zst
      kit census kit.tar.zst --field-map notelett-2 --html census.html
      kit census kit.tar.zst --collection concelier.advisory_observations --examples 3
      kit census kit.tar.zst --json | jq -r '.collections[].paths[] | select(.shapes.mail) | .path'
    """
    from kit.reports.census import census_json, census_lines, census_page
    from kit.verbs.census import CensusRequest, take_census

    if html is not None:
        require_report_place(html, FileKind.PAGE)
    environment = make_environment(workers, maxima, allowed=allowed)
    with show_progress(progress_mode) as progress:
        report = take_census(
            CensusRequest(
                kit=kit,
                collections=frozenset(map(parse_collection, collections)) or None,
                field_map=load_field_map(field_map) if field_map is not None else None,
                examples=examples,
                environment=replace(environment, progress=progress),
            )
        )
    if html is not None:
        write_report(html, census_page(report), FileKind.PAGE)
    print_report(census_lines(report, limit=limit), census_json(report), as_json=as_json)


@click.command("formats", cls=Command)
@json_option
def formats_command(as_json: bool) -> None:
    """Show the formats of advisories that are read.

    They are shown by extractor, with its distribution and version. An installed package adds one through the
    entry point group kit.extractors.

    \b
    Examples:
      kit formats --json | jq -r '.extractors[].formats[]'
    """
    from kit.reports.inspect import formats_json, formats_lines
    from kit.transforms.raw_linkset import registry

    extractors = registry.load()
    print_report(formats_lines(extractors), formats_json(extractors), as_json=as_json)


@click.command("diff", cls=Command)
@click.argument("before", type=KIT, metavar="A")
@click.argument("after", type=KIT, metavar="B")
@click.option(
    "--limit",
    type=click.IntRange(0),
    metavar="N",
    help=f"List at most N of each kind. All are counted. Default: {LISTED}, and all with --json and --markdown.",
)
@click.option("--markdown", is_flag=True, help="Print release notes in Markdown instead of the report.")
@click.option(
    "--html",
    "html",
    type=REPORT,
    metavar="F",
    help="Also write the report to F as an HTML page. An earlier one is replaced.",
)
@click.option("--temp", type=ROOM, metavar="DIR", help="Folder for temporary files, about 250 bytes per document.")
@reading_options
@progress_option
@json_option
def diff_command(
    before: Path,
    after: Path,
    limit: int | None,
    markdown: bool,
    html: Path | None,
    temp: Path | None,
    workers: int,
    maxima: tuple[str, ...],
    allowed: Allowed,
    progress_mode: str,
    as_json: bool,
) -> None:
    """Show the differences between the kits A and B.

    They are shown by advisory, document and member. Nothing is verified.

    An advisory is added, changed (in the latest observation that each kit has of it), withdrawn or reinstated by its
    publisher, removed, moved to another tenant, or migrated (only rawLinkset or encryption differs). Documents are
    matched by collection and _id, whatever their order and member. A package matches differently if an advisory came,
    went, was withdrawn, or affects other versions of it.

    The exit code is 0 whether or not the kits differ. "different" in the JSON report shows which.

    \b
    Examples:
      kit diff september.tar.zst october.tar.zst
      kit diff september.tar.zst october.tar.zst --limit 1000 --html october.html
      kit diff september.tar.zst october.tar.zst --markdown > october.md
      kit diff before.tar.zst after.tar.zst --json | jq .different
    """
    from kit.reports.diff import diff_json, diff_lines
    from kit.reports.diff_notes import diff_notes
    from kit.reports.diff_page import difference_page
    from kit.verbs.diff.diff import DiffRequest, diff

    if markdown and as_json:
        raise click.UsageError("--markdown and --json exclude each other: both are for standard output")
    if html is not None:
        require_report_place(html, FileKind.PAGE)
    complete = limit is None and (as_json or markdown)
    shown = LISTED if limit is None else limit
    request = DiffRequest(before=before, after=after, limit=None if complete else shown, temporary=temp)
    environment = make_environment(workers, maxima, allowed=allowed)
    with show_progress(progress_mode) as progress:
        report = diff(request, replace(environment, progress=progress))
    if html is not None:
        write_report(html, difference_page(report.shortened(shown)), FileKind.PAGE)
    if markdown:
        print_text("\n".join(diff_notes(report)))
        return
    print_report(diff_lines(report), diff_json(report) if as_json else {}, as_json=as_json)

"""``kit compare``: whether a dump or a live database is what was signed.

The connection string of a database comes from the environment or a descriptor, since it may hold a password and every
user of a machine can read the arguments of a command.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from kit.cli.commands import OK, exit_code
from kit.cli.options import (
    json_option,
    kit_argument,
    load_signing_key,
    load_trusted_keys,
    make_environment,
    passphrase_option,
    reading_options,
    signing_key_option,
    time_or_now,
    trust_option,
)
from kit.cli.output import print_error, print_report, require_report_place, write_report
from kit.cli.paths import KIT, REPORT, ROOM, Command
from kit.cli.places import SecretParameter, SecretSource
from kit.cli.progress import progress_option, show_progress
from kit.cli.settings.secrets import read_secret
from kit.cli.trust_options import policy_option, read_anchor, time_option
from kit.errors import KeyUnusableError, UnreadableError, UsageError
from kit.values import Allowed
from kit.values.file_kind import FileKind

_LISTED = 20


@click.command("compare", cls=Command)
@kit_argument
@click.argument("dump", type=KIT, metavar="[DUMP]", required=False)
@click.option(
    "--uri",
    type=SecretParameter("a connection string"),
    metavar="SOURCE",
    help="Connect to a database instead of reading DUMP: env:NAME or fd:N, which has its connection string.",
)
@click.option(
    "--allow-field",
    "fields",
    multiple=True,
    metavar="NAME",
    help="A field of the top level that the server may have added. Repeatable.",
)
@click.option(
    "--allow-reordered", "is_order_free", is_flag=True, help="Accept documents with their fields in another order."
)
@click.option(
    "--limit",
    type=click.IntRange(0, 10_000),
    default=_LISTED,
    show_default=True,
    metavar="N",
    help="Documents of each kind of difference to list; all are counted.",
)
@click.option("--receipt", type=REPORT, metavar="F", help="Write a signed receipt of the comparison to F.")
@signing_key_option("The auditor's private key, for --receipt.", needs="receipt")
@passphrase_option
@click.option("--temp", type=ROOM, metavar="DIR", help="Folder for temporary files, about 250 bytes per document.")
@trust_option
@policy_option
@time_option
@reading_options
@progress_option
@json_option
def compare_command(
    kit: Path,
    dump: Path | None,
    uri: SecretSource | None,
    fields: tuple[str, ...],
    is_order_free: bool,
    limit: int,
    receipt: Path | None,
    signing_key: Path | SecretSource | None,
    passphrase_fd: int | None,
    temp: Path | None,
    trusted_keys: tuple[Path, ...],
    policy: Path | None,
    at: str | None,
    workers: int,
    maxima: tuple[str, ...],
    allowed: Allowed,
    progress_mode: str,
    as_json: bool,
) -> int:
    """Show whether a database has exactly the documents of KIT.

    DUMP is what mongodump wrote: a folder (with or without --gzip), a tar archive of one, or a file of --archive; or a
    kit. With --uri, a live
    database is read instead, and nothing is written to it. KIT is verified first.

    Documents are equal if all their bytes are. Each that is not is allowed (only fields of --allow-field were added),
    reordered (the same fields in another order), changed, missing or extra. Indexes, options and users are not
    compared, nor collections that KIT does not have. The exit code is 11 if anything differs.

    \b
    Examples:
      kit compare kit.tar.zst dump --trusted-key publisher.pub.pem
      kit compare kit.tar.zst --uri env:DATABASE_URI --trust policy.json --allow-field _importedAt
      kit compare kit.tar.zst dump --trust policy.json --receipt dump.receipt.json --signing-key auditor.pem
    """
    from kit.reports.compare import compare_json, compare_lines
    from kit.verbs.compare.compare import ComparisonRequest, compare
    from kit.verbs.compare.receipt import make_receipt
    from kit.verbs.verify.judgement import Expectation

    _require_choices(dump, uri, fields, trusted_keys, policy)
    if (receipt is None) != (signing_key is None):
        raise click.UsageError("--receipt and --signing-key need each other")
    if receipt is not None:
        require_report_place(receipt, FileKind.COMPARISON)
    now = time_or_now(at)
    expectation = Expectation(trusted=load_trusted_keys(trusted_keys), trust=read_anchor(policy, now))
    auditor = load_signing_key(signing_key, passphrase_fd) if signing_key is not None else None
    request = ComparisonRequest(
        kit=kit,
        trusted=expectation.trusted,
        trust=expectation.trust,
        dump=dump,
        uri=_read_uri(uri) if uri is not None else None,
        allowed_fields=frozenset(fields),
        is_order_free=is_order_free,
        limit=limit,
        temporary=temp,
        environment=make_environment(workers, maxima, allowed=allowed),
    )
    with show_progress(progress_mode) as progress:
        report = compare(replace(request, environment=replace(request.environment, progress=progress)))
    failure = report.failure
    code = exit_code(failure) if failure is not None else OK
    if receipt is not None and auditor is not None:
        write_report(receipt, make_receipt(report, expectation, auditor, now), FileKind.COMPARISON)
    print_report(compare_lines(report), compare_json(report, code), as_json=as_json)
    if failure is not None:
        print_error(failure, code, as_json=False)
    return code


def _require_choices(
    dump: Path | None,
    uri: SecretSource | None,
    fields: tuple[str, ...],
    trusted_keys: tuple[Path, ...],
    policy: Path | None,
) -> None:
    if (dump is None) == (uri is None):
        raise click.UsageError("name either DUMP or --uri env:NAME, the connection string of a database")
    if policy is not None and trusted_keys:
        raise click.UsageError("--trust and --trusted-key exclude each other: a policy names its keys")
    for name in fields:
        if name in {"", "_id"} or "\0" in name:
            raise UsageError(f"--allow-field {name!r}: a field that a server may add has another name")


def _read_uri(source: SecretSource) -> str:
    """Return the connection string.

    Raises:
        UnreadableError: There is none.
    """
    try:
        return read_secret(source, "a connection string").decode().strip()
    except (KeyUnusableError, UnicodeDecodeError) as error:
        what = error.what if isinstance(error, KeyUnusableError) else "is no text"
        raise UnreadableError(what, where=str(source)) from None

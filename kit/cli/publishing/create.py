"""``kit create``: a signed kit of files. ``kit sign``: one more signature of a kit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kit.cli.options import (
    created_at_option,
    json_option,
    kit_argument,
    load_signing_key,
    load_trusted_keys,
    make_environment,
    passphrase_option,
    reading_options,
    signing_keys_option,
    time_or_now,
    trust_option,
)
from kit.cli.output import print_report, print_warning
from kit.cli.paths import KIT, NEW_BUILT_KIT, Command
from kit.cli.places import SecretSource
from kit.cli.progress import progress_option, show_progress
from kit.cli.run_options import work_folder_option
from kit.cli.trust_options import policy_option, read_anchor, time_option, unverified_option
from kit.errors import KitError, UsageError
from kit.values import CollectionFormat, CollectionMember, CollectionName, Collections, MemberPath, declared_member

if TYPE_CHECKING:
    from kit.signing import PrivateKey
    from kit.verbs.create import CreateReport


@click.command("create", cls=Command)
@click.argument("source", type=KIT)
@click.option(
    "--output",
    "-o",
    type=NEW_BUILT_KIT,
    required=True,
    metavar="OUT",
    help="The kit, which must not exist. Its name ends in .tar.zst, .tar.gz, .tgz or .tar.",
)
@click.option("--bundle-id", metavar="ID", required=True, help="What this is a kit of. The same in every generation.")
@signing_keys_option("The publisher's private key. Required; repeatable.")
@passphrase_option
@click.option(
    "--generation",
    type=click.IntRange(0, 2**53 - 1),
    default=1,
    show_default=True,
    metavar="N",
    help="Number of the kit. The publisher's next kit of this bundle needs a greater one.",
)
@click.option("--version", "bundle_version", metavar="TEXT", help="Version of the content, for people.")
@click.option("--channel", metavar="TEXT", help="Channel, for people.")
@click.option("--producer", metavar="TEXT", help="Who makes the kit, for people. Default: this program.")
@click.option(
    "--staleness-window-hours",
    type=click.IntRange(0, 2**53 - 1),
    metavar="N",
    help="How long the kit counts as fresh under a policy. Default: as the policy states.",
)
@click.option(
    "--collection",
    "collections",
    multiple=True,
    metavar="PATH=FORMAT:DB.NAME",
    help="Read the file PATH as a collection: ndjson (a JSON object a line) or json (one array). Repeatable. "
    "Files named as mongodump names them need no declaration.",
)
@created_at_option("the kit")
@work_folder_option(is_resumable=False)
@reading_options
@progress_option
@json_option
def create_command(
    source: Path,
    output: Path,
    bundle_id: str,
    signing_keys: tuple[Path | SecretSource, ...],
    passphrase_fd: int | SecretSource | None,
    created_at: str | None,
    progress_mode: str,
    as_json: bool,
    **what: Any,
) -> None:
    """Create a signed kit of a folder, a dump or a tar archive.

    SOURCE is a folder, such as mongodump writes (with or without --gzip), a tar archive of one, or what mongodump
    --archive writes, which is unpacked to such a folder. Every file is listed in the manifest. Collections are counted
    by tenant, and have Merkle roots. The kit has no history.

    The kit is read back and verified before it gets its name. The same files in the same order, options, time and keys
    give the same kit; a folder is read in the order of names. OUT.kit-build exists while the command runs.

    \b
    Examples:
      kit create dump -o notelett.tar.zst --bundle-id notelett --signing-key publisher.pem
      kit create dump.archive.gz -o kit.tar.zst --bundle-id advisories --signing-key publisher.pem
      kit create notes -o notes.tar.zst --bundle-id notes --signing-key p.pem --collection notes.jsonl=ndjson:app.notes
      kit create export.tar -o kit.tar.zst --bundle-id advisories --generation 8 --version 2026.2 --signing-key p.pem
    """
    from kit.verbs.create import CreateRequest, create_kit

    for option, text in (("--bundle-id", bundle_id), ("--version", what["bundle_version"])):
        if text == "":
            raise click.UsageError(f"{option} is empty")
    request = CreateRequest(
        source=source,
        output=output,
        bundle_id=bundle_id,
        keys=_load_keys(signing_keys, passphrase_fd),
        created_at=time_or_now(created_at, "--created-at"),
        generation=what["generation"],
        version=what["bundle_version"],
        channel=what["channel"] or None,
        producer=what["producer"] or None,
        staleness_window_hours=what["staleness_window_hours"],
        collections=_parse_collections(what["collections"]),
        work_folder=what["work_folder"],
        environment=make_environment(what["workers"], what["maxima"], allowed=what["allowed"]),
    )
    with show_progress(progress_mode) as progress:
        report = create_kit(replace(request, environment=replace(request.environment, progress=progress)))
    _print(report, as_json=as_json, done="the kit is made")


def _parse_collections(texts: tuple[str, ...]) -> Collections:
    """Return the table of what is declared.

    Raises:
        UsageError: A declaration is malformed, or contradicts another or the name of its file.
    """
    found: list[CollectionMember] = []
    try:
        for text in texts:
            path, _, rest = text.rpartition("=")
            format_, _, name = rest.partition(":")
            database, _, collection = name.partition(".")
            if not (path and database and collection) or format_ not in set(CollectionFormat):
                raise click.BadParameter(f"{text!r} is not PATH=FORMAT:DB.NAME", param_hint="--collection")
            named = CollectionName(database=database, collection=collection)
            found.append(declared_member(MemberPath.parse(path), CollectionFormat(format_), named))
        return Collections.of(found)
    except KitError as error:
        raise UsageError(error.what, where=error.where, hint="kit create --help") from error


@click.command("sign", cls=Command)
@kit_argument
@click.option(
    "--output",
    "-o",
    type=NEW_BUILT_KIT,
    required=True,
    metavar="OUT",
    help="The signed kit, which must not exist. It has the container of KIT.",
)
@signing_keys_option("A private key that signs. Required; repeatable.")
@passphrase_option
@trust_option
@policy_option
@time_option
@unverified_option
@work_folder_option(is_resumable=False)
@reading_options
@progress_option
@json_option
def sign_command(
    kit: Path,
    output: Path,
    signing_keys: tuple[Path | SecretSource, ...],
    passphrase_fd: int | SecretSource | None,
    trusted_keys: tuple[Path, ...],
    policy: Path | None,
    at: str | None,
    insecure: bool,
    progress_mode: str,
    as_json: bool,
    **what: Any,
) -> None:
    """Add a signature to KIT.

    The manifest of KIT is signed as it is, and every digest in it is checked first. Signatures that are there are kept,
    and verified with --trusted-key, or with the publishers' keys of a policy (--trust), of whom not all need have
    signed yet. Neither is needed for a kit without a signature. Only the first signature makes a .sig next to OUT.

    A kit that was patched is signed by kit patch alone, with every --signing-key: its provenance names the signers.

    \b
    Examples:
      kit sign kit.tar.zst -o signed.tar.zst --signing-key publisher.pem
      kit sign signed.tar.zst -o both.tar.zst --signing-key second.pem --trusted-key publisher.pub.pem
    """
    from kit.verbs.create import SignRequest, sign_kit

    if insecure and (trusted_keys or policy):
        raise UsageError("--insecure-unverified-base excludes --trusted-key and --trust")
    if policy is not None and trusted_keys:
        raise UsageError("--trust and --trusted-key exclude each other: a policy names its keys")
    request = SignRequest(
        kit=kit,
        output=output,
        keys=_load_keys(signing_keys, passphrase_fd),
        trusted=None if insecure or policy is not None else load_trusted_keys(trusted_keys),
        trust=read_anchor(policy, time_or_now(at)),
        work_folder=what["work_folder"],
        environment=make_environment(what["workers"], what["maxima"], allowed=what["allowed"]),
    )
    with show_progress(progress_mode) as progress:
        report = sign_kit(replace(request, environment=replace(request.environment, progress=progress)))
    _print(report, as_json=as_json, done="the kit is signed")
    if insecure:
        print_warning("warning: the signatures that were there are not verified")


def _load_keys(
    sources: tuple[Path | SecretSource, ...], passphrase_fd: int | SecretSource | None
) -> tuple[PrivateKey, ...]:
    if not sources:
        raise click.UsageError("Missing option '--signing-key'.")
    return tuple(load_signing_key(source, passphrase_fd) for source in sources)


def _print(report: CreateReport, *, as_json: bool, done: str) -> None:
    from kit.reports.publishing import created_json, created_lines

    print_report(created_lines(report), created_json(report), as_json=as_json, done=done)

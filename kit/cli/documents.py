"""``kit extract``: which documents, in which form, to where.

``kit prove``: make a proof of one document or, with ``--check``, check one.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kit.cli.options import (
    FILE,
    FORMS,
    PROJECTIONS,
    json_option,
    kit_argument,
    load_trusted_keys,
    make_environment,
    parse_collection,
    parse_document,
    read_file,
    reading_options,
    time_or_now,
    trust_option,
    trusted_key_option,
)
from kit.cli.output import print_bytes, print_report, print_warning
from kit.cli.paths import KIT, NEW, NEW_OR_STREAM, PROOF, STREAM, Command
from kit.cli.progress import progress_option, show_progress
from kit.cli.trust_options import (
    configured_policy_option,
    policy_option,
    read_anchor,
    require_one_trust,
    time_option,
    unverified_option,
)
from kit.values import Codec

if TYPE_CHECKING:
    from kit.verbs.extract.documents import Selection
    from kit.verbs.verify.judgement import Expectation

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
    "--advisory",
    "advisories",
    multiple=True,
    metavar="NAME",
    help="Only documents with this upstream id or alias, and those of --id. Repeatable.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMS),
    help="Format of the documents. Default: by the name of OUT, else BSON.",
)
@click.option("--archive", "dumped", is_flag=True, help="Write one file, as mongodump --archive does.")
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
    encrypted. With --archive OUT is one file with all of them, for mongorestore --archive.

    The kit is verified first. If something that was asked for is missing, that is an error and nothing is written.

    \b
    Examples:
      kit extract kit.tar.zst --trusted-key publisher.pub.pem --output dump
      kit extract kit.tar.zst --trust policy.json --tenant acme --projection canonical --gzip --output acme-dump
      kit extract kit.tar.zst --trust policy.json --collection concelier.advisory_observations --id acme:osv:GO-1:1 -o -
      kit extract kit.tar.zst --trust policy.json --archive --gzip --output dump.archive.gz
      kit extract kit.tar.zst --trust policy.json --advisory CVE-2025-22870 --format json --output advisory
    """
    from kit.reports.documents import extract_json, extract_lines, omission_lines, unverified_lines
    from kit.verbs.extract.documents import Form
    from kit.verbs.extract.extract import Destination, ExtractRequest, extract

    require_one_trust(trusted_keys, policy, insecure=insecure)
    selection = _make_selection(output, **what)
    stream = output == STREAM
    if stream and as_json:
        raise click.UsageError("--json and --output - exclude each other: both are for standard output")
    if what["dumped"]:
        destination = Destination(path=None if stream else output, dump=_dump_codec(output, **what))
        selection = replace(selection, form=Form.BSON, codec=Codec.NONE)
    else:
        destination = Destination(path=None if stream else output, single=not stream and _is_file(output))
    if stream and selection.form is Form.BSON and sys.stdout.isatty():
        raise click.UsageError("BSON is not for a terminal: add --format json")
    environment = make_environment(what["workers"], what["maxima"], allowed=what["allowed"])
    request = ExtractRequest(
        kit=kit,
        trusted=None if insecure else load_trusted_keys(trusted_keys),
        trust=read_anchor(policy, time_or_now(at)),
        selection=selection,
        destination=replace(destination, sink=print_bytes) if stream else destination,
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
    from kit.verbs.extract.documents import Form, KeptProjections, Selection
    from kit.verbs.find import require_text

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
        advisories=frozenset(map(require_text, what["advisories"])) or None,
        form=Form(form),
        codec=Codec.GZIP if zipped else Codec.NONE,
        projection=KeptProjections(what["projection"]),
    )


def _dump_codec(output: Path, **what: Any) -> Codec:
    """Return how a dump is compressed: as it is asked for, or as its name ends.

    Raises:
        UsageError: Another format is asked for.
    """
    if what["form"] not in {None, "bson"}:
        raise click.UsageError("--archive and --format json exclude each other: a dump holds BSON")
    if _is_file(output):
        raise click.UsageError(f"--output {output}: such a file holds one collection, not an --archive")
    return Codec.GZIP if what["zipped"] or output.name.endswith(_GZIP) else Codec.NONE


def _is_file(output: Path) -> bool:
    from kit.verbs.extract.documents import Form

    name = output.name.removesuffix(_GZIP)
    return any(name.endswith(f".{form.value}") for form in Form)


@click.command("prove", cls=Command)
@click.argument("kit", type=KIT, required=False)
@click.option("--id", "name", metavar="ID", help='The _id to prove: text, or JSON such as {"$oid": "…"}.')
@click.option("--advisory", metavar="NAME", help="The upstream id or an alias of the document, instead of its _id.")
@click.option(
    "--collection", metavar="DB.COLLECTION", help="The collection of the document. Default: the observations."
)
@click.option("--tenant", metavar="T", help="Search only members that have documents of this tenant.")
@click.option("--output", "-o", type=NEW, metavar="PROOF", help="Write the proof to PROOF, which must not exist.")
@click.option(
    "--absent", is_flag=True, help="Prove that no document has this _id; with --check, the proof must be of an absence."
)
@click.option("--check", "proof", type=PROOF, metavar="PROOF", help="Check a proof instead of making one.")
@click.option("--document", type=FILE, metavar="F", help="With --check: the proof must be about this BSON document.")
@trusted_key_option("proof")
@configured_policy_option("proof")
@time_option
@reading_options
@progress_option
@json_option
def prove_command(
    kit: Path | None,
    name: str | None,
    advisory: str | None,
    collection: str | None,
    tenant: str | None,
    output: Path | None,
    absent: bool,
    proof: Path | None,
    document: Path | None,
    trusted_keys: tuple[Path, ...],
    policy: Path | None,
    at: str | None,
    progress_mode: str,
    as_json: bool,
    **what: Any,
) -> None:
    """Prove that KIT contains a document, or that it does not.

    The proof is a small JSON file with the signed manifest in it. It discloses no other document. KIT needs Merkle
    roots (kit patch --merkle).

    With --advisory, exactly one document must have that upstream id or alias.

    If no document has the _id, that is an error (1), and the hint shows near matches. With --absent, a proof of absence
    is written. It is about the _id only, not about an advisory, and discloses the _ids of the two neighbours.

    The recipient does not need KIT. They check the proof with --check and the keys they trust, or without this program
    (docs/auditor.md). kit extract writes the document for --document.

    \b
    Examples:
      kit prove kit.tar.zst --id acme:osv:GO-1:1 --output GO-1.proof.json
      kit prove --check GO-1.proof.json --trusted-key site.pub.pem --document GO-1.bson
      kit prove kit.tar.zst --id acme:osv:GO-2:1 --absent --output absent.proof.json
      kit prove --check absent.proof.json --absent --trusted-key site.pub.pem
    """
    from kit.output.paths import require_free
    from kit.reports.documents import near_lines, proof_json, proof_lines
    from kit.verbs import trust
    from kit.verbs.prove.prove import ProveRequest, prove

    if proof is not None:
        made = {
            "KIT": kit,
            "--id": name,
            "--advisory": advisory,
            "--collection": collection,
            "--tenant": tenant,
            "--output": output,
        }
        _require_none(made, "--check")
        _check(proof, document, _make_expectation(trusted_keys, policy, at), absent=absent, as_json=as_json)
        return
    _require_none(
        {"--document": document, "--trusted-key": trusted_keys, "--trust": policy}, "making a proof", "--check"
    )
    if kit is None or (name is None) == (advisory is None) or output is None:
        raise click.UsageError(
            "name KIT, --id or --advisory, and --output to make a proof, or --check PROOF to check one"
        )
    require_free(output)
    environment = make_environment(what["workers"], what["maxima"], allowed=what["allowed"])
    with show_progress(progress_mode) as progress:
        report = prove(
            ProveRequest(
                kit=kit,
                document=parse_document(name) if name is not None else None,
                advisory=advisory,
                collection=parse_collection(collection) if collection is not None else None,
                tenant=tenant,
                absent=absent,
                environment=replace(environment, progress=progress),
            )
        )
    trust.write_readable(output, report.proof.to_bytes(), what="proof")
    print_report(proof_lines(report, output), proof_json(report, output), as_json=as_json, done="the proof is written")
    for line in near_lines(report):
        print_warning(f"warning: {line}")


def _check(path: Path, document: Path | None, expectation: Expectation, *, absent: bool, as_json: bool) -> None:
    from kit.reports.documents import proof_json, proof_lines
    from kit.verbs.prove.proof import Proof
    from kit.verbs.prove.prove import check

    proof = Proof.parse(read_file(path), where=str(path))
    compared = read_file(document) if document is not None else None
    report = check(proof, expectation, document=compared, absent=absent)
    print_report(proof_lines(report, path), proof_json(report, path), as_json=as_json)


def _make_expectation(keys: tuple[Path, ...], policy: Path | None, at: str | None) -> Expectation:
    from kit.verbs.verify.judgement import Expectation

    if bool(keys) == (policy is not None):
        raise click.UsageError("name the trusted keys: either --trusted-key (repeatable) or --trust POLICY")
    return Expectation(trusted=load_trusted_keys(keys), trust=read_anchor(policy, time_or_now(at)))


def _require_none(given: dict[str, Any], here: str, there: str = "making a proof") -> None:
    wrong = next((name for name, value in given.items() if value), None)
    if wrong is not None:
        raise click.UsageError(f"{wrong} is for {there}, not for {here}")

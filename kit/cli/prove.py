"""``kit prove``: make a proof of one document or, with ``--check``, check one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kit.cli.collisions import Command
from kit.cli.naming import parse_collection, parse_document
from kit.cli.options import (
    FILE,
    json_option,
    load_trusted_keys,
    make_environment,
    read_file,
    reading_options,
    trust_option,
)
from kit.cli.output import print_report
from kit.cli.places import KIT, NEW
from kit.cli.progress import progress_option, show_progress
from kit.cli.times import time_or_now
from kit.cli.trusting import policy_option, read_anchor, time_option

if TYPE_CHECKING:
    from kit.ops.judgement import Expectation


@click.command("prove", cls=Command)
@click.argument("kit", type=KIT, required=False)
@click.option("--id", "name", metavar="ID", help='The _id to prove: text, or JSON such as {"$oid": "…"}.')
@click.option(
    "--collection", metavar="DB.COLLECTION", help="The collection of the document. Default: the observations."
)
@click.option("--tenant", metavar="T", help="Search only members that have documents of this tenant.")
@click.option("--output", "-o", type=NEW, metavar="PROOF", help="Write the proof to PROOF, which must not exist.")
@click.option("--check", "proof", type=FILE, metavar="PROOF", help="Check a proof instead of making one.")
@click.option("--document", type=FILE, metavar="F", help="With --check: the proof must be about this BSON document.")
@trust_option
@policy_option
@time_option
@reading_options
@progress_option
@json_option
def prove_command(
    kit: Path | None,
    name: str | None,
    collection: str | None,
    tenant: str | None,
    output: Path | None,
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

    The proof is a small JSON file with the signed manifest in it. It discloses no other document; a proof of absence
    discloses the _ids of the two neighbours. KIT needs Merkle roots (kit patch --merkle).

    The recipient does not need KIT. They check the proof with --check and the keys they trust, or without this program
    (docs/auditor.md). kit extract writes the document for --document.

    \b
    Examples:
      kit prove kit.tar.zst --id acme:osv:GO-1:1 --output GO-1.proof.json
      kit prove --check GO-1.proof.json --trusted-key site.pub.pem --document GO-1.bson
    """
    from kit.archive import require_free
    from kit.ops import trust_files
    from kit.ops.prove import ProveRequest, prove
    from kit.reports.proofs import proof_json, proof_lines

    if proof is not None:
        made = {"KIT": kit, "--id": name, "--collection": collection, "--tenant": tenant, "--output": output}
        _require_none(made, "--check")
        _check(proof, document, _make_expectation(trusted_keys, policy, at), as_json=as_json)
        return
    _require_none(
        {"--document": document, "--trusted-key": trusted_keys, "--trust": policy}, "making a proof", "--check"
    )
    if kit is None or name is None or output is None:
        raise click.UsageError("name KIT, --id and --output to make a proof, or --check PROOF to check one")
    require_free(output)
    environment = make_environment(what["workers"], what["maxima"], allowed=what["allowed"])
    with show_progress(progress_mode) as progress:
        report = prove(
            ProveRequest(
                kit=kit,
                document=parse_document(name),
                collection=parse_collection(collection) if collection is not None else None,
                tenant=tenant,
                environment=replace(environment, progress=progress),
            )
        )
    trust_files.write_beside(output, report.proof.to_bytes(), what="proof")
    print_report(proof_lines(report, output), proof_json(report, output), as_json=as_json, done="the proof is written")


def _check(path: Path, document: Path | None, expectation: Expectation, *, as_json: bool) -> None:
    from kit.ops.merkle_proof import Proof
    from kit.ops.prove import check
    from kit.reports.proofs import proof_json, proof_lines

    proof = Proof.parse(read_file(path), where=str(path))
    report = check(proof, expectation, document=read_file(document) if document is not None else None)
    print_report(proof_lines(report, path), proof_json(report, path), as_json=as_json)


def _make_expectation(keys: tuple[Path, ...], policy: Path | None, at: str | None) -> Expectation:
    from kit.ops.judgement import Expectation

    if bool(keys) == (policy is not None):
        raise click.UsageError("name the trusted keys: either --trusted-key (repeatable) or --trust POLICY")
    return Expectation(trusted=load_trusted_keys(keys), trust=read_anchor(policy, time_or_now(at)))


def _require_none(given: dict[str, Any], here: str, there: str = "making a proof") -> None:
    wrong = next((name for name, value in given.items() if value), None)
    if wrong is not None:
        raise click.UsageError(f"{wrong} is for {there}, not for {here}")

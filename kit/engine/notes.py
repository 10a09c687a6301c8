"""What a journal keeps of runs and passes besides frames: counts, findings, tallies, as JSON (schemas/journal.md).

Laws: ``run_result(run_note(r), r.stored, r.frame) == r``; ``rewrite_of(pass_note(p)) == p``, slots apart. Members are
called by their paths, so what a note says of a member is only taken for one that is in the kit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from kit.archive import Note
from kit.engine.changes import MemberChange, Rewrite
from kit.engine.work import RunResult
from kit.transforms.coverage import Tally, TenantCoverage
from kit.transforms.protocol import Finding
from kit.values import CollectionMember, MemberPath, RunLengths, Sha256


def pass_note(done: Rewrite) -> dict[str, Any]:
    """Note what a whole pass found."""
    return {
        "members": [
            {
                "path": path.text,
                "tally": _tally_json(change.tally),
                "changed": change.changed,
                "addedBytes": change.added_bytes,
                "sha256": change.sha256.hex if change.sha256 is not None else None,
                "size": change.size,
                "counts": _counts_json(change.counts),
                "baseDocuments": change.base_documents.hex if change.base_documents is not None else None,
                "selection": list(change.selection.lengths),
            }
            for path, change in done.members.items()
        ],
        "outcomes": _counts_json(done.outcomes),
        "counts": _counts_json(done.counts),
        "findings": [[path.text, *_finding_json(name, finding)] for path, name, finding in done.findings],
        "omittedFindings": done.omitted_findings,
        "merkleRoots": {path.text: root.hex for path, root in done.roots.items()},
    }


def rewrite_of(note: Note, collections: Mapping[MemberPath, CollectionMember]) -> Rewrite:
    """Read what :func:`pass_note` wrote, of a kit with these collections."""
    paths = {path.text: path for path in collections}
    return Rewrite(
        members={
            paths[item["path"]]: MemberChange(
                collection=collections[paths[item["path"]]],
                tally=_tally(item["tally"]),
                changed=item["changed"],
                added_bytes=item["addedBytes"],
                sha256=Sha256(item["sha256"]) if item["sha256"] is not None else None,
                size=item["size"],
                counts=_counts(item["counts"]),
                base_documents=Sha256(item["baseDocuments"]) if item["baseDocuments"] is not None else None,
                runs=list(RunLengths(tuple(item["selection"])).runs()),
            )
            for item in note["members"]
        },
        outcomes=_counts(note["outcomes"]),
        counts=_counts(note["counts"]),
        findings=[(paths[path], *_finding(rest)) for path, *rest in note["findings"]],
        omitted_findings=note["omittedFindings"],
        roots={paths[path]: Sha256(root) for path, root in note["merkleRoots"].items()},
    )


def run_note(result: RunResult) -> dict[str, Any]:
    """Note what one run found."""
    return {
        "tally": _tally_json(result.tally),
        "outcomes": _counts_json(result.outcomes),
        "counts": _counts_json(result.counts),
        "findings": [_finding_json(name, finding) for name, finding in result.findings],
        "omittedFindings": result.omitted_findings,
        "changed": result.changed,
        "selection": list(result.selection.lengths),
        "addedBytes": result.added_bytes,
    }


def run_result(note: Note, stored: bytes, frame: bytes) -> RunResult:
    """Read what :func:`run_note` wrote of the run whose bytes are ``stored``."""
    return RunResult(
        stored=stored,
        frame=frame,
        tally=_tally(note["tally"]),
        outcomes=_counts(note["outcomes"]),
        counts=_counts(note["counts"]),
        findings=[_finding(item) for item in note["findings"]],
        omitted_findings=note["omittedFindings"],
        changed=note["changed"],
        selection=RunLengths(tuple(note["selection"])),
        added_bytes=note["addedBytes"],
    )


def _counts_json(counts: Counter[tuple[str, str, str]]) -> list[list[Any]]:
    return [[*key, count] for key, count in counts.items()]


def _counts(items: Iterable[list[Any]]) -> Counter[tuple[str, str, str]]:
    return Counter({(one, two, three): count for one, two, three, count in items})


def _finding_json(name: str, finding: Finding) -> list[str]:
    return [name, finding.kind, finding.reason, finding.document, finding.tenant]


def _finding(item: list[str]) -> tuple[str, Finding]:
    name, kind, reason, document, tenant = item
    return name, Finding(kind=kind, reason=reason, document=document, tenant=tenant)


def _tally_json(tally: Tally) -> dict[str, Any]:
    return {
        "documents": tally.documents,
        "bytes": tally.bytes,
        "tenants": [
            [name, one.documents, one.present, one.null, one.missing, one.unresolvable]
            for name, one in tally.tenants.items()
        ],
    }


def _tally(item: Mapping[str, Any]) -> Tally:
    return Tally(
        documents=item["documents"],
        bytes=item["bytes"],
        tenants={name: TenantCoverage(*numbers) for name, *numbers in item["tenants"]},
    )

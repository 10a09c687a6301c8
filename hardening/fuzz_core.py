"""What hardening/fuzz attacks of the core: core and reference must agree about each run of documents.

An input is a document, whose length is corrected, so that what is mutated lies inside of it; it stands between two that
are sound. Laws: what the core makes of the run is what the reference makes, one document after the other; where the
reference refuses the run, the core leaves it to the reference, whose words the user then reads.
"""

# ruff: noqa: S101  the laws

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Sequence
from typing import Any

import bson

from kit.documents import Run, core as chosen
from kit.engine.lookup import EmptyLookup
from kit.engine.proving import Piece, ProofResult, RunWanted, prove_by_core, prove_one_by_one
from kit.errors import KitError
from kit.transforms import coverage
from kit.transforms.protocol import Change, ChangeTotals, Finding, RewrittenRun, apply_changes
from kit.transforms.raw_linkset import RawLinkset
from kit.transforms.raw_linkset.counting import tally_run
from kit.values import CollectionName, Limits, RunLengths
from kit.verbs.diff.documents import sketch_each, sketch_run

NAME = CollectionName(database="concelier", collection="advisory_observations")
SNAPSHOTS = CollectionName(database="concelier", collection="advisory_linksets")
_TRANSFORM = RawLinkset()
_LIMITS = Limits()
_ALL = RunLengths.of([True] * 3)
_ASKED = RunWanted(earlier=(Piece(appended=_ALL, cut_appended=_ALL, sized=True, rooted=True),), rooted=True, fields=())


def core(data: bytes) -> None:
    """Law: see above."""
    if chosen.rewrite is None:
        raise KitError(f"the core is {chosen.ABSENCE}")
    odd = (len(data) + 5).to_bytes(4, "little") + data + b"\0"
    documents = (_SOUND[0], odd, _SOUND[1])
    ends = list(itertools.accumulate(map(len, documents)))
    whole = _TRANSFORM.rewrite(NAME, b"".join(documents), ends, EmptyLookup(), 0)
    try:
        expected = _one_by_one(documents)
    except KitError:
        assert whole is None
        raise
    assert whole is None or _parts(whole) == _parts(expected)
    assert list(_TRANSFORM.gather(SNAPSHOTS, documents)) == [
        one for document in documents for one in _TRANSFORM.gather(SNAPSHOTS, [document])
    ]


def reading(data: bytes) -> None:
    """Law: as :func:`core`, of what only reads: deep readings, counts, sketches."""
    if chosen.prove is None:
        raise KitError(f"the core is {chosen.ABSENCE}")
    odd = (len(data) + 5).to_bytes(4, "little") + data + b"\0"
    documents = (_SOUND[0], odd, _SOUND[1])
    ends = tuple(itertools.accumulate(map(len, documents)))
    run = Run(first=0, offset=0, data=b"".join(documents), ends=ends)
    assert tally_run(NAME, run) == coverage.tally(NAME, documents)
    assert sketch_run(NAME, run).each == sketch_each(NAME, documents)
    found = _outcome(lambda: prove_by_core(NAME, run, _ASKED, _LIMITS))
    expected = _outcome(lambda: prove_one_by_one(NAME, run, _ASKED, _LIMITS))
    assert found == expected or str(found) == str(expected) or (found is None and isinstance(expected, KitError))
    if isinstance(expected, KitError):
        raise expected


def _outcome(prove: Callable[[], ProofResult | None]) -> ProofResult | KitError | None:
    try:
        return prove()
    except KitError as error:
        return error


def _one_by_one(documents: Sequence[bytes]) -> RewrittenRun:
    changes: list[Change] = []
    for number, document in enumerate(documents):
        changes += _TRANSFORM.apply(NAME, [document], EmptyLookup(), number)
    touched: set[int] = set()
    body = b"".join(apply_changes(changes, documents, touched))
    return RewrittenRun(body, [number in touched for number in range(len(documents))], ChangeTotals(changes))


def _parts(result: RewrittenRun) -> tuple[object, ...]:
    totals = result.totals
    findings: list[Finding] = list(totals.findings)
    return result.body, result.touched, totals.outcomes, totals.counts, totals.sums, findings


def _observation(name: str, raw: Any, **changes: Any) -> dict[str, Any]:
    return {
        "_id": f"obs-{name}",
        "tenant": "acme",
        "source": {"vendor": "v", "stream": "s"},
        "upstream": {"upstreamId": "X-1", "contentHash": "sha256:0"},
        "content": {"format": name, "raw": raw},
        "linkset": {"aliases": ["x-1"], "purls": ["pkg:npm/a@1"], "cpes": [], "references": []},
    } | changes


_REFERENCES = [{"type": "WEB", "url": "https://a.example/1"}, {"url": "https://a.example/2"}, 7]
_OSV = {
    "id": "X-1",
    "aliases": ["CVE-2024-0001", "CVE-2024-0001"],
    "related": ["Y-2"],
    "affected": [{"package": {"ecosystem": "npm", "name": "a", "purl": "pkg:npm/a@1"}, "ranges": [], "severity": []}],
    "references": _REFERENCES,
    "severity": [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N"}],
}
_CVE = {
    "dataType": "CVE_RECORD",
    "cveMetadata": {"cveId": "CVE-2024-0001"},
    "containers": {"cna": {"affected": [{"cpes": ["cpe:2.3:a:v:p:1:*:*:*:*:*:*:*"]}], "references": _REFERENCES}},
}
_CSAF = {
    "document": {"tracking": {"id": "A-1", "aliases": ["B-1"]}, "references": _REFERENCES},
    "product_tree": {"branches": [{"product": {"product_identification_helper": {"purl": "pkg:rpm/a@1"}}}]},
    "vulnerabilities": [{"cve": "CVE-2024-0001", "ids": [{"text": "C-1"}], "references": _REFERENCES}],
}
_GHSA = {
    "ghsa_id": "GHSA-xxxx",
    "cve_id": "CVE-2024-0001",
    "identifiers": [{"type": "CVE", "value": "CVE-2024-0001"}],
    "references": ["https://a.example/1", {"url": "https://a.example/2"}],
    "vulnerabilities": [{"package": {"ecosystem": "npm", "name": "a"}}],
}
_FORMATS = {"OSV": _OSV, "CVE": _CVE, "CSAF": _CSAF, "GHSA": _GHSA}
_SOUND = [bson.encode(_observation("OSV", _OSV)), bson.encode(_observation("CVE", _CVE, tenant="globex"))]


def seeds() -> list[bytes]:
    """Return the elements of observations of each format, with and without what odd documents have."""
    nested: dict[str, Any] = {}
    for _ in range(70):
        nested = {"a": nested}
    odd: list[dict[str, Any]] = [
        {"linkset": None},
        {"rawLinkset": {"aliases": []}},
        {"rawLinkset": None, "tenant": bson.Int64(7)},
        {"rawLinkset": {"aliases": [], "purls": [], "cpes": [], "references": [], "reconciled_from": [], "notes": {}}},
        {"content": {"format": "OSV", "raw": nested}},
        {"content": {"format": "unheard of", "raw": json.dumps(_OSV)}},
    ]
    whole = [_observation(name, raw) for name, raw in _FORMATS.items()]
    whole += [_observation("OSV", _OSV, **changes) for changes in odd]
    return [bson.encode(one)[4:-1] for one in whole]

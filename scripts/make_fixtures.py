#!/usr/bin/env python3
"""Builds everything under ``fixtures/`` that is not written by hand; ``--check`` proves that it is current.

Keys, kits (``fixture_kits``), envelopes (``make_envelope_vectors``), the conformance table (``make_conformance``) and
goldens: what a patch of each kit gives, as report, digests and documents, with a fixed time and the site's TEST-ONLY
key. Before a golden is written, the patched
documents are compared with what the kit's definition declares, so a wrong patch cannot become a golden.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bson
import zstandard

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:  # run as a file: its folder is on the path, but not the one above
    sys.path.insert(0, str(ROOT))

from kit.archive import open_kit  # noqa: E402
from kit.ops.kits import Environment  # noqa: E402
from kit.ops.obligations import Expectation  # noqa: E402
from kit.ops.patch import Output, PatchReport, PatchRequest, patch  # noqa: E402
from kit.ops.verify import verify  # noqa: E402
from kit.reports.patches import patch_json  # noqa: E402
from kit.transforms.raw_linkset import RawLinkset  # noqa: E402
from kit.values import Limits, Timestamp  # noqa: E402
from scripts import make_conformance, make_envelope_vectors  # noqa: E402
from scripts.fixture_keys import publisher_key, site_key  # noqa: E402
from scripts.fixture_kits import KITS, PATCHED_AT, Expected, FixtureKit  # noqa: E402

FIXTURES = ROOT / "fixtures"


def build(folder: Path) -> None:
    """Write keys, kits and goldens below ``folder``.

    Raises:
        SystemExit: A patch of a fixture does not do what the fixture declares.
    """
    keys, kits, goldens = (folder / name for name in ("keys", "kits", "goldens"))
    for place in (keys, kits, goldens):
        place.mkdir(parents=True, exist_ok=True)
    for name, key in (("publisher", publisher_key()), ("site", site_key())):
        (keys / f"{name}-TEST-ONLY.pem").write_bytes(key.pem())
        (keys / f"{name}-TEST-ONLY.pub.pem").write_bytes(key.public.pem)
    for make in KITS:
        fixture = make()
        archive = fixture.archive()
        path = kits / fixture.name
        path.write_bytes(archive)
        path.with_name(f"{path.name}.sha256").write_text(f"{hashlib.sha256(archive).hexdigest()}  {path.name}\n")
        (goldens / f"{fixture.name}.json").write_bytes(_golden(fixture, path))
    (folder / make_envelope_vectors.NAME).write_bytes(make_envelope_vectors.text())
    make_conformance.build(folder / make_conformance.FOLDER.name)


def differences(made: Path, kept: Path) -> list[str]:
    """Compare what was built with what is in the repository, byte for byte; some files there are written by hand."""
    return make_conformance.differences(made, kept)


def main(arguments: list[str]) -> int:
    """Build in place, or with ``--check`` aside and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="build aside and compare; exit 1 where something differs")
    if not parser.parse_args(arguments).check:
        build(FIXTURES)
        return 0
    with tempfile.TemporaryDirectory(prefix="kit-fixtures-") as made:
        build(Path(made))
        stale = differences(Path(made), FIXTURES)
    for name in stale:
        print(f"fixtures/{name} is not what scripts/make_fixtures.py makes", file=sys.stderr)
    return 1 if stale else 0


def _golden(fixture: FixtureKit, path: Path) -> bytes:
    with tempfile.TemporaryDirectory(prefix="kit-golden-") as scratch:
        output = Path(scratch) / fixture.name
        report = _patched(path, output)
        found = Counter({(tenant, outcome): n for (_, tenant, outcome), n in report.rewrite.outcomes.items()})
        if found != fixture.outcomes():
            raise SystemExit(
                f"{fixture.name}: {found - fixture.outcomes()} too many, {fixture.outcomes() - found} too few"
            )
        beside = {
            suffix: _digest(output.with_name(output.name + suffix).read_bytes()) for suffix in (".sha256", ".sig")
        }
        golden = {
            "report": _report(report),
            "digests": {"archive": _digest(output.read_bytes()), "beside": beside, "members": _members(output)},
            "documents": {member: list(_documents(output, member, fixture)) for member in fixture.observations},
        }
    return (json.dumps(golden, ensure_ascii=False, indent=1, sort_keys=True) + "\n").encode()


def _patched(path: Path, output: Path) -> PatchReport:
    one_worker = Environment(workers=1)
    trusted = {key.public.key_id: key.public for key in (publisher_key(), site_key())}
    request = PatchRequest(
        kit=path,
        transforms=(RawLinkset(),),
        trusted=trusted,
        created_at=Timestamp.parse(PATCHED_AT),
        environment=one_worker,
    )
    report = patch(request, Output(path=output, key=site_key(), operator="harbour master", place="fixtures"))
    verdict = verify(output, Expectation(trusted=trusted), one_worker)
    if verdict.failure is not None:
        raise SystemExit(f"{path.name}: the patched kit does not verify: {verdict.failure}")
    return report


def _report(report: PatchReport) -> dict[str, Any]:
    """Give the JSON report without what differs from place to place: folders, and the size of SQLite's scratch file."""
    document = patch_json(report)
    document |= {"kit": report.kit.name, "output": report.output.name if report.output else None}
    del document["tempBytes"]
    return document


def _members(archive: Path) -> dict[str, str]:
    with open_kit(archive, limits=Limits()) as reader:
        return {str(member.path): _digest(b"".join(body)) for member, body in reader.members() if member.is_file}


def _documents(archive: Path, member: str, fixture: FixtureKit) -> Iterator[dict[str, Any]]:
    """Give each document of a patched collection, read by pymongo, after comparing it with what was declared."""
    with open_kit(archive, limits=Limits()) as reader:
        bodies = {str(found.path): b"".join(body) for found, body in reader.members()}
    for expected, document in zip(fixture.observations[member], _split(_decoded(member, bodies[member])), strict=True):
        decoded = bson.decode(document)
        raw_linkset = decoded.get("rawLinkset")
        _compare(expected, document, decoded)
        yield {
            "_id": decoded["_id"],
            "outcome": expected.outcome,
            "sha256": _digest(document),
            "size": len(document),
            "rawLinkset": raw_linkset,
        }


def _compare(expected: Expected, document: bytes, decoded: dict[str, Any]) -> None:
    """Hold a patched document to its declaration; all but the added element must be the bytes it had."""
    before = bson.encode(expected.document)
    if expected.outcome in {"present", "null", "unresolvable"}:
        kept = document == before
    else:
        kept = document[4 : len(before) - 1] == before[4:-1]
    raw = decoded.get("rawLinkset")
    if not kept or (expected.lists is not None and (raw is None or _lists(raw) != expected.lists)):
        raise SystemExit(f"{decoded['_id']}: patched to something else than declared: {raw}")


def _lists(raw: dict[str, Any]) -> dict[str, list[str]]:
    lists = {name: raw[name] for name in ("aliases", "purls", "cpes")}
    return lists | {"urls": [reference["url"] for reference in raw["references"]]}


def _decoded(member: str, body: bytes) -> bytes:
    """Undo a member's codec with the standard library and zstandard."""
    if member.endswith(".gz"):
        return gzip.decompress(body)
    if member.endswith(".zst"):
        return zstandard.ZstdDecompressor().stream_reader(body, read_across_frames=True).read()
    return body


def _split(body: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(body):
        size = int.from_bytes(body[at : at + 4], "little")
        yield body[at : at + size]
        at += size


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

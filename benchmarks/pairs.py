"""Makes pairs of collections for benchmarks/run_deltas: what becomes of one between two generations of a kit.

Every pair is two files of BSON documents back to back, as in a decompressed kit. The months are real upstream
advisories, read from ../shared/data where that is there; the others are the observations of benchmarks/kits, changed
by a generator with a fixed seed. In constant memory, but for the reordered pair, which holds its documents.
"""

from __future__ import annotations

import hashlib
import io
import json
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import bson
import zstandard

from benchmarks import kits
from kit.engine.lookup import EmptyLookup
from kit.transforms.raw_linkset import RawLinkset
from kit.values import CollectionName

ADVISORIES = kits.ROOT.parent / "shared/data/advisories"
OBSERVATIONS = CollectionName(database="concelier", collection="advisory_observations")
MODIFIED, INSERTED, DELETED = 0.01, 0.01, 0.005
"""Of the documents, in sparse edits."""
_BATCH = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class PairMaker:
    """A kind of pair."""

    name: str
    what: str
    make: Callable[[int], tuple[Iterator[bytes], Iterator[bytes]]]
    """The number of observations → the documents before and after; months have as many as they have."""
    observations: int | None
    """How many in a full run; None for a month."""
    collection: str = "advisory_observations"
    is_encrypted: bool = False
    """Both sides are to be encrypted with one keyring before they are compared."""


def makers() -> list[PairMaker]:
    """Give every kind of pair that can be made here."""
    months = [
        PairMaker(name=name, what=f"{name} advisories, 30 days apart", make=_month(file), observations=None)
        for name, file in (("go", "go-vulndb-osv"), ("pypa", "pypa"))
        if (ADVISORIES / f"{file}.ndjson.zst").exists()
    ]
    return [
        *months,
        PairMaker(
            name="sparse",
            what=f"{MODIFIED:.0%} modified, {INSERTED:.0%} inserted, {DELETED:.1%} deleted",
            make=_sparse,
            observations=20_000,
        ),
        PairMaker(name="backfill", what="every observation gains rawLinkset", make=_backfill, observations=100_000),
        PairMaker(name="reordered", what="the same documents in another order", make=_reordered, observations=20_000),
        PairMaker(
            name="encrypted",
            what=f"a field of all documents encrypted on both sides, {MODIFIED:.0%} of the texts edited",
            make=_notes,
            observations=20_000,
            collection="notes",
            is_encrypted=True,
        ),
    ]


def write(path: Path, documents: Iterable[bytes]) -> Path:
    """Write documents back to back."""
    with path.open("wb") as file:
        file.writelines(documents)
    return path


def _month(file: str) -> Callable[[int], tuple[Iterator[bytes], Iterator[bytes]]]:
    return lambda _: (_upstream(f"{file}.base30d"), _upstream(file))


def _upstream(name: str) -> Iterator[bytes]:
    """Give an observation for each upstream document, its hash included."""
    with (ADVISORIES / f"{name}.ndjson.zst").open("rb") as file:
        stream = zstandard.ZstdDecompressor().stream_reader(file)
        for line in io.TextIOWrapper(stream, encoding="utf-8"):
            raw = json.loads(line)["raw"]
            digest = hashlib.sha256(json.dumps(raw).encode()).hexdigest()
            yield bson.encode(
                {
                    "_id": f"default:osv:{raw['id']}",
                    "tenant": "default",
                    "source": {"vendor": "osv", "stream": "bulk"},
                    "upstream": {"upstreamId": raw["id"], "contentHash": f"sha256:{digest}"},
                    "content": {"format": "OSV", "raw": raw},
                    "identifiers": {"aliases": raw.get("aliases", [])},
                }
            )


def _base(count: int) -> Iterator[bytes]:
    """Give observations of real CVE records, the last thousand of which are kept for insertions."""
    templates, _ = _templates()
    return _numbered(templates, count)


@cache
def _templates() -> tuple[list[bytes], list[bytes]]:
    records = kits.load_records()
    templates = [kits.template(record, number)[0] for number, record in enumerate(records)]
    kept = len(templates) * 5 // 6
    return templates[:kept], templates[kept:]


def _numbered(templates: list[bytes], count: int) -> Iterator[bytes]:
    parts = [template.split(kits.MARK) for template in templates]
    for number in range(count):
        yield (b"%0*d" % (kits.DIGITS, number)).join(parts[number % len(parts)])


def _sparse(count: int) -> tuple[Iterator[bytes], Iterator[bytes]]:
    chance = random.Random(1)  # noqa: S311  no secret
    _, fresh = _templates()
    new = (
        text.replace(kits.MARK, b"%0*d" % (kits.DIGITS, count + number))
        for number, text in enumerate(fresh * (1 + count // 10_000))
    )

    def after() -> Iterator[bytes]:
        for document in _base(count):
            draw = chance.random()
            if draw < MODIFIED:
                yield _edited(document, chance)
            elif draw >= MODIFIED + DELETED:
                yield document
            if chance.random() < INSERTED:
                yield next(new)

    return _base(count), after()


def _edited(document: bytes, chance: random.Random) -> bytes:
    """Change what an upstream revision changes: its date, a reference, and with them the content's hash."""
    decoded: dict[str, Any] = bson.decode(document)
    raw = decoded["content"]["raw"]
    raw["cveMetadata"]["dateUpdated"] = f"2026-01-{chance.randint(1, 28):02}T{chance.randint(0, 23):02}:00:00.000Z"
    cna = raw["containers"]["cna"]
    cna["references"] = [*cna.get("references", []), {"url": f"https://example.org/{chance.randbytes(6).hex()}"}]
    decoded["upstream"]["contentHash"] = f"sha256:{chance.randbytes(32).hex()}"
    return bson.encode(decoded)


def _backfill(count: int) -> tuple[Iterator[bytes], Iterator[bytes]]:
    def after() -> Iterator[bytes]:
        transform, documents = RawLinkset(), _base(count)
        while batch := list(islice(documents, _BATCH)):
            changes = transform.apply(OBSERVATIONS, batch, EmptyLookup(), 0)
            yield from (change.document or old for change, old in zip(changes, batch, strict=True))

    return _base(count), after()


def _reordered(count: int) -> tuple[Iterator[bytes], Iterator[bytes]]:
    def after() -> Iterator[bytes]:
        documents = list(_base(count))
        random.Random(1).shuffle(documents)  # noqa: S311  no secret
        yield from documents

    return _base(count), after()


def _notes(count: int) -> tuple[Iterator[bytes], Iterator[bytes]]:
    def after() -> Iterator[bytes]:
        chance = random.Random(1)  # noqa: S311  no secret
        for document in kits.notes(count)[2]:
            if chance.random() >= MODIFIED:
                yield document
                continue
            decoded = bson.decode(document)
            decoded["body"] = f"Edited {chance.randbytes(3).hex()}. {decoded['body']}"
            yield bson.encode(decoded)

    return kits.notes(count)[2], after()

"""Makes kits of any number of observations for benchmarks/run, in constant memory and fast.

Advisories come from real records where the shared data is there, else from a generator with the same statistics
(document size, references, CPEs). Each is encoded once; every further observation is that template with its running
number spliced over fixed-width fields (_id, content hash), so that all keys differ and sizes are known beforehand.
The archive is foreign on purpose: one zstd frame or one gzip member, as other tools write it.
"""

from __future__ import annotations

import hashlib
import io
import json
import random
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Self

import bson
import deflate
import zstandard

from kit.signing import PrivateKey, jws
from kit.values import strict_json

ROOT = Path(__file__).resolve().parents[1]
RECORDS = ROOT.parent / "shared/data/advisories/cisa-vulnrichment.sample.ndjson.zst"
RECORDS_USED = 6000
TENANTS = ("default", "acme", "globex")
DIGITS = 9
MARK = b"#" * DIGITS
FOLDER = "concelier/dump/concelier"
SMALL = "concelier/late/concelier/advisory_observations"
SMALL_COUNT = 100
LATECOMER = "latecomer"
"""The tenant of a small member."""
ENCRYPT = "encrypt"
SECOND = "second patch"
FIELD_MAP = {
    "schemaVersion": "1",
    "product": "bench",
    "collections": [
        {
            "collection": "notes",
            "partitionKey": "workspaceId",
            "fields": ["body"],
            "context": "notes",
            "userIdField": "userId",
        }
    ],
}
BODY_CHARACTERS = 2000
OWNERS = 100
_STRIDE = 2_654_435_761


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What kind of kit to make."""

    source: str
    """Where rawLinkset will come from: content or snapshot; or ``encrypt``: notes with a field to encrypt; or ``second
    patch``: observations, and a small member of another tenant, which is left for later."""
    container: str = "tar.zst"
    member: str = ""
    """The codec of the collections: "", ".gz" or ".zst"."""
    owners: int = OWNERS
    """Of notes to encrypt: each has a data key of its own."""
    average: int | None = None
    """Bytes of an observation on average; the longest records are left out until it is met. None: all records."""

    @property
    def name(self) -> str:
        """How the case is called in results."""
        if self.source == ENCRYPT:
            owners = f", {self.owners:,} owners" if self.owners != OWNERS else ""
            return f"encrypt-fields, .bson{self.member} in {self.container}{owners}"
        if self.source == SECOND:
            return f"{SECOND}, {SMALL_COUNT} left, {self.container}"
        of = f", {self.average / 1000:g} kB each" if self.average is not None else ""
        return f"{self.source}, .bson{self.member} in {self.container}{of}"


def load_records(at_most: int = RECORDS_USED) -> list[dict[str, Any]]:
    """Load real CVE records, or make some up."""
    if RECORDS.exists():
        with RECORDS.open("rb") as file, zstandard.ZstdDecompressor().stream_reader(file) as stream:
            lines = io.TextIOWrapper(stream, encoding="utf-8")
            return [json.loads(line)["raw"] for line, _ in zip(lines, range(at_most), strict=False)]
    return [_made_up(random.Random(number)) for number in range(min(at_most, 500))]  # noqa: S311  no secret


def _made_up(chance: random.Random) -> dict[str, Any]:
    words = ["".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=chance.randint(2, 9))) for _ in range(400)]

    def text(length: int) -> str:
        return " ".join(chance.choices(words, k=length))

    number = f"CVE-{chance.randint(1999, 2025)}-{chance.randint(1000, 99999)}"
    references = [
        {"url": f"https://example.org/{chance.choice(words)}/{n}", "tags": ["vendor-advisory"]}
        for n in range(chance.randint(1, 12))
    ]
    affected = [
        {
            "vendor": chance.choice(words),
            "product": chance.choice(words),
            "cpes": [f"cpe:2.3:a:{chance.choice(words)}:{chance.choice(words)}:*:*:*:*:*:*:*:*"],
            "versions": [{"version": f"{chance.randint(0, 9)}.{n}", "status": "affected"} for n in range(6)],
        }
        for _ in range(chance.randint(1, 3))
    ]
    container = {
        "providerMetadata": {"shortName": chance.choice(words), "orgId": text(4)},
        "descriptions": [{"lang": "en", "value": text(chance.randint(40, 160))}],
        "affected": affected,
        "references": references,
    }
    return {
        "dataType": "CVE_RECORD",
        "dataVersion": "5.1",
        "cveMetadata": {"cveId": number, "state": "PUBLISHED"},
        "containers": {"cna": container, "adp": [{**container, "affected": []}]},
    }


def make_kit(path: Path, case: Case, observations: int, key: PrivateKey) -> int:
    """Write a signed kit of ``observations`` documents; give the bytes of its members, decompressed."""
    members = [notes(observations, case.owners)] if case.source == ENCRYPT else members_of(case, observations)
    write_kit(path, members, key, container=case.container, codec=case.member)
    return sum(size for _, size, _ in members)


def write_kit(
    path: Path,
    members: Sequence[tuple[str, int, Iterator[bytes]]],
    key: PrivateKey,
    *,
    container: str,
    codec: str = "",
    generation: int = 1,
) -> None:
    """Write a signed kit.

    Args:
        path: Where.
        members: Name of a collection or, with slashes, the path of its member without ending; bytes of its documents,
            the documents.
        key: Signs the manifest.
        container: ``tar``, ``tar.gz`` or ``tar.zst``.
        codec: Of the members: "", ".gz" or ".zst".
        generation: In the manifest.
    """
    files: list[dict[str, Any]] = []
    with path.open("wb") as raw, _compressed(raw, container) as stream:
        for name, size, chunks in members:
            body, length = _in_codec(path, codec, size, chunks)
            digest = hashlib.sha256()
            member = f"{name if '/' in name else f'{FOLDER}/{name}'}.bson{codec}"
            _put(stream, member, length, body, digest)
            files.append({"path": member, "sha256": digest.hexdigest(), "size": length})
        manifest = strict_json.canonical(_manifest(files) | {"generation": generation})
        for name, data in (
            ("manifest/offline-manifest.json", manifest),
            ("manifest/offline-manifest.json.jws", jws.sign(manifest, [key])),
        ):
            _put(stream, name, len(data), iter([data]), hashlib.sha256())
        stream.write(bytes(1024))


def members_of(case: Case, count: int) -> list[tuple[str, int, Iterator[bytes]]]:
    """Return the members of a kit: the name, the bytes and the documents of each."""
    # Where records are not chosen, those beyond the count are not used.
    records = load_records() if case.average is not None else load_records(min(count, RECORDS_USED))
    made = [template(record, number) for number, record in enumerate(records)]
    if case.average is not None:
        made = _shortest(made, case.average)
    members = [repeated("advisory_observations", [two[0] for two in made], count)]
    if case.source == "snapshot":
        members.append(repeated("advisory_raw", [two[1] for two in made], count))
    if case.source == SECOND:
        late = [template(record, number, LATECOMER)[0] for number, record in enumerate(load_records(SMALL_COUNT))]
        members.append(repeated(SMALL, late, SMALL_COUNT))
    return members


def _shortest(made: list[tuple[bytes, bytes]], average: int) -> list[tuple[bytes, bytes]]:
    """Leave out the longest until the others have ``average`` bytes or less on average; keep their order."""
    total, kept = 0, 0
    lengths = sorted(len(observation) for observation, _ in made)
    for length in lengths:
        if total + length > average * (kept + 1):
            break
        total, kept = total + length, kept + 1
    if not kept:
        raise SystemExit(f"no record is as short as {average} bytes")
    longest = lengths[kept - 1]
    return [pair for pair in made if len(pair[0]) <= longest]


def notes(count: int, owners: int = OWNERS) -> tuple[str, int, Iterator[bytes]]:
    """Make notes of some owners; their texts are as unlike one another as texts are, also to the pump's compressor."""
    chance = random.Random(1)  # noqa: S311  no secret
    words = ["".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=chance.randint(2, 9))) for _ in range(5000)]
    text = " ".join(chance.choices(words, k=2_500_000)).encode()
    place = b"@" * BODY_CHARACTERS
    parts = [
        bson.encode(
            {
                "_id": f"note:{MARK.decode()}",
                "workspaceId": f"w{number % 7}",
                "userId": f"user{number:07}",
                "title": "A note",
                "body": place.decode(),
            }
        ).split(place)
        for number in range(owners)
    ]

    def documents() -> Iterator[bytes]:
        for number in range(count):
            head, tail = parts[number % owners]
            start = number * _STRIDE % (len(text) - BODY_CHARACTERS)
            yield head.replace(MARK, b"%0*d" % (DIGITS, number)) + text[start : start + BODY_CHARACTERS] + tail

    size = sum(map(len, parts[0])) + BODY_CHARACTERS
    return "notes", size * count, documents()


def _manifest(files: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "schemaVersion": "1",
        "bundleId": "bench",
        "version": "1",
        "channel": "bench",
        "generation": 1,
        "createdAt": "2025-10-20T00:00:00Z",
        "producer": "bench",
        "files": [{**file, "mediaType": "application/octet-stream", "kind": "data"} for file in files],
        "collections": [],
        "lineage": [],
    }


def template(record: dict[str, Any], number: int, tenant: str | None = None) -> tuple[bytes, bytes]:
    """Encode an observation and its raw document, with MARK where the running number goes."""
    tenant, mark = tenant or TENANTS[number % len(TENANTS)], MARK.decode()
    name = record["cveMetadata"]["cveId"]
    digest = hashlib.sha256(name.encode()).hexdigest()[DIGITS:]
    containers = record["containers"]
    parts = (containers["cna"], *containers.get("adp", ()))
    references = [reference["url"] for part in parts for reference in part.get("references", ())]
    cpes = [cpe for part in parts for product in part.get("affected", ()) for cpe in product.get("cpes", ())]
    linkset = {
        "aliases": [name.lower()],
        "purls": [],
        "cpes": list(dict.fromkeys(cpes)),
        "references": [{"type": "web", "url": url} for url in dict.fromkeys(references)],
    }
    content = {"format": "CVE", "specVersion": "5.1", "raw": record}
    observation = {
        "_id": f"{tenant}:cve:{name}:{mark}",
        "tenant": tenant,
        "source": {"vendor": "cve", "stream": "bulk", "api": "https://example.org/feed", "collectorVersion": "1.4.2"},
        "upstream": {"upstreamId": name, "contentHash": f"sha256:{mark}{digest}", "signature": {"present": False}},
        "content": {**content, "metadata": {}},
        "identifiers": {"aliases": [name]},
        "linkset": linkset,
        "attributes": {"batchId": "b1"},
    }
    raw = {
        "_id": f"advisory_raw:{tenant}:cve:{name}:{mark}",
        "tenant": tenant,
        "source": {"vendor": "cve", "stream": "bulk"},
        "upstream": {"upstream_id": name, "content_hash": f"sha256:{mark}{digest}"},
        "content": {"format": "CVE", "spec_version": "5.1", "raw": record},
        "identifiers": {"aliases": [name], "primary": name},
        "linkset": {**linkset, "aliases": [name, name], "reconciled_from": ["/cveMetadata/cveId"], "notes": {}},
    }
    return bson.encode(observation), bson.encode(raw)


def repeated(name: str, templates: list[bytes], count: int) -> tuple[str, int, Iterator[bytes]]:
    """Give a collection of ``count`` documents: the templates again and again, each time under another number."""
    rounds, rest = divmod(count, len(templates))
    sizes = [len(template) for template in templates]
    return name, rounds * sum(sizes) + sum(sizes[:rest]), _documents(templates, count)


def _documents(templates: list[bytes], count: int) -> Iterator[bytes]:
    parts = [template.split(MARK) for template in templates]
    batch: list[bytes] = []
    for number in range(count):
        batch.append((b"%0*d" % (DIGITS, number)).join(parts[number % len(parts)]))
        if len(batch) == 512:
            yield b"".join(batch)
            batch.clear()
    yield b"".join(batch)


def _in_codec(path: Path, codec: str, size: int, chunks: Iterator[bytes]) -> tuple[Iterator[bytes], int]:
    """Compress a member; its size must be known before its header, so it goes through a file beside the kit."""
    if not codec:
        return chunks, size
    beside = path.with_suffix(f".member{codec}")
    with beside.open("wb") as file:
        if codec == ".zst":
            with zstandard.ZstdCompressor(level=3, threads=2).stream_writer(file, closefd=False) as stream:
                for chunk in chunks:
                    stream.write(chunk)
        else:
            for chunk in chunks:
                file.write(deflate.gzip_compress(chunk, 1))
    return _read_and_remove(beside), beside.stat().st_size


def _read_and_remove(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            yield chunk
    path.unlink()


def _put(stream: Any, name: str, size: int, chunks: Iterator[bytes], digest: Any) -> None:
    header = tarfile.TarInfo(name)
    header.size, header.mtime = size, 1760918400
    stream.write(header.tobuf(tarfile.PAX_FORMAT))
    for chunk in chunks:
        digest.update(chunk)
        stream.write(chunk)
    stream.write(bytes(-size % 512))


def _compressed(raw: BinaryIO, container: str) -> Any:
    if container == "tar.zst":
        return zstandard.ZstdCompressor(level=3, threads=2, write_checksum=True).stream_writer(raw, closefd=False)
    if container == "tar.gz":
        return _GzipMembers(raw)
    return _Plain(raw)


class _Plain:
    def __init__(self, raw: BinaryIO) -> None:
        self.raw = raw

    def write(self, data: bytes) -> None:
        self.raw.write(data)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class _GzipMembers(_Plain):
    def write(self, data: bytes) -> None:
        self.raw.write(deflate.gzip_compress(data, 1))

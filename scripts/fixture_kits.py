"""What is in the kits under ``fixtures/``.

Every observation carries what a patch must make of it, declared here and not computed by the code under test.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import tarfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import bson
import zstandard

from kit.signing import jws
from scripts.fixture_advisories import MAKERS, Advisory, csaf, cve, ghsa, osv
from scripts.fixture_archives import BUILT_AT, gzip_member, gzip_members, tar_of, zstd_frames
from scripts.fixture_keys import publisher_key

PATCHED_AT = "2099-04-02T03:04:05Z"
TENANTS = ("dock-north", "dock-south", "pilot-boats")
_STORED = dt.datetime(2099, 3, 2, 12, 0, tzinfo=dt.UTC)

Document = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """An observation and what a raw-linkset patch must make of it."""

    document: Document
    outcome: str
    lists: Mapping[str, list[str]] | None = None
    """Aliases, purls, cpes and URLs of references that it must end with; None where nothing is declared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FixtureKit:
    """A kit to be packed, and what is expected of it."""

    name: str
    members: Mapping[str, bytes]
    observations: Mapping[str, Sequence[Expected]]
    """By member."""
    manifest_path: str
    manifest: bytes
    pack: Callable[[Mapping[str, bytes]], bytes]

    def archive(self) -> bytes:
        """Sign and pack it."""
        signature = jws.sign(self.manifest, [publisher_key()])
        everything = {**self.members, self.manifest_path: self.manifest, f"{self.manifest_path}.jws": signature}
        return self.pack(dict(sorted(everything.items())))

    def outcomes(self) -> Counter[tuple[str, str]]:
        """Count what is expected: (tenant, outcome)."""
        every = [one for listed in self.observations.values() for one in listed]
        return Counter((one.document["tenant"], one.outcome) for one in every)


def harbor() -> FixtureKit:
    """Three tenants, four formats, every source and every reason there is."""
    raws = [_snapshot(advisory, tenant) for advisory, tenant in _snapshotted()]
    raws += [_decoy(osv(60), TENANTS[0]), *_disagreeing(osv(61), TENANTS[1])]
    cached = {
        "_id": "dto-1",
        "tenant": TENANTS[2],
        "sourceName": "tide-csaf",
        "upstreamId": csaf(50).id,
        "contentHash": csaf(50).content_hash,
        "format": "CSAF",
        "payload": csaf(50).raw,
    }
    folder = "concelier/dump/concelier"
    observations = _harbor_observations()
    members = {
        "README.txt": b"A fixture: everything in this kit is made up.\n",
        "images/quay.bin": _noise(24 * 1024),
        f"{folder}/advisory_observations.bson": _encoded([one.document for one in observations]),
        f"{folder}/advisory_observations.metadata.json": _metadata("advisory_observations"),
        f"{folder}/advisory_raw.bson": _encoded(raws),
        f"{folder}/dto.bson": _encoded([cached]),
    }
    counted = {
        f"{folder}/advisory_observations.bson": [one.document for one in observations],
        f"{folder}/advisory_raw.bson": raws,
        f"{folder}/dto.bson": [cached],
    }
    return FixtureKit(
        name="harbor.tar.zst",
        members=members,
        observations={f"{folder}/advisory_observations.bson": observations},
        manifest_path="manifest/offline-manifest.json",
        manifest=_own_manifest("harbor", 7, members, counted),
        pack=lambda every: zstd_frames(tar_of(every, tarfile.PAX_FORMAT, folders=True)),
    )


def foreign() -> FixtureKit:
    """A kit with somebody else's manifest, and collections as ``mongodump --gzip`` writes them."""
    folder = "dump/concelier"
    observations = [_content(maker(70 + n), TENANTS[n % 2]) for n, maker in enumerate((*MAKERS, *MAKERS))]
    observations += [_present(osv(80), TENANTS[0]), _unresolvable(cve(81), TENANTS[1], raw=None)]
    members = {
        "images/quay.bin": _noise(8 * 1024),
        f"{folder}/advisory_observations.bson.gz": gzip_member(_encoded([one.document for one in observations])),
        f"{folder}/advisory_observations.metadata.json.gz": gzip_member(_metadata("advisory_observations")),
    }
    digests = {path: hashlib.sha256(data).hexdigest().upper() for path, data in members.items()}
    manifest = {
        "product": "harbour charts",
        "version": "2099.4",
        "artifacts": [
            {"name": path, "digest": f"sha256:{digests[path]}", "size": len(data), "label": "kept"}
            for path, data in members.items()
        ],
        "buildDate": "2099-04-01",
    }
    return FixtureKit(
        name="foreign.tar.gz",
        members=members,
        observations={f"{folder}/advisory_observations.bson.gz": observations},
        manifest_path="offline-manifest.json",
        manifest=json.dumps(manifest, indent=4).encode(),
        pack=lambda every: gzip_members(tar_of(every, tarfile.USTAR_FORMAT, folders=False)),
    )


def parts() -> FixtureKit:
    """One collection in two parts, a tenant each; the first was migrated before."""
    done, todo = (f"tenants/{tenant}/concelier/advisory_observations.bson.zst" for tenant in TENANTS[:2])
    observations = {
        done: [_present(maker(90 + n), TENANTS[0]) for n, maker in enumerate(MAKERS)],
        todo: [_content(maker(94 + n), TENANTS[1]) for n, maker in enumerate(MAKERS)],
    }
    plain = {path: [one.document for one in listed] for path, listed in observations.items()}
    members = {path: zstandard.ZstdCompressor(level=19).compress(_encoded(listed)) for path, listed in plain.items()}
    deep = "charts/" + "/".join(["a-folder-with-a-long-name-indeed"] * 4) + "/depths.txt"
    members[deep] = b"a name too long for one tar header\n"
    return FixtureKit(
        name="parts.tar",
        members=members,
        observations=observations,
        manifest_path="manifest/offline-manifest.json",
        manifest=_own_manifest("harbor-parts", 3, members, plain),
        pack=lambda every: tar_of(every, tarfile.GNU_FORMAT, folders=False),
    )


def plain_observation(number: int) -> Document:
    """Give an observation without ``rawLinkset``, any number of them: formats and tenants take turns."""
    return _observation(MAKERS[number % len(MAKERS)](number), TENANTS[number % len(TENANTS)])


KITS: Sequence[Callable[[], FixtureKit]] = (harbor, foreign, parts)


def _harbor_observations() -> list[Expected]:
    plain = [_content(maker(1 + n), TENANTS[n % 3]) for n in range(5) for maker in MAKERS]
    snapshots = [_from_snapshot(advisory, tenant) for advisory, tenant in _snapshotted()]
    page = "<html><body>The vendor's site is down for maintenance</body></html>"
    envelope = {"__encrypted": True, "v": 1, "alg": "aes-256-gcm", "ct": "", "iv": "", "tag": "", "dekId": "d"}
    odd = csaf(40)
    skipping = dict(ghsa(41).raw) | {"identifiers": [{"type": "GHSA"}, *ghsa(41).raw["identifiers"]]}
    others = [
        _cached(csaf(50), TENANTS[2]),
        *(_present(maker(20 + n), TENANTS[n % 3]) for n, maker in enumerate(MAKERS)),
        Expected(document=_observation(osv(30), TENANTS[0]) | {"rawLinkset": None}, outcome="null"),
        _unresolvable(osv(31), TENANTS[1], raw=page),
        _unresolvable(csaf(32), TENANTS[2], raw=None),
        _unresolvable(cve(33), TENANTS[0], raw=envelope),
        _unresolvable(ghsa(34), TENANTS[1], raw={"bulletin": 34}, format_name="Notice to Mariners"),
        _unresolvable(osv(35), TENANTS[2], raw={"schema_version": "2.0.0", "id": "HARBOR-2099-0035"}),
        _unresolvable(osv(60), TENANTS[0], raw=None),
        _unresolvable(osv(61), TENANTS[1], raw=None),
        # The linkset of another advisory: derived all the same, and reported.
        _content(odd, TENANTS[2], linkset=csaf(42).linkset),
        _content(cve(43), TENANTS[0], format_name=None),
        _content(ghsa(41), TENANTS[1], raw=skipping),
    ]
    # Shuffled, so that no outcome stands in one run, and yet always the same.
    return sorted(plain + snapshots + others, key=lambda one: hashlib.sha256(one.document["_id"].encode()).hexdigest())


def _snapshotted() -> list[tuple[Advisory, str]]:
    return [(maker(10 + n), TENANTS[n % 3]) for n, maker in enumerate((*MAKERS, osv, cve))]


def _observation(advisory: Advisory, tenant: str, **changes: Any) -> Document:
    """Store an advisory as the platform does; ``changes`` replace raw, format name or linkset, None removes them."""
    content = {
        "format": changes.get("format_name", advisory.format),
        "specVersion": advisory.spec_version,
        "raw": changes.get("raw", advisory.raw),
        "metadata": {},
    }
    document = {
        "_id": f"{tenant}:{advisory.vendor}:{advisory.id}:1",
        "tenant": tenant,
        "source": {"vendor": advisory.vendor, "stream": "bulk"},
        "upstream": {
            "upstreamId": advisory.id,
            "documentVersion": "1",
            "fetchedAt": _STORED,
            "contentHash": advisory.content_hash,
            "signature": {"present": False},
        },
        "content": {name: value for name, value in content.items() if value is not None},
        "identifiers": {"aliases": list(advisory.facts.aliases)},
        "linkset": changes.get("linkset", advisory.linkset),
        "createdAt": _STORED,
        "attributes": {"batch": bson.Int64(17), "weight": bson.Decimal128("1.50"), "seal": b"\x00\x01"},
    }
    return {name: value for name, value in document.items() if value is not None}


def _content(advisory: Advisory, tenant: str, **changes: Any) -> Expected:
    return Expected(document=_observation(advisory, tenant, **changes), outcome="content", lists=_lists(advisory))


def _cached(advisory: Advisory, tenant: str) -> Expected:
    return Expected(document=_observation(advisory, tenant, raw=None), outcome="cache", lists=_lists(advisory))


def _from_snapshot(advisory: Advisory, tenant: str) -> Expected:
    return Expected(document=_observation(advisory, tenant), outcome="snapshot", lists=_lists(advisory))


def _present(advisory: Advisory, tenant: str) -> Expected:
    lists = _lists(advisory)
    raw = {name: lists[name] for name in ("aliases", "purls", "cpes")}
    raw_linkset = raw | {"references": [{"url": url} for url in lists["urls"]], "reconciled_from": [], "notes": {}}
    document = _observation(advisory, tenant) | {"rawLinkset": raw_linkset}
    return Expected(document=document, outcome="present", lists=lists)


def _unresolvable(advisory: Advisory, tenant: str, **changes: Any) -> Expected:
    return Expected(document=_observation(advisory, tenant, **changes), outcome="unresolvable")


def _lists(advisory: Advisory) -> dict[str, list[str]]:
    facts = advisory.facts
    urls = [url for _, url in facts.references]
    return {"aliases": list(facts.aliases), "purls": list(facts.purls), "cpes": list(facts.cpes), "urls": urls}


def _snapshot(advisory: Advisory, tenant: str) -> Document:
    """Store the snapshot of an advisory, as ``advisory_raw`` does: names in snake case, values verbatim."""
    facts = advisory.facts
    return {
        "_id": f"advisory_raw:{tenant}:{advisory.id}",
        "tenant": tenant,
        "source": {"vendor": advisory.vendor},
        "upstream": {"upstream_id": advisory.id, "content_hash": advisory.content_hash},
        "content": {"format": advisory.format, "spec_version": advisory.spec_version, "raw": advisory.raw},
        "identifiers": {"aliases": list(facts.aliases), "primary": advisory.id},
        "linkset": {
            # Where the linkset has none, those of the identifiers are the aliases.
            "aliases": [] if advisory.format == "GHSA" else list(facts.aliases),
            "purls": list(facts.purls),
            "cpes": list(facts.cpes),
            "references": [{"type": kind, "url": url} for kind, url in facts.references],
            "scopes": ["quay"],
            "relationships": [{"type": "depends-on", "source": advisory.id, "target": "tide"}],
            "reconciled_from": ["/id"],
            "notes": {"ingest": " kept verbatim  "},
        },
    }


def _decoy(advisory: Advisory, tenant: str) -> Document:
    """Give the snapshot of another revision: same identifier, other content hash."""
    snapshot = _snapshot(advisory, tenant)
    return snapshot | {"upstream": snapshot["upstream"] | {"content_hash": "sha256:" + "0" * 64}}


def _disagreeing(advisory: Advisory, tenant: str) -> list[Document]:
    """Give two snapshots of one revision that do not agree."""
    one = _snapshot(advisory, tenant)
    other = one | {"_id": f"{one['_id']}:again", "linkset": one["linkset"] | {"purls": []}}
    return [one, other]


def _own_manifest(
    bundle: str, generation: int, members: Mapping[str, bytes], collections: Mapping[str, Sequence[Document]]
) -> bytes:
    files = [
        {
            "path": path,
            "sha256": hashlib.sha256(data).hexdigest(),
            "size": len(data),
            "mediaType": "application/octet-stream",
            "kind": "collection" if path in collections else "data",
        }
        for path, data in sorted(members.items())
    ]
    manifest = {
        "schemaVersion": "1",
        "bundleId": bundle,
        "version": "2099.4.0",
        "channel": "stable",
        "generation": generation,
        "createdAt": BUILT_AT,
        "producer": "harbour fixtures",
        "stalenessWindowHours": 720,
        "files": files,
        "collections": [_summary(path, documents) for path, documents in sorted(collections.items())],
        "lineage": [],
    }
    return (json.dumps(manifest, ensure_ascii=False, indent=2, sort_keys=True) + "\n").encode()


def _summary(path: str, documents: Sequence[Document]) -> Document:
    database, leaf = path.split("/")[-2:]
    observed = leaf.startswith("advisory_observations.")
    tenants: dict[str, Document] = {}
    for tenant in sorted({document["tenant"] for document in documents}):
        own = [document for document in documents if document["tenant"] == tenant]
        present = sum("rawLinkset" in document for document in own)
        coverage = {"present": present, "missing": len(own) - present, "unresolvable": 0}
        tenants[tenant] = {"documents": len(own)} | ({"rawLinkset": coverage} if observed else {})
    return {
        "path": path,
        "db": database,
        "collection": leaf.partition(".")[0],
        "documents": len(documents),
        "bytes": len(_encoded(documents)),
        "tenants": tenants,
    }


def _encoded(documents: Iterable[Document]) -> bytes:
    return b"".join(bson.encode(document) for document in documents)


def _metadata(collection: str) -> bytes:
    index = {"v": 2, "key": {"_id": 1}, "name": "_id_"}
    return json.dumps({"indexes": [index], "collectionName": collection}, separators=(",", ":")).encode()


def _noise(size: int) -> bytes:
    """Give bytes that do not compress, as those of an image layer do not."""
    blocks = (hashlib.sha256(number.to_bytes(8, "big")).digest() for number in range(size // 32))
    return b"".join(blocks)

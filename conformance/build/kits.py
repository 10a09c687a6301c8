"""What the kits of ``conformance`` are built from: files, manifests, steps, containers.

Nothing here calls kit's writer, its patch or its manifest printer: a generation is spelled out as the formats under
``schemas/`` have it, so that the table tests a verifier and not a round trip. Only keys and signatures are made with
``kit.signing``. Everything is a function of its arguments; the same call gives the same bytes on every machine.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import bson
import zstandard

from conformance.build.signing import key, signature
from conformance.build.tar_bytes import END, member
from fixtures.build.archives import gzip_member
from kit.signing import dsse

PUBLISHED_AT = "2026-01-01T00:00:00Z"
PATCHED_AT = "2026-01-02T03:04:05Z"
LATER = "2026-01-03T00:00:00Z"
JUDGED_AT = "2026-01-10T00:00:00Z"
MANIFEST = "manifest/offline-manifest.json"
SIGNATURE = f"{MANIFEST}.jws"
ROOT_MANIFEST = "offline-manifest.json"
HISTORY = "manifest/history/3"
KEPT = f"{HISTORY}/offline-manifest.json"
KEPT_SIGNATURE = f"{KEPT}.jws"
STATEMENT = f"{HISTORY}/patch.intoto.json"
OBSERVATIONS = "dump/concelier/advisory_observations.bson"
_MTIME = b"14525340400\0"  # 2026-01-01

Members = dict[str, bytes]
Document = dict[str, Any]


def observation(number: int, tenant: str = "acme", *, raw: bool = True) -> Document:
    """Give an observation without ``rawLinkset``, as small as they get."""
    name = f"GO-2026-{number:04}"
    content = {"format": "OSV"} | ({"raw": {"schema_version": "1.6.0", "id": name}} if raw else {})
    return {
        "_id": f"{tenant}:osv:{name}:1",
        "tenant": tenant,
        "source": {"vendor": "osv"},
        "upstream": {"upstreamId": name, "contentHash": f"sha256:{number:064x}"},
        "content": content,
        "linkset": {"aliases": [name.lower()]},
    }


def complete(document: Document) -> Document:
    """Append ``rawLinkset``, as a patch does."""
    raw = {"aliases": [document["upstream"]["upstreamId"]], "purls": [], "cpes": [], "references": []}
    return document | {"rawLinkset": raw | {"reconciled_from": ["/id"], "notes": {}}}


BEFORE = (observation(1), observation(2, "globex"), observation(3, raw=False))
AFTER = (complete(BEFORE[0]), complete(BEFORE[1]), BEFORE[2])


def encoded(documents: Iterable[Document]) -> bytes:
    """Give documents back to back, as ``mongodump`` writes them."""
    return b"".join(bson.encode(document) for document in documents)


def files(documents: Iterable[Document] = BEFORE) -> Members:
    """Give the files of a kit, without manifest."""
    return {"README.txt": b"a kit\n", OBSERVATIONS: encoded(documents), "images/layer.bin": bytes(range(64))}


def sha256(data: bytes) -> str:
    """Digest as manifests spell it."""
    return hashlib.sha256(data).hexdigest()


def to_json(document: Mapping[str, Any]) -> bytes:
    """Print JSON as the own shape does."""
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False).encode() + b"\n"


def compact_json(document: Mapping[str, Any]) -> str:
    """Print JSON without blanks."""
    return json.dumps(document, separators=(",", ":"))


def entry(path: str, data: bytes) -> Document:
    """Give one entry of ``files``."""
    return {"path": path, "sha256": sha256(data), "size": len(data), "mediaType": "text/plain", "kind": "data"}


def manifest(members: Mapping[str, bytes], **changes: Any) -> Document:
    """Give a manifest of the own shape; ``...`` removes a member."""
    whole = {
        "schemaVersion": "1",
        "bundleId": "conformance",
        "version": "2026.1",
        "channel": "stable",
        "generation": 3,
        "createdAt": PUBLISHED_AT,
        "producer": "conformance",
        "files": [entry(path, data) for path, data in sorted(members.items())],
        "collections": [],
        "lineage": [],
    }
    return {name: value for name, value in (whole | changes).items() if value is not ...}


def summary(documents: Sequence[Document], path: str = OBSERVATIONS) -> Document:
    """Give one entry of ``collections``."""
    tenants: dict[str, Document] = {}
    for document in documents:
        counts = tenants.setdefault(document["tenant"], {"documents": 0, "rawLinkset": dict.fromkeys(_COUNTS, 0)})
        counts["documents"] += 1
        counts["rawLinkset"]["present" if "rawLinkset" in document else "missing"] += 1
    whole = {"path": path, "db": "concelier", "collection": "advisory_observations", "tenants": tenants}
    return whole | {"documents": len(documents), "bytes": len(encoded(documents))}


_COUNTS = ("present", "missing", "unresolvable")


def published(
    members: Mapping[str, bytes] | None = None,
    *,
    by: Sequence[str] = ("publisher",),
    place: str = MANIFEST,
    document: Mapping[str, Any] | bytes | None = None,
    **changes: Any,
) -> Members:
    """Give a kit's members: files, manifest and signature."""
    chosen = dict(files() if members is None else members)
    made = manifest(chosen, **changes) if document is None else document
    data = made if isinstance(made, bytes) else to_json(made)
    return {**chosen, place: data, f"{place}.jws": signature(data, *by)}


DATA = to_json(manifest(files()))
"""The manifest of the kit that :func:`published` gives when it is told nothing."""


def with_signature(text: bytes) -> Members:
    """Give that kit with another signature."""
    return published(document=DATA) | {SIGNATURE: text}


def without(members: Members, *names: str) -> Members:
    """Leave members out."""
    return {name: data for name, data in members.items() if name not in names}


def step(
    before: Mapping[str, bytes],
    changed: Mapping[str, bytes],
    *,
    by: str = "site",
    stated_by: str | None = None,
    at: str = PATCHED_AT,
    runs: Sequence[int] = (0, 2, 1),
    base_documents: bytes | None = None,
    kind: str = "raw-linkset",
    place: str = MANIFEST,
    digests: bool = False,
    manifest_changes: Mapping[str, Any] | None = None,
    statement_changes: Mapping[str, Any] | None = None,
) -> Members:
    """Make the next generation, as a patch does: files replaced or added, history kept, statement and manifest signed.

    Args:
        before: The kit, whole.
        changed: New bodies.
        by: Who signs the new manifest.
        stated_by: Who signs the statement; ``by`` where it is not said.
        at: The time of the new generation.
        runs: Which documents of the collection changed.
        base_documents: The documents as they were, where they are not those of the member.
        kind: The transform.
        place: Where the manifest is.
        digests: Lineage has the digests of signature and prior statement, too, as entries of earlier versions have not.
        manifest_changes: Members of the new manifest that are not as they should be.
        statement_changes: Members of the predicate that are not as they should be; ``...`` removes one.
    """
    old = json.loads(before[place])
    number = old.get("generation", len(old.get("lineage", [])))
    names = {what: f"manifest/history/{number}/{name}" for what, name in _KEPT.items()}
    kept = {names["path"]: before[place], names["signature"]: before[f"{place}.jws"]}
    new_entry = _lineage_entry(number, before[place], names, at)
    if digests:
        new_entry |= {"signatureSha256": sha256(before[f"{place}.jws"])}
        if old.get("lineage"):
            new_entry |= {"priorStatementSha256": sha256(before[old["lineage"][-1]["statement"]])}
    new = copy.deepcopy(old) | {"lineage": [*old.get("lineage", []), new_entry]}
    if "schemaVersion" in old:
        new |= {"generation": number + 1, "createdAt": at}
    _respell(new, changed)
    new |= dict(manifest_changes or {})
    data = to_json(new)
    stated = _statement(before, changed, number, data, old, by=by, at=at, kind=kind, place=place)
    stated["predicate"]["documents"] = [
        {"name": path, "baseSha256": sha256(base_documents or before[path]), "changed": list(runs)}
        for path in sorted(changed)
        if path in before and ".bson" in path
    ]
    predicate = stated["predicate"] | dict(statement_changes or {})
    stated["predicate"] = {name: value for name, value in predicate.items() if value is not ...}
    envelope = dsse.sign(to_json(stated), [key(stated_by or by)])
    return {
        **before,
        **changed,
        place: data,
        f"{place}.jws": signature(data, by),
        **kept,
        names["statement"]: envelope,
    }


def patched(**more: Any) -> Members:
    """Give the kit of :func:`published` after a site appended ``rawLinkset``."""
    return step(published(), {OBSERVATIONS: encoded(AFTER)}, **more)


_KEPT = {"path": "offline-manifest.json", "signature": "offline-manifest.json.jws", "statement": "patch.intoto.json"}


def _lineage_entry(number: int, data: bytes, names: Mapping[str, str], at: str) -> Document:
    named: Document = dict(names)
    return named | {
        "generation": number,
        "manifestSha256": sha256(data),
        "operation": "patch",
        "tool": "hand 1",
        "at": at,
    }


def _respell(document: Document, changed: Mapping[str, bytes]) -> None:
    """Put new digests into a manifest, in the shape it has."""
    listed = next(document[name] for name in ("files", "artifacts", "entries", "chunks") if name in document)
    known = {item.get("path", item.get("name")): item for item in listed}
    for path, data in changed.items():
        if path not in known:
            listed.append(entry(path, data))
            continue
        field = next(name for name in ("sha256", "digest", "hash") if name in known[path])
        prefix = "sha256:" if known[path][field].startswith("sha256:") else ""
        known[path][field] = prefix + sha256(data)
        if "size" in known[path]:
            known[path]["size"] = len(data)
    if "schemaVersion" in document:
        listed.sort(key=lambda item: str(item["path"]))


def _statement(
    before: Mapping[str, bytes],
    changed: Mapping[str, bytes],
    number: int,
    data: bytes,
    old: Mapping[str, Any],
    *,
    by: str,
    at: str,
    kind: str,
    place: str,
) -> Document:
    def artifact(name: str, body: bytes) -> Document:
        return {"name": name, "digest": {"sha256": sha256(body)}}

    transform = {"name": kind, "kind": "additive-optional", "version": "1", "parametersSha256": sha256(b"{}\n")}
    materials = [artifact(path, before[path]) for path in sorted(changed) if path in before]
    bundle = {"bundleId": old["bundleId"]} if "bundleId" in old else {}
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [artifact(place, data), *(artifact(path, changed[path]) for path in sorted(changed))],
        "predicateType": "urn:offline-kit:patch:v1",
        "predicate": {
            "tool": {"name": "hand", "version": "1"},
            "transforms": [transform],
            "counts": {f"{kind}.patched": 2},
            "keyIds": [key(by).public.key_id],
            "createdAt": at,
            "materials": [artifact(place, before[place]), *materials],
            "baseGeneration": number,
            "generation": number + 1,
            **bundle,
        },
    }


def entries(members: Mapping[str, bytes]) -> bytes:
    """Give the entries of a tar archive, without its end."""
    return b"".join(member(name.encode(), data, mtime=_MTIME) for name, data in members.items())


def tar(members: Mapping[str, bytes]) -> bytes:
    """Give a plain tar archive."""
    return entries(members) + END


def compressed(data: bytes, suffix: str) -> bytes:
    """Compress as a suffix says; both compressors are pinned, so that bytes reproduce."""
    if suffix == ".tar.gz":
        return gzip_member(data)
    return zstandard.ZstdCompressor(level=19, write_checksum=True).compress(data) if suffix == ".tar.zst" else data

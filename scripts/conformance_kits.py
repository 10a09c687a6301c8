"""What the kits of ``fixtures/conformance`` are built from: keys, files, manifests, signatures, steps, containers.

Nothing here calls kit's writer, its patch or its manifest printer: a generation is spelled out as the formats under
``schemas/`` have it, so that the table tests a verifier and not a round trip. Only keys and signatures are made with
``kit.signing``. Everything is a function of its arguments; the same call gives the same bytes on every machine.
"""

from __future__ import annotations

import copy
import functools
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import bson
import zstandard
from cryptography.hazmat.primitives.asymmetric import rsa

from kit.signing import PrivateKey, dsse, jws
from kit.signing.base64_text import url_encode
from scripts.fixture_kits import ed25519_key, gzip_member, p256_key
from scripts.tar_bytes import END, member

PUBLISHED_AT = "2026-01-01T00:00:00Z"
PATCHED_AT = "2026-01-02T03:04:05Z"
JUDGED_AT = "2026-01-10T00:00:00Z"
MANIFEST = "manifest/offline-manifest.json"
ROOT_MANIFEST = "offline-manifest.json"
OBSERVATIONS = "dump/concelier/advisory_observations.bson"
_MTIME = b"14525340400\0"  # 2026-01-01

Members = dict[str, bytes]
Document = dict[str, Any]


# --- keys -------------------------------------------------------------------------------------------------------------


@functools.cache
def key(name: str) -> PrivateKey:
    """Give a person's key: the publisher has Ed25519, ``rsa`` RSA, everybody else P-256; all are worthless."""
    if name == "publisher":
        return ed25519_key(name)
    return PrivateKey(_rsa_numbers().private_key()) if name == "rsa" else p256_key(name)


# Primes of the RSA key, printed here since it is TEST-ONLY and finding some takes longer than reading them.
_P = int(
    "e967fdd775befc0c36ddc0ba402e6b48e9c0ffffebe18d6299d19846986c2003511f4753b01065fdcc9b1dc647e3ac7a"
    "d5c0825dea3164982ebd9d6a5b47a5c963c08092641ca0a7216b03fa5bc8fcdb8fcd1dbc7b672fecaabd5a2835bc02d7"
    "7b25de1a7cbb71f004c86e5437f17d822614102a04502c5a642433c9973e0661d08ee3f31aabbf93be516a1c7287a505"
    "f05f2db15faa6870a8205c3fe5b50aa463de8edae9fd08f75873efdfad39f1863e123afe79bde4779c442932058c8359",
    16,
)
_Q = int(
    "c9d079de4c44fb1ac959f83d01277c802e227c6166448671cd859dc997d64cbed5945c94a78cc54c8155bc994039844e"
    "d8ecb083b41773149418eab2206f76bd2f8541d4a97f6e4796f7f3cfff5714f0de8796d84dea41eb7e889abd9f5322f6"
    "461f2414a6456596441a4fc4a34eeb6bfe46150c6c50f4d4872bd485579d306e75633176d4ba314a744d6eca34784cf7"
    "d90db069b05b9d835e2a6403d8da9e94459f925a6c6098d6f43a355293d08da8cf76a6c4f07787d6a741e4fcf7b93ce7",
    16,
)
_E = 65537


def _rsa_numbers() -> rsa.RSAPrivateNumbers:
    d = pow(_E, -1, (_P - 1) * (_Q - 1))
    return rsa.RSAPrivateNumbers(
        p=_P,
        q=_Q,
        d=d,
        dmp1=d % (_P - 1),
        dmq1=d % (_Q - 1),
        iqmp=pow(_Q, -1, _P),
        public_numbers=rsa.RSAPublicNumbers(e=_E, n=_P * _Q),
    )


def _sign_pss(data: bytes) -> bytes:
    """Sign with RSASSA-PSS (RFC 8017 9.1.1) and a salt that is always the same, since files must reproduce."""
    salt = hashlib.sha256(b"salt TEST ONLY").digest()
    digest = hashlib.sha256(bytes(8) + hashlib.sha256(data).digest() + salt).digest()
    size = ((_P * _Q).bit_length() + 7) // 8
    block = b"\x01" + salt
    block = bytes(size - len(block) - len(digest) - 1) + block
    blocks = range((len(block) + 31) // 32)
    mask = b"".join(hashlib.sha256(digest + counter.to_bytes(4, "big")).digest() for counter in blocks)
    masked = bytearray(a ^ b for a, b in zip(block, mask, strict=False))
    masked[0] &= 0x7F
    encoded = int.from_bytes(bytes(masked) + digest + b"\xbc", "big")
    return pow(encoded, pow(_E, -1, (_P - 1) * (_Q - 1)), _P * _Q).to_bytes(size, "big")


# --- files ------------------------------------------------------------------------------------------------------------


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


# --- manifests --------------------------------------------------------------------------------------------------------


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


def signature(data: bytes, *by: str, typ: str = jws.MANIFEST_TYPE) -> bytes:
    """Sign a manifest; deterministic, with the RSA key too."""
    if by == ("rsa",):
        return forged(data, "rsa", alg="PS256", typ=typ)
    return jws.sign(data, [key(name) for name in by], typ=typ)


def forged(data: bytes, by: str, **changes: Any) -> bytes:
    """Sign under a protected header that is otherwise as it should be; ``...`` removes a member."""
    return header_signed(data, by, json.dumps(header(by, **changes)).encode())


def header(by: str, **changes: Any) -> Document:
    """Give the protected header of a signer."""
    algorithms = {"Ed25519": "EdDSA", "ES256": "ES256", "PS256": "PS256"}
    whole = {
        "alg": algorithms[str(key(by).public.algorithm)],
        "b64": False,
        "crit": ["b64"],
        "kid": key(by).public.key_id,
        "typ": jws.MANIFEST_TYPE,
    }
    return {name: value for name, value in (whole | changes).items() if value is not ...}


def header_signed(data: bytes, by: str, text: bytes) -> bytes:
    """Sign under any bytes as the protected header."""
    protected = url_encode(text)
    signed = protected.encode() + b"." + data
    value = _sign_pss(signed) if by == "rsa" else key(by).sign(signed)
    return f"{protected}..{url_encode(value)}".encode()


# --- steps ------------------------------------------------------------------------------------------------------------


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
        manifest_changes: Members of the new manifest that are not as they should be.
        statement_changes: Members of the predicate that are not as they should be; ``...`` removes one.
    """
    old = json.loads(before[place])
    number = old.get("generation", len(old.get("lineage", [])))
    names = {what: f"manifest/history/{number}/{name}" for what, name in _KEPT.items()}
    kept = {names["path"]: before[place], names["signature"]: before[f"{place}.jws"]}
    new = copy.deepcopy(old) | {"lineage": [*old.get("lineage", []), _lineage_entry(number, before[place], names, at)]}
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


# --- containers -------------------------------------------------------------------------------------------------------


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

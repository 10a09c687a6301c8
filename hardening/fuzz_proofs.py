"""What hardening/fuzz attacks of proofs: ``kit prove --check`` and ``check_proof.py`` must agree on each of them.

An input is a proof in which ``@MANIFEST`` and ``@SIGNATURE`` are for those of a kit with known documents, so that what
is mutated lies behind the signature. Laws: both checkers accept or both refuse, with no exception but their own; what
they accept is true of those documents.
"""

# ruff: noqa: S101  the laws

from __future__ import annotations

import base64
import functools
import json
from typing import Any

import bson

from conformance import check_proof
from conformance.build.kits import manifest as manifest_of, sha256, to_json
from conformance.build.signing import key, signature
from kit.documents.identity import identity_key, leaf_data
from kit.errors import KitError
from kit.values.digest import leaf_hash, path_of, root_of
from kit.verbs.prove.proof import ABSENCE, Proof
from kit.verbs.prove.prove import check
from kit.verbs.verify.judgement import Expectation

NUMBERS = {"$numberInt", "$numberLong"}
"""Kinds of ``_id`` that only ``kit prove --check`` reads."""
NAME = "concelier.advisory_observations"
_PARTS: dict[str, tuple[str, list[Any]]] = {
    "dump/a.bson": ("acme", ["b", "d", "d", bson.ObjectId("65a000000000000000000001"), 7, "f", "h"]),
    "dump/b.bson": ("globex", ["c", "f"]),
    "dump/empty.bson": ("", []),
}
PUBLIC = key("site").public
EXPECTATION = Expectation(trusted={PUBLIC.key_id: PUBLIC})


def leaves_of(path: str) -> list[dict[str, Any]]:
    """Return every leaf of a member, as a proof shows it."""
    return list(map(dict, _leaves(path)))


def document(path: str, number: int) -> bytes:
    """Return a document of a member."""
    return bson.encode({"_id": _PARTS[path][1][number], "n": number})


@functools.cache
def _leaves(path: str) -> tuple[dict[str, Any], ...]:
    documents = [document(path, number) for number in range(len(_PARTS[path][1]))]
    keyed = [(identity_key(one), bytes.fromhex(sha256(one))) for one in documents]
    found = sorted((one, leaf_hash(leaf_data(one, digest)), digest) for one, digest in keyed)
    hashes = [leaf for _, leaf, _ in found]
    return tuple(
        {
            "index": at,
            "key": one.hex(),
            "documentSha256": digest.hex(),
            "path": [beside.hex() for beside in path_of(at, hashes)],
        }
        for at, (one, _, digest) in enumerate(found)
    )


def _root(path: str) -> str:
    pairs = [(bytes.fromhex(leaf["key"]), bytes.fromhex(leaf["documentSha256"])) for leaf in _leaves(path)]
    return root_of(leaf_hash(leaf_data(*pair)) for pair in pairs).hex()


def _summary(path: str, tenant: str, count: int) -> dict[str, Any]:
    name = NAME.partition(".")[2] if count else "nothing"
    tenants = {tenant: {"documents": count}} if count else {}
    whole = {"path": path, "db": "concelier", "collection": name, "documents": count, "bytes": 0, "tenants": tenants}
    return whole | {"merkleRoot": _root(path)}


MANIFEST = to_json(
    manifest_of(
        dict.fromkeys(_PARTS, b""),
        collections=[_summary(path, tenant, len(ids)) for path, (tenant, ids) in _PARTS.items()],
    )
)
"""Signed as it is: what the proofs are about."""


def whole_proof(shown: bytes) -> bytes:
    """Return a proof with manifest and signature in their places."""
    texts = {b"@MANIFEST": MANIFEST, b"@SIGNATURE": signature(MANIFEST, "site"), b"@BOTH": signature(MANIFEST, *_BOTH)}
    for name, data in texts.items():
        shown = shown.replace(name, base64.b64encode(data))
    return shown


_BOTH = ("publisher", "site")


def is_true(claim: dict[str, Any]) -> bool:
    """Return whether a claim is true of the documents."""
    names = claim["id"], claim.get("tenant")
    identity = names[0] if isinstance(names[0], str) else next(iter(names[0].values()))
    looked_at = [
        [str(one) for one in ids if isinstance(one, str) == isinstance(names[0], str)]
        for path, (tenant, ids) in _PARTS.items()
        if (claim["collection"] == (NAME if ids else "concelier.nothing")) and names[1] in {None, tenant}
    ]
    return bool(looked_at) and claim["present"] == any(identity in ids for ids in looked_at)


def proof(data: bytes) -> None:
    """Law: see the module."""
    data = whole_proof(data)
    read: Proof | None = None
    try:
        read = Proof.parse(data, where="k")
        check(read, EXPECTATION, absent=not read.claim.present)
        refusal: KitError | None = None
    except KitError as error:
        refusal = error
    second = ""
    for absent in (False, True) if read is None else (not read.claim.present,):
        try:
            check_proof.check(data, PUBLIC.pem, verify=verify, absent=absent)
            second = ""
            break
        except (ValueError, RecursionError) as error:
            second = str(error)
    claim = json.loads(read.to_bytes())["claim"] if read is not None else {}
    if isinstance(claim.get("id"), dict) and NUMBERS & claim["id"].keys():
        assert second
    else:
        assert (refusal is None) == (not second), f"kit: {refusal}; check_proof.py: {second or 'proven'}"
    if refusal is not None:
        raise refusal
    assert is_true(claim)


@functools.lru_cache(maxsize=4096)
def verify(alg: str, public: bytes, signed: bytes, data: bytes) -> bool:
    """Check a signature as the script does, with ``openssl``, each one once."""
    return check_proof.is_signed(alg, public, signed, data)


def shown(identity: Any, members: dict[str, list[dict[str, Any]]], *, present: bool, **more: Any) -> bytes:
    """Return a proof without manifest and signature."""
    given = {"signature": "@SIGNATURE", "collection": NAME} | more
    claim = {"id": identity, "collection": given.pop("collection"), "present": present}
    claim |= {"tenant": given.pop("tenant")} if "tenant" in given else {}
    given |= {} if present else {"statement": ABSENCE}
    parts = [{"path": path, "leaves": leaves} for path, leaves in members.items()]
    return json.dumps(
        {"schemaVersion": "1", "claim": claim, "manifest": "@MANIFEST", "members": parts, **given}
    ).encode()


def seeds() -> list[bytes]:
    """Return proofs of every form: present, between, before, behind, of an empty tree, of a tenant, of two signers."""
    first, second = leaves_of("dump/a.bson"), leaves_of("dump/b.bson")
    return [
        shown("b", {"dump/a.bson": first[:1]}, present=True),
        shown("d", {"dump/a.bson": first[1:3]}, present=True),
        shown("f", {"dump/a.bson": first[3:4], "dump/b.bson": second[1:]}, present=True, signature="@BOTH"),
        shown({"$oid": "65a000000000000000000001"}, {"dump/a.bson": first[5:6]}, present=True),
        shown({"$numberInt": "7"}, {"dump/a.bson": first[6:]}, present=True),
        shown("e", {"dump/a.bson": first[2:4], "dump/b.bson": second}, present=False),
        shown("a", {"dump/a.bson": first[:1], "dump/b.bson": second[:1]}, present=False),
        shown("z", {"dump/a.bson": first[4:6], "dump/b.bson": second[1:]}, present=False),
        shown("x", {"dump/empty.bson": []}, present=False, collection="concelier.nothing"),
        shown("c", {"dump/a.bson": first[0:2]}, present=False, tenant="acme"),
        shown("c", {"dump/b.bson": second[:1]}, present=True, tenant="globex"),
    ]

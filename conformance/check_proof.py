#!/usr/bin/env python3
"""Check a proof of kit prove with Python and openssl alone: check_proof.py [--absent] PROOF PUBLIC.pem [DOCUMENT.bson].

With --absent the proof must be of an absence, which is about an _id and not about an advisory; else of a document.
Exit codes: 0 proven, 1 not proven, 2 wrong arguments, a file that cannot be read, or no openssl.
"""

import base64
import hashlib
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SHA, RAW = "dgst -sha256 -verify key -signature sig", "pkeyutl -verify -rawin -pubin -inkey key -sigfile sig -in"
PSS = f"{SHA} -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:32 -sigopt rsa_mgf1_md:sha256"
ED, EC, RSA = "302a300506032b6570", "3059301306072a8648ce3d020106082a8648ce3d030107", "300d06092a864886f70d010101"
VERIFY = {"EdDSA": (RAW, ED), "Ed25519": (RAW, ED), "ES256": (SHA, EC), "PS256": (PSS, RSA)}  # and the key it needs
PROOF = {"schemaVersion": str, "claim": dict, "manifest": str, "signature": str, "members": list, "statement": str}
ABOUT_ID = (
    "The collection has no document with this _id. This is about the _id only: a document on the same advisory may be "
    "in the collection under another _id."
)
LEAF = {"index": int, "key": str, "documentSha256": str, "path": list}
HEADER = {"alg": str, "b64": bool, "crit": list, "kid": str, "typ": str}
NOT_CHECKED = """not checked: whether that key may sign this kit, or was revoked; whether there is a newer generation
not checked: whether the signer is right: that the leaves are in order, and made of the documents (kit verify --deep)"""


def need(good: object, why: str) -> None:
    if not good:
        raise ValueError(why)


def exact(value: Any, kinds: Mapping[str, type], *optional: str) -> Any:  # just these; neither true nor 1.5 is an int
    need(type(value) is dict and kinds.keys() - {*optional} <= value.keys() <= kinds.keys(), f"not just {[*kinds]}")
    need(all(type(value[name]) is kinds[name] for name in value), f"not the right types of {[*kinds]}")
    return value


def parse(data: bytes) -> Any:  # strict: UTF-8, no key twice, no NaN or Infinity, no half of a surrogate pair
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        need(len(dict(pairs)) == len(pairs), "a JSON object has a key twice")
        return dict(pairs)

    def number(text: str) -> float:  # 3.0 is an integer, as in JSON Schema
        return int(float(text)) if float(text).is_integer() and abs(float(text)) < 2**53 else float(text)

    hooks: dict[str, Any] = {"parse_float": number, "parse_constant": lambda name: need(None, f"{name} in JSON")}
    value = json.loads(data.decode(), object_pairs_hook=once, **hooks)
    json.dumps(value, ensure_ascii=False).encode()
    return value


def unhex(text: Any, size: int | None = None) -> bytes:
    need(type(text) is str and re.fullmatch("([0-9a-f]{2})*", text), "not lower-case hex digits")
    need(size is None or len(text) == 2 * size, f"not {size} bytes in hex digits")
    return bytes.fromhex(text)


def unbase(text: str, *, url: bool = False) -> bytes:  # base64 in its one spelling; RFC 7515 2
    need(not url or re.fullmatch("[A-Za-z0-9_-]+", text), "not base64url")
    plain = text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4) if url else text
    data = base64.b64decode(plain, validate=True)
    need(data and base64.b64encode(data).decode() == plain, "not base64 in its one spelling")
    return data


def is_signed(alg: str, public: bytes, signature: bytes, data: bytes) -> bool:
    blocks = re.findall(rb"-----BEGIN ([^-]+)-----([^-]+)-----END", public)
    need(len(blocks) == 1 and blocks[0][0] == b"PUBLIC KEY", "the key is not one in PEM: kit keys show KEY prints it")
    public = b"-----BEGIN PUBLIC KEY-----%b-----END PUBLIC KEY-----\n" % blocks[0][1]  # no byte order mark, no notes
    if VERIFY[alg][1] not in base64.b64decode(blocks[0][1])[:23].hex() or (alg == "ES256" and len(signature) != 64):
        return False
    if alg == "ES256":  # r and s, as the ASN.1 that openssl takes
        pair = [int.from_bytes(half, "big") for half in (signature[:32], signature[32:])]
        coded = [number.to_bytes(number.bit_length() // 8 + 1, "big") for number in pair]
        signature = b"0%c" % (sum(map(len, coded)) + 4) + b"".join(b"\2%c" % len(one) + one for one in coded)
    with tempfile.TemporaryDirectory() as folder:
        for name, content in (("key", public), ("sig", signature), ("in", data)):
            Path(folder, name).write_bytes(content)
        run = subprocess.run(["openssl", *VERIFY[alg][0].split(), "in"], cwd=folder, capture_output=True, check=False)
    return run.returncode == 0


def signer_of(jws: bytes, manifest: bytes, public: bytes, verify: Any) -> str:  # RFC 7515, RFC 7797
    jws = jws[:-2] if jws.endswith(b"\r\n") else jws.removesuffix(b"\n")  # the end of the last line says nothing
    pairs = [jws.decode().split("..")]
    if jws[:1] == b"{":
        whole = exact(parse(jws), {"signatures": list})
        entries = [exact(one, {"protected": str, "signature": str}) for one in whole["signatures"]]
        pairs = [[one["protected"], one["signature"]] for one in entries]
        lines = [json.dumps(whole, separators=blanks) for blanks in ((",", ":"), (", ", ": "))]
        lines.append(json.dumps(whole, ensure_ascii=False, indent=2, sort_keys=True) + "\n")
        need(
            jws.decode() in [line.removesuffix("\n") for line in lines],
            "the signatures are spelled in another way than a signer does",
        )
    need(0 < len(pairs) <= 100 and all(len(pair) == 2 for pair in pairs), "not a detached JWS of 1 to 100 signatures")
    heads = [exact(parse(unbase(protected, url=True)), HEADER) for protected, _ in pairs]
    for head in heads:
        need(head["alg"] in VERIFY and head["kid"] and not head["b64"] and head["crit"] == ["b64"], "a strange header")
        need(head["typ"].removeprefix("application/") == "vnd.offline-kit.manifest+jws", "signed for another purpose")
    need(len({head["kid"] for head in heads}) == len(heads), "a key has signed twice")
    raw = [unbase(text, url=True) for _, text in pairs]
    for (protected, _), head, signature in zip(pairs, heads, raw, strict=True):
        if verify(head["alg"], public, signature, protected.encode() + b"." + manifest):
            return str(head["kid"])
    raise ValueError("the key given has not signed the manifest")


def find_due(manifest: Any, claim: dict[str, Any]) -> dict[str, tuple[int, bytes]]:  # size and root, by member
    need(type(manifest) is dict and manifest.get("schemaVersion") == "1", "not a manifest that can be read here")
    kinds = {"path": str, "db": str, "collection": str, "documents": int, "tenants": dict, "merkleRoot": str}
    due, (database, _, collection) = {}, claim["collection"].partition(".")
    need(type(manifest.get("collections")) is list, "the manifest names no collections")
    for value in manifest["collections"]:
        need(type(value) is dict, "a collection is not an object")
        one = exact({name: value[name] for name in kinds if name in value}, kinds, "merkleRoot")
        of_tenant = "tenant" not in claim or claim["tenant"] in one["tenants"]
        if database and (one["db"], one["collection"]) == (database, collection) and of_tenant:
            due[one["path"]] = one["documents"], unhex(one.get("merkleRoot"), 32)
    need(due, "the manifest names no member that the claim is about")
    return due


def check_leaf(leaf: dict[str, Any], size: int, root: bytes) -> None:  # RFC 9162 2.1.3.2
    at, last, path = leaf["index"], size - 1, [unhex(one, 32) for one in leaf["path"]]
    need(0 <= at <= last, "there is no leaf of that index")
    node = hashlib.sha256(b"\0" + unhex(leaf["key"]) + unhex(leaf["documentSha256"], 32)).digest()
    while last:
        if at % 2 or at < last:  # else it is the last of its level with nothing beside it, and goes up as it is
            need(path, "an audit path is too short")
            beside = path.pop(0)
            node = hashlib.sha256(b"\1" + (beside + node if at % 2 else node + beside)).digest()
        at, last = at // 2, last // 2
    need(not path and node == root, "a leaf does not lead to the root in the manifest")


def check_leaves(leaves: list[Any], key: bytes, size: int, root: bytes, *, present: bool) -> None:
    for leaf in leaves:
        check_leaf(exact(leaf, LEAF), size, root)
    at, keys = [leaf["index"] for leaf in leaves], [unhex(leaf["key"]) for leaf in leaves]
    need(at == sorted({*at}), "leaves are not in order, each once")
    if present:
        need({*keys} == {key}, "shows no leaf, or the leaf of another _id")
    else:  # the first above and the last below stand next to each other, or at the edge
        below = [index for index, other in zip(at, keys, strict=True) if other < key]
        above = [index for index, other in zip(at, keys, strict=True) if other > key]
        need(at == below + above and len(below) < 2 > len(above), "shows other leaves than the two around the _id")
        need(sum(below or [-1]) + 1 == sum(above or [size]), "the leaves are not neighbours, nor the first or last")
        need(size or root == hashlib.sha256(b"").digest(), "not the root of a tree without leaves")


def check(
    data: bytes, public: bytes, document: bytes | None = None, verify: Any = is_signed, *, absent: bool = False
) -> list[str]:
    proof = exact(parse(data), PROOF, "statement")
    claim, members = proof["claim"], proof["members"]
    kinds = {"id": dict if type(claim.get("id")) is dict else str, "collection": str, "present": bool, "tenant": str}
    name, present = exact(claim, kinds, "tenant")["id"], claim["present"]
    key = b"\2" + name.encode() if type(name) is str else b"\7" + unhex(exact(name, {"$oid": str})["$oid"], 12)
    need(proof.get("statement") == (None if present else ABOUT_ID), "does not state, or not rightly, what it is about")
    need(present or absent, "the proof is of an absence, of an _id and not of an advisory (--absent accepts it)")
    need(not (present and absent), "the proof is of a document that is there, not of an absence")
    need(proof["schemaVersion"] == "1" and claim.get("tenant") != "", "not a proof of this version")
    shown = {exact(one, {"path": str, "leaves": list})["path"]: one["leaves"] for one in members}
    need(shown and [one["path"] for one in members] == sorted(shown), "members are not sorted, each once")
    manifest = unbase(proof["manifest"])
    signer = signer_of(unbase(proof["signature"]), manifest, public, verify)
    due = find_due(parse(manifest), claim)
    need(shown.keys() == due.keys() or (present and shown.keys() < due.keys()), "shows other members than are due")
    for path, leaves in shown.items():
        check_leaves(leaves, key, *due[path], present=present)
    if document is not None:
        digests = [leaf["documentSha256"] for leaves in shown.values() for leaf in leaves]
        value = len(key).to_bytes(4, "little") + key[1:] + b"\0" if key[0] == 2 else key[1:]
        need(present and hashlib.sha256(document).hexdigest() in digests, "the document is not the one proven")
        need(
            document[4:].startswith(key[:1] + b"_id\0" + value), "the document does not begin with the _id of the claim"
        )
    return [
        f"proven: {json.dumps(claim)}",
        *([] if present else [f"about: {ABOUT_ID}"]),
        f"checked: the key given, called {json.dumps(signer)}, signed manifest {hashlib.sha256(manifest).hexdigest()}",
        f"checked: leaves of {len(shown)} of the {len(due)} members that the claim is about, against its Merkle roots",
        "not checked: any document" if document is None else "checked: the document given is one of those leaves",
    ]


def main(words: list[str]) -> int:
    absent, words = "--absent" in words, [word for word in words if word != "--absent"]
    if not 2 <= len(words) <= 3:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        files = []
        for word in words:
            with Path(word).open("rb") as file:
                files.append(file.read(1 << 26))
        print(*check(*files, absent=absent), NOT_CHECKED, sep="\n")
    except OSError as error:
        print(f"cannot be checked: {str(error)!a}", file=sys.stderr)
        return 2
    except (ValueError, RecursionError) as error:
        print(f"NOT PROVEN: {str(error)!a}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

#!/usr/bin/env python3
"""Checks a proof of kit prove with Python and openssl alone: check_proof.py PROOF PUBLIC.pem [DOCUMENT.bson]."""

import base64
import hashlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

SHA, EDDSA = "dgst -sha256 -verify key -signature sig", "pkeyutl -verify -rawin -pubin -inkey key -sigfile sig -in"
VERIFY = {"EdDSA": EDDSA, "ES256": SHA, "PS256": f"{SHA} -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:32"}


def signed(manifest: bytes, protected: str, signature: str, public: bytes) -> bool:  # RFC 7515, RFC 7797
    header, raw = (base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)) for text in (protected, signature))
    alg, typ, b64 = (json.loads(header)[name] for name in ("alg", "typ", "b64"))
    if alg == "ES256":  # r and s, as the ASN.1 that openssl takes
        pair = [int.from_bytes(half, "big") for half in (raw[:32], raw[32:])]
        coded = [number.to_bytes(number.bit_length() // 8 + 1, "big") for number in pair]
        raw = b"0%c" % (sum(map(len, coded)) + 4) + b"".join(b"\2%c" % len(one) + one for one in coded)
    with tempfile.TemporaryDirectory() as folder:
        for name, data in (("key", public), ("sig", raw), ("in", protected.encode() + b"." + manifest)):
            Path(folder, name).write_bytes(data)
        run = subprocess.run(["openssl", *VERIFY[alg].split(), "in"], cwd=folder, capture_output=True, check=False)
    return run.returncode == 0 and (typ, b64) == ("application/vnd.offline-kit.manifest+jws", False)


def root(leaf: dict[str, Any], size: int) -> str:  # where a leaf leads to: RFC 6962 2.1
    at, last, data = leaf["index"], size - 1, "00" + leaf["key"] + leaf["documentSha256"]
    met = hashlib.sha256(bytes.fromhex(data)).hexdigest()
    for beside in leaf["path"]:
        while at % 2 == 0 and at == last > 0:  # the last of its level stands alone, and goes up as it is
            at, last = at // 2, last // 2
        met = hashlib.sha256(bytes.fromhex("01" + (beside + met if at % 2 else met + beside))).hexdigest()
        at, last = at // 2, last // 2 if last else -1
    return met if at == last == 0 and len(bytes.fromhex(leaf["documentSha256"])) == 32 else "none"


proof, public, documents = json.loads(Path(sys.argv[1]).read_bytes()), Path(sys.argv[2]).read_bytes(), sys.argv[3:]
claim, shown = proof["claim"], {one["path"]: one["leaves"] for one in proof["members"]}
manifest, jws = (base64.b64decode(proof[name]) for name in ("manifest", "signature"))
pairs = [tuple(one.values()) for one in json.loads(jws)["signatures"]] if jws[0] == 123 else [jws.decode().split("..")]
of_tenant = [one for one in json.loads(manifest)["collections"] if claim.get("tenant") in {None, *one["tenants"]}]
due = {one["path"]: one for one in of_tenant if f"{one['db']}.{one['collection']}" == claim["collection"]}
key = b"\2" + claim["id"].encode() if isinstance(claim["id"], str) else b"\7" + bytes.fromhex(claim["id"]["$oid"])
good = shown.keys() == due.keys() or (claim["present"] and shown.keys() < due.keys())
good = good and bool(shown) and any(signed(manifest, pair[0], pair[1], public) for pair in pairs)
for path, leaves in shown.items():
    keys, size = {leaf["index"]: bytes.fromhex(leaf["key"]) for leaf in leaves}, due[path]["documents"]
    below, above = [at for at in keys if keys[at] < key], [at for at in keys if keys[at] > key]
    absent = max(below, default=-1) + 1 == min(above, default=size) and key not in keys.values()
    good = good and (set(keys.values()) == {key} if claim["present"] else absent)
    good = good and all(root(leaf, size) == due[path]["merkleRoot"] for leaf in leaves)
digests = {leaf["documentSha256"] for leaves in shown.values() for leaf in leaves}
good = good and all(hashlib.sha256(Path(name).read_bytes()).hexdigest() in digests for name in documents)
print("proven:" if good else "NOT PROVEN:", json.dumps(claim))
sys.exit(not good)

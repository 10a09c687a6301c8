"""Who signs the kits of ``conformance``, and with what: keys, and signatures under any header.

Every signature reproduces, that of the RSA key too. Keys are those of ``kit.signing``; what is forged is spelled out.
"""

from __future__ import annotations

import functools
import hashlib
import json
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa

from fixtures.build.keys import P256_ORDER, ed25519_key, p256_key
from kit.signing import PrivateKey, jws
from kit.signing.check import url_decode, url_encode


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


def signature(data: bytes, *by: str, typ: str = jws.MANIFEST_TYPE) -> bytes:
    """Sign a manifest; deterministic, with the RSA key too."""
    if by == ("rsa",):
        return forged(data, "rsa", alg="PS256", typ=typ)
    return jws.sign(data, [key(name) for name in by], typ=typ)


def forged(data: bytes, by: str, **changes: Any) -> bytes:
    """Sign under a protected header that is otherwise as it should be; ``...`` removes a member."""
    return header_signed(data, by, json.dumps(header(by, **changes)).encode())


def header(by: str, **changes: Any) -> dict[str, Any]:
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


def higher(document: bytes) -> bytes:
    """Give a compact ES256 signature in its other form, (r, n - s), the one that kit does not make; needs no key."""
    protected, value = document.decode().split("..")
    raw = url_decode(value, what="the signature")
    s = P256_ORDER - int.from_bytes(raw[32:], "big")
    return f"{protected}..{url_encode(raw[:32] + s.to_bytes(32, 'big'))}".encode()


def signature_part(data: bytes, by: str) -> dict[str, Any]:
    """Give one signature as a member of the general serialisation."""
    protected, value = signature(data, by).decode().split("..")
    return {"protected": protected, "signature": value}

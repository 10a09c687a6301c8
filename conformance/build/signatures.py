"""Kits to refuse for the signature of their manifest: there is none, its header lies, or it does not hold."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator
from typing import Any

from conformance.build.case import Attack, Case, refused
from conformance.build.kits import (
    DATA,
    MANIFEST,
    SIGNATURE,
    compact_json,
    files,
    patched,
    published,
    with_signature,
    without,
)
from conformance.build.signing import forged, header, header_signed, key, signature, signature_part
from kit.signing.check import url_encode

A = Attack


def cases() -> Iterator[Case]:
    """Give them all."""
    yield from _unsigned()
    yield from _headers()
    yield from _signatures()


def _unsigned() -> Iterator[Case]:
    yield refused("unsigned", "no signature at all", A.ARBITRARY_SOFTWARE, 3, 3, without(published(), SIGNATURE))
    yield refused("signature-empty", "an empty signature file", A.ARBITRARY_SOFTWARE, 3, 3, with_signature(b""))
    empty = with_signature(b'{"signatures":[]}')
    yield refused("signature-list-empty", "a list of no signatures", A.ARBITRARY_SOFTWARE, 3, 3, empty, script=5)
    stripped = without(patched(), SIGNATURE)
    yield refused(
        "patched-stripped",
        "a patched kit whose signature was stripped",
        A.ARBITRARY_SOFTWARE,
        3,
        3,
        stripped,
        trust="both",
    )
    yield refused("stranger", "signed by a key nobody trusts", A.ARBITRARY_SOFTWARE, 4, 3, published(by=["stranger"]))


def _headers() -> Iterator[Case]:
    def of(name: str, says: str, **changes: Any) -> Case:
        return refused(name, says, A.ARBITRARY_SOFTWARE, 5, 3, with_signature(forged(DATA, "publisher", **changes)))

    none = url_encode(json.dumps(header("publisher", alg="none")).encode())
    yield refused(
        "alg-none",
        "alg none, with an empty signature",
        A.ARBITRARY_SOFTWARE,
        5,
        3,
        with_signature(f"{none}..".encode()),
    )
    yield of("alg-none-signed", "alg none over a good signature", alg="none")
    yield of("alg-none-case", "alg nOnE", alg="nOnE")
    protected = url_encode(json.dumps(header("publisher", alg="HS256")).encode())
    public = key("publisher").public.pem
    mac = hmac.new(public, protected.encode() + b"." + DATA, hashlib.sha256).digest()
    hs256 = f"{protected}..{url_encode(mac)}".encode()
    yield refused(
        "alg-hs256", "HS256 with the public key as the secret", A.ARBITRARY_SOFTWARE, 5, 3, with_signature(hs256)
    )
    yield of("alg-swapped-es256", "EdDSA's key under alg ES256", alg="ES256")
    swapped = published(document=DATA) | {SIGNATURE: forged(DATA, "site", alg="EdDSA")}
    yield refused("alg-swapped-eddsa", "a P-256 key under alg EdDSA", A.ARBITRARY_SOFTWARE, 5, 3, swapped, trust="site")
    pkcs = published(document=DATA) | {SIGNATURE: forged(DATA, "rsa", alg="RS256")}
    yield refused("alg-rs256", "an RSA key under alg RS256", A.ARBITRARY_SOFTWARE, 5, 3, pkcs, trust="rsa")
    yield of("alg-missing", "no alg", alg=...)
    yield of("crit-unknown", "an extension that must be understood and is not", crit=["b64", "exp"], exp=1)
    yield of("crit-missing", "b64 without crit", crit=...)
    yield of("crit-twice", "crit names b64 twice", crit=["b64", "b64"])
    yield of("b64-missing", "no b64: the payload would be encoded", b64=...)
    yield of("b64-true", "b64 true", b64=True)
    yield of("typ-other", "a token passed off as a manifest's signature", typ="JWT")
    yield of("typ-receipt", "a signature made for a policy", typ="application/vnd.offline-kit.trust-policy+jws")
    yield of("typ-missing", "no typ", typ=...)
    yield of("jwk", "a key in the header", jwk={"kty": "OKP", "crv": "Ed25519", "x": "AA"})
    yield of("jku", "a key from the network", jku="https://example.org/keys")
    yield of("kid-missing", "no kid", kid=...)
    text = json.dumps(header("publisher")).encode()
    twice = header_signed(DATA, "publisher", text[:-1] + b', "alg": "none"}')
    yield refused("header-twice", "a header with alg twice", A.PARSER_DIFFERENTIAL, 5, 3, with_signature(twice))
    other = header_signed(DATA, "stranger", text)
    yield refused(
        "kid-of-another",
        "a stranger's signature under the publisher's key id",
        A.ARBITRARY_SOFTWARE,
        5,
        3,
        with_signature(other),
    )


def _signatures() -> Iterator[Case]:
    good = signature(DATA, "publisher").decode()
    protected, value = good.split("..")

    def of(name: str, says: str, text: str, **more: Any) -> Case:
        return refused(
            name, says, more.pop("attack", A.ARBITRARY_SOFTWARE), 5, 3, with_signature(text.encode()), **more
        )

    yield of(
        "signature-attached", "a payload inside of the detached signature", f"{protected}.{url_encode(DATA)}.{value}"
    )
    yield of("signature-padded", "base64url with padding", f"{good}=", attack=A.PARSER_DIFFERENTIAL)
    yield of("signature-line-feed", "two line feeds behind it", f"{good}\n\n", attack=A.PARSER_DIFFERENTIAL)
    yield of("signature-truncated", "one byte short", f"{protected}..{url_encode(_decoded(value)[:-1])}")
    yield of("signature-zero", "64 zero bytes", f"{protected}..{url_encode(bytes(64))}")
    part = {"protected": protected, "signature": value}
    entry = json.dumps(part)
    yield of("signature-flattened", "the flattened serialisation", entry)
    yield of("signature-twice", "one signature twice", compact_json({"signatures": [part, part]}))
    loose = compact_json({"signatures": [part | {"header": {"alg": "none"}}]})
    yield of("signature-unprotected", "an unprotected header", loose)
    inside = compact_json({"payload": url_encode(DATA), "signatures": [part]})
    yield of("signature-payload-member", "a payload beside the signatures", inside)
    broken = compact_json({"signatures": [part | {"signature": url_encode(bytes(64))}, signature_part(DATA, "site")]})
    yield of("signature-one-broken", "a broken signature of a trusted key beside a good one", broken, trust="both")
    spaced = compact_json({"signatures": [part]}).replace(",", ", ")
    yield of("signature-spaced", "blanks between the members of the document", spaced, attack=A.PARSER_DIFFERENTIAL)
    null_key = published(document=DATA) | {SIGNATURE: _es256(bytes(64))}
    yield refused(
        "es256-zero", "ES256 with r = s = 0 (CVE-2022-21449)", A.ARBITRARY_SOFTWARE, 5, 3, null_key, trust="site"
    )
    der = published(document=DATA) | {SIGNATURE: _es256(key("site").sign_der(_signed("site")))}
    yield refused("es256-der", "ES256 in ASN.1 instead of 64 bytes", A.PARSER_DIFFERENTIAL, 5, 3, der, trust="site")
    changed = published() | {MANIFEST: DATA.replace(b'"stable"', b'"canary"')}
    yield refused("manifest-changed", "a manifest changed after it was signed", A.ARBITRARY_SOFTWARE, 5, 3, changed)
    blank = published() | {MANIFEST: DATA + b"\n"}
    yield refused("manifest-line-feed", "a line feed more in the manifest", A.ARBITRARY_SOFTWARE, 5, 3, blank)
    other = published(files() | {"other.txt": b"x"})[SIGNATURE]
    yield refused(
        "signature-of-another-kit",
        "the signature of another kit of the publisher",
        A.MIX_AND_MATCH,
        5,
        3,
        with_signature(other),
    )


def _signed(by: str) -> bytes:
    return f"{signature_part(DATA, by)['protected']}.".encode() + DATA


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _es256(value: bytes) -> bytes:
    return f"{signature_part(DATA, 'site')['protected']}..{url_encode(value)}".encode()

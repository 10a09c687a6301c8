"""Kits to refuse though their container is sound: signatures, trust, time, lineage, statements, files, documents."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Iterator
from typing import Any

from kit.signing import dsse
from kit.signing.base64_text import url_encode
from scripts.conformance_case import Attack, Case, refused
from scripts.conformance_encrypted import DISPLACED, HALF_ENCRYPTED, MALFORMED, NOTES, PLAIN
from scripts.conformance_kits import (
    AFTER,
    BEFORE,
    MANIFEST,
    OBSERVATIONS,
    Document,
    Members,
    compact_json,
    complete,
    encoded,
    files,
    forged,
    header,
    header_signed,
    key,
    manifest,
    patched,
    published,
    signature,
    step,
    summary,
    to_json,
)

SIGNATURE = f"{MANIFEST}.jws"
HISTORY = "manifest/history/3"
KEPT = f"{HISTORY}/offline-manifest.json"
KEPT_SIGNATURE = f"{KEPT}.jws"
STATEMENT = f"{HISTORY}/patch.intoto.json"
LATER = "2026-01-03T00:00:00Z"

A = Attack
_DATA = to_json(manifest(files()))


def cases() -> Iterator[Case]:
    """Give them all."""
    yield from _unsigned()
    yield from _headers()
    yield from _signatures()
    yield from _roles()
    yield from _time()
    yield from _rollbacks()
    yield from _history()
    yield from _statements()
    yield from _files()
    yield from _documents()
    yield from _encrypted()


def _with_signature(text: bytes) -> Members:
    return published(document=_DATA) | {SIGNATURE: text}


def _without(members: Members, *names: str) -> Members:
    return {name: data for name, data in members.items() if name not in names}


def _unsigned() -> Iterator[Case]:
    yield refused("unsigned", "no signature at all", A.ARBITRARY_SOFTWARE, 3, 3, _without(published(), SIGNATURE))
    yield refused("signature-empty", "an empty signature file", A.ARBITRARY_SOFTWARE, 3, 3, _with_signature(b""))
    empty = _with_signature(b'{"signatures":[]}')
    yield refused("signature-list-empty", "a list of no signatures", A.ARBITRARY_SOFTWARE, 3, 3, empty, script=5)
    stripped = _without(patched(), SIGNATURE)
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
        return refused(name, says, A.ARBITRARY_SOFTWARE, 5, 3, _with_signature(forged(_DATA, "publisher", **changes)))

    none = url_encode(json.dumps(header("publisher", alg="none")).encode())
    yield refused(
        "alg-none",
        "alg none, with an empty signature",
        A.ARBITRARY_SOFTWARE,
        5,
        3,
        _with_signature(f"{none}..".encode()),
    )
    yield of("alg-none-signed", "alg none over a good signature", alg="none")
    yield of("alg-none-case", "alg nOnE", alg="nOnE")
    protected = url_encode(json.dumps(header("publisher", alg="HS256")).encode())
    public = key("publisher").public.pem
    mac = hmac.new(public, protected.encode() + b"." + _DATA, hashlib.sha256).digest()
    hs256 = f"{protected}..{url_encode(mac)}".encode()
    yield refused(
        "alg-hs256", "HS256 with the public key as the secret", A.ARBITRARY_SOFTWARE, 5, 3, _with_signature(hs256)
    )
    yield of("alg-swapped-es256", "EdDSA's key under alg ES256", alg="ES256")
    swapped = published(document=_DATA) | {SIGNATURE: forged(_DATA, "site", alg="EdDSA")}
    yield refused("alg-swapped-eddsa", "a P-256 key under alg EdDSA", A.ARBITRARY_SOFTWARE, 5, 3, swapped, trust="site")
    pkcs = published(document=_DATA) | {SIGNATURE: forged(_DATA, "rsa", alg="RS256")}
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
    twice = header_signed(_DATA, "publisher", text[:-1] + b', "alg": "none"}')
    yield refused("header-twice", "a header with alg twice", A.PARSER_DIFFERENTIAL, 5, 3, _with_signature(twice))
    other = header_signed(_DATA, "stranger", text)
    yield refused(
        "kid-of-another",
        "a stranger's signature under the publisher's key id",
        A.ARBITRARY_SOFTWARE,
        5,
        3,
        _with_signature(other),
    )


def _signatures() -> Iterator[Case]:
    good = signature(_DATA, "publisher").decode()
    protected, value = good.split("..")

    def of(name: str, says: str, text: str, **more: Any) -> Case:
        return refused(
            name, says, more.pop("attack", A.ARBITRARY_SOFTWARE), 5, 3, _with_signature(text.encode()), **more
        )

    yield of(
        "signature-attached", "a payload inside of the detached signature", f"{protected}.{url_encode(_DATA)}.{value}"
    )
    yield of("signature-padded", "base64url with padding", f"{good}=", attack=A.PARSER_DIFFERENTIAL)
    yield of("signature-line-feed", "a line feed behind it", f"{good}\n", attack=A.PARSER_DIFFERENTIAL)
    yield of("signature-truncated", "one byte short", f"{protected}..{url_encode(_decoded(value)[:-1])}")
    yield of("signature-zero", "64 zero bytes", f"{protected}..{url_encode(bytes(64))}")
    part = {"protected": protected, "signature": value}
    entry = json.dumps(part)
    yield of("signature-flattened", "the flattened serialisation", entry)
    yield of("signature-twice", "one signature twice", compact_json({"signatures": [part, part]}))
    loose = compact_json({"signatures": [part | {"header": {"alg": "none"}}]})
    yield of("signature-unprotected", "an unprotected header", loose)
    inside = compact_json({"payload": url_encode(_DATA), "signatures": [part]})
    yield of("signature-payload-member", "a payload beside the signatures", inside)
    broken = compact_json({"signatures": [part | {"signature": url_encode(bytes(64))}, _part("site")]})
    yield of("signature-one-broken", "a broken signature of a trusted key beside a good one", broken, trust="both")
    spaced = compact_json({"signatures": [part]}).replace(",", ", ")
    yield of("signature-spaced", "blanks between the members of the document", spaced, attack=A.PARSER_DIFFERENTIAL)
    null_key = published(document=_DATA) | {SIGNATURE: _es256(bytes(64))}
    yield refused(
        "es256-zero", "ES256 with r = s = 0 (CVE-2022-21449)", A.ARBITRARY_SOFTWARE, 5, 3, null_key, trust="site"
    )
    der = published(document=_DATA) | {SIGNATURE: _es256(key("site").sign_der(_signed("site")))}
    yield refused("es256-der", "ES256 in ASN.1 instead of 64 bytes", A.PARSER_DIFFERENTIAL, 5, 3, der, trust="site")
    changed = published() | {MANIFEST: _DATA.replace(b'"stable"', b'"canary"')}
    yield refused("manifest-changed", "a manifest changed after it was signed", A.ARBITRARY_SOFTWARE, 5, 3, changed)
    blank = published() | {MANIFEST: _DATA + b"\n"}
    yield refused("manifest-line-feed", "a line feed more in the manifest", A.ARBITRARY_SOFTWARE, 5, 3, blank)
    other = published(files() | {"other.txt": b"x"})[SIGNATURE]
    yield refused(
        "signature-of-another-kit",
        "the signature of another kit of the publisher",
        A.MIX_AND_MATCH,
        5,
        3,
        _with_signature(other),
    )


def _part(by: str) -> Document:
    protected, value = signature(_DATA, by).decode().split("..")
    return {"protected": protected, "signature": value}


def _signed(by: str) -> bytes:
    return f"{_part(by)['protected']}.".encode() + _DATA


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _es256(value: bytes) -> bytes:
    return f"{_part('site')['protected']}..{url_encode(value)}".encode()


def _roles() -> Iterator[Case]:
    def of(name: str, says: str, attack: Attack, code: int, number: int, kit: Members, trust: str = "policy") -> Case:
        return refused(name, says, attack, code, number, kit, trust=trust, script=None)

    yield of(
        "role-incident",
        "the key for incidents signs a manifest",
        A.ARBITRARY_SOFTWARE,
        4,
        3,
        published(by=["incident"]),
    )
    yield of(
        "role-site-publishes",
        "a site passes its own kit off as published",
        A.ARBITRARY_SOFTWARE,
        4,
        3,
        published(by=["site"]),
    )
    by_publisher = patched(by="publisher")
    yield of(
        "role-publisher-patches", "a step by a key that may only publish", A.ARBITRARY_SOFTWARE, 4, 3, by_publisher
    )
    by_incident = patched(stated_by="incident")
    yield of("role-incident-states", "a statement by the key for incidents", A.ARBITRARY_SOFTWARE, 4, 6, by_incident)
    yield of("threshold-short", "one of two publishers", A.KEY_COMPROMISE, 4, 3, published(), "two-publishers")
    yield of("threshold-one-twice", "one publisher, twice", A.KEY_COMPROMISE, 5, 3, _twice(), "two-publishers")
    yield of("threshold-patchers", "one of two patchers", A.KEY_COMPROMISE, 4, 3, patched(), "two-patchers")
    yield of(
        "algorithm-refused", "an algorithm the policy does not allow", A.KEY_COMPROMISE, 4, 3, published(), "es256-only"
    )
    yield of(
        "bundle-of-another",
        "a key that may sign another bundle only",
        A.WRONG_SOFTWARE,
        4,
        3,
        published(),
        "other-bundle",
    )
    limits = "a step in a collection that is beyond its signer"
    yield of("collection-of-another", limits, A.WRONG_SOFTWARE, 4, 6, patched(), "other-collection")


def _twice() -> Members:
    part = _part("publisher")
    return _with_signature(compact_json({"signatures": [part, part]}).encode())


def _time() -> Iterator[Case]:
    def of(
        name: str, says: str, attack: Attack, code: int, kit: Members, trust: str, number: int = 4, **more: Any
    ) -> Case:
        return refused(name, says, attack, code, number, kit, trust=trust, script=None, **more)

    yield of("key-revoked", "a revoked key, whatever date it writes", A.KEY_COMPROMISE, 4, published(), "revoked")
    yield of("key-revoked-history", "history by a revoked key", A.KEY_COMPROMISE, 4, patched(), "revoked", 6)
    yield of("key-revoked-site", "a step by a revoked site", A.KEY_COMPROMISE, 4, patched(), "revoked-site")
    late = published(createdAt="2026-01-06T00:00:00Z")
    yield of("key-superseded-after", "signed after its key was superseded", A.KEY_COMPROMISE, 4, late, "superseded")
    yield of("key-expired", "a key whose time is over", A.KEY_COMPROMISE, 7, published(), "expired")
    yield of("key-early", "signed before its key's time", A.KEY_COMPROMISE, 7, published(), "early")
    stale = published(stalenessWindowHours=48)
    yield of("stale", "older than its window", A.FREEZE, 7, stale, "policy")
    refreshed = step(stale, {OBSERVATIONS: encoded(AFTER)}, at="2026-01-09T00:00:00Z")
    yield of("stale-patched", "stale data under a fresh patch", A.FREEZE, 7, refreshed, "policy")
    yield of(
        "future",
        "made in the future",
        A.FAST_FORWARD,
        7,
        published(createdAt="2027-01-01T00:00:00Z", stalenessWindowHours=48),
        "policy",
    )


def _rollbacks() -> Iterator[Case]:
    def of(name: str, says: str, kit: Members, before: str, **more: Any) -> Case:
        whole: dict[str, Any] = {"trust": "policy", "script": None, "before": [before]}
        return refused(name, says, A.ROLLBACK, 8, 4, kit, **(whole | more))

    yield of(
        "rollback", "an older generation than the one accepted before", published(generation=2), "patched-policy-base"
    )
    yield of("rollback-patch", "the generation before a patch that was accepted", published(), "patched-policy")
    other = published(version="2026.1-other")
    yield of("same-generation", "the same generation with other bytes", other, "patched-policy-base")
    again = patched(at=LATER)
    yield of("same-generation-patched", "another step to a generation that was accepted", again, "patched-policy")
    floor = refused(
        "below-the-floor", "below the policy's minimum", A.ROLLBACK, 8, 4, published(), trust="floor", script=None
    )
    yield floor
    climbed = step(published(), {OBSERVATIONS: encoded(AFTER)})
    yield refused(
        "below-the-floor-patched",
        "lifted over the minimum by a patch",
        A.ROLLBACK,
        8,
        4,
        climbed,
        trust="floor",
        script=None,
    )
    old = patched() | {MANIFEST: published()[MANIFEST], SIGNATURE: published()[SIGNATURE]}
    yield refused(
        "rollback-inside", "the publisher's manifest put back over patched files", A.ROLLBACK, 2, 5, old, trust="both"
    )


def _history() -> Iterator[Case]:
    def of(name: str, says: str, attack: Attack, code: int, kit: Members, number: int | None = 6, **more: Any) -> Case:
        return refused(name, says, attack, code, number, kit, **({"trust": "both"} | more))

    whole = patched()
    for name, part in (("manifest", KEPT), ("signature", KEPT_SIGNATURE), ("statement", STATEMENT)):
        yield of(f"history-{name}-removed", f"the kept {name} removed", A.MIX_AND_MATCH, 2, _without(whole, part))
    bare = {name: data for name, data in whole.items() if "history" not in name}
    yield of("history-removed", "all of history removed", A.MIX_AND_MATCH, 2, bare)
    yield of("history-extra", "a file more in history", A.EXTRANEOUS, 2, whole | {f"{HISTORY}/more.json": b"{}"})
    extra = whole | {"manifest/history/2/offline-manifest.json": b"{}"}
    yield of("history-extra-generation", "a generation more in history", A.EXTRANEOUS, 2, extra)
    strange = step(published(files() | {"other.txt": b"x"}), {OBSERVATIONS: encoded(AFTER)})
    yield of(
        "history-of-another-kit",
        "history of another kit of the same people",
        A.MIX_AND_MATCH,
        2,
        whole | {n: d for n, d in strange.items() if n.startswith(HISTORY)},
    )
    yield of(
        "history-manifest-of-another",
        "the kept manifest of another kit",
        A.MIX_AND_MATCH,
        2,
        whole | {KEPT: strange[KEPT]},
    )
    yield of(
        "history-signature-of-another",
        "the kept signature of another kit",
        A.MIX_AND_MATCH,
        5,
        whole | {KEPT_SIGNATURE: strange[KEPT_SIGNATURE]},
    )
    by_stranger = whole | {KEPT_SIGNATURE: signature(whole[KEPT], "stranger")}
    yield of(
        "history-by-a-stranger", "the kept signature replaced by a stranger's", A.ARBITRARY_SOFTWARE, 4, by_stranger
    )
    yield of(
        "history-vendor-unknown",
        "a patched kit for who trusts the site alone",
        A.ARBITRARY_SOFTWARE,
        4,
        whole,
        trust="site",
        script=None,
    )
    yield of(
        "history-site-unknown",
        "a patched kit for who trusts the publisher alone",
        A.ARBITRARY_SOFTWARE,
        4,
        whole,
        3,
        trust="publisher",
    )
    second = step(whole, {"README.txt": b"more\n"}, by="site-b", at=LATER)
    skipped = step(whole, {"README.txt": b"more\n"}, by="site-b", at=LATER, manifest_changes={"generation": 6})
    yield of(
        "lineage-skips", "a generation left out of the chain", A.MIX_AND_MATCH, 11, skipped, trust="three", script=None
    )
    document = json.loads(second[MANIFEST])
    document["lineage"] = document["lineage"][1:]
    cut = second | {MANIFEST: to_json(document), SIGNATURE: signature(to_json(document), "site-b")}
    yield of(
        "lineage-shortened", "the first step left out of lineage", A.MIX_AND_MATCH, 2, cut, trust="three", script=11
    )
    document = json.loads(whole[MANIFEST]) | {"lineage": []}
    denied = whole | {MANIFEST: to_json(document), SIGNATURE: signature(to_json(document), "site")}
    yield of("lineage-denied", "a patched kit that denies its history", A.MIX_AND_MATCH, 2, denied)
    own = published(by=["site"])
    vendor = step(own, {OBSERVATIONS: encoded(AFTER)})
    yield of(
        "vendor-replaced",
        "the publisher replaced by the site, for who knows their roles",
        A.ARBITRARY_SOFTWARE,
        4,
        vendor,
        trust="policy",
        script=None,
    )
    yield of(
        "policy-unsealed",
        "a policy with a root key that did not sign it",
        A.KEY_COMPROMISE,
        3,
        patched(),
        None,
        trust="unsealed",
        script=None,
    )
    yield of(
        "policy-sealed-by-another",
        "a policy signed by another than its root",
        A.KEY_COMPROMISE,
        4,
        patched(),
        None,
        trust="sealed-by-another",
        script=None,
    )
    yield of(
        "policy-expired",
        "a policy whose time is over",
        A.FREEZE,
        7,
        patched(),
        None,
        trust="policy-expired",
        script=None,
    )


def _statements() -> Iterator[Case]:
    whole = patched()

    def of(name: str, says: str, attack: Attack, code: int, text: bytes, **more: Any) -> Case:
        return refused(name, says, attack, code, 6, whole | {STATEMENT: text}, **({"trust": "both"} | more))

    def altered(change: Callable[[Document], object], by: str = "site") -> bytes:
        statement = _payload(whole)
        change(statement)
        return dsse.sign(to_json(statement), [key(by)])

    envelope = json.loads(whole[STATEMENT])
    yield of(
        "statement-unsigned",
        "a statement without signatures",
        A.ARBITRARY_SOFTWARE,
        3,
        to_json(envelope | {"signatures": []}),
        script=5,
    )
    blank = whole[STATEMENT].replace(b"  ", b" \t", 1)
    yield of("statement-spaced", "a tab for a blank in the envelope", A.PARSER_DIFFERENTIAL, 5, blank)
    yield of("statement-bare", "a statement without its envelope", A.ARBITRARY_SOFTWARE, 5, to_json(_payload(whole)))
    yield of(
        "statement-by-a-stranger",
        "a statement by a stranger",
        A.ARBITRARY_SOFTWARE,
        4,
        altered(lambda _: None, "stranger"),
    )
    yield of(
        "statement-type",
        "an envelope signed for another purpose",
        A.MIX_AND_MATCH,
        5,
        dsse.sign(to_json(_payload(whole)), [key("site")], payload_type="application/json"),
    )
    strange = step(published(files() | {"other.txt": b"x"}), {OBSERVATIONS: encoded(AFTER)})
    yield of("provenance-of-another-kit", "the statement of another kit", A.MIX_AND_MATCH, 2, strange[STATEMENT])
    yield of(
        "statement-other-manifest",
        "a statement about another manifest",
        A.MIX_AND_MATCH,
        2,
        altered(lambda s: s["subject"][0]["digest"].update(sha256="0" * 64)),
    )
    yield of(
        "statement-other-member",
        "a statement about another body",
        A.MIX_AND_MATCH,
        2,
        altered(lambda s: s["subject"][1]["digest"].update(sha256="0" * 64)),
        script=None,
    )
    yield of(
        "statement-silent",
        "a statement that leaves out a changed file",
        A.MIX_AND_MATCH,
        2,
        altered(_silence),
        script=None,
    )
    yield of(
        "statement-other-step",
        "a statement about another step",
        A.MIX_AND_MATCH,
        11,
        altered(lambda s: s["predicate"].update(generation=5, baseGeneration=4)),
        script=None,
    )
    yield of(
        "statement-other-bundle",
        "a statement about another bundle",
        A.WRONG_SOFTWARE,
        11,
        altered(lambda s: s["predicate"].update(bundleId="other")),
        script=None,
    )
    yield of(
        "statement-other-time",
        "a statement of another time",
        A.MIX_AND_MATCH,
        11,
        altered(lambda s: s["predicate"].update(createdAt=LATER)),
        script=None,
    )


def _payload(members: Members) -> Document:
    document: Document = json.loads(base64.b64decode(json.loads(members[STATEMENT])["payload"]))
    return document


def _silence(statement: Document) -> None:
    statement["subject"] = statement["subject"][:1]
    statement["predicate"]["materials"] = statement["predicate"]["materials"][:1]
    del statement["predicate"]["documents"]


def _files() -> Iterator[Case]:
    whole = published()

    def of(name: str, says: str, attack: Attack, kit: Members, code: int = 2, number: int = 5, **more: Any) -> Case:
        return refused(name, says, attack, code, number, kit, **more)

    yield of("file-added", "a file the manifest does not list", A.EXTRANEOUS, whole | {"more.txt": b"x"})
    yield of(
        "file-added-beside-manifest",
        "a file more beside the manifest",
        A.EXTRANEOUS,
        whole | {"manifest/more.txt": b"x"},
    )
    yield of("file-removed", "a listed file removed", A.MIX_AND_MATCH, _without(whole, "README.txt"))
    yield of("file-changed", "a byte of a file changed", A.ARBITRARY_SOFTWARE, whole | {"README.txt": b"a Kit\n"})
    yield of("file-grown", "a byte more behind a file", A.ARBITRARY_SOFTWARE, whole | {"README.txt": b"a kit\n\n"})
    renamed = _without(whole, "README.txt") | {"readme.md": whole["README.txt"]}
    yield of("file-renamed", "a file under another name", A.MIX_AND_MATCH, renamed)
    swapped = whole | {"README.txt": whole["images/layer.bin"], "images/layer.bin": whole["README.txt"]}
    yield of("file-swapped", "two files that swap their bodies", A.MIX_AND_MATCH, swapped)
    lying = manifest(files())
    lying["files"][0]["size"] += 1
    yield of("size-lie", "a size that is not the body's", A.MIX_AND_MATCH, published(document=lying))
    old = patched() | {OBSERVATIONS: encoded(BEFORE)}
    yield of(
        "collection-rolled-back", "the collection as it was, under the patched manifest", A.ROLLBACK, old, trust="both"
    )
    yield of(
        "manifest-twice",
        "manifests in both places",
        A.PARSER_DIFFERENTIAL,
        whole | {"offline-manifest.json": whole[MANIFEST]},
        11,
        2,
    )
    yield of("manifest-absent", "no manifest", A.ARBITRARY_SOFTWARE, _without(whole, MANIFEST, SIGNATURE), 11, 2)
    empty = published(document=manifest({}))
    yield of(
        "manifest-lists-nothing",
        "a manifest that lists nothing",
        A.ARBITRARY_SOFTWARE,
        _without(empty, *files()),
        11,
        2,
    )
    wrong = b"0" * 64 + b"  beside-checksum-wrong.tar.gz\n"
    yield of(
        "beside-checksum-wrong", "a .sha256 file of another archive", A.MIX_AND_MATCH, whole, beside={".sha256": wrong}
    )
    yield of(
        "beside-signature-wrong",
        "a .sig file over another archive",
        A.MIX_AND_MATCH,
        whole,
        5,
        3,
        beside={".sig": b"AAAA\n"},
        trust="both",
        script=None,
    )


def _documents() -> Iterator[Case]:
    def of(name: str, says: str, attack: Attack, code: int, kit: Members, number: int = 7, **more: Any) -> Case:
        return refused(name, says, attack, code, number, kit, **({"needs": {"deep": True}, "script": None} | more))

    lies: list[tuple[str, str, Callable[[Document], object]]] = [
        ("declared-documents", "more documents declared than there are", lambda s: s.update(documents=4)),
        ("declared-bytes", "other bytes declared than there are", lambda s: s.update(bytes=1)),
        (
            "declared-tenant",
            "a tenant declared that is not there",
            lambda s: s["tenants"].update(ghost={"documents": 0}),
        ),
        (
            "declared-coverage",
            "coverage declared that is not there",
            lambda s: s["tenants"]["acme"]["rawLinkset"].update(present=2, missing=0),
        ),
    ]
    for name, says, lie in lies:
        told = summary(BEFORE)
        lie(told)
        yield of(name, says, A.PREMATURE_SWITCH, 11, published(collections=[told]))
    yield of(
        "declared-not-all",
        "a collection that is not declared",
        A.MIX_AND_MATCH,
        11,
        published(files() | {"x/y/z.bson": b""}, collections=[summary(BEFORE)]),
    )
    body = encoded(BEFORE)
    for name, says, spoilt in (
        ("bson-cut", "the last document cut", body[:-3]),
        ("bson-length", "a document that says it is longer", (len(body) + 9).to_bytes(4, "little") + body[4:]),
        ("bson-negative", "a document of negative length", b"\xff\xff\xff\xff" + body[4:]),
        ("bson-type", "an element of no type", body.replace(b"\x02tenant\0", b"\x7atenant\0", 1)),
        ("bson-string", "a string without its end", body.replace(b"osv\0\0", b"osv\1\0", 1)),
    ):
        yield of(name, says, A.PARSER_DIFFERENTIAL, 11, published(files() | {OBSERVATIONS: spoilt}))
    base = published()
    changes: list[tuple[str, str, list[Document], dict[str, Any]]] = [
        (
            "append-edits",
            "a step that edits what it says it only appended to",
            [AFTER[0] | {"tenant": "acme2"}, *AFTER[1:]],
            {},
        ),
        ("append-order", "a step that reorders documents", [AFTER[1], AFTER[0], AFTER[2]], {}),
        ("append-removes", "a step that drops a document", [AFTER[0], AFTER[1]], {"runs": (0, 2)}),
        ("append-elsewhere", "a step that appends where it says it did not", [*AFTER[:2], complete(BEFORE[2])], {}),
        ("append-other-element", "a step that appends another element", [BEFORE[0] | {"other": 1}, *AFTER[1:]], {}),
    ]
    for name, says, after, more in changes:
        meddled = step(base, {OBSERVATIONS: encoded(after)}, **more)
        yield of(name, says, A.ARBITRARY_SOFTWARE, 2, meddled, trust="both")
    silent = step(base, {OBSERVATIONS: encoded(AFTER)}, statement_changes={"documents": ...})
    yield of(
        "append-silent",
        "a step that does not say which documents it changed",
        A.ARBITRARY_SOFTWARE,
        11,
        silent,
        trust="both",
    )
    yield of(
        "coverage-missing",
        "rawLinkset missing from an observation",
        A.PREMATURE_SWITCH,
        11,
        patched(),
        8,
        trust="both",
        needs={"coverage": True},
    )
    yield of(
        "coverage-nothing",
        "no observations at all",
        A.PREMATURE_SWITCH,
        11,
        published({"README.txt": b"x"}),
        8,
        needs={"coverage": True},
    )


def _encrypted() -> Iterator[Case]:
    for name, says, attack, code, body in (
        ("half-encrypted", "a document of which one field is plaintext", A.DISCLOSURE, 11, HALF_ENCRYPTED),
        ("not-encrypted", "a document in plaintext", A.DISCLOSURE, 11, PLAIN),
        ("envelope-malformed", "an envelope with a short nonce", A.ARBITRARY_SOFTWARE, 5, MALFORMED),
        ("envelope-displaced", "an envelope of another context", A.MIX_AND_MATCH, 5, DISPLACED),
    ):
        kit = published(files() | {NOTES: body})
        yield refused(name, says, attack, code, 7, kit, needs={"fields": "notelett"}, script=None)

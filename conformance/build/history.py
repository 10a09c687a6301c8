"""Kits to refuse for what they say of their past: history, lineage, the policy it is judged by, statements of steps."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from typing import Any

from conformance.build.case import Attack, Case, refused
from conformance.build.kits import (
    AFTER,
    HISTORY,
    KEPT,
    KEPT_SIGNATURE,
    LATER,
    MANIFEST,
    OBSERVATIONS,
    SIGNATURE,
    STATEMENT,
    Document,
    Members,
    encoded,
    files,
    patched,
    published,
    sha256,
    step,
    to_json,
    without,
)
from conformance.build.signing import higher, key, signature
from kit.signing import dsse

A = Attack


def cases() -> Iterator[Case]:
    """Give them all."""
    yield from _history()
    yield from _lineage()
    yield from _policies()
    yield from _statements()


def _of(name: str, says: str, attack: Attack, code: int, kit: Members, number: int | None = 6, **more: Any) -> Case:
    return refused(name, says, attack, code, number, kit, **({"trust": "both"} | more))


def _history() -> Iterator[Case]:
    whole = patched()
    for name, part in (("manifest", KEPT), ("signature", KEPT_SIGNATURE), ("statement", STATEMENT)):
        yield _of(f"history-{name}-removed", f"the kept {name} removed", A.MIX_AND_MATCH, 2, without(whole, part))
    bare = {name: data for name, data in whole.items() if "history" not in name}
    yield _of("history-removed", "all of history removed", A.MIX_AND_MATCH, 2, bare)
    yield _of("history-extra", "a file more in history", A.EXTRANEOUS, 2, whole | {f"{HISTORY}/more.json": b"{}"})
    extra = whole | {"manifest/history/2/offline-manifest.json": b"{}"}
    yield _of("history-extra-generation", "a generation more in history", A.EXTRANEOUS, 2, extra)
    strange = step(published(files() | {"other.txt": b"x"}), {OBSERVATIONS: encoded(AFTER)})
    yield _of(
        "history-of-another-kit",
        "history of another kit of the same people",
        A.MIX_AND_MATCH,
        2,
        whole | {n: d for n, d in strange.items() if n.startswith(HISTORY)},
    )
    yield _of(
        "history-manifest-of-another",
        "the kept manifest of another kit",
        A.MIX_AND_MATCH,
        2,
        whole | {KEPT: strange[KEPT]},
    )
    yield _of(
        "history-signature-of-another",
        "the kept signature of another kit",
        A.MIX_AND_MATCH,
        5,
        whole | {KEPT_SIGNATURE: strange[KEPT_SIGNATURE]},
    )
    twice = step(patched(digests=True), {"README.txt": b"more\n"}, by="site-b", at=LATER, digests=True)
    below = f"manifest/history/4/{KEPT_SIGNATURE.rpartition('/')[2]}"
    yield _of(
        "history-signature-twin",
        "the kept signature in its other form, (r, n - s)",
        A.MIX_AND_MATCH,
        2,
        twice | {below: higher(twice[below])},
        trust="three",
        script=None,
    )
    again = json.loads(dsse.payload_of(twice[STATEMENT]))
    again["predicate"]["operator"] = "somebody else"
    yield _of(
        "history-statement-twin",
        "the kept statement, another one by the same signer",
        A.MIX_AND_MATCH,
        2,
        twice | {STATEMENT: dsse.sign(to_json(again), [key("site")])},
        trust="three",
        script=None,
    )
    by_stranger = whole | {KEPT_SIGNATURE: signature(whole[KEPT], "stranger")}
    yield _of(
        "history-by-a-stranger", "the kept signature replaced by a stranger's", A.ARBITRARY_SOFTWARE, 4, by_stranger
    )
    yield _of(
        "history-vendor-unknown",
        "a patched kit for who trusts the site alone",
        A.ARBITRARY_SOFTWARE,
        4,
        whole,
        trust="site",
        script=None,
    )
    yield _of(
        "history-site-unknown",
        "a patched kit for who trusts the publisher alone",
        A.ARBITRARY_SOFTWARE,
        4,
        whole,
        3,
        trust="publisher",
    )


def _lineage() -> Iterator[Case]:
    whole = patched()
    second = step(whole, {"README.txt": b"more\n"}, by="site-b", at=LATER)
    skipped = step(whole, {"README.txt": b"more\n"}, by="site-b", at=LATER, manifest_changes={"generation": 6})
    yield _of(
        "lineage-skips", "a generation left out of the chain", A.MIX_AND_MATCH, 11, skipped, trust="three", script=None
    )
    document = json.loads(second[MANIFEST])
    document["lineage"] = document["lineage"][1:]
    cut = second | {MANIFEST: to_json(document), SIGNATURE: signature(to_json(document), "site-b")}
    yield _of(
        "lineage-shortened", "the first step left out of lineage", A.MIX_AND_MATCH, 2, cut, trust="three", script=11
    )
    document = json.loads(whole[MANIFEST]) | {"lineage": []}
    denied = whole | {MANIFEST: to_json(document), SIGNATURE: signature(to_json(document), "site")}
    yield _of("lineage-denied", "a patched kit that denies its history", A.MIX_AND_MATCH, 2, denied)
    yield from _times()
    own = published(by=["site"])
    vendor = step(own, {OBSERVATIONS: encoded(AFTER)})
    yield _of(
        "vendor-replaced",
        "the publisher replaced by the site, for who knows their roles",
        A.ARBITRARY_SOFTWARE,
        4,
        vendor,
        trust="policy",
        script=None,
    )


def _times() -> Iterator[Case]:
    early, change = "2025-12-31T23:59:59Z", {OBSERVATIONS: encoded(AFTER)}
    yield _of(
        "time-before-base",
        "a step dated before the publisher's generation",
        A.KEY_COMPROMISE,
        11,
        step(published(), change, at=early),
        script=None,
    )
    back = step(step(published(), change, at=LATER), {"README.txt": b"more\n"}, by="site-b")
    yield _of(
        "time-before-step",
        "a step dated before the one below",
        A.KEY_COMPROMISE,
        11,
        back,
        2,
        trust="three",
        script=None,
    )
    named = [{"name": path, "digest": f"sha256:{sha256(data)}"} for path, data in sorted(files().items())]
    foreign = step(published(document={"artifacts": named, "createdAt": LATER}), change)
    yield _of(
        "time-before-foreign",
        "a step dated before the time of a foreign manifest",
        A.KEY_COMPROMISE,
        11,
        foreign,
        2,
        script=None,
    )


def _policies() -> Iterator[Case]:
    yield _of(
        "policy-unsealed",
        "a policy with a root key that did not sign it",
        A.KEY_COMPROMISE,
        3,
        patched(),
        None,
        trust="unsealed",
        script=None,
    )
    yield _of(
        "policy-sealed-by-another",
        "a policy signed by another than its root",
        A.KEY_COMPROMISE,
        4,
        patched(),
        None,
        trust="sealed-by-another",
        script=None,
    )
    yield _of(
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
        "statement-other-keys",
        "a statement that names other keys than signed",
        A.MIX_AND_MATCH,
        11,
        altered(lambda s: s["predicate"].update(keyIds=[key("site-b").public.key_id])),
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

"""Kits to refuse for who signed them, or when: roles, thresholds, limits of keys, their time, and rollbacks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from conformance.build.case import Attack, Case, refused
from conformance.build.kits import (
    AFTER,
    DATA,
    LATER,
    MANIFEST,
    OBSERVATIONS,
    SIGNATURE,
    Members,
    compact_json,
    encoded,
    patched,
    published,
    step,
    with_signature,
)
from conformance.build.signing import signature_part

A = Attack


def cases() -> Iterator[Case]:
    """Give them all."""
    yield from _roles()
    yield from _time()
    yield from _rollbacks()


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
    one = published(by=["publisher", "site-b"])
    yield of("threshold-one-person", "two keys of one person", A.KEY_COMPROMISE, 4, 3, one, "two-people")
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
    part = signature_part(DATA, "publisher")
    return with_signature(compact_json({"signatures": [part, part]}).encode())


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
    yield of(
        "key-superseded",
        "dated, by its own word, before it was superseded",
        A.KEY_COMPROMISE,
        4,
        published(),
        "superseded",
    )
    covered = step(late, {OBSERVATIONS: encoded(AFTER)}, at="2026-01-07T00:00:00Z")
    yield of(
        "key-superseded-late-history",
        "history from after its key was superseded",
        A.KEY_COMPROMISE,
        4,
        covered,
        "superseded",
        6,
    )
    yield of(
        "key-superseded-step",
        "a step by a site's key that was superseded, dated before",
        A.KEY_COMPROMISE,
        4,
        patched(),
        "rotated-site",
    )
    other_role = published(by=["publisher", "site"])
    yield of(
        "key-superseded-other-role",
        "signed as well by a key in force, of another role",
        A.KEY_COMPROMISE,
        4,
        other_role,
        "superseded",
    )
    alone = patched(stated_by="site-b")
    yield of(
        "statement-superseded",
        "the last statement by a key that was superseded",
        A.KEY_COMPROMISE,
        4,
        alone,
        "old-statements",
        6,
    )
    yield of(
        "key-revoked-covered",
        "a revoked publisher below two steps by sites in force",
        A.KEY_COMPROMISE,
        4,
        step(patched(), {"README.txt": b"more\n"}, at=LATER),
        "revoked",
        6,
    )
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
    yield of(
        "future-no-window",
        "made in the future, and fresh for ever",
        A.FAST_FORWARD,
        7,
        published(createdAt="2027-01-01T00:00:00Z"),
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

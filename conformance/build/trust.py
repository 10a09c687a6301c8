"""Whom the verifiers of ``conformance`` are told to trust: sets of keys, and policies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from conformance.build.signing import key
from kit.signing import Algorithm, jws
from kit.trust import Policy, Role, TrustedKey
from kit.trust.rotation import POLICY_TYPE
from kit.trust.trusted_key import Revocation, RevocationReason
from kit.values import Timestamp

KEYS: Mapping[str, Sequence[str]] = {
    "publisher": ["publisher"],
    "site": ["site"],
    "rsa": ["rsa"],
    "both": ["publisher", "site"],
    "three": ["publisher", "site", "site-b"],
}
"""Bare keys: every role, no time, no memory."""

SAMPLES = {
    "publisher": "container-tar-gz",
    "site": "signed-es256",
    "rsa": "signed-ps256",
    "both": "patched",
    "three": "patched-twice",
}
"""By set of keys, a case that is valid under it: what a verifier that is made per kit is made from."""


def _at(text: str) -> Timestamp:
    return Timestamp.parse(text)


def _key(name: str, *roles: Role, **limits: Any) -> TrustedKey:
    return TrustedKey(key=key(name).public, roles=frozenset(roles), name=name, **limits)


def _policy(*keys: TrustedKey, **more: Any) -> Policy:
    return Policy(version=more.pop("version", 1), keys=keys, **more)


_PUBLISHER = _key("publisher", Role.PUBLISHER)
_SITE = _key("site", Role.PATCHER)
_REVOKED = Revocation(at=_at("2026-01-05T00:00:00Z"), reason=RevocationReason.COMPROMISED)
_SUPERSEDED = Revocation(at=_at("2026-01-05T00:00:00Z"), reason=RevocationReason.SUPERSEDED)

POLICIES: Mapping[str, Policy] = {
    "policy": _policy(_PUBLISHER, _SITE, _key("incident", Role.INCIDENT)),
    "two-publishers": _policy(_PUBLISHER, _key("site", Role.PUBLISHER), thresholds={Role.PUBLISHER: 2}),
    "two-patchers": _policy(_PUBLISHER, _SITE, _key("site-b", Role.PATCHER), thresholds={Role.PATCHER: 2}),
    "rotated": _policy(_PUBLISHER, _SITE, _key("root", Role.ROOT), version=2),
    "superseded": _policy(_key("publisher", Role.PUBLISHER, revocation=_SUPERSEDED), _SITE),
    "rotated-publisher": _policy(
        _key("publisher", Role.PUBLISHER, revocation=_SUPERSEDED), _key("site-b", Role.PUBLISHER), _SITE
    ),
    "rotated-site": _policy(
        _PUBLISHER, _key("site", Role.PATCHER, revocation=_SUPERSEDED), _key("site-b", Role.PATCHER)
    ),
    "old-statements": _policy(_PUBLISHER, _SITE, _key("site-b", Role.PATCHER, revocation=_SUPERSEDED)),
    "two-people": _policy(
        _PUBLISHER,
        replace(_key("site-b", Role.PUBLISHER), name="Publisher"),
        _key("rsa", Role.PUBLISHER),
        thresholds={Role.PUBLISHER: 2},
    ),
    "revoked": _policy(_key("publisher", Role.PUBLISHER, revocation=_REVOKED), _SITE, _key("site-b", Role.PUBLISHER)),
    "revoked-site": _policy(_PUBLISHER, _key("site", Role.PATCHER, revocation=_REVOKED), _key("site-b", Role.PATCHER)),
    "expired": _policy(_key("publisher", Role.PUBLISHER, not_after=_at("2026-01-05T00:00:00Z")), _SITE),
    "early": _policy(_key("publisher", Role.PUBLISHER, not_before=_at("2026-01-05T00:00:00Z")), _SITE),
    "policy-expired": _policy(_PUBLISHER, _SITE, expires_at=_at("2026-01-05T00:00:00Z")),
    "floor": _policy(_PUBLISHER, _SITE, minimum_generations={"conformance": 4}),
    "es256-only": _policy(_PUBLISHER, _SITE, _key("rsa", Role.PUBLISHER), algorithms=frozenset({Algorithm.ES256})),
    "other-bundle": _policy(_key("publisher", Role.PUBLISHER, bundle_ids=frozenset({"other"})), _SITE),
    "other-collection": _policy(_PUBLISHER, _key("site", Role.PATCHER, collections=frozenset({"*.advisory_raw"}))),
    "rsa-publishes": _policy(_key("rsa", Role.PUBLISHER), _SITE),
    "unsealed": _policy(_PUBLISHER, _SITE, _key("root", Role.ROOT)),
    "sealed-by-another": _policy(_PUBLISHER, _SITE, _key("root", Role.ROOT)),
}


def _seal(name: str, by: str) -> bytes:
    return jws.sign(POLICIES[name].to_bytes(), [key(by)], typ=POLICY_TYPE)


SEALED: Mapping[str, bytes] = {
    "rotated": _seal("rotated", "root"),
    "sealed-by-another": _seal("sealed-by-another", "site"),
}
"""Signatures beside policies."""

"""Whom ``verify.sh`` trusts is whom the policy trusts, or it is not written."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from kit.errors import UsageError
from kit.signing import Algorithm, generate
from kit.trust import Anchor, Policy, Revocation, RevocationReason, Role, TrustedKey
from kit.values import Timestamp
from kit.verbs.verify.obligations import Expectation
from kit.verbs.verify.receipt import make_script

NOW = Timestamp(1000)
VENDOR = TrustedKey(key=generate(Algorithm.ED25519).public, roles=frozenset({Role.PUBLISHER}))
SITE = TrustedKey(key=generate(Algorithm.ES256).public, roles=frozenset({Role.PATCHER, Role.AUDITOR}))


def script(site: TrustedKey = SITE, **more: Any) -> str:
    policy = Policy(version=1, keys=(VENDOR, site), **more)
    anchor = Anchor(policy=policy, policy_sha256=policy.sha256, at=NOW)
    return make_script(Expectation(trust=anchor)).decode()


def test_keys_and_roles_are_in_it() -> None:
    text = script()
    assert f"    {VENDOR.key_id})\n        kind=ed25519 roles=' publisher '\n" in text
    assert f"    {SITE.key_id})\n        kind=es256 roles=' patcher '\n" in text
    assert SITE.key.pem.decode() in text
    assert "@KEYS@" not in text


@pytest.mark.parametrize(
    "limits",
    [
        {"revocation": Revocation(at=Timestamp(2000), reason=RevocationReason.COMPROMISED)},
        {"revocation": Revocation(at=NOW, reason=RevocationReason.SUPERSEDED)},
        {"not_after": Timestamp(999)},
        {"roles": frozenset({Role.AUDITOR})},
    ],
    ids=["compromised", "superseded", "expired", "an auditor"],
)
def test_who_does_not_count_is_left_out(limits: dict[str, Any]) -> None:
    assert SITE.key_id not in script(replace(SITE, **limits))
    assert VENDOR.key_id in script(replace(SITE, **limits))


def test_an_algorithm_that_is_not_allowed_is_left_out() -> None:
    assert SITE.key_id not in script(algorithms=frozenset({Algorithm.ED25519}))


@pytest.mark.parametrize(
    ("limits", "more"),
    [
        ({"bundle_ids": frozenset({"small"})}, {}),
        ({"collections": frozenset({"*.x"})}, {}),
        ({}, {"thresholds": {Role.PATCHER: 2}}),
        ({}, {"algorithms": frozenset({Algorithm.PS256})}),
    ],
    ids=["limited to bundles", "limited to collections", "two must sign", "nobody is left"],
)
def test_it_is_not_written_weaker_than_the_policy(limits: dict[str, Any], more: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        script(replace(SITE, **limits), **more)

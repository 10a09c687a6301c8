"""The rules of schemas/trust-policy.md, one attack each, in TUF's words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from kit.errors import ContentError, KitError, RollbackError, SignatureError, StaleError, UnsignedError, UntrustedError
from kit.signing import Algorithm, PrivateKey, generate, jws
from kit.trust import (
    Accepted,
    Anchor,
    Policy,
    Revocation,
    RevocationReason,
    Role,
    Signing,
    SigningKeys,
    State,
    Subject,
    TrustedKey,
    freshness,
    narrow,
    rotation,
    state,
    weigh,
)
from kit.trust.freshness import Moment
from kit.values import MemberPath, Sha256, Timestamp
from kit.verbs.verify.receipt import Receipt

ALICE, BOB, CAROL, ROOT_A, ROOT_B = (generate(Algorithm.ED25519) for _ in range(5))
NOW, DAY = Timestamp(2_000_000_000), 86_400
OBSERVATIONS = MemberPath("dump/concelier/advisory_observations.bson")
RAW = MemberPath("dump/concelier/advisory_raw.bson")
DOCS = MemberPath("README.txt")


def trusted(key: PrivateKey, *roles: Role, **limits: Any) -> TrustedKey:
    return TrustedKey(key=key.public, roles=frozenset(roles or {Role.PUBLISHER}), **limits)


def policy(*keys: TrustedKey, **more: Any) -> Policy:
    return Policy(version=1, keys=keys, **more)


def subject(role: Role = Role.PUBLISHER, *members: MemberPath, **more: Any) -> Subject:
    return Subject(what="generation 3", role=role, bundle_id="small", members=members, **more)


def authorised(whom: Policy, what: Subject, keys: Sequence[PrivateKey], at: Timestamp = NOW) -> Signing:
    """Judge who would sign."""
    return weigh(
        Anchor(policy=whom, policy_sha256=whom.sha256, at=at), what, SigningKeys(keys=[key.public for key in keys])
    )


class TestAuthority:
    def test_a1_a_patcher_publishes_arbitrary_software(self) -> None:
        with pytest.raises(UntrustedError, match="it has the role patcher"):
            authorised(policy(trusted(ALICE, Role.PATCHER)), subject(), (ALICE,))

    def test_a2_wrong_software_of_another_bundle(self) -> None:
        limited = policy(trusted(ALICE, bundle_ids=frozenset({"large"})))
        with pytest.raises(UntrustedError, match="may not sign bundle 'small'"):
            authorised(limited, subject(), (ALICE,))
        nameless = Subject(what="g", role=Role.PUBLISHER, bundle_id=None)
        with pytest.raises(UntrustedError):
            authorised(limited, nameless, (ALICE,))

    @pytest.mark.parametrize("pattern", ["concelier.advisory_observations", "*.advisory_observations"])
    def test_a2_mix_and_match_of_collections(self, pattern: str) -> None:
        limited = policy(trusted(ALICE, Role.PATCHER, collections=frozenset({pattern})))
        assert authorised(limited, subject(Role.PATCHER, OBSERVATIONS), (ALICE,)).keys
        with pytest.raises(UntrustedError, match="may not sign dump/concelier/advisory_raw"):
            authorised(limited, subject(Role.PATCHER, OBSERVATIONS, RAW), (ALICE,))
        with pytest.raises(UntrustedError, match="may not sign README"):
            authorised(limited, subject(Role.PATCHER, DOCS, only_collections=True), (ALICE,))
        assert authorised(limited, subject(Role.PATCHER, DOCS), (ALICE,)).keys

    def test_a3_an_algorithm_that_is_no_longer_believed(self) -> None:
        strict = policy(trusted(ALICE), algorithms=frozenset({Algorithm.ES256}))
        with pytest.raises(UntrustedError, match="Ed25519 is not allowed"):
            authorised(strict, subject(), (ALICE,))

    def test_a4_one_key_counted_twice_for_a_threshold_of_two(self) -> None:
        two = policy(trusted(ALICE), trusted(BOB), thresholds={Role.PUBLISHER: 2})
        with pytest.raises(UntrustedError, match="1 of the 2 publisher keys"):
            authorised(two, subject(), (ALICE, ALICE))
        assert len(authorised(two, subject(), (ALICE, BOB)).keys) == 2

    def test_a4_a_stranger_counted_for_a_threshold(self) -> None:
        two = policy(trusted(ALICE), trusted(BOB), thresholds={Role.PUBLISHER: 2})
        with pytest.raises(UntrustedError, match="the policy does not name it"):
            authorised(two, subject(), (ALICE, CAROL))

    def test_a_threshold_is_met_by_those_in_good_standing_only(self) -> None:
        two = policy(trusted(ALICE), trusted(BOB, not_after=Timestamp(1)), thresholds={Role.PUBLISHER: 2})
        signing = authorised(two, subject(), (ALICE, BOB))
        with pytest.raises(StaleError, match="generation 3"):
            signing.require()
        assert len(signing.require(insisted=True).keys) == 2
        one = authorised(replace(two, thresholds={}), subject(), (ALICE, BOB))
        assert [key.key for key in one.require().keys] == [ALICE.public]

    @pytest.mark.parametrize("names", [("Ada", "Ada"), ("Ada  Keeper", "ada keeper"), ("ﬁona", "Fiona")])
    def test_a4_two_keys_of_one_person_counted_for_two(self, names: tuple[str, str]) -> None:
        keys = tuple(trusted(key, name=name) for key, name in zip((ALICE, BOB), names, strict=True))
        two = policy(*keys, trusted(CAROL), thresholds={Role.PUBLISHER: 2})
        with pytest.raises(UntrustedError, match=r"1 of the 2 publisher keys.*one person's"):
            authorised(two, subject(), (ALICE, BOB))
        assert authorised(two, subject(), (ALICE, CAROL)).require().keys

    def test_a4_an_unnamed_key_is_a_person_of_its_own_whatever_others_are_called(self) -> None:
        two = policy(trusted(ALICE, name=BOB.public.key_id), trusted(BOB), thresholds={Role.PUBLISHER: 2})
        assert authorised(two, subject(), (ALICE, BOB)).require().keys

    def test_p2_a_threshold_that_one_person_would_have_to_meet_alone(self) -> None:
        alone = policy(trusted(ALICE, name="Ada"), trusted(BOB, name="Ada"), thresholds={Role.PUBLISHER: 2})
        with pytest.raises(ContentError, match="2 people are needed, but only 1 can sign"):
            alone.check()

    def test_one_key_that_may_and_another_that_counts_do_not_make_one_signer(self) -> None:
        """The first may sign the collection and is out of its time; the second is in its time and may not."""
        both = policy(
            trusted(ALICE, Role.PATCHER, not_after=Timestamp(1)),
            trusted(BOB, Role.PATCHER, collections=frozenset({"*.other"})),
        )
        what = subject(Role.PATCHER)
        signing = authorised(both, what, (ALICE, BOB)).require()
        anchor = Anchor(policy=both, policy_sha256=both.sha256, at=NOW)
        with pytest.raises(UntrustedError, match="may not sign dump"):
            narrow(anchor, signing, replace(what, members=(OBSERVATIONS,)))


class TestFreshness:
    def at(self, signed: int | None, **more: bool) -> Moment:
        made = None if signed is None else Timestamp(NOW.seconds + signed)
        return Moment(signed_at=made, now=NOW, **more)

    @pytest.mark.parametrize("signed", [-9 * DAY, None])
    def test_f1_key_compromise_is_not_undone_by_an_early_date_nor_by_who_built_on_it(self, signed: int | None) -> None:
        key = trusted(ALICE, revocation=Revocation(at=NOW, reason=RevocationReason.COMPROMISED))
        assert isinstance(freshness.key_fault(key, self.at(signed, kept=True, covered=True)), UntrustedError)
        assert freshness.key_fault(key, self.at(signed, accepted=True)) is None
        later = trusted(ALICE, revocation=Revocation(at=Timestamp(NOW.seconds + DAY), reason=key.revocation.reason))  # type: ignore[union-attr]
        assert isinstance(freshness.key_fault(later, self.at(signed)), UntrustedError)

    @pytest.mark.parametrize("reason", [RevocationReason.SUPERSEDED, RevocationReason.CEASED])
    def test_f1_a_superseded_key_counts_for_covered_history_that_is_older(self, reason: RevocationReason) -> None:
        key = trusted(ALICE, revocation=Revocation(at=NOW, reason=reason))
        assert freshness.key_fault(key, self.at(-1, kept=True, covered=True)) is None
        for moment in (
            self.at(0, kept=True, covered=True),  # not before
            self.at(-1, kept=True),  # nobody else says so
            self.at(-1),  # the current generation: its own word
            self.at(None),
        ):
            assert isinstance(freshness.key_fault(key, moment), UntrustedError)
            assert freshness.key_fault(key, replace(moment, accepted=True)) is None

    def test_f1_a_revocation_to_come_is_none_yet(self) -> None:
        key = trusted(ALICE, revocation=Revocation(at=Timestamp(NOW.seconds + 9), reason=RevocationReason.SUPERSEDED))
        assert freshness.key_fault(key, self.at(-1)) is None
        assert isinstance(freshness.key_fault(key, self.at(9)), UntrustedError)

    def test_f2_an_expired_key(self) -> None:
        key = trusted(ALICE, not_after=Timestamp(NOW.seconds - 1))
        assert isinstance(freshness.key_fault(key, self.at(-DAY)), StaleError)
        assert freshness.key_fault(key, self.at(-DAY, kept=True, covered=True)) is None
        assert isinstance(freshness.key_fault(key, self.at(-DAY, kept=True)), StaleError)
        assert isinstance(freshness.key_fault(key, self.at(-DAY, accepted=True)), StaleError)
        assert isinstance(freshness.key_fault(key, self.at(0, kept=True, covered=True)), StaleError)

    def test_f2_a_key_before_its_time(self) -> None:
        key = trusted(ALICE, not_before=Timestamp(NOW.seconds))
        assert isinstance(freshness.key_fault(key, self.at(-1)), StaleError)
        assert freshness.key_fault(key, self.at(0)) is None

    def test_f3_an_indefinite_freeze(self) -> None:
        any_key = policy(trusted(ALICE))
        old = Timestamp(NOW.seconds - 2 * DAY)
        assert freshness.check_age(any_key, old, None, NOW) == "no staleness window, so no age was compared"
        assert freshness.check_age(any_key, old, 48, NOW) == "48 of 48 hours old"
        with pytest.raises(StaleError):
            freshness.check_age(any_key, Timestamp(old.seconds - 1), 48, NOW)
        with pytest.raises(StaleError):
            freshness.check_age(replace(any_key, staleness_window_hours=1), old, 48, NOW)

    def test_f3_a_kit_of_no_age_and_a_kit_of_the_future(self) -> None:
        with pytest.raises(StaleError, match="does not state"):
            freshness.check_age(policy(trusted(ALICE)), None, 48, NOW)
        with pytest.raises(StaleError, match="its age is unknown"):
            freshness.check_age(policy(trusted(ALICE)), Timestamp(NOW.seconds + 1), 48, NOW)

    def test_f4_a_kit_of_a_time_to_come(self) -> None:
        freshness.check_future(None, NOW)
        freshness.check_future(Timestamp(NOW.seconds + DAY), NOW)
        with pytest.raises(StaleError, match="in the future"):
            freshness.check_future(Timestamp(NOW.seconds + DAY + 1), NOW)

    def test_an_expired_policy(self) -> None:
        expired = policy(trusted(ALICE), expires_at=NOW)
        freshness.check_policy(expired, NOW)
        with pytest.raises(StaleError):
            freshness.check_policy(expired, Timestamp(NOW.seconds + 1))


class TestRollback:
    plain = policy(trusted(ALICE), minimum_generations={"small": 3})

    def met(self, published: int, generation: int | None = None, name: bytes = b"m") -> Accepted:
        number = published if generation is None else generation
        return Accepted(published=published, generation=number, manifest=Sha256.of(name))

    def state(self, accepted: Accepted) -> State:
        return State(policy_version=1, policy_sha256=self.plain.sha256, bundles={"small": accepted})

    def test_r1_a_patched_kit_does_not_climb_over_the_floor(self) -> None:
        with pytest.raises(state.BelowFloorError):
            state.check_kit_rollback(self.plain, None, "small", self.met(2, 9))
        assert "not below" in state.check_kit_rollback(self.plain, None, "small", self.met(3))
        assert (
            state.check_kit_rollback(self.plain, None, "other", self.met(1))
            == "first kit of 'other', so nothing accepted before was compared"
        )

    @pytest.mark.parametrize("older", [(3, 3), (3, 9), (5, 5)])
    def test_r2_a_version_rollback(self, older: tuple[int, int]) -> None:
        with pytest.raises(RollbackError, match="was accepted before"):
            state.check_kit_rollback(self.plain, self.state(self.met(5, 6)), "small", self.met(*older))

    def test_r2_the_publishers_next_release_is_no_rollback_of_what_a_site_made(self) -> None:
        for newer in (self.met(6, name=b"x"), self.met(5, 7, b"x")):
            assert "newer" in state.check_kit_rollback(self.plain, self.state(self.met(5, 6)), "small", newer)

    def test_r3_one_generation_with_two_manifests(self) -> None:
        known = self.state(self.met(5, 6))
        assert state.check_kit_rollback(self.plain, known, "small", self.met(5, 6)) == "accepted before"
        with pytest.raises(RollbackError, match="but was accepted before with"):
            state.check_kit_rollback(self.plain, known, "small", self.met(5, 6, b"other"))

    def test_a_nameless_kit_has_no_memory(self) -> None:
        assert "no bundle" in state.check_kit_rollback(self.plain, self.state(self.met(5)), None, self.met(1))

    def test_a_policy_changed_by_other_means(self) -> None:
        known = State(policy_version=2, policy_sha256=self.plain.sha256)
        state.check_policy_rollback(2, self.plain.sha256, known)
        state.check_policy_rollback(1, Sha256.of(b"x"), None)
        with pytest.raises(UntrustedError):
            state.check_policy_rollback(2, Sha256.of(b"x"), known)
        with pytest.raises(RollbackError):
            state.check_policy_rollback(1, Sha256.of(b"x"), known)


def sealed(version: int, *roots: PrivateKey, threshold: int = 1, **limits: Any) -> Policy:
    keys = tuple(trusted(root, Role.ROOT, **limits) for root in roots)
    return Policy(version=version, keys=(trusted(ALICE), *keys), thresholds={Role.ROOT: threshold})


def signed(new: Policy, *keys: PrivateKey, typ: str = rotation.POLICY_TYPE) -> bytes:
    return jws.sign(new.to_bytes(), list(keys), typ=typ)


def rotate(old: Policy, new: Policy, signature: bytes | None) -> None:
    rotation.check_successor(old, new, new.to_bytes(), signature, NOW)


class TestRotation:
    old, new = sealed(1, ROOT_A), sealed(2, ROOT_B)

    def test_signed_by_old_and_new(self) -> None:
        rotate(self.old, self.new, signed(self.new, ROOT_A, ROOT_B))

    @pytest.mark.parametrize("keys", [(ROOT_A,), (ROOT_B,), (ALICE,), (ALICE, ROOT_B)])
    def test_p4_signed_by_one_side_or_a_stranger(self, keys: tuple[PrivateKey, ...]) -> None:
        with pytest.raises(UntrustedError):
            rotate(self.old, self.new, signed(self.new, *keys))

    @pytest.mark.parametrize("version", [1, 3])
    def test_p4_a_version_skipped_or_repeated(self, version: int) -> None:
        new = replace(self.new, version=version)
        with pytest.raises(RollbackError):
            rotate(self.old, new, signed(new, ROOT_A, ROOT_B))

    def test_p4_a_threshold_of_two_is_asked_of_the_old_and_of_the_new(self) -> None:
        two, one = sealed(1, ROOT_A, ROOT_B, threshold=2), sealed(2, ROOT_A)
        with pytest.raises(UntrustedError):
            rotate(two, one, signed(one, ROOT_A))
        rotate(two, one, signed(one, ROOT_A, ROOT_B))

    def test_p4_root_keys_are_not_dropped(self) -> None:
        bare = policy(trusted(ALICE), trusted(BOB))
        bare = replace(bare, version=2)
        with pytest.raises(UntrustedError, match="no root keys"):
            rotate(self.old, bare, signed(bare, ROOT_A))

    def test_p3_unsigned_and_signed_for_another_purpose(self) -> None:
        with pytest.raises(UnsignedError):
            rotate(self.old, self.new, None)
        with pytest.raises(SignatureError):
            rotate(self.old, self.new, signed(self.new, ROOT_A, ROOT_B, typ=jws.MANIFEST_TYPE))

    def test_p3_a_first_policy_is_signed_by_its_own_root_keys(self) -> None:
        rotation.check_seal(self.old, self.old.to_bytes(), signed(self.old, ROOT_A), NOW)
        with pytest.raises(SignatureError):
            rotation.check_seal(self.old, self.new.to_bytes(), signed(self.old, ROOT_A), NOW)

    def test_an_expired_root_key(self) -> None:
        expired = sealed(1, ROOT_A, not_after=Timestamp(1))
        with pytest.raises(StaleError):
            rotation.check_seal(expired, expired.to_bytes(), signed(expired, ROOT_A), NOW)

    def test_a_policy_without_root_keys_gains_them(self) -> None:
        new = replace(self.new, version=2)
        rotate(policy(trusted(ALICE)), new, signed(new, ROOT_B))


def test_signatures_are_joined_as_people_sign_one_after_another() -> None:
    new = sealed(2, ROOT_A, ROOT_B, threshold=2)
    one, other = signed(new, ROOT_A), signed(new, ROOT_B)
    assert jws.join([one, other], typ=rotation.POLICY_TYPE) == signed(new, ROOT_A, ROOT_B)
    with pytest.raises(SignatureError, match="twice"):
        jws.join([one, one], typ=rotation.POLICY_TYPE)


@pytest.mark.parametrize("change", [{"subjects": {}}, {"levels": ()}, {"passed": False}])
def test_a_receipt_for_nothing_is_not_made(change: dict[str, Any]) -> None:
    receipt = Receipt(
        subjects={"kit": Sha256.of(b"k")},
        verifier="id",
        tool=("kit", "1"),
        at=NOW,
        bundle=None,
        policy=Sha256.of(b"p"),
        inputs={},
        passed=True,
        levels=("OFFLINE_KIT_SIGNED",),
        obligations=((3, "signed", "checked", "by a key"),),
    )
    assert receipt.to_bytes() == receipt.to_bytes()
    with pytest.raises(ContentError):
        replace(receipt, **change).to_bytes()


def test_all_faults_are_errors_of_the_kit() -> None:
    assert all(issubclass(kind, KitError) for kind in (StaleError, RollbackError, state.BelowFloorError))

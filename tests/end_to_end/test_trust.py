"""Policies at work: who may sign what, until when, and what was accepted before; named as the attacks of TUF."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from jsonschema import Draft202012Validator

from kit.signing import Algorithm, dsse, jws
from tests import kits
from tests.commands import COMMAND, ENVIRONMENT, ROOT, Outcome, kit
from tests.end_to_end.desk import Desk, key
from tests.kits import MANIFEST, SIGNATURE
from tests.tiers import examples

MADE = "2025-10-20T00:00:00Z"
LATER = "2026-02-01T00:00:00Z"


def schema(name: str) -> Draft202012Validator:
    return Draft202012Validator(json.loads((ROOT / "schemas" / f"{name}.schema.json").read_text()))


class Office:
    """A desk with a policy: the vendor publishes, the site patches and audits."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.policy = desk.keys / "policy.json"
        self.state = desk.keys / "policy.json.state"

    def init(self, *more: object, **roles: str) -> Path:
        chosen = roles or {"vendor": "publisher", "site": "patcher,auditor"}
        words = [word for name, role in chosen.items() for word in ("--key", self.desk.public(name), role)]
        outcome = kit("trust", "init", self.policy, *words, *more)
        assert outcome.code == 0, outcome
        return self.policy

    def add(self, name: str, *words: object, code: int = 0) -> Outcome:
        outcome = kit("trust", "add", self.policy, self.desk.public(name), *words)
        assert outcome.code == code, outcome
        return outcome

    def verify(self, path: Path, *options: object, at: str = LATER) -> Outcome:
        return kit("verify", path, "--trust", self.policy, "--at", at, "--workers", 1, *options)

    def valid(self, path: Path, *options: object, at: str = LATER) -> Outcome:
        outcome = self.verify(path, *options, at=at)
        assert (outcome.code, outcome.err) == (0, ""), outcome
        return outcome

    def refused(self, path: Path, code: int, *words: str, options: tuple[object, ...] = (), at: str = LATER) -> Outcome:
        before = self.state.read_bytes() if self.state.exists() else None
        outcome = self.verify(path, *options, at=at)
        assert outcome.code == code, outcome
        assert "\nvalid: " not in outcome.out
        for word in words:
            assert word in outcome.err, outcome
        assert (self.state.read_bytes() if self.state.exists() else None) == before
        return outcome

    def kit(self, name: str, **changes: Any) -> Path:
        members = kits.content()
        return self.desk.kit(members, name=name, manifest=kits.manifest_of(members, **changes))


@pytest.fixture
def office(desk: Desk) -> Office:
    return Office(desk)


def test_vendor_then_site_then_another_site(office: Office) -> None:
    office.init()
    office.add("stranger", "--role", "patcher", "--name", "Site B", "--bundle-id", "small")
    base = office.kit("kit.tar")
    office.valid(base)
    once = office.desk.patched(base, "--limit", 1, name="once.tar")
    office.valid(once, "--deep")
    twice = office.desk.patched(once, name="twice.tar", by="stranger", trusting=("vendor", "site"))
    outcome = office.valid(twice, "--deep")
    assert "(Site B) as patcher (1 needed)" in outcome.out
    assert "2 earlier generations, from 3" in outcome.out
    office.refused(once, 8, "generation 5 made of the publisher's 3 was accepted before")
    office.add("site", "--role", "patcher", "--revoke", "compromised")
    office.refused(twice, 4, "manifest/history/3/patch.intoto.json", "was revoked")


@pytest.mark.parametrize(
    ("roles", "code"),
    [
        ({"vendor": "patcher", "site": "patcher"}, 4),
        ({"vendor": "publisher", "site": "publisher"}, 4),
        ({"vendor": "auditor", "site": "patcher"}, 4),
        ({"site": "publisher,patcher"}, 4),
    ],
    ids=["patchers only", "publishers only", "an auditor for the publisher", "the site for everybody"],
)
def test_arbitrary_software_by_a_key_in_the_wrong_role(roles: dict[str, str], code: int, office: Office) -> None:
    office.init(**roles)
    office.refused(office.desk.patched(), code)


def test_a_site_cannot_pass_its_own_kit_off_as_published(office: Office) -> None:
    office.init()
    office.refused(office.desk.kit(signer="site"), 4, "it has the role auditor, patcher")


def test_a_collection_beyond_the_patchers_limits(office: Office) -> None:
    office.init(vendor="publisher")
    office.add("site", "--role", "patcher", "--collection", "*.advisory_raw")
    office.refused(office.desk.patched(), 4, "may not sign dump/concelier/advisory_observations.bson")
    office.add("site", "--role", "patcher", "--collection", "*.advisory_observations")
    office.valid(office.desk.patched(name="again.tar"))


def test_two_persons_must_publish_and_one_does_not_count_for_two(office: Office) -> None:
    office.init("--threshold", "publisher", 2, vendor="publisher", stranger="publisher")
    office.refused(office.desk.kit(), 4, "signed by 1 of the 2 publisher keys needed")
    members = kits.signed(kits.content(), None)
    both = jws.sign(members[MANIFEST], [key("vendor"), key("stranger")])
    office.valid(office.desk.write(members | {SIGNATURE: both}, "both.tar"))
    twice = json.loads(both)
    twice["signatures"][1] = twice["signatures"][0]
    office.refused(office.desk.write(members | {SIGNATURE: json.dumps(twice).encode()}, "twice.tar"), 5, "2 times")


def test_an_algorithm_that_the_policy_does_not_allow(office: Office) -> None:
    office.desk.add_key("edwards", Algorithm.ED25519)
    office.init("--algorithm", "Ed25519", vendor="publisher", edwards="publisher")
    office.refused(office.desk.kit(), 4, "ES256 is not allowed")


class TestTime:
    def test_an_indefinite_freeze(self, office: Office) -> None:
        office.init()
        path = office.kit("kit.tar", stalenessWindowHours=48)
        office.valid(path, at="2025-10-22T00:00:00Z")
        office.refused(path, 7, "49 hours before", at="2025-10-22T01:00:00Z")
        office.refused(path, 7, "its age is unknown", at="2025-10-19T00:00:00Z")

    def test_a_patch_makes_no_stale_data_fresh(self, office: Office) -> None:
        office.init()
        base = office.kit("kit.tar", stalenessWindowHours=48)
        office.refused(office.desk.patched(base, name="p.tar"), 7, at=kits.AT)

    def test_the_policys_window_goes_before_the_kits_own(self, office: Office) -> None:
        office.init("--staleness-hours", 1)
        office.refused(office.kit("kit.tar", stalenessWindowHours=999_999), 7, "1 are allowed")

    def test_an_expired_key_and_one_before_its_time(self, office: Office) -> None:
        office.init(site="patcher")
        office.add("vendor", "--role", "publisher", "--not-after", "2025-12-01T00:00:00Z")
        path = office.desk.kit()
        office.valid(path, at="2025-11-01T00:00:00Z")
        office.refused(path, 7, "expired at")
        # What a site patched while the key was good is covered by the site's own signature.
        office.valid(office.desk.patched(path, name="p.tar"))
        office.add("vendor", "--role", "publisher", "--not-before", "2025-12-01T00:00:00Z")
        office.refused(path, 7, "is valid from")

    def test_a_compromised_key_whatever_date_it_writes(self, office: Office) -> None:
        office.init()
        path = office.desk.kit()
        office.add("vendor", "--role", "publisher", "--revoke", "compromised", "--at", LATER)
        office.refused(path, 4, "was revoked", at="2025-11-01T00:00:00Z")
        office.refused(path, 4, "was revoked", options=("--force", "--reason", "I insist"))

    def test_a_superseded_key_vouches_for_what_is_older_as_far_as_others_show_that_it_is(self, office: Office) -> None:
        office.init()
        office.add("vendor", "--role", "publisher", "--revoke", "superseded", "--at", "2025-12-01T00:00:00Z")
        office.refused(office.desk.kit(), 4, "only its own date")
        office.valid(office.desk.patched(name="p.tar"))
        office.refused(office.kit("new.tar", createdAt="2025-12-02T00:00:00Z"), 4, "was revoked")

    def test_an_expired_policy(self, office: Office) -> None:
        office.init("--expires-at", "2026-01-01T00:00:00Z")
        path = office.desk.kit()
        office.valid(path, at=MADE)
        office.refused(path, 7, "the policy expired", options=("--force", "--reason", "I insist"))


class TestRollback:
    def test_an_older_generation(self, office: Office) -> None:
        office.init()
        old, new = office.kit("old.tar"), office.kit("new.tar", generation=4)
        office.valid(old)
        office.valid(new)
        office.valid(new)
        office.refused(old, 8, "generation 3 of 'small', but generation 4 was accepted before")

    def test_the_same_generation_with_other_bytes(self, office: Office) -> None:
        office.init()
        office.valid(office.kit("one.tar"))
        office.refused(office.kit("other.tar", version="2025.11"), 8, "but was accepted before with")

    def test_a_refused_kit_does_not_raise_the_floor(self, office: Office) -> None:
        office.init()
        members = kits.content() | {"more.txt": b"x"}
        bad = office.desk.kit(members, name="bad.tar", manifest=kits.manifest_of(kits.content(), generation=9))
        office.refused(bad, 2, "more.txt")
        office.valid(office.kit("kit.tar"))

    def test_the_policys_floor_cannot_be_forced(self, office: Office) -> None:
        office.init("--minimum-generation", "small", 4)
        office.refused(office.kit("kit.tar"), 8, "policy's minimum", options=("--force", "--reason", "I insist"))
        # Nor climbed over by patching.
        office.refused(office.desk.patched(name="p.tar"), 8, "policy's minimum")

    def test_an_override_is_recorded_shown_and_lowers_nothing(self, office: Office) -> None:
        office.init()
        old, new = office.kit("old.tar"), office.kit("new.tar", generation=4)
        office.valid(new)
        outcome = office.valid(old, "--force", "--reason", "the new one is broken")
        assert "FORCED" in outcome.out
        office.refused(old, 8)
        shown = kit("trust", "show", office.policy, "--json").json
        schema("trust-report").validate(shown)
        schema("trust-state").validate(shown["state"])
        assert shown["state"]["bundles"]["small"]["generation"] == 4
        assert shown["state"]["overrides"][0] | {"manifestSha256": ""} == {
            "at": LATER,
            "bundleId": "small",
            "manifestSha256": "",
            "refusal": "generation 3 of 'small', but generation 4 was accepted before",
            "reason": "the new one is broken",
        }
        assert "the new one is broken" in kit("trust", "show", office.policy).out

    def test_a_foreign_kit_without_a_bundle_has_no_memory(self, office: Office) -> None:
        office.init()
        members = kits.content()
        office.valid(office.desk.kit(members, name="f.tar", manifest=kits.foreign_manifest_of(members)))
        assert json.loads(office.state.read_bytes())["bundles"] == {}

    def test_a_lost_state_is_a_first_use_and_a_broken_one_is_not(self, office: Office) -> None:
        office.init()
        office.state.unlink()
        assert "first kit of 'small'" in office.valid(office.kit("kit.tar")).out
        office.state.write_bytes(b"{}")
        office.refused(office.kit("kit2.tar"), 11)


class TestPolicies:
    def test_any_byte_changed(self, office: Office) -> None:
        office.init()
        path, whole = office.desk.kit(), office.policy.read_bytes()
        for at in range(0, len(whole), 7):
            office.policy.write_bytes(bytes([*whole[:at], whole[at] ^ 1, *whole[at + 1 :]]))
            outcome = office.verify(path)
            assert outcome.code in {4, 8, 9, 11}, outcome
            assert "valid: " not in outcome.out
        office.policy.write_bytes(whole)
        office.valid(path)

    def test_a_policy_with_root_keys_is_rotated_and_nothing_else(self, office: Office) -> None:
        desk = office.desk
        for name in ("root-a", "root-b"):
            desk.add_key(name)
        path, new, newer = desk.kit(), desk.keys / "policy-2.json", desk.keys / "policy-3.json"
        office.init(**{"vendor": "publisher", "root-a": "root"})
        office.refused(path, 3, "kit trust sign")
        sign = ("--signing-key", desk.keys / "root-a")
        assert kit("trust", "sign", office.policy, *sign).code == 0
        office.valid(path)
        office.add("site", "--role", "patcher", code=64)
        office.add("root-b", "--role", "root", "--output", new)
        assert kit("trust", "rotate", office.policy, new).code == 3
        assert kit("trust", "sign", new, "--signing-key", desk.keys / "root-b").code == 0
        kit("trust", "rotate", office.policy, new).refused(4, "by the old policy, version 1")
        assert kit("trust", "sign", new, *sign).out.count("signed by") == 2
        assert kit("trust", "rotate", office.policy, new).code == 0
        office.valid(path)
        office.add("site", "--role", "patcher", "--output", newer)
        assert kit("trust", "sign", newer, *sign, "--json").code == 0
        kit("trust", "rotate", office.policy, new).refused(8, "does not follow")
        assert kit("trust", "rotate", office.policy, newer, "--json").json["policy"]["version"] == 3
        signature = Path(f"{office.policy}.jws")
        signature.write_bytes(signature.read_bytes()[:-9] + b'AAAAAA"\n}')
        office.refused(path, 5)

    def test_a_rotation_that_was_cut_off_is_finished(self, office: Office) -> None:
        office.init()
        new = office.desk.keys / "policy-2.json"
        office.add("stranger", "--role", "patcher", "--output", new)
        state = json.loads(office.state.read_bytes())
        state["policy"] = {"version": 2, "sha256": kits.sha256(new.read_bytes())}
        office.state.write_text(json.dumps(state))
        office.refused(office.desk.kit(), 8)
        assert kit("trust", "rotate", office.policy, new).code == 0
        office.valid(office.desk.kit(name="again.tar"))

    def test_nothing_is_overwritten(self, office: Office) -> None:
        office.init()
        again = kit("trust", "init", office.policy, "--key", office.desk.public("vendor"), "publisher")
        again.refused(74, "never overwritten")

    @pytest.mark.parametrize(
        ("words", "code"),
        [
            (("--force",), 64),
            (("--reason", "r"), 64),
            (("--at", "noon"), 64),
            (("--receipt", "r.json"), 64),
        ],
    )
    def test_options_that_do_not_go_together(self, words: tuple[object, ...], code: int, office: Office) -> None:
        office.init()
        office.verify(office.desk.kit(), *words).refused(code)
        path = office.desk.kit(name="k.tar")
        kit("verify", path, "--trust", office.policy, *office.desk.trust("vendor")).refused(64)
        kit("verify", path, *office.desk.trust("vendor"), "--force", "--reason", "r").refused(64)
        kit("verify", path, "--trust", office.desk.keys / "none.json").refused(1, "kit trust init")
        kit("trust", "init", "p.json", "--key", office.desk.public("vendor"), "king").refused(
            64, "is not a list of roles"
        )


class TestNoRemember:
    def test_looking_does_not_change_the_next_verdict(self, office: Office) -> None:
        office.init()
        base = office.kit("base.tar")
        patched = office.desk.patched(base, name="patched.tar")
        before = office.state.read_bytes()
        office.valid(patched, "--no-remember")
        assert office.state.read_bytes() == before
        office.valid(base)  # in this order: the patched kit would have made it a rollback
        office.valid(patched)
        office.refused(base, 8, "was accepted before")

    def test_what_is_remembered_counts(self, office: Office) -> None:
        office.init()
        old = office.kit("old.tar")
        office.valid(office.kit("new.tar", generation=4))
        office.refused(old, 8, "generation 4 was accepted before", options=("--no-remember",))

    def test_a_policy_without_a_state_gets_none(self, office: Office) -> None:
        office.init()
        office.state.unlink()
        office.valid(office.desk.kit(), "--no-remember")
        assert not office.state.exists()
        assert not office.state.with_name(f".{office.state.name}.lock").exists()

    def test_it_needs_a_memory_and_no_override(self, office: Office) -> None:
        office.init()
        path = office.desk.kit()
        office.verify(path, "--no-remember", "--force", "--reason", "r").refused(64, "an override is recorded")
        kit("verify", path, *office.desk.trust("vendor"), "--no-remember").refused(64, "--no-remember needs --trust")


class TestAfterAnOverride:
    def test_the_hint_has_what_was_forced_when_and_why(self, office: Office) -> None:
        office.init()
        old, other = office.kit("old.tar"), office.kit("other.tar", generation=2)
        office.valid(office.kit("new.tar", generation=4))
        for at, why in (("2026-02-02T00:00:00Z", "first"), ("2026-02-03T00:00:00Z", "INC-9: broken")):
            office.valid(old, "--force", "--reason", why, at=at)
        hint = (
            "kit: hint: generation 3 was forced at 2026-02-03T00:00:00Z (INC-9: broken); until there is a newer one, "
        )
        office.refused(old, 8, f"{hint}each verdict of it is forced on record: --force --reason TEXT\n")
        assert "was forced" not in office.refused(other, 8).err

    def test_of_a_stale_kit_too(self, office: Office) -> None:
        office.init("--staleness-hours", 1)
        path = office.desk.kit()
        office.valid(path, "--force", "--reason", "no newer one")
        office.refused(path, 7, f"was forced at {LATER} (no newer one); ")

    def test_a_command_that_cannot_force_names_no_option(self, office: Office) -> None:
        office.init()
        old = office.kit("old.tar")
        office.valid(office.kit("new.tar", generation=4))
        office.valid(old, "--force", "--reason", "r")
        done = kit("plan", old, "--trust", office.policy, "--at", LATER, "--workers", 1)
        assert done.code == 8
        assert f"kit: hint: generation 3 was forced at {LATER} (r)\n" in done.err


READ_ONLY = ["unshare", "--map-root-user", "--mount", "sh", "-euc"]
MOUNT = 'mount --bind "$0" "$0"; mount -o remount,bind,ro "$0"; '
CAN_MOUNT = (
    shutil.which("unshare") is not None
    and subprocess.run([*READ_ONLY, MOUNT, tempfile.gettempdir()], capture_output=True, check=False).returncode == 0
)


@pytest.mark.skipif(not CAN_MOUNT, reason="needs a mount of one's own")
class TestReadOnlyMedium:
    def verify(self, office: Office, path: Path, *options: object) -> subprocess.CompletedProcess[str]:
        words = [*COMMAND, "verify", path, "--trust", office.policy, "--workers", 1, *options]
        command = [*READ_ONLY, f'{MOUNT} exec "$@"', office.desk.keys.parent, *words]
        return subprocess.run(list(map(str, command)), capture_output=True, text=True, env=ENVIRONMENT, check=False)

    def test_a_verdict_is_given_and_is_not_recorded(self, office: Office) -> None:
        office.init()
        path, before = office.desk.kit(), office.state.read_bytes()
        done = self.verify(office, path, "--at", LATER)
        assert (done.returncode, done.stdout.splitlines()[-1]) == (0, f"valid: {path}")
        assert "kit: warning: not recorded: " in done.stderr
        quiet = self.verify(office, path, "--at", LATER, "--no-remember")
        assert (quiet.returncode, quiet.stderr) == (0, "")
        assert office.state.read_bytes() == before

    def test_a_forced_verdict_without_its_record_is_none(self, office: Office) -> None:
        office.init("--staleness-hours", 1)
        done = self.verify(office, office.desk.kit(), "--at", LATER, "--force", "--reason", "r")
        assert (done.returncode, "valid: " in done.stdout) == (74, False)
        assert "an override counts only with its record" in done.stderr


class TestPatch:
    def patch(self, office: Office, path: Path, *options: object, by: str = "site") -> Outcome:
        signing = ("--signing-key", office.desk.keys / by, "--created-at", kits.AT, "--at", LATER, "--workers", 1)
        output = ("--output", office.desk.kits / f"out-{path.name}")
        return kit("patch", path, *output, "--trust", office.policy, *signing, *options)

    def test_the_base_and_the_result_are_judged_by_the_policy(self, office: Office) -> None:
        office.init()
        path = office.kit("kit.tar")
        assert self.patch(office, path).code == 0
        office.valid(office.desk.kits / "out-kit.tar", "--deep")
        self.patch(office, office.kit("other.tar"), by="vendor").refused(4, "the signing key")
        self.patch(office, office.kit("more.tar"), by="stranger").refused(4, "the policy does not name it")

    def test_a_base_that_was_rolled_back(self, office: Office) -> None:
        office.init()
        office.valid(office.kit("new.tar", generation=4))
        self.patch(office, office.kit("old.tar")).refused(8)

    def test_trust_is_said_in_one_way(self, office: Office) -> None:
        office.init()
        path = office.kit("kit.tar")
        self.patch(office, path, *office.desk.trust("vendor")).refused(64)
        self.patch(office, path, "--insecure-unverified-base").refused(64)


class TestReceipt:
    def receipt(self, office: Office, path: Path, *options: object, by: str = "site") -> tuple[Outcome, Path]:
        place = office.desk.keys / f"{path.name}.receipt.json"
        signing = ("--receipt", place, "--signing-key", office.desk.keys / by)
        return office.verify(path, *signing, *options), place

    def opened(self, place: Path, by: str = "site") -> dict[str, Any]:
        payload = dsse.verify(place.read_bytes(), {key(by).public.key_id: key(by).public}).payload
        statement: dict[str, Any] = json.loads(payload)
        schema("receipt").validate(statement)
        return statement

    def test_of_a_valid_kit(self, office: Office) -> None:
        office.init()
        path = office.kit("kit.tar", stalenessWindowHours=100_000)
        outcome, place = self.receipt(office, path, "--deep")
        assert outcome.code == 0, outcome
        statement = self.opened(place)
        predicate = statement["predicate"]
        assert {s["name"]: s["digest"]["sha256"] for s in statement["subject"]} == {
            "kit.tar": kits.sha256(path.read_bytes()),
            MANIFEST: kits.sha256(kits.read(path)[MANIFEST]),
        }
        assert predicate["verificationResult"] == "PASSED"
        assert predicate["timeVerified"] == LATER
        assert predicate["policy"]["digest"]["sha256"] == kits.sha256(office.policy.read_bytes())
        assert {"OFFLINE_KIT_FRESH", "OFFLINE_KIT_DOCUMENTS"} <= set(predicate["verifiedLevels"])
        again, _ = self.receipt(office, path, "--deep")
        assert (again.code, self.opened(place)["subject"]) == (0, statement["subject"])  # the earlier one is replaced

    def test_of_deep_and_gate_names_what_was_proven_and_no_more(self, office: Office) -> None:
        office.init()
        members = kits.content(kits.observation(1), kits.observation(2, "globex"))
        path = office.desk.patched(office.desk.kit(members))
        office.valid(path)  # from here on there is a memory to compare with
        levels = {}
        for number, options in enumerate(
            (
                (),
                ("--deep",),
                ("--require-raw-linkset",),
                ("--require-raw-linkset", "--tenant", "acme"),
                ("--field-map", "concelier"),
            )
        ):
            place = office.desk.keys / f"{number}.receipt.json"
            outcome = office.verify(path, "--receipt", place, "--signing-key", office.desk.keys / "site", *options)
            predicate = self.opened(place)["predicate"]
            assert (outcome.code == 0) == (predicate["verificationResult"] == "PASSED")
            # SLSA VSA v1: FAILED or at least one level, and no custom one that begins like its own.
            assert predicate["verifiedLevels"]
            assert not [level for level in predicate["verifiedLevels"] if level.startswith("SLSA_")]
            assert len(predicate["urn:offline-kit:obligations:v1"]) == 8 + ("--field-map" in options)
            assert predicate.get("urn:offline-kit:tenants:v1") == (["acme"] if "--tenant" in options else None)
            levels[options[-1:]] = set(predicate["verifiedLevels"])
        plain = levels[()]
        assert levels["--deep",] - plain == {"OFFLINE_KIT_DOCUMENTS", "OFFLINE_KIT_APPEND_ONLY"}
        assert levels["--require-raw-linkset",] - plain == {"OFFLINE_KIT_RAW_LINKSET"}
        assert levels["acme",] - plain == {"OFFLINE_KIT_RAW_LINKSET_OF_TENANTS"}
        assert levels["concelier",] == {"FAILED"}  # nothing in this kit is encrypted

    def test_of_a_refused_and_of_a_forced_kit(self, office: Office) -> None:
        office.init()
        office.valid(office.kit("new.tar", generation=4))
        outcome, place = self.receipt(office, office.kit("old.tar"))
        assert outcome.code == 8
        assert self.opened(place)["predicate"]["verifiedLevels"] == ["FAILED"]
        outcome, place = self.receipt(office, office.kit("forced.tar"), "--force", "--reason", "r")
        assert outcome.code == 0
        assert "OFFLINE_KIT_FRESH" not in self.opened(place)["predicate"]["verifiedLevels"]

    def test_by_who_is_no_auditor(self, office: Office) -> None:
        office.init()
        for by in ("vendor", "stranger"):
            outcome, place = self.receipt(office, office.kit(f"{by}.tar"), by=by)
            assert outcome.code == 4, outcome
            assert not place.exists()

    def test_of_a_kit_that_cannot_be_read(self, office: Office) -> None:
        office.init()
        path = office.desk.kits / "cut.tar"
        path.write_bytes(office.kit("kit.tar").read_bytes()[:700])
        outcome, place = self.receipt(office, path)
        assert outcome.code == 11, outcome
        assert not place.exists()

    def test_under_bare_keys(self, office: Office) -> None:
        path, place = office.desk.kit(), office.desk.keys / "r.json"
        words = ("--receipt", place, "--signing-key", office.desk.keys / "stranger", "--at", LATER)
        assert office.desk.verify(path, options=words).code == 0
        assert self.opened(place, "stranger")["predicate"]["verificationResult"] == "PASSED"


@settings(max_examples=examples(150), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_single_byte_of_what_is_signed_changed_is_never_valid(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    office, members = _patched(tmp_path_factory)
    name = data.draw(st.sampled_from([name for name in members if name.startswith("manifest/")]))
    body = members[name]
    at = data.draw(st.integers(0, len(body) - 1))
    byte = data.draw(st.integers(1, 255))
    changed = bytes([*body[:at], body[at] ^ byte, *body[at + 1 :]])
    path = office.desk.write({**members, name: changed}, "changed.tar")
    outcome = office.verify(path)
    assert outcome.code != 0, (name, at, byte)
    assert "valid: " not in outcome.out


_OFFICES: dict[str, tuple[Office, kits.Members]] = {}


def _patched(factory: pytest.TempPathFactory) -> tuple[Office, kits.Members]:
    if not _OFFICES:
        office = Office(Desk(factory.mktemp("office")))
        office.init()
        _OFFICES["one"] = office, kits.read(office.desk.patched(name="whole.tar"))
    return _OFFICES["one"]

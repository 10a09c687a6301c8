"""Ordinary rotation: a key takes another's place, and nobody who did nothing wrong is refused; and who did, is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from conformance.build.kits import to_json
from kit.signing import dsse, jws
from tests import kits
from tests.commands import kit
from tests.end_to_end.desk import Desk, key
from tests.end_to_end.test_trust import Office
from tests.kits import MANIFEST, SIGNATURE, Members

ROTATED = "2026-01-15T00:00:00Z"
STATEMENT = "manifest/history/3/patch.intoto.json"


@pytest.fixture
def office(desk: Desk) -> Office:
    for name in ("vendor-2", "site-2"):
        desk.add_key(name)
    return Office(desk)


def rotate(office: Office, old: str, new: str, role: str, reason: str = "superseded") -> None:
    """Do what the runbook says: the new key comes in, the old one is revoked from a day on."""
    office.add(new, "--role", role)
    office.add(old, "--role", role, "--revoke", reason, "--at", ROTATED)


def signed_by(members: Members, *names: str) -> Members:
    """Sign the very manifest again, as who made it does."""
    return members | {SIGNATURE: jws.sign(members[MANIFEST], [key(name) for name in names])}


def patched(office: Office, base: Path, name: str, by: str, *options: object, at: str, code: int = 0) -> Path:
    output = office.desk.kits / name
    signing = ("--signing-key", office.desk.keys / by, "--created-at", at, "--at", at, "--workers", 1)
    outcome = kit("patch", base, "--output", output, "--trust", office.policy, *signing, *options)
    assert outcome.code == code, outcome
    return output


class TestPublisher:
    """The vendor's key is superseded."""

    def test_a_site_that_accepted_the_kit_still_does_and_another_asks_for_the_new_key(self, office: Office) -> None:
        office.init()
        path = office.kit("kit.tar")
        office.valid(path)
        rotate(office, "vendor", "vendor-2", "publisher")
        assert "accepted before" in office.valid(path).out
        office.state.write_text(json.dumps(json.loads(office.state.read_text()) | {"bundles": {}}))
        office.refused(path, 4, "only its own date", "hint: ask for the same manifest signed by a key in force")

    def test_the_vendor_signs_the_very_manifest_with_both_keys(self, office: Office) -> None:
        office.init()
        members = kits.signed(kits.content(), key("vendor"))
        rotate(office, "vendor", "vendor-2", "publisher")
        office.refused(office.desk.write(members, "old.tar"), 4)
        both = office.desk.write(signed_by(members, "vendor", "vendor-2"), "both.tar")
        office.valid(both)
        # The very manifest: what was made of it before is of the same generation.
        office.valid(office.desk.write(signed_by(members, "vendor-2"), "new.tar"))

    def test_what_a_site_patched_before_is_vouched_for_by_the_site(self, office: Office) -> None:
        office.init()
        base = office.kit("kit.tar")
        once = patched(office, base, "once.tar", "site", at=kits.AT)
        rotate(office, "vendor", "vendor-2", "publisher")
        office.valid(once, "--deep")

    def test_a_site_does_not_build_on_what_only_the_old_key_says_is_old(self, office: Office) -> None:
        office.init()
        rotate(office, "vendor", "vendor-2", "publisher")
        patched(office, office.kit("kit.tar"), "once.tar", "site", at="2026-01-20T00:00:00Z", code=4)

    def test_the_next_release_is_the_new_keys(self, office: Office) -> None:
        office.init()
        office.valid(office.kit("kit.tar"))
        rotate(office, "vendor", "vendor-2", "publisher")
        members = kits.content()
        manifest = kits.manifest_of(members, generation=4, createdAt="2026-01-20T00:00:00Z")
        office.valid(office.desk.write(kits.signed(members, key("vendor-2"), manifest), "next.tar"))

    def test_of_a_threshold_of_two_one_key_is_rotated(self, office: Office) -> None:
        office.init("--threshold", "publisher", 2, vendor="publisher", stranger="publisher")
        members = kits.signed(kits.content(), None)
        rotate(office, "vendor", "vendor-2", "publisher")
        # The one in force does not make a second one of the one that is not.
        office.refused(office.desk.write(signed_by(members, "vendor", "stranger"), "two.tar"), 4, "was revoked")
        office.valid(office.desk.write(signed_by(members, "vendor", "vendor-2", "stranger"), "three.tar"))


class TestPatcher:
    """The site's key is superseded."""

    def test_old_steps_below_the_new_keys(self, office: Office) -> None:
        office.init()
        once = patched(office, office.kit("kit.tar"), "once.tar", "site", "--limit", 1, at=kits.AT)
        office.valid(once)
        rotate(office, "site", "site-2", "patcher")
        twice = patched(office, once, "twice.tar", "site-2", at="2026-01-20T00:00:00Z")
        office.valid(twice, "--deep")
        office.valid(twice)

    def test_the_current_step_by_the_old_key_counts_where_it_was_accepted_and_nowhere_else(
        self, office: Office
    ) -> None:
        office.init()
        once = patched(office, office.kit("kit.tar.zst"), "once.tar.zst", "site", at=kits.AT)
        assert Path(f"{once}.sig").exists()
        office.valid(once)
        rotate(office, "site", "site-2", "patcher")
        office.valid(once, "--deep")
        office.state.write_text(json.dumps(json.loads(office.state.read_text()) | {"bundles": {}}))
        office.refused(once, 4, "generation 4")

    def test_two_steps_by_the_old_key_of_which_the_last_was_accepted(self, office: Office) -> None:
        office.init()
        once = patched(office, office.kit("kit.tar"), "once.tar", "site", "--limit", 1, at=kits.AT)
        twice = patched(office, once, "twice.tar", "site", at="2026-01-03T00:00:00Z")
        office.valid(twice)
        rotate(office, "site", "site-2", "patcher")
        office.valid(twice)

    def test_a_patch_by_the_old_key_is_refused_before_the_work_whatever_date_it_is_to_have(
        self, office: Office
    ) -> None:
        office.init()
        base = office.kit("kit.tar")
        rotate(office, "site", "site-2", "patcher")
        for at in (kits.AT, "2026-01-20T00:00:00Z"):
            words = ("--signing-key", office.desk.keys / "site", "--created-at", at, "--at", "2026-02-01T00:00:00Z")
            outcome = kit("patch", base, "-o", office.desk.kits / "o.tar", "--trust", office.policy, *words)
            outcome.refused(4, "the signing key", "was revoked")

    def test_both_keys_sign_manifest_and_statement_anew(self, office: Office) -> None:
        office.init()
        once = kits.read(patched(office, office.kit("kit.tar"), "once.tar", "site", at=kits.AT))
        rotate(office, "site", "site-2", "patcher")
        manifest = signed_by(once, "site", "site-2")
        office.refused(office.desk.write(manifest, "manifest.tar"), 4, STATEMENT)
        statement = dsse.countersign(once[STATEMENT], key("site-2"))
        office.valid(office.desk.write(manifest | {STATEMENT: statement}, "both.tar"))


class TestCompromise:
    """The same with a key that somebody else may have."""

    def test_what_was_accepted_before_is_exactly_that_and_nothing_that_covers_it(self, office: Office) -> None:
        office.init()
        base = office.kit("kit.tar")
        once = patched(office, base, "once.tar", "site", at=kits.AT)
        office.valid(base)
        rotate(office, "vendor", "vendor-2", "publisher", "compromised")
        office.valid(base)
        # The state knows the very manifest below; and goes on to know it when the kit above is what it knows.
        office.valid(once)
        office.valid(once)
        state = json.loads(office.state.read_text())
        assert state["bundles"]["small"]["earlier"] == [kits.sha256(kits.read(base)[MANIFEST])]

    def test_a_later_generation_that_covers_it_does_not_suffice(self, office: Office) -> None:
        office.init()
        once = patched(office, office.kit("kit.tar"), "once.tar", "site", at=kits.AT)
        office.valid(once)
        rotate(office, "vendor", "vendor-2", "publisher", "compromised")
        office.refused(once, 4, "manifest/history/3", "none of its signatures counts")

    def test_a_thief_of_the_key_makes_another_kit_of_the_same_generation(self, office: Office) -> None:
        office.init()
        office.valid(office.kit("kit.tar"))
        rotate(office, "vendor", "vendor-2", "publisher", "compromised")
        office.refused(office.kit("other.tar", version="2025.11"), 4, "none of its signatures counts")

    def test_a_forced_kit_is_not_an_accepted_one(self, office: Office) -> None:
        office.init()
        office.valid(office.kit("new.tar", generation=4))
        old = office.kit("old.tar")
        office.valid(old, "--force", "--reason", "the new one is broken")
        rotate(office, "vendor", "vendor-2", "publisher", "compromised")
        office.refused(old, 4, "none of its signatures counts")
        office.refused(old, 4, "none of its signatures counts", options=("--force", "--reason", "again"))

    def test_a_key_in_force_of_another_role_or_beside_a_stolen_one_is_no_second(self, office: Office) -> None:
        office.init("--threshold", "publisher", 2, vendor="publisher", stranger="publisher", site="patcher")
        members = kits.signed(kits.content(), None)
        rotate(office, "vendor", "vendor-2", "publisher", "compromised")
        office.refused(
            office.desk.write(signed_by(members, "vendor", "stranger"), "two.tar"), 4, "none of its signatures counts"
        )
        office.refused(office.desk.write(signed_by(members, "vendor", "site"), "role.tar"), 4)
        office.valid(office.desk.write(signed_by(members, "vendor", "vendor-2", "stranger"), "three.tar"))


def test_a_state_that_names_earlier_manifests_is_read_as_it_is_printed(office: Office) -> None:
    office.init()
    office.valid(office.kit("kit.tar"))
    state = json.loads(office.state.read_text())
    for earlier in ([], ["0" * 64, "0" * 64], ["1" * 64, "0" * 64], ["x"], "0"):
        state["bundles"]["small"]["earlier"] = earlier
        office.state.write_bytes(to_json(state))
        office.refused(office.kit("other.tar"), 11)

"""A kit from the vendor, backfilled by site A, encrypted by site B: who vouches for what, and who must be believed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kit.signing import dsse
from tests import kits
from tests.commands import Outcome, kit
from tests.end_to_end.desk import key
from tests.end_to_end.test_trust import LATER, schema
from tests.end_to_end.vault import PASSPHRASE, Vault, descriptor
from tests.kits import OBSERVATIONS, observation

EVERYBODY = ("vendor", "site", "site-b")


class Story:
    """The three generations, and a policy that knows all three signers."""

    def __init__(self, folder: Path) -> None:
        self.vault = Vault(folder)
        self.vault.add_key("site-b")
        members = kits.content(*(observation(n, "acme" if n % 2 else "globex") for n in range(1, 6)))
        self.published = self.vault.kit(members, name="published.tar.zst")
        self.backfilled = self.vault.patched(self.published, name="backfilled.tar.zst")
        self.sealed = self.vault.kits / "sealed.tar.zst"
        words = ("--transform", "encrypt-fields", "--field-map", "concelier", "--keyring", self.vault.keyring)
        with descriptor(PASSPHRASE) as number:
            outcome = self.vault.patch(
                self.backfilled,
                *("--output", self.sealed, "--rollback-note", "backfilled.tar.zst is kept"),
                *(*words, "--keyring-passphrase-fd", number),
                by="site-b",
                trusting=("vendor", "site"),
            )
        assert outcome.code == 0, outcome
        self.policy = self.vault.keys / "policy.json"
        roles = {"vendor": "publisher", "site": "patcher", "site-b": "patcher", "stranger": "auditor"}
        named = [word for name, role in roles.items() for word in ("--key", self.vault.public(name), role)]
        assert kit("trust", "init", self.policy, *named).code == 0

    def judged(self, path: Path, *options: object) -> Outcome:
        return kit("verify", path, "--trust", self.policy, "--at", LATER, "--workers", 1, *options)


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    return Story(tmp_path_factory.mktemp("story"))


def test_the_chain_says_who_did_what_and_on_what_each_step_rests(story: Story) -> None:
    outcome = story.vault.verify(story.sealed, *EVERYBODY, options=("--deep",))
    assert outcome.code == 0, outcome
    vendor, site, other = (key(name).public.key_id for name in EVERYBODY)
    word = "rests on the signed statement: 1 member changed and no other, by the digests of both manifests; "
    word += "what changed inside is its signer's claim"
    told = [
        f"  generation 3, published at 2025-10-20T00:00:00Z: signed by {vendor}",
        "      rests on its signature, over the digest of every file",
        f"  generation 4, patch (raw-linkset) at 2026-01-02T03:04:05Z: signed by {site}; its step by {site}",
        f"      {word}",
        f"  generation 5, patch (encrypt-fields) at 2026-01-02T03:04:05Z: signed by {other}; its step by {other}",
        f"      {word}; --field-map and --keyring prove what was sealed",
    ]
    assert "\n".join(told) in outcome.out
    assert "that the last step only appended is not proven: it does more than append" in outcome.out


def test_each_generation_is_proven_by_its_documents_while_they_are_at_hand(story: Story) -> None:
    shallow = story.vault.verify(story.backfilled)
    assert "its signer's claim; --deep looks at the documents" in shallow.out
    outcome = story.vault.verify(story.backfilled, options=("--deep", "--json"))
    schema("verify-report").validate(outcome.json)
    assert [link["ground"] for link in outcome.json["lineage"]] == ["signature", "documents"]
    told = story.vault.verify(story.backfilled, options=("--deep",)).out
    assert "rests on the documents: without what the step appended to 1 member, they are the previous ones" in told
    assert story.vault.verify(story.published, "vendor", options=("--deep",)).code == 0


def test_the_keyring_proves_what_the_last_step_sealed(story: Story) -> None:
    with descriptor(PASSPHRASE) as number:
        opening = ("--field-map", "concelier", "--keyring", story.vault.keyring, "--keyring-passphrase-fd", number)
        outcome = story.vault.verify(story.sealed, *EVERYBODY, options=("--deep", "--json", *opening))
    assert outcome.code == 0, outcome
    assert [one["digest"] for member in outcome.json["fields"] for one in member["fields"]] == ["matches"]
    place = story.vault.keys / "sealed.receipt"
    signing = ("--receipt", place, "--signing-key", story.vault.keys / "stranger")
    outcome = story.judged(story.sealed, "--deep", "--field-map", "concelier", *signing)
    assert outcome.code == 0, outcome
    auditor = key("stranger").public
    statement = json.loads(dsse.verify(place.read_bytes(), {auditor.key_id: auditor}).payload)
    schema("receipt").validate(statement)
    levels = set(statement["predicate"]["verifiedLevels"])
    assert {"OFFLINE_KIT_DOCUMENTS", "OFFLINE_KIT_FIELDS_ENCRYPTED"} <= levels
    assert "OFFLINE_KIT_APPEND_ONLY" not in levels


@pytest.mark.parametrize(
    ("trusted", "told"),
    [
        (("vendor",), "which is not among the 1 trusted keys"),
        (("site",), "which is not among the 1 trusted keys"),
        (("site-b",), "manifest/history/3"),
        (("vendor", "site"), "which is not among the 2 trusted keys"),
        (("vendor", "site-b"), "manifest/history/3/patch.intoto.json"),
        (("site", "site-b"), "manifest/history/3/offline-manifest.json.jws"),
        (("stranger",), "which is not among the 1 trusted keys"),
    ],
)
def test_whoever_is_not_believed_is_missed(story: Story, trusted: tuple[str, ...], told: str) -> None:
    outcome = story.vault.verify(story.sealed, *trusted, options=("--deep",))
    assert outcome.code == 4
    assert "\nvalid: " not in outcome.out
    assert told in outcome.err


def test_a_generation_that_nobody_believed_signed_rests_on_nothing(story: Story) -> None:
    outcome = story.vault.verify(story.sealed, "vendor", "site-b", options=("--json",))
    grounds = {link["generation"]: link["ground"] for link in outcome.json["lineage"]}
    assert (outcome.code, grounds[4]) == (4, None)


def test_each_signer_whose_key_is_revoked(story: Story, tmp_path: Path) -> None:
    assert story.judged(story.sealed, "--deep").code == 0
    for name, role in (("vendor", "publisher"), ("site", "patcher"), ("site-b", "patcher")):
        policy = tmp_path / f"{name}.json"
        for end in ("", ".state"):
            Path(f"{policy}{end}").write_bytes(Path(f"{story.policy}{end}").read_bytes())
        words = ("trust", "add", policy, story.vault.public(name), "--role", role, "--revoke", "compromised")
        assert kit(*words).code == 0
        verdict = ("verify", story.sealed, "--trust", policy, "--at", LATER, "--workers", 1, "--deep")
        if name == "site-b":  # it signed the current generation, and exactly that was accepted
            assert kit(*verdict).code == 0
            state = Path(f"{policy}.state")
            state.write_text(json.dumps(json.loads(state.read_text()) | {"bundles": {}}))
        outcome = kit(*verdict)
        assert outcome.code == 4, outcome
        assert "was revoked" in outcome.err
        assert "\nvalid: " not in outcome.out


def test_documents_that_a_site_changed_besides_are_found_as_long_as_they_are_there(story: Story) -> None:
    members = kits.read(story.backfilled)
    assert b"GO-2025-0001" in members[OBSERVATIONS]
    members[OBSERVATIONS] = members[OBSERVATIONS].replace(b"GO-2025-0001", b"GO-2025-9999")
    path = kits.write_kit(story.vault.kits / "altered.tar", members)
    outcome = story.vault.verify(path, options=("--deep", "--json"))
    assert (outcome.code, [link["ground"] for link in outcome.json["lineage"]]) == (2, ["signature", None])

"""Encrypt a fixture kit, approve with two keys, recover: the documents are back, byte for byte; or a refusal."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import bson
import pyrage
import pytest
from jsonschema import Draft202012Validator

from fixtures.build.keys import publisher_key
from fixtures.build.make_fixtures import FIXTURES
from kit.encryption import PassphraseRecord, create, new_keyring
from kit.signing import Algorithm, generate, write_private, write_public
from kit.values import Timestamp
from tests import kits
from tests.commands import ENVIRONMENT, ROOT, Outcome, kit
from tests.encryption.site import COST, PASSPHRASE, Stream

FROM, UNTIL, AT = "2026-01-01T00:00:00Z", "2199-12-31T00:00:00Z", "2026-01-02T03:04:05Z"
OVER, TO_COME = "2026-01-09T00:00:00Z", "2199-01-01T00:00:00Z"
WHILE_FRESH = "2099-04-04T00:00:00Z"
NAME = "concelier.advisory_observations"


def documents(path: Path) -> bytes:
    """Give every observation of a kit, in the order of its members."""
    bodies = kits.read(path).items()
    return b"".join(kits.plain(body, name) for name, body in bodies if "/advisory_observations.bson" in name)


class Office:
    """An encrypted fixture kit, a keyring, approvers and their papers."""

    def __init__(self, folder: Path, name: str = "parts.tar") -> None:
        self.since, self.until = FROM, UNTIL
        self.folder, self.base, self.log = folder, FIXTURES / "kits" / name, folder / "audit.log"
        self.passphrase = folder / "passphrase"
        self.passphrase.write_bytes(PASSPHRASE + b"\n")
        self.keyring, self.kit = folder / "site.keyring", folder / f"sealed-{name}"
        record = PassphraseRecord.make(PASSPHRASE, random=Stream("office"), cost=COST)
        create(self.keyring, new_keyring(record, now=Timestamp.parse(AT)))
        for person in ("ada", "bob", "eve"):
            key = generate(Algorithm.ES256)
            write_private(folder / person, key)
            write_public(folder / f"{person}.pub", key.public)
        self.site = folder / "site.pem"
        self.site.write_bytes((FIXTURES / "keys" / "site-TEST-ONLY.pem").read_bytes())
        self.site.chmod(0o600)

    @property
    def trust(self) -> list[object]:
        names = ("publisher", "site")
        return [word for n in names for word in ("--trusted-key", FIXTURES / "keys" / f"{n}-TEST-ONLY.pub.pem")]

    def encrypt(self, profile: str = "bound", *options: object) -> Office:
        time = (f"--{what}=2099-04-03T00:00:00Z" for what in ("created-at", "at"))
        words = ("--transform", "encrypt-fields", "--rollback-note", "none", *time)
        with self.passphrase.open() as file:
            done = kit(
                *("patch", self.base, "-o", self.kit, *self.trust, "--signing-key", self.site, *words),
                *("--field-map", "concelier", "--keyring", self.keyring, "--profile", profile, "--workers", 1),
                *("--keyring-passphrase-fd", file.fileno(), *options),
            )
        assert done.code == 0, done
        return self

    def approve(self, *scope: object, by: tuple[str, ...] = ("ada", "bob"), path: Path | None = None) -> Path:
        words = ("--incident", "INC-7", "--reason", "court order", "--not-before", self.since, "--expires", self.until)
        scope = scope or ("--collection", NAME, "--whole-collections")
        number = len(list(self.folder.glob("*.approval")))
        output = self.folder / f"{number}.approval"
        made = kit(
            *("approval", "create", path or self.kit, *words, *scope, "--signing-key", self.folder / by[0]),
            *("-o", output),
        )
        assert made.code == 0, made
        for step, person in enumerate(by[1:]):
            before, output = output, self.folder / f"{number}.{step}.approval"
            signed = kit("approval", "sign", before, "--signing-key", self.folder / person, "-o", output)
            assert signed.code == 0, signed
        return output

    def words(self, approval: Path, *options: object, approvers: tuple[str, ...] = ("ada", "bob")) -> list[object]:
        keys = [word for name in approvers for word in ("--approver-key", self.folder / f"{name}.pub")]
        options = (*options, "--at", AT) if "--at" not in options else options
        what = ("--field-map", "concelier", "--keyring", self.keyring, "--audit-log", self.log)
        output = () if "--output" in options else ("--output", self.folder / "out.bson")
        return [
            "recover",
            self.kit,
            "--approval",
            approval,
            *keys,
            *self.trust,
            *what,
            *output,
            "--workers",
            1,
            *options,
        ]

    def recover(self, approval: Path, *options: object, **more: Any) -> Outcome:
        with self.passphrase.open() as file:
            return kit(*self.words(approval, *options, **more), "--keyring-passphrase-fd", file.fileno())

    def original(self) -> bytes:
        return documents(self.base)

    def sealed(self) -> bytes:
        return documents(self.kit)

    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()] if self.log.exists() else []

    def refused(self, approval: Path, code: int, words: str, *options: object, records: int = 0, **more: Any) -> None:
        """Check that nothing but records is written."""
        before = kits.folder_state(self.folder)
        self.recover(approval, *options, **more).refused(code, words)
        after = kits.folder_state(self.folder)
        assert {name for name in after if after[name] != before.get(name)} <= ({self.log.name} if records else set())
        assert len(self.records()) == records
        if self.log.exists():
            assert kit("audit", "verify", self.log).code == 0


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path).encrypt()


def schema(name: str) -> Draft202012Validator:
    return Draft202012Validator(json.loads((ROOT / "schemas" / f"{name}.schema.json").read_text()))


@pytest.mark.parametrize("name", ["parts.tar", "foreign.tar.gz"])
def test_what_was_encrypted_comes_back_byte_for_byte(name: str, tmp_path: Path) -> None:
    office = Office(tmp_path, name).encrypt()
    assert office.sealed() != office.original()
    done = office.recover(office.approve(), "--json")
    assert done.code == 0, done
    output = tmp_path / "out.bson"
    assert output.read_bytes() == office.original()
    assert stat.S_IMODE(output.stat().st_mode) == 0o600
    schema("recovery").validate(done.json)
    begun, completed = office.records()
    schema("audit-log").validate(begun)
    schema("audit-log").validate(completed)
    assert begun["incidentId"] == "INC-7"
    assert completed["documents"] == done.json["documents"]["recovered"] == len(kits.documents_of(office.original()))
    verified = kit("audit", "verify", office.log, "--anchor", done.json["auditLog"]["head"], "--json")
    assert (verified.json["records"], verified.json["head"]) == (2, done.json["auditLog"]["head"])


@pytest.mark.parametrize("workers", [1, 2])
def test_a_scope_of_one_tenant_gives_its_documents_and_no_other(workers: int, office: Office) -> None:
    approval = office.approve("--collection", NAME, "--partition", "dock-south", "--owner", "dock-south")
    done = office.recover(approval, "--workers", workers)
    assert done.code == 0, done
    wanted = [one for one in kits.documents_of(office.original()) if bson.decode(one)["tenant"] == "dock-south"]
    assert (office.folder / "out.bson").read_bytes() == b"".join(wanted)
    assert "in the clear" in done.out


def test_a_scope_of_documents_counts_those_that_are_not_there(office: Office) -> None:
    first = kits.documents_of(office.original())[0]
    name = bson.decode(first)["_id"]
    approval = office.approve("--collection", NAME, "--document", name, "--document", '{"$numberInt": "7"}')
    done = office.recover(approval)
    assert done.code == 0, done
    assert (office.folder / "out.bson").read_bytes() == first
    assert "1 documents that the approval names are not in the kit" in done.out


def test_sealed_to_two_recipients_no_plaintext_touches_the_disk(office: Office) -> None:
    people = [pyrage.x25519.Identity.generate() for _ in range(2)]
    options = [word for one in people for word in ("--sealed-to", str(one.to_public()))]
    done = office.recover(office.approve(), *options, "--output", office.folder / "out.age")
    assert done.code == 0, done
    sealed = (office.folder / "out.age").read_bytes()
    assert sealed.startswith(b"age-encryption.org/v1\n")
    for one in people:
        assert pyrage.decrypt(sealed, [one]) == office.original()


def test_nothing_secret_is_in_the_log_or_the_report(office: Office) -> None:
    done = office.recover(office.approve(), "--json")
    told = office.log.read_text() + done.out
    raw = next(
        one["content"]["raw"]
        for one in map(bson.decode, kits.documents_of(office.original()))
        if "raw" in one["content"]
    )
    assert PASSPHRASE.decode() not in told
    assert str(raw.get("summary", raw)) not in told


class TestRefusedBeforeAnythingIsRecorded:
    @pytest.mark.parametrize("at", [(), ("--at", AT)], ids=["", "whatever time the one who recovers says it is"])
    def test_7_expired(self, at: tuple[str, ...], office: Office) -> None:
        office.until = OVER
        office.refused(office.approve(), 7, f"expired at {OVER}", *at)

    def test_7_not_valid_yet(self, office: Office) -> None:
        office.since = TO_COME
        office.refused(office.approve(), 7, f"not valid before {TO_COME}", "--at", TO_COME)

    @pytest.mark.parametrize("words", [("--force",), ("--reason", "court")])
    def test_64_insisting_without_a_reason(self, words: tuple[str, ...], office: Office) -> None:
        office.refused(office.approve(), 64, "--force needs --reason", *words)

    def test_4_one_signature(self, office: Office) -> None:
        office.refused(office.approve(by=("ada",)), 4, "signed by 1 of the 2 incident keys needed")

    def test_4_a_second_signature_by_whom_nobody_trusts(self, office: Office) -> None:
        office.refused(office.approve(by=("ada", "eve")), 4, "signed by 1 of the 2 incident keys needed")

    def test_4_no_signature_that_is_trusted(self, office: Office) -> None:
        office.refused(office.approve(by=("eve",)), 4, "not among the 2 trusted keys")

    def test_4_no_signature(self, office: Office) -> None:
        approval = office.approve()
        document = json.loads(approval.read_text()) | {"signatures": []}
        approval.write_text(json.dumps(document))
        office.refused(approval, 4, "2 approvers must have signed")

    def test_4_one_approver_is_not_enough(self, office: Office) -> None:
        office.refused(office.approve(), 4, "1 approver keys are trusted", approvers=("ada",))

    def test_64_the_same_approver_twice(self, office: Office) -> None:
        office.refused(office.approve(), 64, "an approver's key is given twice", approvers=("ada", "ada"))

    def test_5_a_changed_payload(self, office: Office) -> None:
        approval = office.approve()
        document = json.loads(approval.read_text())
        document["payload"] = json.loads(office.approve("--collection", NAME, "--owner", "x").read_text())["payload"]
        approval.write_text(json.dumps(document))
        office.refused(approval, 5, str(approval))

    def test_1_no_approval(self, office: Office) -> None:
        office.refused(office.folder / "nothing", 1, "there is no such file")

    def test_4_another_kit(self, office: Office) -> None:
        approval = office.approve(path=office.base)
        office.refused(approval, 4, "the approval is for the kit with manifest")

    def test_4_a_collection_that_the_kit_does_not_have(self, office: Office) -> None:
        approval = office.approve("--collection", "concelier.notes", "--whole-collections")
        office.refused(approval, 4, "concelier.notes, which this kit does not have")

    def test_4_a_collection_that_the_approval_does_not_name(self, office: Office) -> None:
        office.refused(office.approve(), 4, "not for concelier.dto", "--collection", "concelier.dto")

    def test_64_several_collections_and_none_chosen(self, tmp_path: Path) -> None:
        office = Office(tmp_path)
        two = {"dump/concelier/dto.bson": b"", "dump/concelier/advisory_observations.bson": office.original()}
        office.base = kits.write_kit(tmp_path / "two.tar", kits.signed(two, publisher_key()))
        office.encrypt()
        both = ("--collection", NAME, "--collection", "concelier.dto", "--whole-collections")
        approval = office.approve(*both)
        office.refused(approval, 64, "several collections")
        office.refused(approval, 64, "the field map does not name concelier.dto", "--collection", "concelier.dto")
        assert office.recover(approval, "--collection", NAME).code == 0

    def test_64_what_is_no_collection(self, office: Office) -> None:
        office.refused(office.approve(), 64, "is not DB.COLLECTION", "--collection", "dto")

    def test_74_an_output_that_is_there(self, office: Office) -> None:
        (office.folder / "out.bson").write_text("precious")
        office.refused(office.approve(), 74, "already there; nothing is overwritten")

    def test_13_what_is_no_recipient(self, office: Office) -> None:
        office.refused(office.approve(), 13, "is not an age X25519 recipient", "--sealed-to", "age1nobody")

    def test_2_a_spoilt_kit(self, office: Office) -> None:
        approval = office.approve()
        members = kits.read(office.kit)
        office.kit.unlink()
        kits.write_kit(office.kit, members | {"README.txt": b"another\n"})
        Path(f"{office.kit}.sha256").unlink()
        Path(f"{office.kit}.sig").unlink(missing_ok=True)
        office.refused(approval, 2, "README.txt")

    def test_4_no_key_for_the_kit(self, office: Office) -> None:
        approval = office.approve()
        words = [word for word in office.words(approval) if word not in office.trust]
        kit(*words).refused(4, "no key is trusted")
        assert office.records() == []

    def test_64_no_keyring(self, office: Office) -> None:
        words = office.words(office.approve())
        at = words.index("--keyring")
        kit(*words[:at], *words[at + 2 :]).refused(64, "--field-map and --keyring")

    def test_2_a_log_that_does_not_verify(self, office: Office) -> None:
        office.log.write_bytes(b"{}\n")
        before = kits.folder_state(office.folder)
        office.recover(office.approve()).refused(2, "audit.log: line 1: is not a record")
        assert kits.folder_state(office.folder).items() >= before.items()


def test_an_expired_approval_is_acted_on_if_that_is_insisted_on_and_recorded(office: Office) -> None:
    office.until = OVER
    done = office.recover(office.approve(), "--force", "--reason", "the court sits tonight", "--json")
    assert done.code == 0, done
    schema("recovery").validate(done.json)
    begun = office.records()[0]
    schema("audit-log").validate(begun)
    assert begun["approvalOverride"]["reason"] == "the court sits tonight"
    assert f"expired at {OVER}" in begun["approvalOverride"]["refusal"]


class TestRefusedAfterTheFirstRecord:
    def test_13_a_keyring_that_is_not_there(self, office: Office) -> None:
        approval = office.approve()
        office.keyring.rename(office.folder / "elsewhere")
        office.refused(approval, 13, "cannot read the keyring", records=2)
        begun, failed = office.records()
        assert (failed["record"], failed["error"]) == ("recovery-failed", "KeyUnusableError")
        schema("audit-log").validate(failed)
        assert begun["record"] == "recovery-begun"

    def test_13_a_wrong_passphrase(self, office: Office) -> None:
        office.passphrase.write_text("wrong\n")
        office.refused(office.approve(), 13, "passphrase", records=2)

    def test_4_nothing_in_scope(self, office: Office) -> None:
        approval = office.approve("--collection", NAME, "--owner", "nobody")
        office.refused(approval, 4, "no document of", records=2)

    def test_5_the_wrong_profile(self, office: Office) -> None:
        office.refused(
            office.approve(), 5, "a bound envelope, but the profile is compat", "--profile", "compat", records=2
        )

    def test_5_the_wrong_profile_under_a_seal(self, office: Office) -> None:
        options = ("--profile", "compat", "--sealed-to", str(pyrage.x25519.Identity.generate().to_public()))
        office.refused(office.approve(), 5, "a bound envelope", *options, records=2)

    def test_74_a_folder_that_is_not_there(self, office: Office) -> None:
        office.refused(office.approve(), 74, "No such file", "--output", office.folder / "absent" / "out", records=2)

    def test_the_log_goes_on_after_a_failure(self, office: Office) -> None:
        approval = office.approve()
        office.recover(approval, "--output", office.folder / "absent" / "out")
        assert office.recover(approval).code == 0
        assert [one["sequence"] for one in office.records()] == [1, 2, 3, 4]


class TestUnderAPolicy:
    """Whose approval counts is said by a trust policy: keys of the role incident, with their limits."""

    @pytest.fixture
    def office(self, tmp_path: Path) -> Office:
        return Office(tmp_path).encrypt()

    def policy(self, office: Office, *more: object, **roles: str) -> Path:
        keys = {n: FIXTURES / "keys" / f"{n}-TEST-ONLY.pub.pem" for n in ("publisher", "site")}
        keys |= {name: office.folder / f"{name}.pub" for name in ("ada", "bob", "eve")}
        chosen = {"publisher": "publisher", "site": "patcher", "ada": "incident", "bob": "incident"} | roles
        path = office.folder / "policy.json"
        words = [word for name, role in chosen.items() for word in ("--key", keys[name], role)]
        made = kit("trust", "init", path, *words, *more)
        assert made.code == 0, made
        return path

    def recover(self, office: Office, policy: Path, approval: Path, *options: object) -> Outcome:
        bare = office.words(approval, *options, "--at", WHILE_FRESH, approvers=())
        at = bare.index("--trusted-key")
        words = [*bare[:at], "--trust", policy, *bare[at + len(office.trust) :]]
        with office.passphrase.open() as file:
            return kit(*words, "--keyring-passphrase-fd", file.fileno())

    def refused(self, office: Office, policy: Path, approval: Path, code: int, words: str) -> None:
        before = kits.folder_state(office.folder)
        self.recover(office, policy, approval).refused(code, words)
        assert kits.folder_state(office.folder) == before

    def add(self, office: Office, policy: Path, name: str, *words: object) -> None:
        added = kit("trust", "add", policy, office.folder / f"{name}.pub", *words)
        assert added.code == 0, added

    def test_two_incident_keys_approve(self, office: Office) -> None:
        done = self.recover(office, self.policy(office), office.approve(), "--json")
        assert done.code == 0, done
        assert (office.folder / "out.bson").read_bytes() == office.original()
        begun = office.records()[0]
        assert (len(begun["approvers"]), "override" in begun) == (2, False)
        schema("audit-log").validate(begun)

    def test_a_stale_kit_is_recovered_from_if_that_is_insisted_on_and_recorded(self, office: Office) -> None:
        policy = self.policy(office, "--staleness-hours", "1")
        approval = office.approve()
        self.refused(office, policy, approval, 7, "hours before")
        assert self.recover(office, policy, approval, "--force", "--reason", "the only one we have").code == 0
        begun = office.records()[0]
        assert begun["override"] == "the only one we have"
        schema("audit-log").validate(begun)

    def test_a_key_of_another_role_does_not_count(self, office: Office) -> None:
        policy = self.policy(office, eve="auditor")
        self.refused(office, policy, office.approve(by=("ada", "eve")), 4, "1 of the 2 incident keys")

    def test_a_key_that_the_policy_does_not_name_does_not_count(self, office: Office) -> None:
        self.refused(office, self.policy(office), office.approve(by=("ada", "eve")), 4, "1 of the 2 incident keys")

    def test_a_threshold_above_two_holds_and_one_below_it_does_not(self, office: Office) -> None:
        policy = self.policy(office, "--threshold", "incident", 3, eve="incident")
        self.refused(office, policy, office.approve(), 4, "2 of the 3 incident keys")
        assert self.recover(office, policy, office.approve(by=("ada", "bob", "eve"))).code == 0
        policy.unlink()
        Path(f"{policy}.state").unlink()
        policy = self.policy(office, "--threshold", "incident", 1)
        self.refused(office, policy, office.approve(by=("ada",)), 4, "1 of the 2 incident keys")

    def test_a_revoked_key_does_not_count(self, office: Office) -> None:
        policy = self.policy(office)
        approval = office.approve()
        self.add(office, policy, "bob", "--role", "incident", "--revoke", "ceased", "--at", FROM)
        self.refused(office, policy, approval, 4, "was revoked")

    def test_a_key_out_of_its_time_does_not_count(self, office: Office) -> None:
        policy = self.policy(office)
        self.add(office, policy, "bob", "--role", "incident", "--not-after", FROM)
        self.refused(office, policy, office.approve(), 7, "expired at")

    @pytest.mark.parametrize(
        ("limit", "words"),
        [
            (("--bundle-id", "another"), "may not sign bundle"),
            (("--collection", "app.notes"), "may not sign concelier/"),
        ],
        ids=["another bundle", "another collection"],
    )
    def test_a_key_beyond_its_limits_does_not_count(self, limit: tuple[str, ...], words: str, office: Office) -> None:
        policy = self.policy(office)
        self.add(office, policy, "bob", "--role", "incident", *limit)
        self.refused(office, policy, office.approve(), 4, words)

    def test_two_keys_of_one_person_do_not_count_as_two_people(self, office: Office) -> None:
        policy = self.policy(office, eve="incident")
        for name, told in (("ada", "Ada Keeper"), ("eve", "ada  keeper")):
            self.add(office, policy, name, "--role", "incident", "--name", told)
        self.refused(office, policy, office.approve(by=("ada", "eve")), 4, "keys of one name are one person's")
        assert self.recover(office, policy, office.approve(by=("ada", "eve", "bob"))).code == 0

    def test_whom_the_key_was_taken_from_cannot_be_brought_back_by_an_earlier_time(self, office: Office) -> None:
        """Only the kit is judged as of ``--at``; approvers and policy are by the clock."""
        policy = self.policy(office)
        self.add(office, policy, "bob", "--role", "incident", "--not-after", AT)
        bare = office.words(office.approve(), "--at", AT, approvers=())
        at = bare.index("--trusted-key")
        words = [*bare[:at], "--trust", policy, *bare[at + len(office.trust) :]]
        kit(*words).refused(7, f"expired at {AT}")

    def test_a_policy_that_is_over_is_not_brought_back_by_an_earlier_time(self, office: Office) -> None:
        policy = self.policy(office, "--expires-at", AT)
        bare = office.words(office.approve(), "--at", FROM, approvers=())
        at = bare.index("--trusted-key")
        kit(*bare[:at], "--trust", policy, *bare[at + len(office.trust) :]).refused(7, "the policy expired")

    def test_a_policy_that_is_not_in_force_is_refused(self, office: Office) -> None:
        policy = self.policy(office)
        policy.write_bytes(policy.read_bytes().replace(b'"version": 1', b'"version": 2'))
        self.refused(office, policy, office.approve(), 4, "policy")

    def test_64_a_policy_and_keys(self, office: Office) -> None:
        policy = self.policy(office)
        office.refused(office.approve(), 64, "--trust excludes --trusted-key", "--trust", policy)


CRASH = """
import os, sys
from kit.cli import run
event, path = sys.argv.pop(1), sys.argv.pop(1)

def strike(name, arguments):
    made = name != "open" or not path.endswith("office") or (arguments[2] or 0) & os.O_TMPFILE == os.O_TMPFILE
    if name == event and made and str(arguments[0]).startswith(path):
        os._exit(9)

sys.addaudithook(strike)
run(sys.argv[1:])
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("event", "path", "records"),
    [
        pytest.param("open", "site.keyring", 1, id="as the keyring is opened"),
        pytest.param("open", "", 1, id="as the output is made"),
        pytest.param("os.link", "/proc", 2, id="as the output gets its name"),
    ],
)
def test_a_crash_leaves_its_records_and_no_output(event: str, path: str, records: int, tmp_path: Path) -> None:
    (tmp_path / "office").mkdir()
    office = Office(tmp_path / "office").encrypt()
    words = [str(word) for word in office.words(office.approve())]
    before = set(kits.folder_state(office.folder))
    place = str(office.folder / path)
    with office.passphrase.open() as file:
        done = subprocess.run(
            [sys.executable, "-c", CRASH, event, place, *words, "--keyring-passphrase-fd", str(file.fileno())],
            env=ENVIRONMENT,
            pass_fds=[file.fileno()],
            check=False,
        )
    assert done.returncode == 9
    assert set(kits.folder_state(office.folder)) == before | {"audit.log"}
    assert [one["record"] for one in office.records()] == ["recovery-begun", "recovery-completed"][:records]
    assert kit("audit", "verify", office.log).code == 0
    assert office.recover(office.folder / "0.0.approval").code == 0
    assert (office.folder / "out.bson").read_bytes() == office.original()


def test_an_approval_is_shown_as_it_will_be_signed(office: Office) -> None:
    approval = office.approve("--collection", NAME, "--partition", "a", "--owner", "b", "--document", "c")
    shown = kit("approval", "show", approval)
    for words in ("INC-7", "court order", "partitions:  a", "owners:      b", "documents:   c", UNTIL):
        assert words in shown.out, shown
    assert shown.out.count("signed by:") == 2
    told = kit("approval", "show", approval, "--json").json
    schema("recovery-approval").validate(told["approval"])
    assert "ALL of these" in kit("approval", "show", office.approve()).out


class TestApprovalsThatAreNotMade:
    def create(self, office: Office, *words: object, expires: str = UNTIL) -> Outcome:
        fixed = ("--incident", "I", "--reason", "r", "--expires", expires, "--signing-key", office.folder / "ada")
        return kit("approval", "create", office.kit, *fixed, "-o", office.folder / "x.approval", *words)

    def test_64_neither_narrowed_nor_whole(self, office: Office) -> None:
        self.create(office, "--collection", NAME).refused(64, "or use --whole-collections")

    def test_64_what_is_no_collection(self, office: Office) -> None:
        self.create(office, "--collection", "x", "--owner", "o").refused(64, "is not DB.COLLECTION")

    def test_11_what_is_no_identity(self, office: Office) -> None:
        words = ("--collection", NAME, "--document")
        self.create(office, *words, '{"$oid": "zz"}').refused(64, "not the _id of a document")
        self.create(office, *words, '{"$oid"').refused(11, "--document: not JSON")

    def test_11_over_before_it_begins(self, office: Office) -> None:
        done = self.create(office, "--collection", NAME, "--owner", "o", "--not-before", UNTIL)
        done.refused(11, "is not after notBefore")

    def test_64_what_is_no_time(self, office: Office) -> None:
        self.create(office, "--collection", NAME, "--owner", "o", expires="soon").refused(64, "--expires: ")

    def test_it_begins_now_unless_said(self, office: Office) -> None:
        assert self.create(office, "--collection", NAME, "--owner", "o", expires="9999-01-01T00:00:00Z").code == 0

    def test_11_a_kit_without_manifest(self, office: Office, tmp_path: Path) -> None:
        bare = kits.write_kit(tmp_path / "bare.tar", {"README.txt": b"x"})
        words = ("--incident", "I", "--reason", "r", "--expires", UNTIL, "--signing-key", office.folder / "ada")
        scope = ("--collection", NAME, "--owner", "o", "-o", tmp_path / "y")
        kit("approval", "create", bare, *words, *scope).refused(11, "has no manifest to approve")

    def test_64_the_same_person_twice(self, office: Office) -> None:
        signing = ("--signing-key", office.folder / "ada", "-o", office.folder / "z.approval")
        kit("approval", "sign", office.approve(), *signing).refused(64, "has signed already")
        assert not (office.folder / "z.approval").exists()


def test_64_what_is_no_anchor(office: Office) -> None:
    kit("audit", "verify", office.log, "--anchor", "x").refused(64, "--anchor: ")

"""Data keys handed to the platform: wrapped for a recipient that the policy names, recorded, and for nobody else."""

from __future__ import annotations

import base64
import json
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from jsonschema import Draft202012Validator

from kit.encryption import load
from tests import kits
from tests.commands import ROOT, Outcome, kit
from tests.end_to_end.vault import PASSPHRASE, Vault, descriptor

FORM = serialization.PublicFormat.SubjectPublicKeyInfo


class Platform(Vault):
    """A vault with a sealed kit, and the platform's pair of keys, which a policy may name."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.platform_key, self.recipient = self.pair("platform")
        self.policy, self.log, self.output = (self.keys / name for name in ("policy", "keys.log", "dek_store.json"))
        self.sealed = self.encrypted()
        (self.dek_id,) = load(self.keyring).keyring.deks

    def pair(self, name: str) -> tuple[Path, Path]:
        made = rsa.generate_private_key(65537, 3072)
        private, public = self.keys / f"{name}.pem", self.keys / f"{name}.pub.pem"
        pkcs8, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        private.write_bytes(made.private_bytes(serialization.Encoding.PEM, pkcs8, plain))
        private.chmod(0o600)
        public.write_bytes(made.public_key().public_bytes(serialization.Encoding.PEM, FORM))
        return private, public

    def trusting(self, role: str = "recipient", *options: object) -> Outcome:
        """Make a policy of the vendor's key, and add the platform's with a role."""
        if not self.policy.exists():
            assert kit("trust", "init", self.policy, "--key", self.public("vendor"), "publisher").code == 0
        return kit("trust", "add", self.policy, self.recipient, "--role", role, *options)

    def export(self, *options: object, dek_ids: tuple[str, ...] = (), recipient: Path | None = None) -> Outcome:
        words = ("--keyring", self.keyring, "--trust", self.policy, "--recipient", recipient or self.recipient)
        with descriptor(PASSPHRASE) as number:
            given = (*words, "--keyring-passphrase-fd", number, "--audit-log", self.log, "--output", self.output)
            return kit("keyring", "export", *(dek_ids or (self.dek_id,)), *given, *options)

    def hands_out_nothing(self, code: int, fault: str, *options: object, **how: object) -> None:
        before = self.log.read_bytes() if self.log.exists() else None
        outcome = self.export(*options, **how)  # type: ignore[arg-type]
        assert outcome.code == code, outcome
        assert fault in outcome.err
        assert not self.output.exists()
        assert (self.log.read_bytes() if self.log.exists() else None) == before


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    return Platform(tmp_path)


def test_a_key_is_wrapped_for_the_recipient_and_comes_back_the_same(platform: Platform) -> None:
    assert platform.trusting().code == 0
    outcome = platform.export("--json")
    assert outcome.code == 0, outcome
    secret = platform.unlocked().keys[platform.dek_id].secret
    for text in (secret.hex(), base64.b64encode(secret).decode()):
        assert text not in outcome.out + outcome.err + platform.output.read_text() + platform.log.read_text()
    assert stat.S_IMODE(platform.output.stat().st_mode) == 0o600
    (record,) = json.loads(platform.output.read_bytes())
    assert {name: value for name, value in record.items() if name != "wrappedDek"} == {
        "id": platform.dek_id,
        "productId": "notelett",
        "context": "notes",
        "userId": "ada",
        "mekVersion": 1,
        "status": "active",
    }
    other = platform.add_keyring("other.keyring")
    with descriptor(PASSPHRASE) as number:
        words = ("--keyring", other, "--keyring-passphrase-fd", number, "--product", "notelett")
        back = kit("keyring", "import", platform.output, *words, "--unwrap-key", platform.platform_key)
    assert back.code == 0, back
    assert platform.unlocked(other).keys[platform.dek_id].secret == secret
    assert platform.proving(platform.sealed, keyring=other, passphrase=PASSPHRASE).code == 0


@pytest.mark.skipif(shutil.which("node") is None, reason="Node is not installed")
def test_node_unwraps_what_was_exported(platform: Platform) -> None:
    assert platform.trusting().code == 0
    assert platform.export().code == 0
    script = Path(__file__).with_name("unwrap_keys.mjs")
    command = ["node", str(script), str(platform.platform_key), str(platform.output)]
    ran = subprocess.run(command, capture_output=True, check=True)
    assert json.loads(ran.stdout) == {platform.dek_id: platform.unlocked().keys[platform.dek_id].secret.hex()}


def test_what_was_handed_to_whom_is_in_the_audit_log(platform: Platform) -> None:
    assert platform.trusting().code == 0
    outcome = platform.export("--json")
    (line,) = platform.log.read_text().splitlines()
    record = json.loads(line)
    assert (record["record"], record["dataKeys"]) == ("keys-exported", [platform.dek_id])
    assert record["recipient"] == outcome.json["recipient"]
    assert record["outputSha256"] == kits.sha256(platform.output.read_bytes())
    assert record["policySha256"] == kits.sha256(platform.policy.read_bytes())
    assert kit("audit", "verify", platform.log, "--anchor", outcome.json["auditHead"]).code == 0


def test_nobody_gets_a_key_whom_the_policy_does_not_name(platform: Platform) -> None:
    assert kit("trust", "init", platform.policy, "--key", platform.public("vendor"), "publisher").code == 0
    platform.hands_out_nothing(4, "does not name")
    assert platform.trusting("auditor").code == 0
    platform.hands_out_nothing(4, "as a recipient of data keys")
    assert platform.trusting("recipient").code == 0
    _, other = platform.pair("other")
    platform.hands_out_nothing(4, "does not name", recipient=other)
    platform.hands_out_nothing(4, "as a recipient of data keys", recipient=platform.public("vendor"))


@pytest.mark.parametrize(
    ("options", "code", "fault"),
    [
        pytest.param(("--not-after", "2020-01-01T00:00:00Z"), 7, "2020", id="expired"),
        pytest.param(("--not-before", "2098-01-01T00:00:00Z"), 7, "2098", id="not yet"),
    ],
)
def test_a_recipient_out_of_its_time_gets_nothing(
    options: tuple[str, ...], code: int, fault: str, platform: Platform
) -> None:
    assert platform.trusting("recipient", *options).code == 0
    platform.hands_out_nothing(code, fault)


def test_a_revoked_recipient_gets_nothing(platform: Platform) -> None:
    assert platform.trusting("recipient", "--revoke", "compromised").code == 0
    platform.hands_out_nothing(4, "revoked")


def test_a_policy_that_was_changed_names_nobody(platform: Platform) -> None:
    assert kit("trust", "init", platform.policy, "--key", platform.public("vendor"), "publisher").code == 0
    before = platform.policy.read_bytes()
    assert platform.trusting().code == 0
    platform.policy.write_bytes(before)
    platform.hands_out_nothing(8, "")


@pytest.mark.parametrize(
    ("role", "options", "fault"),
    [
        ("recipient,publisher", (), "has other roles too"),
        ("recipient", ("--bundle-id", "b"), "has no bundles or collections"),
        ("recipient", ("--collection", "a.b"), "has no bundles or collections"),
    ],
)
def test_a_recipient_signs_nothing(role: str, options: tuple[str, ...], fault: str, platform: Platform) -> None:
    roles = [word for one in role.split(",") for word in ("--role", one)]
    assert kit("trust", "init", platform.policy, "--key", platform.public("vendor"), "publisher").code == 0
    kit("trust", "add", platform.policy, platform.recipient, *roles, *options).refused(11, fault)


def test_a_recipient_is_an_rsa_key(platform: Platform) -> None:
    assert kit("trust", "init", platform.policy, "--key", platform.public("vendor"), "publisher").code == 0
    added = kit("trust", "add", platform.policy, platform.public("site"), "--role", "recipient")
    added.refused(11, "is not an RSA key")


def test_a_trusted_key_is_no_recipient(platform: Platform) -> None:
    assert platform.trusting().code == 0
    with descriptor(PASSPHRASE) as number:
        words = ("--keyring", platform.keyring, "--keyring-passphrase-fd", number, "--recipient", platform.recipient)
        outcome = kit("keyring", "export", platform.dek_id, *words, "--audit-log", platform.log, "-o", platform.output)
    outcome.refused(64, "keys leave only under a policy")


def test_a_key_that_is_not_there_or_named_twice_takes_the_others_with_it(platform: Platform) -> None:
    assert platform.trusting().code == 0
    platform.hands_out_nothing(13, "dek-none is not in the keyring", dek_ids=(platform.dek_id, "dek-none"))
    platform.hands_out_nothing(64, "named twice", dek_ids=(platform.dek_id, platform.dek_id))


def test_an_adapter_that_wraps_under_a_secret_hands_out_nothing(platform: Platform) -> None:
    assert platform.trusting().code == 0
    platform.hands_out_nothing(11, "wrapped under a secret", "--adapter", "key-vault")
    adapter = {"schemaVersion": "1", "name": "mine", "wrapping": "rsa-oaep-256", "states": {"gone": "retired"}}
    adapter |= {"members": {"dekId": "a.id", "wrapped": "a.key", "state": "s"}}
    file = platform.keys / "adapter.json"
    file.write_text(json.dumps(adapter))
    platform.hands_out_nothing(11, "no word for the state active", "--adapter", file)
    file.write_text(json.dumps(adapter | {"states": {"1": "active"}, "constants": {"a.kind": "dek"}}))
    assert platform.export("--adapter", file).code == 0
    (record,) = json.loads(platform.output.read_bytes())
    assert (record["a"]["id"], record["a"]["kind"], record["s"]) == (platform.dek_id, "dek", 1)


def test_nothing_is_overwritten_and_a_log_that_does_not_verify_hands_out_nothing(platform: Platform) -> None:
    assert platform.trusting().code == 0
    platform.log.write_text("words\n")
    platform.log.chmod(0o600)
    platform.hands_out_nothing(2, "line 1")
    platform.log.unlink()
    platform.output.write_text("mine")
    assert platform.export().code == 74
    assert platform.output.read_text() == "mine"
    assert not platform.log.exists()


def test_a_wrong_passphrase_hands_out_nothing(platform: Platform) -> None:
    assert platform.trusting().code == 0
    words = ("--keyring", platform.keyring, "--trust", platform.policy, "--recipient", platform.recipient)
    with descriptor(b"TEST-ONLY wrong") as number:
        given = (*words, "--keyring-passphrase-fd", number, "--audit-log", platform.log, "-o", platform.output)
        kit("keyring", "export", platform.dek_id, *given).refused(13, "wrong passphrase")
    assert not platform.output.exists()


def test_the_record_is_of_the_schema(platform: Platform) -> None:
    assert platform.trusting().code == 0
    assert platform.export().code == 0
    schema = json.loads((ROOT / "schemas/audit-log.schema.json").read_bytes())
    Draft202012Validator(schema).validate(json.loads(platform.log.read_text()))


def test_the_reports_are_of_their_schema(platform: Platform) -> None:
    schema = Draft202012Validator(json.loads((ROOT / "schemas/keyring-report.schema.json").read_bytes()))
    assert platform.trusting().code == 0
    schema.validate(platform.export("--json").json)
    schema.validate(kit("keyring", "show", platform.keyring, "--json").json)
    schema.validate(kit("keyring", "retire", platform.keyring, platform.dek_id, "--json").json)
    with descriptor(PASSPHRASE) as number:
        words = ("--keyring", platform.keyring, "--keyring-passphrase-fd", number, "--product", "notelett", "--json")
        taken = kit("keyring", "import", platform.output, *words, "--unwrap-key", platform.platform_key)
    schema.validate(taken.json)
    assert taken.json["known"] == [platform.dek_id]
    for wrong in ({}, {"schemaVersion": "1"}, taken.json | {"key": "x"}, taken.json | {"masterKeys": []}):
        assert not schema.is_valid(wrong)

"""Data keys of the live platform taken over: Node opens what is sealed here, and what Node sealed opens here."""

from __future__ import annotations

import base64
import copy
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bson
import pytest
from cryptography.hazmat.primitives import hashes, padding as block_padding, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.hmac import HMAC

from kit.encryption import load
from tests import kits
from tests.commands import ROOT, Outcome, kit
from tests.end_to_end.vault import NOTE, PASSPHRASE, Vault, body, descriptor, note

ADA = bytes(range(7, 39))
BOB = bytes(range(40, 72))
MASTER = bytes(range(96))
VAULT_KEY = bytes(range(100, 196))
VAULT_ID = "cd4d15ab-90b1-40e5-8654-4c3f46e9fe29"
VAULT_DOCUMENT = bytes.fromhex(
    "2b010000055f6964001000000004cd4d15ab90b140e586544c3f46e9fe29056b65794d6174657269616c00a000000000d0d642c0745b6d58"
    "4c6fc27cee605ecf68e971d10a1b675fd98275a08a11a6cabf83d628e16c5adcbfbb97d169bef52bf7f9a94cc6582894cd2737bd902432d6"
    "3b6ecc4b5abb7d9f5108a5a76af1737f2fb678113741af16f6761357d9382ce17795ff311804f2912f9574808d29e6aa29b2597960f0dd4e"
    "addcb8f3d16f04e67125cbaaa330d6bd54e4be11c7ad311e90bea4d4b9ecd59a336c05270761392d096372656174696f6e44617465008501"
    "cc31a20100000975706461746544617465008501cc31a2010000107374617475730000000000036d61737465724b65790019000000027072"
    "6f766964657200060000006c6f63616c000000"
)
"""What libmongocrypt 1.21 (pymongocrypt) made of VAULT_KEY under MASTER, provider local."""
OAEP = padding.OAEP(mgf=padding.MGF1(hashes.SHA256()), algorithm=hashes.SHA256(), label=None)


@pytest.fixture(scope="module")
def service() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 3072)


def pem(key: rsa.RSAPrivateKey) -> bytes:
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


def record(service: rsa.RSAPrivateKey, dek: bytes = ADA, **changes: Any) -> dict[str, Any]:
    """Give a record of the platform; ``...`` removes a member."""
    whole = {
        "id": "live-ada-1",
        "productId": "notelett",
        "context": "notes",
        "userId": "ada",
        "wrappedDek": base64.b64encode(service.public_key().encrypt(dek, OAEP)).decode(),
        "mekVersion": 7,
        "status": "active",
        "_etag": "of no interest here",
    }
    return {name: value for name, value in (whole | changes).items() if value is not ...}


class Exchange(Vault):
    """A vault with what opens the platform's records."""

    def __init__(self, folder: Path, service: rsa.RSAPrivateKey) -> None:
        super().__init__(folder)
        self.key = self.secret("kms.pem", pem(service))

    def secret(self, name: str, data: bytes) -> Path:
        path = self.keys / name
        path.write_bytes(data)
        path.chmod(0o600)
        return path

    def take(self, data: bytes | list[Any], *options: object, product: str = "notelett", key: object = ...) -> Outcome:
        file = self.keys / "records"
        file.write_bytes(data if isinstance(data, bytes) else json.dumps(data).encode())
        opening = ("--unwrap-key", self.key if key is ... else key) if key is not None else ()
        with descriptor(PASSPHRASE) as number:
            words = ("--keyring", self.keyring, "--keyring-passphrase-fd", number, "--product", product)
            return kit("keyring", "import", file, *words, *opening, *options)

    def takes_nothing(self, code: int, fault: str, data: bytes | list[Any], *options: object, **how: Any) -> None:
        before = self.keyring.read_bytes()
        self.take(data, *options, **how).refused(code, fault)
        assert self.keyring.read_bytes() == before


@pytest.fixture
def site(tmp_path: Path, service: rsa.RSAPrivateKey) -> Exchange:
    return Exchange(tmp_path, service)


needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="Node is not installed")
NODE_MODULES = ROOT / ".venv/node"


def by_node(**given: Any) -> Any:
    script = Path(__file__).with_name("live_key.mjs")
    return json.loads(
        subprocess.run(["node", script], input=json.dumps(given), capture_output=True, text=True, check=True).stdout
    )


def test_a_record_of_the_platform_becomes_the_key_that_seals(site: Exchange, service: rsa.RSAPrivateKey) -> None:
    site.encrypted()
    (own,) = load(site.keyring).keyring.deks.values()
    outcome = site.take([record(service)], "--json")
    assert outcome.code == 0, outcome
    assert (outcome.json["taken"], outcome.json["known"]) == (["live-ada-1"], [])
    ring = site.unlocked()
    assert ring.keys["live-ada-1"].secret == ADA
    states = {dek_id: (str(dek.state), dek.made_under, dek.imported) for dek_id, dek in ring.keyring.deks.items()}
    assert states == {own.dek_id: ("retired", 1, False), "live-ada-1": ("active", 7, True)}
    assert ADA not in site.keyring.read_bytes()
    sealed = site.encrypted(site.notes(name="more.tar.zst"), name="second.tar.zst")
    (document, *_) = map(bson.decode, kits.documents_of(body(sealed, "notes")))
    assert (document["body"]["dekId"], document["body"]["mekVersion"]) == ("live-ada-1", 7)
    assert site.proving(sealed, passphrase=PASSPHRASE).code == 0


@needs_node
@pytest.mark.skipif(not (NODE_MODULES / "node_modules/bson").is_dir(), reason="the npm package bson is not installed")
def test_node_opens_every_envelope_of_an_imported_key(site: Exchange, service: rsa.RSAPrivateKey) -> None:
    records = [record(service), record(service, BOB, id="live-bob", userId="bob", mekVersion=2)]
    assert site.take(records).code == 0
    documents = [note(n, owner=("ada", "bob")[n % 2], body=f"{NOTE} {n}") for n in range(20)]
    output = site.encrypted(site.notes(*documents), "--profile", "compat")
    file, deks = site.kits / "notes.bson", site.kits / "deks.json"
    file.write_bytes(body(output, "notes"))
    deks.write_text(json.dumps({"live-ada-1": ADA.hex(), "live-bob": BOB.hex()}))
    script = Path(__file__).with_name("open_compat.mjs")
    ran = subprocess.run(["node", script, NODE_MODULES, file, deks, "body"], capture_output=True, check=True)
    assert json.loads(ran.stdout) == [[document["_id"], document["body"]] for document in documents]


@needs_node
def test_every_envelope_that_node_sealed_opens_here(site: Exchange, service: rsa.RSAPrivateKey) -> None:
    assert site.take([record(service)]).code == 0
    texts = [f"{NOTE} {n}" for n in range(20)] + [""]
    envelopes = by_node(dek=ADA.hex(), dekId="live-ada-1", mekVersion=5, texts=texts)
    documents = [note(n, body=envelope) for n, envelope in enumerate(envelopes)] + [note(99, body="still plain")]
    output = site.encrypted(site.notes(*documents), "--profile", "compat")
    outcome = site.proving(output, "--profile", "compat", "--json", passphrase=PASSPHRASE)
    assert outcome.code == 0, outcome
    (field,) = outcome.json["fields"][0]["fields"]
    assert field["opened"] == len(documents)
    newer = by_node(dek=ADA.hex(), dekId="live-ada-1", mekVersion=8, texts=["x"])
    path = site.notes(note(1, body=newer[0]), note(2), name="newer.tar.zst")
    outcome = site.encrypting("patch", path, "--output", site.kits / "n.tar.zst", "--profile", "compat")
    outcome.refused(5, "states master key 8")


def test_keys_that_are_there_stay_and_the_others_are_taken(site: Exchange, service: rsa.RSAPrivateKey) -> None:
    assert site.take([record(service)]).code == 0
    before = site.keyring.read_bytes()
    assert site.take([record(service)], "--json").json["known"] == ["live-ada-1"]
    assert site.keyring.read_bytes() == before
    both = [record(service), record(service, BOB, id="live-bob", userId="bob", status="rotated")]
    outcome = site.take("\n".join(map(json.dumps, both)).encode(), "--json")
    assert (outcome.json["taken"], outcome.json["known"]) == (["live-bob"], ["live-ada-1"])
    assert str(load(site.keyring).keyring.deks["live-bob"].state) == "retired"


def test_only_the_named_key_is_taken(site: Exchange, service: rsa.RSAPrivateKey) -> None:
    both = [record(service), record(service, BOB, id="live-bob", userId="bob")]
    site.takes_nothing(64, "no record of the data key 'live-eve'", both, "--only", "live-eve")
    assert site.take(both, "--only", "live-bob", "--json").json["taken"] == ["live-bob"]


Change = Callable[[dict[str, Any]], Any]
FAULTS: dict[str, tuple[dict[str, Any], int, str]] = {
    "another product": ({"productId": "concelier"}, 11, "of the product 'concelier', not 'notelett'"),
    "no product": ({"productId": ...}, 11, "productId is not there"),
    "a state nobody foresaw": ({"status": "pending"}, 11, "status is 'pending', which the adapter does not know"),
    "no state": ({"status": ...}, 11, "status is not there"),
    "a state that is true": ({"status": True}, 11, "status is not there"),
    "no name": ({"id": ...}, 11, "id is not there"),
    "a name that no envelope can have": ({"id": "dek of ada"}, 11, "dekId"),
    "an empty owner": ({"userId": ""}, 11, "userId is no text"),
    "no wrapped key": ({"wrappedDek": ...}, 11, "wrappedDek is not there"),
    "no base64": ({"wrappedDek": "%%%"}, 11, "wrappedDek is neither binary nor base64"),
    "base64 of another spelling": ({"wrappedDek": "AB=="}, 11, "wrappedDek is neither binary nor base64"),
    "a version 0": ({"mekVersion": 0}, 11, "mekVersion is no version"),
    "a version that is text": ({"mekVersion": "7"}, 11, "mekVersion is no version"),
    "a key wrapped by somebody else": ({"wrappedDek": "AAAA" * 128}, 13, "does not unwrap"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_record_that_is_not_right_takes_no_key_over(name: str, site: Exchange, service: rsa.RSAPrivateKey) -> None:
    changes, code, fault = FAULTS[name]
    good = record(service, BOB, id="live-bob", userId="bob")
    site.takes_nothing(code, fault, [good, record(service, **changes)])


@pytest.mark.parametrize("length", [0, 16, 31, 33, 64, 97])
def test_a_key_of_another_length_is_refused(length: int, site: Exchange, service: rsa.RSAPrivateKey) -> None:
    site.takes_nothing(13, f"has {length} bytes", [record(service, bytes(length))])


def test_a_key_under_another_name_or_for_another_purpose_is_refused(site: Exchange, service: rsa.RSAPrivateKey) -> None:
    assert site.take([record(service)]).code == 0
    site.takes_nothing(13, "already, under the name live-ada-1", [record(service, id="live-ada-2")])
    site.takes_nothing(13, "already, for product 'notelett', context 'notes'", [record(service, userId="bob")])
    site.takes_nothing(13, "another key is in the keyring under the name live-ada-1", [record(service, BOB)])
    twice = [record(service, BOB, id="b1", userId="bob"), record(service, bytes(32), id="b2", userId="bob")]
    site.takes_nothing(13, "second active one", twice)
    same = [record(service, BOB, id="b1", userId="bob"), record(service, BOB, id="b2", userId="eve")]
    site.takes_nothing(13, "under the name b1", same)
    named = [record(service, BOB, id="b1", userId="bob"), record(service, bytes(32), id="b1", userId="eve")]
    site.takes_nothing(13, "in the keyring already", named)


def test_what_opens_the_records_must_be_there_and_fit(site: Exchange, service: rsa.RSAPrivateKey) -> None:
    data = [record(service)]
    site.takes_nothing(13, "nothing opens them", data, key=None)
    site.takes_nothing(
        13, "does not unwrap", data, key=site.secret("o.pem", pem(rsa.generate_private_key(65537, 2048)))
    )
    site.takes_nothing(13, "not a readable private key", data, key=site.secret("x", b"words"))
    exposed = site.secret("exposed.pem", pem(service))
    exposed.chmod(0o644)
    site.takes_nothing(13, "others can get at this key", data, key=exposed)


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"[1]", b"words", b"{}\n{", b"\0", b"\x05\0\0\0\0\x05\0\0", b'[{"id": 1, "id": 2}]']
)
def test_what_is_no_file_of_records_is_refused(data: bytes, site: Exchange) -> None:
    site.takes_nothing(11, "record", data)


def test_a_key_of_a_key_vault_seals_in_bound_and_not_in_compat(site: Exchange) -> None:
    words = ("--adapter", "key-vault", "--context", "notes", "--owner", "ada")
    local = site.secret("local.key", MASTER)
    outcome = site.take(VAULT_DOCUMENT, *words, "--json", key=local)
    assert outcome.code == 0, outcome
    assert outcome.json["taken"] == [VAULT_ID]
    assert site.unlocked().keys[VAULT_ID].secret == VAULT_KEY
    assert site.proving(site.encrypted(), passphrase=PASSPHRASE).code == 0
    compat = site.encrypting("patch", site.notes(name="c.tar.zst"), "--output", site.kits / "c", "--profile", "compat")
    compat.refused(13, "compat seals with keys of 32")
    site.takes_nothing(13, "96 bytes, not 95", VAULT_DOCUMENT, *words, key=site.secret("short.key", MASTER[:-1]))
    other = site.secret("other.key", MASTER[::-1])
    site.takes_nothing(13, "does not unwrap under the local master key", VAULT_DOCUMENT, *words, key=other)


def local_wrap(secret: bytes, vector: bytes = bytes(16)) -> bytes:
    """Wrap as the specification of AEAD_AES_256_CBC_HMAC_SHA_512 says."""
    padder = block_padding.PKCS7(128).padder()
    sealing = Cipher(algorithms.AES(MASTER[32:64]), modes.CBC(vector)).encryptor()
    body = vector + sealing.update(padder.update(secret) + padder.finalize()) + sealing.finalize()
    mac = HMAC(MASTER[:32], hashes.SHA512())
    mac.update(body + bytes(8))
    return body + mac.finalize()[:32]


def test_a_document_of_a_key_vault_that_is_not_right_is_refused(site: Exchange) -> None:
    words: tuple[str, ...] = ("--adapter", "key-vault", "--context", "notes")
    local = site.secret("local.key", MASTER)
    site.takes_nothing(11, "does not state its owner", VAULT_DOCUMENT, *words, key=local)
    words = (*words, "--owner", "ada")
    whole = bson.decode(VAULT_DOCUMENT)
    for changes, code, fault in (
        ({"masterKey": {"provider": "aws"}}, 11, "masterKey.provider is 'aws', not 'local'"),
        ({"status": 2}, 11, "status is 2"),
        ({"keyMaterial": whole["keyMaterial"][:-1]}, 13, "does not unwrap"),
        ({"keyMaterial": whole["keyMaterial"][:40]}, 13, "does not unwrap"),
        ({"keyMaterial": local_wrap(bytes(64))}, 13, "has 64 bytes"),
    ):
        site.takes_nothing(code, fault, bson.encode(whole | changes), *words, key=local)
    flipped = bytearray(whole["keyMaterial"])
    for at in range(0, len(flipped), 23):
        altered = copy.copy(flipped)
        altered[at] ^= 1
        site.takes_nothing(
            13, "does not unwrap", bson.encode(whole | {"keyMaterial": bytes(altered)}), *words, key=local
        )
    assert site.take(bson.encode(whole | {"keyMaterial": local_wrap(ADA)}), *words, key=local).code == 0


def test_a_deployment_with_other_names_needs_a_file_and_no_code(site: Exchange, service: rsa.RSAPrivateKey) -> None:
    adapter = {
        "schemaVersion": "1",
        "name": "mine",
        "wrapping": "rsa-oaep",
        "encoding": "hex",
        "members": {"dekId": "kid", "wrapped": "key.bytes", "owner": ["user", "id"], "state": "n"},
        "states": {"4": "active"},
        "constants": {"kind": "dek"},
    }
    file = site.keys / "adapter.json"
    file.write_text(json.dumps(adapter))
    sha1 = hashes.SHA1()  # noqa: S303  what older services wrap with
    older = padding.OAEP(mgf=padding.MGF1(sha1), algorithm=sha1, label=None)
    wrapped = service.public_key().encrypt(ADA, older).hex()
    one = {"kid": "k", "key": {"bytes": wrapped}, "user": {"id": "ada"}, "n": 4, "kind": "dek"}
    words = ("--adapter", file, "--context", "notes")
    site.takes_nothing(11, "kind is not there, not 'dek'", [one | {"kind": None}], *words)
    site.takes_nothing(11, "has the owner 'ada', not 'bob'", [one], *words, "--owner", "bob")
    file.write_text(json.dumps(adapter | {"wrapping": "rot13"}))
    site.takes_nothing(11, "is 'rot13', not one of", [one], *words)
    file.write_text(json.dumps(adapter))
    assert site.take([one], *words).code == 0
    assert site.unlocked().keys["k"].secret == ADA


def test_a_keyring_with_imported_keys_is_rewrapped(site: Exchange, service: rsa.RSAPrivateKey) -> None:
    assert site.take([record(service)]).code == 0
    local = site.secret("local.key", MASTER)
    vault = ("--adapter", "key-vault", "--context", "palace-memory", "--owner", "ada")
    assert site.take(VAULT_DOCUMENT, *vault, key=local).code == 0
    with descriptor(b"TEST-ONLY next") as number:
        assert kit("keyring", "add", site.keyring, "--passphrase-fd", number).code == 0
    with descriptor(PASSPHRASE, b"TEST-ONLY next", b"TEST-ONLY next") as number:
        outcome = kit("keyring", "rewrap", "--keyring", site.keyring, "--keyring-passphrase-fd", number)
    assert outcome.code == 0, outcome
    assert {dek.wrapped.mek_version for dek in load(site.keyring).keyring.deks.values()} == {2}


def test_no_key_is_in_what_is_printed(site: Exchange, service: rsa.RSAPrivateKey) -> None:
    random = os.urandom(32)
    outcome = site.take([record(service, random)])
    for text in (random.hex(), base64.b64encode(random).decode()):
        assert text not in outcome.out + outcome.err + site.keyring.read_text()

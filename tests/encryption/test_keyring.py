"""The keyring: what opens it, what is refused, and that no key is ever lost."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import replace as with_changes
from pathlib import Path
from typing import Any

import jsonschema
import pyrage
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from kit.encryption import (
    AgeRecord,
    Credentials,
    Keyring,
    PassphraseRecord,
    Profile,
    RsaRecord,
    Scope,
    UnlockedKeyring,
    create,
    load,
    new_keyring,
    rewrap,
    unlock,
)
from kit.encryption.keyring import State, Wrapped
from kit.errors import EnvelopeError, KeyUnusableError, OutputError, UsageError
from kit.output.secret_files import lock
from kit.values import Limits
from tests.encryption.site import (
    COST,
    CREDENTIALS,
    NOW,
    PASSPHRASE,
    Stream,
    empty_keyring,
    passphrase_record,
    scope,
)

SCHEMA = json.loads((Path(__file__).parents[2] / "schemas/keyring.schema.json").read_bytes())
PEM = serialization.Encoding.PEM
ADA, BOB = scope("ada"), scope("bob")


def pem(key: Any, passphrase: bytes | None = None) -> bytes:
    protection = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    return bytes(key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, protection))


def public_pem(key: Any) -> bytes:
    return bytes(key.public_key().public_bytes(PEM, serialization.PublicFormat.SubjectPublicKeyInfo))


RSA = rsa.generate_private_key(65537, 3072)
AGE = pyrage.x25519.Identity.generate()


def provided(keyring: Keyring, credentials: Credentials, uses: dict[Scope, int], seed: str = "k") -> UnlockedKeyring:
    unlocked = unlock(keyring, credentials)
    return unlocked.provide(uses, profile=Profile.BOUND, random=Stream(seed), now=NOW)


def edited(keyring: Keyring, change: Callable[[dict[str, Any]], object]) -> bytes:
    value = json.loads(keyring.to_json())
    change(value)
    return json.dumps(value).encode()


@pytest.fixture
def ring() -> Keyring:
    return provided(empty_keyring(), CREDENTIALS, {ADA: 3, BOB: 1}).keyring


@pytest.fixture(params=["passphrase", "rsa", "age"])
def sealed(request: pytest.FixtureRequest) -> tuple[Keyring, Credentials]:
    return {
        "passphrase": (empty_keyring(), CREDENTIALS),
        "rsa": (new_keyring(RsaRecord.make(public_pem(RSA)), now=NOW), Credentials(rsa_private_key=pem(RSA))),
        "age": (
            new_keyring(AgeRecord.make((str(AGE.to_public()),)), now=NOW),
            Credentials(age_identities=(str(AGE),)),
        ),
    }[request.param]


def test_a_keyring_survives_printing_and_parsing(sealed: tuple[Keyring, Credentials]) -> None:
    keyring = provided(*sealed, {ADA: 3}).keyring
    assert Keyring.parse(keyring.to_json()) == keyring
    jsonschema.validate(json.loads(keyring.to_json()), SCHEMA)


def test_keys_open_again_from_what_is_stored(sealed: tuple[Keyring, Credentials]) -> None:
    first = provided(*sealed, {ADA: 3, BOB: 1})
    again = unlock(Keyring.parse(first.keyring.to_json()), sealed[1])
    assert again.keys == first.keys
    assert len(again.keys) == 2
    assert first.reopened(Keyring.parse(first.keyring.to_json())).keys == first.keys


def test_no_key_or_credential_shows(sealed: tuple[Keyring, Credentials]) -> None:
    unlocked = provided(*sealed, {ADA: 1})
    (key,) = unlocked.keys.values()
    shown = " ".join(map(repr, (unlocked, unlocked.key_set(), unlocked.masters, sealed[1], unlocked.keyring)))
    for secret in (key.secret.hex(), repr(key.secret)[2:-1], PASSPHRASE.decode(), str(AGE), "PRIVATE KEY"):
        assert secret not in shown
    assert base64.b64encode(key.secret) not in unlocked.keyring.to_json()


@pytest.mark.parametrize("kind", ["rsa", "age"])
def test_a_kit_can_be_encrypted_where_it_cannot_be_decrypted(kind: str) -> None:
    record = RsaRecord.make(public_pem(RSA)) if kind == "rsa" else AgeRecord.make((str(AGE.to_public()),))
    nothing = Credentials()
    here = provided(new_keyring(record, now=NOW), nothing, {ADA: 1}, "one")
    assert here.key_set().sealing_key(ADA).scope == ADA
    later = unlock(here.keyring, nothing)
    (dek_id,) = here.keys
    assert later.keys == {}
    assert later.key_set().at_hand(ADA) is None
    with pytest.raises(KeyUnusableError, match=f"data key {dek_id} is locked"):
        later.key_set().sealing_key(ADA)
    again = later.provide({ADA: 1}, profile=Profile.BOUND, random=Stream("two"), now=NOW)
    assert again.keyring.deks[dek_id].state is State.RETIRED
    assert len(again.keyring.deks) == 2
    there = unlock(again.keyring, Credentials(rsa_private_key=pem(RSA), age_identities=(str(AGE),)))
    assert set(there.keys) == set(again.keyring.deks)


def test_keys_that_are_there_are_used_and_their_uses_add_up(ring: Keyring) -> None:
    again = provided(ring, CREDENTIALS, {ADA: 4})
    assert set(again.keyring.deks) == set(ring.deks)
    assert again.keyring.active()[ADA].uses == 7
    assert again.keyring.active()[BOB].uses == 1
    assert provided(ring, CREDENTIALS, {}).keyring == ring


def test_uses_are_capped_in_compat_only(ring: Keyring) -> None:
    unlocked = unlock(ring, CREDENTIALS)
    dek_id = ring.active()[ADA].dek_id
    full = unlocked.provide({ADA: 2**31 - 3}, profile=Profile.COMPAT, random=Stream(), now=NOW)
    assert full.keyring.deks[dek_id].uses == 2**31
    with pytest.raises(
        KeyUnusableError, match=f"data key {dek_id} would have sealed 2,147,483,649 values; the maximum"
    ) as caught:
        full.provide({ADA: 1}, profile=Profile.COMPAT, random=Stream(), now=NOW)
    assert "kit keyring retire" in caught.value.hint
    full.provide({ADA: 1}, profile=Profile.BOUND, random=Stream(), now=NOW)
    fresh = with_changes(full, keyring=full.keyring.retired(dek_id))
    fresh = fresh.provide({ADA: 1}, profile=Profile.COMPAT, random=Stream("new"), now=NOW)
    assert fresh.keyring.active()[ADA].dek_id != dek_id
    with pytest.raises(KeyUnusableError, match="there is no data key 'x'"):
        ring.retired("x")


def test_a_wrong_or_missing_passphrase_opens_nothing(ring: Keyring) -> None:
    with pytest.raises(KeyUnusableError, match=r"r\.json: master key 1: wrong passphrase"):
        unlock(ring, Credentials(passphrase=lambda _version: b"guess"), where="r.json")
    with pytest.raises(KeyUnusableError, match="cannot be requested here"):
        unlock(ring, Credentials())


def _dek(value: dict[str, Any], at: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = value["deks"][at]
    return found


def test_an_altered_commitment_is_named(ring: Keyring) -> None:
    dek_id = min(ring.deks)
    altered = Keyring.parse(edited(ring, lambda value: _dek(value).update(commitment="0" * 64)))
    with pytest.raises(KeyUnusableError, match=f"data key {dek_id} is not the one the keyring committed to"):
        unlock(altered, CREDENTIALS)


def test_an_altered_wrapping_is_named(ring: Keyring) -> None:
    dek_id = min(ring.deks)
    wrapped = bytearray(ring.deks[dek_id].wrapped.wrapped)
    wrapped[9] ^= 1
    text = base64.b64encode(wrapped).decode()
    altered = Keyring.parse(edited(ring, lambda value: _dek(value).update(wrapped=text)))
    with pytest.raises(KeyUnusableError, match=f"data key {dek_id} .master key 1.: does not unwrap"):
        unlock(altered, CREDENTIALS)


@pytest.mark.parametrize("name", ["product", "context", "owner", "dekId"])
def test_a_data_key_given_another_purpose_does_not_open(ring: Keyring, name: str) -> None:
    altered = Keyring.parse(edited(ring, lambda value: _dek(value).update({name: "mallory"})))
    with pytest.raises(KeyUnusableError, match="was wrapped for another purpose"):
        unlock(altered, CREDENTIALS)


def test_two_data_keys_swapped_do_not_open(ring: Keyring) -> None:
    def swap(value: dict[str, Any]) -> None:
        one, other = value["deks"]
        for name in ("wrapped", "commitment"):
            one[name], other[name] = other[name], one[name]

    with pytest.raises(KeyUnusableError, match="was wrapped for another purpose"):
        unlock(Keyring.parse(edited(ring, swap)), CREDENTIALS)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        pytest.param(lambda v: v.update(schemaVersion="2"), "is version '2'", id="a newer version"),
        pytest.param(lambda v: v.update(more=1), "unknown member: 'more'", id="unknown member"),
        pytest.param(lambda v: v["meks"].clear(), "/meks: are not numbered", id="no master key"),
        pytest.param(lambda v: v["meks"][0].update(version=2), "are not numbered", id="numbered from 2"),
        pytest.param(lambda v: v["meks"][0].update(provider="hsm"), "'hsm', not one of", id="unknown provider"),
        pytest.param(lambda v: v["meks"][0]["kdf"].update(n=2**40), "parameters other than", id="a terabyte of scrypt"),
        pytest.param(lambda v: v["meks"][0]["kdf"].update(n=2), "parameters other than", id="scrypt without cost"),
        pytest.param(lambda v: v["meks"][0]["kdf"].update(name="md5"), "is 'md5'", id="another derivation"),
        pytest.param(lambda v: v["meks"][0].update(sealed="YR=="), "canonical base64", id="base64 in other spelling"),
        pytest.param(lambda v: v["meks"][0].update(sealed="ü"), "canonical base64", id="no base64"),
        pytest.param(lambda v: v["meks"][0].update(createdAt="now"), "RFC 3339", id="no time"),
        pytest.param(lambda v: v["deks"].append(v["deks"][0]), "is there twice", id="a data key twice"),
        pytest.param(
            lambda v: v["deks"].append({**v["deks"][0], "dekId": "x"}), "second active data key", id="two active"
        ),
        pytest.param(lambda v: _dek(v).update(dekId="a b"), "dekId 'a b'", id="a blank in a name"),
        pytest.param(lambda v: _dek(v).update(uses=-1), "/deks/0/uses: is -1", id="negative uses"),
        pytest.param(lambda v: _dek(v).update(uses=True), "is not an integer", id="true for a number"),
        pytest.param(lambda v: _dek(v).update(commitment="x"), "hex digits", id="no commitment"),
        pytest.param(lambda v: _dek(v).update(state="lost"), "neither 'active' nor 'retired'", id="unknown state"),
        pytest.param(lambda v: _dek(v).update(mekVersion=2), "no such master key", id="an unknown master key"),
        pytest.param(lambda v: _dek(v).update(madeUnder=0), "no such master key", id="made under none"),
        pytest.param(lambda v: _dek(v).update(beside={}), "/deks/0/beside: has no", id="an empty copy"),
        pytest.param(lambda v: _dek(v).pop("uses"), "has no 'uses'", id="no uses"),
    ],
)
def test_a_keyring_that_is_not_understood_is_refused(
    ring: Keyring, change: Callable[[dict[str, Any]], object], fault: str
) -> None:
    with pytest.raises(KeyUnusableError, match=fault):
        Keyring.parse(edited(ring, change))


def test_what_is_no_json_is_no_keyring() -> None:
    for data in (b"{", b"[]", b"\xff"):
        with pytest.raises(KeyUnusableError, match=r"r\.json"):
            Keyring.parse(data, where="r.json")


def test_a_sealed_master_key_of_another_size_is_refused(ring: Keyring) -> None:
    short = PassphraseRecord.make(PASSPHRASE, random=lambda size: b"x" * min(size, 24), cost=COST)
    broken = with_changes(ring, meks=(with_changes(ring.meks[0], record=short),))
    with pytest.raises(KeyUnusableError, match="has 24 bytes, not 32"):
        unlock(broken, CREDENTIALS)


def test_passphrases_and_costs_that_protect_nothing_are_refused() -> None:
    with pytest.raises(UsageError, match="empty passphrase"):
        PassphraseRecord.make(b"", random=Stream())
    for cost in (2, 1000, 2**30):
        with pytest.raises(UsageError, match="not a power of two"):
            PassphraseRecord.make(b"x", random=Stream(), cost=cost)


def test_rsa_keys_of_other_kinds_are_refused() -> None:
    for key in (rsa.generate_private_key(65537, 2048), ed25519.Ed25519PrivateKey.generate()):
        with pytest.raises(KeyUnusableError, match="not an RSA key of 3072"):
            RsaRecord.make(public_pem(key))
    with pytest.raises(KeyUnusableError, match="not a readable public key"):
        RsaRecord.make(b"x")


def test_the_rsa_key_of_a_keyring_may_be_as_powershell_writes_it() -> None:
    keyring = new_keyring(RsaRecord.make(public_pem(RSA)), now=NOW)
    written = b"\xff\xfe" + pem(RSA).decode().replace("\n", "\r\n").encode("utf-16-le")
    assert unlock(keyring, Credentials(rsa_private_key=written)) is not None


def test_rsa_private_keys_are_checked_against_the_public_one() -> None:
    keyring = new_keyring(RsaRecord.make(public_pem(RSA)), now=NOW)
    other = rsa.generate_private_key(65537, 3072)
    with pytest.raises(KeyUnusableError, match="not belong to the keyring's public key"):
        unlock(keyring, Credentials(rsa_private_key=pem(other)))
    with pytest.raises(KeyUnusableError, match="not an RSA private key"):
        unlock(keyring, Credentials(rsa_private_key=pem(ed25519.Ed25519PrivateKey.generate())))
    with pytest.raises(KeyUnusableError, match="not a readable private key"):
        unlock(keyring, Credentials(rsa_private_key=b"x"))
    encrypted = pem(RSA, b"TEST-ONLY")
    with pytest.raises(KeyUnusableError, match="cannot be requested here"):
        unlock(keyring, Credentials(rsa_private_key=encrypted))
    with pytest.raises(KeyUnusableError, match="wrong passphrase"):
        unlock(keyring, Credentials(rsa_private_key=encrypted, rsa_passphrase=lambda: b"guess"))
    unlock(keyring, Credentials(rsa_private_key=encrypted, rsa_passphrase=lambda: b"TEST-ONLY"))


def test_a_data_key_for_another_rsa_key_or_identity_is_named() -> None:
    ring = provided(new_keyring(RsaRecord.make(public_pem(RSA)), now=NOW), Credentials(), {ADA: 1}).keyring
    (dek,) = ring.deks.values()
    broken = ring.with_deks(with_changes(dek, wrapped=Wrapped(mek_version=1, wrapped=bytes(384))))
    with pytest.raises(KeyUnusableError, match=f"data key {dek.dek_id} .master key 1.: does not unwrap under the RSA"):
        unlock(broken, Credentials(rsa_private_key=pem(RSA)))
    ring = provided(new_keyring(AgeRecord.make((str(AGE.to_public()),)), now=NOW), Credentials(), {ADA: 1}).keyring
    stranger = str(pyrage.x25519.Identity.generate())
    with pytest.raises(KeyUnusableError, match="does not open with the age identity"):
        unlock(ring, Credentials(age_identities=(stranger,)))
    with pytest.raises(KeyUnusableError, match="not an age identity"):
        unlock(ring, Credentials(age_identities=("x",)))
    with pytest.raises(KeyUnusableError, match="not an age X25519 recipient"):
        AgeRecord.make(("age1x",))
    with pytest.raises(KeyUnusableError, match="no age recipient"):
        AgeRecord.make(())


def test_a_data_key_of_the_live_platform_is_taken_over(ring: Keyring) -> None:
    unlocked = unlock(ring, CREDENTIALS)
    old = ring.active()[ADA].dek_id
    secret = Stream("TEST-ONLY live")(32)
    after = unlocked.imported(ADA, "live-7", secret, now=NOW)
    assert after.key_set().sealing_key(ADA).secret == secret
    assert after.keyring.deks[old].state is State.RETIRED
    assert unlock(after.keyring, CREDENTIALS).keys["live-7"].secret == secret
    first = unlock(empty_keyring(), CREDENTIALS).imported(ADA, "live-7", secret, now=NOW)
    assert first.keyring.active()[ADA].dek_id == "live-7"
    with pytest.raises(KeyUnusableError, match="live-7 is in the keyring already"):
        after.imported(ADA, "live-7", secret, now=NOW)
    with pytest.raises(EnvelopeError, match="is not 1 to 128"):
        unlocked.imported(ADA, "a b", secret, now=NOW)
    with pytest.raises(KeyUnusableError, match="has 3 bytes"):
        unlocked.imported(ADA, "live-8", b"abc", now=NOW)


# Files and rewraps


@pytest.fixture
def path(tmp_path: Path, ring: Keyring) -> Path:
    create(tmp_path / "keyring.json", ring)
    return tmp_path / "keyring.json"


NEW = b"TEST-ONLY another passphrase"
BOTH = Credentials(passphrase=lambda version: PASSPHRASE if version == 1 else NEW)


def test_a_keyring_file_reads_back_with_mode_0600(path: Path, ring: Keyring) -> None:
    assert load(path).keyring == ring
    assert path.stat().st_mode & 0o7777 == 0o600
    file = load(path)
    assert file.replaced(ring) is file
    changed = file.replaced(ring.with_mek(passphrase_record(NEW), now=NOW))
    assert load(path) == changed
    assert path.stat().st_mode & 0o7777 == 0o600
    assert {entry.name for entry in path.parent.iterdir()} == {"keyring.json", ".keyring.json.lock"}


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660])
def test_a_keyring_others_can_get_at_is_refused(path: Path, mode: int) -> None:
    path.chmod(mode)
    with pytest.raises(KeyUnusableError, match=f"others can get at this keyring .mode {mode:04o}"):
        load(path)


def test_a_keyring_is_never_created_over_anything(path: Path, ring: Keyring) -> None:
    with pytest.raises(OutputError, match="a keyring is never overwritten"):
        create(path, ring)


def test_a_run_that_would_lose_anothers_keys_is_refused(path: Path) -> None:
    mine, theirs = load(path), load(path)
    theirs.replaced(provided(theirs.keyring, CREDENTIALS, {scope("eve"): 1}, "theirs").keyring)
    with pytest.raises(OutputError, match="changed by another process"):
        mine.replaced(provided(mine.keyring, CREDENTIALS, {scope("dan"): 1}, "mine").keyring)
    file = load(path)
    with lock(path, what="keyring"), pytest.raises(OutputError, match="another process is changing this keyring"):
        file.replaced(file.keyring.with_mek(passphrase_record(NEW), now=NOW))


def test_a_file_that_cannot_be_replaced_is_left_as_it_was(path: Path) -> None:
    before = path.read_bytes()
    (path.parent / ".keyring.json.new").mkdir()
    file = load(path)
    with pytest.raises(OutputError, match="cannot write the keyring"):
        file.replaced(file.keyring.with_mek(passphrase_record(NEW), now=NOW))
    assert path.read_bytes() == before
    (path.parent / ".keyring.json.lock").unlink()
    (path.parent / ".keyring.json.lock").mkdir()
    with pytest.raises(OutputError, match="cannot lock the keyring"):
        file.replaced(file.keyring.with_mek(passphrase_record(NEW), now=NOW))


def test_what_a_crashed_write_left_is_not_kept(path: Path) -> None:
    left = path.parent / ".keyring.json.new"
    left.write_bytes(b"half")
    left.chmod(0o666)
    file = load(path)
    file.replaced(file.keyring.with_mek(passphrase_record(NEW), now=NOW))
    assert not left.exists()
    assert path.stat().st_mode & 0o7777 == 0o600


def test_a_rewrap_moves_every_key_and_changes_none(path: Path) -> None:
    before = unlock(load(path).keyring, CREDENTIALS)
    file = load(path)
    file = file.replaced(file.keyring.with_mek(passphrase_record(NEW, "two"), now=NOW))
    after = rewrap(file, BOTH)
    assert {dek.wrapped.mek_version for dek in after.keyring.deks.values()} == {2}
    only_new = Credentials(passphrase=lambda version: NEW if version == 2 else pytest.fail("asked for the old one"))
    opened = unlock(load(path).keyring, only_new)
    assert opened.keys == before.keys
    assert [key.mek_version for key in opened.keys.values()] == [1, 1], "envelopes keep their bytes"
    assert rewrap(load(path), only_new) == load(path)


def test_a_rewrap_crashed_between_its_steps_loses_nothing_and_can_be_completed(path: Path) -> None:
    before = unlock(load(path).keyring, CREDENTIALS).keys
    file = load(path)
    file = file.replaced(file.keyring.with_mek(passphrase_record(NEW, "two"), now=NOW))
    file.replaced(unlock(file.keyring, BOTH).begun_rewrap())
    crashed = load(path)
    assert all(dek.beside is not None for dek in crashed.keyring.deks.values())
    jsonschema.validate(json.loads(crashed.loaded), SCHEMA)
    assert unlock(crashed.keyring, BOTH).keys == before
    assert unlock(rewrap(crashed, BOTH).keyring, BOTH).keys == before


def test_a_rewrap_whose_copy_is_another_key_keeps_the_old_one(path: Path) -> None:
    keyring = load(path).keyring.with_mek(passphrase_record(NEW, "two"), now=NOW)
    begun = unlock(keyring, BOTH).begun_rewrap()
    one, other = sorted(begun.deks)
    swapped = begun.with_deks(with_changes(begun.deks[one], beside=begun.deks[other].beside))
    with pytest.raises(KeyUnusableError, match=f"data key {one} was wrapped for another purpose"):
        unlock(swapped, BOTH).finished_rewrap()
    foreign = unlock(keyring, BOTH)
    fake = with_changes(foreign.keys[one], secret=bytes(32))
    copy = foreign.masters[2].wrap(fake.secret + fake.scope.digest(one))
    wrong = begun.with_deks(with_changes(begun.deks[one], beside=Wrapped(mek_version=2, wrapped=copy)))
    with pytest.raises(KeyUnusableError, match=f"data key {one} is not the one"):
        unlock(wrong, BOTH).finished_rewrap()
    other_old = unlock(begun, BOTH)
    other_old = with_changes(other_old, keys={**other_old.keys, one: fake})
    with pytest.raises(KeyUnusableError, match=f"data key {one}: the new copy is another key"):
        other_old.finished_rewrap()


def test_a_rewrap_to_a_key_that_cannot_be_opened_here_is_not_switched_to(path: Path) -> None:
    before = unlock(load(path).keyring, CREDENTIALS).keys
    file = load(path)
    file = file.replaced(file.keyring.with_mek(RsaRecord.make(public_pem(RSA)), now=NOW))
    with pytest.raises(KeyUnusableError, match="both copies must open"):
        rewrap(file, CREDENTIALS)
    assert unlock(load(path).keyring, CREDENTIALS).keys == before
    done = rewrap(load(path), Credentials(passphrase=CREDENTIALS.passphrase, rsa_private_key=pem(RSA)))
    assert unlock(done.keyring, Credentials(rsa_private_key=pem(RSA))).keys == before


def test_a_locked_data_key_cannot_be_rewrapped() -> None:
    ring = provided(new_keyring(RsaRecord.make(public_pem(RSA)), now=NOW), Credentials(), {ADA: 1}).keyring
    with pytest.raises(KeyUnusableError, match="is locked, so it cannot be rewrapped"):
        unlock(ring.with_mek(passphrase_record(), now=NOW), BOTH_OR_FIRST).begun_rewrap()


BOTH_OR_FIRST = Credentials(passphrase=lambda _version: PASSPHRASE)


def test_a_keyring_is_not_read_through_a_link(path: Path) -> None:
    link = path.parent / "link.json"
    link.symlink_to(path)
    with pytest.raises(KeyUnusableError, match="symbolic link"):
        load(link)


@pytest.mark.slow
def test_a_keyring_may_be_larger_than_a_manifest() -> None:
    data = empty_keyring().to_json()
    larger = data.rstrip() + b" " * Limits().json_bytes + b"\n"
    assert Keyring.parse(larger) == Keyring.parse(data)

"""Master keys in a PKCS#11 token: SoftHSM is the token, and ``cryptography`` another one that has the same key."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import traceback
from collections.abc import Iterator
from dataclasses import replace as with_changes
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import jsonschema
import pytest
from cryptography.hazmat.primitives import keywrap

from kit.encryption import (
    Credentials,
    Keyring,
    Profile,
    TokenRecord,
    create,
    load,
    new_keyring,
    rewrap,
    unlock,
)
from kit.encryption.keyring import Wrapped
from kit.encryption.master_keys import TokenKey, _by_encryption, _probe
from kit.errors import KeyUnusableError, UsageError
from kit.tokens.login import Login, _close
from tests.encryption.site import CREDENTIALS, NOW, PASSPHRASE, Stream, empty_keyring, passphrase_record, scope
from tests.encryption.softhsm import KEY_ID, PIN, TOKEN

ROOT = Path(__file__).parents[2]
SCHEMA = json.loads((ROOT / "schemas/keyring.schema.json").read_bytes())
ADA = scope("ada")
SECRET = bytes(range(100, 164))


@pytest.fixture
def token(module: Path) -> Iterator[Credentials]:
    yield Credentials(pkcs11_module=module, pkcs11_pin=lambda _label: PIN.encode(), passphrase=lambda _v: PASSPHRASE)
    gc.collect()  # no key is left, so the process is logged out before the next test


def record(label: str | None = "mek", **changes: Any) -> TokenRecord:
    facts = {"token_label": TOKEN, "key_label": label, "key_id": None, "mechanism": "aes-key-wrap"}
    return TokenRecord(**(facts | changes))


def provided(keyring: Keyring, credentials: Credentials) -> Keyring:
    unlocked = unlock(keyring, credentials)
    return unlocked.provide({ADA: 1}, profile=Profile.BOUND, random=Stream("k"), now=NOW).keyring


def test_a_data_key_wrapped_in_the_token_opens_again(token: Credentials) -> None:
    made = TokenRecord.make(token, token_label=TOKEN, key_label="mek")
    assert made == record()
    unlocked = unlock(new_keyring(made, now=NOW), token)
    first = unlocked.provide({ADA: 1}, profile=Profile.BOUND, random=Stream("k"), now=NOW)
    again = unlock(Keyring.parse(first.keyring.to_json()), token)
    assert again.keys == first.keys
    (key,) = again.keys.values()
    assert key.secret == Stream("k")(32)


@pytest.mark.parametrize(
    ("label", "key_id"), [("mek", None), (None, KEY_ID), ("mek", KEY_ID.upper())], ids=["by label", "by id", "by both"]
)
def test_a_record_survives_printing_and_says_neither_pin_nor_module(
    token: Credentials, label: str | None, key_id: str | None
) -> None:
    made = TokenRecord.make(token, token_label=TOKEN, key_label=label, key_id=key_id)
    keyring = provided(new_keyring(made, now=NOW), token)
    assert Keyring.parse(keyring.to_json()) == keyring
    jsonschema.validate(json.loads(keyring.to_json()), SCHEMA)
    shown = keyring.to_json().decode() + repr((keyring, token))
    assert PIN not in shown
    assert "libsofthsm2" not in keyring.to_json().decode()


@pytest.mark.parametrize("name", ["aes-key-wrap", "aes-key-wrap-pad"])
def test_the_token_wraps_as_the_rfc_says(pkcs11: ModuleType, token: Credentials, name: str) -> None:
    key = record().activate(token, version=1, where="")
    known = key._login.session.create_object(
        {
            pkcs11.Attribute.CLASS: pkcs11.ObjectClass.SECRET_KEY,
            pkcs11.Attribute.KEY_TYPE: pkcs11.KeyType.AES,
            pkcs11.Attribute.VALUE: b"k" * 32,
            pkcs11.Attribute.TOKEN: False,
            pkcs11.Attribute.WRAP: True,
            pkcs11.Attribute.UNWRAP: True,
        }
    )
    here = TokenKey(known, key._login, mechanism=name, by_encryption=False)
    oracle = {"aes-key-wrap": keywrap.aes_key_wrap, "aes-key-wrap-pad": keywrap.aes_key_wrap_with_padding}[name]
    assert here.wrap(SECRET) == oracle(b"k" * 32, SECRET)
    assert here.unwrap(oracle(b"k" * 32, SECRET)) == SECRET


class DataWrappingKey:
    """A key of a token that wraps through C_Encrypt, which SoftHSM does not."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.failure = failure

    def encrypt(self, secret: bytes, *, mechanism: object) -> bytes:
        assert mechanism == "CKM"
        if self.failure is not None:
            raise self.failure
        return keywrap.aes_key_wrap(b"k" * 32, secret)

    def decrypt(self, wrapped: bytes, *, mechanism: object) -> bytes:
        assert mechanism == "CKM"
        return keywrap.aes_key_unwrap(b"k" * 32, wrapped)


class RefusedError(Exception):
    pass


def test_a_token_that_encrypts_with_the_mechanism_never_holds_the_secret_as_an_object() -> None:
    package: Any = SimpleNamespace(PKCS11Error=RefusedError, Mechanism={"AES_KEY_WRAP": "CKM"})
    login = Login(package, SimpleNamespace(close=lambda: None))
    key = TokenKey(DataWrappingKey(), login, mechanism="aes-key-wrap", by_encryption=True)
    assert key.unwrap(key.wrap(SECRET)) == SECRET
    broken = TokenKey(DataWrappingKey(RefusedError(SECRET)), login, mechanism="aes-key-wrap", by_encryption=True)
    with pytest.raises(KeyUnusableError, match=r"the token did not wrap it \(RefusedError\)"):
        broken.wrap(SECRET)


def test_what_the_token_can_decides_the_way(pkcs11: ModuleType, token: Credentials) -> None:
    flag, attribute = pkcs11.MechanismFlag, pkcs11.Attribute
    both: Any = SimpleNamespace(
        pkcs11=pkcs11, capabilities=lambda _name: flag.ENCRYPT | flag.DECRYPT | flag.WRAP | flag.UNWRAP
    )
    none: Any = SimpleNamespace(pkcs11=pkcs11, capabilities=lambda _name: 0)
    everything = dict.fromkeys((attribute.ENCRYPT, attribute.DECRYPT, attribute.WRAP, attribute.UNWRAP), True)
    assert _by_encryption(everything, both, "aes-key-wrap") is True
    assert _by_encryption(everything | {attribute.DECRYPT: False}, both, "aes-key-wrap") is False
    assert _by_encryption(everything, none, "aes-key-wrap") is None
    assert record().activate(token, version=1, where="")._by_encryption is False


def test_a_wrong_pin_is_named_and_presented_once(token: Credentials) -> None:
    asked: list[str] = []

    def guess(label: str) -> bytes:
        asked.append(label)
        return b"4321-guess"

    with pytest.raises(KeyUnusableError, match=r"ring: master key 1: wrong PIN") as caught:
        unlock(new_keyring(record(), now=NOW), with_changes(token, pkcs11_pin=guess), where="ring")
    assert asked == [TOKEN]
    assert "4321-guess" not in str(caught.value) + caught.value.hint


@pytest.mark.parametrize("pin", [b"", b"\xff"], ids=["empty", "no UTF-8"])
def test_a_pin_that_cannot_be_right_is_not_presented(token: Credentials, pin: bytes) -> None:
    with pytest.raises(KeyUnusableError, match="empty or not UTF-8"):
        record().activate(with_changes(token, pkcs11_pin=lambda _label: pin), version=1, where="")


def test_what_reaches_the_token_is_named_where_it_is_missing(token: Credentials, tmp_path: Path) -> None:
    for credentials, fault in (
        (Credentials(), "whose module is not named"),
        (with_changes(token, pkcs11_pin=None), "needs a PIN, which cannot be requested here"),
        (with_changes(token, pkcs11_module=tmp_path / "none.so"), r"none\.so is not a usable PKCS#11 module"),
        (with_changes(token, pkcs11_module=Path(__file__)), "is not a usable PKCS#11 module"),
    ):
        with pytest.raises(KeyUnusableError, match=fault):
            record().activate(credentials, version=1, where="")


@pytest.mark.parametrize(
    ("wanted", "fault"),
    [
        pytest.param(record(token_label="elsewhere"), "there is no such token", id="no such token"),  # noqa: S106 - a label
        pytest.param(record("nothing"), "the token has no such key", id="no such key"),
        pytest.param(record("mek", key_id="ff"), "the token has no such key", id="label and id of two keys"),
        pytest.param(record("twin"), "several keys of the token have this label", id="two keys of one label"),
        pytest.param(record("leaky"), "could leave its token", id="an extractable key"),
        pytest.param(record("open"), "could leave its token", id="a key that is not sensitive"),
        pytest.param(record("short"), "has 16 bytes, not 32", id="AES-128"),
        pytest.param(record("idle"), "do not wrap with aes-key-wrap", id="a key that may not wrap"),
        pytest.param(record(mechanism="aes-key-wrap-kwp"), "do not wrap with aes-key-wrap-kwp", id="no such mechanism"),
    ],
)
def test_a_key_that_will_not_do_is_refused(token: Credentials, wanted: TokenRecord, fault: str) -> None:
    with pytest.raises(KeyUnusableError, match=fault):
        unlock(new_keyring(wanted, now=NOW), token)


def test_a_key_is_only_taken_by_names_and_mechanisms_that_exist(token: Credentials) -> None:
    for arguments, fault in (
        ({"token_label": TOKEN}, "a key in a token needs"),
        ({"token_label": "", "key_label": "mek"}, "a key in a token needs"),
        ({"token_label": TOKEN, "key_id": "abc"}, "not whole bytes in hex"),
        ({"token_label": TOKEN, "key_label": "mek", "mechanism": "rot13"}, "is not a mechanism"),
    ):
        with pytest.raises(UsageError, match=fault):
            TokenRecord.make(token, **arguments)
    with pytest.raises(KeyUnusableError, match="does not wrap with aes-key-wrap-kwp"):
        TokenRecord.make(token, token_label=TOKEN, key_label="mek", mechanism="aes-key-wrap-kwp")


@pytest.mark.parametrize("back", [bytes(64), None], ids=["other bytes", "nothing"])
def test_a_token_that_does_not_give_back_what_it_took_is_refused(back: bytes | None) -> None:
    liar: Any = SimpleNamespace(wrap=lambda secret: secret, unwrap=lambda _wrapped: back)
    with pytest.raises(KeyUnusableError, match="token 'site': the token does not unwrap to what it wrapped"):
        _probe(liar, "token 'site'")


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        pytest.param({"tokenLabel": ""}, "/meks/0/tokenLabel: is empty", id="no token"),
        pytest.param({"keyLabel": None}, "/meks/0/keyLabel: is not a string", id="null for a label"),
        pytest.param({"keyId": "0A"}, "/meks/0/keyId: is not whole bytes", id="capitals"),
        pytest.param({"mechanism": "rot13"}, "'rot13', not one of", id="another mechanism"),
        pytest.param({"pin": "1234"}, "unknown member: 'pin'", id="a PIN in the keyring"),
        pytest.param({"module": "x.so"}, "unknown member: 'module'", id="a module in the keyring"),
    ],
)
def test_a_record_that_is_not_understood_is_refused(changes: dict[str, Any], fault: str) -> None:
    value = json.loads(new_keyring(record(), now=NOW).to_json())
    value["meks"][0].update(changes)
    with pytest.raises(KeyUnusableError, match=fault):
        Keyring.parse(json.dumps(value).encode())


def test_a_record_that_names_no_key_is_refused() -> None:
    with pytest.raises(KeyUnusableError, match="neither 'keyLabel' nor 'keyId'"):
        Keyring.parse(new_keyring(record(None), now=NOW).to_json())


@pytest.mark.parametrize("change", ["a byte altered", "cut", "under another key of the token"])
def test_a_data_key_that_does_not_unwrap_is_named_and_none_of_it_shows(token: Credentials, change: str) -> None:
    keyring = provided(new_keyring(record(), now=NOW), token)
    (dek,) = keyring.deks.values()
    old = dek.wrapped.wrapped
    if change == "under another key of the token":
        wrapped = record("other").activate(token, version=1, where="").wrap(SECRET)
    else:
        wrapped = old[:-8] if change == "cut" else old[:9] + bytes([old[9] ^ 1]) + old[10:]
    broken = keyring.with_deks(with_changes(dek, wrapped=Wrapped(mek_version=1, wrapped=wrapped)))
    with pytest.raises(KeyUnusableError, match=rf"data key {dek.dek_id} \(master key 1\): does not unwrap") as caught:
        unlock(broken, token)
    told = "".join(traceback.format_exception(caught.value))
    secret = Stream("k")(32)
    for form in (secret.hex(), repr(secret)[2:-1], SECRET.hex(), repr(SECRET)[2:-1], PIN):
        assert form not in told


def test_the_master_key_cannot_be_read_from_the_token(pkcs11: ModuleType, token: Credentials) -> None:
    key = record().activate(token, version=1, where="")
    with pytest.raises(pkcs11.AttributeSensitive):
        key._key[pkcs11.Attribute.VALUE]
    other = record("other").activate(token, version=1, where="")
    with pytest.raises(pkcs11.PKCS11Error):
        other._key.wrap_key(key._key, mechanism=pkcs11.Mechanism.AES_KEY_WRAP)


def test_no_secret_stays_in_the_token(pkcs11: ModuleType, token: Credentials) -> None:
    key = record().activate(token, version=1, where="")
    key.unwrap(key.wrap(SECRET))
    kind = {pkcs11.Attribute.KEY_TYPE: pkcs11.KeyType.GENERIC_SECRET}
    assert list(key._login.session.get_objects(kind)) == []


def test_one_login_serves_all_keys_of_a_token_and_ends_with_the_last(token: Credentials) -> None:
    one = record().activate(token, version=1, where="")
    other = record("other").activate(with_changes(token, pkcs11_pin=None), version=2, where="")
    assert one._login is other._login
    del one
    assert other.unwrap(other.wrap(SECRET)) == SECRET
    del other
    gc.collect()
    with pytest.raises(KeyUnusableError, match="needs a PIN"):
        record().activate(with_changes(token, pkcs11_pin=None), version=1, where="")


def test_a_forked_worker_does_not_log_its_parent_out() -> None:
    closed: list[str] = []
    session = SimpleNamespace(close=lambda: closed.append("closed"))
    _close(session, os.getpid() + 1)
    assert closed == []
    _close(session, os.getpid())
    assert closed == ["closed"]


def test_without_the_extra_the_package_is_named() -> None:
    program = (
        "import sys; sys.modules['pkcs11'] = None\n"
        "from pathlib import Path\n"
        "from kit.encryption import Credentials, TokenRecord\n"
        "from kit.errors import KeyUnusableError\n"
        "try: TokenRecord.make(Credentials(pkcs11_module=Path('/x')), token_label='t', key_label='k')\n"
        "except KeyUnusableError as error: print(error, '|', error.hint)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == (
        "token 't': keys in tokens need the package python-pkcs11 | pip install offline-kit[pkcs11]\n"
    )


def test_data_keys_move_from_a_passphrase_to_a_token_and_back(token: Credentials, tmp_path: Path) -> None:
    path = tmp_path / "ring.json"
    file = create(path, provided(empty_keyring(), CREDENTIALS))
    before = unlock(file.keyring, CREDENTIALS).keys
    file = file.replaced(file.keyring.with_mek(record(), now=NOW))
    with pytest.raises(KeyUnusableError, match="whose module is not named"):
        rewrap(file, CREDENTIALS)
    inside = rewrap(load(path), token)
    assert {dek.wrapped.mek_version for dek in inside.keyring.deks.values()} == {2}
    assert unlock(inside.keyring, with_changes(token, passphrase=None)).keys == before
    outside = rewrap(inside.replaced(inside.keyring.with_mek(passphrase_record(seed="3"), now=NOW)), token)
    assert {dek.wrapped.mek_version for dek in outside.keyring.deks.values()} == {3}
    assert unlock(outside.keyring, CREDENTIALS).keys == before

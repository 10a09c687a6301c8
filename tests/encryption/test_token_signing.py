"""Signing keys in a token, through the commands: SoftHSM is the token, and ``cryptography`` checks what it signed."""

from __future__ import annotations

import gc
import importlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from kit.errors import KeyUnusableError, UsageError
from kit.signing import load_public
from kit.signing.token_keys import load_token_key
from kit.tokens.uri import TokenUri
from kit.values import Sha256
from tests.commands import Outcome, kit
from tests.encryption.softhsm import PIN, TOKEN
from tests.end_to_end.desk import Desk
from tests.end_to_end.vault import descriptor
from tests.kits import AT

P256 = bytes.fromhex("06082a8648ce3d030107")
P384 = bytes.fromhex("06052b81040022")
KINDS = ("es256", "ps256", "ed25519")


def pair(session: Any, pkcs11: Any, label: str, **private: Any) -> None:
    attribute, kind = pkcs11.Attribute, label.partition("-")[0]
    secret = {attribute.SENSITIVE: True, attribute.EXTRACTABLE: False, attribute.SIGN: True}
    secret |= {attribute[name]: value for name, value in private.items()}
    if kind == "ps256":
        bits = 2048 if label.endswith("short") else 3072
        session.generate_keypair(pkcs11.KeyType.RSA, bits, store=True, label=label, private_template=secret)
        return
    if kind == "ed25519":
        curve = session.create_domain_parameters(
            pkcs11.KeyType.EC_EDWARDS, {attribute.EC_PARAMS: bytes.fromhex("130c656477617264733235353139")}, local=True
        )
        curve.generate_keypair(
            mechanism=pkcs11.Mechanism.EC_EDWARDS_KEY_PAIR_GEN, store=True, label=label, private_template=secret
        )
        return
    oid = P384 if label.endswith("p384") else P256
    curve = session.create_domain_parameters(pkcs11.KeyType.EC, {attribute.EC_PARAMS: oid}, local=True)
    curve.generate_keypair(store=True, label=label, private_template=secret)


@pytest.fixture(scope="module")
def signers(module: Path) -> list[str]:
    """Make a pair of each kind, and of those that are refused; give the labels of the good ones."""
    pkcs11 = importlib.import_module("pkcs11")
    found = ["es256", "ps256"]
    with pkcs11.lib(str(module)).get_token(token_label=TOKEN).open(rw=True, user_pin=PIN) as session:
        for label in (*found, "es256-p384", "ps256-short"):
            pair(session, pkcs11, label)
        pair(session, pkcs11, "es256-leaky", EXTRACTABLE=True)
        pair(session, pkcs11, "es256-idle", SIGN=False)
        try:
            pair(session, pkcs11, "ed25519")
        except pkcs11.PKCS11Error:
            return found
        return [*found, "ed25519"]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    yield Desk(tmp_path)
    gc.collect()


def uri(module: Path, label: str, more: str = "") -> str:
    return f"pkcs11:token={TOKEN};object={label}?module-path={quote(str(module))}{more}"


def run(*words: object, pin: str = PIN) -> Outcome:
    with descriptor(pin.encode()) as number:
        outcome = kit(*words, "--passphrase-fd", number)
    gc.collect()
    return outcome


@pytest.mark.parametrize("kind", KINDS)
def test_a_kit_is_signed_by_a_key_in_a_token(kind: str, signers: list[str], module: Path, desk: Desk) -> None:
    if kind not in signers:
        pytest.skip("this token has no such keys")
    shown = run("keys", "show", uri(module, kind), "--json")
    assert shown.code == 0, shown
    public = desk.keys / "token.pub.pem"
    public.write_text(shown.json["publicKey"])
    assert load_public(public).key_id == shown.json["keyId"]
    output = desk.kits / "out.tar.zst"
    words = (*desk.trust("vendor"), "--signing-key", uri(module, kind), "--created-at", AT, "--workers", 1)
    outcome = run("patch", desk.kit(), *words, "--output", output)
    assert outcome.code == 0, outcome
    verdict = kit("verify", output, *desk.trust("vendor"), "--trusted-key", public, "--workers", 1, "--json")
    assert verdict.code == 0, verdict
    assert shown.json["keyId"] in verdict.out
    assert (desk.kits / "out.tar.zst.sig").exists() is (kind != "ed25519")


def test_the_same_key_creates_countersigns_and_writes_receipts(signers: list[str], module: Path, desk: Desk) -> None:
    assert signers
    key = uri(module, "es256")
    public = desk.keys / "token.pub.pem"
    public.write_text(run("keys", "show", key, "--json").json["publicKey"])
    trusting = (*desk.trust("vendor"), "--trusted-key", public)
    signed = desk.kits / "signed.tar.zst"
    assert run("sign", desk.kit(), "-o", signed, "--signing-key", key, *desk.trust("vendor")).code == 0
    receipt = desk.kits / "receipt.json"
    assert run("verify", signed, *trusting, "--receipt", receipt, "--signing-key", key, "--workers", 1).code == 0
    assert kit("receipt", "verify", receipt, "--trusted-key", public, "--kit", signed).code == 0


def test_the_pin_may_be_in_a_variable(signers: list[str], module: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert signers

    monkeypatch.setenv("TOKEN_PIN", PIN)
    assert kit("keys", "show", uri(module, "es256", "&pin-source=env:TOKEN_PIN")).code == 0
    gc.collect()
    monkeypatch.delenv("TOKEN_PIN")
    kit("keys", "show", uri(module, "es256", "&pin-source=env:TOKEN_PIN")).refused(13, "no such environment variable")
    with descriptor(PIN.encode()) as number:
        assert kit("keys", "show", uri(module, "es256", f"&pin-source=fd:{number}")).code == 0
    gc.collect()
    kit("keys", "show", uri(module, "es256")).refused(13, "there is no terminal to ask for it")


@pytest.mark.parametrize(
    ("label", "fault"),
    [
        ("es256-leaky", "could leave its token"),
        ("es256-idle", "may not sign"),
        ("es256-p384", "another kind than P-256"),
        ("ps256-short", "an RSA key of 2048 bits"),
        ("nobody", "the token has no such key"),
        ("mek", "the token has no such key"),
    ],
)
def test_a_key_that_will_not_do_signs_nothing(
    label: str, fault: str, signers: list[str], module: Path, desk: Desk
) -> None:
    assert signers
    output = desk.kits / "out.tar.zst"
    words = (*desk.trust("vendor"), "--signing-key", uri(module, label), "--output", output)
    run("patch", desk.kit(), *words).refused(13, fault)
    assert not output.exists()


def test_a_wrong_pin_does_not_show_and_is_not_presented_again(signers: list[str], module: Path) -> None:
    assert signers

    outcome = run("keys", "show", uri(module, "es256"), pin="TEST-ONLY-wrong")
    outcome.refused(13, "wrong PIN")
    run("keys", "show", uri(module, "ps256"), pin="TEST-ONLY-wrong").refused(13, "not presented to the token again")
    assert "TEST-ONLY-wrong" not in outcome.out + outcome.err


def test_no_module_and_no_token_are_said(module: Path, tmp_path: Path) -> None:
    run("keys", "show", uri(tmp_path / "absent.so", "es256")).refused(13, "not a usable PKCS#11 module")
    elsewhere = uri(module, "es256").replace(f"token={TOKEN}", "token=elsewhere")
    run("keys", "show", elsewhere).refused(13, "no such token")


def test_signatures_verify_in_each_form_and_the_key_does_not_leave(signers: list[str], module: Path) -> None:
    for label in signers:
        key = load_token_key(TokenUri.parse(uri(module, label)), lambda _label: PIN.encode())
        for data in (b"", b"words", os.urandom(100_000)):
            key.public.verify(key.sign(data), data)
            key.public.verify_der(key.sign_der(data), data)
            if label != "ed25519":
                key.public.verify_digest(key.sign_digest(Sha256.of(data)), Sha256.of(data))
        with pytest.raises(KeyUnusableError, match="does not leave its token"):
            key.pem()
        assert PIN not in repr(key)
        del key
    gc.collect()


GOOD = "pkcs11:token=a%20b;object=k;id=%01%02?module-path=/lib/x.so&pin-source=fd:3"


def test_a_uri_names_token_key_and_module() -> None:
    found = TokenUri.parse(GOOD)
    assert (found.token, found.label, found.key_id, str(found.module)) == ("a b", "k", b"\x01\x02", "/lib/x.so")
    assert found.pin_source == "fd:3"
    assert TokenUri.parse("pkcs11:id=%ff;token=t;type=private?module-path=/x").key_id == b"\xff"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("pkcs11:", "must name the token"),
        ("pkcs11:token=t;object=k", "absolute module-path"),
        ("pkcs11:token=t;object=k?module-path=x.so", "absolute module-path"),
        ("pkcs11:token=t?module-path=/x", "must name the token, and the key"),
        ("pkcs11:object=k?module-path=/x", "must name the token"),
        ("pkcs11:token=t;token=t;object=k?module-path=/x", "twice"),
        ("pkcs11:token=t;object=k;serial=7?module-path=/x", "'serial', which is not known"),
        ("pkcs11:token=t;object=k?module-path=/x&module-name=y", "'module-name', which is not known"),
        ("pkcs11:token=t;object=k?module-path=/x&pin-value=1234", "a URI with a PIN is refused"),
        ("pkcs11:token=t;object=k?module-path=/x&pin-source=file:/pin", "neither env:NAME nor fd:N"),
        ("pkcs11:token=t;object=k?module-path=/x&pin-source=fd:x", "neither env:NAME nor fd:N"),
        ("pkcs11:token=t;object=k;type=cert?module-path=/x", "names what is no key"),
        ("pkcs11:token=t;object=%zz?module-path=/x", "without two hex digits"),
        ("pkcs11:token=t;object=%f?module-path=/x", "without two hex digits"),
        ("pkcs11:token=t;object=%ff?module-path=/x", "is not UTF-8"),
        ("pkcs11:token=t;object=%00?module-path=/x", "has a NUL"),
        ("pkcs11:token=t;object?module-path=/x", "without a value"),
        ("file:/x", "begins with pkcs11:"),
    ],
)
def test_a_uri_that_is_not_understood_is_refused(text: str, fault: str, desk: Desk) -> None:
    with pytest.raises(UsageError, match=fault):
        TokenUri.parse(text)
    if text.startswith("pkcs11:"):
        output = desk.kits / "out.tar.zst"
        outcome = kit("patch", desk.kit(), *desk.trust("vendor"), "--signing-key", text, "--output", output)
        outcome.refused(64, fault)
        assert "1234" not in outcome.err

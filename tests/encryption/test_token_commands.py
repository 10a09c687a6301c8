"""The commands over a keyring whose master key is in a token."""

from __future__ import annotations

import gc
import json
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from kit.encryption import load
from tests.commands import Outcome, kit
from tests.encryption.softhsm import PIN, TOKEN
from tests.end_to_end.vault import NOTE, PASSPHRASE, Vault, body, descriptor

KEY = ("--pkcs11-token", TOKEN, "--pkcs11-key", "mek")


class TokenDesk:
    """Runs commands with the module and, from a descriptor, the PIN."""

    def __init__(self, folder: Path, module: Path) -> None:
        self.vault = Vault(folder)
        self.module = module
        self.path = self.vault.keys / "token.keyring"

    def run(self, *words: object, pin: str = PIN) -> Outcome:
        with descriptor(pin.encode()) as number:
            outcome = kit(*words, "--pkcs11-module", self.module, "--pkcs11-pin-fd", number)
        gc.collect()
        return outcome

    def init(self, *more: object, pin: str = PIN) -> Outcome:
        return self.run("keyring", "init", self.path, *KEY, *more, pin=pin)

    def encrypt(self, path: Path, *options: object, keyring: Path | None = None) -> Outcome:
        words = ["--pkcs11-module", self.module, *options]
        chosen = keyring or self.path
        with descriptor(PIN.encode()) as number:
            outcome = self.vault.encrypting(
                "patch", path, *words, "--pkcs11-pin-fd", number, keyring=chosen, passphrase=None
            )
        gc.collect()
        return outcome


@pytest.fixture
def desk(tmp_path: Path, module: Path) -> Iterator[TokenDesk]:
    yield TokenDesk(tmp_path, module)
    gc.collect()


def test_a_keyring_is_made_by_the_token_and_says_where_its_key_is(desk: TokenDesk) -> None:
    outcome = desk.init("--json")
    assert outcome.code == 0, outcome
    assert json.loads(outcome.out)["masterKeys"][0]["provider"] == "pkcs11"
    assert stat.S_IMODE(desk.path.stat().st_mode) == 0o600
    (mek,) = json.loads(desk.path.read_text())["meks"]
    del mek["createdAt"]
    assert mek == {
        "version": 1,
        "provider": "pkcs11",
        "tokenLabel": TOKEN,
        "keyLabel": "mek",
        "mechanism": "aes-key-wrap",
    }


@pytest.mark.parametrize(
    ("words", "code", "fault"),
    [
        pytest.param(("--pkcs11-key", "mek"), 64, "needs --pkcs11-token", id="no token named"),
        pytest.param(("--pkcs11-token", TOKEN), 64, "a key in a token needs the token's label", id="no key named"),
        pytest.param((*KEY, "--age", "age1x"), 64, "sealed by one of", id="two providers"),
        pytest.param((*KEY, "--pkcs11-mechanism", "rot13"), 64, "rot13", id="no such mechanism"),
        pytest.param(("--pkcs11-token", "elsewhere", "--pkcs11-key", "k"), 13, "no such token", id="no such token"),
        pytest.param(("--pkcs11-token", TOKEN, "--pkcs11-key", "none"), 13, "no such key", id="no such key"),
        pytest.param(("--pkcs11-token", TOKEN, "--pkcs11-key", "leaky"), 13, "could leave", id="an extractable key"),
    ],
)
def test_a_key_that_will_not_do_makes_no_keyring(
    words: tuple[str, ...], code: int, fault: str, desk: TokenDesk
) -> None:
    outcome = desk.run("keyring", "init", desk.path, *words)
    assert outcome.code == code, outcome
    assert fault in outcome.err
    assert not desk.path.exists()


def test_a_wrong_pin_makes_no_keyring_and_does_not_show(desk: TokenDesk) -> None:
    outcome = desk.init(pin="TEST-ONLY-wrong")
    assert outcome.code == 13
    assert f"token '{TOKEN}': wrong PIN" in outcome.err
    assert "TEST-ONLY-wrong" not in outcome.out + outcome.err
    assert not desk.path.exists()


def test_a_pin_is_asked_for_only_where_somebody_is(desk: TokenDesk) -> None:
    outcome = kit("keyring", "init", desk.path, *KEY, "--pkcs11-module", desk.module)
    assert outcome.code == 13
    assert "needs a PIN, and there is no terminal" in outcome.err
    assert "--pkcs11-pin-fd" in outcome.err


def test_a_kit_is_encrypted_and_proven_with_the_key_in_the_token(desk: TokenDesk) -> None:
    assert desk.init().code == 0
    output = desk.vault.kits / "out.tar.zst"
    outcome = desk.encrypt(desk.vault.notes(), "--output", output, "--profile", "bound")
    assert outcome.code == 0, outcome
    assert NOTE.encode() not in body(output, "notes")
    (dek,) = load(desk.path).keyring.deks.values()
    assert len(dek.wrapped.wrapped) == 72
    words = ["--field-map", "notelett", "--keyring", desk.path, "--workers", 1]
    assert desk.run("verify", output, *desk.vault.trust("vendor", "site"), *words).code == 0
    without = kit("verify", output, *desk.vault.trust("vendor", "site"), *words)
    assert without.code == 13
    assert "whose module is not named" in without.err


@pytest.mark.slow
def test_a_keyring_moves_from_passphrase_to_token_and_back_and_envelopes_stay(desk: TokenDesk) -> None:
    vault, ring = desk.vault, desk.vault.keyring
    first = body(vault.encrypted(name="first.tar.zst"), "notes")
    assert desk.run("keyring", "add", ring, *KEY).code == 0
    with descriptor(PASSPHRASE, PASSPHRASE) as number:
        outcome = desk.run("keyring", "rewrap", "--keyring", ring, "--keyring-passphrase-fd", number)
    assert outcome.code == 0, outcome
    assert "master key 2" in outcome.out
    second = vault.kits / "second.tar.zst"
    outcome = desk.encrypt(vault.notes(name="again.tar.zst"), "--output", second, keyring=ring)
    assert outcome.code == 0, outcome
    assert body(second, "notes") == first
    with descriptor(PASSPHRASE) as number:
        assert kit("keyring", "add", ring, "--passphrase-fd", number).code == 0
    with descriptor(PASSPHRASE, PASSPHRASE) as number:
        outcome = desk.run("keyring", "rewrap", "--keyring", ring, "--keyring-passphrase-fd", number)
    assert outcome.code == 0, outcome
    assert body(vault.encrypted(name="third.tar.zst"), "notes") == first

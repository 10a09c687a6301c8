"""``kit keyring`` with each provider: made, added to, rewrapped and shown; passphrases from wherever they may come."""

from __future__ import annotations

import json
import stat
import tempfile
from pathlib import Path
from typing import Any

import pyrage
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from kit.encryption import PassphraseRecord, load
from kit.errors import OutputError
from tests import kits
from tests.cli.terminal import Terminal
from tests.commands import kit
from tests.end_to_end.vault import COST, PASSPHRASE, Vault, descriptor, note

NEW = b"TEST-ONLY another passphrase"
BOTH = ("vendor", "site")


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault(tmp_path)


@pytest.fixture(scope="session")
def rsa_pair() -> tuple[bytes, bytes]:
    """Give a private key without passphrase, and its public key."""
    private = rsa.generate_private_key(65537, 3072)
    form = serialization.PrivateFormat.PKCS8
    return (
        private.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()),
        private.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
    )


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    path.chmod(0o600)
    return path


def deks(keyring: Path) -> list[dict[str, Any]]:
    shown: list[dict[str, Any]] = kit("keyring", "show", keyring, "--json").json["dataKeys"]
    return shown


@pytest.mark.slow
def test_a_keyring_sealed_by_a_passphrase_from_a_descriptor_is_made_0600(vault: Vault) -> None:
    path = vault.keys / "new.keyring"
    with descriptor(PASSPHRASE) as number:
        outcome = kit("keyring", "init", path, "--passphrase-fd", number, "--json")
    assert (outcome.code, outcome.err) == (0, "")
    assert [mek["provider"] for mek in outcome.json["masterKeys"]] == ["passphrase"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert PASSPHRASE not in path.read_bytes()
    vault.encrypted(keyring=path)


@pytest.mark.slow
def test_a_passphrase_is_asked_for_twice_at_a_terminal(vault: Vault) -> None:
    path = vault.keys / "asked.keyring"
    with Terminal("keyring", "init", path) as terminal:
        terminal.expect("Passphrase of the new master key:")
        terminal.enter(f"{PASSPHRASE.decode()}\n")
        terminal.expect("Repeat for confirmation:")
        terminal.enter(f"{PASSPHRASE.decode()}\n")
        assert terminal.wait() == 0
        assert "master key 1: passphrase" in terminal.shown
        assert PASSPHRASE.decode() not in terminal.shown
    vault.encrypted(keyring=path)


@pytest.mark.slow
def test_the_passphrase_of_a_keyring_is_asked_for_at_a_terminal(vault: Vault) -> None:
    path, output = vault.notes(), vault.kits / "out.tar.zst"
    words = ("patch", path, *vault.trust("vendor"), "--transform", "encrypt-fields", "--field-map", "notelett")
    signing = ("--signing-key", vault.keys / "site", "--rollback-note", "kept", "--output", output)
    with Terminal(*words, *signing, "--keyring", vault.keyring) as terminal:
        terminal.expect(f"Passphrase of {vault.keyring} (master key 1):")
        terminal.enter(f"{PASSPHRASE.decode()}\n")
        assert terminal.wait() == 0, terminal.shown
    assert output.exists()


def test_without_terminal_and_descriptor_no_passphrase_can_be_given(vault: Vault) -> None:
    with tempfile.TemporaryFile("w+") as nothing:
        made = Terminal.without(nothing, "keyring", "init", vault.keys / "k")
    assert made.returncode == 13
    assert b"no terminal to ask for it" in made.stderr
    assert not (vault.keys / "k").exists()


def test_a_keyring_is_never_overwritten(vault: Vault) -> None:
    before = kits.folder_state(vault.keys)
    with descriptor(NEW) as number:
        kit("keyring", "init", vault.keyring, "--passphrase-fd", number).refused(74, "already there")
    assert kits.folder_state(vault.keys) == before


def test_what_seals_a_master_key_is_one_thing(vault: Vault, rsa_pair: tuple[bytes, bytes]) -> None:
    public = write(vault.keys / "rsa.pub", rsa_pair[1])
    path = vault.keys / "k"
    kit("keyring", "init", path, "--rsa", public, "--age", "age1x").refused(64, "one of")
    assert not path.exists()


def test_a_descriptor_that_cannot_be_read_is_said(vault: Vault) -> None:
    kit("keyring", "init", vault.keys / "k", "--passphrase-fd", 9999).refused(13, "cannot be read")


@pytest.mark.parametrize(
    ("option", "value"), [("--rsa", "absent.pem"), ("--age", "age1nonsense")], ids=["no file", "no recipient"]
)
def test_a_master_key_sealed_for_nobody_is_not_made(option: str, value: str, vault: Vault) -> None:
    outcome = kit("keyring", "init", vault.keys / "k", option, value)
    assert outcome.code in {1, 13}
    assert not (vault.keys / "k").exists()


def test_show_tells_names_and_uses_and_no_secret(vault: Vault) -> None:
    vault.encrypted()
    outcome = kit("keyring", "show", vault.keyring)
    assert outcome.code == 0
    assert "active, 3 uses, master key 1: notelett notes ada" in outcome.out
    stored = json.loads(vault.keyring.read_bytes())
    assert stored["deks"][0]["wrapped"] not in outcome.out
    assert stored["meks"][0]["sealed"] not in outcome.out


def test_show_needs_a_keyring_that_nobody_else_can_read(vault: Vault) -> None:
    vault.keyring.chmod(0o640)
    kit("keyring", "show", vault.keyring).refused(13, "chmod")


@pytest.mark.slow
def test_rewrap_to_a_new_passphrase_moves_every_key_and_no_envelope(vault: Vault) -> None:
    first = vault.encrypted()
    with descriptor(NEW) as number:
        assert kit("keyring", "add", vault.keyring, "--passphrase-fd", number).code == 0
    assert {dek["mekVersion"] for dek in deks(vault.keyring)} == {1}
    with descriptor(NEW, PASSPHRASE) as number:  # in the order asked would be: 1, then 2
        wrong = kit("keyring", "rewrap", "--keyring", vault.keyring, "--keyring-passphrase-fd", number)
    wrong.refused(13, "master key 1")
    with descriptor(PASSPHRASE, NEW, PASSPHRASE, NEW) as number:
        assert kit("keyring", "rewrap", "--keyring", vault.keyring, "--keyring-passphrase-fd", number).code == 0
    assert {dek["mekVersion"] for dek in deks(vault.keyring)} == {2}
    second = vault.encrypted(passphrase=NEW, name="again.tar.zst")
    assert second.read_bytes() == first.read_bytes()


def test_rewrap_needs_to_be_told_the_keyring() -> None:
    kit("keyring", "rewrap").refused(64, "--keyring")


def test_an_rsa_keyring_encrypts_where_it_cannot_decrypt(vault: Vault, rsa_pair: tuple[bytes, bytes]) -> None:
    private, public = (write(vault.keys / f"rsa{n}", pem) for n, pem in enumerate(rsa_pair))
    path = vault.keys / "rsa.keyring"
    assert kit("keyring", "init", path, "--rsa", public).code == 0
    first = vault.encrypted(keyring=path, passphrase=None)
    # The key of the first run is locked now: another one is made for what comes next.
    vault.encrypted(vault.notes(note(7)), keyring=path, passphrase=None, name="next.tar.zst")
    assert sorted(dek["state"] for dek in deks(path)) == ["active", "retired"]
    assert vault.proving(first, keyring=path).code == 13
    assert vault.proving(first, "--keyring-key", private, keyring=path).code == 0


@pytest.mark.slow
def test_an_rsa_keyring_moves_to_a_passphrase_with_the_private_key(vault: Vault, rsa_pair: tuple[bytes, bytes]) -> None:
    private, public = (write(vault.keys / f"rsa{n}", pem) for n, pem in enumerate(rsa_pair))
    path = vault.keys / "rsa.keyring"
    assert kit("keyring", "init", path, "--rsa", public).code == 0
    vault.encrypted(keyring=path, passphrase=None)
    with descriptor(NEW) as number:
        assert kit("keyring", "add", path, "--passphrase-fd", number).code == 0
    rewrap = ("keyring", "rewrap", "--keyring", path, "--keyring-passphrase-fd")
    before = kits.folder_state(vault.keys)
    with descriptor(NEW, NEW) as number:
        kit(*rewrap, number).refused(13, "locked")
    assert kits.folder_state(vault.keys) == before
    with descriptor(NEW, NEW) as number:
        assert kit(*rewrap, number, "--keyring-key", private).code == 0
    assert {dek["mekVersion"] for dek in deks(path)} == {2}


def test_an_age_keyring_opens_with_an_identity_file(vault: Vault) -> None:
    identity = pyrage.x25519.Identity.generate()
    file = write(vault.keys / "identity", f"# made for a test\n{identity}\n".encode())
    path = vault.keys / "age.keyring"
    assert kit("keyring", "init", path, "--age", identity.to_public()).code == 0
    patched = vault.encrypted(keyring=path, passphrase=None)
    outcome = vault.encrypting("plan", patched, "--age-identity", file, keyring=path, passphrase=None, trusting=BOTH)
    assert (outcome.code, "nothing to change" in outcome.out) == (0, True)
    assert vault.proving(patched, "--age-identity", file, keyring=path).code == 0


def test_an_absent_identity_file_is_said(vault: Vault) -> None:
    outcome = vault.encrypting("plan", vault.notes(), "--age-identity", vault.keys / "absent", passphrase=None)
    outcome.refused(1, "absent")


@pytest.mark.slow
def test_an_encrypted_rsa_key_is_asked_for_its_passphrase(vault: Vault, rsa_pair: tuple[bytes, bytes]) -> None:
    public = write(vault.keys / "rsa.pub", rsa_pair[1])
    key = serialization.load_pem_private_key(rsa_pair[0], None)
    form = serialization.PrivateFormat.PKCS8
    sealed = key.private_bytes(serialization.Encoding.PEM, form, serialization.BestAvailableEncryption(b"TEST-ONLY"))
    path, private = vault.keys / "rsa.keyring", write(vault.keys / "rsa.pem", sealed)
    assert kit("keyring", "init", path, "--rsa", public).code == 0
    patched = vault.encrypted(keyring=path, passphrase=None)
    words = ("plan", patched, *vault.trust(*BOTH), "--transform", "encrypt-fields", "--field-map", "notelett")
    with Terminal(*words, "--keyring", path, "--keyring-key", private) as terminal:
        terminal.expect(f"Passphrase of {private}:")
        terminal.enter("TEST-ONLY\n")
        assert terminal.wait() == 0, terminal.shown


def test_two_who_change_a_keyring_at_once_do_not_lose_a_key(vault: Vault) -> None:
    file = load(vault.keyring)
    vault.encrypted()
    more = file.keyring.with_mek(
        PassphraseRecord.make(NEW, random=bytes, cost=COST), now=file.keyring.meks[0].created_at
    )
    with pytest.raises(OutputError, match="changed by another process"):
        file.replaced(more)


def test_a_retired_key_opens_what_it_sealed_and_the_next_run_makes_another(vault: Vault) -> None:
    first = vault.encrypted()
    (old,) = deks(vault.keyring)
    outcome = kit("keyring", "retire", vault.keyring, old["dekId"], "--json")
    assert outcome.code == 0, outcome
    assert [(dek["dekId"], dek["state"]) for dek in outcome.json["dataKeys"]] == [(old["dekId"], "retired")]
    assert vault.proving(first, passphrase=PASSPHRASE).code == 0
    vault.encrypted(vault.notes(name="later.tar.zst"), name="second.tar.zst")
    states = {dek["dekId"]: (dek["state"], dek["uses"]) for dek in deks(vault.keyring)}
    assert states.pop(old["dekId"]) == ("retired", old["uses"])
    assert [state for state, _ in states.values()] == ["active"]
    shown = kit("keyring", "show", vault.keyring).out
    assert f"{old['dekId']}  retired, {old['uses']:,} uses" in shown
    assert "  active, " in shown


def test_retiring_again_changes_nothing_and_an_unknown_key_retires_no_other(vault: Vault) -> None:
    vault.encrypted()
    (old,) = deks(vault.keyring)
    before = vault.keyring.read_bytes()
    kit("keyring", "retire", vault.keyring, old["dekId"], "dek-none").refused(13, "no data key 'dek-none'")
    assert vault.keyring.read_bytes() == before
    assert kit("keyring", "retire", vault.keyring, old["dekId"]).code == 0
    retired = vault.keyring.read_bytes()
    assert kit("keyring", "retire", vault.keyring, old["dekId"]).code == 0
    assert vault.keyring.read_bytes() == retired

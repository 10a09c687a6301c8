"""A leaked data key is replaced: every value under it is sealed again under another key, and holds what it held."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import bson
import pytest

from kit.encryption import load
from tests import kits
from tests.commands import Outcome, kit
from tests.end_to_end.vault import NOTE, PASSPHRASE, Vault, body, descriptor, note

BOTH = ("vendor", "site")


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault(tmp_path)


def key_of(vault: Vault, owner: str, context: str = "notes") -> str:
    (found,) = (
        dek.dek_id
        for dek in load(vault.keyring).keyring.deks.values()
        if (dek.scope.owner, dek.scope.context, str(dek.state)) == (owner, context, "active")
    )
    return found


def notes_of(path: Path) -> list[dict[str, Any]]:
    """Give the notes with their envelopes."""
    return list(map(bson.decode, kits.documents_of(body(path, "notes"))))


def rekey(vault: Vault, path: Path, *dek_ids: str, command: str = "patch", output: Path | None = None) -> Outcome:
    named = [word for dek_id in dek_ids for word in ("--rekey", dek_id)]
    written = ("--output", output) if output is not None else ()
    return vault.encrypting(command, path, *named, *written, "--json", trusting=BOTH)


def test_every_value_of_the_leaked_key_is_under_another_and_nothing_else_changed(vault: Vault) -> None:
    documents = [note(n, owner=("ada", "bob")[n % 2], body=f"{NOTE} {n}") for n in range(20)]
    before = vault.encrypted(vault.notes(*documents))
    leaked, after = key_of(vault, "ada"), vault.kits / "after.tar.zst"
    outcome = rekey(vault, before, leaked, output=after)
    assert outcome.code == 0, outcome
    (counts,) = outcome.json["fields"]
    assert (counts["encrypted"], counts["skipped_encrypted"]) == (10, 10)
    new = key_of(vault, "ada")
    assert new != leaked
    assert str(load(vault.keyring).keyring.deks[leaked].state) == "retired"
    for old, now, plain in zip(notes_of(before), notes_of(after), documents, strict=True):
        assert {**old, "body": None} == {**now, "body": None}
        if plain["userId"] == "bob":
            assert old == now
        else:
            assert (old["body"]["dekId"], now["body"]["dekId"]) == (leaked, new)
    outcome = vault.proving(after, "--rekey", leaked, "--json", passphrase=PASSPHRASE)
    assert outcome.code == 0, outcome
    (field,) = outcome.json["fields"][0]["fields"]
    assert (field["opened"], field["digest"]) == (20, "matches")


def test_a_second_run_finds_nothing_to_do(vault: Vault) -> None:
    before, after = vault.encrypted(), vault.kits / "after.tar.zst"
    leaked = key_of(vault, "ada")
    assert rekey(vault, before, leaked, output=after).code == 0
    keyring = vault.keyring.read_bytes()
    outcome = rekey(vault, after, leaked, command="plan")
    assert outcome.code == 0, outcome
    assert outcome.json["fields"][0]["encrypted"] == 0
    assert vault.keyring.read_bytes() == keyring


@pytest.mark.parametrize("profile", ["bound", "compat"])
def test_nulls_and_missing_fields_stay_and_plaintext_is_sealed_with_the_rest(profile: str, vault: Vault) -> None:
    words = ("--profile", profile)
    first = vault.encrypted(vault.notes(note(1), note(2, body=None), note(3, body=...)), *words)
    leaked = key_of(vault, "ada")
    (one, two, three) = notes_of(first)
    mixed = vault.notes(one, two, three, note(4, body=""), name="mixed.tar.zst")
    after = vault.kits / "after.tar.zst"
    outcome = vault.encrypting("patch", mixed, *words, "--rekey", leaked, "--output", after, "--json")
    assert outcome.code == 0, outcome
    (counts,) = outcome.json["fields"]
    assert [counts[name] for name in ("scanned", "encrypted", "skipped_null", "skipped_missing")] == [4, 2, 1, 1]
    sealed = notes_of(after)
    assert {document["body"]["dekId"] for document in (sealed[0], sealed[3])} == {key_of(vault, "ada")}
    assert sealed[1:3] == [two, three]
    assert vault.proving(after, *words, "--rekey", leaked, passphrase=PASSPHRASE).code == 0


def test_the_same_key_comes_out_of_every_kit_and_a_plan_makes_none(vault: Vault) -> None:
    before = vault.encrypted()
    leaked, keyring = key_of(vault, "ada"), vault.keyring.read_bytes()
    outcome = rekey(vault, before, leaked, command="plan")
    assert outcome.code == 0, outcome
    assert outcome.json["fields"][0]["encrypted"] == 3
    assert vault.keyring.read_bytes() == keyring
    with descriptor(PASSPHRASE) as number:
        words = ("--keyring", vault.keyring, "--keyring-passphrase-fd", number)
        outcome = kit("keyring", "rekey", leaked, *words, "--json")
    assert outcome.code == 0, outcome
    new = key_of(vault, "ada")
    for name in ("one.tar.zst", "two.tar.zst"):
        assert rekey(vault, before, leaked, output=vault.kits / name).code == 0
        assert {document["body"]["dekId"] for document in notes_of(vault.kits / name)} == {new}
    assert notes_of(vault.kits / "one.tar.zst") == notes_of(vault.kits / "two.tar.zst")


def nothing_written(vault: Vault, outcome: Outcome, code: int, fault: str) -> None:
    assert outcome.code == code, outcome
    assert fault in outcome.err
    assert not (vault.kits / "after.tar.zst").exists()


def test_a_key_that_is_not_there_replaces_nothing(vault: Vault) -> None:
    before, keyring = vault.encrypted(), vault.keyring.read_bytes()
    leaked = key_of(vault, "ada")
    outcome = rekey(vault, before, leaked, "dek-none", output=vault.kits / "after.tar.zst")
    nothing_written(vault, outcome, 13, "no data key 'dek-none'")
    with descriptor(PASSPHRASE) as number:
        words = ("--keyring", vault.keyring, "--keyring-passphrase-fd", number)
        kit("keyring", "rekey", leaked, "dek-none", *words).refused(13, "no data key 'dek-none'")
    assert vault.keyring.read_bytes() == keyring


@pytest.mark.parametrize("member", ["ct", "iv", "tag"])
def test_an_envelope_that_does_not_open_stops_the_run(member: str, vault: Vault) -> None:
    one, other = notes_of(vault.encrypted(vault.notes(note(1), note(2, body=NOTE[::-1]))))
    one["body"][member] = other["body"][member]
    before, after = vault.notes(one, name="altered.tar.zst"), vault.kits / "after.tar.zst"
    outcome = vault.encrypting("patch", before, "--rekey", key_of(vault, "ada"), "--output", after)
    nothing_written(vault, outcome, 5, "does not open under data key")


def test_an_envelope_of_another_owners_key_stops_the_run(vault: Vault) -> None:
    documents = notes_of(vault.encrypted(vault.notes(note(1), note(2, owner="bob"))))
    documents[1]["userId"] = "ada"
    before, after = vault.notes(*documents, name="moved.tar.zst"), vault.kits / "after.tar.zst"
    outcome = vault.encrypting("patch", before, "--rekey", key_of(vault, "bob"), "--output", after)
    nothing_written(vault, outcome, 12, "owner mismatch")


def test_what_is_still_under_the_leaked_key_is_found(vault: Vault) -> None:
    before = vault.encrypted()
    leaked = key_of(vault, "ada")
    outcome = vault.proving(before, "--rekey", leaked, passphrase=PASSPHRASE)
    assert outcome.code == 5, outcome
    assert f"still sealed under data key {leaked}, which was replaced" in outcome.err
    after = vault.kits / "after.tar.zst"
    outcome = vault.encrypting("patch", before, "--rekey", leaked, "--limit", 1, "--output", after, trusting=BOTH)
    assert outcome.code == 0, outcome
    outcome = vault.proving(after, "--rekey", leaked, passphrase=PASSPHRASE)
    assert outcome.code == 5, outcome
    assert "(and 1 more finding" in outcome.err


def test_a_proof_without_keys_cannot_look_for_the_leaked_key(vault: Vault) -> None:
    vault.proving(vault.encrypted(), "--rekey", "dek-1").refused(64, "--rekey needs --keyring")
    vault.verify(vault.notes(name="k.tar.zst"), options=("--rekey", "dek-1")).refused(64, "need --field-map")


def test_a_migration_file_names_the_leaked_key(vault: Vault) -> None:
    before = vault.encrypted()
    leaked, after = key_of(vault, "ada"), vault.kits / "after.tar.zst"
    job = {
        "schemaVersion": "1",
        "id": "20260102_rekey",
        "kind": "encrypted-field",
        "description": "ada's key was in a backup that was sold",
        "transforms": [{"name": "encrypt-fields", "parameters": {"fieldMap": "notelett", "rekey": [leaked]}}],
        "validation": ["integrity", "deep", "fields"],
        "rollback": {"decision": "restore-backup", "note": "kept"},
    }
    file = vault.kits / "job.json"
    file.write_text(json.dumps(job))
    with descriptor(PASSPHRASE) as number:
        words = ("--keyring", vault.keyring, "--keyring-passphrase-fd", number, "--signing-key", vault.keys / "site")
        outcome = kit("patch", before, *vault.trust(*BOTH), "--migration", file, *words, "--output", after)
    assert outcome.code == 0, outcome
    assert vault.proving(after, "--rekey", leaked, passphrase=PASSPHRASE).code == 0

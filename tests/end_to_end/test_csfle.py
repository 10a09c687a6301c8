"""The profile csfle: libmongocrypt opens every value that is sealed here, and what it sealed opens here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bson
import pytest
from bson.binary import Binary

from tests import kits
from tests.commands import Outcome, kit
from tests.encryption.driver import DETERMINISTIC, RANDOM, Driver
from tests.end_to_end.test_recovery import Office
from tests.end_to_end.vault import NOTE, PASSPHRASE, Vault, body, descriptor, note

MASTER = bytes(range(96))
MATERIAL = bytes(range(100, 196))


class Site(Vault):
    """A vault that took over a driver's key for the notes of ada."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.driver = Driver(MASTER)
        self.dek_id = self.driver.create_key(MATERIAL)
        local, records = self.keys / "local.key", self.keys / "vault.bson"
        local.write_bytes(MASTER)
        local.chmod(0o600)
        records.write_bytes(self.driver.documents[0])
        with descriptor(PASSPHRASE) as number:
            words = ("--keyring", self.keyring, "--keyring-passphrase-fd", number, "--unwrap-key", local)
            purpose = ("--product", "notelett", "--context", "notes", "--owner", "ada")
            assert kit("keyring", "import", records, "--adapter", "key-vault", *words, *purpose).code == 0

    def sealed(self, *documents: dict[str, Any], options: tuple[object, ...] = (), name: str = "out.tar.zst") -> Path:
        path = self.notes(*documents, name=f"base-{name}")
        return self.encrypted(path, "--profile", "csfle", *options, name=name)

    def judged(self, path: Path, *options: object) -> Outcome:
        return self.proving(path, "--profile", "csfle", "--deep", *options, passphrase=PASSPHRASE)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def values(path: Path) -> list[Any]:
    return [bson.decode(document)["body"] for document in kits.documents_of(body(path, "notes"))]


@pytest.mark.parametrize("iv", ["synthetic", "random"])
def test_a_driver_opens_every_value_that_is_sealed_here(site: Site, iv: str) -> None:
    texts = [f"{NOTE} {n}" for n in range(5)] + ["", "x" * 40]
    output = site.sealed(*(note(n, body=text) for n, text in enumerate(texts)), options=("--iv", iv))
    found = values(output)
    assert {one.subtype for one in found} == {6}
    assert {one[0] for one in found} == {1 if iv == "synthetic" else 2}
    assert [site.driver.decrypt(bytes(one)) for one in found] == texts
    if iv == "synthetic":
        assert [bytes(one) for one in found] == [
            site.driver.encrypt(text, DETERMINISTIC, site.dek_id) for text in texts
        ]
    outcome = site.judged(output, "--json")
    assert outcome.code == 0, outcome
    (field,) = (one for member in outcome.json["fields"] for one in member["fields"])
    assert (field["opened"], field["digest"]) == (len(texts), "matches")


def test_values_that_a_driver_sealed_stay_and_open_here(site: Site) -> None:
    payloads = [site.driver.encrypt(NOTE, algorithm, site.dek_id) for algorithm in (DETERMINISTIC, RANDOM)]
    documents = [note(n, body=Binary(payload, 6)) for n, payload in enumerate(payloads)]
    output = site.sealed(*documents, note(9))
    assert [bytes(one) for one in values(output)] == [*payloads, payloads[0]]
    assert site.judged(output).code == 0


def test_a_second_run_changes_nothing_and_the_plan_shows_who_opens_the_result(site: Site) -> None:
    output = site.sealed(note(1), note(2))
    again = site.encrypting("plan", output, "--profile", "csfle", trusting=("vendor", "site"))
    assert again.code == 0, again
    assert "nothing to change" in again.out
    planned = site.encrypting("plan", site.notes(name="other.tar.zst"), "--profile", "csfle")
    assert "drivers of MongoDB can open them with their data keys" in planned.out
    assert "one that was moved to another document or field opens" in planned.out


def test_an_owner_without_a_key_gets_one_that_a_driver_takes(site: Site) -> None:
    output = site.sealed(note(1, owner="bob"))
    ((dek_id, key),) = ((name, key) for name, key in site.unlocked().keys.items() if name != site.dek_id)
    site.driver.create_key(key.secret)
    record = bson.decode(site.driver.documents[-1])
    site.driver.documents.append(bson.encode(record | {"_id": Binary(bytes.fromhex(dek_id.replace("-", "")), 4)}))
    (value,) = values(output)
    assert site.driver.decrypt(bytes(value)) == NOTE


@pytest.mark.parametrize("at", [0, 1, 16, 17, 18, 34, 60, -33, -1])
def test_a_value_with_another_byte_does_not_open(site: Site, at: int) -> None:
    output = site.sealed(note(1))
    whole = bson.decode(kits.documents_of(body(output, "notes"))[0])
    payload = bytearray(whole["body"])
    payload[at] ^= 3
    altered = site.resigned(output, "notes", [bson.encode(whole | {"body": Binary(bytes(payload), 6)})])
    outcome = site.judged(altered)
    assert outcome.code in {5, 13}, outcome
    assert outcome.code == 5 or at in {1, 16}  # of another key


def test_a_value_that_was_moved_opens_as_the_page_states(site: Site) -> None:
    output = site.sealed(note(1, body="one"), note(2, body="two"))
    first, second = map(bson.decode, kits.documents_of(body(output, "notes")))
    first["body"], second["body"] = second["body"], first["body"]
    moved = site.resigned(output, "notes", map(bson.encode, (first, second)))
    assert site.proving(moved, "--profile", "csfle", passphrase=PASSPHRASE).code == 0


def test_what_no_driver_seals_is_refused_and_nothing_is_written(site: Site) -> None:
    path = site.notes(note(1, body=True))
    before = kits.folder_state(site.kits)
    refused = site.encrypting("patch", path, "--profile", "csfle", "--output", site.kits / "out.tar.zst")
    refused.refused(11, "csfle seals no value of BSON type 8 deterministically")
    assert kits.folder_state(site.kits) == before
    output = site.sealed(note(1, body=True), options=("--iv", "random"), name="random.tar.zst")
    assert site.driver.decrypt(bytes(values(output)[0])) is True


def test_a_key_of_32_bytes_seals_nothing_in_csfle(site: Site) -> None:
    site.encrypted(site.notes(note(1, owner="eve"), name="first.tar.zst"), name="bound.tar.zst")
    path = site.notes(note(1, owner="eve"), name="second.tar.zst")
    refused = site.encrypting("patch", path, "--profile", "csfle", "--output", site.kits / "o.tar.zst")
    refused.refused(13, "has 32 bytes, and csfle seals with keys of 96")


def test_the_profiles_are_never_mixed_in_a_collection(site: Site) -> None:
    bound = site.encrypted(site.notes(note(1), name="b.tar.zst"), name="bound.tar.zst")
    words = ("--profile", "csfle", "--output", site.kits / "mixed.tar.zst")
    mixed = site.encrypting("patch", bound, *words, trusting=("vendor", "site"))
    mixed.refused(5, "a bound envelope, but the profile is csfle")


def test_every_value_is_sealed_again_under_another_key(site: Site) -> None:
    output, again = site.sealed(note(1), note(2, body="two")), site.kits / "again.tar.zst"
    words = ("--profile", "csfle", "--rekey", site.dek_id, "--output", again)
    outcome = site.encrypting("patch", output, *words, trusting=("vendor", "site"))
    assert outcome.code == 0, outcome
    named = {str(one[1:17].hex()) for one in map(bytes, values(again))}
    assert len(named) == 1
    assert named != {site.dek_id.replace("-", "")}
    assert site.judged(again, "--rekey", site.dek_id).code == 0


def test_an_approval_recovers_subdocuments(tmp_path: Path) -> None:
    office = Office(tmp_path).encrypt("csfle", "--iv", "random")
    assert office.sealed() != office.original()
    outcome = office.recover(office.approve(), "--profile", "csfle")
    assert outcome.code == 0, outcome
    assert (tmp_path / "out.bson").read_bytes() == office.original()

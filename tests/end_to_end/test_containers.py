"""One container at a time: the migrations by container, ``--collection``, and what a verdict is about."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bson
import pytest

from kit.errors import UsageError
from kit.values import CollectionName, CollectionPattern
from tests import kits
from tests.commands import Outcome, kit
from tests.end_to_end.vault import DUMP, PASSPHRASE, Vault, descriptor, members, note, notelett
from tests.kits import AT

COMPAT = "20251031_notelett_encryption_compat"
STEPS = ("note_agent_actions", "note_prompts", "note_artifacts", "palace_memories", "notes")
ONE_BY_ONE = tuple(f"{COMPAT}_{number}_{name}" for number, name in enumerate(STEPS, 1))


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault(tmp_path)


def product() -> dict[str, list[dict[str, Any]]]:
    every = notelett()
    for documents in every.values():
        for document in documents:
            document["productId"] = "notelett"
    return every


def run(vault: Vault, command: str, path: Path, *options: object, trusting: tuple[str, ...] = ("vendor",)) -> Outcome:
    signing = ("--signing-key", vault.keys / "site", "--rollback-note", "kept") if command == "patch" else ()
    with descriptor(PASSPHRASE) as number:
        keys = ("--keyring", vault.keyring, "--keyring-passphrase-fd", number)
        words = ("--created-at", AT, "--workers", 1)
        return kit(command, path, *vault.trust(*trusting), *signing, *keys, *words, *options)


def sealed_in(path: Path) -> set[str]:
    """Return the containers that have an envelope."""
    found = {name.rpartition("/")[2]: body for name, body in kits.read(path).items() if name.startswith(DUMP)}
    return {name.removesuffix(".bson") for name, body in found.items() if b"__encrypted" in body}


def test_five_runs_of_one_container_each_seal_what_one_run_of_all_does(vault: Vault) -> None:
    path = vault.kit(members(product()))
    whole = vault.kits / "whole.tar.zst"
    assert run(vault, "patch", path, "--migration", COMPAT, "-o", whole).code == 0
    for number, migration in enumerate(ONE_BY_ONE, 1):
        after = vault.kits / f"step-{number}.tar.zst"
        outcome = run(vault, "patch", path, "--migration", migration, "-o", after, trusting=("vendor", "site"))
        assert outcome.code == 0, outcome
        assert sealed_in(after) == set(STEPS[:number])
        path = after
    steps, once = (
        {name: body for name, body in kits.read(one).items() if name.startswith(DUMP)} for one in (path, whole)
    )
    assert steps == once


def test_a_verdict_of_the_whole_map_compares_with_runs_of_one_container(vault: Vault) -> None:
    path = vault.kit(members(product()))
    for number, migration in enumerate(ONE_BY_ONE):
        after = vault.kits / f"step-{number}.tar.zst"
        assert run(vault, "patch", path, "--migration", migration, "-o", after, trusting=("vendor", "site")).code == 0
        path = after
    with descriptor(PASSPHRASE) as number:
        keys = ("--keyring", vault.keyring, "--keyring-passphrase-fd", number)
        outcome = vault.verify(path, options=("--field-map", "notelett-2", "--profile", "compat", *keys, "--json"))
    assert outcome.code == 0, outcome
    compared = {
        one["collection"]: {field["field"]: field["digest"] for field in one["fields"]}
        for one in outcome.json["fields"]
    }
    assert compared["notes"] == {"body": "matches"}
    assert compared["palace_memories"] == {"content": "matches"}


def test_a_verdict_of_one_container_needs_no_other_sealed(vault: Vault) -> None:
    path = vault.kit(members(product()))
    after = vault.kits / "after.tar.zst"
    assert run(vault, "patch", path, "--migration", COMPAT, "--collection", "notes", "-o", after).code == 0
    words = ("--field-map", "notelett-2", "--profile", "compat")
    assert vault.verify(after, options=words).code == 11
    outcome = vault.verify(after, options=(*words, "--collection", "notelett.notes"))
    assert outcome.code == 0, outcome
    assert "of 1 collection" in outcome.out
    assert vault.verify(after, options=(*words, "--collection", "palace_memories")).code == 11


def test_a_plan_of_one_container_counts_that_one_and_shows_who_can_open_it(vault: Vault) -> None:
    path = vault.kit(members(product()))
    everything = run(vault, "plan", path, "--migration", COMPAT, "--json").json
    one = run(vault, "plan", path, "--migration", COMPAT, "--collection", "notes", "--json").json
    assert {field["collection"] for field in one["fields"]} == {"notelett.notes"}
    assert [field for field in everything["fields"] if field["collection"] == "notelett.notes"] == one["fields"]
    assert one["migration"]["document"]["selection"]["collections"] == ["notes"]
    assert "the platform's own reader can open them" in run(vault, "plan", path, "--migration", COMPAT).out


def test_a_collection_of_another_database_is_left(vault: Vault) -> None:
    both = members({"notes": [note(1, productId="notelett")]})
    both |= {"dump/other/notes.bson": kits.collection([note(2, productId="notelett")])}
    path, after = vault.kit(both), vault.kits / "after.tar.zst"
    words = ("--migration", COMPAT, "--collection", "other.notes", "-o", after)
    assert run(vault, "patch", path, *words).code == 0
    assert b"__encrypted" not in kits.read(after)[f"{DUMP}/notes.bson"]
    assert b"__encrypted" in kits.read(after)["dump/other/notes.bson"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--migration", COMPAT, "--collection", "nodes"), "the field map does not name nodes"),
        (("--migration", ONE_BY_ONE[0], "--collection", "notes"), "does not select the collection notes"),
        (("--collection", "notes"), "raw-linkset changes advisory_observations of every database"),
        (("--collection", "a..b/"), "is not COLLECTION or DB.COLLECTION"),
    ],
)
def test_a_collection_that_cannot_be_selected_is_an_error(
    vault: Vault, options: tuple[object, ...], words: str
) -> None:
    path = vault.kit(members(product()))
    before = kits.folder_state(vault.kits)
    run(vault, "plan", path, *options).refused(64, words)
    assert kits.folder_state(vault.kits) == before


def test_a_selection_of_the_observations_changes_nothing_of_a_backfill(vault: Vault) -> None:
    path = vault.kit()
    words = ("plan", path, *vault.trust("vendor"), "--created-at", AT, "--json")
    every, selected = (kit(*words, *more).json for more in ((), ("--collection", "advisory_observations")))
    assert every["changed"] == selected["changed"] > 0


def test_resuming_with_another_collection_is_refused(vault: Vault) -> None:
    path = vault.kit(members(product()))
    after = vault.kits / "after.tar.zst"
    words = ("--migration", COMPAT, "-o", after)
    assert run(vault, "patch", path, *words, "--collection", "notes").code == 0
    again = run(vault, "patch", path, "--resume", *words, "--collection", "palace_memories")
    assert again.code == 64


def test_a_pattern_names_a_collection_with_or_without_its_database() -> None:
    notes = CollectionName(database="notelett", collection="notes")
    assert [CollectionPattern.parse(text).matches(notes) for text in ("notes", "notelett.notes", "other.notes")] == [
        *(True, True, False)
    ]
    assert str(CollectionPattern.parse("a.b.c")) == "a.b.c"
    assert CollectionPattern.parse("a.b.c").collection == "b.c"
    for text in ("", ".a", "a.", "a/b", "a\0"):
        with pytest.raises(UsageError):
            CollectionPattern.parse(text)


def test_documents_outside_of_the_selection_keep_their_bytes(vault: Vault) -> None:
    path, after = vault.kit(members(product())), vault.kits / "after.tar.zst"
    assert run(vault, "patch", path, "--migration", COMPAT, "--collection", "notes", "-o", after).code == 0
    was, now = kits.read(path), kits.read(after)
    changed = {name for name in was if was[name] != now[name] and not name.startswith("manifest/")}
    assert changed <= {f"{DUMP}/notes.bson", "offline-manifest.json", "offline-manifest.json.jws"}
    assert bson.decode_all(now[f"{DUMP}/notes.bson"])[0]["body"]["__encrypted"] is True

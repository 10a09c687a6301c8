"""Migrations at work: plan and patch count alike, stop rules stop, validation validates, the digest is on record."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import bson
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from kit.migrations import Validation, built_in
from kit.signing import dsse
from tests import kits
from tests.commands import Outcome, kit
from tests.end_to_end.desk import Desk, key
from tests.end_to_end.vault import PASSPHRASE, Vault, body, descriptor, members, note
from tests.kits import AT, observation
from tests.migrations.test_migration import file_of, raw, seal

COUNTED = ("changed", "collections", "outcomes", "counts", "fields", "findings", "omittedFindings")
NAME = "20251031_raw_linkset"
KEPT = {"decision": "restore-backup", "note": "kept"}


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault(tmp_path)


def written(desk: Desk, document: Mapping[str, Any]) -> Path:
    path = desk.kits.parent / "migration.json"
    path.write_text(json.dumps(document))
    return path


def plan(path: Path, desk: Desk, *options: object) -> Outcome:
    return kit("plan", path, *desk.trust("vendor"), "--created-at", AT, "--workers", 1, *options)


def sealing(vault: Vault, path: Path, migration: object, *options: object, command: str = "patch") -> Outcome:
    """Run a migration that needs the keyring."""
    signing = () if command == "plan" else ("--signing-key", vault.keys / "site", "--in-place")
    with descriptor(PASSPHRASE) as number:
        keys = ("--keyring", vault.keyring, "--keyring-passphrase-fd", number)
        words = ("--created-at", AT, "--workers", 1, "--migration", migration)
        return kit(command, path, *vault.trust("vendor"), *signing, *keys, *words, *options)


def statement(path: Path) -> dict[str, Any]:
    members = kits.read(path)
    (name,) = [name for name in members if name.endswith("patch.intoto.json")]
    envelope = members[name]
    keys = {key("site").public.key_id: key("site").public}
    return dict(json.loads(dsse.verify(envelope, keys).payload))


observations = st.lists(
    st.builds(
        observation,
        st.integers(0, 999),
        st.sampled_from(["acme", "globex", None]),
        raw=st.booleans(),
        rawLinkset=st.sampled_from([..., {}, None]),
    ),
    max_size=12,
    unique_by=lambda document: str(document["_id"]),
)
notes = st.lists(
    st.builds(
        note,
        st.integers(0, 999),
        owner=st.sampled_from(["ada", "bob"]),
        body=st.sampled_from(["text", None, ...]),
        productId=st.sampled_from(["p", "q", ...]),
    ),
    min_size=1,
    max_size=12,
    unique_by=lambda document: str(document["_id"]),
)


def alike(planned: Outcome, done: Outcome) -> None:
    assert done.code == planned.code == 0, (planned, done)
    assert {name: planned.json[name] for name in COUNTED} == {name: done.json[name] for name in COUNTED}
    assert planned.json["migration"]["sha256"] == done.json["migration"]["sha256"]


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(documents=observations, tenants=st.sampled_from([(), ("acme",)]), limit=st.sampled_from([None, 0, 2]))
def test_a_plan_of_a_backfill_counts_what_the_patch_does(
    documents: list[dict[str, Any]],
    tenants: tuple[str, ...],
    limit: int | None,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    desk = Desk(tmp_path_factory.mktemp("desk"))
    path = desk.kit({kits.OBSERVATIONS: kits.collection(documents)}, name="kit.tar")
    there = {document.get("tenant") for document in documents}
    options = [word for tenant in tenants if tenant in there for word in ("--tenant", tenant)]
    options += [] if limit is None else ["--limit", str(limit)]
    alike(plan(path, desk, "--json", *options), desk.patch(path, "--in-place", "--json", *options))


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(documents=notes, product=st.sampled_from([None, "p"]))
def test_a_plan_of_an_encryption_counts_what_the_patch_does(
    documents: list[dict[str, Any]], product: str | None, tmp_path_factory: pytest.TempPathFactory
) -> None:
    vault = Vault(tmp_path_factory.mktemp("vault"))
    path = vault.notes(*documents)
    migration = seal(selection={"productId": product}, rollback={"decision": "restore-copy", "note": "we keep one"})
    file = written(vault, migration)
    alike(sealing(vault, path, file, "--json", command="plan"), sealing(vault, path, file, "--json"))
    sealed = [document for document in documents if document.get("body") is not None]
    wanted = [document for document in sealed if product in {None, document.get("productId")}]
    bodies = kits.documents_of(kits.read(path)["dump/notelett/notes.bson"])
    assert sum(b"__encrypted" in body for body in bodies) == len(wanted)


class TestSelection:
    def test_by_its_id_by_a_file_and_by_flags_is_one_patch(self, desk: Desk) -> None:
        path = desk.kit()
        by_id = desk.patched(path, "--migration", NAME, name="id.tar.zst").read_bytes()
        by_file = desk.patched(path, "--migration", written(desk, raw()), name="file.tar.zst").read_bytes()
        assert by_id == by_file == desk.patched(path, name="flags.tar.zst").read_bytes()

    @pytest.mark.parametrize(
        "flags",
        [("--transform", "raw-linkset"), ("--on-divergence", "warn"), ("--iv", "random"), ("--profile", "bound")],
        ids=lambda flags: str(flags[0]),
    )
    def test_a_flag_that_the_file_decides_is_refused_beside_it(self, flags: tuple[str, str], desk: Desk) -> None:
        plan(desk.kit(), desk, "--migration", NAME, *flags).refused(
            64, f"{flags[0]} and --migration exclude each other"
        )

    def test_one_that_is_not_there_is_refused_with_those_that_are(self, desk: Desk) -> None:
        plan(desk.kit(), desk, "--migration", "20990101_x").refused(1, f"or one of {NAME}")

    def test_a_rehearsal_of_one_tenant_leaves_the_others(self, desk: Desk) -> None:
        outcome = desk.patch(desk.kit(), "--in-place", "--migration", NAME, "--tenant", "acme", "--json")
        assert outcome.json["outcomes"]["raw-linkset"]["globex"] == {"not-selected": 1}
        assert outcome.json["migration"]["document"]["selection"]["tenants"] == ["acme"]


class TestRecord:
    def test_the_digest_is_in_the_signed_provenance(self, desk: Desk) -> None:
        predicate = statement(desk.patched())["predicate"]
        migration = built_in(NAME, random=bytes)
        assert predicate["migration"] == {"id": NAME, "kind": "additive-optional", "sha256": migration.sha256.hex}


class TestRules:
    def test_a_plan_tells_every_rule_that_would_be_broken_and_a_patch_ends_with_the_first(self, desk: Desk) -> None:
        linkset = {"aliases": ["other"], "purls": [], "cpes": [], "references": []}
        path = desk.kit(kits.content(observation(1, linkset=linkset), observation(2, raw=False)))
        option = ("--migration", written(desk, raw(stopRules={"mostDivergent": 0, "mostUnresolvable": 0})))
        planned = plan(path, desk, "--json", *option)
        assert planned.code == 12
        assert [stop.rpartition(" rule ")[2] for stop in planned.json["stops"]] == [
            f"mostDivergent of {NAME}",
            f"mostUnresolvable of {NAME}",
        ]
        before = kits.folder_state(desk.kits, itself=True)
        desk.patch(path, "--in-place", *option).refused(12, "1 documents whose rawLinkset and linkset would disagree")
        assert set(kits.folder_state(desk.kits, itself=True)) == set(before)

    def test_counts_at_the_limit_of_a_rule_do_not_stop(self, desk: Desk) -> None:
        option = ("--migration", written(desk, raw(stopRules={"mostUnresolvable": 1})))
        assert desk.patch(desk.kit(), "--in-place", *option).code == 0

    def test_the_rule_on_partition_keys_is_the_migrations(self, vault: Vault) -> None:
        path = vault.notes(note(1), note(2, workspaceId=...))
        lax = seal(rollback={"decision": "restore-backup", "note": "kept"})
        strict = {**lax, "stopRules": {"withoutPartitionKey": {"fraction": 0, "atLeast": 0}}}
        sealing(vault, path, written(vault, strict)).refused(
            12, "1 of 2 documents have no partition key; the maximum is 0"
        )
        assert sealing(vault, path, written(vault, lax)).code == 0


class TestValidation:
    def test_a_kit_that_fails_it_gets_no_name(self, desk: Desk) -> None:
        path = desk.kit()
        before = kits.folder_state(desk.kits)
        outcome = desk.patch(path, "--in-place", "--migration", written(desk, raw(validation=["coverage"])))
        outcome.refused(11, f"the new kit fails the validation of {NAME}", "acme 1 of 2")
        assert kits.folder_state(desk.kits) == before

    def test_coverage_is_demanded_of_the_selected_tenants(self, desk: Desk) -> None:
        outcome = desk.patch(desk.kit(), "--in-place", "--validate", "coverage", "--tenant", "globex")
        assert outcome.code == 0, outcome

    def test_every_document_is_walked_where_that_is_asked_for(self, desk: Desk) -> None:
        # A string without its NUL: nothing that the backfill looks at, and no BSON.
        broken = kits.collection([observation(1, note="text")]).replace(b"text\0", b"textX")
        path = desk.kit({kits.OBSERVATIONS: broken}, name="kit.tar")
        desk.patch(path, "--in-place", "--validate", "deep").refused(11, "fails the validation")
        assert desk.patch(path, "--in-place").code == 0

    def test_mapped_fields_are_proven_where_that_is_asked_for(self, vault: Vault) -> None:
        migration = seal(validation=["fields"], rollback={"decision": "restore-backup", "note": "kept"})
        outcome = sealing(vault, vault.notes(note(1)), written(vault, migration))
        assert outcome.code == 0, outcome


COMPAT, BOUND = "20251031_notelett_encryption_compat", "20251031_notelett_encryption_bound"


def mixed(vault: Vault) -> Path:
    """Write a kit with notes of NoteLett, of another product, and of none, and what surrounds a note in the others."""
    own = {"productId": "notelett"}
    actions = {"_id": 1, "workspaceId": "w1", "userId": "bob", "reason": "r", "state": "done", "idempotencyKey": "k"}
    memory = {"_id": 1, "userId": "ada", "content": "c", "embedding": [0.5], "metadata": {"room": "x"}, "createdAt": 1}
    containers = {
        "notes": [note(1, **own), note(2, productId="other"), note(3), note(4, productId=None)],
        "note_agent_actions": [actions | own],
        "palace_memories": [memory | own, memory | {"_id": 2, "productId": "other"}],
    }
    return vault.kit(members(containers))


def bodies_of(path: Path, container: str) -> list[dict[str, Any]]:
    return [bson.decode(one) for one in kits.documents_of(body(path, container))]


class TestNoteLett:
    @pytest.mark.parametrize(("name", "version"), [(COMPAT, 1), (BOUND, 2)])
    def test_documents_of_another_product_stay_as_they_are(self, name: str, version: int, vault: Vault) -> None:
        path = mixed(vault)
        before = {one: bodies_of(path, one) for one in ("notes", "note_agent_actions", "palace_memories")}
        outcome = sealing(vault, path, name, "--rollback-note", "kept")
        assert outcome.code == 0, outcome
        assert "warning" not in outcome.err
        assert ("the platform's own reader cannot open" in outcome.out) == (name == BOUND)
        for container, field in (("notes", "body"), ("note_agent_actions", "reason"), ("palace_memories", "content")):
            for old, new in zip(before[container], bodies_of(path, container), strict=True):
                if old.get("productId") == "notelett":
                    assert (new[field]["__encrypted"], new[field]["v"]) == (True, version)
                assert old == new | ({field: old[field]} if old.get("productId") == "notelett" else {})
        predicate = statement(path)["predicate"]
        assert predicate["counts"]["encrypt-fields.not-selected"] == 4
        assert predicate["migration"]["sha256"] == str(built_in(name, random=bytes).with_note("kept").sha256)

    def test_the_old_one_warns_in_a_plan_and_in_a_patch_and_does_what_it_did(self, vault: Vault) -> None:
        path, old = mixed(vault), "20251031_notelett_encryption"
        planned = sealing(vault, path, old, "--json", command="plan")
        assert planned.code == 0
        assert planned.json["warnings"] == list(built_in(old, random=bytes).warnings)
        assert planned.err.count("kit: warning: ") == len(planned.json["warnings"]) == 4
        assert planned.json["changed"] == 7
        outcome = sealing(vault, path, old, "--rollback-note", "kept")
        assert f"use {COMPAT}, or {BOUND}" in outcome.err
        assert [one["body"]["v"] for one in bodies_of(path, "notes")] == [2, 2, 2, 2]

    def test_a_selection_narrows_the_map_and_another_product_is_a_conflict(self, vault: Vault) -> None:
        path = mixed(vault)
        before = kits.folder_state(vault.kits)
        selection = {"tenants": None, "productId": "other"}
        conflict = written(vault, file_of(COMPAT, selection=selection, rollback=KEPT))
        for command in ("plan", "patch"):
            sealing(vault, path, conflict, command=command).refused(64, "the field map limits note_agent_actions to")
        assert {k: v for k, v in kits.folder_state(vault.kits).items() if k in before} == before
        narrowed = written(vault, seal(selection=selection, rollback=KEPT))
        assert sealing(vault, path, narrowed, "--json", command="plan").json["changed"] == 2

    def test_half_of_what_it_should_have_sealed_is_found_out(self, vault: Vault) -> None:
        assert Validation.FIELDS in built_in(COMPAT, random=bytes).validation
        path = mixed(vault)
        assert sealing(vault, path, COMPAT, "--rollback-note", "kept").code == 0
        words = ("--field-map", "notelett-2", "--profile", "compat")
        outcome = vault.verify(path, options=words)
        assert outcome.code == 0, outcome
        assert (
            "3 envelopes in 7 documents of 3 collections (4 of them, of another productId or partition," in outcome.out
        )
        plain = [bson.encode(note(9, productId="notelett"))]
        assert vault.verify(vault.resigned(path, "notes", plain), options=words).code == 11

    def test_a_kit_without_a_document_of_the_product_is_not_called_encrypted(self, vault: Vault) -> None:
        path = vault.notes(note(1), note(2, productId="NoteLett"))
        outcome = vault.verify(path, options=("--field-map", "notelett-2", "--profile", "compat"))
        assert outcome.code == 11
        assert "none of the 2 documents of the mapped collections is selected" in outcome.err


class TestWayBack:
    def test_a_kind_that_changes_what_users_read_needs_a_note(self, vault: Vault) -> None:
        path = vault.notes(note(1))
        name = "20251031_notelett_encryption"
        sealing(vault, path, name).refused(64, "is of the kind encrypted-field", "--rollback-note")
        assert sealing(vault, path, name, "--rollback-note", "kept").code == 0
        assert statement(path)["predicate"]["rollbackNote"] == "kept"

    def test_a_backup_that_is_to_be_restored_is_kept(self, vault: Vault) -> None:
        migration = seal(rollback={"decision": "restore-backup", "note": "kept"})
        outcome = sealing(vault, vault.notes(note(1)), written(vault, migration), "--no-backup")
        outcome.refused(64, "none would be kept")

"""``kit verify --field-map``: what is proven with keys and without, and what each fault costs."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bson
import pytest

from kit.manifest import parse_statement
from kit.signing import dsse
from tests import kits
from tests.commands import Outcome
from tests.end_to_end.desk import key
from tests.end_to_end.test_deep import meddled
from tests.end_to_end.vault import BUILTIN, DUMP, PASSPHRASE, Vault, body, members, note
from tests.schemas.test_reports import validate

STATEMENT = "manifest/history/3/patch.intoto.json"
CANARY = "kept in the clear"


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault(tmp_path)


def proven(outcome: Outcome, container: str = "notes") -> dict[str, Any]:
    """Give what the report says of a container."""
    validate("verify-report", outcome.json)
    return next(member for member in outcome.json["fields"] if member["collection"] == container)


def obligation(outcome: Outcome) -> dict[str, Any]:
    (found,) = [o for o in outcome.json["obligations"] if o["name"] == "mapped fields are encrypted"]
    assert isinstance(found, dict)
    return found


def sealed_notes(vault: Vault, *documents: dict[str, Any]) -> list[dict[str, Any]]:
    """Encrypt notes and give them decoded, to alter."""
    return list(map(bson.decode, kits.documents_of(body(vault.encrypted(vault.notes(*documents)), "notes"))))


def altered(vault: Vault, *documents: dict[str, Any]) -> Path:
    return vault.kit(members({"notes": documents}), name="altered.tar.zst")


@pytest.mark.parametrize("workers", [1, 2])
def test_an_encrypted_kit_is_proven_without_keys(workers: int, vault: Vault) -> None:
    path = vault.encrypted(vault.kit(members()))
    outcome = vault.proving(path, "--workers", workers, "--json")
    assert outcome.code == 0, outcome
    met = obligation(outcome)
    assert (met["number"], met["status"]) == (7, "checked")
    assert met["detail"].startswith("27 envelopes in 21 documents of 5 collections, judged without keys")
    assert met["detail"].endswith("what else it changed in them was not looked into (--keyring)")
    (notes,) = proven(outcome)["fields"]
    assert (notes["envelopes"], notes["locked"], notes["opened"], notes["null"], notes["digest"]) == (
        8,
        8,
        0,
        1,
        "none",
    )
    prompts = {counts["field"]: counts for counts in proven(outcome, "note_prompts")["fields"]}
    assert prompts["description"]["skippedOwner"] == 2


def test_with_keys_every_value_is_the_one_that_was_sealed(vault: Vault) -> None:
    outcome = vault.proving(vault.encrypted(vault.kit(members())), "--json", passphrase=PASSPHRASE)
    assert outcome.code == 0, outcome
    counts = [field for member in outcome.json["fields"] for field in member["fields"]]
    assert {field["digest"] for field in counts if field["envelopes"]} == {"matches"}
    assert all(field["opened"] == field["envelopes"] for field in counts)


@pytest.mark.parametrize("codec", ["", ".gz"])
def test_with_keys_all_else_is_proven_to_be_what_it_was_before_the_step(codec: str, vault: Vault) -> None:
    # One note was sealed by an earlier step, one field is null: neither is what the last step did.
    documents = b"".join(bson.encode(note(number)) for number in range(5))
    base = vault.kit({f"{DUMP}/notes.bson{codec}": gzip.compress(documents) if codec else documents})
    first = vault.encrypted(base, "--limit", 2, name="first.tar.zst")
    outcome = vault.proving(
        vault.encrypted(first, *vault.trust("site"), name="second.tar.zst"), "--json", passphrase=PASSPHRASE
    )
    assert (outcome.code, proven(outcome)["restIdentical"]) == (0, True)
    assert obligation(outcome)["detail"].endswith(
        "1 that the last step sealed, all else is identical to what was signed before it"
    )


def test_a_step_that_changed_something_else_as_well_is_refused_where_it_can_be_told(vault: Vault) -> None:
    found = kits.read(vault.encrypted(vault.notes(note(1, title="one"), note(2))))
    path = f"{DUMP}/notes.bson"
    changed = meddled(found, found[path].replace(b"one\0", b"two\0"), path=path)
    outcome = vault.proving(vault.write(changed, "changed.tar.zst"), "--json", passphrase=PASSPHRASE)
    assert (outcome.code, proven(outcome)["restIdentical"]) == (2, False)
    assert f"{path}: with all that the last step sealed opened" in obligation(outcome)["detail"]
    assert "changed more than mapped values" in obligation(outcome)["detail"]


def test_without_keys_nothing_is_said_of_all_else(vault: Vault) -> None:
    assert proven(vault.proving(vault.encrypted(vault.notes(note(1))), "--json"))["restIdentical"] is None


def test_the_text_shows_each_field_and_the_first_findings(vault: Vault) -> None:
    path = vault.encrypted()
    assert "notelett.notes body          3" in vault.proving(path).out
    outcome = vault.proving(vault.notes(*(note(n) for n in range(7))))
    assert outcome.code == 11
    assert outcome.out.count("plaintext: notelett.notes: document") == 5
    assert "and 2 more in dump/notelett/notes.bson" in outcome.out


def test_plaintext_is_refused(vault: Vault) -> None:
    outcome = vault.proving(vault.notes(), "--json")
    assert (outcome.code, outcome.json["verdict"]) == (11, "refused")
    assert 'notelett.notes: document 0 (_id "n0"): field "body": plaintext' in outcome.json["error"]["what"]
    assert "and 2 more findings" in outcome.json["error"]["what"]
    assert proven(outcome)["faults"] == 3


def test_a_half_encrypted_document_is_refused(vault: Vault) -> None:
    artifact = {"_id": 1, "workspaceId": "w", "userId": "ada", "title": "t", "description": "d"}
    path = vault.encrypted(vault.kit(members({"note_artifacts": [artifact]})))
    document = bson.decode(body(path, "note_artifacts")) | {"title": "plain again"}
    outcome = vault.proving(vault.kit(members({"note_artifacts": [document]}), name="half.tar.zst"), "--json")
    assert (outcome.code, proven(outcome, "note_artifacts")["halfEncrypted"]) == (11, 1)


@pytest.mark.parametrize("passphrase", [None, PASSPHRASE], ids=["without keys", "with keys"])
def test_a_canary_outside_the_mapped_fields_is_refused(passphrase: bytes | None, vault: Vault) -> None:
    path = vault.encrypted(vault.notes(note(1), note(2, title=f"so: {CANARY}")))
    outcome = vault.proving(path, "--canary", "nowhere", "--canary", CANARY, "--json", passphrase=passphrase)
    assert (outcome.code, proven(outcome)["canaries"]) == (11, 1)
    assert CANARY not in outcome.out + outcome.err
    assert vault.proving(path, "--canary", "nowhere", passphrase=passphrase).code == 0


@pytest.mark.parametrize(
    "document",
    [note(2, owner=BUILTIN, title=CANARY), note(2, workspaceId="w7", title=CANARY), note(2, deeper={"a": [CANARY]})],
    ids=["of an owner to skip", "of another partition", "in an array"],
)
def test_a_canary_is_looked_for_in_every_document(document: dict[str, Any], vault: Vault) -> None:
    path = vault.encrypted(vault.kit(members({"note_prompts": [document | {"userId": BUILTIN}], "notes": [note(1)]})))
    outcome = vault.proving(path, "--canary", CANARY, "--json")
    assert (outcome.code, proven(outcome, "note_prompts")["canaries"]) == (11, 1)
    assert vault.proving(path, "--canary", "nowhere").code == 0


def test_a_canary_comes_from_a_file_that_nobody_else_can_read(vault: Vault) -> None:
    path = vault.containers(notes=kits.collection([note(1, title=CANARY)]))
    secret = vault.keys / "canaries"
    secret.write_text(f"nowhere\n{CANARY}\n")
    secret.chmod(0o600)
    outcome = vault.proving(path, "--canary-file", secret, "--json")
    assert outcome.code == 11
    assert CANARY not in outcome.out + outcome.err
    secret.write_text("nowhere\n")
    assert vault.proving(path, "--canary-file", secret).code == vault.proving(path).code
    secret.chmod(0o644)
    assert vault.proving(path, "--canary-file", secret).code == 13
    (vault.keys / "link").symlink_to(secret)
    assert vault.proving(path, "--canary-file", vault.keys / "link").code == 13


def test_a_canary_in_another_partition_is_found_when_one_partition_is_proven(vault: Vault) -> None:
    path = vault.encrypted(vault.notes(note(1), note(2, title=CANARY)))
    outcome = vault.proving(path, "--tenant", "w1", "--canary", CANARY, "--json")
    assert (outcome.code, proven(outcome)["canaries"]) == (11, 1)


def test_mapped_plaintext_of_an_owner_to_skip_is_no_residue(vault: Vault) -> None:
    prompt = {"_id": 1, "userId": BUILTIN, "description": CANARY}
    path = vault.encrypted(vault.kit(members({"note_prompts": [prompt], "notes": [note(1)]})))
    assert vault.proving(path, "--canary", CANARY).code == 0


def test_a_canary_in_a_collection_that_no_map_names_is_found_where_that_is_asked_for(vault: Vault) -> None:
    found = {**members({"notes": [note(1)]}), f"{DUMP}/drafts.bson.gz": gzip.compress(kits.collection([{"a": CANARY}]))}
    path = vault.encrypted(vault.kit(found))
    assert vault.proving(path, "--canary", CANARY).code == 0
    outcome = vault.proving(path, "--canary", CANARY, "--canary-everywhere", "--json")
    drafts = proven(outcome, "drafts")
    assert (outcome.code, drafts["canaries"], drafts["fields"]) == (11, 1, [])
    assert "notelett.drafts: document 0" in drafts["findings"][0]["reason"]
    assert CANARY not in outcome.out + outcome.err
    assert vault.proving(path, "--canary", "nowhere", "--canary-everywhere").code == 0


def test_a_canary_inside_a_sealed_field_is_nowhere(vault: Vault) -> None:
    path = vault.encrypted(vault.notes(note(1, body=CANARY)))
    assert vault.proving(path, "--canary", CANARY).code == 0


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("__encrypted", False),
        ("v", 3),
        ("alg", "aes-128-gcm"),
        ("iv", "AAAA"),
        ("tag", "!"),
        ("dekId", "not a name"),
        ("mekVersion", 0),
        ("ctx", "elsewhere"),
        ("bt", 10),
    ],
)
def test_an_envelope_of_another_form_is_refused_without_keys(member: str, value: object, vault: Vault) -> None:
    (document,) = sealed_notes(vault, note(1))
    document["body"][member] = value
    assert vault.proving(altered(vault, document)).code == 5


def test_a_moved_envelope_is_refused_with_keys(vault: Vault) -> None:
    one, other = sealed_notes(vault, note(1), note(2))
    one["body"], other["body"] = other["body"], one["body"]
    path = altered(vault, one, other)
    assert vault.proving(path).code == 0
    outcome = vault.proving(path, passphrase=PASSPHRASE)
    assert outcome.code == 5
    assert 'document 0 (_id "n1"): field "body"' in outcome.err


def test_an_envelope_decides_before_plaintext(vault: Vault) -> None:
    (broken,) = sealed_notes(vault, note(1))
    broken["body"]["tag"] = "!"
    assert vault.proving(altered(vault, note(2), broken)).code == 5


def test_a_data_key_that_is_not_in_the_keyring_is_named(vault: Vault) -> None:
    path = vault.encrypted()
    outcome = vault.proving(path, keyring=vault.add_keyring("other"), passphrase=PASSPHRASE)
    assert outcome.code == 13
    assert "data key dek-" in outcome.err
    assert "is not in the keyring" in outcome.err


def test_a_wrong_passphrase_leaves_no_verdict(vault: Vault) -> None:
    vault.proving(vault.encrypted(), passphrase=b"TEST-ONLY wrong").refused(13, "wrong passphrase")


def test_an_envelope_of_another_owner_is_refused(vault: Vault) -> None:
    one, other = sealed_notes(vault, note(1), note(2, owner="bob"))
    one["body"], other["body"] = other["body"], one["body"]
    outcome = vault.proving(altered(vault, one, other), passphrase=PASSPHRASE)
    assert outcome.code == 5
    assert "owner mismatch" in outcome.err


def test_a_document_without_partition_key_is_no_proof(vault: Vault) -> None:
    outcome = vault.proving(vault.encrypted(vault.notes(note(1), note(2, workspaceId=...))), "--json")
    assert (outcome.code, proven(outcome)["withoutPartitionKey"]) == (11, 1)


def test_other_values_than_were_sealed_are_a_digest_mismatch(vault: Vault) -> None:
    path = vault.encrypted(vault.notes(note(1), note(2)))
    other = stating(vault, path, lambda digest: digest[:-1] + ("0" if digest[-1] != "0" else "1"))
    outcome = vault.proving(other, "--json", passphrase=PASSPHRASE)
    assert (outcome.code, proven(outcome)["fields"][0]["digest"]) == (2, "differs")
    assert "2 values are not the 2 that the signed statement digested" in outcome.json["error"]["what"]


def test_a_statement_of_more_values_than_are_left_is_a_mismatch_and_of_fewer_is_partial(vault: Vault) -> None:
    path = vault.encrypted(vault.notes(note(1), note(2)))
    more = vault.proving(stating(vault, path, lambda digest: f"3{digest[1:]}"), "--json", passphrase=PASSPHRASE)
    assert (more.code, proven(more)["fields"][0]["digest"]) == (2, "differs")
    fewer = vault.proving(stating(vault, path, lambda digest: f"1{digest[1:]}"), "--json", passphrase=PASSPHRASE)
    assert (fewer.code, proven(fewer)["fields"][0]["digest"]) == (0, "partial")


def test_a_digest_in_another_spelling_is_refused(vault: Vault) -> None:
    path = vault.encrypted(vault.notes(note(1)))
    outcome = vault.proving(stating(vault, path, lambda digest: f"01{digest[1:]}"), passphrase=PASSPHRASE)
    assert outcome.code == 11
    assert "has a malformed digest" in outcome.err


def stating(vault: Vault, path: Path, change: Callable[[str], str]) -> Path:
    """Let the site sign a statement with other digests than it found."""
    found = kits.read(path)
    statement = dsse.verify(found[STATEMENT], {key("site").public.key_id: key("site").public})
    parsed = parse_statement(statement.payload, where="")
    stated = {
        name: {field: change(digest) for field, digest in fields.items()}
        for name, fields in parsed.value_digests.items()
    }
    payload = json.loads(statement.payload)
    payload["predicate"]["valueDigests"] = stated
    found[STATEMENT] = dsse.sign(json.dumps(payload).encode(), [key("site")])
    return vault.write(found, "stated.tar.zst")


def test_a_run_for_one_tenant_is_compared_with_that_tenant(vault: Vault) -> None:
    documents = [note(n) for n in range(4)]
    path = vault.encrypted(vault.notes(*documents), "--tenant", "w1")
    assert vault.proving(path).code == 11
    outcome = vault.proving(path, "--tenant", "w1", "--json", passphrase=PASSPHRASE)
    assert (outcome.code, proven(outcome)["fields"][0]["digest"]) == (0, "matches")
    again = vault.encrypted(path, name="again.tar.zst", trusting=("vendor", "site"))
    one = vault.proving(again, "--tenant", "w1", "--json", passphrase=PASSPHRASE)
    assert (one.code, proven(one)["fields"][0]["digest"]) == (0, "none")
    whole = vault.proving(again, "--json", passphrase=PASSPHRASE)
    assert (whole.code, proven(whole)["fields"][0]["digest"]) == (0, "matches")


def test_the_newest_statement_counts(vault: Vault) -> None:
    first = vault.encrypted(vault.notes(note(1), note(2, body=None)))
    found = {name: data for name, data in kits.read(first).items() if not name.startswith("manifest/")}
    documents = [bson.decode(document) for document in kits.documents_of(found[f"{DUMP}/notes.bson"])]
    documents[1]["body"] = "written since"
    found[f"{DUMP}/notes.bson"] = kits.collection(documents)
    second = vault.encrypted(vault.kit(found, name="edited.tar.zst"), name="second.tar.zst")
    outcome = vault.proving(second, "--json", passphrase=PASSPHRASE)
    assert (outcome.code, proven(outcome)["fields"][0]["digest"]) == (0, "matches")


def test_a_kit_without_any_mapped_collection_is_no_proof(vault: Vault) -> None:
    outcome = vault.proving(vault.kit())
    assert outcome.code == 11
    assert "names no collection of this kit" in outcome.err


def test_a_kit_without_manifest_is_no_proof(vault: Vault) -> None:
    outcome = vault.proving(vault.write(members({"notes": [note(1)]})), "--json")
    assert outcome.json["verdict"] == "refused"
    assert obligation(outcome)["detail"] == "cannot be checked without a manifest"


def test_what_is_proven_is_what_the_manifest_lists(vault: Vault) -> None:
    found = kits.signed(members({"notes": []}), key("vendor"))
    found[f"{DUMP}/notes.bson"] = kits.collection(sealed_notes(vault, note(1)))
    outcome = vault.proving(vault.write(found), "--json")
    assert outcome.code == 2
    assert "is not what the manifest lists" in obligation(outcome)["detail"]


def test_a_body_that_is_no_documents_is_no_proof(vault: Vault) -> None:
    outcome = vault.proving(vault.containers(notes=b"\x07\0\0\0"), "--json")
    assert outcome.code in {9, 11}
    assert obligation(outcome)["status"] == "failed"


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (("--keyring", "k"), "--field-map"),
        (("--canary", "x"), "--field-map"),
        (("--field-map", "notelett", "--canary", ""), "empty canary"),
        (("--field-map", "notelett", "--canary-everywhere"), "no canary"),
        (("--tenant", "w"), "--field-map"),
    ],
    ids=["a keyring without map", "a canary without map", "an empty canary", "no canary", "tenants of nothing"],
)
def test_options_that_say_nothing_are_refused(options: tuple[str, ...], word: str, vault: Vault) -> None:
    vault.verify(vault.notes(), options=options).refused(64, word)


def test_progress_is_told_while_fields_are_proven(vault: Vault) -> None:
    path = vault.encrypted(vault.kit(members()))
    lines = vault.proving(path, "--progress", "json", passphrase=PASSPHRASE).err.splitlines()
    told = [event for event in map(json.loads, lines) if event["stage"] == "fields"]
    assert [event["event"] for event in told] == ["started", *["batch"] * 5, "done"]
    assert {event["collection"]: event["documents"] for event in told[1:-1]} == {
        "note_agent_actions": 3,
        "note_artifacts": 2,
        "note_prompts": 3,
        "notes": 9,
        "palace_memories": 4,
    }
    assert told[-1]["documents"] == 21


def test_verify_changes_nothing(vault: Vault) -> None:
    path = vault.encrypted()
    before = kits.folder_state(vault.kits.parent)
    vault.proving(path, passphrase=PASSPHRASE)
    assert kits.folder_state(vault.kits.parent) == before

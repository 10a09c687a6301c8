"""Encryption of collections in JSON, by commands: the text of a value becomes an envelope, and comes back as it was."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import pytest

from kit.documents.json_runs import json_array, json_lines
from kit.values import Limits
from tests import kits
from tests.commands import Outcome, kit
from tests.end_to_end.test_deep import STATEMENT, meddled
from tests.end_to_end.vault import PASSPHRASE, Vault, descriptor, note

DECLARED = "notelett.notes"
MAP: dict[str, Any] = {
    "schemaVersion": "1",
    "product": "notelett",
    "collections": [
        {
            "collection": "notes",
            "partitionKey": "workspaceId",
            "fields": ["body", "meta.more"],
            "context": "notes",
            "userIdField": "userId",
            "skipOwners": ["__builtin__"],
        }
    ],
}
ODD = (
    '{ "id" : 1.50 , "workspaceId":"w\\u0031","userId":"ada" ,"body": {"a" :1e2,"b":[ 12345678901234567890123 ]} '
    ',"meta":{ "more" : "caf\\u00e9 \\/" ,"rest":0.10 } }'
)
LINES = "\n".join(
    [
        ODD,
        json.dumps(note(2, body="plain")),
        '{"_id":"n3","workspaceId":"w1","userId":"bob","body":null,"meta":{}}',
        '{"_id":"n4","workspaceId":"w1","userId":"__builtin__","body":"stays"}',
        '{"_id":{"$oid":"0123456789abcdef01234567"},"workspaceId":"w1","userId":"bob","body":{"$date":"2026-01-01T00:00:00Z"}}\r',
        '\t{"_id":7, "id":7,"workspaceId":"w1","userId":"bob","body":"","meta":"a scalar"}',
    ]
).encode()
FORMS = ["notes.jsonl", "notes.json.zst"]


def is_array(path: str) -> bool:
    return ".json" in path and ".jsonl" not in path and ".ndjson" not in path


def body_of(path: str) -> bytes:
    """Return the lines, or an array of them."""
    return b"[ " + b" ,\n".join(LINES.split(b"\n")) + b"]\n" if is_array(path) else LINES


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    (tmp_path / "map.json").write_text(json.dumps(MAP))
    return Vault(tmp_path)


def field_map(vault: Vault) -> Path:
    return vault.kits.parent / "map.json"


def create(vault: Vault, path: str, data: bytes, declared: str = DECLARED) -> Path:
    source = vault.kits / "source"
    source.mkdir()
    (source / path).write_bytes(kits.stored(path, data))
    collection = f"{path}={'json' if is_array(path) else 'ndjson'}:{declared}"
    words = ("--bundle-id", "b", "--signing-key", vault.keys / "vendor", "--created-at", kits.AT, "--workers", 1)
    made = kit("create", source, "-o", vault.kits / "kit.tar.zst", "--collection", collection, *words)
    assert made.code == 0, made
    return vault.kits / "kit.tar.zst"


def patch(vault: Vault, base: Path, *options: object, name: str = "out.tar.zst", **how: Any) -> Outcome:
    return vault.encrypting(
        "patch", base, "--output", vault.kits / name, *options, **{"field_map": field_map(vault), **how}
    )


def patched(vault: Vault, base: Path, *options: object, name: str = "out.tar.zst", **how: Any) -> Path:
    outcome = patch(vault, base, *options, name=name, **how)
    assert outcome.code == 0, outcome
    return vault.kits / name


def content(path: Path, member: str) -> bytes:
    return kits.plain(kits.read(path)[member], member)


def documents_of(data: bytes, path: str) -> list[bytes]:
    """Return the text of each document."""
    cut = json_array if is_array(path) else json_lines
    return [text for run in cut([data], limits=Limits()) for text in run.originals]


def recover(vault: Vault, sealed: Path, *scope: object, **how: Any) -> tuple[Outcome, bytes]:
    """Approve with two keys, and recover; return what was written, if anything was."""
    output, approval = vault.kits / "recovered", vault.kits / "approval"
    for one in (output, approval, vault.kits / "first"):
        one.unlink(missing_ok=True)
    for person in ("ada", "bob"):
        if not (vault.keys / person).exists():
            vault.add_key(person)
    period = ("--not-before", "2026-01-01T00:00:00Z", "--expires", "2199-12-31T00:00:00Z")
    words = ("--incident", "INC-7", "--reason", "order", *period, "--collection", DECLARED, *scope)
    made = kit("approval", "create", sealed, *words, "--signing-key", vault.keys / "ada", "-o", vault.kits / "first")
    assert made.code == 0, made
    signed = kit("approval", "sign", vault.kits / "first", "--signing-key", vault.keys / "bob", "-o", approval)
    assert signed.code == 0, signed
    keys = [word for one in ("ada", "bob") for word in ("--approver-key", vault.keys / f"{one}.pub")]
    what = ("--field-map", field_map(vault), "--keyring", vault.keyring, "--audit-log", vault.kits / "audit.log")
    options = ("--profile", how.get("profile", "bound"), "--at", kits.AT, "--workers", 1)
    with descriptor(PASSPHRASE) as number:
        outcome = kit(
            *("recover", sealed, "--approval", approval, *keys, *vault.trust("vendor", "site"), *what),
            *("--output", output, *options, "--keyring-passphrase-fd", number),
        )
    return outcome, output.read_bytes() if output.exists() else b""


def proving(vault: Vault, path: Path, *options: object) -> Outcome:
    return vault.proving(path, "--field-map", field_map(vault), *options, passphrase=PASSPHRASE)


@pytest.mark.parametrize("path", FORMS)
def test_values_become_envelopes_in_place_and_come_back_as_they_were(path: str, vault: Vault) -> None:
    before = body_of(path)
    sealed = patched(vault, create(vault, path, before))
    after = content(sealed, path)
    assert after.count(b'"bt":"json"') == 5
    assert b'"caf' not in after
    assert re.sub(rb'\{"__encrypted":[^{}]*\}', b"~", after) == re.sub(
        rb'\{"a" :1e2[^}]*\}|"caf[^"]*"|(?<="body": )"plain"|\{"\$date[^}]*\}|(?<="body":)""', b"~", before
    )
    proven = proving(vault, sealed, "--deep")
    assert proven.code == 0, proven
    # Of a compressed member, the digest before is the patcher's word, as for BSON that others compressed.
    assert ("all else is identical" in proven.out) == path.endswith(("l", "n")), proven.out
    outcome, found = recover(vault, sealed, "--whole-collections")
    assert outcome.code == 0, outcome
    due = documents_of(before, path)
    assert documents_of(found, path) == [*due[:3], *due[4:]]  # the fourth is of an owner who is skipped
    outcome, found = recover(vault, sealed, "--document", '{"$numberInt": "7"}')
    assert outcome.code == 0, outcome
    assert documents_of(found, path) == due[5:]


def test_a_second_patch_changes_nothing(vault: Vault) -> None:
    sealed = patched(vault, create(vault, "notes.jsonl", LINES))
    again = patched(vault, sealed, name="again.tar.zst", trusting=("vendor", "site"))
    assert content(again, "notes.jsonl") == content(sealed, "notes.jsonl")


def test_a_plan_counts_what_a_patch_seals_and_makes_nothing(vault: Vault) -> None:
    base = create(vault, "notes.jsonl", LINES)
    planned = vault.encrypting("plan", base, "--json", field_map=field_map(vault))
    assert planned.code == 0, planned
    assert [one["encrypted"] for one in planned.json["fields"]] == [4, 1]


def test_more_that_the_signer_of_the_patch_changed_is_found(vault: Vault) -> None:
    sealed = patched(vault, create(vault, "notes.jsonl", LINES))
    more = "the step changed more than mapped values"
    for old, new, words in (
        (b'"rest":0.10', b'"rest":0.1', more),
        (b'"ada" ,', b'"ada",', more),
        (b'"id" : 1.50', b'"id" : 1.5', "does not open"),
    ):
        found = kits.read(sealed)
        assert old in found["notes.jsonl"]
        statement = "manifest/history/1/patch.intoto.json"
        as_third = found | {STATEMENT: found[statement]}
        changed = meddled(as_third, found["notes.jsonl"].replace(old, new, 1), path="notes.jsonl")
        changed[statement] = changed.pop(STATEMENT)
        outcome = proving(vault, vault.write(changed, "forged.tar"))
        assert outcome.code in {2, 5}, outcome
        assert words in outcome.out


def test_values_under_a_key_that_others_may_have_are_sealed_again(vault: Vault) -> None:
    sealed = patched(vault, create(vault, "notes.jsonl", LINES))
    replaced = json.loads(content(sealed, "notes.jsonl").split(b"\n")[1])["body"]["dekId"]
    again = patched(vault, sealed, "--rekey", replaced, name="again.tar.zst", trusting=("vendor", "site"))
    assert replaced.encode() not in content(again, "notes.jsonl")
    proven = proving(vault, again, "--rekey", replaced)
    assert proven.code == 0, proven
    outcome, found = recover(vault, again, "--owner", "ada")
    assert outcome.code == 0, outcome
    assert documents_of(found, "notes.jsonl") == documents_of(LINES, "notes.jsonl")[:2]


def test_what_one_step_adds_and_the_next_seals_is_proven_together(vault: Vault) -> None:
    whole = {
        "_id": "o1",
        "tenant": "acme",
        "content": {"format": "OSV", "raw": {"id": "GO-1", "aliases": ["CVE-2025-1"]}},
    }
    name, path = "concelier.advisory_observations", "o.jsonl"
    data = f" {json.dumps(kits.observation(1))}\n{json.dumps(whole)}".encode()
    base = create(vault, path, data, declared=name)
    options = ("--output", vault.kits / "out.tar.zst")
    outcome = vault.encrypting("patch", base, *options, field_map="concelier", before=("--transform", "raw-linkset"))
    assert outcome.code == 0, outcome
    for old, new in zip(data.split(b"\n"), content(vault.kits / "out.tar.zst", path).split(b"\n"), strict=True):
        found, was = json.loads(new), json.loads(old)
        assert found["content"]["raw"]["bt"] == "json"
        assert "rawLinkset" in found
        assert new.startswith(old[: old.index(b'"raw":') + 7])
        assert was["content"]["raw"] != found["content"]["raw"]
    proven = vault.proving(vault.kits / "out.tar.zst", "--field-map", "concelier", "--deep", passphrase=PASSPHRASE)
    assert proven.code == 0, proven


def test_what_reshapes_documents_is_still_refused(vault: Vault) -> None:
    base = create(vault, "notes.jsonl", LINES)
    step = {
        "name": "reshape-default",
        "parameters": {"collection": "notes", "path": "extra", "value": {"$numberInt": "1"}},
    }
    head = {"schemaVersion": "1", "id": "20260101_x", "kind": "additive-optional", "description": "d"}
    (vault.kits / "m.json").write_text(json.dumps(head | {"transforms": [step], "rollback": {"decision": "leave"}}))
    outcome = vault.patch(base, "--migration", vault.kits / "m.json", "-o", vault.kits / "x.tar")
    outcome.refused(64, "notes.jsonl", "in which reshape-default cannot change documents")


REFUSED = [
    (
        "what looks like an envelope",
        '{"_id":1,"workspaceId":"w","userId":"a","body":{"__encrypted":1}}',
        5,
        'field "body"',
    ),
    ("no owner", '{"_id":1,"workspaceId":"w","body":1}', 11, "no owner"),
]


@pytest.mark.parametrize(("line", "code", "words"), [one[1:] for one in REFUSED], ids=[one[0] for one in REFUSED])
def test_refused_and_nothing_written(line: str, code: int, words: str, vault: Vault) -> None:
    base = create(vault, "notes.jsonl", line.encode())
    before = vault.keyring.read_bytes()
    patch(vault, base).refused(code, "notes.jsonl", words)
    assert not (vault.kits / "out.tar.zst").exists()
    assert vault.keyring.read_bytes() == before


def test_what_drivers_encrypt_is_no_text_and_is_refused(vault: Vault) -> None:
    base = create(vault, "notes.jsonl", LINES)
    words = ("--transform", "encrypt-fields", "--field-map", field_map(vault), "--profile", "csfle")
    outcome = vault.patch(base, *words, "--rollback-note", "n", "-o", vault.kits / "x.tar")
    outcome.refused(64, "notes.jsonl", "encrypt-fields --profile csfle cannot change documents")


def test_what_a_driver_wrote_is_read_as_what_it_is(vault: Vault) -> None:
    value = {"$binary": {"base64": base64.b64encode(bytes([1]) + bytes(17) + bytes(64)).decode(), "subType": "06"}}
    base = create(vault, "notes.jsonl", json.dumps(note(2, body=value)).encode())
    outcome = vault.proving(base, "--field-map", field_map(vault), "--profile", "csfle", passphrase=PASSPHRASE)
    assert outcome.code in {5, 11, 13}, outcome

"""``encrypt-fields`` over whole kits through the commands: bad input, repetition, counters, and what stays the same."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bson
import pytest

from kit.encryption import load
from tests import kits
from tests.commands import ROOT, Outcome, kit
from tests.end_to_end.desk import key
from tests.end_to_end.vault import BUILTIN, DUMP, NOTE, PASSPHRASE, Vault, body, descriptor, members, note
from tests.kits import REAL

BOTH = ("vendor", "site")
Documents = list[dict[str, Any]]


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault(tmp_path)


def everything(vault: Vault) -> object:
    """Give what must be as it was after a refusal: kits, keyring, and both folders; locks of keyrings aside."""
    seen = kits.folder_state(vault.kits.parent)
    return {name: facts[0:1] + facts[2:] for name, facts in seen.items() if not name.endswith(".lock")}


def sealed(vault: Vault, *documents: dict[str, Any], **how: Any) -> Documents:
    return list(map(bson.decode, kits.documents_of(body(vault.encrypted(vault.notes(*documents), **how), "notes"))))


def with_member(name: str, value: object) -> Callable[[Vault], Path]:
    """Alter one member of an envelope; ``...`` removes it."""

    def make(vault: Vault) -> Path:
        (document,) = sealed(vault, note(1))
        document["body"] = {k: v for k, v in (document["body"] | {name: value}).items() if v is not ...}
        return vault.notes(document, name="altered.tar.zst")

    return make


def with_other_bits(name: str) -> Callable[[Vault], Path]:
    """Change a member to another one of the same form."""

    def make(vault: Vault) -> Path:
        one, other = sealed(vault, note(1), note(2, body=NOTE[::-1]))
        one["body"][name] = other["body"][name]
        return vault.notes(one, name="altered.tar.zst")

    return make


def swapped(vault: Vault) -> Path:
    one, other = sealed(vault, note(1, body="a"), note(2, body="b"))
    one["body"], other["body"] = other["body"], one["body"]
    return vault.notes(one, other, name="swapped.tar.zst")


def of_another_owner(vault: Vault) -> Path:
    one, other = sealed(vault, note(1), note(2, owner="bob"))
    one["body"] = other["body"]
    return vault.notes(one, other, name="foreign.tar.zst")


def like_an_envelope(value: dict[str, Any]) -> Callable[[Vault], Path]:
    return lambda vault: vault.notes(note(0), note(1, body=value))


def of_a_lost_key(vault: Vault) -> Path:
    (document,) = sealed(vault, note(1), keyring=vault.add_keyring("lost"))
    return vault.notes(document, name="lost.tar.zst")


def invalid_utf8(vault: Vault) -> Path:
    document = bson.encode(note(1, body="broken"))
    return vault.containers(notes=document.replace(b"broken", b"br\xffken"))


def without_partition_key(vault: Vault) -> Path:
    return vault.notes(*(note(n, **({"workspaceId": None} if n < 11 else {})) for n in range(20)))


IN_N1 = 'notelett.notes: document 0 (_id "n1"): field "body": '
IN_SECOND = 'notelett.notes: document 1 (_id "n1"): field "body": '
WITHOUT_KEY = 'notelett.notes: document 0 (_id "n0"): field "workspaceId": '
NO_OWNER = """notelett.notes: document 0 (_id "n1"): no owner: 'userId' is missing"""

REFUSED: list[tuple[str, Callable[[Vault], Path], int, str]] = [
    *(
        (f"an envelope whose {name} is {value!r}", with_member(name, value), 5, IN_N1)
        for name, value in (
            ("__encrypted", 1),
            ("v", 9),
            ("alg", "aes"),
            ("ct", ...),
            ("ct", "!"),
            ("iv", "AAAA"),
            ("tag", "AAAA"),
            ("dekId", ""),
            ("mekVersion", 0),
            ("mekVersion", 7),
            ("ctx", "elsewhere"),
            ("bt", 10),
            ("bt", 5),
            ("more", 1),
        )
    ),
    *((f"an envelope with the {name} of another", with_other_bits(name), 5, IN_N1) for name in ("ct", "iv", "tag")),
    ("swapped envelopes", swapped, 5, IN_N1),
    ("user data with the mark of an envelope", like_an_envelope({"__encrypted": "no"}), 5, IN_SECOND),
    ("user data with members of an envelope", like_an_envelope({"ct": "", "iv": "", "tag": ""}), 5, IN_SECOND),
    ("a data key that is not in the keyring", of_a_lost_key, 13, f"{IN_N1}data key dek-"),
    ("an envelope of another owner", of_another_owner, 12, f"{IN_N1}owner mismatch"),
    ("too many documents without partition key", without_partition_key, 12, f"{WITHOUT_KEY}11 of 20 documents"),
    ("a document without owner", lambda vault: vault.notes(note(1, owner=...)), 11, NO_OWNER),
    ("a document without _id", lambda vault: vault.notes(note(1, _id=...)), 11, "notelett.notes: document 0"),
]


@pytest.mark.parametrize(("make", "code", "words"), [r[1:] for r in REFUSED], ids=[r[0] for r in REFUSED])
def test_refused_and_nothing_written(make: Callable[[Vault], Path], code: int, words: str, vault: Vault) -> None:
    path = make(vault)
    before = everything(vault)
    outcome = vault.encrypting("patch", path, "--output", vault.kits / "new.tar.zst")
    outcome.refused(code, words)
    assert everything(vault) == before
    in_place = vault.encrypting("patch", path, "--in-place")
    assert (in_place.code, in_place.out) == (code, "")
    assert everything(vault) == before


def of_a_number(vault: Vault) -> Path:
    return vault.notes(note(1, body=7))


@pytest.mark.parametrize(
    ("make", "profile"),
    [(invalid_utf8, "compat"), (invalid_utf8, "bound"), (of_a_number, "compat")],
    ids=["text that is not UTF-8 in compat", "text that is not UTF-8 in bound", "what is no string in compat"],
)
def test_what_cannot_be_sealed_is_refused_and_nothing_written(
    make: Callable[[Vault], Path], profile: str, vault: Vault
) -> None:
    path = make(vault)
    before = everything(vault)
    for where in (("--in-place",), ("--output", vault.kits / "o.tar.zst")):
        vault.encrypting("patch", path, *where, "--profile", profile).refused(11, IN_N1)
        assert everything(vault) == before


@pytest.mark.parametrize("stored", [b"\x07\0\0\0", bson.encode(note(1, body={"__encrypted": True}))])
def test_a_kit_that_was_tampered_with_is_refused_as_that_whatever_its_documents_are(
    stored: bytes, vault: Vault
) -> None:
    found = kits.signed(members({"notes": [note(1)]}), key("vendor"))
    path = vault.write({**found, f"{DUMP}/notes.bson": stored})
    before = everything(vault)
    vault.encrypting("patch", path, "--in-place").refused(2, "dump/notelett/notes.bson")
    assert everything(vault) == before


@pytest.mark.parametrize("stored", [b"\x07\0\0\0", bson.encode(note(1)) + bson.encode(note(2))[:-3]])
def test_a_collection_that_ends_inside_a_document_is_refused(stored: bytes, vault: Vault) -> None:
    path = vault.containers(notes=stored)
    before = everything(vault)
    vault.encrypting("patch", path, "--in-place").refused(11, "dump/notelett/notes.bson: document ")
    assert everything(vault) == before


def test_an_envelope_of_the_other_profile_is_refused(vault: Vault) -> None:
    path = vault.encrypted(vault.notes(note(1)))
    outcome = vault.encrypting("patch", path, "--in-place", "--profile", "compat", trusting=BOTH)
    outcome.refused(5, IN_N1)


def test_a_wrong_passphrase_is_refused(vault: Vault) -> None:
    path = vault.notes()
    before = everything(vault)
    outcome = vault.encrypting("patch", path, "--in-place", passphrase=b"TEST-ONLY wrong")
    outcome.refused(13, "site.keyring: master key 1: wrong passphrase")
    assert everything(vault) == before


def test_a_keyring_that_others_can_read_is_refused(vault: Vault) -> None:
    path = vault.notes()
    vault.keyring.chmod(0o644)
    before = everything(vault)
    vault.encrypting("patch", path, "--in-place").refused(13, "site.keyring", "chmod")
    assert everything(vault) == before


def test_a_keyring_that_is_not_there_is_refused(vault: Vault) -> None:
    path = vault.notes()
    before = everything(vault)
    vault.encrypting("patch", path, "--in-place", keyring=vault.keys / "absent").refused(13, "absent")
    assert everything(vault) == before


@pytest.mark.parametrize(
    ("left_out", "word"),
    [("--rollback-note", "--rollback-note"), ("--keyring", "--keyring"), ("--field-map", "--field-map")],
)
def test_an_encryption_without_what_it_needs_is_usage(left_out: str, word: str, vault: Vault) -> None:
    path, before = vault.notes(), everything(vault)
    options = {"--rollback-note": "kept", "--keyring": vault.keyring, "--field-map": "notelett"}
    words = [word for name, value in options.items() if name != left_out for word in (name, value)]
    before = everything(vault)
    vault.patch(path, "--in-place", "--transform", "encrypt-fields", *words).refused(64, word)
    assert everything(vault) == before


def test_the_reverse_order_of_transforms_is_usage(vault: Vault) -> None:
    path = vault.kit()
    before = everything(vault)
    outcome = vault.encrypting("patch", path, "--in-place", "--transform", "raw-linkset", field_map="concelier")
    outcome.refused(64, "raw-linkset cannot run after encrypt-fields")
    assert everything(vault) == before


@pytest.mark.parametrize("command", ["plan", "patch"])
def test_half_a_reference_is_usage(command: str, vault: Vault) -> None:
    where = ("--output", vault.kits / "o") if command == "patch" else ()
    vault.encrypting(command, vault.notes(), *where, "--reference", "x").refused(64, "need each other")


def test_a_reference_document_of_the_live_writer_must_open(vault: Vault) -> None:
    path = vault.encrypted(vault.notes(note(1)))
    good, bad = vault.kits.parent / "good.bson", vault.kits.parent / "bad.bson"
    good.write_bytes(body(path, "notes"))
    bad.write_bytes(body(path, "notes").replace(b"n1\0", b"n2\0"))
    words = ("--reference-collection", "notelett.notes", "--reference")
    assert vault.encrypting("plan", vault.notes(note(5), name="five.tar"), *words, good).code == 0
    refused = vault.encrypting("plan", vault.notes(note(5), name="five.tar"), *words, bad)
    refused.refused(5, 'notelett.notes: document 0 (_id "n2"): ')


def test_a_run_that_stops_once_keys_were_needed_has_only_reserved_uses(vault: Vault) -> None:
    (moved,) = sealed(vault, note(1))
    path = vault.notes(moved | {"_id": "n2"}, note(3, owner="cleo"), name="mixed.tar.zst")
    kit_before, keys = kits.folder_state(vault.kits), load(vault.keyring).keyring
    vault.encrypting("patch", path, "--in-place").refused(5, 'document 0 (_id "n2")')
    assert kits.folder_state(vault.kits) == kit_before
    after = load(vault.keyring).keyring
    assert {dek.scope.owner: dek.uses for dek in after.deks.values()} == {"ada": 1, "cleo": 1}
    assert all(after.deks[name] == dek for name, dek in keys.deks.items())


def test_a_second_run_changes_nothing_and_copies_byte_for_byte(vault: Vault) -> None:
    first = vault.encrypted(vault.kit(members()))
    keyring = vault.keyring.read_bytes()
    outcome = vault.encrypting("patch", first, "--output", vault.kits / "2.tar.zst", "--json", trusting=BOTH)
    assert (outcome.code, outcome.json["changed"], outcome.json["generation"]) == (0, 0, None)
    assert (vault.kits / "2.tar.zst").read_bytes() == first.read_bytes()
    assert vault.keyring.read_bytes() == keyring
    assert all(counts["encrypted"] == 0 for counts in outcome.json["fields"])


def test_one_keyring_gives_one_archive_whatever_the_workers(vault: Vault) -> None:
    path = vault.kit(members())
    archives = [vault.encrypted(path, workers=w, name=f"{n}.tar.zst") for n, w in enumerate((1, 2, 1))]
    assert len({archive.read_bytes() for archive in archives}) == 1


def test_a_random_iv_gives_other_envelopes_that_open_too(vault: Vault) -> None:
    path = vault.notes()
    one, other = (vault.encrypted(path, "--iv", "random", name=f"{n}.tar") for n in range(2))
    assert body(one, "notes") != body(other, "notes")
    assert all(vault.proving(archive, passphrase=PASSPHRASE).code == 0 for archive in (one, other))


def test_outside_the_mapped_fields_every_byte_stays(vault: Vault) -> None:
    path = vault.kit(members())
    before, after = kits.read(path), kits.read(vault.encrypted(path))
    for name in before:
        if not name.endswith(".bson"):
            assert name.startswith("manifest/") or before[name] == after[name]
            continue
        for old, new in zip(kits.documents_of(before[name]), kits.documents_of(after[name]), strict=True):
            kept, sealed_now = bson.decode(old), bson.decode(new)
            assert list(kept) == list(sealed_now)
            for field, value in sealed_now.items():
                assert kept[field] == value or value["__encrypted"] is True


def test_counters_of_all_five_containers_add_up_and_a_plan_has_the_same(vault: Vault) -> None:
    path = vault.kit(members())
    before = everything(vault)
    planned = vault.encrypting("plan", path, "--json").json
    assert everything(vault) == before
    done = vault.encrypting("patch", path, "--output", vault.kits / "o.tar.zst", "--json").json
    assert planned["fields"] == done["fields"]
    assert (planned["changed"], planned["outcomes"]) == (done["changed"], done["outcomes"])
    outcomes = ("encrypted", "skipped_encrypted", "skipped_null", "skipped_missing", "skipped_owner", "errors")
    assert all(counts["scanned"] == sum(counts[o] for o in outcomes) for counts in done["fields"])
    table = {
        (c["collection"].removeprefix("notelett."), c["field"]): tuple(c[o] for o in outcomes) for c in done["fields"]
    }
    assert table == {
        ("notes", "body"): (8, 0, 1, 0, 0, 0),
        ("palace_memories", "content"): (4, 0, 0, 0, 0, 0),
        ("note_artifacts", "title"): (2, 0, 0, 0, 0, 0),
        ("note_artifacts", "description"): (0, 0, 1, 1, 0, 0),
        ("note_artifacts", "blobPath"): (1, 0, 0, 1, 0, 0),
        ("note_prompts", "description"): (1, 0, 0, 0, 2, 0),
        ("note_prompts", "systemPrompt"): (1, 0, 0, 0, 2, 0),
        ("note_prompts", "userPromptTemplate"): (1, 0, 0, 0, 2, 0),
        ("note_agent_actions", "reason"): (3, 0, 0, 0, 0, 0),
        ("note_agent_actions", "beforeSummary"): (3, 0, 0, 0, 0, 0),
        ("note_agent_actions", "afterSummary"): (3, 0, 0, 0, 0, 0),
        ("note_agent_actions", "reviewNote"): (0, 0, 3, 0, 0, 0),
    }
    assert BUILTIN not in {dek.scope.owner for dek in load(vault.keyring).keyring.deks.values()}


def test_a_plan_without_keyring_counts_as_well(vault: Vault) -> None:
    words = ("--transform", "encrypt-fields", "--field-map", "notelett")
    outcome = kit("plan", vault.notes(), *vault.trust("vendor"), *words, "--json")
    assert (outcome.code, outcome.json["fields"][0]["encrypted"]) == (0, 3)


def test_edits_of_one_in_a_hundred_leave_every_other_ciphertext(
    vault: Vault, capsys: pytest.CaptureFixture[str]
) -> None:
    documents = [note(n, body=f"{NOTE} {n} " * 20) for n in range(400)]
    first = vault.encrypted(vault.notes(*documents), name="first.tar.zst")
    for number in range(0, 400, 100):
        documents[number]["body"] += "edited"
    second = vault.encrypted(vault.notes(*documents, name="edited.tar.zst"), name="second.tar.zst")
    bodies = [[bson.decode(d)["body"] for d in kits.documents_of(body(path, "notes"))] for path in (first, second)]
    equal = sum(one == other for one, other in zip(*bodies, strict=True))
    assert equal == 396
    delta = patch_size(body(first, "notes"), body(second, "notes"), vault.kits)
    told = f"{equal} of 400 envelopes equal, zstd --patch-from {delta} of {len(body(second, 'notes'))} bytes"
    with capsys.disabled():
        print(f"\n1 % edits: {told}")  # noqa: T201  a figure to be read


def patch_size(old: bytes, new: bytes, folder: Path) -> int | None:
    """Give the size of what ``zstd --patch-from`` makes; None without the tool."""
    if shutil.which("zstd") is None:
        return None
    one, other = folder / "old.bin", folder / "new.bin"
    one.write_bytes(old)
    other.write_bytes(new)
    made = subprocess.run(
        ["zstd", "-q", "-19", f"--patch-from={one}", other, "-c"], capture_output=True, check=True
    ).stdout
    assert len(made) < len(new) // 20
    return len(made)


def test_raw_linkset_and_encryption_in_one_chain(vault: Vault) -> None:
    path = vault.kit()
    words = ("--field-map", "concelier", "--keyring", vault.keyring, "--rollback-note", "kept")
    with descriptor(PASSPHRASE) as number:
        outcome = vault.patch(
            path,
            "--output",
            vault.kits / "o.tar",
            "--transform",
            "raw-linkset",
            "--transform",
            "encrypt-fields",
            *words,
            "--keyring-passphrase-fd",
            number,
        )
    assert outcome.code == 0, outcome
    found = [
        bson.decode(document) for document in kits.documents_of(kits.read(vault.kits / "o.tar")[kits.OBSERVATIONS])
    ]
    assert [("rawLinkset" in document, document["content"].get("raw", {}).get("v")) for document in found] == [
        (True, 2),
        (True, 2),
        (False, None),
    ]


@pytest.mark.slow
@pytest.mark.skipif(not REAL.is_dir(), reason="the published kits are not beside the project")
def test_a_published_kit_is_encrypted_and_proven(vault: Vault) -> None:
    publisher = REAL / "publisher-TEST-ONLY.pub.pem"
    output = vault.kits / "o.tar.zst"
    made = vault.encrypting(
        "patch",
        REAL / "go-osv.tar.zst",
        "--trusted-key",
        publisher,
        "--output",
        output,
        "--json",
        field_map="concelier",
        workers=2,
    )
    assert made.code == 0, made
    (counts,) = made.json["fields"]
    assert counts["encrypted"] > 0
    with descriptor(PASSPHRASE) as number:
        outcome = proved(vault, output, publisher, "--keyring", vault.keyring, "--keyring-passphrase-fd", number)
    assert outcome.code == 0, outcome
    (member,) = outcome.json["fields"]
    (field,) = member["fields"]
    assert (field["opened"], field["digest"]) == (counts["encrypted"], "matches")


def proved(vault: Vault, path: Path, publisher: Path, *options: object) -> Outcome:
    words = ("--trusted-key", publisher, *vault.trust("site"), "--field-map", "concelier", "--workers", 2, "--json")
    return kit("verify", path, *words, *options)


NODE_MODULES = ROOT / ".venv/node"
needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="Node is not installed")


@needs_node
@pytest.mark.skipif(not (NODE_MODULES / "node_modules/bson").is_dir(), reason="the npm package bson is not installed")
def test_every_compat_envelope_of_a_kit_opens_in_node(vault: Vault) -> None:
    documents = [note(n, owner=("ada", "bob")[n % 2], body=f"{NOTE} {n}") for n in range(30)]
    output = vault.encrypted(vault.notes(*documents), "--profile", "compat")
    file, deks = vault.kits / "notes.bson", vault.kits / "deks.json"
    file.write_bytes(body(output, "notes"))
    deks.write_text(json.dumps({name: key.secret.hex() for name, key in vault.unlocked().keys.items()}))
    script = Path(__file__).with_name("open_compat.mjs")
    ran = subprocess.run(["node", script, NODE_MODULES, file, deks, "body"], capture_output=True, check=True)
    assert json.loads(ran.stdout) == [[document["_id"], document["body"]] for document in documents]
    assert vault.proving(output, "--profile", "compat", passphrase=PASSPHRASE).code == 0


def test_at_most_so_many_documents_of_each_owner(vault: Vault) -> None:
    words = ("--limit-per-tenant", 1, "--validate", "fields", "--json")
    report = vault.encrypting("plan", vault.kit(members()), *words).json
    for member in report["collections"]:
        outcomes = member["outcomes"].get("encrypt-fields", {})
        assert all(counts.get("encrypted", 0) <= 1 for counts in outcomes.values()), member["path"]
    every = report["outcomes"]["encrypt-fields"]
    assert {owner: counts["encrypted"] for owner, counts in every.items() if "encrypted" in counts} == dict.fromkeys(
        [owner for owner, counts in every.items() if "encrypted" in counts], 1
    )
    assert report["changed"] == sum("encrypted" in counts for counts in every.values()) > 1


def members_of_map() -> set[str]:
    return {name.removeprefix(f"{DUMP}/").removesuffix(".bson") for name in members() if name.startswith(DUMP)}


def test_owners_of_different_kinds_are_in_a_table_of_their_container(vault: Vault) -> None:
    shown = vault.encrypting("plan", vault.kit(members())).out
    tables: dict[str, set[str]] = {}
    for block in shown.split("\n\n"):
        head, *rows = block.splitlines() or [""]
        if "encrypt-fields: " in head:
            tables[head.split()[1]] = {row.split()[0] for row in rows}
    assert tables["notes"] == {"w0", "w1", "all"}
    assert "ada" in tables["palace_memories"]
    assert "w0" not in tables["palace_memories"]
    assert tables.keys() == members_of_map()


def test_the_outcomes_of_each_member_add_up_to_those_of_all(vault: Vault) -> None:
    report = vault.encrypting("plan", vault.kit(members()), "--json").json
    total: Counter[tuple[str, str]] = Counter()
    for member in report["collections"]:
        for tenant, outcomes in member["outcomes"].get("encrypt-fields", {}).items():
            total.update({(tenant, outcome): count for outcome, count in outcomes.items()})
    every = report["outcomes"]["encrypt-fields"]
    assert total == {(tenant, name): count for tenant, counts in every.items() for name, count in counts.items()}

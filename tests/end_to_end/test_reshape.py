"""Changes of the schema of a collection, through the commands: each a before and an after, and what it refuses."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bson
import pytest

from kit.signing import dsse, jws
from tests import kits
from tests.commands import Outcome, kit
from tests.end_to_end.desk import Desk, key

NOTES = "dump/notelett/notes.bson"
OTHER = "dump/notelett/users.bson"
METADATA = "dump/notelett/notes.metadata.json"
VALIDATOR = b'{"options":{"validator":{"$jsonSchema":{"bsonType":"object","required":["_id"]}}},"indexes":[]}'
NOTE = ("--rollback-note", "put the old kit back")
Reshaping = Callable[..., tuple[Outcome, Path]]


def note(number: int, **changes: Any) -> dict[str, Any]:
    made = {"_id": f"n{number}", "tenant": "acme", "userId": f"u{number % 3}", "workspaceId": "w1", "state": "open"}
    return {name: value for name, value in (made | changes).items() if value is not ...}


def migration(kind: str, *transforms: tuple[str, dict[str, Any]], **more: Any) -> dict[str, Any]:
    return {
        "schemaVersion": "1",
        "id": "20260201_reshape",
        "kind": kind,
        "description": "A change of a schema.",
        "transforms": [
            {"name": name, "parameters": {"collection": "notes", **parameters}} for name, parameters in transforms
        ],
        "rollback": {"decision": "restore-copy"},
        **more,
    }


DEFAULT = migration("additive-optional", ("reshape-default", {"path": "pinned", "value": False}))
REQUIRE = migration("additive-required", ("reshape-require", {"path": "pinned", "value": False, "tighten": True}))
ENUM = migration(
    "enum-expansion",
    (
        "reshape-enum",
        {
            "path": "state",
            "old": ["open", "done", "shut"],
            "new": ["open", "done", "archived"],
            "mapping": [{"from": "shut", "to": "archived"}],
            "readers": "backend 2.4.0",
        },
    ),
)
COPY = migration("rename", ("reshape-copy", {"from": "state", "to": "status"}))
REMOVE = migration("rename", ("reshape-remove", {"from": "state", "to": "status"}))
OWNER = migration("ownership", ("reshape-owner", {"owners": {"u1": "v1"}, "workspaces": {"w1": "w9"}}))
PROJECT = migration(
    "partition-key",
    (
        "reshape-project",
        {
            "target": "notes_by_user",
            "targetPartitionKey": "userId",
            "fields": ["userId", "state", "tenant"],
            "validation": "SELECT VALUE COUNT(1) FROM c",
        },
    ),
)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.fixture
def reshape(desk: Desk) -> Reshaping:
    """Run a migration on a kit of notes, or on the kit that is given."""

    def run(
        described: dict[str, Any],
        *documents: dict[str, Any],
        base: Path | None = None,
        name: str = "patched.tar.zst",
        member: str = NOTES,
        options: tuple[object, ...] = NOTE,
        **more: Any,
    ) -> tuple[Outcome, Path]:
        file = desk.kits / "migration.json"
        file.write_text(json.dumps(described))
        if base is None:
            base = desk.kit(members(*documents, member=member))
        output = desk.kits / name
        return desk.patch(base, "--output", output, "--migration", file, *options, **more), output

    return run


def members(*documents: dict[str, Any], member: str = NOTES, metadata: bytes = VALIDATOR) -> kits.Members:
    body = kits.stored(member, kits.collection(documents or [note(n) for n in range(7)]))
    return {"README.txt": b"a kit\n", member: body, METADATA: metadata, OTHER: kits.collection([{"_id": 1}])}


def decoded(path: Path, member: str = NOTES) -> list[dict[str, Any]]:
    return [bson.decode(one) for one in kits.documents_of(kits.plain(kits.read(path)[member], member))]


def record_of(path: Path, generation: int = 3) -> dict[str, Any]:
    found = json.loads(kits.read(path)[f"manifest/history/{generation}/reshape.json"])
    assert isinstance(found, dict)
    return found


def test_a_default_is_written_only_where_it_is_missing(reshape: Reshaping) -> None:
    outcome, output = reshape(DEFAULT, note(1), note(2, pinned=True), note(3, pinned=None), options=())
    assert outcome.code == 0, outcome
    assert decoded(output) == [note(1) | {"pinned": False}, note(2, pinned=True), note(3, pinned=None)]


def test_a_required_field_tightens_the_validator(reshape: Reshaping) -> None:
    outcome, output = reshape(REQUIRE, note(1), note(2, pinned=True))
    assert outcome.code == 0, outcome
    assert decoded(output) == [note(1) | {"pinned": False}, note(2, pinned=True)]
    assert kits.read(output)[METADATA] == VALIDATOR.replace(b'["_id"]', b'["_id","pinned"]')


def test_values_of_an_enumeration_are_mapped(reshape: Reshaping) -> None:
    outcome, output = reshape(ENUM, note(1), note(2, state="shut"), note(3, state=...))
    assert outcome.code == 0, outcome
    assert decoded(output) == [note(1), note(2, state="archived"), note(3, state=...)]


def test_a_field_is_copied_and_then_removed(reshape: Reshaping) -> None:
    outcome, output = reshape(COPY, note(1), note(2, state=...), note(3, status="open"))
    assert outcome.code == 0, outcome
    copied = [note(1) | {"status": "open"}, note(2, state=...), note(3, status="open")]
    assert decoded(output) == copied
    outcome, last = reshape(REMOVE, base=output, name="removed.tar.zst", trusting=("vendor", "site"))
    assert outcome.code == 0, outcome
    assert decoded(last) == [{name: value for name, value in one.items() if name != "state"} for one in copied]


def test_owners_and_workspaces_are_mapped_and_a_sample_is_on_record(reshape: Reshaping) -> None:
    outcome, output = reshape(OWNER, *(note(n) for n in range(20)))
    assert outcome.code == 0, outcome
    assert {(one["userId"], one["workspaceId"]) for one in decoded(output)} == {
        ("u0", "w9"),
        ("v1", "w9"),
        ("u2", "w9"),
    }
    samples = record_of(output)["samples"]
    assert [(one["owner"], one["workspace"], len(one["documents"])) for one in samples] == [
        ("u0", "w9", 3),
        ("u2", "w9", 3),
        ("v1", "w9", 3),
    ]


@pytest.mark.parametrize("member", [NOTES, f"{NOTES}.gz", f"{NOTES}.zst"])
def test_a_projection_makes_a_new_collection_and_leaves_the_old_one(reshape: Reshaping, member: str) -> None:
    outcome, output = reshape(PROJECT, note(1), note(2), member=member)
    assert outcome.code == 0, outcome
    made = member.replace("notes.bson", "notes_by_user.bson")
    assert decoded(output, member) == [note(1), note(2)]
    assert decoded(output, made) == [
        {name: one[name] for name in ("_id", "tenant", "userId", "state")} for one in (note(1), note(2))
    ]
    (move,) = record_of(output)["moves"]
    assert (move["source"]["name"], move["source"]["documents"]) == (member, 2)
    assert (move["target"]["name"], move["target"]["documents"]) == (made, 2)
    assert move["statement"]["validation"] == "SELECT VALUE COUNT(1) FROM c"


EVERY = {
    "default": DEFAULT,
    "require": REQUIRE,
    "enum": ENUM,
    "copy": COPY,
    "owner": OWNER,
    "project": PROJECT,
}


@pytest.mark.parametrize("described", EVERY.values(), ids=EVERY)
def test_a_second_run_changes_nothing(reshape: Reshaping, described: dict[str, Any]) -> None:
    outcome, output = reshape(described, *(note(n, state="shut" if n % 2 else "open") for n in range(9)))
    assert outcome.code == 0, outcome
    before = kits.read(output)
    outcome, again = reshape(described, base=output, name="again.tar.zst", trusting=("vendor", "site"))
    assert outcome.code == 0, outcome
    assert kits.read(again) == before


@pytest.mark.parametrize("described", EVERY.values(), ids=EVERY)
def test_a_plan_counts_what_a_patch_does(reshape: Reshaping, desk: Desk, described: dict[str, Any]) -> None:
    outcome, output = reshape(described, *(note(n) for n in range(9)), options=(*NOTE, "--json"))
    assert outcome.code == 0, outcome
    planned = kit("plan", desk.kits / "kit.tar.zst", *desk.trust("vendor"), "--migration",
                  desk.kits / "migration.json", "--json", "--workers", 1)  # fmt: skip
    assert planned.code == 0, planned
    assert planned.json["outcomes"] == outcome.json["outcomes"]
    assert output.exists()


@pytest.mark.parametrize("described", EVERY.values(), ids=EVERY)
@pytest.mark.parametrize("container", ["kit.tar.zst", "kit.tar", "kit"])
def test_a_deep_verdict_undoes_the_step(
    reshape: Reshaping, desk: Desk, described: dict[str, Any], container: str
) -> None:
    documents = [note(n, state="shut" if n % 2 else "open") for n in range(9)]
    base = desk.kit(members(*documents), name=container)
    name = f"patched{container.removeprefix('kit')}"
    outcome, output = reshape(described, base=base, name=name, options=(*NOTE, "--json"))
    assert outcome.code == 0, outcome
    verdict = desk.verify(output, options=("--deep",))
    assert verdict.code == 0, verdict
    assert "as its record states, and no other byte" in verdict.out, verdict
    changed = sum(one["changed"] for one in outcome.json["collections"])
    counted = desk.verify(output, options=("--deep", "--json")).json["proofs"]
    assert sum(one["changed"] for one in counted) == changed


def test_a_removal_is_undone_wherever_the_element_was(reshape: Reshaping, desk: Desk) -> None:
    documents = [
        {"_id": 1, "state": "a", "status": "a"},
        {"_id": 2, "state": "b", "status": "b"},
        {"_id": 3, "status": "c", "x": 1, "state": "c"},
    ]
    outcome, output = reshape(REMOVE, *documents)
    assert outcome.code == 0, outcome
    assert record_of(output)["members"][0]["ways"] == [[2, 2], [1, 4]]
    assert "no other byte" in desk.verify(output, options=("--deep",)).out


RECORD, STATEMENT = (f"manifest/history/3/{name}" for name in ("reshape.json", "patch.intoto.json"))


def forged(desk: Desk, path: Path, change: Callable[[kits.Members], None]) -> Path:
    """Return a kit that the patcher changed after the fact, with every digest and signature made again."""
    found = kits.read(path)
    before = dict(found)
    change(found)
    touched = {name for name in found if found[name] != before.get(name) and not name.startswith("manifest/")}
    digests = {name: kits.sha256(data) for name, data in found.items()}
    manifest = json.loads(found[kits.MANIFEST])
    for entry in manifest["files"]:
        entry.update(kits.facts(found[entry["path"]]))
    if RECORD in found:
        manifest["lineage"][-1]["recordSha256"] = digests[RECORD]
    found[kits.MANIFEST] = kits.to_json(manifest)
    statement = json.loads(base64.b64decode(json.loads(found[STATEMENT])["payload"]))
    old = {one["path"]: one["sha256"] for one in json.loads(found["manifest/history/3/offline-manifest.json"])["files"]}
    for name, listed, digest in (("subject", statement["subject"], digests), ("materials", None, old)):
        items = statement["predicate"]["materials"] if listed is None else listed
        there = {one["name"] for one in items}
        items += [{"name": one, "digest": {"sha256": digest[one]}} for one in touched - there if one in digest]
        items[1:] = sorted(items[1:], key=lambda one: one["name"])
        if name == "subject":
            for one in items[1:]:
                one["digest"]["sha256"] = digests[one["name"]]
            items[0]["digest"]["sha256"] = kits.sha256(found[kits.MANIFEST])
    if RECORD in found:
        statement["predicate"]["record"]["digest"]["sha256"] = digests[RECORD]
    found[STATEMENT] = dsse.sign(kits.to_json(statement), [key("site")])
    found[kits.SIGNATURE] = jws.sign(found[kits.MANIFEST], [key("site")])
    return desk.write(found, "forged.tar.zst")


def flip(member: str, old: bytes, new: bytes) -> Callable[[kits.Members], None]:
    def change(found: kits.Members) -> None:
        assert old in found[member]
        found[member] = found[member].replace(old, new, 1)

    return change


def everything_said() -> dict[str, dict[str, Any]]:
    return EVERY | {"remove": REMOVE}


@pytest.mark.parametrize("described", everything_said().values(), ids=everything_said())
@pytest.mark.parametrize("member", [NOTES, OTHER, "README.txt"])
def test_one_other_byte_ends_the_proof(reshape: Reshaping, desk: Desk, described: dict[str, Any], member: str) -> None:
    documents = [note(n, state="shut" if n % 2 else "open", text="unchanged", big=1) for n in range(9)]
    documents = [one | {"status": one["state"]} for one in documents] if described is REMOVE else documents
    outcome, output = reshape(described, *documents)
    assert outcome.code == 0, outcome
    honest = forged(desk, output, lambda _: None)
    assert "no other byte" in desk.verify(honest, options=("--deep",)).out
    change = {NOTES: (b"unchanged", b"unchanget"), OTHER: (b"_id\0\1", b"_id\0\2"), "README.txt": (b"kit", b"kat")}
    verdict = desk.verify(forged(desk, output, flip(member, *change[member])), options=("--deep",))
    assert verdict.code in {2, 11}, verdict
    assert "\nvalid: " not in verdict.out
    assert desk.verify(desk.kits / "forged.tar.zst").code == 0


def test_a_record_of_another_step_or_with_other_parameters_is_refused(reshape: Reshaping, desk: Desk) -> None:
    outcome, output = reshape(DEFAULT)
    assert outcome.code == 0, outcome
    found = kits.read(output)
    assert desk.verify(desk.write({name: data for name, data in found.items() if name != RECORD})).code == 2
    assert desk.verify(desk.write(found | {RECORD: found[RECORD] + b" "})).code == 2
    verdict = desk.verify(forged(desk, output, flip(RECORD, b'"pinned"', b'"tinned"')), options=("--deep",))
    assert verdict.code == 11, verdict


@pytest.mark.parametrize("way", [b"0", b"2", b"99999999"])
def test_a_way_that_does_not_lead_back_is_a_named_error(reshape: Reshaping, desk: Desk, way: bytes) -> None:
    outcome, output = reshape(DEFAULT)
    assert outcome.code == 0, outcome
    change = flip(RECORD, b"          7,\n          1\n", b"          7,\n          " + way + b"\n")
    assert desk.verify(forged(desk, output, change), options=("--deep",)).code == 2


@pytest.mark.parametrize(("old", "new"), [(b"u1", b"u2"), (b"notes_by_user", b"notes_by_usex")])
def test_a_manifest_of_a_move_that_is_not_the_move_is_refused(
    reshape: Reshaping, desk: Desk, old: bytes, new: bytes
) -> None:
    outcome, output = reshape(PROJECT)
    assert outcome.code == 0, outcome
    made = "dump/notelett/notes_by_user.bson"
    change = flip(made, old, new) if old == b"u1" else flip(RECORD, b"dump/notelett/" + old, b"dump/notelett/" + new)
    assert desk.verify(forged(desk, output, change), options=("--deep",)).code in {2, 11}


def refused(outcome: Outcome, output: Path, code: int, *words: str) -> None:
    outcome.refused(code, *words)
    assert not output.exists()


WRONG = {
    "an enum value that nobody foresaw": (ENUM, [note(1), note(2, state="paused")], 11, "neither an old nor a new"),
    "a target that is there": (COPY, [note(1, status="done")], 11, "has status already"),
    "a copy that is not complete": (REMOVE, [note(1)], 11, "not complete"),
    "a required field that is missing": (
        migration("additive-required", ("reshape-require", {"path": "pinned"})),
        [note(1, pinned=1), note(2)],
        11,
        "has no pinned",
    ),
    "an owner that is missing": (OWNER, [note(1, userId=...)], 11, "whose it is"),
    "a new partition key that is missing": (PROJECT, [note(1, userId=...)], 11, "new partition key"),
    "an identity that comes twice": (PROJECT, [note(1), note(1)], 11, "comes twice"),
    "a sealed value": (
        migration("rename", ("reshape-copy", {"from": "body", "to": "text"})),
        [note(1, body={"__encrypted": True})],
        11,
        "sealed",
    ),
    "a sealed value that moves": (PROJECT | {}, [note(1, state={"__encrypted": True})], 11, "sealed"),
    "a path through an array": (
        migration("additive-optional", ("reshape-default", {"path": "tags.x", "value": True})),
        [note(1, tags=[{}])],
        11,
        "array",
    ),
}


@pytest.mark.parametrize(("described", "documents", "code", "words"), WRONG.values(), ids=WRONG)
def test_what_the_rules_do_not_permit_stops_the_run_and_writes_nothing(
    reshape: Reshaping, described: dict[str, Any], documents: list[dict[str, Any]], code: int, words: str
) -> None:
    refused(*reshape(described, *documents), code, words)


def test_a_target_that_has_the_identity_already_is_refused(reshape: Reshaping, desk: Desk) -> None:
    there = members(note(1)) | {"dump/notelett/notes_by_user.bson": kits.collection([{"_id": "n1", "other": 1}])}
    refused(*reshape(PROJECT, base=desk.kit(there)), 11, "has already, for another document")
    there = members(note(1), note(2)) | {"dump/notelett/notes_by_user.bson": kits.collection([{"_id": "n9"}])}
    refused(*reshape(PROJECT, base=desk.kit(there, name="b.tar.zst")), 11, "is there, and lacks documents")


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        (b'{"options":{},"indexes":[]}', "has no options.validator"),
        (b"{", "cannot be edited"),
        (b'{"options":{"validator":{"$jsonSchema":{"required":[]}}}}', "at least one name"),
        (b'{"options":{"validator":{"$jsonSchema":[]}}}', "has no options.validator.$jsonSchema"),
        (None, "there is none"),
    ],
)
def test_a_validator_that_cannot_be_tightened_stops_the_run(
    reshape: Reshaping, desk: Desk, metadata: bytes | None, words: str
) -> None:
    chosen = members(metadata=metadata or b"")
    if metadata is None:
        del chosen[METADATA]
    refused(*reshape(REQUIRE, base=desk.kit(chosen)), 11, words)


def test_a_kind_that_changes_what_users_read_needs_a_note(reshape: Reshaping) -> None:
    for described in (REQUIRE, ENUM, COPY, REMOVE, OWNER, PROJECT):
        refused(*reshape(described, options=()), 64, "note on how to go back")


def test_a_limit_goes_with_no_kind_that_is_all_or_nothing(reshape: Reshaping) -> None:
    for described in (REQUIRE, PROJECT):
        refused(*reshape(described, options=(*NOTE, "--limit", 1)), 64, "all or nothing")
    outcome, output = reshape(DEFAULT, options=("--limit", 1))
    assert outcome.code == 0, outcome
    assert [one.get("pinned") for one in decoded(output)] == [False] + [None] * 6


def test_any_number_of_workers_makes_the_same_bytes(reshape: Reshaping) -> None:
    documents = [note(n, text="x" * 40_000) for n in range(120)]
    for described in (COPY, PROJECT, OWNER):
        outcome, one = reshape(described, *documents, name=f"one-{described['kind']}.tar.zst")
        assert outcome.code == 0, outcome
        _, three = reshape(
            described, *documents, name=f"three-{described['kind']}.tar.zst", options=(*NOTE, "--workers", 3)
        )
        assert one.read_bytes() == three.read_bytes()


def test_a_delta_names_the_step_as_a_recipe(reshape: Reshaping, desk: Desk) -> None:
    documents = [note(n, text=f"{n:09}" * 30) for n in range(200)]
    outcome, output = reshape(COPY, *documents)
    assert outcome.code == 0, outcome
    base, delta, made = desk.kits / "kit.tar.zst", desk.kits / "step.delta", desk.kits / "made.tar.zst"
    trust = desk.trust("vendor", "site")
    built = kit("delta", "build", base, output, "--output", delta, "--signing-key", desk.keys / "site", *trust,
                "--migration", desk.kits / "migration.json", "--json")  # fmt: skip
    assert built.code == 0, built
    assert "reshape-copy" in json.dumps(built.json)
    applied = kit("delta", "apply", base, delta, "--output", made, *trust)
    assert applied.code == 0, applied
    assert kits.read(made) == kits.read(output)


@pytest.mark.parametrize("described", [COPY, PROJECT], ids=["copy", "project"])
def test_merkle_roots_are_made_of_what_is_there_now(reshape: Reshaping, desk: Desk, described: dict[str, Any]) -> None:
    outcome, output = reshape(described, options=(*NOTE, "--merkle"))
    assert outcome.code == 0, outcome
    summaries = json.loads(kits.read(output)[kits.MANIFEST])["collections"]
    assert all("merkleRoot" in one for one in summaries)
    verdict = desk.verify(output, options=("--deep",))
    assert verdict.code == 0, verdict


def test_a_projection_of_some_tenants_copies_theirs(reshape: Reshaping, desk: Desk) -> None:
    documents = [note(n, tenant="globex" if n % 2 else "acme") for n in range(6)]
    for name in ("kit.tar", "kit.tar.zst"):
        base = desk.kit(members(*documents), name=name)
        outcome, output = reshape(PROJECT, base=base, name=f"some-{name}", options=(*NOTE, "--tenant", "acme"))
        assert outcome.code == 0, outcome
        made = decoded(output, "dump/notelett/notes_by_user.bson")
        assert [one["_id"] for one in made] == ["n0", "n2", "n4"]
        assert desk.verify(output, options=("--deep",)).code == 0
        outcome, output = reshape(PROJECT, base=base, name=f"none-{name}", options=(*NOTE, "--tenant", "nobody"))
        outcome.refused(64, "nobody")


def test_a_foreign_manifest_lists_the_new_collection(reshape: Reshaping, desk: Desk) -> None:
    chosen = members()
    base = desk.kit(chosen, manifest=kits.foreign_manifest_of(chosen))
    outcome, output = reshape(PROJECT, base=base)
    assert outcome.code == 0, outcome
    assert any(
        one["name"].endswith("notes_by_user.bson") for one in json.loads(kits.read(output)[kits.MANIFEST])["artifacts"]
    )
    assert "no other byte" in desk.verify(output, options=("--deep",)).out


def test_a_copy_and_a_removal_are_never_one_migration(reshape: Reshaping) -> None:
    both = migration(
        "rename",
        ("reshape-copy", {"from": "state", "to": "status"}),
        ("reshape-remove", {"from": "state", "to": "status"}),
    )
    refused(*reshape(both), 11, "in a later migration")


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_a_validator_is_tightened_in_a_later_step(reshape: Reshaping, desk: Desk, suffix: str) -> None:
    chosen = members(note(1, pinned=True), note(2, pinned=None))
    chosen[METADATA + suffix] = kits.stored(METADATA + suffix, chosen.pop(METADATA))
    outcome, output = reshape(REQUIRE, base=desk.kit(chosen))
    assert outcome.code == 0, outcome
    found = kits.read(output)
    assert b'["_id","pinned"]' in kits.plain(found[METADATA + suffix], METADATA + suffix)
    assert {name for name in chosen if found[name] != chosen[name]} == {METADATA + suffix}
    verdict = desk.verify(output, options=("--deep",))
    assert verdict.code == 0, verdict
    assert "no other byte" in verdict.out, verdict
    assert "not proven" not in verdict.out, verdict
    altered = forged(desk, output, lambda found: found.update(another(found, METADATA + suffix)))
    refused = desk.verify(altered, options=("--deep",))
    assert refused.code == 2, refused


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_metadata_that_was_never_signed_is_no_proof(reshape: Reshaping, desk: Desk, suffix: str) -> None:
    chosen = members(note(1, pinned=True))
    chosen[METADATA + suffix] = kits.stored(METADATA + suffix, chosen.pop(METADATA))
    outcome, output = reshape(REQUIRE, base=desk.kit(chosen))
    assert outcome.code == 0, outcome
    path = METADATA + suffix

    def lie(found: kits.Members) -> None:
        """Change the metadata, and put on record that it was so before."""
        found.update(another(found, path))
        record = json.loads(found[RECORD])
        (kept,) = record["metadata"]
        was = kits.plain(base64.b64decode(kept["stored"]), path).replace(b'"indexes":[]', b'"indexes":[ ]')
        kept["stored"] = base64.b64encode(kits.stored(path, was)).decode()
        found[RECORD] = kits.to_json(record)

    refused = desk.verify(forged(desk, output, lie), options=("--deep",))
    assert refused.code == 2, refused
    assert "was signed for it" in refused.out + refused.err, refused


def another(found: kits.Members, path: str) -> kits.Members:
    """Return the metadata with one byte more."""
    content = kits.plain(found[path], path)
    assert b'"indexes":[]' in content
    return {path: kits.stored(path, content.replace(b'"indexes":[]', b'"indexes":[ ]'))}


def test_a_collection_is_selected_by_its_own_name_only(reshape: Reshaping) -> None:
    outcome, output = reshape(COPY, options=(*NOTE, "--collection", "notelett.notes"))
    assert outcome.code == 0, outcome
    assert all(one["status"] == "open" for one in decoded(output))
    outcome, other = reshape(COPY, name="other.tar.zst", options=(*NOTE, "--collection", "users"))
    refused(outcome, other, 64, "changes notes alone")


def test_tables_that_merge_too_many_ids_are_refused(reshape: Reshaping) -> None:
    many = {"owners": {f"a{n}": "b" for n in range(400)}, "workspaces": {f"c{n}": "d" for n in range(400)}}
    refused(*reshape(migration("ownership", ("reshape-owner", many))), 11, "too many to be undone")

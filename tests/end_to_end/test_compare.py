"""``kit compare`` with dumps: is it what was signed? With a database: tests/database/test_compare.py."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import bson
import pytest
from jsonschema import Draft202012Validator

from kit.signing import dsse
from tests import kits
from tests.commands import ROOT, Outcome, kit
from tests.end_to_end.desk import Desk, key

DB, NOTES, OTHERS = "notelett", "notelett/notes.bson", "notelett/others.bson"
Documents = Sequence[Mapping[str, Any] | bytes]


def note(number: int, **more: Any) -> dict[str, Any]:
    return {"_id": f"n{number}", "tenant": "acme" if number % 2 else "zeta", "body": f"note {number}"} | more


def collection(documents: Documents) -> bytes:
    return b"".join(one if isinstance(one, bytes) else bson.encode(one) for one in documents)


SIGNED = [note(1), note(2, inner={"a": 1, "b": [{"c": 1, "d": 2}]}), note(3), note(4)]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    return Desk(tmp_path_factory.mktemp("desk"))


@pytest.fixture(scope="module")
def signed(desk: Desk) -> Path:
    return desk.kit({f"dump/{NOTES}": collection(SIGNED), f"dump/{OTHERS}": collection([{"_id": 1}])})


def dump(folder: Path, notes: Documents, others: Documents = ({"_id": 1},), **more: bytes) -> Path:
    place = folder / "dump"
    (place / DB).mkdir(parents=True)
    (place / NOTES).write_bytes(collection(notes))
    (place / OTHERS).write_bytes(collection(others))
    for name, data in more.items():
        (place / DB / f"{name}.bson").write_bytes(data)
    return place


def compare(desk: Desk, signed: Path, place: Path, *options: object) -> Outcome:
    return kit("compare", signed, place, *desk.trust("vendor"), "--workers", 1, *options)


def report(desk: Desk, signed: Path, place: Path, *options: object) -> dict[str, Any]:
    outcome = compare(desk, signed, place, "--json", *options)
    assert outcome.code in {0, 11}, outcome
    schema = json.loads((ROOT / "schemas/compare-report.schema.json").read_text())
    found = outcome.json
    Draft202012Validator(schema).validate(found)
    assert (found["exitCode"], found["same"]) == (outcome.code, outcome.code == 0)
    assert ("is not what was signed" in outcome.err) is (outcome.code == 11)
    return found


def standings(found: Mapping[str, Any]) -> dict[str, tuple[str, list[str]]]:
    return {one["document"]: (one["standing"], one["fields"]) for one in found["differences"]}


def test_the_dump_a_kit_was_made_of_is_what_was_signed(desk: Desk, signed: Path, tmp_path: Path) -> None:
    outcome = compare(desk, signed, dump(tmp_path, SIGNED))
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.endswith("the same: every document that was signed, and no other; 5 equal\n")
    assert "indexes" in outcome.out


def test_the_order_of_documents_and_the_number_of_their_files_do_not_matter(
    desk: Desk, signed: Path, tmp_path: Path
) -> None:
    place = dump(tmp_path, SIGNED[:1:-1])
    (place / "more" / DB).mkdir(parents=True)
    (place / "more" / NOTES).write_bytes(collection(SIGNED[:2]))
    assert report(desk, signed, place)["collections"][0]["equal"] == 4


def test_each_difference_is_named_counted_by_tenant_and_refused(desk: Desk, signed: Path, tmp_path: Path) -> None:
    one = bytearray(bson.encode(note(1)))
    one[-3] ^= 1  # the last letter of the body
    moved = dict(reversed(note(2, inner={"b": [{"d": 2, "c": 1}], "a": 1}).items()))
    found = report(desk, signed, dump(tmp_path, [bytes(one), moved, note(4, new=1), note(5)]))
    assert standings(found) == {
        "n1": ("changed", ["body"]),
        "n2": ("reordered", []),
        "n3": ("missing", []),
        "n4": ("changed", ["new"]),
        "n5": ("extra", []),
    }
    notes, others = found["collections"]
    none = dict.fromkeys(("equal", "allowed", "reordered", "changed", "missing", "extra"), 0)
    assert notes["tenants"] == [
        {"tenant": "acme", **none, "changed": 1, "missing": 1, "extra": 1},
        {"tenant": "zeta", **none, "changed": 1, "reordered": 1},
    ]
    assert others["tenants"] == [{"tenant": None, **none, "equal": 1}]


@pytest.mark.parametrize(
    ("present", "options", "code", "standing"),
    [
        (note(1, _importedAt=1), ("--allow-field", "_importedAt"), 0, ("allowed", ["_importedAt"])),
        (note(1, _importedAt=1, x=1), ("--allow-field", "_importedAt"), 11, ("changed", ["x"])),
        ({"_importedAt": {"a": 1}} | note(1), ("--allow-field", "_importedAt"), 0, ("allowed", ["_importedAt"])),
        (note(1, body="x"), ("--allow-field", "body"), 11, ("changed", ["body"])),
        ({"_id": "n1", "tenant": "acme"}, ("--allow-field", "body"), 11, ("changed", ["body"])),
        (dict(reversed(note(1).items())), (), 11, ("reordered", [])),
        (dict(reversed(note(1).items())), ("--allow-reordered",), 0, ("reordered", [])),
        (note(1, body=b"note 1"), ("--allow-reordered",), 11, ("changed", ["body"])),
    ],
)
def test_what_may_be_added_or_moved_is_what_the_user_says(
    present: Mapping[str, Any],
    options: Sequence[str],
    code: int,
    standing: tuple[str, list[str]],
    *,
    desk: Desk,
    signed: Path,
    tmp_path: Path,
) -> None:
    found = report(desk, signed, dump(tmp_path, [present, *SIGNED[1:]]), *options)
    assert (found["exitCode"], standings(found)) == (code, {"n1": standing})


def test_items_of_an_array_in_another_order_are_a_change(desk: Desk, signed: Path, tmp_path: Path) -> None:
    other = note(2, inner={"a": 1, "b": [{"c": 1}, {"d": 2}]})
    found = report(desk, signed, dump(tmp_path, [other, *SIGNED[::2], SIGNED[3]]), "--allow-reordered")
    assert standings(found) == {"n2": ("changed", ["inner"])}


def test_a_document_that_is_there_twice_is_one_too_many(desk: Desk, signed: Path, tmp_path: Path) -> None:
    found = report(desk, signed, dump(tmp_path, [*SIGNED, SIGNED[0], note(2, body="another")]))
    assert standings(found) == {"n1": ("extra", []), "n2": ("extra", [])}
    assert found["collections"][0]["equal"] == 4


def test_one_number_in_two_types_is_two_identities(desk: Desk, signed: Path, tmp_path: Path) -> None:
    found = report(desk, signed, dump(tmp_path, SIGNED, [{"_id": bson.Int64(1)}]))
    assert [one["standing"] for one in found["differences"]] == ["missing", "extra"]


def test_a_document_that_cannot_be_walked_has_changed(desk: Desk, signed: Path, tmp_path: Path) -> None:
    broken = bytearray(bson.encode(note(1)))
    broken[broken.index(b"tenant") - 1] = 0x42  # no type
    found = report(desk, signed, dump(tmp_path, [bytes(broken), *SIGNED[1:]]))
    assert standings(found) == {"n1": ("changed", [])}


def test_a_collection_that_the_kit_does_not_have_is_named_and_not_compared(
    desk: Desk, signed: Path, tmp_path: Path
) -> None:
    place = dump(tmp_path, SIGNED, sessions=b"no documents at all")
    found = report(desk, signed, place)
    assert (found["same"], found["notCompared"]) == (True, [{"db": DB, "collection": "sessions"}])
    assert "not compared, since the kit does not have it: notelett.sessions" in compare(desk, signed, place).out


def test_a_collection_that_is_not_there_has_lost_its_documents(desk: Desk, signed: Path, tmp_path: Path) -> None:
    place = dump(tmp_path, SIGNED)
    (place / OTHERS).unlink()
    assert standings(report(desk, signed, place)) == {"1": ("missing", [])}


def test_the_list_is_as_long_as_asked_for_and_the_counts_are_of_all(desk: Desk, signed: Path, tmp_path: Path) -> None:
    place = dump(tmp_path, [])
    found = report(desk, signed, place, "--limit", 1)
    assert (len(found["differences"]), found["collections"][0]["missing"]) == (1, 4)
    assert "missing: 4 in all; --limit N lists more" in compare(desk, signed, place, "--limit", 1).out


def test_a_cut_dump_has_no_verdict(desk: Desk, signed: Path, tmp_path: Path) -> None:
    place = dump(tmp_path, SIGNED)
    data = (place / NOTES).read_bytes()
    (place / NOTES).write_bytes(data[:-7])
    compare(desk, signed, place).refused(11, NOTES, "stream ends inside a document")


def test_a_folder_without_collections_has_no_verdict(desk: Desk, signed: Path, tmp_path: Path) -> None:
    place = dump(tmp_path, SIGNED)
    compare(desk, signed, place / DB).refused(11, "has no collections", "a folder for each database")
    compare(desk, signed, tmp_path / "absent").refused(1)


@pytest.mark.parametrize("trusted", ["stranger", None])
def test_nothing_is_compared_with_a_kit_that_nobody_trusted_signed(
    trusted: str | None, desk: Desk, signed: Path, tmp_path: Path
) -> None:
    place = dump(tmp_path, SIGNED)
    kit("compare", signed, place, *(desk.trust(trusted) if trusted else ())).refused(4)


def test_nothing_is_compared_with_a_kit_that_was_changed(desk: Desk, signed: Path, tmp_path: Path) -> None:
    members = dict(kits.read(signed))
    members[f"dump/{NOTES}"] = collection([note(9), *SIGNED[1:]])
    spoiled = kits.write_kit(tmp_path / "kit.tar", members)
    compare(desk, spoiled, dump(tmp_path, [note(9), *SIGNED[1:]])).refused(2)


def test_a_database_is_not_asked_before_the_kit_is_judged(desk: Desk, signed: Path) -> None:
    environment = {"DATABASE_URI": "mongodb://127.0.0.1:1/"}
    os.environ.update(environment)
    try:
        kit("compare", signed, "--uri", "env:DATABASE_URI", *desk.trust("stranger")).refused(4)
    finally:
        del os.environ["DATABASE_URI"]


URI = "mongodb://somebody:hunter2@127.0.0.1:1"


@pytest.mark.parametrize(
    ("source", "value", "code", "words"),
    [
        (URI, "", 64, "is no argument"),
        ("env:NO_SUCH_NAME", "", 1, "there is no such environment variable"),
        ("fd:x", "", 64, "with a number N"),
        ("fd:999", "", 1, "cannot read a connection string"),
        ("env:DATABASE_URI", "hunter2", 64, "is no connection string"),
        ("env:DATABASE_URI", "mongodb://hunter2:@/:@", 64, "is no connection string"),
        ("env:DATABASE_URI", "mongodb://127.0.0.1:1/?hunter2=1", 64, "is no connection string"),
    ],
)
def test_a_connection_string_is_no_argument_and_in_no_message(
    source: str, value: str, code: int, words: str, *, desk: Desk, signed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URI", value)
    outcome = kit("compare", signed, "--uri", source, *desk.trust("vendor"))
    outcome.refused(code, words)
    assert "hunter2" not in outcome.err


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("dump", "--uri", "env:X"),
        ("dump", "--receipt", "r"),
        ("dump", "--allow-field", "_id"),
        ("dump", "--allow-field", ""),
    ],
)
def test_options_that_make_no_question_are_refused(words: Sequence[str], desk: Desk, signed: Path) -> None:
    kit("compare", signed, *words, *desk.trust("vendor")).refused(64)


@pytest.mark.parametrize("there", [SIGNED, SIGNED[1:]], ids=["same", "different"])
def test_a_receipt_says_what_was_found_and_who_says_so(
    there: Documents, desk: Desk, signed: Path, tmp_path: Path
) -> None:
    place, receipt = dump(tmp_path, there), tmp_path / "receipt"
    signing = ("--receipt", receipt, "--signing-key", desk.keys / "site", "--at", kits.AT)
    code = compare(desk, signed, place, *signing).code
    data = receipt.read_bytes()
    statement = json.loads(base64.b64decode(json.loads(data)["payload"]))
    schema = json.loads((ROOT / "schemas/comparison-receipt.schema.json").read_text())
    Draft202012Validator(schema).validate(statement)
    predicate = statement["predicate"]
    assert predicate["result"] == ("SAME" if code == 0 else "DIFFERENT")
    assert [one["missing"] for one in predicate["collections"]] == [4 - len(there), 0]
    assert kits.sha256(signed.read_bytes()) in {one["digest"]["sha256"] for one in statement["subject"]}
    # The same again takes its place, byte for byte; another kind of file is left alone.
    assert compare(desk, signed, place, *signing).code == code
    assert receipt.read_bytes() == data
    receipt.write_text("{}")
    compare(desk, signed, place, *signing).refused(74)
    assert receipt.read_text() == "{}"


@pytest.mark.parametrize("there", [SIGNED, SIGNED[1:]], ids=["same", "different"])
def test_a_receipt_is_read_by_who_gets_it(there: Documents, desk: Desk, signed: Path, tmp_path: Path) -> None:
    place, receipt, code = dump(tmp_path, there), tmp_path / "receipt", 0 if there is SIGNED else 11
    compare(desk, signed, place, "--receipt", receipt, "--signing-key", desk.keys / "site", "--at", kits.AT)
    shown = kit("receipt", "show", receipt)
    assert shown.code == 0
    assert "not verified: it claims that the dump was found to be" in shown.out
    read = kit("receipt", "verify", receipt, *desk.trust("site"), "--kit", signed, "--workers", 1)
    assert (read.code, "genuine: the dump was found to be " in read.out) == (code, True), read
    assert ("1 missing" in read.err) is bool(code)
    schema = json.loads((ROOT / "schemas/receipt-report.schema.json").read_text())
    printed = kit("receipt", "verify", receipt, *desk.trust("site"), "--kit", signed, "--workers", 1, "--json").json
    Draft202012Validator(schema).validate(printed)
    assert (printed["passed"], printed["kit"]) == (not code, "archive")
    unpacked = kits.write_kit(desk.kits / "unpacked", kits.read(signed))
    again = kit("receipt", "verify", receipt, *desk.trust("site"), "--kit", unpacked, "--workers", 1, "--json").json
    assert again["kit"] == "manifest"


def test_a_receipt_of_others_or_about_another_kit_is_refused(desk: Desk, signed: Path, tmp_path: Path) -> None:
    receipt = tmp_path / "receipt"
    signing = ("--receipt", receipt, "--signing-key", desk.keys / "site", "--at", kits.AT)
    compare(desk, signed, dump(tmp_path, SIGNED), *signing)
    verify = ("receipt", "verify", receipt, "--workers", 1)
    kit(*verify, *desk.trust("stranger")).refused(4, "receipt")
    other = desk.kit(kits.content(), name="other.tar")
    kit(*verify, *desk.trust("site"), "--kit", other).refused(2, "another manifest")
    (tmp_path / "page").write_text("<!DOCTYPE html>")
    kit(*verify, *desk.trust("site"), "--page", tmp_path / "page").refused(2, "names no page")
    # The result follows from the numbers, whoever signed it.
    envelope = json.loads(receipt.read_bytes())
    statement = json.loads(base64.b64decode(envelope["payload"]))
    statement["predicate"]["result"] = "DIFFERENT"
    receipt.write_bytes(dsse.sign(kits.to_json(statement), [key("site")]))
    kit(*verify, *desk.trust("site")).refused(11, "contradict each other")


def test_a_policy_decides_whose_receipt_it_is(desk: Desk, signed: Path, tmp_path: Path) -> None:
    policy = tmp_path / "policy"
    roles = ("--key", desk.public("vendor"), "publisher", "--key", desk.public("site"), "auditor")
    assert kit("trust", "init", policy, *roles).code == 0
    place = dump(tmp_path, SIGNED)
    for name, code in (("site", 0), ("vendor", 4)):
        words = ("--receipt", tmp_path / name, "--signing-key", desk.keys / name)
        assert kit("compare", signed, place, "--trust", policy, "--at", kits.AT, *words).code == code
        assert (tmp_path / name).exists() is (code == 0)


@pytest.mark.parametrize("options", [(), ("--gzip",)], ids=["plain", "gzip"])
def test_a_file_of_mongodump_is_compared_as_its_folder_is(
    desk: Desk, signed: Path, tmp_path: Path, options: tuple[str, ...]
) -> None:
    file, other = tmp_path / "a.archive", tmp_path / "b.archive"
    assert kit("extract", signed, *desk.trust("vendor"), "--archive", *options, "-o", file).code == 0
    outcome = compare(desk, signed, file)
    assert outcome.code == 0, outcome
    changed = desk.kit({f"dump/{NOTES}": collection([*SIGNED[:3], note(5)])}, name="changed.tar")
    assert kit("extract", changed, *desk.trust("vendor"), "--archive", *options, "-o", other).code == 0
    folder = dump(tmp_path, [*SIGNED[:3], note(5)])
    (folder / OTHERS).unlink()
    assert standings(report(desk, signed, other)) == standings(report(desk, signed, folder))
    assert compare(desk, signed, other).code == 11


def test_a_cut_file_of_mongodump_is_an_error(desk: Desk, signed: Path, tmp_path: Path) -> None:
    whole, cut = tmp_path / "a.archive", tmp_path / "cut.archive"
    assert kit("extract", signed, *desk.trust("vendor"), "--archive", "-o", whole).code == 0
    cut.write_bytes(whole.read_bytes()[:-9])
    compare(desk, signed, cut).refused(9, "cut.archive")

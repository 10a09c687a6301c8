"""``kit export-changes``: the lines are what a patch adds, each for one document, and nothing more."""

from __future__ import annotations

import base64
import itertools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import bson
import pytest
from bson.json_util import CANONICAL_JSON_OPTIONS, loads
from jsonschema import Draft202012Validator

from kit.signing import Algorithm
from tests import kits
from tests.commands import ROOT, Outcome, kit
from tests.end_to_end.desk import Desk
from tests.end_to_end.test_oracles import run, tool
from tests.kits import AT, OBSERVATIONS, SNAPSHOTS, Document, Members, observation, snapshot

REPORT = Draft202012Validator(json.loads((ROOT / "schemas/export-report.schema.json").read_text()))
_SCHEMA = json.loads((ROOT / "schemas/online-changes.schema.json").read_text())
EXPORT = Draft202012Validator(_SCHEMA)
LINE = Draft202012Validator(_SCHEMA["$defs"]["line"])
FILE = "changes/concelier/advisory_observations.ndjson"
PROGRAM = ROOT / "kit/verbs/online/changes.js"


def export(desk: Desk, path: Path, output: Path, *options: object, tool: str = "mongosh") -> Outcome:
    words = ("export-changes", path, "--for", tool, "-o", output, *desk.trust("vendor"), "--workers", 1)
    return kit(*words, *options)


def lines_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / FILE).read_bytes().splitlines()]


def all_files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def observations(path: Path) -> dict[Any, Document]:
    documents = kits.documents_of(kits.read(path)[OBSERVATIONS])
    return {str(document["_id"]): document for document in map(bson.decode, documents)}


MANY: tuple[Document, ...] = (
    *(observation(number, "acme" if number % 3 else "globex") for number in range(12)),
    observation(12, raw=False),
    observation(13, rawLinkset=None),
    observation(14, _id=bson.Int64(5)),
    observation(15, None),
    observation(16, upstream={"upstream_id": "x", "content_hash": "sha256:snake"}),
)


class TestLines:
    def test_a_line_has_the_id_and_the_very_bytes_that_a_patch_appends(self, desk: Desk, tmp_path: Path) -> None:
        path = desk.kit(kits.content(*MANY))
        outcome = export(desk, path, tmp_path / "out", "--json")
        assert outcome.code == 0, outcome
        before, after = observations(path), observations(desk.patched(path))
        changed = {name for name, document in after.items() if document != before[name]}
        lines = (tmp_path / "out" / FILE).read_text("ascii").splitlines()
        found = {}
        for line in lines:
            LINE.validate(json.loads(line))
            made = loads(line, json_options=CANONICAL_JSON_OPTIONS)
            found[str(made["_id"])] = bson.encode(made["rawLinkset"])
        assert found == {name: bson.encode(after[name]["rawLinkset"]) for name in changed}
        assert len(lines) == len(found) == outcome.json["lines"] == 15

    def test_a_line_states_the_tenant_and_the_content_hash_where_they_stand(self, desk: Desk, tmp_path: Path) -> None:
        assert export(desk, desk.kit(kits.content(*MANY)), tmp_path / "out").code == 0
        found = {str(line["_id"]): line["match"] for line in lines_of(tmp_path / "out")}
        assert found["acme:osv:GO-2025-0001:1"] == {"tenant": "acme", "upstream.contentHash": "sha256:1"}
        assert found["None:osv:GO-2025-0015:1"] == {"upstream.contentHash": "sha256:15"}
        assert found["acme:osv:GO-2025-0016:1"] == {"tenant": "acme", "upstream.content_hash": "sha256:snake"}

    def test_mongoimport_gets_the_id_and_the_element_only(self, desk: Desk, tmp_path: Path) -> None:
        path = desk.kit(kits.content(*MANY, observation(20, upstream={})))
        assert export(desk, path, tmp_path / "out", "--accept-unguarded", tool="mongoimport").code == 0
        assert {tuple(line) for line in lines_of(tmp_path / "out")} == {("_id", "rawLinkset")}
        assert len(lines_of(tmp_path / "out")) == 16
        assert sorted(all_files(tmp_path / "out")) == ["SHA256SUMS", FILE, "export.json"]

    @pytest.mark.parametrize(
        ("changes", "notes", "fault"),
        [
            ({"upstream": {"upstreamId": kits.identifier(1)}}, None, "no-content-hash"),
            ({"upstream": {"upstreamId": kits.identifier(1), "contentHash": 5}}, None, "no-content-hash"),
            ({"_id": {"$oid": "0" * 24}}, None, "unstorable-id"),
            ({"_id": {"$gt": ""}}, None, "unstorable-id"),
            ({"_id": {"a": [{"$where": "1"}]}}, None, "unstorable-id"),
            ({"_id": ["acme"]}, None, "unstorable-id"),
            ({"_id": bson.Regex(".*")}, None, "unstorable-id"),
            ({"_id": {"b": 1, "7": 2}}, None, "not-in-javascript"),
            ({"_id": ...}, None, "no-id"),
            ({}, {"a": "x", "7": "y"}, "not-in-javascript"),
            ({}, {"11": "x", "7": "y"}, "not-in-javascript"),
            ({}, {"_bsontype": "ObjectId"}, "not-in-javascript"),
            ({}, {"$oid": "0" * 24}, "not-in-json"),
        ],
    )
    def test_a_document_without_a_safe_line_is_named_and_counted_and_the_others_have_theirs(
        self, changes: Document, notes: Document | None, fault: str, desk: Desk, tmp_path: Path
    ) -> None:
        members = kits.content(observation(1, **changes), observation(2))
        if notes is not None:
            members[SNAPSHOTS] = kits.collection([snapshot(1, linkset={"aliases": [], "notes": notes})])
        outcome = export(desk, desk.kit(members), tmp_path / "out", "--json")
        assert outcome.code == 0, outcome
        REPORT.validate(outcome.json)
        left = outcome.json["left"]
        assert (left["total"], [one["fault"] for one in left["items"]]) == (1, [fault])
        assert outcome.err.startswith("kit: warning: ")
        assert [line["_id"] for line in lines_of(tmp_path / "out")] == ["acme:osv:GO-2025-0002:1"]
        (tenant,) = outcome.json["collections"][0]["tenants"].values()
        assert tenant == {"documents": 2, "missing": 2, "lines": 1, "left": 1, "missingAfter": 1}

    @pytest.mark.parametrize(
        "notes", [{"7": "x", "11": "y", "a": "z"}, {"a": '"7":'}, {"07": "x", "7a": "y"}, {"a": "b", "4294967295": "c"}]
    )
    def test_a_name_that_javascript_leaves_in_its_place_is_no_fault(
        self, notes: Document, desk: Desk, tmp_path: Path
    ) -> None:
        members = kits.content(observation(1))
        members[SNAPSHOTS] = kits.collection([snapshot(1, linkset={"aliases": [], "notes": notes})])
        assert export(desk, desk.kit(members), tmp_path / "out").code == 0
        assert lines_of(tmp_path / "out")[0]["rawLinkset"]["notes"] == notes

    def test_what_has_no_line_because_of_javascript_is_what_node_reads_otherwise(
        self, desk: Desk, tmp_path: Path
    ) -> None:
        names = ("7", "11", "07", "a", "-1", "4294967294", "4294967295")
        orders = [one for count in (1, 2, 3) for one in itertools.permutations(names, count)]
        ids = [dict.fromkeys(order, "x") for order in orders]
        spelled = [json.dumps({"_id": one}, separators=(",", ":")) for one in ids]
        program = "for (const line of require('fs').readFileSync(0, 'utf8').trim().split('\\n'))"
        program += " console.log(JSON.stringify(JSON.parse(line)) === line)"
        same = run(tool("node"), "-e", program, data="\n".join(spelled).encode()).decode().split()
        path = desk.kit(kits.content(*(observation(number, _id=one) for number, one in enumerate(ids))))
        assert export(desk, path, tmp_path / "out").code == 0
        found = [json.dumps({"_id": line["_id"]}, separators=(",", ":")) for line in lines_of(tmp_path / "out")]
        assert found == [line for line, is_same in zip(spelled, same, strict=True) if is_same == "true"]
        assert len(found) < len(spelled) == 259


class TestFolder:
    def test_counts_by_tenant_are_those_of_the_plan(self, desk: Desk, tmp_path: Path) -> None:
        path = desk.kit(kits.content(*MANY))
        outcome = export(desk, path, tmp_path / "out", "--json")
        made = json.loads((tmp_path / "out/export.json").read_bytes())
        REPORT.validate(outcome.json)
        EXPORT.validate(made)
        (collection,) = made["collections"]
        tenants = {one.pop("tenant"): one for one in collection["tenants"]}
        assert tenants == outcome.json["collections"][0]["tenants"]
        assert tenants == {
            "": {"documents": 1, "missing": 1, "lines": 1, "left": 0, "missingAfter": 0},
            "acme": {"documents": 12, "missing": 11, "lines": 10, "left": 0, "missingAfter": 1},
            "globex": {"documents": 4, "missing": 4, "lines": 4, "left": 0, "missingAfter": 0},
        }
        plan = kit("plan", path, *desk.trust("vendor"), "--workers", 1, "--json").json
        assert sum(one["lines"] for one in tenants.values()) == plan["changed"]

    def test_a_selection_has_lines_of_that_tenant_only_and_counts_the_others(self, desk: Desk, tmp_path: Path) -> None:
        outcome = export(desk, desk.kit(kits.content(*MANY)), tmp_path / "out", "--tenant", "globex", "--json")
        assert {line["match"]["tenant"] for line in lines_of(tmp_path / "out")} == {"globex"}
        tenants = outcome.json["collections"][0]["tenants"]
        assert tenants["acme"] == {"documents": 12, "missing": 11, "lines": 0, "left": 0, "missingAfter": 11}

    def test_a_limit_holds_over_all_members(self, desk: Desk, tmp_path: Path) -> None:
        members = kits.content(*MANY)
        members["part/concelier/advisory_observations.bson"] = kits.collection(observation(n) for n in range(30, 35))
        outcome = export(desk, desk.kit(members), tmp_path / "out", "--limit", 16, "--json")
        assert (outcome.json["lines"], len(lines_of(tmp_path / "out"))) == (16, 16)
        assert len(outcome.json["collections"][0]["members"]) == 2

    def test_the_bytes_are_the_same_whatever_the_number_of_workers(self, desk: Desk, tmp_path: Path) -> None:
        path = desk.kit(kits.content(*MANY))
        for number, folder in ((1, "one"), (2, "two")):
            words = ("--workers", number, "--signing-key", desk.keys / "site")
            assert export(desk, path, tmp_path / folder, *words).code == 0
        assert all_files(tmp_path / "one") == all_files(tmp_path / "two")
        assert all_files(tmp_path / "one")["changes.js"] == PROGRAM.read_bytes()

    def test_a_kit_in_which_nothing_is_left_to_do_gives_no_lines(self, desk: Desk, tmp_path: Path) -> None:
        done = desk.patched(desk.kit(kits.content(*MANY)))
        words = ("export-changes", done, "--for", "mongosh", "-o", tmp_path / "out", *desk.trust("vendor", "site"))
        outcome = kit(*words, "--json")
        assert (outcome.code, outcome.json["lines"], lines_of(tmp_path / "out")) == (0, 0, [])

    @pytest.mark.parametrize(
        ("algorithm", "words"),
        [
            (Algorithm.ES256, ("dgst", "-sha256", "-verify", "{key}", "-signature", "{raw}", "{sums}")),
            (Algorithm.PS256, ("dgst", "-sha256", "-verify", "{key}", "-signature", "{raw}", "{sums}")),
            (
                Algorithm.ED25519,
                ("pkeyutl", "-verify", "-pubin", "-inkey", "{key}", "-rawin", "-in", "{sums}", "-sigfile", "{raw}"),
            ),
        ],
    )
    def test_stock_tools_check_digests_and_signature(
        self, algorithm: Algorithm, words: tuple[str, ...], desk: Desk, tmp_path: Path
    ) -> None:
        signer = desk.add_key(f"dba-{algorithm.value}", algorithm)
        assert export(desk, desk.kit(), tmp_path / "out", "--signing-key", signer).code == 0
        run(tool("sha256sum"), "--strict", "--check", "SHA256SUMS", cwd=tmp_path / "out")
        listed = {line.split()[1] for line in (tmp_path / "out/SHA256SUMS").read_text().splitlines()}
        assert listed == {*all_files(tmp_path / "out")} - {"SHA256SUMS", "SHA256SUMS.sig"}
        raw = tmp_path / "raw"
        raw.write_bytes(base64.b64decode((tmp_path / "out/SHA256SUMS.sig").read_bytes()))
        places = {"key": str(desk.public(signer.name)), "raw": str(raw), "sums": str(tmp_path / "out/SHA256SUMS")}
        run(tool("openssl"), *(word.format(**places) for word in words))


class TestRefusals:
    def test_a_kit_of_a_stranger_is_refused_and_nothing_is_left(self, desk: Desk, tmp_path: Path) -> None:
        export(desk, desk.kit(signer="stranger"), tmp_path / "out").refused(4)
        assert [path.name for path in tmp_path.iterdir() if path.name not in {"keys", "kits"}] == []

    def test_a_damaged_kit_is_refused(self, desk: Desk, tmp_path: Path) -> None:
        path = desk.kit(name="kit.tar")
        data = path.read_bytes()
        path.write_bytes(data.replace(b"A summary", b"B summary", 1))
        export(desk, path, tmp_path / "out").refused(2)
        assert not (tmp_path / "out").exists()

    def test_what_stops_a_patch_stops_the_export(self, desk: Desk, tmp_path: Path) -> None:
        divergent = observation(1, linkset={"aliases": ["another"], "purls": [], "cpes": [], "references": []})
        path = desk.kit(kits.content(divergent))
        by_patch = desk.patch(path, "-o", tmp_path / "patched.tar.zst", "--on-divergence", "stop")
        outcome = export(desk, path, tmp_path / "out", "--on-divergence", "stop")
        outcome.refused(12)
        assert outcome.err == by_patch.err
        assert not (tmp_path / "out").exists()

    def test_an_unknown_tenant_is_refused(self, desk: Desk, tmp_path: Path) -> None:
        export(desk, desk.kit(), tmp_path / "out", "--tenant", "acne").refused(64, "acne", "acme")

    def test_mongoimport_needs_the_word_of_the_user(self, desk: Desk, tmp_path: Path) -> None:
        export(desk, desk.kit(), tmp_path / "out", tool="mongoimport").refused(64, "--accept-unguarded")
        export(desk, desk.kit(), tmp_path / "out", "--accept-unguarded").refused(64)

    def test_a_migration_that_does_more_than_add_is_refused(self, desk: Desk, tmp_path: Path) -> None:
        words = ("--migration", "20251031_notelett_encryption")
        export(desk, desk.kit(), tmp_path / "out", *words).refused(64, "encrypt-fields")
        assert not (tmp_path / "out").exists()

    def test_nothing_is_overwritten(self, desk: Desk, tmp_path: Path) -> None:
        (tmp_path / "out").mkdir()
        export(desk, desk.kit(), tmp_path / "out").refused(74, "already there")

    def test_a_folder_inside_of_a_kit_is_refused(self, desk: Desk) -> None:
        path = desk.kit(name="kit")
        export(desk, path, path / "out").refused(64)
        assert not (path / "out").exists()

    def test_a_full_disk_leaves_nothing(self, desk: Desk, tmp_path: Path) -> None:
        path = desk.kit(kits.content(*(observation(number) for number in range(400))))
        limited = f'ulimit -f 60; exec "$0" "$@" --insecure-unverified-base -o {tmp_path / "out"}'
        words = (sys.executable, "-m", "kit", "export-changes", str(path), "--for", "mongosh", "--workers", "1")
        done = subprocess.run(["sh", "-c", limited, *words], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (74, ""), done
        assert sorted(one.name for one in tmp_path.iterdir()) == ["keys", "kits"]


def test_the_names_of_a_kit_are_data_in_every_file(desk: Desk, tmp_path: Path) -> None:
    hostile = "'];db.dropDatabase();//</script>`${process.exit()}`\u2028"
    members: Members = kits.content(
        observation(1, hostile, _id={hostile: hostile, "constructor": ""}),
        observation(2, "acme", upstream={"upstreamId": kits.identifier(2), "contentHash": hostile}),
    )
    assert export(desk, desk.kit(members), tmp_path / "out").code == 0
    files = all_files(tmp_path / "out")
    assert files["changes.js"] == PROGRAM.read_bytes()
    assert all(data.isascii() for name, data in files.items() if name.endswith(".ndjson"))
    first, second = lines_of(tmp_path / "out")
    assert (first["_id"], first["match"]["tenant"]) == ({hostile: hostile, "constructor": ""}, hostile)
    assert second["match"]["upstream.contentHash"] == hostile


def test_one_second_more_or_less_changes_nothing_in_the_folder(desk: Desk, tmp_path: Path) -> None:
    path = desk.kit()
    for folder, at in (("one", AT), ("two", "2026-07-02T03:04:05Z")):
        assert export(desk, path, tmp_path / folder, "--at", at).code == 0
    assert all_files(tmp_path / "one") == all_files(tmp_path / "two")

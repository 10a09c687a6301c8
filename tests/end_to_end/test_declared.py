"""Which members are collections: what a manifest, a migration and ``kit create`` declare, and what contradicts it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kit.archive.read.reader import open_kit
from kit.engine.declared import DeclaredCollections
from kit.values import CollectionFormat, CollectionName, Limits, MemberPath, declarable_formats, declared_member
from tests import kits
from tests.commands import kit
from tests.end_to_end.desk import Desk

MEMBER = "feeds/observations.jsonl"
FACTS: dict[str, Any] = {"db": "concelier", "collection": "advisory_observations", "documents": 0, "bytes": 0}
EMPTY: dict[str, Any] = {"path": MEMBER, **FACTS, "tenants": {}}


def declaring(*summaries: dict[str, Any], members: kits.Members | None = None) -> dict[str, Any]:
    return kits.manifest_of(members or {MEMBER: b""}, collections=list(summaries))


def migration(*declared: dict[str, Any]) -> dict[str, Any]:
    step = {"name": "raw-linkset", "parameters": {"cacheMap": None}}
    head = {"schemaVersion": "1", "id": "20260101_declared", "kind": "additive-optional", "description": "d"}
    return head | {"transforms": [step], "rollback": {"decision": "leave"}, "collections": list(declared)}


def declaration(path: str = MEMBER, format_: str = "ndjson", name: str = "concelier.advisory_observations") -> Any:
    database, _, collection = name.partition(".")
    return {"path": path, "format": format_, "db": database, "collection": collection}


class TestManifest:
    @pytest.mark.parametrize("order", [1, -1], ids=["manifest first", "manifest last"])
    def test_what_is_declared_is_a_collection_wherever_the_manifest_is(self, order: int, desk: Desk) -> None:
        manifest = declaring(EMPTY | {"format": "ndjson"})
        members = kits.signed({MEMBER: b""}, None, manifest)
        path = desk.write(dict(list(members.items())[::order]))
        with open_kit(path, limits=Limits()) as reader:
            found = DeclaredCollections(reader)
            assert found.member(MemberPath(MEMBER)) == reader.collections.declared[MemberPath(MEMBER)]
            assert found.note(MemberPath(kits.MANIFEST), members[kits.MANIFEST]) == members[kits.MANIFEST]

    def test_nothing_is_guessed(self, desk: Desk) -> None:
        path = desk.kit({MEMBER: b'{"_id": 1}\n'})
        assert kit("inspect", path, "--json").json["collections"] == []

    @pytest.mark.parametrize(
        ("path", "format_"),
        [
            ("dump/a/b.bson", "json"),
            ("dump/a/b.bson", "ndjson"),
            ("a.ndjson", "json"),
            ("a.ndjson", "bson"),
            ("a.txt", "ndjson"),
            ("a/b.metadata.json", "json"),
            ("a/b.metadata.json.gz", "json"),
            ("a/.b.json", "json"),
            ("b.bson", "bson"),
        ],
    )
    def test_a_format_that_a_name_is_none_of_is_refused(self, path: str, format_: str, desk: Desk) -> None:
        members = {path: b""}
        manifest = declaring({**EMPTY, "path": path, "format": format_}, members=members)
        desk.refused(desk.kit(members, manifest=manifest), 11, f"is declared as {format_}", path)

    def test_an_unknown_format_is_refused(self, desk: Desk) -> None:
        manifest = declaring(EMPTY | {"format": "csv"})
        desk.refused(desk.kit({MEMBER: b""}, manifest=manifest), 11, "'csv' is not one of bson, ndjson, json")

    def test_a_bson_member_of_another_name_is_refused(self, desk: Desk) -> None:
        path = "dump/other/advisory_observations.bson"
        manifest = declaring({**EMPTY, "path": path, "format": "bson"}, members={path: b""})
        desk.refused(desk.kit({path: b""}, manifest=manifest), 11, "its name is that of other.advisory_observations")

    def test_a_manifest_that_changes_after_it_was_looked_up_ahead_is_an_error(self, desk: Desk) -> None:
        manifest = declaring(EMPTY | {"format": "ndjson"})
        members = kits.signed({MEMBER: b""}, None, manifest)
        path = desk.write(dict(reversed(members.items())))
        with open_kit(path, limits=Limits()) as reader:
            found = DeclaredCollections(reader)
            found.member(MemberPath(MEMBER))
            with pytest.raises(Exception, match="the kit changed while it was being read"):
                found.note(MemberPath(kits.MANIFEST), b"{}")


class TestMigration:
    def plan(self, desk: Desk, path: Path, *declared: dict[str, Any]) -> Any:
        file = desk.kits / "migration.json"
        file.write_text(json.dumps(migration(*declared)))
        return kit("plan", path, *desk.trust("vendor"), "--migration", file, "--workers", 1)

    def test_a_member_that_is_absent_is_refused(self, desk: Desk) -> None:
        self.plan(desk, desk.kit({"a": b""}), declaration()).refused(64, MEMBER, "the kit has no such member")

    def test_a_contradiction_of_the_manifest_is_refused(self, desk: Desk) -> None:
        path = desk.kit({MEMBER: b""}, manifest=declaring(EMPTY | {"format": "ndjson"}))
        self.plan(desk, path, declaration(name="a.b")).refused(64, MEMBER, "and as ndjson of a.b")

    def test_a_foreign_manifest_has_no_place_for_it(self, desk: Desk) -> None:
        members = {MEMBER: b""}
        path = desk.kit(members, manifest=kits.foreign_manifest_of(members))
        self.plan(desk, path, declaration()).refused(64, MEMBER, "of a foreign shape")

    @pytest.mark.parametrize(
        ("declared", "words"),
        [
            (declaration(format_="csv"), "/collections/0/format"),
            (declaration(path="../a.json"), "/collections/0/path"),
            (declaration(name=".b"), "/collections/0/db"),
            (declaration() | {"x": 1}, "unknown member"),
            (declaration(format_="json"), "is declared as json"),
        ],
    )
    def test_a_malformed_declaration_is_refused(self, declared: dict[str, Any], words: str, desk: Desk) -> None:
        self.plan(desk, desk.kit({MEMBER: b""}), declared).refused(11, words)


class TestCreate:
    def create(self, desk: Desk, source: Path, *declared: str) -> Any:
        words = ("--bundle-id", "b", "--signing-key", desk.keys / "vendor", "--created-at", kits.AT, "--workers", 1)
        options = [word for one in declared for word in ("--collection", one)]
        return kit("create", source, "-o", desk.kits / "new.tar", *words, *options)

    @pytest.mark.parametrize(
        "text", ["a.jsonl", "a.jsonl=ndjson", "a.jsonl=ndjson:a", "=ndjson:a.b", "a.jsonl=csv:a.b", "a.jsonl=ndjson:.b"]
    )
    def test_a_malformed_declaration_is_refused(self, text: str, desk: Desk, tmp_path: Path) -> None:
        (tmp_path / "source").mkdir()
        self.create(desk, tmp_path / "source", text).refused(64, "--collection")

    def test_two_declarations_that_differ_are_refused(self, desk: Desk, tmp_path: Path) -> None:
        (tmp_path / "source").mkdir()
        found = self.create(desk, tmp_path / "source", "a.json=ndjson:a.b", "a.json=json:a.b")
        found.refused(64, "is declared as ndjson of a.b, and as json of a.b")

    def test_a_file_that_is_absent_is_refused(self, desk: Desk, tmp_path: Path) -> None:
        (tmp_path / "source").mkdir()
        (tmp_path / "source" / "a").write_bytes(b"")
        self.create(desk, tmp_path / "source", "b.json=json:a.b").refused(64, "b.json", "no such member")


@pytest.mark.parametrize("codec", ["", ".gz", ".zst"])
def test_a_codec_is_part_of_the_name(codec: str) -> None:
    path = MemberPath(f"a.json{codec}")
    assert declarable_formats(path) == {CollectionFormat.NDJSON, CollectionFormat.JSON}
    name = CollectionName(database="a", collection="b")
    assert declared_member(path, CollectionFormat.JSON, name).codec.value == codec

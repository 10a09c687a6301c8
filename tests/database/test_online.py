"""What ``kit export-changes`` exports is applied to a real database: the documents are then those of the patched kit.

The database is that of scripts/database.py, and the program of the export is run by mongosh.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bson
import pymongo
import pytest
from bson.codec_options import CodecOptions
from bson.json_util import CANONICAL_JSON_OPTIONS, loads
from bson.raw_bson import RawBSONDocument
from pymongo.collection import Collection

from kit.documents import remove
from scripts.database import PROGRAMS, running_server
from tests import kits
from tests.commands import ROOT, kit
from tests.docs import staging
from tests.docs.commands import follow
from tests.end_to_end.desk import Desk
from tests.kits import SNAPSHOTS, Document, Members, observation, snapshot

SHELLS = ROOT / ".venv/node/node_modules/.bin"
COLLECTION = "advisory_observations"
NOTHING_LEFT = {"changed": 0, "other": 0, "absent": 0, "refused": 0, "lacking": 0}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (SHELLS / "mongosh").exists(), reason="the npm package mongosh is not installed"),
]


@pytest.fixture(scope="module")
def uri(programs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield the connection string of the server of this module: each test has a database of its own."""
    assert programs.is_dir()
    with running_server(tmp_path_factory.mktemp("server")) as address:
        yield address


@dataclass(frozen=True, slots=True)
class Applied:
    """How a run of the program ended, and what it printed."""

    code: int
    events: list[Document]
    text: str

    @property
    def last(self) -> Document:
        return self.events[-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """A database under a name of its own, and an export for it."""

    uri: str
    client: pymongo.MongoClient[Any]
    name: str
    folder: Path

    @property
    def collection(self) -> Collection[Any]:
        return self.client[self.name][COLLECTION]

    def load(self, documents: Iterable[bytes]) -> None:
        """Fill the collection with documents, as they are."""
        self.collection.drop()
        self.collection.insert_many(map(RawBSONDocument, documents))

    def documents(self) -> list[bytes]:
        raw = self.collection.with_options(CodecOptions(document_class=RawBSONDocument))
        return sorted(bytes(one.raw) for one in raw.find())

    def lacking(self) -> int:
        return self.collection.count_documents({"rawLinkset": {"$exists": False}})

    def words(self, changes: Path) -> list[str]:
        return [str(SHELLS / "mongosh"), self.uri, "--quiet", "--norc", "--file", str(changes / "changes.js")]

    def around(self, action: str, options: Mapping[str, str]) -> dict[str, str]:
        own = {"KIT_ACTION": action, "KIT_STATE": str(self.folder / "state"), "KIT_DATABASE": self.name}
        return {**os.environ, "HOME": str(self.folder)} | own | dict(options)

    def run(self, action: str, changes: Path, **options: str) -> Applied:
        environment = self.around(action, options)
        done = subprocess.run(self.words(changes), env=environment, capture_output=True, text=True, check=False)
        events = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        return Applied(done.returncode, events, done.stdout + done.stderr)

    def left(self, action: str = "apply") -> dict[str, str]:
        lines = (self.folder / f"state/left-{action}.ndjson").read_text().splitlines()
        found = [loads(line, json_options=CANONICAL_JSON_OPTIONS) for line in lines]
        return {str(one["_id"]): one["why"] for one in found}


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.fixture
def cluster(uri: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    folder = tmp_path / "dba"
    folder.mkdir()
    client: pymongo.MongoClient[Any]
    with pymongo.MongoClient(uri) as client:
        yield Cluster(uri=uri, client=client, name=re.sub(r"\W", "_", request.node.name)[:40], folder=folder)


def observations(path: Path) -> list[bytes]:
    (body,) = (data for name, data in kits.read(path).items() if name.endswith(f"concelier/{COLLECTION}.bson"))
    return kits.documents_of(body)


def export(desk: Desk, path: Path, *options: object, batch: int | None = None, program: str = "mongosh") -> Path:
    """Export the changes of a kit, in batches of that size."""
    output = desk.kits.parent / "changes"
    words: list[object] = list(options)
    if batch is not None:
        migration = json.loads((ROOT / "kit/migrations/20251031_raw_linkset.json").read_text())
        (desk.kits / "migration.json").write_text(json.dumps(migration | {"batchSize": batch}))
        words += ["--migration", desk.kits / "migration.json"]
    outcome = kit("export-changes", path, "--for", program, "-o", output, *desk.trust("vendor"), *words)
    assert outcome.code == 0, outcome
    return output


def lines_of(changes: Path) -> list[Document]:
    return [json.loads(line) for line in (changes / f"changes/concelier/{COLLECTION}.ndjson").read_bytes().splitlines()]


def tenants() -> Members:
    """Return a kit of two tenants with names that are quoted everywhere, of ids of many kinds, and of all sources."""
    ids: dict[int, Any] = {3: 5, 4: bson.Int64(2**60), 5: 2.5, 6: bson.ObjectId(b"a" * 12), 7: {"a": 1, "b": [None]}}
    notes = [
        {"__proto__": "p", "then": "t", "constructor": "c"},
        {"</script>": "`${1}`'\"\\"},
        {"é\u2028": "", "": "x"},
    ]
    hostile = "'];db.dropDatabase();//"
    documents = [
        *(observation(n, updatedAt=bson.Int64(n), **({"_id": ids[n]} if n in ids else {})) for n in range(12)),
        *(observation(n, hostile) for n in range(12, 16)),
        observation(16, raw=False),
        observation(17, hostile, raw=False),
        observation(18, rawLinkset=None),
        observation(19, None),
    ]
    found = [snapshot(number, linkset={"aliases": ["b", "a", "b"], "notes": one}) for number, one in enumerate(notes)]
    return kits.content(*documents) | {SNAPSHOTS: kits.collection(found)}


class TestApply:
    def test_both_worlds_are_equal_and_the_count_is_that_of_the_plan(self, desk: Desk, cluster: Cluster) -> None:
        path = desk.kit(tenants())
        patched = observations(desk.patched(path))
        changes = export(desk, path)
        cluster.load(observations(path))
        before = cluster.run("check", changes)
        assert (before.code, before.last["is"], before.last["missing"]) == (0, "before", cluster.lacking())
        applied = cluster.run("apply", changes)
        assert (applied.code, applied.last["left"]) == (0, NOTHING_LEFT), applied
        assert (applied.last["done"], applied.last["now"], applied.last["lines"]) == (17, 17, 17)
        assert applied.last["missing"] == {"before": 19, "after": 2, "planned": 2}
        assert {event["tenant"] for event in applied.events[:-1]} == {"acme", "'];db.dropDatabase();//", ""}
        assert cluster.documents() == sorted(patched)
        assert cluster.lacking() == 2
        after = cluster.run("check", changes)
        assert (after.code, after.last["is"], after.last["otherwise"]) == (0, "after", [])

    def test_a_run_that_is_killed_is_finished_by_the_next_and_counts_are_those_of_one_run(
        self, desk: Desk, cluster: Cluster
    ) -> None:
        path = desk.kit(kits.content(*(observation(number) for number in range(60))))
        changes = export(desk, path, batch=1)
        cluster.load(observations(path))
        environment = cluster.around("apply", {})
        with subprocess.Popen(cluster.words(changes), env=environment, stdout=subprocess.PIPE, text=True) as shell:
            assert shell.stdout is not None
            assert json.loads(shell.stdout.readline())["changed"] == 1
            shell.send_signal(signal.SIGKILL)
        assert shell.returncode == -signal.SIGKILL
        done = 60 - cluster.lacking()
        assert done >= 1
        again = cluster.run("apply", changes)
        assert (again.code, again.last["done"], again.last["now"]) == (0, 60, 60 - done), again
        assert (again.last["found"], again.last["left"]) == (0, NOTHING_LEFT)
        assert cluster.documents() == sorted(observations(desk.patched(path)))

    def test_what_changed_meanwhile_is_left_named_and_counted(self, desk: Desk, cluster: Cluster) -> None:
        """The change comes between two batches of one run: the program is stopped while it is made."""
        path = desk.kit(kits.content(*(observation(number) for number in range(30))))
        changes = export(desk, path, batch=1)
        cluster.load(observations(path))
        last = "acme:osv:GO-2025-0029:1"
        environment = cluster.around("apply", {})
        with subprocess.Popen(cluster.words(changes), env=environment, stdout=subprocess.PIPE, text=True) as shell:
            assert shell.stdout is not None
            shell.stdout.readline()
            shell.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, shell.pid, os.WSTOPPED | os.WNOWAIT)
            revised = cluster.collection.find_one_and_update(
                {"_id": last}, {"$set": {"upstream.contentHash": "sha256:new"}, "$unset": {"rawLinkset": ""}}
            )
            assert revised is not None
            shell.send_signal(signal.SIGCONT)
            shell.stdout.read()
        assert shell.returncode == 3
        assert cluster.left() == {last: "changed"}
        assert cluster.lacking() == 1
        again = cluster.run("apply", changes)
        assert (again.code, again.last["done"], again.last["left"]) == (3, 29, NOTHING_LEFT | {"changed": 1}), again
        assert again.last["missing"] == {"before": 1, "after": 1, "planned": 0}
        assert again.last["otherwise"] == [{"tenant": "acme", "missing": 1, "planned": 0}]

    def test_each_document_that_is_not_as_in_the_kit_is_left_as_it_is(self, desk: Desk, cluster: Cluster) -> None:
        path = desk.kit(kits.content(*(observation(number) for number in range(8))))
        changes = export(desk, path)
        lines = lines_of(changes)
        names = [line["_id"] for line in lines]
        cluster.load(observations(path))
        there = cluster.collection
        there.delete_one({"_id": names[0]})
        there.update_one({"_id": names[1]}, {"$set": {"upstream.contentHash": "sha256:new"}})
        there.update_one({"_id": names[2]}, {"$set": {"tenant": "globex"}})
        there.update_one({"_id": names[3]}, {"$set": {"rawLinkset": {"aliases": ["another"]}}})
        there.update_one({"_id": names[4]}, {"$set": {"rawLinkset": None}})
        there.update_one({"_id": names[5]}, {"$set": {"rawLinkset": lines[5]["rawLinkset"]}})
        others = {bson.decode(one)["_id"]: one for one in cluster.documents()}
        applied = cluster.run("apply", changes)
        assert applied.code == 3
        assert (applied.last["done"], applied.last["found"]) == (2, 1), applied
        assert applied.last["left"] == NOTHING_LEFT | {"absent": 1, "changed": 2, "other": 2}
        whys = dict(zip(names, ("absent", "changed", "changed", "other", "other"), strict=False))
        assert cluster.left() == whys
        after = {bson.decode(one)["_id"]: one for one in cluster.documents()}
        assert {name for name, one in after.items() if one != others[name]} == {*names[6:]}
        assert names[0] not in after

    def test_what_the_server_refuses_is_named_and_the_rest_is_done(self, desk: Desk, cluster: Cluster) -> None:
        members = kits.content(*(observation(number) for number in range(6)))
        notes = {2: {"$where": "1"}, 4: {"a.b": "1"}}  # FerretDB stores neither name
        members[SNAPSHOTS] = kits.collection(
            snapshot(number, linkset={"aliases": [], "notes": one}) for number, one in notes.items()
        )
        path = desk.kit(members)
        changes = export(desk, path)
        cluster.load(observations(path))
        applied = cluster.run("apply", changes)
        assert (applied.code, applied.last["done"]) == (3, 4), applied
        assert applied.last["left"] == NOTHING_LEFT | {"refused": 2}
        assert set(cluster.left().values()) == {"refused"}

    def test_a_rehearsal_of_one_tenant_changes_no_other(self, desk: Desk, cluster: Cluster) -> None:
        path = desk.kit(tenants())
        changes = export(desk, path)
        cluster.load(observations(path))
        before = cluster.documents()
        applied = cluster.run("apply", changes, KIT_TENANT="")
        assert (applied.code, applied.last["lines"]) == (0, 1), applied
        (changed,) = set(before) - set(cluster.documents())
        assert bson.decode(changed)["_id"] == "None:osv:GO-2025-0019:1"
        rest = cluster.run("apply", changes)
        assert (rest.code, rest.last["done"], rest.last["now"]) == (0, 17, 16), rest
        assert cluster.documents() == sorted(observations(desk.patched(path)))


class TestMongoimport:
    def import_(self, cluster: Cluster, changes: Path) -> None:
        words = ("--quiet", "--uri", cluster.uri, "--db", cluster.name, "--collection", COLLECTION)
        file = changes / f"changes/concelier/{COLLECTION}.ndjson"
        merge = ("--mode", "merge", "--upsertFields", "_id", "--file", file)
        subprocess.run([PROGRAMS / "mongoimport", *words, *merge], check=True, capture_output=True)

    def test_both_worlds_are_equal_if_nothing_changed_meanwhile(self, desk: Desk, cluster: Cluster) -> None:
        path = desk.kit(tenants())
        changes = export(desk, path, "--accept-unguarded", program="mongoimport")
        cluster.load(observations(path))
        self.import_(cluster, changes)
        assert cluster.documents() == sorted(observations(desk.patched(path)))

    def test_it_has_no_guard_as_the_page_says(self, desk: Desk, cluster: Cluster) -> None:
        path = desk.kit(kits.content(*(observation(number) for number in range(3))))
        changes = export(desk, path, "--accept-unguarded", program="mongoimport")
        deleted, revised, other = (line["_id"] for line in lines_of(changes))
        cluster.load(observations(path))
        cluster.collection.delete_one({"_id": deleted})
        cluster.collection.update_one({"_id": revised}, {"$set": {"upstream.contentHash": "sha256:new"}})
        cluster.collection.update_one({"_id": other}, {"$set": {"rawLinkset": {"aliases": ["another"]}}})
        self.import_(cluster, changes)
        there = {one["_id"]: one for one in cluster.collection.find()}
        assert there[deleted].keys() == {"_id", "rawLinkset"}
        assert "rawLinkset" in there[revised]
        assert there[other]["rawLinkset"]["aliases"] != ["another"]


class TestUndo:
    def test_the_database_is_as_it_was(self, desk: Desk, cluster: Cluster) -> None:
        path = desk.kit(tenants())
        changes = export(desk, path)
        cluster.load(observations(path))
        before = cluster.documents()
        assert cluster.run("apply", changes).code == 0
        undone = cluster.run("undo", changes)
        assert (undone.code, undone.last["done"], undone.last["now"]) == (0, 17, 17), undone
        assert cluster.documents() == before
        again = cluster.run("undo", changes)
        assert (again.code, again.last["done"], again.last["now"]) == (0, 17, 0)
        assert cluster.run("apply", changes).code == 0

    def test_only_what_was_added_and_is_unchanged_since_is_removed(self, desk: Desk, cluster: Cluster) -> None:
        path = desk.kit(kits.content(*(observation(number) for number in range(6))))
        changes = export(desk, path)
        lines = lines_of(changes)
        names = [line["_id"] for line in lines]
        cluster.load(observations(path))
        there = cluster.collection
        there.update_one({"_id": names[0]}, {"$set": {"rawLinkset": lines[0]["rawLinkset"]}})
        assert cluster.run("apply", changes).code == 0
        there.update_one({"_id": names[1]}, {"$set": {"rawLinkset.aliases": ["edited"]}})
        there.update_one({"_id": names[2]}, {"$set": {"upstream.contentHash": "sha256:new"}})
        there.delete_one({"_id": names[3]})
        undone = cluster.run("undo", changes)
        assert (undone.code, undone.last["done"]) == (3, 2), undone
        assert cluster.left("undo") == {names[1]: "other", names[2]: "changed", names[3]: "absent"}
        having = {one["_id"] for one in there.find({"rawLinkset": {"$exists": True}})}
        assert having == {names[0], names[1], names[2]}


class TestRefusals:
    """Each ends with an error before the first write."""

    @pytest.fixture
    def changes(self, desk: Desk, cluster: Cluster) -> Path:
        path = desk.kit()
        cluster.load(observations(path))
        return export(desk, path)

    def refused(self, cluster: Cluster, changes: Path, *words: str, action: str = "apply", **options: str) -> None:
        before = cluster.documents()
        done = cluster.run(action, changes, **options)
        assert (done.code, done.events) == (1, []), done
        assert all(word in done.text for word in words), done
        assert cluster.documents() == before

    def test_a_run_without_an_action_or_a_state(self, changes: Path, cluster: Cluster) -> None:
        self.refused(cluster, changes, "KIT_ACTION", action="")
        self.refused(cluster, changes, "KIT_STATE", KIT_STATE="")
        self.refused(cluster, changes, "no documents of tenant", KIT_TENANT="acne")

    def test_lines_that_are_not_those_of_the_export(self, changes: Path, cluster: Cluster) -> None:
        lines = changes / f"changes/concelier/{COLLECTION}.ndjson"
        whole = lines.read_bytes()
        for other in (whole[:-10], whole.replace(b"GO-2025-0001", b"GO-2025-0002", 1), b""):
            lines.write_bytes(other)
            self.refused(cluster, changes, "copy the export again")

    def test_a_folder_that_is_no_state_or_that_of_another_export(self, changes: Path, cluster: Cluster) -> None:
        self.refused(cluster, changes, "no state", action="undo")
        other = cluster.folder / "other"
        other.mkdir()
        (other / "notes.txt").write_text("mine")
        self.refused(cluster, changes, "no state", KIT_STATE=str(other))
        assert cluster.run("apply", changes).code == 0
        made = json.loads((changes / "export.json").read_bytes())
        (changes / "export.json").write_text(json.dumps(made))
        self.refused(cluster, changes, "another export")

    def test_an_export_for_another_program(self, changes: Path, cluster: Cluster) -> None:
        made = json.loads((changes / "export.json").read_bytes())
        (changes / "export.json").write_text(json.dumps(made | {"for": "mongoimport"}))
        self.refused(cluster, changes, "not of an export for mongosh")


def test_every_command_of_the_page_for_online_clusters_does_what_the_page_says(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = tmp_path / "desk"
    desk.mkdir()
    staging.site(desk)
    # Left out is what FerretDB 1 does not store: names with a dot or a dollar, and Decimal128. No line depends on it.
    documents = [remove(remove(one, ["attributes"]), ["content"]) for one in observations(desk / "kit.tar.zst")]
    client: pymongo.MongoClient[Any]
    with pymongo.MongoClient(uri) as client:
        Cluster(uri=uri, client=client, name="concelier", folder=desk).load(documents)
    monkeypatch.setenv("URI", uri)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", os.pathsep.join([str(SHELLS), str(PROGRAMS), os.environ["PATH"]]))
    assert follow(ROOT / "docs/online.md", desk) > 0

"""``kit compare --uri``: a live database is what was signed, or it is not, and what becomes of what goes wrong."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bson
import pytest
from pymongo import MongoClient
from pymongo.collection import Collection

from tests import kits
from tests.commands import Outcome, kit
from tests.end_to_end.desk import Desk

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
DOCUMENTS = [kits.observation(number, tenant=f"t{number % 3}") for number in range(300)]
NAME = "DATABASE_URI"


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    return Desk(tmp_path_factory.mktemp("desk"))


@pytest.fixture(scope="module")
def signed(desk: Desk) -> Path:
    return desk.kit({"dump/concelier/advisory_observations.bson": b"".join(map(bson.encode, DOCUMENTS))})


@pytest.fixture
def stored(server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Collection[dict[str, Any]]]:
    """Yield the collection of a server that holds what was signed; its address is in the environment."""
    monkeypatch.setenv(NAME, server)
    with MongoClient[dict[str, Any]](server) as client:
        client.concelier.advisory_observations.insert_many(DOCUMENTS)
        yield client.concelier.advisory_observations


def compare(desk: Desk, signed: Path, *options: object) -> Outcome:
    return kit("compare", signed, "--uri", f"env:{NAME}", *desk.trust("vendor"), "--workers", 1, *options)


def test_what_was_imported_is_what_was_signed(stored: Collection[Any], desk: Desk, signed: Path) -> None:
    assert stored.name
    outcome = compare(desk, signed)
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.endswith(f"and no other; {len(DOCUMENTS)} equal\n")
    found = compare(desk, signed, "--json").json
    assert (found["source"], found["dump"], found["notCompared"]) == ("server", None, [])


def test_whatever_was_done_to_the_database_is_found(stored: Collection[Any], desk: Desk, signed: Path) -> None:
    first, second, third, *_ = (document["_id"] for document in DOCUMENTS)
    stored.update_one({"_id": first}, {"$set": {"tenant": "other"}})
    stored.update_one({"_id": second}, {"$set": {"_importedAt": 1}})
    stored.delete_one({"_id": third})
    stored.insert_one({"_id": "new"})
    stored.database.sessions.insert_one({"_id": 1})
    outcome = compare(desk, signed, "--json", "--allow-field", "_importedAt")
    assert outcome.code == 11
    assert "is not what was signed: 1 changed, 1 missing, 1 extra" in outcome.err
    assert {one["document"]: (one["standing"], one["fields"]) for one in outcome.json["differences"]} == {
        first: ("changed", ["tenant"]),
        second: ("allowed", ["_importedAt"]),
        third: ("missing", []),
        "new": ("extra", []),
    }
    assert outcome.json["notCompared"] == [{"db": "concelier", "collection": "sessions"}]
    assert outcome.json["collections"][0]["equal"] == len(DOCUMENTS) - 3


def test_an_empty_database_has_lost_everything(
    server: str, desk: Desk, signed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(NAME, server)
    assert compare(desk, signed, "--json").json["collections"][0]["missing"] == len(DOCUMENTS)


def test_nothing_is_written_to_the_database(stored: Collection[Any], desk: Desk, signed: Path) -> None:
    before = stored.database.client.list_database_names(), list(stored.find())
    assert compare(desk, signed).code == 0
    assert (stored.database.client.list_database_names(), list(stored.find())) == before


def test_wrong_credentials_are_an_error_that_repeats_none(
    server: str, desk: Desk, signed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(NAME, server.replace("://", "://somebody:hunter2@"))
    outcome = compare(desk, signed)
    outcome.refused(1, "wrong credentials, or no permission")
    assert "hunter2" not in outcome.err
    assert "somebody" not in outcome.err


def test_a_server_that_is_down_is_an_error(
    server: str, desk: Desk, signed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = server.removeprefix("mongodb://").partition(":")[0]
    monkeypatch.setenv(NAME, f"mongodb://somebody:hunter2@{host}:1/?serverSelectionTimeoutMS=500")
    outcome = compare(desk, signed)
    outcome.refused(1, "does not answer")
    assert "hunter2" not in outcome.err

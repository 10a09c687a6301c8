"""The round trip of a kit through databases: a test takes a share of kits, hardening/round_trips.py all of them."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pymongo import MongoClient

from scripts.database import running_server
from scripts.storable import documents_in, obstacles
from tests import kits
from tests.commands import ROOT, kit
from tests.end_to_end.desk import Desk

WAYS = ("folder", "folder, gzip", "archive", "archive, gzip")
LATER, OF_LATER = "2099-05-01T00:00:00Z", {"harbor.tar.zst", "parts.tar"}
"""Fixtures are from a time to come, and no kit is older than its base."""
OBSERVATIONS = "advisory_observations"
MISSING = {"rawLinkset": {"$exists": False}}
"""The pre-check of a plan: what a patch has yet to do."""


def publisher(path: Path) -> Path:
    """Return the public key of the publisher of a kit."""
    if path.parent == kits.REAL:
        return kits.REAL / "publisher-TEST-ONLY.pub.pem"
    return ROOT / "fixtures" / "keys" / "publisher-TEST-ONLY.pub.pem"


class Site:
    """A desk with the tools of the database."""

    def __init__(self, folder: Path, programs: Path) -> None:
        self.desk = Desk(folder)
        self.folder = folder
        self._programs = programs

    def run(self, tool: str, *words: object) -> str:
        command = [str(self._programs / tool), *map(str, words)]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        assert run.returncode == 0, run
        return run.stdout

    def ok(self, *words: object) -> Any:
        outcome = kit(*words)
        assert outcome.code == 0, outcome
        return outcome

    def patched(self, path: Path, key: Path, name: str) -> tuple[Path, int]:
        """Patch a kit; return the new one and the number of documents that stay without a rawLinkset."""
        output, at = self.folder / name, LATER if path.name in OF_LATER else kits.AT
        signing = ("--signing-key", self.desk.keys / "site", "--created-at", at, "--workers", 1)
        report = self.ok("patch", path, "-o", output, "--trusted-key", key, *signing, "--json").json
        (tenants,) = (report["outcomes"][name] for name in report["outcomes"] if name == "raw-linkset")
        return output, sum(outcomes.get("unresolvable", 0) for outcomes in tenants.values())

    def extracted(self, path: Path, *keys: Path, name: str, gzip: bool = False) -> Path:
        words = [word for key in keys for word in ("--trusted-key", key)]
        self.ok("extract", path, "-o", self.folder / name, *words, *(["--gzip"] if gzip else []))
        return self.folder / name

    def created(self, folder: Path, name: str) -> Path:
        """Make a kit of a dump, signed by the vendor."""
        words = ("--bundle-id", "round", "--created-at", kits.AT, "--signing-key", self.desk.keys / "vendor")
        self.ok("create", folder, "-o", self.folder / name, *words)
        return self.folder / name

    def compared(self, path: Path, *keys: Path, with_: str | Path) -> dict[str, Any]:
        """Compare a kit with a dump, or with the database of a connection string."""
        words: list[object] = [word for key in keys for word in ("--trusted-key", key)]
        if isinstance(with_, str):
            os.environ["DATABASE_URI"] = with_
            words += ["--uri", "env:DATABASE_URI"]
        else:
            words.append(with_)
        try:
            outcome = kit("compare", path, *words, "--workers", 1, "--json")
        finally:
            os.environ.pop("DATABASE_URI", None)
        assert outcome.code in {0, 11}, outcome
        return outcome.json


def totals(report: dict[str, Any], *standings: str) -> int:
    return sum(one[standing] for one in report["collections"] for standing in standings)


def unstored(folder: Path) -> int:
    return sum(bool(obstacles(one)) for path in folder.rglob("*.bson") for one in documents_in(path))


def count_missing(uri: str) -> int:
    with MongoClient[dict[str, Any]](uri) as client:
        return sum(
            client[name][OBSERVATIONS].count_documents(MISSING)
            for name in client.list_database_names()
            if OBSERVATIONS in client[name].list_collection_names()
        )


@dataclass(frozen=True, kw_only=True)
class Trip:
    """What a round trip came to."""

    documents: int
    """Of all collections; every one is equal in both databases, the dump and the kit."""
    unresolvable: int
    """Observations without a rawLinkset, by the plan and by the query of the pre-check."""


def round_trip(site: Site, server: str, start: Path, key: Path, how: str) -> Trip:
    """Take a kit through an empty database, a dump, a new kit, a patch and another database, and compare each time.

    Raises:
        AssertionError: Something is not what was signed.
    """
    gzip = ["--gzip"] if how.endswith("gzip") else []
    # The database that is exported.
    base = site.extracted(start, key, name="base")
    assert unstored(base) == 0
    site.run("mongorestore", "--quiet", "--uri", server, base)
    assert site.compared(start, key, with_=server)["same"]
    # Exported, signed and patched.
    site.run("mongodump", "--quiet", "--uri", server, *gzip, "--out", site.folder / "dump")
    made = site.created(site.folder / "dump", "made.tar.zst")
    vendor = site.desk.public("vendor")
    patched, unresolvable = site.patched(made, vendor, "patched.tar.zst")
    keys = vendor, site.desk.public("site")
    # Imported into another database, where nothing is left to do but what has no source.
    with running_server(site.folder / "other") as other:
        import_kit(site, patched, keys, other, how)
        assert count_missing(other) == unresolvable
        found = site.compared(patched, *keys, with_=other)
        assert found["same"], found["differences"]
        documents = totals(found, "equal")
        assert documents == totals(found, "equal", "allowed", "reordered") > 0
        site.run("mongodump", "--quiet", "--uri", other, *gzip, "--out", site.folder / "again")
    assert site.compared(patched, *keys, with_=site.folder / "again")["same"]
    return Trip(documents=documents, unresolvable=unresolvable)


def shorten(folder: Path, documents: int) -> None:
    """Leave the first documents of each collection of a dump."""
    for path in folder.rglob("*.bson"):
        path.write_bytes(b"".join(kits.documents_of(path.read_bytes())[:documents]))


def import_kit(site: Site, patched: Path, keys: tuple[Path, ...], uri: str, how: str) -> None:
    """Import a kit by a folder, or by an archive that the tools make of it."""
    gzip = ["--gzip"] if how.endswith("gzip") else []
    folder = site.extracted(patched, *keys, name="import", gzip=bool(gzip))
    if how.startswith("folder"):
        site.run("mongorestore", "--quiet", "--uri", uri, *gzip, folder)
        return
    archive = site.folder / "import.archive"
    with running_server(site.folder / "between") as between:
        site.run("mongorestore", "--quiet", "--uri", between, *gzip, folder)
        site.run("mongodump", "--quiet", "--uri", between, *gzip, f"--archive={archive}")
    site.run("mongorestore", "--quiet", "--uri", uri, *gzip, f"--archive={archive}")

"""A kit between two databases: what mongodump writes is signed and patched, and what mongorestore stores is that.

What the database cannot store (scripts/storable.py counts and names it) goes through bsondump and an archive alone.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from scripts.database import running_server
from scripts.storable import documents_in, obstacles
from tests import kits
from tests.commands import ROOT, kit
from tests.end_to_end.desk import Desk
from tests.end_to_end.vault import Vault, members

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
FIXTURES = ROOT / "fixtures" / "kits"
KITS = [FIXTURES / name for name in ("harbor.tar.zst", "parts.tar", "foreign.tar.gz")]
REAL = [kits.REAL / name for name in ("pypa-osv.tgz", "go-osv.tar.zst", "cisa-csaf.tar.zst", "cve5-foreign.tar.gz")]
THERE = pytest.mark.skipif(not kits.REAL.is_dir(), reason="the published kits are not beside the project")
EVERY = [*KITS, *(pytest.param(path, marks=THERE) for path in REAL)]
WAYS = ("folder", "folder, gzip", "archive", "archive, gzip")
TRIPS = [
    *((None, how) for how in WAYS),
    pytest.param(REAL[0], "folder", marks=THERE),
    pytest.param(REAL[2], "archive, gzip", marks=THERE),
]
"""Two published kits, and one of documents of all outcomes; the fixtures have what the database does not store."""
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

    def compared(self, path: Path, *keys: Path, with_: tuple[object, ...]) -> dict[str, Any]:
        words = [word for key in keys for word in ("--trusted-key", key)]
        outcome = kit("compare", path, *with_, *words, "--workers", 1, "--json")
        assert outcome.code in {0, 11}, outcome
        return outcome.json


@pytest.fixture
def site(programs: Path, tmp_path: Path) -> Site:
    return Site(tmp_path, programs)


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


@pytest.mark.parametrize(("path", "how"), TRIPS, ids=lambda value: getattr(value, "name", value) or "made")
def test_a_dump_becomes_a_kit_is_patched_and_imported_and_is_what_was_signed(
    path: Path | None, how: str, *, site: Site, server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    gzip = ["--gzip"] if how.endswith("gzip") else []
    # The database that is exported.
    start, key = (
        (path, publisher(path))
        if path is not None
        else (site.desk.kit(every_outcome(LOST[how])), site.desk.public("vendor"))
    )
    base = site.extracted(start, key, name="base")
    assert unstored(base) == 0
    site.run("mongorestore", "--quiet", "--uri", server, base)
    monkeypatch.setenv("DATABASE_URI", server)
    assert site.compared(start, key, with_=("--uri", "env:DATABASE_URI"))["same"]
    # Exported, signed and patched.
    site.run("mongodump", "--quiet", "--uri", server, *gzip, "--out", tmp_path / "dump")
    made, vendor = tmp_path / "made.tar.zst", site.desk.public("vendor")
    site.ok(*("create", tmp_path / "dump", "-o", made, "--bundle-id", "round", "--created-at", kits.AT), *signing(site))
    patched, unresolvable = site.patched(made, vendor, "patched.tar.zst")
    keys = vendor, site.desk.public("site")
    # Imported into another database, where nothing is left to do but what has no source.
    with running_server(tmp_path / "other") as other:
        import_kit(site, patched, keys, other, how)
        assert count_missing(other) == unresolvable
        assert path is not None or unresolvable == LOST[how]
        monkeypatch.setenv("DATABASE_URI", other)
        found = site.compared(patched, *keys, with_=("--uri", "env:DATABASE_URI"))
        assert found["same"], found["differences"]
        assert totals(found, "equal") == totals(found, "equal", "allowed", "reordered") > 0
        site.run("mongodump", "--quiet", "--uri", other, *gzip, "--out", tmp_path / "again")
    assert site.compared(patched, *keys, with_=(tmp_path / "again",))["same"]


def signing(site: Site) -> tuple[object, ...]:
    return "--signing-key", site.desk.keys / "vendor"


LOST = {"folder": 3, "folder, gzip": 0, "archive": 2, "archive, gzip": 0}
"""Documents without a source for their rawLinkset, by the way of the kit that is made."""


def every_outcome(lost: int) -> kits.Members:
    """Return a collection in which some documents have a rawLinkset, some get one, and ``lost`` have no source."""
    had = [kits.observation(number, rawLinkset=kits.SOUND) for number in range(5)]
    due = [kits.observation(number, tenant="beta") for number in range(5, 25)]
    left = [kits.observation(number, raw=False) for number in range(25, 25 + lost)]
    return {f"dump/concelier/{OBSERVATIONS}.bson": kits.collection([*had, *due, *left])}


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


@pytest.mark.parametrize("gzip", [False, True], ids=["plain", "gzip"])
def test_encrypted_collections_are_stored_as_they_were_sealed(
    gzip: bool,  # noqa: FBT001  a case
    programs: Path,
    server: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    for name in ("vault", "site"):
        (tmp_path / name).mkdir()
    vault, site = Vault(tmp_path / "vault"), Site(tmp_path / "site", programs)
    sealed, keys = vault.encrypted(vault.kit(members())), (vault.public("vendor"), vault.public("site"))
    folder = site.extracted(sealed, *keys, name="import", gzip=gzip)
    site.run("mongorestore", "--quiet", "--uri", server, *(["--gzip"] if gzip else []), folder)
    monkeypatch.setenv("DATABASE_URI", server)
    found = site.compared(sealed, *keys, with_=("--uri", "env:DATABASE_URI"))
    assert found["same"], found["differences"]
    with MongoClient[dict[str, Any]](server) as client:
        assert client.notelett.notes.count_documents({"body.__encrypted": True}) > 0
    archive = tmp_path / "archive"
    site.run("mongodump", "--quiet", "--uri", server, f"--archive={archive}")
    with running_server(tmp_path / "other") as other:
        site.run("mongorestore", "--quiet", "--uri", other, f"--archive={archive}")
        monkeypatch.setenv("DATABASE_URI", other)
        assert site.compared(sealed, *keys, with_=("--uri", "env:DATABASE_URI"))["same"]


@pytest.mark.parametrize("path", EVERY, ids=lambda path: path.name)
def test_every_collection_of_a_patched_kit_is_read_by_bsondump(path: Path, site: Site) -> None:
    patched, _ = site.patched(path, publisher(path), f"patched{''.join(path.suffixes[-2:])}")
    folder = site.extracted(patched, publisher(path), site.desk.public("site"), name="out")
    files = sorted(folder.rglob("*.bson"))
    assert files
    for file in files:
        lines = site.run("bsondump", "--quiet", "--objcheck", file).splitlines()
        assert len(lines) == sum(1 for _ in documents_in(file)), file

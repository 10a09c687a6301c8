"""A kit between two databases: what mongodump writes is signed and patched, and what mongorestore stores is that.

What the database cannot store (scripts/storable.py counts and names it) goes through bsondump and an archive alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from scripts.database import running_server
from scripts.storable import documents_in
from tests import kits
from tests.commands import ROOT
from tests.database.trips import OBSERVATIONS, WAYS, Site, publisher, round_trip, shorten
from tests.end_to_end.vault import Vault, members

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
FIXTURES = ROOT / "fixtures" / "kits"
KITS = [FIXTURES / name for name in ("harbor.tar.zst", "parts.tar", "foreign.tar.gz")]
REAL = [kits.REAL / name for name in ("pypa-osv.tgz", "go-osv.tar.zst", "cisa-csaf.tar.zst", "cve5-foreign.tar.gz")]
THERE = pytest.mark.skipif(not kits.REAL.is_dir(), reason="the published kits are not beside the project")
EVERY = [*KITS, *(pytest.param(path, marks=THERE) for path in REAL)]
SHARE = 20
"""Documents of each collection of a published kit; hardening/round_trips takes all of every kit."""
TRIPS = [
    *((None, how) for how in WAYS),
    pytest.param(REAL[0], "folder", marks=THERE),
    pytest.param(REAL[2], "archive, gzip", marks=THERE),
]
"""Two published kits, and one of documents of all outcomes; the fixtures have what the database does not store."""


@pytest.fixture
def site(programs: Path, tmp_path: Path) -> Site:
    return Site(tmp_path, programs)


@pytest.mark.parametrize(("path", "how"), TRIPS, ids=lambda value: getattr(value, "name", value) or "made")
def test_a_dump_becomes_a_kit_is_patched_and_imported_and_is_what_was_signed(
    path: Path | None, how: str, *, site: Site, server: str
) -> None:
    if path is None:
        start = site.desk.kit(every_outcome(LOST[how]))
    else:
        published = site.extracted(path, publisher(path), name="published")
        shorten(published, SHARE)
        start = site.created(published, "share.tar.zst")
    trip = round_trip(site, server, start, site.desk.public("vendor"), how)
    assert path is not None or trip.unresolvable == LOST[how]


LOST = {"folder": 3, "folder, gzip": 0, "archive": 2, "archive, gzip": 0}
"""Documents without a source for their rawLinkset, by the way of the kit that is made."""


def every_outcome(lost: int) -> kits.Members:
    """Return a collection in which some documents have a rawLinkset, some get one, and ``lost`` have no source."""
    had = [kits.observation(number, rawLinkset=kits.SOUND) for number in range(5)]
    due = [kits.observation(number, tenant="beta") for number in range(5, 25)]
    left = [kits.observation(number, raw=False) for number in range(25, 25 + lost)]
    return {f"dump/concelier/{OBSERVATIONS}.bson": kits.collection([*had, *due, *left])}


@pytest.mark.parametrize("gzip", [False, True], ids=["plain", "gzip"])
def test_encrypted_collections_are_stored_as_they_were_sealed(
    gzip: bool,  # noqa: FBT001  a case
    programs: Path,
    server: str,
    tmp_path: Path,
) -> None:
    for name in ("vault", "site"):
        (tmp_path / name).mkdir()
    vault, site = Vault(tmp_path / "vault"), Site(tmp_path / "site", programs)
    sealed, keys = vault.encrypted(vault.kit(members())), (vault.public("vendor"), vault.public("site"))
    folder = site.extracted(sealed, *keys, name="import", gzip=gzip)
    site.run("mongorestore", "--quiet", "--uri", server, *(["--gzip"] if gzip else []), folder)
    found = site.compared(sealed, *keys, with_=server)
    assert found["same"], found["differences"]
    with MongoClient[dict[str, Any]](server) as client:
        assert client.notelett.notes.count_documents({"body.__encrypted": True}) > 0
    archive = tmp_path / "archive"
    site.run("mongodump", "--quiet", "--uri", server, f"--archive={archive}")
    with running_server(tmp_path / "other") as other:
        site.run("mongorestore", "--quiet", "--uri", other, f"--archive={archive}")
        assert site.compared(sealed, *keys, with_=other)["same"]


@pytest.mark.parametrize("path", EVERY, ids=lambda path: path.name)
def test_every_collection_of_a_patched_kit_is_read_by_bsondump(path: Path, site: Site) -> None:
    patched, _ = site.patched(path, publisher(path), f"patched{''.join(path.suffixes[-2:])}")
    folder = site.extracted(patched, publisher(path), site.desk.public("site"), name="out")
    files = sorted(folder.rglob("*.bson"))
    assert files
    for file in files:
        lines = site.run("bsondump", "--quiet", "--objcheck", file).splitlines()
        assert len(lines) == sum(1 for _ in documents_in(file)), file

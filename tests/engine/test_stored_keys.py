"""Keys put down for workers: a file that only its owner reads, that goes away, and that workers find."""

from __future__ import annotations

import pickle
import stat
from pathlib import Path

import pytest

from kit.engine.executors import local_executor
from kit.engine.stored_keys import shared, store
from kit.errors import OutputError
from tests.encryption.site import Site, note, scope


def opened_in_a_worker(keys: bytes) -> bytes:
    found = pickle.loads(keys).key_set().at_hand(scope())  # noqa: S301
    return found.secret if found is not None else b""


@pytest.fixture
def site() -> Site:
    site = Site()
    site.prepare(note())
    return site


def test_a_worker_finds_what_was_stored(site: Site, tmp_path: Path) -> None:
    stored = store(site.keys, tmp_path / "keys")
    crossing = pickle.dumps(stored)
    key = site.keys.at_hand(scope())
    assert key is not None
    assert key.dek_id.encode() not in crossing
    with local_executor(2) as executor:
        assert [executor.submit(opened_in_a_worker, crossing).result() for _ in range(4)] == [key.secret] * 4
    stored.close()
    assert list(tmp_path.iterdir()) == []


def test_the_file_is_of_its_owner_alone_and_is_not_written_over(site: Site, tmp_path: Path) -> None:
    stored = store(site.keys, tmp_path / "keys")
    assert stat.S_IMODE(stored.path.stat().st_mode) == 0o600
    assert (stored.names, stored.complete) == (site.keys.names, True)
    assert stored.secret.hex() not in repr(stored)
    with pytest.raises(OutputError, match="cannot put the keys down"):
        store(site.keys, stored.path)
    stored.close()
    with pytest.raises(OutputError, match="cannot read the keys"):
        stored.key_set()


def test_shared_keys_are_gone_afterwards(site: Site) -> None:
    with shared(site.keys) as given:
        assert given is not None
        path = Path(getattr(given, "path", ""))
        assert path.is_file()
        with shared(given) as again:
            assert again is given
    assert not path.parent.exists()
    with shared(None) as nothing:
        assert nothing is None

"""The keys of a run as a block: it gives what the key set gives, and nothing to whoever has it without its secret."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings, strategies as st

from kit.encryption import KeySet, Scope
from kit.encryption.data_keys import DataKey
from kit.encryption.key_table import SECRET_BYTES, KeyTable, write_table
from kit.errors import KeyUnusableError
from tests.encryption.site import Stream
from tests.tiers import examples

SECRET = Stream("TEST-ONLY table")(SECRET_BYTES)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)


def written(keys: KeySet, secret: bytes = SECRET) -> bytes:
    pieces: list[bytes] = []
    write_table(keys, secret, pieces.append)
    return b"".join(pieces)


def keys_of(scopes: list[Scope], *, locked: int = 0, retired: int = 0) -> KeySet:
    """Give a key for each scope; the first ones are locked, the last ones retired."""
    random = Stream("TEST-ONLY keys of a table")
    deks = {f"dek-{at}": scope for at, scope in enumerate(scopes)}
    opening = {
        dek_id: DataKey(dek_id=dek_id, scope=scope, mek_version=at + 1, secret=random(32))
        for at, (dek_id, scope) in enumerate(deks.items())
        if at >= locked
    }
    sealing = {scope: dek_id for dek_id, scope in list(deks.items())[: len(deks) - retired]}
    return KeySet(scopes=deks, opening=opening, sealing=sealing, mek_versions=len(deks) + 1)


def owner(name: str) -> Scope:
    return Scope(product="p", context="c", owner=name)


@settings(deadline=None, max_examples=examples(40))
@given(st.lists(st.builds(Scope, product=TEXTS, context=TEXTS, owner=TEXTS), unique=True, max_size=20), st.data())
def test_a_table_gives_what_it_was_made_of(scopes: list[Scope], data: st.DataObject) -> None:
    locked, retired = (data.draw(st.integers(0, len(scopes))) for _ in range(2))
    keys = keys_of(scopes, locked=locked, retired=retired)
    found = KeyTable(written(keys), SECRET).key_set()
    assert (dict(found.scopes), dict(found.opening), dict(found.sealing)) == (keys.scopes, keys.opening, keys.sealing)
    assert (found.mek_versions, found.names, found.complete) == (keys.mek_versions, keys.names, keys.complete)
    assert [len(view) for view in (found.scopes, found.opening, found.sealing)] == [
        len(keys.scopes),
        len(keys.opening),
        len(keys.sealing),
    ]
    for dek_id in (*keys.scopes, "dek-99"):
        assert (found.scopes.get(dek_id), found.opening.get(dek_id)) == (
            keys.scopes.get(dek_id),
            keys.opening.get(dek_id),
        )
    for scope in (*scopes, owner("nobody")):
        assert found.at_hand(scope) == keys.at_hand(scope)


@pytest.mark.slow
def test_a_table_of_many_owners_is_found_through() -> None:
    keys = keys_of([owner(f"user{at}") for at in range(10_000)])
    found = KeyTable(written(keys), SECRET).key_set()
    # More than are remembered, so that records are opened again.
    assert all(found.at_hand(scope) == key for scope, key in ((key.scope, key) for key in keys.opening.values()))
    assert found.at_hand(owner("user10000")) is None


def test_a_table_shows_neither_keys_nor_owners() -> None:
    keys = keys_of([owner("ada lovelace")])
    (key,) = keys.opening.values()
    data = written(keys)
    for shown in (key.secret, key.secret.hex().encode(), b"lovelace", b"dek-0"):
        assert shown not in data


@pytest.mark.parametrize("at", [4, 60, 120], ids=lambda at: f"byte {at}")
def test_a_record_that_was_altered_is_refused(at: int) -> None:
    data = bytearray(written(keys_of([owner("ada")])))
    data[4 + at] ^= 1
    with pytest.raises(KeyUnusableError, match="were altered"):
        KeyTable(bytes(data), SECRET).key_set().at_hand(owner("ada"))


def test_a_record_in_the_place_of_another_is_refused() -> None:
    keys = keys_of([owner("ada"), owner("bob")])
    data = written(keys)
    size = 4 + int.from_bytes(data[4:8], "little")
    swapped = data[:4] + data[4 + size : 4 + 2 * size] + data[4 : 4 + size] + data[4 + 2 * size :]
    found = KeyTable(swapped, SECRET).key_set()
    for name in ("ada", "bob"):
        with pytest.raises(KeyUnusableError):
            found.at_hand(owner(name))


def test_a_table_of_another_run_gives_nothing() -> None:
    found = KeyTable(written(keys_of([owner("ada")])), bytes(SECRET_BYTES)).key_set()
    assert found.at_hand(owner("ada")) is None
    with pytest.raises(KeyUnusableError, match="another run"):
        list(found.scopes)


def test_an_empty_key_set_is_a_table_too() -> None:
    keys = keys_of([])
    found = KeyTable(written(keys), SECRET).key_set()
    assert found.at_hand(owner("ada")) is None
    assert replace(found, mek_versions=1).names == ()

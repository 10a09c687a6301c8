"""Copies of sealed values in the clear: all that are planted are found, and nothing in a kit without."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import bson
import pytest
from hypothesis import given, strategies as st

from hardening.copies import plant
from kit.documents import Run
from kit.encryption.copies import (
    LONG,
    WINDOW,
    Noted,
    Secret,
    find_shorts,
    find_windows,
    find_windows_by_reference,
    is_marked,
    marks_of,
    set_marks,
    with_marks,
)
from kit.encryption.keys import DataKey, KeySet, Scope
from tests import kits
from tests.commands import Outcome
from tests.end_to_end.vault import DUMP, PASSPHRASE, Vault, members, note
from tests.schemas.test_reports import validate

TEXT = 'Sie sagte: "Die Zahlen für das dritte Quartal\nsind noch nicht öffentlich" — und ging.'
SHORT = "nur elf Zei"


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault(tmp_path)


def searched(vault: Vault, found: dict[str, bytes], *options: object) -> Outcome:
    """Seal the notes of these members, and search the result."""
    path = vault.encrypted(vault.kit(found))
    outcome = vault.proving(path, "--deep", "--json", *options, passphrase=PASSPHRASE)
    validate("verify-report", outcome.json)
    shown = outcome.out + outcome.err
    assert not any(text in shown for text in (TEXT[10:40], json.dumps(TEXT)[10:40], SHORT)), shown
    return outcome


def notes(*more: dict[str, Any]) -> dict[str, bytes]:
    return members({"notes": [note(0, body=TEXT), note(1, body=SHORT), *more]})


def places(outcome: Outcome) -> dict[tuple[str, str | None], tuple[int, int]]:
    found = outcome.json["copies"]["places"]
    return {(one["path"], one["field"]): (one["copies"], one["equal"]) for one in found}


def test_a_kit_without_copies_is_told_so(vault: Vault) -> None:
    outcome = searched(vault, notes(note(2, body="another one, of more than thirty-two bytes")), "--most-copies", 0)
    assert (outcome.code, outcome.json["copies"]["values"], places(outcome)) == (0, 3, {})
    (line,) = [one for one in outcome.json["obligations"] if one["name"] == "copies of sealed values in the clear"]
    assert (line["number"], line["status"]) == (7, "checked")


def test_copies_are_named_by_collection_and_path_wherever_they_are(vault: Vault) -> None:
    plain, escaped = TEXT.encode(), json.dumps(TEXT)[1:-1].encode()
    found = notes(note(2, body="x", title=f"he wrote {TEXT[20:60]}", deeper={"a": [{"b": TEXT}, SHORT, f"{SHORT}!"]}))
    drafts = [{"_id": n, "raw": plain[n:]} for n in range(3)] + [{"_id": 9, "text": json.dumps({"quoted": TEXT})}]
    found[f"{DUMP}/drafts.bson.gz"] = gzip.compress(kits.collection(drafts))
    found["notes.txt"] = b"-" * (1 << 14) + plain[30:65] + b"-" * 99 + escaped[:40] + b"-" * 5 + SHORT.encode()
    outcome = searched(vault, found)
    assert outcome.code == 0, outcome
    assert places(outcome) == {
        (f"{DUMP}/notes.bson", "title"): (1, 0),
        (f"{DUMP}/notes.bson", "deeper.a[].b"): (1, 0),
        (f"{DUMP}/notes.bson", "deeper.a[]"): (0, 1),
        (f"{DUMP}/drafts.bson.gz", "raw"): (3, 0),
        (f"{DUMP}/drafts.bson.gz", "text"): (1, 0),
        ("notes.txt", None): (2, 0),
    }
    (other,) = [one for one in outcome.json["copies"]["places"] if one["path"] == "notes.txt"]
    assert other["examples"][0] in {f"byte {(1 << 14) + at:,}" for at in range(8)}
    text = vault.proving(vault.kits / "out.tar.zst", "--deep", passphrase=PASSPHRASE)
    assert "8 copies of 32 bytes or more in the clear, most in notelett.drafts raw (3)" in text.out


def test_more_copies_than_permitted_refuse_the_kit(vault: Vault) -> None:
    found = notes(note(2, title=TEXT[:40]))
    outcome = searched(vault, found, "--most-copies", 0)
    assert outcome.code == 11
    assert "at most 0 may be" in outcome.json["error"]["what"]
    assert "OFFLINE_KIT_FIELDS_ENCRYPTED" not in outcome.json["levels"]
    allowed = vault.proving(vault.kits / "out.tar.zst", "--deep", "--most-copies", 1, passphrase=PASSPHRASE)
    assert allowed.code == 0


def test_the_page_names_them_too(vault: Vault, tmp_path: Path) -> None:
    searched(vault, notes(note(2, title=TEXT[:40])), "--html", tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "Copies of 32 bytes" in page
    assert "most in notelett.notes title (1)" in page
    assert TEXT[:30] not in page


def test_a_limit_needs_what_the_search_needs(vault: Vault) -> None:
    path = vault.encrypted()
    for options, passphrase in ((("--most-copies", 0), PASSPHRASE), (("--deep", "--most-copies", 0), None)):
        outcome = vault.proving(path, *options, passphrase=passphrase)
        assert outcome.code == 64
        assert "--most-copies needs --deep and --keyring" in outcome.err
    assert vault.verify(path, options=("--deep", "--most-copies", 0)).code == 64


def test_all_that_is_planted_is_found_and_nothing_where_nothing_is(tmp_path: Path) -> None:
    assert plant(tmp_path, 30, seed=7) == (0, 30, 30)


def test_without_keys_nothing_is_searched_for(vault: Vault) -> None:
    assert vault.proving(vault.encrypted(), "--deep", "--json").json.get("copies") is None


SECRET = Secret.of(
    KeySet(
        scopes={},
        opening={
            "a": DataKey(
                dek_id="a", scope=Scope(product="p", context="c", owner="o"), mek_version=1, secret=bytes(range(32))
            )
        },
        sealing={},
        mek_versions=1,
    )
)


@given(st.binary(min_size=LONG, max_size=200), st.data())
def test_any_32_bytes_in_a_row_are_found_and_what_is_found_is_there(text: bytes, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text) - LONG))
    copy = text[start : data.draw(st.integers(start + LONG, len(text)))]
    hay = data.draw(st.binary(max_size=60)) + copy + data.draw(st.binary(max_size=60))
    noted, bits = Noted(), bytearray(1 << 13)
    noted.note(text, SECRET)
    set_marks(bits, noted.marks)
    windows = [hay[at : at + WINDOW] for at in find_windows(hay, SECRET, bytes(bits))]
    found = [window for window in windows if SECRET.digest(window) in set(noted.digests)]
    assert found
    assert all(any(window in spelled for spelled in spellings(text)) for window in found)


def spellings(text: bytes) -> list[bytes]:
    try:
        decoded = text.decode()
    except UnicodeDecodeError:
        return [text]
    return [text, *(json.dumps(decoded, ensure_ascii=ascii_only).encode() for ascii_only in (True, False))]


@given(st.binary(max_size=300))
def test_a_rolled_mark_is_that_of_its_window(data: bytes) -> None:
    bits = bytearray(1 << 13)
    starts = range(max(0, len(data) - WINDOW + 1))
    set_marks(bits, [SECRET.mark(data[at : at + WINDOW]) for at in starts])
    assert list(find_windows(data, SECRET, bytes(bits))) == list(starts)


@given(st.lists(st.binary(max_size=60), max_size=6), st.binary(max_size=300))
def test_the_core_finds_what_the_reference_finds(texts: list[bytes], data: bytes) -> None:
    bits = with_marks(bytes(1 << 5), marks_of(texts, SECRET))
    expected = bytearray(1 << 5)
    set_marks(expected, map(SECRET.mark, texts))
    assert bits == expected
    assert list(find_windows(data, SECRET, bits)) == list(find_windows_by_reference(data, SECRET, bits))
    run = Run.of([bson.encode({"a": [{"b": text}]}) for text in [*texts, data, b""]])
    shorts = find_shorts(run, SECRET, bits)
    marked = {n for n, text in enumerate([*texts, data]) if 0 < len(text) < LONG and is_marked(text, SECRET, bits)}
    assert shorts is None or shorts == marked


def test_the_secrets_are_not_shown_and_a_window_is_no_whole_text() -> None:
    assert repr(SECRET) == "Secret()"
    assert SECRET.digest(b"a" * WINDOW) != SECRET.whole_digest(b"a" * WINDOW)

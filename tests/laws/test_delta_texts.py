"""Laws of deltas between texts: every byte comes back, in regular texts and in any others."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, example, given, settings, strategies as st

from kit.delta.texts import FACTOR, make_carrier, restore_piece
from kit.engine.executors import InlineExecutor
from kit.engine.pipeline import Workers
from kit.engine.reading import cut_documents
from kit.errors import ArchiveError
from kit.values import CollectionFormat, Limits
from kit.verbs.delta.documents import DocumentStore, match_documents
from kit.verbs.delta.joining import join_segments
from kit.verbs.delta.segments import encode_segment, plan_segments
from tests.documents.strategies import DOCUMENTS
from tests.documents.test_json_view import JSON_DOCUMENTS
from tests.tiers import examples

INLINE = Workers(executor=InlineExecutor(), budget=1 << 20)
STYLES: list[dict[str, Any]] = [
    {},
    {"separators": (",", ":")},
    {"indent": 2},
    {"indent": "\t", "separators": (",", " : ")},
]
MARKS = st.text(st.sampled_from('{}[],:"a1 \n\\t-.'), max_size=20).map(str.encode)


def text(document: Any, style: dict[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=False, **style).encode()


def is_taken_apart(carrier: bytes) -> bool:
    return b"\x03members\0" in carrier


@given(JSON_DOCUMENTS, st.sampled_from(STYLES), st.sampled_from([b"", b"\n", b" \r\n"]))
def test_a_text_in_one_style_is_taken_apart_and_comes_back(document: Any, style: dict[str, Any], end: bytes) -> None:
    piece = text(document, style) + end
    carrier = make_carrier(piece)
    assert restore_piece(carrier, most=len(piece)) == piece
    assert is_taken_apart(carrier)


@given(st.sampled_from(STYLES))
def test_what_a_patch_appended_is_taken_apart_in_any_style(style: dict[str, Any]) -> None:
    piece = text({"_id": 1, "a": [1, {"b": []}]}, style)[:-1] + b',"rawLinkset":{"aliases":["x","y"]}}\n'
    carrier = make_carrier(piece)
    assert is_taken_apart(carrier)
    assert restore_piece(carrier, most=len(piece)) == piece


@given(MARKS, MARKS)
@example(b"", b"]")
@example(b"", b'{"a":-0,"a":01,"b":1e5}')
@example(b"", b'{"a":' * 300 + b"1" + b"}" * 300)
def test_any_bytes_come_back(before: bytes, piece: bytes) -> None:
    for one in (piece, before + b'{"a":' + piece + b"}"):
        if one:
            carrier = make_carrier(one)
            assert restore_piece(carrier, most=len(one)) == one
            assert len(carrier) <= FACTOR * len(one)


STRINGS = ("before", "after", "text", "colon", "comma", "inside", "line", "step", "other")


@given(st.dictionaries(st.sampled_from(STRINGS), MARKS), DOCUMENTS, DOCUMENTS, st.integers(0, 200))
def test_whatever_is_no_carrier_is_an_error_or_a_piece_of_bounded_size(
    strings: dict[str, bytes], members: bytes, added: bytes, most: int
) -> None:
    body = b"".join(
        b"\2%b\0%b%b\0" % (name.encode(), (len(value) + 1).to_bytes(4, "little"), value)
        for name, value in strings.items()
    )
    body += b"\3members\0" + members + b"\3added\0" + added
    carrier = (len(body) + 5).to_bytes(4, "little") + body + b"\0"
    for one in (carrier, members, carrier[:-1]):
        try:
            assert len(restore_piece(one, most=most)) <= most
        except ArchiveError:
            continue


@st.composite
def two_collections(draw: st.DrawFn) -> tuple[list[bytes], list[bytes]]:
    """Give the texts of a base and of a target: kept, moved, edited, written in another style, new."""
    documents: list[Any] = draw(st.lists(JSON_DOCUMENTS, max_size=5))
    documents = [{**one, "_id": number} for number, one in enumerate(documents)]
    edited = [{**one, "more": 1} for one in documents[::2]]
    new = draw(st.lists(st.sampled_from([*documents, *edited]), max_size=5)) if documents else []
    styles: st.SearchStrategy[dict[str, Any]] = st.sampled_from(STYLES[:2])
    return [text(one, draw(styles)) for one in documents], [text(one, draw(styles)) for one in new]


def collection(format_: CollectionFormat, texts: list[bytes], glue: bytes) -> bytes:
    if format_ is CollectionFormat.NDJSON:
        return b"".join(one + b"\n" for one in texts)[: None if glue == b"," else -1]
    return b" [" + (glue + b" ").join(texts) + b"]\n"


@settings(max_examples=examples(40), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(two_collections(), st.sampled_from(["ndjson", "json"]), st.sampled_from([b",", b" ,\n"]))
def test_a_collection_comes_back_from_its_base_and_what_is_said_of_it(
    two: tuple[list[bytes], list[bytes]], name: str, glue: bytes
) -> None:
    format_ = CollectionFormat(name)
    base, target = (collection(format_, texts, glue) for texts in two)
    with tempfile.TemporaryDirectory() as folder:
        old, new = (DocumentStore(Path(folder), side, format_) for side in ("base", "target"))
        for store, data in ((old, base), (new, target)):
            store.put(cut_documents(format_, [data], Limits()))
            assert store.read(0, store.count) == data
        segments = [encode_segment(plan) for plan in plan_segments(old, new, match_documents(old, new))]
        assert b"".join(join_segments(old, segments, most=len(target), workers=INLINE)) == target
        old.close()
        new.close()

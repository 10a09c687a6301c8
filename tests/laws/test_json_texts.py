"""Splicing of JSON texts: what was added is cut out again, and what stands there is what was changed in the view."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import bson
import pytest
from hypothesis import given, settings, strategies as st

from kit.documents import Run, Texts, append, replace as replace_element, without_last
from kit.documents.json_runs import json_lines
from kit.documents.json_text import append as append_text, replace_values, spell_element
from kit.documents.json_view import value_places, view, view_value
from kit.engine.texts import prove_texts, respell, without, without_appended_text
from kit.errors import BsonError, ContentError, DigestError
from kit.values import Limits
from tests.documents.strategies import DOCUMENTS, spell
from tests.documents.test_json_view import JSON_DOCUMENTS, VALUES

LIMITS = Limits()
NAME = "added"


def element(value: Any, name: str = NAME) -> bytes:
    return bson.encode({name: value})[4:-1]


def run_of(*texts: str) -> Run:
    (run,) = json_lines(["\n".join(texts).encode()], limits=LIMITS)
    return run


def appended(run: Run, value: Any, *numbers: int) -> tuple[Run, list[bool]]:
    """Return a run with an element appended to some of its views, and its texts changed accordingly."""
    documents = [append(one, element(value)) if at in numbers else one for at, one in enumerate(run)]
    touched = [at in numbers for at in range(len(run))]
    return respell(run, replace(Run.of(documents), first=run.first), touched), touched


@given(JSON_DOCUMENTS, VALUES, st.sampled_from([None, 1]))
def test_a_text_with_an_element_stands_for_the_view_with_it(document: Any, value: Any, indent: int | None) -> None:
    text = json.dumps(document, indent=indent, ensure_ascii=False).encode()
    before = view(text, limits=LIMITS)
    longer = append_text(text, spell_element(element(value)), is_empty=not document)
    after = append(before, element(value))
    assert view(longer, limits=LIMITS) == after
    assert longer.startswith(text[:-1])
    assert without_appended_text(longer, after) == text
    assert json.loads(longer) == {**document, NAME: value}


@given(DOCUMENTS)
def test_an_element_is_spelled_so_that_it_is_read_back_or_not_at_all(document: bytes) -> None:
    value = b"\x03added\0" + document
    try:
        text = b"{%b}" % spell_element(value)
        read = view(text, limits=LIMITS)
    except BsonError:
        return  # a type that no text has, or names that mean something else there
    if b'"$' not in text:
        assert read == append(b"\5\0\0\0\0", value)


@given(st.lists(JSON_DOCUMENTS, min_size=1, max_size=5), VALUES, st.data())
def test_only_the_chosen_texts_change_and_change_back(documents: Any, value: Any, data: Any) -> None:
    run = run_of(*(json.dumps(one) for one in documents))
    chosen = data.draw(st.sets(st.integers(0, len(documents) - 1)))
    after, touched = appended(run, {"a": value}, *chosen)
    prove_texts(run, after, touched, LIMITS)
    for number, (old, new) in enumerate(zip(run.originals, after.originals, strict=True)):
        assert (old == new) == (number not in chosen)
    back, count = without(after, touched, NAME)
    assert (back.texts, back.data, count) == (run.texts, run.data, len(chosen))


@settings(max_examples=30)
@given(JSON_DOCUMENTS, VALUES, st.data())
def test_a_value_in_the_place_of_another_is_all_that_changes_in_any_spelling(
    document: Any, value: Any, data: Any
) -> None:
    text = spell(document, data)
    run = run_of(text)
    name = data.draw(st.sampled_from([*document, None]))
    if name in {"id", "_id", None}:
        return
    new = element(value, "")
    made = respell(run, Run.of([replace_element(run.data, [name], new[0], new[2:])]), [True])
    prove_texts(run, made, [True], LIMITS)
    (old,), (changed,) = run.originals, made.originals
    assert view(changed, limits=LIMITS) == made.data
    was, now = value_places(old), value_places(changed)
    for other, (start, end) in was.items():
        if other != name.encode():
            assert old[start:end] == changed[slice(*now[other])]
    # The former text in that place gives back every byte.
    start, end = was[name.encode()]
    assert replace_values(changed, [(now[name.encode()], old[start:end])]) == old


@settings(max_examples=30)
@given(VALUES, st.data())
def test_the_text_of_a_value_stands_for_it_with_nothing_around_it(value: Any, data: Any) -> None:
    text = spell(value, data).strip().encode()
    kind, found = view_value(text, limits=LIMITS)
    assert bson.encode({"": value})[4:-1] == b"%c\0%b" % (kind, found)
    for other in (b" " + text, text + b" ", text + b',"a":1', text + b"}", b""):
        with pytest.raises(BsonError):
            view_value(other, limits=LIMITS)


class TestProof:
    def test_other_blanks_are_refused(self) -> None:
        run = run_of('{"a": 1}', '{"b":2}')
        after, touched = appended(run, {}, 0)
        assert after.texts is not None
        for old, new in ((b'{"a": 1', b'{"a":  1'), (b'{"b":2}', b'{"b": 2}'), (b"}\n{", b"} \n{")):
            data = after.texts.data.replace(old, new)
            starts = [data.index(b"{"), data.index(b'{"b"')]
            ends = [data.index(b"}}") + 2, len(data)]
            other = replace(after, texts=Texts(data=data, spans=tuple(zip(starts, ends, strict=True))))
            with pytest.raises(DigestError):
                prove_texts(run, other, touched, LIMITS)

    def test_another_text_than_the_view_is_refused(self) -> None:
        run = run_of('{"a": 1}')
        after, touched = appended(run, {"b": 1}, 0)
        with pytest.raises(DigestError, match="represent other documents"):
            prove_texts(run, replace(after, data=append(run.data, element({"b": 2}))), touched, LIMITS)

    @pytest.mark.parametrize("other", [{}, {"b": 1}, {"x": 1, "a": {"b": 1}}])
    def test_a_name_that_is_gone_or_new_within_has_no_text(self, other: Any) -> None:
        run = run_of('{"a": {"b": 1}}')
        with pytest.raises(ContentError, match="has no text here"):
            respell(run, Run.of([bson.encode(other)]), [True])

    def test_an_id_that_only_the_view_has_is_not_replaced(self) -> None:
        with pytest.raises(ContentError, match="has no text here"):
            respell(run_of('{"id": 1}'), Run.of([bson.encode({"_id": 2, "id": 1})]), [True])

    @pytest.mark.parametrize(
        ("old", "new"), [(b'"x" :9', b'"x": 9'), (b'{ "a"', b'{"a"'), (b'"e":"\\u00e9"', '"e":"\u00e9"'.encode())]
    )
    def test_more_than_the_replaced_value_is_found(self, old: bytes, new: bytes) -> None:
        run = run_of('{ "a":{"x" :1}, "e":"\\u00e9"}')
        after = respell(run, Run.of([bson.encode({"a": {"x": 9}, "e": "\u00e9"})]), [True])
        prove_texts(run, after, [True], LIMITS)
        assert after.texts is not None
        assert old in after.texts.data
        data = after.texts.data.replace(old, new)
        with pytest.raises(DigestError):
            prove_texts(run, replace(after, texts=Texts(data=data, spans=((0, len(data)),))), [True], LIMITS)

    def test_a_type_that_no_text_has_is_refused(self) -> None:
        with pytest.raises(ContentError, match="no spelling"):
            appended(run_of("{}"), bson.ObjectId(), 0)


def test_an_element_that_no_patch_wrote_stays() -> None:
    run = run_of(
        '{"a":1,"added": {}}', '{"a":1,"added":{}}', '{"a":1,"added":1}', '{"added":{},"a":1}', "{}", '{"added":{}}'
    )
    back, count = without(run, [True] * 6, NAME)
    texts = [b'{"a":1,"added": {}}', b'{"a":1}', b'{"a":1,"added":1}', b'{"added":{},"a":1}', b"{}", b"{}"]
    assert (list(back.originals), count) == (texts, 2)
    assert [without_last(one, NAME) is None for one in back] == [False, True, False, True, True, True]

"""Runs of documents that are kept as text: what was changed in their views is carried to the text, proven and undone.

A transform sees the views and changes them. Here the same change is made to the text, and nothing else. Then the text
is parsed again and must represent exactly the changed view, and without the change it must be the text that was read.
Laws: a document whose view does not change keeps its text; the bytes between documents never change.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import accumulate

from kit.documents import Element, Kind, Run, Texts, core, document_name, elements
from kit.documents.json_text import append, is_empty, replace_values, spell_element, spell_value, without_last
from kit.documents.json_view import value_places, views
from kit.errors import BsonError, ContentError, DigestError, KitError
from kit.values import Limits

_HINT = "nothing was signed, and the kit is as it was; this is a fault of the program or of the machine: report it"


def respell(run: Run, after: Run, touched: Sequence[bool]) -> Run:
    """Return ``after``, the views of a run as they are to be, with the texts of the run changed in the same way.

    Raises:
        ContentError: A view changed in a way that has no text; names the document's ordinal.
    """
    texts = _texts(run)
    places = _added_to_all(run, after, touched)
    changed: dict[int, bytes] = {}
    if places is None:
        for number in _numbers(touched):
            start, end = texts.spans[number]
            with _named(run, number):
                changed[number] = _respell(texts.data[start:end], run.document(number), after.document(number))
        return replace(after, texts=texts.replaced(changed))
    for number, member in zip(_numbers(touched), _spell_all(run, after, places, touched), strict=True):
        start, end = texts.spans[number]
        changed[number] = append(texts.data[start:end], member, is_empty=is_empty(run.document(number)))
    return replace(after, texts=texts.replaced(changed))


def _numbers(touched: Sequence[bool]) -> list[int]:
    return [number for number, was_touched in enumerate(touched) if was_touched]


def _added_to_all(run: Run, after: Run, touched: Sequence[bool]) -> list[tuple[int, int]] | None:
    """Return where, in the views after, the elements are that were added to each document that was touched.

    None if something else was done to one.
    """
    places: list[tuple[int, int]] = []
    for number in _numbers(touched):
        before, document = run.document(number), after.document(number)
        last = len(before) - 1
        if len(document) <= len(before) or document[4:last] != before[4:last]:
            return None
        end = after.ends[number]
        places.append((end - len(document) + last, end - 1))
    return places


def _spell_all(run: Run, after: Run, places: Sequence[tuple[int, int]], touched: Sequence[bool]) -> Sequence[bytes]:
    found = core.json_spell(after.data, places) if core.json_spell is not None else None
    if found is not None:
        return found
    members: list[bytes] = []
    for number, (start, end) in zip(_numbers(touched), places, strict=True):
        with _named(run, number):
            members.append(spell_element(after.data[start:end]))
    return members


@contextmanager
def _named(run: Run, number: int) -> Iterator[None]:
    try:
        yield
    except BsonError as error:
        raise ContentError(error.what, where=_where(run, number)) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class _Changes:
    """How a view differs from an earlier one."""

    replaced: Mapping[tuple[bytes, ...], Element]
    """By path: the elements that have another value, in the view after."""
    added: Sequence[Element]
    """Those at its end that were not there."""


def _compare(before: bytes, after: bytes) -> _Changes:
    """Return how a view differs from an earlier one; a document that has the same names is compared member by member.

    Raises:
        BsonError: It lacks an element, or has one anywhere but at the end of the top level.
    """
    replaced: dict[tuple[bytes, ...], Element] = {}
    added: list[Element] = []
    todo: list[tuple[tuple[bytes, ...], int, int]] = [((), 0, 0)]
    while todo:
        path, at, then = todo.pop()
        olds, news = list(elements(before, at)), list(elements(after, then))
        if [one.name for one in news[: len(olds)]] != [one.name for one in olds] or (path and len(news) > len(olds)):
            raise BsonError("a change other than of values, or an element at the end, has no text here")
        if not path:
            added = news[len(olds) :]
        for old, new in zip(olds, news, strict=False):
            if old.kind == new.kind and before[old.value : old.end] == after[new.value : new.end]:
                continue
            if old.kind == new.kind == Kind.DOCUMENT and _names(before, old) == _names(after, new):
                todo.append(((*path, old.name), old.value, new.value))
            else:
                replaced[*path, old.name] = new
    return _Changes(replaced=replaced, added=added)


def _names(document: bytes, one: Element) -> list[bytes]:
    return [inner.name for inner in elements(document, one.value)]


def _respell(text: bytes, before: bytes, after: bytes) -> bytes:
    """Return the text of a document, changed as its view was."""
    changes = _compare(before, after)
    values = {path: spell_value(after, one.kind, one.value, one.end) for path, one in changes.replaced.items()}
    text = replace_values(text, [(_place(text, path), new) for path, new in values.items()])
    empty = is_empty(before)
    for one in changes.added:
        text = append(text, spell_element(after[one.start : one.end]), is_empty=empty)
        empty = False
    return text


def _place(text: bytes, path: tuple[bytes, ...]) -> tuple[int, int]:
    """Return where the value at a path begins and ends.

    Raises:
        BsonError: It is not there: it is the ``_id`` that a view has instead of the ``id``.
    """
    at, end = 0, len(text)
    for step in path:
        found = value_places(text, at).get(step)
        if found is None:
            raise BsonError("a change of what the text does not have, has no text here")
        at, end = found
    return at, end


def prove_texts(run: Run, after: Run, touched: Sequence[bool], limits: Limits) -> None:
    """Check the texts of a result by what is in them.

    Raises:
        DigestError: A text does not represent its view, or is another than the one that was read with the change.
    """
    old, new = _texts(run), _texts(after)
    try:
        is_same = b"".join(views(new.data, new.spans, limits=limits)) == after.data
        undone = _undo_all(run, after, touched) if is_same else {}
    except DigestError:
        raise
    except KitError as error:
        raise DigestError(f"came out as texts that cannot be read: {error.what}", hint=_HINT) from error
    if not is_same:
        raise DigestError("came out as texts that represent other documents", hint=_HINT)
    if new.replaced(undone) != old:
        raise DigestError("came out as other texts than those that were read, with what was added", hint=_HINT)


def _undo_all(run: Run, after: Run, touched: Sequence[bool]) -> dict[int, bytes]:
    """Return the texts of what was touched as they were, by number."""
    old, new = _texts(run), _texts(after)
    places = _added_to_all(run, after, touched)
    members = _spell_all(run, after, places, touched) if places is not None else None
    undone: dict[int, bytes] = {}
    for at, number in enumerate(_numbers(touched)):
        start, end = new.spans[number]
        text, before = new.data[start:end], run.document(number)
        if members is not None:
            earlier = without_last(text, members[at], is_only=is_empty(before))
        else:
            was_at, was_end = old.spans[number]
            earlier = _undo(text, after.document(number), before, old.data[was_at:was_end])
        if earlier is None:
            raise DigestError("came out as another text", where=_where(run, number), hint=_HINT)
        undone[number] = earlier
    return undone


def _undo(text: bytes, document: bytes, before: bytes, was: bytes) -> bytes | None:
    """Return a text without what was added, its replaced values as in ``was``; None where it ends in other bytes.

    That a value holds the one that it replaced is not shown by this, but by what opens it.
    """
    changes = _compare(before, document)
    for number in reversed(range(len(changes.added))):
        one = changes.added[number]
        earlier = without_last(
            text, spell_element(document[one.start : one.end]), is_only=number == 0 and is_empty(before)
        )
        if earlier is None:
            return None
        text = earlier
    places = ((_place(text, path), _place(was, path)) for path in changes.replaced)
    return replace_values(text, [(now, was[start:end]) for now, (start, end) in places])


def without_appended_text(text: bytes, document: bytes) -> bytes | None:
    """Return a text without its last member, where a patch has written that; None where it is not known to be so."""
    top = list(elements(document))
    if not top:
        return None
    last, count = top[-1], len(top)
    return without_last(text, spell_element(document[last.start : last.end]), is_only=count == 1)


def without(run: Run, chosen: Sequence[bool], name: str) -> tuple[Run, int]:
    """Return a run without the last element of chosen documents, and of how many it was taken away.

    Only an element of this name that is a document is, and only where its text is the one that a patch writes.
    """
    texts = _texts(run)
    earlier: dict[int, bytes] = {}
    documents = list(run)
    for number, is_chosen in enumerate(chosen):
        if not is_chosen:
            continue
        top = list(elements(documents[number]))
        start, end = texts.spans[number]
        if not top or top[-1].name != name.encode() or top[-1].kind != Kind.DOCUMENT:
            continue
        last = top[-1]
        text = without_appended_text(texts.data[start:end], documents[number])
        if text is not None:
            earlier[number] = text
            body = documents[number][4 : last.start]
            documents[number] = (len(body) + 5).to_bytes(4, "little") + body + b"\0"
    data, ends = b"".join(documents), tuple(accumulate(map(len, documents)))
    return replace(run, data=data, ends=ends, texts=texts.replaced(earlier)), len(earlier)


def _texts(run: Run) -> Texts:
    if run.texts is None:
        raise DigestError("a run has no texts", hint=_HINT)
    return run.texts


def _where(run: Run, number: int) -> str:
    return f'document {run.first + number:,} (_id "{document_name(run.document(number))}")'

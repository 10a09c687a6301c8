"""Runs of documents that are kept as text: what was changed in their views is carried to the text, proven and undone.

A transform sees the views and changes them. Here the same change is made to the text, and nothing else. Then the text
is parsed again and must represent exactly the changed view, and without the change it must be the text that was read.
Laws: a document whose view does not change keeps its text; the bytes between documents never change.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import accumulate

from kit.documents import Kind, Run, Texts, core, document_name, elements
from kit.documents.json_text import append, is_empty, spell_element, without_last
from kit.documents.json_view import views
from kit.errors import BsonError, ContentError, DigestError, KitError
from kit.values import Limits

_HINT = "nothing was signed, and the kit is as it was; this is a fault of the program or of the machine: report it"


def respell(run: Run, after: Run, touched: Sequence[bool]) -> Run:
    """Return ``after``, the views of a run as they are to be, with the texts of the run changed in the same way.

    Raises:
        ContentError: A view changed in a way that has no text; names the document's ordinal.
    """
    texts = _texts(run)
    places = list(_added(run, after, touched))
    changed: dict[int, bytes] = {}
    for number, member in zip(_numbers(touched), _spell_all(run, after, places, touched), strict=True):
        start, end = texts.spans[number]
        changed[number] = append(texts.data[start:end], member, is_empty=is_empty(run.document(number)))
    return replace(after, texts=_with(texts, changed))


def _numbers(touched: Sequence[bool]) -> list[int]:
    return [number for number, was_touched in enumerate(touched) if was_touched]


def _added(run: Run, after: Run, touched: Sequence[bool]) -> Iterator[tuple[int, int]]:
    """Yield where, in the views after, the elements are that were added to each document that was touched.

    Raises:
        ContentError: Something else was done to one.
    """
    for number in _numbers(touched):
        before, document = run.document(number), after.document(number)
        last = len(before) - 1
        if len(document) <= len(before) or document[4:last] != before[4:last]:
            what = "a change other than an element at the end has no text here"
            raise ContentError(what, where=_where(run, number))
        end = after.ends[number]
        yield end - len(document) + last, end - 1


def _spell_all(run: Run, after: Run, places: Sequence[tuple[int, int]], touched: Sequence[bool]) -> Sequence[bytes]:
    found = core.json_spell(after.data, places) if core.json_spell is not None else None
    if found is not None:
        return found
    members: list[bytes] = []
    for number, (start, end) in zip(_numbers(touched), places, strict=True):
        try:
            members.append(spell_element(after.data[start:end]))
        except BsonError as error:
            raise ContentError(error.what, where=_where(run, number)) from error
    return members


def prove_texts(run: Run, after: Run, touched: Sequence[bool], limits: Limits) -> None:
    """Check the texts of a result by what is in them.

    Raises:
        DigestError: A text does not represent its view, or is another than the one that was read with the change.
    """
    old, new = _texts(run), _texts(after)
    try:
        is_same = b"".join(views(new.data, new.spans, limits=limits)) == after.data
        members = _spell_all(run, after, list(_added(run, after, touched)), touched)
    except KitError as error:
        raise DigestError(f"came out as texts that cannot be read: {error.what}", hint=_HINT) from error
    if not is_same:
        raise DigestError("came out as texts that represent other documents", hint=_HINT)
    undone: dict[int, bytes] = {}
    for number, member in zip(_numbers(touched), members, strict=True):
        start, end = new.spans[number]
        earlier = without_last(new.data[start:end], member, is_only=is_empty(run.document(number)))
        if earlier is None:
            raise DigestError("came out as another text", where=_where(run, number), hint=_HINT)
        undone[number] = earlier
    if _with(new, undone) != old:
        raise DigestError("came out as other texts than those that were read, with what was added", hint=_HINT)


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
    return replace(run, data=data, ends=ends, texts=_with(texts, earlier)), len(earlier)


def _with(texts: Texts, changed: dict[int, bytes]) -> Texts:
    """Return texts, some of them replaced; what is between them stays."""
    if not changed:
        return texts
    parts: list[bytes] = []
    spans: list[tuple[int, int]] = []
    at = shift = 0
    for number, (start, end) in enumerate(texts.spans):
        new = changed.get(number)
        if new is None:
            spans.append((start + shift, end + shift))
            continue
        parts += texts.data[at:start], new
        spans.append((start + shift, start + shift + len(new)))
        shift += len(new) - (end - start)
        at = end
    parts.append(texts.data[at:])
    return Texts(data=b"".join(parts), spans=tuple(spans))


def _texts(run: Run) -> Texts:
    if run.texts is None:
        raise DigestError("a run has no texts", hint=_HINT)
    return run.texts


def _where(run: Run, number: int) -> str:
    return f'document {run.first + number:,} (_id "{document_name(run.document(number))}")'

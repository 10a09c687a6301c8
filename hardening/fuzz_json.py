"""What hardening/fuzz attacks of collections in JSON: texts are read strictly, seen alike, changed in one place.

An input is a member. Laws: the bytes of all runs are the member; core and reference see the same of each text; a text
with an element added represents the view with it, and without it is the text again.
"""

# ruff: noqa: S101  the laws

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from kit.documents import Run, append, core
from kit.documents.json_runs import json_array, json_lines
from kit.documents.json_view import view
from kit.engine.texts import prove_texts, respell, without
from kit.errors import BsonError, KitError
from kit.values import Limits

_LIMITS = Limits(document_bytes=1 << 16, document_elements=1 << 12)
_NAME = "added"
_ELEMENT = b"\x03added\0\x0e\0\0\0\x02a\0\x02\0\0\0x\0\0"


def texts(data: bytes) -> None:
    """Law: see above."""
    failure: KitError | None = None
    for read in (json_lines, json_array):
        try:
            found: list[Run] = list(read([data], limits=_LIMITS, target=256))
        except KitError as error:
            failure = error
            continue
        assert b"".join(run.stored for run in found) == data
        assert [run.stored for run in read(_bytes(data), limits=_LIMITS, target=256)] == [run.stored for run in found]
        for run in found:
            _check_run(run)
        return
    if failure is not None:
        raise failure


def _bytes(data: bytes) -> Iterator[bytes]:
    return (data[at : at + 7] for at in range(0, len(data), 7))


def _check_run(run: Run) -> None:
    assert run.texts is not None
    assert list(run) == [view(text, limits=_LIMITS) for text in run.originals]
    if core.json_views is not None:
        seen = core.json_views(run.texts.data, run.texts.spans, (1 << 16, 200, 1 << 12))
        assert seen is not None
        documents = [b"" if number in set(seen[2]) else document for number, document in enumerate(run)]
        assert seen[0] == b"".join(documents)
    touched = [b"\x03added\0" not in document for document in run]
    try:
        longer = Run.of([append(one, _ELEMENT) if flag else one for one, flag in zip(run, touched, strict=True)])
    except BsonError:
        return
    after = respell(run, replace(longer, first=run.first, offset=run.offset), touched)
    prove_texts(run, after, touched, Limits())
    back, count = without(after, touched, _NAME)
    assert (back.texts, back.data, count) == (run.texts, run.data, sum(touched))


def seeds() -> list[bytes]:
    """Return members that are sound, and some that are not."""
    plain: list[Any] = [
        b'{"_id":1,"a":[1,-0.5e3,"\\u00e9\\ud83d\\ude00",{"b":null}]}\r\n{"id":{"$oid":"0123456789abcdef01234567"}}',
        b'[{"_id" : {"$date":"2020-02-29T23:59:59.999Z"} , "c":{}} ,\n{}]\n',
        b'{"a":{"$numberLong":"1"},"d":{"$binary":{"base64":"AA==","subType":"00"}},"added":1}\n',
        b'{"a":1,"a":2}\n',
        b"[]",
    ]
    return plain

from __future__ import annotations

import pickle

from kit.errors import ArchiveError, LimitError


def test_an_error_prints_place_then_fault() -> None:
    assert str(ArchiveError("is cut short", where="a.tar")) == "a.tar: is cut short"
    assert str(ArchiveError("is cut short")) == "is cut short"


def test_places_read_outermost_first() -> None:
    assert str(ArchiveError("is cut short", where="offset 3").inside("a.tar")) == "a.tar: offset 3: is cut short"
    assert str(ArchiveError("is cut short").inside("a.tar")) == "a.tar: is cut short"


def test_an_error_crosses_process_borders_whole() -> None:
    error = LimitError("too big", where="a", hint="raise it")
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert (type(copy), copy.what, copy.where, copy.hint) == (LimitError, "too big", "a", "raise it")

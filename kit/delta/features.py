"""Features by which similar documents are found quickly: the first texts of a document, and its first links.

They are looked for in every document of a base. Laws: a feature depends on the bytes alone; :func:`note` counts exactly
the :func:`features` that it is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence

from kit.documents import core

KEPT = 4
"""Latest documents kept for each feature."""
_LINKS, _LINK_BYTES = 3, 44
_MIN_TEXT, _MAX_TEXT = 24, 512
_TEXTS, _TEXTS_WITHIN = 16, 2048
"""The first texts, and those within the first bytes, identify documents as well as all do, at less cost."""
_TEXT = b"\0\2"
"""What nearly always precedes the name of a string: the NUL that ends the previous value, and the type."""
_LINK = b"://"


def features(document: bytes) -> set[bytes]:
    """Return the features of a document."""
    texts = [piece for piece in document[:_TEXTS_WITHIN].split(_TEXT, _TEXTS) if _MIN_TEXT <= len(piece) <= _MAX_TEXT]
    return {*texts, *[piece[:_LINK_BYTES] for piece in document.split(_LINK, _LINKS)[1:]]}


def new_places() -> list[int]:
    """Return the record of a feature that was not found yet: a count, and :data:`KEPT` ordinals or -1."""
    return [0] + [-1] * KEPT


def note(data: bytes, ends: Sequence[int], first: int, places: dict[bytes, list[int]]) -> None:
    """Record for each feature in ``places`` how many documents have it, and the latest of them.

    Args:
        data: Documents back to back.
        ends: The offset after each.
        first: The ordinal of the first of them; ordinals only rise from call to call.
        places: By feature, its record, from :func:`new_places`.
    """
    if core.delta_features is not None:
        wanted = list(places)
        found = core.delta_features(data, ends, wanted, KEPT)
        if found is not None:
            for feature, count, latest in found:
                record = places[wanted[feature]]
                record[0] += count - len(latest)
                for document in latest:
                    _note(record, first + document)
            return
    note_by_reference(data, ends, first, places)


def note_by_reference(data: bytes, ends: Sequence[int], first: int, places: dict[bytes, list[int]]) -> None:
    """Count features as :func:`note` does, in Python: its reference."""
    ordinal = first
    start = 0
    for end in ends:
        head = data[start : min(end, start + _TEXTS_WITHIN)]
        for piece in head.split(_TEXT, _TEXTS):
            if _MIN_TEXT <= len(piece) <= _MAX_TEXT:
                _note(places.get(piece), ordinal)
        for piece in data[start:end].split(_LINK, _LINKS)[1:]:
            _note(places.get(piece[:_LINK_BYTES]), ordinal)
        ordinal += 1
        start = end


def _note(record: list[int] | None, ordinal: int) -> None:
    # Once for a document, however often it has the feature.
    if record is not None and record[1 + record[0] % KEPT] != ordinal:
        record[0] += 1
        record[1 + record[0] % KEPT] = ordinal


def is_similar(old: bytes, document: bytes) -> bool:
    """Return whether another document, not much longer, seems to hold three quarters of this one."""
    if core.delta_is_nearly is not None:
        return core.delta_is_nearly(old, document)
    return is_similar_by_reference(old, document)


def is_similar_by_reference(old: bytes, document: bytes) -> bool:
    """Return what :func:`is_similar` does."""
    if len(old) > 4 * len(document):
        return False
    known = set(old.split(b"\0"))
    # Bytes that may be missing from three quarters; the NUL that no last piece has is counted, too.
    left = len(document) + 1 - (3 * len(document) + 3) // 4
    for piece in document.split(b"\0"):
        if piece not in known:
            left -= len(piece) + 1
            if left < 0:
                return False
    return True

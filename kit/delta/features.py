"""What tells a document from others at a glance: its first texts, and the first links in it.

Looked for in every document of a base. Laws: what is given depends on
the bytes alone; :func:`note` notes of :func:`features` those that are asked for.
"""

from __future__ import annotations

from collections.abc import Sequence

from kit.documents import core

KEPT = 4
"""Documents that are remembered of each feature: the latest."""
_LINKS, _LINK_BYTES = 3, 44
_SHORTEST, _LONGEST = 24, 512
_TEXTS, _TEXTS_WITHIN = 16, 2048
"""The first texts, and those within the first bytes, tell documents apart as well as all do, and sooner."""
_TEXT = b"\0\2"
"""What stands before the name of a string, nearly always: the NUL that ends the value before, and the type."""
_LINK = b"://"


def features(document: bytes) -> set[bytes]:
    """Give the features of a document."""
    texts = [piece for piece in document[:_TEXTS_WITHIN].split(_TEXT, _TEXTS) if _SHORTEST <= len(piece) <= _LONGEST]
    return {*texts, *[piece[:_LINK_BYTES] for piece in document.split(_LINK, _LINKS)[1:]]}


def new_places() -> list[int]:
    """Give what :func:`note` notes of a feature that was met nowhere yet: a count, and :data:`KEPT` ordinals or -1."""
    return [0] + [-1] * KEPT


def note(data: bytes, ends: Sequence[int], first: int, places: dict[bytes, list[int]]) -> None:
    """Note for each feature that ``places`` has in which documents it stands: how many, and the latest of them.

    Args:
        data: Documents back to back.
        ends: The offset after each.
        first: The ordinal of the first of them; ordinals only rise from call to call.
        places: By feature, what :func:`new_places` gave.
    """
    if core.delta_features is not None:
        wanted = list(places)
        found = core.delta_features(data, ends, wanted, KEPT)
        if found is not None:
            for feature, count, latest in found:
                met = places[wanted[feature]]
                met[0] += count - len(latest)
                for document in latest:
                    _note(met, first + document)
            return
    note_by_reference(data, ends, first, places)


def note_by_reference(data: bytes, ends: Sequence[int], first: int, places: dict[bytes, list[int]]) -> None:
    """Do what :func:`note` does."""
    ordinal = first
    start = 0
    for end in ends:
        head = data[start : min(end, start + _TEXTS_WITHIN)]
        for piece in head.split(_TEXT, _TEXTS):
            if _SHORTEST <= len(piece) <= _LONGEST:
                _note(places.get(piece), ordinal)
        for piece in data[start:end].split(_LINK, _LINKS)[1:]:
            _note(places.get(piece[:_LINK_BYTES]), ordinal)
        ordinal += 1
        start = end


def _note(met: list[int] | None, ordinal: int) -> None:
    # Once for a document, however often the feature stands in it.
    if met is not None and met[1 + met[0] % KEPT] != ordinal:
        met[0] += 1
        met[1 + met[0] % KEPT] = ordinal


def is_nearly(old: bytes, document: bytes) -> bool:
    """Whether three quarters of a document stand in another that is not much longer, as far as a glance tells."""
    if core.delta_is_nearly is not None:
        return core.delta_is_nearly(old, document)
    return is_nearly_by_reference(old, document)


def is_nearly_by_reference(old: bytes, document: bytes) -> bool:
    """Return what :func:`is_nearly` does."""
    if len(old) > 4 * len(document):
        return False
    known = set(old.split(b"\0"))
    # What may be missing before it is no longer three quarters; the NUL that no last piece has is counted, too.
    left = len(document) + 1 - (3 * len(document) + 3) // 4
    for piece in document.split(b"\0"):
        if piece not in known:
            left -= len(piece) + 1
            if left < 0:
                return False
    return True

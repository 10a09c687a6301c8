"""Counts the envelopes in documents by field, without keys or a field map, to check ``encrypted`` of a manifest.

It names fields by their path (schemas/offline-manifest.md, ``collections``). An envelope counts if its form is right.
Law: the time for a document grows with its own elements, not with the number of paths, since a manifest may name any
number of fields.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from typing import Any

from kit.documents import Kind, Place, index
from kit.encryption.envelope import Envelope, Profile, check_kept, is_csfle, looks_like
from kit.errors import BsonError, EnvelopeError

_Paths = dict[bytes, tuple[str | None, "_Paths"]]
"""By the name of an element: the field at its path, if there is one, and the paths below it."""


class EnvelopeTally:
    """Counts the envelopes at certain paths; a document with one at a path counts once."""

    def __init__(self, names: Iterable[str], *, as_text: bool = False) -> None:
        """Set the names of fields, as manifests spell them; one that is no path is never found.

        Args:
            names: See above.
            as_text: Whether the documents are views of texts, in which envelopes are those of texts.
        """
        self._as_text = as_text
        self._paths: _Paths = {}
        for name in names:
            steps = _steps(name)
            level = self._paths
            for step in steps[:-1]:
                level = level.setdefault(step, (None, {}))[1]
            if steps:
                level[steps[-1]] = (name, level.get(steps[-1], (None, {}))[1])

    def count(self, document: bytes, into: Counter[str]) -> None:
        """Add the counts of one well-formed document to ``into``."""
        todo = [(self._paths, 0)]
        while todo:
            paths, start = todo.pop()
            try:
                places = index(document, start)
            except BsonError:
                continue  # a repeated name: the path is ambiguous
            smaller, larger = (paths, places) if len(paths) < len(places) else (places, paths)
            for name in [name for name in smaller if name in larger]:
                field, below = paths[name]
                kind, at, end = places[name]
                if kind not in {Kind.DOCUMENT, Kind.BINARY}:
                    continue
                if field is not None and _is_envelope(document, kind, at, end, as_text=self._as_text):
                    into[field] += 1
                if below and kind == Kind.DOCUMENT:
                    todo.append((below, at))


def _steps(name: str) -> list[bytes]:
    steps: Any = name.split(".")
    if name.startswith("["):  # an element's name has a dot of its own
        try:
            steps = json.loads(name)
        except (ValueError, RecursionError):  # thousands of digits are a ValueError, too
            return []
    if not isinstance(steps, list) or not all(isinstance(step, str) for step in steps):
        return []
    return [step.encode("utf-8", "surrogatepass") for step in steps]


def _is_envelope(document: bytes, kind: int, start: int, end: int, *, as_text: bool) -> bool:
    try:
        if kind == Kind.BINARY:
            value = document[start:end]
            return is_csfle(value) and Envelope.read_binary(value).profile is Profile.CSFLE
        places: dict[bytes, Place] = index(document, start)
        if not looks_like(places):
            return False
        check_kept(Envelope.read(document, places), as_text=as_text)
    except (BsonError, EnvelopeError):
        return False
    return True

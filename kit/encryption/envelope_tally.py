"""Counts the envelopes in documents by field, without a field map, to check ``encrypted`` of a manifest.

A manifest names fields by their path (schemas/offline-manifest.md, ``collections``). An envelope counts if its form is
right; opening it takes keys. The time for a document grows with its own elements, not with the number of paths: a
manifest may name any number of fields.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from typing import Any

from kit.documents import Kind, Place, index
from kit.encryption.envelope import Envelope, looks_like
from kit.errors import BsonError, EnvelopeError

_Paths = dict[bytes, tuple[str | None, "_Paths"]]
"""By the name of an element: the field at its path, if there is one, and the paths below it."""


class EnvelopeTally:
    """Counts the envelopes at certain paths; a document with one at a path counts once."""

    def __init__(self, names: Iterable[str]) -> None:
        """Set the names of fields, as manifests spell them; one that is no path is never found."""
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
                kind, at, _ = places[name]
                if kind != Kind.DOCUMENT:
                    continue
                if field is not None and _is_envelope(document, at):
                    into[field] += 1
                if below:
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


def _is_envelope(document: bytes, start: int) -> bool:
    try:
        places: dict[bytes, Place] = index(document, start)
        if not looks_like(places):
            return False
        Envelope.read(document, places)
    except (BsonError, EnvelopeError):
        return False
    return True

"""Names of what is counted: a word, or the outcome of the values of one field."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias


class FieldOutcome(NamedTuple):
    """An outcome of the values of one field of one collection."""

    outcome: str
    collection: str
    """``db.collection``."""
    field: str

    def __str__(self) -> str:
        """Return ``outcome/db.collection/field``: the name in reports and in the provenance."""
        return "/".join(self)


CountName: TypeAlias = str | FieldOutcome

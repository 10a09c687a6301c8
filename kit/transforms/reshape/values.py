"""A typed value of a migration: canonical Extended JSON, as BSON.

Canonical, since the relaxed form does not state of what type a number is, and a schema change that guesses it is
another one on the next run. Law: two spellings of one value are the same value, and only the canonical one is accepted.
Members of a document are in the order of their names: a migration is digested with its members sorted.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Self

import bson
from bson.errors import BSONError
from bson.json_util import CANONICAL_JSON_OPTIONS, dumps, loads

from kit.documents import element, elements
from kit.errors import ContentError

MOST_BYTES = 1 << 16
"""The largest value that a migration may write into every document."""


@dataclass(frozen=True, slots=True)
class TypedValue:
    """A BSON value. Law: ``TypedValue.of(v.json) == v``."""

    kind: int
    data: bytes

    @classmethod
    def of(cls, value: Any, *, where: str) -> Self:
        """Return the value of canonical Extended JSON.

        Raises:
            ContentError: It is no canonical Extended JSON, or too large.
        """
        given = json.dumps(value, sort_keys=True)
        try:
            document = bson.encode({"v": loads(given, json_options=CANONICAL_JSON_OPTIONS)})
            found = next(elements(document))
            made = cls(found.kind, document[found.value : found.end])
            again = json.dumps(made.json, sort_keys=True)
        except (BSONError, ValueError, TypeError, KeyError, OverflowError, RecursionError, StopIteration) as error:
            raise ContentError(f"is no canonical Extended JSON: {error}", where=where) from error
        if again != given:
            raise ContentError(
                f"is not canonical Extended JSON, which would be {again[:200]}",
                where=where,
                hint='numbers have a type there: {"$numberInt": "5"}',
            )
        if len(made.data) > MOST_BYTES:
            raise ContentError(f"has {len(made.data):,} bytes, and a value may have {MOST_BYTES:,}", where=where)
        return made

    @property
    def json(self) -> Any:
        """The value as canonical Extended JSON."""
        body = element("v", self.kind, self.data)
        document = b"%b%b\0" % ((len(body) + 5).to_bytes(4, "little"), body)
        decoded = bson.decode(document, CANONICAL_JSON_OPTIONS)
        return json.loads(dumps(decoded, json_options=CANONICAL_JSON_OPTIONS))["v"]

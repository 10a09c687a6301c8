"""The element that is appended: a projection as BSON, by pymongo's encoder (schemas/raw-linkset.md, "Names")."""

from __future__ import annotations

import bson
from bson.errors import BSONError

from kit.errors import ContentError
from kit.transforms.raw_linkset import shape
from kit.transforms.raw_linkset.projection import Projection

_LENGTH_BYTES = 4
"""A BSON document opens with its own length (bsonspec.org) ..."""
_END_BYTES = 1
"""... and ends in a NUL; between them are its elements."""


def encode_element(projection: Projection, names: shape.Names = shape.NAMES) -> bytes:
    """Return the BSON element to append to a document: type byte 3, its name, NUL, the subdocument.

    Raises:
        ContentError: A string cannot be BSON (a lone surrogate from JSON; a NUL in the name of a note).
    """
    name = names.raw_linkset
    try:
        document = bson.encode({name: projection.to_document(names)})
    except (BSONError, UnicodeEncodeError, OverflowError) as error:
        raise ContentError(f"{name} cannot be BSON: {error}", where=name) from error
    return document[_LENGTH_BYTES:-_END_BYTES]

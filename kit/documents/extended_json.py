"""Documents as canonical Extended JSON v2, one a line, for people and for tools that read no BSON.

Source: the MongoDB Extended JSON v2 specification, canonical mode; pymongo's ``bson.json_util`` writes it. Law: a line
read back and encoded gives the very bytes of the document. Where that cannot be kept (a name twice, a deprecated type,
a NaN with a payload: 21 of 728 documents of MongoDB's corpus) the document is refused instead of told wrongly.
"""

from __future__ import annotations

from typing import Any

import bson
from bson.binary import UuidRepresentation
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.errors import BSONError
from bson.json_util import JSONMode, JSONOptions, dumps, loads

from kit.errors import BsonError

# Dates stay numbers of milliseconds: a document may hold years that Python's datetime does not have.
_CODEC: CodecOptions[dict[str, Any]] = CodecOptions(
    document_class=dict,
    tz_aware=True,
    uuid_representation=UuidRepresentation.UNSPECIFIED,
    datetime_conversion=DatetimeConversion.DATETIME_MS,
)
_CANONICAL = JSONOptions(
    json_mode=JSONMode.CANONICAL,
    document_class=dict,
    tz_aware=True,
    uuid_representation=UuidRepresentation.UNSPECIFIED,
    datetime_conversion=DatetimeConversion.DATETIME_MS,
)


def extended_json(document: bytes) -> bytes:
    """Give a document as one line of canonical Extended JSON, in ASCII, without the line feed.

    Raises:
        BsonError: It is malformed, or Extended JSON cannot say it exactly.
    """
    try:
        line = dumps(bson.decode(document, _CODEC), json_options=_CANONICAL, separators=(",", ":"))
        same = bson.encode(loads(line, json_options=_CANONICAL), codec_options=_CODEC) == document
    except (BSONError, ValueError, TypeError, OverflowError, RecursionError, KeyError) as error:
        raise BsonError(f"Extended JSON cannot say this document: {error}") from error
    if not same:
        raise BsonError(
            "Extended JSON cannot say this document exactly (a name twice, a deprecated type, or a number's bits)"
        )
    return line.encode("ascii")

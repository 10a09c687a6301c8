"""Frozen values that parse and print themselves: digests, member paths, collection names, time stamps, limits.

Pure: nothing here reads a file, a clock or the environment.
"""

from kit.values.digest import Sha256
from kit.values.fields import Timestamp
from kit.values.limits import Limit, Limits, MemoryPrice, Price
from kit.values.member_path import (
    NAMED,
    STRICT,
    Allowed,
    Codec,
    CollectionFormat,
    CollectionMember,
    CollectionName,
    CollectionPattern,
    Collections,
    MemberPath,
    MetadataName,
    NameClass,
    codec_of,
    collection_member,
    declarable_formats,
    declared_member,
    metadata_name,
)
from kit.values.run_lengths import CountName, FieldOutcome, RunLengths, RunLengthsReader

__all__ = [
    "NAMED",
    "STRICT",
    "Allowed",
    "Codec",
    "CollectionFormat",
    "CollectionMember",
    "CollectionName",
    "CollectionPattern",
    "Collections",
    "CountName",
    "FieldOutcome",
    "Limit",
    "Limits",
    "MemberPath",
    "MemoryPrice",
    "MetadataName",
    "NameClass",
    "Price",
    "RunLengths",
    "RunLengthsReader",
    "Sha256",
    "Timestamp",
    "codec_of",
    "collection_member",
    "declarable_formats",
    "declared_member",
    "metadata_name",
]

"""Frozen values that parse and print themselves: digests, member paths, collection names, time stamps, limits.

Pure: nothing here reads a file, a clock or the environment.
"""

from kit.values.allowed import STRICT, Allowed
from kit.values.collection import Codec, CollectionMember, CollectionName, collection_member
from kit.values.digest import Sha256
from kit.values.limits import Limit, Limits, MemoryPrice, Price
from kit.values.member_path import MemberPath, NameClass
from kit.values.outcomes import CountName, FieldOutcome
from kit.values.run_lengths import RunLengths, RunLengthsReader
from kit.values.timestamp import Timestamp

__all__ = [
    "STRICT",
    "Allowed",
    "Codec",
    "CollectionMember",
    "CollectionName",
    "CountName",
    "FieldOutcome",
    "Limit",
    "Limits",
    "MemberPath",
    "MemoryPrice",
    "NameClass",
    "Price",
    "RunLengths",
    "RunLengthsReader",
    "Sha256",
    "Timestamp",
    "collection_member",
]

"""The files of a folder that ``mongodump`` writes, by the names of their collections.

A name is escaped as the path of a URL is; one that is longer than file systems permit is cut, and gets a digest. Law:
the name of a file that is not cut gives the name of its collection back.
"""

from __future__ import annotations

import base64
import hashlib
import re
from urllib.parse import quote, unquote_to_bytes

from kit.errors import ArchiveError
from kit.values import CollectionName, MemberPath

__all__ = ["METADATA", "ORIGIN", "collection_of", "data_path", "is_cut", "metadata_path"]

ORIGIN = "prelude.json"
"""The file that states, next to the databases, which server and which tool a dump is from."""
METADATA = ".metadata.json"
_UNESCAPED = "-_.~$&+=:@"
_ESCAPED = re.compile(r"(?:[^%]|%[0-9A-Fa-f]{2})+")
_MOST = 238
"""The longest name of which ``.metadata.json.gz`` still fits in 255 bytes."""
_KEPT = 208
_MARK = "%24"
_DIGEST = 27


def file_stem(collection: str) -> str:
    """Return the name of a collection's file, without its suffix."""
    escaped = quote(collection, safe=_UNESCAPED)
    if len(escaped) <= _MOST:
        return escaped
    digest = base64.urlsafe_b64encode(hashlib.sha1(collection.encode(), usedforsecurity=False).digest())
    return f"{escaped[:_KEPT]}{_MARK}{digest.decode().rstrip('=')}"


def is_cut(stem: str) -> bool:
    """Return whether a file name is that of a collection whose name does not fit; its metadata have the name."""
    return len(stem) == _MOST == _KEPT + len(_MARK) + _DIGEST and stem[_KEPT:].startswith(_MARK)


def collection_of(stem: str) -> str:
    """Return the collection whose file has this name; a name that is no escaped one is taken as it is."""
    if "%" not in stem or not _ESCAPED.fullmatch(stem):
        return stem
    try:
        return unquote_to_bytes(stem).decode()
    except UnicodeDecodeError:
        return stem


def data_path(name: CollectionName) -> MemberPath:
    """Return the file of a collection's documents; what is in no database is next to the databases.

    Raises:
        ArchiveError: No file may have such a name.
    """
    return _path(name, ".bson")


def metadata_path(name: CollectionName) -> MemberPath:
    """Return the file of a collection's metadata.

    Raises:
        ArchiveError: As :func:`data_path`.
    """
    return _path(name, METADATA)


def _path(name: CollectionName, suffix: str) -> MemberPath:
    if "/" in name.database:
        raise ArchiveError(f"the database {name.database!r} has a slash in its name", where="the dump")
    leaf = f"{file_stem(name.collection)}{suffix}"
    return MemberPath.parse(f"{name.database}/{leaf}" if name.database else leaf)

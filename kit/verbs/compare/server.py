"""Reads collections of a live database: the only module that connects to one, and only when a user names it.

Documents are taken as the server sends them, as bytes. Laws: nothing is written to the server; no text of the
connection string is in a message, since it may hold a password.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import unquote

from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient, errors
from pymongo.read_concern import ReadConcern

from kit.errors import KitError, UnreadableError, UsageError
from kit.values import CollectionName

WHERE = "the database"
"""The place in messages; the address may be part of a secret."""
_SCHEMES = ("mongodb://", "mongodb+srv://")
_PATIENCE, _PATIENCE_MS = "serverSelectionTimeoutMS", 15_000
"""How long to wait for a server, unless the connection string states it."""
_REFUSED = frozenset({11, 13, 18, 8000})
"""Codes of a server that does not accept who asks: no such user, not allowed, authentication failed."""
_MAX_TEXT = 160
_RAW = CodecOptions(document_class=RawBSONDocument)


def read_server(
    uri: str, wanted: Iterable[CollectionName], take: Callable[[CollectionName, bytes], None]
) -> tuple[CollectionName, ...]:
    """Hand every document of some collections to ``take``; return the other collections of their databases.

    Args:
        uri: The connection string.
        wanted: The collections, as members of a dump are called; one that is not there has no documents.
        take: Gets the collection and the document.

    Raises:
        UsageError: The connection string is malformed.
        UnreadableError: The server does not answer, refuses who asks, or fails.
    """
    names = {CollectionName(database=unquote(one.database), collection=unquote(one.collection)): one for one in wanted}
    try:
        with _client(uri) as client:
            others = _others(client, names)
            for real, name in names.items():
                collection = client[real.database].get_collection(
                    real.collection, codec_options=_RAW, read_concern=ReadConcern("local")
                )
                for document in collection.find({}):
                    take(name, bytes(document.raw))
            return others
    except (errors.InvalidURI, errors.ConfigurationError, errors.InvalidName) as error:
        raise _unusable(type(error).__name__) from None
    except errors.PyMongoError as error:
        raise _failure(error) from None


def _client(uri: str) -> MongoClient[RawBSONDocument]:
    """Return a client; it connects when it is first asked something."""
    # Without a scheme all of it would be the name of a host, and be sent to whoever resolves names.
    if not uri.startswith(_SCHEMES):
        raise _unusable("it does not begin with mongodb://")
    options: dict[str, Any] = {"document_class": RawBSONDocument, "appname": "kit compare"}
    if _PATIENCE.lower() not in uri.lower():
        options[_PATIENCE] = _PATIENCE_MS
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # an unknown option, such as a mistyped one about TLS
            return MongoClient(uri, **options)
    except (UserWarning, ValueError, TypeError) as error:
        raise _unusable(type(error).__name__) from None


def _unusable(why: str) -> UsageError:
    return UsageError(
        f"is no connection string that can be used ({why})",
        where=WHERE,
        hint="mongodb://USER:PASSWORD@HOST:PORT/, with what is no letter or digit in % notation",
    )


def _others(client: MongoClient[RawBSONDocument], names: Iterable[CollectionName]) -> tuple[CollectionName, ...]:
    """Return the other collections of the databases of ``names``, without views and the server's own."""
    known = set(names)
    others = []
    for database in sorted({one.database for one in known}):
        for about in client[database].list_collections():
            name = CollectionName(database=database, collection=str(about["name"]))
            if about.get("type", "collection") != "view" and not name.collection.startswith("system."):
                others += [name] if name not in known else []
    return tuple(sorted(others))


def _failure(error: errors.PyMongoError) -> KitError:
    if isinstance(error, errors.OperationFailure) and error.code in _REFUSED:
        return UnreadableError(
            "the server refuses who asks: wrong credentials, or no permission to read",
            where=WHERE,
            hint="the user of the connection string needs the role read on these databases",
        )
    if isinstance(error, errors.ConnectionFailure):
        return UnreadableError(
            "the server does not answer, or the connection was lost",
            where=WHERE,
            hint="check the address in the connection string, and that this machine may connect",
        )
    # A server's own words may repeat what it was asked, so only their kind and number are shown.
    code = f", code {error.code}" if isinstance(error, errors.OperationFailure) else ""
    return UnreadableError(f"reading failed: {type(error).__name__}{code}"[:_MAX_TEXT], where=WHERE)

"""Names of collections and documents on the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kit.errors import ContentError, KitError, UsageError
from kit.values import CollectionName, Limits

if TYPE_CHECKING:
    from kit.encryption.approval import DocumentName


def parse_collection(text: str) -> CollectionName:
    """Return the collection of ``--collection``.

    Raises:
        UsageError: It is not ``DB.COLLECTION``.
    """
    from kit.encryption.approval import collection_name

    try:
        return collection_name(text)
    except ContentError as error:
        raise UsageError(f"--collection: {error.what}") from error


def parse_document(text: str) -> DocumentName:
    """Return the document of ``--id``: JSON if it begins like an object, else text.

    Raises:
        UsageError: It is not valid JSON, or of a type that has no such name.
    """
    from kit.encryption.approval import DocumentName
    from kit.values import strict_json

    try:
        value = strict_json.parse(text.encode(), limits=Limits(), where="--id") if text.startswith("{") else text
        return DocumentName.parse(value)
    except (KitError, UnicodeEncodeError) as error:
        raise UsageError(f"--id {text[:80]}: {error}") from error

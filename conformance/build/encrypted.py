"""A mapped collection of ``conformance``, sealed and half sealed, to be judged by its form, without keys."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

from conformance.build.kits import Document, encoded

NOTES = "dump/app/note_artifacts.bson"
_FIELDS = ("title", "description", "blobPath")


def envelope(field: str, **changes: Any) -> Document:
    """Give an envelope of the bound profile (schemas/envelope.md) whose form is right; it opens with no key."""
    noise = hashlib.sha256(f"{field} TEST ONLY".encode()).digest()

    def text(data: bytes) -> str:
        return base64.b64encode(data).decode()

    whole = {
        "__encrypted": True,
        "v": 2,
        "alg": "aes-256-gcm",
        "ct": text(noise),
        "iv": text(noise[:12]),
        "tag": text(noise[:16]),
        "dekId": "TEST-ONLY",
        "mekVersion": 1,
        "ctx": "note_artifacts",
        "bt": 2,
    }
    return {name: value for name, value in (whole | changes).items() if value is not ...}


def artifact(number: int, **changes: Any) -> Document:
    """Give a note artifact with every mapped field sealed."""
    whole = {"_id": f"a{number}", "workspaceId": "w1", "userId": "ada", "productId": "notelett"}
    return whole | {field: envelope(field) for field in _FIELDS} | changes


ENCRYPTED = encoded([artifact(1), artifact(2)])
HALF_ENCRYPTED = encoded([artifact(1), artifact(2, blobPath="blobs/2")])
PLAIN = encoded([artifact(1), artifact(2, **dict.fromkeys(_FIELDS, "text"))])
MALFORMED = encoded([artifact(1, title=envelope("title", iv="AAAA"))])
DISPLACED = encoded([artifact(1, title=envelope("title", ctx="notes"))])

"""A driver's side of client-side field level encryption: libmongocrypt, by its package pymongocrypt; no server."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any

import bson
import pytest
from bson.binary import STANDARD, Binary
from bson.codec_options import CodecOptions

DETERMINISTIC = "AEAD_AES_256_CBC_HMAC_SHA_512-Deterministic"
RANDOM = "AEAD_AES_256_CBC_HMAC_SHA_512-Random"
_PLAIN: CodecOptions[dict[str, Any]] = CodecOptions()
_AS_UUID: CodecOptions[dict[str, Any]] = CodecOptions(uuid_representation=STANDARD)


class Driver:
    """A local master key, and the documents of a key vault under it."""

    def __init__(self, master: bytes, documents: Iterable[bytes] = ()) -> None:
        options, encrypter, callback = (
            pytest.importorskip(f"pymongocrypt.{name}", reason="pymongocrypt is not installed")
            for name in ("mongocrypt", "synchronous.explicit_encrypter", "synchronous.state_machine")
        )
        callback.MongoCryptCallback.register(Driver)
        self.documents = list(documents)
        self._encrypter = encrypter.ExplicitEncrypter(self, options.MongoCryptOptions({"local": {"key": master}}))

    def fetch_keys(self, filter: bytes) -> Iterable[bytes]:  # noqa: A002  the name of the interface
        wanted = bytes(filter)
        return [one for one in self.documents if bytes(bson.decode(one, _PLAIN)["_id"]) in wanted]

    def insert_data_key(self, data_key: bytes) -> Binary:
        self.documents.append(bytes(data_key))
        return Binary(bson.decode(self.documents[-1], _PLAIN)["_id"], 4)

    def bson_encode(self, doc: Any) -> bytes:
        return bson.encode(doc, codec_options=_AS_UUID)

    def create_key(self, material: bytes) -> str:
        """Make a document of the key vault, and return the key's name."""
        made = self._encrypter.create_data_key("local", None, None, material)
        return str(uuid.UUID(bytes=bytes(made)))

    def encrypt(self, value: Any, algorithm: str, dek_id: str) -> bytes:
        """Return the payload of the Binary that a value becomes."""
        document, key = bson.encode({"v": value}), Binary(uuid.UUID(dek_id).bytes, 4)
        return bytes(bson.decode(self._encrypter.encrypt(document, algorithm, key_id=key))["v"])

    def decrypt(self, payload: bytes) -> Any:
        """Return the value in the payload of a Binary."""
        return bson.decode(self._encrypter.decrypt(bson.encode({"v": Binary(payload, 6)})))["v"]

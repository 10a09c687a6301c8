"""The format as others see it: vectors that are current, and Node's stock crypto as the other implementation."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import bson
import pytest

from fixtures.build import make_envelope_vectors
from kit.encryption import Envelope, Profile, Scope
from kit.encryption.aead import CollectionPlace, DocumentCipher, KeyInPlace
from kit.encryption.envelope import JSON_TEXT, SUBDOCUMENTS
from kit.encryption.field_map import FieldPath
from kit.encryption.keys import DataKey
from kit.errors import EnvelopeError
from kit.values import CollectionName

HERE = Path(__file__).parent
TARGET = HERE.parents[1] / "fixtures" / make_envelope_vectors.NAME
VECTORS: list[dict[str, Any]] = json.loads(TARGET.read_bytes())["vectors"]


def in_node(node: str, **request: Any) -> Any:
    ran = subprocess.run(
        [node, HERE / "open_envelope.mjs"], input=json.dumps(request).encode(), capture_output=True, check=True
    )
    return json.loads(ran.stdout)


def cipher(vector: dict[str, Any]) -> tuple[DocumentCipher, Any]:
    scope = Scope(product=vector["product"], context=vector["context"], owner=vector["owner"])
    key = DataKey(
        dek_id=vector["dekId"], scope=scope, mek_version=vector["mekVersion"], secret=bytes.fromhex(vector["dek"])
    )
    name = CollectionName(database=vector["database"], collection=vector["collection"])
    place = CollectionPlace(product=scope.product, name=name, version=Profile.named(vector["profile"]).value)
    tag = vector["id"]["type"]
    identity = (tag.encode() if isinstance(tag, str) else bytes((tag,))) + bytes.fromhex(vector["id"]["value"])
    field = place.field(FieldPath(tuple(vector["path"])), scope.context)
    return DocumentCipher(KeyInPlace(key, place), identity), field


def kind_of(vector: dict[str, Any]) -> int:
    return JSON_TEXT if vector["bsonType"] == "json" else int(vector["bsonType"])


def test_the_vectors_are_current() -> None:
    assert TARGET.read_bytes() == make_envelope_vectors.text()


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_every_vector_opens(vector: dict[str, Any]) -> None:
    sealed = bytes.fromhex(vector["bson"])
    assert bson.decode(sealed) == vector["envelope"]
    at, field = cipher(vector)
    opened = at.open(field, Envelope.parse(sealed))
    assert (opened.kind, opened.value.hex()) == (kind_of(vector), vector["value"])


def test_no_vector_opens_in_the_place_of_another() -> None:
    bound = [vector for vector in VECTORS if vector["profile"] == "bound"]
    for vector in bound:
        for other in bound:
            if all(vector[name] == other[name] for name in ("id", "path")):
                continue
            at, field = cipher(other)
            with pytest.raises(EnvelopeError):
                at.open(field, Envelope.parse(bytes.fromhex(vector["bson"])))


def test_node_recomputes_every_vector_from_the_format_document_alone(node: str) -> None:
    assert in_node(node, command="check", vectors=VECTORS) == {"checked": len(VECTORS), "faults": []}


@pytest.mark.parametrize("profile", [str(profile) for profile in SUBDOCUMENTS])
def test_what_node_seals_opens_here(node: str, profile: str) -> None:
    wanted = [vector for vector in VECTORS if vector["profile"] == profile]
    # A vector of the platform's own choice, as a live writer draws one.
    for vector, envelope in zip(wanted, in_node(node, command="seal", vectors=wanted, iv="ab" * 12), strict=True):
        at, field = cipher(vector)
        opened = at.open(field, Envelope.parse(bson.encode(envelope)))
        assert (opened.kind, opened.value.hex()) == (kind_of(vector), vector["value"])


@pytest.mark.slow
def test_node_opens_what_is_sealed_here_with_nothing_but_key_vector_and_tag(node: str) -> None:
    program = """
      const c = require('node:crypto'), e = JSON.parse(require('node:fs').readFileSync(0));
      const d = c.createDecipheriv('aes-256-gcm', Buffer.from(e.dek, 'hex'), Buffer.from(e.iv, 'base64'));
      d.setAuthTag(Buffer.from(e.tag, 'base64'));
      process.stdout.write(Buffer.concat([d.update(Buffer.from(e.ct, 'base64')), d.final()]));
    """
    for vector in VECTORS:
        if vector["profile"] == "compat":
            request = {"dek": vector["dek"], **vector["envelope"]}
            ran = subprocess.run(
                [node, "-e", program], input=json.dumps(request).encode(), capture_output=True, check=True
            )
            assert ran.stdout == bytes.fromhex(vector["value"])[4:-1]

"""The profile csfle value by value, with libmongocrypt as the oracle: its vectors are made here, and not copied."""

from __future__ import annotations

import datetime as dt
import hmac
import os
from typing import Any

import bson
import pytest
from bson.binary import Binary
from hypothesis import given, strategies as st

from kit.encryption import csfle
from kit.encryption.envelope import Envelope
from kit.encryption.keys import DataKey, Scope
from kit.errors import ContentError, EnvelopeError, KeyUnusableError
from tests.encryption.driver import DETERMINISTIC, RANDOM, Driver

MATERIAL = bytes(range(100, 196))
SCOPE = Scope(product="p", context="c", owner="o")
NAMED = DataKey(dek_id="cd4d15ab-90b1-40e5-8654-4c3f46e9fe29", scope=SCOPE, mek_version=1, secret=MATERIAL)
BOTH: list[Any] = [
    *("", "Müller ✓", "x" * 15, 5, 2**40, b"", b"xy", Binary(b"z", 4), bson.ObjectId("64b7f0c2a1b2c3d4e5f60718")),
    *(
        dt.datetime(2026, 5, 1, tzinfo=dt.UTC),
        bson.Regex("a", "i"),
        bson.Timestamp(1, 2),
        bson.Code("x"),
        bson.DBRef("a", 1).id,
    ),
]
RANDOM_ONLY: list[Any] = [1.5, True, {"a": 1}, [1, None], bson.Decimal128("1.50"), bson.Code("x", {})]
NEVER: list[Any] = [None, bson.MinKey(), bson.MaxKey()]


@pytest.fixture(scope="module")
def driver() -> Driver:
    return Driver(bytes(range(96)))


@pytest.fixture(scope="module")
def key(driver: Driver) -> DataKey:
    return DataKey(dek_id=driver.create_key(MATERIAL), scope=SCOPE, mek_version=1, secret=MATERIAL)


def split(value: Any) -> tuple[int, bytes]:
    """Return type byte and value bytes."""
    document = bson.encode({"v": value})
    return document[4], document[7:-1]


def of_payload(payload: bytes) -> Envelope:
    return Envelope.read_binary(len(payload).to_bytes(4, "little") + b"\x06" + payload)


@pytest.mark.parametrize("value", BOTH, ids=repr)
def test_deterministic_values_are_those_of_libmongocrypt(driver: Driver, key: DataKey, value: Any) -> None:
    kind, data = split(value)
    theirs = driver.encrypt(value, DETERMINISTIC, key.dek_id)
    assert csfle.seal(key, kind, data).to_bson()[5:] == theirs
    assert csfle.unseal(key, of_payload(theirs)) == data


@pytest.mark.parametrize("value", [*BOTH, *RANDOM_ONLY], ids=repr)
def test_each_opens_the_random_values_of_the_other(driver: Driver, key: DataKey, value: Any) -> None:
    kind, data = split(value)
    mine = csfle.seal(key, kind, data, os.urandom(16)).to_bson()
    assert bson.encode({"v": driver.decrypt(mine[5:])}) == bson.encode({"v": value})
    assert csfle.unseal(key, of_payload(driver.encrypt(value, RANDOM, key.dek_id))) == data


@pytest.mark.parametrize(
    ("algorithm", "values"), [(DETERMINISTIC, [*RANDOM_ONLY, *NEVER]), (RANDOM, NEVER)], ids=["deterministic", "random"]
)
def test_what_libmongocrypt_refuses_to_encrypt_is_refused(
    driver: Driver, key: DataKey, algorithm: str, values: list[Any]
) -> None:
    errors = pytest.importorskip("pymongocrypt.errors")
    for value in values:
        with pytest.raises(errors.MongoCryptError, match="invalid for"):
            driver.encrypt(value, algorithm, key.dek_id)
        with pytest.raises(ContentError, match="csfle seals no value"):
            csfle.seal(key, *split(value), os.urandom(16) if algorithm == RANDOM else None)


@given(text=st.text(max_size=60), vector=st.none() | st.binary(min_size=16, max_size=16), at=st.integers(0, 10**6))
def test_a_value_comes_back_and_one_with_another_byte_does_not(text: str, vector: bytes | None, at: int) -> None:
    kind, data = split(text)
    sealed = csfle.seal(NAMED, kind, data, vector)
    value = sealed.to_bson()
    assert Envelope.read_binary(value) == sealed
    assert csfle.unseal(NAMED, sealed) == data
    altered = bytearray(value)
    altered[5 + at % (len(value) - 5)] ^= 1 + at % 255
    with pytest.raises(EnvelopeError):
        csfle.unseal(NAMED, Envelope.read_binary(bytes(altered)))


@pytest.mark.parametrize("size", [0, 1, 17, 65, 66, 81, 83])
def test_a_binary_of_a_length_that_no_envelope_has_is_refused(size: int) -> None:
    with pytest.raises(EnvelopeError, match="which no csfle envelope has"):
        of_payload(b"\x01" * size)


def test_a_deterministic_value_with_another_vector_is_refused() -> None:
    kind, data = split("text")
    sealed = csfle.seal(NAMED, kind, data, bytes(16))._replace(algorithm=1)
    right = csfle.seal(NAMED, kind, data)
    authenticated = right.to_bson()[5:23] + bytes(16) + sealed.ciphertext + (144).to_bytes(8, "big")
    forged = sealed._replace(tag=hmac.digest(MATERIAL[:32], authenticated, "sha512")[:32])
    with pytest.raises(EnvelopeError, match="not the deterministic one"):
        csfle.unseal(NAMED, forged)


@pytest.mark.parametrize(
    ("dek_id", "secret", "words"),
    [(NAMED.dek_id, bytes(32), "has 32 bytes"), ("dek-1", MATERIAL, "UUID"), (NAMED.dek_id.upper(), MATERIAL, "UUID")],
)
def test_a_key_that_no_driver_could_name_is_refused(dek_id: str, secret: bytes, words: str) -> None:
    with pytest.raises(KeyUnusableError, match=words):
        csfle.check_key(DataKey(dek_id=dek_id, scope=SCOPE, mek_version=1, secret=secret))

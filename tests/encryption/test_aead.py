"""Sealing: what opens where, and what never does."""

from __future__ import annotations

import hmac
import pickle

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given, settings, strategies as st

from kit.documents import index
from kit.encryption import Envelope, Profile, RandomIv, Scope, SyntheticIv
from kit.encryption.aead import CollectionPlace, DocumentCipher, FieldPlace, KeyInPlace, OpenedValue
from kit.encryption.field_map import FieldPath
from kit.encryption.keys import DataKey, KeyMacs, Mac, encode_parts
from kit.errors import ContentError, EnvelopeError, KeyUnusableError
from kit.values import CollectionName
from tests.documents.strategies import VALUES, Typed, string
from tests.encryption.site import Stream, scope

SECRET = Stream("TEST-ONLY key")(32)
KEY = DataKey(dek_id="dek-1", scope=scope(), mek_version=1, secret=SECRET)
ID = b"\x02" + string("n1")
IV = SyntheticIv()


def place(
    version: int = 2,
    *,
    product: str = "p",
    database: str = "d",
    collection: str = "c",
    path: str = "body",
    context: str = "x",
) -> FieldPlace:
    name = CollectionName(database=database, collection=collection)
    return CollectionPlace(product=product, name=name, version=version).field(
        FieldPath(tuple(path.split("."))), context
    )


def cipher(at: FieldPlace, key: DataKey = KEY, identity: bytes = ID) -> DocumentCipher:
    return DocumentCipher(KeyInPlace(key, at.collection), identity)


BODY = place()
VALUE = string("hello")


def seal(at: FieldPlace = BODY, value: Typed = (2, VALUE)) -> Envelope:
    return cipher(at).seal(at, *value, IV)


@settings(deadline=None)
@given(VALUES.filter(lambda value: value[0] != 10))
def test_every_bson_value_returns_byte_for_byte(value: Typed) -> None:
    envelope = Envelope.parse(seal(value=value).to_bson())
    assert cipher(BODY).open(BODY, envelope) == OpenedValue(kind=value[0], value=value[1])


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=50))
def test_every_string_returns_in_compat(text: str) -> None:
    at = place(1)
    envelope = Envelope.parse(seal(at, (2, string(text))).to_bson())
    assert cipher(at).open(at, envelope).value == string(text)


def test_the_same_value_in_the_same_place_gives_the_same_bytes() -> None:
    assert seal().to_bson() == seal().to_bson()


@pytest.mark.parametrize("version", [1, 2], ids=["compat", "bound"])
def test_the_same_value_elsewhere_gives_another_vector(version: int) -> None:
    elsewhere = [
        seal(place(version)),
        seal(place(version, product="q")),
        seal(place(version, database="e")),
        seal(place(version, collection="f")),
        seal(place(version, path="title")),
        seal(place(version, context="y")),
        cipher(place(version), identity=b"\x10\1\0\0\0").seal(place(version), 2, VALUE, IV),
    ]
    assert len({envelope.iv for envelope in elsewhere}) == len(elsewhere)


def test_random_vectors_differ_and_open() -> None:
    iv = RandomIv(Stream())
    one, other = (cipher(BODY).seal(BODY, 2, VALUE, iv) for _ in range(2))
    assert one.iv != other.iv
    assert cipher(BODY).open(BODY, one) == cipher(BODY).open(BODY, other)


@pytest.mark.parametrize(
    ("at", "identity"),
    [
        pytest.param(BODY, b"\x02" + string("n2"), id="another document"),
        pytest.param(BODY, b"\x07" + b"n1".ljust(12), id="an _id of another type"),
        pytest.param(place(path="title"), ID, id="another field"),
        pytest.param(place(path="bo.dy"), ID, id="a path of other steps"),
        pytest.param(place(collection="e"), ID, id="another collection"),
        pytest.param(place(database="e"), ID, id="another database"),
        pytest.param(place(product="e"), ID, id="another product"),
    ],
)
def test_an_envelope_moved_elsewhere_does_not_open(at: FieldPlace, identity: bytes) -> None:
    with pytest.raises(EnvelopeError, match=r"does not open.*moved"):
        cipher(at, identity=identity).open(at, seal())


def test_an_envelope_of_another_context_key_or_profile_is_named_as_such() -> None:
    with pytest.raises(EnvelopeError, match="sealed for context 'x', not 'y'"):
        cipher(BODY).open(place(context="y"), seal())
    with pytest.raises(EnvelopeError, match="a bound envelope, but the profile is compat"):
        cipher(place(1)).open(place(1), seal())
    other = DataKey(dek_id="dek-2", scope=scope("bob"), mek_version=1, secret=SECRET)
    with pytest.raises(EnvelopeError, match="under data key dek-1, not dek-2"):
        cipher(BODY, other).open(BODY, seal())
    wrong = DataKey(dek_id="dek-1", scope=scope(), mek_version=1, secret=bytes(32))
    for at in (BODY, place(1)):
        with pytest.raises(EnvelopeError, match="does not open under data key dek-1"):
            cipher(at, wrong).open(at, seal(at))


def test_no_change_of_one_byte_of_a_members_value_opens() -> None:
    data = seal().to_bson()
    for name, (_, start, end) in index(data).items():
        for at in range(start, end):
            for flip in (1, 0x20, 0x80):
                changed = bytearray(data)
                changed[at] ^= flip
                with pytest.raises(EnvelopeError):
                    cipher(BODY).open(BODY, Envelope.parse(bytes(changed)))
        assert name


@pytest.mark.parametrize("kind", [1, 3, 7, 9, 16])
def test_compat_holds_strings_only(kind: int) -> None:
    value = {1: bytes(8), 3: b"\5\0\0\0\0", 7: bytes(12), 9: bytes(8), 16: bytes(4)}[kind]
    with pytest.raises(ContentError, match=f"only strings; this is of BSON type {kind}"):
        seal(place(1), (kind, value))


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize(
    "value",
    [
        pytest.param((2, b"\3\0\0\0\xff\xfe\0"), id="invalid UTF-8"),
        pytest.param((2, b"\1\0\0\0\0\0"), id="bytes after the value"),
        pytest.param((2, b"\0\0\0\0"), id="a length below the least"),
        pytest.param((2, b""), id="nothing"),
        pytest.param((2, b"\2\0\0\0ab"), id="no NUL at the end"),
        pytest.param((3, b"\5\0\0\0\1"), id="a document without its NUL"),
        pytest.param((99, b""), id="an unknown type"),
    ],
)
def test_what_is_no_value_is_not_sealed(version: int, value: Typed) -> None:
    with pytest.raises(ContentError, match="not a well-formed BSON value"):
        seal(place(version), value)


def test_what_could_not_have_been_sealed_does_not_open() -> None:
    at = place(1)
    sealed = AESGCM(SECRET).encrypt(b"i" * 12, b"\xff", None)
    envelope = Envelope(
        profile=Profile.COMPAT, ciphertext=sealed[:-16], iv=b"i" * 12, tag=sealed[-16:], dek_id="dek-1", mek_version=1
    )
    with pytest.raises(EnvelopeError, match="opens, but holds no value of BSON type 2"):
        cipher(at).open(at, envelope)


def test_compat_is_plain_aes_gcm_under_the_data_key() -> None:
    envelope = seal(place(1))
    assert AESGCM(SECRET).decrypt(envelope.iv, envelope.ciphertext + envelope.tag, None) == b"hello"


def test_the_document_key_is_hkdf_of_rfc_5869() -> None:
    info = BODY.collection.document_key_info(ID)
    key = HKDF(hashes.SHA256(), 32, None, info).derive(SECRET)
    envelope = seal()
    associated_data = BODY.associated_data(BODY.collection.located(ID), 2, "dek-1", 1)
    assert AESGCM(key).decrypt(envelope.iv, envelope.ciphertext + envelope.tag, associated_data) == VALUE


@given(st.binary(min_size=1, max_size=80), st.lists(st.binary(max_size=200), min_size=1, max_size=4))
def test_a_mac_is_the_same_at_each_use_of_its_key(key: bytes, uses: list[bytes]) -> None:
    mac = Mac(key)
    assert [mac.digest(data) for data in uses] == [hmac.digest(key, data, "sha256") for data in uses]


def test_every_documents_key_is_hkdf_however_many_there_were_before() -> None:
    macs = KeyMacs(KEY)
    for number in range(3):
        info = BODY.collection.document_key_info(bytes((16, number)))
        assert macs.document_key(info[:5], info[5:]) == HKDF(hashes.SHA256(), 32, None, info).derive(SECRET)


@given(st.lists(st.binary(max_size=6), max_size=5), st.lists(st.binary(max_size=6), max_size=5))
def test_no_two_lists_of_parts_have_one_encoding(one: list[bytes], other: list[bytes]) -> None:
    assert (encode_parts(one) == encode_parts(other)) == (one == other)


def test_a_data_key_shows_nothing_and_crosses_a_pipe_whole() -> None:
    assert SECRET.hex() not in repr(KEY)
    assert repr(SECRET)[2:-1] not in repr(KEY)
    assert repr(KEY) == repr(DataKey(dek_id="dek-1", scope=scope(), mek_version=1, secret=bytes(32)))
    copy = pickle.loads(pickle.dumps(KEY))  # noqa: S301
    assert (copy, copy.iv_key, copy.digest_key) == (KEY, KEY.iv_key, KEY.digest_key)
    assert "hello" not in repr(OpenedValue(kind=2, value=VALUE))


def test_keys_for_different_uses_differ() -> None:
    derived = [KEY.secret, KEY.iv_key, KEY.digest_key, bytes.fromhex(KEY.commitment), KEY.pseudorandom_key]
    assert len(set(derived)) == len(derived)


def test_a_commitment_fixes_key_name_and_purpose() -> None:
    KEY.check(KEY.commitment)
    others = [
        DataKey(dek_id="dek-1", scope=scope(), mek_version=1, secret=bytes(32)),
        DataKey(dek_id="dek-2", scope=scope(), mek_version=1, secret=SECRET),
        DataKey(dek_id="dek-1", scope=scope("bob"), mek_version=1, secret=SECRET),
        DataKey(dek_id="dek-1", scope=Scope(product="p", context="c", owner="o"), mek_version=1, secret=SECRET),
    ]
    for other in others:
        with pytest.raises(KeyUnusableError, match=f"data key {other.dek_id} is not the one"):
            other.check(KEY.commitment)
    with pytest.raises(KeyUnusableError, match="has 5 bytes"):
        DataKey(dek_id="d", scope=scope(), mek_version=1, secret=b"short")

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import CryptoSigner, SSlibKey  # type: ignore[attr-defined]

from kit.errors import KitError, SignatureError, UnsignedError, UntrustedError, UsageError
from kit.signing import Algorithm, PrivateKey, PublicKey, dsse, generate
from tests.tiers import examples

PAYLOAD = b'{"_type": "https://in-toto.io/Statement/v1"}'
SCHEMES = {
    Algorithm.ED25519: ("ed25519", "ed25519"),
    Algorithm.ES256: ("ecdsa", "ecdsa-sha2-nistp256"),
    Algorithm.PS256: ("rsa", "rsassa-pss-sha256"),
}


def _trust(*keys: PrivateKey) -> dict[str, PublicKey]:
    return {key.public.key_id: key.public for key in keys}


def _library_key(key: PrivateKey) -> SSlibKey:
    kind, scheme = SCHEMES[key.public.algorithm]
    public = key._handle.public_key()
    text = public.public_bytes_raw().hex() if kind == "ed25519" else key.public.pem.decode()  # type: ignore[union-attr]
    return SSlibKey(key.public.key_id, kind, scheme, {"public": text})


def test_the_pre_authentication_encoding_is_that_of_the_dsse_specification() -> None:
    # The example of protocol.md, "Test vectors".
    assert dsse._encoding(b"hello world", "http://example.com/HelloWorld") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


def test_what_is_signed_is_returned_byte_for_byte(key: PrivateKey) -> None:
    opened = dsse.verify(dsse.sign(PAYLOAD, [key]), _trust(key))
    assert opened.payload == PAYLOAD
    assert opened.check.valid_key_ids == (key.public.key_id,)


def test_securesystemslib_verifies_our_envelope(keys: Mapping[Algorithm, PrivateKey]) -> None:
    envelope = Envelope.from_dict(json.loads(dsse.sign(PAYLOAD, list(keys.values()))))
    accepted = envelope.verify([_library_key(key) for key in keys.values()], 3)
    assert len(accepted) == 3
    envelope.payload += b" "
    with pytest.raises(VerificationError):
        envelope.verify([_library_key(key) for key in keys.values()], 1)


def test_we_verify_what_securesystemslib_signs(keys: Mapping[Algorithm, PrivateKey]) -> None:
    envelope = Envelope(PAYLOAD, dsse.IN_TOTO_TYPE, {})
    for key in keys.values():
        envelope.sign(CryptoSigner(key._handle, _library_key(key)))
    opened = dsse.verify(json.dumps(envelope.to_dict()).encode(), _trust(*keys.values()))
    assert len(opened.check.valid_key_ids) == 3


def test_an_unknown_signer_is_reported_not_trusted(key: PrivateKey, stranger: PrivateKey) -> None:
    document = dsse.sign(PAYLOAD, [key, stranger])
    assert dsse.verify(document, _trust(key)).check.unknown_key_ids == (stranger.public.key_id,)
    assert {claim.key_id for claim in dsse.claims(document)} == {key.public.key_id, stranger.public.key_id}
    with pytest.raises(UntrustedError):
        dsse.verify(dsse.sign(PAYLOAD, [stranger]), _trust(key))
    with pytest.raises(UntrustedError):
        dsse.verify(document, {})


def test_a_broken_signature_of_a_trusted_key_fails_the_envelope_though_another_is_good(
    key: PrivateKey, stranger: PrivateKey
) -> None:
    document = json.loads(dsse.sign(PAYLOAD, [key, stranger]))
    document["signatures"][0]["sig"] = document["signatures"][1]["sig"]
    with pytest.raises(SignatureError, match="does not verify"):
        dsse.verify(json.dumps(document).encode(), _trust(key, stranger))


def test_a_statement_is_no_other_kind_of_document(key: PrivateKey) -> None:
    other = dsse.sign(PAYLOAD, [key], payload_type="application/json")
    with pytest.raises(SignatureError, match="another purpose"):
        dsse.verify(other, _trust(key))
    relabelled = json.dumps(json.loads(other) | {"payloadType": dsse.IN_TOTO_TYPE}).encode()
    with pytest.raises(SignatureError, match="does not verify"):
        dsse.verify(relabelled, _trust(key))


@pytest.mark.parametrize("document", [b"", b" \n"])
def test_an_empty_envelope_is_unsigned(key: PrivateKey, document: bytes) -> None:
    with pytest.raises(UnsignedError):
        dsse.verify(document, _trust(key))


def test_an_envelope_stripped_of_its_signatures_is_unsigned(key: PrivateKey) -> None:
    document = json.dumps(json.loads(dsse.sign(PAYLOAD, [key])) | {"signatures": []}).encode()
    with pytest.raises(UnsignedError):
        dsse.verify(document, _trust(key))


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        pytest.param({"payload": base64.urlsafe_b64encode(b"\xff\xff\xff").decode()}, "not base64", id="base64url"),
        pytest.param({"payload": "QUI"}, "not base64", id="no padding"),
        pytest.param({"payload": "QUJ="}, "one canonical spelling", id="unused bits set"),
        pytest.param({"payload": "QU I="}, "not base64", id="a space"),
        pytest.param({"payload": "é"}, "not base64", id="not ASCII"),
        pytest.param({"payload": None}, "not a DSSE envelope", id="payload null"),
        pytest.param({"extra": 1}, "not a DSSE envelope", id="an unknown member"),
        pytest.param({"signatures": [1]}, "signature 0", id="a number for a signature"),
        pytest.param({"signatures": [{"sig": "QQ=="}]}, "signature 0", id="no keyid"),
        pytest.param({"signatures": [{"sig": "QQ==", "keyid": ""}]}, "signature 0", id="keyid empty"),
        pytest.param({"signatures": [{"sig": "QQ==", "keyid": "a", "cert": ""}]}, "signature 0", id="a certificate"),
        pytest.param({"signatures": [{"sig": "Q", "keyid": "a"}]}, "not base64", id="signature not base64"),
        pytest.param({"signatures": [{"sig": "QQ==", "keyid": "a"}] * 2}, "has signed 2 times", id="one key twice"),
    ],
)
def test_an_envelope_of_another_form_is_refused(key: PrivateKey, changes: dict[str, Any], fault: str) -> None:
    document = json.dumps(json.loads(dsse.sign(PAYLOAD, [key])) | changes).encode()
    with pytest.raises(SignatureError, match=fault):
        dsse.verify(document, _trust(key))


def test_a_member_twice_is_refused(key: PrivateKey) -> None:
    document = dsse.sign(PAYLOAD, [key]).replace(b"{", b'{"payload": "QQ==",', 1)
    with pytest.raises(SignatureError, match="is there twice"):
        dsse.verify(document, _trust(key))


KEY = generate(Algorithm.ES256)


@settings(max_examples=examples(150), deadline=None)
@given(st.integers(min_value=0), st.integers(1, 255))
def test_a_one_byte_change_never_changes_what_is_accepted(place: int, flip: int) -> None:
    document = bytearray(dsse.sign(PAYLOAD, [KEY]))
    document[place % len(document)] ^= flip
    try:
        opened = dsse.verify(bytes(document), _trust(KEY))
    except KitError:
        return
    assert opened == dsse.verify(dsse.sign(PAYLOAD, [KEY]), _trust(KEY))


@given(st.binary(max_size=200))
def test_arbitrary_bytes_raise_nothing_but_our_own_errors(document: bytes) -> None:
    with pytest.raises(KitError):
        dsse.verify(document, _trust(KEY))


def test_a_countersignature_leaves_the_payload_and_the_first_signature(keys: Mapping[Algorithm, PrivateKey]) -> None:
    first, second = keys[Algorithm.ES256], keys[Algorithm.PS256]
    both = dsse.countersign(dsse.sign(PAYLOAD, [first]), second)
    assert set(dsse.verify(both, _trust(first, second)).check.valid_key_ids) == set(_trust(first, second))
    assert dsse.payload_of(both) == PAYLOAD
    with pytest.raises(UsageError, match="has signed already"):
        dsse.countersign(both, first)

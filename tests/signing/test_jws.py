from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from hypothesis import given, settings, strategies as st
from joserfc import jws as jose
from joserfc.jwk import import_key

from kit.errors import KitError, SignatureError, UnsignedError, UntrustedError, UsageError
from kit.signing import Algorithm, PrivateKey, PublicKey, SignatureFound, Verdict, generate, jws, load_public
from kit.signing.check import judge
from tests.tiers import examples

PAYLOAD = b'{"the": "manifest"}\n'
KIND = {Algorithm.ED25519: "OKP", Algorithm.ES256: "EC", Algorithm.PS256: "RSA"}
JOSE_NAMES = ["EdDSA", "Ed25519", "ES256", "PS256"]
SHARED_KEY = Path(__file__).parents[2].parent / "shared/data/kits/publisher-TEST-ONLY.pub.pem"


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _header(key: PrivateKey, **changes: Any) -> dict[str, Any]:
    names = {Algorithm.ED25519: "EdDSA", Algorithm.ES256: "ES256", Algorithm.PS256: "PS256"}
    header = {
        "alg": names[key.public.algorithm],
        "b64": False,
        "crit": ["b64"],
        "kid": key.public.key_id,
        "typ": jws.MANIFEST_TYPE,
    }
    return {name: value for name, value in (header | changes).items() if value is not ...}


def _forged(key: PrivateKey, header: dict[str, Any] | bytes, payload: bytes = PAYLOAD) -> bytes:
    """Sign any header with a good key: only the header's content can be the reason of a refusal."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    protected = _b64(text)
    return f"{protected}..{_b64(key.sign(protected.encode() + b'.' + payload))}".encode()


def _trust(*keys: PrivateKey) -> dict[str, PublicKey]:
    return {key.public.key_id: key.public for key in keys}


def test_one_signer_makes_a_compact_document(key: PrivateKey) -> None:
    document = jws.sign(PAYLOAD, [key])
    header, payload, signature = document.split(b".")
    assert payload == b""
    assert signature
    assert json.loads(base64.urlsafe_b64decode(header + b"==")) == _header(key)
    check = jws.verify(document, PAYLOAD, _trust(key))
    assert check.valid_key_ids == (key.public.key_id,)
    assert check.unknown_key_ids == ()


def test_several_signers_make_a_general_document(
    keys: Mapping[Algorithm, PrivateKey], trusted: Mapping[str, PublicKey]
) -> None:
    document = jws.sign(PAYLOAD, list(keys.values()))
    assert set(json.loads(document)) == {"signatures"}
    check = jws.verify(document, PAYLOAD, trusted)
    assert check.valid_key_ids == tuple(sorted(trusted))
    assert {found.algorithm for found in check.signatures} == {"EdDSA", "ES256", "PS256"}


def test_the_order_of_keys_does_not_change_the_document(keys: Mapping[Algorithm, PrivateKey]) -> None:
    pair = [keys[Algorithm.ED25519], keys[Algorithm.ES256]]
    assert jws.sign(PAYLOAD, pair) == jws.sign(PAYLOAD, pair[::-1])


def test_nothing_to_sign_with_and_one_key_twice_are_refused(key: PrivateKey) -> None:
    with pytest.raises(UsageError, match="nothing to sign with"):
        jws.sign(PAYLOAD, [])
    with pytest.raises(UsageError, match="twice"):
        jws.sign(PAYLOAD, [key, key])


def test_an_unknown_signer_beside_a_trusted_one_is_reported_not_trusted(key: PrivateKey, stranger: PrivateKey) -> None:
    check = jws.verify(jws.sign(PAYLOAD, [key, stranger]), PAYLOAD, _trust(key))
    assert check.valid_key_ids == (key.public.key_id,)
    assert check.unknown_key_ids == (stranger.public.key_id,)
    unknown = SignatureFound(key_id=stranger.public.key_id, algorithm="EdDSA", verdict=Verdict.UNKNOWN_KEY)
    assert unknown in check.signatures


def test_a_document_only_strangers_signed_is_untrusted(key: PrivateKey, stranger: PrivateKey) -> None:
    with pytest.raises(UntrustedError, match="not among the 1 trusted"):
        jws.verify(jws.sign(PAYLOAD, [stranger]), PAYLOAD, _trust(key))


def test_an_empty_set_of_trusted_keys_trusts_nothing(key: PrivateKey) -> None:
    with pytest.raises(UntrustedError):
        jws.verify(jws.sign(PAYLOAD, [key]), PAYLOAD, {})


def test_no_signature_at_all_is_unsigned_whatever_is_trusted(trusted: Mapping[str, PublicKey]) -> None:
    with pytest.raises(UnsignedError):
        judge([], trusted)


@pytest.mark.parametrize("document", [b"", b"\n", b'{"signatures": []}'])
def test_a_stripped_signature_is_unsigned(key: PrivateKey, document: bytes) -> None:
    with pytest.raises(UnsignedError):
        jws.verify(document, PAYLOAD, _trust(key))
    with pytest.raises(UnsignedError):
        jws.claims(document)


def test_a_broken_signature_of_a_trusted_key_fails_the_document_though_another_is_good(
    keys: Mapping[Algorithm, PrivateKey], trusted: Mapping[str, PublicKey]
) -> None:
    document = json.loads(jws.sign(PAYLOAD, list(keys.values())))
    for entry in document["signatures"]:
        damaged = json.loads(json.dumps(document))
        place = document["signatures"].index(entry)
        damaged["signatures"][place]["signature"] = _b64(
            b"\0" * len(base64.urlsafe_b64decode(entry["signature"] + "=="))
        )
        with pytest.raises(SignatureError, match="does not verify"):
            jws.verify(json.dumps(damaged).encode(), PAYLOAD, trusted)


def test_claims_tell_who_without_proof(key: PrivateKey, stranger: PrivateKey) -> None:
    found = jws.claims(jws.sign(PAYLOAD, [key, stranger]))
    assert {claim.key_id for claim in found} == {key.public.key_id, stranger.public.key_id}


def test_one_key_does_not_count_twice(key: PrivateKey) -> None:
    document = jws.sign(PAYLOAD, [key]).decode().split("..")
    entry = {"protected": document[0], "signature": document[1]}
    twice = json.dumps({"signatures": [entry, entry]}).encode()
    with pytest.raises(SignatureError, match="has signed 2 times"):
        jws.verify(twice, PAYLOAD, _trust(key))
    with pytest.raises(SignatureError, match="has signed 2 times"):
        jws.verify(twice, PAYLOAD, {})


def test_one_key_under_two_ids_does_not_count_twice(key: PrivateKey) -> None:
    parts = [_forged(key, _header(key, kid=kid)).decode().split("..") for kid in ("a", "b")]
    document = json.dumps({"signatures": [{"protected": p, "signature": s} for p, s in parts]}).encode()
    with pytest.raises(SignatureError, match="has signed 2 times"):
        jws.verify(document, PAYLOAD, {"a": key.public, "b": key.public})


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        pytest.param({"alg": "none"}, "alg 'none' is refused", id="alg none"),
        pytest.param({"alg": "None"}, "alg 'None' is refused", id="alg none in another case"),
        pytest.param({"alg": "HS256"}, "alg 'HS256' is refused", id="a public key as a shared secret"),
        pytest.param({"alg": "RS256"}, "alg 'RS256' is refused", id="an older RSA scheme"),
        pytest.param({"alg": ["ES256"]}, "is refused", id="alg a list"),
        pytest.param({"alg": None}, "is refused", id="alg null"),
        pytest.param({"alg": ...}, "missing: alg", id="alg missing"),
        pytest.param({"kid": ...}, "missing: kid", id="kid missing"),
        pytest.param({"kid": 1}, "kid is not a key id", id="kid a number"),
        pytest.param({"kid": ""}, "kid is not a key id", id="kid empty"),
        pytest.param({"b64": ...}, "missing: b64", id="b64 missing"),
        pytest.param({"b64": True}, "b64 must be false", id="b64 true"),
        pytest.param({"b64": 0}, "b64 must be false", id="b64 zero"),
        pytest.param({"crit": ...}, "missing: crit", id="crit missing"),
        pytest.param({"crit": []}, "crit .* not understood", id="crit empty"),
        pytest.param({"crit": ["b64", "b64"]}, "crit .* not understood", id="crit b64 twice"),
        pytest.param({"crit": ["b64", "exp"]}, "crit .* not understood", id="crit with an unknown extension"),
        pytest.param({"typ": ...}, "missing: typ", id="typ missing"),
        pytest.param({"typ": "JWT"}, "signed for another purpose", id="a token passed off as a manifest signature"),
        pytest.param({"typ": 1}, "signed for another purpose", id="typ a number"),
        pytest.param({"jwk": {"kty": "EC"}}, "not understood: jwk", id="a key of its own"),
        pytest.param({"jku": "https://example.org"}, "not understood: jku", id="a key from the network"),
        pytest.param({"x5u": "https://example.org"}, "not understood: x5u", id="a certificate from the network"),
        pytest.param({"x5c": ["MII"]}, "not understood: x5c", id="a certificate of its own"),
        pytest.param({"zip": "DEF", "cty": "x"}, "not understood: cty, zip", id="anything else"),
    ],
)
def test_a_header_that_is_not_fully_understood_is_refused(key: PrivateKey, changes: dict[str, Any], fault: str) -> None:
    document = _forged(key, _header(key, **changes))
    with pytest.raises(SignatureError, match=fault):
        jws.verify(document, PAYLOAD, _trust(key))
    with pytest.raises(SignatureError, match=fault):
        jws.claims(document)


def test_a_header_cannot_choose_another_algorithm_than_the_keys_own(keys: Mapping[Algorithm, PrivateKey]) -> None:
    for key in keys.values():
        for name in {"EdDSA", "ES256", "PS256"} - {str(_header(key)["alg"])}:
            with pytest.raises(SignatureError, match="but that key signs with"):
                jws.verify(_forged(key, _header(key, alg=name)), PAYLOAD, _trust(key))


def test_a_header_key_twice_is_refused(key: PrivateKey) -> None:
    text = json.dumps(_header(key)).encode()[:-1] + b',"alg":"none"}'
    with pytest.raises(SignatureError, match="the key 'alg' is there twice"):
        jws.verify(_forged(key, text), PAYLOAD, _trust(key))


def test_a_signature_made_for_another_purpose_does_not_count(key: PrivateKey) -> None:
    document = jws.sign(PAYLOAD, [key], typ="application/vnd.offline-kit.delta+jws")
    with pytest.raises(SignatureError, match="another purpose"):
        jws.verify(document, PAYLOAD, _trust(key))
    jws.verify(document, PAYLOAD, _trust(key), typ="application/vnd.offline-kit.delta+jws")


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"typ": "vnd.offline-kit.manifest+jws"}, id="typ without application/ (RFC 7515 4.1.9)"),
        pytest.param({}, id="any order of the header's members"),
    ],
)
def test_headers_other_tools_write_are_accepted(key: PrivateKey, changes: dict[str, Any]) -> None:
    header = dict(reversed(_header(key, **changes).items()))
    assert jws.verify(_forged(key, header), PAYLOAD, _trust(key)).valid_key_ids


def test_the_newer_name_of_ed25519_is_accepted(keys: Mapping[Algorithm, PrivateKey]) -> None:
    key = keys[Algorithm.ED25519]
    assert jws.verify(_forged(key, _header(key, alg="Ed25519")), PAYLOAD, _trust(key)).valid_key_ids


def _with(change: Callable[[str, str], str]) -> Callable[[bytes], bytes]:
    def apply(document: bytes) -> bytes:
        header, signature = document.decode().split("..")
        return change(header, signature).encode()

    return apply


def _general(**members: Any) -> Callable[[bytes], bytes]:
    def apply(document: bytes) -> bytes:
        header, signature = document.decode().split("..")
        return json.dumps({"signatures": [{"protected": header, "signature": signature} | members]}).encode()

    return apply


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        pytest.param(_with(lambda h, s: f"{h}.{_b64(PAYLOAD)}.{s}"), "payload of its own", id="attached payload"),
        pytest.param(_with(lambda h, s: f"{h}..{s}="), "canonical spelling", id="padding"),
        pytest.param(_with(lambda h, s: f"{h}==..{s}"), "canonical spelling", id="padding of the header"),
        pytest.param(_with(lambda h, s: f"{h}..{s}\n\n"), "base64url", id="two newlines"),
        pytest.param(_with(lambda h, s: f"{h}..{s} \n"), "base64url", id="a blank and a newline"),
        pytest.param(_with(lambda h, s: f"{h}..{s}\r"), "base64url", id="a carriage return alone"),
        pytest.param(_with(lambda h, s: f"\n{h}..{s}"), "base64url", id="a newline before"),
        pytest.param(_with(lambda h, s: f"\ufeff{h}..{s}"), "neither JSON nor ASCII", id="a byte order mark"),
        pytest.param(_with(lambda h, s: f"{h}..{s[:8]}*{s[8:]}"), "canonical spelling|not base64url", id="junk inside"),
        pytest.param(_with(lambda h, s: f"{h}..{s[:-1]}\u00e9"), "neither JSON nor ASCII", id="not ASCII"),
        pytest.param(_with(lambda h, s: f"{h}..{s}AA"), "base64url|64 bytes|verify", id="another character"),
        pytest.param(_with(lambda h, s: f"{h}.{s}"), "2 parts", id="two parts"),
        pytest.param(_with(lambda h, s: f"{h}..{s}.x.y"), "5 parts", id="five parts, as JWE"),
        pytest.param(_with(lambda h, _: f"{h}.."), "does not verify|64 bytes", id="no signature value"),
        pytest.param(_with(lambda _, s: f"..{s}"), "not JSON", id="no header"),
        pytest.param(_with(lambda _, s: f"{_b64(b'[]')}..{s}"), "a JSON object is expected", id="header a list"),
        pytest.param(_general(header={"kid": "x"}), "exactly 'protected' and 'signature'", id="unprotected header"),
        pytest.param(_general(protected=1), "exactly 'protected' and 'signature'", id="protected a number"),
        pytest.param(_general(protected="é"), "not base64url", id="protected not ASCII"),
        pytest.param(lambda _: b'{"payload": "", "signatures": []}', "payload of its own", id="general with payload"),
        pytest.param(lambda _: b'{"protected": "", "signature": ""}', "the one member 'signatures'", id="flattened"),
        pytest.param(lambda _: b'{"signatures": {}}', "the one member 'signatures'", id="signatures an object"),
        pytest.param(lambda _: b'{"signatures": [1]}', "signature 0: exactly", id="a number for a signature"),
        pytest.param(lambda _: b'{"signatures": [], "signatures": [1]}', "is there twice", id="signatures twice"),
        pytest.param(lambda _: b"{" + b" " * 1_100_000 + b"}", "over the limit", id="a megabyte of white space"),
        pytest.param(lambda _: b"{" + b"[" * 100, "over the limit", id="nesting"),
        pytest.param(lambda _: b"{", "not JSON", id="cut off"),
    ],
)
def test_a_document_of_another_form_is_refused(key: PrivateKey, change: Callable[[bytes], bytes], fault: str) -> None:
    with pytest.raises(SignatureError, match=fault):
        jws.verify(change(jws.sign(PAYLOAD, [key])), PAYLOAD, _trust(key))


def test_the_unused_bits_of_the_last_character_must_be_zero(keys: Mapping[Algorithm, PrivateKey]) -> None:
    key = keys[Algorithm.ES256]
    document = jws.sign(PAYLOAD, [key])
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    # 64 bytes end in a character of which four bits are unused: its neighbours decode to the same signature.
    twin = document[:-1] + alphabet[alphabet.index(document[-1:]) + 1 :][:1]
    with pytest.raises(SignatureError, match="one canonical spelling"):
        jws.verify(twin, PAYLOAD, _trust(key))


ONE = generate(Algorithm.ES256)
TWO = generate(Algorithm.ED25519)


@settings(max_examples=examples(200), deadline=None)
@given(st.sampled_from([[ONE], [TWO]]), st.integers(min_value=0), st.integers(1, 255))
def test_any_one_byte_change_of_a_compact_document_is_refused(keys: list[PrivateKey], place: int, flip: int) -> None:
    document = bytearray(jws.sign(PAYLOAD, keys))
    document[place % len(document)] ^= flip
    with pytest.raises(KitError):
        jws.verify(bytes(document), PAYLOAD, _trust(*keys))


@settings(max_examples=examples(200), deadline=None)
@given(st.integers(min_value=0), st.integers(1, 255))
def test_a_one_byte_change_of_a_general_document_never_adds_a_signer(place: int, flip: int) -> None:
    document = bytearray(jws.sign(PAYLOAD, [ONE, TWO]))
    place %= len(document)
    before = document[place]
    document[place] ^= flip
    try:
        check = jws.verify(bytes(document), PAYLOAD, _trust(ONE, TWO))
    except KitError:
        return
    if len(check.valid_key_ids) == 1:  # the change made another name of a trusted one: reported as a stranger
        assert set(check.valid_key_ids) < set(_trust(ONE, TWO))
        return
    # Only white space between the tokens has a second spelling in JSON.
    assert chr(before).isspace()
    assert chr(document[place]).isspace()
    assert check == jws.verify(jws.sign(PAYLOAD, [ONE, TWO]), PAYLOAD, _trust(ONE, TWO))


@settings(deadline=None)
@given(st.binary(max_size=60), st.integers(min_value=0), st.integers(1, 255))
def test_any_one_byte_change_of_the_payload_is_refused(payload: bytes, place: int, flip: int) -> None:
    document = jws.sign(payload, [ONE, TWO])
    changed = bytearray(payload + b"\n")
    jws.verify(document, payload, _trust(ONE))
    changed[place % len(changed)] ^= flip
    for other in (bytes(changed), payload + b"\n", payload[1:] if payload else b" "):
        with pytest.raises(SignatureError):
            jws.verify(document, other, _trust(ONE))


@given(st.binary(max_size=200) | st.text('{}[]":,.abcsignatureprotected', max_size=80).map(str.encode))
def test_arbitrary_bytes_raise_nothing_but_our_own_errors(document: bytes) -> None:
    with pytest.raises(KitError):
        jws.verify(document, PAYLOAD, _trust(ONE))


def _jose_key(key: PublicKey) -> Any:
    return import_key(key.pem, KIND[key.algorithm])  # type: ignore[call-overload]


@pytest.mark.filterwarnings("ignore:.*EdDSA")
def test_joserfc_verifies_our_compact_document(key: PrivateKey) -> None:
    found = jose.deserialize_compact(
        jws.sign(PAYLOAD, [key]), _jose_key(key.public), algorithms=JOSE_NAMES, payload=PAYLOAD
    )
    assert found.headers() == _header(key)


@pytest.mark.filterwarnings("ignore:.*EdDSA")
def test_joserfc_verifies_our_general_document(keys: Mapping[Algorithm, PrivateKey]) -> None:
    document = json.loads(jws.sign(PAYLOAD, list(keys.values())))
    by_id = {key.public.key_id: _jose_key(key.public) for key in keys.values()}
    whole = document | {"payload": PAYLOAD.decode()}
    found = jose.deserialize_json(whole, lambda obj: by_id[obj.headers()["kid"]], algorithms=JOSE_NAMES)
    assert found.payload == PAYLOAD


@pytest.mark.filterwarnings("ignore:.*EdDSA")
def test_we_verify_what_joserfc_signs(keys: Mapping[Algorithm, PrivateKey]) -> None:
    members = []
    secrets = {}
    for key in keys.values():
        secret = import_key(key.pem(), KIND[key.public.algorithm])  # type: ignore[call-overload]
        secrets[key.public.key_id] = secret
        members.append({"protected": _header(key)})
        compact = jose.serialize_compact(_header(key), PAYLOAD, secret, algorithms=JOSE_NAMES)
        assert jws.verify(compact.encode(), PAYLOAD, _trust(key)).valid_key_ids == (key.public.key_id,)
    general = dict(
        jose.serialize_json(
            members,  # type: ignore[arg-type]
            PAYLOAD,
            lambda obj: secrets[obj.headers()["kid"]],
            algorithms=JOSE_NAMES,
        )
    )
    general.pop("payload")
    check = jws.verify(json.dumps(general).encode(), PAYLOAD, _trust(*keys.values()))
    assert len(check.valid_key_ids) == 3


def test_openssl_verifies_our_es256_and_ps256(
    tmp_path: Path, openssl: str, keys: Mapping[Algorithm, PrivateKey]
) -> None:
    for kind, options in (
        (Algorithm.ES256, []),
        (Algorithm.PS256, ["-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:32"]),
    ):
        key = keys[kind]
        header, signature = jws.sign(PAYLOAD, [key]).decode().split("..")
        raw = base64.urlsafe_b64decode(signature + "==")
        if kind is Algorithm.ES256:
            raw = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
        (tmp_path / "sig").write_bytes(raw)
        (tmp_path / "key").write_bytes(key.public.pem)
        (tmp_path / "input").write_bytes(header.encode() + b"." + PAYLOAD)
        command = [openssl, "dgst", "-sha256", *options, "-verify", "key", "-signature", "sig", "input"]
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)


def test_the_signatures_of_the_shared_kits_verify(shared_manifest: tuple[bytes, bytes]) -> None:
    manifest, signature = shared_manifest
    key = load_public(SHARED_KEY)
    assert jws.verify(signature, manifest, {key.key_id: key}).valid_key_ids == (key.key_id,)
    with pytest.raises(SignatureError):
        jws.verify(signature, manifest + b"\n", {key.key_id: key})


@pytest.mark.parametrize(
    "respell",
    [
        pytest.param(lambda text: text.replace("\n", " ", 1), id="a blank for a line feed"),
        pytest.param(lambda text: text.replace("  ", "\t ", 1), id="a tab for a blank"),
        pytest.param(lambda text: text + "\n", id="a line feed more"),
        pytest.param(lambda text: text + " \n", id="a blank and a line feed more"),
        pytest.param(lambda text: text.replace("protected", "\\u0070rotected", 1), id="an escape"),
        pytest.param(lambda text: text.replace("\n", ""), id="another indentation"),
        pytest.param(lambda text: json.dumps(json.loads(text)).replace(", ", ",", 1), id="uneven"),
    ],
)
def test_what_no_signature_covers_has_no_second_spelling(
    respell: Callable[[str], str], keys: Mapping[Algorithm, PrivateKey], trusted: Mapping[str, PublicKey]
) -> None:
    document = jws.sign(PAYLOAD, list(keys.values())).decode()
    for whole in (document, json.dumps(json.loads(document)), json.dumps(json.loads(document), separators=(",", ":"))):
        assert jws.verify(whole.encode(), PAYLOAD, trusted).valid_key_ids == tuple(sorted(trusted))
    with pytest.raises(SignatureError, match="other blanks or escapes"):
        jws.verify(respell(document).encode(), PAYLOAD, trusted)


@pytest.mark.parametrize("end", [b"\n", b"\r\n"], ids=["LF", "CRLF"])
def test_the_end_of_the_last_line_says_nothing(
    end: bytes, keys: Mapping[Algorithm, PrivateKey], trusted: Mapping[str, PublicKey]
) -> None:
    several = json.loads(jws.sign(PAYLOAD, list(keys.values())))
    compact = jws.sign(PAYLOAD, [keys[Algorithm.ED25519]])
    one_line = json.dumps(several).encode()
    printed = jws.sign(PAYLOAD, list(keys.values())).removesuffix(b"\n")
    for document in (compact, one_line, printed):
        for text in (document, document + end):
            assert jws.verify(text, PAYLOAD, trusted).valid_key_ids
    assert jws.join([compact + end]) == jws.join([compact])

from __future__ import annotations

import base64
import os
import pickle
import resource
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa, x25519
from hypothesis import given, settings, strategies as st
from joserfc.jwk import import_key

from kit.errors import KeyUnusableError, OutputError, SignatureError
from kit.signing import (
    Algorithm,
    PrivateKey,
    PublicKey,
    generate,
    load_private,
    load_public,
    write_private,
    write_public,
)
from kit.signing.keys import _b64_integer, _thumbprint
from tests.tiers import examples, slow

PEM = serialization.Encoding.PEM
PKCS8 = serialization.PrivateFormat.PKCS8
SPKI = serialization.PublicFormat.SubjectPublicKeyInfo
PLAIN = serialization.NoEncryption()


def _integer(text: str) -> int:
    return int.from_bytes(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), "big")


def test_es256_signs_as_rfc_6979_a_2_5_says_in_the_lower_form() -> None:
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    higher = 0xF7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8
    secret = 0xC9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721
    key = PrivateKey(ec.derive_private_key(secret, ec.SECP256R1()))
    assert key.sign(b"sample").hex().upper() == (
        f"EFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716{order - higher:064X}"
    )
    assert key.sign(b"test").hex().upper() == (
        "F1ABB023518351CD71D881567B1EA663ED3EFCF6C5132B354F28D3B0B7D38367"
        "019F4113742A2B14BD25926B49C649155F267E60D3814B4C0CC84250E46F0083"
    )


def test_the_thumbprint_of_an_rsa_key_is_that_of_rfc_7638_3_1() -> None:
    modulus = (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n"
        "3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zg"
        "dAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFC"
        "ur-kEgU8awapJzKnqDKgw"
    )
    handle = rsa.RSAPublicNumbers(65537, _integer(modulus)).public_key()
    # The example has 2048 bits, which is refused as a key; its thumbprint is still the one defined.
    numbers = handle.public_numbers()
    members = {"e": _b64_integer(numbers.e), "kty": "RSA", "n": _b64_integer(numbers.n)}
    assert _thumbprint(members) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


def test_the_thumbprint_of_an_ed25519_key_is_that_of_rfc_8037_a_3() -> None:
    raw = base64.urlsafe_b64decode("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo=")
    pem = ed25519.Ed25519PublicKey.from_public_bytes(raw).public_bytes(PEM, SPKI)
    assert PublicKey.parse(pem).key_id == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


def test_key_ids_are_the_thumbprints_joserfc_computes(key: PrivateKey) -> None:
    kind = {Algorithm.ED25519: "OKP", Algorithm.ES256: "EC", Algorithm.PS256: "RSA"}[key.public.algorithm]
    assert import_key(key.public.pem, kind).thumbprint() == key.public.key_id  # type: ignore[call-overload]


def test_a_public_key_survives_printing_and_parsing(key: PrivateKey) -> None:
    assert PublicKey.parse(key.public.pem) == key.public
    assert hash(PublicKey.parse(key.public.pem)) == hash(key.public)


@pytest.mark.parametrize("passphrase", [None, b"correct horse"])
def test_a_private_key_survives_printing_and_parsing(key: PrivateKey, passphrase: bytes | None) -> None:
    assert PrivateKey.parse(key.pem(passphrase), passphrase).public == key.public


def test_a_private_key_does_not_show_itself(key: PrivateKey) -> None:
    assert repr(key) == f"PrivateKey({key.public.algorithm}, {key.public.key_id})"
    with pytest.raises(TypeError, match="process borders"):
        pickle.dumps(key)


@pytest.mark.parametrize("kind", [Algorithm.ED25519, Algorithm.ES256])
def test_equal_data_give_equal_signatures(kind: Algorithm) -> None:
    key = generate(kind)
    assert key.sign(b"x") == key.sign(b"x")
    assert key.sign_der(b"x") == key.sign_der(b"x")


@settings(max_examples=examples(60), deadline=None)
@given(st.data())
def test_no_one_byte_change_of_signature_or_data_verifies(data: st.DataObject) -> None:
    key = data.draw(st.sampled_from(_KEYS))
    message = data.draw(st.binary(min_size=1, max_size=40))
    signature = key.sign(message)
    key.public.verify(signature, message)
    target = bytearray(data.draw(st.sampled_from([signature, message])))
    which = bytes(target)
    target[data.draw(st.integers(0, len(target) - 1))] ^= data.draw(st.integers(1, 255))
    changed = bytes(target)
    with pytest.raises(SignatureError):
        key.public.verify(changed if which == signature else signature, changed if which == message else message)


@given(st.binary(max_size=80))
def test_arbitrary_bytes_are_no_signature_and_no_crash(signature: bytes) -> None:
    for key in _KEYS:
        for verify in (key.public.verify, key.public.verify_der):
            with pytest.raises(SignatureError):
                verify(signature, b"x")


_KEYS = [generate(kind) for kind in Algorithm]


@pytest.mark.parametrize(
    ("make", "met"),
    [
        pytest.param(lambda: ec.generate_private_key(ec.SECP384R1()), "an EC key on curve secp384r1", id="P-384"),
        pytest.param(lambda: ec.generate_private_key(ec.SECP256K1()), "an EC key on curve secp256k1", id="secp256k1"),
        pytest.param(lambda: rsa.generate_private_key(65537, 2048), "an RSA key of 2048 bits", id="a short RSA key"),
        pytest.param(ed448.Ed448PrivateKey.generate, "a key of kind Ed448", id="Ed448"),
        pytest.param(x25519.X25519PrivateKey.generate, "a key of kind X25519", id="X25519"),
        pytest.param(lambda: dsa.generate_private_key(2048), "a key of kind DSA", id="DSA"),
    ],
)
def test_keys_of_other_kinds_are_refused_by_name(
    make: Callable[[], ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey], met: str
) -> None:
    handle = make()
    with pytest.raises(KeyUnusableError, match=met):
        PrivateKey.parse(handle.private_bytes(PEM, PKCS8, PLAIN))
    with pytest.raises(KeyUnusableError, match=met):
        PublicKey.parse(handle.public_key().public_bytes(PEM, SPKI))


def test_an_rsa_key_made_to_stall_the_verifier_is_refused() -> None:
    handle = rsa.RSAPublicNumbers(65537, (1 << 16390) + 1).public_key()
    with pytest.raises(KeyUnusableError, match="an RSA key of 16391 bits"):
        PublicKey.parse(handle.public_bytes(PEM, SPKI))


def test_a_key_of_the_wrong_half_is_named_as_such(key: PrivateKey) -> None:
    with pytest.raises(KeyUnusableError, match=r"a private key .PRIVATE KEY. where a public key is expected"):
        PublicKey.parse(key.pem())
    with pytest.raises(KeyUnusableError, match=r"a private key .ENCRYPTED PRIVATE KEY. where a public"):
        PublicKey.parse(key.pem(b"secret"))
    with pytest.raises(KeyUnusableError, match="a public key where a private key is expected"):
        PrivateKey.parse(key.public.pem)


@pytest.mark.parametrize(
    ("pem", "fault"),
    [
        pytest.param(b"", "not a public key in a form that is known", id="nothing"),
        pytest.param(b"-----BEGIN PUBLIC KEY-----\n!!\n-----END PUBLIC KEY-----\n", "that can be read", id="no base64"),
        pytest.param(b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "that can be read", id="no DER"),
        pytest.param(b"-----BEGIN CERTIFICATE-----\n", "a certificate where a public key", id="a certificate"),
        pytest.param(_KEYS[0].public.pem * 2, "2 PEM blocks", id="two keys"),
    ],
)
def test_what_is_not_one_public_key_is_refused(pem: bytes, fault: str) -> None:
    with pytest.raises(KeyUnusableError, match=fault):
        PublicKey.parse(pem, where="k.pem")


@settings(deadline=None)
@given(st.sampled_from(_KEYS[:2]), st.booleans(), st.integers(min_value=0), st.integers(1, 255))
def test_a_damaged_key_is_refused_or_is_another_key(key: PrivateKey, public: bool, place: int, flip: int) -> None:  # noqa: FBT001
    pem = bytearray(key.public.pem if public else key.pem())
    pem[place % len(pem)] ^= flip
    try:
        met = PublicKey.parse(bytes(pem)) if public else PrivateKey.parse(bytes(pem)).public
    except KeyUnusableError:
        return
    assert (met.key_id == key.public.key_id) is (met == key.public)


def test_documents_have_keys_in_one_form_only() -> None:
    handle = ec.generate_private_key(ec.SECP256R1())
    sec1 = handle.private_bytes(PEM, serialization.PrivateFormat.TraditionalOpenSSL, PLAIN)
    with pytest.raises(KeyUnusableError, match="not in PKCS#8"):
        PrivateKey.parse(sec1)
    with pytest.raises(KeyUnusableError, match="not in PEM"):
        PublicKey.parse(handle.public_key().public_bytes(serialization.Encoding.DER, SPKI))


def test_a_key_whose_algorithm_was_swapped_for_one_of_another_length_is_refused() -> None:
    der = bytearray.fromhex("302e020100300506032b657004220420" + "07" * 32)
    der[11] ^= 1  # Ed25519 (1.3.101.112) becomes Ed448 (1.3.101.113)
    body = base64.encodebytes(bytes(der))
    with pytest.raises(KeyUnusableError, match="not a private key that can be read"):
        PrivateKey.parse(b"-----BEGIN PRIVATE KEY-----\n" + body + b"-----END PRIVATE KEY-----\n")


def test_a_damaged_private_key_is_refused() -> None:
    with pytest.raises(KeyUnusableError, match="not a private key that can be read"):
        PrivateKey.parse(b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")


def test_passphrases_are_asked_for_exactly_when_needed() -> None:
    key = _KEYS[0]
    with pytest.raises(KeyUnusableError, match="no passphrase was given"):
        PrivateKey.parse(key.pem(b"secret"))
    with pytest.raises(KeyUnusableError, match="wrong passphrase"):
        PrivateKey.parse(key.pem(b"secret"), b"guess")
    with pytest.raises(KeyUnusableError, match="wrong passphrase"):
        PrivateKey.parse(key.pem(b"secret"), b"")
    with pytest.raises(KeyUnusableError, match="an empty passphrase protects nothing"):
        key.pem(b"")
    with pytest.raises(KeyUnusableError, match="the key is not encrypted"):
        PrivateKey.parse(key.pem(), b"secret")


@pytest.mark.parametrize("passphrase", [None, b"secret"])
def test_key_files_read_back(tmp_path: Path, key: PrivateKey, passphrase: bytes | None) -> None:
    write_private(tmp_path / "k.pem", key, passphrase)
    write_public(tmp_path / "k.pub.pem", key.public)
    assert (tmp_path / "k.pem").stat().st_mode & 0o7777 == 0o600
    assert load_private(tmp_path / "k.pem", lambda: passphrase or pytest.fail("asked")).public == key.public
    assert load_public(tmp_path / "k.pub.pem") == key.public


def test_an_encrypted_key_without_a_way_to_ask_is_refused(tmp_path: Path) -> None:
    write_private(tmp_path / "k.pem", _KEYS[0], b"secret")
    with pytest.raises(KeyUnusableError, match="no way to ask"):
        load_private(tmp_path / "k.pem", None)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o610, 0o602, 0o644])
def test_a_private_key_others_can_get_at_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "k.pem"
    write_private(path, _KEYS[0])
    path.chmod(mode)
    with pytest.raises(KeyUnusableError, match=f"mode {mode:04o}") as caught:
        load_private(path, None)
    assert caught.value.hint == f"chmod 600 {path}"


def test_a_link_is_followed_to_a_public_key_only(tmp_path: Path) -> None:
    write_private(tmp_path / "k.pem", _KEYS[0])
    write_public(tmp_path / "k.pub.pem", _KEYS[0].public)
    (tmp_path / "link").symlink_to("k.pem")
    (tmp_path / "link.pub").symlink_to("k.pub.pem")
    with pytest.raises(KeyUnusableError, match="symbolic link"):
        load_private(tmp_path / "link", None)
    assert load_public(tmp_path / "link.pub") == _KEYS[0].public


def test_what_is_not_a_key_file_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo", 0o600)
    (tmp_path / "big").write_bytes(b"x" * 70_000)
    (tmp_path / "big").chmod(0o600)
    for name, fault in [
        ("absent", "No such file"),
        ("fifo", "not a regular file"),
        (".", "not a regular file|Is a directory"),
        ("big", "larger than any (private )?key"),
    ]:
        with pytest.raises(KeyUnusableError, match=fault):
            load_private(tmp_path / name, None)
        with pytest.raises(KeyUnusableError, match=fault):
            load_public(tmp_path / name)


def test_a_key_is_never_written_over_anything(tmp_path: Path) -> None:
    (tmp_path / "there").write_bytes(b"precious")
    (tmp_path / "dangling").symlink_to("elsewhere")
    for name in ("there", "dangling"):
        with pytest.raises(OutputError, match="already there"):
            write_private(tmp_path / name, _KEYS[0])
    assert (tmp_path / "there").read_bytes() == b"precious"
    assert not (tmp_path / "elsewhere").exists()
    with pytest.raises(OutputError, match="No such file"):
        write_public(tmp_path / "no/folder", _KEYS[0].public)


def test_a_key_that_cannot_be_written_leaves_no_file(tmp_path: Path) -> None:
    # A file size limit of 10 bytes fails the write the way a full disk does.
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, old[1]))
    try:
        with pytest.raises(OutputError, match="cannot write the key"):
            write_private(tmp_path / "k.pem", _KEYS[0])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, handler)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        (Algorithm.ED25519, ["-algorithm", "ed25519"]),
        (Algorithm.ES256, ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]),
        *slow((Algorithm.PS256, ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:3072"])),
    ],
)
def test_keys_openssl_makes_are_read(tmp_path: Path, openssl: str, kind: Algorithm, arguments: list[str]) -> None:
    private, public = tmp_path / "k.pem", tmp_path / "k.pub"
    subprocess.run([openssl, "genpkey", *arguments, "-out", private], check=True, capture_output=True)
    subprocess.run([openssl, "pkey", "-in", private, "-pubout", "-out", public], check=True)
    private.chmod(0o600)
    assert load_private(private, None).public == load_public(public)
    assert load_public(public).algorithm is kind
    assert load_public(public).pem == public.read_bytes()

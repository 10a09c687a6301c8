"""Key files in every form that people have: read as what they are, or named with a command that converts them."""

from __future__ import annotations

import base64
import json
import shlex
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given, settings, strategies as st
from joserfc.jwk import import_key

from kit.errors import KeyUnusableError
from kit.signing import Algorithm, PrivateKey, PublicKey, archive_signature, load_private, load_public
from kit.signing.encodings import decrypt_pkcs8, form_of, public_blocks
from kit.signing.key_forms import as_pkcs8, as_spki
from kit.values import Sha256
from tests.tiers import slow

PEM, DER = serialization.Encoding.PEM, serialization.Encoding.DER
PKCS8, OLD = serialization.PrivateFormat.PKCS8, serialization.PrivateFormat.TraditionalOpenSSL
OPENSSH = serialization.PrivateFormat.OpenSSH
SPKI, PKCS1 = serialization.PublicFormat.SubjectPublicKeyInfo, serialization.PublicFormat.PKCS1
PLAIN = serialization.NoEncryption()
PASSPHRASE = b"correct horse"
Handle = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
needs_ssh_keygen = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="needs ssh-keygen")


def handle_of(key: PrivateKey) -> Handle:
    handle = serialization.load_pem_private_key(key.pem(), None)
    assert isinstance(handle, Handle)
    return handle


def jwk_of(key: PrivateKey, *, private: bool) -> dict[str, Any]:
    kind = {Algorithm.ED25519: "OKP", Algorithm.ES256: "EC", Algorithm.PS256: "RSA"}[key.public.algorithm]
    made: dict[str, Any] = import_key(key.pem(), kind).as_dict(private=private)  # type: ignore[call-overload]
    return made


def sequence(*parts: bytes) -> bytes:
    return tagged(0x30, b"".join(parts))


def tagged(tag: int, body: bytes) -> bytes:
    size = len(body)
    length = bytes([size]) if size < 128 else b"\x82" + size.to_bytes(2, "big")
    return bytes([tag]) + length + body


def version_1(handle: Handle, public: bytes | None = None, tag: int = 0x81) -> bytes:
    """Return PKCS#8 of version 1, which has the public key beside the private one (RFC 5958)."""
    plain = handle.private_bytes(DER, PKCS8, PLAIN)
    body = plain[4:] if plain[1] == 0x82 else plain[3:] if plain[1] == 0x81 else plain[2:]
    if public is None:
        match handle.public_key():
            case ed25519.Ed25519PublicKey() as key:
                public = key.public_bytes_raw()
            case ec.EllipticCurvePublicKey() as key:
                public = key.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
            case rsa.RSAPublicKey() as key:
                public = key.public_bytes(DER, PKCS1)
    bits = b"\0" + public
    return sequence(b"\x02\x01\x01", body[3:], tagged(tag, bits if tag == 0x81 else tagged(0x03, bits)))


def in_pem(label: str, der: bytes) -> bytes:
    return f"-----BEGIN {label}-----\n".encode() + base64.encodebytes(der) + f"-----END {label}-----\n".encode()


AROUND: dict[str, Callable[[bytes], bytes]] = {
    "as it is": lambda pem: pem,
    "CRLF": lambda pem: pem.replace(b"\n", b"\r\n"),
    "a byte order mark": lambda pem: b"\xef\xbb\xbf" + pem,
    "UTF-16 LE": lambda pem: b"\xff\xfe" + pem.decode().encode("utf-16-le"),
    "UTF-16 BE, CRLF": lambda pem: b"\xfe\xff" + pem.decode().replace("\n", "\r\n").encode("utf-16-be"),
    "Bag Attributes": lambda pem: b"Bag Attributes\n    localKeyID: 01 02\nKey Attributes: <No Attributes>\n" + pem,
    "what kit keys show prints": lambda pem: b"key id:      x\nalgorithm:   ES256\n" + pem,
    "a comment behind": lambda pem: pem + b"\n# see https://example.org\n",
    "what openssl pkey -text prints": lambda pem: (
        pem + b"Public-Key: (256 bit)\npub:\n    04:1e\nASN1 OID: prime256v1\n"
    ),
    "blanks before": lambda pem: b"\n\n" + pem,
    "no newline at the end": lambda pem: pem.rstrip(),
    "lines of 76": lambda pem: in_pem(pem.split(b"-----")[1].removeprefix(b"BEGIN ").decode(), _body(pem)),
}


def _body(pem: bytes) -> bytes:
    return base64.b64decode(b"".join(pem.split(b"-----")[2].split()))


@pytest.mark.parametrize("around", AROUND.values(), ids=AROUND)
def test_what_is_around_a_block_says_nothing(around: Callable[[bytes], bytes], key: PrivateKey) -> None:
    assert PublicKey.parse(as_spki(around(key.public.pem), where="k")) == key.public
    assert PublicKey.parse(around(key.public.pem)) == key.public
    assert PrivateKey.parse(as_pkcs8(around(key.pem()), where="k")).public == key.public
    assert PrivateKey.parse(around(key.pem(PASSPHRASE)), PASSPHRASE).public == key.public


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"#!/bin/sh\n", b""),
        (b"cat << 'PEM'\n", b"PEM\n"),
        (b"", b"}\n"),
        (b"<html>\n", b""),
        (b"see the ticket\n", b""),
        (b"key='", b"'\n"),
        (b"site: |\n  ", b""),
    ],
)
def test_a_file_that_has_a_key_in_it_is_no_key_file(before: bytes, after: bytes, key: PrivateKey) -> None:
    for pem, read in ((key.public.pem, as_spki), (key.pem(), as_pkcs8)):
        with pytest.raises(KeyUnusableError, match="no key file"):
            read(before + pem + after, where="k")
    with pytest.raises(KeyUnusableError, match="no key file"):
        public_blocks(before + key.public.pem * 2 + after, "k")


def private_forms(key: PrivateKey) -> dict[str, bytes]:
    handle = handle_of(key)
    forms = {
        "PKCS#8 in DER": handle.private_bytes(DER, PKCS8, PLAIN),
        "its base64": base64.encodebytes(handle.private_bytes(DER, PKCS8, PLAIN)),
        "PKCS#8 of version 1": in_pem("PRIVATE KEY", version_1(handle)),
        "PKCS#8 of version 1, DER": version_1(handle),
        "PKCS#8 of version 1, explicit tag": in_pem("PRIVATE KEY", version_1(handle, tag=0xA1)),
        "OpenSSH": handle.private_bytes(PEM, OPENSSH, PLAIN),
        "JWK": json.dumps(jwk_of(key, private=True)).encode(),
        "JWK, for signatures": json.dumps(jwk_of(key, private=True) | {"use": "sig", "kid": "7"}).encode(),
        "a JWK set of one": json.dumps({"keys": [jwk_of(key, private=True)]}).encode(),
    }
    if key.public.algorithm is not Algorithm.ED25519:
        forms["PKCS#1 or SEC1"] = handle.private_bytes(PEM, OLD, PLAIN)
        forms["PKCS#1 or SEC1, DER"] = handle.private_bytes(DER, OLD, PLAIN)
    if key.public.algorithm is Algorithm.ES256:
        curve = in_pem("EC PARAMETERS", bytes.fromhex("06082a8648ce3d030107"))
        forms["as openssl ecparam -genkey prints it"] = curve + forms["PKCS#1 or SEC1"]
    return forms


def public_forms(key: PrivateKey) -> dict[str, bytes]:
    handle = handle_of(key).public_key()
    ssh = handle.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    forms = {
        "SPKI in DER": handle.public_bytes(DER, SPKI),
        "its base64": base64.encodebytes(handle.public_bytes(DER, SPKI)),
        "OpenSSH": ssh,
        "OpenSSH with a comment": ssh + b" ada@desk\r\n",
        "JWK": json.dumps(jwk_of(key, private=False)).encode(),
        "JWK, for verification": json.dumps(jwk_of(key, private=False) | {"key_ops": ["verify"]}).encode(),
    }
    if isinstance(handle, rsa.RSAPublicKey):
        forms["PKCS#1"] = handle.public_bytes(PEM, PKCS1)
        forms["PKCS#1 in DER"] = handle.public_bytes(DER, PKCS1)
    return forms


@pytest.mark.parametrize("key", [Algorithm.ED25519, Algorithm.ES256, *slow(Algorithm.PS256)], indirect=True, ids=str)
def test_every_form_of_a_key_is_that_key(key: PrivateKey, tmp_path: Path) -> None:
    path = tmp_path / "k"
    for form, data in private_forms(key).items():
        path.write_bytes(data)
        path.chmod(0o600)
        assert load_private(path).public == key.public, form
        with pytest.raises(KeyUnusableError, match="private key"):
            load_public(path)
    for form, data in public_forms(key).items():
        path.write_bytes(data)
        assert load_public(path) == key.public, form
        with pytest.raises(KeyUnusableError, match="a public key"):
            load_private(path)


def test_an_encrypted_key_in_der_asks_for_its_passphrase(key: PrivateKey, tmp_path: Path) -> None:
    path = tmp_path / "k"
    path.write_bytes(_body(key.pem(PASSPHRASE)))
    path.chmod(0o600)
    assert load_private(path, lambda: PASSPHRASE).public == key.public
    with pytest.raises(KeyUnusableError, match="wrong passphrase"):
        load_private(path, lambda: b"guess")


@pytest.mark.parametrize("tag", [0x81, 0xA1])
def test_a_key_with_the_public_key_of_another_is_refused(key: PrivateKey, tag: int) -> None:
    other = bytes(32) if key.public.algorithm is Algorithm.ED25519 else bytes(65)
    with pytest.raises(KeyUnusableError, match="is not that of its private key"):
        PrivateKey.parse(in_pem("PRIVATE KEY", version_1(handle_of(key), other, tag)))


def test_a_jwk_is_held_to_what_it_says_of_itself(keys: Mapping[Algorithm, PrivateKey], stranger: PrivateKey) -> None:
    jwk = jwk_of(keys[Algorithm.ED25519], private=True)
    rsa_jwk = jwk_of(keys[Algorithm.PS256], private=True)
    for changed, why in (
        (jwk | {"x": jwk_of(stranger, private=True)["x"]}, "public part is not that of its private part"),
        (jwk | {"use": "enc"}, "not for signatures"),
        (jwk | {"key_ops": ["encrypt"]}, "not for signatures"),
        (jwk | {"key_ops": "sign"}, "not for signatures"),
        (jwk | {"alg": "ES512"}, "a JWK for 'ES512'"),
        (rsa_jwk | {"alg": "RS256"}, "a JWK for 'RS256'"),
        (jwk | {"crv": "X25519"}, "public part is not that|a key of kind X25519"),
        (jwk | {"crv": "P-999"}, "not a private key that can be read|not a JWK that can be read"),
        (jwk | {"d": 1}, "not a JWK that can be read"),
        (jwk | {"kty": "oct", "k": "AAAA"}, "a JWK of kind 'oct'"),
        (jwk | {"kty": ["OKP"]}, "a JWK of kind"),
        ({"keys": [jwk, rsa_jwk]}, "a JWK set of 2 keys"),
        ({"keys": []}, "a JWK set of 0 keys"),
        ({"keys": ["x"]}, "a JWK set of 1 keys"),
        ({}, "a JWK of kind 'None'"),
    ):
        with pytest.raises(KeyUnusableError, match=why):
            PrivateKey.parse(as_pkcs8(json.dumps(changed).encode(), where="k"))
    with pytest.raises(KeyUnusableError, match=r"not a key: .* is there twice"):
        as_pkcs8(json.dumps(jwk).encode()[:-1] + b', "d": "AA"}', where="k")


@pytest.mark.parametrize(
    ("data", "what"),
    [
        pytest.param(b"PuTTY-User-Key-File-3: ssh-ed25519\n", "a key of PuTTY", id="PuTTY"),
        pytest.param(b"---- BEGIN SSH2 PUBLIC KEY ----\nAAAA\n", "SSH2", id="SSH2"),
        pytest.param(b"untrusted comment: minisign public key\nRWQ=\n", "minisign", id="minisign"),
        pytest.param(b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmDME\n", "OpenPGP", id="OpenPGP"),
        pytest.param(b"-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\ne30=\n", "cosign", id="cosign"),
        pytest.param(b"age1qqqq\n", "age", id="age"),
        pytest.param(b"# created: 2026\n# public key: age1\nAGE-SECRET-KEY-1QQ\n", "age", id="an age identity"),
        pytest.param(b"\xfe\xed\xfe\xed\0\0\0\2", "Java", id="JKS"),
        pytest.param(b"-----BEGIN DSA PRIVATE KEY-----\nAAAA\n-----END DSA PRIVATE KEY-----\n", "DSA", id="DSA"),
    ],
)
def test_keys_of_other_tools_are_named(data: bytes, what: str) -> None:
    for read in (as_spki, as_pkcs8):
        with pytest.raises(KeyUnusableError, match=what) as caught:
            read(data, where="k")
        assert caught.value.hint


def test_several_keys_in_one_file_are_refused(key: PrivateKey) -> None:
    ssh = public_forms(key)["OpenSSH"] + b"\n"
    with pytest.raises(KeyUnusableError, match="several keys of OpenSSH"):
        as_spki(ssh * 2, where="k")
    with pytest.raises(KeyUnusableError, match="2 PEM blocks"):
        as_pkcs8(key.pem() + key.public.pem, where="k")
    with pytest.raises(KeyUnusableError, match="certificate of OpenSSH"):
        as_spki(b"ssh-ed25519-cert-v01@openssh.com AAAA", where="k")


@settings(deadline=None)
@given(st.binary(max_size=200), st.sampled_from([b"", b"0\x30", b"{", b"ssh-", b"-----BEGIN PRIVATE KEY-----\n"]))
def test_arbitrary_bytes_are_refused_as_keys(data: bytes, start: bytes) -> None:
    form_of(start + data)
    assert decrypt_pkcs8(start + data, b"x") is None
    for read in (as_spki, as_pkcs8):
        try:
            made = read(start + data, where="k")
        except KeyUnusableError:
            continue
        with pytest.raises(KeyUnusableError):
            PublicKey.parse(made) if read is as_spki else PrivateKey.parse(made)


# The commands that hints name, run as they are, their places filled in.


def run(folder: Path, command: str, **names: str) -> None:
    for place, name in names.items():
        command = command.replace(place, name)
    subprocess.run(["sh", "-c", command], cwd=folder, check=True, capture_output=True)


def hint_of(read: Callable[[Path], object], path: Path, what: str) -> str:
    path.chmod(0o600)
    with pytest.raises(KeyUnusableError, match=what) as caught:
        read(path)
    return caught.value.hint.partition(": ")[2] or caught.value.hint


@pytest.fixture(scope="session")
def pss(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make keys that are only for RSASSA-PSS: plain, encrypted, of restricted parameters, and their public half."""
    folder = tmp_path_factory.mktemp("pss")
    run(folder, "openssl genpkey -algorithm RSA-PSS -pkeyopt rsa_keygen_bits:3072 -out k.pem")
    for command in (
        "openssl pkey -in k.pem -pubout -out k.pub",
        "openssl pkey -in k.pem -outform DER -out k.der",
        "openssl pkey -in k.pem -pubout -outform DER -out k.pub.der",
        "openssl rsa -in k.pem -traditional -out k.old",
        "openssl pkcs8 -topk8 -in k.pem -passout pass:x -out k.enc",
        "openssl pkcs8 -topk8 -in k.pem -passout pass:x -scrypt -out k.scrypt",
        "openssl pkcs8 -topk8 -in k.pem -passout pass:x -v2 aes-128-cbc -v2prf hmacWithSHA512 -out k.aes128",
        "openssl pkcs8 -topk8 -in k.pem -passout pass:x -v2 des3 -out k.des",
    ):
        run(folder, command)
    return folder


@pytest.mark.slow
@needs_openssl
@pytest.mark.parametrize("name", ["k.pem", "k.der", "k.old", "k.enc", "k.scrypt", "k.aes128"])
def test_a_private_key_only_for_rsassa_pss_is_refused_and_becomes_one_that_openssl_can_check(
    pss: Path, tmp_path: Path, name: str
) -> None:
    key = Path(shutil.copy(pss / name, tmp_path / "k"))
    command = hint_of(lambda path: load_private(path, lambda: b"x"), key, "only for RSASSA-PSS")
    run(tmp_path, command if name == "k.old" else f"{command} -passin pass:x", KEY="k")
    made = tmp_path / "k.der"
    made.chmod(0o600)
    signer = load_private(made)
    (tmp_path / "kit").write_bytes(b"kit")
    signature = archive_signature.sign(Sha256.of(b"kit"), signer)
    assert signature is not None
    (tmp_path / "sig").write_bytes(base64.b64decode(signature))
    (tmp_path / "pub").write_bytes(signer.public.pem)
    run(tmp_path, "openssl dgst -sha256 -verify pub -signature sig kit")


@pytest.mark.slow
@needs_openssl
@pytest.mark.parametrize("name", ["k.pub", "k.pub.der"])
def test_a_public_key_only_for_rsassa_pss_likewise(pss: Path, tmp_path: Path, name: str) -> None:
    key = Path(shutil.copy(pss / name, tmp_path / "k"))
    run(tmp_path, hint_of(load_public, key, "only for RSASSA-PSS"), KEY="k")
    assert load_public(tmp_path / "k.der").algorithm is Algorithm.PS256


@pytest.mark.slow
@needs_openssl
def test_an_rsa_key_of_which_it_cannot_be_seen_is_refused_until_it_is_encrypted_anew(
    pss: Path, tmp_path: Path, keys: Mapping[Algorithm, PrivateKey]
) -> None:
    hint_of(
        lambda path: load_private(path, lambda: b"x"), Path(shutil.copy(pss / "k.des", tmp_path)), "not PBES2 with AES"
    )
    (tmp_path / "rsa").write_bytes(keys[Algorithm.PS256].pem())
    run(tmp_path, "openssl pkcs8 -topk8 -in rsa -passout pass:x -v2 des3 -out k")
    command = hint_of(lambda path: load_private(path, lambda: b"x"), tmp_path / "k", "not PBES2 with AES")
    run(tmp_path, f"{command} -passin pass:x -passout pass:x", KEY="k")
    (tmp_path / "k.pkcs8").chmod(0o600)
    assert load_private(tmp_path / "k.pkcs8", lambda: b"x").public == keys[Algorithm.PS256].public


@needs_openssl
@pytest.mark.parametrize("kind", [Algorithm.ES256, Algorithm.PS256])
def test_a_key_that_older_tools_encrypted_is_converted(
    kind: Algorithm, tmp_path: Path, keys: Mapping[Algorithm, PrivateKey]
) -> None:
    old = serialization.BestAvailableEncryption(b"x")
    (tmp_path / "k").write_bytes(handle_of(keys[kind]).private_bytes(PEM, OLD, old))
    command = hint_of(load_private, tmp_path / "k", "as older tools did")
    run(tmp_path, f"{command} -passin pass:x -passout pass:y", KEY="k")
    (tmp_path / "k.pkcs8").chmod(0o600)
    assert load_private(tmp_path / "k.pkcs8", lambda: b"y").public == keys[kind].public


@pytest.mark.slow
@needs_openssl
@pytest.mark.parametrize("form", ["PEM", "DER"])
def test_a_certificate_a_request_and_a_pkcs12_file_are_named_and_give_their_key(
    form: str, tmp_path: Path, keys: Mapping[Algorithm, PrivateKey]
) -> None:
    key = keys[Algorithm.ES256]
    (tmp_path / "key").write_bytes(key.pem())
    run(tmp_path, f"openssl req -x509 -new -key key -subj /CN=x -days 9 -outform {form} -out cert")
    run(tmp_path, hint_of(load_public, tmp_path / "cert", "a certificate where a public key"), CERT="cert", KEY="k")
    assert load_public(tmp_path / "k.pub.pem") == key.public
    run(tmp_path, "openssl req -new -key key -subj /CN=x -out csr")
    run(tmp_path, hint_of(load_public, tmp_path / "csr", "a certificate request"), CSR="csr", KEY="k2")
    assert load_public(tmp_path / "k2.pub.pem") == key.public
    run(tmp_path, f"openssl x509 -inform {form} -in cert -out c.pem")
    run(tmp_path, "openssl pkcs12 -export -inkey key -in c.pem -passout pass:x -out p12")
    command = hint_of(load_private, tmp_path / "p12", "a PKCS#12 file")
    run(tmp_path, f"{command} -passin pass:x -passout pass:x", FILE="p12", KEY="k3")
    (tmp_path / "k3.pem").chmod(0o600)
    assert load_private(tmp_path / "k3.pem", lambda: b"x").public == key.public


@pytest.mark.slow
@needs_ssh_keygen
@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", *slow("rsa")])
def test_keys_of_ssh_keygen_are_read_and_encrypted_ones_converted(kind: str, tmp_path: Path) -> None:
    run(tmp_path, f"ssh-keygen -q -t {kind} -N '' -f k && ssh-keygen -q -t {kind} -N words -f e")
    assert load_private(tmp_path / "k").public == load_public(tmp_path / "k.pub")
    command = hint_of(lambda path: load_private(path, lambda: b"words"), tmp_path / "e", "OpenSSH that is encrypted")
    new = "" if "-N" in shlex.split(command) else " -N words"
    run(tmp_path, f"cp e c; {command} -P words{new}", COPY="c")
    assert load_private(tmp_path / "c", lambda: b"words").public == load_public(tmp_path / "e.pub")


@needs_ssh_keygen
def test_an_ssh2_public_key_is_converted(tmp_path: Path) -> None:
    run(tmp_path, "ssh-keygen -q -t ed25519 -N '' -f k && ssh-keygen -e -f k.pub > s")
    run(tmp_path, hint_of(load_public, tmp_path / "s", "SSH2"), KEY="s")
    assert load_public(tmp_path / "s.pub") == load_public(tmp_path / "k.pub")

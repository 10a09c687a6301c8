from __future__ import annotations

import base64
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from kit.errors import KeyUnusableError, SignatureError, UnsignedError, UntrustedError
from kit.signing import Algorithm, PrivateKey, archive_signature, generate
from kit.values import Sha256

ARCHIVE = b"the whole archive" * 1000
DIGEST = Sha256.of(ARCHIVE)
ABLE = [Algorithm.ES256, Algorithm.PS256]


@pytest.mark.parametrize("kind", ABLE)
def test_a_signature_is_deterministic_and_verifies(kind: Algorithm, keys: Mapping[Algorithm, PrivateKey]) -> None:
    document = archive_signature.sign(DIGEST, keys[kind])
    assert document == archive_signature.sign(DIGEST, keys[kind])
    assert document is not None
    trusted = {key.public.key_id: key.public for key in keys.values()}
    wrapped = base64.encodebytes(base64.b64decode(document))
    for text in (
        document,
        document.removesuffix(b"\n"),
        document + b"\n",
        wrapped,
        wrapped.replace(b"\n", b"\r\n"),
        b"\xef\xbb\xbf" + document,
        b"\xff\xfe" + document.decode().encode("utf-16-le"),
    ):
        assert archive_signature.verify(text, DIGEST, trusted) == keys[kind].public
    with pytest.raises(SignatureError, match="any of 2 trusted keys"):
        archive_signature.verify(document, Sha256.of(ARCHIVE[1:]), trusted)


@pytest.mark.parametrize("kind", ABLE)
@pytest.mark.parametrize("decode", [["base64", "-d"], ["openssl", "base64", "-d", "-A"]], ids=" ".join)
def test_openssl_verifies_the_signature_over_the_archive(
    tmp_path: Path, openssl: str, kind: Algorithm, keys: Mapping[Algorithm, PrivateKey], decode: list[str]
) -> None:
    (tmp_path / "kit.tar").write_bytes(ARCHIVE)
    (tmp_path / "key.pem").write_bytes(keys[kind].public.pem)
    document = archive_signature.sign(DIGEST, keys[kind])
    (tmp_path / "sig").write_bytes(subprocess.run(decode, input=document, check=True, capture_output=True).stdout)
    command = [openssl, "dgst", "-sha256", "-verify", "key.pem", "-signature", "sig", "kit.tar"]
    assert subprocess.run(command, cwd=tmp_path, check=True, capture_output=True).stdout == b"Verified OK\n"


@pytest.mark.parametrize("kind", ABLE)
def test_what_openssl_signs_is_verified(
    tmp_path: Path, openssl: str, kind: Algorithm, keys: Mapping[Algorithm, PrivateKey]
) -> None:
    (tmp_path / "kit.tar").write_bytes(ARCHIVE)
    (tmp_path / "key.pem").write_bytes(keys[kind].pem())
    command = [openssl, "dgst", "-sha256", "-sign", "key.pem", "kit.tar"]
    signature = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True).stdout
    archive_signature.verify(base64.b64encode(signature), DIGEST, {"": keys[kind].public})


def test_an_ed25519_key_leaves_no_archive_signature(keys: Mapping[Algorithm, PrivateKey]) -> None:
    key = keys[Algorithm.ED25519]
    assert archive_signature.sign(DIGEST, key) is None
    with pytest.raises(KeyUnusableError, match="cannot sign a digest"):
        key.sign_digest(DIGEST)
    with pytest.raises(SignatureError, match="cannot sign a digest"):
        key.public.verify_digest(b"", DIGEST)
    with pytest.raises(UntrustedError, match="a P-256 or RSA key is needed"):
        archive_signature.verify(b"QQ==", DIGEST, {"": key.public})


@pytest.mark.parametrize("kind", ABLE)
def test_a_stranger_s_signature_and_other_texts_are_refused(
    kind: Algorithm, keys: Mapping[Algorithm, PrivateKey]
) -> None:
    document = archive_signature.sign(DIGEST, generate(Algorithm.ES256)) or b""
    trusted = {"": keys[kind].public}
    for text in (document, document[:-2], b"!" + document, b"\xff", document[:8] + b"=" + document[8:]):
        with pytest.raises(SignatureError):
            archive_signature.verify(text, DIGEST, trusted)
    with pytest.raises(UnsignedError):
        archive_signature.verify(b"\n", DIGEST, trusted)
    with pytest.raises(UntrustedError):
        archive_signature.verify(document, DIGEST, {})


@pytest.mark.parametrize(
    ("document", "form"),
    [
        pytest.param(b"-----BEGIN PGP SIGNATURE-----\n\niQ==\n", "OpenPGP", id="gpg --armor"),
        pytest.param(b"-----BEGIN SSH SIGNATURE-----\nU1NI\n", "OpenSSH", id="ssh-keygen -Y"),
        pytest.param(b"untrusted comment: signature\nRUQ=\n", "minisign", id="minisign"),
        pytest.param(b'{"base64Signature": "MEQ=", "cert": ""}', "cosign", id="a bundle"),
        pytest.param(bytes.fromhex("3045022100ff") + bytes(65), "binary", id="openssl dgst -sign"),
    ],
)
def test_signatures_of_other_forms_are_named(document: bytes, form: str, keys: Mapping[Algorithm, PrivateKey]) -> None:
    with pytest.raises(SignatureError, match=form) as caught:
        archive_signature.verify(document, DIGEST, {"": keys[Algorithm.ES256].public})
    assert caught.value.hint

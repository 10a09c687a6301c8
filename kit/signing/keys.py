"""Signing keys: three kinds, one algorithm each, and the key id that documents use.

========== ======================== ==================================================================
kind       JOSE algorithm           signatures
========== ======================== ==================================================================
Ed25519    EdDSA (RFC 8037)         RFC 8032, deterministic
P-256      ES256 (RFC 7518 3.4)     deterministic nonce, RFC 6979; s in the lower half
RSA        PS256 (RFC 7518 3.5)     3072 to 16384 bits; salt of 32 random bytes, the only output that varies
========== ======================== ==================================================================

Laws: a key has one algorithm, so no document can choose another for it; equal keys have equal ids, and one key has one
encoding; a key that anybody can sign for, or under which everything verifies, is refused; a private key never shows in
``repr`` or in an error. Of the two forms of an ECDSA signature, (r, s) and (r, n - s), the lower is written and both
are accepted, since stock signers write either.

Files of keys are read and written by :mod:`kit.signing.key_files`.
"""

from __future__ import annotations

import base64
import enum
import hashlib
import json
from dataclasses import dataclass, field
from typing import NoReturn, Self

from cryptography.exceptions import InternalError, InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.backends.openssl import backend
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature, encode_dss_signature

from kit.errors import KeyUnusableError, SignatureError
from kit.signing import encodings
from kit.signing.key_forms import as_pkcs8, as_spki, rsassa_pss
from kit.values import Sha256

MIN_RSA_BITS = 3072
MAX_RSA_BITS = 16384  # past this, one verification is a denial of service
_P256_BYTES = 32  # of each of r and s, and of each coordinate
_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # n (SEC 2 2.4.2)
_ED25519_PRIME = 2**255 - 19
_ED25519_D = -121665 * pow(121666, -1, _ED25519_PRIME) % _ED25519_PRIME  # RFC 8032 5.1
_MIN_EXPONENT, _MAX_EXPONENT_BITS = 3, 256  # FIPS 186-5 5.4 allows no longer ones
_SHA256 = hashes.SHA256()
_PREHASHED = Prehashed(_SHA256)
# RFC 7518 3.5: MGF1 with the same hash, salt as long as the digest.
_PSS = padding.PSS(mgf=padding.MGF1(_SHA256), salt_length=32)


# InternalError: OpenSSL raises it for a key whose length is not that of its algorithm.
_UNREADABLE = (ValueError, TypeError, UnsupportedAlgorithm, InternalError)

_PublicHandle = ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey | rsa.RSAPublicKey
_PrivateHandle = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


class Algorithm(enum.StrEnum):
    """A signature algorithm; the kind of a key decides which."""

    ED25519 = "Ed25519"
    ES256 = "ES256"
    PS256 = "PS256"


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicKey:
    """A verification key. Law: ``PublicKey.parse(k.pem) == k``.

    Attributes:
        algorithm: The one algorithm with which signatures of this key are checked.
        key_id: RFC 7638 thumbprint with SHA-256, base64url: the ``kid`` of JWS and the ``keyid`` of DSSE.
        pem: SubjectPublicKeyInfo, as ``openssl pkey -pubout`` prints it.
    """

    algorithm: Algorithm
    key_id: str
    pem: bytes
    _handle: _PublicHandle = field(repr=False, compare=False)

    @classmethod
    def parse(cls, pem: bytes, *, where: str = "") -> Self:
        """Return the key of one SPKI PEM block; :mod:`kit.signing.key_forms` reads other forms.

        Raises:
            KeyUnusableError: Not one such block, or a key of a kind, curve or size that is refused.
        """
        block = encodings.only_block(pem, where)
        if block is None or block.label != encodings.SPKI:
            as_spki(pem, where=where)  # raises, and names the form
            raise KeyUnusableError("a public key, but not in PEM (a block PUBLIC KEY)", where=where)
        if encodings.is_rsassa_pss(block.der):
            raise rsassa_pss(where, is_private=False)
        try:
            handle = serialization.load_der_public_key(block.der)
        except _UNREADABLE as error:
            raise KeyUnusableError("not a public key that can be read", where=where) from error
        return cls._of(handle, where)

    @classmethod
    def _of(cls, handle: object, where: str) -> Self:
        algorithm, checked, members = _judge(handle, where)
        pem = checked.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        return cls(algorithm=algorithm, key_id=_thumbprint(members), pem=pem, _handle=checked)

    def verify(self, signature: bytes, data: bytes) -> None:
        """Check a signature in JOSE form: ES256 as 64 bytes r || s (RFC 7518 3.4).

        Raises:
            SignatureError: It does not verify, or does not have the form of this key's algorithm.
        """
        if self.algorithm is Algorithm.ES256:
            if len(signature) != 2 * _P256_BYTES:
                raise SignatureError(f"an ES256 signature has 64 bytes (RFC 7518 3.4), not {len(signature)}")
            halves = signature[:_P256_BYTES], signature[_P256_BYTES:]
            signature = encode_dss_signature(*(int.from_bytes(half, "big") for half in halves))
        self.verify_der(signature, data)

    def verify_der(self, signature: bytes, data: bytes) -> None:
        """Check a signature in the form of X.509 and DSSE tools: ECDSA as ASN.1 DER, the others as in JOSE.

        Raises:
            SignatureError: It does not verify.
        """
        try:
            match self._handle:
                case ed25519.Ed25519PublicKey():
                    self._handle.verify(signature, data)
                case ec.EllipticCurvePublicKey():
                    self._handle.verify(signature, data, ec.ECDSA(_SHA256))
                case rsa.RSAPublicKey():
                    self._handle.verify(signature, data, _PSS, _SHA256)
        except InvalidSignature as error:
            raise _does_not_verify(self) from error

    def verify_digest(self, signature: bytes, digest: Sha256) -> None:
        """Check a signature of ``openssl dgst -sha256 -sign``: ECDSA DER, or RSASSA-PKCS1-v1_5 (RFC 8017 8.2).

        Raises:
            SignatureError: It does not verify, or this is an Ed25519 key, which signs whole messages only.
        """
        raw = bytes.fromhex(str(digest))
        try:
            match self._handle:
                case ed25519.Ed25519PublicKey():
                    raise SignatureError(f"Ed25519 key {self.key_id} cannot sign a digest (RFC 8032 4)")
                case ec.EllipticCurvePublicKey():
                    self._handle.verify(signature, raw, ec.ECDSA(_PREHASHED))
                case rsa.RSAPublicKey():
                    self._handle.verify(signature, raw, padding.PKCS1v15(), _PREHASHED)
        except InvalidSignature as error:
            raise _does_not_verify(self) from error


class PrivateKey:
    """A signing key; it shows only its public half."""

    __slots__ = ("_handle", "public")

    def __init__(self, handle: object, *, where: str = "") -> None:
        if not isinstance(handle, _PrivateHandle):
            raise _refused(handle, where)
        self.public = PublicKey._of(handle.public_key(), where)  # noqa: SLF001 (the two classes are one idea)
        self._handle: _PrivateHandle = handle

    @classmethod
    def parse(cls, pem: bytes, passphrase: bytes | None = None, *, where: str = "") -> Self:
        """Return the key of one PKCS#8 PEM block; ``passphrase`` is given if and only if it is encrypted.

        Raises:
            KeyUnusableError: Not one such block, the passphrase is missing, wrong or not needed, or the key is of a
                kind, curve or size that is refused.
        """
        block = encodings.only_block(pem, where)
        if block is None or block.label not in {encodings.PKCS8, encodings.ENCRYPTED_PKCS8}:
            as_pkcs8(pem, where=where)  # raises, and names the form
            raise KeyUnusableError("a private key, but not in PKCS#8 (a block PRIVATE KEY)", where=where)
        encrypted = block.label == encodings.ENCRYPTED_PKCS8
        if encrypted and passphrase is None:
            raise KeyUnusableError("the key is encrypted and no passphrase was given", where=where)
        if passphrase is not None and not encrypted:
            # A user who gives a passphrase believes that the file is protected, and should learn that it is not.
            raise KeyUnusableError("a passphrase was given, but the key is not encrypted", where=where)
        opened = encodings.decrypt_pkcs8(block.der, passphrase) if passphrase is not None else block.der
        if opened is not None and encodings.is_rsassa_pss(opened):
            raise rsassa_pss(where, is_private=True)
        try:
            if opened is not None:
                handle = serialization.load_der_private_key(encodings.plain_pkcs8(opened, where), None)
            else:  # encrypted by another scheme, or with another passphrase
                handle = serialization.load_der_private_key(block.der, passphrase)
        except _UNREADABLE as error:
            why = "wrong passphrase, or not" if encrypted else "not"
            raise KeyUnusableError(f"{why} a private key that can be read", where=where) from error
        if opened is None and isinstance(handle, rsa.RSAPrivateKey):
            # The library does not show whether the key is only for RSASSA-PSS.
            raise KeyUnusableError(
                "an RSA key encrypted in a way that is not PBES2 with AES",
                where=where,
                hint="encrypt it anew: openssl pkcs8 -topk8 -v2 aes-256-cbc -in KEY -out KEY.pkcs8",
            )
        return cls(handle, where=where)

    def sign(self, data: bytes) -> bytes:
        """Return a signature in JOSE form (:meth:`PublicKey.verify`); deterministic except for PS256."""
        signature = self.sign_der(data)
        if self.public.algorithm is not Algorithm.ES256:
            return signature
        return b"".join(part.to_bytes(_P256_BYTES, "big") for part in decode_dss_signature(signature))

    def sign_der(self, data: bytes) -> bytes:
        """Return a signature in the form of X.509 and DSSE tools (:meth:`PublicKey.verify_der`)."""
        match self._handle:
            case ed25519.Ed25519PrivateKey():
                return self._handle.sign(data)
            case ec.EllipticCurvePrivateKey():
                return low(self._handle.sign(data, ec.ECDSA(_SHA256, deterministic_signing=True)))
            case rsa.RSAPrivateKey():
                return self._handle.sign(data, _PSS, _SHA256)

    def sign_digest(self, digest: Sha256) -> bytes:
        """Return the signature of ``openssl dgst -sha256 -sign`` for a digest; deterministic.

        Raises:
            KeyUnusableError: An Ed25519 key: it hashes the message twice, so a digest is not enough (RFC 8032 5.1.6).
        """
        raw = bytes.fromhex(str(digest))
        match self._handle:
            case ed25519.Ed25519PrivateKey():
                raise KeyUnusableError("an Ed25519 key cannot sign a digest", hint="sign with a P-256 or RSA key")
            case ec.EllipticCurvePrivateKey():
                return low(self._handle.sign(raw, ec.ECDSA(_PREHASHED, deterministic_signing=True)))
            case rsa.RSAPrivateKey():
                return self._handle.sign(raw, padding.PKCS1v15(), _PREHASHED)

    def pem(self, passphrase: bytes | None = None) -> bytes:
        """Return the key as PKCS#8 in PEM, encrypted if there is a passphrase.

        Raises:
            KeyUnusableError: The passphrase is empty: a user who was prompted for one expects an encrypted key.
        """
        if passphrase == b"":
            raise KeyUnusableError(
                "an empty passphrase protects nothing", hint="to write the key unencrypted, give none"
            )
        protection = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
        return self._handle.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, protection)

    def __repr__(self) -> str:
        return f"PrivateKey({self.public.algorithm}, {self.public.key_id})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a private key does not cross process borders")


def generate(kind: Algorithm) -> PrivateKey:
    """Return a new key from the system's randomness; RSA keys have the minimum size."""
    match kind:
        case Algorithm.ED25519:
            return PrivateKey(ed25519.Ed25519PrivateKey.generate())
        case Algorithm.ES256:
            return PrivateKey(ec.generate_private_key(ec.SECP256R1()))
        case Algorithm.PS256:
            return PrivateKey(rsa.generate_private_key(public_exponent=65537, key_size=MIN_RSA_BITS))


def _judge(handle: object, where: str) -> tuple[Algorithm, _PublicHandle, dict[str, str]]:
    """Return the algorithm of an accepted key, the key, and its RFC 7638 3.2 members.

    Raises:
        KeyUnusableError: The key is refused.
    """
    match handle:
        case ed25519.Ed25519PublicKey():
            _check_ed25519(handle.public_bytes_raw(), where)
            return Algorithm.ED25519, handle, {"crv": "Ed25519", "kty": "OKP", "x": _b64(handle.public_bytes_raw())}
        case ec.EllipticCurvePublicKey() if isinstance(handle.curve, ec.SECP256R1):
            point = handle.public_numbers()
            x, y = (_b64(part.to_bytes(_P256_BYTES, "big")) for part in (point.x, point.y))
            return Algorithm.ES256, handle, {"crv": "P-256", "kty": "EC", "x": x, "y": y}
        case rsa.RSAPublicKey() if MIN_RSA_BITS <= handle.key_size <= MAX_RSA_BITS:
            numbers = handle.public_numbers()
            _check_rsa(numbers, where)
            return Algorithm.PS256, handle, {"e": _b64_integer(numbers.e), "kty": "RSA", "n": _b64_integer(numbers.n)}
        case _:
            raise _refused(handle, where)


def _refused(handle: object, where: str) -> KeyUnusableError:
    match handle:
        case ec.EllipticCurvePublicKey() | ec.EllipticCurvePrivateKey():
            found = f"an EC key on curve {handle.curve.name}"
        case rsa.RSAPublicKey():
            found = f"an RSA key of {handle.key_size} bits"
        case _:
            found = f"a key of kind {type(handle).__name__.removesuffix('PublicKey').removesuffix('PrivateKey')}"
    accepted = f"Ed25519, ECDSA P-256 and RSA of {MIN_RSA_BITS} to {MAX_RSA_BITS} bits are accepted"
    return KeyUnusableError(f"{found}; {accepted}", where=where)


def _check_ed25519(encoded: bytes, where: str) -> None:
    """Check that only its holder can sign for a public key, and that it has its one encoding (RFC 8032 5.1.3).

    The library accepts any 32 bytes. Under a point of low order, which has no secret, one signature verifies over one
    message in eight, or over all; and a y beyond the prime is a second encoding of a key.

    Raises:
        KeyUnusableError: It is none.
    """
    p = _ED25519_PRIME
    y = int.from_bytes(encoded, "little") & (2**255 - 1)
    if y >= p:
        raise KeyUnusableError("an Ed25519 key that is not in its one encoding (RFC 8032 5.1.3)", where=where)
    square = (y * y - 1) * pow(_ED25519_D * y * y + 1, -1, p) % p  # x² of -x² + y² = 1 + d x² y²
    # Orders 1 and 2 have x = 0, order 4 has y = 0, and a point of order 8 doubles to one of order 4: x² + y² = 0.
    if square == 0 or y == 0 or (square + y * y) % p == 0:
        raise KeyUnusableError("an Ed25519 key of low order: anybody can sign for it", where=where)
    if pow(square, (p - 1) // 2, p) != 1:
        raise KeyUnusableError("an Ed25519 key that is no point of the curve", where=where)


def _check_rsa(numbers: rsa.RSAPublicNumbers, where: str) -> None:
    """Check exponent and modulus; with the exponent 1 a signature is its own message.

    Raises:
        KeyUnusableError: The exponent is even, below 3 or longer than any key's; or the modulus is even.
    """
    e = numbers.e
    if e < _MIN_EXPONENT or e % 2 == 0 or e.bit_length() > _MAX_EXPONENT_BITS:
        raise KeyUnusableError("an RSA key with an exponent that FIPS 186-5 5.4 does not allow", where=where)
    if numbers.n % 2 == 0:
        raise KeyUnusableError("an RSA key with an even modulus", where=where)


def low(signature: bytes) -> bytes:
    """Return the lower of the two forms of an ECDSA signature in DER; both verify."""
    r, s = decode_dss_signature(signature)
    return encode_dss_signature(r, min(s, _P256_ORDER - s))


def _does_not_verify(key: PublicKey) -> SignatureError:
    return SignatureError(f"the signature does not verify with {key.algorithm} key {key.key_id}")


def _thumbprint(members: dict[str, str]) -> str:
    # RFC 7638 3: required members only, in lexicographic order, no white space.
    text = json.dumps(members, sort_keys=True, separators=(",", ":"))
    return _b64(hashlib.sha256(text.encode("ascii")).digest())


def _b64_integer(number: int) -> str:
    return _b64(number.to_bytes((number.bit_length() + 7) // 8, "big"))  # RFC 7518 2, Base64urlUInt


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def openssl_version() -> str:
    """Return the name and version of the library under ``cryptography``."""
    return str(backend.openssl_version_text())

"""Signing keys that stay in a PKCS#11 token: P-256, RSA and, where the token has it, Ed25519.

========== ============================================ =============================================================
key        PKCS#11                                      differs from a key in a file
========== ============================================ =============================================================
P-256      CKM_ECDSA of the SHA-256                     the token draws the nonce, so signatures vary; s is in the
                                                        lower half all the same
RSA        CKM_SHA256_RSA_PKCS_PSS; CKM_RSA_PKCS for    none
           the ``.sig`` of an archive
Ed25519    CKM_EDDSA                                    none
========== ============================================ =============================================================

Laws: the private key is never read; one that could leave its token is refused; no signature is returned that does not
verify with the public key that the token shows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from kit.errors import KeyUnusableError, SignatureError
from kit.signing.keys import Algorithm, PrivateKey, PublicKey, low
from kit.tokens.login import Login, login, refusal
from kit.tokens.uri import TokenUri
from kit.values import Sha256

_P256 = bytes.fromhex("06082a8648ce3d030107")
"""CKA_EC_PARAMS of P-256: its object identifier (RFC 5480 2.1.1.1)."""
_OCTET_STRING, _HALF, _SALT_BYTES = 0x04, 32, 32
_DIGEST_INFO = bytes.fromhex("3031300d060960864801650304020105000420")
"""What precedes a SHA-256 in RSASSA-PKCS1-v1_5 (RFC 8017 9.2, note 1)."""


class TokenPrivateKey(PrivateKey):
    """A signing key in a token; the session lives as long as it."""

    __slots__ = ("_key", "_login", "_where")

    def __init__(self, public: PublicKey, key: Any, session: Login, *, where: str) -> None:
        self.public = public
        self._key, self._login, self._where = key, session, where

    def sign_der(self, data: bytes) -> bytes:
        """See :class:`PrivateKey`."""
        pkcs11 = self._login.pkcs11
        if self.public.algorithm is Algorithm.ES256:
            return self.sign_digest(Sha256.of(data))
        if self.public.algorithm is Algorithm.PS256:
            salted = (pkcs11.Mechanism.SHA256, pkcs11.MGF.SHA256, _SALT_BYTES)
            signature = self._sign(data, pkcs11.Mechanism.SHA256_RSA_PKCS_PSS, salted)
        else:
            signature = self._sign(data, pkcs11.Mechanism.EDDSA)
        self._check(lambda: self.public.verify_der(signature, data))
        return signature

    def sign_digest(self, digest: Sha256) -> bytes:
        """See :class:`PrivateKey`."""
        pkcs11, raw = self._login.pkcs11, bytes.fromhex(str(digest))
        if self.public.algorithm is Algorithm.ED25519:
            raise KeyUnusableError("an Ed25519 key cannot sign a digest", hint="sign with a P-256 or RSA key")
        if self.public.algorithm is Algorithm.PS256:
            signature = self._sign(_DIGEST_INFO + raw, pkcs11.Mechanism.RSA_PKCS)
        else:
            halves = self._sign(raw, pkcs11.Mechanism.ECDSA)
            if len(halves) != 2 * _HALF:
                raise KeyUnusableError("the token returned no P-256 signature", where=self._where)
            r, s = (int.from_bytes(half, "big") for half in (halves[:_HALF], halves[_HALF:]))
            signature = low(encode_dss_signature(r, s))
        self._check(lambda: self.public.verify_digest(signature, digest))
        return signature

    def pem(self, passphrase: bytes | None = None) -> NoReturn:  # noqa: ARG002
        """Refuse: the key does not leave its token.

        Raises:
            KeyUnusableError: Always.
        """
        raise KeyUnusableError("the key does not leave its token", where=self._where)

    def _sign(self, data: bytes, mechanism: Any, parameters: Any = None) -> bytes:
        pkcs11 = self._login.pkcs11
        try:
            return bytes(self._key.sign(data, mechanism=mechanism, mechanism_param=parameters))
        except pkcs11.PKCS11Error as error:
            raise refusal(error, self._where, doing="the token did not sign") from error

    def _check(self, verify: Callable[[], None]) -> None:
        try:
            verify()
        except SignatureError as error:
            raise KeyUnusableError(
                "the token's signature does not verify with the public key it shows", where=self._where
            ) from error


def load_token_key(uri: TokenUri, pin: Callable[[str], bytes]) -> TokenPrivateKey:
    """Log in, find both halves of the key, and return it.

    Raises:
        KeyUnusableError: The extra, the module, the token or a half of the key is missing, the PIN is missing or wrong,
            or the key is of another kind, may not sign, or could leave the token.
    """
    where = str(uri)
    session = login(uri.module, uri.token, pin, where)
    pkcs11 = session.pkcs11
    try:
        private = _find(session, pkcs11.ObjectClass.PRIVATE_KEY, uri)
        public = _find(session, pkcs11.ObjectClass.PUBLIC_KEY, uri)
        attribute = pkcs11.Attribute
        if private[attribute.EXTRACTABLE] or not private[attribute.SENSITIVE]:
            raise KeyUnusableError(
                "the key could leave its token (CKA_EXTRACTABLE, or not CKA_SENSITIVE)",
                where=where,
                hint="create a key that cannot",
            )
        if not private[attribute.SIGN]:
            raise KeyUnusableError("the key may not sign (CKA_SIGN)", where=where)
        read = _read_public(public, pkcs11, where)
    except pkcs11.PKCS11Error as error:
        raise refusal(error, where) from error
    return TokenPrivateKey(read, private, session, where=where)


def _find(session: Login, object_class: Any, uri: TokenUri) -> Any:
    return session.session.get_key(object_class=object_class, label=uri.label, id=uri.key_id)


def _read_public(key: Any, pkcs11: Any, where: str) -> PublicKey:
    """Return the public key that the token shows, judged as one of a file is."""
    attribute, kind = pkcs11.Attribute, key.key_type
    handle: rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey
    try:
        if kind == pkcs11.KeyType.RSA:
            modulus, exponent = (
                int.from_bytes(key[name], "big") for name in (attribute.MODULUS, attribute.PUBLIC_EXPONENT)
            )
            handle = rsa.RSAPublicNumbers(exponent, modulus).public_key()
        elif kind == pkcs11.KeyType.EC and bytes(key[attribute.EC_PARAMS]) == _P256:
            point = _unwrap(bytes(key[attribute.EC_POINT]))
            handle = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
        elif kind == pkcs11.KeyType.EC_EDWARDS:
            handle = ed25519.Ed25519PublicKey.from_public_bytes(_unwrap(bytes(key[attribute.EC_POINT])))
        else:
            raise KeyUnusableError("a key of another kind than P-256, RSA or Ed25519", where=where)
    except ValueError as error:
        raise KeyUnusableError("the token shows a public key that cannot be read", where=where) from error
    spki = serialization.PublicFormat.SubjectPublicKeyInfo
    return PublicKey.parse(handle.public_bytes(serialization.Encoding.PEM, spki), where=where)


def _unwrap(point: bytes) -> bytes:
    """Return a point without the OCTET STRING around it (PKCS#11 3.0, 2.3.3); some tokens leave that out."""
    if len(point) > 2 and point[0] == _OCTET_STRING and point[1] == len(point) - 2:
        return point[2:]
    return point

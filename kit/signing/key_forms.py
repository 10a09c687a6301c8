"""Key files in common forms: read where their meaning is certain, else refused with the command that converts them.

Read, and converted to the form that the rest of this room uses (SubjectPublicKeyInfo, PKCS#8): PKCS#1, SEC1 and
unencrypted OpenSSH keys, DER and its bare base64, JWK (RFC 7517). Refused by name, with a command that converts where
there is one: certificates, PKCS#12, PKCS#7, keys that older tools encrypted, keys of OpenPGP, PuTTY, minisign, cosign,
age. A certificate is not read, since its dates and issuer would be ignored silently.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any

from cryptography.exceptions import InternalError, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from kit.errors import ContentError, KeyUnusableError, LimitError
from kit.signing import encodings
from kit.values import Limits
from kit.values.strict_json import parse, plain_text

_UNREADABLE = (ValueError, TypeError, KeyError, UnsupportedAlgorithm, InternalError)
_PEM, _DER = serialization.Encoding.PEM, serialization.Encoding.DER
_SPKI, _PKCS8 = serialization.PublicFormat.SubjectPublicKeyInfo, serialization.PrivateFormat.PKCS8
_PLAIN = serialization.NoEncryption()
_LIMITS = Limits(json_bytes=64 * 1024, json_depth=8, json_values=1000)
_PRIVATE = frozenset(
    {encodings.PKCS8, encodings.ENCRYPTED_PKCS8, "RSA PRIVATE KEY", "EC PRIVATE KEY", "OPENSSH PRIVATE KEY"}
)
_PUBLIC = frozenset({encodings.SPKI, "RSA PUBLIC KEY"})

_TO_SPKI = "extract the public key: openssl pkey -in KEY -pubout -out KEY.pub.pem"
_TO_PKCS8 = "convert it: openssl pkcs8 -topk8 -in KEY -out KEY.pkcs8"
_MAKE = "make a key of its own for kits: kit keys generate KEY.pem"
_CERTIFICATE = (
    "take its public key, if it is to be trusted for good: openssl x509 -in CERT -pubkey -noout -out KEY.pub.pem"
)
_NAMED = {
    "CERTIFICATE": ("a certificate", _CERTIFICATE),
    "X509 CERTIFICATE": ("a certificate", _CERTIFICATE),
    "TRUSTED CERTIFICATE": ("a certificate", _CERTIFICATE),
    "CERTIFICATE REQUEST": (
        "a certificate request",
        "take its public key: openssl req -in CSR -pubkey -noout -out KEY.pub.pem",
    ),
    "NEW CERTIFICATE REQUEST": (
        "a certificate request",
        "take its public key: openssl req -in CSR -pubkey -noout -out KEY.pub.pem",
    ),
    "PKCS7": ("certificates in PKCS#7", "take them out: openssl pkcs7 -in FILE -print_certs -out CERTS"),
    "PKCS12": ("a PKCS#12 file", "take the key out: openssl pkcs12 -in FILE -nocerts -out KEY.pem"),
    "DSA PRIVATE KEY": ("a DSA key", _MAKE),
    "PGP PUBLIC KEY BLOCK": ("a key of OpenPGP", _MAKE),
    "PGP PRIVATE KEY BLOCK": ("a key of OpenPGP", _MAKE),
    "ENCRYPTED COSIGN PRIVATE KEY": ("a key of cosign, which only cosign opens", _MAKE),
    "ENCRYPTED SIGSTORE PRIVATE KEY": ("a key of cosign, which only cosign opens", _MAKE),
}
_STARTS = (
    (b"PuTTY-User-Key-File-", "a key of PuTTY", "convert it: puttygen KEY -O private-openssh-new -o KEY.openssh"),
    (b"---- BEGIN SSH2 PUBLIC KEY ----", "a key of SSH2 (RFC 4716)", "convert it: ssh-keygen -i -f KEY > KEY.pub"),
    (b"untrusted comment:", "a key of minisign or signify", _MAKE),
    (b"age1", "a recipient of age, which cannot sign", _MAKE),
    (b"AGE-SECRET-KEY-", "an identity of age, which cannot sign", _MAKE),
    (b"# created:", "an identity of age, which cannot sign", _MAKE),
    (
        b"\xfe\xed\xfe\xed",
        "a Java key store",
        "convert it: keytool -importkeystore -srckeystore KEY -destkeystore KEY.p12",
    ),
)
_SSH_LINE = re.compile(rb"(?:ssh|ecdsa|sk)-[!-~]+ [A-Za-z0-9+/=]+(?: [^\n]*)?")
_BASE64 = re.compile(rb"M[A-P][A-Za-z0-9+/\s]+={0,2}\s*")


def as_spki(data: bytes, *, where: str) -> bytes:
    """Return a public key as one PEM block PUBLIC KEY.

    Raises:
        KeyUnusableError: It is none, or in a form that is refused.
    """
    block, text = _block(data, where), plain_text(data)
    if block is not None and block.label == encodings.SPKI:
        return block.text
    if block is not None and block.label in _PRIVATE:
        raise KeyUnusableError(
            f"a private key ({block.label}) where a public key is expected", where=where, hint=_TO_SPKI
        )
    try:
        if block is not None and block.label in _PUBLIC:
            return serialization.load_der_public_key(block.der).public_bytes(_PEM, _SPKI)
        if _SSH_LINE.fullmatch(text.strip()):
            return _of_ssh(text.strip(), where)
        if text.lstrip()[:1] == b"{":
            handle, is_private = _of_jwk(text, where)
            if is_private:
                raise KeyUnusableError(
                    "a private key (JWK) where a public key is expected",
                    where=where,
                    hint="extract the public key: kit keys show KEY > KEY.pub.pem",
                )
            made: bytes = handle.public_bytes(_PEM, _SPKI)
            return made
    except _UNREADABLE as error:
        raise KeyUnusableError("not a public key that can be read", where=where) from error
    raise _unsupported(data, block, "a public key", where)


def as_pkcs8(data: bytes, *, where: str) -> bytes:
    """Return a private key as one PEM block PRIVATE KEY or ENCRYPTED PRIVATE KEY.

    Raises:
        KeyUnusableError: It is none, or in a form that is refused.
    """
    block, text = _block(data, where), plain_text(data)
    if block is not None and block.label in {encodings.PKCS8, encodings.ENCRYPTED_PKCS8}:
        return block.text
    if (block is not None and block.label in _PUBLIC) or _SSH_LINE.fullmatch(text.strip()):
        raise KeyUnusableError("a public key where a private key is expected", where=where)
    try:
        if block is not None and block.label == "OPENSSH PRIVATE KEY":
            return _of_openssh(block, where)
        if block is not None and block.label in _PRIVATE:
            if block.headers:
                raise KeyUnusableError(
                    f"a PEM block {block.label!r} encrypted as older tools did, with one round of MD5",
                    where=where,
                    hint=_TO_PKCS8,
                )
            return serialization.load_der_private_key(block.der, None).private_bytes(_PEM, _PKCS8, _PLAIN)
        if text.lstrip()[:1] == b"{":
            handle, is_private = _of_jwk(text, where)
            if not is_private:
                raise KeyUnusableError("a public key (JWK) where a private key is expected", where=where)
            made: bytes = handle.private_bytes(_PEM, _PKCS8, _PLAIN)
            return made
    except _UNREADABLE as error:
        raise KeyUnusableError("not a private key that can be read", where=where) from error
    raise _unsupported(data, block, "a private key", where)


def _block(data: bytes, where: str) -> encodings.Block | None:
    """Return the one PEM block, or DER or bare base64 as a block; None for anything else."""
    found = encodings.only_block(data, where)
    if found is not None:
        return found
    binary = data
    if _BASE64.fullmatch(plain_text(data)):
        try:
            binary = base64.b64decode(b"".join(plain_text(data).split()), validate=True)
        except binascii.Error:
            return None
    label = encodings.form_of(binary)
    return (
        encodings.Block(label=label, headers=b"", der=binary, text=encodings.encode(label, binary)) if label else None
    )


def _unsupported(data: bytes, block: encodings.Block | None, expected: str, where: str) -> KeyUnusableError:
    if block is not None:
        what, hint = _NAMED.get(block.label, (f"a PEM block {block.label!r}", ""))
        if block.label.startswith("RSA-PSS "):
            refusal = rsassa_pss(where, is_private=False)  # openssl reads no such block
            return KeyUnusableError(
                refusal.what, where=where, hint="use its numbers as an RSA key: sed 's/RSA-PSS/RSA/' KEY > KEY.der"
            )
        return KeyUnusableError(f"{what} where {expected} is expected", where=where, hint=hint)
    text = plain_text(data)
    for start, what, hint in _STARTS:
        if text.startswith(start):
            return KeyUnusableError(f"{what} where {expected} is expected", where=where, hint=hint)
    if all(_SSH_LINE.fullmatch(line) for line in text.split(b"\n") if line.strip()) and text.strip():
        return KeyUnusableError("several keys of OpenSSH where one is expected", where=where)
    return KeyUnusableError(f"not {expected} in a form that is known (PEM, DER, JWK, OpenSSH)", where=where)


def rsassa_pss(where: str, *, is_private: bool) -> KeyUnusableError:
    """Return the refusal of a key that is restricted to RSASSA-PSS."""
    options = "-traditional" if is_private else "-pubin -RSAPublicKey_out"
    return KeyUnusableError(
        "a key that is only for RSASSA-PSS (RFC 4055): no archive signature (.sig) can be made or checked with it",
        where=where,
        hint=f"use its numbers as an RSA key: openssl rsa {options} -outform DER -in KEY -out KEY.der",
    )


def _of_ssh(line: bytes, where: str) -> bytes:
    if b"-cert-v" in line.partition(b" ")[0]:
        raise KeyUnusableError(
            "a certificate of OpenSSH where a public key is expected",
            where=where,
            hint="name the file of the key it certifies",
        )
    return serialization.load_ssh_public_key(line).public_bytes(_PEM, _SPKI)


def _of_openssh(block: encodings.Block, where: str) -> bytes:
    # "openssh-key-v1", NUL, then the cipher as a string (PROTOCOL.key of OpenSSH).
    if not block.der.startswith(b"openssh-key-v1\0\0\0\0\4none"):
        # Of Ed25519 ssh-keygen writes no PKCS#8, so the copy stays as it is, without a passphrase.
        is_ed25519 = b"ssh-ed25519" in block.der[:200]
        hint = "convert a copy: ssh-keygen -p -m PKCS8 -f COPY"
        raise KeyUnusableError(
            "a private key of OpenSSH that is encrypted",
            where=where,
            hint="open a copy: ssh-keygen -p -N '' -f COPY" if is_ed25519 else hint,
        )
    return serialization.load_ssh_private_key(block.text, None).private_bytes(_PEM, _PKCS8, _PLAIN)


def _of_jwk(text: bytes, where: str) -> tuple[Any, bool]:
    """Return the key of a JWK and whether it is private.

    Raises:
        KeyUnusableError: It is none, or is restricted to another use than the signatures of kits.
    """
    from joserfc.errors import JoseError  # noqa: PLC0415  a tenth of a second, which few keys need
    from joserfc.jwk import import_key  # noqa: PLC0415

    try:
        entry = parse(text, limits=_LIMITS, where=where)
    except (ContentError, LimitError) as error:
        raise KeyUnusableError(f"not a key: {error.what}", where=where) from error
    keys = entry.get("keys")
    if isinstance(keys, list):
        if len(keys) != 1 or not isinstance(keys[0], dict):
            raise KeyUnusableError(
                f"a JWK set of {len(keys)} keys where one is expected", where=where, hint="jq '.keys[0]' KEYS > KEY.jwk"
            )
        entry = keys[0]
    kind, curve, algorithm = (entry.get(name) for name in ("kty", "crv", "alg"))
    fitting = {"OKP": {"EdDSA", "Ed25519"}, "EC": {"ES256"}, "RSA": {"PS256"}}.get(str(kind))
    if fitting is None:
        raise KeyUnusableError(
            f"a JWK of kind {str(kind)[:40]!r}; kits are signed with keys of kind OKP, EC or RSA", where=where
        )
    if algorithm is not None and algorithm not in fitting:
        raise KeyUnusableError(
            f"a JWK for {str(algorithm)[:40]!r}; kits are signed with PS256, ES256, EdDSA", where=where
        )
    operations = entry.get("key_ops", ["sign"])
    if (
        entry.get("use", "sig") != "sig"
        or not isinstance(operations, list)
        or not {"sign", "verify"} & set(map(str, operations))
    ):
        raise KeyUnusableError("a JWK that is not for signatures (use, key_ops)", where=where)
    members = ("kty", "crv", "x", "y", "d", "n", "e", "p", "q", "dp", "dq", "qi")
    numbers = {name: entry[name] for name in members if name in entry}
    public = {name: value for name, value in numbers.items() if name in {"kty", "crv", "x", "y", "n", "e"}}
    try:
        handle: Any = import_key(numbers).raw_value
        expected: Any = import_key(public).raw_value
    except JoseError as error:
        raise KeyUnusableError(f"not a JWK that can be read (crv {str(curve)[:40]!r})", where=where) from error
    if "d" not in entry:
        return handle, False
    if handle.public_key().public_bytes(_DER, _SPKI) != expected.public_bytes(_DER, _SPKI):
        raise KeyUnusableError("a JWK whose public part is not that of its private part", where=where)
    return handle, True

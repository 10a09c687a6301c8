"""PEM framing: exactly one block with exactly the label expected (RFC 7468), or an error that names what was met."""

from __future__ import annotations

import re

from kit.errors import KeyUnusableError

SPKI = "PUBLIC KEY"
PKCS8 = "PRIVATE KEY"
ENCRYPTED_PKCS8 = "ENCRYPTED PRIVATE KEY"

_BEGIN = re.compile(rb"-----BEGIN ([^\r\n-]{1,64})-----")
_TO_PKCS8 = "convert it: openssl pkcs8 -topk8 -in KEY -out KEY.pkcs8"
_TO_SPKI = "extract the public key: openssl pkey -in KEY -pubout"
_HINTS = {
    "RSA PRIVATE KEY": _TO_PKCS8,
    "EC PRIVATE KEY": _TO_PKCS8,
    "RSA PUBLIC KEY": "convert it: openssl rsa -RSAPublicKey_in -in KEY -pubout",
    "OPENSSH PRIVATE KEY": "convert it: ssh-keygen -p -m PKCS8 -f KEY",
    "CERTIFICATE": "extract the public key: openssl x509 -in CERT -pubkey -noout",
}


def expect_public(data: bytes, *, where: str) -> None:
    """Check that ``data`` is one SPKI block (RFC 5280 4.1.2.7).

    Raises:
        KeyUnusableError: It is not; a private key is named as such, since handing one out is the worse mistake.
    """
    label = _only_label(data, where)
    if label == SPKI:
        return
    if label.endswith(PKCS8):
        raise KeyUnusableError(f"a private key ({label}) where a public key is expected", where=where, hint=_TO_SPKI)
    raise _other(label, "a public key (PEM block PUBLIC KEY)", where)


def expect_private(data: bytes, *, where: str) -> str:
    """Check that ``data`` is one PKCS#8 block (RFC 5958); return its label, ``PKCS8`` or ``ENCRYPTED_PKCS8``.

    Raises:
        KeyUnusableError: It is not.
    """
    label = _only_label(data, where)
    if label in {PKCS8, ENCRYPTED_PKCS8}:
        return label
    if label == SPKI:
        raise KeyUnusableError("a public key where a private key is expected", where=where)
    raise _other(label, "a private key in PKCS#8 form (PEM block PRIVATE KEY or ENCRYPTED PRIVATE KEY)", where)


def _only_label(data: bytes, where: str) -> str:
    labels: list[str] = [label.decode("latin-1") for label in _BEGIN.findall(data)]
    if not labels:
        raise KeyUnusableError("not a key in PEM form", where=where)
    if len(labels) > 1:
        # Which of several blocks is "the" key differs between tools, so a bundle has no one meaning.
        raise KeyUnusableError(f"{len(labels)} PEM blocks where one key is expected: {', '.join(labels)}", where=where)
    return labels[0]


def _other(label: str, expected: str, where: str) -> KeyUnusableError:
    return KeyUnusableError(
        f"a PEM block {label!r} where {expected} is expected", where=where, hint=_HINTS.get(label, "")
    )

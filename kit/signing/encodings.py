"""Recognises the form of a DER key by its outermost structure, and converts PKCS#8 keys that the library cannot read.

Walks definite lengths (X.690 8.1.3) two levels deep and decodes no value. The meaning of the parts, and whether the key
is sound, is left to ``cryptography``. Laws: bytes that are not DER have no form; nothing here turns bytes that are no
key into one.

PEM framing: exactly one block of a key (RFC 7468), or an error that names what was found and how to convert it.

Around the block may be what tools write there: comments, attributes (``Name: value``), a byte order mark, CRLF. A file
with other text is no key file, but one that has a key in it, and is refused: a script, a page, a log. Tools disagree
which of several blocks is the key, so several are refused. The one exception is the curve that ``openssl ecparam``
writes before its key, which the key repeats.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import NamedTuple

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.hashes import SHA1, SHA224, SHA256, SHA384, SHA512, HashAlgorithm
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from kit.errors import KeyUnusableError
from kit.values.strict_json import plain_text

SEQUENCE, INTEGER, OCTETS, BITS, OID = 0x30, 0x02, 0x04, 0x03, 0x06
_ATTRIBUTES, _PUBLIC, _PUBLIC_EXPLICIT = 0xA0, 0x81, 0xA1
_RSASSA_PSS = bytes.fromhex("2a864886f70d01010a")
_PBES2, _PBKDF2 = bytes.fromhex("2a864886f70d01050d"), bytes.fromhex("2a864886f70d01050c")
_SCRYPT = bytes.fromhex("2b06010401da47040b")
_AES_CBC = frozenset(bytes.fromhex("60864801650304012a")[:-1] + bytes([last]) for last in (0x02, 0x16, 0x2A))
_PRF: dict[bytes, type[HashAlgorithm]] = {
    bytes.fromhex("2a864886f70d02") + bytes([last]): kind
    for last, kind in ((7, SHA1), (8, SHA224), (9, SHA256), (10, SHA384), (11, SHA512))
}
_MAX_ITERATIONS = 10_000_000
_MAX_SCRYPT_MEMORY = 1 << 30

_CERTIFICATE = "CERTIFICATE"
# The tags of the outermost parts of what a file may contain: RFC 5958, 5280, 8017, 5915, 7292, 5652.
_FORMS = {
    (INTEGER, SEQUENCE, OCTETS): "PRIVATE KEY",
    (SEQUENCE, OCTETS): "ENCRYPTED PRIVATE KEY",
    (SEQUENCE, BITS): "PUBLIC KEY",
    (INTEGER, INTEGER): "RSA PUBLIC KEY",
    (INTEGER,) * 9: "RSA PRIVATE KEY",
    (INTEGER, OCTETS): "EC PRIVATE KEY",
    (INTEGER, SEQUENCE, SEQUENCE): "PKCS12",
    (INTEGER, SEQUENCE): "PKCS12",
    (SEQUENCE, SEQUENCE, BITS): _CERTIFICATE,
    (OID,): "PKCS7",
}


class _Part(NamedTuple):
    tag: int
    value: bytes
    whole: bytes


def form_of(data: bytes) -> str:
    """Return the PEM label of a DER structure; "" for an unknown one."""
    outer = _parts(data)
    if len(outer) != 1 or outer[0].tag != SEQUENCE:
        return ""
    # Optional parts at the end have context tags; they do not change the form.
    return _FORMS.get(tuple(part.tag for part in _parts(outer[0].value) if part.tag < 0x80), "")


def is_rsassa_pss(data: bytes) -> bool:
    """Return whether the key of an SPKI or PKCS#8 structure is restricted to RSASSA-PSS (RFC 4055 1.2)."""
    inner = [part for part in _inner(data) if part.tag == SEQUENCE]
    return bool(inner) and _first_value(inner[0].value, OID) == _RSASSA_PSS


def plain_pkcs8(data: bytes, where: str) -> bytes:
    """Return a PKCS#8 structure of version 1 as one of version 0, the only one that the library reads.

    Raises:
        KeyUnusableError: The public key that version 1 adds is not that of the private key (RFC 5958 2).
    """
    parts = _inner(data)
    if [part.tag for part in parts[:3]] != [INTEGER, SEQUENCE, OCTETS] or parts[0].value != b"\1":
        return data
    plain = _sequence(b"\x02\x01\x00" + parts[1].whole + parts[2].whole)
    added = next((part.value for part in parts[3:] if part.tag in {_PUBLIC, _PUBLIC_EXPLICIT}), b"")
    if added[:1] == b"\x03":  # an explicit tag has the whole bit string in it
        added = _parts(added)[0].value if _parts(added) else b""
    try:
        handle = serialization.load_der_private_key(plain, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return plain  # the caller reads it and names the fault
    if added and added[1:] != _public_bits(handle.public_key()):
        raise KeyUnusableError("the public key in the file is not that of its private key (RFC 5958 2)", where=where)
    return plain


def decrypt_pkcs8(data: bytes, passphrase: bytes) -> bytes | None:
    """Return the content of an encrypted PKCS#8 structure of the common scheme, PBES2 with AES-CBC (RFC 8018, 7914).

    None for another scheme, a wrong passphrase, or parameters that need too much work or memory. The library decrypts
    more schemes, but returns the key without its restrictions, and reads version 0 only.
    """
    try:
        scheme, encrypted = _inner(data)
        oid, parameters = _parts(scheme.value)
        derivation, cipher = (_parts(part.value) for part in _parts(parameters.value))
        if oid.value != _PBES2 or cipher[0].value not in _AES_CBC:
            return None
        size = {0x02: 16, 0x16: 24, 0x2A: 32}[cipher[0].value[-1]]
        key = _derive(derivation[0].value, _parts(derivation[1].value), size, passphrase)
        if key is None:
            return None
        decryptor = Cipher(algorithms.AES(key), modes.CBC(cipher[1].value)).decryptor()
        padded = decryptor.update(encrypted.value) + decryptor.finalize()
    except (ValueError, IndexError, KeyError):
        return None
    plain = padded[: -padded[-1]] if padded and 0 < padded[-1] <= 16 else b""
    return plain if form_of(plain) == "PRIVATE KEY" else None


def _derive(oid: bytes, parameters: list[_Part], size: int, passphrase: bytes) -> bytes | None:
    numbers = [int.from_bytes(part.value, "big") for part in parameters if part.tag == INTEGER]
    salt = parameters[0].value
    if oid == _PBKDF2 and numbers[0] <= _MAX_ITERATIONS:
        chosen = [part for part in parameters if part.tag == SEQUENCE]
        prf = _PRF[_first_value(chosen[0].value, OID)] if chosen else SHA1  # RFC 8018 A.2
        return PBKDF2HMAC(prf(), size, salt, numbers[0]).derive(passphrase)
    if oid == _SCRYPT and 128 * numbers[0] * numbers[1] <= _MAX_SCRYPT_MEMORY:
        return Scrypt(salt, size, numbers[0], numbers[1], numbers[2]).derive(passphrase)
    return None


def _public_bits(key: object) -> bytes:
    match key:
        case ed25519.Ed25519PublicKey():
            return key.public_bytes_raw()
        case ec.EllipticCurvePublicKey():
            return key.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
        case _:
            encode = getattr(key, "public_bytes", None)
            form = serialization.PublicFormat.PKCS1
            return encode(serialization.Encoding.DER, form) if encode is not None else b""


def _inner(data: bytes) -> list[_Part]:
    outer = _parts(data)
    return _parts(outer[0].value) if len(outer) == 1 and outer[0].tag == SEQUENCE else []


def _first_value(data: bytes, tag: int) -> bytes:
    return next((part.value for part in _parts(data) if part.tag == tag), b"")


def _parts(data: bytes) -> list[_Part]:
    """Return the parts of a constructed value; none if it is no DER."""
    found: list[_Part] = []
    at = 0
    while at < len(data):
        head = data[at : at + 2]
        if len(head) < 2:
            return []
        more = head[1] & 0x7F if head[1] & 0x80 else 0
        if head[1] == 0x80 or more > 4:
            return []
        start = at + 2 + more
        end = start + (int.from_bytes(data[at + 2 : start], "big") if more else head[1])
        if end > len(data):
            return []
        found.append(_Part(head[0], data[start:end], data[at:end]))
        at = end
    return found


def _sequence(body: bytes) -> bytes:
    size = len(body)
    if size < 0x80:
        return bytes((SEQUENCE, size)) + body
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((SEQUENCE, 0x80 | len(length))) + length + body


SPKI = "PUBLIC KEY"
PKCS8 = "PRIVATE KEY"
ENCRYPTED_PKCS8 = "ENCRYPTED PRIVATE KEY"

_BEGIN = re.compile(rb"-----BEGIN ([^\r\n]{1,64}?)-----")
_AROUND = re.compile(rb"[ \t]*|[ \t]*[#;].*|Bag Attributes|[A-Za-z][A-Za-z0-9 ._-]{0,40}[:=].*|[ \t]+[^ \t].*")
"""A line outside of a block: blank, a comment, an attribute, or what continues one."""
_OPENING = b"-----BEGIN "
_CURVE = "EC PARAMETERS"


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One block of PEM."""

    label: str
    headers: bytes
    """As older tools write them before the base64: ``Proc-Type: 4,ENCRYPTED``."""
    der: bytes
    """The decoded base64; empty if it is malformed."""
    text: bytes
    """The block itself, lines ended by LF."""


def only_block(data: bytes, where: str) -> Block | None:
    """Return the one block of a text; None if there is none.

    Raises:
        KeyUnusableError: There are several.
    """
    text = plain_text(data)
    begins = [match for match in _BEGIN.finditer(text) if match[1].decode("latin-1") != _CURVE]
    if not begins:
        return None
    labels = [match[1].decode("latin-1") for match in begins]
    if len(labels) > 1:
        shown = ", ".join(labels[:4]) + (", …" if len(labels) > 4 else "")
        raise KeyUnusableError(
            f"{len(labels)} PEM blocks where one key is expected: {shown}",
            where=where,
            hint="write the intended one to a file of its own",
        )
    _require_key_file(text, where)
    ending = b"-----END " + begins[0][1] + b"-----"
    body, end, _ = text[begins[0].end() :].partition(ending)
    if b":" in body:
        headers, _, body = body.rpartition(b"\n\n")
    else:
        headers = b""
    try:
        der = base64.b64decode(b"".join(body.split()), validate=True) if end else b""
    except binascii.Error:
        der = b""
    return Block(label=labels[0], headers=headers, der=der, text=begins[0][0] + body + end + b"\n")


def _require_key_file(text: bytes, where: str) -> None:
    found = text.partition(b"\n")[0] if text.startswith(b"#!") else _other_text(text)
    if found is not None:
        raise KeyUnusableError(
            f"no key file, but one that has a key in it: outside the PEM block there is {found[:60]!r}",
            where=where,
            hint="write the block, from BEGIN to END, to a file of its own",
        )


def _other_text(text: bytes) -> bytes | None:
    """Return the first line outside the blocks that no tool writes there; None if there is none."""
    inside = False
    for line in text.split(b"\n"):
        if inside or line.startswith(_OPENING):
            inside = b"-----END " not in line
        elif not _AROUND.fullmatch(line) or _OPENING in line:
            return line
    return None


def public_blocks(data: bytes, where: str) -> list[bytes]:
    """Return each block of a text of several public keys; nothing if it is anything else.

    A text with a block of another kind is anything else: a private key in it is refused, not passed over.

    Raises:
        KeyUnusableError: Outside of the blocks is what is in no key file.
    """
    text = plain_text(data)
    begins = list(_BEGIN.finditer(text))
    if len(begins) < 2 or any(match[1] != SPKI.encode("ascii") for match in begins):
        return []
    _require_key_file(text, where)
    ends = [match.start() for match in begins[1:]] + [len(text)]
    return [text[match.start() : end] for match, end in zip(begins, ends, strict=True)]


def is_private(data: bytes) -> bool:
    """Return whether a text has a block of a private key."""
    return any(match[1].endswith(PKCS8.encode("ascii")) for match in _BEGIN.finditer(plain_text(data)))


def encode(label: str, der: bytes) -> bytes:
    """Return a PEM block in the form of RFC 7468: lines of 64 characters."""
    text = base64.b64encode(der)
    lines = b"\n".join(text[at : at + 64] for at in range(0, len(text), 64))
    name = label.encode("ascii")
    return b"-----BEGIN " + name + b"-----\n" + lines + b"\n-----END " + name + b"-----\n"

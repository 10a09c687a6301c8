"""PEM framing: exactly one block of a key (RFC 7468), or an error that names what was found and how to convert it.

Text around the block is ignored: explanations, comments, a byte order mark, CRLF. Tools disagree which of several
blocks is the key, so several are refused. The one exception is the curve that ``openssl ecparam`` writes before its
key, which the key repeats.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass

from kit.errors import KeyUnusableError
from kit.values.plain_text import plain_text

SPKI = "PUBLIC KEY"
PKCS8 = "PRIVATE KEY"
ENCRYPTED_PKCS8 = "ENCRYPTED PRIVATE KEY"

_BEGIN = re.compile(rb"-----BEGIN ([^\r\n]{1,64}?)-----")
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


def encode(label: str, der: bytes) -> bytes:
    """Return a PEM block in the form of RFC 7468: lines of 64 characters."""
    text = base64.b64encode(der)
    lines = b"\n".join(text[at : at + 64] for at in range(0, len(text), 64))
    name = label.encode("ascii")
    return b"-----BEGIN " + name + b"-----\n" + lines + b"\n-----END " + name + b"-----\n"

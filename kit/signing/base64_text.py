"""Base64 with one spelling for each value (RFC 4648 3.5).

Stock decoders skip foreign characters, accept missing padding and ignore the unused bits of the last character, so that
many texts decode to one value. A signed document must have one spelling; these functions refuse every other.
"""

from __future__ import annotations

import base64
import binascii

from kit.errors import SignatureError


def url_encode(data: bytes) -> str:
    """Return base64url without padding (RFC 7515 2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def url_decode(text: str, *, what: str) -> bytes:
    """Return the data of which ``text`` is the :func:`url_encode`.

    Raises:
        SignatureError: ``text`` is not what :func:`url_encode` prints for any value; names ``what``.
    """
    try:
        data = base64.urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
    except (UnicodeEncodeError, binascii.Error) as error:
        raise SignatureError(f"{what} is not base64url") from error
    if url_encode(data) != text:
        raise SignatureError(f"{what} is not base64url in its one canonical spelling (RFC 7515 2)")
    return data


def standard_encode(data: bytes) -> str:
    """Return base64 with padding, on one line (RFC 4648 4)."""
    return base64.b64encode(data).decode("ascii")


def standard_decode(text: str, *, what: str) -> bytes:
    """Return the data of which ``text`` is the :func:`standard_encode`.

    Raises:
        SignatureError: ``text`` is not what :func:`standard_encode` prints for any value; names ``what``.
    """
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error) as error:
        raise SignatureError(f"{what} is not base64") from error
    if standard_encode(data) != text:
        raise SignatureError(f"{what} is not base64 in its one canonical spelling (RFC 4648 3.5)")
    return data

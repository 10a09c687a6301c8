"""Text of small files that people pass on: what editors, shells and mail change of it without changing what it says."""

from __future__ import annotations

_UTF8_MARK = b"\xef\xbb\xbf"
_UTF16 = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}


def plain_text(data: bytes) -> bytes:
    r"""Return a text in UTF-8, without a byte order mark, its lines ended by ``\n`` alone.

    UTF-16 is known by its mark: ``>`` of PowerShell 5 writes it. Bytes that are no text come back as they are, but for
    the ends of lines.
    """
    coding = _UTF16.get(data[:2])
    if coding is not None:
        try:
            data = data[2:].decode(coding).encode("utf-8")
        except UnicodeError:
            return data
    return data.removeprefix(_UTF8_MARK).replace(b"\r\n", b"\n")

"""Text of small files that people pass on: undoes what editors, shells and mail change without changing the meaning."""

from __future__ import annotations

_UTF8_MARK = b"\xef\xbb\xbf"
_UTF16 = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}


def plain_text(data: bytes) -> bytes:
    r"""Return a text in UTF-8, without a byte order mark, its lines ended by ``\n`` alone.

    UTF-16 is recognised by its mark: ``>`` of PowerShell 5 writes it. Of bytes that are no text only line ends change.
    """
    coding = _UTF16.get(data[:2])
    if coding is not None:
        try:
            data = data[2:].decode(coding).encode("utf-8")
        except UnicodeError:
            return data
    return data.removeprefix(_UTF8_MARK).replace(b"\r\n", b"\n")

"""Finds copies of sealed texts in the clear, without keeping any text: digests of them and of their windows.

Every sealed value is its own canary. Of each text of :data:`LONG` bytes or more, as it is and as JSON escapes it,
windows of :data:`WINDOW` bytes are noted, one each :data:`STEP` bytes. Any :data:`LONG` bytes in a row contain one of
them, wherever they begin. A shorter text is noted as a whole, and only equals a text that is the same from end to end.

A window is known by two numbers. Its *mark* is a polynomial over a field of 2^61 - 1 elements at a secret point (Karp
and Rabin, IBM J. Res. Dev. 31, 1987), which rolls on from byte to byte, so that a filter of bits rules out nearly all
places. Its *digest* is BLAKE2b under a secret key, 8 bytes, which decides. Both secrets are derived from the data
keys (schemas/verify-report.md, "Copies in the clear").

Laws: every copy of LONG bytes is found; what is found equals WINDOW bytes of a sealed text, or a short one as a whole,
but for a collision of digests (2^-64 for each noted window); marks and digests reveal nothing without the secrets.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final

from kit.documents import Run, core
from kit.documents.elements import elements
from kit.documents.kinds import Kind
from kit.encryption.keys import KeySet, encode_parts, expand, extract

LONG: Final = 32
"""Bytes in a row of which a copy is always found."""
STEP: Final = 8
WINDOW: Final = LONG - STEP + 1
_MODULUS: Final = (1 << 61) - 1
_HALF: Final = 30
_STRINGS: Final = frozenset({int(Kind.STRING), int(Kind.CODE), int(Kind.SYMBOL)})
_NESTED: Final = frozenset({int(Kind.DOCUMENT), int(Kind.ARRAY)})
_LABEL: Final = b"offline-kit/copies"
_WHOLE: Final = b"whole"
LEAST_FILTER: Final = 1 << 13
MOST_FILTER: Final = 1 << 25
"""Bytes of a filter. Beyond what this holds well, more places are looked up on disk, and none is missed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """What marks and digests are made under; for one search."""

    point: int = field(repr=False)
    key: bytes = field(repr=False)

    @classmethod
    def of(cls, keys: KeySet) -> Secret:
        """Derive it from all keys that open, so that nobody without them can make a digest."""
        opening = [key.digest_key for _, key in sorted(keys.opening.items())]
        secret = extract(encode_parts((_LABEL, *opening)))
        point = int.from_bytes(expand(secret, encode_parts((_LABEL, b"point"))), "big")
        return cls(point=2 + point % (_MODULUS - 3), key=expand(secret, encode_parts((_LABEL, b"key"))))

    def digest(self, window: bytes) -> int:
        """Return the digest of a window of a longer text."""
        return int.from_bytes(blake2b(window, key=self.key, digest_size=8).digest(), "little")

    def whole_digest(self, text: bytes) -> int:
        """Return the digest of a short text as a whole."""
        return int.from_bytes(blake2b(text, key=self.key, digest_size=8, person=_WHOLE).digest(), "little")

    def mark(self, data: bytes) -> int:
        """Return the mark of some bytes."""
        found = 0
        for byte in data:
            found = (found * self.point + byte + 1) % _MODULUS
        return found


@dataclass(slots=True, kw_only=True)
class Noted:
    """Marks and digests of some texts: unsigned numbers of eight bytes."""

    texts: int = 0
    marks: array[int] = field(default_factory=lambda: array("Q"))
    digests: array[int] = field(default_factory=lambda: array("Q"))

    def note(self, text: bytes, secret: Secret) -> None:
        """Note a text; an empty one is everywhere."""
        if not text:
            return
        self.texts += 1
        if len(text) < LONG:
            self.marks.append(secret.mark(text))
            self.digests.append(secret.whole_digest(text))
            return
        for spelled in _spellings(text):
            windows = [spelled[at : at + WINDOW] for at in range(0, len(spelled) - WINDOW + 1, STEP)]
            self.marks.extend(marks_of(windows, secret))
            self.digests.extend(map(secret.digest, windows))


def _spellings(text: bytes) -> Iterator[bytes]:
    """Yield a text as it is and as JSON escapes it, each spelling once."""
    yield text
    try:
        decoded = text.decode()
    except UnicodeDecodeError:
        return
    yield from {json.dumps(decoded, ensure_ascii=ascii_only)[1:-1].encode() for ascii_only in (False, True)} - {text}


@dataclass(frozen=True, slots=True)
class Text:
    """A text or binary value in a document: ``document[start:end]``, and the steps to it; None is an item."""

    start: int
    end: int
    steps: tuple[str | None, ...] = ()


def texts_in(document: bytes, start: int = 0) -> Iterator[Text]:
    """Yield the texts and binary values of a document, however deep.

    Raises:
        BsonError: A level is malformed.
    """
    none: tuple[str | None, ...] = ()
    levels = [(elements(document, start), none, False)]
    while levels:
        level, steps, in_array = levels[-1]
        element = next(level, None)
        if element is None:
            levels.pop()
            continue
        below = (*steps, None if in_array else element.name.decode(errors="replace"))
        if element.kind in _NESTED:
            levels.append((elements(document, element.value), below, element.kind == Kind.ARRAY))
        elif (found := text_of(element.kind, element.value, element.end)) is not None:
            yield Text(*found, below)


def text_of(kind: int, start: int, end: int) -> tuple[int, int] | None:
    """Return where the text or payload of a value is; None for a value that has none."""
    if kind in _STRINGS:
        return start + 4, end - 1
    return (start + 5, end) if kind == Kind.BINARY else None


def texts_of_value(document: bytes, kind: int, start: int, end: int) -> Iterator[bytes]:
    """Yield the texts of a value: its own, or those of all that is in it."""
    if kind in _NESTED:
        yield from (document[one.start : one.end] for one in texts_in(document, start))
    elif (found := text_of(kind, start, end)) is not None:
        yield document[slice(*found)]


def filter_bytes(noted_bytes: int) -> int:
    """Return the size of the filter for texts of so many bytes: about 16 bits for each window."""
    return min(max(1 << (noted_bytes // 4).bit_length(), LEAST_FILTER), MOST_FILTER)


def marks_of(texts: Sequence[bytes], secret: Secret) -> Sequence[int]:
    """Return the mark of each text."""
    if core.copy_marks is not None:
        marks: list[int] = core.copy_marks(texts, secret.point)
        return marks
    return list(map(secret.mark, texts))


def with_marks(bits: bytes, marks: Sequence[int]) -> bytes:
    """Return a filter with the bits of ``marks``, too."""
    if core.copy_filter is not None:
        done: bytes | None = core.copy_filter(bits, marks)
        if done is not None:
            return done
    changed = bytearray(bits)
    set_marks(changed, marks)
    return bytes(changed)


def set_marks(bits: bytearray, marks: Iterable[int]) -> None:
    """Set the bits of ``marks`` in a filter."""
    mask = 8 * len(bits) - 1
    for mark in marks:
        for bit in (mark & mask, mark >> _HALF & mask):
            bits[bit >> 3] |= 1 << (bit & 7)


def find_windows(data: bytes, secret: Secret, bits: bytes) -> Iterable[int]:
    """Return where a window begins whose mark is in the filter ``bits``, in order."""
    if core.copy_windows is not None:
        found: list[int] | None = core.copy_windows(data, WINDOW, secret.point, bits)
        if found is not None:
            return found
    return find_windows_by_reference(data, secret, bits)


def find_shorts(run: Run, secret: Secret, bits: bytes) -> frozenset[int] | None:
    """Return which documents of a run may have a short text whose mark is in the filter; None for any of them."""
    if core.copy_shorts is not None:
        found: list[int] | None = core.copy_shorts(run.data, run.ends, LONG, secret.point, bits)
        return frozenset(found) if found is not None else None
    return None


def find_windows_by_reference(data: bytes, secret: Secret, bits: bytes) -> Iterator[int]:
    """Yield what :func:`find_windows` returns, without the core."""
    if len(data) < WINDOW:
        return
    point, mask = secret.point, 8 * len(bits) - 1
    top = pow(point, WINDOW, _MODULUS)
    leaving = [(byte + 1) * top % _MODULUS for byte in range(256)]
    mark, at = secret.mark(data[:WINDOW]), 0
    rolled = ((old, new) for old, new in zip(data, memoryview(data)[WINDOW:], strict=False))
    while True:
        one, other = mark & mask, mark >> _HALF & mask
        if bits[one >> 3] >> (one & 7) & 1 and bits[other >> 3] >> (other & 7) & 1:
            yield at
        pair = next(rolled, None)
        if pair is None:
            return
        mark, at = (mark * point + pair[1] + 1 - leaving[pair[0]]) % _MODULUS, at + 1


def is_marked(data: bytes, secret: Secret, bits: bytes) -> bool:
    """Return whether the mark of ``data`` is in the filter."""
    mask, mark = 8 * len(bits) - 1, secret.mark(data)
    one, other = mark & mask, mark >> _HALF & mask
    return bool(bits[one >> 3] >> (one & 7) & 1 and bits[other >> 3] >> (other & 7) & 1)

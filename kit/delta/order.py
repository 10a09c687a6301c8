"""The order of a target's documents in terms of the base's: which document comes from where.

A step is a stretch of documents: copied from the base, changed from the base, or inserted. Copied and changed ones
continue where the previous step ended, or jump. Laws: ``parse_steps(encode_steps(s)) == s``; a collection in its old
order costs a few bytes however long it is; one in random order costs little more than the entropy of that order.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import NamedTuple

from kit.delta.packing import pack, unpack
from kit.delta.varint import Reader, unsigned, unzigzag, zigzag

LEVEL = 19
MAX_STEPS = 1 << 17
"""In one segment, so that none is large in any order."""
_MAX_BYTES = MAX_STEPS * 9
_ABSOLUTE, _RELATIVE = 0, 1


class Source(enum.IntEnum):
    """Where the documents of a step come from."""

    COPY = 0
    CHANGE = 1
    INSERT = 2


class Step(NamedTuple):
    """A stretch of ``length`` documents; ``start`` is the ordinal of the first in the base, 0 for inserted ones."""

    source: Source
    start: int
    length: int


def encode_steps(steps: Sequence[Step], expected: int) -> bytes:
    """Return the encoded steps; without a jump, the first continues at the base's document ``expected``."""
    out = bytearray()
    jumps: list[int] = []
    absolute: list[int] = []
    for source, start, count in steps:
        jumping = source is not Source.INSERT and start != expected
        out += unsigned(count << 3 | source << 1 | jumping)
        if jumping:
            jumps.append(zigzag(start - expected))
            absolute.append(start)
        if source is not Source.INSERT:
            expected = start + count
    # Relative jumps are small when short, and no smaller than absolute ones else: whichever form is shorter.
    forms = [pack(_planes(form), level=LEVEL) for form in (absolute, jumps)]
    best = _ABSOLUTE if len(forms[_ABSOLUTE]) < len(forms[_RELATIVE]) else _RELATIVE
    return b"".join((unsigned(len(steps)), pack(bytes(out), level=LEVEL), bytes((best,)), forms[best]))


def parse_steps(reader: Reader, expected: int) -> list[Step]:
    """Return the steps that ``reader`` holds.

    Raises:
        ArchiveError: They are not what :func:`encode_steps` returns.
    """
    total = reader.bounded(MAX_STEPS, "number of steps")
    stream = Reader(unpack(reader, most=_MAX_BYTES), "an order")
    form = reader.take(1)[0]
    jumps = iter(_of_planes(unpack(reader, most=_MAX_BYTES), reader))
    steps: list[Step] = []
    for _ in range(total):
        word = stream.unsigned()
        count, source, jumping = word >> 3, word >> 1 & 3, word & 1
        if source > Source.INSERT or (source == Source.INSERT and jumping) or not count:
            raise reader.fault("has an unknown step")
        start = expected
        if jumping:
            jump = next(jumps, None)
            if jump is None:
                raise reader.fault("has fewer jumps than steps that jump")
            start = jump if form == _ABSOLUTE else expected + unzigzag(jump)
        if source == Source.INSERT:
            start = 0
        else:
            expected = start + count
        if start < 0:
            raise reader.fault("jumps before the first document")
        steps.append(Step(Source(source), start, count))
    stream.finish()
    if next(jumps, None) is not None:
        raise reader.fault("has more jumps than steps that jump")
    return steps


def _planes(numbers: Sequence[int]) -> bytes:
    """Return numbers of one width as byte planes, lowest first: random low bytes do not spoil the high ones."""
    width = (max((number | 1 for number in numbers), default=0).bit_length() + 7) // 8
    return bytes((width,)) + b"".join(bytes(n >> shift & 0xFF for n in numbers) for shift in range(0, 8 * width, 8))


def _of_planes(data: bytes, reader: Reader) -> list[int]:
    width, body = data[0] if data else 9, data[1:]
    if width > 8 or (len(body) % width if width else body):
        raise reader.fault("has jumps of an odd width")
    count = len(body) // width if width else 0
    return [
        sum(byte << 8 * place for place, byte in enumerate(digits))
        for digits in zip(*(body[place * count : (place + 1) * count] for place in range(width)), strict=True)
    ]

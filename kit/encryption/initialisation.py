"""Sources of initialisation vectors (schemas/envelope.md, "What a synthetic IV gives and costs").

A run chooses one and sends it to its workers; :mod:`kit.encryption.aead` makes synthetic ones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class SyntheticIv:
    """Vectors derived from the value and its place; the default."""


@dataclass(frozen=True, slots=True)
class RandomIv:
    """Random vectors; envelopes of equal values differ from run to run."""

    random: Callable[[int], bytes]


IvSource: TypeAlias = SyntheticIv | RandomIv

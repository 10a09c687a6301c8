"""Where initialisation vectors of envelopes come from (schemas/envelope.md, "What a synthetic IV gives and costs").

A choice that belongs to a run and crosses to its workers; how a synthetic one is made is in :mod:`kit.encryption.aead`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class SyntheticIv:
    """Derived from what is sealed and where; the default."""


@dataclass(frozen=True, slots=True)
class RandomIv:
    """Drawn; equal values then differ from run to run."""

    random: Callable[[int], bytes]


IvSource: TypeAlias = SyntheticIv | RandomIv

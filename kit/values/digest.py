"""SHA-256 digests, the only digest kits and manifests use."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Self

from kit.errors import ContentError

_HEX = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Sha256:
    """A SHA-256 digest as 64 lower-case hex digits. Law: ``Sha256.parse(str(d)) == d``."""

    hex: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the digest of bare or ``sha256:``-prefixed hex, in either case (foreign manifests use both).

        Raises:
            ContentError: ``text`` is neither.
        """
        digits = text.removeprefix("sha256:").lower()
        if not _HEX.fullmatch(digits):
            raise ContentError(f"{text!r} is not a SHA-256 digest (64 hex digits, optionally prefixed 'sha256:')")
        return cls(digits)

    @classmethod
    def of(cls, data: bytes) -> Self:
        """Return the digest of ``data``."""
        return cls(hashlib.sha256(data).hexdigest())

    def __str__(self) -> str:
        return self.hex

"""SHA-256 digests, the only digest kits and manifests use.

Merkle tree hashing as RFC 6962 defines it (section 2.1): leaves in a given order, SHA-256, two domains.

Works on leaf hashes; the caller defines what a leaf is and the order of the leaves (schemas/merkle.md).
Laws: ``root_along(leaf, index, size, path_of(index, leaves)) == root_of(leaves)`` for every index; cutting the leaves
into blocks of 2^k and taking the roots of the blocks as leaves gives the same root.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

from kit.errors import ContentError, DigestError

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


EMPTY_ROOT = hashlib.sha256(b"").digest()
"""The root of the tree without leaves."""


def leaf_hash(data: bytes) -> bytes:
    """Return the hash of a leaf."""
    return hashlib.sha256(b"\0" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node; the prefix keeps a node from being presented as a leaf."""
    return hashlib.sha256(b"\1" + left + right).digest()


def root_of(hashes: Iterable[bytes]) -> bytes:
    """Return the root over leaf hashes, in linear time.

    Neighbours are paired level by level; an odd last node moves up unchanged. This splits every tree at the largest
    power of two below its size, as RFC 6962 defines it.
    """
    level = list(hashes)
    if not level:
        return EMPTY_ROOT
    while len(level) > 1:
        level = _above(level)
    return level[0]


def path_of(index: int, hashes: Sequence[bytes]) -> list[bytes]:
    """Return the audit path of the leaf at ``index``: the siblings on the way to the root, lowest first."""
    level, path = list(hashes), []
    while len(level) > 1:
        sibling = index ^ 1
        if sibling < len(level):
            path.append(level[sibling])
        level, index = _above(level), index // 2
    return path


def root_along(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes:
    """Return the root computed from a leaf hash and its audit path, in a tree of ``size`` leaves (RFC 9162 2.1.3.2).

    Raises:
        DigestError: The tree has no leaf of that index, or its path has another length.
    """
    if not 0 <= index < size:
        raise DigestError(f"leaf {index} is not in a tree of {size} leaves")
    last, at, node, left = size - 1, index, leaf, list(reversed(path))
    while last:
        # The last node of a level has no sibling if its index is even; it moves up unchanged.
        if at % 2 or at < last:
            if not left:
                raise DigestError("the audit path is too short")
            sibling = left.pop()
            node = node_hash(sibling, node) if at % 2 else node_hash(node, sibling)
        last, at = last // 2, at // 2
    if left:
        raise DigestError("the audit path is too long")
    return node


def _above(level: Sequence[bytes]) -> list[bytes]:
    pairs = [node_hash(left, right) for left, right in zip(level[::2], level[1::2], strict=False)]
    return [*pairs, level[-1]] if len(level) % 2 else pairs

"""Merkle tree hashing as RFC 6962 defines it (section 2.1): leaves in a given order, SHA-256, two domains.

Works on leaf hashes; what a leaf is, and in which order leaves stand, is for whoever has them (schemas/merkle.md).
Laws: ``root_along(leaf, index, size, path_of(index, leaves)) == root_of(leaves)`` for every index; cutting the leaves
into blocks of 2^k and taking the roots of the blocks as leaves gives the same root.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from kit.errors import DigestError

EMPTY_ROOT = hashlib.sha256(b"").digest()
"""The root of the tree without leaves."""


def leaf_hash(data: bytes) -> bytes:
    """Hash what a leaf commits to."""
    return hashlib.sha256(b"\0" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash an inner node; the prefix keeps a node from being passed off as a leaf."""
    return hashlib.sha256(b"\1" + left + right).digest()


def root_of(hashes: Iterable[bytes]) -> bytes:
    """Give the root over leaf hashes, in linear time.

    Pairing neighbours level by level, the odd one out going up as it is, splits every tree at the largest power of two
    below its size, which is how RFC 6962 defines it.
    """
    level = list(hashes)
    if not level:
        return EMPTY_ROOT
    while len(level) > 1:
        level = _above(level)
    return level[0]


def path_of(index: int, hashes: Sequence[bytes]) -> list[bytes]:
    """Give the audit path of the leaf at ``index``: the hashes beside the way to the root, lowest first."""
    level, path = list(hashes), []
    while len(level) > 1:
        beside = index ^ 1
        if beside < len(level):
            path.append(level[beside])
        level, index = _above(level), index // 2
    return path


def root_along(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes:
    """Give the root that a leaf hash and its audit path lead to, in a tree of ``size`` leaves (RFC 9162 2.1.3.2).

    Raises:
        DigestError: No leaf of such a tree has that index, or its path another length.
    """
    if not 0 <= index < size:
        raise DigestError(f"leaf {index} of a tree of {size}")
    last, at, met, left = size - 1, index, leaf, list(reversed(path))
    while last:
        # The last node of a level has nothing beside it where it stands on the left; it goes up as it is.
        if at % 2 or at < last:
            if not left:
                raise DigestError("the audit path is too short")
            beside = left.pop()
            met = node_hash(beside, met) if at % 2 else node_hash(met, beside)
        last, at = last // 2, at // 2
    if left:
        raise DigestError("the audit path is too long")
    return met


def _above(level: Sequence[bytes]) -> list[bytes]:
    pairs = [node_hash(left, right) for left, right in zip(level[::2], level[1::2], strict=False)]
    return [*pairs, level[-1]] if len(level) % 2 else pairs

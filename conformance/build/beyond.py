"""What ``verify.sh`` accepts and ``kit verify`` refuses: each case of the table, by why a shell script cannot know.

A test holds the script to this list over all cases: one that is not in it must be refused by the script, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase

BEYOND: Mapping[str, tuple[str, ...]] = {
    "it has no clock": ("stale*", "future*", "key-early", "time-before-*"),
    "it remembers nothing, and knows no floor": ("rollback*", "same-generation*", "below-the-floor*"),
    "it checks of a statement that it names both manifests, and nothing more": ("lineage-skips", "statement-*"),
    "it does not read collections": (
        *("declared-*", "bson-*", "append-*", "coverage-*", "half-encrypted", "not-encrypted", "envelope-*"),
    ),
    "names that some file systems take for one are for kit verify": ("name-blank-at-the-end",),
    "it checks no .sig": ("beside-signature-wrong",),
    "tar does not tell of bytes that belong to no member, or of the end": ("cut-*", "end-*", "gzip-zeros-after"),
    "it reads of the manifest what it needs, and its signer vouches for the rest": (
        *("json-huge-integer", "json-float", "json-boolean"),
    ),
}
"""Patterns of names, by reason."""
BY_BSDTAR = frozenset({"folder-with-body", "checksum-wrong"})
"""Cases that bsdtar lets pass and GNU tar does not."""
TOO_STRICT: Mapping[str, tuple[str, ...]] = {
    "it reads compact signatures only": ("signers-*", "signed-general-one", "key-superseded-both", "key-revoked-both"),
    "it has no clock, so a key that is revoked or out of its time does not count": (
        *("key-superseded-history", "key-superseded-below", "key-expired-history"),
    ),
    "it compares no links": ("links-listed",),
}
"""Valid cases that the script refuses: patterns of names, by reason."""
NOT_WRITTEN = frozenset({"policy-unsealed", "policy-sealed-by-another", "policy-expired"})
"""Cases whose policy is refused, so that kit verify writes no script for it."""


def is_beyond(name: str, *, by_bsdtar: bool = False) -> bool:
    """Return whether the script may accept a case that ``kit verify`` refuses."""
    return _is_listed(name, BEYOND) or (by_bsdtar and name in BY_BSDTAR)


def is_too_strict(name: str) -> bool:
    """Return whether the script may refuse a case that ``kit verify`` accepts."""
    return _is_listed(name, TOO_STRICT)


def _is_listed(name: str, listed: Mapping[str, tuple[str, ...]]) -> bool:
    return any(fnmatchcase(name, pattern) for patterns in listed.values() for pattern in patterns)

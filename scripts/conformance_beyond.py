"""What ``verify.sh`` accepts and ``kit verify`` refuses: each case of the table, by why a shell script cannot know.

A test holds the script to this list over all cases: one that is not in it must be refused by the script, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase

BEYOND: Mapping[str, tuple[str, ...]] = {
    "it has no clock": ("stale*", "future", "key-early"),
    "it remembers nothing, and knows no floor": ("rollback*", "same-generation*", "below-the-floor*"),
    "it checks of a statement that it names both manifests, and nothing more": ("lineage-skips", "statement-*"),
    "it does not read collections": (
        *("declared-*", "bson-*", "append-*", "coverage-*", "half-encrypted", "not-encrypted", "envelope-*"),
    ),
    "it checks no .sig": ("beside-signature-wrong",),
    "tar does not tell of bytes that belong to no member, or of the end": ("cut-*", "end-*", "gzip-zeros-after"),
    "it reads of the manifest what it needs, and its signer vouches for the rest": (
        *("json-huge-integer", "json-float", "json-boolean"),
    ),
}
"""Patterns of names, by reason."""
BY_BSDTAR = frozenset({"folder-with-body", "checksum-wrong"})
"""Cases that bsdtar lets pass and GNU tar does not."""
TOO_STRICT: Mapping[str, str] = {
    "signers-two": "it reads compact signatures only",
    "signers-one-unknown": "it reads compact signatures only",
    "signed-general-one": "it reads compact signatures only",
    "key-superseded": "it has no clock, so a key that was revoked does not count",
    "key-expired-history": "it has no clock, so a key whose time is over does not count",
}
"""Valid cases that the script refuses."""
NOT_WRITTEN = frozenset({"policy-unsealed", "policy-sealed-by-another", "policy-expired"})
"""Cases whose policy is refused, so that kit verify writes no script for it."""


def is_beyond(name: str, *, by_bsdtar: bool = False) -> bool:
    """Return whether the script may accept a case that ``kit verify`` refuses."""
    patterns = [pattern for listed in BEYOND.values() for pattern in listed]
    return any(fnmatchcase(name, pattern) for pattern in patterns) or (by_bsdtar and name in BY_BSDTAR)

"""What to do about an obligation that failed, where its error does not say so: commands with words to fill in."""

from __future__ import annotations

from kit.errors import (
    ContentError,
    DigestError,
    KeyUnusableError,
    KitError,
    RollbackError,
    SignatureError,
    StaleError,
    UnsignedError,
    UntrustedError,
)
from kit.trust.rollback import BelowFloorError

_AGAIN = "fetch the kit again from whoever made it, and compare its SHA-256 with theirs: sha256sum KIT"
_FORCE = "on record, and only if you must: kit verify KIT --trust POLICY --force --reason TEXT"

_REMEDIES: tuple[tuple[int, type[KitError], str], ...] = (
    (1, KitError, _AGAIN),
    (2, KitError, "see what it holds: kit inspect KIT; ask its publisher for a kit with one well-formed manifest"),
    (3, UnsignedError, "ask its publisher for the signature; without one no kit is valid"),
    (3, SignatureError, "the manifest or its signature was changed after it was signed: fetch the kit again"),
    (
        3,
        UntrustedError,
        "see who says to have signed it: kit inspect KIT; if they are to be believed: --trusted-key PEM",
    ),
    (4, BelowFloorError, "fetch a newer kit; the policy's minimum cannot be forced"),
    (4, RollbackError, f"fetch the newest generation; or {_FORCE}"),
    (4, StaleError, f"fetch a newer kit; or {_FORCE}"),
    (4, UntrustedError, "ask for a kit signed by a key in force: kit trust show POLICY"),
    (5, DigestError, _AGAIN),
    (
        6,
        UntrustedError,
        "name the keys of everyone who signed a generation: kit verify KIT --trusted-key PEM --trusted-key PEM",
    ),
    (6, KitError, "go back to a generation that verifies and patch it again: kit patch BASE --output KIT"),
    (7, KeyUnusableError, "name the keyring that holds the key: --keyring FILE"),
    (7, KitError, "go back to the generation before, verify it with --deep, and patch it again: kit patch BASE"),
    (
        8,
        ContentError,
        "see which can be derived: kit plan KIT; add them: kit patch KIT --output OUT",
    ),
)


def remedy(number: int, error: KitError) -> str:
    """Give the way out: what the error itself says, else what is usual for this obligation; "" where there is none."""
    usual = (text for at, kind, text in _REMEDIES if at == number and isinstance(error, kind))
    return error.hint or next(usual, "")

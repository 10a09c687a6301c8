"""The table of exit codes, which ``--help`` and the README print, and their mapping from errors."""

from __future__ import annotations

from kit import errors
from kit.errors import KitError

OK = 0

TABLE: tuple[tuple[int, str], ...] = (
    (0, "ok"),
    (1, "not found or unreadable"),
    (2, "digest mismatch"),
    (3, "unsigned"),
    (4, "untrusted or refused by policy"),
    (5, "signature or envelope invalid"),
    (7, "stale or expired"),
    (8, "rollback"),
    (9, "hostile or malformed archive, or a limit"),
    (10, "wrong base of a delta"),
    (11, "content invalid (BSON, schema, coverage)"),
    (12, "stopped by a stop rule"),
    (13, "key missing or unusable"),
    (64, "usage"),
    (70, "internal error"),
    (74, "output not written"),
    (130, "interrupted"),
)

# The nearest class in the inheritance of an error decides.
_CODES: dict[type[KitError], int] = {
    errors.UnreadableError: 1,
    errors.DigestError: 2,
    errors.UnsignedError: 3,
    errors.UntrustedError: 4,
    errors.SignatureError: 5,
    errors.StaleError: 7,
    errors.RollbackError: 8,
    errors.ArchiveError: 9,
    errors.WrongBaseError: 10,
    errors.ContentError: 11,
    errors.StoppedError: 12,
    errors.KeyUnusableError: 13,
    errors.UsageError: 64,
    errors.OutputError: 74,
    errors.InterruptedRunError: 130,
    KitError: 70,
}


def exit_code(error: KitError) -> int:
    """Return the exit code of an error."""
    return next(_CODES[kind] for kind in type(error).__mro__ if kind in _CODES)


def table_text() -> str:
    """Return the table for ``--help``."""
    return "\n".join(f"{code:>5}  {meaning}" for code, meaning in TABLE)


def codes_text() -> str:
    """Return the table as one paragraph, for the help of each command."""
    return "Exit codes: " + ", ".join(f"{code} {meaning}" for code, meaning in TABLE) + "."

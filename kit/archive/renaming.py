"""Renames that promise more than rename(2): that nothing is replaced, or that two names are exchanged at once."""

from __future__ import annotations

import ctypes
import errno
import os
from pathlib import Path

_RENAME_NOREPLACE = 1
_RENAME_EXCHANGE = 2
_AT_FDCWD = -100


def rename_free(one: Path, other: Path) -> None:
    """Rename without ever replacing anything, where the system can promise that."""
    if not _rename(one, other, _RENAME_NOREPLACE):
        if os.path.lexists(other):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(other))
        one.rename(other)


def exchange(one: Path, other: Path) -> bool:
    """Exchange two names in one step; False where the system cannot, or refuses."""
    return _rename(one, other, _RENAME_EXCHANGE)


def _rename(one: Path, other: Path, flags: int) -> bool:
    """Rename as renameat2(2) with ``flags`` does; False where the system cannot, or refuses."""
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is None:
        return False
    return bool(renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), flags) == 0)

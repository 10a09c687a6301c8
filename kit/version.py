"""What this program is called in everything it signs.

The commit that this program was built from, found without running anything.
"""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

TOOL = "offline-kit"
VERSION = "0.2.0"
"""The same as in pyproject.toml; a test holds them together."""
CORE_VERSION = "0.3.0"
"""Of the core that this package goes with (core/Cargo.toml); raised with every change of what the core decides."""


_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_STAMP = "COMMIT"
"""A file in the package to which a build may write the commit."""


def tool_commit(package: Path = Path(__file__).parent) -> str | None:
    """Return the commit: the stamp in the package, else that of its checkout; None without both.

    A checkout records what was checked out, not whether files were changed since.
    """
    with suppress(OSError):
        return _hexadecimal((package / _STAMP).read_text(encoding="ascii", errors="replace"))
    with suppress(OSError):
        return _read_head(package.parent / ".git")
    return None


def _read_head(git: Path) -> str | None:
    """Read HEAD of a repository, or of one of its worktrees (gitrepository-layout(5))."""
    if git.is_file():
        git = git.parent / git.read_text(encoding="utf-8").removeprefix("gitdir:").strip()
    head = (git / "HEAD").read_text(encoding="ascii", errors="replace").strip()
    if not head.startswith("ref: "):
        return _hexadecimal(head)
    name = head.removeprefix("ref: ")
    common = git
    with suppress(OSError):
        common = git / (git / "commondir").read_text(encoding="utf-8").strip()
    with suppress(OSError):
        return _hexadecimal((common / name).read_text(encoding="ascii", errors="replace"))
    packed = (common / "packed-refs").read_text(encoding="utf-8", errors="replace")
    return next((_hexadecimal(line.split()[0]) for line in packed.splitlines() if line.endswith(f" {name}")), None)


def _hexadecimal(text: str) -> str | None:
    return text.strip() if _COMMIT.fullmatch(text.strip()) else None

"""One digest of a whole folder: names, files and links in it, but not who owns them or when they were written.

What an archive's digest is to an archive: by it a later process can tell whether the folder that was finished is still
what was finished. Law: it depends on what is in the folder alone, not on the order the system gives it in.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from kit.values import Sha256


def tree_digest(folder: Path) -> Sha256:
    """Digest everything below ``folder``; links are not followed.

    Raises:
        OSError: Something cannot be read.
    """
    digest = hashlib.sha256()
    for name, kind, content in _entries(folder):
        # The names come sorted and hold no NUL, and what follows them is of fixed size, so none passes for another.
        digest.update(os.fsencode(name) + b"\0" + kind + content)
    return Sha256(digest.hexdigest())


def _entries(folder: Path) -> Iterator[tuple[str, bytes, bytes]]:
    for place, folders, files in os.walk(folder, onerror=_raise):
        folders.sort()
        for name in sorted([*folders, *files]):
            path = Path(place) / name
            shown = str(path.relative_to(folder))
            if path.is_symlink():
                yield shown, b"l", hashlib.sha256(os.fsencode(path.readlink())).digest()
            elif path.is_dir():
                yield shown, b"d", bytes(32)
            else:
                with path.open("rb") as file:
                    yield shown, b"f", hashlib.file_digest(file, "sha256").digest()


def _raise(error: OSError) -> None:
    raise error

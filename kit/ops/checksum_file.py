"""Reads ``<archive>.sha256`` in every form that ``sha256sum -c`` reads, and a bare digest.

======================= ================================== ========================================================
``HEX  NAME``           ``sha256sum``                      also with one blank, or with ``*`` before the name
``SHA256 (NAME) = HEX`` ``sha256sum --tag``, BSD           also ``SHA256(NAME)= HEX``, ``SHA2-256(NAME)= HEX``: openssl
``HEX``                 what other tools print             only alone in its file
======================= ================================== ========================================================

Digits are of either case; a backslash before the line says that backslash, line feed and carriage return of the name
are escaped; a line that begins with ``#`` is a comment. Lines of other forms are passed over, as ``sha256sum`` does.

Of one line the name does not matter, since a kit may be renamed. Of several those count that name the archive, whatever
folder they name it in; they must agree. ``verify.sh`` has the same rules, in awk.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePath

from kit.values import Sha256
from kit.values.plain_text import plain_text

_PLAIN = re.compile(rb"([0-9A-Fa-f]{64})(?:[ \t][ \t*]?(.*))?", re.DOTALL)
_TAGGED = re.compile(rb"SHA(?:2-)?256 ?\((.*)\) ?= ?([0-9A-Fa-f]{64})[ \t]*", re.DOTALL)
_ESCAPE = re.compile(rb"\\(.)", re.DOTALL)
_ESCAPED = {b"n": b"\n", b"r": b"\r", b"\\": b"\\"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ChecksumFile:
    """What such a file says of one archive."""

    digests: frozenset[str]
    """Of the archive, in lower-case hex: one, unless the file names none or contradicts itself."""
    lines: int
    """How many lines have a digest, of whichever file."""

    @classmethod
    def parse(cls, data: bytes, archive: str) -> ChecksumFile:
        """Read a file; ``archive`` is the name of the archive that it is beside."""
        found = [entry for line in plain_text(data).split(b"\n") if (entry := _entry(line)) is not None]
        wanted = _leaf(archive.encode("utf-8", "surrogateescape"))
        of_archive = found if len(found) == 1 else [entry for entry in found if _leaf(entry[0]) == wanted]
        return cls(digests=frozenset(digest for _, digest in of_archive), lines=len(found))

    def is_of(self, digest: Sha256 | None) -> bool:
        """Return whether the file says that the archive has this digest, and no other."""
        return self.digests == {str(digest)}

    def __str__(self) -> str:
        if self.digests:
            return " and ".join(sorted(self.digests))
        return f"the digests of {self.lines} files, none of them of this name" if self.lines else "no digest"


def _entry(line: bytes) -> tuple[bytes, str] | None:
    """Return name and digest of one line; None where it has none."""
    line = line.lstrip(b" \t").removesuffix(b"\r")
    bare = line.removeprefix(b"\\")
    if tagged := _TAGGED.fullmatch(bare):
        name, digest = tagged[1], tagged[2]
    elif plain := _PLAIN.fullmatch(bare):
        name, digest = plain[2] or b"", plain[1]
    else:
        return None
    if bare != line:
        name = _ESCAPE.sub(lambda match: _ESCAPED.get(match[1], match[0]), name)
    return name, digest.decode("ascii").lower()


def _leaf(name: bytes) -> bytes:
    return PurePath(name.decode("utf-8", "surrogateescape")).name.encode("utf-8", "surrogateescape")

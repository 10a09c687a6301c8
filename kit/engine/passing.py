"""The pass: one reading of a kit, which hands every entry with its body to a visitor.

Every verb reads kits here, with a visitor of its own. A visitor takes any number of chunks of a body, or none. Laws:
entries come in the order of the container, each once; a body is digested at most once a pass; a later pass hands out
what the first one digested, or ends in the one error, :func:`kit.archive.read.reader.changed_meanwhile`.

An archive is compared once, at the end of the pass, and by its stored bytes, which are far fewer than its bodies. So a
visitor that makes something of bodies keeps it back until then. In a folder each body is compared as it ends.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from typing import Protocol

from kit.archive.read.proven import Proven
from kit.archive.read.reader import Copying, KitReader, changed_meanwhile
from kit.archive.read.tar import Member
from kit.values import MemberPath, Sha256

Visitor = Callable[[Member, Iterator[bytes]], None]
"""Takes each entry with its body, which only a file has."""
Digests = dict[MemberPath, tuple[Sha256, int]]
"""Digest and size of the body of every file, in the order of the container."""


class Known(Protocol):
    """What an earlier pass over a kit found; a :class:`kit.engine.reading.Survey` is one."""

    @property
    def members(self) -> Mapping[MemberPath, tuple[Sha256, int]]:
        """As :data:`Digests`."""
        ...

    @property
    def stored(self) -> Sha256 | None:
        """Digest of the archive as stored; None for a folder."""
        ...


def read_first(reader: KitReader, visit: Visitor, *, proven: Proven | None = None) -> Digests:
    """Read a kit for the first time and digest every file.

    Args:
        reader: The kit.
        visit: The visitor.
        proven: What this process knows of the archive, which it has just written. The visitor gets only parts of these
            bodies, and their digests are the ones made while writing.

    Raises:
        KitError: The container is malformed or over a limit, or cannot be read; or as ``visit``.
    """
    found: Digests = {}
    known = proven.bodies if proven is not None else {}
    for member, body in reader.members(proven=proven):
        path = member.path
        if path is None or not member.is_file:
            visit(member, body)
            continue
        digest = hashlib.sha256()
        hashed = hashing(body, digest)
        visit(member, hashed)
        for _ in hashed:
            pass
        found[path] = (known[path].sha256 if path in known else Sha256(digest.hexdigest()), member.size)
    return found


def read_again(reader: KitReader, known: Known, visit: Visitor, *, copying: Copying | None = None) -> None:
    """Read a kit that was read before, to its end.

    Args:
        reader: The kit.
        known: What the first pass found.
        visit: The visitor.
        copying: What is taken as it is stored, and therefore not visited.

    Raises:
        DigestError: The kit changed meanwhile.
        KitError: As :func:`read_first`.
    """
    for member, body in entries(reader, known, copying=copying):
        visit(member, body)


def entries(
    reader: KitReader, known: Known | None = None, *, copying: Copying | None = None
) -> Iterator[tuple[Member, Iterator[bytes]]]:
    """Yield the entries of a kit as they are needed; a pass that is left early proves nothing.

    Args:
        reader: The kit.
        known: What the first pass found; None where the caller compares with something else.
        copying: As of :func:`read_again`.

    Raises:
        DigestError: The kit changed meanwhile.
        KitError: As :func:`read_first`.
    """
    if known is None:
        yield from reader.members(copying)
        return
    for member, body in reader.members(copying):
        if member.path is None or not member.is_file:
            yield member, body
            continue
        due = known.members.get(member.path)
        if due is None:
            raise changed_meanwhile(member.path)
        if known.stored is not None:
            yield member, body
            continue
        checked = _checked(body, member.path, due[0])
        yield member, checked
        if inspect.getgeneratorstate(checked) == inspect.GEN_SUSPENDED:  # a body that was begun is compared
            for _ in checked:
                pass
    if reader.pass_digest() != known.stored:
        raise changed_meanwhile(reader.path)


def hashing(chunks: Iterable[bytes], digest: hashlib._Hash) -> Iterator[bytes]:
    """Pass chunks on, feeding ``digest`` on the way."""
    for chunk in chunks:
        digest.update(chunk)
        yield chunk


def _checked(body: Iterator[bytes], path: MemberPath, due: Sha256) -> Generator[bytes]:
    digest = hashlib.sha256()
    yield from hashing(body, digest)
    if digest.hexdigest() != due.hex:
        raise changed_meanwhile(path)

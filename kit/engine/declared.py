"""Which members of a kit are collections: by their names, as its manifest declares, and as a caller declares.

A first pass needs to know it at each member, and the manifest may come after them in an archive. So where a member may
be declared, and the manifest was not seen yet, it is looked up ahead, by another reading up to it. Kits without such
members are never read twice for this. Laws: what a pass was shown is what the manifest that it read declares, or the
pass ends in an error; nothing is guessed from contents.

A manifest that cannot be read declares nothing: who judges the kit reports that.
"""

from __future__ import annotations

from collections.abc import Container

from kit.archive.read.reader import KitReader, changed_meanwhile
from kit.errors import ContentError, KitError, UsageError
from kit.manifest import MANIFEST_PATHS, Manifest
from kit.values import NAMED, CollectionMember, Collections, Limits, MemberPath, declarable_formats

_HINT = "declare it once, or the same in both places"


class DeclaredCollections:
    """The collections of a kit that is being read for the first time; ``reader.collections`` has them as well."""

    def __init__(self, reader: KitReader) -> None:
        """Find the collections of the kit in ``reader``, with those that ``reader.declared`` has."""
        self._reader = reader
        self._manifest: bytes | None = None
        self._path: MemberPath | None = None
        reader.collections = reader.declared

    def note(self, path: MemberPath, data: bytes) -> bytes:
        """Take a member that was read whole, and return it; the manifest may be one.

        Raises:
            DigestError: The manifest is another than the one looked up ahead.
            UsageError: It contradicts the caller.
        """
        if path in MANIFEST_PATHS:
            if self._manifest is None:
                self._use(path, data)
            elif self._path == path and self._manifest != data:
                raise changed_meanwhile(path)
        return data

    def member(self, path: MemberPath) -> CollectionMember | None:
        """Return the collection in a file; None where it is none.

        Raises:
            KitError: The kit cannot be read up to its manifest, or that contradicts the caller.
        """
        if self._manifest is None and is_only_declared(path):
            self._look_ahead()
        return self._reader.collections.member(path)

    def require_found(self, members: Container[MemberPath]) -> None:
        """Check that there is a member for everything that the caller declares.

        Raises:
            UsageError: There is none.
        """
        absent = sorted(path for path in self._reader.declared.declared if path not in members)
        if absent:
            raise UsageError("is declared as a collection, and the kit has no such member", where=str(absent[0]))

    def _look_ahead(self) -> None:
        for member, body in self._reader.again().members():
            if member.path in MANIFEST_PATHS and member.is_file and member.path is not None:
                self._reader.limits.check("json_bytes", member.size, where=str(member.path))
                self._use(member.path, b"".join(body))
                return
        self._manifest = b""

    def _use(self, path: MemberPath, data: bytes) -> None:
        self._manifest, self._path = data, path
        stated = _declared_in(data, self._reader.limits, str(path))
        ours = self._reader.declared.declared
        if not stated.declared or not ours:
            self._reader.collections = stated if stated.declared else self._reader.declared
            return
        try:
            self._reader.collections = Collections.of((*stated.declared.values(), *ours.values()))
        except ContentError as error:
            raise UsageError(error.what, where=error.where, hint=_HINT) from error


def is_only_declared(path: MemberPath) -> bool:
    """Return whether a member may be a collection, and its name alone does not make it one."""
    return bool(declarable_formats(path)) and NAMED.member(path) is None


def _declared_in(data: bytes, limits: Limits, where: str) -> Collections:
    try:
        return Manifest.parse(data, limits=limits, where=where).table
    except KitError:
        return NAMED

"""The files that ``kit extract`` writes: one a collection, in the layout of ``mongodump``, named when all are whole."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from kit.archive import NewFolder, encode
from kit.encryption.approval import DocumentName
from kit.engine.extracting import MAX_UNRESOLVABLE, Extracted, Form, Selection, Unresolvable
from kit.errors import ContentError, UsageError
from kit.publishing import NewFile
from kit.values import Codec, CollectionMember, CollectionName, MemberPath, Sha256

_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """Where documents go: a folder, one file, or a function that takes the bytes as they come."""

    path: Path | None = None
    single: bool = False
    """The path is that of a file."""
    sink: Callable[[bytes], object] | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractedFile:
    """The documents of one collection."""

    name: CollectionName
    path: Path | None
    """None where they went to a sink."""
    members: tuple[MemberPath, ...]
    """Where they came from, in the kit's order."""
    documents: int
    """In the kit."""
    taken: int
    stripped: int
    """Of those taken, how many lost their ``rawLinkset``."""
    bytes: int
    sha256: Sha256
    metadata: Path | None
    """The collection's metadata next to it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """A document that is in no file, and of which member it is."""

    member: MemberPath
    what: Unresolvable


@dataclass(slots=True, kw_only=True)
class _Taken:
    """One collection, while it is taken."""

    members: list[MemberPath] = field(default_factory=list)
    documents: int = 0
    taken: int = 0
    stripped: int = 0
    metadata: dict[MemberPath, bytes] = field(default_factory=dict)
    output: NewFile | None = None
    bytes: int = 0
    digest: hashlib._Hash = field(default_factory=hashlib.sha256)


class ExtractedFiles:
    """Puts what is taken where it belongs; files are made when the first document comes."""

    def __init__(self, selection: Selection, destination: Destination, stack: ExitStack) -> None:
        """Write what ``selection`` takes to ``destination``; files are open until ``stack`` ends.

        Raises:
            OutputError: Something is there already.
        """
        self._selection = selection
        self._destination = destination
        self._stack = stack
        self._found: dict[CollectionName, _Taken] = {}
        self._folder: NewFolder | None = None
        self.tenants: set[str] = set()
        """Found, of those that were asked for."""
        self.met: set[DocumentName] = set()
        """As ``tenants``, of documents."""
        self.unresolvable: list[LeftOut] = []
        """Documents left out, the first ones, and how many all are."""
        self.left_out = 0
        if destination.path is not None:
            if destination.single:
                NewFile(destination.path).require_free()
            else:
                self._folder = stack.enter_context(NewFolder(destination.path))

    def begin(self, member: CollectionMember) -> None:
        """Begin a member, whose documents follow."""
        self._found.setdefault(member.name, _Taken()).members.append(member.path)

    def describe(self, name: CollectionName, path: MemberPath, data: bytes) -> None:
        """Take a collection's metadata, which the kit has at ``path``."""
        self._found.setdefault(name, _Taken()).metadata[path] = data

    def add(self, member: CollectionMember, extracted: Extracted) -> None:
        """Write what was taken of a run.

        Raises:
            OutputError: It cannot be written.
        """
        name = member.name
        found = self._found[name]
        found.documents += extracted.documents
        found.taken += extracted.taken
        found.stripped += extracted.stripped
        self.tenants |= extracted.tenants
        self.met |= extracted.met
        self.left_out += extracted.left_out
        room = MAX_UNRESOLVABLE - len(self.unresolvable)
        self.unresolvable += [LeftOut(member=member.path, what=one) for one in extracted.unresolvable[:room]]
        if extracted.stored:
            self._write(name, found, extracted.stored)

    def finished(self, names: Iterable[CollectionName]) -> tuple[ExtractedFile, ...]:
        """Read every file back and name it, and only then the folder; in the order of ``names``.

        Raises:
            OutputError: A file does not read back, or a name is taken.
            ContentError: Parts of a collection have different metadata.
        """
        files = tuple(self._finish(name, self._found[name]) for name in names if self._is_written(self._found[name]))
        if self._folder is not None:
            self._folder.publish()
        return files

    def _is_written(self, found: _Taken) -> bool:
        # An empty collection is one of the kit's; one of which nothing was asked for is not.
        return bool(found.taken) or not self._selection.scoped

    def _write(self, name: CollectionName, found: _Taken, data: bytes) -> None:
        found.bytes += len(data)
        found.digest.update(data)
        if self._destination.path is None:
            if self._destination.sink is not None:
                self._destination.sink(data)
            return
        self._output(name, found).write(data)

    def _output(self, name: CollectionName, found: _Taken) -> NewFile:
        if found.output is None:
            found.output = self._stack.enter_context(NewFile(self._place(f"{_stem(name)}{self._suffix()}")))
        return found.output

    def _place(self, name: str) -> Path:
        return self._folder.place(name) if self._folder is not None else self._target

    @property
    def _target(self) -> Path:
        if self._destination.path is None:
            raise UsageError("nowhere to write to")
        return self._destination.path

    def _suffix(self) -> str:
        return f".{self._selection.form.value}{self._selection.codec.value}"

    def _finish(self, name: CollectionName, found: _Taken) -> ExtractedFile:
        path: Path | None = None
        metadata: Path | None = None
        if self._destination.path is not None:
            output = self._output(name, found)
            if not found.bytes and self._selection.codec is not Codec.NONE:
                self._write(name, found, encode(self._selection.codec, b""))
            output.publish()
            path = self._target / f"{_stem(name)}{self._suffix()}" if self._folder is not None else self._target
            metadata = self._describe(name, found)
        return ExtractedFile(
            name=name,
            path=path,
            members=tuple(found.members),
            documents=found.documents,
            taken=found.taken,
            stripped=found.stripped,
            bytes=found.bytes,
            sha256=Sha256(found.digest.hexdigest()),
            metadata=metadata,
        )

    def _describe(self, name: CollectionName, found: _Taken) -> Path | None:
        """Write the metadata next to a collection's documents, where ``mongorestore`` looks for them."""
        if self._folder is None or self._selection.form is not Form.BSON or not found.metadata:
            return None
        first, *others = found.metadata.items()
        differing = [str(path) for path, data in others if data != first[1]]
        if differing:
            raise ContentError(
                f"parts of {name} have different metadata: {first[0]} and {', '.join(differing[:_SHOWN])}",
                hint="take it into a single file, which has no metadata beside it: --output NAME.bson --collection …",
            )
        codec = self._selection.codec
        leaf = f"{_stem(name)}.metadata.json{codec.value}"
        with NewFile(self._place(leaf)) as output:
            output.write(encode(codec, first[1]))
            output.publish()
        return self._target / leaf


def _stem(name: CollectionName) -> str:
    return f"{name.database}/{name.collection}"

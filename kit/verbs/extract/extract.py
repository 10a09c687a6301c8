"""``kit extract``: documents of a kit as files that stock tools read; what is encrypted stays so.

Kit read and judged as anybody would → read again, what is selected written into files without a name → each member is
what was judged, everything asked for was found → files read back → named, all together. Laws: every document is a slice
of the kit in the kit's order; a failed run leaves nothing; a tenant, collection or document that was asked for and is
not there is an error, since what is left would be taken for all of it.

A folder is laid out as ``mongodump`` does: ``<db>/<collection>.bson[.gz]``, the metadata of the kit next to it.

The files that ``kit extract`` writes: one a collection, in the layout of ``mongodump``, named when all are whole.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from kit.archive.frames import encode
from kit.archive.read.codecs import decode_member
from kit.archive.read.tar import Member
from kit.encryption.approval import DocumentName
from kit.engine.passing import read_again
from kit.engine.progress import Stage
from kit.engine.reading import Survey, member_runs
from kit.errors import ContentError, UsageError
from kit.output.folders import NewFolder
from kit.output.publish import NewFile
from kit.signing import PublicKey
from kit.trust import Anchor
from kit.values import Codec, CollectionMember, CollectionName, MemberPath, Sha256, collection_member
from kit.verbs.extract.documents import MAX_UNRESOLVABLE, Extracted, Form, Selection, Unresolvable, extract_run
from kit.verbs.verify.judged import SIGNATURES, judge_kit, require_trust
from kit.verbs.verify.judgement import Expectation, Judgement
from kit.verbs.verify.kits import Environment, OpenKit, open_with_workers, require_outside


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


_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractRequest:
    """What to take out of which kit, and where to."""

    kit: Path
    trusted: Mapping[str, PublicKey] | None
    """By key id; None takes from a kit whose signatures were not verified (``--insecure-unverified-base``)."""
    trust: Anchor | None = None
    """A policy goes before ``trusted``."""
    selection: Selection = field(default_factory=Selection)
    destination: Destination
    environment: Environment = field(default_factory=Environment)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractReport:
    """What was taken."""

    kit: Path
    verified: bool
    """Whether the kit is what trusted signers signed."""
    judgement: Judgement
    selection: Selection
    output: Path | None
    files: tuple[ExtractedFile, ...]
    unresolvable: tuple[LeftOut, ...]
    """Documents that are in no file because they cannot be read or written; the first ones."""
    left_out: int
    """How many they are."""


def extract(request: ExtractRequest) -> ExtractReport:
    """Write the documents that are selected.

    Raises:
        ContentError: A tenant, collection or document that was asked for is not in the kit, or a collection cannot be
            cut into documents, or a document that was asked for by ``_id`` cannot be written in the form.
        UsageError: Several collections are selected for one file.
        OutputError: The output cannot be written, or something is there.
        DigestError: The kit changed between two readings.
        KitError: The kit is refused.
    """
    if request.destination.path is not None:
        require_outside(request.kit, request.destination.path)
    with open_with_workers(request.kit, request.environment) as kit, ExitStack() as stack:
        found, judgement = _judged(kit, request)
        chosen = _chosen(found, request)
        writer = ExtractedFiles(request.selection, request.destination, stack)
        _take(kit, found, request.selection, writer)
        _require_met(request.selection, writer)
        files = writer.finished(chosen)
        return ExtractReport(
            kit=request.kit,
            verified=judgement.failure is None,
            judgement=judgement,
            selection=request.selection,
            output=request.destination.path,
            files=files,
            unresolvable=tuple(writer.unresolvable),
            left_out=writer.left_out,
        )


def _judged(kit: OpenKit, request: ExtractRequest) -> tuple[Survey, Judgement]:
    require_trust(request.trusted, request.trust)
    insecure = request.trust is None and request.trusted is None
    expectation = Expectation(trusted=request.trusted or {}, trust=request.trust, allow_unsigned_history=insecure)
    judged = judge_kit(kit, expectation).require(but=SIGNATURES if insecure else frozenset())
    return judged.survey, judged.judgement


def _chosen(found: Survey, request: ExtractRequest) -> tuple[CollectionName, ...]:
    """Return the collections that are selected, in the kit's order."""
    there = dict.fromkeys(member.name for member in found.collections.values())
    wanted = request.selection.collections
    missing = sorted(str(name) for name in (wanted or frozenset()) if name not in there)
    if missing:
        names = ", ".join(sorted(map(str, there))) or "none"
        raise ContentError(f"no collection {', '.join(missing)} in this kit", hint=f"collections of the kit: {names}")
    chosen = tuple(name for name in there if request.selection.has_collection(name))
    if not chosen:
        raise ContentError("this kit has no collections")
    if (request.destination.single or request.destination.path is None) and len(chosen) > 1:
        raise UsageError(
            f"one file holds one collection, and these are selected: {', '.join(map(str, chosen))}",
            hint="choose with --collection, or name a folder",
        )
    return chosen


def _take(kit: OpenKit, found: Survey, selection: Selection, writer: ExtractedFiles) -> None:
    """Read the kit again; the bytes taken are those that were judged."""
    reader = kit.reader
    with kit.pipeline(Stage.EXTRACT) as pipeline:

        def visit(member: Member, body: Iterator[bytes]) -> None:
            if member.path is None or not member.is_file:
                return
            collection, described = collection_member(member.path), _described(member.path)
            if collection is not None and selection.has_collection(collection.name):
                writer.begin(collection)
                for run in member_runs(collection, body, reader):
                    pipeline.submit(
                        extract_run,
                        *(selection, collection.name, run),
                        cost=len(run.data),
                        weight=run.weight,
                        then=partial(writer.add, collection),
                        where=str(collection.path),
                    )
            elif described is not None and selection.has_collection(described[0]):
                writer.describe(described[0], member.path, _metadata(kit, member, body, described[1]))

        read_again(reader, found, visit)


def _described(path: MemberPath) -> tuple[CollectionName, Codec] | None:
    """Read ``…/<db>/<collection>.metadata.json[.gz|.zst]``."""
    for codec in Codec:
        stem = path.text.removesuffix(f".metadata.json{codec.value}")
        if stem != path.text:
            collection = collection_member(MemberPath(f"{stem}.bson"))
            return (collection.name, codec) if collection is not None else None
    return None


def _metadata(kit: OpenKit, member: Member, body: Iterator[bytes], codec: Codec) -> bytes:
    limits, where = kit.reader.limits, str(member.path)
    whole = bytearray()
    for chunk in decode_member(body, codec, limits, where=where):
        whole += chunk
        limits.check("json_bytes", len(whole), where=where)
    return bytes(whole)


def _require_met(selection: Selection, writer: ExtractedFiles) -> None:
    """Refuse where something that was asked for is not there."""
    tenants = sorted((selection.tenants or frozenset()) - writer.tenants)
    if tenants:
        raise ContentError(f"no documents of tenant {', '.join(map(repr, tenants))} in what is selected of this kit")
    absent = [name for name in selection.documents or () if name not in writer.met]
    if absent:
        shown = ", ".join(sorted(str(name.to_json()) for name in absent)[:_SHOWN])
        more = ", …" if len(absent) > _SHOWN else ""
        count = f"{len(absent):,} of {len(selection.documents or ()):,}"
        raise ContentError(
            f"{count} documents are not in what is selected: {shown}{more}",
            hint="leave them out, or choose other collections and tenants",
        )

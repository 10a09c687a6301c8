"""``kit extract``: writes documents of a kit as files that stock tools read; encrypted values stay encrypted.

Read and judge the kit → read it again and write the selected documents into files without a name → check that each
member is what was judged and that everything requested was found → read the files back → publish them all together.
Laws: the documents are in the kit's order; a failed run leaves nothing; a requested tenant, collection or document that
the kit lacks is an error, since the user would take the output for complete.

Each collection is one file. A folder has the layout of ``mongodump``: ``<db>/<collection>.bson[.gz]``, with the
metadata of the kit next to it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from kit.archive.frames import encode
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
from kit.values import Codec, CollectionFormat, CollectionMember, CollectionName, MemberPath, Sha256
from kit.verbs.extract.documents import MAX_UNRESOLVABLE, Extracted, Form, Selection, Unresolvable, extract_run
from kit.verbs.extract.dump import DumpFile, DumpPlan, parse_metadata_path, plan_dump, read_whole
from kit.verbs.find import NEAR, Query, distinct, find_again, near_hint
from kit.verbs.verify.judged import SIGNATURES, judge_kit, require_trust
from kit.verbs.verify.judgement import Expectation, Judgement
from kit.verbs.verify.kits import Environment, OpenKit, open_with_workers, require_outside


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """Where documents go: a folder, one file, or a function that receives the bytes as they are read."""

    path: Path | None = None
    single: bool = False
    """Whether the path is that of a file."""
    sink: Callable[[bytes], object] | None = field(default=None, repr=False)
    dump: Codec | None = None
    """How a dump of all selected collections is compressed, if one is to be written instead of a file for each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractedFile:
    """The documents of one collection."""

    name: CollectionName
    path: Path | None
    """None if they went to a sink; the dump, if one was written."""
    members: tuple[MemberPath, ...]
    """The members that they are from, in the kit's order."""
    documents: int
    """The number in the kit."""
    taken: int
    stripped: int
    """The number of taken documents that lost their ``rawLinkset``."""
    bytes: int
    sha256: Sha256
    metadata: Path | None
    """The file with the collection's metadata next to it; None if there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """A document that is in no file, and its member."""

    member: MemberPath
    what: Unresolvable


@dataclass(slots=True, kw_only=True)
class _Taken:
    """One collection while it is extracted."""

    members: list[MemberPath] = field(default_factory=list)
    documents: int = 0
    taken: int = 0
    stripped: int = 0
    metadata: dict[MemberPath, bytes] = field(default_factory=dict)
    output: NewFile | None = None
    bytes: int = 0
    digest: hashlib._Hash = field(default_factory=hashlib.sha256)


class ExtractedFiles:
    """Writes the taken documents to their files; a file is opened for its first document."""

    def __init__(self, selection: Selection, destination: Destination, stack: ExitStack) -> None:
        """Prepare to write ``selection`` to ``destination``; files are open until ``stack`` ends.

        Raises:
            OutputError: The destination exists.
        """
        self._selection = selection
        self._destination = destination
        self._stack = stack
        self._found: dict[CollectionName, _Taken] = {}
        self._folder: NewFolder | None = None
        self._dump: DumpFile | None = None
        self._dump_output: NewFile | None = None
        self.tenants: set[str] = set()
        """The requested tenants that were found."""
        self.documents: set[DocumentName] = set()
        """The requested documents that were found."""
        self.advisories: set[str] = set()
        """The requested advisories that were found."""
        self.unresolvable: list[LeftOut] = []
        """The first documents that were omitted."""
        self.left_out = 0
        """The number of omitted documents."""
        if destination.path is not None:
            if destination.single or destination.dump is not None:
                NewFile(destination.path).require_free()
            else:
                self._folder = stack.enter_context(NewFolder(destination.path))

    def begin_dump(self, plan: DumpPlan) -> None:
        """Begin a dump, to which all documents go."""
        write = self._destination.sink
        if self._destination.path is not None:
            self._dump_output = self._stack.enter_context(NewFile(self._destination.path))
            write = self._dump_output.write
        self._dump = DumpFile(plan, self._destination.dump or Codec.NONE, write or (lambda _: None))

    def begin(self, member: CollectionMember) -> None:
        """Begin a member; its documents follow."""
        self._found.setdefault(member.name, _Taken()).members.append(member.path)

    def describe(self, name: CollectionName, path: MemberPath, data: bytes) -> None:
        """Add the metadata of a collection, which the kit has at ``path``."""
        self._found.setdefault(name, _Taken()).metadata[path] = data

    def add(self, member: CollectionMember, extracted: Extracted) -> None:
        """Write the taken documents of a run.

        Raises:
            OutputError: They cannot be written.
        """
        name = member.name
        found = self._found[name]
        found.documents += extracted.documents
        found.taken += extracted.taken
        found.stripped += extracted.stripped
        self.tenants |= extracted.tenants
        self.documents |= extracted.found
        self.advisories |= extracted.advisories
        self.left_out += extracted.left_out
        room = MAX_UNRESOLVABLE - len(self.unresolvable)
        self.unresolvable += [LeftOut(member=member.path, what=one) for one in extracted.unresolvable[:room]]
        if extracted.stored:
            self._write(name, found, extracted.stored)

    def finish(self, names: Iterable[CollectionName]) -> tuple[ExtractedFile, ...]:
        """Read back and publish every file, then the folder; return the files in the order of ``names``.

        Raises:
            OutputError: A file does not read back, or a name is in use.
            ContentError: Parts of a collection have different metadata.
        """
        if self._dump is not None:
            self._dump.close()
            if self._dump_output is not None:
                self._dump_output.publish()
            return tuple(self._report(name, self._found[name], self._destination.path) for name in names)
        files = tuple(self._finish(name, self._found[name]) for name in names if self._is_written(self._found[name]))
        if self._folder is not None:
            self._folder.publish()
        return files

    def _is_written(self, found: _Taken) -> bool:
        # An empty collection gets a file; one without a requested document does not.
        return bool(found.taken) or not self._selection.scoped

    def _write(self, name: CollectionName, found: _Taken, data: bytes) -> None:
        found.bytes += len(data)
        found.digest.update(data)
        if self._dump is not None:
            self._dump.add(name, data)
            return
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
            raise UsageError("there is no path to write to")
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
        return self._report(name, found, path, metadata)

    @staticmethod
    def _report(name: CollectionName, found: _Taken, path: Path | None, metadata: Path | None = None) -> ExtractedFile:
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
                hint="write it to a single file, which has no metadata: --output NAME.bson --collection …",
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
    """What to extract from which kit, and where to write it."""

    kit: Path
    trusted: Mapping[str, PublicKey] | None
    """By key id; None accepts unverified signatures (``--insecure-unverified-base``)."""
    trust: Anchor | None = None
    """A policy replaces ``trusted``."""
    selection: Selection = field(default_factory=Selection)
    destination: Destination
    environment: Environment = field(default_factory=Environment)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractReport:
    """What was extracted."""

    kit: Path
    verified: bool
    """Whether trusted signers signed the kit as it is."""
    judgement: Judgement
    selection: Selection
    output: Path | None
    dump: Codec | None
    """How the dump is compressed, if one was written."""
    files: tuple[ExtractedFile, ...]
    unresolvable: tuple[LeftOut, ...]
    """The first documents that are in no file because they cannot be read or written."""
    left_out: int
    """The number of such documents."""


def extract(request: ExtractRequest) -> ExtractReport:
    """Write the selected documents.

    Raises:
        ContentError: The kit lacks a requested tenant, collection, document or advisory, a collection is not a sequence
            of documents, or the form cannot represent a document that was requested by name.
        UsageError: Several collections are selected for one file.
        OutputError: The output exists, or cannot be written.
        DigestError: The kit changed between two readings.
        KitError: The kit is refused.
    """
    if request.destination.path is not None:
        require_outside(request.kit, request.destination.path)
    with open_with_workers(request.kit, request.environment) as kit, ExitStack() as stack:
        found, judgement = _judge(kit, request)
        chosen = _choose(found, request)
        writer = ExtractedFiles(request.selection, request.destination, stack)
        if request.destination.dump is not None:
            writer.begin_dump(plan_dump(kit, found, chosen))
        _take(kit, found, request.selection, writer)
        _require_found(kit, found, request.selection, writer)
        files = writer.finish(chosen)
        return ExtractReport(
            kit=request.kit,
            verified=judgement.failure is None,
            judgement=judgement,
            selection=request.selection,
            output=request.destination.path,
            dump=request.destination.dump,
            files=files,
            unresolvable=tuple(writer.unresolvable),
            left_out=writer.left_out,
        )


def _judge(kit: OpenKit, request: ExtractRequest) -> tuple[Survey, Judgement]:
    require_trust(request.trusted, request.trust)
    insecure = request.trust is None and request.trusted is None
    expectation = Expectation(trusted=request.trusted or {}, trust=request.trust, allow_unsigned_history=insecure)
    judged = judge_kit(kit, expectation).require(but=SIGNATURES if insecure else frozenset())
    return judged.survey, judged.judgement


def _choose(found: Survey, request: ExtractRequest) -> tuple[CollectionName, ...]:
    """Return the selected collections, in the kit's order."""
    there = dict.fromkeys(member.name for member in found.collections.values())
    wanted = request.selection.collections
    missing = sorted(str(name) for name in (wanted or frozenset()) if name not in there)
    if missing:
        names = ", ".join(sorted(map(str, there))) or "none"
        raise ContentError(f"no collection {', '.join(missing)} in this kit", hint=f"collections of the kit: {names}")
    chosen = tuple(name for name in there if request.selection.has_collection(name))
    if not chosen:
        raise ContentError("this kit has no collections")
    is_one_file = request.destination.single or request.destination.path is None
    if is_one_file and request.destination.dump is None and len(chosen) > 1:
        raise UsageError(
            f"one file holds one collection, and these are selected: {', '.join(map(str, chosen))}",
            hint="choose with --collection, or name a folder",
        )
    return chosen


def _take(kit: OpenKit, found: Survey, selection: Selection, writer: ExtractedFiles) -> None:
    """Read the kit again and pass on what is selected; the bytes read are those that were judged."""
    reader = kit.reader
    with kit.pipeline(Stage.EXTRACT) as pipeline:

        def visit(member: Member, body: Iterator[bytes]) -> None:
            if member.path is None or not member.is_file:
                return
            collection, described = found.collections.get(member.path), parse_metadata_path(member.path)
            if collection is not None and selection.has_collection(collection.name):
                _require_form(collection, selection)
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
                writer.describe(described[0], member.path, read_whole(member, body, described[1], reader.limits))

        read_again(reader, found, visit)


def _require_form(collection: CollectionMember, selection: Selection) -> None:
    """Check that a collection can be written in the requested form without encoding its documents again.

    Raises:
        UsageError: It is kept as text, and is to be written as BSON.
    """
    if collection.format is not CollectionFormat.BSON and selection.form is not Form.JSON:
        raise UsageError(
            f"is a collection in the format {collection.format}, whose documents are not BSON",
            where=str(collection.path),
            hint="extract them as they are: --format json",
        )


def _require_found(kit: OpenKit, found: Survey, selection: Selection, writer: ExtractedFiles) -> None:
    """Check that everything requested was found.

    Raises:
        ContentError: Something was not; names it, and what is near it.
    """
    tenants = sorted((selection.tenants or frozenset()) - writer.tenants)
    if tenants:
        raise ContentError(f"no documents of tenant {', '.join(map(repr, tenants))} in what is selected of this kit")
    advisories = sorted((selection.advisories or frozenset()) - writer.advisories)
    if advisories:
        raise ContentError(
            f"no document is about {', '.join(map(repr, advisories[:_SHOWN]))}{', …' * (len(advisories) > _SHOWN)}",
            hint=_near_hint(kit, found, selection, advisories[0]) or "kit find KIT NAME searches all names",
        )
    absent = [name for name in selection.documents or () if name not in writer.documents]
    if absent:
        shown = ", ".join(sorted(str(name.to_json()) for name in absent)[:_SHOWN])
        more = ", …" if len(absent) > _SHOWN else ""
        count = f"{len(absent):,} of {len(selection.documents or ()):,}"
        raise ContentError(
            f"{count} documents are not in what is selected: {shown}{more}",
            hint=_near_hint(kit, found, selection, min(absent).text)
            or "omit them, or choose other collections and tenants",
        )


def _near_hint(kit: OpenKit, found: Survey, selection: Selection, text: str) -> str:
    """Return what a name that is not there may have been meant for; empty if nothing is near."""
    members = {path: one for path, one in found.collections.items() if selection.has_collection(one.name)}
    near = distinct(find_again(kit, found, members, Query(text=text, by=NEAR)))
    return near_hint(near) if near else ""

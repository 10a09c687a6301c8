"""One reading of a kit: digests of everything, and the few members held whole.

What transforms need of documents is added to the same :class:`Survey` by :mod:`kit.engine.survey`. A verb that would
have to read the kit again for its bodies takes them during this pass (:class:`BodyTap`). Which members are collections
is known from :mod:`kit.engine.declared`; how each is cut into documents is looked up here, by its format.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from kit.archive.read.headers import EntryKind
from kit.archive.read.proven import Proven
from kit.archive.read.reader import KitReader
from kit.archive.read.tar import Layout, Member
from kit.documents import Run, runs
from kit.documents.json_runs import json_array, json_lines
from kit.dump import begins_dump
from kit.engine.declared import DeclaredCollections
from kit.engine.passing import read_first
from kit.errors import KitError, UsageError
from kit.manifest import Link, LinkKind
from kit.values import STRICT, Allowed, CollectionFormat, CollectionMember, Limits, MemberPath, Price, Sha256

if TYPE_CHECKING:
    # For a reading with transforms; a verb that only compares kits does not load them.
    from kit.encryption import Needs
    from kit.engine.changes import SettledMember
    from kit.transforms.coverage import Tally
    from kit.transforms.protocol import Finding


MAX_FINDINGS = 10_000
"""Findings kept for the report, so that its size is bounded; the counts are always exact."""
_LINK_KINDS = {EntryKind.SYMLINK: LinkKind.SYMBOLIC, EntryKind.HARDLINK: LinkKind.HARD}


@dataclass(slots=True, kw_only=True)
class Survey:
    """What one reading of a kit found."""

    members: dict[MemberPath, tuple[Sha256, int]] = field(default_factory=dict)
    """Every regular file: digest and size of its body as stored."""
    modes: dict[MemberPath, int] = field(default_factory=dict)
    """Permissions of those that are kept."""
    links: dict[MemberPath, Link] = field(default_factory=dict)
    folders: set[MemberPath] = field(default_factory=set)
    """Those with an entry of their own, whatever they hold."""
    allowed: Allowed = STRICT
    """What the user permits in a container."""
    permitted: dict[MemberPath | None, tuple[str, ...]] = field(default_factory=dict)
    """By member, what was only accepted because of :attr:`allowed`."""
    kept: dict[MemberPath, bytes] = field(default_factory=dict)
    """The members held whole: manifest, signatures, history."""
    collections: dict[MemberPath, CollectionMember] = field(default_factory=dict)
    metadata: dict[MemberPath, bytes | KitError] = field(default_factory=dict)
    """Of collections that transforms handle: the decoded ``<collection>.metadata.json``, or why it cannot be read."""
    dumps: list[MemberPath] = field(default_factory=list)
    """Files that begin as ``mongodump --archive`` writes them: they hold collections, and are read as none."""
    stored: Sha256 | None = None
    """Digest of the archive as it was read; None for a folder."""
    layout: Layout | None = None
    """Where everything is in an archive whose frames can be copied."""
    tallies: dict[MemberPath, Tally] = field(default_factory=dict)
    """Of the collection members that were asked for."""
    settled: dict[MemberPath, SettledMember] = field(default_factory=dict)
    """Of those in which the transforms would change nothing, as far as is known (:mod:`kit.engine.changes`)."""
    rooted: set[MemberPath] = field(default_factory=set)
    """Of these, the ones whose leaves were gathered."""
    findings: list[tuple[MemberPath, str, Finding]] = field(default_factory=list)
    """(member, transform, finding) of documents that cannot be looked up; at most :data:`MAX_FINDINGS`."""
    omitted_findings: int = 0
    """How many more there were."""
    needs: dict[int, Needs] = field(default_factory=dict)
    """By position in the chain, what each ``encrypt-fields`` needs before it starts."""

    def add_entry(self, member: Member) -> MemberPath | None:
        """Record an entry of any kind, and return its path if it is a file; its body is left to the caller."""
        path = member.path
        if member.permitted:
            self.permitted[path] = member.permitted
        if path is None or member.is_file:
            return path
        kind = _LINK_KINDS.get(member.kind)
        if kind is None:
            self.folders.add(path)
        else:
            target = member.link_target.removeprefix("./") if kind is LinkKind.HARD else member.link_target
            self.links[path] = Link(path=path, target=target, kind=kind)
        return None

    def take_findings(self, path: MemberPath, found: Sequence[tuple[str, Finding]]) -> None:
        """Take what transforms found in a run of a member that they look up."""
        room = MAX_FINDINGS - len(self.findings)
        self.findings.extend((path, transform, finding) for transform, finding in found[:room])
        self.omitted_findings += len(found[room:])

    def permitted_things(self) -> tuple[tuple[str, str], ...]:
        """Return what was only accepted because it was permitted: member ("./" for the root) and thing, sorted."""
        return tuple(sorted((str(path or "./"), what) for path, found in self.permitted.items() for what in found))


class BodyTap(Protocol):
    """Gets every entry of a first pass, and takes of bodies what it needs."""

    def note(self, member: Member) -> None:
        """Record an entry of any kind."""
        ...

    def take(
        self, member: Member, path: MemberPath, body: Iterator[bytes], collection: CollectionMember | None
    ) -> None:
        """Take any number of chunks of the body of the file ``path``; the others are only digested.

        Args:
            member: Its entry.
            path: Its name.
            body: Its body.
            collection: What collection it is; None for any other file.
        """
        ...


def read_once(reader: KitReader, *, keep: Callable[[MemberPath], bool], tap: BodyTap | None = None) -> Survey:
    """Read the whole kit, without looking into its documents.

    Args:
        reader: The kit.
        keep: Which members to hold whole (each within ``limits.json_bytes``, all within ``limits.kept_bytes``).
        tap: Gets the entries and, of all files but those, the bodies.

    Raises:
        KitError: The container or a member name is malformed or over a limit; or ``tap`` failed.
    """
    return survey_into(Survey(allowed=reader.allowed), reader, keep=keep, tap=tap)


def survey_into(
    found: Survey,
    reader: KitReader,
    *,
    keep: Callable[[MemberPath], bool],
    tap: BodyTap | None,
    proven: Proven | None = None,
) -> Survey:
    """Fill a survey by a first pass, as :func:`read_once`; ``proven`` as of :func:`kit.engine.passing.read_first`."""
    declared = DeclaredCollections(reader)

    def visit(member: Member, body: Iterator[bytes]) -> None:
        if tap is not None:
            tap.note(member)
        path = found.add_entry(member)
        if path is None:
            return
        if keep(path):
            found.kept[path] = declared.note(path, read_whole(member, body, reader.limits))
            found.modes[path] = member.mode & 0o777
            return
        if (collection := declared.member(path)) is not None:
            found.collections[path] = collection
        else:
            head = _read_head(body)
            body = itertools.chain(head, body)
            if begins_dump(b"".join(head)):
                found.dumps.append(path)
        if tap is not None:
            tap.take(member, path, body, collection)

    found.members = read_first(reader, visit, proven=proven)
    declared.require_found(found.members)
    found.stored, found.layout = reader.pass_digest(), reader.layout()
    return found


_HEAD_BYTES = 512


def _read_head(body: Iterator[bytes]) -> list[bytes]:
    """Return the first chunks of a body, which may be short: enough of them to recognise a dump."""
    head: list[bytes] = []
    while sum(map(len, head)) < _HEAD_BYTES and (chunk := next(body, b"")):
        head.append(chunk)
    return head


_FORMATS: Mapping[CollectionFormat, Callable[..., Iterator[Run]]] = {
    CollectionFormat.BSON: runs,
    CollectionFormat.NDJSON: json_lines,
    CollectionFormat.JSON: json_array,
}
"""By format: a function of the decoded chunks of a member and of limits, which yields its runs. Law: the runs, and the
error if there is one, depend on the bytes only, never on how they were chunked; memory is bounded."""


def cut_documents(format_: CollectionFormat, chunks: Iterable[bytes], limits: Limits) -> Iterator[Run]:
    """Yield the runs of whole documents in the decoded chunks of a collection.

    Raises:
        KitError: They are not of this format; names the document and the offset.
    """
    return _FORMATS[format_](chunks, limits=limits)


def member_runs(collection: CollectionMember, body: Iterator[bytes], reader: KitReader) -> Iterator[Run]:
    """Yield the runs of whole documents in the body of a collection member of ``reader``.

    Raises:
        KitError: The member's codec or framing is malformed; names the member, the document and the offset.
    """
    where = str(collection.path)
    reader.limits.spend(Price.COLLECTION, where=where)
    cut = _FORMATS.get(collection.format)
    if cut is None:
        raise UsageError(f"is declared as {collection.format}, which this version does not read", where=where)
    try:
        yield from cut(reader.decode_member(body, collection.codec, where=where), limits=reader.limits)
    except KitError as error:
        # Decoder and container know which stream they read; the framing only knows the document.
        raise (error.inside(where) if error.where.startswith("document ") else error) from error.__cause__


def read_whole(member: Member, body: Iterator[bytes], limits: Limits) -> bytes:
    """Return the body of a member that is held whole.

    Raises:
        LimitError: It, or all that is held of the kit, is over a limit.
    """
    limits.check("json_bytes", member.size, where=str(member.path))
    limits.hold(member.size, where=str(member.path))
    return b"".join(body)

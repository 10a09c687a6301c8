"""Finds documents by the names that people have for an advisory: part of its ``_id``, upstream id, alias, or purl.

``kit find`` shows them. ``kit prove`` and ``kit extract`` take an advisory by such a name, and show near matches of a
name that is not there. Nothing is verified by a search.

Laws: upper and lower case of ASCII letters are equal; what is found depends on the documents alone, not on runs or
workers; the quick search for bytes skips no document that matches (:attr:`Query.needles`).
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Final, Self

from kit.archive.read.reader import KitReader
from kit.archive.read.tar import Member
from kit.documents import Kind, Run, document_name, elements, string_at
from kit.encryption.approval import DocumentName
from kit.engine.passing import read_again
from kit.engine.pipeline import Pipeline
from kit.engine.progress import Stage
from kit.engine.reading import Survey, member_runs, read_once
from kit.errors import BsonError, NotFoundError, UsageError
from kit.transforms.coverage import tenant_of
from kit.transforms.raw_linkset.fields import Fields
from kit.transforms.raw_linkset.shape import ALIASES, LINKSET, OBSERVATION, PURLS, RAW_LINKSET, Place
from kit.values import CollectionMember, MemberPath
from kit.verbs.verify.kits import Environment, OpenKit, is_kept, open_with_workers

MAX_MATCHES = 10_000
"""Matches that are listed, so that a report is bounded; all are counted."""
_SHOWN: Final = 3
"""Matches that a message names."""
_ALIASES: Final = tuple(Place.parse(f"{where}.{ALIASES}") for where in (LINKSET, RAW_LINKSET, "identifiers"))
_PURLS: Final = tuple(Place.parse(f"{where}.{PURLS}") for where in (LINKSET, RAW_LINKSET))
_WORD: Final = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789_.-") | frozenset(range(0x80, 0x100))
"""Bytes that are not the border of a part of an ``_id``, in lower case."""
_PURL_ENDS: Final = frozenset(b"@?#")
_SPELLED: Final = frozenset({Kind.OBJECT_ID, Kind.INT32, Kind.INT64})
"""Types of an ``_id`` that is no text and can be named."""
_OBJECT_ID: Final = re.compile(r"[0-9A-Fa-f]{24}")
_NUMBER: Final = re.compile(r"-?[0-9]+")


class By(enum.Enum):
    """The name by which a document is found."""

    ID = "_id"
    """All of the ``_id``, or whole parts of it."""
    UPSTREAM_ID = "upstream id"
    ALIAS = "alias"
    PURL = "purl"
    """All of a purl, or all before its version, qualifiers or subpath."""
    PART = "upstream id, part of the text"
    """The upstream id is a whole part of the text: another tenant's ``_id``, or that of another revision."""


ADVISORY: Final = frozenset({By.UPSTREAM_ID, By.ALIAS})
"""The names of an advisory, which several documents may have."""
NEAR: Final = frozenset({By.ID, By.UPSTREAM_ID, By.ALIAS, By.PART})
"""What a mistyped ``_id`` may have been meant for."""
EVERYTHING: Final = frozenset(By) - {By.PART}


@dataclass(frozen=True, kw_only=True)
class Query:
    """A text, and the names that it is compared with."""

    text: str
    by: frozenset[By] = EVERYTHING

    @cached_property
    def folded(self) -> bytes:
        """The text as it is compared."""
        return fold(self.text)

    @cached_property
    def needles(self) -> tuple[bytes, ...]:
        """Bytes of which a document that matches has at least one, in lower case; empty if nothing is known."""
        if _NUMBER.fullmatch(self.text) or not self.text.strip():
            return ()
        spelled = (bytes.fromhex(self.text).lower(),) if _OBJECT_ID.fullmatch(self.text) else ()
        if By.PART in self.by:
            parts = tuple(set(re.findall(rb"[a-z0-9_.\-\x80-\xff]+", self.folded)))
            return (*parts, *spelled) if parts else ()
        return (self.folded, *spelled)


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """A document that was found, and by which of its names."""

    document: str
    """Its ``_id`` in readable form."""
    name: DocumentName | None
    """Its ``_id``; None if it is of a type that no option can name."""
    tenant: str
    upstream_id: str | None
    by: tuple[By, ...]

    @property
    def likeness(self) -> str:
        """What it has in common with the text, for a hint."""
        if not {By.UPSTREAM_ID, By.PART}.isdisjoint(self.by):
            return "same upstream id"
        return "as an alias" if By.ALIAS in self.by else "in its _id"


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchesOfRun:
    """What was found in one run."""

    documents: int
    matches: tuple[Match, ...]
    unread: int
    """Documents that may match and cannot be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A match, and the member it is in."""

    member: CollectionMember
    match: Match


@dataclass(slots=True)
class Finds:
    """What a search has found so far."""

    found: list[Found] = field(default_factory=list)
    """The first :data:`MAX_MATCHES`."""
    total: int = 0
    documents: int = 0
    unread: int = 0

    def add(self, member: CollectionMember, result: MatchesOfRun) -> None:
        """Add the matches of a run of ``member``."""
        room = MAX_MATCHES - len(self.found)
        self.found += [Found(member=member, match=match) for match in result.matches[:room]]
        self.total += len(result.matches)
        self.documents += result.documents
        self.unread += result.unread


def find_run(query: Query, run: Run) -> MatchesOfRun:
    """Return the documents of a run that match."""
    matches, unread = [], 0
    needles = query.needles
    for document in run:
        if needles and not any(needle in lowered for lowered in (document.lower(),) for needle in needles):
            continue
        try:
            match = match_of(query, document)
        except BsonError:
            unread += 1
            continue
        if match is not None:
            matches.append(match)
    return MatchesOfRun(documents=len(run), matches=tuple(matches), unread=unread)


def match_of(query: Query, document: bytes) -> Match | None:
    """Return a document as a match; None if it does not match.

    Raises:
        BsonError: Its names cannot be read.
    """
    fields = Fields(document)
    upstream_id = fields.text(OBSERVATION.upstream_id)
    by = tuple(_names_that_match(query, fields, upstream_id))
    if not by:
        return None
    return Match(
        document=document_name(document),
        name=_exact_name(document),
        tenant=tenant_of(document, fields.top),
        upstream_id=upstream_id,
        by=by,
    )


def advisories_of(document: bytes, asked: Iterable[str]) -> frozenset[str]:
    """Return those of some advisories that a document is about, by its upstream id or an alias.

    Raises:
        BsonError: It may be about one of them, and its names cannot be read.
    """
    lowered = document.lower()
    likely = (text for text in asked if fold(text) in lowered)
    return frozenset(text for text in likely if match_of(Query(text=text, by=ADVISORY), document) is not None)


def _names_that_match(query: Query, fields: Fields, upstream_id: str | None) -> Iterator[By]:
    asked, by = query.folded, query.by
    if By.ID in by and _is_id(asked, fields):
        yield By.ID
    if upstream_id is not None and By.UPSTREAM_ID in by and fold(upstream_id) == asked:
        yield By.UPSTREAM_ID
    elif upstream_id is not None and By.PART in by and _is_within(fold(upstream_id), asked):
        yield By.PART
    if By.ALIAS in by and any(text == asked for text in _texts(fields, _ALIASES)):
        yield By.ALIAS
    if By.PURL in by and asked.startswith(b"pkg:") and any(_is_purl(asked, text) for text in _texts(fields, _PURLS)):
        yield By.PURL


def fold(text: str) -> bytes:
    """Return a text for comparison: ASCII letters in lower case."""
    return text.encode("utf-8", "surrogatepass").lower()


def is_part(part: bytes, whole: bytes) -> bool:
    """Return whether ``part`` is in ``whole`` between borders: "go-1" is a part of "a:go-1:2", not of "go-12"."""
    at = whole.find(part) if part else -1
    while at >= 0:
        end = at + len(part)
        begins = part[0] not in _WORD or at == 0 or whole[at - 1] not in _WORD
        if begins and (part[-1] not in _WORD or end == len(whole) or whole[end] not in _WORD):
            return True
        at = whole.find(part, at + 1)
    return False


def _is_id(asked: bytes, fields: Fields) -> bool:
    kind, start, end = fields.top.get(b"_id", (int(Kind.NULL), 0, 0))
    if kind == Kind.STRING:
        return is_part(asked, fields.document[start + 4 : end - 1].lower())
    return kind in _SPELLED and fold(document_name(fields.document)) == asked


def _is_within(upstream_id: bytes, asked: bytes) -> bool:
    return not _WORD.isdisjoint(upstream_id) and is_part(upstream_id, asked)


def _is_purl(asked: bytes, purl: bytes) -> bool:
    return purl.startswith(asked) and (len(purl) == len(asked) or purl[len(asked)] in _PURL_ENDS)


def _texts(fields: Fields, places: tuple[Place, ...]) -> Iterator[bytes]:
    """Yield the texts in the lists at ``places``, folded.

    Raises:
        BsonError: A list is malformed.
    """
    for place in places:
        found = fields.find(place)
        if found is None or found[0] != Kind.ARRAY:
            continue
        for element in elements(fields.document, found[1]):
            if element.kind == Kind.STRING:
                yield fields.document[element.value + 4 : element.end - 1].lower()


def _exact_name(document: bytes) -> DocumentName | None:
    for element in elements(document):
        if element.name != b"_id":
            continue
        if element.kind in _SPELLED:
            return DocumentName(identity=bytes((element.kind,)) + document[element.value : element.end])
        with suppress(BsonError):
            return DocumentName.parse(string_at(document, element[2:])) if element.kind == Kind.STRING else None
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class FindRequest:
    """What to find in which kit."""

    kit: Path
    text: str
    environment: Environment = field(default_factory=Environment)


@dataclass(frozen=True, slots=True, kw_only=True)
class FindReport:
    """What was found; nothing is verified."""

    kit: Path
    text: str
    found: tuple[Found, ...]
    """The first :data:`MAX_MATCHES`."""
    total: int
    documents: int
    """Documents that were searched."""
    unread: int
    """Documents that may match and cannot be read."""

    def require(self) -> Self:
        """Return the report.

        Raises:
            NotFoundError: Nothing was found.
        """
        if self.total:
            return self
        unread = f"; {self.unread:,} that may have it cannot be read" if self.unread else ""
        raise NotFoundError(
            f"no document of {self.documents:,} has {self.text!r} as upstream id, alias, purl or part of _id{unread}",
            where=str(self.kit),
            hint="kit verify --deep names what cannot be read" if self.unread else "",
        )


def find(request: FindRequest) -> FindReport:
    """Return the documents of a kit that have the text as a name.

    Raises:
        UsageError: The text is empty.
        KitError: The kit is malformed or not readable.
    """
    query = Query(text=require_text(request.text))
    with open_with_workers(request.kit, request.environment) as kit, kit.pipeline(Stage.SURVEY) as pipeline:
        search = _Search(query, kit.reader, pipeline)
        read_once(kit.reader, keep=is_kept, tap=search)
        pipeline.drain()
        finds = search.finds
        return FindReport(
            kit=kit.reader.path,
            text=request.text,
            found=tuple(finds.found),
            total=finds.total,
            documents=finds.documents,
            unread=finds.unread,
        )


def require_text(text: str) -> str:
    """Return the name of an advisory.

    Raises:
        UsageError: It is empty.
    """
    if not text.strip():
        raise UsageError("the name of an advisory is empty", hint="name an upstream id or an alias, such as CVE-2025-1")
    return text


def find_again(kit: OpenKit, survey: Survey, members: Mapping[MemberPath, CollectionMember], query: Query) -> Finds:
    """Search the named members of a kit that was read before.

    Raises:
        DigestError: The kit changed since.
        KitError: A member is malformed.
    """
    pipeline = Pipeline(kit.executor, budget=kit.budget)
    search = _Search(query, kit.reader, pipeline)

    def visit(member: Member, body: Iterator[bytes]) -> None:
        if member.path is not None and member.is_file:
            search.take(member, member.path, body, members.get(member.path))

    read_again(kit.reader, survey, visit)
    pipeline.drain()
    return search.finds


class _Search:
    """Searches the members that a pass shows it; a :class:`kit.engine.reading.BodyTap`."""

    def __init__(
        self,
        query: Query,
        reader: KitReader,
        pipeline: Pipeline,
    ) -> None:
        self.finds = Finds()
        self._query = query
        self._reader = reader
        self._pipeline = pipeline

    def note(self, member: Member) -> None:
        """Need nothing of an entry but its body."""

    def take(
        self,
        member: Member,  # noqa: ARG002
        path: MemberPath,
        body: Iterator[bytes],
        collection: CollectionMember | None,
    ) -> None:
        """Search the documents of a collection."""
        if collection is None:
            return
        for run in member_runs(collection, body, self._reader):
            self._pipeline.submit(
                find_run,
                *(self._query, run),
                cost=len(run.data),
                weight=run.weight,
                then=partial(self.finds.add, collection),
                where=str(path),
            )


def distinct(finds: Finds) -> tuple[Match, ...]:
    """Return the matches, one for each ``_id`` and tenant."""
    return tuple({(one.match.document, one.match.tenant): one.match for one in finds.found}.values())


def first_names(matches: Sequence[Match]) -> str:
    """Return the ``_id`` of the first matches, and how many more there are."""
    more = f", and {len(matches) - _SHOWN:,} more" if len(matches) > _SHOWN else ""
    return f"{', '.join(match.document for match in matches[:_SHOWN])}{more}"


def near_hint(matches: Sequence[Match]) -> str:
    """Return the first matches as a hint, each with the name it was found by."""
    texts = [f"{match.document} ({match.likeness})" for match in matches[:_SHOWN]]
    more = f", and {len(matches) - _SHOWN:,} more" if len(matches) > _SHOWN else ""
    return f"did you mean {' or '.join(texts)}{more}?"

"""A deep reading: checks and counts every document, and digests the documents as they were before earlier steps.

Obligation 7 of schemas/verify-report.md. The appended element is cut out of the documents that the statements of the
steps name, in the workers; what is left is digested in order, as a stream (schemas/patch-provenance.md, "Documents").
Law: the digest is that of the documents before the steps exactly if those only appended ``rawLinkset``.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache

from kit.archive.read.reader import KitReader
from kit.archive.read.tar import Member
from kit.documents import Run, core, document_name, validate
from kit.documents.identity import leaf_lines
from kit.engine.leaves import LeafStore
from kit.engine.passing import read_again
from kit.engine.pipeline import Pipeline
from kit.engine.reading import Survey, member_runs
from kit.engine.reencoding import APPENDED, Reencoding, sizes_when_cut, without_appended
from kit.engine.texts import without
from kit.errors import KitError
from kit.transforms import coverage
from kit.transforms.coverage import Tally
from kit.transforms.raw_linkset.counting import counted, document_at, tally_of, tally_run
from kit.values import (
    Codec,
    CollectionFormat,
    CollectionMember,
    CollectionName,
    Limits,
    MemberPath,
    RunLengths,
    RunLengthsReader,
    Sha256,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier:
    """A generation below, as far as it concerns one member.

    Attributes:
        appended: The documents that had the element appended since.
        cut_appended: Those that had it appended since that generation's frames were cut, including those of
            ``appended``: frames are cut by the documents that were read, not by those that were written.
        rooted: Whether the Merkle root of the documents of then is wanted.
    """

    appended: RunLengths
    cut_appended: RunLengths
    rooted: bool = False


@dataclass(slots=True, kw_only=True)
class EarlierReading:
    """What is found of the documents without what was appended since."""

    changed: int = 0
    """Documents that changed since, as the statements list them."""
    appended: int = 0
    """Of those, the ones that end in the element."""
    documents: Sha256 | None = None
    """Digest of the documents as they were."""
    stored: Sha256 | None = None
    """Digest of what this program would have stored of them; None of a member without a codec."""
    merkle_root: Sha256 | None = None


@dataclass(slots=True, kw_only=True)
class MemberReading:
    """What a deep reading found in one member."""

    tally: Tally = field(default_factory=Tally)
    envelopes: dict[str, Counter[str]] = field(default_factory=dict)
    """By tenant and field, of the fields that were asked for."""
    earlier: tuple[EarlierReading, ...] = ()
    """Of each generation that was asked for."""
    merkle_root: Sha256 | None = None
    """Over the documents, where it is asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is wanted of one member, in addition to the check that its documents are well-formed."""

    earlier: tuple[Earlier, ...] = ()
    rooted: bool = False
    fields: tuple[str, ...] = ()
    """Whose envelopes are counted."""


_NOTHING = Wanted()
_MAX_BOUND = 2**31
"""More than any document can have of bytes, or of levels."""


@dataclass(slots=True, kw_only=True)
class EarlierResult:
    """What one run holds of a generation below."""

    appended: int
    documents: bytes
    sizes: bytes
    """Of each document when the frames were cut, as an array of integers; empty where the member has no codec."""
    leaves: bytes


@dataclass(slots=True, kw_only=True)
class ProofResult:
    """What is found in one run."""

    tally: Tally
    envelopes: dict[str, Counter[str]]
    earlier: tuple[EarlierResult, ...]
    leaves: bytes = b""

    @property
    def documents(self) -> int:
        """Documents of the run."""
        return self.tally.documents


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """The part of an :class:`Earlier` that one run is about."""

    appended: RunLengths
    cut_appended: RunLengths
    sized: bool
    rooted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RunWanted:
    """What is wanted of one run."""

    earlier: tuple[Piece, ...]
    rooted: bool
    fields: tuple[str, ...]


def prove(
    reader: KitReader,
    survey: Survey,
    pipeline: Pipeline,
    wanted: Mapping[MemberPath, Wanted],
    stores: Sequence[LeafStore],
) -> dict[MemberPath, MemberReading]:
    """Read every collection of a surveyed kit to its last element.

    Args:
        reader: The kit.
        survey: What its first reading found; this one must find the same.
        pipeline: Does the work.
        wanted: What is wanted of which member, in addition.
        stores: Where leaves are sorted: of the documents as they are, then of each generation below.

    Raises:
        DigestError: The kit changed since it was surveyed.
        KitError: A document is malformed; names member, document and element.
    """
    found: dict[MemberPath, MemberReading] = {}

    def visit(member: Member, body: Iterator[bytes]) -> None:
        collection = survey.collections.get(member.path) if member.path is not None else None
        if collection is None:
            return
        asked = wanted.get(collection.path, _NOTHING)
        reading = found[collection.path] = MemberReading(earlier=tuple(EarlierReading() for _ in asked.earlier))
        deliver = _Delivery(collection, reading, asked, reader.limits, stores)
        cutters = [_Cutter(one, sized=_is_encoded_again(collection)) for one in asked.earlier]
        for run in member_runs(collection, body, reader):
            pieces = tuple(cutter.take(len(run)) for cutter in cutters)
            for one, piece in zip(reading.earlier, pieces, strict=True):
                one.changed += piece.appended.chosen
            pipeline.submit(
                prove_run,
                *(
                    collection.name,
                    run,
                    RunWanted(earlier=pieces, rooted=asked.rooted, fields=asked.fields),
                    reader.limits,
                ),
                cost=len(run.data),
                weight=run.weight,
                then=deliver,
                where=str(collection.path),
            )
        pipeline.mark(deliver.finish)

    read_again(reader, survey, visit)
    pipeline.drain()
    for path, asked in wanted.items():
        if path in found:
            _root(path, found[path], asked, pipeline, stores)
    return found


def _root(
    path: MemberPath, reading: MemberReading, asked: Wanted, pipeline: Pipeline, stores: Sequence[LeafStore]
) -> None:
    if asked.rooted:
        reading.merkle_root = stores[0].root(path, pipeline)
    for one, found, store in zip(asked.earlier, reading.earlier, stores[1:], strict=False):
        if one.rooted:
            found.merkle_root = store.root(path, pipeline)


def prove_run(name: CollectionName, run: Run, asked: RunWanted, limits: Limits) -> ProofResult:
    """Walk a run to its last element, and cut out what was appended since each generation in ``asked``.

    Raises:
        KitError: A document is malformed; names its ordinal.
    """
    if run.texts is not None:
        return _prove_texts(name, run, asked)
    found = prove_by_core(name, run, asked, limits)
    return found if found is not None else prove_one_by_one(name, run, asked, limits)


def prove_by_core(name: CollectionName, run: Run, asked: RunWanted, limits: Limits) -> ProofResult | None:
    """As :func:`prove_run`; None where the core is not used, or a document is not plainly well formed.

    Raises:
        KitError: A document has something twice that would decide what it counts as; names its ordinal.
    """
    by = counted(name)
    if core.prove is None or by is None:
        return None
    pieces = [_piece_for_core(piece) for piece in asked.earlier]
    bounds = min(limits.document_bytes, _MAX_BOUND), min(limits.document_depth, _MAX_BOUND)
    proven = core.prove(run.data, run.ends, by, bounds, pieces, asked.rooted)
    if proven is None:
        return None
    counts, earlier, leaves = proven
    for number in counts[1]:
        document = document_at(run.data, run.ends, number)
        with _named(run.first + number, document):
            coverage.check_certain(name, document)
    return ProofResult(
        tally=tally_of(name, counts, run.data, run.ends),
        envelopes=_envelopes(name, list(run), asked.fields) if asked.fields else {},
        earlier=tuple(
            EarlierResult(
                appended=appended, documents=run.data if documents is None else documents, sizes=sizes, leaves=lines
            )
            for appended, documents, sizes, lines in earlier
        ),
        leaves=leaves,
    )


def prove_one_by_one(name: CollectionName, run: Run, asked: RunWanted, limits: Limits) -> ProofResult:
    """As :func:`prove_run`: the reference.

    Raises:
        KitError: A document is malformed; names its ordinal.
    """
    documents = list(run)
    for ordinal, document in enumerate(documents, run.first):
        with _named(ordinal, document):
            validate(document, limits=limits)
            coverage.check_certain(name, document)
    # Most steps of a chain are about the same documents, so each is cut once.
    without = lru_cache(maxsize=None)(lambda number: without_appended(documents[number]))
    return ProofResult(
        tally=coverage.tally(name, documents),
        envelopes=_envelopes(name, documents, asked.fields),
        earlier=tuple(_earlier(documents, piece, without) for piece in asked.earlier),
        leaves=leaf_lines(documents) if asked.rooted else b"",
    )


def _prove_texts(name: CollectionName, run: Run, asked: RunWanted) -> ProofResult:
    """As :func:`prove_run`, of documents that are kept as text; the reader has parsed them to their last byte.

    Raises:
        KitError: A document has something twice that would decide what it counts as; names its ordinal.
    """
    documents = list(run)
    for ordinal, document in enumerate(documents, run.first):
        with _named(ordinal, document):
            coverage.check_certain(name, document)
    earlier: list[EarlierResult] = []
    for piece in asked.earlier:
        before, appended = without(run, _flags(piece.appended, len(documents)), APPENDED)
        leaves = leaf_lines(before, before.originals) if piece.rooted else b""
        earlier.append(EarlierResult(appended=appended, documents=before.stored, sizes=b"", leaves=leaves))
    return ProofResult(
        tally=tally_run(name, run),
        envelopes=_envelopes(name, documents, asked.fields, as_text=True),
        earlier=tuple(earlier),
        leaves=leaf_lines(documents, run.originals) if asked.rooted else b"",
    )


def _piece_for_core(piece: Piece) -> tuple[bytes, bytes | None, bool]:
    return bytes(piece.appended.flags()), bytes(piece.cut_appended.flags()) if piece.sized else None, piece.rooted


@contextmanager
def _named(ordinal: int, document: bytes) -> Iterator[None]:
    """Name the document that an error is about."""
    try:
        yield
    except KitError as error:
        raise error.inside(f'document {ordinal:,} (_id "{document_name(document)}")') from error.__cause__


def _earlier(documents: Sequence[bytes], piece: Piece, without: Callable[[int], bytes | None]) -> EarlierResult:
    # Documents beyond what the statement counts are kept as they are: the digest then shows it.
    before: list[bytes] = []
    appended = 0
    for number, was_changed in enumerate(_flags(piece.appended, len(documents))):
        earlier = without(number) if was_changed else None
        appended += earlier is not None
        before.append(documents[number] if earlier is None else earlier)
    return EarlierResult(
        appended=appended,
        documents=b"".join(before),
        sizes=sizes_when_cut(documents, piece.cut_appended) if piece.sized else b"",
        leaves=leaf_lines(before) if piece.rooted else b"",
    )


def _flags(selection: RunLengths, count: int) -> list[bool]:
    return selection.flags() + [False] * (count - selection.total)


def _envelopes(
    name: CollectionName, documents: Sequence[bytes], fields: tuple[str, ...], *, as_text: bool = False
) -> dict[str, Counter[str]]:
    if not fields:
        return {}
    from kit.encryption.envelope_tally import EnvelopeTally  # noqa: PLC0415  a delta needs no cryptography

    tally, found = EnvelopeTally(fields, as_text=as_text), dict[str, Counter[str]]()
    for document in documents:
        counts: Counter[str] = Counter()
        tally.count(document, counts)
        if counts:
            (tenant,) = coverage.tally(name, [document]).tenants
            found.setdefault(tenant, Counter()).update(counts)
    return found


def _is_encoded_again(collection: CollectionMember) -> bool:
    """Return whether frames are a function of documents; those of texts are of what is between them, too."""
    return collection.codec is not Codec.NONE and collection.format is CollectionFormat.BSON


class _Cutter:
    """Cuts what is wanted of a generation below into the pieces of runs."""

    def __init__(self, whole: Earlier, *, sized: bool) -> None:
        self._whole, self._sized = whole, sized
        self._appended = RunLengthsReader(whole.appended)
        self._cut = RunLengthsReader(whole.cut_appended)

    def take(self, count: int) -> Piece:
        appended, cut = self._appended.take(count), self._cut.take(count)
        return Piece(appended=appended, cut_appended=cut, sized=self._sized, rooted=self._whole.rooted)


class _Delivery:
    """Takes the results of one member's runs, in order."""

    def __init__(
        self,
        collection: CollectionMember,
        reading: MemberReading,
        asked: Wanted,
        limits: Limits,
        stores: Sequence[LeafStore],
    ) -> None:
        self._path, self._reading, self._limits = collection.path, reading, limits
        self._store = stores[0] if asked.rooted else None
        self._digests = [hashlib.sha256() for _ in asked.earlier]
        is_again = _is_encoded_again(collection)
        self._again = [Reencoding(collection.codec) if is_again else None for _ in asked.earlier]
        self._stores = [store if one.rooted else None for one, store in zip(asked.earlier, stores[1:], strict=False)]

    def __call__(self, result: ProofResult) -> None:
        if self._store is not None:
            self._store.add(self._path, result.leaves)
        self._reading.tally.add_within(result.tally, self._limits)
        for tenant, counts in result.envelopes.items():
            self._reading.envelopes.setdefault(tenant, Counter()).update(counts)
        for number, earlier in enumerate(result.earlier):
            self._reading.earlier[number].appended += earlier.appended
            self._digests[number].update(earlier.documents)
            again, store = self._again[number], self._stores[number]
            if again is not None:
                again.update(earlier.documents, earlier.sizes)
            if store is not None:
                store.add(self._path, earlier.leaves)

    def finish(self) -> None:
        for one, digest, again in zip(self._reading.earlier, self._digests, self._again, strict=True):
            one.documents = Sha256(digest.hexdigest())
            one.stored = again.digest() if again is not None else None

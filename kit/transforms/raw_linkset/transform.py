"""The backfill itself: finds observations without ``rawLinkset``, resolves their source, and splices.

Sources are tried in the order of schemas/raw-linkset.md ("Sources"): snapshot, cache, content. An observation without
any of them is unresolvable and stays byte-identical. Its own canonical ``linkset`` is never a source, since order and
duplicates are lost there; it is the check (``divergence``). Law: the only change to a document is one element appended
at its end.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from kit.documents import Kind, append, document_name
from kit.errors import BsonError, ContentError, KitError, StoppedError, UsageError
from kit.transforms import projections
from kit.transforms.coverage import NO_TENANT, OBSERVATIONS, Tally, is_observations, tenant_named
from kit.transforms.protocol import (
    Change,
    ChangeTotals,
    Counts,
    Finding,
    Lookup,
    RewrittenRun,
    Selection,
    Transform,
    without_products,
)
from kit.transforms.raw_linkset import divergence, registry, runs, shape
from kit.transforms.raw_linkset.counting import count_outcomes
from kit.transforms.raw_linkset.fields import Fields, decode, is_envelope
from kit.transforms.raw_linkset.outcomes import (
    FROM_CONTENT,
    NO_LINKSET,
    NO_PROJECTION,
    NOT_SELECTED,
    NULL,
    OTHER_SHAPE,
    OTHER_TYPE,
    PRESENT,
    UNREADABLE as UNREADABLE_SOURCE,
    UNRESOLVABLE,
)
from kit.transforms.raw_linkset.projection import Extraction, Projection, encode_element, from_linkset
from kit.transforms.raw_linkset.runs import CACHE, SNAPSHOT, UNREADABLE, advisory_digest, revision_digest
from kit.transforms.raw_linkset.shape import CacheMap
from kit.values import Codec, CollectionMember, CollectionName
from kit.values.extractor_release import ExtractorRelease

NAME = "raw-linkset"
SNAPSHOTS = "advisory_raw"

_COUNTS_OF_STATE: Mapping[int, Counts] = {
    projections.OTHER_TYPE: {OTHER_TYPE: 1},
    projections.OTHER_SHAPE: {OTHER_SHAPE: 1},
    projections.NO_LINKSET: {NO_LINKSET: 1},
}
_MAX_NAME = 64
_MAX_REASON = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class RawLinkset(Transform):
    """The ``raw-linkset`` transform; see :class:`kit.transforms.protocol.Transform`."""

    tenants: frozenset[str] | None = None
    """Select the observations of these tenants; None for all."""
    stop_on_divergence: bool = False
    cache_collection: str = "dto"
    cache_shape: shape.DocumentShape = field(default=shape.DTO)
    names: shape.Names = field(default=shape.NAMES)
    """Differs from the default only to try out a shape: what is written then has no version."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by parameters, for workers."""
        names = None if self.names is shape.NAMES else self.names
        return _rebuild, (self.tenants, self.stop_on_divergence, self.cache_collection, self.cache_shape, names)

    def with_cache(self, cache: CacheMap) -> RawLinkset:
        """Return the transform with the cached payloads of ``cache``."""
        return dataclasses.replace(self, cache_collection=cache.collection, cache_shape=cache.places)

    @property
    def name(self) -> str:
        """See the protocol."""
        return NAME

    @property
    def version(self) -> int:
        """See the protocol."""
        return shape.VERSION

    @property
    def kind(self) -> str:
        """See the protocol."""
        return "additive-optional"

    @property
    def appends(self) -> str:
        """See the protocol."""
        return projections.RAW_LINKSET

    @property
    def extractors(self) -> tuple[ExtractorRelease, ...]:
        """See the protocol: every installed one, since all are asked about a document that states no format."""
        return registry.load().added

    @property
    def stops_on_divergence(self) -> bool:
        """See the protocol."""
        return self.stop_on_divergence

    @property
    def description(self) -> str:
        """See the protocol."""
        return "Gives rawLinkset to the observations that lack it; readers that do not know it pass over it."

    def selecting(self, selection: Selection) -> Self:
        """See the protocol."""
        if selection.product_id is not None:
            raise without_products(NAME)
        others = [str(one) for one in selection.collections or () if str(one) != OBSERVATIONS]
        if others:
            raise UsageError(
                f"{NAME} changes {OBSERVATIONS} of every database, and cannot select {min(others)}",
                hint=f"select {OBSERVATIONS}, or omit --collection",
            )
        return dataclasses.replace(self, tenants=selection.tenants, stop_on_divergence=selection.stop_on_divergence)

    def alternatives(self, tenants: frozenset[str] | None) -> Iterator[Self]:
        """See the protocol."""
        limited = self if tenants is None else dataclasses.replace(self, tenants=tenants)
        yield limited
        yield dataclasses.replace(limited, stop_on_divergence=not limited.stop_on_divergence)

    def settles(self, member: CollectionMember) -> bool:
        """See the protocol: an observation that has both projections is left alone, without a finding."""
        return member.codec is Codec.NONE

    def settled(self, tally: Tally) -> Counter[tuple[str, str]]:
        """See the protocol."""
        # Without those of no document.
        return +Counter({(tenant, PRESENT): covered.both for tenant, covered in tally.tenants.items()})

    def cover(self, tally: Tally, totals: ChangeTotals) -> None:
        """See the protocol."""
        count_outcomes(tally, totals)

    def parameters(self) -> Mapping[str, Any]:
        """See the protocol."""
        names = [item.name for item in dataclasses.fields(shape.DocumentShape)]
        places = {name: str(getattr(self.cache_shape, name)) for name in names}
        return {
            "shape": shape.VERSION,
            "tenants": sorted(self.tenants) if self.tenants is not None else None,
            "onDivergence": "stop" if self.stop_on_divergence else "warn",
            "cache": {"collection": self.cache_collection, "fields": places},
            "extractors": sorted(extractor.name for extractor in registry.load().extractors),
        }

    def handles(self, name: CollectionName) -> bool:
        """See the protocol."""
        return is_observations(name)

    def indexes(self, name: CollectionName) -> bool:
        """See the protocol."""
        return name.collection in {SNAPSHOTS, self.cache_collection}

    def gather(self, name: CollectionName, documents: Iterable[bytes]) -> Iterable[tuple[bytes, bytes] | Finding]:
        """Yield the key of each snapshot's or cached payload's revision, with the finished element."""
        run = list(documents)
        kind, where = (SNAPSHOT, self.names.snapshot) if name.collection == SNAPSHOTS else (CACHE, self.cache_shape)
        for document, pair in zip(run, runs.pairs(self.names, where, kind, name.database, run), strict=True):
            found = pair if pair is not None else self._pair(name, document)
            if found is not None:
                yield found

    def _pair(self, name: CollectionName, document: bytes) -> tuple[bytes, bytes] | Finding | None:
        """Return what one document contributes to the lookup, if anything; a finding if its key is unreadable."""
        snapshots = name.collection == SNAPSHOTS
        kind, where = (SNAPSHOT, self.names.snapshot) if snapshots else (CACHE, self.cache_shape)
        try:
            fields = Fields(document)
            key = _key(name.database.encode(), fields, where)
        except BsonError as error:
            return _finding(UNREADABLE_SOURCE, _unreadable("its key", error), document, tenant_named(document))
        if key is None:
            return None
        try:
            extraction = self._extract_snapshot(fields) if snapshots else self._extract_cached(fields)
            if extraction is None or extraction.refusal is not None:
                return None
            element = encode_element(extraction.projection, self.names)
        except ContentError as error:
            # It must not be replaced by another source: it exists, and cannot be read.
            reason = _unreadable(f'_id "{document_name(document)}"', error)
            return kind + b"".join(key), UNREADABLE + reason.encode()
        return kind + b"".join(key), extraction.skipped.to_bytes(4, "little") + element

    def apply(self, name: CollectionName, documents: Sequence[bytes], lookup: Lookup, first: int) -> Sequence[Change]:
        """Return the change of each observation; one that cannot be read is unresolvable for that reason."""
        database, kinds = name.database.encode(), runs.kinds_of(lookup)
        changes: list[Change] = []
        pending: list[_Pending] = []
        for ordinal, document in enumerate(documents, first):
            change, fields = self._judge(document)
            changes.append(change)
            if fields is not None:
                try:
                    key = _key(database, fields, self.names.observation) if kinds else None
                except BsonError as error:
                    _leave(change, document, _unreadable("its key", error))
                else:
                    pending.append(_Pending(ordinal, fields, change, key))
        keys = [kind + b"".join(item.key) for kind in kinds for item in pending if item.key is not None]
        found = lookup.find(keys) if keys else {}
        for item in pending:
            try:
                self._resolve(item, found, lookup)
            except KitError as error:
                raise error.inside(f"document {item.ordinal}") from error.__cause__
        return changes

    def rewrite(
        self, name: CollectionName, data: bytes, ends: Sequence[int], lookup: Lookup, first: int
    ) -> RewrittenRun | None:
        """See the protocol."""
        bounds = [0, *ends]

        def fallback(numbers: Sequence[int]) -> Sequence[Change]:
            return self.apply(name, [data[bounds[number] : bounds[number + 1]] for number in numbers], lookup, first)

        try:
            return runs.rewrite(self.names, self.tenants, name.database, lookup, data, ends, fallback)
        except KitError:
            return None  # apply() then reports the fault that it finds first, with or without a core

    def _judge(self, document: bytes) -> tuple[Change, Fields | None]:
        """Return the change of a document by its top level, and its fields if its source must be resolved."""
        fields, unread = None, ""
        try:
            fields = Fields(document)
            tenant = fields.text(self.names.observation.tenant) or NO_TENANT
        except BsonError as error:
            tenant = tenant_named(document)
            unread = _unreadable("its tenant" if fields is not None else "the document", error)
        if fields is not None and self.names.raw_linkset.encode() in fields.top:
            return self._keep(fields, tenant), None
        if self.tenants is not None and tenant not in self.tenants:
            return Change(tenant=tenant, outcome=NOT_SELECTED), None
        change = Change(tenant=tenant, outcome=UNRESOLVABLE)
        if unread:
            _leave(change, document, unread)
            return change, None
        return change, fields

    def _resolve(self, item: _Pending, found: Mapping[bytes, Sequence[bytes]], lookup: Lookup) -> None:
        document, change = item.fields.document, item.change
        made, reason = _look_up(item, found)
        if made is None and not reason:
            try:
                made, reason = self._from_content(item.fields)
            except ContentError as error:
                reason = _unreadable("raw", error)
            if made is None and (reason == "" or (reason.startswith("no raw") and _has_other_revision(item, lookup))):
                reason = "the snapshot in the kit is of another revision"
        if made is None:
            _leave(change, document, reason)
            return
        try:
            self._check(item, made.element, made.projection)
        except ContentError as error:
            _leave(change, document, _unreadable("linkset", error))
            return
        change.outcome, change.document = made.outcome, append(document, made.element)
        if made.skipped:
            change.counts = {"skipped-values": made.skipped, **change.counts}
        reason = projections.missing_linkset(item.fields.document, item.fields.top, self.names.layout)
        if reason:
            change.counts = {**change.counts, NO_LINKSET: 1}
            change.findings = (_finding(NO_PROJECTION, reason, document, change.tenant), *change.findings)

    def _check(self, item: _Pending, element: bytes, projection: Projection | None) -> None:
        """Compare with the canonical linkset (schemas/raw-linkset.md, "Divergence"), by ``element`` if need be."""
        linkset = item.fields.subdocument(self.names.observation.linkset)
        if linkset is None:
            return
        if projection is None:
            value = element.index(0, 1) + 1
            projection = from_linkset(decode(element[value:]), None, self.names).projection
        differs = divergence.compare(projection, linkset, self.names)
        if differs is None:
            return
        finding = _finding("divergent", str(differs), item.fields.document, item.change.tenant)
        if self.stop_on_divergence:
            raise StoppedError(
                f"rawLinkset would diverge from linkset: {finding.reason}",
                where=f'_id "{finding.document}"',
                hint="--on-divergence warn counts and lists such documents instead",
            )
        item.change.counts = {**item.change.counts, "divergent": 1}
        item.change.findings = (*item.change.findings, finding)

    def _extract_snapshot(self, fields: Fields) -> Extraction | None:
        linkset = fields.subdocument(self.names.snapshot.linkset)
        if linkset is None:
            return None
        return from_linkset(linkset, fields.subdocument(self.names.snapshot.identifiers), self.names)

    def _extract_cached(self, fields: Fields) -> Extraction | None:
        found = fields.find(self.cache_shape.raw)
        if found is None or found[0] != Kind.DOCUMENT:
            return None
        return self._extract(fields, found, fields.text(self.cache_shape.format))[0]

    def _from_content(self, fields: Fields) -> tuple[_FinishedElement | None, str]:
        """Return the element made of the observation's own content, or (None, reason).

        Raises:
            ContentError: It cannot be read.
        """
        where = self.names.observation
        found = fields.find(where.raw)
        if found is None:
            return None, "no raw document"
        if found[0] != Kind.DOCUMENT:
            return None, f"no raw document: {where.raw} is not a subdocument"
        extraction, reason = self._extract(fields, found, fields.text(where.format))
        if extraction is None:
            return None, reason
        projection = extraction.projection
        return _FinishedElement(
            FROM_CONTENT, encode_element(projection, self.names), extraction.skipped, projection
        ), ""

    def _extract(
        self, fields: Fields, found: tuple[int, int, int], format_name: str | None
    ) -> tuple[Extraction | None, str]:
        if is_envelope(fields.document, found[1], self.names.envelope.encode()):
            return None, "raw is an envelope"
        known = registry.load()
        extractor = known.for_format(format_name) if format_name is not None else None
        if format_name is not None and extractor is None:
            return None, f"format {_quote(format_name)} is not known"
        extractor = extractor or known.sniff(fields.only(found, known.needs))
        if extractor is None:
            return None, "format is not named and not recognised"
        extraction = extractor.extract(fields.only(found, extractor.needs))
        return (None, extraction.refusal) if extraction.refusal is not None else (extraction, "")

    def _keep(self, fields: Fields, tenant: str) -> Change:
        """Return the change of a document that stays, with a finding if its ``rawLinkset`` is no projection."""
        state = projections.state_of(fields.document, fields.top, self.names.layout)
        if state == projections.BOTH:
            return Change(tenant=tenant, outcome=PRESENT)
        reason = projections.reason_of(fields.document, fields.top, self.names.layout)
        finding = _finding(NO_PROJECTION, reason, fields.document, tenant)
        if state == projections.NULL:
            return Change(tenant=tenant, outcome=NULL, findings=(finding,))
        return Change(tenant=tenant, outcome=PRESENT, counts=_COUNTS_OF_STATE[state], findings=(finding,))


def _rebuild(
    tenants: frozenset[str] | None,
    stop_on_divergence: bool,  # noqa: FBT001  called by pickle
    cache_collection: str,
    cache_shape: shape.DocumentShape,
    names: shape.Names | None,
) -> RawLinkset:
    return RawLinkset(
        tenants=tenants,
        stop_on_divergence=stop_on_divergence,
        cache_collection=cache_collection,
        cache_shape=cache_shape,
        names=names if names is not None else shape.NAMES,
    )


@dataclass(slots=True)
class _Pending:
    """An observation that lacks the element."""

    ordinal: int
    fields: Fields
    change: Change
    key: tuple[bytes, bytes] | None
    """Digests of advisory and revision; None if the kit has no source to look up, or the document lacks a part."""


def _key(database: bytes, fields: Fields, where: shape.DocumentShape) -> tuple[bytes, bytes] | None:
    """Return the two digests of the document's key; None unless tenant, vendor, id and content hash are all present."""
    tenant, vendor = fields.raw_text(where.tenant), fields.raw_text(where.vendor)
    upstream_id, content_hash = fields.raw_text(where.upstream_id), fields.raw_text(where.content_hash)
    if not tenant or not vendor or not upstream_id or not content_hash:
        return None
    return advisory_digest(database, tenant, vendor, upstream_id), revision_digest(content_hash)


@dataclass(frozen=True, slots=True)
class _FinishedElement:
    """A finished element, its source, and its projection if there is one."""

    outcome: str
    element: bytes
    skipped: int = 0
    projection: Projection | None = None


def _look_up(item: _Pending, found: Mapping[bytes, Sequence[bytes]]) -> tuple[_FinishedElement | None, str]:
    """Return what the kit has for an observation; (None, reason) if that cannot be used, (None, "") for nothing."""
    key = b"".join(item.key) if item.key is not None else b""
    for source, kind in runs.SOURCES if key else ():
        values = sorted(set(found.get(kind + key, ())))
        if values and values[-1].startswith(UNREADABLE):
            return None, f"the {source} document {values[-1][len(UNREADABLE) :].decode()}"
        if len(values) > 1:
            return None, f"{len(values)} {source} documents of the same revision differ"
        if values:
            (value,) = values
            return _FinishedElement(source, value[4:], skipped=int.from_bytes(value[:4], "little")), ""
    return None, ""


def _quote(name: str) -> str:
    """Return a name in quotes, cut: findings are kept by the thousand, and names may be megabytes."""
    return repr(name[:_MAX_NAME]) + "…" * (len(name) > _MAX_NAME)


def _has_other_revision(item: _Pending, lookup: Lookup) -> bool:
    return item.key is not None and lookup.has_prefix(SNAPSHOT + item.key[0])


def _finding(kind: str, reason: str, document: bytes, tenant: str) -> Finding:
    return Finding(kind=kind, reason=reason, document=document_name(document), tenant=tenant)


def _leave(change: Change, document: bytes, reason: str) -> None:
    """Record that a document is unresolvable."""
    change.findings = (_finding(UNRESOLVABLE, reason, document, change.tenant),)


def _unreadable(what: str, error: KitError) -> str:
    """Return a reason that is bounded and printable: foreign extractors may raise any text."""
    text = str(error)[:_MAX_REASON].encode("utf-8", "backslashreplace").decode()
    return f"{what} cannot be read: {text}"

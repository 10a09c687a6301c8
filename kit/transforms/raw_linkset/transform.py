"""The backfill itself: which observations lack ``rawLinkset``, where theirs comes from, and the splice.

Sources are tried in the order of schemas/raw-linkset.md ("Sources"): snapshot, cache, content; what none of them gives
is unresolvable and stays byte-identical. The observation's own canonical ``linkset`` is never a source, since order and
duplicates are already lost there; it is the check (``divergence``). Law: the only change to a document is one element
appended at its end.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kit.documents import Kind, append, document_id, index
from kit.errors import BsonError, ContentError, KitError, StoppedError
from kit.transforms.coverage import NO_TENANT, is_observations
from kit.transforms.protocol import Change, Finding, Lookup, Rewritten
from kit.transforms.raw_linkset import direct, divergence, registry, shape
from kit.transforms.raw_linkset.cache_map import CacheMap
from kit.transforms.raw_linkset.direct.asked import Asked, Direct
from kit.transforms.raw_linkset.element import encode_element
from kit.transforms.raw_linkset.fields import Fields, decode
from kit.transforms.raw_linkset.keys import CACHE, NONE_SKIPPED, SNAPSHOT, advisory_digest, revision_digest
from kit.transforms.raw_linkset.outcomes import (
    FROM_CACHE,
    FROM_CONTENT,
    FROM_SNAPSHOT,
    NOT_SELECTED,
    NULL,
    PRESENT,
    UNRESOLVABLE,
)
from kit.transforms.raw_linkset.projection import Extraction, Projection, from_linkset
from kit.values import CollectionName

NAME = "raw-linkset"
SNAPSHOTS = "advisory_raw"

_RAW_LINKSET = shape.RAW_LINKSET.encode()
_SOURCES = ((FROM_SNAPSHOT, SNAPSHOT), (FROM_CACHE, CACHE))
_ENVELOPE_MARK = b"__encrypted"
_DOCUMENT, _NULL = int(Kind.DOCUMENT), int(Kind.NULL)
_FORMATS = 256
_SHOWN = 64
_direct_by_format: dict[str, Direct | None] = {}
"""As the registry says, remembered for so many names: asking it costs as much as reading a document."""
_ELEMENT_OVERHEAD = 1 + len(_RAW_LINKSET) + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class RawLinkset:
    """The ``raw-linkset`` transform; see :class:`kit.transforms.protocol.Transform`."""

    tenants: frozenset[str] | None = None
    """Only observations of these tenants; None for all."""
    stop_on_divergence: bool = False
    cache_collection: str = "dto"
    cache_shape: shape.DocumentShape = field(default=shape.DTO)

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel to a worker by its parameters, whether compiled or not."""
        return _again, (self.tenants, self.stop_on_divergence, self.cache_collection, self.cache_shape)

    def with_cache(self, cache: CacheMap) -> RawLinkset:
        """Read cached payloads where ``cache`` says."""
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

    def gather(self, name: CollectionName, documents: Iterable[bytes], first: int) -> Iterable[tuple[bytes, bytes]]:
        """Give each snapshot's or cached payload's finished element under its revision's key."""
        snapshots, database = name.collection == SNAPSHOTS, name.database.encode()
        read = _snapshot if snapshots else self._cached
        kind = SNAPSHOT if snapshots else CACHE
        where = shape.ADVISORY_RAW if snapshots else self.cache_shape
        pair_of = direct.SNAPSHOT_PAIR[0] if direct.SNAPSHOT_PAIR and snapshots else None
        for ordinal, document in enumerate(documents, first):
            pair = pair_of(document, database) if pair_of is not None else None
            if pair is not None:
                yield pair
                continue
            try:
                fields = Fields(document)
                key = _key(database, fields, where)
                element = self._plain_cached(fields) if key is not None and not snapshots else None
                extraction = read(fields) if key is not None and element is None else None
            except KitError as error:
                raise error.inside(f"document {ordinal}") from error.__cause__
            if key is not None and element is not None:
                yield kind + b"".join(key), NONE_SKIPPED + element
            elif key is not None and extraction is not None and extraction.refusal is None:
                yield (
                    kind + b"".join(key),
                    extraction.skipped.to_bytes(4, "little") + encode_element(extraction.projection),
                )

    def apply(self, name: CollectionName, documents: Sequence[bytes], lookup: Lookup, first: int) -> Sequence[Change]:
        """Give each observation its ``rawLinkset``, or say why not."""
        database = name.database.encode()
        kinds = _kinds(lookup)
        changes: list[Change] = []
        pending: list[_Pending] = []
        for ordinal, document in enumerate(documents, first):
            try:
                fields = Fields(document)
                tenant = fields.text(shape.OBSERVATION.tenant) or NO_TENANT
                present = fields.top.get(_RAW_LINKSET)
                if present is not None:
                    changes.append(Change(tenant=tenant, outcome=NULL if present[0] == _NULL else PRESENT))
                elif self.tenants is not None and tenant not in self.tenants:
                    changes.append(Change(tenant=tenant, outcome=NOT_SELECTED))
                else:
                    change = Change(tenant=tenant, outcome=UNRESOLVABLE)
                    changes.append(change)
                    key = _key(database, fields, shape.OBSERVATION) if kinds else None
                    pending.append(_Pending(ordinal, fields, change, key))
            except KitError as error:
                raise error.inside(f"document {ordinal}") from error.__cause__
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
    ) -> Rewritten | None:
        """See the protocol."""
        if not direct.WHOLE:
            return None

        def alone(document: bytes, number: int) -> Change:
            return self.apply(name, [document], lookup, first + number)[0]

        asked = Asked(self.tenants, name.database.encode(), _kinds(lookup), lookup, _reader_of, alone)
        try:
            return direct.WHOLE[0](data, ends, asked)
        except KitError:
            return None  # which of several faults is told does not depend on how they were found

    def _resolve(self, item: _Pending, found: Mapping[bytes, Sequence[bytes]], lookup: Lookup) -> None:
        document, change = item.fields.document, item.change
        element, skipped, reason = b"", 0, ""
        projection: Projection | None = None
        key = b"".join(item.key) if item.key is not None else b""
        for source, kind in _SOURCES if key else ():
            values = set(found.get(kind + key, ()))
            if len(values) > 1:
                reason = f"{len(values)} {source} documents of the same revision differ"
                break
            if values:
                (value,) = values
                change.outcome, skipped, element = source, int.from_bytes(value[:4], "little"), value[4:]
                break
        else:
            plain = _plain_content(item.fields)
            extraction, reason = _content(item.fields) if plain is None else (None, "")
            if plain is not None:
                change.outcome, element = FROM_CONTENT, plain
            elif extraction is not None:
                change.outcome, skipped = FROM_CONTENT, extraction.skipped
                projection = extraction.projection
                element = encode_element(projection)
        if not element:
            if reason == "" or (reason.startswith("no raw") and _other_revision(item, lookup)):
                reason = "the snapshot in the kit is of another revision"
            change.findings = (_finding(UNRESOLVABLE, reason, item),)
            return
        change.document = append(document, element)
        if skipped:
            change.counts = {"skipped-values": skipped}
        self._check(item, element, projection)

    def _check(self, item: _Pending, element: bytes, projection: Projection | None) -> None:
        """Compare with the canonical linkset (schemas/raw-linkset.md, "Divergence"); None for what ``element`` says."""
        found = item.fields.find(shape.OBSERVATION.linkset)
        if found is None or found[0] != _DOCUMENT:
            return
        for agrees in direct.AGREES:
            if agrees(element, item.fields.document, found[1]):
                return
        linkset = item.fields.subdocument(shape.OBSERVATION.linkset)
        if linkset is None:
            return
        if projection is None:
            projection = from_linkset(decode(element[_ELEMENT_OVERHEAD:]), None).projection
        differs = divergence.compare(projection, linkset)
        if differs is None:
            return
        finding = _finding("divergent", str(differs), item)
        if self.stop_on_divergence:
            raise StoppedError(
                f"rawLinkset would diverge from linkset: {finding.reason}",
                where=f'_id "{finding.document}"',
                hint="look at the document; --on-divergence warn counts and lists such documents instead",
            )
        item.change.counts = {**item.change.counts, "divergent": 1}
        item.change.findings = (finding,)

    def _cached(self, fields: Fields) -> Extraction | None:
        found = fields.find(self.cache_shape.raw)
        if found is None or found[0] != Kind.DOCUMENT:
            return None
        return _extract(fields, found, fields.text(self.cache_shape.format))[0]

    def _plain_cached(self, fields: Fields) -> bytes | None:
        return _plain(fields, fields.find(self.cache_shape.raw), fields.text(self.cache_shape.format))


def _kinds(lookup: Lookup) -> list[bytes]:
    """Give the kinds of sources the kit has at all: most have one or none, and a key costs as much as a walk."""
    return [kind for _, kind in _SOURCES if lookup.has_prefix(kind)]


def _again(
    tenants: frozenset[str] | None,
    stop_on_divergence: bool,  # noqa: FBT001  called by pickle
    cache_collection: str,
    cache_shape: shape.DocumentShape,
) -> RawLinkset:
    return RawLinkset(
        tenants=tenants,
        stop_on_divergence=stop_on_divergence,
        cache_collection=cache_collection,
        cache_shape=cache_shape,
    )


@dataclass(slots=True)
class _Pending:
    """An observation that lacks the element."""

    ordinal: int
    fields: Fields
    change: Change
    key: tuple[bytes, bytes] | None
    """Digests of advisory and revision; None where the kit has no source to look up, or the document lacks a part."""


def _key(database: bytes, fields: Fields, where: shape.DocumentShape) -> tuple[bytes, bytes] | None:
    """Give the two digests of the document's key; None unless tenant, vendor, id and content hash are all there."""
    tenant, vendor = fields.raw_text(where.tenant), fields.raw_text(where.vendor)
    upstream_id, content_hash = fields.raw_text(where.upstream_id), fields.raw_text(where.content_hash)
    if not tenant or not vendor or not upstream_id or not content_hash:
        return None
    return advisory_digest(database, tenant, vendor, upstream_id), revision_digest(content_hash)


def _snapshot(fields: Fields) -> Extraction | None:
    linkset = fields.subdocument(shape.ADVISORY_RAW.linkset)
    return from_linkset(linkset, fields.subdocument(shape.ADVISORY_RAW.identifiers)) if linkset is not None else None


def _plain_content(fields: Fields) -> bytes | None:
    """As :func:`_content`, straight to the element; None where that must be asked."""
    return _plain(fields, fields.find(shape.OBSERVATION.raw), fields.text(shape.OBSERVATION.format))


def _plain(fields: Fields, found: tuple[int, int, int] | None, format_name: str | None) -> bytes | None:
    if not direct.EXTRACTORS or found is None or found[0] != _DOCUMENT or format_name is None:
        return None
    read = _reader_of(format_name)
    return read(fields.document, index(fields.document, found[1])) if read is not None else None


def _reader_of(format_name: str) -> Direct | None:
    """Give how documents of a format go straight to their element, if they do."""
    if len(_direct_by_format) > _FORMATS:
        _direct_by_format.clear()
    if format_name not in _direct_by_format:
        extractor = registry.load().for_format(format_name)
        _direct_by_format[format_name] = direct.EXTRACTORS.get(extractor.name) if extractor is not None else None
    return _direct_by_format[format_name]


def _content(fields: Fields) -> tuple[Extraction | None, str]:
    """Extract from the observation's own ``content.raw``; (None, reason) where that cannot be done."""
    found = fields.find(shape.OBSERVATION.raw)
    if found is None:
        return None, "no raw document"
    if found[0] != Kind.DOCUMENT:
        return None, "no raw document: content.raw is not a subdocument"
    return _extract(fields, found, fields.text(shape.OBSERVATION.format))


def _extract(fields: Fields, found: tuple[int, int, int], format_name: str | None) -> tuple[Extraction | None, str]:
    if _ENVELOPE_MARK in index(fields.document, found[1]):
        return None, "raw is an envelope"
    known = registry.load()
    extractor = known.for_format(format_name) if format_name is not None else None
    if format_name is not None and extractor is None:
        return None, f"format {_shown(format_name)} is not known"
    try:
        extractor = extractor or known.sniff(fields.only(found, known.needs))
        if extractor is None:
            return None, "format is not named and not recognised"
        extraction = extractor.extract(fields.only(found, extractor.needs))
    except BsonError:
        raise
    except ContentError as error:
        return None, f"raw cannot be read: {error}"
    return (None, extraction.refusal) if extraction.refusal is not None else (extraction, "")


def _shown(name: str) -> str:
    """Spell a name from a document for a finding: findings are kept by the thousand, and names may be megabytes."""
    return repr(name[:_SHOWN]) + "…" * (len(name) > _SHOWN)


def _other_revision(item: _Pending, lookup: Lookup) -> bool:
    return item.key is not None and lookup.has_prefix(SNAPSHOT + item.key[0])


def _finding(kind: str, reason: str, item: _Pending) -> Finding:
    return Finding(kind=kind, reason=reason, document=document_id(item.fields.document), tenant=item.change.tenant)

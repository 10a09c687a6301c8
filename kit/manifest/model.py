"""The manifest of a kit with all its fields: schemas/offline-manifest.md, own and foreign shapes.

The document stays as it was parsed, unknown fields included; the known fields are read from it once, strictly. Laws:
a next generation differs from this one in the entries, generation, time, collections and lineage named, and in nothing
else; ``parse`` reads every manifest that ``next_generation`` returns.

:mod:`closed_world` checks that the members match, :mod:`lineage` that history does.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

from kit.errors import ContentError, ManifestError
from kit.manifest.files import Entry, FileList, Shape, read_entries, recognise, respell, spell_new
from kit.manifest.location import NAME as LINKS, Link, read_links
from kit.manifest.parts import CollectionSummary, LineageEntry, merge_summaries
from kit.values import NAMED, Collections, Limits, MemberPath, MemoryPrice, Sha256, Timestamp
from kit.values.fields import MAX_INTEGER, ManifestFields, is_count
from kit.values.strict_json import canonical, parse as parse_json

_OPTIONAL_TEXTS = ("version", "channel", "producer")
UNBOUNDED = Limits().with_overrides(dict.fromkeys(("json_bytes", "json_depth", "json_values", "members"), MAX_INTEGER))
"""Limits for manifests that this program has written itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """One generation's manifest.

    Attributes:
        sha256: Digest of the exact bytes parsed.
        entries: The closed world, in the order found; never empty.
        generation: As stated; a foreign manifest without one has its last lineage entry's plus one, else 0.
        bundle_id: None for a foreign manifest without one.
        created_at: None for a foreign manifest without one.
        links: None if it has no list of links.
        collections: Empty for a foreign manifest, whatever it has under that name.
        lineage: Oldest first, generations increasing.
        staleness_window_hours: How long after ``created_at`` the kit counts as fresh; None if not stated.
    """

    sha256: Sha256
    entries: tuple[Entry, ...]
    generation: int
    bundle_id: str | None
    created_at: Timestamp | None
    links: tuple[Link, ...] | None
    collections: tuple[CollectionSummary, ...]
    lineage: tuple[LineageEntry, ...]
    staleness_window_hours: int | None
    version: str | None
    channel: str | None
    producer: str | None
    _files: FileList = field(repr=False)
    _document: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def parse(cls, data: bytes, *, limits: Limits, where: str) -> Self:
        """Return the manifest of exact bytes.

        Raises:
            ManifestError: Not strict JSON, of no known shape, without files, or with any field this program uses
                missing (own shape), malformed or contradictory.
            LimitError: Larger or deeper than ``limits`` allow, or with more members.
        """
        try:
            fields = ManifestFields.of(parse_json(data, limits=limits, where=where), "manifest")
            files = recognise(fields.members)
            for name in (files.name, LINKS):
                listed = fields.members.get(name)
                limits.check("members", len(listed) if isinstance(listed, list) else 0, where=where)
                limits.hold(MemoryPrice.LISTED * (len(listed) if isinstance(listed, list) else 0), where=where)
            return cls._read(fields, files, Sha256.of(data))
        except ManifestError as error:
            raise error.inside(where) from error.__cause__
        except ContentError as error:
            raise ManifestError(error.what, where=error.where, hint=error.hint) from error

    @classmethod
    def _read(cls, fields: ManifestFields, files: FileList, sha256: Sha256) -> Self:
        own = files.shape is Shape.OWN
        entries = read_entries(fields.members, files)
        lineage = _lineage(fields)
        generation = _generation(fields, lineage, own=own)
        if lineage and lineage[-1].generation >= generation:
            raise ManifestError(f"generation {generation} is not above {lineage[-1].generation}, the last in lineage")
        created_at = _created_at(fields, own=own)
        _check_times(created_at, lineage, own=own)
        collections = _collections(fields, entries) if own else ()
        links = read_links(fields, (entry.path for entry in entries), own=own)
        texts = {name: _optional_text(fields, name, own=own) for name in _OPTIONAL_TEXTS}
        return cls(
            sha256=sha256,
            entries=entries,
            generation=generation,
            bundle_id=fields.text("bundleId") if own else _optional_text(fields, "bundleId", own=False),
            created_at=created_at,
            links=links,
            collections=collections,
            lineage=lineage,
            staleness_window_hours=_staleness(fields, own=own),
            **texts,
            _files=files,
            _document=fields.members,
        )

    @property
    def shape(self) -> Shape:
        """The format: this project's own, or a foreign one."""
        return self._files.shape

    @property
    def made_at(self) -> Timestamp | None:
        """When this generation was made; only the lineage of a patched foreign manifest has that."""
        return self.lineage[-1].at if self.lineage else self.created_at

    @property
    def list_name(self) -> str:
        """The name of its list of files."""
        return self._files.name

    @property
    def document(self) -> Mapping[str, Any]:
        """The document as parsed, for comparison; it is never changed."""
        return self._document

    @property
    def table(self) -> Collections:
        """The collections of the kit, by name and as declared."""
        declared = [one for summary in self.collections if (one := summary.declared) is not None]
        return Collections.of(declared) if declared else NAMED

    def brief(self, paths: Container[MemberPath]) -> Self:
        """Return the manifest with only the entries and summaries of ``paths``."""
        return replace(
            self,
            entries=tuple(entry for entry in self.entries if entry.path in paths),
            collections=tuple(summary for summary in self.collections if summary.path in paths),
            _document={},
        )

    def entry(self, path: MemberPath) -> Entry | None:
        """Return one listed file; None if it is not listed."""
        return next((entry for entry in self.entries if entry.path == path), None)

    def next_generation(
        self,
        *,
        changed: Mapping[MemberPath, tuple[Sha256, int]],
        added: Mapping[MemberPath, tuple[Sha256, int]],
        collections: Sequence[CollectionSummary] | None,
        lineage_entry: LineageEntry,
        created_at: Timestamp,
    ) -> bytes:
        """Return the bytes of the manifest that replaces this one.

        The bytes are ``strict_json.canonical``, for foreign manifests too: the old signature cannot cover the new bytes
        anyway, the old bytes are kept under history, and the result does not depend on the key order of the vendor's
        tool.

        Args:
            changed: New digest and size of listed members.
            added: Digest and size of members not listed before; own shape: list sorted by path; foreign: appended.
            collections: New summaries, own shape only; None to keep all. Unknown fields stay, and so do summaries of
                members without a new one.
            lineage_entry: The entry of the step that replaces this generation; appended.
            created_at: Equal to the lineage entry's ``at``. A foreign manifest's own time fields are not changed.

        Raises:
            ManifestError: A changed member is not listed, an added one is, the lineage entry is not about this
                manifest and time, or the result would not be a manifest.
        """
        if (lineage_entry.generation, lineage_entry.manifest_sha256) != (self.generation, self.sha256):
            raise ManifestError(
                f"the lineage entry is not about generation {self.generation} with digest {self.sha256}"
            )
        if lineage_entry.at != created_at:
            raise ManifestError(f"the lineage entry is of {lineage_entry.at}, the new manifest of {created_at}")
        document = copy.deepcopy(dict(self._document))
        self._update_entries(document[self._files.name], changed, added)
        own = self.shape is Shape.OWN
        if own or is_count(document.get("generation")):
            document["generation"] = self.generation + 1
        document["lineage"] = [entry.to_json() for entry in (*self.lineage, lineage_entry)]
        if own:
            document["createdAt"] = str(created_at)
            if collections is not None:
                document["collections"] = merge_summaries(document.get("collections", []), collections)
        data = canonical(document)
        # The result must parse before it is signed. It grew from a manifest that was within the user's limits.
        Manifest.parse(data, limits=UNBOUNDED, where="the new manifest")
        return data

    def _update_entries(
        self,
        items: list[dict[str, Any]],
        changed: Mapping[MemberPath, tuple[Sha256, int]],
        added: Mapping[MemberPath, tuple[Sha256, int]],
    ) -> None:
        listed = {entry.path: item for entry, item in zip(self.entries, items, strict=True)}
        unlisted = sorted(str(path) for path in set(changed) - set(listed))
        if unlisted:
            raise ManifestError(f"changed members that the manifest does not list: {', '.join(unlisted)}")
        known = sorted(str(path) for path in set(added) & set(listed))
        if known:
            raise ManifestError(f"added members that the manifest lists already: {', '.join(known)}")
        for path, (sha256, size) in changed.items():
            respell(listed[path], sha256, size)
        model = items[0]
        for path in sorted(added):
            sha256, size = added[path]
            items.append(spell_new(Entry(path=path, sha256=sha256, size=size), self._files, model))
        if self.shape is Shape.OWN:
            items.sort(key=lambda item: str(item["path"]))


def _lineage(fields: ManifestFields) -> tuple[LineageEntry, ...]:
    if "lineage" not in fields.members:
        return ()
    entries = tuple(LineageEntry.parse(value, f"lineage[{n}]") for n, value in enumerate(fields.items("lineage")))
    if entries and entries[0].prior_statement_sha256 is not None:
        raise ManifestError("lineage[0].priorStatementSha256: the first entry has no earlier statement")
    for number, (earlier, later) in enumerate(itertools.pairwise(entries), start=1):
        if later.generation <= earlier.generation:
            raise ManifestError(f"lineage[{number}]: generation {later.generation} follows {earlier.generation}")
        if later.at < earlier.at:
            raise ManifestError(
                f"lineage[{number}]: made at {later.at}, before {earlier.at}: no generation is older than the one below"
            )
    return entries


def _generation(fields: ManifestFields, lineage: tuple[LineageEntry, ...], *, own: bool) -> int:
    stated = fields.members.get("generation")
    if own or (isinstance(stated, int) and not isinstance(stated, bool)):
        return fields.integer("generation")
    return lineage[-1].generation + 1 if lineage else 0


def _collections(fields: ManifestFields, entries: tuple[Entry, ...]) -> tuple[CollectionSummary, ...]:
    if "collections" not in fields.members:
        return ()
    items = enumerate(fields.items("collections"))
    summaries = tuple(CollectionSummary.parse(value, f"collections[{number}]") for number, value in items)
    listed = {entry.path for entry in entries}
    seen: set[MemberPath] = set()
    for number, summary in enumerate(summaries):
        if summary.path not in listed or summary.path in seen:
            fault = "twice" if summary.path in seen else "not among the files"
            raise ManifestError(f"collections[{number}]: {summary.path} is {fault}")
        seen.add(summary.path)
    return summaries


def _optional_text(fields: ManifestFields, name: str, *, own: bool) -> str | None:
    if own and name in fields.members:
        return fields.text(name)
    value = fields.members.get(name)
    return value if isinstance(value, str) and value else None


def _created_at(fields: ManifestFields, *, own: bool) -> Timestamp | None:
    try:
        return fields.timestamp("createdAt")
    except ManifestError:
        if own:
            raise
        return None


def _check_times(created_at: Timestamp | None, lineage: tuple[LineageEntry, ...], *, own: bool) -> None:
    """Check the manifest's own time against its lineage; :mod:`lineage` checks the first entry."""
    if created_at is None or not lineage:
        return
    due = lineage[-1].at
    if own and created_at != due:
        raise ManifestError(f"manifest.createdAt: {created_at}, but lineage has {due}")
    if created_at > due:  # a patch keeps the times of a foreign manifest
        raise ManifestError(f"manifest.createdAt: {created_at}, after {due}, when it was patched")


def _staleness(fields: ManifestFields, *, own: bool) -> int | None:
    if own and fields.members.get("stalenessWindowHours") is not None:
        return fields.integer("stalenessWindowHours")
    value = fields.members.get("stalenessWindowHours")
    return value if is_count(value) else None

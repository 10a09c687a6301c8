"""``kit export-changes``: what a patch would add to a kit, as a folder with which a database gets the same.

Plan the patch (the base is judged, every document is derived, stop rules and refusals hold) → derive the documents once
more and write a line for each → compare with the counts of the plan → read back and publish the folder. Laws: one code
path with ``kit plan`` and ``kit patch``, so a kit that they refuse is not exported; same inputs and options give the
same bytes, whatever the number of workers; a failed run leaves nothing; the program in the folder is the same in every
export, and nothing of a kit is ever part of it (schemas/online-changes.md).
"""

from __future__ import annotations

import base64
import hashlib
import importlib.resources
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from kit.engine.passing import entries
from kit.engine.progress import Stage
from kit.engine.reading import member_runs
from kit.engine.work import RunWork
from kit.errors import DigestError, UsageError
from kit.migrations import Migration
from kit.output.folders import NewFolder
from kit.output.publish import NewFile
from kit.signing import PrivateKey, archive_signature
from kit.transforms.allowance import Meter
from kit.transforms.coverage import Tally
from kit.transforms.projections import RAW_LINKSET
from kit.values import Codec, CollectionName, MemberPath, Sha256
from kit.values.strict_json import canonical
from kit.verbs.online.records import HASHES, MAX_LEFT, TENANT, DatabaseTool, ExportedRun, Left, export_run
from kit.verbs.patch.patch import PatchReport, PatchRequest, Planned, planning
from kit.verbs.verify.kits import require_outside
from kit.version import TOOL, VERSION

SCHEMA_VERSION: Final = "1"
FORMAT: Final = "online-changes"
EXPORT, SUMS, SIGNATURE, PROGRAM = "export.json", "SHA256SUMS", "SHA256SUMS.sig", "changes.js"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportRequest:
    """Which changes to export, for what, and where to."""

    patch: PatchRequest
    """What a patch would be asked for; the folder has what it would add."""
    tool: DatabaseTool
    output: Path
    """A new folder."""
    key: PrivateKey | None = None
    """Signs the list of digests, so that those who apply the changes can check it."""
    accepts_unguarded: bool = False
    """Whether lines that nothing compares with the documents in the database are accepted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantChanges:
    """What one tenant has in a collection."""

    documents: int
    missing: int
    """Documents without ``rawLinkset`` in the kit."""
    lines: int
    left: int
    """Documents that a patch changes and that have no line."""

    @property
    def missing_after(self) -> int:
        """Documents without ``rawLinkset`` once every line is applied."""
        return self.missing - self.lines


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedCollection:
    """The changes of one collection."""

    name: CollectionName
    members: tuple[MemberPath, ...]
    file: str
    """Path in the folder."""
    lines: int
    bytes: int
    sha256: Sha256
    tenants: Mapping[str, TenantChanges]
    """By tenant, sorted; "" for documents without one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """A document that a patch changes and that has no line, and its member."""

    member: MemberPath
    what: Left


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportReport:
    """What was exported."""

    plan: PatchReport
    tool: DatabaseTool
    output: Path
    collections: tuple[ExportedCollection, ...]
    sums: Sha256
    """Digest of the list of digests."""
    signer: str | None
    """Key id; None where the list is not signed."""
    left: tuple[LeftOut, ...]
    """The first documents without a line."""
    left_total: int

    @property
    def lines(self) -> int:
        """The number of documents that have a line."""
        return sum(one.lines for one in self.collections)


def export_changes(request: ExportRequest) -> ExportReport:
    """Write the folder.

    Raises:
        UsageError: The migration does more than append ``rawLinkset``, or the tool has no guard and that is not
            accepted.
        OutputError: The folder exists, or cannot be written.
        DigestError: The kit changed meanwhile.
        KitError: A patch would end with it.
    """
    _require_guarded(request)
    _require_appending(request.patch.described())
    require_outside(request.patch.kit, request.output)
    with NewFolder(request.output) as folder, planning(_as_patch(request)) as planned:
        for error in (planned.report.refusal, *planned.report.stops):
            if error is not None:
                raise error
        return _Export(request, planned, folder).write()


def _as_patch(request: ExportRequest) -> PatchRequest:
    # What a server would refuse is in the database already, or has no line (records.py).
    return replace(request.patch, merkle=False, allow_unimportable=True)


def _require_guarded(request: ExportRequest) -> None:
    if request.tool is DatabaseTool.MONGOIMPORT and not request.accepts_unguarded:
        raise UsageError(
            "mongoimport compares nothing: it replaces a rawLinkset that is there, keeps one of an older revision, and "
            "inserts a stub for a document that is gone",
            hint="use --for mongosh, or accept that with --accept-unguarded where nothing else writes meanwhile",
        )


def _require_appending(migration: Migration) -> None:
    others = [one.name for one in migration.transforms if one.keyed is not None or one.appends != RAW_LINKSET]
    if others:
        raise UsageError(
            f"{', '.join(others)} changes more than it adds, and only an added rawLinkset can be exported",
            hint="kit export-changes KIT --migration 20251031_raw_linkset …",
        )


@dataclass(slots=True, kw_only=True)
class _Collection:
    """One collection while its lines are written."""

    output: NewFile
    file: str
    members: list[MemberPath] = field(default_factory=list)
    lines: Counter[str] = field(default_factory=Counter)
    left: Counter[str] = field(default_factory=Counter)
    tally: Tally = field(default_factory=Tally)


class _Export:
    """The second derivation, and the folder that is made of it."""

    def __init__(self, request: ExportRequest, planned: Planned, folder: NewFolder) -> None:
        self._request = request
        self._kit, self._base, self._plan = planned.kit, planned.base, planned.report
        self._folder = folder
        self._found: dict[CollectionName, _Collection] = {}
        self._left: list[LeftOut] = []
        self._changed: Counter[MemberPath] = Counter()

    def write(self) -> ExportReport:
        with ExitStack() as stack:
            for path, change in self._plan.rewrite.members.items():
                one = self._begin(change.collection.name, stack)
                one.members.append(path)
                one.tally.add(change.tally)
            self._derive()
            collections = tuple(self._finish(name, self._found[name]) for name in sorted(self._found, key=str))
        digests = {one.file: one.sha256 for one in collections}
        digests[EXPORT] = self._add(EXPORT, canonical(self._describe(collections)))
        if self._request.tool is DatabaseTool.MONGOSH:
            program = importlib.resources.files("kit.verbs.online").joinpath(PROGRAM).read_bytes()
            digests[PROGRAM] = self._add(PROGRAM, program)
        listed = "".join(f"{digests[name].hex}  {name}\n" for name in sorted(digests)).encode()
        sums, key = self._add(SUMS, listed), self._request.key
        if key is not None:
            # Ed25519 signs no digest, and a list is short enough to be signed itself.
            signature = archive_signature.sign(sums, key)
            self._add(SIGNATURE, signature or base64.b64encode(key.sign(listed)) + b"\n")
        self._folder.publish()
        return ExportReport(
            plan=self._plan,
            tool=self._request.tool,
            output=self._request.output,
            collections=collections,
            sums=sums,
            signer=key.public.key_id if key is not None else None,
            left=tuple(self._left),
            left_total=sum(tenant.left for one in collections for tenant in one.tenants.values()),
        )

    def _begin(self, name: CollectionName, stack: ExitStack) -> _Collection:
        if name not in self._found:
            file = f"changes/{name.database}/{name.collection}.ndjson"
            output = stack.enter_context(NewFile(self._folder.place(file)))
            self._found[name] = _Collection(output=output, file=file)
        return self._found[name]

    def _derive(self) -> None:
        """Derive every changed document again, as the plan did.

        Raises:
            DigestError: The kit is another by now, or a document came out differently.
        """
        changes = self._plan.rewrite.members
        reader, meter = self._kit.reader, Meter(limit=self._request.patch.most)
        with self._kit.pipeline(Stage.EXTRACT) as pipeline:
            for member, body in entries(reader, self._base.survey):
                change = changes.get(member.path) if member.path is not None else None
                if change is None or not change.changed:
                    continue
                collection = change.collection
                work = self._work(collection.name)
                for run in member_runs(collection, body, reader):
                    if meter.limit:
                        pipeline.drain()  # how many may still change is only known once all before are done
                    pipeline.submit(
                        export_run,
                        *(work, run, meter.allowance(), self._request.tool),
                        cost=len(run.data),
                        weight=run.weight,
                        then=partial(self._take, collection.path, self._found[collection.name], meter),
                        where=str(collection.path),
                    )
        for path, change in changes.items():
            if self._changed[path] != change.changed:
                raise DigestError(
                    f"{self._changed[path]:,} documents came out changed, and the plan has {change.changed:,}",
                    where=str(path),
                    hint="nothing was written; this is a fault of the program or of the machine: report it",
                )

    def _work(self, name: CollectionName) -> RunWork:
        return RunWork(
            name=name,
            transforms=tuple(one for one in self._plan.transforms if one.handles(name)),
            lookup=self._base.lookup,
            member_codec=Codec.NONE,
            container_codec=Codec.NONE,
            limits=self._kit.reader.limits,
        )

    def _take(self, path: MemberPath, one: _Collection, meter: Meter, run: ExportedRun) -> None:
        meter.take(run.changed, run.allowed)
        one.output.write(run.lines)
        one.lines.update(run.tenants)
        one.left.update(run.left_by_tenant)
        self._changed[path] += run.changed
        room = MAX_LEFT - len(self._left)
        self._left += [LeftOut(member=path, what=left) for left in run.left[:room]]

    def _finish(self, name: CollectionName, one: _Collection) -> ExportedCollection:
        one.output.publish()
        tenants: dict[str, TenantChanges] = {}
        for tenant, covered in sorted(one.tally.tenants.items()):
            lines, left = one.lines[tenant], one.left[tenant]
            missing = covered.missing + lines + left
            tenants[tenant] = TenantChanges(documents=covered.documents, missing=missing, lines=lines, left=left)
        return ExportedCollection(
            name=name,
            members=tuple(one.members),
            file=one.file,
            lines=one.lines.total(),
            bytes=one.output.written,
            sha256=one.output.sha256,
            tenants=tenants,
        )

    def _add(self, name: str, data: bytes) -> Sha256:
        with NewFile(self._folder.place(name)) as output:
            output.write(data)
            output.publish()
        return Sha256(hashlib.sha256(data).hexdigest())

    def _describe(self, collections: tuple[ExportedCollection, ...]) -> dict[str, Any]:
        """Return ``export.json`` (schemas/online-changes.md)."""
        migration, manifest = self._plan.migration, self._base.manifest
        return {
            "schemaVersion": SCHEMA_VERSION,
            "format": FORMAT,
            "tool": {"name": TOOL, "version": VERSION},
            "for": self._request.tool.value,
            "kit": {
                "bundleId": manifest.bundle_id,
                "generation": manifest.generation,
                "manifestSha256": manifest.sha256.hex,
            },
            "migration": {"id": migration.id, "sha256": migration.sha256.hex},
            "field": RAW_LINKSET,
            "matched": [TENANT, *HASHES],
            "batchSize": migration.batch_size,
            "collections": [
                {
                    "db": one.name.database,
                    "collection": one.name.collection,
                    "file": one.file,
                    "lines": one.lines,
                    "bytes": one.bytes,
                    "sha256": one.sha256.hex,
                    "tenants": [
                        {
                            "tenant": name,
                            "documents": tenant.documents,
                            "missing": tenant.missing,
                            "lines": tenant.lines,
                            "left": tenant.left,
                            "missingAfter": tenant.missing_after,
                        }
                        for name, tenant in one.tenants.items()
                    ],
                }
                for one in collections
            ],
        }

"""``kit delta build``: from two verified kits to the signed delta between them.

Read and judge both, and spool what of the target has surely changed → store what is needed of the base → encode each
member of the target against it → write manifest and signature → read the delta back → publish it.

Entries of the archive are in the order of schemas/kit-delta.md: manifest, its signature, layout, signature of the
target's archive if it has one, payloads. A site must read first what is known last, so the first entries are reserved
and filled at the end (:class:`DeltaArchive`).

The run works in the folder ``<output>.kit-build`` and cannot be resumed: running it again is as good. The next run with
the same output removes what a dead run left there.

Laws: the same kits, key, time and options give the same delta, whatever the number of workers; the same bytes in the
same order give the same archive; memory does not grow with the kits; before the delta is published, nothing is written
but the folder; two live processes never share it; it is next to the output, readable by its owner alone, and removed
when the run ends in any way other than being killed.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace as with_changes
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from kit.archive.frames import encode_frame
from kit.archive.write.copies import copy_to_stage
from kit.archive.write.tar import ArchiveDestination, Slot, add_bytes
from kit.delta.layout import Layout, encode_layout
from kit.delta.model import (
    ARCHIVE_SIGNATURE,
    DELTA_TYPE,
    LAYOUT,
    MANIFEST,
    SIGNATURE,
    DeltaManifest,
    End,
    Entry,
    Payload,
    TargetArchive,
)
from kit.engine.pipeline import Workers
from kit.engine.progress import Stage
from kit.errors import OutputError, UsageError
from kit.manifest import Link, files
from kit.output.commit import perform
from kit.output.job import LOCK, Job
from kit.output.journal import JournalFile
from kit.output.paths import require_free, require_output_apart
from kit.output.spool import Spool
from kit.output.switch import checksum_line, stage
from kit.signing import PrivateKey, jws
from kit.trust import Anchor
from kit.values import Codec, MemberPath, Sha256, Timestamp
from kit.verbs.delta.deltas import check_payloads, check_signature, check_target, open_delta
from kit.verbs.delta.encode import DeltaEncoder
from kit.verbs.delta.steps import NO_STEPS, Ingredients, RecipeSearch, steps_between
from kit.verbs.delta.stores import BaseSpool, BaseStores, TargetSpool
from kit.verbs.verify.judged import JudgedKit, judge_kit
from kit.verbs.verify.kits import Environment, lazy_workers, open_with_workers
from kit.verbs.verify.obligations import Expectation
from kit.version import TOOL, VERSION

if TYPE_CHECKING:
    from kit.encryption import KeySource
    from kit.transforms.protocol import Transform

_MODE = 0o644


class DeltaArchive:
    """The archive of a delta that is being written. A context manager that closes its files."""

    def __init__(self, folder: Path, at: Timestamp, *, signature: bytes | None, mode: int) -> None:
        """Create the files of an archive in ``folder``.

        Args:
            folder: On the file system of the output.
            at: The time of every entry.
            signature: Of the target's archive, carried as it is.
            mode: The widest mode that the archive may have.

        Raises:
            OutputError: Its files cannot be made.
        """
        self._at = at
        self._signature = signature
        self._payloads = 0
        with ExitStack() as stack:
            journal = JournalFile(folder / "journal")
            stack.callback(journal.close)
            spool = Spool(folder, journal, checkpoint_bytes=1 << 62)
            self._destination = ArchiveDestination(folder, spool, codec=Codec.ZSTD, mode=mode)
            stack.callback(self._destination.release)
            in_front = (MANIFEST, SIGNATURE, LAYOUT, *((ARCHIVE_SIGNATURE,) if signature is not None else ()))
            self._slots = {path: self._destination.open(path, mode=_MODE) for path in in_front}
            self._open = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def add(self, chunks: Iterator[bytes]) -> Payload:
        """Write the payload of the next member that has one.

        Raises:
            OutputError: The disk is full or failed; or what ``chunks`` raises.
        """
        path = MemberPath(f"payload/{self._payloads}")
        self._payloads += 1
        return self._fill(self._destination.open(path, mode=_MODE), path, chunks)

    def close_front(self, layout: bytes) -> tuple[Payload, Payload | None]:
        """Write the reserved entries that the manifest names: the layout, and the signature if there is one.

        Raises:
            OutputError: The disk is full or failed.
        """
        signature = None
        if self._signature is not None:
            signature = self._fill(self._slots[ARCHIVE_SIGNATURE], ARCHIVE_SIGNATURE, iter([self._signature]))
        return self._fill(self._slots[LAYOUT], LAYOUT, iter([layout])), signature

    def sign(self, manifest: DeltaManifest, key: PrivateKey) -> Path:
        """Write the manifest and its signature by ``key``, and return the finished archive.

        Raises:
            OutputError: The disk is full or failed.
        """
        data = manifest.to_bytes()
        add_bytes(self._destination, self._slots[MANIFEST], data, mtime=self._at)
        document = jws.sign(data, [key], typ=DELTA_TYPE)
        add_bytes(self._destination, self._slots[SIGNATURE], document, mtime=self._at)
        return self._destination.assemble()

    def _fill(self, slot: Slot, path: MemberPath, chunks: Iterator[bytes]) -> Payload:
        digest = hashlib.sha256()
        size = 0
        for chunk in chunks:
            digest.update(chunk)
            size += len(chunk)
            self._destination.add(slot, encode_frame(self._destination.codec, chunk))
        self._destination.close(slot, mtime=self._at)
        return Payload(path=path, sha256=Sha256(digest.hexdigest()), size=size)


_KIND = "build"


@contextmanager
def open_build_job(target: Path, work_folder: Path | None = None) -> Iterator[Job]:
    """Yield a job in an empty folder next to ``target``, on its file system; what a killed run left there is removed.

    Raises:
        OutputError: Another process works there, or the place cannot be written.
        UsageError: The target is ``.`` or ``..``, which have no folder next to them.
    """
    left = Job(target, kind=_KIND, work_folder=work_folder).exists
    with Job(target, resume=left, kind=_KIND, work_folder=work_folder) as job:
        job.clear(keep=frozenset({LOCK}))
        yield job


@dataclass(frozen=True, slots=True, kw_only=True)
class DeltaBuildRequest:
    """What to build."""

    base: Path
    target: Path
    output: Path
    key: PrivateKey
    expectation: Expectation
    """What both kits must be."""
    created_at: Timestamp
    recipe: bool = True
    """Let the site compute what a transform makes of the base, if that is possible."""
    transforms: tuple[Transform, ...] = ()
    """Transforms that may have made the target with parameters that its provenance does not have: tenants, a cache
    map, a field map of the user's own."""
    keys: KeySource | None = field(default=None, repr=False)
    """From the opened keyring that the target was encrypted with. With it, a recipe can encrypt, too."""
    published: TargetArchive | None = None
    """The container that the publisher had, if ``target`` is a remake of it; None if ``target`` is the original."""
    reverse: bool = False
    """Build the opposite delta: from the target to the base."""
    work_folder: Path | None = None
    """Where to work if not next to the output."""
    environment: Environment = field(default_factory=Environment)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeltaBuildReport:
    """What was built."""

    base: Path
    target: Path
    output: Path
    output_bytes: int
    output_sha256: Sha256
    manifest: DeltaManifest
    manifest_sha256: Sha256
    signed_by: str
    target_bytes: int | None
    """Size of the target as stored, which would have to be sent without a delta."""
    no_recipe: str | None
    """Why there is no recipe; None if there is one."""
    discloses: bool
    """Whether the delta undoes an encryption. Then it holds in the clear what the base has sealed."""

    @property
    def methods(self) -> Mapping[str, int]:
        """How many members are made by each method."""
        return Counter(entry.method.value for entry in self.manifest.members)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeltaSquashRequest:
    """Which deltas to replace by one."""

    base: Path
    """The kit that the first is for."""
    deltas: tuple[Path, ...]
    """In the order they would be applied."""
    output: Path
    key: PrivateKey
    expectation: Expectation
    """What the base, every delta and every kit in between must be."""
    created_at: Timestamp
    recipe: bool = True
    """As in :class:`DeltaBuildRequest`; likewise ``transforms``, in addition to those that the deltas name."""
    transforms: tuple[Transform, ...] = ()
    keys: KeySource | None = field(default=None, repr=False)
    """From an opened keyring. Needed if the recipe of one of the deltas encrypts."""
    work_folder: Path | None = None
    """As in :class:`DeltaBuildRequest`."""
    environment: Environment = field(default_factory=Environment)


def build_delta(request: DeltaBuildRequest) -> DeltaBuildReport:
    """Build a delta.

    Raises:
        UsageError: The kits are generations of different bundles, or the same; or the output is at, in or around one.
        OutputError: The delta cannot be written, did not read back, or its name is taken.
        KitError: A kit is refused; nothing was written.
    """
    require_free(request.output)
    require_output_apart(request.output, {"base": request.base, "target": request.target}, kind="build")
    with open_build_job(request.output, request.work_folder) as job:
        return build_within(request, job.folder, job)


def build_within(request: DeltaBuildRequest, folder: Path, job: Job) -> DeltaBuildReport:
    """Build a delta in a folder of a job.

    Args:
        request: What to build.
        folder: In the job folder; it may be removed afterwards.
        job: Whose target is the output.

    Raises:
        KitError: As :func:`build_delta`.
    """
    paths = (request.target, request.base) if request.reverse else (request.base, request.target)
    environment = with_changes(request.environment, secrets=request.keys is not None)
    with ExitStack() as stack:
        workers = stack.enter_context(lazy_workers(environment))
        before = BaseSpool(stack.enter_context(BaseStores(folder)), environment.limits)
        kit = stack.enter_context(open_with_workers(paths[0], _without_workers(environment)))
        base = judge_kit(kit, request.expectation, tap=before).require(where=str(paths[0]))
        changed = TargetSpool(folder, base.survey, before, environment.limits)
        stack.callback(changed.close)
        kit = stack.enter_context(open_with_workers(paths[1], _without_workers(environment)))
        target = judge_kit(kit, request.expectation, tap=changed).require(where=str(paths[1]))
        _check_pair(base, target)
        found = _find_recipe(request, base, target, workers, folder)
        manifest, work = _write(request, _Sides(base, target, before, changed, workers), found, folder)
        digest, size = _reread(work, request, manifest)
        beside = {".sha256": checksum_line(digest, request.output.name)}
        switch = stage(copy_to_stage(work, job.stage if job.is_elsewhere else folder), job.place, beside, new=digest)
        perform(switch)
        return DeltaBuildReport(
            base=paths[0],
            target=paths[1],
            output=request.output,
            output_bytes=size,
            output_sha256=digest,
            manifest=manifest,
            manifest_sha256=Sha256.of(manifest.to_bytes()),
            signed_by=request.key.public.key_id,
            target_bytes=target.kit.reader.stored_bytes,
            no_recipe=found.absence,
            discloses=_discloses(base, target),
        )


def _without_workers(environment: Environment) -> Environment:
    # Both kits are only read here; the workers that encode a large target are started apart from these.
    return with_changes(environment, workers=1, executor=None)


def _check_pair(base: JudgedKit, target: JudgedKit) -> None:
    if base.manifest.bundle_id != target.manifest.bundle_id:
        raise UsageError(f"{base.what} and {target.what} are generations of different bundles")
    if base.manifest.sha256 == target.manifest.sha256:
        raise UsageError(f"both kits are {base.what}: there is no difference to encode")


def _find_recipe(
    request: DeltaBuildRequest, base: JudgedKit, target: JudgedKit, workers: Callable[[], Workers], folder: Path
) -> RecipeSearch:
    if not request.recipe:
        return RecipeSearch(absence="the recipe was turned off")
    if not steps_between(base, target):
        return RecipeSearch(absence=NO_STEPS)
    from kit.verbs.delta.recipe_search import find_recipe  # noqa: PLC0415  with all transforms, which no other delta needs

    return find_recipe(base, target, Ingredients(transforms=request.transforms, keys=request.keys), workers, folder)


def _discloses(base: JudgedKit, target: JudgedKit) -> bool:
    undone = [transform for step in steps_between(target, base) for transform in step.transforms]
    if not undone:
        return False
    from kit.migrations import Kind  # noqa: PLC0415  as above

    return any(transform.kind == Kind.ENCRYPTED_FIELD for transform in undone)


@dataclass(frozen=True, slots=True)
class _Sides:
    """The two kits, what was spooled of each, and the workers."""

    base: JudgedKit
    target: JudgedKit
    before: BaseSpool
    changed: TargetSpool
    workers: Callable[[], Workers]


def _write(request: DeltaBuildRequest, sides: _Sides, found: RecipeSearch, folder: Path) -> tuple[DeltaManifest, Path]:
    """Write the delta into ``folder``."""
    base, target = sides.base, sides.target
    # The delta holds parts of both kits, so nobody may read it who may not read both.
    mode = base.kit.reader.mode & target.kit.reader.mode
    with DeltaArchive(folder, request.created_at, signature=target.sidecars.signature, mode=mode) as archive:
        encoder = _make_encoder(sides, found, folder)
        entries: list[Entry] = []
        with target.kit.pipeline(Stage.COMPARE):
            for path, sha256, size, encoded in encoder.members():
                payload = archive.add(encoded.chunks) if encoded.chunks is not None else None
                entries.append(
                    Entry(
                        path=path,
                        sha256=sha256,
                        size=size,
                        method=encoded.method,
                        source=encoded.source,
                        payload=payload,
                    )
                )
        framing = encoder.framing()
        made = found.computed.frames_of(entries) if found.computed is not None else ()
        container = target.kit.reader.container.value, target.sidecars.archive
        whole = TargetArchive.of(*container, published=request.published, comes_back=framing is not None)
        layout = Layout(headers=tuple(sides.changed.headers), frames=(framing or ()) if whole.sha256 else ())
        layout_payload, signature = archive.close_front(encode_layout(layout, entries, made))
        manifest = DeltaManifest(
            bundle_id=target.manifest.bundle_id,
            base=End(generation=base.manifest.generation, manifest_sha256=base.manifest.sha256),
            target=End(generation=target.manifest.generation, manifest_sha256=target.manifest.sha256),
            archive=with_changes(whole, signature=signature),
            layout=layout_payload,
            members=tuple(entries),
            created_at=request.created_at,
            tool_name=TOOL,
            tool_version=VERSION,
            recipe=found.recipe,
        )
        return manifest, archive.sign(manifest, request.key)


def _make_encoder(sides: _Sides, found: RecipeSearch, folder: Path) -> DeltaEncoder:
    """Store what is needed of the base, and return the encoder of the target against it."""
    base, target = sides.base, sides.target
    # The site checks who signed the target before it makes any of it, so manifest and signature are carried in full.
    # They are not copied from the base either, whose signature may be another at the site.
    unbound = _find_unbound(base)
    bound = {digest for path, (digest, _) in base.survey.members.items() if path not in unbound}
    kept = {path for path in target.survey.kept if target.survey.members[path][0] not in bound}
    verbatim = frozenset({target.location.manifest, target.location.signature, *kept})
    links = _hard_links(target)
    sides.changed.relink(links.values())
    with base.kit.pipeline(Stage.COMPARE):  # shows progress; the work is done in this process
        sides.before.stores.fill(base.kit.reader, base.survey, target.survey, besides=found.members | verbatim)
    return DeltaEncoder(
        *(target.kit.reader, base.survey, target.survey),
        stores=sides.before.stores,
        spool=sides.changed,
        workers=sides.workers,
        folder=folder,
        verbatim=verbatim,
        unbound=unbound,
        links=frozenset(links),
        recipe=found.members,
    )


def _find_unbound(base: JudgedKit) -> frozenset[MemberPath]:
    """Return the members that the manifest does not fix: another kit with the same manifest may have others instead.

    These are its signature; of its lineage, the last statement and what earlier versions recorded without a digest; and
    the hard links of an unpacked kit, which are no files in an archive.
    """
    lineage = base.manifest.lineage
    bound = {MemberPath(entry.path) for entry in lineage}
    bound |= {MemberPath(entry.signature) for entry in lineage if entry.signature and entry.signature_sha256}
    bound |= {MemberPath(one.statement) for one, after in pairwise(lineage) if after.prior_statement_sha256}
    return frozenset(
        path
        for path in base.survey.members
        if path != base.location.manifest and base.location.is_outside(path) and path not in bound
    ) | frozenset(_hard_links(base))


def _hard_links(kit: JudgedKit) -> Mapping[MemberPath, Link]:
    """Return the files of an unpacked kit that are hard links; none for an archive, whose links are no files."""
    return files.find_unpacked_links(kit.manifest.links or (), kit.survey.members)


def _reread(work: Path, request: DeltaBuildRequest, manifest: DeltaManifest) -> tuple[Sha256, int]:
    """Read the finished delta from its file and check it as a site will, before it gets its name."""
    public = request.key.public
    with open_delta(work, request.environment.limits) as delta:
        check_signature(delta, Anchor.of_keys({public.key_id: public}))
        target = check_payloads(delta)
        check_target(delta, target, request.expectation.anchor)
        if delta.manifest != manifest:
            raise OutputError("the delta does not read back", where=str(work))
        return delta.reader.stored_digest(), delta.reader.stored_bytes or 0

"""``kit delta build``: from two verified kits to the signed delta between them.

Read and judge both → store what of the base is needed → say each member of the target by it → manifest, signature →
read the delta back → give it its name. Laws: the same kits, key, time and options give the same delta, whatever the
number of workers; memory does not grow with the kits; nothing but a folder beside the output is written before.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from kit.archive import (
    ArchiveDestination,
    Slot,
    Spool,
    add_bytes,
    checksum_line,
    encode_frame,
    perform,
    require_free,
    staged,
)
from kit.archive.journal_file import JournalFile
from kit.delta.layout import Layout, print_layout
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
    Recipe,
    TargetArchive,
)
from kit.engine.progress import Stage
from kit.engine.recipes import check, compute, recipe_of
from kit.engine.saying import BaseStores, Saying
from kit.errors import OutputError, UsageError
from kit.ops.deltas import Judged, check_payloads, check_signature, check_target, judged, opened_delta
from kit.ops.kits import Environment, opened
from kit.ops.obligations import Expectation
from kit.signing import PrivateKey, jws
from kit.trust import Anchor
from kit.values import Codec, MemberPath, Sha256, Timestamp
from kit.version import TOOL, VERSION

_MODE = 0o644


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
    """Let the site compute again what a transform makes of the base, where that is possible."""
    reverse: bool = False
    """Build the way back: from the target to the base."""
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
    """Of the target as stored: what would have to be sent without a delta."""

    @property
    def methods(self) -> Mapping[str, int]:
        """How many members are made by each method."""
        return Counter(entry.method.value for entry in self.manifest.members)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeltaSquashRequest:
    """Which deltas to make one of."""

    base: Path
    """The kit that the first is for."""
    deltas: tuple[Path, ...]
    """In the order they would be applied."""
    output: Path
    key: PrivateKey
    expectation: Expectation
    """What the base, every delta and every kit in between must be."""
    created_at: Timestamp
    environment: Environment = field(default_factory=Environment)


def build_delta(request: DeltaBuildRequest) -> DeltaBuildReport:
    """Build a delta.

    Raises:
        UsageError: The kits are generations of different bundles, or the same.
        OutputError: The delta cannot be written, did not read back, or its name is taken.
        KitError: A kit is refused; nothing was written.
    """
    require_free(request.output)
    paths = (request.target, request.base) if request.reverse else (request.base, request.target)
    environment = request.environment
    with ExitStack() as stack:
        base = judged(stack.enter_context(opened(paths[0], _alone(environment))), request.expectation)
        target = judged(stack.enter_context(opened(paths[1], environment)), request.expectation)
        _check_pair(base, target)
        parent = request.output.absolute().parent
        try:
            scratch = tempfile.TemporaryDirectory(prefix=f".{request.output.name}.", dir=parent)
        except OSError as error:
            raise OutputError(f"cannot write: {error.strerror}", where=str(request.output)) from error
        folder = Path(stack.enter_context(scratch))
        manifest, work = _write(request, base, target, folder, stack)
        digest, size = _reread(work, request, manifest)
        switch = staged(work, request.output, {".sha256": checksum_line(digest, request.output.name)}, new=digest)
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
        )


def _alone(environment: Environment) -> Environment:
    # The base is only read; the workers are for what is said of the target.
    return Environment(
        limits=environment.limits, allow_links=environment.allow_links, workers=1, progress=environment.progress
    )


def _check_pair(base: Judged, target: Judged) -> None:
    if base.manifest.bundle_id != target.manifest.bundle_id:
        raise UsageError(f"{base.what} and {target.what} are generations of different bundles")
    if base.manifest.sha256 == target.manifest.sha256:
        raise UsageError(f"both kits are {base.what}: there is nothing between them")


def _write(
    request: DeltaBuildRequest, base: Judged, target: Judged, folder: Path, stack: ExitStack
) -> tuple[DeltaManifest, Path]:
    """Write the delta into ``folder``: slots in the order of its archive, its manifest last."""
    spool = Spool(folder, JournalFile(folder / "journal"), checkpoint_bytes=1 << 62)
    destination = ArchiveDestination(folder, spool, codec=Codec.ZSTD)
    stack.callback(destination.release)
    manifest_slot = destination.open(MANIFEST, mode=_MODE)
    signature_slot = destination.open(SIGNATURE, mode=_MODE)
    layout_slot = destination.open(LAYOUT, mode=_MODE)
    sig = target.beside.signature
    sig_slot = destination.open(ARCHIVE_SIGNATURE, mode=_MODE) if sig is not None else None

    stores = stack.enter_context(BaseStores(folder))
    recipe, computed = _recipe(base, target, folder) if request.recipe else (None, frozenset())
    with base.kit.pipeline(Stage.COMPARE):  # for whoever watches; the work is done here
        headers = stores.fill(base.kit.reader, base.survey, target.survey, besides=computed)
    # The site can check who signed what it will get before it makes any of it.
    verbatim = frozenset({target.location.manifest, target.location.signature})
    saying = Saying(target.kit, base.survey, target.survey, stores, folder, verbatim=verbatim, recipe=computed)
    entries: list[Entry] = []
    with target.kit.pipeline(Stage.COMPARE):
        for path, sha256, size, said in saying.members():
            payload = None
            if said.chunks is not None:
                name = MemberPath(f"payload/{len(entries)}")
                payload = _add(destination, destination.open(name, mode=_MODE), name, said.chunks, request.created_at)
            entries.append(
                Entry(path=path, sha256=sha256, size=size, method=said.method, source=said.source, payload=payload)
            )
    framing = saying.framing()
    layout = print_layout(Layout(headers=saying.headers, frames=framing or ()), headers)
    layout_payload = _add(destination, layout_slot, LAYOUT, iter([layout]), request.created_at)
    signature = None
    if sig_slot is not None and sig is not None:
        signature = _add(destination, sig_slot, ARCHIVE_SIGNATURE, iter([sig]), request.created_at)
    manifest = DeltaManifest(
        bundle_id=target.manifest.bundle_id,
        base=End(generation=base.manifest.generation, manifest_sha256=base.manifest.sha256),
        target=End(generation=target.manifest.generation, manifest_sha256=target.manifest.sha256),
        archive=TargetArchive(
            container=target.kit.reader.container.value,
            sha256=target.beside.archive if framing is not None else None,
            signature=signature,
        ),
        layout=layout_payload,
        members=tuple(entries),
        created_at=request.created_at,
        tool_name=TOOL,
        tool_version=VERSION,
        recipe=recipe,
    )
    data = manifest.to_bytes()
    add_bytes(destination, manifest_slot, data, mtime=request.created_at)
    document = jws.sign(data, [request.key], typ=DELTA_TYPE)
    add_bytes(destination, signature_slot, document, mtime=request.created_at)
    return manifest, destination.assemble()


def _recipe(base: Judged, target: Judged, folder: Path) -> tuple[Recipe | None, frozenset[MemberPath]]:
    """Find what a transform makes of the base, by computing it; nothing where the target's last step was another."""
    lineage, statements = target.manifest.lineage, target.judgement.statements
    if not lineage or not statements or lineage[-1].manifest_sha256 != base.manifest.sha256:
        return None, frozenset()
    recipe = recipe_of(tuple(applied.name for applied in statements[-1].transforms))
    if recipe is None:
        return None, frozenset()
    digests, _ = compute(base.kit, check(recipe), folder, keep=frozenset())
    known = {digest for digest, _ in base.survey.members.values()}
    met = frozenset(
        path
        for path, digest in digests.items()
        if path in target.survey.members and target.survey.members[path][0] == digest and digest not in known
    )
    return (recipe, met) if met else (None, met)


def _add(
    destination: ArchiveDestination, slot: Slot, path: MemberPath, chunks: Iterator[bytes], at: Timestamp
) -> Payload:
    digest = hashlib.sha256()
    size = 0
    for chunk in chunks:
        digest.update(chunk)
        size += len(chunk)
        destination.add(slot, encode_frame(destination.codec, chunk))
    destination.close(slot, mtime=at)
    return Payload(path=path, sha256=Sha256(digest.hexdigest()), size=size)


def _reread(work: Path, request: DeltaBuildRequest, manifest: DeltaManifest) -> tuple[Sha256, int]:
    """Read the finished delta from its file and check it as a site will, before it gets its name."""
    public = request.key.public
    with opened_delta(work, request.environment.limits) as delta:
        check_signature(delta, Anchor.of_keys({public.key_id: public}))
        target = check_payloads(delta)
        check_target(delta, target, request.expectation.anchor)
        if delta.manifest != manifest:
            raise OutputError("the delta does not read back", where=str(work))
        return delta.reader.stored_digest(), delta.reader.stored_bytes or 0

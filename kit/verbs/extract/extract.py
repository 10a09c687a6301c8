"""``kit extract``: documents of a kit as files that stock tools read; what is encrypted stays so.

Kit read and judged as anybody would → read again, what is selected written into files without a name → each member is
what was judged, everything asked for was found → files read back → named, all together. Laws: every document is a slice
of the kit in the kit's order; a failed run leaves nothing; a tenant, collection or document that was asked for and is
not there is an error, since what is left would be taken for all of it.

A folder is laid out as ``mongodump`` does: ``<db>/<collection>.bson[.gz]``, the metadata of the kit next to it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from kit.archive import Member, decoded
from kit.engine.extracting import Selection, extract_run
from kit.engine.passing import read_again
from kit.engine.progress import Stage
from kit.engine.reading import Survey, member_runs
from kit.errors import ContentError, UsageError
from kit.ops.extracted_files import Destination, ExtractedFile, ExtractedFiles, LeftOut
from kit.ops.judged import SIGNATURES, judge_kit, require_trust
from kit.ops.judgement import Expectation, Judgement
from kit.ops.kits import Environment, OpenKit, opened, require_outside
from kit.signing import PublicKey
from kit.trust import Anchor
from kit.values import Codec, CollectionName, MemberPath, collection_member

_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractRequest:
    """What to take out of which kit, and where to."""

    kit: Path
    trusted: Mapping[str, PublicKey] | None
    """By key id; None takes from a kit whose signatures were not verified (``--insecure-unverified-base``)."""
    trust: Anchor | None = None
    """A policy goes before ``trusted``."""
    selection: Selection = field(default_factory=Selection)
    destination: Destination
    environment: Environment = field(default_factory=Environment)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractReport:
    """What was taken."""

    kit: Path
    verified: bool
    """Whether the kit is what trusted signers signed."""
    judgement: Judgement
    selection: Selection
    output: Path | None
    files: tuple[ExtractedFile, ...]
    unresolvable: tuple[LeftOut, ...]
    """Documents that are in no file because they cannot be read or written; the first ones."""
    left_out: int
    """How many they are."""


def extract(request: ExtractRequest) -> ExtractReport:
    """Write the documents that are selected.

    Raises:
        ContentError: A tenant, collection or document that was asked for is not in the kit, or a collection cannot be
            cut into documents, or a document that was asked for by ``_id`` cannot be written in the form.
        UsageError: Several collections are selected for one file.
        OutputError: The output cannot be written, or something is there.
        DigestError: The kit changed between two readings.
        KitError: The kit is refused.
    """
    if request.destination.path is not None:
        require_outside(request.kit, request.destination.path)
    with opened(request.kit, request.environment) as kit, ExitStack() as stack:
        found, judgement = _judged(kit, request)
        chosen = _chosen(found, request)
        writer = ExtractedFiles(request.selection, request.destination, stack)
        _take(kit, found, request.selection, writer)
        _require_met(request.selection, writer)
        files = writer.finished(chosen)
        return ExtractReport(
            kit=request.kit,
            verified=judgement.failure is None,
            judgement=judgement,
            selection=request.selection,
            output=request.destination.path,
            files=files,
            unresolvable=tuple(writer.unresolvable),
            left_out=writer.left_out,
        )


def _judged(kit: OpenKit, request: ExtractRequest) -> tuple[Survey, Judgement]:
    require_trust(request.trusted, request.trust)
    insecure = request.trust is None and request.trusted is None
    expectation = Expectation(trusted=request.trusted or {}, trust=request.trust, allow_unsigned_history=insecure)
    judged = judge_kit(kit, expectation).require(but=SIGNATURES if insecure else frozenset())
    return judged.survey, judged.judgement


def _chosen(found: Survey, request: ExtractRequest) -> tuple[CollectionName, ...]:
    """Return the collections that are selected, in the kit's order."""
    there = dict.fromkeys(member.name for member in found.collections.values())
    wanted = request.selection.collections
    missing = sorted(str(name) for name in (wanted or frozenset()) if name not in there)
    if missing:
        names = ", ".join(sorted(map(str, there))) or "none"
        raise ContentError(f"no collection {', '.join(missing)} in this kit", hint=f"collections of the kit: {names}")
    chosen = tuple(name for name in there if request.selection.has_collection(name))
    if not chosen:
        raise ContentError("this kit has no collections")
    if (request.destination.single or request.destination.path is None) and len(chosen) > 1:
        raise UsageError(
            f"one file holds one collection, and these are selected: {', '.join(map(str, chosen))}",
            hint="choose with --collection, or name a folder",
        )
    return chosen


def _take(kit: OpenKit, found: Survey, selection: Selection, writer: ExtractedFiles) -> None:
    """Read the kit again; the bytes taken are those that were judged."""
    reader = kit.reader
    with kit.pipeline(Stage.EXTRACT) as pipeline:

        def visit(member: Member, body: Iterator[bytes]) -> None:
            if member.path is None or not member.is_file:
                return
            collection, described = collection_member(member.path), _described(member.path)
            if collection is not None and selection.has_collection(collection.name):
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
                writer.describe(described[0], member.path, _metadata(kit, member, body, described[1]))

        read_again(reader, found, visit)


def _described(path: MemberPath) -> tuple[CollectionName, Codec] | None:
    """Read ``…/<db>/<collection>.metadata.json[.gz|.zst]``."""
    for codec in Codec:
        stem = path.text.removesuffix(f".metadata.json{codec.value}")
        if stem != path.text:
            collection = collection_member(MemberPath(f"{stem}.bson"))
            return (collection.name, codec) if collection is not None else None
    return None


def _metadata(kit: OpenKit, member: Member, body: Iterator[bytes], codec: Codec) -> bytes:
    limits, where = kit.reader.limits, str(member.path)
    whole = bytearray()
    for chunk in decoded(body, codec, limits, where=where):
        whole += chunk
        limits.check("json_bytes", len(whole), where=where)
    return bytes(whole)


def _require_met(selection: Selection, writer: ExtractedFiles) -> None:
    """Refuse where something that was asked for is not there."""
    tenants = sorted((selection.tenants or frozenset()) - writer.tenants)
    if tenants:
        raise ContentError(f"no documents of tenant {', '.join(map(repr, tenants))} in what is selected of this kit")
    absent = [name for name in selection.documents or () if name not in writer.met]
    if absent:
        shown = ", ".join(sorted(str(name.to_json()) for name in absent)[:_SHOWN])
        more = ", …" if len(absent) > _SHOWN else ""
        count = f"{len(absent):,} of {len(selection.documents or ()):,}"
        raise ContentError(
            f"{count} documents are not in what is selected: {shown}{more}",
            hint="leave them out, or choose other collections and tenants",
        )

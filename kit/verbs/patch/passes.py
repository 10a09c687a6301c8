"""The rewriting of a kit, in one pass or two: the same for a plan, a patch and a resumed one, except where it writes.

The first pass has the counts of every member. A second one is made where a handled member turned out not to change; it
differs only in carrying such members verbatim. Where the survey found that nothing is left to do, no pass is made.

Checked here on the counts of a pass, before anything is made of it: the stop rules of a migration that need the whole
kit, and that the selected tenants exist. A tenant that nobody has must never look like work that was done. Rules that a
single document can break (an envelope that is none, ``onDivergence``) end the pass itself.

Recorded here are the parts of a journal by which a resumed run is known to be the same one (schemas/journal.md): the
options that decide its bytes, and the kit that it read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from difflib import get_close_matches
from typing import Any, Protocol

from kit.archive.read.reader import Container
from kit.archive.write.tar import CountingDestination, Destination
from kit.engine.changes import report_settled
from kit.engine.other_members import Projecting, add_collections, adds_collections, edit_metadata
from kit.engine.progress import Stage
from kit.engine.rewrite import Request, Rewrite, find_untouched, rewrite, unchanged_members
from kit.errors import KitError, StoppedError, UsageError
from kit.migrations import Migration
from kit.transforms.protocol import Transform
from kit.transforms.registry import parameters_digest
from kit.values import MemberPath, Timestamp
from kit.values.extractor_release import list_extractors
from kit.verbs.jobs import backup_option, codec_of
from kit.verbs.patch import judging
from kit.verbs.patch.judging import Base
from kit.verbs.patch.request import Output, PatchRequest
from kit.verbs.verify.kits import OpenKit


class Passes(Protocol):
    """Where the passes of a run write to."""

    def first(self) -> Destination:
        """Make the destination of the first pass."""
        ...

    def second(self) -> Destination:
        """Make the destination of the second pass."""
        ...


class CountingPasses:
    """The passes of a plan."""

    def __init__(self, container: Container) -> None:
        """Count what would be written to a container of this kind."""
        self._codec = codec_of(container)
        self.latest = CountingDestination(codec=self._codec)

    def first(self) -> Destination:
        """See :class:`Passes`."""
        return self.latest

    def second(self) -> Destination:
        """See :class:`Passes`."""
        self.latest = CountingDestination(codec=self._codec)
        return self.latest


def transform_kit(
    kit: OpenKit, request: PatchRequest, transforms: tuple[Transform, ...], base: Base, passes: Passes
) -> Rewrite:
    """Rewrite the kit into the destination of ``passes``.

    Raises:
        KitError: As :func:`kit.engine.rewrite.rewrite`.
    """
    location = base.judgement.location
    defer = frozenset({location.manifest, location.signature}) if location is not None else frozenset[MemberPath]()
    # Where leaves are wanted, they are made of every handled member while it is rewritten.
    settled = base.survey.settled if base.leaves is None else {}
    handled = [path for path, one in base.survey.collections.items() if any(t.handles(one.name) for t in transforms)]
    if len(settled) == len(handled) and (found := find_untouched(kit.reader, base.survey, settled)) is not None:
        with kit.pipeline(Stage.REWRITE) as pipeline:
            report_settled(settled, pipeline)
        return found
    files = edit_metadata(kit.reader, base.survey, transforms)
    todo = Request(
        transforms=transforms,
        lookup=base.lookup,
        settled=settled,
        created_at=request.created_at,
        limit=request.most,
        defer=defer | files.keys(),
        leaves=base.leaves,
        importing=base.importing,
        batch_documents=request.environment.batch_documents,
    )
    destination = passes.first()
    with kit.pipeline(Stage.REWRITE) as pipeline:
        report_settled(settled, pipeline)
        done = rewrite(kit.reader, base.survey, destination, pipeline, todo)
    done.files = files
    adds = not done.refusals.total and adds_collections(base.survey, done, transforms)
    if base.leaves is not None and (done.makes_generation or adds or base.lacks_roots):
        done.roots = judging.roots(kit, base.leaves, base.survey, base.manifest, done)
    idle = unchanged_members(done) - settled.keys()
    if idle and (adds or done.makes_generation) and not done.refusals.total:
        destination = passes.second()
        with kit.pipeline(Stage.CARRY) as pipeline:
            todo = replace(todo, leave=idle, leaves=None, importing=None)
            again = rewrite(kit.reader, base.survey, destination, pipeline, todo)
        done = replace(done, deferred=again.deferred, members=done.members | again.members)
    if adds:
        with kit.pipeline(Stage.CARRY) as pipeline:
            projecting = Projecting(
                reader=kit.reader,
                survey=base.survey,
                done=done,
                destination=destination,
                pipeline=pipeline,
                created_at=request.created_at,
                leaves=base.leaves,
            )
            add_collections(projecting, transforms)
            if base.leaves is not None:
                done.roots |= {path: base.leaves.root(path, pipeline) for path in done.added}
    return done


def unimportable_error(request: PatchRequest, done: Rewrite) -> KitError | None:
    """Return the error of a patch that would sign what no server takes; None where it signs none, or that is permitted.

    A patch that changes nothing signs nothing.
    """
    if request.allow_unimportable or not done.makes_generation:
        return None
    return done.unimportable.refusals.error()


_SHOWN = 20


def require_tenants(migration: Migration, done: Rewrite) -> None:
    """Refuse a selection that names a tenant of whom the transforms found no document.

    Also where the other tenants that it names exist: the rest would be taken for the whole selection
    (docs/design/unknown-tenant.md).

    Raises:
        UsageError: One is missing; names it and the tenants that exist.
    """
    found = {tenant for _, tenant, _ in done.outcomes}
    absent = sorted((migration.tenants or frozenset()) - found)
    if not absent:
        return
    there = found - {""}  # which selects documents without a tenant, and has no name to show
    close = get_close_matches(absent[0], sorted(there), n=3)
    others = [*close, *sorted(there - set(close))]
    more = f" and {len(others) - _SHOWN:,} more" if len(others) > _SHOWN else ""
    names = _quoted(others) or "none"
    raise UsageError(
        f"no document that {' or '.join(t.name for t in migration.transforms)} looks at in this kit is of tenant "
        f"{_quoted(absent)}; nothing was changed",
        hint=f"tenants that there are: {names}{more}",
    )


def broken_rules(migration: Migration, done: Rewrite) -> tuple[StoppedError, ...]:
    """Return an error for every stop rule that ``done`` breaks; a live run ends with the first."""
    rules = migration.stop_rules
    counted = (
        (
            "mostDivergent",
            rules.most_divergent,
            "whose rawLinkset and linkset would disagree",
            sum(count for (_, _, counter), count in done.counts.items() if counter == "divergent"),
        ),
        (
            "mostUnresolvable",
            rules.most_unresolvable,
            "for which there is no source",
            sum(count for (_, _, outcome), count in done.outcomes.items() if outcome == "unresolvable"),
        ),
    )
    return tuple(
        StoppedError(
            f"{count:,} documents {what}, at most {most:,} may be: the stop rule {rule} of {migration.id}",
            hint="nothing was changed; kit plan names the documents",
        )
        for rule, most, what, count in counted
        if most is not None and count > most
    )


def _quoted(names: Sequence[str]) -> str:
    """Return the first of ``names`` in quotation marks; what cannot be printed is escaped where it is printed."""
    return ", ".join(f"'{name}'" for name in names[:_SHOWN])


def options_of(request: PatchRequest, migration: Migration, output: Output) -> dict[str, Any]:
    """Return all but the kit that decides the bytes and names of the result; a resumed run must have the same."""
    return {
        "migration": {"id": migration.id, "sha256": str(migration.sha256)},
        "transforms": [
            {
                "name": t.name,
                "version": t.version,
                "parameters": str(parameters_digest(t)),
                **list_extractors(t.extractors),
            }
            for t in migration.transforms
        ],
        "limit": request.limit,
        **({"limit-per-tenant": request.limit_per_tenant} if request.limit_per_tenant is not None else {}),
        "merkle": request.merkle,
        "createdAt": str(request.created_at),
        "in-place": output.path is None,
        "backup": backup_option(output.backup, keeps=output.path is None and output.keep_backup),
        "signing-key": [key.public.key_id for key in output.keys],
        "operator": output.operator,
        "environment": output.place,
        "rollback-note": migration.rollback.note or None,
        **_stated(output),
    }


def _stated(output: Output) -> dict[str, Any]:
    stated = output.stated
    if not stated.ticks:
        return {}
    ticks = [tick.to_json() for tick in stated.ticks]
    return {"checklist": {"stated": ticks, "record": stated.has_record, "dry-run": stated.has_dry_run}}


def identity_of(kit: OpenKit, base: Base, transforms: tuple[Transform, ...]) -> dict[str, Any]:
    """Return what identifies the kit that is read, and the data keys that its values are sealed with."""
    archive = base.sidecars.archive
    facts: dict[str, Any] = {
        "container": kit.reader.container.value,
        "manifest": base.manifest.sha256.hex,
        "dataKeys": sorted(key for t in transforms if t.keyed is not None for key in t.keyed.keys.names),
    }
    if base.snapshots is not None:
        facts["snapshots"] = base.snapshots.to_json()
    if archive is not None:
        return facts | {"size": kit.reader.stored_bytes, "sha256": archive.hex}
    return facts | {"members": {path.text: digest.hex for path, (digest, _) in sorted(base.survey.members.items())}}


def at_time(request: PatchRequest, time: Timestamp) -> PatchRequest:
    """Return the request with the time that the run began with."""
    keying = replace(request.keying, now=time) if request.keying is not None else None
    return replace(request, created_at=time, keying=keying)

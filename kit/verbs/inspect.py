"""``kit inspect``: what is in a kit and who claims to have signed it, before any decision to trust it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kit.archive.read.reader import Container, KitReader
from kit.engine.progress import Stage
from kit.engine.reading import Survey
from kit.engine.survey import survey
from kit.errors import KitError
from kit.manifest import Link, Manifest, files as closed_world, locate
from kit.signing import Claim, manifests
from kit.transforms.coverage import Tally
from kit.values import Allowed, CollectionFormat, CollectionMember, Limits, MemberPath, declarable_formats
from kit.verbs.verify.kits import Environment, is_kept, open_with_workers


@dataclass(frozen=True, slots=True, kw_only=True)
class KitFacts:
    """What a kit is, and who claims to have made it; nothing of it is verified."""

    kit: Path
    container: Container
    stored_bytes: int | None
    files: int
    file_bytes: int
    empty_folders: tuple[MemberPath, ...]
    """Folders without any file or link below them."""
    links: tuple[Link, ...]
    allowed: Allowed
    """What the user permits in a container."""
    permitted: tuple[tuple[str, str], ...]
    """What was accepted only because of that, as in :attr:`kit.verbs.verify.judgement.Judgement.permitted`."""
    manifest: Manifest | None
    claims: tuple[Claim, ...]
    """Who made it, as the manifest's signature claims."""
    problems: tuple[str, ...]
    """Why no manifest or no claim can be shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InspectReport(KitFacts):
    """What a kit contains; nothing in it is verified."""

    collections: tuple[tuple[CollectionMember, Tally], ...]
    undeclared: tuple[MemberPath, ...]
    """Members that are named as collections of JSON lines are, and that nothing declares as such."""
    dumps: tuple[MemberPath, ...]
    """Members that begin as ``mongodump --archive`` writes them; their collections are not read."""


def inspect(path: Path, environment: Environment | None = None) -> InspectReport:
    """Read a kit once and report what it contains.

    Raises:
        KitError: The container or a collection is malformed or not readable.
    """
    environment = environment or Environment()
    with open_with_workers(path, environment) as kit, kit.pipeline(Stage.SURVEY) as pipeline:
        found = survey(kit.reader, pipeline, keep=is_kept, count=lambda _: True)
        return InspectReport(
            **facts(kit.reader, found),
            collections=tuple((found.collections[path], tally) for path, tally in found.tallies.items()),
            dumps=tuple(found.dumps),
            undeclared=tuple(
                path
                for path in found.members
                if path not in found.collections and declarable_formats(path) == {CollectionFormat.NDJSON}
            ),
        )


def facts(reader: KitReader, found: Survey) -> dict[str, Any]:
    """Return the fields of :class:`KitFacts` for a kit that was read once."""
    problems: list[str] = []
    manifest, claims = _claims(found, reader.limits, problems)
    return {
        "kit": reader.path,
        "container": reader.container,
        "stored_bytes": reader.stored_bytes,
        "files": len(found.members),
        "file_bytes": sum(size for _, size in found.members.values()),
        "empty_folders": closed_world.extra_folders(found.folders, found.members, found.links),
        "links": tuple(sorted(found.links.values())),
        "allowed": found.allowed,
        "permitted": found.permitted_things(),
        "manifest": manifest,
        "claims": claims,
        "problems": tuple(problems),
    }


def _claims(found: Survey, limits: Limits, problems: list[str]) -> tuple[Manifest | None, tuple[Claim, ...]]:
    manifest: Manifest | None = None
    try:
        location = locate(found.members)
        manifest = Manifest.parse(found.kept[location.manifest], limits=limits, where=str(location.manifest))
        document = found.kept.get(location.signature)
        if document is None:
            problems.append(f"{location.signature}: the manifest is not signed")
            return manifest, ()
        return manifest, manifests.claims(document)
    except KitError as error:
        problems.append(str(error))
        return manifest, ()

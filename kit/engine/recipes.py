"""Recipes: members of a target that a transform makes of its base, so that a delta need not hold them.

A transform is a function of the base, its version and its parameters. Where the builder has seen that it gives the very
bytes, the delta only says which transform; the site computes it again, and the digests of the members prove it. Laws: a
program whose transform has another version or other parameters refuses before it writes; a recipe that the builder has
not computed and compared is never given.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from kit.archive import Frame, Member, Slot
from kit.archive.journal import Note
from kit.archive.scratch import ScratchFile
from kit.archive.spool import Finished
from kit.delta.model import Recipe
from kit.engine.lookup import LookupWriter
from kit.engine.pipeline import Pipeline
from kit.engine.rewrite import Request, rewrite
from kit.engine.saying import Work
from kit.engine.survey import survey
from kit.engine.work import close_lookups
from kit.errors import StoppedError
from kit.transforms.protocol import Transform
from kit.transforms.raw_linkset import RawLinkset
from kit.values import Codec, MemberPath, Sha256, Timestamp, strict_json

RAW_LINKSET = "raw-linkset"


def recipe_of(names: tuple[str, ...]) -> Recipe | None:
    """Give the recipe of a step that applied the transforms called ``names``; None where there is none.

    Only what needs nothing but the base is a recipe: ``raw-linkset`` with the parameters it has by default.
    """
    return _described(RawLinkset()) if names == (RAW_LINKSET,) else None


def check(recipe: Recipe) -> Transform:
    """Give the transform of a recipe.

    Raises:
        StoppedError: This program has another; says in what.
    """
    transform = RawLinkset()
    own = _described(transform)
    if recipe != own:
        met = f"{recipe.transform} version {recipe.version} with parameters {recipe.parameters_sha256}"
        raise StoppedError(
            f"the delta is a recipe for {met}; this program has {own.transform} version {own.version} with parameters"
            f" {own.parameters_sha256}, which would compute something else",
            hint="apply it with the program that built it, or get a delta built with --no-recipe",
        )
    return transform


def _described(transform: Transform) -> Recipe:
    return Recipe(
        transform=transform.name,
        version=str(transform.version),
        parameters_sha256=Sha256.of(strict_json.canonical(dict(transform.parameters()))),
    )


def compute(
    kit: Work, transform: Transform, folder: Path, *, keep: frozenset[MemberPath]
) -> tuple[dict[MemberPath, Sha256], dict[MemberPath, ScratchFile]]:
    """Let a transform go over a base.

    Args:
        kit: The base.
        transform: What a recipe names.
        folder: Where scratch files go.
        keep: Members whose bytes are wanted.

    Returns:
        The digest of each member that changed, and the bytes of those to keep, in files that the caller closes.

    Raises:
        KitError: A document is malformed, or the disk is full.
    """
    path = folder / "recipe-lookup"
    kept = _Kept(folder, keep)
    try:
        with Pipeline(kit.executor, budget=kit.budget) as pipeline, LookupWriter(path) as lookup:
            found = survey(
                kit.reader,
                pipeline,
                keep=lambda _: False,
                count=lambda _: False,
                transforms=(transform,),
                lookup=lookup,
            )
            lookup.finish()
        with Pipeline(kit.executor, budget=kit.budget) as pipeline:
            request = Request(transforms=(transform,), lookup=path, created_at=Timestamp(0))
            done = rewrite(kit.reader, found, kept, pipeline, request)
    except BaseException:
        kept.release()
        raise
    finally:
        close_lookups()
    for file in kept.files.values():
        file.flush()
    digests = {path: change.sha256 for path, change in done.members.items() if change.changed and change.sha256}
    return digests, kept.files


class _Kept:
    """A :class:`kit.archive.destination.Destination` that keeps what is wanted and lets all else go."""

    def __init__(self, folder: Path, keep: frozenset[MemberPath]) -> None:
        self.codec = Codec.NONE
        self.files = {path: ScratchFile(folder / f"recipe-{number}") for number, path in enumerate(sorted(keep))}

    def carry(self, member: Member, body: Iterator[bytes]) -> tuple[Slot, Iterator[bytes]]:  # noqa: ARG002
        return Slot(path=member.path, mode=member.mode, carried=member), iter(())

    def open(self, path: MemberPath, *, mode: int) -> Slot:
        return Slot(path=path, mode=mode)

    def finished(self) -> Finished | None:
        return None

    def add(self, slot: Slot, frame: Frame, note: Note | None = None) -> None:  # noqa: ARG002
        if slot.path is not None and slot.path in self.files:
            self.files[slot.path].append(frame.encoded)

    def close(self, slot: Slot, *, mtime: Timestamp) -> None:
        """Nothing follows a body."""

    def release(self) -> None:
        for file in self.files.values():
            file.close()

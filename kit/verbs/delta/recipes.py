"""Recipes: members of a target that transforms make of its base, so that a delta need not hold them.

A transform is a function of the base, its version, its parameters and, where it encrypts, of data keys. Where the
builder has seen that a chain of them gives the very bytes, the delta only says which; the site computes it again, and
the digests of the members prove it. Laws: a program that has not just these transforms, and a site that has not just
these keys, refuses before it writes; a recipe that the builder has not computed and compared is never given.

The data keys of a recipe: which ones an encryption seals with, and whether a site has just these.

A synthetic envelope is a function of value, place and data key. So the recipe fixes the keys, by a digest over what
names and commits to each of them; whoever has others is told before anything is made. Nothing here makes a key or
counts its uses: what is sealed again is, byte for byte, what was sealed and counted when the target was made.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kit.archive.frames import Frame
from kit.archive.read.proven import Body
from kit.archive.read.tar import Member
from kit.archive.write.tar import Slot
from kit.delta.model import Entry, Method
from kit.delta.recipe import MAX_NAMES, Recipe, RecipeKeys, RecipeStep
from kit.encryption import KeySource, Needs, Scope
from kit.encryption.keys import DataKey
from kit.engine.lookup import LookupWriter, close_lookups
from kit.engine.pipeline import Pipeline
from kit.engine.rewrite import Request, rewrite
from kit.engine.survey import survey
from kit.errors import ArchiveError, KeyUnusableError, KitError, StoppedError
from kit.output.scratch import ScratchFile
from kit.transforms import registry
from kit.transforms.protocol import Transform
from kit.values import Codec, MemberPath, Sha256, Timestamp
from kit.verbs.delta.encode import Work

_HINT = "bring the keyring that the target was encrypted with, or a copy of it, and name it with --keyring"
_SHOWN = 3


def keys_of(needs: Mapping[int, Needs], keys: KeySource) -> RecipeKeys:
    """Tell which data keys seal what a reading of the base found.

    Raises:
        KeyUnusableError: An owner has none, or it is locked; names the first owners.
        KitError: A document of the base cannot be judged.
    """
    failure = next((one.failure for one in needs.values() if one.failure is not None), None)
    if failure is not None:
        raise failure
    known = keys.key_set()
    scopes = sorted({scope for one in needs.values() for scope in one.values})
    missing = [scope for scope in scopes if scope not in known.sealing]
    if missing:
        raise KeyUnusableError(f"the keyring has no data key for {_listed(missing)}", hint=_HINT)
    return _described(known.sealing_key(scope) for scope in scopes)


def check_names(due: RecipeKeys, keys: KeySource | None) -> None:
    """See, without a kit, that a keyring can have the keys of a recipe.

    Raises:
        KeyUnusableError: There is none; or keys that the recipe names are missing, locked, or others of that name.
    """
    if keys is None:
        raise KeyUnusableError(
            f"the delta is a recipe that seals with {due.count:,} data keys, and no keyring is given", hint=_HINT
        )
    if due.names is None:
        return
    known = keys.key_set()
    missing = [name for name in due.names if name not in known.scopes]
    if missing:
        raise KeyUnusableError(f"the keyring does not have the data key {_listed(missing)}", hint=_HINT)
    check_same(due, _described(known.opening_key(name) for name in due.names))


def check_same(due: RecipeKeys, met: RecipeKeys) -> None:
    """Refuse other keys than those of the recipe.

    Raises:
        KeyUnusableError: They are others.
    """
    if due != met:
        names = sorted(set(due.names or ()) - set(met.names or ()))
        told = f"; it seals with {_listed(names)}, which is not active here" if names else ""
        raise KeyUnusableError(
            f"the keyring would seal with {met.count:,} data keys that are not the {due.count:,} of the recipe{told}",
            hint=_HINT,
        )


def _described(keys: Iterable[DataKey]) -> RecipeKeys:
    digest, names = hashlib.sha256(), []
    # The commitment fixes the key, its name and what it is for; the master key's version stands in every envelope.
    for key in sorted(keys, key=lambda one: one.dek_id):
        digest.update(f"{key.dek_id} {key.mek_version} {key.commitment}\n".encode())
        names.append(key.dek_id)
    return RecipeKeys(
        count=len(names),
        sha256=Sha256(digest.hexdigest()),
        names=tuple(names) if len(names) <= MAX_NAMES else None,
    )


def _listed(names: Sequence[Scope] | Sequence[str]) -> str:
    shown = ", ".join(map(str, names[:_SHOWN]))
    return f"{shown}, and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else shown


_OTHERWISE = "apply it with the program that built it, or get a delta built with --no-recipe"


def step_of(transform: Transform) -> RecipeStep:
    """Describe a transform as a recipe does."""
    return RecipeStep(name=transform.name, version=str(transform.version), parameters=dict(transform.parameters()))


def check(recipe: Recipe) -> tuple[Transform, ...]:
    """Give the transforms of a recipe, still without keys.

    Raises:
        StoppedError: This program has others; says in what.
        ArchiveError: It encrypts and names no keys, or the other way round.
    """
    transforms = tuple(map(_transform, recipe.steps))
    if encrypts(transforms) != (recipe.keys is not None):
        raise ArchiveError("the recipe of the delta encrypts without naming keys, or the other way round")
    return transforms


def check_keys(recipe: Recipe, keys: KeySource | None) -> None:
    """See, without a kit, that the site can have what a recipe needs.

    Raises:
        KeyUnusableError: It cannot.
    """
    if recipe.keys is not None:
        check_names(recipe.keys, keys)


def encrypts(transforms: Sequence[Transform]) -> bool:
    """Whether a chain needs keys."""
    return any(transform.keyed is not None for transform in transforms)


def _transform(step: RecipeStep) -> Transform:
    """Make the transform of a step; it must describe itself as the step does."""
    kind = registry.find(step.name)
    if kind is None:
        known = " and ".join(sorted(registry.names()))
        raise StoppedError(f"the delta is a recipe for {step}; this program makes {known} of a recipe", hint=_OTHERWISE)
    try:
        own = kind.of_parameters(step.parameters)
    except (KitError, LookupError, TypeError, ValueError, AttributeError) as error:
        told = f"the delta is a recipe for {step}, whose parameters mean nothing here"
        raise StoppedError(told, hint=_OTHERWISE) from error
    met = step_of(own)
    if (met.version, met.parameters_sha256) != (step.version, step.parameters_sha256):
        names = sorted(met.parameters.keys() | step.parameters.keys())
        others = [name for name in names if met.parameters.get(name) != step.parameters.get(name)]
        told = f" (they differ in {', '.join(others)})" if others else ""
        raise StoppedError(
            f"the delta is a recipe for {step}; this program has {met}{told}, which would compute something else",
            hint=_OTHERWISE,
        )
    return own


@dataclass(frozen=True, slots=True, kw_only=True)
class Computed:
    """What transforms make of a base."""

    digests: Mapping[MemberPath, Sha256]
    """Of each member that changed."""
    files: Mapping[MemberPath, ScratchFile]
    """The bytes of those to keep; the caller closes them."""
    keys: RecipeKeys | None
    """That were sealed with; None where nothing is encrypted."""
    frames: Mapping[MemberPath, Sequence[int]]
    """Of each member, the bytes of the runs that it was made in: a patch makes a frame of its container of each."""

    def frames_of(self, members: Iterable[Entry]) -> list[int]:
        """Give the frames of those of ``members`` that a recipe makes, joined in their order."""
        return [size for entry in members if entry.method is Method.RECIPE for size in self.frames.get(entry.path, ())]


def compute(
    kit: Work,
    transforms: tuple[Transform, ...],
    folder: Path,
    *,
    keep: frozenset[MemberPath] = frozenset(),
    keys: KeySource | None = None,
    due: RecipeKeys | None = None,
) -> Computed:
    """Let transforms go over a base.

    Args:
        kit: The base.
        transforms: What a recipe names.
        folder: Where scratch files go.
        keep: Members whose bytes are wanted.
        keys: Of the site's keyring, where something is encrypted.
        due: Which of them a recipe says, where there is one.

    Raises:
        KeyUnusableError: A key is missing, locked, or is not the one that is due.
        KitError: A document is malformed, or the disk is full.
    """
    handed: KeySource | None = None
    met: RecipeKeys | None = None
    kept = _Kept(folder, keep)
    try:
        with Pipeline(kit.executor, budget=kit.budget) as pipeline, LookupWriter(folder / "recipe-lookup") as lookup:
            found = survey(
                kit.reader,
                pipeline,
                keep=lambda _: False,
                count=lambda _: False,
                transforms=transforms,
                lookup=lookup,
            )
            lookup.finish()
        if encrypts(transforms):
            met = _keys_met(found.needs, keys, due)
            handed = kit.executor.hand_out(_given(keys))
        chain = tuple(_with_keys(transform, handed) for transform in transforms)
        with Pipeline(kit.executor, budget=kit.budget) as pipeline:
            # What comes out is compared with the digests of a signed manifest.
            request = Request(transforms=chain, lookup=lookup.path, created_at=Timestamp(0), prove=False)
            done = rewrite(kit.reader, found, kept, pipeline, request)
    except BaseException:
        kept.release()
        raise
    finally:
        close_lookups()
    for file in kept.files.values():
        file.flush()
    digests = {path: change.sha256 for path, change in done.members.items() if change.changed and change.sha256}
    return Computed(digests=digests, files=kept.files, keys=met, frames=kept.frames)


def _given(keys: KeySource | None) -> KeySource:
    if keys is None:
        raise KeyUnusableError("the recipe encrypts, and no keyring is given", hint="name it with --keyring")
    return keys


def _keys_met(needs: Mapping[int, Needs], keys: KeySource | None, due: RecipeKeys | None) -> RecipeKeys:
    met = keys_of(needs, _given(keys))
    if due is not None:
        check_same(due, met)
    return met


def _with_keys(transform: Transform, keys: KeySource | None) -> Transform:
    return transform if keys is None or transform.keyed is None else transform.keyed.with_keys(keys)


class _Kept:
    """A :class:`kit.archive.write.tar.Destination` that keeps what is wanted and lets all else go."""

    def __init__(self, folder: Path, keep: frozenset[MemberPath]) -> None:
        self.codec = Codec.NONE
        self.proves = False
        self.files = {path: ScratchFile(folder / f"recipe-{number}") for number, path in enumerate(sorted(keep))}
        self.frames: dict[MemberPath, list[int]] = {}

    def carry(self, member: Member, body: Iterator[bytes]) -> tuple[Slot, Iterator[bytes]]:  # noqa: ARG002
        return Slot(path=member.path, mode=member.mode, carried=member), iter(())

    def copy(self, bodies: Sequence[Body] = ()) -> Slot:  # noqa: ARG002
        return Slot(path=None, mode=0)

    def open(self, path: MemberPath, *, mode: int) -> Slot:
        return Slot(path=path, mode=mode)

    def next_piece(self) -> bytes:
        return b""

    def add(self, slot: Slot, frame: Frame, *, piece: bool = False) -> None:  # noqa: ARG002
        if slot.path is None:
            return
        self.frames.setdefault(slot.path, []).append(frame.length)
        if slot.path in self.files:
            self.files[slot.path].append(frame.encoded)

    def close(self, slot: Slot, *, mtime: Timestamp) -> None:
        """Nothing follows a body."""

    def release(self) -> None:
        for file in self.files.values():
            file.close()

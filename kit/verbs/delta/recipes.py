"""Recipes: members of a target that transforms compute from its base, so that a delta need not hold them.

A transform is a function of the base, its version, its parameters and, if it encrypts, of data keys. If the builder has
computed that a chain of transforms gives the same bytes, the delta only names the chain. The site computes it again,
and the digests of the members prove the result.

A synthetic envelope is a function of value, place and data key. So the recipe fixes the data keys, by a digest over the
name and the commitment of each; a site with other keys is refused before anything is made. No key is made here and no
use is counted, since the site seals again, byte for byte, what was sealed and counted when the target was made.

Laws: a program without exactly these transforms, and a site without exactly these keys, refuses before it writes; a
recipe that the builder has not computed and compared is never written into a delta.
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
from kit.errors import ArchiveError, KeyUnusableError, KitError, StoppedError, WrongBaseError
from kit.output.scratch import ScratchFile
from kit.transforms import registry
from kit.transforms.protocol import Transform
from kit.values import Codec, MemberPath, Sha256, Timestamp
from kit.values.extractor_release import ExtractorRelease
from kit.verbs.delta.encode import Work

_HINT = "name the keyring that the target was encrypted with, or a copy of it: --keyring"
_SHOWN = 3


def find_keys(needs: Mapping[int, Needs], keys: KeySource) -> RecipeKeys:
    """Return the data keys that seal the values that a survey of the base found.

    Raises:
        KeyUnusableError: An owner has no data key, or it is locked; names the first owners.
        KitError: A document of the base cannot be judged.
    """
    failure = next((one.failure for one in needs.values() if one.failure is not None), None)
    if failure is not None:
        raise failure
    known = keys.key_set()
    scopes = sorted({scope for one in needs.values() for scope in one.values})
    missing = [scope for scope in scopes if scope not in known.sealing]
    if missing:
        raise KeyUnusableError(f"the keyring has no data key for {_list_names(missing)}", hint=_HINT)
    return _describe(known.sealing_key(scope) for scope in scopes)


def check_named_keys(due: RecipeKeys, keys: KeySource | None) -> None:
    """Check, without a kit, that a keyring can have the keys of a recipe.

    Raises:
        KeyUnusableError: There is no keyring; or keys that the recipe names are missing, locked, or other keys.
    """
    if keys is None:
        raise KeyUnusableError(
            f"the delta has a recipe that seals with {due.count:,} data keys, and no keyring is given", hint=_HINT
        )
    if due.names is None:
        return
    known = keys.key_set()
    missing = [name for name in due.names if name not in known.scopes]
    if missing:
        raise KeyUnusableError(f"the keyring does not have the data key {_list_names(missing)}", hint=_HINT)
    check_same_keys(due, _describe(known.opening_key(name) for name in due.names))


def check_same_keys(due: RecipeKeys, actual: RecipeKeys) -> None:
    """Check that keys are those of the recipe.

    Raises:
        KeyUnusableError: They are not.
    """
    if due != actual:
        names = sorted(set(due.names or ()) - set(actual.names or ()))
        detail = f"; the recipe seals with {_list_names(names)}, which is not active here" if names else ""
        raise KeyUnusableError(
            f"the keyring would seal with {actual.count:,} data keys that are not the {due.count:,} of the"
            f" recipe{detail}",
            hint=_HINT,
        )


def _describe(keys: Iterable[DataKey]) -> RecipeKeys:
    digest, names = hashlib.sha256(), []
    # The commitment fixes the key, its name and its purpose; the master key's version is in every envelope.
    for key in sorted(keys, key=lambda one: one.dek_id):
        digest.update(f"{key.dek_id} {key.mek_version} {key.commitment}\n".encode())
        names.append(key.dek_id)
    return RecipeKeys(
        count=len(names),
        sha256=Sha256(digest.hexdigest()),
        names=tuple(names) if len(names) <= MAX_NAMES else None,
    )


def _list_names(names: Sequence[Scope] | Sequence[str]) -> str:
    shown = ", ".join(map(str, names[:_SHOWN]))
    return f"{shown}, and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else shown


_HINT_OF_TRANSFORMS = "apply it with the version that built it, or ask for a delta built with --no-recipe"


def step_of(transform: Transform) -> RecipeStep:
    """Return the step of a recipe that describes a transform."""
    return RecipeStep(
        name=transform.name,
        version=str(transform.version),
        parameters=dict(transform.parameters()),
        extractors=transform.extractors,
    )


def check_recipe(recipe: Recipe) -> tuple[Transform, ...]:
    """Return the transforms of a recipe, still without keys.

    Raises:
        StoppedError: This program has other transforms; names the difference.
        WrongBaseError: It has other extractors of other distributions.
        ArchiveError: The recipe encrypts without naming keys, or names keys without encrypting.
    """
    transforms = tuple(map(_make_transform, recipe.steps))
    if encrypts(transforms) != (recipe.keys is not None):
        raise ArchiveError("the recipe of the delta encrypts without naming keys, or names keys without encrypting")
    return transforms


def check_keys(recipe: Recipe, keys: KeySource | None) -> None:
    """Check, without a kit, that the site can have the keys of a recipe.

    Raises:
        KeyUnusableError: It cannot.
    """
    if recipe.keys is not None:
        check_named_keys(recipe.keys, keys)


def encrypts(transforms: Sequence[Transform]) -> bool:
    """Return whether one of the transforms needs keys."""
    return any(transform.keyed is not None for transform in transforms)


def _make_transform(step: RecipeStep) -> Transform:
    """Return the transform of a step, and check that it describes itself as the step does."""
    kind = registry.find(step.name)
    if kind is None:
        known = " and ".join(sorted(registry.names()))
        raise StoppedError(f"the recipe needs {step}; this program has {known}", hint=_HINT_OF_TRANSFORMS)
    try:
        own = kind.of_parameters(step.parameters)
    except (KitError, LookupError, TypeError, ValueError, AttributeError) as error:
        message = f"the recipe needs {step}, whose parameters this program does not know"
        raise StoppedError(message, hint=_HINT_OF_TRANSFORMS) from error
    actual = step_of(own)
    if actual.extractors != step.extractors:
        raise _other_extractors(step, actual)
    if (actual.version, actual.parameters_sha256) != (step.version, step.parameters_sha256):
        names = sorted(actual.parameters.keys() | step.parameters.keys())
        others = [name for name in names if actual.parameters.get(name) != step.parameters.get(name)]
        detail = f" (they differ in {', '.join(others)})" if others else ""
        raise StoppedError(
            f"the recipe needs {step}; this program has {actual}{detail}, which would make other bytes",
            hint=_HINT_OF_TRANSFORMS,
        )
    return own


def _other_extractors(step: RecipeStep, actual: RecipeStep) -> WrongBaseError:
    """Return the error of a site whose extractors would read documents differently."""
    missing = [one for one in step.extractors if one not in actual.extractors]
    to_install = " ".join(f"{one.distribution}=={one.version}" for one in missing)
    to_remove = " ".join(one.distribution for one in actual.extractors if one not in step.extractors)
    hint = f"pip install {to_install}" if missing else f"pip uninstall {to_remove}"
    return WrongBaseError(
        f"the recipe needs {step.name} with {list_names(step.extractors)}; this program has"
        f" {list_names(actual.extractors)}, which would read documents differently",
        hint=f"{hint}; or get a delta built with --no-recipe",
    )


def list_names(extractors: Sequence[ExtractorRelease]) -> str:
    """Return extractors as a message names them."""
    return f"the added extractors {_list_names(list(map(str, extractors)))}" if extractors else "no added extractors"


@dataclass(frozen=True, slots=True, kw_only=True)
class ComputedMembers:
    """The members that transforms make from a base."""

    digests: Mapping[MemberPath, Sha256]
    """Of each member that changed."""
    files: Mapping[MemberPath, ScratchFile]
    """Bytes of the members to keep; the caller closes the files."""
    keys: RecipeKeys | None
    """The data keys that sealed them; None if nothing is encrypted."""
    frames: Mapping[MemberPath, Sequence[int]]
    """Of each member, the sizes of its runs: a patch makes one frame of its container of each."""

    def frames_of(self, members: Iterable[Entry]) -> list[int]:
        """Return the sizes of the frames of the members that a recipe makes, in the order of ``members``."""
        return [size for entry in members if entry.method is Method.RECIPE for size in self.frames.get(entry.path, ())]


def compute(
    kit: Work,
    transforms: tuple[Transform, ...],
    folder: Path,
    *,
    keep: frozenset[MemberPath] = frozenset(),
    keys: KeySource | None = None,
    due: RecipeKeys | None = None,
) -> ComputedMembers:
    """Apply transforms to a base, and return what they make.

    Args:
        kit: The base.
        transforms: The transforms of a recipe.
        folder: Where scratch files go.
        keep: Members whose bytes to keep.
        keys: From the site's keyring, if something is encrypted.
        due: The keys that the recipe states, if there is a recipe.

    Raises:
        KeyUnusableError: A key is missing, locked, or not the one that the recipe states.
        KitError: A document is malformed, or the disk is full.
    """
    handed: KeySource | None = None
    sealing: RecipeKeys | None = None
    kept = _KeptMembers(folder, keep)
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
            sealing = _check_found_keys(found.needs, keys, due)
            handed = kit.executor.hand_out(_require_keys(keys))
        chain = tuple(_with_keys(transform, handed) for transform in transforms)
        with Pipeline(kit.executor, budget=kit.budget) as pipeline:
            # The result is compared with the digests of a signed manifest.
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
    return ComputedMembers(digests=digests, files=kept.files, keys=sealing, frames=kept.frames)


def _require_keys(keys: KeySource | None) -> KeySource:
    if keys is None:
        raise KeyUnusableError("the recipe encrypts, and no keyring is given", hint=_HINT)
    return keys


def _check_found_keys(needs: Mapping[int, Needs], keys: KeySource | None, due: RecipeKeys | None) -> RecipeKeys:
    actual = find_keys(needs, _require_keys(keys))
    if due is not None:
        check_same_keys(due, actual)
    return actual


def _with_keys(transform: Transform, keys: KeySource | None) -> Transform:
    return transform if keys is None or transform.keyed is None else transform.keyed.with_keys(keys)


class _KeptMembers:
    """A :class:`kit.archive.write.tar.Destination` that keeps the given members and drops all others."""

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

    def commit(self) -> None:
        """See :class:`Destination`."""

    def close(self, slot: Slot, *, mtime: Timestamp) -> None:
        """Nothing follows a body."""

    def release(self) -> None:
        for file in self.files.values():
            file.close()

"""What a patch is asked for and what it reports: the values that plan, patch and resume share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kit.archive import Container
from kit.engine.rewrite import Rewrite
from kit.errors import KitError, StoppedError, UsageError
from kit.migrations import Migration
from kit.ops.generation import Generation
from kit.ops.judgement import Installed, ignore
from kit.ops.keying import Keying
from kit.ops.kits import Environment
from kit.ops.obligations import Judgement
from kit.signing import PrivateKey, PublicKey
from kit.transforms.protocol import Transform
from kit.trust import Anchor
from kit.values import Sha256, Timestamp


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchRequest:
    """What to do to which kit, and how; the same for plan and patch."""

    kit: Path
    transforms: tuple[Transform, ...] = ()
    """Shorthand for the migration that :meth:`kit.migrations.Migration.of` makes of them."""
    migration: Migration | None = None
    trusted: Mapping[str, PublicKey] | None
    """By key id; None accepts a base whose signatures were not verified (``--insecure-unverified-base``)."""
    created_at: Timestamp
    created_now: bool = False
    """The time is the clock's, not the user's: a resumed run keeps the one it began with."""
    now: Timestamp | None = None
    """What time it is, where ``created_at`` is held to that: a time to come would lock out the kit's next patch."""
    trust: Anchor | None = None
    """A policy goes before ``trusted``; then the result must be valid under it too."""
    keying: Keying | None = None
    """Needed by encrypt-fields."""
    limit: int | None = None
    merkle: bool | None = None
    """Whether the new manifest has a Merkle root of every collection; None: exactly if the base has some."""
    environment: Environment = field(default_factory=Environment)

    def described(self, note: str | None = None) -> Migration:
        """Give the migration that is run: the one way in which plan, patch and resume know what to do.

        Args:
            note: How to go back, where that is said of this run and not by the migration.

        Raises:
            UsageError: Neither migration nor transforms are given, or both; or the transforms go in no migration.
        """
        if (self.migration is None) == (not self.transforms):
            raise UsageError("say what to do: either by a migration or by transforms")
        return (self.migration or Migration.of(self.transforms)).with_note(note)


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """Where the result goes and who signs it."""

    path: Path | None
    """None to patch in place."""
    work_folder: Path | None = None
    """Where to work if not beside the result."""
    key: PrivateKey
    cosigners: tuple[PrivateKey, ...] = ()
    """Who signs besides, where a policy asks for more than one; the ``.sig`` of the archive is by ``key`` alone."""
    keep_backup: bool = True
    operator: str | None = None
    place: str | None = None
    """The environment it is done in, as the operator names it."""
    rollback_note: str | None = None
    """How to go back, in place of what the migration says; one that can change what readers see needs it."""
    installed: Installed = ignore
    """Of a kit that is patched in place."""

    @property
    def keys(self) -> tuple[PrivateKey, ...]:
        """Everybody who signs."""
        return (self.key, *self.cosigners)


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchReport:
    """What was done, or what would be."""

    kit: Path
    live: bool
    container: Container
    stored_bytes: int | None
    base: Judgement
    migration: Migration
    transforms: tuple[Transform, ...]
    """As they were run, with keys."""
    rewrite: Rewrite
    created_at: Timestamp
    generation: Generation | None
    """None for a plan, and where nothing changed."""
    output: Path | None
    """Where the new kit is; None for a plan, and where nothing changed in place."""
    output_bytes: int | None
    """Exact after a patch; for a plan, without the manifest and its history."""
    output_sha256: Sha256 | None
    backup: Path | None
    temp_bytes: int
    """Room the run needed beside the output, or would need."""
    refusal: KitError | None = None
    """Of a plan: what the documents themselves would end the run with (:mod:`kit.engine.refusals`)."""
    stops: tuple[StoppedError, ...] = ()
    """Of a plan: the stop rules that would end the run."""
    obstacles: tuple[KitError, ...] = ()
    """Of a plan that was asked for it: what else would be in the way of the run (:mod:`kit.ops.preflight`)."""
    preflight: bool = False
    """Whether it was asked for it."""

    @property
    def changed(self) -> int:
        """Documents changed."""
        return self.rewrite.changed

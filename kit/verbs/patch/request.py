"""Request, output, keys and report of a patch: the values that plan, patch and resume share.

Keys are found, opened, made where they are missing, and tried, all before the rewriting pass: parallel workers would
make two for one owner. The keyring is on disk before the first envelope is, since an envelope whose key was never
stored is data lost. So ``encrypt-fields`` enters a request without keys and leaves :func:`with_keys` with them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kit.archive.read.reader import Container
from kit.encryption import (
    Credentials,
    KeyringFile,
    KeySet,
    Needs,
    PassphraseRecord,
    UnlockedKeyring,
    check_canary,
    check_reference,
    load,
    new_keyring,
    unlock,
)
from kit.encryption.master_keys import Random
from kit.engine.executors import WorkExecutor
from kit.engine.rewrite import Rewrite
from kit.errors import KitError, StoppedError, UsageError
from kit.manifest import SnapshotsOrigin
from kit.manifest.rollback import Tick
from kit.migrations import Migration, StopRules
from kit.output.journal import Asked
from kit.signing import PrivateKey, PublicKey
from kit.transforms.allowance import Limit
from kit.transforms.protocol import KeyedTransform, Transform
from kit.trust import Anchor
from kit.values import CollectionName, Sha256, Timestamp
from kit.verbs.patch.checklist import Stated
from kit.verbs.patch.generation import Generation
from kit.verbs.verify.judgement import Installed, ignore
from kit.verbs.verify.kits import Environment
from kit.verbs.verify.obligations import Judgement

_DRY_RUN_COST = 1 << 10


@dataclass(slots=True, kw_only=True)
class Keying:
    """The keyring, what opens it, and the sources of randomness and time; keeps what a preflight has opened."""

    random: Random = field(repr=False)
    now: Timestamp
    keyring: Path | None = None
    """None only for a dry run, which then makes keys that are dropped at its end."""
    credentials: Credentials = field(default_factory=Credentials, repr=False)
    reference: tuple[CollectionName, bytes] | None = field(default=None, repr=False)
    """A document that the live writer encrypted, and the collection it is from."""
    _opened: list[tuple[KeyringFile, UnlockedKeyring]] = field(
        default_factory=list, init=False, repr=False, compare=False
    )

    def tried(self, keyring: Path) -> KeyringFile:
        """Load and open the keyring before a run, which uses it as long as the file holds the same bytes.

        Raises:
            KeyUnusableError: It is exposed, or does not open.
        """
        self._opened[:] = [_load(keyring, self.credentials)]
        return self._opened[0][0]

    def opened(self, keyring: Path) -> tuple[KeyringFile, UnlockedKeyring]:
        """Load and open the keyring; what :meth:`tried` opened is returned, once, if the file has not changed since.

        Raises:
            KeyUnusableError: As :meth:`tried`.
        """
        if self._opened:
            file, unlocked = self._opened.pop()
            if file.path == keyring and file.is_current():
                return file, unlocked
        return _load(keyring, self.credentials)


def with_keys(
    transforms: tuple[Transform, ...],
    found: Mapping[int, Needs],
    keying: Keying | None,
    migration: Migration,
    *,
    workers: WorkExecutor,
    live: bool = False,
) -> tuple[Transform, ...]:
    """Return ``transforms`` with the keys they need; only a live run writes the keyring.

    Args:
        transforms: The chain.
        found: What each ``encrypt-fields`` needs, by its position in the chain, as the first reading found it.
        keying: Where keys come from.
        migration: What is run; its stop rules hold here too.
        workers: Who gets the keys; no work may be under way.
        live: Whether the keyring is written.

    Raises:
        UsageError: Keys are needed and no keyring is named.
        KeyUnusableError: The keyring is exposed, does not open, or a key does not work.
        StoppedError: Too many documents have no partition key.
        KitError: A document cannot be judged.
    """
    if all(transform.keyed is None for transform in transforms):
        return transforms
    if keying is None or (live and keying.keyring is None):
        raise UsageError("encrypt-fields needs a keyring", hint="name one with --keyring; kit keyring init makes it")
    chain: list[Transform] = []
    for at, transform in enumerate(transforms):
        keyed = transform.keyed
        if keyed is None:
            chain.append(transform)
            continue
        keys = _keys(keyed, found[at], keying, migration.stop_rules, live=live)
        chain.append(keyed.with_keys(workers.hand_out(keys)))
    return tuple(chain)


def _keys(transform: KeyedTransform, needs: Needs, keying: Keying, rules: StopRules, *, live: bool) -> KeySet:
    needs.check(fraction=rules.partition_key_fraction, at_least=rules.partition_key_least)
    file, unlocked = _open(keying)
    if transform.replaced:
        if file is None:
            raise UsageError("keys are replaced in a keyring", hint="name it with --keyring")
        unlocked = unlocked.replacing(transform.replaced)
    values = needs.values
    provided = unlocked.provide(values, profile=transform.profile, random=keying.random, now=keying.now)
    keys, stored = provided.key_set(), None
    if live and file is not None:
        stored = provided.reopened(file.replaced(provided.keyring).keyring).key_set()
    for entry in transform.field_map.collections:
        scopes = [scope for scope in values if scope.context == entry.context]
        check_canary(
            entry,
            product=transform.field_map.product,
            profile=transform.profile,
            keys=keys,
            scopes=scopes,
            stored=stored,
        )
    if keying.reference is not None:
        name, document = keying.reference
        check_reference(transform.mapped(name), document, keys)
    return keys


def _open(keying: Keying) -> tuple[KeyringFile | None, UnlockedKeyring]:
    if keying.keyring is not None:
        return keying.opened(keying.keyring)
    passphrase = keying.random(32)
    record = PassphraseRecord.make(passphrase, random=keying.random, cost=_DRY_RUN_COST)
    credentials = Credentials(passphrase=lambda _: passphrase)
    return None, unlock(new_keyring(record, now=keying.now), credentials)


def _load(keyring: Path, credentials: Credentials) -> tuple[KeyringFile, UnlockedKeyring]:
    file = load(keyring)
    return file, unlock(file.keyring, credentials, where=str(file.path))


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
    """Whether the time is the clock's and not the user's; then a resumed run keeps the one it began with."""
    now: Timestamp | None = None
    """The present time, where ``created_at`` is checked against it: one in the future would lock out the next patch."""
    trust: Anchor | None = None
    """A policy takes precedence over ``trusted``; then the result must be valid under it, too."""
    keying: Keying | None = None
    """Needed by encrypt-fields."""
    limit: int | None = None
    """How many documents change at most; None for any number."""
    limit_per_tenant: int | None = None
    """How many of each tenant, workspace or owner do; None for any number."""
    snapshots: Path | None = None
    """Another kit, or a dump, whose snapshots are looked up besides those of the kit."""
    unverified_snapshots: bool = False
    """Whether :attr:`snapshots` may be what nobody signed; then it is not verified either."""
    allow_unimportable: bool = False
    """Whether documents are signed that a server would refuse; the provenance counts them."""
    merkle: bool | None = None
    """Whether the new manifest has a Merkle root of every collection; None: exactly if the base has some."""
    environment: Environment = field(default_factory=Environment)

    @property
    def most(self) -> Limit:
        """How many documents may change, in all and of each tenant."""
        return Limit(total=self.limit, each=self.limit_per_tenant)

    def described(self, note: str | None = None) -> Migration:
        """Return the migration that is run: the one way in which plan, patch and resume know what to do.

        Args:
            note: How to go back, where this run states it and not the migration.

        Raises:
            UsageError: Neither migration nor transforms are given, or both; or the transforms go in no migration;
                or an installed extractor cannot be loaded.
        """
        if (self.migration is None) == (not self.transforms):
            raise UsageError("either a migration or transforms must be given, and not both")
        migration = self.migration or Migration.of(self.transforms)
        for transform in migration.transforms:
            _ = transform.extractors  # one that cannot be loaded ends the run here, and not at the first document
        return migration.with_note(note)


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """Where the result goes and who signs it."""

    path: Path | None
    """None to patch in place."""
    work_folder: Path | None = None
    """Where to work if not next to the result."""
    key: PrivateKey
    cosigners: tuple[PrivateKey, ...] = ()
    """Further signers, where a policy asks for more than one; the ``.sig`` of the archive is by ``key`` alone."""
    keep_backup: bool = True
    backup: Path | None = None
    """Where a kit that is patched in place is kept, if not as ``<kit>.bak.N`` by its generation."""
    operator: str | None = None
    place: str | None = None
    """The environment of the run, as the operator names it."""
    rollback_note: str | None = None
    """How to go back, in place of the note of the migration; one that can change what readers see needs it."""
    stated: Stated = field(default_factory=Stated)
    """What a person states of the steps of the plan, and what is on record."""
    asked: Asked | None = None
    """The options of the command, if a command started the run."""
    installed: Installed = ignore
    """Called for a kit that is patched in place."""

    @property
    def keys(self) -> tuple[PrivateKey, ...]:
        """All keys that sign."""
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
    snapshots: SnapshotsOrigin | None
    """Where snapshots were taken from besides the kit."""
    temp_bytes: int
    """Room the run needed next to the output, or would need."""
    refusal: KitError | None = None
    """Of a plan: the error with which the documents themselves would end the run (:mod:`kit.engine.checks`)."""
    stops: tuple[StoppedError, ...] = ()
    """Of a plan: the stop rules that would end the run."""
    obstacles: tuple[KitError, ...] = ()
    """Of a plan with a preflight: what else would be in the way of the run (:mod:`kit.verbs.patch.plan`)."""
    preflight: bool = False
    """Whether the plan had a preflight."""
    checklist: tuple[Tick, ...] = ()
    """The steps of the plan, where there is a checklist."""

    @property
    def changed(self) -> int:
        """Documents changed."""
        return self.rewrite.changed

    @property
    def roots(self) -> int:
        """Merkle roots that the new manifest has; they alone make a generation where no document changes."""
        return len(self.rewrite.roots)

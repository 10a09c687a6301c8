"""The keys of one run: which data key seals for each purpose, which ones open, which are known but locked.

Made from an unlocked keyring; :meth:`kit.engine.executors.WorkExecutor.hand_out` sends them to workers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from kit.encryption.data_keys import DataKey, Scope
from kit.encryption.envelope import Envelope
from kit.encryption.macs import MacCache
from kit.errors import EnvelopeError, KeyUnusableError, StoppedError


class KeySource(Protocol):
    """The source of a run's keys: the keys themselves, or where workers find them."""

    @property
    def names(self) -> tuple[str, ...]:
        """The data keys that seal, sorted; known when the source is made."""
        ...

    @property
    def complete(self) -> bool:
        """Whether no data key is locked."""
        ...

    def key_set(self) -> KeySet:
        """Return the keys."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySet:
    """Data keys by name and by purpose."""

    scopes: Mapping[str, Scope]
    """Every data key the keyring has, locked ones included."""
    opening: Mapping[str, DataKey] = field(repr=False)
    """The data keys that can be used."""
    sealing: Mapping[Scope, str]
    """The active key of each scope."""
    mek_versions: int
    """The version of the newest master key."""
    macs: MacCache = field(default_factory=MacCache, init=False, repr=False, compare=False)
    """States derived from these keys, for those used most recently."""

    @property
    def names(self) -> tuple[str, ...]:
        """The data keys that seal, sorted."""
        return tuple(sorted(self.sealing.values()))

    @property
    def complete(self) -> bool:
        """Whether no data key is locked."""
        return all(dek_id in self.opening for dek_id in self.scopes)

    def key_set(self) -> KeySet:
        """See :class:`KeySource`."""
        return self

    def sealing_key(self, scope: Scope) -> DataKey:
        """Return the key that seals for ``scope``.

        Raises:
            KeyUnusableError: There is none, or it is locked.
        """
        dek_id = self.sealing.get(scope)
        if dek_id is None:
            raise KeyUnusableError(
                f"no data key for {scope}", hint="keys are made before a run, for the owners found then"
            )
        return self.opening_key(dek_id)

    def at_hand(self, scope: Scope) -> DataKey | None:
        """Return the key that seals for ``scope``, or None if there is none or it is locked."""
        dek_id = self.sealing.get(scope)
        return self.opening.get(dek_id) if dek_id is not None else None

    def opening_key(self, dek_id: str) -> DataKey:
        """Return the key called ``dek_id``.

        Raises:
            KeyUnusableError: The keyring does not have it, or it is locked.
        """
        key = self.opening.get(dek_id)
        if key is None:
            why = (
                "is locked: no credential for its master key was given"
                if dek_id in self.scopes
                else "is not in the keyring"
            )
            raise KeyUnusableError(f"data key {dek_id} {why}")
        return key

    def check(self, envelope: Envelope, scope: Scope) -> DataKey | None:
        """Check that an envelope's key is known and is this owner's; return it, or None if it is locked.

        Raises:
            KeyUnusableError: The keyring does not have the key: it was lost, or the envelope is foreign.
            StoppedError: The key is another owner's, context's or product's.
            EnvelopeError: It states a master key that the keyring never had.
        """
        known = self.scopes.get(envelope.dek_id)
        if known is None:
            raise KeyUnusableError(f"data key {envelope.dek_id} is not in the keyring")
        if known != scope:
            raise StoppedError(f"owner mismatch: data key {envelope.dek_id} is for {known}, the document for {scope}")
        if envelope.mek_version > self.mek_versions:
            raise EnvelopeError(f"states master key {envelope.mek_version}; the keyring has {self.mek_versions}")
        return self.opening.get(envelope.dek_id)


NO_KEYS = KeySet(scopes={}, opening={}, sealing={}, mek_versions=0)
"""The keys of a transform before a run sets them."""

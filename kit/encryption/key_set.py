"""The keys of one run: which data key seals for whom, which ones open, which are known but locked.

Made from a keyring once it is unlocked; :meth:`kit.engine.executors.WorkExecutor.hand_out` brings them to workers.
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
    """What gives the keys of a run: they themselves, or where they were put for the workers."""

    @property
    def names(self) -> tuple[str, ...]:
        """The data keys that seal, sorted; known where the source was made."""
        ...

    @property
    def complete(self) -> bool:
        """Whether no data key is locked."""
        ...

    def key_set(self) -> KeySet:
        """Give the keys."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySet:
    """Data keys by name and by purpose."""

    scopes: Mapping[str, Scope]
    """Every data key the keyring has, locked ones included."""
    opening: Mapping[str, DataKey] = field(repr=False)
    """Those at hand."""
    sealing: Mapping[Scope, str]
    """The active one of each scope."""
    mek_versions: int
    """The newest master key's version."""
    macs: MacCache = field(default_factory=MacCache, init=False, repr=False, compare=False)
    """What was derived of these very keys, for those met last."""

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
        """Give the key that seals for ``scope``.

        Raises:
            KeyUnusableError: There is none, or it is locked.
        """
        dek_id = self.sealing.get(scope)
        if dek_id is None:
            raise KeyUnusableError(
                f"no data key for {scope}", hint="keys are made before a run, for the owners met then"
            )
        return self.opening_key(dek_id)

    def at_hand(self, scope: Scope) -> DataKey | None:
        """Give the key that seals for ``scope``, or None where there is none or it is locked."""
        dek_id = self.sealing.get(scope)
        return self.opening.get(dek_id) if dek_id is not None else None

    def opening_key(self, dek_id: str) -> DataKey:
        """Give the key called ``dek_id``.

        Raises:
            KeyUnusableError: The keyring does not have it, or it is locked.
        """
        key = self.opening.get(dek_id)
        if key is None:
            why = (
                "is locked: what opens its master key was not given"
                if dek_id in self.scopes
                else "is not in the keyring"
            )
            raise KeyUnusableError(f"data key {dek_id} {why}")
        return key

    def check(self, envelope: Envelope, scope: Scope) -> DataKey | None:
        """Check that an envelope's key is known and is this owner's; give it, or None where it is locked.

        Raises:
            KeyUnusableError: The keyring does not have the key: it is lost, or the envelope is of elsewhere.
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
"""Of a transform before its keys are made."""

"""Unlocks a keyring, adds the data keys that a run needs, and rewraps it under a new master key (schemas/keyring.md).

:class:`UnlockedKeyring` is pure: clock and randomness are arguments. :class:`KeyringFile` is the file. Two runs that
load one keyring and each add data keys must not overwrite each other: the keys of the first would be lost, and all
values sealed with them. So a file is replaced only if it still holds the bytes that were loaded.

Laws: a data key that unwraps is the committed one, for the stated purpose, or an error names it; ``provide`` counts
uses before they happen; a rewrap switches to a copy only after that copy, read back, has unwrapped to the same key; a
keyring file is refused if others can read it, replaced atomically, and never over another process's change.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace as with_changes
from pathlib import Path

from kit.encryption.aead import COMPAT_USES
from kit.encryption.envelope import Profile, check_dek_id, spell_uuid
from kit.encryption.keyring import MAX_BYTES, Dek, Keyring, State, Wrapped
from kit.encryption.keys import KEY_BYTES, VAULT_KEY_BYTES, DataKey, KeySet, Scope
from kit.encryption.master_keys import Credentials, MasterKey, Random
from kit.errors import KeyUnusableError, OutputError
from kit.output import publish, secret_files
from kit.values import Timestamp

_DEK_ID_BYTES = 16
_DIGEST_BYTES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveKey:
    """A data key that the platform uses.

    Attributes:
        scope: What it is for.
        dek_id: Its name on the platform.
        secret: 32 bytes, or the 96 of a key vault.
        mek_version: What the platform's envelopes state, and new ones will.
        state: Whether it seals.
    """

    scope: Scope
    dek_id: str
    secret: bytes = field(repr=False)
    mek_version: int = 1
    state: State = State.ACTIVE


@dataclass(frozen=True, slots=True, kw_only=True)
class UnlockedKeyring:
    """A keyring with the keys that could be opened."""

    keyring: Keyring
    keys: Mapping[str, DataKey] = field(repr=False)
    """By ``dekId``; locked ones are absent."""
    masters: Mapping[int, MasterKey] = field(repr=False)
    """The master keys in use, by version."""
    made: frozenset[str] = frozenset()
    """The keys that were made here and not yet opened from disk."""

    def key_set(self) -> KeySet:
        """Return the keys of a run."""
        return KeySet(
            scopes={dek_id: dek.scope for dek_id, dek in self.keyring.deks.items()},
            opening=self.keys,
            sealing={scope: dek.dek_id for scope, dek in self.keyring.active().items()},
            mek_versions=max([len(self.keyring.meks), *(dek.made_under for dek in self.keyring.deks.values())]),
        )

    def reopened(self, keyring: Keyring) -> UnlockedKeyring:
        """Return ``keyring``, read back from disk, unlocked by the active master keys, without their credentials.

        A data key with an unchanged record is not opened again.

        Raises:
            KeyUnusableError: A data key does not unwrap, or is not the committed one.
        """
        kept = {
            dek_id: key
            for dek_id, key in self.keys.items()
            if dek_id not in self.made and _same_secret(keyring.deks.get(dek_id), self.keyring.deks[dek_id])
        }
        others = [dek for dek_id, dek in keyring.deks.items() if dek_id not in kept]
        return with_changes(self, keyring=keyring, keys={**kept, **_open_all(others, self.masters)}, made=frozenset())

    def provide(
        self, uses: Mapping[Scope, int], *, profile: Profile, random: Random, now: Timestamp
    ) -> UnlockedKeyring:
        """Return the keyring with uses reserved, and with new data keys for those missing or locked.

        The resulting keyring must be on disk before the first envelope made with it: an envelope whose key was never
        stored is data lost.

        Args:
            uses: Maximum number of values that will be sealed, by scope.
            profile: ``compat`` seals under the data key itself, so its uses are capped.
            random: Source of keys.
            now: Creation time of new keys.

        Raises:
            KeyUnusableError: A data key would exceed its cap.
        """
        active = self.keyring.active()
        changed: list[Dek] = []
        made: dict[str, DataKey] = {}
        for scope, count in sorted(uses.items()):
            dek = active.get(scope)
            if dek is not None and dek.dek_id not in self.keys:
                changed.append(with_changes(dek, state=State.RETIRED))
                dek = None
            if dek is None:
                secret = random(VAULT_KEY_BYTES if profile is Profile.CSFLE else KEY_BYTES)
                dek_id = f"dek-{random(_DEK_ID_BYTES).hex()}"
                if profile is Profile.CSFLE:
                    dek_id = _random_uuid(random)
                key = DataKey(dek_id=dek_id, scope=scope, mek_version=self.keyring.current.version, secret=secret)
                dek, made[dek_id] = self._new_dek(key, now), key
            changed.append(with_changes(dek, uses=_add_uses(dek, count, profile)))
        keyring = self.keyring.with_deks(*changed)
        return with_changes(self, keyring=keyring, keys={**self.keys, **made}, made=self.made | made.keys())

    def replacing(self, dek_ids: Iterable[str]) -> UnlockedKeyring:
        """Return the keyring with data keys retired whose envelopes are to be sealed again.

        Raises:
            KeyUnusableError: One is not there, or locked, so that its envelopes cannot be opened.
        """
        named = sorted(dek_ids)
        keyring = self.keyring.retired(*named)
        for dek_id in named:
            if dek_id not in self.keys:
                raise KeyUnusableError(f"data key {dek_id} is locked, so what it sealed cannot be sealed again")
        return with_changes(self, keyring=keyring)

    def imported(self, scope: Scope, dek_id: str, secret: bytes, *, now: Timestamp) -> UnlockedKeyring:
        """Return the keyring with one active data key of the live platform; see :meth:`with_live_keys`."""
        return self.with_live_keys([LiveKey(scope=scope, dek_id=dek_id, secret=secret)], now=now)

    def with_live_keys(self, live: Sequence[LiveKey], *, now: Timestamp) -> UnlockedKeyring:
        """Return the keyring with data keys of the live platform: its envelopes open here, and new ones there.

        Their uses on the platform are unknown: they start at 0 here, and the cap leaves as many to the platform
        (schemas/envelope.md, "Nonce budget"). An active one retires the active key of its scope.

        Raises:
            KeyUnusableError: There is a key of one of the names, one of the keys has another name, two are active for
                one scope, or one has another length.
            EnvelopeError: A name is not valid.
        """
        known = {key.secret: key.dek_id for key in self.keys.values()}
        active, taken = self.keyring.active(), set[Scope]()
        changed: list[Dek] = []
        made: dict[str, DataKey] = {}
        for one in live:
            if check_dek_id(one.dek_id) in self.keyring.deks or one.dek_id in made:
                raise KeyUnusableError(f"data key {one.dek_id} is in the keyring already")
            key = DataKey(dek_id=one.dek_id, scope=one.scope, mek_version=one.mek_version, secret=one.secret)
            if one.secret in known:
                raise KeyUnusableError(
                    f"data key {one.dek_id} is in the keyring already, under the name {known[one.secret]}"
                )
            if one.state is State.ACTIVE:
                if one.scope in taken:
                    raise KeyUnusableError(f"data key {one.dek_id} is the second active one for {one.scope}")
                taken.add(one.scope)
                if (old := active.get(one.scope)) is not None:
                    changed.append(with_changes(old, state=State.RETIRED))
            known[one.secret], made[one.dek_id] = one.dek_id, key
            changed.append(with_changes(self._new_dek(key, now), imported=True, state=one.state))
        keyring = self.keyring.with_deks(*changed)
        return with_changes(self, keyring=keyring, keys={**self.keys, **made}, made=self.made | made.keys())

    def begun_rewrap(self) -> Keyring:
        """Return the keyring with a second copy of every data key, wrapped under the newest master key.

        Raises:
            KeyUnusableError: A data key is locked.
        """
        current = self.keyring.current.version
        changed = []
        for dek in self.keyring.deks.values():
            if dek.wrapped.mek_version == current:
                changed.append(with_changes(dek, beside=None))
                continue
            key = self.keys.get(dek.dek_id)
            if key is None:
                raise KeyUnusableError(f"data key {dek.dek_id} is locked, so it cannot be rewrapped")
            changed.append(with_changes(dek, beside=self._wrap(key)))
        return self.keyring.with_deks(*changed)

    def finished_rewrap(self) -> Keyring:
        """Return the keyring switched to the second copies, each opened and compared with the first.

        Call it on the keyring read back from disk. (A rewrap of libmongocrypt 1.5.0 lost keys: MONGOCRYPT-464.)

        Raises:
            KeyUnusableError: A copy does not open, or opens to another key; nothing is switched.
        """
        changed = []
        for dek in self.keyring.deks.values():
            if dek.beside is None:
                continue
            copy = _open(dek, dek.beside, self.masters)
            old = self.keys.get(dek.dek_id)
            if copy is None or old is None:
                raise KeyUnusableError(
                    f"data key {dek.dek_id}: both copies must open before the old one is dropped",
                    hint="add the credential of the new master key",
                )
            if not hmac.compare_digest(copy.secret, old.secret):
                raise KeyUnusableError(f"data key {dek.dek_id}: the new copy is another key; the old copy is kept")
            changed.append(with_changes(dek, wrapped=dek.beside, beside=None))
        return self.keyring.with_deks(*changed)

    def _new_dek(self, key: DataKey, now: Timestamp) -> Dek:
        return Dek(
            dek_id=key.dek_id,
            scope=key.scope,
            made_under=key.mek_version,
            wrapped=self._wrap(key),
            commitment=key.commitment,
            state=State.ACTIVE,
            uses=0,
            created_at=now,
        )

    def _wrap(self, key: DataKey) -> Wrapped:
        version = self.keyring.current.version
        wrapped = self.masters[version].wrap(key.secret + key.scope.digest(key.dek_id))
        return Wrapped(mek_version=version, wrapped=wrapped)


def unlock(keyring: Keyring, credentials: Credentials, *, where: str = "keyring") -> UnlockedKeyring:
    """Return the keyring with all keys that the credentials open.

    Only credentials of master keys in use are requested: the newest, and those that wrap a data key. With a passphrase,
    all data keys open, or an error is raised; with only a public key or age recipients, they stay locked.

    Raises:
        KeyUnusableError: A passphrase is wrong or missing, a private key is of another pair, a data key does not unwrap
            or is not the committed one; names the data key.
    """
    in_use = {keyring.current.version}
    for dek in keyring.deks.values():
        in_use.update(copy.mek_version for copy in (dek.wrapped, dek.beside) if copy is not None)
    masters = {
        mek.version: mek.record.activate(credentials, version=mek.version, where=f"{where}: master key {mek.version}")
        for mek in keyring.meks
        if mek.version in in_use
    }
    try:
        keys = _open_all(keyring.deks.values(), masters)
    except KeyUnusableError as error:
        raise error.inside(where) from error
    return UnlockedKeyring(keyring=keyring, keys=keys, masters=masters)


def _random_uuid(random: Random) -> str:
    """Return the text of a UUID of version 4 (RFC 9562 5.4)."""
    data = bytearray(random(_DEK_ID_BYTES))
    data[6], data[8] = data[6] & 0x0F | 0x40, data[8] & 0x3F | 0x80
    return spell_uuid(bytes(data))


def _same_secret(one: Dek | None, other: Dek) -> bool:
    return one is not None and (one.wrapped, one.scope, one.commitment, one.made_under) == (
        other.wrapped,
        other.scope,
        other.commitment,
        other.made_under,
    )


def _open_all(deks: Iterable[Dek], masters: Mapping[int, MasterKey]) -> dict[str, DataKey]:
    opened = ((dek.dek_id, _open(dek, dek.wrapped, masters)) for dek in deks)
    return {dek_id: key for dek_id, key in opened if key is not None}


def _open(dek: Dek, copy: Wrapped, masters: Mapping[int, MasterKey]) -> DataKey | None:
    try:
        bound = masters[copy.mek_version].unwrap(copy.wrapped)
    except KeyUnusableError as error:
        raise error.inside(f"data key {dek.dek_id} (master key {copy.mek_version})") from error
    if bound is None:
        return None
    secret, digest = bound[:-_DIGEST_BYTES], bound[-_DIGEST_BYTES:]
    if len(secret) not in {KEY_BYTES, VAULT_KEY_BYTES} or not hmac.compare_digest(digest, dek.scope.digest(dek.dek_id)):
        raise KeyUnusableError(
            f"data key {dek.dek_id} was wrapped for another purpose than {dek.scope}",
            hint="the keyring was altered; restore it from its backup",
        )
    key = DataKey(dek_id=dek.dek_id, scope=dek.scope, mek_version=dek.made_under, secret=secret)
    key.check(dek.commitment)
    return key


def _add_uses(dek: Dek, count: int, profile: Profile) -> int:
    uses = dek.uses + count
    if profile is Profile.COMPAT and uses > COMPAT_USES:
        raise KeyUnusableError(
            f"data key {dek.dek_id} would have sealed {uses:,} values; the maximum in compat is {COMPAT_USES:,}",
            hint=f"kit keyring retire KEYRING {dek.dek_id}; the next run makes a new one",
        )
    return uses


_WHAT = "keyring"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyringFile:
    """A keyring and the bytes it was read from."""

    path: Path
    keyring: Keyring
    loaded: bytes

    def is_current(self) -> bool:
        """Return whether the file still holds the bytes that were loaded.

        Raises:
            KeyUnusableError: It is missing or exposed.
        """
        return _read(self.path) == self.loaded

    def replaced(self, keyring: Keyring) -> KeyringFile:
        """Replace the file by ``keyring``, and return what is read back; an equal keyring is not written.

        Raises:
            OutputError: It cannot be written, another process is writing it, or it changed since it was loaded.
            KeyUnusableError: The file is missing or exposed.
        """
        data = keyring.to_json()
        if data == self.loaded:
            return self
        if len(data) > MAX_BYTES:
            raise OutputError(
                f"would have {len(data):,} bytes; the maximum is {MAX_BYTES:,}",
                where=str(self.path),
                hint="use a keyring for each product or context",
            )
        with secret_files.lock(self.path, what=_WHAT):
            if _read(self.path) != self.loaded:
                raise OutputError(
                    "the keyring was changed by another process", where=str(self.path), hint="start again"
                )
            publish.replace(self.path, data, what=_WHAT)
        del data  # of many owners, a hundred megabytes; what is read back is as large
        return load(self.path)


def load(path: Path) -> KeyringFile:
    """Return the keyring of a file.

    Raises:
        KeyUnusableError: It is missing, a link, readable by others, or not a keyring.
    """
    return _parse(path, _read(path))


def create(path: Path, keyring: Keyring) -> KeyringFile:
    """Write a new keyring file of mode 0600.

    Raises:
        OutputError: The path exists, or it cannot be written.
    """
    publish.write_new(path, keyring.to_json(), mode=0o600, what=_WHAT)
    return load(path)


def rewrap(file: KeyringFile, credentials: Credentials) -> KeyringFile:
    """Rewrap every data key under the newest master key: add a copy, read back, open, compare, switch.

    After a crash at any point, the file holds a keyring in which every data key opens as before; calling this again
    completes it.

    Raises:
        KeyUnusableError: A data key is locked, or a copy does not open to the same key; the old copies stay.
        OutputError: As :meth:`KeyringFile.replaced`.
    """
    begun = unlock(file.keyring, credentials, where=str(file.path)).begun_rewrap()
    read_back = file.replaced(begun)
    finished = unlock(read_back.keyring, credentials, where=str(file.path)).finished_rewrap()
    return read_back.replaced(finished)


def _read(path: Path) -> bytes:
    return secret_files.read(path, what=_WHAT, largest=MAX_BYTES, secret=True)


def _parse(path: Path, data: bytes) -> KeyringFile:
    return KeyringFile(path=path, keyring=Keyring.parse(data, where=str(path)), loaded=data)

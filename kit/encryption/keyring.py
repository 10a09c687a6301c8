"""The keyring as a file: master keys, wrapped data keys, and their purposes (schemas/keyring.md).

Parses and encodes only; no key is in the clear here. Laws: ``Keyring.parse(k.to_json()) == k``; every data key
names a master key of the keyring; at most one data key of a scope is active; a keyring of a newer version, or with an
unknown member, is refused, since a key that is not carried over is data lost.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace as with_changes
from enum import StrEnum
from typing import Any, Self

from kit.encryption.envelope import MAX_MEK_VERSION, check_dek_id
from kit.encryption.keys import Scope
from kit.encryption.master_keys import MasterKeyRecord
from kit.encryption.providers import base64_member, base64_text, parse_record
from kit.errors import ContentError, EnvelopeError, KeyUnusableError
from kit.values import Limits, Timestamp, strict_json
from kit.values.fields import Members

SCHEMA_VERSION = "1"
MAX_USES = 2**62
MAX_BYTES = 1024**3
"""Maximum size of a keyring file: a data key takes 600 to 1,100 bytes, so about a million fit."""
_LIMITS = Limits(json_bytes=MAX_BYTES, json_values=MAX_BYTES // 32)
_COMMITMENT = re.compile(r"[0-9a-f]{64}")


class State(StrEnum):
    """What a key may be used for."""

    ACTIVE = "active"
    """Seals and opens."""
    RETIRED = "retired"
    """Opens only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mek:
    """A master key: its version, and its provider's record."""

    version: int
    created_at: Timestamp
    record: MasterKeyRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrapped:
    """A data key wrapped under one master key."""

    mek_version: int
    wrapped: bytes

    def __repr__(self) -> str:
        return f"Wrapped(mek_version={self.mek_version})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dek:
    """A data key."""

    dek_id: str
    scope: Scope
    made_under: int
    """The master key version that envelopes state; never changes."""
    wrapped: Wrapped
    commitment: str
    state: State
    uses: int
    """Maximum values it has sealed: reserved before a run, so never too low."""
    created_at: Timestamp
    beside: Wrapped | None = None
    """A second copy under another master key, during a rewrap."""
    imported: bool = False
    """Whether it was taken over from the platform; ``made_under`` is then a version of the platform's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Keyring:
    """All keys of a site."""

    meks: tuple[Mek, ...]
    """By ascending version."""
    deks: Mapping[str, Dek]
    """By ``dekId``."""

    @classmethod
    def parse(cls, data: bytes, *, where: str = "keyring") -> Self:
        """Return the keyring of a file.

        Raises:
            KeyUnusableError: It is not of the schema; names the place in the file (RFC 6901).
        """
        try:
            top = Members.parse(data, error=KeyUnusableError, where=where, limits=_LIMITS)
        except ContentError as error:
            raise KeyUnusableError(f"not a keyring: {error.what}", where=where) from error
        if (version := top.take("schemaVersion", str)) != SCHEMA_VERSION:
            raise top.refusal(f"is version {version!r} of the format, not {SCHEMA_VERSION!r}", "schemaVersion")
        meks = tuple(_mek(entry) for entry in top.objects("meks"))
        versions = [mek.version for mek in meks]
        if not meks or versions != list(range(1, len(meks) + 1)):
            raise top.refusal("are not numbered 1, 2, 3 …", "meks")
        deks: dict[str, Dek] = {}
        active: set[Scope] = set()
        for entry in top.objects("deks"):
            dek = _dek(entry, len(meks))
            if dek.dek_id in deks:
                raise entry.refusal(f"the dekId {dek.dek_id!r} is there twice")
            if dek.state is State.ACTIVE and dek.scope in active:
                raise entry.refusal(f"a second active data key for {dek.scope}")
            deks[dek.dek_id] = dek
            active |= {dek.scope} if dek.state is State.ACTIVE else set()
        top.done()
        return cls(meks=meks, deks=deks)

    def to_json(self) -> bytes:
        """Return the file; see :func:`kit.values.strict_json.canonical`."""
        return strict_json.canonical(
            {
                "schemaVersion": SCHEMA_VERSION,
                "meks": [_mek_to_json(mek) for mek in self.meks],
                "deks": (_dek_to_json(self.deks[dek_id]) for dek_id in sorted(self.deks)),
            }
        )

    @property
    def current(self) -> Mek:
        """The master key under which new data keys are wrapped: the newest."""
        return self.meks[-1]

    def active(self) -> dict[Scope, Dek]:
        """Return the data key that seals, for each scope that has one."""
        return {dek.scope: dek for dek in self.deks.values() if dek.state is State.ACTIVE}

    def with_mek(self, record: MasterKeyRecord, *, now: Timestamp) -> Self:
        """Return the keyring with another master key: it wraps new data keys, and old ones after a rewrap."""
        return with_changes(self, meks=(*self.meks, Mek(version=len(self.meks) + 1, created_at=now, record=record)))

    def with_deks(self, *deks: Dek) -> Self:
        """Return the keyring with these data keys; they replace those of the same name."""
        return with_changes(self, deks={**self.deks, **{dek.dek_id: dek for dek in deks}})

    def retired(self, *dek_ids: str) -> Self:
        """Return the keyring with data keys that only open; the next run makes new ones for their scopes.

        Raises:
            KeyUnusableError: There is no data key of one of these names.
        """
        for dek_id in dek_ids:
            if dek_id not in self.deks:
                raise KeyUnusableError(
                    f"there is no data key {dek_id[:128]!r}", hint="kit keyring show lists the data keys"
                )
        return self.with_deks(*(with_changes(self.deks[dek_id], state=State.RETIRED) for dek_id in dek_ids))


def new_keyring(record: MasterKeyRecord, *, now: Timestamp) -> Keyring:
    """Return a keyring with one master key and no data keys."""
    return Keyring(meks=(Mek(version=1, created_at=now, record=record),), deks={})


def _mek(entry: Members) -> Mek:
    version = entry.take("version", int)
    created_at = _time(entry)
    record = parse_record(entry)
    entry.done()
    return Mek(version=version, created_at=created_at, record=record)


def _dek(entry: Members, meks: int) -> Dek:
    scope = Scope(**{name: entry.text(entry.take(name, str), name) for name in ("product", "context", "owner")})
    try:
        dek_id = check_dek_id(entry.take("dekId", str))
    except EnvelopeError as error:
        raise entry.refusal(str(error), "dekId") from error
    uses = entry.take("uses", int)
    if not 0 <= uses <= MAX_USES:
        raise entry.refusal(f"is {uses}, not a number from 0 to 2^62", "uses")
    commitment = entry.take("commitment", str)
    if not _COMMITMENT.fullmatch(commitment):
        raise entry.refusal("is not 64 lower-case hex digits", "commitment")
    state = entry.take("state", str)
    if state not in set(State):
        raise entry.refusal(f"is {state!r}, neither 'active' nor 'retired'", "state")
    imported = _imported(entry)
    dek = Dek(
        dek_id=dek_id,
        scope=scope,
        made_under=_mek_version(entry, "madeUnder", MAX_MEK_VERSION if imported else meks),
        wrapped=_wrapped(entry, meks),
        commitment=commitment,
        state=State(state),
        uses=uses,
        created_at=_time(entry),
        beside=_beside(entry.object("beside"), meks) if "beside" in entry else None,
        imported=imported,
    )
    entry.done()
    return dek


def _imported(entry: Members) -> bool:
    if "imported" not in entry:
        return False
    if entry.take_any("imported") is not True:
        raise entry.refusal("is not true; it is left out where a key was made here", "imported")
    return True


def _beside(entry: Members, meks: int) -> Wrapped:
    wrapped = _wrapped(entry, meks)
    entry.done()
    return wrapped


def _wrapped(entry: Members, meks: int) -> Wrapped:
    return Wrapped(mek_version=_mek_version(entry, "mekVersion", meks), wrapped=base64_member(entry, "wrapped"))


def _mek_version(entry: Members, name: str, meks: int) -> int:
    version = entry.take(name, int)
    if not 1 <= version <= min(meks, MAX_MEK_VERSION):
        raise entry.refusal(f"is {version}, and there is no such master key", name)
    return version


def _time(entry: Members) -> Timestamp:
    text = entry.take("createdAt", str)
    try:
        return Timestamp.parse(text)
    except ContentError as error:
        raise entry.refusal(str(error), "createdAt") from error


def _mek_to_json(mek: Mek) -> dict[str, Any]:
    common = {"version": mek.version, "createdAt": str(mek.created_at), "provider": mek.record.provider}
    return {**common, **mek.record.to_json()}


def _dek_to_json(dek: Dek) -> dict[str, Any]:
    printed = {
        "dekId": dek.dek_id,
        "product": dek.scope.product,
        "context": dek.scope.context,
        "owner": dek.scope.owner,
        "madeUnder": dek.made_under,
        "mekVersion": dek.wrapped.mek_version,
        "wrapped": base64_text(dek.wrapped.wrapped),
        "commitment": dek.commitment,
        "state": str(dek.state),
        "uses": dek.uses,
        "createdAt": str(dek.created_at),
    }
    if dek.imported:
        printed["imported"] = True
    if dek.beside is not None:
        printed["beside"] = {"mekVersion": dek.beside.mek_version, "wrapped": base64_text(dek.beside.wrapped)}
    return printed

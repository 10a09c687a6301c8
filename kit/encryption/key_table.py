"""The keys of a run as one block of bytes, from which each worker opens only those it meets.

A run may have a million owners. Handing all their keys to every worker, or worse with every piece of work, costs more
than the encryption: so they are laid out once, a worker maps the block and finds a key in about two steps. Since the
block may lie in a file, each record is sealed under a key that is drawn for this run and crosses the pipe to the
workers: whoever finds the block has nothing. It is scratch data of one run of one version, and no format.

::

    records   4 bytes length, then AES-256-GCM of a record; the offset is the nonce. A record has a byte of flags, the
              master key's version (4 bytes), the secret and what is derived of it (32 bytes each), then as parts the
              data key's name and its scope
    slots     16 bytes each: hash and offset of a record; a power of two of them, at most half full
    end       number of slots, newest master key

The hash is HMAC-SHA-256 under a key of the run, cut to 8 bytes, of a data key's name or of a scope; a collision costs
one look more, since the record says what it is. Laws: the key set of a table gives what the one it was made of gives,
for every name and every scope; a record that was altered, or is of another run, opens to an error.
"""

from __future__ import annotations

import hmac
import mmap
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from kit.encryption.data_keys import KEY_BYTES, DataKey, Scope, expand
from kit.encryption.encoding import encode
from kit.encryption.key_set import KeySet
from kit.errors import KeyUnusableError

K = TypeVar("K")
V = TypeVar("V")

SECRET_BYTES = KEY_BYTES
_LENGTH = struct.Struct("<I")
_SLOT = struct.Struct("<QQ")
_END = struct.Struct("<QQ")
_NONCE_BYTES = 12
_HEAD = struct.Struct(f"<BI{KEY_BYTES}s{KEY_BYTES}s{KEY_BYTES}s{KEY_BYTES}s")
_PART = struct.Struct(">I")
_OPENED, _ACTIVE = 1, 2
_LOCKED = (0, *(bytes(KEY_BYTES) for _ in range(4)))
_REMEMBERED = 4096
"""Records that a worker keeps opened: the owners of a run of documents, and then some."""


def write_table(keys: KeySet, secret: bytes, write: Callable[[bytes], object]) -> None:
    """Lay out ``keys``, piece by piece.

    Args:
        keys: Of a run.
        secret: 32 random bytes, used for this table alone.
        write: Takes the pieces.
    """
    sealing, hashing = _secrets(secret)
    active = set(keys.sealing.values())
    slots = 1 << max(4, (len(keys.scopes) + len(active)) * 2).bit_length()
    table = bytearray(slots * _SLOT.size)
    at = _LENGTH.size  # an offset of 0 is an empty slot
    write(bytes(at))
    for dek_id, scope in keys.scopes.items():
        key = keys.opening.get(dek_id)
        record = _Record(dek_id=dek_id, scope=scope, key=key, active=dek_id in active)
        sealed = sealing.encrypt(at.to_bytes(_NONCE_BYTES, "big"), record.printed(), None)
        _put(table, _hash(hashing, _named(dek_id)), at)
        if record.active:
            _put(table, _hash(hashing, _of(scope)), at)
        write(_LENGTH.pack(len(sealed)) + sealed)
        at += _LENGTH.size + len(sealed)
    write(bytes(table))
    write(_END.pack(slots, keys.mek_versions))


class KeyTable:
    """Finds and opens the records of a table."""

    def __init__(self, data: bytes | mmap.mmap, secret: bytes) -> None:
        """Read from ``data``: the bytes, or a map of the file that holds them."""
        self._data = data
        self._sealing, self._hashing = _secrets(secret)
        self._slots, self._mek_versions = _END.unpack_from(data, len(data) - _END.size)
        self._first = len(data) - _END.size - self._slots * _SLOT.size
        self._met: dict[int, _Record] = {}
        self._met_names: dict[str, _Record] = {}

    def key_set(self) -> KeySet:
        """Give the keys; each is opened when it is looked up."""
        return KeySet(
            scopes=_View(self, self._named, lambda record: (record.dek_id, record.scope)),
            opening=_View(self, self._named, lambda record: (record.dek_id, record.key)),
            sealing=_View(self, self._active, lambda record: (record.scope, record.dek_id if record.active else None)),
            mek_versions=self._mek_versions,
        )

    def records(self) -> Iterator[_Record]:
        """Give all of them, in the order they were written."""
        at = _LENGTH.size
        while at < self._first:
            yield self._record(at)
            at += _LENGTH.size + _LENGTH.unpack_from(self._data, at)[0]

    def _named(self, dek_id: str) -> _Record | None:
        met = self._met_names.get(dek_id)
        if met is not None:
            return met
        return next((record for record in self._candidates(_named(dek_id)) if record.dek_id == dek_id), None)

    def _active(self, scope: Scope) -> _Record | None:
        for record in self._candidates(_of(scope)):
            if record.active and record.scope == scope:
                return record
        return None

    def _candidates(self, name: bytes) -> Iterator[_Record]:
        wanted = slot = _hash(self._hashing, name)
        while True:
            slot &= self._slots - 1
            found, offset = _SLOT.unpack_from(self._data, self._first + slot * _SLOT.size)
            if not offset:
                return
            if found == wanted:
                yield self._record(offset)
            slot += 1

    def _record(self, offset: int) -> _Record:
        record = self._met.get(offset)
        if record is None:
            start = offset + _LENGTH.size
            (length,) = _LENGTH.unpack_from(self._data, offset)
            sealed = self._data[start : start + length]
            try:
                plain = self._sealing.decrypt(offset.to_bytes(_NONCE_BYTES, "big"), sealed, None)
            except InvalidTag as error:
                raise KeyUnusableError("the keys of this run were altered, or are those of another run") from error
            if len(self._met) >= _REMEMBERED:
                self._met.clear()
                self._met_names.clear()
            record = self._met[offset] = _Record.parse(plain)
            self._met_names[record.dek_id] = record
        return record


@dataclass(frozen=True, slots=True, kw_only=True)
class _Record:
    """One data key, and what it is for."""

    dek_id: str
    scope: Scope
    key: DataKey | None = field(repr=False)
    """None where it is locked."""
    active: bool

    @classmethod
    def parse(cls, data: bytes) -> _Record:
        flags, mek_version, secret, *derived = _HEAD.unpack_from(data)
        dek_id, product, context, owner = _parts(data, _HEAD.size)
        scope, key = Scope(product=product, context=context, owner=owner), None
        if flags & _OPENED:
            key = DataKey.restored(
                dek_id=dek_id, scope=scope, mek_version=mek_version, secret=secret, derived=tuple(derived)
            )
        return cls(dek_id=dek_id, scope=scope, key=key, active=bool(flags & _ACTIVE))

    def printed(self) -> bytes:
        key = self.key
        flags = (_OPENED if key is not None else 0) | (_ACTIVE if self.active else 0)
        head = _HEAD.pack(flags, *((key.mek_version, key.secret, *key.derived) if key is not None else _LOCKED))
        return head + encode(self.scope.parts(self.dek_id))


def _parts(data: bytes, at: int) -> tuple[str, str, str, str]:
    """Undo ``encode`` of four texts."""
    found = []
    for _ in range(4):
        (size,) = _PART.unpack_from(data, at)
        found.append(data[at + 4 : at + 4 + size].decode())
        at += 4 + size
    return found[0], found[1], found[2], found[3]


class _View(Mapping[K, V]):
    """One side of the records, as a mapping; what has no value is not in it."""

    def __init__(
        self, table: KeyTable, find: Callable[[K], _Record | None], item: Callable[[_Record], tuple[K, V | None]]
    ) -> None:
        self._table, self._find, self._item = table, find, item

    def __getitem__(self, name: K) -> V:
        value: V | None = self.get(name)
        if value is None:
            raise KeyError(name)
        return value

    def get(self, key: K, default: Any = None) -> Any:
        """Give the value, or ``default``; without an exception, since an owner is looked up in every run."""
        record = self._find(key)
        value = self._item(record)[1] if record is not None else None
        return default if value is None else value

    def __iter__(self) -> Iterator[K]:
        items = map(self._item, self._table.records())
        return (name for name, value in items if value is not None)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _secrets(secret: bytes) -> tuple[AESGCM, bytes]:
    """A key for sealing records, and one for hashing their names."""
    return AESGCM(expand(secret, b"records")), expand(secret, b"names")


def _named(dek_id: str) -> bytes:
    return encode((b"name", dek_id.encode()))


def _of(scope: Scope) -> bytes:
    return encode((b"scope", scope.product.encode(), scope.context.encode(), scope.owner.encode()))


def _hash(key: bytes, name: bytes) -> int:
    return int.from_bytes(hmac.digest(key, name, "sha256")[:8], "little")


def _put(table: bytearray, name: int, offset: int) -> None:
    slots = len(table) // _SLOT.size
    slot = name & (slots - 1)
    while _SLOT.unpack_from(table, slot * _SLOT.size)[1]:
        slot = (slot + 1) & (slots - 1)
    _SLOT.pack_into(table, slot * _SLOT.size, name, offset)

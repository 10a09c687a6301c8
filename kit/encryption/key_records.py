"""Records of data keys that other programs keep, read and written through an adapter table (schemas/key-adapter.md).

The platform's ``dek_store``, a key vault of client-side field level encryption and the export of a key management
service differ in the names of their members, in the words for a state, and in how a key is wrapped. An
:class:`Adapter` states all three, so that a deployment with other names needs a file and no code. Records are BSON or
JSON; which of the two is seen by a NUL, which every BSON document ends in and no JSON text has.

Laws: a member that the adapter names is there and of its type, or an error names it; nothing is guessed; members that
it does not name are left out, since live stores have their own.
"""

from __future__ import annotations

import base64
import binascii
import importlib.resources
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Self, TypeAlias, TypeVar

from kit.documents import Kind, find, runs, string_at, validate
from kit.encryption.envelope import MAX_MEK_VERSION, spell_uuid
from kit.encryption.keyring import Dek, State
from kit.errors import ContentError, KitError, UsageError
from kit.values import Limits, strict_json
from kit.values.fields import Members

SCHEMA_VERSION: Final = "1"
SHIPPED: Final = ("dek-store", "key-vault", "kms-export")
"""The adapters that come with the package; the names in them are stated guesses, but for those of ``key-vault``."""
MAX_RECORD_BYTES: Final = 64 * 1024 * 1024
_BSON_END = b"\0"
_UUID_BYTES = 16
_NEEDED = ("dekId", "wrapped")
_OPTIONAL = ("product", "context", "owner", "mekVersion", "state")
Value: TypeAlias = str | int | bytes


class Wrapping(StrEnum):
    """How the keys of records are wrapped."""

    RSA_OAEP_256 = "rsa-oaep-256"
    """RSAES-OAEP with SHA-256, as managed HSMs and key vaults do it."""
    RSA_OAEP = "rsa-oaep"
    """The same with SHA-1, the default of older services."""
    CSFLE_LOCAL = "csfle-local"
    """AEAD_AES_256_CBC_HMAC_SHA_512 under a local master key of 96 bytes, as drivers of MongoDB do it."""


class Encoding(StrEnum):
    """How bytes are spelled in JSON; in BSON they are binary."""

    BASE64 = "base64"
    BASE64URL = "base64url"
    """Without padding."""
    HEX = "hex"

    def spell(self, data: bytes) -> str:
        """Return ``data`` as text."""
        match self:
            case Encoding.BASE64:
                return base64.b64encode(data).decode("ascii")
            case Encoding.BASE64URL:
                return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")
            case Encoding.HEX:
                return data.hex()

    def read(self, text: str) -> bytes | None:
        """Return the bytes of a text; None if it is not exactly what :meth:`spell` gives."""
        try:
            raw = text.encode("ascii")
            if self is Encoding.HEX:
                data = bytes.fromhex(text)
            elif self is Encoding.BASE64:
                data = base64.b64decode(raw, validate=True)
            else:
                data = base64.urlsafe_b64decode(raw + b"=" * (-len(raw) % 4))
        except (UnicodeEncodeError, binascii.Error, ValueError):
            return None
        return data if self.spell(data) == text else None


Path: TypeAlias = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    """What the members of a record are called, and how its key is wrapped."""

    name: str
    wrapping: Wrapping
    encoding: Encoding
    members: Mapping[str, Path]
    """The place of each member of ours in a record."""
    states: Mapping[str, State]
    """What its words for a state mean; numbers as digits."""
    constants: Mapping[Path, str]
    """Members that every record must have with this text."""

    @classmethod
    def parse(cls, data: bytes, *, where: str) -> Self:
        """Return the adapter of a file.

        Raises:
            ContentError: It is not strict JSON or not of the schema.
        """
        top = Members.parse(data, error=ContentError, where=where)
        if (version := top.take("schemaVersion", str)) != SCHEMA_VERSION:
            raise top.refusal(f"is version {version!r} of the format, not {SCHEMA_VERSION!r}", "schemaVersion")
        name = top.text(top.take("name", str), "name")
        wrapping = _word(top, "wrapping", Wrapping)
        encoding = _word(top, "encoding", Encoding) if "encoding" in top else Encoding.BASE64
        given = top.object("members")
        members = {one: _path(given, given.take(one, object), one) for one in _NEEDED}
        members |= {one: _path(given, given.take(one, object), one) for one in _OPTIONAL if one in given}
        given.done()
        states = _states(top.object("states")) if "states" in top else {}
        constants: dict[Path, str] = {}
        if "constants" in top:
            fixed = top.object("constants")
            constants = {_path(fixed, path, path): fixed.text(value, path) for path, value in fixed.rest().items()}
        top.done()
        if "state" in members and not states:
            raise top.refusal("is empty, and 'state' is among the members", "states")
        if len(set(members.values())) != len(members) or not constants.keys().isdisjoint(members.values()):
            raise top.refusal("names one place twice", "members")
        return cls(name=name, wrapping=wrapping, encoding=encoding, members=members, states=states, constants=constants)

    def state_word(self, state: State) -> str:
        """Return the platform's word for a state: the first in the file that means it.

        Raises:
            ContentError: There is none.
        """
        word = next((word for word, meant in self.states.items() if meant is state), None)
        if word is None:
            raise ContentError(f"the adapter {self.name!r} has no word for the state {state}")
        return word


def shipped(name: str) -> Adapter:
    """Return one of the adapters that come with this package.

    Raises:
        UsageError: There is none with this name.
    """
    if name not in SHIPPED:
        raise UsageError(f"there is no adapter {name!r}", hint=f"there are: {', '.join(SHIPPED)}")
    resource = importlib.resources.files("kit.encryption") / "adapters" / f"{name}.json"
    return Adapter.parse(resource.read_bytes(), where=f"{name}.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One record, its members as the adapter names them."""

    where: str
    """The file and the number of the record, for messages."""
    dek_id: str
    wrapped: bytes
    product: str | None
    context: str | None
    owner: str | None
    mek_version: int
    state: State

    def __repr__(self) -> str:
        return f"Record({self.where}, {self.dek_id!r})"


def read_records(data: bytes, adapter: Adapter, *, where: str) -> tuple[Record, ...]:
    """Return the records of a file: BSON documents, a JSON array, or JSON objects one a line.

    Raises:
        ContentError: It is none of these, has no record, or a record lacks what the adapter names.
    """
    try:
        found = _bson_records(data) if _BSON_END in data else _json_records(data, where)
    except KitError as error:
        raise ContentError(f"holds no records of keys: {error.what}", where=where) from error
    if not found:
        raise ContentError("holds no record of a key", where=where)
    return tuple(_Reader(one, adapter, f"{where}: record {number:,}").record() for number, one in enumerate(found, 1))


def record_of(adapter: Adapter, dek: Dek, wrapped: bytes) -> dict[str, Any]:
    """Return the record of a data key, as :func:`read_records` reads it.

    Raises:
        ContentError: The adapter has no word for the state of the key.
    """
    found: dict[str, Any] = {}
    values: dict[str, Any] = {
        "dekId": dek.dek_id,
        "product": dek.scope.product,
        "context": dek.scope.context,
        "owner": dek.scope.owner,
        "wrapped": adapter.encoding.spell(wrapped),
        "mekVersion": dek.made_under,
    }
    if "state" in adapter.members:
        word = adapter.state_word(dek.state)
        values["state"] = int(word) if word.isdigit() else word
    for path, value in (
        *((path, values[name]) for name, path in adapter.members.items()),
        *adapter.constants.items(),
    ):
        inner = found
        for step in path[:-1]:
            inner = inner.setdefault(step, {})
        inner[path[-1]] = value
    return found


_Source: TypeAlias = "Mapping[str, Any] | bytes"


def _bson_records(data: bytes) -> Sequence[_Source]:
    limits = Limits()
    found = [document for run in runs([data], limits=limits) for document in run]
    for document in found:
        validate(document, limits=limits)
    return found


def _json_records(data: bytes, where: str) -> Sequence[_Source]:
    limits = Limits(json_bytes=MAX_RECORD_BYTES)
    if data.lstrip().startswith(b"["):
        value = strict_json.parse(data, limits=limits, where=where)
        found = value if isinstance(value, list) else [value]
    else:
        found = [strict_json.parse(line, limits=limits, where=where) for line in data.splitlines() if line.strip()]
    if not all(isinstance(one, dict) for one in found):
        raise ContentError("a record is no object")
    return found


class _Reader:
    """Reads the members of one record."""

    def __init__(self, source: _Source, adapter: Adapter, where: str) -> None:
        self._source, self._adapter, self._where = source, adapter, where

    def record(self) -> Record:
        for path, expected in self._adapter.constants.items():
            if (found := self._at(path)) != expected:
                raise self._refusal(path, f"is {_shown(found)}, not {expected!r}")
        return Record(
            where=self._where,
            dek_id=self._text("dekId") or "",
            wrapped=self._bytes("wrapped"),
            product=self._text("product"),
            context=self._text("context"),
            owner=self._text("owner"),
            mek_version=self._version(),
            state=self._state(),
        )

    def _text(self, name: str) -> str | None:
        """Return a text: of the adapter's member, or None where the adapter has none."""
        if name not in self._adapter.members:
            return None
        value = self._member(name)
        if isinstance(value, bytes) and name == "dekId" and len(value) == _UUID_BYTES:
            return spell_uuid(value)
        if not isinstance(value, str) or not value or "\0" in value:
            raise self._refusal(self._adapter.members[name], "is no text, or an empty one")
        return value

    def _bytes(self, name: str) -> bytes:
        value = self._member(name)
        data = self._adapter.encoding.read(value) if isinstance(value, str) else value
        if not isinstance(data, bytes) or not data:
            raise self._refusal(self._adapter.members[name], f"is neither binary nor {self._adapter.encoding}")
        return data

    def _version(self) -> int:
        if "mekVersion" not in self._adapter.members:
            return 1
        value = self._member("mekVersion")
        if not isinstance(value, int) or not 1 <= value <= MAX_MEK_VERSION:
            raise self._refusal(self._adapter.members["mekVersion"], "is no version of a master key")
        return value

    def _state(self) -> State:
        if "state" not in self._adapter.members:
            return State.ACTIVE
        value = self._member("state")
        word = str(value) if isinstance(value, str | int) else ""
        if word not in self._adapter.states:
            known = ", ".join(map(repr, self._adapter.states))
            raise self._refusal(
                self._adapter.members["state"], f"is {_shown(value)}, which the adapter does not know ({known})"
            )
        return self._adapter.states[word]

    def _member(self, name: str) -> Value:
        path = self._adapter.members[name]
        value = self._at(path)
        if value is None:
            raise self._refusal(path, "is not there")
        return value

    def _at(self, path: Path) -> Value | None:
        return _in_bson(self._source, path) if isinstance(self._source, bytes) else _in_json(self._source, path)

    def _refusal(self, path: Path, what: str) -> ContentError:
        return ContentError(f"{'.'.join(path)} {what}", where=self._where, hint=f"adapter {self._adapter.name!r}")


def _in_json(source: Mapping[str, Any], path: Path) -> Value | None:
    value: Any = source
    for step in path:
        value = value.get(step) if isinstance(value, dict) else None
    if isinstance(value, dict) and value.keys() == {"$binary"}:  # Extended JSON v2, as mongoexport writes it
        inner = value["$binary"]
        text = inner.get("base64") if isinstance(inner, dict) else None
        return Encoding.BASE64.read(text) if isinstance(text, str) else None
    return value if isinstance(value, str | int) and not isinstance(value, bool) else None


def _in_bson(document: bytes, path: Path) -> Value | None:
    found = find(document, path)
    if found is None:
        return None
    match found.kind:
        case Kind.STRING:
            return string_at(document, found)
        case Kind.INT32 | Kind.INT64:
            return int.from_bytes(document[found.value : found.end], "little", signed=True)
        case Kind.BINARY:
            return document[found.value + 5 : found.end]
        case _:
            return None


def _shown(value: Value | None) -> str:
    """Return a value for a message, cut; bytes are not shown, since they may be a key."""
    if value is None or isinstance(value, bytes):
        return "not there" if value is None else "binary"
    return repr(value) if len(repr(value)) <= 80 else f"{repr(value)[:77]}..."


def _path(entry: Members, value: object, name: str) -> Path:
    steps = tuple(value.split(".")) if isinstance(value, str) else tuple(value) if isinstance(value, list) else ()
    if not steps or not all(isinstance(step, str) and step and "\0" not in step for step in steps):
        raise entry.refusal("is no path: names with dots between them, or a list of names", name)
    return steps


_Word = TypeVar("_Word", bound=StrEnum)


def _word(entry: Members, name: str, words: type[_Word]) -> _Word:
    text = entry.take(name, str)
    found = next((one for one in words if one == text), None)
    if found is None:
        raise entry.refusal(f"is {text[:80]!r}, not one of {', '.join(words)}", name)
    return found


def _states(words: Members) -> dict[str, State]:
    found: dict[str, State] = {}
    for word, value in words.rest().items():
        state = next((one for one in State if one == value), None)
        if state is None:
            raise words.refusal(f"is none of {', '.join(State)}", word)
        found[word] = state
    return found

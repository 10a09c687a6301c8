"""The envelope: the subdocument that replaces an encrypted value (schemas/envelope.md, "Members").

The names of its members are in one table, :data:`NAMES`, and nowhere else. Parsing is strict: exactly the members of
the profile, each of its type, length and one spelling. Only the form is checked here; :mod:`kit.encryption.aead` opens
envelopes.

Laws: ``Envelope.parse(e.to_bson()) == e``; no change of one byte of a member's value parses to the same envelope.
"""

from __future__ import annotations

import binascii
import enum
import functools
import json
import re
import struct
from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple, Self

from kit.documents import Kind, Place, index, string_at
from kit.documents.kinds import KINDS
from kit.errors import BsonError, EnvelopeError

ALGORITHM = "aes-256-gcm"
IV_BYTES = 12
TAG_BYTES = 16
MAX_MEK_VERSION = 2**31 - 1
# Names of keys go into messages and file names: printable, no blanks, bounded.
_DEK_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_INT32 = struct.Struct("<i")


class Profile(enum.Enum):
    """The kinds of envelope: two by the number in ``v``, and that of drivers of MongoDB."""

    COMPAT = 1
    """Opens in the platform's own reader: key = DEK, strings only, no associated data."""
    BOUND = 2
    """Opens only in its place: a key per document, any type, associated data."""
    CSFLE = 3
    """Opens in drivers of MongoDB: a Binary of subtype 6, not a subdocument (:mod:`kit.encryption.csfle`)."""

    @classmethod
    def named(cls, name: str) -> Self:
        """Return the profile called ``compat``, ``bound`` or ``csfle``.

        Raises:
            EnvelopeError: There is none with this name.
        """
        for profile in cls:
            if str(profile) == name:
                return profile
        raise EnvelopeError(f"there is no envelope profile {name!r}, only 'compat', 'bound' and 'csfle'")

    @property
    def is_subdocument(self) -> bool:
        """Return whether its envelopes are subdocuments, which text can have, too."""
        return self is not Profile.CSFLE

    def __str__(self) -> str:
        return self.name.lower()


CSFLE_SUBTYPE: Final = 6
CSFLE_DETERMINISTIC: Final = 1
CSFLE_RANDOM: Final = 2
CSFLE_IV_BYTES: Final = 16
CSFLE_TAG_BYTES: Final = 32
_CSFLE_HEAD: Final = 18
_CSFLE_LEAST: Final = _CSFLE_HEAD + CSFLE_IV_BYTES + 16 + CSFLE_TAG_BYTES
"""Bytes of an envelope of one block."""
_COMPAT: Final = Profile.COMPAT
SUBDOCUMENTS: Final = (Profile.COMPAT, Profile.BOUND)
"""The profiles whose envelopes are subdocuments, which the core has, too."""
JSON_TEXT: Final = 256
"""In the place of a type byte: the value is kept as JSON text. No BSON type has this number."""
JSON_TAG: Final = b"json"
"""What such an envelope has in ``bt``, and what an ``_id`` that is kept as text has before it."""
PROFILES = {profile.value: profile for profile in Profile}
"""By version; a look-up costs a tenth of an enumeration's call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """The adapter table: the name of each member in stored documents. Its order is the order of writing."""

    mark: str = "__encrypted"
    version: str = "v"
    algorithm: str = "alg"
    ciphertext: str = "ct"
    iv: str = "iv"
    tag: str = "tag"
    dek_id: str = "dekId"
    mek_version: str = "mekVersion"
    context: str = "ctx"
    bson_type: str = "bt"


NAMES = Names()

_MARK, _VERSION, _ALGORITHM = NAMES.mark.encode(), NAMES.version.encode(), NAMES.algorithm.encode()
_CIPHERTEXT, _IV, _TAG = NAMES.ciphertext.encode(), NAMES.iv.encode(), NAMES.tag.encode()
_DEK, _MEK = NAMES.dek_id.encode(), NAMES.mek_version.encode()
_CONTEXT, _TYPE = NAMES.context.encode(), NAMES.bson_type.encode()
_COMPAT_MEMBERS = frozenset({_MARK, _VERSION, _ALGORITHM, _CIPHERTEXT, _IV, _TAG, _DEK, _MEK})
_MEMBERS = {Profile.COMPAT: _COMPAT_MEMBERS, Profile.BOUND: _COMPAT_MEMBERS | {_CONTEXT, _TYPE}}
_TRIO = (_CIPHERTEXT, _IV, _TAG)
SEALS: Final = ((_MARK,), _TRIO)
"""A subdocument with all names of one of these groups is an envelope or an error; see :func:`looks_like`."""


def looks_like(names: Container[bytes]) -> bool:
    """Return whether a subdocument with these members is an envelope or an error, and never plaintext.

    The mark alone suffices. So do the three members that only ciphertext has: otherwise a damaged mark would turn an
    envelope into plaintext that is sealed again.
    """
    return _MARK in names or all(name in names for name in _TRIO)


class Envelope(NamedTuple):
    """One encrypted value.

    A plain tuple for speed: a frozen dataclass of eight members costs 2 µs, twice what AES-GCM takes.

    Attributes:
        profile: The profile of ``v``.
        ciphertext: As long as the plaintext.
        iv: 12 bytes.
        tag: 16 bytes.
        dek_id: Name of the data key.
        mek_version: Version of the master key under which the data key was made.
        context: The field map's; only in ``bound``.
        bson_type: Type byte of the plaintext, or :data:`JSON_TEXT`; not in ``compat``.
        algorithm: Deterministic or random; only in ``csfle``.
    """

    profile: Profile
    ciphertext: bytes
    iv: bytes
    tag: bytes
    dek_id: str
    mek_version: int
    context: str | None = None
    bson_type: int | None = None
    algorithm: int = 0

    @classmethod
    def parse(cls, value: bytes) -> Self:
        """Return the envelope in the value bytes of a subdocument.

        Raises:
            EnvelopeError: A member is missing, superfluous, repeated, of another type, length or spelling.
        """
        try:
            return cls.read(value, index(value))
        except BsonError as error:
            raise EnvelopeError(f"not an envelope: {error}") from error

    @classmethod
    def read(cls, buffer: bytes, places: Mapping[bytes, Place]) -> Self:
        """Return the envelope of a subdocument whose members were already found in ``buffer``.

        Raises:
            EnvelopeError: As :meth:`parse`.
        """
        place = places.get(_MARK)
        if place is None or place[0] != Kind.BOOLEAN or buffer[place[1]] != 1:
            raise EnvelopeError(f"not an envelope: {NAMES.mark} is not true")
        profile = _profile(_integer(buffer, places, _VERSION))
        if places.keys() != _MEMBERS[profile]:
            raise _wrong_members(places, _MEMBERS[profile], profile)
        if (algorithm := _text(buffer, places, _ALGORITHM)) != ALGORITHM:
            raise EnvelopeError(f"{NAMES.algorithm} is {algorithm[:40]!r}, not {ALGORITHM!r}")
        mek_version = _integer(buffer, places, _MEK)
        if mek_version < 1:
            raise EnvelopeError(f"{NAMES.mek_version} is {mek_version}; versions start at 1")
        bound = profile is Profile.BOUND
        return cls(
            profile=profile,
            ciphertext=_base64(buffer, places, _CIPHERTEXT, None),
            iv=_base64(buffer, places, _IV, IV_BYTES),
            tag=_base64(buffer, places, _TAG, TAG_BYTES),
            dek_id=check_dek_id(_text(buffer, places, _DEK)),
            mek_version=mek_version,
            context=_text(buffer, places, _CONTEXT) if bound else None,
            bson_type=_sealed_type(buffer, places) if bound else None,
        )

    @classmethod
    def read_binary(cls, value: bytes) -> Self:
        """Return the envelope in the value bytes of a Binary of subtype 6 (schemas/envelope.md, "The profile csfle").

        Raises:
            EnvelopeError: Its algorithm, type or length cannot be.
        """
        data = value[5:]
        if len(data) < _CSFLE_LEAST or (len(data) - _CSFLE_LEAST) % CSFLE_IV_BYTES:
            raise EnvelopeError(f"a Binary of subtype 6 of {len(data):,} bytes, which no csfle envelope has")
        if data[0] not in {CSFLE_DETERMINISTIC, CSFLE_RANDOM}:
            raise EnvelopeError(f"a Binary of subtype 6 with the algorithm {data[0]}, neither 1 nor 2")
        return cls(
            profile=Profile.CSFLE,
            ciphertext=data[_CSFLE_HEAD + CSFLE_IV_BYTES : -CSFLE_TAG_BYTES],
            iv=data[_CSFLE_HEAD : _CSFLE_HEAD + CSFLE_IV_BYTES],
            tag=data[-CSFLE_TAG_BYTES:],
            dek_id=spell_uuid(data[1:17]),
            mek_version=1,
            bson_type=_bson_type(data[17]),
            algorithm=data[0],
        )

    def __repr__(self) -> str:
        return f"Envelope({self.profile}, {self.dek_id}, {len(self.ciphertext):,} bytes)"

    def to_bson(self) -> bytes:
        """Return the value bytes of the subdocument, or of the Binary in ``csfle``."""
        if self.profile is Profile.CSFLE and self.bson_type is not None:
            head = bytes((self.algorithm,)) + bytes.fromhex(self.dek_id.replace("-", "")) + bytes((self.bson_type,))
            data = b"".join((head, self.iv, self.ciphertext, self.tag))
            return b"".join((_INT32.pack(len(data)), bytes((CSFLE_SUBTYPE,)), data))
        tail = envelope_tail(self.dek_id, self.mek_version, self.context, self.bson_type)
        return encode_sealed(self.profile, self.ciphertext + self.tag, self.iv, tail)


def encode_sealed(profile: Profile, sealed: bytes, iv: bytes, tail: bytes) -> bytes:
    """Return an envelope as the value bytes of a subdocument.

    Args:
        profile: Its profile.
        sealed: Ciphertext and tag, as from GCM.
        iv: The initialisation vector.
        tail: From :func:`envelope_tail`.
    """
    text = _encode(sealed[:-TAG_BYTES])
    prefix = _PREFIX_COMPAT if profile is _COMPAT else _PREFIX_BOUND
    size = len(prefix) + len(text) + len(tail) + _REST
    return b"".join(
        (
            size.to_bytes(4, "little"),
            prefix,
            (len(text) + 1).to_bytes(4, "little"),
            text,
            _BEFORE_IV,
            _encode(iv),
            _BEFORE_TAG,
            _encode(sealed[-TAG_BYTES:]),
            tail,
        )
    )


def check_dek_id(text: str) -> str:
    """Return ``text`` if it can be the name of a data key.

    Raises:
        EnvelopeError: It is empty, longer than 128 characters, or has any but letters, digits and ``._:-``.
    """
    if not _DEK_ID.fullmatch(text):
        raise EnvelopeError(f"{NAMES.dek_id} {text[:40]!r} is not 1 to 128 letters, digits, '.', '_', ':' or '-'")
    return text


def _string(name: bytes, text: bytes) -> bytes:
    return b"".join((b"\x02", name, b"\0", _INT32.pack(len(text) + 1), text, b"\0"))


def _int32(name: bytes, value: int) -> bytes:
    return b"".join((b"\x10", name, b"\0", _INT32.pack(value)))


def _base64_size(size: int) -> bytes:
    return _INT32.pack((size + 2) // 3 * 4 + 1)


# The constant bytes between the members that differ from value to value.
_PREFIX_COMPAT, _PREFIX_BOUND = (
    b"".join(
        (
            b"\x08" + _MARK + b"\0\x01",
            _int32(_VERSION, profile.value),
            _string(_ALGORITHM, ALGORITHM.encode()),
            b"\x02" + _CIPHERTEXT + b"\0",
        )
    )
    for profile in (Profile.COMPAT, Profile.BOUND)
)
_BEFORE_IV = b"\0\x02" + _IV + b"\0" + _base64_size(IV_BYTES)
_BEFORE_TAG = b"\0\x02" + _TAG + b"\0" + _base64_size(TAG_BYTES)
_REST = 4 + 4 + len(_BEFORE_IV) + (IV_BYTES + 2) // 3 * 4 + len(_BEFORE_TAG) + (TAG_BYTES + 2) // 3 * 4
"""Bytes of a subdocument without those before the ciphertext, the ciphertext, and the tail."""


def envelope_tail(dek_id: str, mek_version: int, context: str | None, bson_type: int | None) -> bytes:
    """Return the bytes after the tag: the same for most values of an owner."""
    return b"".join((b"\0", _string(_DEK, dek_id.encode()), _after_dek(mek_version, context, bson_type)))


@functools.lru_cache(maxsize=1024)
def _after_dek(mek_version: int, context: str | None, bson_type: int | None) -> bytes:
    """Return the bytes after the name of the key: the same for most values of a collection."""
    parts = [_int32(_MEK, mek_version)]
    if context is not None and bson_type is not None:
        is_text = bson_type == JSON_TEXT
        parts += (
            _string(_CONTEXT, context.encode()),
            (_string(_TYPE, JSON_TAG) if is_text else _int32(_TYPE, bson_type)),
        )
    return b"".join((*parts, b"\0"))


def _profile(version: int) -> Profile:
    profile = PROFILES.get(version)
    if profile is None or profile not in SUBDOCUMENTS:
        raise EnvelopeError(f"{NAMES.version} is {version}, not 1 (compat) or 2 (bound)")
    return profile


def _wrong_members(places: Mapping[bytes, Place], wanted: frozenset[bytes], profile: Profile) -> EnvelopeError:
    absent = sorted(name for name in wanted if name not in places)
    foreign = sorted(name for name in places if name not in wanted)
    what = f"lacks {absent[0].decode()!r}" if absent else f"has {foreign[0].decode('utf-8', 'backslashreplace')!r}"
    return EnvelopeError(f"the members are not those of a {profile} envelope: it {what}")


def _place(places: Mapping[bytes, Place], name: bytes, kind: Kind) -> Place:
    place = places.get(name)
    if place is None:
        raise EnvelopeError(f"not an envelope: it lacks {name.decode()!r}")
    if place[0] != kind:
        raise EnvelopeError(f"{name.decode()} is of BSON type {place[0]}, not {int(kind)}")
    return place


def _integer(buffer: bytes, places: Mapping[bytes, Place], name: bytes) -> int:
    value: int = _INT32.unpack_from(buffer, _place(places, name, Kind.INT32)[1])[0]
    return value


def _text(buffer: bytes, places: Mapping[bytes, Place], name: bytes) -> str:
    try:
        return string_at(buffer, _place(places, name, Kind.STRING))
    except BsonError as error:
        raise EnvelopeError(f"{name.decode()} is not text: {error}") from error


def _encode(data: bytes) -> bytes:
    """Return ``data`` in base64 (RFC 4648 section 4): padded, without line ends."""
    return binascii.b2a_base64(data, newline=False)


def _base64(buffer: bytes, places: Mapping[bytes, Place], name: bytes, size: int | None) -> bytes:
    """Return decoded base64; only canonical base64 (RFC 4648 3.5), since stock decoders accept several spellings."""
    _, value, end = _place(places, name, Kind.STRING)
    text = buffer[value + 4 : end - 1]
    try:
        data = binascii.a2b_base64(text, strict_mode=True)
    except binascii.Error as error:
        raise EnvelopeError(f"{name.decode()} is not base64") from error
    if buffer[end - 1] or _encode(data) != text:
        raise EnvelopeError(f"{name.decode()} is not canonical base64 (RFC 4648 3.5)")
    if size is not None and len(data) != size:
        raise EnvelopeError(f"{name.decode()} has {len(data):,} bytes, not {size}")
    return data


def _sealed_type(buffer: bytes, places: Mapping[bytes, Place]) -> int:
    place = places.get(_TYPE)
    if place is not None and place[0] == Kind.STRING and buffer[place[1] + 4 : place[2] - 1] == JSON_TAG:
        return JSON_TEXT
    return _bson_type(_integer(buffer, places, _TYPE))


def check_kept(envelope: Envelope, *, as_text: bool) -> None:
    """Check that an envelope is one of a collection of texts, or of one of BSON.

    Raises:
        EnvelopeError: It was sealed in a collection of the other kind.
    """
    if envelope.bson_type is not None and (envelope.bson_type == JSON_TEXT) != as_text:
        stated = json.dumps(JSON_TAG.decode() if envelope.bson_type == JSON_TEXT else envelope.bson_type)
        due = f"{json.dumps(JSON_TAG.decode())} in a collection of JSON" if as_text else "a number in one of BSON"
        raise EnvelopeError(f"{NAMES.bson_type} is {stated}, and is {due}")


def _bson_type(value: int) -> int:
    # Null is never sealed, and a type byte that BSON does not have could not be restored.
    if value == Kind.NULL or value not in KINDS:
        raise EnvelopeError(f"{NAMES.bson_type} is {value}, not the type of a value that can be sealed")
    return value


def spell_uuid(data: bytes) -> str:
    """Return the text of a UUID (RFC 9562 4)."""
    return "-".join((data[:4].hex(), data[4:6].hex(), data[6:8].hex(), data[8:10].hex(), data[10:].hex()))


def is_csfle(value: bytes) -> bool:
    """Return whether the value bytes of a Binary have the subtype of encrypted values."""
    return value[4] == CSFLE_SUBTYPE

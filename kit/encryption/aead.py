"""Seals and opens values: AES-256-GCM; key, initialisation vector and associated data bind a value to its place.

Normative: schemas/envelope.md, "Sealing", with the argument for synthetic initialisation vectors and the nonce budget
(NIST SP 800-38D section 8; the idea is that of RFC 5297 and RFC 8452, without their cipher, which stock readers lack).

- Places: a value's place as bytes, to which all keyed results are bound ("Encoding"). They are made once for a
  collection and a field; the encoding for each document is joined from their parts.
- Sources of initialisation vectors ("What a synthetic IV gives and costs"): a run chooses one and sends it to its
  workers. Synthetic vectors are computed here.
- Ciphers: of one key in one field, and of one document.

Laws: ``open`` undoes ``seal``, type and bytes; in ``bound``, an envelope opens only in the document, field and context
and under the key it was sealed for; with synthetic vectors, equal inputs give equal envelopes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeAlias, final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from kit.documents import Kind, element, validate
from kit.documents.json_text import spell_value
from kit.documents.json_view import view_value
from kit.documents.kinds import INT32
from kit.encryption import csfle
from kit.encryption.envelope import (
    CSFLE_IV_BYTES,
    IV_BYTES,
    JSON_TEXT,
    PROFILES,
    TAG_BYTES,
    Envelope,
    Profile,
    encode_sealed,
    envelope_tail,
)
from kit.encryption.field_map import FieldPath
from kit.encryption.keys import KEY_BYTES, TYPE_PARTS, DataKey, KeyMacs, encode_parts, key_part, length, part
from kit.errors import BsonError, ContentError, EnvelopeError, KeyUnusableError, KitError
from kit.values import CollectionName, Limits

_ENVELOPE = b"offline-kit/envelope"
_DOCUMENT_KEY = b"offline-kit/document-key"


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionPlace:
    """One collection of one product, with the encodings that all its documents share."""

    product: str
    name: CollectionName
    version: int
    """The envelope's version, 1 or 2. Keys and initialisation vectors of the two always differ."""
    prefix: bytes = field(init=False, repr=False, compare=False)
    """The leading parts of associated data; followed by ``part(identity)``, all that the fields of one document share.
    The identity is the ``_id``'s type byte and value bytes, as in the document: the string ``"1"`` and the number 1
    are two documents."""
    key_prefix: bytes = field(init=False, repr=False, compare=False)
    """Followed by ``part(identity)``: the info from which a document's key is derived."""

    def __post_init__(self) -> None:
        parts = (
            bytes((self.version,)),
            self.product.encode(),
            self.name.database.encode(),
            self.name.collection.encode(),
        )
        object.__setattr__(self, "prefix", encode_parts((_ENVELOPE, *parts)))
        object.__setattr__(self, "key_prefix", encode_parts((_DOCUMENT_KEY, *parts)))

    def field(self, path: FieldPath, context: str) -> FieldPlace:
        """Return the place of a field."""
        steps = encode_parts(step.encode() for step in path.steps)
        return FieldPlace(collection=self, path=path, context=context, infix=part(steps) + part(context.encode()))

    def document_key_info(self, identity: bytes) -> bytes:
        """Return the info from which a document's key is derived."""
        return self.key_prefix + part(identity)

    def located(self, identity: bytes) -> bytes:
        """Return the leading parts of associated data, the document included."""
        return self.prefix + part(identity)


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldPlace:
    """One field of a collection."""

    collection: CollectionPlace
    path: FieldPath
    context: str
    infix: bytes = field(repr=False)
    """The encoded path and context."""
    infix_part: bytes = field(init=False, repr=False, compare=False)
    """The infix, as a part."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "infix_part", part(self.infix))

    def associated_data(self, located: bytes, bson_type: int, dek_id: str, mek_version: int) -> bytes:
        """Return the encoded place of a value.

        Args:
            located: From :meth:`CollectionPlace.located`.
            bson_type: Type byte of the plaintext.
            dek_id: Name of the key; it implies the owner, to whom the keyring binds it.
            mek_version: As in the envelope.
        """
        return b"".join((located, self.infix, TYPE_PARTS[bson_type], key_part(dek_id, mek_version)))


@dataclass(frozen=True, slots=True)
class SyntheticIv:
    """Vectors derived from the value and its place; the default."""


@dataclass(frozen=True, slots=True)
class RandomIv:
    """Random vectors; envelopes of equal values differ from run to run."""

    random: Callable[[int], bytes]


IvSource: TypeAlias = SyntheticIv | RandomIv


COMPAT_USES: Final = 2**31
"""Maximum values sealed under one DEK in ``compat`` (schemas/envelope.md, "Nonce budget")."""

_LIMITS: Final = Limits()
_STRING: Final = int(Kind.STRING)
_NULL: Final = int(Kind.NULL)
_COMPAT: Final = Profile.COMPAT


class OpenedValue(NamedTuple):
    """A value before it was sealed."""

    kind: int
    """Type byte, or :data:`~kit.encryption.envelope.JSON_TEXT`."""
    value: bytes
    """BSON value bytes: without type and name; or the exact text."""

    @property
    def text(self) -> bytes:
        """The value as text; that of a string in ``compat`` is the one spelling that it can have had."""
        return self.value if self.kind == JSON_TEXT else spell_value(self.value, self.kind, 0, len(self.value))

    def viewed(self) -> tuple[int, bytes]:
        """Return type and value bytes of what the text represents."""
        return view_value(self.value, limits=_LIMITS) if self.kind == JSON_TEXT else (self.kind, self.value)

    def __repr__(self) -> str:
        return f"OpenedValue(kind={self.kind}, {len(self.value):,} bytes)"


@final
class _Parts:
    """What all values of one type in one field under one key share."""

    __slots__ = ("associated", "digested", "kind", "tail")

    def __init__(self, field: FieldPlace, kind: int, key: DataKey, *, bound: bool) -> None:
        self.kind = kind
        typed = TYPE_PARTS[kind]
        self.associated = b"".join((field.infix, typed, key.part))
        """The last parts of associated data."""
        self.digested = field.infix_part + typed
        """The parts of the digest's input between document and value."""
        self.tail = envelope_tail(
            key.dek_id, key.mek_version, field.context if bound else None, kind if bound else None
        )
        """The end of the envelope."""


@final
class KeyInPlace:
    """One data key in one collection: what all documents of its owner share."""

    __slots__ = ("_parts", "bound", "is_csfle", "key", "key_prefix", "macs", "prefix", "profile", "shared")

    def __init__(self, key: DataKey, collection: CollectionPlace, macs: KeyMacs | None = None) -> None:
        """Bind a key to a collection, whose version decides the profile; ``macs`` are cached MACs of the key."""
        self.key = key
        self.macs = macs if macs is not None else KeyMacs(key)
        self.profile: Profile = PROFILES[collection.version]
        self.bound = self.profile is Profile.BOUND
        self.prefix: bytes = collection.prefix
        self.key_prefix: bytes = collection.key_prefix
        # In ``compat`` the DEK itself is the key of all documents.
        self.is_csfle = self.profile is Profile.CSFLE
        if self.is_csfle:
            csfle.check_key(key)
        self.shared = AESGCM(_compat_key(key)) if self.profile is _COMPAT else None
        self._parts: dict[bytes, _Parts] = {}

    def parts(self, field: FieldPlace, kind: int) -> _Parts:
        """Return what values of type ``kind`` in ``field`` share."""
        name: bytes = field.infix
        parts = self._parts.get(name)
        if parts is None or parts.kind != kind:
            parts = self._parts[name] = _Parts(field, kind, self.key, bound=self.bound)
        return parts


def _compat_key(key: DataKey) -> bytes:
    if len(key.secret) != KEY_BYTES:
        raise KeyUnusableError(
            f"data key {key.dek_id} has {len(key.secret)} bytes, and compat seals with keys of {KEY_BYTES}",
            hint="use the profile 'bound'",
        )
    return key.secret


@final
class DocumentCipher:
    """Seals and opens the fields of one document under one data key."""

    __slots__ = ("_cipher", "_located", "_place")

    def __init__(self, place: KeyInPlace, identity: bytes) -> None:
        """Derive the document's key.

        Args:
            place: The owner's data key in the document's collection.
            identity: Type byte and value bytes of the document's ``_id``.
        """
        self._place = place
        document = part(identity)
        self._located: bytes = place.prefix + document
        shared = place.shared
        if shared is None:
            shared = AESGCM(place.macs.document_key(place.key_prefix, document))
        self._cipher = shared

    def seal(self, field: FieldPlace, kind: int, value: bytes, iv: IvSource) -> Envelope:
        """Return the envelope of one value.

        Args:
            field: The field of the document.
            kind: Type byte.
            value: BSON value bytes.
            iv: The source of the initialisation vector.

        Raises:
            ContentError: The value is not well-formed BSON, or no string in ``compat``.
        """
        place = self._place
        key, bound = place.key, place.bound
        if place.is_csfle:
            check_sealable(place.profile, kind, value)
            return csfle.seal(key, kind, value, iv.random(CSFLE_IV_BYTES) if isinstance(iv, RandomIv) else None)
        vector, sealed = self._seal(place.parts(field, kind), kind, value, iv)
        return Envelope(
            profile=place.profile,
            ciphertext=sealed[:-TAG_BYTES],
            iv=vector,
            tag=sealed[-TAG_BYTES:],
            dek_id=key.dek_id,
            mek_version=key.mek_version,
            context=field.context if bound else None,
            bson_type=kind if bound else None,
        )

    def seal_encoded(self, field: FieldPlace, kind: int, value: bytes, iv: IvSource) -> bytes:
        """Return ``seal(…).to_bson()``, without the object."""
        if self._place.is_csfle:
            return self.seal(field, kind, value, iv).to_bson()
        parts = self._place.parts(field, kind)
        vector, sealed = self._seal(parts, kind, value, iv)
        return encode_sealed(self._place.profile, sealed, vector, parts.tail)

    def _seal(self, parts: _Parts, kind: int, value: bytes, iv: IvSource) -> tuple[bytes, bytes]:
        """Return the vector, and ciphertext and tag."""
        place = self._place
        check_sealable(place.profile, kind, value)
        plaintext = value if place.bound else value[4:-1]
        associated_data = self._located + parts.associated
        if isinstance(iv, RandomIv):
            vector = iv.random(IV_BYTES)
        else:
            # Over both, the first length-prefixed: a pseudorandom function of everything that enters GCM.
            data = b"".join((length(associated_data), associated_data, plaintext))
            vector = place.macs.vectors.digest(data)[:IV_BYTES]
        return vector, self._cipher.encrypt(vector, plaintext, associated_data if place.bound else None)

    def digest(self, field: FieldPlace, kind: int, value: bytes) -> int:
        """Return the digest of one value (schemas/envelope.md, "Value digest"); arguments as for :meth:`seal`."""
        located, place = self._located, self._place
        data = b"".join((length(located), located, place.parts(field, kind).digested, length(value), value))
        return int.from_bytes(place.macs.values.digest(data), "big")

    def open(self, field: FieldPlace, envelope: Envelope) -> OpenedValue:
        """Return the value of an envelope.

        Raises:
            EnvelopeError: It is of the other profile, names another key or context, does not authenticate here, or
                holds a value that could not have been sealed.
        """
        check_form(field, envelope)
        if envelope.dek_id != self._place.key.dek_id:
            raise EnvelopeError(f"sealed under data key {envelope.dek_id}, not {self._place.key.dek_id}")
        bound = self._place.bound
        kind = envelope.bson_type if envelope.bson_type is not None else int(Kind.STRING)
        if self._place.is_csfle:
            return _opened(kind, csfle.unseal(self._place.key, envelope))
        associated_data = None
        if bound:
            associated_data = field.associated_data(self._located, kind, envelope.dek_id, envelope.mek_version)
        try:
            plaintext = self._cipher.decrypt(envelope.iv, envelope.ciphertext + envelope.tag, associated_data)
        except InvalidTag as error:
            raise EnvelopeError(
                f"does not open under data key {envelope.dek_id}: altered, or "
                + ("moved from another document, field or collection" if bound else "not sealed under this key")
            ) from error
        return _opened(kind, plaintext if bound else b"".join((INT32.pack(len(plaintext) + 1), plaintext, b"\0")))


def _opened(kind: int, value: bytes) -> OpenedValue:
    try:
        _check_value(kind, value)
    except ContentError as error:
        raise EnvelopeError(f"opens, but holds no value of {named(kind)}: {error}") from error
    return OpenedValue(kind=kind, value=value)


def check_sealable(profile: Profile, kind: int, value: bytes) -> None:
    """Check that a value of type ``kind`` and these bytes can be sealed.

    Raises:
        ContentError: It is not well-formed BSON, no string in ``compat``, or of a type that ``csfle`` never seals.
    """
    _check_value(kind, value)
    if profile is Profile.CSFLE:
        csfle.check_type(kind, is_deterministic=False)
    if profile is _COMPAT and kind != _STRING:
        raise ContentError(
            f"a compat envelope holds only strings; this is of BSON type {kind}", hint="use the profile 'bound'"
        )


def named(kind: int) -> str:
    """Return a type in words."""
    return "JSON" if kind == JSON_TEXT else f"BSON type {kind}"


def check_form(field: FieldPlace, envelope: Envelope) -> None:
    """Check what can be checked of an envelope without a key.

    Raises:
        EnvelopeError: It is of the other profile, or of another context than the field map's.
    """
    profile = PROFILES[field.collection.version]
    if envelope.profile is not profile:
        raise EnvelopeError(
            f"a {envelope.profile} envelope, but the profile is {profile}; a collection never holds both"
        )
    if envelope.context is not None and envelope.context != field.context:
        raise EnvelopeError(f"sealed for context {envelope.context[:80]!r}, not {field.context!r}")


def _check_value(kind: int, value: bytes) -> None:
    """Check that these bytes are one well-formed value: otherwise a reader could open but not read it."""
    if kind == JSON_TEXT:
        _check_text(value)
        return
    size = len(value) - 4
    # The fast path of nearly all values, without building a document around them.
    is_framed = kind == _STRING and size > 0 and not value[-1] and INT32.unpack_from(value)[0] == size
    if is_framed and (value.isascii() or _is_utf8(value[4:-1])):  # some lengths are not ASCII
        return
    try:
        body = element("", kind, value)
        validate(b"".join((INT32.pack(len(body) + 5), body, b"\0")), limits=_LIMITS)
    except BsonError as error:
        raise ContentError(f"not a well-formed BSON value: {error}") from error


def _check_text(text: bytes) -> None:
    try:
        kind, _ = view_value(text, limits=_LIMITS)
    except KitError as error:
        raise ContentError(f"not a well-formed JSON value: {error.what}") from error
    if kind == _NULL:
        raise ContentError("null, which is never sealed")


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True

"""Seals and opens values: AES-256-GCM under a key, an initialisation vector and associated data that fix the place.

Normative: schemas/envelope.md, "Sealing", with the argument for synthetic initialisation vectors and the nonce budget
(NIST SP 800-38D section 8; the idea is that of RFC 5297 and RFC 8452, without their cipher, which stock readers lack).
Laws: ``open`` after ``seal`` gives type and bytes back; in ``bound``, an envelope opens only in the document, field,
context and under the key it was sealed for; with synthetic vectors equal inputs give equal envelopes.
"""

from __future__ import annotations

from typing import Final, NamedTuple, final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from kit.documents import Kind, element, validate
from kit.documents.kinds import INT32
from kit.encryption.associated_data import CollectionPlace, FieldPlace
from kit.encryption.data_keys import DataKey
from kit.encryption.encoding import TYPE_PARTS, length, part
from kit.encryption.envelope import IV_BYTES, PROFILES, TAG_BYTES, Envelope, Profile, print_sealed
from kit.encryption.initialisation import IvSource, RandomIv
from kit.encryption.macs import KeyMacs
from kit.errors import BsonError, ContentError, EnvelopeError
from kit.values import Limits

COMPAT_USES: Final = 2**31
"""Values sealed under one DEK in ``compat``, at most (schemas/envelope.md, "Nonce budget")."""

_LIMITS: Final = Limits()
_STRING: Final = int(Kind.STRING)


class Opened(NamedTuple):
    """A value as it was before it was sealed."""

    kind: int
    """Type byte."""
    value: bytes
    """BSON value bytes: without type and name."""

    def __repr__(self) -> str:
        return f"Opened(kind={self.kind}, {len(self.value):,} bytes)"


@final
class DocumentCipher:
    """Seals and opens the fields of one document under one data key."""

    __slots__ = ("_bound", "_cipher", "_key", "_located", "_macs", "_profile")

    def __init__(self, key: DataKey, collection: CollectionPlace, identity: bytes, macs: KeyMacs | None = None) -> None:
        """Derive the document's key.

        Args:
            key: The owner's data key.
            collection: Where the document is; its version decides the profile.
            identity: Type byte and value bytes of the document's ``_id``.
            macs: Of the key, where more documents are its owner's.
        """
        self._key = key
        self._macs = macs if macs is not None else KeyMacs(key)
        self._profile: Profile = PROFILES[collection.version]
        self._bound = self._profile is Profile.BOUND
        place = part(identity)
        self._located: bytes = collection.prefix + place
        secret = self._macs.document_key(collection.key_prefix + place) if self._bound else key.secret
        self._cipher = AESGCM(secret)

    def seal(self, field: FieldPlace, kind: int, value: bytes, iv: IvSource) -> Envelope:
        """Encrypt one value.

        Args:
            field: Which field of the document.
            kind: Type byte.
            value: BSON value bytes.
            iv: Where the initialisation vector comes from.

        Raises:
            ContentError: The value is not well-formed BSON, or no string in ``compat``.
        """
        vector, sealed = self._sealed(field, kind, value, iv)
        return Envelope(
            profile=self._profile,
            ciphertext=sealed[:-TAG_BYTES],
            iv=vector,
            tag=sealed[-TAG_BYTES:],
            dek_id=self._key.dek_id,
            mek_version=self._key.mek_version,
            context=field.context if self._bound else None,
            bson_type=kind if self._bound else None,
        )

    def seal_printed(self, field: FieldPlace, kind: int, value: bytes, iv: IvSource) -> bytes:
        """As :meth:`seal`, printed: ``seal(…).to_bson()``."""
        vector, sealed = self._sealed(field, kind, value, iv)
        key = self._key
        if self._bound:
            return print_sealed(self._profile, sealed, vector, key.dek_id, key.mek_version, field.context, kind)
        return print_sealed(self._profile, sealed, vector, key.dek_id, key.mek_version, None, None)

    def _sealed(self, field: FieldPlace, kind: int, value: bytes, iv: IvSource) -> tuple[bytes, bytes]:
        """Give the vector, and ciphertext and tag."""
        check_sealable(self._profile, kind, value)
        plaintext = value if self._bound else value[4:-1]
        associated_data = b"".join((self._located, field.infix, TYPE_PARTS[kind], self._key.part))
        if isinstance(iv, RandomIv):
            vector = iv.random(IV_BYTES)
        else:
            # Over both, the first with its length: a pseudorandom function of everything that enters GCM.
            data = b"".join((length(associated_data), associated_data, plaintext))
            vector = self._macs.vectors.digest(data)[:IV_BYTES]
        return vector, self._cipher.encrypt(vector, plaintext, associated_data if self._bound else None)

    def digest(self, field: FieldPlace, kind: int, value: bytes) -> int:
        """Digest one value (schemas/envelope.md, "Value digest"); arguments as for :meth:`seal`."""
        located = self._located
        data = b"".join((length(located), located, field.infix_part, TYPE_PARTS[kind], length(value), value))
        return int.from_bytes(self._macs.values.digest(data), "big")

    def open(self, field: FieldPlace, envelope: Envelope) -> Opened:
        """Decrypt one value.

        Raises:
            EnvelopeError: It is of the other profile, names another key or context, does not authenticate here, or
                holds what could not have been sealed.
        """
        check_form(field, envelope)
        if envelope.dek_id != self._key.dek_id:
            raise EnvelopeError(f"sealed under data key {envelope.dek_id}, not {self._key.dek_id}")
        bound = self._bound
        kind = envelope.bson_type if envelope.bson_type is not None else int(Kind.STRING)
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
        value = plaintext if bound else b"".join((INT32.pack(len(plaintext) + 1), plaintext, b"\0"))
        try:
            _check_value(kind, value)
        except ContentError as error:
            raise EnvelopeError(f"opens, but holds no value of BSON type {kind}: {error}") from error
        return Opened(kind=kind, value=value)


def check_sealable(profile: Profile, kind: int, value: bytes) -> None:
    """Check that a value of type ``kind`` and these bytes can be sealed.

    Raises:
        ContentError: It is not well-formed BSON, or no string in ``compat``.
    """
    _check_value(kind, value)
    if profile is Profile.COMPAT and kind != Kind.STRING:
        raise ContentError(
            f"a compat envelope holds strings only, and this is of BSON type {kind}", hint="use the profile 'bound'"
        )


def check_form(field: FieldPlace, envelope: Envelope) -> None:
    """Check what can be checked of an envelope in its place without a key.

    Raises:
        EnvelopeError: It is of the other profile, or of another context than the field map says.
    """
    profile = PROFILES[field.collection.version]
    if envelope.profile is not profile:
        raise EnvelopeError(
            f"a {envelope.profile} envelope, where the profile is {profile}; a collection never holds both"
        )
    if envelope.context is not None and envelope.context != field.context:
        raise EnvelopeError(f"sealed for context {envelope.context[:80]!r}, not {field.context!r}")


def _check_value(kind: int, value: bytes) -> None:
    """Refuse what is not one well-formed value: whoever opens it could not read it, and nobody could see why."""
    size = len(value) - 4
    if kind == _STRING and size > 0 and not value[-1] and value[:4] == INT32.pack(size):
        # What nearly every value is, without the price of building a document around it.
        text = value[4:-1]
        if text.isascii() or _is_utf8(text):
            return
    try:
        body = element("", kind, value)
        validate(b"".join((INT32.pack(len(body) + 5), body, b"\0")), limits=_LIMITS)
    except BsonError as error:
        raise ContentError(f"not a well-formed BSON value: {error}") from error


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True

"""Seals and opens values: AES-256-GCM under a key, an initialisation vector and associated data that fix the place.

Normative: schemas/envelope.md, "Sealing", with the argument for synthetic initialisation vectors and the nonce budget
(NIST SP 800-38D section 8; the idea is that of RFC 5297 and RFC 8452, without their cipher, which stock readers lack).
Laws: ``open`` after ``seal`` gives type and bytes back; in ``bound``, an envelope opens only in the document, field,
context and under the key it was sealed for; with synthetic vectors equal inputs give equal envelopes.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from kit.documents import Kind, element, validate
from kit.documents.kinds import INT32
from kit.encryption.associated_data import TYPE_PARTS, CollectionPlace, FieldPlace, part
from kit.encryption.data_keys import DataKey, expand
from kit.encryption.envelope import IV_BYTES, PROFILES, TAG_BYTES, Envelope, Profile
from kit.errors import BsonError, ContentError, EnvelopeError
from kit.values import Limits

COMPAT_USES = 2**31
"""Values sealed under one DEK in ``compat``, at most (schemas/envelope.md, "Nonce budget")."""

_LIMITS = Limits()
_STRING = int(Kind.STRING)


@dataclass(frozen=True, slots=True)
class SyntheticIv:
    """Derive the vector from what is sealed and where; the default."""

    def __call__(self, key: DataKey, associated_data: bytes, plaintext: bytes) -> bytes:
        """First 12 bytes of HMAC-SHA-256 under the IV key over both, the first with its length."""
        return hmac.digest(key.iv_key, part(associated_data) + plaintext, "sha256")[:IV_BYTES]


@dataclass(frozen=True, slots=True)
class RandomIv:
    """Draw the vector; equal values then differ from run to run."""

    random: Callable[[int], bytes]

    def __call__(self, _key: DataKey, _associated_data: bytes, _plaintext: bytes) -> bytes:
        """12 bytes from the source of randomness."""
        return self.random(IV_BYTES)


IvSource: TypeAlias = SyntheticIv | RandomIv


class Opened(NamedTuple):
    """A value as it was before it was sealed."""

    kind: int
    """Type byte."""
    value: bytes
    """BSON value bytes: without type and name."""

    def __repr__(self) -> str:
        return f"Opened(kind={self.kind}, {len(self.value):,} bytes)"


class DocumentCipher:
    """Seals and opens the fields of one document under one data key."""

    __slots__ = ("_cipher", "_key", "_located", "_profile")

    def __init__(self, key: DataKey, collection: CollectionPlace, identity: bytes) -> None:
        """Derive the document's key.

        Args:
            key: The owner's data key.
            collection: Where the document is; its version decides the profile.
            identity: Type byte and value bytes of the document's ``_id``.
        """
        self._key = key
        self._profile = PROFILES[collection.version]
        self._located = collection.located(identity)
        if self._profile is Profile.BOUND:
            secret = expand(key.pseudorandom_key, collection.document_key_info(identity))
        else:
            secret = key.secret
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
        bound = self._profile is Profile.BOUND
        check_sealable(self._profile, kind, value)
        plaintext = value if bound else value[4:-1]
        key = self._key
        associated_data = field.sealed_under(self._located, kind, key.part)
        vector = iv(key, associated_data, plaintext)
        sealed = self._cipher.encrypt(vector, plaintext, associated_data if bound else None)
        return Envelope(
            profile=self._profile,
            ciphertext=sealed[:-TAG_BYTES],
            iv=vector,
            tag=sealed[-TAG_BYTES:],
            dek_id=key.dek_id,
            mek_version=key.mek_version,
            context=field.context if bound else None,
            bson_type=kind if bound else None,
        )

    def digest(self, field: FieldPlace, kind: int, value: bytes) -> int:
        """Digest one value (schemas/envelope.md, "Value digest"); arguments as for :meth:`seal`."""
        data = b"".join((part(self._located), part(field.infix), TYPE_PARTS[kind], part(value)))
        return int.from_bytes(hmac.digest(self._key.digest_key, data, "sha256"), "big")

    def open(self, field: FieldPlace, envelope: Envelope) -> Opened:
        """Decrypt one value.

        Raises:
            EnvelopeError: It is of the other profile, names another key or context, does not authenticate here, or
                holds what could not have been sealed.
        """
        check_form(field, envelope)
        if envelope.dek_id != self._key.dek_id:
            raise EnvelopeError(f"sealed under data key {envelope.dek_id}, not {self._key.dek_id}")
        bound = self._profile is Profile.BOUND
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

"""How the signature of a manifest is stored: schemas/manifest-signature.md. The one place that knows its two forms.

A detached JWS has no payload, and a DSSE envelope has one, so that a document is of one form only. The payload of an
envelope is the manifest once more: it must be the same, byte for byte, and is used for nothing else.
Laws: ``verify`` accepts what ``sign`` returns, in either form; ``add`` keeps every signature that was there.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence

from kit.errors import SignatureError
from kit.signing import dsse, jws
from kit.signing.check import Claim, SignatureCheck
from kit.signing.keys import PrivateKey, PublicKey

PAYLOAD_TYPE = "application/vnd.offline-kit.manifest+json"
_MARK = b'"payloadType"'


class SignatureForm(enum.StrEnum):
    """The form of a signature; its value is what the file's name has behind the manifest's."""

    JWS = ".jws"
    DSSE = ".dsse.json"

    @classmethod
    def of(cls, document: bytes) -> SignatureForm:
        """Return the form of a document; of one that is neither, the form whose error is to be reported."""
        return cls.DSSE if document.lstrip()[:1] == b"{" and _MARK in document else cls.JWS


_NAMES = {SignatureForm.JWS: "a detached JWS", SignatureForm.DSSE: "a DSSE envelope"}


def sign(manifest: bytes, keys: Sequence[PrivateKey], *, form: SignatureForm = SignatureForm.JWS) -> bytes:
    """Return the signatures of a manifest by every key.

    Raises:
        UsageError: No keys, or the same key twice.
    """
    if form is SignatureForm.JWS:
        return jws.sign(manifest, keys)
    return dsse.sign(manifest, keys, payload_type=PAYLOAD_TYPE)


def add(document: bytes, manifest: bytes, keys: Sequence[PrivateKey]) -> bytes:
    """Return a document with the signatures that it has, unverified, and those of more keys, in the form it has.

    Raises:
        UsageError: A key has signed already.
        UnsignedError: The document is empty or has no signatures.
        SignatureError: It is malformed, or is an envelope of another manifest.
    """
    if SignatureForm.of(document) is SignatureForm.JWS:
        return jws.join([document, jws.sign(manifest, keys)])
    _require_same(dsse.payload_of(document, payload_type=PAYLOAD_TYPE), manifest)
    for key in keys:
        document = dsse.countersign(document, key, payload_type=PAYLOAD_TYPE)
    return document


def verify(document: bytes, manifest: bytes, trusted: Mapping[str, PublicKey]) -> SignatureCheck:
    """Check that trusted keys have signed exactly this manifest.

    Args:
        document: The signature in either form.
        manifest: The bytes that are used afterwards, not read again.
        trusted: Keys by id.

    Raises:
        UnsignedError: The document is empty or has no signatures.
        SignatureError: It is malformed, of another purpose, or an envelope of another manifest; or any signature of a
            trusted key does not verify.
        UntrustedError: No signature is by a trusted key.
    """
    if SignatureForm.of(document) is SignatureForm.JWS:
        return jws.verify(document, manifest, trusted)
    signed = dsse.verify(document, trusted, payload_type=PAYLOAD_TYPE)
    _require_same(signed.payload, manifest)
    return signed.check


def claims(document: bytes) -> tuple[Claim, ...]:
    """Return the signers that a document names, without verifying them.

    Raises:
        UnsignedError: The document is empty or has no signatures.
        SignatureError: It is malformed or of another purpose.
    """
    if SignatureForm.of(document) is SignatureForm.JWS:
        return jws.claims(document)
    return dsse.claims(document, payload_type=PAYLOAD_TYPE)


def check_name(document: bytes, name: str) -> None:
    """Check that a document is of the form that the name of its file states, if it has a file of its own.

    Raises:
        SignatureError: It is of the other form, which a verifier that knows one form only would take for malformed.
    """
    stated = next((form for form in SignatureForm if name.endswith(form)), None)
    if stated is not None and document.strip() and SignatureForm.of(document) is not stated:
        raise SignatureError(f"is not {_NAMES[stated]}, which its name states")


def _require_same(payload: bytes, manifest: bytes) -> None:
    if payload != manifest:
        raise SignatureError("the payload of the envelope is not this manifest, byte for byte")

"""Signed statements: an in-toto statement in a DSSE envelope, schemas/patch-provenance.md (DSSE 1.0.2).

The payload is opaque here. ``securesystemslib`` makes the pre-authentication encoding that is signed, so that DSSE
tools read the same bytes. ECDSA signatures are ASN.1 DER, as in-toto, securesystemslib and cosign expect, not the raw
form of JWS. Laws: ``verify`` accepts what ``sign`` returns, and returns the exact bytes that were signed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kit.errors import ContentError, LimitError, SignatureError, UnsignedError, UsageError
from kit.signing.check import Candidate, Claim, SignatureCheck, judge, sort_by_key_id, standard_decode, standard_encode
from kit.signing.keys import PrivateKey, PublicKey
from kit.values import Limits
from kit.values.strict_json import canonical, is_one_spelling, parse

IN_TOTO_TYPE = "application/vnd.in-toto+json"
_LIMITS = Limits(json_depth=8, json_values=1000)  # the envelope's own nesting; the payload inside is text to it


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedPayload:
    """A signed payload and its signers; created only by a verification that succeeded."""

    payload: bytes
    check: SignatureCheck


def sign(payload: bytes, keys: Sequence[PrivateKey], *, payload_type: str = IN_TOTO_TYPE) -> bytes:
    """Return an envelope with a signature over ``payload`` by every key, by ascending key id.

    Raises:
        UsageError: No keys, or the same key twice.
    """
    encoded = _encoding(payload, payload_type)
    signatures = [
        {"keyid": key.public.key_id, "sig": standard_encode(key.sign_der(encoded))} for key in sort_by_key_id(keys)
    ]
    return canonical(
        {"payload": standard_encode(payload), "payloadType": payload_type, "signatures": signatures},
    )


def countersign(document: bytes, key: PrivateKey, *, payload_type: str = IN_TOTO_TYPE) -> bytes:
    """Return an envelope with one more signature over its payload; its other signatures stay, unverified.

    Raises:
        UsageError: The key has signed already.
        UnsignedError: The document is empty or has no signatures.
        SignatureError: The document is malformed or of another type.
    """
    payload, entries = _split(document, payload_type)
    if key.public.key_id in {entry["keyid"] for entry in entries}:
        raise UsageError(f"key {key.public.key_id} has signed already")
    signature = key.sign_der(_encoding(payload, payload_type))
    entries.append({"keyid": key.public.key_id, "sig": standard_encode(signature)})
    return canonical(
        {
            "payload": standard_encode(payload),
            "payloadType": payload_type,
            "signatures": sorted(entries, key=lambda entry: entry["keyid"]),
        }
    )


def payload_of(document: bytes, *, payload_type: str = IN_TOTO_TYPE) -> bytes:
    """Return the payload of an envelope without verifying it, for display.

    Raises:
        UnsignedError: The document is empty or has no signatures.
        SignatureError: The document is malformed or of another type.
    """
    payload, _ = _split(document, payload_type)
    return payload


def verify(document: bytes, trusted: Mapping[str, PublicKey], *, payload_type: str = IN_TOTO_TYPE) -> SignedPayload:
    """Return the payload of an envelope that trusted keys have signed.

    Args:
        document: The envelope.
        trusted: Keys by ``keyid``.
        payload_type: The ``payloadType`` demanded, so that a signature made for another purpose does not count.

    Raises:
        UnsignedError: The document is empty or has no signatures.
        SignatureError: The document is malformed or of another type, a key has signed twice, or any signature of a
            trusted key does not verify.
        UntrustedError: No signature is by a trusted key.
    """
    payload, entries = _split(document, payload_type)
    encoded = _encoding(payload, payload_type)
    check = judge([_candidate(entry, encoded) for entry in entries], trusted)
    return SignedPayload(payload=payload, check=check)


def claims(document: bytes, *, payload_type: str = IN_TOTO_TYPE) -> tuple[Claim, ...]:
    """Return the signers that an envelope names, without verifying them.

    Raises:
        UnsignedError: The document is empty or has no signatures.
        SignatureError: The document is malformed or of another type.
    """
    _, entries = _split(document, payload_type)
    return tuple(Claim(key_id=entry["keyid"], algorithm="") for entry in entries)


def _encoding(payload: bytes, payload_type: str) -> bytes:
    # Imported here, since it imports every kind of signer: a tenth of the program's start.
    from securesystemslib.dsse import Envelope  # noqa: PLC0415

    encoded: bytes = Envelope(payload, payload_type, {}).pae()
    return encoded


def _candidate(entry: dict[str, str], encoded: bytes) -> Candidate:
    signature = standard_decode(entry["sig"], what=f"the signature of key {entry['keyid']}")
    return Candidate(
        claim=Claim(key_id=entry["keyid"], algorithm=""),
        verify=lambda key: key.verify_der(signature, encoded),
    )


def _split(document: bytes, payload_type: str) -> tuple[bytes, list[dict[str, str]]]:
    if not document.strip():
        raise UnsignedError("the envelope is empty")
    whole = _parse(document)
    match whole:
        case {"payload": str(payload), "payloadType": str(found), "signatures": list(entries)} if len(whole) == 3:
            pass
        case _:
            raise SignatureError("not a DSSE envelope: exactly payload, payloadType and signatures are expected")
    if found != payload_type:
        raise SignatureError(f"payloadType {found!r} where {payload_type!r} is expected: signed for another purpose")
    if not entries:
        raise UnsignedError("the envelope has no signatures")
    for number, entry in enumerate(entries):
        match entry:
            # keyid is optional in DSSE; here it is not, so that no signature has to be tried with every key.
            case {"keyid": str(key_id), "sig": str()} if len(entry) == 2 and key_id:
                pass
            case _:
                raise SignatureError(f"signature {number}: exactly 'keyid' and 'sig' are expected")
    if not is_one_spelling(document, whole):
        raise SignatureError("the envelope is spelled with other blanks or escapes than a signer writes")
    return standard_decode(payload, what="the payload"), entries


def _parse(document: bytes) -> Any:
    try:
        return parse(document, limits=_LIMITS, where="the envelope")
    except (ContentError, LimitError) as error:
        raise SignatureError(error.what, where=error.where) from error

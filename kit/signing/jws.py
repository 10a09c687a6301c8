"""Detached JWS over exact bytes: schemas/manifest-signature.md (RFC 7515 appendix F, RFC 7797).

The payload is the content of the file, unencoded (``b64: false``), next to the signature. The header must be fully
understood: it has exactly ``alg``, ``b64``, ``crit``, ``kid`` and ``typ``. No document can choose its own key
(``jwk``, ``jku``, ``x5c``, ``x5u``) or another algorithm than the trusted key's own. Laws: ``verify`` accepts what
``sign`` returns; a change of one character of a compact document, or of any byte of the payload, is refused.

The trust policy decides who may sign what.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kit.errors import ContentError, LimitError, SignatureError, UnsignedError
from kit.signing.check import Candidate, Claim, SignatureCheck, judge, sort_by_key_id, url_decode, url_encode
from kit.signing.keys import Algorithm, PrivateKey, PublicKey
from kit.values import Limits
from kit.values.strict_json import canonical, is_one_spelling, parse

MANIFEST_TYPE = "application/vnd.offline-kit.manifest+jws"

# Both names of Ed25519 are read; the older is written, since more verifiers know it.
_ALGORITHMS = {
    "EdDSA": Algorithm.ED25519,  # RFC 8037 3.1
    "Ed25519": Algorithm.ED25519,  # RFC 9864 2.2
    "ES256": Algorithm.ES256,  # RFC 7518 3.4
    "PS256": Algorithm.PS256,  # RFC 7518 3.5
}
_WRITTEN_NAMES = {algorithm: name for name, algorithm in reversed(_ALGORITHMS.items())}
_HEADER_NAMES = {"alg", "b64", "crit", "kid", "typ"}
# A signature document is small whatever the kit; these bounds are not the user's to raise.
_LIMITS = Limits(json_bytes=1024 * 1024, json_depth=8, json_values=1000)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """One signature as the document spells it, with its parsed header."""

    protected: str
    signature: bytes
    key_id: str
    algorithm_name: str


def sign(payload: bytes, keys: Sequence[PrivateKey], *, typ: str = MANIFEST_TYPE) -> bytes:
    """Return the signatures of ``payload`` by every key.

    Returns:
        One key: ``header..signature``, without a final newline (RFC 7515 appendix F). Several: JSON general
        serialisation without ``payload`` (RFC 7515 7.2.1), signatures by ascending key id.

    Raises:
        UsageError: No keys, or the same key twice.
    """
    parts = [_signed(payload, key, typ) for key in sort_by_key_id(keys)]
    if len(parts) == 1:
        return "..".join(parts[0]).encode("ascii")
    return canonical({"signatures": [{"protected": header, "signature": value} for header, value in parts]})


def verify(
    document: bytes, payload: bytes, trusted: Mapping[str, PublicKey], *, typ: str = MANIFEST_TYPE
) -> SignatureCheck:
    """Check that trusted keys have signed exactly ``payload`` for the purpose ``typ``.

    Args:
        document: The detached JWS in either serialisation.
        payload: The bytes that are used afterwards, not read again.
        trusted: Keys by ``kid``.
        typ: The ``typ`` demanded, so that a signature made for another purpose does not count.

    Raises:
        UnsignedError: The document is empty or has no signatures.
        SignatureError: The document differs from the above in any part, a key has signed twice, or any signature of a
            trusted key does not verify.
        UntrustedError: No signature is by a trusted key.
    """
    parts = _split(document, typ)
    return judge([_candidate(part, payload) for part in parts], trusted)


def claims(document: bytes, *, typ: str = MANIFEST_TYPE) -> tuple[Claim, ...]:
    """Return the signers that a document names, without verifying them.

    Raises:
        UnsignedError: The document is empty or has no signatures.
        SignatureError: The document is malformed.
    """
    return tuple(Claim(key_id=part.key_id, algorithm=part.algorithm_name) for part in _split(document, typ))


def join(documents: Sequence[bytes], *, typ: str = MANIFEST_TYPE) -> bytes:
    """Return one document with the signatures of several over the same payload, for people who sign in turn.

    Raises:
        UnsignedError: A document is empty or has no signatures.
        SignatureError: A document is malformed, or a key would sign twice.
    """
    parts = [part for document in documents for part in _split(document, typ)]
    if len({part.key_id for part in parts}) != len(parts):
        raise SignatureError("a key would sign twice")
    ordered = sorted(parts, key=lambda part: part.key_id)
    return canonical(
        {"signatures": [{"protected": part.protected, "signature": url_encode(part.signature)} for part in ordered]}
    )


def _signed(payload: bytes, key: PrivateKey, typ: str) -> tuple[str, str]:
    header = {
        "alg": _WRITTEN_NAMES[key.public.algorithm],
        "b64": False,
        "crit": ["b64"],
        "kid": key.public.key_id,
        "typ": typ,
    }
    protected = url_encode(json.dumps(header, sort_keys=True, separators=(",", ":")).encode("utf-8"))
    return protected, url_encode(key.sign(_signing_input(protected, payload)))


def _signing_input(protected: str, payload: bytes) -> bytes:
    return protected.encode("ascii") + b"." + payload  # RFC 7797 3


def _candidate(part: _Part, payload: bytes) -> Candidate:
    def verify_with(key: PublicKey) -> None:
        # RFC 8725 3.1: the key decides the algorithm, the header may only agree.
        if _ALGORITHMS[part.algorithm_name] is not key.algorithm:
            raise SignatureError(
                f"the header of key {part.key_id} names {part.algorithm_name}, but that key signs with {key.algorithm}"
            )
        key.verify(part.signature, _signing_input(part.protected, payload))

    return Candidate(claim=Claim(key_id=part.key_id, algorithm=part.algorithm_name), verify=verify_with)


def _split(document: bytes, typ: str) -> list[_Part]:
    if not document.strip():
        raise UnsignedError("the signature document is empty")
    # One line end, as editors and echo add it, has no meaning; kit itself writes none after the compact form.
    text = document[:-2] if document.endswith(b"\r\n") else document.removesuffix(b"\n")
    if text.lstrip()[:1] == b"{":
        return [_part(header, value, typ) for header, value in _general(text)]
    return [_part(*_compact(text), typ)]


def _compact(document: bytes) -> tuple[str, str]:
    try:
        pieces = document.decode("ascii").split(".")
    except UnicodeDecodeError as error:
        raise SignatureError("not a JWS: neither JSON nor ASCII") from error
    if len(pieces) != 3:
        raise SignatureError(f"not a compact JWS: {len(pieces)} parts where 3 are expected (RFC 7515 7.1)")
    header, payload, signature = pieces
    if payload:
        # An attached payload is a second copy of the signed bytes, which could differ from the file that is used.
        raise SignatureError("the JWS has a payload of its own; it must be detached (RFC 7515 appendix F)")
    return header, signature


def _general(document: bytes) -> list[tuple[str, str]]:
    whole = _parse(document, "the JWS")
    if "payload" in whole:
        raise SignatureError("the JWS has a payload of its own; it must be detached (RFC 7515 appendix F)")
    signatures = whole.get("signatures")
    if set(whole) != {"signatures"} or not isinstance(signatures, list):
        raise SignatureError("not a JWS in JSON general serialisation: the one member 'signatures' is expected")
    if not signatures:
        raise UnsignedError("the signature document has no signatures")
    pairs: list[tuple[str, str]] = []
    for number, entry in enumerate(signatures):
        match entry:
            # 'header' is refused like every other member: what is not protected is not signed (RFC 7515 7.2.1).
            case {"protected": str(header), "signature": str(value)} if len(entry) == 2:
                pairs.append((header, value))
            case _:
                raise SignatureError(f"signature {number}: exactly 'protected' and 'signature' are expected")
    # The caller removed the final line end, which is part of the spelling on several lines.
    if document.endswith(b"\n") or not any(is_one_spelling(document + end, whole) for end in (b"", b"\n")):
        raise SignatureError("the JWS is spelled with other blanks or escapes than a signer writes")
    return pairs


def _part(protected: str, signature: str, typ: str) -> _Part:
    header = _parse(url_decode(protected, what="the JWS header"), "the JWS header")
    if "alg" in header and header["alg"] not in list(_ALGORITHMS):  # a list: the value may be unhashable
        # 'none' and the HMAC family end here: a public key must never serve as a shared secret (RFC 8725 2.1).
        raise SignatureError(f"alg {header['alg']!r} is refused; accepted are {', '.join(_ALGORITHMS)}")
    unknown = sorted(set(header) - _HEADER_NAMES)
    if unknown:
        raise SignatureError(f"header parameters that are not understood: {', '.join(unknown)}")
    missing = sorted(_HEADER_NAMES - set(header))
    if missing:
        raise SignatureError(f"header parameters that are missing: {', '.join(missing)}")
    if header["crit"] != ["b64"]:  # RFC 7515 4.1.11, RFC 7797 6
        raise SignatureError(f"crit {header['crit']!r} is not understood; it must be ['b64']")
    if header["b64"] is not False:
        raise SignatureError("b64 must be false: the signature is over the exact bytes (RFC 7797 3)")
    if not isinstance(header["kid"], str) or not header["kid"]:
        raise SignatureError("kid is not a key id")
    if _media_type(header["typ"]) != _media_type(typ):
        raise SignatureError(f"typ {header['typ']!r} where {typ!r} is expected: signed for another purpose")
    return _Part(
        protected=protected,
        signature=url_decode(signature, what="the JWS signature"),
        key_id=header["kid"],
        algorithm_name=header["alg"],
    )


def _media_type(typ: Any) -> str:
    # RFC 7515 4.1.9: 'application/' may be omitted.
    text = typ if isinstance(typ, str) else ""
    return text if "/" in text else f"application/{text}"


def _parse(data: bytes, what: str) -> dict[str, Any]:
    try:
        value = parse(data, limits=_LIMITS, where=what)
    except (ContentError, LimitError) as error:
        raise SignatureError(error.what, where=error.where) from error
    if not isinstance(value, dict):
        raise SignatureError("a JSON object is expected", where=what)
    return value

"""What a signed document proves: the rules shared by JWS and DSSE, applied to parsed signatures.

Obligations, each named where it is enforced:

1. There is at least one signature.
2. No key signs twice: a threshold counts keys, so one key must not count twice.
3. Every signature by a trusted key verifies, even if another would be enough: a broken one is damage or an attack, and
   both must be reported.
4. At least one trusted key has signed.

Signatures by unknown keys are reported, never trusted, and never an error by themselves.

Base64 with one spelling for each value (RFC 4648 3.5).

Stock decoders skip foreign characters, accept missing padding and ignore the unused bits of the last character, so that
many texts decode to one value. A signed document must have one spelling; these functions refuse every other.
"""

from __future__ import annotations

import base64
import binascii
import enum
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from kit.errors import SignatureError, UnsignedError, UntrustedError, UsageError
from kit.signing.keys import PrivateKey, PublicKey


class Verdict(enum.Enum):
    """The result for one signature; a false signature raises instead."""

    VALID = "valid"
    UNKNOWN_KEY = "unknown-key"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The signer that a signature names; nothing is proved."""

    key_id: str
    algorithm: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SignatureFound:
    """One signature of a document. ``algorithm`` is as the document spells it, "" where the format has none."""

    key_id: str
    algorithm: str
    verdict: Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class SignatureCheck:
    """The result of a verification that succeeded: signatures in the document's order, at least one of them valid."""

    signatures: tuple[SignatureFound, ...]

    @property
    def valid_key_ids(self) -> tuple[str, ...]:
        """The ids of the trusted keys that signed, each once, as a threshold counts them."""
        return tuple(found.key_id for found in self.signatures if found.verdict is Verdict.VALID)

    @property
    def unknown_key_ids(self) -> tuple[str, ...]:
        """The ids of signers that are not trusted."""
        return tuple(found.key_id for found in self.signatures if found.verdict is Verdict.UNKNOWN_KEY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One parsed signature, and the function that checks it with a key (and raises ``SignatureError``)."""

    claim: Claim
    verify: Callable[[PublicKey], None] = field(repr=False)


def judge(candidates: Sequence[Candidate], trusted: Mapping[str, PublicKey]) -> SignatureCheck:
    """Return the result of the obligations above.

    Args:
        candidates: The signatures, in the document's order.
        trusted: Keys by the id that documents use.

    Raises:
        UnsignedError: There are none (1).
        SignatureError: A key signs twice (2), or a trusted key's signature does not verify (3).
        UntrustedError: None is by a trusted key (4), an empty ``trusted`` included.
    """
    if not candidates:
        raise UnsignedError("there is no signature")  # obligation 1
    names = [candidate.claim.key_id for candidate in candidates]
    # Two ids may be mapped to one key; that is still one key signing twice.
    keys = [trusted[name].key_id if name in trusted else name for name in names]
    most, times = Counter(keys).most_common(1)[0]
    if times > 1:
        raise SignatureError(f"key {most} has signed {times} times")  # obligation 2
    found: list[SignatureFound] = []
    for candidate in candidates:
        claim = candidate.claim
        verdict = Verdict.UNKNOWN_KEY
        if claim.key_id in trusted:
            candidate.verify(trusted[claim.key_id])  # obligation 3
            verdict = Verdict.VALID
        found.append(SignatureFound(key_id=claim.key_id, algorithm=claim.algorithm, verdict=verdict))
    check = SignatureCheck(signatures=tuple(found))
    if not check.valid_key_ids:  # obligation 4
        raise UntrustedError(f"signed by {', '.join(names)}, which is not among the {len(trusted)} trusted keys")
    return check


def sort_by_key_id(keys: Sequence[PrivateKey]) -> list[PrivateKey]:
    """Return the keys sorted by id, so that the order of options does not change the document.

    Raises:
        UsageError: No keys, or the same key twice.
    """
    ordered = sorted(keys, key=lambda key: key.public.key_id)
    if not ordered:
        raise UsageError("nothing to sign with: at least one signing key is needed", hint="kit keys generate KEY.pem")
    if len({key.public.key_id for key in ordered}) != len(ordered):
        raise UsageError("the same signing key is given twice")
    return ordered


def url_encode(data: bytes) -> str:
    """Return base64url without padding (RFC 7515 2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def url_decode(text: str, *, what: str) -> bytes:
    """Return the data of which ``text`` is the :func:`url_encode`.

    Raises:
        SignatureError: ``text`` is not what :func:`url_encode` prints for any value; names ``what``.
    """
    try:
        data = base64.urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
    except (UnicodeEncodeError, binascii.Error) as error:
        raise SignatureError(f"{what} is not base64url") from error
    if url_encode(data) != text:
        raise SignatureError(f"{what} is not base64url in its one canonical spelling (RFC 7515 2)")
    return data


def standard_encode(data: bytes) -> str:
    """Return base64 with padding, on one line (RFC 4648 4)."""
    return base64.b64encode(data).decode("ascii")


def standard_decode(text: str, *, what: str) -> bytes:
    """Return the data of which ``text`` is the :func:`standard_encode`.

    Raises:
        SignatureError: ``text`` is not what :func:`standard_encode` prints for any value; names ``what``.
    """
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error) as error:
        raise SignatureError(f"{what} is not base64") from error
    if standard_encode(data) != text:
        raise SignatureError(f"{what} is not base64 in its one canonical spelling (RFC 4648 3.5)")
    return data

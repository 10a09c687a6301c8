"""``<archive>.sig``: a plain signature over the whole archive, for tools that know nothing of kits.

The archive can be larger than memory, so only its SHA-256 is signed. ``openssl dgst -sha256 -verify`` and
``cosign verify-blob --key`` check such a signature: ECDSA P-256 in DER, or RSASSA-PKCS1-v1_5, the default RSA scheme of
both (PSS needs ``-sigopt`` in one and cannot be selected in the other). Ed25519 hashes the whole message twice
(RFC 8032 5.1.6) and cannot sign a digest, so an Ed25519 signer writes no ``.sig``.

The file is one line of base64 and a newline: ``base64 -d`` and ``openssl base64 -d -A`` decode it. Variants of other
tools are accepted: wrapped lines (``openssl base64``), CRLF, a byte order mark. The base64 has one spelling.
"""

from __future__ import annotations

from collections.abc import Mapping

from kit.errors import SignatureError, UnsignedError, UntrustedError
from kit.signing.check import standard_decode, standard_encode
from kit.signing.keys import Algorithm, PrivateKey, PublicKey
from kit.values import Sha256
from kit.values.strict_json import plain_text

_OTHER_FORMS = (
    (b"-----BEGINPGP", "a signature of OpenPGP: gpg --verify checks it"),
    (b"-----BEGINSSHSIGNATURE-----", "a signature of OpenSSH: ssh-keygen -Y verify checks it"),
    (b"untrustedcomment:", "a signature of minisign or signify: they check it"),
    (b"{", "JSON, as a bundle of cosign is: cosign verify-blob --bundle checks it"),
)


def sign(digest: Sha256, key: PrivateKey) -> bytes | None:
    """Return the signature of an archive with this digest, deterministic; None for an Ed25519 key, which has none."""
    if key.public.algorithm is Algorithm.ED25519:
        return None
    return standard_encode(key.sign_digest(digest)).encode("ascii") + b"\n"


def verify(document: bytes, digest: Sha256, trusted: Mapping[str, PublicKey]) -> PublicKey:
    """Return the trusted key that made this signature; the file does not name it.

    Args:
        document: The ``.sig`` file. Its final newline may be missing, as cosign writes it, and its lines wrapped.
        digest: The digest of the archive as read, not as declared.
        trusted: Keys by id.

    Raises:
        UnsignedError: The file is empty.
        UntrustedError: No trusted key is of a kind that can make such a signature.
        SignatureError: The file is a signature of another form or not canonical base64, or no trusted key verifies it.
    """
    text = b"".join(plain_text(document).split())
    if not text:
        raise UnsignedError("the archive signature is empty")
    _refuse_other_forms(text)
    signature = standard_decode(text.decode("latin-1"), what="the archive signature")
    able = [key for key in trusted.values() if key.algorithm is not Algorithm.ED25519]
    if not able:
        raise UntrustedError("no trusted key can have made an archive signature: a P-256 or RSA key is needed")
    for key in able:
        try:
            key.verify_digest(signature, digest)
        except SignatureError:
            continue
        return key
    raise SignatureError(f"the archive signature does not verify with any of {len(able)} trusted keys")


def _refuse_other_forms(text: bytes) -> None:
    """Check that the file is not a signature of another tool, which this one cannot verify.

    Raises:
        SignatureError: It is of another form, which the message names.
    """
    for start, form in _OTHER_FORMS:
        if text.startswith(start):
            raise SignatureError(f"the archive signature is {form}; this program cannot verify it", hint=_MOVE)
    if max(text) >= 0x80 or min(text) < 0x20:
        raise SignatureError(
            "the archive signature is binary; base64 is expected", hint="openssl base64 -A -in RAW -out KIT.sig"
        )


_MOVE = "move the file away from the kit, or give it another name"

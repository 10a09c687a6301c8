"""Keys and signatures: detached JWS over manifests, DSSE over provenance, plain signatures over whole archives.

Works on bytes and digests only; their meaning is left to the caller. The one exception is :mod:`kit.signing.key_files`,
which opens key files itself, because their mode must be checked on the very file that is read.
"""

from kit.signing import archive_signature, dsse, jws
from kit.signing.check import Claim, SignatureCheck, SignatureFound, Verdict
from kit.signing.key_files import (
    load_private,
    load_public,
    load_public_keys,
    parse_private,
    write_private,
    write_public,
)
from kit.signing.keys import Algorithm, PrivateKey, PublicKey, generate, openssl_version

__all__ = [
    "Algorithm",
    "Claim",
    "PrivateKey",
    "PublicKey",
    "SignatureCheck",
    "SignatureFound",
    "Verdict",
    "archive_signature",
    "dsse",
    "generate",
    "jws",
    "load_private",
    "load_public",
    "load_public_keys",
    "openssl_version",
    "parse_private",
    "write_private",
    "write_public",
]

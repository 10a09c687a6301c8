"""Keys and signatures: JWS or DSSE over manifests, DSSE over provenance, plain signatures over whole archives.

Works on bytes and digests only; their meaning is left to the caller. The one exception is :mod:`kit.signing.key_files`,
which opens key files itself, because their mode must be checked on the very file that is read.
"""

from kit.signing import archive_signature, dsse, jws, manifests
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
from kit.signing.manifests import SignatureForm

__all__ = [
    "Algorithm",
    "Claim",
    "PrivateKey",
    "PublicKey",
    "SignatureCheck",
    "SignatureForm",
    "SignatureFound",
    "Verdict",
    "archive_signature",
    "dsse",
    "generate",
    "jws",
    "load_private",
    "load_public",
    "load_public_keys",
    "manifests",
    "openssl_version",
    "parse_private",
    "write_private",
    "write_public",
]

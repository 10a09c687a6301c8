"""The keys of everything under ``fixtures/``: each is made from its name, known to everybody, and worthless."""

from __future__ import annotations

import hashlib

from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from kit.signing import PrivateKey

P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def publisher_key() -> PrivateKey:
    """Give the key that signs the fixture kits: known to everybody, worthless."""
    return ed25519_key("publisher")


def site_key() -> PrivateKey:
    """Give the key that signs patched fixtures."""
    return p256_key("site")


def ed25519_key(name: str) -> PrivateKey:
    """Give the Ed25519 key that is made from a name."""
    return PrivateKey(ed25519.Ed25519PrivateKey.from_private_bytes(_seed(name)))


def p256_key(name: str) -> PrivateKey:
    """Give the P-256 key that is made from a name."""
    return PrivateKey(ec.derive_private_key(int.from_bytes(_seed(name), "big") % P256_ORDER, ec.SECP256R1()))


def _seed(name: str) -> bytes:
    return hashlib.sha256(f"offline-kit {name} TEST ONLY".encode()).digest()

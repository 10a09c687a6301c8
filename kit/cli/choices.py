"""Words that options take, repeated here so that help and completion load none of the modules that define them.

A test holds each to its source, which its docstring names.
"""

from __future__ import annotations

from typing import Final

ALGORITHMS: Final = ("Ed25519", "ES256", "PS256")
"""kit.signing.Algorithm."""
KINDS: Final = tuple(sorted(name.lower() for name in ALGORITHMS))
"""The same, as names of kinds of keys."""
ROLES: Final = ("publisher", "patcher", "incident", "auditor", "root")
"""kit.trust.Role."""
REASONS: Final = ("compromised", "superseded", "ceased")
"""kit.trust.RevocationReason."""
PROFILES: Final = ("compat", "bound")
"""kit.encryption.Profile."""
FIELD_MAPS: Final = ("concelier", "notelett", "notelett-2")
"""kit.encryption.SHIPPED."""
MECHANISMS: Final = ("aes-key-wrap", "aes-key-wrap-kwp", "aes-key-wrap-pad")
"""kit.encryption.tokens.MECHANISMS."""
MIGRATIONS: Final = (
    "20251031_raw_linkset",
    "20251031_notelett_encryption_compat",
    "20251031_notelett_encryption_bound",
    "20251031_notelett_encryption",
)
"""kit.migrations.BUILT_IN."""
TRANSFORMS: Final = ("raw-linkset", "encrypt-fields")
"""kit.transforms.registry.BUILT_IN."""
VALIDATIONS: Final = ("integrity", "deep", "coverage", "fields")
"""kit.migrations.Validation."""
FORMS: Final = ("bson", "json")
"""kit.engine.extracting.Form."""
PROJECTIONS: Final = ("all", "canonical")
"""kit.engine.extracting.Projection."""
LISTED: Final = 20
"""kit.ops.diff.LISTED."""

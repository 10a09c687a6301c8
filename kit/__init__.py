"""Patches, verifies and inspects signed Offline Kits without a database or a network: the public API.

Each verb takes frozen values, returns a frozen report, prints nothing, and raises :class:`KitError` or a subclass::

    from pathlib import Path
    from kit import Expectation, Output, PatchRequest, RawLinkset, Timestamp, load_private, load_public, patch, verify

    publisher, site = load_public("publisher.pem.pub"), load_private("site.pem")
    report = patch(
        PatchRequest(
            kit=Path("kit.tar.zst"),
            transforms=(RawLinkset(),),
            trusted={publisher.key_id: publisher},
            created_at=Timestamp.parse("2026-01-01T00:00:00Z"),
        ),
        Output(path=Path("patched.tar.zst"), key=site),
    )
    keys = {publisher.key_id: publisher, site.public.key_id: site.public}
    assert verify(Path("patched.tar.zst"), Expectation(trusted=keys)).failure is None

Whatever is not named here may change without notice; what is written to disk is fixed by the documents in ``schemas/``.
"""

from kit.encryption import Credentials, FieldMap, Profile, shipped
from kit.errors import KitError
from kit.ops.inspect import InspectReport, inspect
from kit.ops.keying import Keying
from kit.ops.kits import Environment
from kit.ops.obligations import Expectation
from kit.ops.patch import Output, PatchReport, PatchRequest, patch, plan
from kit.ops.recover import RecoverReport, RecoverRequest, recover
from kit.ops.verify import VerifyReport, verify
from kit.signing import (
    Algorithm,
    PrivateKey,
    PublicKey,
    generate,
    load_private,
    load_public,
    write_private,
    write_public,
)
from kit.transforms.encrypt_fields import EncryptFields
from kit.transforms.protocol import Transform
from kit.transforms.raw_linkset import CacheMap, RawLinkset, parse_cache_map
from kit.values import Limits, Timestamp

__all__ = [
    "Algorithm",
    "CacheMap",
    "Credentials",
    "EncryptFields",
    "Environment",
    "Expectation",
    "FieldMap",
    "InspectReport",
    "Keying",
    "KitError",
    "Limits",
    "Output",
    "PatchReport",
    "PatchRequest",
    "PrivateKey",
    "Profile",
    "PublicKey",
    "RawLinkset",
    "RecoverReport",
    "RecoverRequest",
    "Timestamp",
    "Transform",
    "VerifyReport",
    "generate",
    "inspect",
    "load_private",
    "load_public",
    "parse_cache_map",
    "patch",
    "plan",
    "recover",
    "shipped",
    "verify",
    "write_private",
    "write_public",
]

"""``kit delta inspect`` and ``kit delta verify``: what a delta states, and whether it is what its signers signed."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from kit.delta.model import DELTA_TYPE, DeltaManifest
from kit.errors import ArchiveError, SignatureError, StoppedError, UnsignedError, UntrustedError, WrongBaseError
from kit.manifest import Manifest
from kit.signing import jws
from kit.trust import Anchor
from kit.values import Sha256
from kit.verbs.delta.deltas import check_payloads, check_signature, check_target, open_delta
from kit.verbs.delta.recipes import check_recipe
from kit.verbs.verify.kits import Environment


@dataclass(frozen=True, slots=True, kw_only=True)
class DeltaInspectReport:
    """What a delta states about itself; nothing is verified."""

    delta: Path
    stored_bytes: int | None
    manifest: DeltaManifest
    manifest_sha256: Sha256
    claims: tuple[str, ...]
    """Ids of the keys that claim to have signed it; empty if it is unsigned or its signature cannot be read."""
    recipe_refused: str | None
    """Why this program refuses to compute the delta's recipe; None if it does not, or if there is no recipe."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeltaVerifyReport:
    """A verified delta; one that is not what its signers signed raises an error."""

    delta: Path
    stored_bytes: int | None
    manifest: DeltaManifest
    manifest_sha256: Sha256
    signers: tuple[str, ...]
    target: Manifest
    target_signers: tuple[str, ...]
    recipe_refused: str | None
    """As in :class:`DeltaInspectReport`; the delta is valid even so."""


def inspect_delta(path: Path, environment: Environment | None = None) -> DeltaInspectReport:
    """Return what a delta states about itself.

    Raises:
        UnreadableError: It is not there, or not readable.
        ArchiveError: It is no delta.
    """
    with open_delta(path, (environment or Environment()).limits) as delta:
        try:
            claims = jws.claims(delta.signature, typ=DELTA_TYPE) if delta.signature is not None else ()
        except (SignatureError, UnsignedError):
            claims = ()
        return DeltaInspectReport(
            delta=path,
            stored_bytes=delta.reader.stored_bytes,
            manifest=delta.manifest,
            manifest_sha256=Sha256.of(delta.manifest_bytes),
            claims=tuple(claim.key_id for claim in claims),
            recipe_refused=_refusal(delta.manifest),
        )


def _refusal(manifest: DeltaManifest) -> str | None:
    if manifest.recipe is None:
        return None
    try:
        check_recipe(manifest.recipe)
    except (StoppedError, ArchiveError, WrongBaseError) as error:
        return error.what
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeltaVerifyRequest:
    """What to verify, and which keys to trust."""

    delta: Path
    anchor: Anchor
    environment: Environment = field(default_factory=Environment)


def verify_delta(request: DeltaVerifyRequest) -> DeltaVerifyReport:
    """Check that a delta is complete, and that it and the target that it carries are signed by keys that may.

    Raises:
        UntrustedError: No key is trusted at all, or none of those that signed.
        KitError: The first fault.
    """
    if not request.anchor.policy.keys:
        raise UntrustedError("no key is trusted, so nothing can be valid", hint="name one with --trusted-key")
    with open_delta(request.delta, request.environment.limits) as delta:
        signers = check_signature(delta, request.anchor)
        target = check_payloads(delta)
        return DeltaVerifyReport(
            delta=request.delta,
            stored_bytes=delta.reader.stored_bytes,
            manifest=delta.manifest,
            manifest_sha256=Sha256.of(delta.manifest_bytes),
            signers=signers,
            target=target.manifest,
            target_signers=check_target(delta, target, request.anchor),
            recipe_refused=_refusal(delta.manifest),
        )

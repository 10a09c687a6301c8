"""Makes the signed receipt of a verdict (schemas/receipt.md)."""

from __future__ import annotations

from kit.manifest import Manifest
from kit.ops import field_proof
from kit.ops.judgement import Expectation, Judgement, Status
from kit.ops.verify import VerifyReport
from kit.signing import PrivateKey, dsse
from kit.trust import AtHand, Occasion, Role, Subject, authorise
from kit.trust.receipt import Receipt
from kit.values import Sha256, Timestamp
from kit.version import TOOL, VERSION

_RAW_LINKSET, _FIELDS = "OFFLINE_KIT_RAW_LINKSET", "OFFLINE_KIT_FIELDS_ENCRYPTED"
_APPEND_ONLY = "OFFLINE_KIT_APPEND_ONLY"
_OF_TENANTS = "_OF_TENANTS"
"""Ends the levels of what was only asked of the tenants that the receipt names."""
_LEVELS = {
    1: "OFFLINE_KIT_CONTAINER",
    2: "OFFLINE_KIT_MANIFEST",
    3: "OFFLINE_KIT_SIGNED",
    4: "OFFLINE_KIT_FRESH",
    5: "OFFLINE_KIT_CLOSED_WORLD",
    6: "OFFLINE_KIT_LINEAGE",
    7: "OFFLINE_KIT_DOCUMENTS",
    8: _RAW_LINKSET,
}
"""By number; the obligation on mapped fields is a second 7, and has a level of its own."""


def make_receipt(report: VerifyReport, expectation: Expectation, key: PrivateKey, at: Timestamp) -> bytes:
    """Sign what was verified, in a DSSE envelope; for a refused kit, that it was refused.

    Raises:
        UntrustedError: The policy does not let this key sign receipts, or no longer.
        ContentError: Nothing was read that a receipt could be about.
    """
    judgement = report.judgement
    _check_auditor(expectation, judgement.manifest, key, at)
    receipt = Receipt(
        subjects=_subjects(report),
        verifier=key.public.key_id,
        tool=(TOOL, VERSION),
        at=at,
        bundle=judgement.manifest.bundle_id if judgement.manifest else None,
        policy=expectation.anchor.policy_sha256,
        inputs=_inputs(judgement),
        passed=judgement.valid,
        levels=_levels(judgement, expectation) if judgement.valid else (),
        obligations=tuple((o.number, o.name, o.status.value, o.detail) for o in judgement.obligations),
        tenants=tuple(sorted(expectation.tenants)) if expectation.tenants is not None else None,
    )
    return dsse.sign(receipt.to_bytes(), [key])


def _levels(judgement: Judgement, expectation: Expectation) -> tuple[str, ...]:
    """Name what was verified, and no more than that."""
    found: list[str] = []
    for obligation in judgement.obligations:
        # An override is no verification: whoever reads the level "fresh" must be able to rely on it.
        if obligation.status is not Status.CHECKED:
            continue
        level = _FIELDS if obligation.name == field_proof.NAME else _LEVELS[obligation.number]
        narrowed = level in {_FIELDS, _RAW_LINKSET} and expectation.tenants is not None
        found.append(level + _OF_TENANTS if narrowed else level)
    if any(proof.basis for proof in judgement.proofs.values()):
        found.append(_APPEND_ONLY)
    return tuple(found)


def _check_auditor(expectation: Expectation, manifest: Manifest | None, key: PrivateKey, at: Timestamp) -> None:
    if expectation.trust is None:
        return
    subject = Subject(
        what="the receipt",
        role=Role.AUDITOR,
        bundle_id=manifest.bundle_id if manifest is not None else None,
        members=tuple(entry.path for entry in manifest.entries) if manifest is not None else (),
    )
    authorise(expectation.trust, subject, AtHand(keys=[key.public]), Occasion(signed_at=at))


def _subjects(report: VerifyReport) -> dict[str, Sha256]:
    judgement = report.judgement
    subjects: dict[str, Sha256] = {}
    if judgement.archive is not None:
        subjects[report.kit.name] = judgement.archive
    if judgement.manifest is not None and judgement.location is not None:
        subjects[str(judgement.location.manifest)] = judgement.manifest.sha256
    return subjects


def _inputs(judgement: Judgement) -> dict[str, Sha256]:
    return {str(path): digest for path, digest in judgement.attestations.items()}

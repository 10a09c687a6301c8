"""Makes the signed receipt of a verdict (schemas/receipt.md)."""

from __future__ import annotations

from kit.manifest import Manifest
from kit.ops.chain import MOST_DIFFERENCES, PUBLISHED, chain
from kit.ops.judgement import Expectation, Judgement
from kit.ops.verify import VerifyReport
from kit.signing import PrivateKey, dsse
from kit.transforms.coverage import TenantCoverage
from kit.trust import Occasion, Role, SigningKeys, Subject, authorise
from kit.trust.receipt import Receipt, Step
from kit.values import Sha256, Timestamp
from kit.version import TOOL, VERSION


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
        levels=report.levels,
        obligations=tuple((o.number, o.name, o.status.value, o.detail) for o in judgement.obligations),
        steps=tuple(
            Step(
                generation=link.generation,
                ground=link.ground.value if link.ground is not None else None,
                differences=tuple(map(str, link.differences[:MOST_DIFFERENCES])),
                omitted=max(0, len(link.differences) - MOST_DIFFERENCES),
            )
            for link in chain(judgement)
            if link.operation != PUBLISHED
        ),
        appended=(judgement.appended.since, judgement.appended.until)
        if judgement.appended is not None and judgement.appended.since is not None and judgement.valid
        else None,
        tenants=tuple(sorted(expectation.tenants)) if expectation.tenants is not None else None,
        coverage=_coverage(report, expectation),
    )
    return dsse.sign(receipt.to_bytes(), [key])


def _check_auditor(expectation: Expectation, manifest: Manifest | None, key: PrivateKey, at: Timestamp) -> None:
    if expectation.trust is None:
        return
    subject = Subject(
        what="the receipt",
        role=Role.AUDITOR,
        bundle_id=manifest.bundle_id if manifest is not None else None,
        members=tuple(entry.path for entry in manifest.entries) if manifest is not None else (),
    )
    authorise(expectation.trust, subject, SigningKeys(keys=[key.public]), Occasion(signed_at=at))


def _subjects(report: VerifyReport) -> dict[str, Sha256]:
    judgement = report.judgement
    subjects: dict[str, Sha256] = {}
    if judgement.archive is not None:
        # A file name may be no text; half a surrogate pair is no JSON.
        subjects[report.kit.name.encode("utf-8", "backslashreplace").decode()] = judgement.archive
    if judgement.manifest is not None and judgement.location is not None:
        subjects[str(judgement.location.manifest)] = judgement.manifest.sha256
    return subjects


def _coverage(report: VerifyReport, expectation: Expectation) -> dict[str, int] | None:
    """Add up what was counted of the tenants that were asked for."""
    if not report.coverage:
        return None
    total = TenantCoverage()
    for tenant, covered in report.coverage.items():
        if expectation.tenants is None or tenant in expectation.tenants:
            total.add(covered)
    return {
        "documents": total.documents,
        "both": total.both,
        "null": total.null,
        "otherType": total.other_type,
        "otherShape": total.other_shape,
        "noLinkset": total.no_linkset,
        "missing": total.missing,
    }


def _inputs(judgement: Judgement) -> dict[str, Sha256]:
    return {str(path): digest for path, digest in judgement.attestations.items()}

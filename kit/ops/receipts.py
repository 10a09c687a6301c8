"""Makes the signed receipt of a verdict (schemas/receipt.md)."""

from __future__ import annotations

from kit.errors import UntrustedError
from kit.ops.judgement import Expectation, Judgement, Status
from kit.ops.verify import VerifyReport
from kit.signing import PrivateKey, dsse
from kit.trust import Role, Subject, authorised, freshness
from kit.trust.freshness import Moment
from kit.trust.receipt import Receipt
from kit.values import Sha256, Timestamp
from kit.version import TOOL, VERSION

_LEVELS = {
    1: "OFFLINE_KIT_CONTAINER",
    2: "OFFLINE_KIT_MANIFEST",
    3: "OFFLINE_KIT_SIGNED",
    4: "OFFLINE_KIT_FRESH",
    5: "OFFLINE_KIT_CLOSED_WORLD",
    6: "OFFLINE_KIT_LINEAGE",
    7: "OFFLINE_KIT_DOCUMENTS",
    8: "OFFLINE_KIT_RAW_LINKSET",
}


def make_receipt(report: VerifyReport, expectation: Expectation, key: PrivateKey, at: Timestamp) -> bytes:
    """Sign what was verified, in a DSSE envelope; for a refused kit, that it was refused.

    Raises:
        UntrustedError: The policy does not let this key sign receipts, or no longer.
        ContentError: Nothing was read that a receipt could be about.
    """
    _check_auditor(expectation, key, at)
    judgement = report.judgement
    # An override is no verification: whoever reads the level "fresh" must be able to rely on it.
    checked = [o for o in judgement.obligations if o.status is Status.CHECKED]
    receipt = Receipt(
        subjects=_subjects(report),
        verifier=key.public.key_id,
        tool=(TOOL, VERSION),
        at=at,
        bundle=judgement.manifest.bundle_id if judgement.manifest else None,
        policy=expectation.anchor.policy_sha256,
        inputs=_inputs(judgement),
        passed=judgement.valid,
        levels=tuple(_LEVELS[o.number] for o in checked) if judgement.valid else (),
        obligations=tuple((o.number, o.name, o.status.value) for o in judgement.obligations),
    )
    return dsse.sign(receipt.to_bytes(), [key])


def _check_auditor(expectation: Expectation, key: PrivateKey, at: Timestamp) -> None:
    if expectation.trust is None:
        return
    policy, key_id = expectation.trust.policy, key.public.key_id
    if policy.key(key_id) is None:
        raise UntrustedError(
            f"key {key_id} is not in the policy, so its receipts would count for nobody",
            hint="kit trust add POLICY KEY --role auditor",
        )
    subject = Subject(what="the receipt", role=Role.AUDITOR, bundle_id=None)
    moment = Moment(signed_at=at, now=at, vouched_for=False)
    authorised(policy, subject, [key_id]).require(lambda trusted: freshness.standing(trusted, moment))


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

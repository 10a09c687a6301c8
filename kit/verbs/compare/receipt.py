"""Makes a signed receipt of a comparison: schemas/comparison-receipt.md.

An in-toto Statement v1 about the kit, with a predicate of this project; :mod:`kit.signing` makes the envelope around
it. Laws: it states what was compared and found, also if that is not what was signed; it names no address and no
document; the same comparison, time and key give the same bytes.
"""

from __future__ import annotations

from typing import Any, Final

from kit.signing import PrivateKey, dsse
from kit.values import Sha256, Timestamp
from kit.values.strict_json import canonical
from kit.verbs.compare.compare import ComparedCollection, ComparisonReport
from kit.verbs.compare.documents import Standing
from kit.verbs.verify.judgement import Expectation
from kit.verbs.verify.receipt import BUNDLE_URI, STATEMENT_TYPE, VERIFIER_URI, require_auditor
from kit.version import TOOL, VERSION

PREDICATE_TYPE: Final = "urn:offline-kit:comparison:v1"


def make_receipt(report: ComparisonReport, expectation: Expectation, key: PrivateKey, at: Timestamp) -> bytes:
    """Return a signed receipt of a comparison, in a DSSE envelope.

    Args:
        report: What was found.
        expectation: By what the kit was judged.
        key: Who signs.
        at: The time of the comparison.

    Raises:
        UntrustedError: The policy does not permit this key to sign receipts, or no longer does.
    """
    judgement = report.judgement
    require_auditor(expectation, judgement.manifest, key, at)
    bundle = judgement.manifest.bundle_id if judgement.manifest is not None else None
    statement = {
        "_type": STATEMENT_TYPE,
        "subject": list(_subjects(report)),
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "verifier": {"id": f"{VERIFIER_URI}{key.public.key_id}", "version": {TOOL: VERSION}},
            "timeCompared": str(at),
            "resourceUri": f"{BUNDLE_URI}{bundle or ''}",
            "policy": {
                "uri": "urn:offline-kit:trust-policy",
                "digest": {"sha256": str(expectation.anchor.policy_sha256)},
            },
            "source": "server" if report.source is None else "dump",
            "result": "SAME" if report.is_same else "DIFFERENT",
            "allowedFields": list(report.allowed_fields),
            "orderIsFree": report.is_order_free,
            "collections": [_collection(one) for one in report.collections],
        },
    }
    return dsse.sign(canonical(statement), [key])


def _subjects(report: ComparisonReport) -> list[dict[str, Any]]:
    judgement = report.judgement
    subjects: dict[str, Sha256] = {}
    if judgement.archive is not None:
        subjects[report.kit.name.encode("utf-8", "backslashreplace").decode()] = judgement.archive
    if judgement.manifest is not None and judgement.location is not None:
        subjects[str(judgement.location.manifest)] = judgement.manifest.sha256
    return [{"name": name, "digest": {"sha256": str(digest)}} for name, digest in sorted(subjects.items())]


def _collection(one: ComparedCollection) -> dict[str, Any]:
    return {
        "db": one.name.database,
        "collection": one.name.collection,
        **{str(standing): one.total(standing) for standing in Standing},
    }

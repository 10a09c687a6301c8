"""Makes what proves a verdict to others: a signed receipt, and ``verify.sh``.

A receipt states what was verified, by whom, under which policy and when (schemas/receipt.md). It is an in-toto
Statement v1 whose predicate has the shape of a SLSA Verification Summary Attestation v1, so tools for VSAs can read it;
:mod:`kit.signing` makes the envelope around it. Law: the same verdict, time and key give the same bytes.

``verify.sh`` checks signatures and digests without this program: one POSIX shell text with the trusted keys in it. Its
first comment and its last lines of output list what it checks and what it does not. Reasons for its form:
docs/design/verify-script.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any, Self

from kit.errors import ContentError, UsageError
from kit.manifest import Manifest
from kit.signing import Algorithm, PrivateKey, dsse
from kit.transforms.coverage import TenantCoverage
from kit.trust import Anchor, Occasion, Role, SigningKeys, Subject, TrustedKey, authorise, keys_in_force
from kit.values import NAMED, Sha256, Timestamp
from kit.values.strict_json import canonical
from kit.verbs.verify.judgement import Expectation, Judgement
from kit.verbs.verify.verify import MAX_DIFFERENCES, PUBLISHED, VerifyReport, chain
from kit.version import TOOL, VERSION

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://slsa.dev/verification_summary/v1"
"""Constants of the two specifications; they are never fetched."""
OBLIGATIONS = "urn:offline-kit:obligations:v1"
"""Extension member of the predicate: the outcome of every obligation."""
TENANTS = "urn:offline-kit:tenants:v1"
"""Extension member: the tenants of levels that end in ``_OF_TENANTS``."""
STEPS = "urn:offline-kit:steps:v1"
"""Extension member: the ground of every step of the lineage, and its changes of the manifest beyond a patch's."""
APPENDED = "urn:offline-kit:append-only:v1"
"""Extension member: the generations of ``OFFLINE_KIT_APPEND_ONLY``."""

COVERAGE = "urn:offline-kit:coverage:v1"
"""Extension member: how many observations count, and how many do not, by what they lack."""
COVERAGE_COUNTS = ("documents", "both", "null", "otherType", "otherShape", "noLinkset", "missing")
"""Its members."""
PAGE = "urn:offline-kit:page:v1"
"""Extension member: the page of the same verdict (``--html``)."""
VERIFIER_URI = "urn:offline-kit:verifier:"
BUNDLE_URI = "urn:offline-kit:bundle:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """The page of a verdict: its file name when it was written, and its digest."""

    name: str
    sha256: Sha256

    @classmethod
    def of(cls, name: str, data: bytes) -> Self:
        """Return the page of a file; bytes of the name that are not UTF-8 are spelled out."""
        return cls(name=_spelled(name), sha256=Sha256.of(data))


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of the lineage.

    Attributes:
        generation: The generation it made.
        ground: What proves that generation (schemas/verify-report.md); None if it is not proven.
        differences: Differences from the manifest before, in words.
        omitted: The number of further differences.
    """

    generation: int
    ground: str | None
    differences: tuple[str, ...]
    omitted: int

    def to_json(self) -> dict[str, Any]:
        """Return the value for ``strict_json.canonical``."""
        return {
            "generation": self.generation,
            "ground": self.ground,
            "differences": list(self.differences),
            "omittedDifferences": self.omitted,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """One verdict.

    Attributes:
        subjects: Digests by name: the archive, the manifest.
        verifier: Key id of the signer.
        tool: Name and version of the program.
        at: The time of the verification.
        bundle: Bundle id of the kit; None if it has none.
        policy: Digest of the policy's exact bytes.
        inputs: Digests of the signatures and statements that were verified.
        passed: The verdict.
        levels: The levels that the kit satisfies; empty if it was refused.
        obligations: Number, name, status and detail, in their order.
        steps: The steps of the lineage, oldest first; empty for a kit that was never patched.
        appended: The oldest and the newest generation between which only ``rawLinkset`` was added; None if that is
            proven of no step.
        tenants: The tenants for which coverage and mapped fields were checked; None for all.
        coverage: The number of those tenants' observations, in total, with both projections, and by what they lack;
            None if they were not counted.
        page: The page of the verdict; None if none was written with the receipt.
    """

    subjects: Mapping[str, Sha256]
    verifier: str
    tool: tuple[str, str]
    at: Timestamp
    bundle: str | None
    policy: Sha256
    inputs: Mapping[str, Sha256]
    passed: bool
    levels: tuple[str, ...]
    obligations: tuple[tuple[int, str, str, str], ...]
    steps: tuple[Step, ...] = ()
    appended: tuple[int, int] | None = None
    tenants: tuple[str, ...] | None = None
    coverage: Mapping[str, int] | None = None
    page: Page | None = None

    def to_bytes(self) -> bytes:
        """Return the statement to sign.

        Raises:
            ContentError: There is no subject, or a passed verdict has no level.
        """
        if not self.subjects:
            raise ContentError("a receipt needs the digest of an archive or a manifest")
        if self.passed != bool(self.levels):
            raise ContentError("a receipt has levels if and only if the kit is valid")
        name, version = self.tool
        return canonical(
            {
                "_type": STATEMENT_TYPE,
                "subject": [_resource("name", subject, digest) for subject, digest in sorted(self.subjects.items())],
                "predicateType": PREDICATE_TYPE,
                "predicate": {
                    "verifier": {"id": f"{VERIFIER_URI}{self.verifier}", "version": {name: version}},
                    "timeVerified": str(self.at),
                    "resourceUri": f"{BUNDLE_URI}{self.bundle or ''}",
                    "policy": _resource("uri", "urn:offline-kit:trust-policy", self.policy),
                    "inputAttestations": [
                        _resource("uri", path, digest) for path, digest in sorted(self.inputs.items())
                    ],
                    "verificationResult": "PASSED" if self.passed else "FAILED",
                    "verifiedLevels": list(self.levels) if self.passed else ["FAILED"],
                    OBLIGATIONS: [
                        {"number": number, "name": name, "status": status, "detail": detail}
                        for number, name, status, detail in self.obligations
                    ],
                    **({STEPS: [step.to_json() for step in self.steps]} if self.steps else {}),
                    **({APPENDED: dict(zip(("since", "until"), self.appended, strict=True))} if self.appended else {}),
                    **({COVERAGE: dict(self.coverage)} if self.coverage is not None else {}),
                    **({PAGE: _resource("name", self.page.name, self.page.sha256)} if self.page is not None else {}),
                    **({TENANTS: list(self.tenants)} if self.tenants is not None else {}),
                },
            }
        )


def _resource(key: str, name: str, digest: Sha256) -> dict[str, Any]:
    return {key: name, "digest": {"sha256": str(digest)}}


def make_receipt(
    report: VerifyReport, expectation: Expectation, key: PrivateKey, at: Timestamp, *, page: Page | None = None
) -> bytes:
    """Return a signed receipt of a verification, in a DSSE envelope; of a refused kit, too.

    Args:
        report: The verdict.
        expectation: What was demanded.
        key: Who signs.
        at: The time of the verification.
        page: The page of the verdict, if one was written.

    Raises:
        UntrustedError: The policy does not permit this key to sign receipts, or no longer does.
        ContentError: Nothing was read that could be the subject of a receipt.
    """
    judgement = report.judgement
    require_auditor(expectation, judgement.manifest, key, at)
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
                differences=tuple(map(str, link.differences[:MAX_DIFFERENCES])),
                omitted=max(0, len(link.differences) - MAX_DIFFERENCES),
            )
            for link in chain(judgement)
            if link.operation != PUBLISHED
        ),
        appended=(judgement.appended.since, judgement.appended.until)
        if judgement.appended is not None and judgement.appended.since is not None and judgement.valid
        else None,
        tenants=tuple(sorted(expectation.tenants)) if expectation.tenants is not None else None,
        coverage=_coverage(report, expectation),
        page=page,
    )
    return dsse.sign(receipt.to_bytes(), [key])


def require_auditor(expectation: Expectation, manifest: Manifest | None, key: PrivateKey, at: Timestamp) -> None:
    """Check that a policy lets this key sign receipts about a kit.

    Raises:
        UntrustedError: It does not, or no longer does.
    """
    if expectation.trust is None:
        return
    subject = Subject(
        what="the receipt",
        role=Role.AUDITOR,
        bundle_id=manifest.bundle_id if manifest is not None else None,
        members=tuple(entry.path for entry in manifest.entries) if manifest is not None else (),
        collections=manifest.table if manifest is not None else NAMED,
    )
    authorise(expectation.trust, subject, SigningKeys(keys=[key.public]), Occasion(signed_at=at))


def _subjects(report: VerifyReport) -> dict[str, Sha256]:
    judgement = report.judgement
    subjects: dict[str, Sha256] = {}
    if judgement.archive is not None:
        subjects[_spelled(report.kit.name)] = judgement.archive
    if judgement.manifest is not None and judgement.location is not None:
        subjects[str(judgement.location.manifest)] = judgement.manifest.sha256
    return subjects


def _spelled(name: str) -> str:
    # A file name may be no text; half a surrogate pair is no JSON.
    return name.encode("utf-8", "backslashreplace").decode()


def _coverage(report: VerifyReport, expectation: Expectation) -> dict[str, int] | None:
    """Return the total coverage of the requested tenants; None if nothing was counted."""
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


_PLACE = "# @KEYS@\n"
_KINDS = {Algorithm.ED25519: "ed25519", Algorithm.ES256: "es256", Algorithm.PS256: "ps256"}


def make_script(expectation: Expectation) -> bytes:
    """Return ``verify.sh`` with the keys that this expectation trusts.

    Raises:
        UsageError: The policy requires what the script cannot check: more than one signature, or limits of a key.
    """
    anchor = expectation.anchor
    _require_simple(anchor)
    # The script has no clock, so keys that are expired or not valid yet when it is written are left out.
    keys = list(dict.fromkeys((*keys_in_force(anchor, Role.PUBLISHER), *keys_in_force(anchor, Role.PATCHER))))
    if not keys:
        raise UsageError("no key of the policy may sign kits, so a script would refuse every kit")
    template = resources.files("kit.verbs.verify").joinpath("verify.sh").read_text(encoding="utf-8")
    return template.replace(_PLACE, "".join(_shell_case(key) for key in keys)).encode()


def _require_simple(anchor: Anchor) -> None:
    policy = anchor.policy
    for role in (Role.PUBLISHER, Role.PATCHER):
        if policy.threshold(role) > 1:
            raise UsageError(f"the policy needs {policy.threshold(role)} {role} signatures; the script checks one")
    limited = next((key for key in policy.keys if key.bundle_ids is not None or key.collections is not None), None)
    if limited is not None:
        raise UsageError(f"key {limited.label} is limited to bundles or collections, which the script does not check")


def _shell_case(key: TrustedKey) -> str:
    roles = " ".join(sorted(key.roles & {Role.PUBLISHER, Role.PATCHER}))
    pem = key.key.pem.decode("ascii").rstrip("\n")
    return f"""\
    {key.key_id})
        kind={_KINDS[key.key.algorithm]} roles=' {roles} '
        cat > "$tmp/key.pem" << 'PEM' || broken "no room in $tmp"
{pem}
PEM
        ;;
"""

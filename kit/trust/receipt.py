"""A receipt: what was verified, by whom, under which policy, when. Schema: schemas/receipt.md.

An in-toto Statement v1 whose predicate has the shape of a SLSA Verification Summary Attestation v1, so that readers of
VSAs can read it. :mod:`kit.signing` makes the envelope around it. Law: the same verdict, time and key give the same
bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kit.errors import ContentError
from kit.values import Sha256, Timestamp
from kit.values.strict_json import canonical

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://slsa.dev/verification_summary/v1"
"""Constants of their specifications; they are never fetched."""
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
                    "verifier": {"id": f"urn:offline-kit:verifier:{self.verifier}", "version": {name: version}},
                    "timeVerified": str(self.at),
                    "resourceUri": f"urn:offline-kit:bundle:{self.bundle or ''}",
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
                    **({TENANTS: list(self.tenants)} if self.tenants is not None else {}),
                },
            }
        )


def _resource(key: str, name: str, digest: Sha256) -> dict[str, Any]:
    return {key: name, "digest": {"sha256": str(digest)}}

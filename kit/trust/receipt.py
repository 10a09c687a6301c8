"""A receipt: what was verified, by whom, under which policy, when. Schema: schemas/receipt.md.

An in-toto Statement v1 whose predicate has the shape of a SLSA Verification Summary Attestation v1; who reads VSAs can
read it. Prints only: the envelope around it is for :mod:`kit.signing`. Law: the same verdict, time and key give
the same bytes.
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
"""Constants of their specifications; nothing is ever fetched from them."""
OBLIGATIONS = "urn:offline-kit:obligations:v1"
"""An extension member of the predicate: how every obligation ended."""
TENANTS = "urn:offline-kit:tenants:v1"
"""Another: the tenants that levels ending in ``_OF_TENANTS`` are about."""
STEPS = "urn:offline-kit:steps:v1"
"""Another: what every step of the lineage rests on, and what it changed in the manifest beyond what a patch does."""
APPENDED = "urn:offline-kit:append-only:v1"
"""Another: the generations that ``OFFLINE_KIT_APPEND_ONLY`` is about."""

COVERAGE = "urn:offline-kit:coverage:v1"
"""Another: how many observations count, and how many do not, by what they lack."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of the lineage, as a receipt has it.

    Attributes:
        generation: What it made.
        ground: What that rests on (schemas/verify-report.md); None where it is not proven.
        differences: In what the manifest differs from the one before, in words.
        omitted: How many differences more there are.
    """

    generation: int
    ground: str | None
    differences: tuple[str, ...]
    omitted: int

    def to_json(self) -> dict[str, Any]:
        """Print for ``strict_json.canonical``."""
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
        verifier: Key id of who signs.
        tool: Name and version of the program.
        at: When it was verified.
        bundle: Bundle id of the kit; None where it has none.
        policy: Digest of the policy's exact bytes.
        inputs: Digests of the signatures and statements that were verified.
        passed: The verdict.
        levels: What the kit was found to keep; empty for one that was refused.
        obligations: Number, name, status and detail, in their order.
        steps: Of the lineage, oldest first; empty for a kit that was never patched.
        appended: The oldest and the newest generation between which nothing but ``rawLinkset`` was added; None where
            that is not proven of any step.
        tenants: To whom coverage and the proof of mapped fields were restricted; None for all.
        coverage: Of those tenants, how many observations there are, have both projections, and lack what; None where
            they were not counted.
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
        """Print the statement to sign.

        Raises:
            ContentError: There is nothing it is about, or a passed verdict names no level: a receipt for nothing.
        """
        if not self.subjects:
            raise ContentError("there is no digest that a receipt could be about")
        if self.passed != bool(self.levels):
            raise ContentError("a receipt names what was verified exactly if the verdict is good")
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

"""What a verdict consists of: obligations with how each ended, and what the user demands (schemas/verify-report.md)."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from kit.engine.gap import Gap
from kit.errors import KitError
from kit.manifest import Difference, Location, Manifest, PatchStatement
from kit.ops.checksum_file import ChecksumFile
from kit.ops.remedies import remedy
from kit.signing import PublicKey
from kit.trust import Anchor
from kit.trust.state import Accepted, OverrideRecord
from kit.values import STRICT, Allowed, CollectionMember, MemberPath, Sha256

PATCH = "patch"
"""The one operation that lineage knows so far (schemas/offline-manifest.md)."""

Installed: TypeAlias = "Callable[[Judgement], None]"
"""What takes note of a kit that has its name now, before the job is over: who is killed on the way is told again by the
run that finishes it. It must not raise."""


class Status(enum.StrEnum):
    """How an obligation ended."""

    CHECKED = "checked"
    FAILED = "failed"
    NOT_APPLICABLE = "not applicable"
    OVERRIDDEN = "overridden"
    """Failed, and the user insisted (``--force``)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One thing met: where (member, offset), what was expected there and what was there; "" for nothing."""

    place: str
    expected: str
    met: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Obligation:
    """One obligation and how it ended; ``detail`` says with what result, or why not, in one line."""

    number: int
    name: str
    attack: str
    """What it guards against, in TUF's words."""
    status: Status
    detail: str
    evidence: tuple[Evidence, ...] = ()
    error: KitError | None = None

    @property
    def remedy(self) -> str:
        """The way out of a failure; "" where there is none to name."""
        return remedy(self.number, self.error) if self.error is not None else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """What the user demands of a kit."""

    trusted: Mapping[str, PublicKey] = field(default_factory=dict)
    """Keys by id, good in every role and for ever: the shorthand for a policy that says so."""
    trust: Anchor | None = None
    """A policy, with its state and the time; it goes before ``trusted``."""
    deep: bool = False
    """Walk every document, and prove that the last step only appended."""
    require_raw_linkset: bool = False
    tenants: frozenset[str] | None = None
    """Coverage is required of these tenants only; None for all."""
    allow_unsigned_history: bool = False
    """Only for rereading what was patched from a base accepted unverified."""

    @property
    def anchor(self) -> Anchor:
        """The policy to judge by."""
        return self.trust or Anchor.of_keys(self.trusted)


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """What stands beside an archive, and the digest of the archive itself."""

    archive: Sha256 | None
    """None for a folder."""
    checksum: ChecksumFile | None
    """What the ``.sha256`` file says of it; None where there is no such file."""
    signature: bytes | None
    """The ``.sig`` file."""


class Basis(enum.StrEnum):
    """What shows that a member is what it was before a step, but for what was appended."""

    SIGNED = "the previous manifest's digest"
    """Of the documents, which are the member."""
    REENCODED = "the previous manifest's digest, of the documents compressed again"
    ROOT = "the previous manifest's Merkle root, which does not prove their order"
    STATED = "the patcher's word alone"
    """Nothing that was signed before can be compared with: the digest in the statement is its signer's own."""

    @property
    def is_proof(self) -> bool:
        """Whether every byte of the documents, and their order, is held to what was signed before the step."""
        return self in {Basis.SIGNED, Basis.REENCODED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Appended:
    """What the documents prove of the last steps.

    Attributes:
        since: The oldest generation to which nothing but ``rawLinkset`` was added; None where that is not proven even
            of the last step.
        until: The current generation.
        is_whole: Whether ``since`` is the publisher's.
        why: Why no more is proven; "" where all of it is.
        documents: How many documents have what was appended since.
    """

    since: int | None
    until: int
    is_whole: bool
    why: str
    documents: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberProof:
    """What a deep reading of one collection member found."""

    member: CollectionMember
    documents: int
    changed: int
    """By the last step."""
    only_raw_linkset: int
    """Changed, and what the step did is one ``rawLinkset`` at the end."""
    other: int
    """Changed in another way; 0 in a kit that keeps the append-only law."""
    basis: Basis | None
    """What it was compared with; None where there is nothing to compare."""


def ignore(_: Judgement) -> None:
    """Take no note of a kit that was installed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedStep:
    """What holds of a step of the lineage: what it replaced, what replaced that, and who signed both."""

    base: Manifest
    """The generation that was replaced."""
    signers: tuple[str, ...] = ()
    """Key ids that signed ``base`` in the role it needs; empty only where it never was and that was accepted."""
    statement: PatchStatement | None = None
    """About this step, signed by ``statement_signers``; None where that does not hold."""
    statement_signers: tuple[str, ...] = ()
    operation: str = PATCH
    """What lineage calls the step."""
    differences: tuple[Difference, ...] = ()
    """In what the manifest that replaced ``base`` differs, besides what every patch changes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InTime:
    """What of obligation 4 was compared with something, and holds."""

    signers: bool = False
    """They are neither revoked nor out of their time, as the policy has it."""
    age: bool = False
    """The publisher's generation is within a staleness window."""
    memory: bool = False
    """The kit is not below the policy's minimum, nor older than what was accepted before."""


@dataclass(slots=True, kw_only=True)
class Judgement:
    """Everything that was found out about a kit."""

    obligations: list[Obligation] = field(default_factory=list)
    location: Location | None = None
    manifest: Manifest | None = None
    archive: Sha256 | None = None
    signers: tuple[str, ...] = ()
    """Key ids of trusted keys that signed the manifest, in the role it needs."""
    steps: list[CheckedStep] = field(default_factory=list)
    """Of the lineage, oldest first; the last may hold only in part where the lineage does not."""
    statements: tuple[PatchStatement, ...] = ()
    """Of every step, oldest first, each signed by a trusted key and about its step; empty unless lineage holds."""
    accepted: Accepted | None = None
    """What the state is to remember of a valid kit."""
    override: OverrideRecord | None = None
    """What the user insisted on, if that was needed."""
    allowed: Allowed = STRICT
    """What the user permits in a container."""
    permitted: tuple[tuple[str, str], ...] = ()
    """What was only accepted because of that: the member ("./" for the root), and ``name colon``, ``record KEY``."""
    extra_folders: tuple[MemberPath, ...] = ()
    """Folders that hold nothing of what is listed; nobody signed that they are there."""
    attestations: dict[MemberPath, Sha256] = field(default_factory=dict)
    """Digests of the signatures and statements that were judged."""
    in_time: InTime = field(default_factory=InTime)
    """What of obligation 4 was compared."""
    proofs: dict[MemberPath, MemberProof] = field(default_factory=dict)
    declared: int = 0
    """How many collections the manifest describes, and a deep reading found to be so."""
    appended: Appended | None = None
    """What the documents prove of the last steps; None where they were not read, or there is no step."""
    sealed_only: bool = False
    """Whether, with every envelope opened, the last step is proven to have sealed mapped values and nothing else."""
    gaps: tuple[Gap, ...] = ()
    """Why observations lack ``rawLinkset``, where some do that must have it, and that was asked for."""

    @property
    def failure(self) -> KitError | None:
        """The error of the first obligation that failed."""
        return next((obligation.error for obligation in self.obligations if obligation.error is not None), None)

    @property
    def valid(self) -> bool:
        """Whether nothing failed; a verdict over no obligation is none."""
        return bool(self.obligations) and self.failure is None

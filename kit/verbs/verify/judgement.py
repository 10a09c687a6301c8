"""What a verdict consists of: the obligations and how each ended (schemas/verify-report.md).

The values that the room shares: what the user expects, the sidecars of an archive, and the judgement with its evidence,
proofs and reasons. :func:`remedy` is the one place with a way out for each failure: commands with words to fill in.

The ``.sha256`` file is read in every form that ``sha256sum -c`` reads, and as a bare digest:

======================= ================================== ========================================================
``HEX  NAME``           ``sha256sum``                      also with one blank, or with ``*`` before the name
``SHA256 (NAME) = HEX`` ``sha256sum --tag``, BSD           also ``SHA256(NAME)= HEX``, ``SHA2-256(NAME)= HEX``: openssl
``HEX``                 other tools                        only alone in its file
======================= ================================== ========================================================

Digits are of either case. A backslash before the line means that backslash, line feed and carriage return in the name
are escaped. A line that begins with ``#`` is a comment. Other lines are ignored, as ``sha256sum`` does. The name on a
single line is ignored, since a kit may be renamed. Of several lines those count that name the archive, in whatever
folder; they must agree. ``verify.sh`` has the same rules, in awk.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import TypeAlias

from kit.errors import (
    ContentError,
    DigestError,
    KeyUnusableError,
    KitError,
    RollbackError,
    SignatureError,
    StaleError,
    UnsignedError,
    UntrustedError,
)
from kit.manifest import Difference, Location, Manifest, PatchStatement
from kit.signing import PublicKey
from kit.trust import Anchor
from kit.trust.state import Accepted, BelowFloorError, OverrideRecord
from kit.values import STRICT, Allowed, CollectionMember, MemberPath, Sha256
from kit.values.strict_json import plain_text

_AGAIN = "fetch the kit again from its publisher, and compare its SHA-256 with theirs: sha256sum KIT"
_FORCE = "on record, and only if you must: kit verify KIT --trust POLICY --force --reason TEXT"

_REMEDIES: tuple[tuple[int, type[KitError], str], ...] = (
    (1, KitError, _AGAIN),
    (2, KitError, "see what it holds: kit inspect KIT; ask its publisher for a kit with one well-formed manifest"),
    (3, UnsignedError, "ask its publisher for the signature; without one no kit is valid"),
    (3, SignatureError, "the manifest or its signature was changed after it was signed: fetch the kit again"),
    (
        3,
        UntrustedError,
        "see who claims to have signed it: kit inspect KIT; if you trust them: --trusted-key PEM",
    ),
    (4, BelowFloorError, "fetch a newer kit; the policy's minimum cannot be forced"),
    (4, RollbackError, f"fetch the newest generation; or {_FORCE}"),
    (4, StaleError, f"fetch a newer kit; or {_FORCE}"),
    (4, UntrustedError, "ask for a kit signed by a key in force: kit trust show POLICY"),
    (5, DigestError, _AGAIN),
    (
        6,
        UntrustedError,
        "name the keys of everyone who signed a generation: kit verify KIT --trusted-key PEM --trusted-key PEM",
    ),
    (6, KitError, "go back to a generation that verifies and patch it again: kit patch BASE --output KIT"),
    (7, KeyUnusableError, "name the keyring that holds the key: --keyring FILE"),
    (7, KitError, "go back to the generation before, verify it with --deep, and patch it again: kit patch BASE"),
    (
        8,
        ContentError,
        "see which can be derived: kit plan KIT; add them: kit patch KIT --output OUT",
    ),
)


def remedy(number: int, error: KitError) -> str:
    """Return the hint of the error, else the usual one of this obligation; "" if there is none."""
    usual = (text for at, kind, text in _REMEDIES if at == number and isinstance(error, kind))
    return error.hint or next(usual, "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Observations of one tenant that lack one of the two projections for the same reason."""

    tenant: str
    missing: bool
    """Whether ``rawLinkset`` is absent; False if it is there but does not count, which no patch changes."""
    source: str | None
    """Where a patch would find it (``snapshot``, ``cache``, ``content``); None if nowhere (unresolvable), or if it is
    there."""
    reason: str
    """Why there is no source, or what is there instead; with a source, why it still will not count, or ""."""
    documents: int
    examples: tuple[str, ...]
    """The ``_id`` of the first ones, in the kit's order."""

    @property
    def unresolvable(self) -> bool:
        """Whether ``rawLinkset`` is absent and has no source."""
        return self.missing and self.source is None

    @property
    def can_be_patched(self) -> bool:
        """Whether a patch completes them."""
        return self.source is not None and not self.reason


_PLAIN = re.compile(rb"([0-9A-Fa-f]{64})(?:[ \t][ \t*]?(.*))?", re.DOTALL)
_TAGGED = re.compile(rb"SHA(?:2-)?256 ?\((.*)\) ?= ?([0-9A-Fa-f]{64})[ \t]*", re.DOTALL)
_ESCAPE = re.compile(rb"\\(.)", re.DOTALL)
_ESCAPED = {b"n": b"\n", b"r": b"\r", b"\\": b"\\"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ChecksumFile:
    """What a ``.sha256`` file states of one archive."""

    digests: frozenset[str]
    """The digests of the archive, in lower-case hex: one, unless the file names none or contradicts itself."""
    lines: int
    """The number of lines with a digest, of whatever file."""

    @classmethod
    def parse(cls, data: bytes, archive: str) -> ChecksumFile:
        """Parse a file; ``archive`` is the name of the archive next to it."""
        found = [entry for line in plain_text(data).split(b"\n") if (entry := _entry(line)) is not None]
        wanted = _leaf(archive.encode("utf-8", "surrogateescape"))
        of_archive = found if len(found) == 1 else [entry for entry in found if _leaf(entry[0]) == wanted]
        return cls(digests=frozenset(digest for _, digest in of_archive), lines=len(found))

    def is_of(self, digest: Sha256 | None) -> bool:
        """Return whether the file states this digest of the archive, and no other."""
        return self.digests == {str(digest)}

    def __str__(self) -> str:
        if self.digests:
            return " and ".join(sorted(self.digests))
        return f"the digests of {self.lines} files, none of them of this name" if self.lines else "no digest"


def _entry(line: bytes) -> tuple[bytes, str] | None:
    """Return the name and digest on a line; None if it has none."""
    line = line.lstrip(b" \t").removesuffix(b"\r")
    bare = line.removeprefix(b"\\")
    if tagged := _TAGGED.fullmatch(bare):
        name, digest = tagged[1], tagged[2]
    elif plain := _PLAIN.fullmatch(bare):
        name, digest = plain[2] or b"", plain[1]
    else:
        return None
    if bare != line:
        name = _ESCAPE.sub(lambda match: _ESCAPED.get(match[1], match[0]), name)
    return name, digest.decode("ascii").lower()


def _leaf(name: bytes) -> bytes:
    return PurePath(name.decode("utf-8", "surrogateescape")).name.encode("utf-8", "surrogateescape")


PATCH = "patch"
"""The only operation in a lineage so far (schemas/offline-manifest.md)."""

Installed: TypeAlias = "Callable[[Judgement], None]"
"""Records a kit that has just got its name, before the job ends. If the process is killed, the run that resumes the job
calls it again. It must not raise."""


class Status(enum.StrEnum):
    """How an obligation ended."""

    CHECKED = "checked"
    FAILED = "failed"
    NOT_APPLICABLE = "not applicable"
    OVERRIDDEN = "overridden"
    """Failed, and the user overrides it (``--force``)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One finding: where (member, offset), what was expected there and what was found; "" for nothing."""

    place: str
    expected: str
    found: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Obligation:
    """One obligation and how it ended; ``detail`` is the result, or the reason for none, in one line."""

    number: int
    name: str
    attack: str
    """The attack that it prevents, in TUF's words."""
    status: Status
    detail: str
    evidence: tuple[Evidence, ...] = ()
    error: KitError | None = None

    @property
    def remedy(self) -> str:
        """The way out of a failure; "" if there is none."""
        return remedy(self.number, self.error) if self.error is not None else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """What the user requires of a kit."""

    trusted: Mapping[str, PublicKey] = field(default_factory=dict)
    """Keys by id, valid in every role and for ever: the shorthand for such a policy."""
    trust: Anchor | None = None
    """A policy, with its state and the time; it replaces ``trusted``."""
    deep: bool = False
    """Whether to read every document and prove that the last step only appended."""
    require_raw_linkset: bool = False
    tenants: frozenset[str] | None = None
    """The tenants whose coverage is required; None for all."""
    allow_unsigned_history: bool = False
    """Only for reading back what was patched from an unverified base."""

    @property
    def anchor(self) -> Anchor:
        """The policy to judge by."""
        return self.trust or Anchor.of_keys(self.trusted)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sidecars:
    """The sidecars of an archive, and the digest of the archive itself."""

    archive: Sha256 | None
    """None for a folder."""
    checksum: ChecksumFile | None
    """The ``.sha256`` file; None if there is none."""
    signature: bytes | None
    """The ``.sig`` file; None if there is none."""


class Basis(enum.StrEnum):
    """What shows that a member is unchanged by a step except for what was appended."""

    SIGNED = "the previous manifest's digest"
    """The digest of the documents, which are the member."""
    REENCODED = "the previous manifest's digest, of the documents compressed again"
    ROOT = "the previous manifest's Merkle root, which does not prove their order"
    STATED = "the patcher's word alone"
    """Nothing signed before the step can be compared: the digest in the statement is the claim of its signer."""

    @property
    def is_proof(self) -> bool:
        """Whether every byte of the documents, and their order, is compared with what was signed before the step."""
        return self in {Basis.SIGNED, Basis.REENCODED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Appended:
    """What the documents prove of the last steps.

    Attributes:
        since: The oldest generation to which nothing but ``rawLinkset`` was added; None if that is not even proven of
            the last step.
        until: The current generation.
        is_whole: Whether ``since`` is the publisher's.
        why: Why no more is proven; "" if all is.
        documents: The number of documents to which something was appended since.
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
    """Changed by exactly one ``rawLinkset`` at the end."""
    other: int
    """Changed in another way; 0 in a kit that obeys the append-only law."""
    basis: Basis | None
    """What it was compared with; None if there is nothing to compare."""


def ignore(_: Judgement) -> None:
    """Record nothing; the default of ``installed``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedStep:
    """A step of the lineage as far as it was checked: its base, its statement, and the signers of both."""

    base: Manifest
    """The generation that the step replaced."""
    signers: tuple[str, ...] = ()
    """Key ids that signed ``base`` in the role it needs; empty only if an unsigned base was accepted."""
    statement: PatchStatement | None = None
    """The statement about this step, signed by ``statement_signers``; None if that does not hold."""
    statement_signers: tuple[str, ...] = ()
    operation: str = PATCH
    """The name of the operation in the lineage."""
    differences: tuple[Difference, ...] = ()
    """The differences of the next manifest from ``base``, besides those that every patch makes."""
    record: bytes | None = None
    """The record of a step that changed the schema of collections, as lineage names it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reshaped:
    """What the documents prove of a last step that changed the schema of collections."""

    until: int
    """The generation that it made."""
    is_proven: bool
    """Whether, undone as its record states, all that it changed is what was signed before."""
    documents: int
    """Documents that it changed."""
    why: str = ""
    """Why that is not proven."""
    bases: Mapping[MemberPath, Basis] = field(default_factory=dict)
    """What each collection member that it changed was compared with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InTime:
    """The parts of obligation 4 that were compared and hold."""

    signers: bool = False
    """By the policy, no signer is revoked, expired or not valid yet."""
    age: bool = False
    """The publisher's generation is within a staleness window."""
    memory: bool = False
    """The kit is neither below the policy's minimum nor older than one accepted before."""


@dataclass(slots=True, kw_only=True)
class Judgement:
    """Everything that is known of a kit after its verification."""

    obligations: list[Obligation] = field(default_factory=list)
    location: Location | None = None
    manifest: Manifest | None = None
    archive: Sha256 | None = None
    signers: tuple[str, ...] = ()
    """Key ids of trusted keys that signed the manifest, in the role it needs."""
    steps: list[CheckedStep] = field(default_factory=list)
    """The steps of the lineage, oldest first; if the lineage does not hold, the last may be incomplete."""
    statements: tuple[PatchStatement, ...] = ()
    """The statement of every step, oldest first, each signed by a trusted key; empty unless the lineage holds."""
    accepted: Accepted | None = None
    """What the state will record of a valid kit."""
    override: OverrideRecord | None = None
    """The override, if one was needed."""
    allowed: Allowed = STRICT
    """What the user permits in a container."""
    permitted: tuple[tuple[str, str], ...] = ()
    """What was accepted only because of that: the member ("./" for the root), and ``name colon``, ``record KEY``."""
    extra_folders: tuple[MemberPath, ...] = ()
    """Folders without any listed member; no signature covers them."""
    attestations: dict[MemberPath, Sha256] = field(default_factory=dict)
    """Digests of the signatures and statements that were judged."""
    in_time: InTime = field(default_factory=InTime)
    """The parts of obligation 4 that were compared."""
    proofs: dict[MemberPath, MemberProof] = field(default_factory=dict)
    declared: int = 0
    """The number of collections that the manifest declares and a deep reading confirms."""
    appended: Appended | None = None
    """What the documents prove of the last steps; None if they were not read, or there is no step."""
    reshaped: Reshaped | None = None
    """What they prove of a last step that has a record; None if they were not read, or it has none."""
    sealed_only: bool = False
    """Whether, with every envelope opened, the last step is proven to have sealed mapped values and nothing else."""
    gaps: tuple[Gap, ...] = ()
    """Why required observations lack ``rawLinkset``, if the reasons were requested."""

    @property
    def failure(self) -> KitError | None:
        """The error of the first obligation that failed."""
        return next((obligation.error for obligation in self.obligations if obligation.error is not None), None)

    @property
    def valid(self) -> bool:
        """Whether nothing failed; a judgement without obligations is not valid."""
        return bool(self.obligations) and self.failure is None

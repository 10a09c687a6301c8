"""What a verdict consists of: obligations with how each ended, and what the user demands (schemas/verify-report.md).

What to do about an obligation that failed, where its error does not say so: commands with words to fill in.

What :mod:`kit.verbs.verify.gaps` finds; in a module of its own, so that a report need not load what looks for it.

Reads ``<archive>.sha256`` in every form that ``sha256sum -c`` reads, and a bare digest.

======================= ================================== ========================================================
``HEX  NAME``           ``sha256sum``                      also with one blank, or with ``*`` before the name
``SHA256 (NAME) = HEX`` ``sha256sum --tag``, BSD           also ``SHA256(NAME)= HEX``, ``SHA2-256(NAME)= HEX``: openssl
``HEX``                 what other tools print             only alone in its file
======================= ================================== ========================================================

Digits are of either case; a backslash before the line says that backslash, line feed and carriage return of the name
are escaped; a line that begins with ``#`` is a comment. Lines of other forms are passed over, as ``sha256sum`` does.

Of one line the name does not matter, since a kit may be renamed. Of several those count that name the archive, whatever
folder they name it in; they must agree. ``verify.sh`` has the same rules, in awk.
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

_AGAIN = "fetch the kit again from whoever made it, and compare its SHA-256 with theirs: sha256sum KIT"
_FORCE = "on record, and only if you must: kit verify KIT --trust POLICY --force --reason TEXT"

_REMEDIES: tuple[tuple[int, type[KitError], str], ...] = (
    (1, KitError, _AGAIN),
    (2, KitError, "see what it holds: kit inspect KIT; ask its publisher for a kit with one well-formed manifest"),
    (3, UnsignedError, "ask its publisher for the signature; without one no kit is valid"),
    (3, SignatureError, "the manifest or its signature was changed after it was signed: fetch the kit again"),
    (
        3,
        UntrustedError,
        "see who says to have signed it: kit inspect KIT; if they are to be believed: --trusted-key PEM",
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
    """Give the way out: what the error itself says, else what is usual for this obligation; "" where there is none."""
    usual = (text for at, kind, text in _REMEDIES if at == number and isinstance(error, kind))
    return error.hint or next(usual, "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Observations of one tenant that lack one of the two projections for the same reason."""

    tenant: str
    missing: bool
    """Whether ``rawLinkset`` is not there; False where it is, and does not count, which no patch changes."""
    source: str | None
    """Where a patch would find it (``snapshot``, ``cache``, ``content``); None where it finds none (unresolvable), and
    where it is there."""
    reason: str
    """Why there is no source, or what is there; where there is one, why it will not count all the same, or ""."""
    documents: int
    examples: tuple[str, ...]
    """The ``_id`` of the first ones, in the order of the kit."""

    @property
    def unresolvable(self) -> bool:
        """Whether ``rawLinkset`` is not there, and no source for it is."""
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
    """What such a file says of one archive."""

    digests: frozenset[str]
    """Of the archive, in lower-case hex: one, unless the file names none or contradicts itself."""
    lines: int
    """How many lines have a digest, of whichever file."""

    @classmethod
    def parse(cls, data: bytes, archive: str) -> ChecksumFile:
        """Read a file; ``archive`` is the name of the archive that it is beside."""
        found = [entry for line in plain_text(data).split(b"\n") if (entry := _entry(line)) is not None]
        wanted = _leaf(archive.encode("utf-8", "surrogateescape"))
        of_archive = found if len(found) == 1 else [entry for entry in found if _leaf(entry[0]) == wanted]
        return cls(digests=frozenset(digest for _, digest in of_archive), lines=len(found))

    def is_of(self, digest: Sha256 | None) -> bool:
        """Return whether the file says that the archive has this digest, and no other."""
        return self.digests == {str(digest)}

    def __str__(self) -> str:
        if self.digests:
            return " and ".join(sorted(self.digests))
        return f"the digests of {self.lines} files, none of them of this name" if self.lines else "no digest"


def _entry(line: bytes) -> tuple[bytes, str] | None:
    """Return name and digest of one line; None where it has none."""
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
    """One finding: where (member, offset), what was expected there and what was found; "" for nothing."""

    place: str
    expected: str
    found: str


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
class Sidecars:
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

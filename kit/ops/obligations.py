"""The obligations of a kit, in the order in which they decide (schemas/verify-report.md, "Obligations").

1. The container reads strictly (the survey that this module starts from has done it).
2. There is exactly one manifest, strict JSON, of a known shape.
3. Its signature is over the exact bytes, by a key that is trusted.
5. Closed world: every member listed, every listed file there, every digest and size met; files beside it match.
6. Lineage: every earlier manifest, its signature and the statement of every step, unbroken to the first.
8. Coverage: ``rawLinkset`` on every observation, where that is asked for.

Numbers are those of the format; 4 (freshness and rollback, which need a trust policy) and 7 (every document) are not
part of this version's verdict, and every report says so. Law: no obligation is skipped silently: each ends as checked,
failed, or not applicable with the reason, and the first failure decides.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from kit.engine.survey import Survey
from kit.errors import ContentError, DigestError, KitError, UnsignedError
from kit.manifest import (
    Location,
    Manifest,
    PatchStatement,
    check_lineage,
    closed_world,
    is_history,
    locate,
    parse_statement,
)
from kit.signing import PublicKey, archive_signature, dsse, jws
from kit.transforms.coverage import Tally, TenantCoverage, is_observations
from kit.values import Limits, Sha256

T = TypeVar("T")


class Status(enum.StrEnum):
    """How an obligation ended."""

    CHECKED = "checked"
    FAILED = "failed"
    NOT_APPLICABLE = "not applicable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Obligation:
    """One obligation and how it ended; ``detail`` is evidence or reason, in one line."""

    number: int
    name: str
    status: Status
    detail: str
    error: KitError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """What the user demands of a kit."""

    trusted: Mapping[str, PublicKey]
    """By key id; every signature of manifest, history and statements must be by one of these."""
    require_raw_linkset: bool = False
    tenants: frozenset[str] | None = None
    """Coverage is required of these tenants only; None for all."""
    allow_unsigned_history: bool = False
    """Only for rereading what was patched from a base accepted unverified."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """What stands beside an archive, and the digest of the archive itself."""

    archive: Sha256 | None
    """None for a folder."""
    checksum: str | None
    """The digest the ``.sha256`` file names, "" where it names none; None where there is no such file."""
    signature: bytes | None
    """The ``.sig`` file."""


@dataclass(slots=True, kw_only=True)
class Judgement:
    """Everything that was found out about a kit."""

    obligations: list[Obligation] = field(default_factory=list)
    location: Location | None = None
    manifest: Manifest | None = None
    signers: tuple[str, ...] = ()
    """Key ids of trusted keys that signed the manifest."""
    statements: tuple[PatchStatement, ...] = ()
    """Of every step, oldest first, each signed by a trusted key and about its step; empty unless lineage holds."""

    @property
    def failure(self) -> KitError | None:
        """The error of the first obligation that failed."""
        return next((obligation.error for obligation in self.obligations if obligation.error is not None), None)

    @property
    def valid(self) -> bool:
        """Whether nothing failed."""
        return self.failure is None


def judge(survey: Survey, beside: Beside, expectation: Expectation, *, limits: Limits) -> Judgement:
    """Check every obligation that can be checked, also after one has failed; raises nothing."""
    judgement = Judgement()
    inspector = _Inspector(survey, beside, expectation, limits, judgement)
    for number, name, check in (
        (1, "container reads strictly", inspector.container),
        (2, "exactly one manifest", inspector.one_manifest),
        (3, "manifest signed by a trusted key", inspector.signature),
        (4, "fresh and not rolled back", partial(_not_part, "it needs a trust policy")),
        (5, "closed world and every digest", inspector.closed_world),
        (6, "lineage to the first generation", inspector.lineage),
        (7, "every document as it was signed", partial(_not_part, "digests of whole files are, by 5")),
        (8, "rawLinkset on every observation", inspector.coverage),
    ):
        judgement.obligations.append(_attempt(number, name, check))
    return judgement


def refused(error: KitError) -> Judgement:
    """Judge a kit that could not be read to its end."""
    name = "container reads strictly"
    return Judgement(
        obligations=[Obligation(number=1, name=name, status=Status.FAILED, detail=str(error), error=error)]
    )


class _NotApplicableError(Exception):
    """An obligation that this kit or this request does not have."""


def _not_part(why: str) -> str:
    raise _NotApplicableError(f"not checked by this version: {why}")


def _attempt(number: int, name: str, check: Callable[[], str]) -> Obligation:
    try:
        return Obligation(number=number, name=name, status=Status.CHECKED, detail=check())
    except _NotApplicableError as reason:
        return Obligation(number=number, name=name, status=Status.NOT_APPLICABLE, detail=str(reason))
    except KitError as error:
        return Obligation(number=number, name=name, status=Status.FAILED, detail=str(error), error=error)


def _inside(where: str, check: Callable[[], T]) -> T:
    try:
        return check()
    except KitError as error:
        raise error.inside(where) from error.__cause__


class _Inspector:
    def __init__(
        self, survey: Survey, beside: Beside, expectation: Expectation, limits: Limits, judgement: Judgement
    ) -> None:
        self._survey = survey
        self._beside = beside
        self._expectation = expectation
        self._limits = limits
        self._judgement = judgement

    def container(self) -> str:
        return f"{len(self._survey.members):,} files"

    def one_manifest(self) -> str:
        location = locate(self._survey.members)
        self._judgement.location = location
        data = self._survey.kept[location.manifest]
        manifest = Manifest.parse(data, limits=self._limits, where=str(location.manifest))
        self._judgement.manifest = manifest
        return f"{location.manifest}, generation {manifest.generation}, {len(manifest.entries):,} files listed"

    def signature(self) -> str:
        location, _ = self._found()
        payload, document = self._survey.kept[location.manifest], self._survey.kept.get(location.signature)
        if document is None:
            raise UnsignedError("the manifest has no signature", where=str(location.signature))
        check = _inside(str(location.signature), partial(jws.verify, document, payload, self._trusted))
        self._judgement.signers = check.valid_key_ids
        detail = f"by {', '.join(check.valid_key_ids)}"
        if self._beside.signature is not None and self._beside.archive is not None:
            verify = partial(archive_signature.verify, self._beside.signature, self._beside.archive, self._trusted)
            key = _inside("the .sig file", verify)
            detail += f"; .sig file by {key.key_id}"
        return detail

    def closed_world(self) -> str:
        location, manifest = self._found()
        members = {path: met for path, met in self._survey.members.items() if not location.is_outside(path)}
        closed_world.require(closed_world.compare(manifest.entries, members))
        detail = f"{len(members):,} files, {sum(size for _, size in members.values()):,} bytes"
        if self._beside.checksum is not None:
            if self._beside.archive is None or self._beside.checksum != str(self._beside.archive):
                said = self._beside.checksum or "nothing"
                raise DigestError(f"says {said}, the archive has {self._beside.archive}", where="the .sha256 file")
            detail += "; .sha256 file matches"
        return detail

    def lineage(self) -> str:
        _, manifest = self._found()
        history = {path: data for path, data in self._survey.kept.items() if is_history(path)}
        steps = check_lineage(manifest, history, limits=self._limits)
        if not steps:
            raise _NotApplicableError("the kit was never patched")
        statements: list[PatchStatement] = []
        for step in steps:
            entry = step.entry
            if step.signature is not None:
                _inside(str(entry.signature), partial(jws.verify, step.signature, step.manifest_bytes, self._trusted))
            elif not self._expectation.allow_unsigned_history:
                raise UnsignedError(
                    f"generation {entry.generation} was never signed",
                    where=entry.path,
                    hint="it was patched with --insecure-unverified-base; patch a signed kit instead",
                )
            statement = _inside(entry.statement, partial(dsse.verify, step.statement, self._trusted))
            statements.append(parse_statement(statement.payload, where=entry.statement))
            step.check_statement(statements[-1])
        self._judgement.statements = tuple(statements)
        return f"{len(steps)} earlier generation{'s' if len(steps) > 1 else ''}, from {steps[0].entry.generation}"

    def coverage(self) -> str:
        if not self._expectation.require_raw_linkset:
            raise _NotApplicableError("not asked for (--require-raw-linkset)")
        total = coverage_of(self._survey)
        wanted = self._expectation.tenants
        absent = sorted((wanted or frozenset()) - set(total))
        if absent:
            raise ContentError(f"tenant {absent[0]!r} has no observations in this kit")
        tenants = {name: covered for name, covered in total.items() if wanted is None or name in wanted}
        short = {name: covered for name, covered in tenants.items() if covered.missing}
        if short:
            told = ", ".join(
                f"{name or '(no tenant)'} {covered.present:,} of {covered.documents:,}"
                for name, covered in sorted(short.items())
            )
            raise ContentError(f"rawLinkset is not on every observation: {told}")
        documents = sum(covered.documents for covered in tenants.values())
        return f"{documents:,} observations of {len(tenants)} tenants"

    @property
    def _trusted(self) -> Mapping[str, PublicKey]:
        return self._expectation.trusted

    def _found(self) -> tuple[Location, Manifest]:
        location, manifest = self._judgement.location, self._judgement.manifest
        if location is None or manifest is None:
            raise ContentError("cannot be checked without a manifest")
        return location, manifest


def coverage_of(survey: Survey) -> dict[str, TenantCoverage]:
    """Add up the coverage of every collection of observations, by tenant."""
    total = Tally()
    for path, tally in survey.tallies.items():
        if is_observations(survey.collections[path].name):
            total.add(tally)
    return total.tenants

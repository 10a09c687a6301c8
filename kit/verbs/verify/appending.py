"""Did the last steps of a chain only append? What that takes to be read, and what the reading proves.

Only the documents of the current generation are at hand, so they are looked at from the end of the chain: cutting out
what the last step says it appended must give what the generation below it signed; cutting out what all steps say that
append must give what the first of those generations signed. A chain is followed back as far as its steps say that they
append ``rawLinkset`` and nothing differs between their manifests but what that explains.

Laws: what a statement merely asserts proves nothing; where there is something signed to compare with, it is compared,
and a difference is a failure, never "not proven".
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kit.errors import ContentError, DigestError
from kit.manifest import Difference, DocumentChanges, Manifest, PatchStatement
from kit.transforms.coverage import is_observations
from kit.values import Codec, CollectionMember, MemberPath, RunLengths
from kit.verbs.verify.judgement import PATCH, Appended, Basis, CheckedStep, MemberProof

if TYPE_CHECKING:
    from kit.engine.proving import Earlier, EarlierReading, MemberReading

_APPENDING = "raw-linkset"
_ADDITIVE = "additive-optional"


def says_it_appends(statement: PatchStatement) -> bool:
    """Whether every transform of a step is, as its statement has it, one that appends an element and does no more."""
    return all(one.name == _APPENDING and one.kind == _ADDITIVE for one in statement.transforms)


@dataclass(frozen=True, slots=True, kw_only=True)
class Excess:
    """What a step did to the manifest that it does not say, though it says that it only appends."""

    statement: PatchStatement
    differences: tuple[Difference, ...]

    def __str__(self) -> str:
        more = f" (and {len(self.differences) - 1} more)" if len(self.differences) > 1 else ""
        return (
            f"the step to generation {self.statement.generation} says that it only appends rawLinkset, and did more: "
            f"{self.differences[0]}{more}"
        )


def excess(steps: Sequence[CheckedStep]) -> Excess | None:
    """Find the newest step of a chain that says it only appends and did more to the manifest; None if there is none."""
    for step in reversed(steps):
        more = tuple(one for one in step.differences if one.is_excess)
        if more and step.statement is not None and says_it_appends(step.statement):
            return Excess(statement=step.statement, differences=more)
    return None


class Ending(enum.StrEnum):
    """Why a chain is followed back no further: what is with the step above."""

    FIRST = ""
    """Nothing: it is of the publisher's generation."""
    OTHER = "does more than append"
    SILENT = "does not say which documents it changed"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Due:
    """What a member must give without what was appended since a generation."""

    base: Manifest
    since: tuple[CheckedStep, ...]
    earlier: Earlier

    def is_of(self, step: CheckedStep) -> bool:
        """Whether it is about this step alone."""
        return len(self.since) == 1 and self.since[0] is step


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What of a chain is to be proven by its documents.

    Attributes:
        steps: The last ones, oldest first, that say they append, whatever else they did to the manifest.
        ending: Why there are no more.
        dues: By member that any of them changed, what is compared: with the generation below the last step, where that
            changed it, then with the one below the first of ``steps``, where that is another.
    """

    steps: tuple[CheckedStep, ...]
    ending: Ending
    dues: Mapping[MemberPath, tuple[_Due, ...]]

    def earlier(self, path: MemberPath) -> tuple[Earlier, ...]:
        """Return what is to be read of a member's past."""
        return tuple(due.earlier for due in self.dues.get(path, ()))


def plan(steps: Sequence[CheckedStep], members: Mapping[MemberPath, CollectionMember]) -> Plan:
    """Follow a chain back, and say what must be read.

    Args:
        steps: Of the whole chain, oldest first; the lineage holds.
        members: The collections of the kit.

    Raises:
        ContentError: The last step says that it appends, and does not say to which documents of a member it changed.
        DigestError: Two steps say that they appended to the same document.
    """
    if steps and (silent := _silent(steps[-1])) is not None:
        raise ContentError(
            "the statement of the last step does not say which documents it changed, so nothing proves that it only "
            "appended",
            where=str(silent),
            hint="patch the previous generation again with this version",
        )
    covered: list[CheckedStep] = []
    ending = Ending.FIRST
    for step in reversed(steps):
        if step.statement is None or not says_it_appends(step.statement):
            ending = Ending.OTHER
        elif _silent(step) is not None:
            ending = Ending.SILENT
        else:
            covered.insert(0, step)
            continue
        break
    changed = {path for step in covered for path in _selections(step)}
    dues = {path: tuple(_dues(path, members[path], steps, covered)) for path in sorted(changed) if path in members}
    return Plan(steps=tuple(covered), ending=ending, dues=dues)


def _silent(step: CheckedStep) -> MemberPath | None:
    """Return a member that a step changed without saying which of its documents, if the step says that it appends."""
    statement = step.statement
    if statement is None or not says_it_appends(statement):
        return None
    told = _selections(step)
    return next((artifact.path for artifact in statement.materials if artifact.path not in told), None)


def _changes(step: CheckedStep) -> tuple[DocumentChanges, ...]:
    return step.statement.documents if step.statement is not None else ()


def _selections(step: CheckedStep) -> dict[MemberPath, RunLengths]:
    return {one.path: one.changed for one in _changes(step)}


def _dues(
    path: MemberPath, member: CollectionMember, chain: Sequence[CheckedStep], covered: Sequence[CheckedStep]
) -> Iterator[_Due]:
    """Say what a member is compared with: what was below the last step, and what was below all that are covered."""
    from kit.engine.proving import Earlier  # noqa: PLC0415  not for every verdict

    changing = [step for step in covered if path in _selections(step)]
    if sum(_selections(step)[path].chosen for step in changing) > _union(path, changing).chosen:
        raise DigestError("two steps say that they appended to the same document", where=str(path))
    last = [step for step in changing if step is covered[-1]]
    for since in [last, changing] if last and len(changing) > len(last) else [changing]:
        yield _Due(
            base=since[0].base,
            since=tuple(since),
            earlier=Earlier(
                appended=_union(path, since),
                cut_appended=RunLengths.union(cut_since(path, chain, since[0]), _union(path, since)),
                rooted=member.codec is not Codec.NONE and _root(since[0].base, path) is not None,
            ),
        )


def _union(path: MemberPath, steps: Sequence[CheckedStep]) -> RunLengths:
    return RunLengths.union(*(_selections(step)[path] for step in steps))


def cut_since(path: MemberPath, chain: Sequence[CheckedStep], step: CheckedStep) -> RunLengths:
    """Return which documents of a member, as it was below ``step``, had an element appended since its frames were cut.

    Frames are cut by the documents that a patch reads: by those below the step that wrote the member. Where that step
    did more than append, they are not known, and none are returned.
    """
    place = next(number for number, one in enumerate(chain) if one is step)
    for earlier in reversed(chain[:place]):
        if earlier.statement is not None and any(one.path == path for one in earlier.statement.changed):
            selected = _selections(earlier).get(path)
            return selected if selected is not None and says_it_appends(earlier.statement) else RunLengths()
    return RunLengths()


def _root(manifest: Manifest, path: MemberPath) -> object:
    return next((one.merkle_root for one in manifest.collections if one.path == path), None)


def prove(
    found: Plan,
    members: Mapping[MemberPath, CollectionMember],
    readings: Mapping[MemberPath, MemberReading],
    until: int,
) -> tuple[Appended, dict[MemberPath, MemberProof]]:
    """Compare what was read with what was signed.

    Args:
        found: The plan that was read by.
        members: The collections.
        readings: Of every one of them.
        until: The current generation.

    Raises:
        DigestError: A step did more than it says.
        ContentError: Its counts are not those of its documents.
    """
    bases = {path: _bases(members[path], dues, readings[path]) for path, dues in found.dues.items()}
    for step in found.steps:
        _check_counts(step, readings, members if step is found.steps[-1] else None)
    proofs = {path: _proof(members[path], reading, found, bases.get(path, ())) for path, reading in readings.items()}
    return _conclude(found, bases, until), proofs


def _conclude(found: Plan, bases: Mapping[MemberPath, tuple[Basis, ...]], until: int) -> Appended:
    if not found.steps:
        return Appended(since=None, until=until, is_whole=False, why=f"it {found.ending}", documents=0)
    last, first = found.steps[-1], found.steps[0]
    if (besides := _besides(last)) is not None:
        return Appended(since=None, until=until, is_whole=False, why=f"it {besides}", documents=0)
    weak_last = _weak({path: due[0] for path, due in bases.items() if found.dues[path][0].is_of(last)})
    weak_first = _weak({path: due[-1] for path, due in bases.items()})
    if weak_last:
        return Appended(since=None, until=until, is_whole=False, why=weak_last, documents=0)
    told = (f"the step to generation {one.base.generation + 1} {_besides(one)}" for one in found.steps if _besides(one))
    if weak_first := weak_first or next(told, ""):
        return Appended(
            since=last.base.generation, until=until, is_whole=False, why=weak_first, documents=_count([last])
        )
    is_whole = found.ending is Ending.FIRST
    why = "" if is_whole else f"the step to generation {first.base.generation} {found.ending}"
    since = first.base.generation
    return Appended(since=since, until=until, is_whole=is_whole, why=why, documents=_count(found.steps))


def _besides(step: CheckedStep) -> str | None:
    """Return what a step that says it appends did besides, and is no failure; None where it is as any patch's."""
    if step.operation != PATCH:
        return f"is an operation that is not known: {step.operation!r}"
    more = f" (and {len(step.differences) - 1} more)" if len(step.differences) > 1 else ""
    return f"did more to the manifest: {step.differences[0]}{more}" if step.differences else None


def _count(steps: Sequence[CheckedStep]) -> int:
    return sum(selection.chosen for step in steps for selection in _selections(step).values())


def _weak(bases: Mapping[MemberPath, Basis]) -> str:
    weak = [f"{path}: {basis}" for path, basis in sorted(bases.items()) if not basis.is_proof]
    return "" if not weak else weak[0] + (f" (and {len(weak) - 1} more members)" if len(weak) > 1 else "")


def _bases(member: CollectionMember, dues: Sequence[_Due], reading: MemberReading) -> tuple[Basis, ...]:
    return tuple(_compared(member, due, reading, met) for due, met in zip(dues, reading.earlier, strict=True))


def _compared(member: CollectionMember, due: _Due, reading: MemberReading, met: EarlierReading) -> Basis:
    path, where = member.path, str(member.path)
    documents = reading.tally.documents
    for step in due.since:
        if (told := _selections(step)[path].total) != documents:
            raise DigestError(f"the statement counts {told:,} documents, there are {documents:,}", where=where)
    if met.changed != met.appended:
        raise DigestError(
            f"{met.changed - met.appended:,} documents changed in another way than by a rawLinkset at their end",
            where=where,
        )
    entry = due.base.entry(path)
    if entry is None:
        raise DigestError(f"generation {due.base.generation} does not list it", where=where)
    if member.codec is Codec.NONE:
        # The documents are the member, whose digest the signer of that generation vouches for.
        _require(met.documents == entry.sha256, where, met.documents, entry.sha256, due)
        return Basis.SIGNED
    told_of = next(one.base_sha256 for one in _changes(due.since[0]) if one.path == path)
    _require(met.documents == told_of, where, met.documents, told_of, due)
    if met.stored == entry.sha256:
        return Basis.REENCODED
    if (root := _root(due.base, path)) is not None:
        _require(met.merkle_root == root, where, f"root {met.merkle_root}", f"root {root}", due)
        return Basis.ROOT
    return Basis.STATED


def _require(holds: bool, where: str, met: object, signed: object, due: _Due) -> None:  # noqa: FBT001
    if not holds:
        raise DigestError(
            f"without what was appended since generation {due.base.generation} its documents have digest {met}, but "
            f"{signed} was signed for them: the step changed more than it says",
            where=where,
        )


def _proof(member: CollectionMember, reading: MemberReading, found: Plan, bases: tuple[Basis, ...]) -> MemberProof:
    from kit.engine.proving import EarlierReading  # noqa: PLC0415  not for every verdict

    dues = found.dues.get(member.path, ())
    by_last = bool(dues) and dues[0].is_of(found.steps[-1])
    met = reading.earlier[0] if by_last else EarlierReading()
    return MemberProof(
        member=member,
        documents=reading.tally.documents,
        changed=met.changed,
        only_raw_linkset=met.appended,
        other=met.changed - met.appended,
        basis=bases[0] if by_last else None,
    )


def unproven(
    members: Mapping[MemberPath, CollectionMember], readings: Mapping[MemberPath, MemberReading]
) -> dict[MemberPath, MemberProof]:
    """Return what was read where there is no step to prove."""
    return {
        path: MemberProof(
            member=members[path], documents=reading.tally.documents, changed=0, only_raw_linkset=0, other=0, basis=None
        )
        for path, reading in readings.items()
    }


def _check_counts(
    step: CheckedStep,
    readings: Mapping[MemberPath, MemberReading],
    members: Mapping[MemberPath, CollectionMember] | None,
) -> None:
    """Compare the counts of a statement with the documents that it names, and those of the last one with the kit."""
    statement = step.statement
    if statement is None:
        return
    from kit.transforms.raw_linkset.outcomes import CHANGED, OUTCOMES  # noqa: PLC0415  a delta needs no transform

    known = {
        outcome: statement.counts[f"{_APPENDING}.{outcome}"]
        for outcome in OUTCOMES
        if f"{_APPENDING}.{outcome}" in statement.counts
    }
    if not known:
        return  # another program's names: nothing that could be compared
    where = f"the statement of the step to generation {statement.generation}"
    changed, selected = sum(known.get(one, 0) for one in CHANGED), sum(one.chosen for one in _selections(step).values())
    if changed != selected:
        raise ContentError(f"counts {changed:,} documents that changed, and names {selected:,}", where=where)
    if members is not None:
        met = sum(reading.tally.documents for path, reading in readings.items() if is_observations(members[path].name))
        if sum(known.values()) != met:
            raise ContentError(f"counts {sum(known.values()):,} observations, there are {met:,}", where=where)

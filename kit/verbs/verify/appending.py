"""Proves that the last steps of a chain only appended: plans what must be read, and compares it with what was signed.

Only the documents of the current generation are available, so the proof works back from the end of the chain. Without
what the last step claims to have appended, the documents must be those that the generation below it signed. Without
what all appending steps claim, they must be those that the base of the first such step signed. The plan follows a chain
back as long as each step claims to append ``rawLinkset`` and states which documents it changed.

Laws: a mere assertion in a statement proves nothing; wherever there is something signed to compare with, it is
compared, and a difference is a failure, never "not proven".
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


def is_declared_append_only(statement: PatchStatement) -> bool:
    """Return whether, by its statement, every transform of a step only appends an element."""
    return all(one.name == _APPENDING and one.kind == _ADDITIVE for one in statement.transforms)


@dataclass(frozen=True, slots=True, kw_only=True)
class Excess:
    """What a step did to the manifest beyond its claim to only append."""

    statement: PatchStatement
    differences: tuple[Difference, ...]

    def __str__(self) -> str:
        more = f" (and {len(self.differences) - 1} more)" if len(self.differences) > 1 else ""
        return (
            f"the step to generation {self.statement.generation} claims to append only rawLinkset, but did more: "
            f"{self.differences[0]}{more}"
        )


def excess(steps: Sequence[CheckedStep]) -> Excess | None:
    """Return what the newest such step of a chain did beyond its claim to only append; None if there is none."""
    for step in reversed(steps):
        more = tuple(one for one in step.differences if one.is_excess)
        if more and step.statement is not None and is_declared_append_only(step.statement):
            return Excess(statement=step.statement, differences=more)
    return None


class Ending(enum.StrEnum):
    """Why the plan follows a chain back no further: the reason in the step before."""

    FIRST = ""
    """None: the first covered step starts from the publisher's generation."""
    OTHER = "does more than append"
    SILENT = "does not state which documents it changed"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Comparison:
    """What a member must equal without what was appended since a generation."""

    base: Manifest
    since: tuple[CheckedStep, ...]
    earlier: Earlier

    def is_of(self, step: CheckedStep) -> bool:
        """Return whether this compares with the base of ``step`` alone."""
        return len(self.since) == 1 and self.since[0] is step


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The steps of a chain that documents can prove, and the comparisons that this takes.

    Attributes:
        steps: The last steps that claim to append, oldest first, whatever else they did to the manifest.
        ending: Why there are no more.
        comparisons: Those of each member that these steps changed: with the generation below the last step, if that
            changed it, then with the one below the first of ``steps`` that did, if that is another.
    """

    steps: tuple[CheckedStep, ...]
    ending: Ending
    comparisons: Mapping[MemberPath, tuple[_Comparison, ...]]

    def earlier(self, path: MemberPath) -> tuple[Earlier, ...]:
        """Return what must be read of a member's earlier generations."""
        return tuple(comparison.earlier for comparison in self.comparisons.get(path, ()))


def plan(steps: Sequence[CheckedStep], members: Mapping[MemberPath, CollectionMember]) -> Plan:
    """Follow a chain back, and return what must be read.

    Args:
        steps: All steps of the chain, oldest first; the lineage holds.
        members: The collections of the kit.

    Raises:
        ContentError: The last step claims to append, and does not state which documents of a member it changed.
        DigestError: Two steps claim to have appended to the same document.
    """
    if steps and (silent := _undeclared_member(steps[-1])) is not None:
        raise ContentError(
            "the statement of the last step does not state which documents it changed, so nothing proves that it only "
            "appended",
            where=str(silent),
            hint="patch the previous generation again with this version",
        )
    covered: list[CheckedStep] = []
    ending = Ending.FIRST
    for step in reversed(steps):
        if step.statement is None or not is_declared_append_only(step.statement):
            ending = Ending.OTHER
        elif _undeclared_member(step) is not None:
            ending = Ending.SILENT
        else:
            covered.insert(0, step)
            continue
        break
    changed = {path for step in covered for path in _selections(step)}
    comparisons = {
        path: tuple(_comparisons(path, members[path], steps, covered)) for path in sorted(changed) if path in members
    }
    return Plan(steps=tuple(covered), ending=ending, comparisons=comparisons)


def _undeclared_member(step: CheckedStep) -> MemberPath | None:
    """Return a member for which a step that claims to append does not state the changed documents; None if none."""
    statement = step.statement
    if statement is None or not is_declared_append_only(statement):
        return None
    stated = _selections(step)
    return next((artifact.path for artifact in statement.materials if artifact.path not in stated), None)


def _changes(step: CheckedStep) -> tuple[DocumentChanges, ...]:
    return step.statement.documents if step.statement is not None else ()


def _selections(step: CheckedStep) -> dict[MemberPath, RunLengths]:
    return {one.path: one.changed for one in _changes(step)}


def _comparisons(
    path: MemberPath, member: CollectionMember, chain: Sequence[CheckedStep], covered: Sequence[CheckedStep]
) -> Iterator[_Comparison]:
    """Yield the comparisons of a member: with the base of the last step, and with that of all covered steps."""
    from kit.engine.proving import Earlier  # noqa: PLC0415  not for every verdict

    changing = [step for step in covered if path in _selections(step)]
    if sum(_selections(step)[path].chosen for step in changing) > _union(path, changing).chosen:
        raise DigestError("two steps claim to have appended to the same document", where=str(path))
    last = [step for step in changing if step is covered[-1]]
    for since in [last, changing] if last and len(changing) > len(last) else [changing]:
        yield _Comparison(
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
    """Return which documents of a member, as it was below ``step``, had an element appended after its frames were cut.

    A patch cuts frames by the documents that it reads, which are those below the step that wrote the member. If that
    step did more than append, they are unknown, and none is returned.
    """
    place = next(number for number, one in enumerate(chain) if one is step)
    for earlier in reversed(chain[:place]):
        if earlier.statement is not None and any(one.path == path for one in earlier.statement.changed):
            selected = _selections(earlier).get(path)
            return selected if selected is not None and is_declared_append_only(earlier.statement) else RunLengths()
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
        found: The plan of the reading.
        members: The collections.
        readings: What was read of each collection.
        until: The current generation.

    Raises:
        DigestError: A step did more than it claims.
        ContentError: The counts of a statement are not those of its documents.
    """
    bases = {path: _bases(members[path], due, readings[path]) for path, due in found.comparisons.items()}
    for step in found.steps:
        _check_counts(step, readings, members if step is found.steps[-1] else None)
    proofs = {path: _proof(members[path], reading, found, bases.get(path, ())) for path, reading in readings.items()}
    return _conclude(found, bases, until), proofs


def _conclude(found: Plan, bases: Mapping[MemberPath, tuple[Basis, ...]], until: int) -> Appended:
    if not found.steps:
        return Appended(since=None, until=until, is_whole=False, why=f"it {found.ending}", documents=0)
    last, first = found.steps[-1], found.steps[0]
    if (change := _unusual_change(last)) is not None:
        return Appended(since=None, until=until, is_whole=False, why=f"it {change}", documents=0)
    weak_last = _weakness({path: basis[0] for path, basis in bases.items() if found.comparisons[path][0].is_of(last)})
    weak_first = _weakness({path: basis[-1] for path, basis in bases.items()})
    if weak_last:
        return Appended(since=None, until=until, is_whole=False, why=weak_last, documents=0)
    unusual = (
        f"the step to generation {one.base.generation + 1} {change}"
        for one in found.steps
        if (change := _unusual_change(one)) is not None
    )
    if weak_first := weak_first or next(unusual, ""):
        return Appended(
            since=last.base.generation, until=until, is_whole=False, why=weak_first, documents=_count([last])
        )
    is_whole = found.ending is Ending.FIRST
    why = "" if is_whole else f"the step to generation {first.base.generation} {found.ending}"
    since = first.base.generation
    return Appended(since=since, until=until, is_whole=is_whole, why=why, documents=_count(found.steps))


def _unusual_change(step: CheckedStep) -> str | None:
    """Return what an appending step did that is unusual but no failure; None where it is a patch like any other."""
    if step.operation != PATCH:
        return f"is an operation that is not known: {step.operation!r}"
    more = f" (and {len(step.differences) - 1} more)" if len(step.differences) > 1 else ""
    return f"did more to the manifest: {step.differences[0]}{more}" if step.differences else None


def _count(steps: Sequence[CheckedStep]) -> int:
    return sum(selection.chosen for step in steps for selection in _selections(step).values())


def _weakness(bases: Mapping[MemberPath, Basis]) -> str:
    weak = [f"{path}: {basis}" for path, basis in sorted(bases.items()) if not basis.is_proof]
    return "" if not weak else weak[0] + (f" (and {len(weak) - 1} more members)" if len(weak) > 1 else "")


def _bases(member: CollectionMember, comparisons: Sequence[_Comparison], reading: MemberReading) -> tuple[Basis, ...]:
    return tuple(
        _compare(member, comparison, reading, earlier)
        for comparison, earlier in zip(comparisons, reading.earlier, strict=True)
    )


def _compare(
    member: CollectionMember, comparison: _Comparison, reading: MemberReading, earlier: EarlierReading
) -> Basis:
    path, where = member.path, str(member.path)
    documents = reading.tally.documents
    for step in comparison.since:
        if (stated := _selections(step)[path].total) != documents:
            raise DigestError(f"the statement counts {stated:,} documents, there are {documents:,}", where=where)
    if earlier.changed != earlier.appended:
        raise DigestError(
            f"{earlier.changed - earlier.appended:,} documents changed in another way than by a rawLinkset "
            "at their end",
            where=where,
        )
    entry = comparison.base.entry(path)
    if entry is None:
        raise DigestError(f"generation {comparison.base.generation} does not list it", where=where)
    if member.codec is Codec.NONE:
        # The documents are the member, whose digest that generation's signer signed.
        _require_signed(earlier.documents == entry.sha256, where, earlier.documents, entry.sha256, comparison)
        return Basis.SIGNED
    stated_base = next(one.base_sha256 for one in _changes(comparison.since[0]) if one.path == path)
    _require_signed(earlier.documents == stated_base, where, earlier.documents, stated_base, comparison)
    if earlier.stored == entry.sha256:
        return Basis.REENCODED
    if (root := _root(comparison.base, path)) is not None:
        _require_signed(earlier.merkle_root == root, where, f"root {earlier.merkle_root}", f"root {root}", comparison)
        return Basis.ROOT
    return Basis.STATED


def _require_signed(holds: bool, where: str, found: object, signed: object, comparison: _Comparison) -> None:  # noqa: FBT001
    if not holds:
        raise DigestError(
            f"without what was appended since generation {comparison.base.generation} its documents have digest "
            f"{found}, but {signed} was signed for them: the step changed more than it claims",
            where=where,
        )


def _proof(member: CollectionMember, reading: MemberReading, found: Plan, bases: tuple[Basis, ...]) -> MemberProof:
    from kit.engine.proving import EarlierReading  # noqa: PLC0415  not for every verdict

    comparisons = found.comparisons.get(member.path, ())
    by_last = bool(comparisons) and comparisons[0].is_of(found.steps[-1])
    earlier = reading.earlier[0] if by_last else EarlierReading()
    return MemberProof(
        member=member,
        documents=reading.tally.documents,
        changed=earlier.changed,
        only_raw_linkset=earlier.appended,
        other=earlier.changed - earlier.appended,
        basis=bases[0] if by_last else None,
    )


def proofs_without_steps(
    members: Mapping[MemberPath, CollectionMember], readings: Mapping[MemberPath, MemberReading]
) -> dict[MemberPath, MemberProof]:
    """Return the proofs of members where there is no step to prove."""
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
    """Compare the counts of a statement with the documents that it names and, given ``members``, with the kit."""
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
        return  # another program's names, which cannot be compared
    where = f"the statement of the step to generation {statement.generation}"
    changed, selected = sum(known.get(one, 0) for one in CHANGED), sum(one.chosen for one in _selections(step).values())
    if changed != selected:
        raise ContentError(f"counts {changed:,} documents that changed, and names {selected:,}", where=where)
    if members is not None:
        found = sum(
            reading.tally.documents for path, reading in readings.items() if is_observations(members[path].name)
        )
        if sum(known.values()) != found:
            raise ContentError(f"counts {sum(known.values()):,} observations, there are {found:,}", where=where)

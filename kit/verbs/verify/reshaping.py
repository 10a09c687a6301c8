"""Proves that the last step of a chain did what its record states, and nothing else (schemas/reshape-record.md).

What the manifests show comes first: every member that the step changed or added must be one that its transforms change.
Then the step is undone: each document by its way on record, each edited metadata file, each copy made again. What comes
out must be what was signed below. Laws: a record proves nothing by itself; wherever there is something signed to
compare with, it is compared, and a difference is a failure; "not proven" comes with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

from kit.errors import ContentError, DigestError
from kit.manifest import DifferenceKind, Move, PatchStatement, ReshapeRecord, parse_record
from kit.values import Codec, CollectionMember, MemberPath
from kit.verbs.verify.appending import cut_since
from kit.verbs.verify.judgement import Basis, CheckedStep, MemberProof, Reshaped

if TYPE_CHECKING:
    from kit.engine.undoing import Undoing, Undone, UndoneStep
    from kit.transforms.protocol import ProjectingTransform, Transform

UndoStep: TypeAlias = "Callable[[Undoing], UndoneStep]"
"""Reads the kit again and undoes its last step; see :func:`kit.engine.undoing.undo_step`."""
_STATED = "{} is compressed, and what was signed of it cannot be made again: the digest is the patcher's word alone"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Last:
    """The last step of a chain, with its record."""

    step: CheckedStep
    statement: PatchStatement
    record: ReshapeRecord


def prove_reshaped(
    chain: Sequence[CheckedStep], members: Mapping[MemberPath, CollectionMember], undo: UndoStep
) -> Reshaped | None:
    """Return what is proven of the last step; None where it has no record.

    Raises:
        ContentError: The record is not of this step, or the step did more than its transforms do.
        DigestError: Undone, a member is not what was signed.
        KitError: The kit cannot be read again.
    """
    last = _last(chain)
    if last is None:
        return None
    until = last.statement.generation
    found = Reshaped(
        until=until, is_proven=False, documents=sum(one.changed.chosen for one in last.statement.documents)
    )
    transforms = _transforms(last)
    if isinstance(transforms, str):
        return replace(found, why=transforms)
    undoing = _undoing(chain, last, transforms, members)
    _check_manifests(last, undoing)
    weak = dict(_compare(last, undoing, undo(undoing)))
    bases = {
        path: Basis.STATED if path in weak else Basis.SIGNED if members[path].codec is Codec.NONE else Basis.REENCODED
        for path in undoing.members
    }
    return replace(found, is_proven=not weak, why=next(iter(weak.values()), ""), bases=bases)


def with_changes(
    proofs: Mapping[MemberPath, MemberProof], chain: Sequence[CheckedStep], reshaped: Reshaped | None
) -> dict[MemberPath, MemberProof]:
    """Return the proofs of members with what the last step changed, where it has a record."""
    statement = chain[-1].statement if chain else None
    if reshaped is None or statement is None:
        return dict(proofs)
    changed = {one.path: one.changed.chosen for one in statement.documents if one.path in proofs}
    return dict(proofs) | {
        path: replace(proofs[path], changed=count, other=count, basis=reshaped.bases.get(path, Basis.STATED))
        for path, count in changed.items()
    }


def _last(chain: Sequence[CheckedStep]) -> _Last | None:
    step = chain[-1] if chain else None
    if step is None or step.record is None or step.statement is None or step.statement.record is None:
        return None
    where = str(step.statement.record.path)
    record = parse_record(step.record, where=where)
    stated = [(one.name, one.version, one.parameters_sha256) for one in step.statement.transforms]
    if stated != [(one.name, one.version, one.parameters_sha256) for one in record.transforms]:
        raise ContentError("has other transforms or parameters than the signed statement", where=where)
    return _Last(step=step, statement=step.statement, record=record)


def _transforms(last: _Last) -> tuple[Transform, ...] | str:
    """Return the transforms of the step; or why this program does not have them."""
    from kit.transforms import registry  # noqa: PLC0415  not for every verdict

    found: list[Transform] = []
    for one in last.record.transforms:
        kind = registry.find(one.name) if one.name in registry.BUILT_IN else None
        if kind is None:
            return f"it was made by {one.name}, which does not come with this program"
        made = kind.of_parameters(one.parameters)
        if str(made.version) != one.version:
            return f"it was made by {one.name} {one.version}, and this program has {made.version}"
        if made.keyed is not None:
            return "it also sealed values, and what was there before takes their keys"
        found.append(made)
    return tuple(found)


def _undoing(
    chain: Sequence[CheckedStep],
    last: _Last,
    transforms: tuple[Transform, ...],
    members: Mapping[MemberPath, CollectionMember],
) -> Undoing:
    from kit.engine.undoing import Undoing, UndoneMember, metadata_paths  # noqa: PLC0415  not for every verdict

    ways = {one.path: one.ways for one in last.record.members}
    edited = metadata_paths(tuple(members.values()), transforms)
    changed = {one.path for one in last.statement.materials}
    return Undoing(
        transforms=transforms,
        members={
            one.path: UndoneMember(
                changed=one.changed, ways=ways.get(one.path, ()), cut=cut_since(one.path, chain, last.step)
            )
            for one in last.statement.documents
            if one.path in members and any(transform.handles(members[one.path].name) for transform in transforms)
        },
        metadata=edited & changed,
        metadata_before={one.path: one.stored for one in last.record.metadata},
        copied={move.source.path: _copy(move, transforms, members) for move in last.record.moves},
    )


def _copy(
    move: Move, transforms: Sequence[Transform], members: Mapping[MemberPath, CollectionMember]
) -> tuple[ProjectingTransform, CollectionMember]:
    from kit.engine.other_members import target_of  # noqa: PLC0415  not for every verdict

    source = members.get(move.source.path)
    made = next((one.projection for one in transforms if one.name == move.transform), None)
    if source is None or made is None or not made.handles(source.name):
        raise ContentError(f"names a copy of {move.source.path}, which {move.transform} does not make")
    target = target_of(source, made)
    if target.path != move.target.path or dict(made.statement) != dict(move.statement):
        raise ContentError(f"names {move.target.path} as a copy, or states of it, what {move.transform} does not")
    return made, target


def _check_manifests(last: _Last, undoing: Undoing) -> None:
    """Check that the step changed and added no member that its transforms do not.

    Raises:
        ContentError: It did.
    """
    claim = f"the step to generation {last.statement.generation} did more than its record states"
    targets = {move.target.path for move in last.record.moves}
    due = undoing.members.keys() | undoing.metadata | targets
    for artifact in last.statement.changed:
        if artifact.path not in due:
            raise ContentError(f"{claim}: it changed this member", where=str(artifact.path))
    for one in last.step.differences:
        known = {DifferenceKind.ADDED: targets, DifferenceKind.CHANGED: undoing.metadata}.get(one.kind, frozenset())
        if one.is_excess and one.place not in {str(path) for path in known}:
            raise ContentError(f"{claim}: {one}")


def _compare(last: _Last, undoing: Undoing, undone: UndoneStep) -> Iterator[tuple[MemberPath, str]]:
    """Compare what came out with what was signed; yield what nothing signed shows.

    Raises:
        DigestError: It differs.
    """
    for path in sorted(undoing.metadata | undoing.members.keys()):
        yield from _compare_member(last, path, undone.members.get(path))
    for move in last.record.moves:
        copied, there = undone.copies.get(move.source.path), undone.targets.get(move.target.path)
        due = (move.target.documents, move.target.sha256)
        if there != due:
            raise DigestError("its documents are not those that the record has", where=str(move.target.path))
        if copied is None or (copied.documents, copied.target) != due:
            raise DigestError(
                f"is no copy of {move.source.path} as the record describes it", where=str(move.target.path)
            )
        if (copied.source_documents, copied.source) != (move.source.documents, move.source.sha256):
            raise DigestError("its documents are not those that the record has", where=str(move.source.path))


def _compare_member(last: _Last, path: MemberPath, undone: Undone | None) -> Iterator[tuple[MemberPath, str]]:
    where, entry = str(path), last.step.base.entry(path)
    if undone is None or entry is None:
        raise DigestError(f"generation {last.step.base.generation} does not have it", where=where)
    if undone.failed:
        raise DigestError(f"{undone.failed:,} documents do not lead back as the record states", where=where)
    stated = next((one for one in last.statement.documents if one.path == path), None)
    if stated is not None and stated.changed.total != undone.documents:
        raise DigestError(
            f"the statement counts {stated.changed.total:,} documents, there are {undone.documents:,}", where=where
        )
    if undone.stored is None:
        signed = entry.sha256
    elif stated is not None:
        signed = stated.base_sha256
    elif any(one.path == path for one in last.record.metadata):
        if undone.stored != entry.sha256:
            raise DigestError(
                f"the record has {undone.stored} as what it was, but {entry.sha256} was signed for it", where=where
            )
        return
    else:
        yield path, _STATED.format(path)
        return
    if undone.content != signed:
        raise DigestError(
            f"without what the last step did it has digest {undone.content}, but {signed} was signed for it: "
            "the step changed more than its record states",
            where=where,
        )
    if undone.stored is not None and undone.stored != entry.sha256:
        yield path, _STATED.format(path)

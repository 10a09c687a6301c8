"""Checks that mapped fields are encrypted as the map requires.

This is obligation 7 for mapped fields (schemas/verify-report.md, "Encrypted fields"). Workers read all documents of the
mapped collections; nothing is sampled. Every body read here must have the digest that the manifest lists, so the proof
is about what was signed. Without keys the form is judged. With keys every envelope must open, and the values of every
field must be those that the newest signed statement about the member digested before it sealed them.
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace as with_changes

from kit.encryption import (
    FieldMap,
    FieldProof,
    KeySet,
    KeySource,
    MappedCollection,
    Profile,
    Proof,
    ProofFinding,
    RandomIv,
    SyntheticIv,
    ValueDigest,
)
from kit.engine.passing import entries, hashing
from kit.engine.progress import Stage
from kit.engine.reading import member_runs
from kit.engine.work import prove_run, search_run, unseal_run
from kit.errors import (
    ContentError,
    DigestError,
    EnvelopeError,
    KeyUnusableError,
    KitError,
    StoppedError,
    UnreadableError,
    UsageError,
)
from kit.manifest import Manifest, PatchStatement
from kit.transforms.encrypt_fields import EncryptFields
from kit.transforms.registry import parameters_digest
from kit.values import CollectionMember, MemberPath, Sha256
from kit.verbs.verify import ends
from kit.verbs.verify.judgement import Judgement, Obligation, Status
from kit.verbs.verify.kits import OpenKit
from kit.verbs.verify.sealing import Rest, SealedStep

NUMBER = 7
NAME = ends.FIELDS
ATTACK = "plaintext left behind, envelopes moved or altered"


class Comparison(enum.StrEnum):
    """How the values of a field compare with their digest from before they were sealed."""

    MATCHES = "matches"
    DIFFERS = "differs"
    PARTIAL = "partial"
    """The digest is of fewer values: the keys of the others were locked when it was computed."""
    NONE = "none"
    """There is nothing to compare with, or no key is given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldExpectation:
    """What the user demands of the mapped fields of a kit."""

    field_map: FieldMap
    profile: Profile = Profile.BOUND
    keys: KeySource | None = field(default=None, repr=False)
    """The keys of an unlocked keyring; None to judge only the form."""
    tenants: frozenset[str] | None = None
    """Only documents of these partitions; None for all."""
    canaries: tuple[bytes, ...] = field(default=(), repr=False)
    """Plaintext that must not be anywhere outside the mapped values of the mapped collections."""
    replaced: frozenset[str] = frozenset()
    """The data keys that the last step replaced: it has other parameters, and no envelope may be under one of them."""
    canaries_everywhere: bool = False
    """Whether to search the collections that the map does not name, too."""
    most_copies: int | None = None
    """How many copies of sealed values there may be in the clear (:mod:`kit.verbs.verify.copies`); None for any."""

    def __post_init__(self) -> None:
        if not all(self.canaries):
            raise UsageError("an empty canary is found everywhere")
        if self.canaries_everywhere and not self.canaries:
            raise UsageError("there is no canary to look for everywhere", hint="name it with --canary")

    def maps_by_parameters(self) -> dict[Sha256, FieldMap]:
        """Return the map of each run of encrypt-fields with these settings, by the digest that a statement has of it.

        A run may have been of all collections of the map, or of one of them (``--collection``).
        """
        single = (with_changes(self.field_map, collections=(entry,)) for entry in self.field_map.collections)
        runs = [
            EncryptFields(field_map=one, profile=self.profile, iv=iv, partitions=self.tenants, rekeyed=self.replaced)
            for one in (self.field_map, *single)
            for iv in (SyntheticIv(), RandomIv(bytes))
        ]
        return {parameters_digest(run): run.field_map for run in runs}

    def mapped(self, member: CollectionMember) -> MappedCollection | None:
        """Return the map of a member's collection; None if it has none."""
        entry = self.field_map.collection(member.name)
        if entry is None:
            return None
        return MappedCollection.of(
            entry, member.name, product=self.field_map.product, profile=self.profile, partitions=self.tenants
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberFields:
    """What was found of the mapped fields of one collection member."""

    collection: CollectionMember
    proof: Proof
    recorded: Mapping[str, ValueDigest]
    """By field: the values that the newest signed statement about the member digested. Empty without keys, without such
    a statement, or if it has other parameters (map, profile, tenants)."""

    rest: Rest | None = None
    """What is proven of all else in the documents; None if the last step did not seal in this member, or not only."""

    def comparison(self, name: str) -> Comparison:
        """Compare the values of a field with those from before they were sealed."""
        before, now = self.recorded.get(name), self.proof.fields[name].digest
        if before is None:
            return Comparison.NONE
        if before == now:
            return Comparison.MATCHES
        return Comparison.PARTIAL if before.values < now.values else Comparison.DIFFERS


def fields_error(proofs: Sequence[tuple[CollectionMember, Proof]], expectation: FieldExpectation) -> KitError | None:
    """Return the error with which :func:`prove_fields` would fail on ``proofs``, without regard to statements."""
    if not any(expectation.mapped(collection) is not None for collection, _ in proofs):
        return _unmapped()
    members = [MemberFields(collection=collection, proof=proof, recorded={}) for collection, proof in proofs]
    return _failure(members, expectation) or _nothing_judged(members)


def _unmapped() -> ContentError:
    return ContentError("the field map names no collection of this kit")


def prove_fields(kit: OpenKit, judgement: Judgement, expectation: FieldExpectation) -> tuple[MemberFields, ...]:
    """Read the mapped collections, add the obligation to ``judgement``, and return the findings of each member.

    Raises:
        UnreadableError: The kit can no longer be read.
        StoppedError: A worker died.
    """
    try:
        members, step_failure, is_all = _prove(kit, judgement, expectation)
    except (UnreadableError, StoppedError):
        raise  # there is no verdict on the fields
    except KitError as error:
        _insert(judgement, _failed_obligation(error))
        return ()
    failure = _failure(members, expectation) or _nothing_judged(members) or step_failure
    if failure is not None:
        _insert(judgement, _failed_obligation(failure))
    else:
        judgement.sealed_only = is_all
        detail = _detail(members, expectation)
        _insert(judgement, Obligation(number=NUMBER, name=NAME, attack=ATTACK, status=Status.CHECKED, detail=detail))
    return members


def _nothing_judged(members: Sequence[MemberFields]) -> KitError | None:
    """Return the error for a proof over nothing: all documents are of other products or partitions."""
    left = _count_unselected(members)
    if not left or left < sum(member.proof.documents for member in members):
        return None
    return ContentError(
        f"none of the {left:,} documents of the mapped collections is selected: of another productId or partition",
        hint="name a --field-map of their product, or other tenants",
    )


def _count_unselected(members: Sequence[MemberFields]) -> int:
    """Return the number of documents not judged because they are of another product or partition."""
    return sum(
        member.proof.documents
        - member.proof.selected
        - max((counts.skipped_owner for counts in member.proof.fields.values()), default=0)
        for member in members
    )


def _insert(judgement: Judgement, obligation: Obligation) -> None:
    """Insert the obligation in its order, since the first that fails decides."""
    place = sum(other.number <= NUMBER for other in judgement.obligations)
    judgement.obligations.insert(place, obligation)


def _failed_obligation(error: KitError) -> Obligation:
    return Obligation(number=NUMBER, name=NAME, attack=ATTACK, status=Status.FAILED, detail=str(error), error=error)


def _prove(
    kit: OpenKit, judgement: Judgement, expectation: FieldExpectation
) -> tuple[tuple[MemberFields, ...], KitError | None, bool]:
    """Return the findings, the error if the last step did anything else, and whether it provably did nothing else."""
    if judgement.manifest is None:
        raise ContentError("cannot be checked without a manifest")
    statements = judgement.statements if expectation.keys is not None else ()
    maps = expectation.maps_by_parameters()
    parameters = frozenset(maps)
    # Of values that were sealed before the step, what was signed cannot be made again: the patch itself compared them.
    chain = judgement.steps if judgement.statements and not expectation.replaced else ()
    step = SealedStep(chain, maps)
    proofs = _read(kit, judgement.manifest, expectation, step)
    mapped = frozenset(collection.path for collection, _ in proofs if expectation.mapped(collection) is not None)
    if not mapped:
        raise _unmapped()
    members = tuple(
        MemberFields(
            collection=collection,
            proof=proof,
            recorded=_recorded_digests(statements, collection, parameters),
            rest=step.rest(collection.path),
        )
        for collection, proof in proofs
    )
    return members, _step_failure(step, members, mapped), step.is_all


def _step_failure(step: SealedStep, members: Sequence[MemberFields], mapped: frozenset[MemberPath]) -> KitError | None:
    """Return the error if the last step did more than seal mapped values, or sealed other than it counts."""
    if not step.is_there:
        return None
    shown = (member.rest.fault for member in members if member.rest is not None and member.rest.fault is not None)
    named = {member.collection.name: member.collection for member in members if member.collection.path in mapped}
    counted = (
        step.check_counts(one, [member.proof for member in members if member.collection.name == one.name])
        for one in named.values()
    )
    return step.excess(mapped) or next(shown, None) or next((error for error in counted if error is not None), None)


def _read(
    kit: OpenKit, manifest: Manifest, expectation: FieldExpectation, step: SealedStep
) -> Sequence[tuple[CollectionMember, Proof]]:
    listed, table = {entry.path: entry.sha256 for entry in manifest.entries}, manifest.table
    found: list[tuple[CollectionMember, Proof]] = []
    keys = kit.executor.hand_out(_left_keys(expectation.keys, expectation)) if expectation.keys is not None else None
    with kit.pipeline(Stage.FIELDS) as pipeline:
        for member, body in entries(kit.reader):
            collection = table.member(member.path) if member.path is not None and member.is_file else None
            mapped = expectation.mapped(collection) if collection is not None else None
            if collection is None or (mapped is None and not expectation.canaries_everywhere):
                continue
            proof = Proof(fields={str(one): FieldProof() for one in mapped.fields} if mapped is not None else {})
            found.append((collection, proof))
            sealed = step.begin(collection) if mapped is not None else None
            signed = check_listed(body, collection.path, listed)
            for run in member_runs(collection, signed, kit.reader):
                cost, where = len(run.data), str(collection.path)
                if mapped is not None:
                    proving = (mapped, run, keys, expectation.canaries)
                    pipeline.submit(prove_run, *proving, cost=cost, then=proof.add, where=where)
                    if sealed is not None:
                        unsealing = (mapped, run, sealed.take(len(run)), keys)
                        pipeline.submit(unseal_run, *unsealing, cost=cost, then=sealed.add, where=where)
                else:
                    searching = (collection.name, run, expectation.canaries)
                    pipeline.submit(search_run, *searching, cost=cost, then=proof.add, where=where)
            for _ in signed:
                pass
    return found


def _left_keys(keys: KeySource, expectation: FieldExpectation) -> KeySet:
    return keys.key_set().without(expectation.replaced) if expectation.replaced else keys.key_set()


def check_listed(body: Iterable[bytes], path: MemberPath, listed: Mapping[MemberPath, Sha256]) -> Iterator[bytes]:
    """Yield a body, and check at its end that it is the signed one.

    Raises:
        DigestError: It is another one.
    """
    digest = hashlib.sha256()
    yield from hashing(body, digest)
    if path not in listed or listed[path].hex != digest.hexdigest():
        raise DigestError("what was read is not what the manifest lists", where=str(path))


def _recorded_digests(
    statements: Sequence[PatchStatement], collection: CollectionMember, parameters: frozenset[Sha256]
) -> dict[str, ValueDigest]:
    """Return the digests of the newest statement that has any for this member, if its run had ``parameters``."""
    for statement in reversed(statements):
        digests = statement.value_digests.get(str(collection.path), {})
        if digests:
            applied = {transform.parameters_sha256 for transform in statement.transforms}
            return {name: _parse_digest(digests[name], collection) for name in digests} if applied & parameters else {}
    return {}


def _parse_digest(digest: str, collection: CollectionMember) -> ValueDigest:
    try:
        return ValueDigest.parse(digest)
    except UsageError as error:
        raise ContentError(
            f"the signed statement has a malformed digest: {error.what}", where=str(collection.path)
        ) from error


_KINDS: tuple[tuple[frozenset[str], type[KitError]], ...] = (
    (frozenset({"envelope", "owner"}), EnvelopeError),
    (frozenset({"plaintext", "half-encrypted", "canary", "content"}), ContentError),
    (frozenset({"key"}), KeyUnusableError),
)
"""The order in which several findings decide: malformed envelopes, then plaintext, then keys."""


def _failure(members: Sequence[MemberFields], expectation: FieldExpectation) -> KitError | None:
    for kinds, error in _KINDS:
        first = next((finding for finding in _findings(members) if finding.kind in kinds), None)
        if first is not None:
            faults = sum(member.proof.faults for member in members)
            return error(f"{first.reason}{f' (and {faults - 1:,} more findings)' if faults > 1 else ''}")
    locked = sum(counts.locked for member in members for counts in member.proof.fields.values())
    if expectation.keys is not None and locked:
        return KeyUnusableError(
            f"{locked:,} envelopes are locked: nothing that was given opens their data keys",
            hint="without --keyring their form alone is judged",
        )
    return next(
        (
            _digest_error(member, name)
            for member in members
            for name in member.proof.fields
            if member.comparison(name) is Comparison.DIFFERS
        ),
        None,
    )


def _findings(members: Sequence[MemberFields]) -> Iterator[ProofFinding]:
    for member in members:
        yield from member.proof.findings


def _digest_error(member: MemberFields, name: str) -> DigestError:
    before, now = member.recorded[name], member.proof.fields[name].digest
    return DigestError(
        f'field "{name}": {now.values:,} values are not the {before.values:,} that the signed statement digested',
        where=str(member.collection.path),
    )


def _detail(members: Sequence[MemberFields], expectation: FieldExpectation) -> str:
    fields = [counts for member in members for counts in member.proof.fields.values()]
    envelopes = sum(counts.envelopes for counts in fields)
    documents = sum(member.proof.documents for member in members)
    detail = f"{envelopes:,} envelopes in {documents:,} documents of {len(members)} collections"
    if left := _count_unselected(members):
        detail += f" ({left:,} of them, of another productId or partition, are not judged)"
    sealed = [member for member in members if member.rest is not None]
    if expectation.keys is None:
        if not sealed:
            return f"{detail}, judged without keys"
        # To find what else it changed in those documents takes the keyring.
        return (
            f"{detail}, judged without keys; the last step changed no member that the map does not name, and no "
            "document without an envelope; what else it changed in them was not looked into (--keyring)"
        )
    equal = sum(member.comparison(name) is Comparison.MATCHES for member in members for name in member.proof.fields)
    detail = f"{detail}, all opened; {equal} of {len(fields)} fields are as digested before they were sealed"
    if not sealed:
        return detail
    other = [f"{m.collection.path}: {m.rest.why}" for m in sealed if m.rest is not None and not m.rest.identical]
    if other:
        return f"{detail}; that the last step changed nothing else is not proven of {', '.join(other)}"
    return (
        f"{detail}; in the {len(sealed)} that the last step sealed, all else is identical to what was signed before it"
    )

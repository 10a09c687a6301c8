"""Obligation 7 for mapped fields: are they encrypted as the map says (schemas/verify-report.md, "Encrypted fields")?

A reading of its own over the mapped collections, complete and not sampled, by the workers. What is proven is what was
signed: every body read here must have the digest that the manifest lists. Without keys the form is judged; with keys
every envelope must open, and the values of every field must be those that the newest signed statement about the
member digested before it sealed them.
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace as with_changes
from functools import partial

from kit.encryption import (
    FieldMap,
    FieldProof,
    KeySource,
    MappedCollection,
    Profile,
    Proof,
    ProofFinding,
    RandomIv,
    SyntheticIv,
    ValueDigest,
)
from kit.engine.progress import Stage
from kit.engine.reading import hashing, member_runs
from kit.engine.stored_keys import shared
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
from kit.ops.generation import parameters_digest
from kit.ops.judgement import Judgement, Obligation, Status
from kit.ops.kits import OpenKit
from kit.transforms.encrypt_fields import EncryptFields
from kit.values import Codec, CollectionMember, MemberPath, RunLengthsReader, Sha256, collection_member

NUMBER = 7
NAME = "mapped fields are encrypted"
ATTACK = "plaintext left behind, envelopes moved or altered"


class Comparison(enum.StrEnum):
    """How the values of a field compare with the digest taken before they were sealed."""

    MATCHES = "matches"
    DIFFERS = "differs"
    PARTIAL = "partial"
    """The digest is of fewer values: the keys of the others were locked when it was taken."""
    NONE = "none"
    """There is nothing to compare with, or no key to do it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldExpectation:
    """What the user demands of the mapped fields of a kit."""

    field_map: FieldMap
    profile: Profile = Profile.BOUND
    keys: KeySource | None = field(default=None, repr=False)
    """Of a keyring that was opened; None to judge the form alone."""
    tenants: frozenset[str] | None = None
    """Only documents of these partitions; None for all."""
    canaries: tuple[bytes, ...] = field(default=(), repr=False)
    """Plaintext that must be nowhere outside the mapped values, in all documents of the mapped collections."""
    canaries_everywhere: bool = False
    """Nor in any collection that the map does not name."""

    def __post_init__(self) -> None:
        if not all(self.canaries):
            raise UsageError("an empty canary is met everywhere")
        if self.canaries_everywhere and not self.canaries:
            raise UsageError("there is no canary to look for everywhere", hint="name it with --canary")

    def digests_of_parameters(self) -> frozenset[Sha256]:
        """Give how a statement names a run of encrypt-fields with this map, profile and selection."""
        run = EncryptFields(field_map=self.field_map, profile=self.profile, iv=SyntheticIv(), partitions=self.tenants)
        return frozenset(parameters_digest(with_changes(run, iv=iv)) for iv in (SyntheticIv(), RandomIv(bytes)))

    def mapped(self, member: CollectionMember) -> MappedCollection | None:
        """Give the map of a member's collection; None where it has none."""
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
    """By field: what the newest signed statement about the member says was sealed; empty without keys, without such a
    statement, or where it is of other parameters (map, profile, tenants)."""

    identical: bool | None = None
    """Whether nothing but the values that the last step sealed is other than before it: with all envelopes of the
    documents that it changed opened, the member's documents have the digest that was signed for them before. None
    without keys, or where the last step did not seal in this member, or did something else as well."""

    def comparison(self, name: str) -> Comparison:
        """Compare the values of a field with those that were there before they were sealed."""
        before, now = self.recorded.get(name), self.proof.fields[name].digest
        if before is None:
            return Comparison.NONE
        if before == now:
            return Comparison.MATCHES
        return Comparison.PARTIAL if before.values < now.values else Comparison.DIFFERS


def prove_fields(kit: OpenKit, judgement: Judgement, expectation: FieldExpectation) -> tuple[MemberFields, ...]:
    """Read the mapped collections, add the obligation to ``judgement``, and give what was found, by member.

    Raises:
        UnreadableError: The kit cannot be read any more.
        StoppedError: A worker died.
    """
    try:
        members = _proven(kit, judgement, expectation)
    except (UnreadableError, StoppedError):
        raise  # nothing was found out about the fields
    except KitError as error:
        _end(judgement, _failed(error))
        return ()
    failure = _failure(members, expectation)
    if failure is not None:
        _end(judgement, _failed(failure))
    else:
        detail = _detail(members, expectation)
        _end(judgement, Obligation(number=NUMBER, name=NAME, attack=ATTACK, status=Status.CHECKED, detail=detail))
    return members


def _end(judgement: Judgement, obligation: Obligation) -> None:
    """Put the obligation in its place: the first that fails decides."""
    place = sum(other.number <= NUMBER for other in judgement.obligations)
    judgement.obligations.insert(place, obligation)


def _failed(error: KitError) -> Obligation:
    return Obligation(number=NUMBER, name=NAME, attack=ATTACK, status=Status.FAILED, detail=str(error), error=error)


def _proven(kit: OpenKit, judgement: Judgement, expectation: FieldExpectation) -> tuple[MemberFields, ...]:
    if judgement.manifest is None:
        raise ContentError("cannot be checked without a manifest")
    statements = judgement.statements if expectation.keys is not None else ()
    parameters = expectation.digests_of_parameters()
    before = _Before(_sealing(statements, parameters))
    proofs = _read(kit, judgement.manifest, expectation, before)
    if not any(expectation.mapped(collection) for collection, _ in proofs):
        raise ContentError("the field map names no collection of this kit")
    return tuple(
        MemberFields(
            collection=collection,
            proof=proof,
            recorded=_recorded(statements, collection, parameters),
            identical=before.identical(collection),
        )
        for collection, proof in proofs
    )


def _sealing(statements: Sequence[PatchStatement], parameters: frozenset[Sha256]) -> PatchStatement | None:
    """Give the statement of the last step, if all it did was to seal, with ``parameters``."""
    if not statements:
        return None
    applied = {transform.parameters_sha256 for transform in statements[-1].transforms}
    return statements[-1] if applied <= parameters else None


class _Before:
    """Digests the documents as they were before the last step sealed some of their values.

    The step is proven to have changed nothing else where that digest is the one that was signed for them.
    """

    def __init__(self, step: PatchStatement | None) -> None:
        self._stated = {changes.path: changes for changes in step.documents} if step is not None else {}
        self._materials = {artifact.path: artifact.sha256 for artifact in step.materials} if step is not None else {}
        self._met: dict[MemberPath, hashlib._Hash | None] = {}

    def begin(self, collection: CollectionMember) -> RunLengthsReader | None:
        """Give which documents of a member the step changed; None where it changed none, or there is no such step."""
        changes = self._stated.get(collection.path)
        if changes is None:
            return None
        self._met[collection.path] = hashlib.sha256()
        return RunLengthsReader(changes.changed)

    def take(self, path: MemberPath, documents: bytes | None) -> None:
        """Take the next documents, as they were; None where they did not open."""
        met = self._met[path]
        if documents is None:
            self._met[path] = None
        elif met is not None:
            met.update(documents)

    def identical(self, collection: CollectionMember) -> bool | None:
        """Tell whether the digest is the one that was signed; None where there is none to be compared with."""
        if collection.path not in self._met:
            return None
        met = self._met[collection.path]
        # As of an appending step: without a codec the member is its documents, and the previous generation vouches.
        plain = collection.codec is Codec.NONE
        due = self._materials.get(collection.path) if plain else self._stated[collection.path].base_sha256
        return met is not None and due is not None and met.hexdigest() == due.hex


def _read(
    kit: OpenKit, manifest: Manifest, expectation: FieldExpectation, before: _Before
) -> Sequence[tuple[CollectionMember, Proof]]:
    listed = {entry.path: entry.sha256 for entry in manifest.entries}
    found: list[tuple[CollectionMember, Proof]] = []
    with shared(expectation.keys) as keys, kit.pipeline(Stage.FIELDS) as pipeline:
        for member, body in kit.reader.members():
            collection = collection_member(member.path) if member.path is not None and member.is_file else None
            mapped = expectation.mapped(collection) if collection is not None else None
            if collection is None or (mapped is None and not expectation.canaries_everywhere):
                continue
            proof = Proof(fields={str(one): FieldProof() for one in mapped.fields} if mapped is not None else {})
            found.append((collection, proof))
            changed = before.begin(collection) if mapped is not None and keys is not None else None
            signed = _as_listed(body, collection.path, listed)
            for run in member_runs(collection, signed, kit.reader):
                cost, where = len(run.data), str(collection.path)
                if mapped is not None:
                    proving = (mapped, run, keys, expectation.canaries)
                    pipeline.submit(prove_run, *proving, cost=cost, then=proof.add, where=where)
                    if changed is not None:
                        unsealing = (mapped, run, changed.take(len(run)), keys)
                        then = partial(before.take, collection.path)
                        pipeline.submit(unseal_run, *unsealing, cost=cost, then=then, where=where)
                else:
                    searching = (collection.name, run, expectation.canaries)
                    pipeline.submit(search_run, *searching, cost=cost, then=proof.add, where=where)
            for _ in signed:
                pass
    return found


def _as_listed(body: Iterable[bytes], path: MemberPath, listed: Mapping[MemberPath, Sha256]) -> Iterator[bytes]:
    """Pass a body on; at its end it must have been the one that was signed."""
    digest = hashlib.sha256()
    yield from hashing(body, digest)
    if path not in listed or listed[path].hex != digest.hexdigest():
        raise DigestError("what was looked at is not what the manifest lists", where=str(path))


def _recorded(
    statements: Sequence[PatchStatement], collection: CollectionMember, parameters: frozenset[Sha256]
) -> dict[str, ValueDigest]:
    """Give the digests of the newest statement that has any of this member, if it is of a run with ``parameters``."""
    for statement in reversed(statements):
        digests = statement.value_digests.get(str(collection.path), {})
        if digests:
            applied = {transform.parameters_sha256 for transform in statement.transforms}
            return {name: _parsed(digests[name], collection) for name in digests} if applied & parameters else {}
    return {}


def _parsed(digest: str, collection: CollectionMember) -> ValueDigest:
    try:
        return ValueDigest.parse(digest)
    except UsageError as error:
        raise ContentError(
            f"the signed statement has a digest that is none: {error.what}", where=str(collection.path)
        ) from error


_KINDS: tuple[tuple[frozenset[str], type[KitError]], ...] = (
    (frozenset({"envelope", "owner"}), EnvelopeError),
    (frozenset({"plaintext", "half-encrypted", "canary", "content"}), ContentError),
    (frozenset({"key"}), KeyUnusableError),
)
"""What decides where several things are wrong: an envelope that is none before plaintext before a key."""


def _failure(members: Sequence[MemberFields], expectation: FieldExpectation) -> KitError | None:
    for kinds, error in _KINDS:
        first = next((finding for finding in _findings(members) if finding.kind in kinds), None)
        if first is not None:
            faults = sum(member.proof.faults for member in members)
            return error(f"{first.reason}{f' (and {faults - 1:,} more findings)' if faults > 1 else ''}")
    locked = sum(counts.locked for member in members for counts in member.proof.fields.values())
    if expectation.keys is not None and locked:
        return KeyUnusableError(
            f"{locked:,} envelopes are locked: what opens their data keys was not given",
            hint="without --keyring their form alone is judged",
        )
    return next(
        (
            _other(member, name)
            for member in members
            for name in member.proof.fields
            if member.comparison(name) is Comparison.DIFFERS
        ),
        None,
    )


def _findings(members: Sequence[MemberFields]) -> Iterator[ProofFinding]:
    for member in members:
        yield from member.proof.findings


def _other(member: MemberFields, name: str) -> DigestError:
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
    if expectation.keys is None:
        return f"{detail}, judged without keys"
    equal = sum(member.comparison(name) is Comparison.MATCHES for member in members for name in member.proof.fields)
    detail = f"{detail}, all opened; {equal} of {len(fields)} fields are as digested before they were sealed"
    sealed = [member for member in members if member.identical is not None]
    if not sealed:
        return detail
    other = [str(member.collection.path) for member in sealed if not member.identical]
    if other:
        return f"{detail}; that the last step changed nothing else is not proven of {', '.join(other)}"
    return (
        f"{detail}; in the {len(sealed)} that the last step sealed, all else is identical to what was signed before it"
    )

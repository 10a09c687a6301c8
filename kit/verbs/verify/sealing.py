"""Checks that the last step sealed mapped values and changed nothing else.

A step of ``encrypt-fields`` is compared with its map. The manifests alone show that it changed no member that the map
does not name, and reworded nothing. The form of the documents shows that each one it changed has an envelope where the
map has a field. The keyring proves it byte for byte: with every envelope replaced by its content, the documents are
those that were signed before.

Laws: wherever there is something signed to compare with, it is compared, and a difference is a failure; "not proven" is
only for what the available bytes cannot show, and comes with the reason.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kit.encryption import FieldMap, Proof
from kit.encryption.needs import ENCRYPTED, SKIPPED_ENCRYPTED
from kit.engine.reencoding import Reencoding
from kit.engine.work import Sealing, UnsealedRun
from kit.errors import ContentError, DigestError, KitError
from kit.manifest import DocumentChanges
from kit.transforms.encrypt_fields import NAME
from kit.values import (
    Codec,
    CollectionFormat,
    CollectionMember,
    FieldOutcome,
    MemberPath,
    RunLengths,
    RunLengthsReader,
    Sha256,
)
from kit.verbs.verify.appending import cut_since
from kit.verbs.verify.judgement import CheckedStep

_STATED_ONLY = (
    "its base is compressed, and what was signed of it cannot be made again: the digest is the patcher's word alone"
)
_SEALED_BEFORE = "documents that the step changed had envelopes before it, and which those are is not recorded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rest:
    """What is proven of all that is not a mapped value, in one member that the last step changed.

    Attributes:
        identical: Whether it is what was signed before the step; None if no envelope was opened.
        why: Why that is not proven; "" if it is, or if no envelope was opened.
        fault: The error for another change by the step; None if nothing shows one.
    """

    identical: bool | None
    why: str = ""
    fault: KitError | None = None


class SealedStep:
    """The last step of a chain, if sealing is all that it claims."""

    def __init__(self, chain: Sequence[CheckedStep], maps: Mapping[Sha256, FieldMap]) -> None:
        """Take the steps of a chain, oldest first, and the maps of ``encrypt-fields`` by the digests of parameters."""
        self._chain = chain
        last = chain[-1] if chain else None
        statement = last.statement if last is not None else None
        applied = {one.parameters_sha256 for one in statement.transforms} if statement is not None else set()
        self._step = last if applied and applied <= maps.keys() else None
        self._maps = [maps[one] for one in applied if one in maps]
        self._members: dict[MemberPath, _Member] = {}

    @property
    def is_there(self) -> bool:
        """Whether there is such a step."""
        return self._step is not None

    def changes(self, path: MemberPath) -> DocumentChanges | None:
        """Return what the step states of a member; None if it did not change the member."""
        statement = self._step.statement if self._step is not None else None
        return next((one for one in statement.documents if one.path == path), None) if statement is not None else None

    def excess(self, mapped: frozenset[MemberPath]) -> KitError | None:
        """Return the error if the manifests show that the step changed more than the members that the map names."""
        if self._step is None or self._step.statement is None:
            return None
        claim = f"the step to generation {self._step.statement.generation} claims to only seal mapped fields"
        for artifact in self._step.statement.changed:
            if artifact.path not in mapped:
                return ContentError(f"{claim}, but changed what the map does not name", where=str(artifact.path))
            if self.changes(artifact.path) is None:
                return ContentError(f"{claim}, but does not state in which documents", where=str(artifact.path))
        more = [one for one in self._step.differences if one.is_excess]
        return ContentError(f"{claim}, but did more: {more[0]}") if more else None

    @property
    def is_all(self) -> bool:
        """Whether every member that the step changed is proven unchanged except for what was sealed."""
        step = self._step
        if step is None or step.statement is None or step.differences:
            return False
        return all((rest := self.rest(one.path)) is not None and rest.identical for one in step.statement.changed)

    def begin(self, collection: CollectionMember) -> _Member | None:
        """Begin a member, and return what collects its documents; None if the step did not change it."""
        changes = self.changes(collection.path)
        if changes is None or self._step is None:
            return None
        counts = self._step.statement.counts if self._step.statement is not None else {}
        cut = cut_since(collection.path, self._chain, self._step)
        found = self._members[collection.path] = _Member(collection, changes, _sealed_counts(collection, counts), cut)
        return found

    def rest(self, path: MemberPath) -> Rest | None:
        """Return what is proven of a member that was read to its end; None if the step did not change it."""
        member = self._members.get(path)
        if member is None or self._step is None:
            return None
        entry = self._step.base.entry(path)
        siblings = [one for one in self._members.values() if one.collection.name == member.collection.name]
        opened = sum((one.opened for one in siblings), Counter[str]())
        return member.rest(entry.sha256 if entry is not None else None, opened)

    def check_counts(self, collection: CollectionMember, proofs: Sequence[Proof]) -> KitError | None:
        """Return the error if the statement counts other envelopes of a collection than its members have."""
        statement = self._step.statement if self._step is not None else None
        if statement is None or not _has_sealed_counts(statement.counts):
            return None
        if not any(one.collection(collection.name) is not None for one in self._maps):
            return None  # the run was of other collections of the map
        for name in sorted({field for proof in proofs for field in proof.fields}):
            stated = sum(
                statement.counts.get(f"{NAME}.{FieldOutcome(outcome, str(collection.name), name)}", 0)
                for outcome in (ENCRYPTED, SKIPPED_ENCRYPTED)
            )
            found = sum(proof.fields[name].envelopes for proof in proofs)
            if stated != found:
                what = f'field "{name}": the statement counts {stated:,} envelopes, there are {found:,}'
                return ContentError(what, where=str(collection.name))
        return None


def _has_sealed_counts(counts: Mapping[str, int]) -> bool:
    return any(name.startswith(f"{NAME}.{ENCRYPTED}/") for name in counts)


def _sealed_counts(collection: CollectionMember, counts: Mapping[str, int]) -> dict[str, int] | None:
    """Return the sealed values of a collection that the statement counts, by field; None if it counts none."""
    if not _has_sealed_counts(counts):
        return None
    start = f"{NAME}.{FieldOutcome(ENCRYPTED, str(collection.name), '')}"
    return {name.removeprefix(start): count for name, count in counts.items() if name.startswith(start) and count}


class _Member:
    """Computes the digest of one member's documents as they were before the step."""

    def __init__(
        self, collection: CollectionMember, changes: DocumentChanges, sealed: dict[str, int] | None, cut: RunLengths
    ) -> None:
        self.collection = collection
        self.opened: Counter[str] = Counter()
        self._changes, self._sealed = changes, sealed
        self._changed, self._cut = RunLengthsReader(changes.changed), RunLengthsReader(cut)
        self._plain = collection.codec is Codec.NONE
        self._digest = hashlib.sha256()
        # Texts are not encoded again: their frames depend on what is between documents, too.
        is_again = not self._plain and collection.format is CollectionFormat.BSON
        self._again = Reencoding(collection.codec) if is_again else None
        self._is_open, self._failed = True, False
        self._documents = self._without = 0

    def take(self, count: int) -> Sealing:
        """Return what is to be done with the next ``count`` documents."""
        return Sealing(
            changed=self._changed.take(count),
            cut=self._cut.take(count),
            fields=frozenset(self._sealed) if self._sealed is not None else None,
            sized=self._again is not None,
        )

    def add(self, found: UnsealedRun) -> None:
        """Add the next documents, as they were before the step."""
        self._documents += found.count
        self._without += found.without
        self.opened += found.opened
        self._failed |= found.failed
        if found.data is None:
            self._is_open = False
            return
        self._digest.update(found.data)
        if self._again is not None:
            self._again.update(found.data, found.sizes)

    def rest(self, signed: Sha256 | None, opened: Counter[str]) -> Rest:
        """Compare with what was signed before the step; ``opened`` counts all members of the collection."""
        fault = self._fault(opened)
        if fault is not None or not self._is_open:
            return Rest(identical=False if fault is not None and self._is_open else None, fault=fault)
        found = Sha256(self._digest.hexdigest())
        expected = signed if self._plain else self._changes.base_sha256
        if found == expected:
            proven = self._plain or (self._again is not None and self._again.digest() == signed)
            return Rest(identical=proven, why="" if proven else _STATED_ONLY)
        if self._sealed is None or any(opened[name] > count for name, count in self._sealed.items()):
            return Rest(identical=False, why=_SEALED_BEFORE)
        return Rest(
            identical=False,
            fault=DigestError(
                f"with all that the last step sealed opened, its documents have digest {found}, but "
                f"{expected} was signed for them: the step changed more than mapped values",
                where=str(self.collection.path),
            ),
        )

    def _fault(self, opened: Counter[str]) -> KitError | None:
        """Return the error that the documents show without a key; None if there is none."""
        where = str(self.collection.path)
        if self._changes.changed.total != self._documents:
            what = f"the statement counts {self._changes.changed.total:,} documents, there are {self._documents:,}"
            return DigestError(what, where=where)
        if self._failed:
            return None  # the proof of the fields reports what cannot be read
        if self._without:
            what = f"{self._without:,} documents that the step changed have no envelope that it could have made"
            return DigestError(what, where=where)
        for name, count in sorted((self._sealed or {}).items()):
            if opened[name] < count:
                what = f'field "{name}": the statement counts {count:,} sealed values, there are {opened[name]:,}'
                return ContentError(what, where=where)
        return None

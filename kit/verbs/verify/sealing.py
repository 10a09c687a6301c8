"""Did the last step seal mapped values, and nothing else?

A step of ``encrypt-fields`` is held to its map. By the manifests alone: it changed no member that the map does not
name, and reworded nothing. By the form of the documents: each that it changed has an envelope where the map has a
field. With the keyring, byte for byte: every envelope opened and put back gives the documents that were signed before.

Laws: where there is something signed to compare with, it is compared, and a difference is a failure; "not proven" is
left for what the bytes at hand cannot show, and says why.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kit.encryption import Proof
from kit.encryption.needs import ENCRYPTED, SKIPPED_ENCRYPTED
from kit.engine.reencoding import Reencoding
from kit.engine.work import Sealing, UnsealedRun
from kit.errors import ContentError, DigestError, KitError
from kit.manifest import DocumentChanges
from kit.transforms.encrypt_fields import NAME
from kit.values import Codec, CollectionMember, FieldOutcome, MemberPath, RunLengths, RunLengthsReader, Sha256
from kit.verbs.verify.appending import cut_since
from kit.verbs.verify.judgement import CheckedStep

_WORD = "its base is compressed, and what was signed of it cannot be made again: the digest is the patcher's word alone"
_HAD = "documents that the step changed had envelopes before it, and which those are is not recorded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rest:
    """What is proven of all that is not a mapped value, in one member that the last step changed.

    Attributes:
        identical: Whether it is what was signed before the step; None where nothing was opened.
        why: Why that is not proven; "" where it is, or where nothing was opened.
        fault: What the step did besides; None where nothing shows that it did.
    """

    identical: bool | None
    why: str = ""
    fault: KitError | None = None


class SealedStep:
    """The last step of a chain, if all it did was to seal."""

    def __init__(self, chain: Sequence[CheckedStep], parameters: frozenset[Sha256]) -> None:
        """Take the steps of a chain, oldest first, and the digests of what ``encrypt-fields`` was asked for."""
        self._chain = chain
        last = chain[-1] if chain else None
        statement = last.statement if last is not None else None
        applied = {one.parameters_sha256 for one in statement.transforms} if statement is not None else set()
        self._step = last if applied and applied <= parameters else None
        self._members: dict[MemberPath, _Member] = {}

    @property
    def is_there(self) -> bool:
        """Whether there is such a step."""
        return self._step is not None

    def changes(self, path: MemberPath) -> DocumentChanges | None:
        """Return what the step says of a member; None where it did not change it."""
        statement = self._step.statement if self._step is not None else None
        return next((one for one in statement.documents if one.path == path), None) if statement is not None else None

    def excess(self, mapped: frozenset[MemberPath]) -> KitError | None:
        """Return what the manifests show that the step did to others than the members that the map names."""
        if self._step is None or self._step.statement is None:
            return None
        said = f"the step to generation {self._step.statement.generation} says that it only seals mapped fields"
        for artifact in self._step.statement.changed:
            if artifact.path not in mapped:
                return ContentError(f"{said}, and changed what the map does not name", where=str(artifact.path))
            if self.changes(artifact.path) is None:
                return ContentError(f"{said}, and not of which documents", where=str(artifact.path))
        more = [one for one in self._step.differences if one.is_excess]
        return ContentError(f"{said}, and did more: {more[0]}") if more else None

    @property
    def is_all(self) -> bool:
        """Whether every member that the step changed is proven to be what it was but for what was sealed."""
        step = self._step
        if step is None or step.statement is None or step.differences:
            return False
        return all((rest := self.rest(one.path)) is not None and rest.identical for one in step.statement.changed)

    def begin(self, collection: CollectionMember) -> _Member | None:
        """Begin to read a member; None where the step did not change it."""
        changes = self.changes(collection.path)
        if changes is None or self._step is None:
            return None
        counts = self._step.statement.counts if self._step.statement is not None else {}
        cut = cut_since(collection.path, self._chain, self._step)
        found = self._members[collection.path] = _Member(collection, changes, _sealed(collection, counts), cut)
        return found

    def rest(self, path: MemberPath) -> Rest | None:
        """Return what is proven of a member that was read to its end; None where the step did not change it."""
        member = self._members.get(path)
        if member is None or self._step is None:
            return None
        entry = self._step.base.entry(path)
        siblings = [one for one in self._members.values() if one.collection.name == member.collection.name]
        opened = sum((one.opened for one in siblings), Counter[str]())
        return member.rest(entry.sha256 if entry is not None else None, opened)

    def check_counts(self, collection: CollectionMember, proofs: Sequence[Proof]) -> KitError | None:
        """Compare the envelopes that the statement counts of a collection with those of all its members."""
        statement = self._step.statement if self._step is not None else None
        if statement is None or not _tells(statement.counts):
            return None
        for name in sorted({field for proof in proofs for field in proof.fields}):
            told = sum(
                statement.counts.get(f"{NAME}.{FieldOutcome(outcome, str(collection.name), name)}", 0)
                for outcome in (ENCRYPTED, SKIPPED_ENCRYPTED)
            )
            met = sum(proof.fields[name].envelopes for proof in proofs)
            if told != met:
                what = f'field "{name}": the statement counts {told:,} envelopes, there are {met:,}'
                return ContentError(what, where=str(collection.name))
        return None


def _tells(counts: Mapping[str, int]) -> bool:
    return any(name.startswith(f"{NAME}.{ENCRYPTED}/") for name in counts)


def _sealed(collection: CollectionMember, counts: Mapping[str, int]) -> dict[str, int] | None:
    """Return by field how many values the statement says were sealed in a collection; None where it does not tell."""
    if not _tells(counts):
        return None
    start = f"{NAME}.{FieldOutcome(ENCRYPTED, str(collection.name), '')}"
    return {name.removeprefix(start): count for name, count in counts.items() if name.startswith(start) and count}


class _Member:
    """Digests the documents of one member as they were before the step."""

    def __init__(
        self, collection: CollectionMember, changes: DocumentChanges, sealed: dict[str, int] | None, cut: RunLengths
    ) -> None:
        self.collection = collection
        self.opened: Counter[str] = Counter()
        self._changes, self._sealed = changes, sealed
        self._changed, self._cut = RunLengthsReader(changes.changed), RunLengthsReader(cut)
        self._plain = collection.codec is Codec.NONE
        self._digest = hashlib.sha256()
        self._again = None if self._plain else Reencoding(collection.codec)
        self._is_open, self._failed = True, False
        self._documents = self._without = 0

    def take(self, count: int) -> Sealing:
        """Return what is asked of the next ``count`` documents."""
        return Sealing(
            changed=self._changed.take(count),
            cut=self._cut.take(count),
            fields=frozenset(self._sealed) if self._sealed is not None else None,
            sized=not self._plain,
        )

    def add(self, found: UnsealedRun) -> None:
        """Take the next documents, as they were."""
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
        """Compare with what was signed before the step; ``opened`` is of all members of the collection."""
        fault = self._fault(opened)
        if fault is not None or not self._is_open:
            return Rest(identical=False if fault is not None and self._is_open else None, fault=fault)
        met = Sha256(self._digest.hexdigest())
        due = signed if self._plain else self._changes.base_sha256
        if met == due:
            proven = self._again is None or self._again.digest() == signed
            return Rest(identical=proven, why="" if proven else _WORD)
        if self._sealed is None or any(opened[name] > count for name, count in self._sealed.items()):
            return Rest(identical=False, why=_HAD)
        return Rest(
            identical=False,
            fault=DigestError(
                f"with all that the last step sealed opened, its documents have digest {met}, but {due} was signed for "
                "them: the step changed more than mapped values",
                where=str(self.collection.path),
            ),
        )

    def _fault(self, opened: Counter[str]) -> KitError | None:
        """Return what the documents show without a key."""
        where = str(self.collection.path)
        if self._changes.changed.total != self._documents:
            told = f"the statement counts {self._changes.changed.total:,} documents, there are {self._documents:,}"
            return DigestError(told, where=where)
        if self._failed:
            return None  # what cannot be read is a finding of the proof that goes beside this
        if self._without:
            told = f"{self._without:,} documents that the step changed have no envelope that it could have made"
            return DigestError(told, where=where)
        for name, count in sorted((self._sealed or {}).items()):
            if opened[name] < count:
                told = f'field "{name}": the statement counts {count:,} sealed values, there are {opened[name]:,}'
                return ContentError(told, where=where)
        return None

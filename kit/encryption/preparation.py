"""Finds what a run needs before it starts: for whom keys must be there, how many values, whether it may start at all.

Data keys cannot be made while workers run side by side, since two of them would make two for one owner. So the first
reading of a kit, which digests it, finds them; as it sees all documents, it can also apply the stop rules that need the
whole before anything is written (schemas/field-map.md, "Stop rules"). What is wrong with a document is kept until the
kit is known to be what its signers say: a kit that was tampered with is refused as that.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final

from kit.documents import Run
from kit.encryption.aead import check_sealable
from kit.encryption.envelope import PROFILES, Profile
from kit.encryption.mapped import MappedDocument, Reading, Standing, State
from kit.encryption.mapping import MappedCollection, MappedField
from kit.encryption.needs import Needs
from kit.encryption.opening import in_document, in_field
from kit.encryption.runs import survey
from kit.errors import KitError, StoppedError

_SELECTED: Final = Standing.SELECTED
_NO_PARTITION_KEY: Final = Standing.NO_PARTITION_KEY
_PLAIN: Final = State.PLAIN


def needs_of(collection: MappedCollection, documents: Iterable[bytes], first: int = 0) -> Needs:
    """Find what a run of documents needs; ``first`` is the ordinal of the first of them, for messages.

    A document that cannot be judged, or holds what cannot be sealed, is kept as the failure if it is the first, and
    passed over: a dry run goes on, and needs the keys of the others.
    """
    given = Run.of(documents)
    found = survey(collection, given)
    if found is None:
        return needs_of_each(collection, given, first)
    judging = _Judging(collection)
    for number in found.alone:
        judging.take(given.document(number), first + number)
    for owner, values in found.owners:
        judging.plain[owner] += values
    return judging.needs(len(given.ends))


def needs_of_each(collection: MappedCollection, documents: Iterable[bytes], first: int = 0) -> Needs:
    """As :func:`needs_of`, one document after the other."""
    judging, ordinal = _Judging(collection), first
    for document in documents:
        judging.take(document, ordinal)
        ordinal += 1
    return judging.needs(ordinal - first)


class _Judging:
    """Judges documents of one collection."""

    def __init__(self, collection: MappedCollection) -> None:
        self._collection, self._reading = collection, Reading(collection)
        self._profile: Profile = PROFILES[collection.place.version]
        self._needs = Needs()
        self.plain: Counter[str] = Counter()
        """Plaintext values by owner."""

    def needs(self, documents: int) -> Needs:
        """Return what so many documents need."""
        needs = self._needs
        needs.documents = documents
        if self.plain:
            needs.owners[self._collection.place.product, self._collection.map.context] = self.plain
        return needs

    def take(self, document: bytes, ordinal: int) -> None:
        """Judge one document."""
        needs = self._needs
        try:
            mapped = self._reading.read(document)
            if mapped.standing is _SELECTED:
                values = sum([_is_plain(mapped, one, self._profile) for one in self._collection.fields])
                if values:
                    self.plain[mapped.owner] += values
            elif mapped.standing is _NO_PARTITION_KEY:
                needs.without_partition_key += 1
                needs.first_without = needs.first_without or _without(self._collection, document, ordinal)
        except KitError as error:
            if needs.failure is None:
                needs.fail(in_document(error, self._collection, document, ordinal))


def _without(collection: MappedCollection, document: bytes, ordinal: int) -> str:
    field = f'field "{collection.map.partition_key}"'
    return in_document(StoppedError("", where=field), collection, document, ordinal).where


def _is_plain(mapped: MappedDocument, mapped_field: MappedField, profile: Profile) -> bool:
    try:
        value = mapped.value(mapped_field)
        if value.state is not _PLAIN:
            return False
        check_sealable(profile, value.kind, mapped.document[value.start : value.end])
    except KitError as error:
        raise in_field(error, mapped_field) from error
    return True

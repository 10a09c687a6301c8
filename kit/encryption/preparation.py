"""Finds what a run needs before it starts: the keys, the number of values, and whether it may start at all.

Data keys cannot be made while workers run in parallel, since two workers would make two for one owner. So the first
pass over a kit, which digests it, finds the needed keys. As it reads all documents, it can also apply the stop rules
that need all of them before anything is written (schemas/field-map.md, "Stop rules"). Errors of documents are kept
until the kit is verified: a kit that was tampered with is refused for that reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final

from kit.documents import Run
from kit.encryption.aead import check_sealable
from kit.encryption.envelope import PROFILES, Profile
from kit.encryption.mapped import DocumentReader, DocumentStatus, MappedDocument, State
from kit.encryption.mapping import MappedCollection, MappedField
from kit.encryption.needs import Needs
from kit.encryption.opening import in_document, in_field
from kit.encryption.runs import survey
from kit.errors import KitError, StoppedError

_SELECTED: Final = DocumentStatus.SELECTED
_NO_PARTITION_KEY: Final = DocumentStatus.NO_PARTITION_KEY
_PLAIN: Final = State.PLAIN


def find_needs(collection: MappedCollection, documents: Iterable[bytes], first: int = 0) -> Needs:
    """Return what a run of documents needs; ``first`` is the ordinal of the first, for messages.

    The error of the first document that cannot be judged or sealed is kept as the failure. Such documents are skipped:
    a dry run continues, and needs the keys of the others.
    """
    given = Run.of(documents)
    found = survey(collection, given)
    if found is None:
        return find_needs_each(collection, given, first)
    judge = _Judge(collection)
    for number in found.alone:
        judge.take(given.document(number), first + number)
    for owner, values in found.owners:
        judge.plain[owner] += values
    return judge.needs(len(given.ends))


def find_needs_each(collection: MappedCollection, documents: Iterable[bytes], first: int = 0) -> Needs:
    """Return what :func:`find_needs` does, document by document."""
    judge, ordinal = _Judge(collection), first
    for document in documents:
        judge.take(document, ordinal)
        ordinal += 1
    return judge.needs(ordinal - first)


class _Judge:
    """Judges documents of one collection."""

    def __init__(self, collection: MappedCollection) -> None:
        self._collection, self._reader = collection, DocumentReader(collection)
        self._profile: Profile = PROFILES[collection.place.version]
        self._needs = Needs()
        self.plain: Counter[str] = Counter()
        """Plaintext values by owner."""

    def needs(self, documents: int) -> Needs:
        """Return what the documents taken need."""
        needs = self._needs
        needs.documents = documents
        if self.plain:
            needs.owners[self._collection.place.product, self._collection.map.context] = self.plain
        return needs

    def take(self, document: bytes, ordinal: int) -> None:
        """Judge one document."""
        needs = self._needs
        try:
            mapped = self._reader.read(document)
            if mapped.status is _SELECTED:
                values = sum([_is_plain(mapped, one, self._profile) for one in self._collection.fields])
                if values:
                    self.plain[mapped.owner] += values
            elif mapped.status is _NO_PARTITION_KEY:
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

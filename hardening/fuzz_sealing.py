"""What hardening/fuzz attacks of sealing: core and reference must agree about each run of mapped documents.

An input is a document, whose length is corrected, so that what is mutated lies inside of it; it stands between a sealed
one and a plain one. Laws: what the core finds, seals, opens and proves of the run is what the reference does, one
document after the other; where the reference refuses it, so does the whole run, in the same words.
"""

# ruff: noqa: S101  the laws

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Sequence
from typing import Any

import bson

from kit.documents import core as chosen
from kit.encryption import FieldMap, KeySet, Scope
from kit.encryption.envelope import SUBDOCUMENTS
from kit.encryption.keys import DataKey
from kit.encryption.needs import find_needs, find_needs_each
from kit.encryption.proof import prove, prove_each
from kit.encryption.restoring import unseal, unseal_each
from kit.engine.lookup import EmptyLookup
from kit.errors import KitError
from kit.transforms.encrypt_fields import EncryptFields
from kit.transforms.protocol import ChangeTotals, apply_changes
from kit.values import CollectionName

NAME = CollectionName(database="app", collection="notes")
_MAP = {
    "schemaVersion": "1",
    "product": "fuzz",
    "collections": [
        {
            "collection": "notes",
            "partitionKey": "at.workspace",
            "fields": ["body", "meta.title", "meta.deep.a"],
            "context": "notes",
            "userIdField": "owner",
            "productId": "p",
            "skipOwners": ["nobody"],
        }
    ],
}
_KEYS = {
    owner: DataKey(
        dek_id=f"TEST-ONLY-{owner}",
        scope=Scope(product="fuzz", context="notes", owner=owner),
        mek_version=1,
        secret=hashlib.sha256(f"TEST-ONLY {owner}".encode()).digest(),
    )
    for owner in ("ada", "bob")
}
_SET = KeySet(
    scopes={key.dek_id: key.scope for key in _KEYS.values()},
    opening={key.dek_id: key for key in _KEYS.values()},
    sealing={key.scope: key.dek_id for key in _KEYS.values()},
    mek_versions=1,
)
_FIELD_MAP = FieldMap.parse(json.dumps(_MAP).encode())
_TRANSFORMS = tuple(EncryptFields(field_map=_FIELD_MAP, profile=profile, keys=_SET) for profile in SUBDOCUMENTS)


def sealing(data: bytes) -> None:
    """Law: see above."""
    if chosen.apply_map is None:
        raise KitError(f"the core is {chosen.ABSENCE}")
    odd = (len(data) + 5).to_bytes(4, "little") + data + b"\0"
    refused = None
    for transform in _TRANSFORMS:
        refused = _compare(transform, (*_sound(transform), odd)) or refused
    if refused is not None:
        raise refused


def _compare(transform: EncryptFields, documents: Sequence[bytes]) -> KitError | None:
    mapped = transform.mapped(NAME)
    assert _shown(find_needs(mapped, documents)) == _shown(find_needs_each(mapped, documents))
    for keys in (None, _SET):
        assert prove(mapped, documents, keys=keys) == prove_each(mapped, documents, keys=keys)
        by_run, by_each = (
            _outcome(act, mapped, documents, [True] * len(documents), keys) for act in (unseal, unseal_each)
        )
        assert by_run == by_each
    whole, one_by_one = _outcome(_whole, transform, documents), _outcome(_one_by_one, transform, documents)
    assert whole == one_by_one or whole is None
    return one_by_one[2] if isinstance(one_by_one, _Refused) else None


class _Refused(tuple[type[KitError], str, KitError]):
    """A refusal; two are the same by class and words."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Refused) and self[:2] == other[:2]

    def __hash__(self) -> int:
        return hash(self[:2])


def _outcome(act: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return act(*arguments)
    except KitError as error:
        return _Refused((type(error), str(error), error))


def _shown(needs: Any) -> tuple[Any, ...]:
    return needs.documents, needs.without_partition_key, needs.first_without, needs.owners, str(needs.failure)


def _whole(transform: EncryptFields, documents: Sequence[bytes]) -> Any:
    ends = list(itertools.accumulate(map(len, documents)))
    whole = transform.rewrite(NAME, b"".join(documents), ends, EmptyLookup(), 0)
    return None if whole is None else (whole.body, *_parts(whole.totals))


def _one_by_one(transform: EncryptFields, documents: Sequence[bytes]) -> Any:
    changes = transform.apply(NAME, documents, EmptyLookup(), 0)
    return b"".join(apply_changes(changes, documents, set())), *_parts(ChangeTotals(changes))


def _parts(totals: ChangeTotals) -> tuple[Any, ...]:
    return totals.outcomes, totals.counts, totals.sums, totals.findings


def _note(**changes: Any) -> dict[str, Any]:
    whole: dict[str, Any] = {"_id": 1, "at": {"workspace": "w"}, "owner": "ada", "productId": "p", "body": "text"}
    return whole | {"meta": {"title": "t", "deep": {"a": "x", "b": 1}}} | changes


def _sound(transform: EncryptFields) -> list[bytes]:
    plain = [bson.encode(_note()), bson.encode(_note(_id="2", owner="bob"))]
    changes = transform.apply(NAME, plain, EmptyLookup(), 0)
    return [apply_changes(changes, plain, set())[0], plain[1]]


def seeds() -> list[bytes]:
    """Return the elements of notes, sealed and not, ordinary and odd."""
    odd: list[dict[str, Any]] = [
        {},
        {"owner": "nobody"},
        {"productId": "q"},
        {"at": {"workspace": 7}, "body": None},
        {"meta": [1, 2], "body": {"__encrypted": True}},
        {"body": {"a": [1.5, b"bytes", bson.ObjectId(b"0" * 12)]}, "_id": bson.Int64(9)},
    ]
    whole = [bson.encode(_note(**changes)) for changes in odd]
    whole += [document for transform in _TRANSFORMS for document in _sound(transform)]
    return [document[4:-1] for document in whole]

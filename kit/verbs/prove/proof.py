"""A proof that a document is in a collection of a signed kit, or that none with that ``_id`` is.

Format: schemas/merkle-proof.md. It contains the manifest, its signature, and the paths from leaves to the roots in the
manifest. It repeats nothing that the manifest states, so the two cannot differ. Laws: ``Proof.parse(p.to_bytes())`` is
``p``; a proof that passes the checks proves its claim under that manifest, no matter who made it.

Obligations, tagged where they are enforced:

1. The manifest is signed by those who may sign it (:mod:`kit.verbs.prove.prove`, before anything in it is believed).
2. The members are those of the collection, and of the tenant if one is named; each has a root in the manifest.
3. Present: each member shown has leaves, all with the key of the claim, each leading to the root at its index.
4. Absent: every such member is shown, by the leaves between which the key would be: two neighbours, the first or the
   last one, or none in an empty tree.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Self

from kit.documents import Kind
from kit.documents.identity import leaf_data
from kit.encryption.approval import DocumentName, collection_name
from kit.errors import ContentError, DigestError, KitError, LimitError
from kit.manifest import CollectionSummary, Manifest
from kit.values import CollectionName, Limits, MemberPath, strict_json
from kit.values.digest import EMPTY_ROOT, leaf_hash, root_along
from kit.values.fields import ManifestFields
from kit.verbs.prove.leaf_search import Leaf

SCHEMA_VERSION = "1"
ABSENCE = (
    "The collection has no document with this _id. This is about the _id only: a document on the same advisory may be "
    "in the collection under another _id."
)
"""What the file of a proof of absence states in words, so that it is not taken for a statement on an advisory."""
_LIMITS = Limits()


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A claim about a kit.

    Attributes:
        document: The ``_id``.
        collection: The collection.
        tenant: Limits the claim to members that, by the manifest, have documents of this tenant; None for all.
        present: Whether a document with the ``_id`` is there.
    """

    document: DocumentName
    collection: CollectionName
    tenant: str | None
    present: bool

    @property
    def key(self) -> bytes:
        """The key of the leaf; that of a text has no length and no NUL."""
        return key_of(self.document)

    @property
    def spelled(self) -> str:
        """The ``_id`` as messages show it."""
        name = self.document.to_json()
        return f'"{name}"' if isinstance(name, str) else json.dumps(name)

    def members(self, manifest: Manifest) -> dict[MemberPath, CollectionSummary]:
        """Return the members that the claim is about (obligation 2), as :func:`rooted_members`."""
        return rooted_members(manifest, self.collection, self.tenant)


def rooted_members(
    manifest: Manifest, collection: CollectionName, tenant: str | None
) -> dict[MemberPath, CollectionSummary]:
    """Return the members of a collection, of one tenant if it is named, each with a root.

    Raises:
        ContentError: There is no such member, or one has no root.
    """
    found = {
        summary.path: summary
        for summary in manifest.collections
        if (summary.database, summary.collection) == (collection.database, collection.collection)
        and (tenant is None or tenant in summary.tenants)
    }
    if not found:
        of_tenant = f" with documents of tenant {tenant!r}" if tenant is not None else ""
        there = sorted({f"{one.database}.{one.collection}" for one in manifest.collections})
        raise ContentError(
            f"the manifest names no member of {collection}{of_tenant}",
            hint=f"it has {', '.join(there)}" if there else "",
        )
    bare = next((path for path, summary in found.items() if summary.merkle_root is None), None)
    if bare is not None:
        raise ContentError(
            "the manifest has no Merkle root of it, so nothing can be proven",
            where=str(bare),
            hint="kit patch --merkle gives the next generation roots",
        )
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """A claim and its proof.

    Attributes:
        claim: The claim.
        manifest: The exact bytes of the manifest.
        signature: The signature over them, in either form.
        members: The leaves of each member, in their order.
    """

    claim: Claim
    manifest: bytes
    signature: bytes
    members: Mapping[MemberPath, tuple[Leaf, ...]]

    def to_bytes(self) -> bytes:
        """Return the proof as canonical JSON: schemas/merkle-proof.md."""
        claim = self.claim
        printed: dict[str, Any] = {
            "id": claim.document.to_json(),
            "collection": str(claim.collection),
            "present": claim.present,
        }
        return strict_json.canonical(
            {
                "schemaVersion": SCHEMA_VERSION,
                **({} if claim.present else {"statement": ABSENCE}),
                "claim": printed if claim.tenant is None else printed | {"tenant": claim.tenant},
                "manifest": base64.b64encode(self.manifest).decode("ascii"),
                "signature": base64.b64encode(self.signature).decode("ascii"),
                "members": [
                    {"path": str(path), "leaves": [_leaf_json(leaf) for leaf in leaves]}
                    for path, leaves in sorted(self.members.items())
                ],
            }
        )

    @classmethod
    def parse(cls, data: bytes, *, where: str) -> Self:
        """Parse a proof; nothing in it is believed yet.

        Raises:
            ContentError: It is not strict JSON, or not exactly of this format.
            LimitError: It is larger than any proof.
        """
        try:
            return cls._read(ManifestFields.of(strict_json.parse(data, limits=_LIMITS, where=where), "proof"))
        except LimitError:
            raise
        except KitError as error:
            place = where if error.where in {"", where} else f"{where}: {error.where}"
            raise ContentError(error.what, where=place, hint=error.hint) from error

    @classmethod
    def _read(cls, fields: ManifestFields) -> Self:
        fields.exactly(("schemaVersion", "claim", "manifest", "signature", "members"), ("statement",))
        if fields.text("schemaVersion") != SCHEMA_VERSION:
            raise ContentError(f"schemaVersion {fields.text('schemaVersion')!r} is not known; this program reads '1'")
        members: dict[MemberPath, tuple[Leaf, ...]] = {}
        last = MemberPath("")
        for number, value in enumerate(fields.items("members")):
            one = ManifestFields.of(value, f"members[{number}]")
            one.exactly(("path", "leaves"))
            path = one.member_path("path")
            if path <= last:
                raise ContentError(f"{one.place}: {path} is out of order or there twice")
            last, items = path, enumerate(one.items("leaves"))
            members[path] = tuple(_leaf(value, f"{one.place}.leaves[{at}]") for at, value in items)
        if not members:
            raise ContentError("shows no member")
        claim = _claim(fields.object("claim"))
        stated = tuple(value for name, value in fields.members.items() if name == "statement")
        if stated != (() if claim.present else (ABSENCE,)):
            raise ContentError("statement: exactly the sentence about an _id is expected, in a proof of absence only")
        return cls(
            claim=claim,
            manifest=_decode(fields, "manifest"),
            signature=_decode(fields, "signature"),
            members=members,
        )

    def check(self, manifest: Manifest) -> None:
        """Check obligations 2 to 4 under a manifest whose signature was verified.

        Raises:
            ContentError: The manifest has no roots for the claim, or the proof does not show what it claims.
            DigestError: A leaf does not lead to the root.
        """
        due = self.claim.members(manifest)
        strange = sorted(self.members.keys() - due.keys())
        if strange:
            raise ContentError(f"shows {strange[0]}, which is not a member that the claim is about")
        unshown = sorted(due.keys() - self.members.keys())
        if unshown and not self.claim.present:  # obligation 4
            raise ContentError(f"claims an absence, but does not show {unshown[0]}")
        for path, leaves in self.members.items():
            for leaf in leaves:
                _require_root(leaf, due[path])
            try:
                if self.claim.present:
                    _check_present(self.claim.key, leaves)
                else:
                    _check_absent(self.claim.key, leaves, due[path])
            except KitError as error:
                raise error.inside(str(path)) from error.__cause__


def key_of(name: DocumentName) -> bytes:
    """Return the key of a leaf for an ``_id``."""
    kind, value = name.identity[:1], name.identity[1:]
    return kind + value[4:-1] if kind[0] == Kind.STRING else kind + value


def _require_root(leaf: Leaf, summary: CollectionSummary) -> None:
    """Check that a leaf is in the tree of a member, at its index.

    Raises:
        DigestError: It is not.
    """
    hashed = leaf_hash(leaf_data(leaf.key, bytes.fromhex(leaf.document.hex)))
    where = f"{summary.path}: leaf {leaf.index:,}"
    try:
        root = root_along(hashed, leaf.index, summary.documents, leaf.path)
    except DigestError as error:
        raise error.inside(where) from error
    if root.hex() != str(summary.merkle_root):
        raise DigestError(f"leads to root {root.hex()}, the manifest has {summary.merkle_root}", where=where)


def _check_present(key: bytes, leaves: Sequence[Leaf]) -> None:
    if not leaves:
        raise ContentError("shows no leaf")
    if any(leaf.key != key for leaf in leaves):  # obligation 3
        raise ContentError("shows the leaf of another _id")
    if any(later.index <= earlier.index for earlier, later in pairwise(leaves)):
        raise ContentError("shows its leaves out of order, or one of them twice")


def _check_absent(key: bytes, leaves: Sequence[Leaf], summary: CollectionSummary) -> None:
    last = summary.documents - 1
    match leaves:  # obligation 4
        case []:
            proven = last < 0 and str(summary.merkle_root) == EMPTY_ROOT.hex()
        case [only] if only.key > key:
            proven = only.index == 0
        case [only]:
            proven = only.key < key and only.index == last
        case [below, above]:
            proven = below.key < key < above.key and above.index == below.index + 1
        case _:
            proven = False
    if not proven:
        raise ContentError("its leaves are not those next to the place where the _id would be")


def _leaf_json(leaf: Leaf) -> dict[str, Any]:
    return {
        "index": leaf.index,
        "key": leaf.key.hex(),
        "documentSha256": str(leaf.document),
        "path": [one.hex() for one in leaf.path],
    }


def _claim(fields: ManifestFields) -> Claim:
    fields.exactly(("id", "collection", "present"), ("tenant",))
    present = fields.members["present"]
    if not isinstance(present, bool):
        raise ContentError(f"{fields.place}.present: true or false is expected")
    return Claim(
        document=DocumentName.parse(fields.members["id"]),
        collection=collection_name(fields.text("collection")),
        tenant=fields.text("tenant") if "tenant" in fields.members else None,
        present=present,
    )


def _leaf(value: object, place: str) -> Leaf:
    fields = ManifestFields.of(value, place)
    fields.exactly(("index", "key", "documentSha256", "path"))
    hashes = fields.items("path")
    if not all(isinstance(one, str) for one in hashes):
        raise ContentError(f"{place}.path: digests are expected")
    key = fields.members["key"]
    if not isinstance(key, str) or not _is_hex(key):
        raise ContentError(f"{place}.key: lower-case hex digits are expected")
    return Leaf(
        index=fields.integer("index"),
        key=bytes.fromhex(key),
        document=fields.digest("documentSha256"),
        path=tuple(_hash(one, place) for one in hashes),
    )


def _is_hex(text: str) -> bool:
    return not set(text) - set("0123456789abcdef") and len(text) % 2 == 0


def _hash(text: str, place: str) -> bytes:
    if len(text) != 64 or not _is_hex(text):
        raise ContentError(f"{place}.path: 64 lower-case hex digits are expected")
    return bytes.fromhex(text)


def _decode(fields: ManifestFields, name: str) -> bytes:
    text = fields.text(name)
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ContentError(f"{fields.place}.{name}: not base64") from error
    if base64.b64encode(data).decode("ascii") != text:
        raise ContentError(f"{fields.place}.{name}: not the one spelling of its base64")
    return data

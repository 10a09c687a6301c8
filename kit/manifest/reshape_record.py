"""The record of a step that changes the schema of collections: schemas/reshape-record.md.

It has what a verdict needs to undo the step without the migration: the parameters, and by which way each changed
document leads back. It is the manifest of what was copied between collections, and holds the sample of a reviewer. The
lineage and the signed statement name it by digest. Law: ``parse_record(r.to_bytes()) == r``.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from kit.errors import ContentError, ManifestError
from kit.values import Limits, MemberPath, Sha256
from kit.values.fields import ManifestFields, is_count
from kit.values.strict_json import canonical, parse as parse_json

SCHEMA_VERSION = "1"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedTransform:
    """A transform with its parameters, whose digest is in the statement."""

    name: str
    version: str
    parameters: Mapping[str, Any]

    @property
    def parameters_sha256(self) -> Sha256:
        """The digest that the statement has, too."""
        return Sha256.of(canonical(dict(self.parameters)))

    @classmethod
    def parse(cls, value: object, place: str) -> Self:
        """Return the part of a parsed value.

        Raises:
            ManifestError: It is not exactly ``{name, version, parameters}``.
        """
        fields = ManifestFields.of(value, place)
        fields.exactly(("name", "version", "parameters"))
        return cls(
            name=fields.text("name"), version=fields.text("version"), parameters=fields.object("parameters").members
        )

    def to_json(self) -> dict[str, Any]:
        """Return the value for ``strict_json.canonical``."""
        return {"name": self.name, "version": self.version, "parameters": dict(self.parameters)}


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberWays:
    """By which ways the changed documents of a member lead back, as (documents, way)."""

    path: MemberPath
    ways: tuple[tuple[int, int], ...]

    @classmethod
    def parse(cls, value: object, place: str) -> Self:
        """Return the part of a parsed value.

        Raises:
            ManifestError: It is not exactly ``{name, ways}``, or a way is no pair of counts.
        """
        fields = ManifestFields.of(value, place)
        fields.exactly(("name", "ways"))
        ways = fields.items("ways")
        for one in ways:
            if not (isinstance(one, list) and len(one) == 2 and all(map(is_count, one)) and one[0]):
                raise ManifestError(f"{place}.ways: pairs of a number of documents and a way are expected")
        return cls(path=fields.member_path("name"), ways=tuple((count, way) for count, way in ways))

    def to_json(self) -> dict[str, Any]:
        """Return the value for ``strict_json.canonical``."""
        return {"name": str(self.path), "ways": [list(one) for one in self.ways]}


@dataclass(frozen=True, slots=True, kw_only=True)
class MetadataBefore:
    """Compressed metadata that the step edited, byte for byte as it was."""

    path: MemberPath
    stored: bytes

    @classmethod
    def parse(cls, value: object, place: str) -> Self:
        """Return the part of a parsed value.

        Raises:
            ManifestError: It is not exactly ``{name, stored}``, or the bytes are not in base64.
        """
        fields = ManifestFields.of(value, place)
        fields.exactly(("name", "stored"))
        text = fields.text("stored")
        try:
            stored = binascii.a2b_base64(text.encode(), strict_mode=True)
        except ValueError as error:
            raise ManifestError(f"{place}.stored: is no base64") from error
        if base64.b64encode(stored).decode() != text:
            raise ManifestError(f"{place}.stored: is no canonical base64")
        return cls(path=fields.member_path("name"), stored=stored)

    def to_json(self) -> dict[str, Any]:
        """Return the value for ``strict_json.canonical``."""
        return {"name": str(self.path), "stored": base64.b64encode(self.stored).decode()}


@dataclass(frozen=True, slots=True, kw_only=True)
class EndOfMove:
    """One side of a copy between collections: a member, its documents, and their digest without its own codec."""

    path: MemberPath
    documents: int
    sha256: Sha256

    @classmethod
    def parse(cls, fields: ManifestFields) -> Self:
        """Return the part of a parsed value.

        Raises:
            ManifestError: It is not exactly ``{name, documents, sha256}``.
        """
        fields.exactly(("name", "documents", "sha256"))
        return cls(
            path=fields.member_path("name"), documents=fields.integer("documents"), sha256=fields.digest("sha256")
        )

    def to_json(self) -> dict[str, Any]:
        """Return the value for ``strict_json.canonical``."""
        return {"name": str(self.path), "documents": self.documents, "sha256": str(self.sha256)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """Documents that were copied into a new collection member.

    Attributes:
        transform: By which transform of the record.
        source: From where.
        target: Into what.
        statement: What the migration states of it: the new partition key, and the query by which a site compares.
    """

    transform: str
    source: EndOfMove
    target: EndOfMove
    statement: Mapping[str, Any]

    @classmethod
    def parse(cls, value: object, place: str) -> Self:
        """Return the part of a parsed value.

        Raises:
            ManifestError: It is not exactly ``{transform, source, target, statement}``.
        """
        fields = ManifestFields.of(value, place)
        fields.exactly(("transform", "source", "target", "statement"))
        return cls(
            transform=fields.text("transform"),
            source=EndOfMove.parse(fields.object("source")),
            target=EndOfMove.parse(fields.object("target")),
            statement=fields.object("statement").members,
        )

    def to_json(self) -> dict[str, Any]:
        """Return the value for ``strict_json.canonical``."""
        return {
            "transform": self.transform,
            "source": self.source.to_json(),
            "target": self.target.to_json(),
            "statement": dict(self.statement),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class SampledGroup:
    """Documents that a reviewer is shown of one owner, workspace and product, by ``_id`` as text."""

    owner: str
    workspace: str
    product: str
    documents: tuple[str, ...]

    @classmethod
    def parse(cls, value: object, place: str) -> Self:
        """Return the part of a parsed value.

        Raises:
            ManifestError: It is not exactly ``{owner, workspace, product, documents}``, or a text is none.
        """
        fields = ManifestFields.of(value, place)
        fields.exactly(("owner", "workspace", "product", "documents"))
        owner, workspace, product = (fields.members[name] for name in ("owner", "workspace", "product"))
        documents = fields.items("documents")
        if not all(isinstance(one, str) for one in (owner, workspace, product, *documents)):
            raise ManifestError(f"{place}: texts are expected")
        return cls(owner=owner, workspace=workspace, product=product, documents=tuple(documents))

    def to_json(self) -> dict[str, Any]:
        """Return the value for ``strict_json.canonical``."""
        return {
            "owner": self.owner,
            "workspace": self.workspace,
            "product": self.product,
            "documents": list(self.documents),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ReshapeRecord:
    """See the module docstring."""

    transforms: tuple[RecordedTransform, ...]
    """All of the step, in the order applied."""
    members: tuple[MemberWays, ...] = ()
    """By path: collections in which documents changed."""
    moves: tuple[Move, ...] = ()
    """By path of the target."""
    samples: tuple[SampledGroup, ...] = ()
    """By group."""
    omitted_groups: int = 0
    """Groups of the sample that there was no room for."""
    metadata: tuple[MetadataBefore, ...] = ()
    """By path: compressed metadata before it was edited, where there was room for it."""

    def to_json(self) -> dict[str, Any]:
        """Return the record as a JSON value."""
        return {
            "schemaVersion": SCHEMA_VERSION,
            "transforms": [one.to_json() for one in self.transforms],
            "members": [one.to_json() for one in self.members],
            "moves": [one.to_json() for one in self.moves],
            "samples": [one.to_json() for one in self.samples],
            "omittedGroups": self.omitted_groups,
            **({"metadata": [one.to_json() for one in self.metadata]} if self.metadata else {}),
        }

    def to_bytes(self) -> bytes:
        """Return the file, canonical JSON."""
        return canonical(self.to_json())


def parse_record(data: bytes, *, where: str, limits: Limits | None = None) -> ReshapeRecord:
    """Return the record of a file whose digest is known.

    Raises:
        ManifestError: It is not strict JSON, or not exactly a record of this format.
        LimitError: It is over a limit.
    """
    try:
        return _record(ManifestFields.of(parse_json(data, limits=limits or Limits(), where=where), "record"))
    except ManifestError as error:
        raise error.inside(where) from error.__cause__
    except ContentError as error:
        raise ManifestError(error.what, where=error.where) from error


def _record(fields: ManifestFields) -> ReshapeRecord:
    fields.exactly(("schemaVersion", "transforms", "members", "moves", "samples", "omittedGroups"), ("metadata",))
    if fields.text("schemaVersion") != SCHEMA_VERSION:
        raise ManifestError(f"schemaVersion: {SCHEMA_VERSION!r} is expected")

    def each(name: str) -> list[tuple[object, str]]:
        return [(value, f"{name}[{at}]") for at, value in enumerate(fields.items(name))]

    return ReshapeRecord(
        transforms=tuple(RecordedTransform.parse(*one) for one in each("transforms")),
        members=tuple(MemberWays.parse(*one) for one in each("members")),
        moves=tuple(Move.parse(*one) for one in each("moves")),
        samples=tuple(SampledGroup.parse(*one) for one in each("samples")),
        omitted_groups=fields.integer("omittedGroups"),
        metadata=tuple(MetadataBefore.parse(*one) for one in each("metadata")) if "metadata" in fields.members else (),
    )

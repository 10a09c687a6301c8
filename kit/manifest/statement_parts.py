"""The parts of a statement of provenance: members by digest, what was applied, which documents changed.

Each reads and prints itself as schemas/patch-provenance.md has it. Law: ``T.parse(p.to_json(), …) == p``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from kit.errors import ManifestError
from kit.manifest.fields import Fields, is_count
from kit.values import MemberPath, RunLengths, Sha256


@dataclass(frozen=True, slots=True, order=True, kw_only=True)
class Artifact:
    """A member and its digest: an in-toto ResourceDescriptor."""

    path: MemberPath
    sha256: Sha256

    @classmethod
    def parse(cls, value: object, place: str) -> Self:
        """Read one.

        Raises:
            ManifestError: It is not exactly ``{name, digest: {sha256}}``.
        """
        fields = Fields.of(value, place)
        fields.exactly(("name", "digest"))
        digest = fields.object("digest")
        digest.exactly(("sha256",))
        return cls(path=fields.member_path("name"), sha256=digest.digest("sha256"))

    def to_json(self) -> dict[str, Any]:
        """Print for ``strict_json.canonical``."""
        return {"name": str(self.path), "digest": {"sha256": str(self.sha256)}}


@dataclass(frozen=True, slots=True, kw_only=True)
class AppliedTransform:
    """One transform of the chain, in the order applied.

    Attributes:
        name: As registered, such as ``raw-linkset``.
        kind: What it may do to readers: ``additive-optional`` only adds, ``encrypted-field`` changes what is there.
        version: Of its format.
        parameters_sha256: Of its parameters as ``strict_json.canonical`` prints them.
    """

    name: str
    kind: str
    version: str
    parameters_sha256: Sha256

    @classmethod
    def parse(cls, value: object, place: str) -> Self:
        """Read one.

        Raises:
            ManifestError: It is not exactly ``{name, kind, version, parametersSha256}``.
        """
        fields = Fields.of(value, place)
        fields.exactly(("name", "kind", "version", "parametersSha256"))
        return cls(
            name=fields.text("name"),
            kind=fields.text("kind"),
            version=fields.text("version"),
            parameters_sha256=fields.digest("parametersSha256"),
        )

    def to_json(self) -> dict[str, Any]:
        """Print for ``strict_json.canonical``."""
        return {
            "name": self.name,
            "kind": self.kind,
            "version": self.version,
            "parametersSha256": str(self.parameters_sha256),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class AppliedMigration:
    """The description of the job that the step was (schemas/migration.md).

    Attributes:
        id: As its file calls it.
        kind: What it may do to readers.
        sha256: Of its description, canonical, as it was run.
    """

    id: str
    kind: str
    sha256: Sha256

    @classmethod
    def parse(cls, fields: Fields) -> Self:
        """Read one.

        Raises:
            ManifestError: It is not exactly ``{id, kind, sha256}``.
        """
        fields.exactly(("id", "kind", "sha256"))
        return cls(id=fields.text("id"), kind=fields.text("kind"), sha256=fields.digest("sha256"))

    def to_json(self) -> dict[str, Any]:
        """Print for ``strict_json.canonical``."""
        return {"id": self.id, "kind": self.kind, "sha256": str(self.sha256)}


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentChanges:
    """Which documents of a changed collection member changed, and the digest of all of them as they were.

    Attributes:
        path: The member.
        base_sha256: Of its documents before the step, back to back, without the member's own codec.
        changed: Which documents the step changed.
    """

    path: MemberPath
    base_sha256: Sha256
    changed: RunLengths

    @classmethod
    def parse(cls, value: object, place: str) -> Self:
        """Read one.

        Raises:
            ManifestError: It is not exactly ``{name, baseSha256, changed}``, or the runs are not in their one spelling.
        """
        fields = Fields.of(value, place)
        fields.exactly(("name", "baseSha256", "changed"))
        lengths = fields.items("changed")
        if not all(is_count(length) for length in lengths) or not RunLengths(tuple(lengths)).is_canonical:
            raise ManifestError(f"{place}.changed: lengths of alternating runs are expected, none 0 but the first")
        return cls(
            path=fields.member_path("name"),
            base_sha256=fields.digest("baseSha256"),
            changed=RunLengths(tuple(lengths)),
        )

    def to_json(self) -> dict[str, Any]:
        """Print for ``strict_json.canonical``."""
        return {
            "name": str(self.path),
            "baseSha256": str(self.base_sha256),
            "changed": list(self.changed.lengths),
        }

"""The parts of a statement of provenance: members by digest, applied transforms, changed documents, other sources.

Each parses and prints itself as in schemas/patch-provenance.md. Law: ``T.parse(p.to_json(), …) == p``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from kit.errors import ManifestError
from kit.values import MemberPath, RunLengths, Sha256
from kit.values.extractor_release import ExtractorRelease, list_extractors
from kit.values.fields import ManifestFields, is_count


@dataclass(frozen=True, slots=True, order=True, kw_only=True)
class Artifact:
    """A member and its digest: an in-toto ResourceDescriptor."""

    path: MemberPath
    sha256: Sha256

    @classmethod
    def parse(cls, value: object, place: str) -> Self:
        """Return the part of a parsed value.

        Raises:
            ManifestError: It is not exactly ``{name, digest: {sha256}}``.
        """
        fields = ManifestFields.of(value, place)
        fields.exactly(("name", "digest"))
        digest = fields.object("digest")
        digest.exactly(("sha256",))
        return cls(path=fields.member_path("name"), sha256=digest.digest("sha256"))

    def to_json(self) -> dict[str, Any]:
        """Return the value for ``strict_json.canonical``."""
        return {"name": str(self.path), "digest": {"sha256": str(self.sha256)}}


@dataclass(frozen=True, slots=True, kw_only=True)
class AppliedTransform:
    """One applied transform.

    Attributes:
        name: As registered, such as ``raw-linkset``.
        kind: Its effect on readers: ``additive-optional`` only adds, ``encrypted-field`` changes existing fields.
        version: The version of its format.
        parameters_sha256: Digest of its parameters as ``strict_json.canonical`` prints them.
        extractors: Those of other distributions that took part, by name.
    """

    name: str
    kind: str
    version: str
    parameters_sha256: Sha256
    extractors: tuple[ExtractorRelease, ...] = ()

    @classmethod
    def parse(cls, value: object, place: str) -> Self:
        """Return the part of a parsed value.

        Raises:
            ManifestError: It is not exactly ``{name, kind, version, parametersSha256}``, perhaps with ``extractors``.
        """
        fields = ManifestFields.of(value, place)
        fields.exactly(("name", "kind", "version", "parametersSha256"), ("extractors",))
        return cls(
            name=fields.text("name"),
            kind=fields.text("kind"),
            version=fields.text("version"),
            parameters_sha256=fields.digest("parametersSha256"),
            extractors=ExtractorRelease.parse_all(fields),
        )

    def to_json(self) -> dict[str, Any]:
        """Return the value for ``strict_json.canonical``."""
        return {
            "name": self.name,
            "kind": self.kind,
            "version": self.version,
            "parametersSha256": str(self.parameters_sha256),
            **list_extractors(self.extractors),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class AppliedMigration:
    """The description of the job of the step (schemas/migration.md).

    Attributes:
        id: The id in its file.
        kind: Its effect on readers.
        sha256: Digest of its canonical description.
    """

    id: str
    kind: str
    sha256: Sha256

    @classmethod
    def parse(cls, fields: ManifestFields) -> Self:
        """Return the part of a parsed value.

        Raises:
            ManifestError: It is not exactly ``{id, kind, sha256}``.
        """
        fields.exactly(("id", "kind", "sha256"))
        return cls(id=fields.text("id"), kind=fields.text("kind"), sha256=fields.digest("sha256"))

    def to_json(self) -> dict[str, Any]:
        """Return the value for ``strict_json.canonical``."""
        return {"id": self.id, "kind": self.kind, "sha256": str(self.sha256)}


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentChanges:
    """The changed documents of a collection member, and the digest of all its documents before the step.

    Attributes:
        path: The member.
        base_sha256: Digest of its documents before the step, back to back, without the member's own codec.
        changed: Which documents the step changed.
    """

    path: MemberPath
    base_sha256: Sha256
    changed: RunLengths

    @classmethod
    def parse(cls, value: object, place: str) -> Self:
        """Return the part of a parsed value.

        Raises:
            ManifestError: It is not exactly ``{name, baseSha256, changed}``, or the runs are not in their one spelling.
        """
        fields = ManifestFields.of(value, place)
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
        """Return the value for ``strict_json.canonical``."""
        return {
            "name": str(self.path),
            "baseSha256": str(self.base_sha256),
            "changed": list(self.changed.lengths),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotsOrigin:
    """Where snapshots were taken from besides the base; one of the two digests is there.

    Attributes:
        manifest: Digest of the manifest of a kit that was verified.
        members: Digest of the list of files of what was not verified, a line for each as ``sha256sum`` prints it.
    """

    manifest: Sha256 | None = None
    members: Sha256 | None = None

    @property
    def is_verified(self) -> bool:
        """Return whether it is a kit that was judged as the base was."""
        return self.manifest is not None

    @classmethod
    def parse(cls, fields: ManifestFields) -> Self:
        """Return the part of a parsed value.

        Raises:
            ManifestError: It is not exactly ``{manifestSha256}`` or ``{membersSha256}``.
        """
        if "manifestSha256" in fields.members:
            fields.exactly(("manifestSha256",))
            return cls(manifest=fields.digest("manifestSha256"))
        fields.exactly(("membersSha256",))
        return cls(members=fields.digest("membersSha256"))

    def to_json(self) -> dict[str, Any]:
        """Return the value for ``strict_json.canonical``."""
        if self.manifest is not None:
            return {"manifestSha256": str(self.manifest)}
        return {"membersSha256": str(self.members)}

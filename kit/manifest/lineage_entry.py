"""One entry of ``lineage``: a generation that was replaced, and where its proof is kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from kit.errors import ManifestError
from kit.manifest.fields import Fields
from kit.manifest.location import history_paths
from kit.values import Sha256, Timestamp

_NAMES = ("generation", "manifestSha256", "path", "signature", "statement", "operation", "tool", "at")


@dataclass(frozen=True, slots=True, kw_only=True)
class LineageEntry:
    """A step from one generation to the next. Law: ``LineageEntry.parse(e.to_json(), place) == e``.

    Attributes:
        generation: The generation that was replaced and is kept.
        manifest_sha256: Of its manifest, byte for byte.
        path: Where that manifest is kept.
        signature: Where its signature is kept; None when it had none, which the patch had to be told to accept.
        statement: Where the signed provenance of the step that replaced it is kept.
        operation: What replaced it (``patch``).
        tool: Name and version of the program that did.
        at: The ``createdAt`` of the generation that came of it.
    """

    generation: int
    manifest_sha256: Sha256
    path: str
    signature: str | None
    statement: str
    operation: str
    tool: str
    at: Timestamp

    @classmethod
    def of(
        cls,
        *,
        generation: int,
        manifest_sha256: Sha256,
        signed: bool,
        tool: str,
        at: Timestamp,
        operation: str = "patch",
    ) -> Self:
        """Describe the step that replaces ``generation``, with the paths the format prescribes."""
        paths = history_paths(generation)
        return cls(
            generation=generation,
            manifest_sha256=manifest_sha256,
            path=str(paths.manifest),
            signature=str(paths.signature) if signed else None,
            statement=str(paths.statement),
            operation=operation,
            tool=tool,
            at=at,
        )

    @classmethod
    def parse(cls, value: object, place: str) -> Self:
        """Read one entry, strictly.

        Raises:
            ManifestError: A member is missing, unknown, of the wrong type, or a path is not the one that belongs to
                the generation: a lineage that could point anywhere could pass any file off as history.
        """
        fields = Fields.of(value, place)
        fields.exactly(_NAMES)
        entry = cls(
            generation=fields.integer("generation"),
            manifest_sha256=fields.digest("manifestSha256"),
            path=fields.text("path"),
            signature=None if fields.members["signature"] is None else fields.text("signature"),
            statement=fields.text("statement"),
            operation=fields.text("operation"),
            tool=fields.text("tool"),
            at=fields.timestamp("at"),
        )
        paths = history_paths(entry.generation)
        for name, met, due in (
            ("path", entry.path, paths.manifest),
            ("signature", entry.signature, paths.signature),
            ("statement", entry.statement, paths.statement),
        ):
            if met is not None and met != str(due):
                raise ManifestError(f"{place}.{name}: {due} is expected, not {met!r}")
        return entry

    def to_json(self) -> dict[str, Any]:
        """Print for ``strict_json.canonical``."""
        return {
            "generation": self.generation,
            "manifestSha256": str(self.manifest_sha256),
            "path": self.path,
            "signature": self.signature,
            "statement": self.statement,
            "operation": self.operation,
            "tool": self.tool,
            "at": str(self.at),
        }

"""One entry of ``lineage``: a generation that was replaced, and the place of its proof."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from kit.errors import ManifestError
from kit.manifest.fields import Fields
from kit.manifest.location import history_paths
from kit.values import Sha256, Timestamp

_NAMES = ("generation", "manifestSha256", "path", "signature", "statement", "operation", "tool", "at")
_DIGESTS = ("signatureSha256", "priorStatementSha256")


@dataclass(frozen=True, slots=True, kw_only=True)
class LineageEntry:
    """A step from one generation to the next. Law: ``LineageEntry.parse(e.to_json(), place) == e``.

    Attributes:
        generation: The generation that was replaced and is kept.
        manifest_sha256: Digest of its manifest, byte for byte.
        path: Path of that manifest.
        signature: Path of its signature; None if it had none, which only an option of the patch permits.
        statement: Path of the signed provenance of the step that replaced it.
        operation: The operation that replaced it (``patch``).
        tool: Name and version of the program that did.
        at: The ``createdAt`` of the successor.
        signature_sha256: Digest of the kept signature, byte for byte; None if there is none, or in an entry by an
            earlier version.
        prior_statement_sha256: Digest of the statement of the step **to** the replaced generation; None for the first,
            or in an entry by an earlier version. The statement of this step names the new manifest, so its digest
            cannot be in that manifest.
    """

    generation: int
    manifest_sha256: Sha256
    path: str
    signature: str | None
    statement: str
    operation: str
    tool: str
    at: Timestamp
    signature_sha256: Sha256 | None = None
    prior_statement_sha256: Sha256 | None = None

    @classmethod
    def of(
        cls,
        *,
        generation: int,
        manifest_sha256: Sha256,
        signature: Sha256 | None,
        tool: str,
        at: Timestamp,
        prior_statement: Sha256 | None = None,
        operation: str = "patch",
    ) -> Self:
        """Return the entry of the step that replaces ``generation``, with the paths of the format.

        Args:
            generation: Its number.
            manifest_sha256: Digest of its manifest.
            signature: Digest of its signature; None if it has none.
            tool: Name and version of the program.
            at: The time of the step.
            prior_statement: Digest of the statement of the step to it; None if it is the first.
            operation: The operation that replaces it.
        """
        paths = history_paths(generation)
        return cls(
            generation=generation,
            manifest_sha256=manifest_sha256,
            path=str(paths.manifest),
            signature=str(paths.signature) if signature is not None else None,
            statement=str(paths.statement),
            operation=operation,
            tool=tool,
            at=at,
            signature_sha256=signature,
            prior_statement_sha256=prior_statement,
        )

    @classmethod
    def parse(cls, value: object, place: str) -> Self:
        """Return the entry of a parsed value.

        Raises:
            ManifestError: A member is missing, unknown or of the wrong type; a path is not that of the generation
                (otherwise lineage could present any file as history); or there is a digest without a signature.
        """
        fields = Fields.of(value, place)
        fields.exactly(_NAMES, _DIGESTS)
        entry = cls(
            generation=fields.integer("generation"),
            manifest_sha256=fields.digest("manifestSha256"),
            path=fields.text("path"),
            signature=None if fields.members["signature"] is None else fields.text("signature"),
            statement=fields.text("statement"),
            operation=fields.text("operation"),
            tool=fields.text("tool"),
            at=fields.timestamp("at"),
            signature_sha256=fields.digest("signatureSha256") if "signatureSha256" in fields.members else None,
            prior_statement_sha256=(
                fields.digest("priorStatementSha256") if "priorStatementSha256" in fields.members else None
            ),
        )
        if entry.signature is None and entry.signature_sha256 is not None:
            raise ManifestError(f"{place}.signatureSha256: there is no signature")
        paths = history_paths(entry.generation)
        for name, stated, due in (
            ("path", entry.path, paths.manifest),
            ("signature", entry.signature, paths.signature),
            ("statement", entry.statement, paths.statement),
        ):
            if stated is not None and stated != str(due):
                raise ManifestError(f"{place}.{name}: {due} is expected, not {stated!r}")
        return entry

    def to_json(self) -> dict[str, Any]:
        """Return the value for ``strict_json.canonical``."""
        printed: dict[str, Any] = {
            "generation": self.generation,
            "manifestSha256": str(self.manifest_sha256),
            "path": self.path,
            "signature": self.signature,
            "statement": self.statement,
            "operation": self.operation,
            "tool": self.tool,
            "at": str(self.at),
        }
        digests = zip(_DIGESTS, (self.signature_sha256, self.prior_statement_sha256), strict=True)
        return printed | {name: str(digest) for name, digest in digests if digest is not None}

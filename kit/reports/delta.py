"""The reports of ``kit delta``: schemas/delta-report.md."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from kit.delta.model import ArchiveComparison, DeltaManifest, Method, TargetArchive
from kit.reports.text import SCHEMA_VERSION, table
from kit.reports.verify import judgement_json
from kit.version import TOOL, VERSION

if TYPE_CHECKING:
    # A command of one kind does not load the others.
    from kit.verbs.delta.apply import DeltaApplyReport
    from kit.verbs.delta.build import DeltaBuildReport
    from kit.verbs.delta.verify import DeltaInspectReport, DeltaVerifyReport


def built_json(report: DeltaBuildReport) -> dict[str, Any]:
    """Return the report of a build as JSON."""
    return {
        **_head("built", report.manifest),
        "delta": str(report.output),
        "storedBytes": report.output_bytes,
        "sha256": str(report.output_sha256),
        "manifestSha256": str(report.manifest_sha256),
        "signedBy": [report.signed_by],
        "targetBytes": report.target_bytes,
        "archive": _archive(report.manifest.archive),
        "noRecipe": report.no_recipe,
        "discloses": report.discloses,
    }


def built_lines(report: DeltaBuildReport) -> Iterator[str]:
    """Yield the report of a build as lines of text."""
    yield from _ends(report.manifest)
    yield from _members(report.manifest)
    yield from _recipe(report.manifest)
    if report.no_recipe is not None:
        yield f"the site computes nothing: {report.no_recipe}"
    yield from _comes_back(report.manifest.archive)
    share = f", {_share(report.output_bytes, report.target_bytes)} of the target" if report.target_bytes else ""
    yield f"wrote {report.output} ({report.output_bytes:,} bytes{share}), signed by {report.signed_by}"


def applied_json(report: DeltaApplyReport) -> dict[str, Any]:
    """Return the report of an application as JSON."""
    return {
        **_head("applied" if report.applied else "nothing to do", report.manifest),
        "kit": str(report.base),
        "delta": str(report.delta),
        "signedBy": list(report.signers),
        "result": judgement_json(report.judgement),
        "output": str(report.output) if report.output else None,
        "outputBytes": report.output_bytes,
        "outputSha256": str(report.output_sha256) if report.output_sha256 else None,
        "sameArchive": report.same_archive,
        "archive": comparison_json(report.archive),
        "backup": str(report.backup) if report.backup else None,
    }


def applied_lines(report: DeltaApplyReport) -> Iterator[str]:
    """Yield the report of an application as lines of text."""
    if not report.applied:
        yield f"nothing to do: {report.base} already is {report.manifest.target}"
        if report.output is not None:
            yield f"wrote {report.output}, a byte-for-byte copy of {report.base}"
        yield from comparison_lines(report.archive)
        return
    yield from _ends(report.manifest)
    yield f"target signed by {', '.join(report.judgement.signers)}"
    size = f" ({report.output_bytes:,} bytes)" if report.output_bytes is not None else ""
    yield f"wrote {report.output}{size}, read back and verified"
    yield "every member is byte for byte that of the target"
    if report.output_sha256 is not None and not report.same_archive:
        yield "the archive around them is packed by this program"
    yield from comparison_lines(report.archive)
    if report.archive.target.signature is not None and not report.same_archive:
        yield "the .sig of that archive signs its bytes, and was not written for this kit"
    if report.backup is not None:
        yield f"the old kit is kept as {report.backup}"


def comparison_json(archive: ArchiveComparison) -> dict[str, Any]:
    """Return the comparison of two containers as JSON: the member ``archive`` of reports."""
    return {
        "container": archive.container,
        "builtFrom": _archive(archive.target),
        "compared": archive.is_compared,
        "difference": archive.difference,
    }


def comparison_lines(archive: ArchiveComparison) -> Iterator[str]:
    """Yield the comparison of two containers as lines of text."""
    if archive.difference is None:
        yield f"the archive is byte for byte the one that the publisher had, SHA-256 {archive.target.original}"
        return
    yield archive.difference
    if not archive.is_compared and archive.target.original is not None:
        yield f"the archive that the publisher had has SHA-256 {archive.target.original}"


def _comes_back(archive: TargetArchive) -> Iterator[str]:
    """Yield whether a site will get the publisher's archive."""
    if archive.container == "folder":
        yield "a site gets the members; there is no archive to compare, since the target is a folder"
    elif archive.sha256 is not None:
        yield f"a site gets the archive byte for byte: SHA-256 {archive.sha256}"
    else:
        was = f", SHA-256 {archive.published}" if archive.published is not None else ""
        yield f"a site gets every member, but not the bytes of the archive{was}: it is not one that kit packed"


def _archive(archive: TargetArchive) -> dict[str, Any]:
    return {
        "container": archive.container,
        "sha256": str(archive.sha256) if archive.sha256 is not None else None,
        "published": str(archive.original) if archive.original is not None else None,
        "hasSignature": archive.signature is not None,
    }


def _container(manifest: DeltaManifest) -> Iterator[str]:
    """Yield what of the target's container is restored, and which containers of the base are accepted."""
    archive = manifest.archive
    if archive.container == "folder":
        yield "built from a folder"
    elif archive.sha256 is None:
        digest = f" with SHA-256 {archive.published}" if archive.published is not None else ""
        yield f"built from a {archive.container} archive{digest}: its members are restored, its own bytes are not"
    else:
        signature = ", with its .sig" if archive.signature is not None else ""
        yield f"built from a {archive.container} archive with SHA-256 {archive.sha256}{signature}"
    if manifest.layout_of_base:
        yield "built by an earlier version: the base must be packed as it was when the delta was built"
    else:
        yield "applies to a base with that manifest, unpacked or packed in any way"


def inspected_json(report: DeltaInspectReport) -> dict[str, Any]:
    """Return the report of an inspection as JSON."""
    return {
        **_head("inspected", report.manifest),
        "delta": str(report.delta),
        "storedBytes": report.stored_bytes,
        "manifestSha256": str(report.manifest_sha256),
        "claims": list(report.claims),
        "archive": _archive(report.manifest.archive),
        "anyContainer": not report.manifest.layout_of_base,
        "members": [entry.to_json() for entry in report.manifest.members],
        "recipeRefused": report.recipe_refused,
    }


def inspected_lines(report: DeltaInspectReport) -> Iterator[str]:
    """Yield the report of an inspection as lines of text."""
    yield from _ends(report.manifest)
    yield from _members(report.manifest)
    yield from _recipe(report.manifest, report.recipe_refused)
    yield from _container(report.manifest)
    made_by = f"{report.manifest.tool_name} {report.manifest.tool_version}"
    yield f"made at {report.manifest.created_at} by {made_by}"
    yield f"claims to be signed by {', '.join(report.claims) or 'nobody'}; not verified (kit delta verify)"


def verified_json(report: DeltaVerifyReport) -> dict[str, Any]:
    """Return the report of a verification as JSON."""
    return {
        **_head("verified", report.manifest),
        "delta": str(report.delta),
        "storedBytes": report.stored_bytes,
        "manifestSha256": str(report.manifest_sha256),
        "signedBy": list(report.signers),
        "targetSignedBy": list(report.target_signers),
        "archive": _archive(report.manifest.archive),
        "anyContainer": not report.manifest.layout_of_base,
        "recipeRefused": report.recipe_refused,
    }


def verified_lines(report: DeltaVerifyReport) -> Iterator[str]:
    """Yield the report of a verification as lines of text."""
    yield from _ends(report.manifest)
    yield f"delta signed by {', '.join(report.signers)}; {len(report.manifest.payloads):,} payloads are as signed"
    yield f"target signed by {', '.join(report.target_signers)}"
    yield from _recipe(report.manifest, report.recipe_refused)
    yield from _container(report.manifest)
    yield f"valid: {report.delta}; kit delta apply checks that it fits a kit"


def _head(outcome: str, manifest: DeltaManifest) -> dict[str, Any]:
    return {
        "schemaVersion": SCHEMA_VERSION,
        "tool": {"name": TOOL, "version": VERSION},
        "outcome": outcome,
        "bundleId": manifest.bundle_id,
        "base": manifest.base.to_json(),
        "target": manifest.target.to_json(),
        "createdAt": str(manifest.created_at),
        "methods": {
            method.value: {
                "members": len(entries),
                "bytes": sum(entry.size for entry in entries),
                "payloadBytes": sum(entry.payload.size for entry in entries if entry.payload is not None),
            }
            for method in Method
            if (entries := [entry for entry in manifest.members if entry.method is method])
        },
        "recipe": manifest.recipe.to_json() if manifest.recipe is not None else None,
    }


def _ends(manifest: DeltaManifest) -> Iterator[str]:
    yield f"bundle {manifest.bundle_id or '(no bundle id)'}"
    yield f"from {manifest.base}"
    yield f"to   {manifest.target}"


def _members(manifest: DeltaManifest) -> Iterator[str]:
    rows = [
        (
            str(entry.path),
            entry.method.value,
            f"{entry.size:,}",
            f"{entry.payload.size:,}" if entry.payload is not None else "0",
        )
        for entry in manifest.members
        if entry.method is not Method.COPY
    ]
    copied = sum(entry.method is Method.COPY for entry in manifest.members)
    if rows:
        yield ""
        yield from table(("member", "made by", "bytes", "in the delta"), rows)
    yield ""
    yield f"{copied:,} more members are copied from the base"


def _recipe(manifest: DeltaManifest, refused: str | None = None) -> Iterator[str]:
    if manifest.recipe is None:
        return
    steps = ", then ".join(f"{step.name} version {step.version}" for step in manifest.recipe.steps)
    yield f"computed at the site: {steps}"
    keys = manifest.recipe.keys
    if keys is not None:
        names = f": {', '.join(keys.names)}" if keys.names else ""
        many = f"{keys.count:,} data key{'s' if keys.count != 1 else ''}"
        yield f"needs a keyring with the {many} that it seals with{names}"
    if refused is not None:
        yield f"kit delta apply of this version will refuse it: {refused}"


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.2f} %"

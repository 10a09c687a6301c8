"""The report of ``kit extract``: schemas/extract-report.md."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kit.engine.extracting import Form
from kit.ops.extract import ExtractReport
from kit.ops.extracted_files import ExtractedFile
from kit.reports.errors import SCHEMA_VERSION
from kit.reports.verdicts import judgement_json

_MAX_SHOWN = 20
"""Omitted documents that the text names."""


def extract_json(report: ExtractReport) -> dict[str, Any]:
    """Return the report as JSON."""
    selection = report.selection
    return {
        "schemaVersion": SCHEMA_VERSION,
        "kit": str(report.kit),
        "verified": report.verified,
        **judgement_json(report.judgement),
        "format": selection.form.value,
        "gzip": bool(selection.codec.value),
        "projection": selection.projection.value,
        "tenants": sorted(selection.tenants) if selection.tenants is not None else None,
        "ids": sorted((name.to_json() for name in selection.documents), key=str)
        if selection.documents is not None
        else None,
        "output": str(report.output) if report.output else None,
        "files": [_file_json(file) for file in report.files],
        "unresolvable": {
            "total": report.left_out,
            "items": [
                {"member": str(one.member), "document": one.what.document, "reason": one.what.reason}
                for one in report.unresolvable
            ],
        },
    }


def _file_json(file: ExtractedFile) -> dict[str, Any]:
    return {
        "db": file.name.database,
        "collection": file.name.collection,
        "path": str(file.path) if file.path else None,
        "members": [str(path) for path in file.members],
        "documents": file.documents,
        "taken": file.taken,
        "withoutRawLinkset": file.stripped,
        "bytes": file.bytes,
        "sha256": str(file.sha256),
        "metadata": str(file.metadata) if file.metadata else None,
    }


def extract_lines(report: ExtractReport) -> Iterator[str]:
    """Yield the report as lines of text."""
    for file in report.files:
        stripped = f", rawLinkset removed from {file.stripped:,}" if file.stripped else ""
        yield f"{file.name}: {file.taken:,} of {file.documents:,} documents{stripped}"
        yield f"  {file.path}, {file.bytes:,} bytes{', and its metadata' if file.metadata else ''}"
    yield f"wrote {report.output}, read back"


def omission_lines(report: ExtractReport) -> Iterator[str]:
    """Yield the documents that are in no file, and why."""
    for one in report.unresolvable[:_MAX_SHOWN]:
        what = one.what
        yield f'omitted: {one.member}: document {what.ordinal:,} (_id "{what.document}"): {what.reason}'
    if report.left_out > _MAX_SHOWN:
        yield f"omitted: {report.left_out:,} documents in all; --json names them"
    if report.left_out and report.selection.form is Form.JSON:
        yield "--format bson writes any document, byte for byte"


def unverified_lines(report: ExtractReport) -> Iterator[str]:
    """Yield why the kit of the documents is not verified."""
    for obligation in report.judgement.obligations:
        if obligation.error is not None:
            yield f"unverified kit: {obligation.error}"

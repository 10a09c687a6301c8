"""The report of ``kit extract``: schemas/extract-report.md."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kit.engine.extracting import Form
from kit.ops.extract import ExtractReport
from kit.ops.extracted_files import ExtractedFile
from kit.reports.errors import SCHEMA_VERSION
from kit.reports.verdicts import judgement_json

_SHOWN = 20
"""Documents left out that are named in text."""


def extract_json(report: ExtractReport) -> dict[str, Any]:
    """Give the report as JSON."""
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
    """Give the report as lines of text."""
    for file in report.files:
        stripped = f", rawLinkset taken off {file.stripped:,}" if file.stripped else ""
        yield f"{file.name}: {file.taken:,} of {file.documents:,} documents{stripped}"
        yield f"  {file.path}, {file.bytes:,} bytes{', and its metadata' if file.metadata else ''}"
    yield f"wrote {report.output}, read back"


def left_out(report: ExtractReport) -> Iterator[str]:
    """Say which documents are in no file, and why."""
    for one in report.unresolvable[:_SHOWN]:
        what = one.what
        yield f'left out: {one.member}: document {what.ordinal:,} (_id "{what.document}"): {what.reason}'
    if report.left_out > _SHOWN:
        yield f"left out: {report.left_out:,} documents in all; --json names them"
    if report.left_out and report.selection.form is Form.JSON:
        yield "--format bson takes any document, byte for byte"


def unverified(report: ExtractReport) -> Iterator[str]:
    """Say why the kit that documents were taken from is not verified."""
    for obligation in report.judgement.obligations:
        if obligation.error is not None:
            yield f"unverified kit: {obligation.error}"

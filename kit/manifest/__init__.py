"""The manifest of a kit: its model, its place, the closed world it lists, its lineage and the provenance of a patch.

Pure: takes and returns bytes and values.
"""

from kit.manifest import closed_world
from kit.manifest.closed_world import Fault, FaultKind
from kit.manifest.collections import CollectionSummary, RawLinksetCoverage, TenantSummary
from kit.manifest.comparison import Difference, DifferenceKind, compare
from kit.manifest.lineage import Step, check as check_lineage
from kit.manifest.lineage_entry import LineageEntry
from kit.manifest.links import Link, LinkKind
from kit.manifest.location import (
    MANIFEST_PATHS,
    HistoryPaths,
    Location,
    history_paths,
    is_history,
    locate,
    signature_of,
)
from kit.manifest.model import UNBOUNDED, Manifest
from kit.manifest.provenance import PatchStatement, parse_statement
from kit.manifest.shapes import Entry, Shape
from kit.manifest.statement_parts import AppliedMigration, AppliedTransform, Artifact, DocumentChanges

__all__ = [
    "MANIFEST_PATHS",
    "UNBOUNDED",
    "AppliedMigration",
    "AppliedTransform",
    "Artifact",
    "CollectionSummary",
    "Difference",
    "DifferenceKind",
    "DocumentChanges",
    "Entry",
    "Fault",
    "FaultKind",
    "HistoryPaths",
    "LineageEntry",
    "Link",
    "LinkKind",
    "Location",
    "Manifest",
    "PatchStatement",
    "RawLinksetCoverage",
    "Shape",
    "Step",
    "TenantSummary",
    "check_lineage",
    "closed_world",
    "compare",
    "history_paths",
    "is_history",
    "locate",
    "parse_statement",
    "signature_of",
]

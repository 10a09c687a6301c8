"""The manifest of a kit: its model, its place, the closed world it lists, its lineage and the provenance of a patch.

Pure: takes and returns bytes and values.
"""

from kit.manifest.comparison import Difference, DifferenceKind, compare
from kit.manifest.files import Entry, Fault, FaultKind, Shape
from kit.manifest.lineage import Step, check as check_lineage
from kit.manifest.location import (
    MANIFEST_PATHS,
    HistoryPaths,
    Link,
    LinkKind,
    Location,
    history_paths,
    is_history,
    locate,
    signatures_of,
)
from kit.manifest.model import UNBOUNDED, Manifest
from kit.manifest.parts import CollectionSummary, LineageEntry, RawLinksetCoverage, TenantSummary
from kit.manifest.provenance import PatchStatement, parse_statement
from kit.manifest.reshape_record import (
    EndOfMove,
    MemberWays,
    MetadataBefore,
    Move,
    RecordedTransform,
    ReshapeRecord,
    SampledGroup,
    parse_record,
)
from kit.manifest.statement_parts import AppliedMigration, AppliedTransform, Artifact, DocumentChanges, SnapshotsOrigin

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
    "EndOfMove",
    "Entry",
    "Fault",
    "FaultKind",
    "HistoryPaths",
    "LineageEntry",
    "Link",
    "LinkKind",
    "Location",
    "Manifest",
    "MemberWays",
    "MetadataBefore",
    "Move",
    "PatchStatement",
    "RawLinksetCoverage",
    "RecordedTransform",
    "ReshapeRecord",
    "SampledGroup",
    "Shape",
    "SnapshotsOrigin",
    "Step",
    "TenantSummary",
    "check_lineage",
    "closed_world",
    "compare",
    "history_paths",
    "is_history",
    "locate",
    "parse_record",
    "parse_statement",
    "signatures_of",
]

"""Migrations: what to do to a kit, to which documents, when to stop, and how to roll back (schemas/migration.md).

``migration`` is the value and its invariants, ``files`` parses files; its transforms are those of
:mod:`kit.transforms.registry`. The migrations in the package are such files.
"""

from kit.migrations.files import BUILT_IN, built_in, parse_migration
from kit.migrations.migration import (
    Decision,
    Kind,
    Migration,
    Rollback,
    StopRules,
    Validation,
)

__all__ = [
    "BUILT_IN",
    "Decision",
    "Kind",
    "Migration",
    "Rollback",
    "StopRules",
    "Validation",
    "built_in",
    "parse_migration",
]

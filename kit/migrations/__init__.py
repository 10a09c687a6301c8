"""Migrations: what to do to a kit, to which documents, when to stop, and how to roll back (schemas/migration.md).

``migration`` is the value and its invariants, ``reading`` parses files; its transforms are those of
:mod:`kit.transforms.registry`. Four files come with the package.
"""

from kit.migrations.migration import (
    BUILT_IN,
    Decision,
    Kind,
    Migration,
    Rollback,
    StopRules,
    Validation,
    built_in,
    parse_migration,
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

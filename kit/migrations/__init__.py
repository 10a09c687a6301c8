"""Migrations: what is done to a kit, to which documents, when it stops, and how to go back (schemas/migration.md).

``migration`` is the value and what must hold of it, ``reading`` is the file; its transforms are those of
:mod:`kit.transforms.registry`. Four files come with the package.
"""

from kit.migrations.migration import Decision, Kind, Migration, Rollback, StopRules, Validation
from kit.migrations.reading import BUILT_IN, built_in, parse_migration

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

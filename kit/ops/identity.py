"""Which run this is: what decides its bytes besides the kit, and which kit it read.

The parts of a journal by which a resumed run is known to be the same one (schemas/journal.md).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from kit.migrations import Migration
from kit.ops.generation import parameters_digest
from kit.ops.judging import Base
from kit.ops.kits import OpenKit
from kit.ops.patching import Output, PatchRequest
from kit.transforms.protocol import Transform
from kit.values import Timestamp


def options_of(request: PatchRequest, migration: Migration, output: Output) -> dict[str, Any]:
    """Name all that decides the bytes of the result and its names, besides the kit: a resumed run must agree."""
    return {
        "migration": {"id": migration.id, "sha256": str(migration.sha256)},
        "transforms": [
            {"name": t.name, "version": t.version, "parameters": str(parameters_digest(t))}
            for t in migration.transforms
        ],
        "limit": request.limit,
        "merkle": request.merkle,
        "createdAt": str(request.created_at),
        "in-place": output.path is None,
        "backup": output.path is None and output.keep_backup,
        "signing-key": [key.public.key_id for key in output.keys],
        "operator": output.operator,
        "environment": output.place,
        "rollback-note": migration.rollback.note or None,
    }


def identity_of(kit: OpenKit, base: Base, transforms: tuple[Transform, ...]) -> dict[str, Any]:
    """Name the kit that is read, and the data keys that its values are sealed with."""
    archive = base.beside.archive
    facts: dict[str, Any] = {
        "container": kit.reader.container.value,
        "manifest": base.manifest.sha256.hex,
        "dataKeys": sorted(key for t in transforms if t.keyed is not None for key in t.keyed.keys.names),
    }
    if archive is not None:
        return facts | {"size": kit.reader.stored_bytes, "sha256": archive.hex}
    return facts | {"members": {path.text: digest.hex for path, (digest, _) in sorted(base.survey.members.items())}}


def at_time(request: PatchRequest, time: Timestamp) -> PatchRequest:
    """Give the request with the time that the run began with."""
    keying = replace(request.keying, now=time) if request.keying is not None else None
    return replace(request, created_at=time, keying=keying)

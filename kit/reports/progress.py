"""Events of progress as JSON (schemas/progress.md) and as lines of text; both only say what the events do.

Times are given by the caller, in seconds since the command began, so that what is printed is a function of events and
times alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, assert_never

from kit.engine.progress import Advanced, BatchDone, Event, PassDone, PassStarted
from kit.values import MemberPath, collection_member

SCHEMA_VERSION = "1"
_MIB = 1 << 20


def event_json(event: Event, seconds: float) -> dict[str, Any]:
    """Give one event as JSON."""
    head = {"schemaVersion": SCHEMA_VERSION, "stage": event.stage.value, "seconds": round(seconds, 3)}
    match event:
        case PassStarted():
            return {"event": "started", **head, "totalBytes": event.total}
        case BatchDone():
            collection = collection_member(MemberPath.parse(event.member))
            return {
                "event": "batch",
                **head,
                "member": event.member,
                "db": collection.name.database if collection else None,
                "collection": collection.name.collection if collection else None,
                "documents": event.documents,
                "bytes": event.bytes,
                "outcomes": _nested(event.outcomes),
                "readBytes": event.read,
            }
        case Advanced():
            return {"event": "advanced", **head, "bytes": event.bytes, "readBytes": event.read}
        case PassDone():
            return {
                "event": "done",
                **head,
                "documents": event.documents,
                "bytes": event.bytes,
                "queuePeak": event.queue_peak,
                "queuePeakBytes": event.queue_peak_bytes,
            }
        case _:
            assert_never(event)


@dataclass(slots=True)
class PassSoFar:
    """What a pass has told until now: what a line of text says besides its event."""

    since: float = 0.0
    total: int | None = None
    documents: int = 0
    read: int = 0

    def take(self, event: Event, seconds: float) -> None:
        """Count an event."""
        match event:
            case PassStarted():
                self.since, self.total, self.documents, self.read = seconds, event.total, 0, 0
            case BatchDone():
                self.documents += event.documents
                self.read = event.read
            case Advanced():
                self.read = event.read
            case PassDone():
                self.read = self.total or self.read
            case _:
                assert_never(event)

    @property
    def ratio(self) -> float | None:
        """How much of the kit this pass has read; None where its size is not known."""
        return min(1.0, self.read / self.total) if self.total else None

    def rate(self, seconds: float) -> float | None:
        """Documents a second since the pass began; None at its very start."""
        return self.documents / (seconds - self.since) if seconds > self.since else None


def event_line(event: Event, so_far: PassSoFar, seconds: float) -> str | None:
    """Give one event as a line, once ``so_far`` has taken it; None for the start of a pass, which says nothing."""
    read = f", {so_far.ratio:.0%} read" if so_far.ratio is not None else ""
    match event:
        case PassStarted():
            return None
        case BatchDone():
            rate = so_far.rate(seconds)
            speed = f", {rate:,.0f} documents/s" if rate is not None else ""
            told = f"{outcomes_text(event.outcomes)}" if event.outcomes else ""
            so = f"{so_far.documents:,} documents so far{read}{speed}"
            return f"{event.stage}: {event.member}: {event.documents:,} documents{told}; {so}"
        case Advanced():
            return f"{event.stage}: {event.bytes / _MIB:,.0f} MiB{read}"
        case PassDone():
            documents = f"{event.documents:,} documents, " if event.documents else ""
            spent = f"{seconds - so_far.since:,.1f} s"
            return f"{event.stage}: done: {documents}{event.bytes / _MIB:,.1f} MiB in {spent}"
        case _:
            assert_never(event)


def outcomes_text(outcomes: Mapping[tuple[str, str, str], int]) -> str:
    """Say what became of the documents, all tenants together; and whose they are, where they are one tenant's."""
    found: Counter[str] = Counter()
    for (_, _, outcome), count in outcomes.items():
        found[outcome] += count
    tenants = {tenant for _, tenant, _ in outcomes}
    whose = f" of {next(iter(tenants)) or '(no tenant)'}" if len(tenants) == 1 else ""
    return f"{whose} ({', '.join(f'{name} {count:,}' for name, count in sorted(found.items()))})"


def _nested(counts: Mapping[tuple[str, str, str], int]) -> dict[str, dict[str, dict[str, int]]]:
    nested: dict[str, dict[str, dict[str, int]]] = {}
    for (transform, tenant, outcome), count in sorted(counts.items()):
        nested.setdefault(transform, {}).setdefault(tenant, {})[outcome] = count
    return nested

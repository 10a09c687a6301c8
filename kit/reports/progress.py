"""Events of progress as JSON (schemas/progress.md) and as lines of text.

The caller passes times, in seconds since the command began. What is printed depends on events and times only.
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
    """Return an event as JSON."""
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
    """Totals of a pass until now, which a line of text shows next to its event."""

    since: float = 0.0
    total: int | None = None
    documents: int = 0
    read: int = 0
    bytes: int = 0
    """Of members, as :class:`Advanced` counts them."""

    def take(self, event: Event, seconds: float) -> None:
        """Count an event."""
        match event:
            case PassStarted():
                self.since, self.total = seconds, event.total
                self.documents = self.read = self.bytes = 0
            case BatchDone():
                self.documents += event.documents
                self.read = event.read
            case Advanced():
                self.read = event.read
                self.bytes += event.bytes
            case PassDone():
                self.read = self.total or self.read
            case _:
                assert_never(event)

    @property
    def ratio(self) -> float | None:
        """Share of the kit that this pass has read; None if the size is not known."""
        return min(1.0, self.read / self.total) if self.total else None

    def rate(self, seconds: float) -> float | None:
        """Return documents per second since the pass began; None at its start."""
        return self.documents / (seconds - self.since) if seconds > self.since else None


_APPLY = ("survey", "make", "reread")
_BUILD = ("survey", "survey", "compare", "compare")
_PASSES: Mapping[str, tuple[str, ...]] = {
    "plan": ("survey", "rewrite"),
    "patch": ("survey", "rewrite", "reread"),
    "verify": ("survey",),
    "receipt verify": ("survey",),
    "delta apply": _APPLY,
    "delta build": _BUILD,
    "diff": _BUILD,
    "rollback": ("survey", "survey"),
    "extract": ("survey", "extract"),
    "cat": ("survey", "extract"),
    "recover": ("survey", "recover"),
    "prove": ("survey",),
    "create": ("survey", "rewrite", "reread"),
    "sign": ("survey", "rewrite", "reread"),
    "inspect": ("survey",),
    "ls": ("survey",),
    "find": ("survey",),
}
_DEEP = ("deep", "explain", "explain")


def expected_passes(command: str, options: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the stages of the passes that a command goes through, with these options.

    What only a refused kit needs is not expected. A command that ends early, having nothing to do, leaves some out.
    """
    if command == "delta squash":
        return (*_APPLY * len(options["deltas"]), *_BUILD)
    passes = _PASSES.get(command, ())
    if command == "verify":
        passes += _DEEP if options.get("deep") else ()
        passes += ("fields",) if options.get("field_map") else ()
    return passes


_WEIGHTS: Mapping[str, float] = {"rewrite": 3.0, "make": 2.0, "deep": 2.0}
"""How much longer a pass takes than one that only reads."""


@dataclass(slots=True)
class RunSoFar:
    """How far all passes of a command are, as one share.

    A pass that a resumed run leaves out counts as done, and one that nobody expected as one more. What is left is
    computed from what this process has done since its first event: a resumed pass begins far in, in no time.
    """

    passes: tuple[str, ...]
    number: int = 0
    """Of the current pass, from 1."""
    within: float = 0.0
    """Share of the current pass."""
    since: tuple[float, float] | None = None
    """Time and share at the first event that followed a start."""

    def take(self, event: Event, ratio: float | None, seconds: float) -> None:
        """Count an event; ``ratio`` is the share of its pass."""
        if isinstance(event, PassStarted):
            self._begin(event.stage.value)
            return
        self.within = 1.0 if isinstance(event, PassDone) else ratio or 0.0
        if self.since is None:
            self.since = (seconds, self.share)

    def _begin(self, stage: str) -> None:
        at = self.number  # the passes before this place have begun
        known = self.passes.index(stage, at) if stage in self.passes[at:] else None
        if known is None:
            self.passes = (*self.passes[:at], stage, *self.passes[at:])
            known = at
        self.number, self.within = known + 1, 0.0

    @property
    def place(self) -> str:
        """Which pass of how many, in words."""
        return f"{self.number} of {len(self.passes)}"

    @property
    def share(self) -> float:
        """Share of all passes that is done."""
        weights = [_WEIGHTS.get(stage, 1.0) for stage in self.passes]
        done = sum(weights[: self.number - 1]) + self.within * weights[self.number - 1] if self.number else 0.0
        return done / sum(weights) if weights else 0.0

    def left(self, seconds: float) -> float | None:
        """Return the seconds that are left; None if not enough is known."""
        if self.since is None or self.share <= self.since[1] or seconds <= self.since[0]:
            return None
        return (1 - self.share) * (seconds - self.since[0]) / (self.share - self.since[1])


def event_line(event: Event, so_far: PassSoFar, seconds: float) -> str | None:
    """Return an event as a line, once ``so_far`` has taken it; None for the start of a pass."""
    read = f", {so_far.ratio:.0%} read" if so_far.ratio is not None else ""
    match event:
        case PassStarted():
            return None
        case BatchDone():
            rate = so_far.rate(seconds)
            speed = f", {rate:,.0f} documents/s" if rate is not None else ""
            outcomes = f"{outcomes_text(event.outcomes)}" if event.outcomes else ""
            so = f"{so_far.documents:,} documents so far{read}{speed}"
            return f"{event.stage}: {event.member}: {event.documents:,} documents{outcomes}; {so}"
        case Advanced():
            return f"{event.stage}: {so_far.bytes / _MIB:,.0f} MiB so far{read}"
        case PassDone():
            documents = f"{event.documents:,} documents, " if event.documents else ""
            spent = f"{seconds - so_far.since:,.1f} s"
            return f"{event.stage}: done: {documents}{event.bytes / _MIB:,.1f} MiB in {spent}"
        case _:
            assert_never(event)


def outcomes_text(outcomes: Mapping[tuple[str, str, str], int]) -> str:
    """Return the outcomes of documents, all tenants together, and the tenant if there is only one."""
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

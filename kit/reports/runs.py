"""Counts and times of a run, however it ends: the listener behind metrics and release record.

It receives the same events as a progress display (schemas/progress.md), and so counts what this process did. Work that
a resumed run takes over from an earlier process is in the report, not here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import assert_never

from kit.engine.progress import Advanced, BatchDone, Event, PassDone, PassStarted, Stage
from kit.values import MemberPath, collection_member


@dataclass(slots=True, kw_only=True)
class PassLog:
    """Totals of one stage: several passes of it add up."""

    seconds: float = 0.0
    documents: int = 0
    bytes: int = 0
    """Bytes of documents; once the pass is done, of all members."""
    queue_peak: int = 0
    queue_peak_bytes: int = 0


@dataclass(slots=True, kw_only=True)
class RunLog:
    """See the module docstring; a :class:`kit.engine.progress.Progress`."""

    clock: Callable[[], float]
    """Seconds, from any start."""
    documents: Counter[tuple[str, str, str, str]] = field(default_factory=Counter)
    """(tenant, ``db.collection``, transform, outcome) → documents of the rewriting pass."""
    lacking: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(tenant, what it lacks) → observations of the rewriting pass without both projections afterwards."""
    passes: dict[Stage, PassLog] = field(default_factory=dict)
    _since: float = 0.0
    _open: Stage | None = None
    _batches: int = 0

    def tell(self, event: Event) -> None:
        """See :class:`kit.engine.progress.Progress`."""
        log = self.passes.setdefault(event.stage, PassLog())
        match event:
            case PassStarted():
                self.finish()
                self._since, self._open, self._batches = self.clock(), event.stage, 0
            case BatchDone():
                log.documents += event.documents
                log.bytes += event.bytes
                self._batches += event.bytes
                self._count(event)
            case Advanced():
                pass
            case PassDone():
                log.bytes += event.bytes - self._batches
                log.queue_peak = max(log.queue_peak, event.queue_peak)
                log.queue_peak_bytes = max(log.queue_peak_bytes, event.queue_peak_bytes)
                self.finish()
            case _:
                assert_never(event)

    def finish(self) -> None:
        """End the running pass, if there is one: it failed, or was interrupted."""
        if self._open is not None:
            self.passes[self._open].seconds += self.clock() - self._since
            self._open = None

    def _count(self, event: BatchDone) -> None:
        # The carrying pass reads the same documents again.
        if event.stage is not Stage.REWRITE:
            return
        member = collection_member(MemberPath.parse(event.member))
        name = str(member.name) if member is not None else event.member
        for (transform, tenant, outcome), count in event.outcomes.items():
            self.documents[tenant, name, transform, outcome] += count
        self.lacking.update(event.lacking)

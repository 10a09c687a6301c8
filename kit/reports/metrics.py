"""Metrics of a run as OpenMetrics text: schemas/metrics.md.

``prometheus-client`` prints them from our own families, without its process-wide registry and its times of creation:
the text depends on what is counted only.

Counts and times of a run, however it ends: the listener behind metrics and release record.

It receives the same events as a progress display (schemas/progress.md), and so counts what this process did. Work that
a resumed run takes over from an earlier process is in the report, not here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, assert_never

from kit.engine.progress import Advanced, BatchDone, Event, PassDone, PassStarted, Stage
from kit.reports.text import printable
from kit.values import MemberPath, collection_member
from kit.version import VERSION

if TYPE_CHECKING:
    from prometheus_client.core import Metric


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
                if event.stage is Stage.REWRITE:  # one before it is void
                    self.documents.clear()
                    self.lacking.clear()
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


_RAW_LINKSET = "raw-linkset"
_MISSING = frozenset({"unresolvable", "not-selected"})


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """Facts of a run that its log does not count."""

    command: str
    migration: str
    migration_sha256: str
    seconds: float
    exit_code: int
    base_bytes: int | None = None
    output_bytes: int | None = None
    temp_bytes: int | None = None


def metrics_text(log: RunLog, facts: RunFacts) -> str:
    """Return the metrics of a run that has ended, successfully or not."""
    # Imported here: it takes a tenth of a second, which only a measured run should pay.
    from prometheus_client import CollectorRegistry  # noqa: PLC0415
    from prometheus_client.openmetrics.exposition import generate_latest  # noqa: PLC0415

    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Families(log, facts))
    text: bytes = generate_latest(registry)  # type: ignore[no-untyped-call]
    return text.decode()


class _Families:
    """A collector over one run."""

    def __init__(self, log: RunLog, facts: RunFacts) -> None:
        self._log = log
        self._facts = facts

    def collect(self) -> Iterator[Metric]:
        """Yield every family, with samples sorted by their labels."""
        yield from self._documents()
        yield from self._passes()
        yield from self._run()

    def _documents(self) -> Iterator[Metric]:
        missing: Counter[str] = Counter()
        for (tenant, _, transform, outcome), count in self._log.documents.items():
            if transform == _RAW_LINKSET:
                missing[tenant] += count if outcome in _MISSING else 0
        yield _counter(
            "concelier_migrations_documents_processed",
            "Documents of the rewriting pass, by what became of them.",
            ("tenant", "collection", "transform", "outcome"),
            self._log.documents,
        )
        yield _counter(
            "raw_linkset_missing",
            "Observations that went through the pass and are still without rawLinkset.",
            ("tenant",),
            {(tenant,): count for tenant, count in missing.items()},
        )
        yield _counter(
            "raw_linkset_lacking",
            "Observations that went through the pass and do not count, by what they lack: 0 in all opens the gate.",
            ("tenant", "lacking"),
            self._log.lacking,
        )

    def _passes(self) -> Iterator[Metric]:
        passes = {(stage.value,): log for stage, log in self._log.passes.items()}
        label = ("stage",)
        documents = {key: log.documents for key, log in passes.items()}
        read = {key: log.bytes for key, log in passes.items()}
        seconds = {key: round(log.seconds, 6) for key, log in passes.items()}
        yield _counter("kit_pass_documents", "Documents that a pass over the kit looked at.", label, documents)
        yield _counter("kit_pass_bytes", "Bytes of members that a pass read.", label, read)
        yield _counter("kit_pass_seconds", "Time that a pass took.", label, seconds)
        peaks = {key: log.queue_peak for key, log in passes.items()}
        peak_bytes = {key: log.queue_peak_bytes for key, log in passes.items()}
        yield _gauge("kit_queue_peak_pieces", "Pieces of work waiting or worked on at once, at most.", label, peaks)
        yield _gauge("kit_queue_peak_bytes", "Bytes of input of those, at most.", label, peak_bytes)

    def _run(self) -> Iterator[Metric]:
        facts = self._facts
        names = ("command", "migration", "migration_sha256", "version")
        labels = (facts.command, facts.migration, facts.migration_sha256, VERSION)
        yield _info("kit_run", "Which run this was.", dict(zip(names, labels, strict=True)))
        yield _gauge("kit_run_seconds", "Time that the command took.", (), {(): round(facts.seconds, 6)})
        yield _gauge("kit_run_exit_code", "How it ended; 0 is well.", (), {(): facts.exit_code})
        sizes = (
            ("kit_base_bytes", "Size of the kit as it was.", facts.base_bytes),
            ("kit_output_bytes", "Size of the new kit.", facts.output_bytes),
            ("kit_temp_bytes", "Disk space that the run needed in addition to the output.", facts.temp_bytes),
        )
        for name, description, size in sizes:
            if size is not None:
                yield _gauge(name, description, (), {(): size})


def _counter(name: str, description: str, labels: tuple[str, ...], samples: Mapping[Any, float]) -> Metric:
    from prometheus_client.core import CounterMetricFamily  # noqa: PLC0415

    family = CounterMetricFamily(name, description, labels=labels)
    for values, count in sorted(samples.items()):
        family.add_metric(_shown(values), count)
    return family


def _gauge(name: str, description: str, labels: tuple[str, ...], samples: Mapping[Any, float]) -> Metric:
    from prometheus_client.core import GaugeMetricFamily  # noqa: PLC0415

    family = GaugeMetricFamily(name, description, labels=labels)
    for values, size in sorted(samples.items()):
        family.add_metric(_shown(values), size)
    return family


def _info(name: str, description: str, value: dict[str, str]) -> Metric:
    from prometheus_client.core import InfoMetricFamily  # noqa: PLC0415

    return InfoMetricFamily(name, description, value=value)


def _shown(values: tuple[str, ...]) -> list[str]:
    """Return values with control characters escaped: names are untrusted, and metrics may go to a terminal."""
    return [printable(value) for value in values]

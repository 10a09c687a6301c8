"""Opens a kit with workers, and reads its sidecars: what every verb does first."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

from kit.archive.read.reader import KitReader, open_kit
from kit.archive.source import read_small
from kit.archive.write.copies import Verified
from kit.engine.budget import THIS_HOST, Host
from kit.engine.executors import BUDGET_PER_WORKER, WorkExecutor, local_executor
from kit.engine.pipeline import Pipeline, Workers
from kit.engine.progress import BATCH_DOCUMENTS, SILENCE, Progress, Stage, watch_pass
from kit.engine.reading import Survey
from kit.errors import UsageError
from kit.manifest import MANIFEST_PATHS, is_history, signatures_of
from kit.output.spool import CHECKPOINT_BYTES
from kit.values import STRICT, Allowed, Limits, MemberPath, Sha256
from kit.verbs.verify.judgement import ChecksumFile, Sidecars

_LEAST_WORKERS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """The limits, workers and progress settings that are the same for every verb."""

    limits: Limits = field(default_factory=Limits)
    allowed: Allowed = STRICT
    workers: int = os.cpu_count() or 1
    executor: str | None = None
    """Where the workers are, if not on this machine: ``dask://HOST:PORT``; then ``workers`` is ignored."""
    secrets: bool = False
    """Whether keys are sent to workers."""
    checkpoint_bytes: int = CHECKPOINT_BYTES
    """Bytes of finished work after which it is synced and recorded."""
    progress: Progress = SILENCE
    """Receives events as the work proceeds."""
    batch_documents: int = BATCH_DOCUMENTS
    """Documents after which there is another event."""
    budget_per_worker: int = BUDGET_PER_WORKER
    """Bytes of input in flight for each worker (:func:`kit.engine.budget.allotment`)."""
    host: Host = THIS_HOST
    """The machine that a preflight inspects."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenKit:
    """A kit that is open for reading, and its workers."""

    reader: KitReader
    executor: WorkExecutor
    budget: int
    environment: Environment

    @contextmanager
    def pipeline(self, stage: Stage, *, reads: bool = True) -> Iterator[Pipeline]:
        """Yield a pipeline for one pass and report its progress; ``reads``: the pass goes through the whole kit."""
        progress, every = self.environment.progress, self.environment.batch_documents
        pipeline = Pipeline(self.executor, budget=self.budget)
        with watch_pass(progress, stage, self.reader, pipeline, reads=reads, batch_documents=every):
            yield pipeline


@contextmanager
def open_with_workers(path: Path, environment: Environment, other: Path | None = None) -> Iterator[OpenKit]:
    """Open a kit and start workers: two, and one more for each MiB of it and of ``other``.

    The environment limits their number. Even a small kit can take much work, but each worker takes memory.

    Raises:
        UnreadableError: There is no kit, or it is not readable.
        ArchiveError: It is no kit container.
    """
    with (
        open_kit(path, limits=environment.limits, allowed=environment.allowed) as reader,
        _open_executor(replace(environment, workers=_useful_workers(reader, environment.workers, other))) as (
            executor,
            workers,
        ),
    ):
        budget = environment.budget_per_worker * workers
        yield OpenKit(reader=reader, executor=executor, budget=budget, environment=environment)


def _useful_workers(reader: KitReader, workers: int, other: Path | None) -> int:
    if workers <= _LEAST_WORKERS or (other is not None and not other.is_file()):
        return workers
    stored = reader.limits.stored + (other.stat().st_size if other is not None else 0)
    return min(workers, _LEAST_WORKERS + (stored >> 20))


@contextmanager
def lazy_workers(environment: Environment) -> Iterator[Callable[[], Workers]]:
    """Yield a function that starts the workers at its first call, which must be while no other thread runs.

    A verb with little to do then starts none.
    """
    with ExitStack() as stack:

        @cache
        def start() -> Workers:
            executor, workers = stack.enter_context(_open_executor(environment))
            return Workers(executor=executor, budget=environment.budget_per_worker * workers)

        yield start


@contextmanager
def _open_executor(environment: Environment) -> Iterator[tuple[WorkExecutor, int]]:
    if environment.executor is not None:
        # Only loaded with a cluster.
        from kit.engine.clusters import cluster_executor  # noqa: PLC0415
        from kit.engine.lookup import close_lookups  # noqa: PLC0415

        with cluster_executor(environment.executor, secrets=environment.secrets, goodbye=close_lookups) as (
            executor,
            workers,
        ):
            yield executor, workers
    else:
        with local_executor(environment.workers) as executor:
            yield executor, environment.workers


def require_outside(kit: Path, place: Path) -> None:
    """Check that an output is not inside an unpacked kit, which would change what is read and break its closed world.

    Raises:
        UsageError: The place is inside the kit.
    """
    if kit.resolve() in (place.parent.resolve() / place.name).parents:
        raise UsageError("would be inside the kit that is read", where=str(place), hint="choose a place outside")


def read_sidecars(reader: KitReader, archive: Sha256 | None) -> Sidecars:
    """Read the ``.sha256`` and ``.sig`` files of an archive, if there are any.

    Args:
        reader: The kit.
        archive: The digest of its stored bytes, from the reading of its members; None for a folder.

    Raises:
        UnreadableError: One of them exists and cannot be read.
    """
    if archive is None:
        return Sidecars(archive=None, checksum=None, signature=None)
    checksum = read_small(reader.path.with_name(f"{reader.path.name}.sha256"))
    return Sidecars(
        archive=archive,
        checksum=None if checksum is None else ChecksumFile.parse(checksum, reader.path.name),
        signature=read_small(reader.path.with_name(f"{reader.path.name}.sig")),
    )


def expected_copy(found: Survey, sidecars: Sidecars) -> Verified:
    """Return what a copy of a kit must equal, from what one reading of the kit found."""
    return Verified(archive=sidecars.archive, members=found.members, signature=sidecars.signature)


def is_kept(path: MemberPath) -> bool:
    """Return whether a reading keeps a member in memory: manifests, their signatures, and history."""
    return path in _KEPT or is_history(path)


_KEPT = frozenset(path for manifest in MANIFEST_PATHS for path in (manifest, *signatures_of(manifest)))

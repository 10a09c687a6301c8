"""The folder ``<target>.kit-build`` for a run that is not resumed: the same run again is as good.

What is in it is worth nothing to anybody but the process that made it, so the next run with the same output removes
what a dead one left there. Laws: two live processes never share one; it is in plain sight next to the output, readable
by its owner alone, and gone when the run is over, however it ends, short of being killed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kit.archive.job import LOCK, Job

_KIND = "build"


@contextmanager
def workplace(target: Path, work_folder: Path | None = None) -> Iterator[Job]:
    """Yield a job in an empty folder next to ``target``, on its file system; what a killed run left of it is removed.

    Raises:
        OutputError: Another process is at work there, or the place cannot be written.
        UsageError: The target is ``.`` or ``..``, next to which nothing can be put.
    """
    left = Job(target, kind=_KIND, work_folder=work_folder).exists
    with Job(target, resume=left, kind=_KIND, work_folder=work_folder) as job:
        job.clear(keep=frozenset({LOCK}))
        yield job

"""Unfinished jobs as text and as JSON: schemas/jobs-report.md."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from typing import Any

from kit.output.unfinished import State, Unfinished
from kit.reports.text import SCHEMA_VERSION
from kit.version import TOOL, VERSION

_AGAIN = {
    "patch": " --signing-key PEM --trusted-key PEM",
    "delta apply": " --trusted-key PEM",
    "rollback": " --trusted-key PEM",
}
"""What is never on record: keys and trust, one way to name them."""


def job_line(job: Unfinished) -> str:
    """Return one line about a job: where it is, what it is of, and how far."""
    if job.state is State.UNUSABLE:
        return f"{job.folder}: {job.problem}"
    what = f"kit {job.verb}" if job.verb else "a run"
    reads = f" of {job.reads}" if job.reads is not None and job.reads.resolve() != job.target.resolve() else ""
    return f"{job.folder}: {what}{reads} for {job.target} is {_FAR[job.state]}"


_FAR = {
    State.AT_WORK: "at work now",
    State.STARTED: "unfinished; its base was not yet judged",
    State.BEGUN: "unfinished",
    State.READY: "unfinished; the new kit is whole and only names are left to change",
}


def way_on(job: Unfinished) -> str:
    """Return what to do about a job."""
    if job.state is State.UNUSABLE:
        return "no run of this program and this user left it as it is: find out what it is, then move it away"
    if job.state is State.AT_WORK:
        return "wait until it has ended"
    command = _command(job)
    if not command:
        return "the command that began it removes it when it runs again"
    return f"finish it: {command} --resume{_AGAIN.get(job.verb, '')}; or give it up: {command} --abandon"


def _command(job: Unfinished) -> str:
    """Return the command as far as it must be repeated; empty where the job cannot be resumed."""
    if job.verb not in _AGAIN:
        return ""
    is_itself = job.reads is None or job.reads.resolve() == job.target.resolve()
    kit = job.target if is_itself else job.reads
    words = ["kit", *job.verb.split(), shlex.quote(str(kit))]
    if job.verb == "delta apply":
        words.append("DELTA")
    if job.folder.parent.resolve() != job.target.parent.resolve():
        words += ["--work-folder", shlex.quote(str(job.folder.parent))]
    if not is_itself:
        words += ["--output", shlex.quote(str(job.target))]
    elif job.verb != "rollback" and job.asked is None:
        words.append("--in-place")
    return " ".join(words)


def jobs_lines(jobs: Sequence[Unfinished]) -> Iterator[str]:
    """Yield the jobs, each with what to do about it."""
    for job in jobs:
        yield job_line(job)
        yield f"  {way_on(job)}"
    if not jobs:
        yield "no unfinished jobs"


def jobs_json(jobs: Sequence[Unfinished]) -> dict[str, Any]:
    """Return the jobs as JSON."""
    return {
        "schemaVersion": SCHEMA_VERSION,
        "tool": {"name": TOOL, "version": VERSION},
        "jobs": [
            {
                "folder": str(job.folder),
                "target": str(job.target),
                "kit": str(job.reads) if job.reads is not None else None,
                "command": job.verb or None,
                "state": job.state.value,
                "frames": job.frames,
                "problem": job.problem or None,
                "options": dict(job.asked.options) if job.asked is not None else None,
                "hint": way_on(job),
            }
            for job in jobs
        ],
    }

"""``--resume`` without repeating the command, ``kit jobs``, and the warning about an unfinished job.

What a run was asked for is on record in its journal before it reads a document. With ``--resume`` the options that are
not given are taken from there, and those that are given must be the same, at every point of the run. Keys and trust
are never on record, and neither are permissions and limits: they must be given again. Law: what is taken is shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from kit.cli.options import FIELD_MAPS, MIGRATIONS, json_option
from kit.cli.output import print_report, print_warning
from kit.cli.paths import ROOM, Command
from kit.cli.places import NameOrFile
from kit.errors import OutputError, UnreadableError, UsageError
from kit.values import Timestamp
from kit.version import TOOL, VERSION

if TYPE_CHECKING:
    from kit.output.journal import Asked
    from kit.output.unfinished import Unfinished

_TAKEN = "kit.taken"
_CLOCK = "clock"
"""Whether the time on record is the clock's, which is no option."""
_TIME = "created_at"


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What a resumed run was asked for."""

    by_clock: bool


class Resumable(Command):
    """A command that takes with ``--resume`` from the journal what it was asked for."""

    def __init__(self, *arguments: Any, verb: str, taken: Sequence[str], **options: Any) -> None:
        """Name the command, without ``kit``, and the parameters that are on record."""
        super().__init__(*arguments, **options)
        self.verb = verb
        self.taken = tuple(taken)

    def invoke(self, ctx: click.Context) -> Any:
        """Complete the parameters, then run the command.

        Raises:
            UsageError: A parameter is given otherwise than on record.
            OutputError: The job is none of this user and program.
        """
        if ctx.params["again"] != ctx.params["give_up"]:
            _complete(ctx, self)
        return super().invoke(ctx)


def taken_of(context: click.Context) -> Taken | None:
    """Return what a resumed run took from its journal; None where there was nothing, or nothing is resumed."""
    found = context.meta.get(_TAKEN)
    return found if isinstance(found, Taken) else None


def asked_of(context: click.Context, kit: Path, *, time: Timestamp | None = None) -> Asked:
    """Return what a command is asked for, to be put on record; ``time`` is that of the new generation."""
    from kit.output.journal import Asked
    from kit.output.paths import absolute

    command = context.command
    if not isinstance(command, Resumable):
        raise TypeError(command)
    named = {parameter.name: parameter for parameter in command.params}
    options = {_label(named[name]): _recorded(named[name], context.params[name]) for name in command.taken}
    if time is not None:
        taken = taken_of(context)
        by_clock = taken.by_clock if taken is not None else context.params[_TIME] is None
        options |= {_label(named[_TIME]): str(time), _CLOCK: by_clock}
    return Asked(verb=command.verb, kit=absolute(kit), tool=TOOL, version=VERSION, options=options)


def warn_of_unfinished(kit: Path) -> None:
    """Print on standard error that a job of ``kit`` next to it is unfinished, and the command that helps."""
    # Most folders have none, and what reads one is not loaded then.
    try:
        if not any(".kit-job" in place.name or ".kit-build" in place.name for place in kit.parent.iterdir()):
            return
    except OSError:
        return
    from kit.output.unfinished import unfinished_of
    from kit.reports.jobs import job_line, way_on

    for job in unfinished_of(kit):
        print_warning(f"warning: {job_line(job)}; {way_on(job)}")


@click.command("jobs", cls=Command)
@click.argument("folder", type=ROOM, default=Path())
@json_option
def jobs_command(folder: Path, as_json: bool) -> None:
    """List the unfinished jobs in FOLDER or in the current one.

    A run that was interrupted leaves a folder next to its output, or in --work-folder. Each is shown with how far it is
    and the command that finishes it. Nothing is changed.

    \b
    Example:
      kit jobs /srv/kits
    """
    from kit.output.unfinished import unfinished_in
    from kit.reports.jobs import jobs_json, jobs_lines

    try:
        found = unfinished_in(folder)
    except OSError as error:
        raise UnreadableError(error.strerror or str(error), where=str(folder)) from error
    print_report(jobs_lines(found), jobs_json(found), as_json=as_json)


def _complete(context: click.Context, command: Resumable) -> None:
    """Name the output by where the job is, and with ``--resume`` take what is on record."""
    job = _job_of(context, command)
    if job is None:
        return
    given = context.params
    if given["give_up"]:
        if {"output", "in_place"} <= given.keys() and given["output"] is None and not given["in_place"]:
            _aim(context, job)
    elif job.asked is not None:
        _require_same_run(job, job.asked, command)
        differing, told = _take(context, command, job, job.asked)
        if differing:
            raise UsageError(
                f"the interrupted run was begun with other options: {'; '.join(differing)}",
                where=str(job.folder),
                hint="omit them, or give the run up with --abandon",
            )
        context.meta[_TAKEN] = Taken(by_clock=job.asked.options.get(_CLOCK) is True)
        if told:
            print_warning(f"resumes what {job.folder} has on record: {', '.join(told)}")


def _aim(context: click.Context, job: Unfinished) -> None:
    kit: Path = context.params[_argument(context.command)]
    if _is_one_place(job.target, kit):
        context.params["in_place"] = True
    else:
        context.params["output"] = job.target


def _require_same_run(job: Unfinished, asked: Asked, command: Resumable) -> None:
    if asked.verb != command.verb:
        raise UsageError(
            f"the interrupted run was no {command.verb}", where=str(job.folder), hint=f"kit {asked.verb} … --resume"
        )
    if (asked.tool, asked.version) != (TOOL, VERSION):
        raise UsageError(
            f"the interrupted run was begun by {asked.tool} {asked.version}, this is {TOOL} {VERSION}",
            where=str(job.folder),
            hint="continue it with that version, or give it up with --abandon",
        )


def _take(context: click.Context, command: Resumable, job: Unfinished, asked: Asked) -> tuple[list[str], list[str]]:
    """Take what is not given; return what is given otherwise, and what was taken that is no default."""
    named = {parameter.name or "": parameter for parameter in command.params}
    differing, told = [], []
    for name in command.taken:
        parameter, label = named[name], _label(named[name])
        if label not in asked.options:
            raise _none_of_ours(job)
        was = asked.options[label]
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            now = _recorded(parameter, context.params[name])
            if not _is_same(name, was, now):
                differing.append(f"{label[2:]} was {_told(was)}, is {_told(now)}")
            continue
        context.params[name] = _value(parameter, was, job)
        if name != _TIME and was not in (_recorded(parameter, parameter.get_default(context)), None, [], False):
            told.append(label if was is True else f"{label} {_told(was)}")
    return differing, told


def _argument(command: click.Command) -> str:
    """Return the name of the first argument, which is the kit that is read."""
    return next(one.name or "" for one in command.params if isinstance(one, click.Argument))


def _job_of(context: click.Context, command: Resumable) -> Unfinished | None:
    """Return the job that the command is about: that of its output, else the one that makes something of its kit.

    Raises:
        UsageError: There are several.
        OutputError: It is none of this user and program.
    """
    from kit.output.unfinished import State, unfinished_of

    given = context.params
    kit: Path = given[_argument(command)]
    target: Path | None = given.get("output") or (kit if given.get("in_place", True) else None)
    folders = [target.parent] if target is not None else [kit.parent, Path()]
    if given["work_folder"] is not None:
        folders = [given["work_folder"]]
    found = {job.folder.resolve(): job for folder in folders for job in unfinished_of(target or kit, folder)}
    if target is not None:  # the run itself reports what is wrong with its folder
        return next((job for job in found.values() if _is_one_place(job.target, target)), None)
    jobs = [job for job in found.values() if job.verb == command.verb or _is_one_place(job.target, kit)]
    if len(jobs) > 1:
        raise UsageError(
            f"several runs on this kit were interrupted, for {', '.join(str(job.target) for job in jobs)}",
            where=str(kit),
            hint="name the one: --output OUT, or --in-place",
        )
    if jobs and jobs[0].state is State.UNUSABLE:
        raise OutputError(jobs[0].problem, where=str(jobs[0].folder), hint="kit jobs shows what is there")
    if given["again"] and not (jobs and jobs[0].asked is not None):
        raise UsageError(
            "nothing is on record of the interrupted run" if jobs else "there is nothing to resume next to it",
            where=str(jobs[0].folder if jobs else kit),
            hint="repeat all options of the run with --resume; kit jobs FOLDER lists what was interrupted",
        )
    return jobs[0] if jobs else None


def _is_one_place(one: Path, other: Path) -> bool:
    return (one.parent.resolve(), one.name) == (other.parent.resolve(), other.name)


def _label(parameter: click.Parameter) -> str:
    return max(parameter.opts, key=len)


def _recorded(parameter: click.Parameter, value: Any) -> Any:
    """Return the value of a parameter as a journal has it: paths from the root, so that it is read from anywhere."""
    from kit.output.paths import absolute

    if isinstance(value, tuple | list):
        return [_recorded(parameter, one) for one in value]
    if isinstance(value, Path):
        return absolute(value)
    if isinstance(parameter.type, NameOrFile) and isinstance(value, str):
        return value if value in {*MIGRATIONS, *FIELD_MAPS} else absolute(Path(value))
    return value


def _value(parameter: click.Parameter, was: Any, job: Unfinished) -> Any:
    """Return the value on record as the command takes it; of the type that the option has, or it is none of ours."""
    if parameter.multiple:
        if not isinstance(was, list):
            raise _none_of_ours(job)
        return tuple(_one(parameter, one, job) for one in was)
    return None if was is None else _one(parameter, was, job)


def _one(parameter: click.Parameter, was: Any, job: Unfinished) -> Any:
    is_flag = isinstance(parameter, click.Option) and parameter.is_flag
    due = bool if is_flag else int if isinstance(parameter.type, click.types.IntParamType) else str
    if type(was) is not due:
        raise _none_of_ours(job)
    try:
        return was if is_flag else parameter.type.convert(was, parameter, None)
    except click.UsageError as error:
        raise _none_of_ours(job) from error


def _none_of_ours(job: Unfinished) -> OutputError:
    return OutputError(
        "its journal is none of a run of this program: options are missing, or of another type",
        where=str(job.folder),
        hint="give the run up with --abandon, and begin it again",
    )


def _is_same(name: str, was: Any, now: Any) -> bool:
    if name == _TIME and isinstance(was, str) and isinstance(now, str):
        return was == str(Timestamp.parse(now))
    return bool(was == now)


def _told(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(_told(item) for item in value) or "not given"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "not given" if value is None else str(value)

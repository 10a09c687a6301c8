"""The command line: the only place that knows files' names, the environment, the clock and the terminal.

Manners, for every command: data on standard output, messages on standard error; a failure is one line
``kit: error: <where>: <what>`` and, where there is a way out, ``kit: hint: …``; the exit code is from one table;
nothing is asked without a terminal; ``--json`` prints the same report as the text.

A command has the module of its name, small ones one for several: ``inspect`` (and find, ls, cat, diff), ``documents``
(extract and prove), ``recover`` (and approval), ``keys`` (and keyring), ``site`` (rollback and selftest), ``delta``
with ``publishing.delta_build`` and ``delta_apply``. Its module declares it, and loads what does the work when it is
run: help and completion need none of that. Shared are:

- The program: ``commands`` (which there are, exit codes, completion), ``output`` and ``versions``.
- Options and what they make: ``options``, ``paths`` with its check, ``trust_options``, ``encryption_options``,
  ``run_options``, ``recording``, ``progress`` with its ``display``; ``manual`` has the groups of help pages.
"""

from __future__ import annotations

import errno
import gc
import io
import os
import sys
from contextlib import suppress

import click

from kit.cli.commands import OK, Commands, complete, exit_code, table_text
from kit.cli.output import discard_standard_output, print_error, wants_json
from kit.engine.interrupts import Interrupts
from kit.errors import InterruptedRunError, KitError, OutputError, StoppedError, UsageError

_GC_THRESHOLD = 50_000
_EPILOG = f"""kit help COMMAND shows the help of a command, and kit help --all COMMAND all of its options.

\b
Exit codes:
{table_text()}
"""


def _print_versions(context: click.Context, _option: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        from kit.cli.versions import version_lines

        for line in version_lines():
            click.echo(line)
        context.exit()


@click.group(
    cls=Commands, epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_versions,
    help="Show the version of the program and of every part, and exit.",
)
def kit() -> None:
    """Patch, verify and inspect signed Offline Kits, without a database and without a network."""


def main() -> None:
    """Run the command line and exit with a code of the table."""
    # Imported objects stay: collecting garbage among them after every 700 objects costs a tenth of the start.
    gc.set_threshold(_GC_THRESHOLD)
    interrupts = Interrupts(notice=_answer)
    interrupts.install()
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A terminal that is not UTF-8 shows escapes instead of raising an error.
        sys.stdout.reconfigure(errors="backslashreplace")
    answered = complete(kit)
    code = run(sys.argv[1:]) if answered is None else answered
    interrupts.forget()
    gc.freeze()  # the process ends: no last collection
    sys.exit(code)


def _answer() -> None:
    """Write at once, at a terminal, that a signal was seen; by the system call, since a handler may be anywhere."""
    with suppress(OSError):
        if os.isatty(2):
            os.write(2, b"\r\nkit: interrupted; ending the work at hand\r\n")


def run(arguments: list[str]) -> int:
    """Run one command and return its exit code; never raises, never exits."""
    try:
        return _command(arguments)
    except click.exceptions.NoArgsIsHelpError as error:
        # Without a command, the answer is which there are.
        click.echo(error.ctx.get_help())
        return OK
    except (KitError, click.ClickException) as error:
        return _refuse(error, arguments)
    except (click.Abort, KeyboardInterrupt, EOFError):
        return _refuse(InterruptedRunError("interrupted; the kit is as it was"), arguments)
    except BrokenPipeError:
        # The reader of a help page went away. Reports handle this themselves.
        discard_standard_output()
        return OK
    except (Exception, SystemExit) as error:  # noqa: BLE001  the last line of defence: a defect, reported as one
        if os.environ.get("KIT_DEBUG"):
            import traceback

            traceback.print_exc()
        return _refuse(_system_error(error) or _defect(error), arguments)


_OUT_OF_MEMORY = StoppedError(
    "not enough memory; the kit is as it was", hint="use --workers 1, or raise the limit (ulimit -v)"
)
_EXHAUSTED = frozenset({errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE})


def _defect(error: BaseException) -> KitError:
    what = f"internal error: {type(error).__name__}: {error}"
    return KitError(what, hint="this is a defect of kit; KIT_DEBUG=1 shows where it happened")


def _system_error(error: BaseException) -> KitError | None:
    """Return the error for a resource that the system refused; None for a defect of this program.

    Memory, processes, descriptors and disks can run out at any call, also within a library or while it is imported.
    """
    if _is_out_of_memory(error):
        return _OUT_OF_MEMORY
    # A module that was not imported has raised nothing.
    sqlite = sys.modules.get("sqlite3")
    if sqlite is not None and isinstance(error, sqlite.OperationalError):
        return OutputError(
            f"cannot keep temporary data on disk: {error}; the kit is as it was", hint="make room, or set TMPDIR"
        )
    if isinstance(error, OSError) and error.errno in _EXHAUSTED:
        return StoppedError(f"a limit of the system is reached: {error.strerror}", hint="raise the limit (ulimit -a)")
    if isinstance(error, OSError) and error.errno is not None:
        return OutputError(f"refused by the system: {error.strerror}", where=str(error.filename or ""))
    if isinstance(error, RuntimeError) and "start new thread" in str(error):
        return StoppedError("the system allows no more threads", hint="raise the limit (ulimit -u)")
    return None


def _is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, SystemError):
        return _is_memory_limited()  # the interpreter's error for a library that failed without a reason
    # dlopen(3) fails if the library cannot be mapped.
    return isinstance(error, MemoryError) or (isinstance(error, ImportError) and "shared object" in str(error))


def _is_memory_limited() -> bool:
    try:
        import resource
    except ImportError:
        return False
    return resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY


def _command(arguments: list[str]) -> int:
    """Run a command as click's ``main`` does, without its handling of errors, interrupts and broken pipes."""
    try:
        with kit.make_context("kit", list(arguments)) as context:
            outcome = kit.invoke(context)
    except click.exceptions.Exit as done:
        return done.exit_code
    return outcome if isinstance(outcome, int) else OK


def _refuse(error: KitError | click.ClickException, arguments: list[str]) -> int:
    if isinstance(error, click.ClickException):
        error = _usage_error(error)
    code = exit_code(error)
    print_error(error, code, as_json=wants_json(arguments))
    return code


def _usage_error(error: click.ClickException) -> UsageError:
    command = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "kit"
    return UsageError(_plain_message(error), hint=f"{command} --help")


def _plain_message(error: click.ClickException) -> str:
    """Return click's message, in which the type of a number in a range has the name of a class."""
    message = error.format_message()
    if isinstance(error, click.BadParameter) and error.param is not None:
        kind = error.param.type
        if isinstance(kind, click.IntRange):
            ends = [
                f"from {kind.min:,}" if kind.min is not None else "",
                f"to {kind.max:,}" if kind.max is not None else "",
            ]
            return message.replace("a valid integer range", " ".join(["a whole number", *filter(None, ends)]))
    return message

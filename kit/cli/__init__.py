"""The command line: the only place that knows files' names, the environment, the clock and the terminal.

Manners, for every command: data on standard output, messages on standard error; a failure is one line
``kit: error: <where>: <what>`` and, where there is a way out, ``kit: hint: …``; the exit code is from one table;
nothing is asked without a terminal; ``--json`` prints the same report as the text.

A command has the module of its name; a group of commands has one for all, or for each as ``delta_build``. Shared are:

- The program: ``commands`` (which there are), ``exit_codes``, ``output``, ``completion``, ``versions`` and ``commit``.
- Options and what they make: ``options``, ``trusting``, ``credentials``, ``migrating``, ``encrypting``, ``machine``,
  ``job_options``, ``delta_options``, ``recording``, ``progress`` with its ``display``; ``naming`` and ``times``.
"""

from __future__ import annotations

import gc
import io
import os
import sys
import traceback

import click

from kit.cli.commands import Commands
from kit.cli.completion import complete
from kit.cli.exit_codes import OK, exit_code, table_text
from kit.cli.output import print_error, silence_standard_output, wants_json
from kit.engine.interrupts import Interrupts
from kit.errors import InterruptedRunError, KitError, UsageError

_GC_THRESHOLD = 50_000
_EPILOG = f"""\b
Exit codes:
{table_text()}
"""


def _print_versions(context: click.Context, _option: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        from kit.cli.versions import version_lines  # noqa: PLC0415  what it asks is not needed to do anything

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
    # What is imported stays; to look through it for garbage after every 700 objects costs a tenth of the start.
    gc.set_threshold(_GC_THRESHOLD)
    interrupts = Interrupts()
    interrupts.install()
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A terminal of another encoding than UTF-8 gets what it cannot show spelled out, not an error.
        sys.stdout.reconfigure(errors="backslashreplace")
    answered = complete(kit)
    code = run(sys.argv[1:]) if answered is None else answered
    interrupts.forget()
    gc.freeze()  # what is left goes with the process, and need not be looked through once more
    sys.exit(code)


def run(arguments: list[str]) -> int:
    """Run one command and give its exit code; never raises, never exits."""
    try:
        return _command(arguments)
    except (KitError, click.ClickException) as error:
        return _refuse(error, arguments)
    except (click.Abort, KeyboardInterrupt, EOFError):
        return _refuse(InterruptedRunError("interrupted; the kit is as it was"), arguments)
    except BrokenPipeError:
        # The reader of a help page went away; reports see to themselves.
        silence_standard_output()
        return OK
    except (Exception, SystemExit) as error:  # noqa: BLE001  the last line of defence: a defect, said as such
        if os.environ.get("KIT_DEBUG"):
            traceback.print_exc()
        what = f"internal error: {type(error).__name__}: {error}"
        return _refuse(KitError(what, hint="this is a defect of kit; KIT_DEBUG=1 shows where it happened"), arguments)


def _command(arguments: list[str]) -> int:
    """Do what click's own ``main`` does, without its opinions on errors, interrupts and broken pipes."""
    try:
        with kit.make_context("kit", list(arguments)) as context:
            outcome = kit.invoke(context)
    except click.exceptions.Exit as done:
        return done.exit_code
    return outcome if isinstance(outcome, int) else OK


def _refuse(error: KitError | click.ClickException, arguments: list[str]) -> int:
    if isinstance(error, click.ClickException):
        error = _usage(error)
    code = exit_code(error)
    print_error(error, code, as_json=wants_json(arguments))
    return code


def _usage(error: click.ClickException) -> UsageError:
    command = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "kit"
    # Its message is the whole help page, which is for who asks for it.
    missing = isinstance(error, click.exceptions.NoArgsIsHelpError)
    return UsageError("a command is missing" if missing else error.format_message(), hint=f"{command} --help")

"""The command line: the only place that knows files' names, the environment, the clock and the terminal.

Manners, for every command: data on standard output, messages on standard error; a failure is one line
``kit: error: <where>: <what>`` and, where there is a way out, ``kit: hint: …``; the exit code is from one table;
nothing is asked without a terminal; ``--json`` prints the same report as the text.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from types import FrameType

import click

from kit.cli.exit_codes import INTERNAL, OK, exit_code, table_text
from kit.cli.inspect import inspect_command
from kit.cli.keys import keys_group
from kit.cli.output import print_error, wants_json
from kit.cli.patch import patch_command, plan_command
from kit.cli.verify import verify_command
from kit.errors import InterruptedRunError, KitError, UsageError
from kit.version import TOOL, VERSION

_EPILOG = f"""\b
Exit codes:
{table_text()}
"""


@click.group(epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(VERSION, prog_name=TOOL, message="%(prog)s %(version)s")
def kit() -> None:
    """Patch, verify and inspect signed Offline Kits, without a database and without a network."""


kit.add_command(inspect_command)
kit.add_command(plan_command)
kit.add_command(patch_command)
kit.add_command(verify_command)
kit.add_command(keys_group)


def main() -> None:
    """Run the command line and exit with a code of the table."""
    signal.signal(signal.SIGTERM, _terminated)
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command and give its exit code; never raises, never exits."""
    try:
        outcome = kit.main(arguments, prog_name="kit", standalone_mode=False)
        sys.stdout.flush()
    except (KitError, click.ClickException) as error:
        return _refuse(error, as_json=wants_json(arguments))
    except (click.Abort, KeyboardInterrupt):
        return _refuse(InterruptedRunError("interrupted; the kit is as it was"), as_json=wants_json(arguments))
    except BrokenPipeError:
        # The reader of our output went away (| head); nothing is wrong, and the interpreter must not complain either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except Exception as error:  # noqa: BLE001  the last line of defence: a defect of ours, said as such
        if os.environ.get("KIT_DEBUG"):
            traceback.print_exc()
        click.echo(f"kit: error: internal error: {type(error).__name__}: {error}", err=True)
        click.echo("kit: hint: this is a defect of kit; KIT_DEBUG=1 shows where it happened", err=True)
        return INTERNAL
    return outcome if isinstance(outcome, int) else OK


def _refuse(error: KitError | click.ClickException, *, as_json: bool) -> int:
    if isinstance(error, click.ClickException):
        context = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "kit"
        error = UsageError(error.format_message(), hint=f"{context} --help")
    code = exit_code(error)
    print_error(error, code, as_json=as_json)
    return code


def _terminated(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt

"""How reports and errors reach the user: one value a line, whatever a kit or a file name holds, and no line of it lost.

Names of tenants, documents, bundles and files come from whoever made them, so nothing of them may move the cursor,
hide text or begin a line: see :func:`printable`. A reader of ours that goes away (``| head``) is no failure, and least
of all may it turn a refusal into a success: the command goes on, only quietly.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

import click

from kit.cli.hints import fit
from kit.errors import KitError, OutputError
from kit.reports.errors import SCHEMA_VERSION, error_json
from kit.reports.spelling import is_shown, printable


def print_report(
    lines: Iterable[str], document: Mapping[str, Any], *, as_json: bool, aside: bool = False, done: str = ""
) -> None:
    """Print a report on standard output, as text or as JSON.

    Args:
        lines: The report as text.
        document: The report as JSON.
        as_json: Which of the two.
        aside: Print on standard error: something else is on standard output.
        done: What the command has done, which is so whether or not its report can be read: ``the kit is patched``.

    Raises:
        OutputError: Standard output takes no more, for another reason than that its reader went away.
    """
    text = json_text(document) if as_json else "\n".join(printable(line) for line in lines)
    if aside and not as_json:
        with contextlib.suppress(OSError):
            click.echo(text, err=True)
        return
    with after(done):
        print_text(text)


@contextlib.contextmanager
def after(done: str) -> Iterator[None]:
    """Add to the message of an output that fails what the command has done before, if anything.

    Raises:
        OutputError: As the body.
    """
    try:
        yield
    except OutputError as error:
        error.what = f"{done}, but the report is lost: {error.what}" if done else error.what
        raise


def print_bytes(data: bytes) -> None:
    """Print bytes that are no report on standard output.

    Raises:
        OutputError: Standard output takes no more, for another reason than that its reader went away.
        BrokenPipeError: Its reader went away: nobody wants the rest.
    """
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        silence_standard_output()
        raise OutputError(f"cannot write: {error.strerror}", where="standard output") from error


def print_error(error: KitError, code: int, *, as_json: bool) -> None:
    """Say what went wrong on standard error; with ``--json`` also as an object on standard output."""
    if (context := click.get_current_context(silent=True)) is not None:
        fit(error, context)
    try:
        for one in (error, *error.also):
            print_warning(f"error: {one}")
            if one.hint:
                print_warning(f"hint: {one.hint}")
    except OSError:
        # Nobody is there to be told; the exit code still tells, if what is flushed at the end goes nowhere.
        _silence(sys.stderr)
    if as_json:
        with contextlib.suppress(OutputError):
            also = {"also": [error_json(one) for one in error.also]} if error.also else {}
            print_text(
                json_text({"schemaVersion": SCHEMA_VERSION, "error": error_json(error), "exitCode": code, **also})
            )


def print_warning(text: str) -> None:
    """Print one line on standard error."""
    click.echo(f"kit: {printable(text)}", err=True)


def wants_json(arguments: Iterable[str]) -> bool:
    """Whether ``--json`` was asked for, also where the arguments are otherwise wrong."""
    return "--json" in arguments


def json_text(document: Mapping[str, Any]) -> str:
    """Print as JSON of many lines, with the same characters escaped as JSON escapes them."""
    text = json.dumps(document, ensure_ascii=False, indent=2, sort_keys=True)
    # Between values there are only blanks and line feeds, so everything else is inside of a string.
    return "".join(char if char == "\n" or is_shown(char) else _escaped(char) for char in text)


def _escaped(char: str) -> str:
    """Return the JSON escape; for half a surrogate pair, which is no JSON (RFC 7493 2.1), its escape as text."""
    escape = json.dumps(char)[1:-1]
    return f"\\{escape}" if "\ud800" <= char <= "\udfff" else escape


def silence_standard_output() -> None:
    """Send what is still to come, and what the interpreter flushes when it ends, nowhere."""
    _silence(sys.stdout)


def _silence(stream: TextIO) -> None:
    with contextlib.suppress(OSError, ValueError):  # a stand-in of a test has no descriptor
        os.dup2(os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC), stream.fileno())


def print_text(text: str) -> None:
    """Print text in which every name is spelled already: to spell it again would change it.

    Raises:
        OutputError: As of :func:`print_report`.
    """
    try:
        click.echo(text)
    except BrokenPipeError:
        silence_standard_output()
    except OSError as error:
        silence_standard_output()
        raise OutputError(f"cannot write: {error.strerror}", where="standard output") from error


def require_writable(path: Path) -> None:
    """Refuse, before the work, a file that could not be written after it.

    Raises:
        OutputError: Its folder cannot be written, or it is a folder.
    """
    if not os.access(path.parent, os.W_OK | os.X_OK) or path.is_dir():
        raise OutputError(
            "cannot be written there", where=str(path), hint="name a file in a folder that can be written"
        )

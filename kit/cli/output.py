"""Output of reports and errors: one value per line, whatever a kit or a file name contains, and no line lost.

Names of tenants, documents, bundles and files are untrusted. They must not move the cursor, hide text or begin a line:
see :func:`printable`. A reader that goes away (``| head``) is not a failure, and must not turn a refusal into a
success: the command continues without output.
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

from kit.cli.hints import filter_hints
from kit.errors import KitError, OutputError
from kit.reports.errors import SCHEMA_VERSION, error_json
from kit.reports.spelling import is_shown, printable


def print_report(
    lines: Iterable[str], document: Mapping[str, Any], *, as_json: bool, to_stderr: bool = False, done: str = ""
) -> None:
    """Print a report on standard output, as text or as JSON.

    Args:
        lines: The report as text.
        document: The report as JSON.
        as_json: Print the JSON.
        to_stderr: Print the text on standard error, since standard output has other data.
        done: What the command has done, whether or not its report can be printed: ``the kit is patched``.

    Raises:
        OutputError: Standard output cannot be written, and not because its reader went away.
    """
    text = json_text(document) if as_json else "\n".join(printable(line) for line in lines)
    if to_stderr and not as_json:
        with contextlib.suppress(OSError):
            click.echo(text, err=True)
        return
    with note_done(done):
        print_text(text)


@contextlib.contextmanager
def note_done(done: str) -> Iterator[None]:
    """Add what the command has done, if anything, to the message of output that fails.

    Raises:
        OutputError: Raised by the body.
    """
    try:
        yield
    except OutputError as error:
        error.what = f"{done}, but the report is lost: {error.what}" if done else error.what
        raise


def print_bytes(data: bytes) -> None:
    """Print bytes that are not a report on standard output.

    Raises:
        OutputError: Standard output cannot be written, and not because its reader went away.
        BrokenPipeError: Its reader went away and does not want the rest.
    """
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        discard_standard_output()
        raise OutputError(f"cannot write: {error.strerror}", where="standard output") from error


def print_error(error: KitError, code: int, *, as_json: bool) -> None:
    """Print an error on standard error and, with ``--json``, as an object on standard output."""
    if (context := click.get_current_context(silent=True)) is not None:
        filter_hints(error, context)
    try:
        for one in (error, *error.also):
            print_warning(f"error: {one}")
            if one.hint:
                print_warning(f"hint: {one.hint}")
    except OSError:
        # Nobody reads the message. The exit code remains, if the final flush goes nowhere.
        _discard(sys.stderr)
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
    """Return whether ``--json`` is among the arguments, even if the others are wrong."""
    return "--json" in arguments


def json_text(document: Mapping[str, Any]) -> str:
    """Return JSON of many lines, with characters that are not shown escaped as JSON escapes them."""
    text = json.dumps(document, ensure_ascii=False, indent=2, sort_keys=True)
    # Between values are only blanks and line feeds: everything else is inside a string.
    return "".join(char if char == "\n" or is_shown(char) else _escaped(char) for char in text)


def _escaped(char: str) -> str:
    """Return the JSON escape; of half a surrogate pair, which is not JSON (RFC 7493 2.1), the escape as text."""
    escape = json.dumps(char)[1:-1]
    return f"\\{escape}" if "\ud800" <= char <= "\udfff" else escape


def discard_standard_output() -> None:
    """Discard all further output, including what the interpreter flushes at its end."""
    _discard(sys.stdout)


def _discard(stream: TextIO) -> None:
    with contextlib.suppress(OSError, ValueError):  # a stream of a test has no descriptor
        os.dup2(os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC), stream.fileno())


def print_text(text: str) -> None:
    """Print text whose names are escaped already: escaping them again would change them.

    Raises:
        OutputError: As for :func:`print_report`.
    """
    try:
        click.echo(text)
    except BrokenPipeError:
        discard_standard_output()
    except OSError as error:
        discard_standard_output()
        raise OutputError(f"cannot write: {error.strerror}", where="standard output") from error


def require_writable(path: Path) -> None:
    """Check before the work that a file can be written after it.

    Raises:
        OutputError: Its folder cannot be written, or it is a folder.
    """
    if not os.access(path.parent, os.W_OK | os.X_OK) or path.is_dir():
        raise OutputError("cannot be written", where=str(path), hint="name a file in a folder that can be written")

"""Output of reports and errors: one value per line, whatever a kit or a file name contains, and no line lost.

Names of tenants, documents, bundles and files are untrusted. They must not move the cursor, hide text or begin a line:
see :func:`printable`. A reader that goes away (``| head``) is not a failure, and must not turn a refusal into a
success: the command continues without output.

Hints that fit the command that failed: parts that name options it does not have are dropped.

An error is raised far below the commands, and several commands can reach it. A stale kit can be forced with ``--force``
in ``kit verify``, but not in ``kit diff``. A hint therefore has parts. A part is dropped if it names an option that its
command does not have. Its command is the one that the part names (``kit verify --trust``), else the one that failed.

Files of another kind than the one that is expected: named, with the command for them.
"""

from __future__ import annotations

import codecs
import contextlib
import json
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TextIO

import click

from kit.cli.manual import is_quiet
from kit.errors import (
    KitError,
    OutputError,
    UsageError,
)
from kit.reports.text import SCHEMA_VERSION, error_json, is_shown, printable

if TYPE_CHECKING:
    from kit.values.file_kind import FileKind

_READABLE = 0o644
_PARTS = re.compile(r"(; |, or )")
_WORDS = re.compile(r"[^\s,:;()]+")
_OPTION = re.compile(r"--[a-z][a-z0-9-]*")
_OTHERS = frozenset({"dask"})
"""Other programs, whose options are not checked."""


class Use(Protocol):
    """A setting that a command has used (:mod:`kit.cli.settings.options`)."""

    def line(self) -> str:
        """Return the line of a report."""

    def to_json(self) -> dict[str, Any]:
        """Return the value for a report."""


_USED = "kit.settings.used"


def note_use(context: click.Context, use: Use) -> None:
    """Note that the command of ``context`` uses a setting, so that its report names it."""
    context.meta.setdefault(_USED, []).append(use)


_NAMES = "kit.names"
# A key id: RFC 7638 with SHA-256, base64url.
_KEY_ID = re.compile(r"(?<![A-Za-z0-9_-])[A-Za-z0-9_-]{43}(?![A-Za-z0-9_-])")


def note_names(names: Mapping[str, str]) -> None:
    """Note the names of keys, by key id, that a policy gives; what the command prints from now on has them."""
    if (context := click.get_current_context(silent=True)) is not None:
        context.meta.setdefault(_NAMES, {}).update(names)


def _names(context: click.Context | None) -> Mapping[str, str]:
    return context.meta.get(_NAMES, {}) if context is not None else {}


def with_names(text: str, context: click.Context | None) -> str:
    """Return a text with the name of each key behind its id, where one is known."""
    names = _names(context)

    def named(found: re.Match[str]) -> str:
        name = names.get(found[0])
        is_named = name is None or text.startswith(f" ({name})", found.end())
        return found[0] if is_named else f"{found[0]} ({name})"

    return _KEY_ID.sub(named, text) if names else text


def name_keys(error: KitError, context: click.Context) -> None:
    """Put the names of keys into the words of an error."""
    for one in (error, *error.also):
        one.what = with_names(one.what, context)


def filter_hints(error: KitError, context: click.Context) -> None:
    """Drop the parts of an error's hints that do not fit the command of ``context``."""
    for one in (error, *error.also):
        if one.hint:
            one.hint = filter_hint(one.hint, context)


def filter_hint(hint: str, context: click.Context) -> str:
    """Return a hint without the parts that name options its command does not have."""
    parts = _PARTS.split(hint)
    kept = ""
    for number in range(0, len(parts), 2):
        if not any(True for _ in unknown_options(parts[number], context)):
            kept += (parts[number - 1] if kept and number else "") + parts[number]
    return kept


def unknown_options(part: str, context: click.Context) -> Iterator[str]:
    """Yield each option in a part of a hint that its command does not have."""
    words = [word.rstrip(".") for word in _WORDS.findall(part)]
    scope: click.Command | None = context.command
    position = 0
    while position < len(words):
        word = words[position]
        position += 1
        if word in _OTHERS:
            scope = None
        elif word == "kit":
            named, length = _named_command(words[position:], context)
            scope, position = named or scope, position + length
        elif scope is not None and _OPTION.fullmatch(word) and word not in _options(scope, context):
            yield word


def _named_command(words: list[str], context: click.Context) -> tuple[click.Command | None, int]:
    """Return the command that the words begin with and the length of its name; None if "kit" is a noun."""
    command: click.Command = context.find_root().command
    length = 0
    for word in words:
        inner = command.get_command(context, word) if isinstance(command, click.Group) else None
        if inner is None:
            break
        command, length = inner, length + 1
    return (command, length) if length else (None, 0)


def _options(command: click.Command, context: click.Context) -> set[str]:
    found = {"--help", "--version"} if command is context.find_root().command else {"--help"}
    for parameter in command.params:
        found.update(parameter.opts, parameter.secondary_opts)
    return found


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
    if is_quiet() and not as_json and not to_stderr:
        return
    context = click.get_current_context(silent=True)
    used = context.meta.get(_USED, ()) if context is not None else ()
    if used:
        document = {**document, "configuration": [use.to_json() for use in used]}
        lines = [*lines, *(use.line() for use in used)]
    if names := _names(context):
        lines = [with_names(line, context) for line in lines]
        shown = json.dumps(document) if as_json else ""
        if found := {key_id: name for key_id, name in names.items() if key_id in shown}:
            document = {**document, "keyNames": found}
    is_styled = not as_json and is_coloured(sys.stderr if to_stderr else sys.stdout)
    style = style_line if is_styled else str
    text = json_text(document) if as_json else "\n".join(style(printable(line)) for line in lines)
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


class TerminalText:
    """Prints bytes of a kit at a terminal, as far as they are plain text: other bytes would steer the terminal."""

    def __init__(self) -> None:
        """Begin a text."""
        self._decoder = codecs.getincrementaldecoder("utf-8")()

    def print(self, data: bytes) -> None:
        """Print the next bytes.

        Raises:
            UsageError: They are not text, or have characters that a terminal obeys.
            OutputError: As for :func:`print_bytes`.
        """
        try:
            text = self._decoder.decode(data)
        except UnicodeDecodeError:
            text = "\0"
        if not all(is_shown(char) or char in "\n\t" for char in text):
            raise UsageError("not plain text, which is not for a terminal", hint="name a file with --output")
        print_bytes(data)


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
    text = with_names(text, click.get_current_context(silent=True))
    line = f"kit: {printable(text)}"
    click.echo(style_line(line) if is_coloured(sys.stderr) else line, err=True)


_STYLES: tuple[tuple[re.Pattern[str], Mapping[str, Any]], ...] = (
    (re.compile(r"(?<=^ [ \d]\d  )ok(?= )"), {"fg": "green"}),
    (re.compile(r"(?<=^ [ \d]\d  )(FAILED|FORCED)(?= )"), {"fg": "red", "bold": True}),
    (re.compile(r"^(valid|sound|proven)(?=: )"), {"fg": "green", "bold": True}),
    (re.compile(r"^(refused|NOT SOUND|kit: error)(?=: )"), {"fg": "red", "bold": True}),
    (re.compile(r"^(forced|kit: warning)(?=: )"), {"fg": "yellow", "bold": True}),
    (re.compile(r"^(kit: hint| {13}to do)(?=: )"), {"fg": "cyan"}),
)
"""What is coloured: our own words at the beginning of a line, where no name from a kit can be."""


def style_line(line: str) -> str:
    """Return a line that is escaped already, with the word that decides in colour; the word is there without it."""
    for pattern, style in _STYLES:
        styled, count = pattern.subn(lambda found, style=style: click.style(found[0], **style), line, count=1)  # type: ignore[misc]
        if count:
            return styled
    return line


def is_coloured(stream: TextIO | None) -> bool:
    """Return whether a stream is a terminal that shows colours and a user who wants them (https://no-color.org)."""
    return _is_terminal(stream) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") not in _PLAIN_TERMINALS


_PLAIN_TERMINALS = frozenset({None, "", "dumb", "unknown"})


def _is_terminal(stream: TextIO | None) -> bool:
    try:
        return stream is not None and stream.isatty()
    except ValueError:
        return False  # it is closed


def is_seen_together() -> bool:
    """Return whether a person sees standard output and standard error in one place."""
    return _is_terminal(sys.stdout) and _is_terminal(sys.stderr)


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


def require_report_place(path: Path, kind: FileKind) -> None:
    """Check before the work that a report can be written after it: nothing is there, or an earlier report of that kind.

    Raises:
        OutputError: Something else is there, a link included, or its folder cannot be written.
    """
    from kit.archive.recognise import recognise

    if os.path.lexists(path) and recognise(path) is not kind:
        raise OutputError(
            f"already exists, and is not {kind.value} of kit, which would be replaced",
            where=str(path),
            hint="move it away or choose another name",
        )
    require_writable(path)


def write_report(path: Path, data: bytes, kind: FileKind) -> None:
    """Write a report for others to read, in place of an earlier one.

    Raises:
        OutputError: As for :func:`require_report_place`, or it cannot be written; an earlier report is as it was.
    """
    from kit.output import publish

    require_report_place(path, kind)
    what = kind.value.partition(" ")[2]
    if os.path.lexists(path):
        publish.replace(path, data, what=what, mode=_READABLE)
    else:
        publish.write_new(path, data, mode=_READABLE, what=what)


def require_writable(path: Path) -> None:
    """Check before the work that a file can be written after it.

    Raises:
        OutputError: Its folder cannot be written, or it is a folder.
    """
    if not os.access(path.parent, os.W_OK | os.X_OK) or path.is_dir():
        raise OutputError("cannot be written", where=str(path), hint="name a file in a folder that can be written")

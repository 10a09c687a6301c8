"""Options that several commands share, each defined once."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from kit.cli.places import KIT, READ
from kit.errors import KeyUnusableError, UnreadableError, UsageError
from kit.values import Allowed, Limits, NameClass

if TYPE_CHECKING:
    from kit.ops.kits import Environment
    from kit.signing import PrivateKey, PublicKey

Command = TypeVar("Command", bound=Callable[..., Any])

FILE = READ
"""A path that is only read; :mod:`kit.cli.places` has the types of the others."""
_MOST_DIGITS = 18
"""Of a limit: all that fits 64 bits, which is what the system's own calls take."""


def kit_argument(command: Command) -> Command:
    """KIT: an archive or a folder."""
    return click.argument("kit", type=KIT)(command)


def json_option(command: Command) -> Command:
    """Print the report as JSON."""
    return click.option("--json", "as_json", is_flag=True, help="Print the report as JSON (schemas/).")(command)


def reading_options(command: Command) -> Command:
    """How to read a kit, with how many workers, and what of it is permitted: the command gets that as ``allowed``."""

    @functools.wraps(command)
    def with_allowed(
        *arguments: Any,
        allow_links: bool,
        allow_names: tuple[str, ...],
        allow_records: tuple[str, ...],
        **options: Any,
    ) -> Any:
        return command(*arguments, allowed=_allowed(allow_links, allow_names, allow_records), **options)

    decorated: Any = with_allowed
    for option in reversed(
        (
            click.option(
                "--workers",
                type=click.IntRange(1, 256),
                default=os.cpu_count() or 1,
                show_default="one per core",
                help="Number of workers. It does not change the result.",
            ),
            click.option(
                "--allow-links",
                is_flag=True,
                help="Accept links that stay inside the kit and that its manifest lists.",
            ),
            click.option(
                "--allow-names",
                type=click.Choice([name.value for name in NameClass]),
                multiple=True,
                metavar="CLASS",
                help="Accept names that Windows reads differently: colon (in a name), dot (at the end of a part) or"
                " device (NUL, com1.txt). Repeatable. Recorded.",
            ),
            click.option(
                "--allow-records",
                multiple=True,
                metavar="KEY",
                help="Accept PAX records with this key, which is not known to be harmless. Repeatable. Recorded.",
            ),
            click.option(
                "--max",
                "maxima",
                metavar="NAME=VALUE",
                multiple=True,
                help=f"Raise or lower a limit: {', '.join(Limits.names())}.",
            ),
        )
    ):
        decorated = option(decorated)
    return cast("Command", decorated)


def _allowed(allow_links: bool, allow_names: tuple[str, ...], allow_records: tuple[str, ...]) -> Allowed:
    """Make one value of the three options.

    Raises:
        UsageError: A record is one that no kit may hold.
    """
    from kit.archive.record_keys import never

    for key in allow_records:
        if reason := never(key):
            raise UsageError(f"--allow-records {key[:80]!r}: such a record {reason}, and cannot be allowed")
    return Allowed(links=allow_links, names=frozenset(map(NameClass, allow_names)), records=frozenset(allow_records))


def trust_option(command: Command) -> Command:
    """Public keys whose signatures count."""
    return click.option(
        "--trusted-key",
        "trusted_keys",
        type=FILE,
        multiple=True,
        metavar="PEM",
        help="A public key whose signatures count. Repeatable.",
    )(command)


def reading(workers: int, maxima: tuple[str, ...], *, allowed: Allowed) -> Environment:
    """Make the environment from its options.

    Raises:
        UsageError: A limit is not called so, or its value is no count.
    """
    from kit.ops.kits import Environment

    overrides: dict[str, int] = {}
    for text in maxima:
        name, equals, value = text.partition("=")
        if fault := _fault_of(name, equals, value):
            raise UsageError(f"--max {text[:80]}: {fault}", hint="kit inspect --limits")
        overrides[name] = int(value)
    return Environment(limits=Limits().with_overrides(overrides), allowed=allowed, workers=workers)


def _fault_of(name: str, equals: str, value: str) -> str:
    """Return what is wrong with a limit that was given; empty where nothing is."""
    if not equals:
        return "NAME=VALUE is expected"
    if name not in Limits.names():
        near = get_close_matches(name, Limits.names(), n=1)
        return f"no limit has the name {name[:40]!r}{f'; {near[0]} has one like it' if near else ''}"
    if not (value.isascii() and value.isdigit()):
        return f"the value of {name} is a count, in digits"
    return f"the value of {name} has more than {_MOST_DIGITS} digits" if len(value) > _MOST_DIGITS else ""


def created_at_option(made: str) -> Callable[[Command], Command]:
    """The time of what is made, which is an input: ``made`` says of what."""
    return click.option(
        "--created-at",
        metavar="TIME",
        envvar="SOURCE_DATE_EPOCH",
        help=f"Time of {made} (RFC 3339 UTC or seconds). Default: the clock.",
    )


def trusted(paths: tuple[Path, ...]) -> dict[str, PublicKey]:
    """Load public keys, by key id.

    Raises:
        KeyUnusableError: A file is no public key of a kind this toolkit accepts.
    """
    from kit.signing import load_public

    keys = [load_public(path) for path in paths]
    return {key.key_id: key for key in keys}


def private_key(path: Path, passphrase_fd: int | None) -> PrivateKey:
    """Load a signing key; its passphrase comes from a descriptor, or from the terminal if there is one.

    Raises:
        KeyUnusableError: The file is refused, or the passphrase is missing or wrong.
    """
    from kit.signing import load_private

    return load_private(path, lambda: ask_passphrase(str(path), passphrase_fd))


def read_file(path: Path) -> bytes:
    """Read a small configuration file.

    Raises:
        UnreadableError: It is not there, or not readable.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise UnreadableError(f"cannot be read: {error.strerror}", where=str(path)) from error


def ask_passphrase(
    what: str,
    descriptor: int | None,
    *,
    confirm: bool = False,
    option: str = "--passphrase-fd",
    kind: str = "passphrase",
) -> bytes:
    """Get the passphrase of ``what``, or the PIN: the next line of a descriptor, or from the terminal if there is one.

    Raises:
        KeyUnusableError: The descriptor cannot be read, or there is none and no terminal either.
    """
    if descriptor is not None:
        try:
            return _next_line(descriptor)
        except OSError as error:
            raise KeyUnusableError(f"the {kind} cannot be read: {error.strerror}", where=what) from error
    if not has_terminal():
        raise KeyUnusableError(
            f"the key needs a {kind}, and there is no terminal to ask at",
            where=what,
            hint=f"give it with {option}",
        )
    text: str = click.prompt(
        f"{kind[0].upper()}{kind[1:]} of {what}", hide_input=True, confirmation_prompt=confirm, err=True
    )
    return text.encode()


def _next_line(descriptor: int) -> bytes:
    """Read one line and not a byte more, so that a second passphrase can be on the next one."""
    line = bytearray()
    while (byte := os.read(descriptor, 1)) not in {b"", b"\n"}:
        line += byte
    return bytes(line).rstrip(b"\r")


def has_terminal() -> bool:
    """Whether there is somebody to ask; a closed standard input is nobody."""
    return sys.stdin is not None and sys.stdin.isatty()


passphrase_option = click.option(
    "--passphrase-fd", type=int, metavar="N", help="Read the passphrase of the signing key from this file descriptor."
)

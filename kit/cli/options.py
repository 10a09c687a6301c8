"""Options that several commands share, each defined once.

Words that options take, repeated here so that help and completion load none of the modules that define them.

A test holds each to its source, which its docstring names.

Times of the command line, and the only place of the commands that reads the clock.

Names of collections and documents on the command line.
"""

from __future__ import annotations

import functools
import os
import re
import sys
import time as clock
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

import click
from click.core import ParameterSource

from kit.cli.paths import KIT, PUBLIC_KEYS, READ, SIGNING_KEY
from kit.cli.places import SECRET_LINE, SecretSource
from kit.cli.settings.options import KEYS_YIELD_TO, ConfiguredOption
from kit.cli.settings.secrets import load_token_key, read_secret
from kit.errors import ContentError, KeyUnusableError, KitError, UnreadableError, UsageError
from kit.values import Allowed, CollectionName, Limits, NameClass, Timestamp

if TYPE_CHECKING:
    from kit.encryption.approval import DocumentName
    from kit.signing import PrivateKey, PublicKey
    from kit.verbs.verify.kits import Environment

Command = TypeVar("Command", bound=Callable[..., Any])

FILE = READ
"""A path that is only read; :mod:`kit.cli.paths` has the other types."""
_MAX_DIGITS = 18
"""Of a limit, so that it fits the 64 bits of the system's calls."""


def kit_argument(command: Command) -> Command:
    """Add KIT: an archive or a folder."""
    return click.argument("kit", type=KIT)(command)


def json_option(command: Command) -> Command:
    """Add ``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print the report as JSON (schemas/).")(command)


def reading_options(command: Command) -> Command:
    """Add the options for reading a kit; the command gets what they permit as ``allowed``."""

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
    """Return the value of the three options.

    Raises:
        UsageError: No kit may contain such a record.
    """
    from kit.archive.read.pax import reason_to_refuse

    for key in allow_records:
        if reason := reason_to_refuse(key):
            raise UsageError(f"--allow-records {key[:80]!r}: such a record {reason}, and cannot be allowed")
    return Allowed(links=allow_links, names=frozenset(map(NameClass, allow_names)), records=frozenset(allow_records))


def trust_option(command: Command) -> Command:
    """Add ``--trusted-key``."""
    return trusted_key_option()(command)


def trusted_key_option(needs: str | None = None) -> Callable[[Command], Command]:
    """Add ``--trusted-key``; its setting is used only with the parameter ``needs``."""
    return click.option(
        "--trusted-key",
        "trusted_keys",
        cls=ConfiguredOption,
        setting="trusted-keys",
        yields_to=KEYS_YIELD_TO,
        needs=needs,
        type=PUBLIC_KEYS,
        multiple=True,
        metavar="PEM",
        help="Public keys whose signatures count: a file, or a folder. Repeatable. Also KIT_TRUSTED_KEYS.",
    )


def signing_key_option(
    help_text: str, *, is_required: bool = False, needs: str | None = None
) -> Callable[[Command], Command]:
    """Add ``--signing-key`` for one key; its setting is used only with the parameter ``needs``."""
    return click.option(
        "--signing-key",
        cls=ConfiguredOption,
        setting="signing-key",
        needs=needs,
        type=SIGNING_KEY,
        required=is_required,
        metavar="PEM",
        help=f"{help_text} A file, env:NAME, fd:N or pkcs11:URI. Also KIT_SIGNING_KEY.",
    )


def signing_keys_option(help_text: str, needs: str | None = None) -> Callable[[Command], Command]:
    """Add ``--signing-key`` for one key or several; its setting is used only with the parameter ``needs``."""
    return click.option(
        "--signing-key",
        "signing_keys",
        cls=ConfiguredOption,
        setting="signing-key",
        needs=needs,
        type=SIGNING_KEY,
        multiple=True,
        metavar="PEM",
        help=f"{help_text} A file, env:NAME, fd:N or pkcs11:URI. Also KIT_SIGNING_KEY.",
    )


def make_environment(workers: int, maxima: tuple[str, ...], *, allowed: Allowed) -> Environment:
    """Return the environment for the options of :func:`reading_options`.

    Raises:
        UsageError: There is no limit of that name, or its value is not a count.
    """
    from kit.verbs.verify.kits import Environment

    overrides: dict[str, int] = {}
    for text in maxima:
        name, equals, value = text.partition("=")
        if fault := _limit_fault(name, equals, value):
            raise UsageError(f"--max {text[:80]}: {fault}", hint="kit inspect --limits")
        overrides[name] = int(value)
    return Environment(limits=Limits().with_overrides(overrides), allowed=allowed, workers=workers)


def _limit_fault(name: str, equals: str, value: str) -> str:
    """Return what is wrong with the limit of an option; empty if nothing is."""
    if not equals:
        return "NAME=VALUE is expected"
    if name not in Limits.names():
        near = get_close_matches(name, Limits.names(), n=1)
        return f"there is no limit {name[:40]!r}{f'; did you mean {near[0]}?' if near else ''}"
    if not (value.isascii() and value.isdigit()):
        return f"the value of {name} must be a number in digits"
    return f"the value of {name} has more than {_MAX_DIGITS} digits" if len(value) > _MAX_DIGITS else ""


def created_at_option(made: str) -> Callable[[Command], Command]:
    """Add ``--created-at``, the time of ``made``."""
    return click.option(
        "--created-at",
        metavar="TIME",
        envvar="SOURCE_DATE_EPOCH",
        help=f"Time of {made} (RFC 3339 UTC or seconds). Default: the clock.",
    )


def load_trusted_keys(paths: tuple[Path, ...]) -> dict[str, PublicKey]:
    """Load the public keys of files and folders, by key id.

    Raises:
        KeyUnusableError: A file is not a public key of an accepted kind, or a folder has none.
    """
    from kit.signing import load_public_keys

    return {key.key_id: key for path in paths for key in load_public_keys(path)}


def load_signing_key(source: Path | SecretSource, passphrase_fd: int | SecretSource | None) -> PrivateKey:
    """Load a signing key, with its passphrase from a descriptor or the terminal.

    Raises:
        KeyUnusableError: The key is missing or refused, or the passphrase is missing or wrong.
    """
    from kit.signing import load_private, parse_private

    if isinstance(source, SecretSource) and source.scheme == "pkcs11":
        return load_token_key(str(source), lambda what, fd: ask_passphrase(what, fd, kind="PIN"), passphrase_fd)
    if isinstance(source, Path):
        return load_private(source, lambda: ask_passphrase(str(source), passphrase_fd))
    where = str(source)
    return parse_private(
        read_secret(source, "a private key"), lambda: ask_passphrase(where, passphrase_fd), where=where
    )


def read_file(path: Path) -> bytes:
    """Read a small configuration file.

    Raises:
        UnreadableError: It does not exist, or cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise UnreadableError(f"cannot be read: {error.strerror}", where=str(path)) from error


def ask_passphrase(
    what: str,
    source: int | SecretSource | None,
    *,
    confirm: bool = False,
    option: str = "--passphrase-fd",
    kind: str = "passphrase",
) -> bytes:
    """Return the passphrase or PIN of ``what``: the next line of a descriptor, of a variable, or asked at the terminal.

    Raises:
        KeyUnusableError: The source cannot be read, or there is neither a source nor a terminal.
    """
    if isinstance(source, SecretSource):
        return read_secret(source, "passphrase")
    if source is not None:
        try:
            return _next_line(source)
        except OSError as error:
            raise KeyUnusableError(f"the {kind} cannot be read: {error.strerror}", where=what) from error
    if not has_terminal():
        raise KeyUnusableError(
            f"the key needs a {kind}, and there is no terminal to ask for it",
            where=what,
            hint=f"pass it with {option}",
        )
    text: str = click.prompt(
        f"{kind[0].upper()}{kind[1:]} of {what}", hide_input=True, confirmation_prompt=confirm, err=True
    )
    return text.encode()


def _next_line(descriptor: int) -> bytes:
    """Read one line and not a byte more: the next line may be the next passphrase."""
    line = bytearray()
    while (byte := os.read(descriptor, 1)) not in {b"", b"\n"}:
        line += byte
    return bytes(line).rstrip(b"\r")


def has_terminal() -> bool:
    """Return whether standard input is a terminal; a closed one is not."""
    return sys.stdin is not None and sys.stdin.isatty()


passphrase_option = click.option(
    "--passphrase-fd",
    type=SECRET_LINE,
    metavar="N",
    help="Read the passphrase or PIN of the signing key from this file descriptor, or from env:NAME.",
)


ALGORITHMS: Final = ("Ed25519", "ES256", "PS256")
"""kit.signing.Algorithm."""
KINDS: Final = tuple(sorted(name.lower() for name in ALGORITHMS))
"""The same, as names of kinds of keys."""
ROLES: Final = ("publisher", "patcher", "incident", "auditor", "recipient", "root")
"""kit.trust.Role."""
REASONS: Final = ("compromised", "superseded", "ceased")
"""kit.trust.RevocationReason."""
PROFILES: Final = ("compat", "bound", "csfle")
"""kit.encryption.Profile."""
FIELD_MAPS: Final = ("concelier", "notelett", "notelett-2")
"""kit.encryption.SHIPPED."""
MECHANISMS: Final = ("aes-key-wrap", "aes-key-wrap-kwp", "aes-key-wrap-pad")
"""kit.encryption.master_keys.MECHANISMS."""
ADAPTERS: Final = ("dek-store", "key-vault", "kms-export")
"""kit.encryption.key_records.SHIPPED."""
MIGRATIONS: Final = (
    "20251031_raw_linkset",
    "20251031_notelett_encryption_compat",
    "20251031_notelett_encryption_compat_1_note_agent_actions",
    "20251031_notelett_encryption_compat_2_note_prompts",
    "20251031_notelett_encryption_compat_3_note_artifacts",
    "20251031_notelett_encryption_compat_4_palace_memories",
    "20251031_notelett_encryption_compat_5_notes",
    "20251031_notelett_encryption_bound",
    "20251031_notelett_encryption",
)
"""kit.migrations.BUILT_IN."""
TRANSFORMS: Final = ("raw-linkset", "encrypt-fields")
"""kit.transforms.registry.BUILT_IN, but those that change a schema: these need the parameters of a migration."""
VALIDATIONS: Final = ("integrity", "deep", "coverage", "fields")
"""kit.migrations.Validation."""
FORMS: Final = ("bson", "json")
"""kit.verbs.extract.documents.Form."""
PROJECTIONS: Final = ("all", "canonical")
"""kit.verbs.extract.documents.KeptProjections."""
LISTED: Final = 20
"""kit.verbs.diff.diff.LISTED."""


_EXAMPLE = "a time is 2026-01-02T03:04:05Z, or seconds since 1970"


def read_clock() -> Timestamp:
    """Return the time of the clock."""
    return Timestamp(int(clock.time()))


def parse_time(text: str, option: str) -> Timestamp:
    """Return the time that ``option`` has.

    Raises:
        UsageError: The text is not a time.
    """
    try:
        return Timestamp.parse(text)
    except ContentError as error:
        raise UsageError(f"{_source(option)}: {error.what}{_fault(text)}", hint=_EXAMPLE) from error


def _source(option: str) -> str:
    """Return the source of the text: the option, or the environment variable that replaces it."""
    context = click.get_current_context(silent=True)
    for parameter in context.command.params if context is not None else ():
        if context is not None and option in parameter.opts and isinstance(parameter.envvar, str):
            source = context.get_parameter_source(parameter.name or "")
            return parameter.envvar if source is ParameterSource.ENVIRONMENT else option
    return option


def _fault(text: str) -> str:
    """Return why a text is not a time, if that is known."""
    if text.isascii() and text.isdigit():
        return ": it is after the year 9999"
    if re.fullmatch(r"-[0-9]+", text):
        return ": it is before 1970"
    if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        return ": the time of the day is missing"
    if re.fullmatch(r".+[+-][0-9]{2}:?[0-9]{2}", text):
        return ": it is in another zone than UTC"
    return ": the zone is missing" if re.fullmatch(r"[0-9-]+[T ][0-9:.]+", text) else ""


def time_or_now(text: str | None, option: str = "--at") -> Timestamp:
    """Return the time that ``option`` has, else that of the clock.

    Raises:
        UsageError: The text is not a time.
    """
    return parse_time(text, option) if text is not None else read_clock()


def parse_collection(text: str) -> CollectionName:
    """Return the collection of ``--collection``.

    Raises:
        UsageError: It is not ``DB.COLLECTION``.
    """
    from kit.encryption.approval import collection_name

    try:
        return collection_name(text)
    except ContentError as error:
        raise UsageError(f"--collection: {error.what}") from error


def parse_document(text: str) -> DocumentName:
    """Return the document of ``--id``: JSON if it begins like an object, else text.

    Raises:
        UsageError: It is not valid JSON, or of a type that has no such name.
    """
    from kit.encryption.approval import DocumentName
    from kit.values import strict_json

    try:
        value = strict_json.parse(text.encode(), limits=Limits(), where="--id") if text.startswith("{") else text
        return DocumentName.parse(value)
    except (KitError, UnicodeEncodeError) as error:
        raise UsageError(f"--id {text[:80]}: {error}") from error

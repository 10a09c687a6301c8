"""Where settings come from: the environment, and one file that only its user can have written.

Laws: nothing is read from the folder of a kit, the working folder or a medium unless the user names the file in the
command itself; a relative path never depends on the working folder; what overrides a check cannot be set; a file that
others can change is refused, never passed over.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from enum import Enum, auto
from pathlib import Path
from typing import Any, Final

from kit.errors import ContentError, UsageError
from kit.output import secret_files

FILE_NAME: Final = "kit.toml"
FILE_VARIABLE: Final = "KIT_CONFIG"
_MAX_BYTES = 64 * 1024
_DECISIONS = ("insecure", "force", "reason", "allow", "no-backup")
"""How the names of options begin that override a check: each is a decision about one run."""
_OTHER_VARIABLES = frozenset({FILE_VARIABLE, "KIT_DEBUG", "KIT_CORE"})
_KEY_ITSELF = "-----BEGIN"
SECRET_SCHEMES: Final = ("env:", "fd:", "pkcs11:")
"""How a signing key is named that is in no file."""


class Form(Enum):
    """What the value of a setting is."""

    TEXT = auto()
    PATH = auto()
    PATHS = auto()
    SECRETS = auto()
    """Paths, or names of environment variables and file descriptors."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A setting that there is."""

    name: str
    """In the file."""
    variable: str
    option: str
    form: Form


KNOWN: Final = {
    known.name: known
    for known in (
        Known(name="trust", variable="KIT_TRUST", option="--trust", form=Form.PATH),
        Known(name="trusted-keys", variable="KIT_TRUSTED_KEYS", option="--trusted-key", form=Form.PATHS),
        Known(name="signing-key", variable="KIT_SIGNING_KEY", option="--signing-key", form=Form.SECRETS),
        Known(name="operator", variable="KIT_OPERATOR", option="--operator", form=Form.TEXT),
        Known(name="environment", variable="KIT_ENVIRONMENT", option="--environment", form=Form.TEXT),
    )
}
"""By the name in the file."""
ALTERNATIVES: Final = ("trust", "trusted-keys")
"""Settings that exclude each other: the first source that has one of them decides for both."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A value, and where it comes from."""

    known: Known
    values: tuple[str, ...]
    """Never empty; paths are absolute."""
    variable: str | None
    """The environment variable; None if it is from the file."""
    file: Path | None

    @property
    def source(self) -> str:
        """The source, for people."""
        return self.variable or str(self.file)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings in force.

    Attributes:
        settings: By name.
        file: The configuration file that was read; None if there is none.
        place: Where the file is or would be; None without a home folder.
    """

    settings: Mapping[str, Setting]
    file: Path | None
    place: Path | None


def read_settings(named: str | None, environment: Mapping[str, str]) -> Settings:
    """Return the settings in force.

    Args:
        named: The file of ``--config``, if given.
        environment: The environment variables.

    Raises:
        KeyUnusableError: The file is not the user's own, a link, open to changes by others, or a named one is missing.
        ContentError: The file is not such a file (schemas/configuration.md).
        UsageError: A variable has a relative path, or excludes another one.
    """
    place = _place(named, environment)
    explicit = bool(named or environment.get(FILE_VARIABLE))
    present = place is not None and (explicit or os.path.lexists(place))
    levels = [_of_environment(environment), _of_file(place) if place is not None and present else {}]
    found: dict[str, Setting] = {}
    for level in levels:
        _require_one(level)
        settled = any(name in found for name in ALTERNATIVES)
        for name, setting in level.items():
            if name not in found and not (settled and name in ALTERNATIVES):
                found[name] = setting
    return Settings(settings=found, file=place if present else None, place=place)


def unknown_variables(environment: Mapping[str, str]) -> Iterator[str]:
    """Yield a sentence for each variable that looks like a setting and is none."""
    variables = {known.variable for known in KNOWN.values()} | _OTHER_VARIABLES
    for name in sorted(environment):
        if name.startswith("KIT_") and name not in variables:
            near = get_close_matches(name, variables, n=1)
            yield f"{name} is no setting{f'; did you mean {near[0]}?' if near else ''}"


def passed_over(settings: Settings, kits: Iterable[Path]) -> Iterator[Path]:
    """Yield each file that has the name of a configuration file and is not read, where a user may expect that it is.

    These are the working folder, the kit if it is a folder, the folder of the kit, and the top of its medium.
    """
    places = [Path()]
    for kit in kits:
        places += [kit, kit.parent, _medium(kit)]
    known: set[str] = {os.path.realpath(settings.file)} if settings.file is not None else set()
    for place in places:
        file = place / FILE_NAME
        if os.path.lexists(file) and os.path.realpath(file) not in known:
            known.add(os.path.realpath(file))
            yield file


def _medium(path: Path) -> Path:
    top = Path(os.path.realpath(path))
    while not top.is_mount() and top != top.parent:
        top = top.parent
    return top


def _place(named: str | None, environment: Mapping[str, str]) -> Path | None:
    if named is not None:
        return Path(named)
    if chosen := environment.get(FILE_VARIABLE):
        return Path(_absolute(chosen, FILE_VARIABLE))
    # A relative one is to be ignored (XDG Base Directory Specification, "Basics").
    folder = Path(environment.get("XDG_CONFIG_HOME", ""))
    if not folder.is_absolute():
        folder = Path(environment.get("HOME", ""), ".config")
    return folder / "kit" / FILE_NAME if folder.is_absolute() else None


def _of_environment(environment: Mapping[str, str]) -> dict[str, Setting]:
    found = {}
    for known in KNOWN.values():
        text = environment.get(known.variable)
        if not text:
            continue
        parts = text.split(os.pathsep) if known.form is Form.PATHS else [text]
        if known.form is not Form.TEXT:
            parts = [_absolute(part, known.variable) for part in parts if part]
        if parts:
            found[known.name] = Setting(known=known, values=tuple(parts), variable=known.variable, file=None)
    return found


def _require_names(parts: Iterable[str], where: str) -> None:
    """Refuse a key where the name of one is expected, before any message can show it."""
    if any(_KEY_ITSELF in part for part in parts):
        raise UsageError(
            f"{where} holds a key, and the name of one is expected", hint="name the variable that holds it: env:NAME"
        )


def _absolute(text: str, variable: str) -> str:
    _require_names([text], variable)
    if not Path(text).is_absolute() and not text.startswith(SECRET_SCHEMES):
        raise UsageError(
            f"{variable}: {text!r} is relative, and would be read from whatever the working folder is",
            hint=f'{variable}="$PWD/{text}"',
        )
    return text


def _require_one(level: Mapping[str, Setting]) -> None:
    if all(name in level for name in ALTERNATIVES):
        one, other = (level[name] for name in ALTERNATIVES)
        if one.variable is not None:
            raise UsageError(
                f"{one.variable} and {other.variable} exclude each other: a policy names its keys",
                hint=f"unset {other.variable}",
            )
        raise ContentError("trust and trusted-keys exclude each other: a policy names its keys", where=one.source)


def _of_file(place: Path) -> dict[str, Setting]:
    data = secret_files.read_own(place, what="configuration", largest=_MAX_BYTES)
    where = str(place)
    try:
        members = tomllib.loads(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ContentError("is not UTF-8", where=where) from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ContentError(f"is not TOML: {error}", where=where) from error
    folder = Path(os.path.realpath(place)).parent
    found = {}
    for name, value in members.items():
        known = KNOWN.get(name)
        if known is None:
            raise ContentError(_unknown(name), where=where, hint="kit config --help")
        texts = _texts(known, value, where)
        if known.form is not Form.TEXT:
            _require_names(texts, f"{where}: {name}")
            texts = tuple(text if text.startswith(SECRET_SCHEMES) else str(folder / text) for text in texts)
        found[name] = Setting(known=known, values=texts, variable=None, file=place)
    return found


def _unknown(name: str) -> str:
    shown = name[:80]
    if name.lstrip("-").replace("_", "-").startswith(_DECISIONS):
        return f"{shown}: is a decision about one run, and cannot be configured"
    near = get_close_matches(name, KNOWN, n=1)
    return f"{shown}: there is no such setting{f'; did you mean {near[0]}?' if near else ''}"


def _texts(known: Known, value: Any, where: str) -> tuple[str, ...]:
    is_list = known.form in {Form.PATHS, Form.SECRETS}
    items = value if is_list and isinstance(value, list) else [value]
    if not items or not all(isinstance(item, str) and item and "\0" not in item for item in items):
        expected = "a text or a list of texts, none empty, is expected" if is_list else "a text, not empty, is expected"
        raise ContentError(f"{known.name}: {expected}", where=where)
    return tuple(items)

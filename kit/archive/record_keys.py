"""The keys of PAX records: which are known to be harmless, which may be permitted, which never (schemas/archive.md).

A record that one reader obeys and another passes over makes two archives of one: ``SUN.holesdata`` has bsdtar write
zeros over signed bytes, and every reader has keys of its own. So this is a list of what is accepted, each with what
GNU tar, bsdtar, Python and Go make of it; a key that is not on it is refused. Laws: a value is of the form that every
reader takes; a key that decides what a member holds, is called, or may do, is refused whatever the user permits.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from kit.archive.tar_headers import LARGEST_ID, MAX_TIME, MIN_TIME
from kit.errors import ArchiveError

_DECIMAL = re.compile(rb"0|[1-9][0-9]{0,18}")
_TIME = re.compile(rb"(-?[0-9]{1,12})(?:\.[0-9]*)?")
_ID = re.compile(rb"[0-9]{1,10}")
_UTF8 = b"ISO-IR 10646 2000 UTF-8"
# Of keys that only the user vouches for: VENDOR.keyword, the vendor in capitals (POSIX pax, "pax Extended Header").
_VENDOR_KEY = re.compile(r"[A-Z0-9_-]+\.[A-Za-z0-9_.%-]+")
_USER_ATTRIBUTE = re.compile(r"(?:SCHILY|LIBARCHIVE)\.xattr\.user\..+")


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _is_decimal(value: bytes) -> bool:
    return _DECIMAL.fullmatch(value) is not None


def _is_time(value: bytes) -> bool:
    match = _TIME.fullmatch(value)
    return match is not None and MIN_TIME <= int(match[1]) <= MAX_TIME


def _is_id(value: bytes) -> bool:
    return _ID.fullmatch(value) is not None and int(value) <= LARGEST_ID


def _is_any(value: bytes) -> bool:  # noqa: ARG001  what the member's header says is compared with it later
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Harmless:
    """A key that is accepted."""

    holds: Callable[[bytes], bool]
    """Whether a value is one that every reader takes, of values that are not empty and have no NUL."""
    form: str
    """What such a value is."""
    why: str
    """Why the four readers agree on the member all the same."""
    is_global: bool = False
    """Whether it may be said of all members that follow."""


_TIME_FORM = "a time of the years 1 to 9999"
_OBEYED = "all obey it; it is compared with the header that it overrides"
_OWNER = "the owner is no part of what is signed; all but libarchive and Go obey a global one"
_CLOCK = "a time is no part of what is signed; all but libarchive and Go obey a global one"
_IGNORED = "all pass over it"
_COUNTED = "bsdtar notes it for other formats; nothing is unpacked otherwise"

HARMLESS = {
    "path": Harmless(holds=_is_any, form="a name", why=_OBEYED),
    "linkpath": Harmless(holds=_is_any, form="a name", why=_OBEYED),
    "size": Harmless(holds=_is_decimal, form="a decimal number of at most 19 digits", why=_OBEYED),
    "mtime": Harmless(holds=_is_time, form=_TIME_FORM, why=_CLOCK, is_global=True),
    "atime": Harmless(holds=_is_time, form=_TIME_FORM, why=_CLOCK, is_global=True),
    "ctime": Harmless(holds=_is_time, form=_TIME_FORM, why=_CLOCK, is_global=True),
    "uid": Harmless(holds=_is_id, form=f"a number up to {LARGEST_ID}", why=_OWNER, is_global=True),
    "gid": Harmless(holds=_is_id, form=f"a number up to {LARGEST_ID}", why=_OWNER, is_global=True),
    "uname": Harmless(holds=_is_utf8, form="UTF-8", why=_OWNER, is_global=True),
    "gname": Harmless(holds=_is_utf8, form="UTF-8", why=_OWNER, is_global=True),
    "comment": Harmless(holds=_is_utf8, form="UTF-8", why=_IGNORED, is_global=True),
    "hdrcharset": Harmless(
        holds=lambda v: v == _UTF8,
        form=f"{_UTF8.decode()}, the only character set of names that is read",
        why="it says what is so without it",
        is_global=True,
    ),
    "LIBARCHIVE.creationtime": Harmless(
        holds=_is_time, form=_TIME_FORM, why="bsdtar sets it where a file system has one"
    ),
    "SCHILY.dev": Harmless(holds=_is_decimal, form="a decimal number", why=_COUNTED),
    "SCHILY.ino": Harmless(holds=_is_decimal, form="a decimal number", why=_COUNTED),
    "SCHILY.nlink": Harmless(holds=_is_decimal, form="a decimal number", why=_COUNTED),
}

_BODY = "decides which bytes or which name a member has"
_RIGHTS = "gives rights to a file"
# Compared without case and with percent signs decoded, as libarchive decodes the names of attributes: no spelling that
# some reader might take for one of these gets through. Whatever POSIX may yet define has no vendor in front.
_NEVER = (
    ("gnu.", _BODY),
    ("sun.", _BODY),
    ("schily.realsize", _BODY),
    ("schily.offset", _BODY),
    ("schily.filetype", _BODY),
    ("schily.tarfiletype", _BODY),
    ("schily.dir", _BODY),
    ("schily.volhdr.", _BODY),
    ("schily.acl", _RIGHTS),
    ("schily.xattr", _RIGHTS),
    ("libarchive.xattr", _RIGHTS),
)
_NEVER_BUT_HARMLESS = "has no vendor in its key, and is none that is known"


def never(key: str) -> str:
    """Return why no user may permit records of this key; "" where one may, or where it is accepted anyway."""
    if key in HARMLESS:
        return ""
    plain = unquote_to_bytes(key).decode("utf-8", "replace").casefold()
    if _USER_ATTRIBUTE.fullmatch(key) and "%" not in key:
        return ""
    reason = next((why for prefix, why in _NEVER if plain.startswith(prefix)), "")
    return reason or ("" if _VENDOR_KEY.fullmatch(key) else _NEVER_BUT_HARMLESS)


def check_record(key: str, value: bytes, permitted: Collection[str], *, is_global: bool = False) -> bool:
    """Check one record; returns whether it is only accepted because the user permits it.

    Args:
        key: Of the record.
        value: Of the record.
        permitted: Keys that the user permits.
        is_global: Whether it stands in a global header, for all members that follow.

    Raises:
        ArchiveError: Its key is not accepted, there or at all, or its value is not of the form that every reader takes.
    """
    known = HARMLESS.get(key)
    if known is None:
        _check_unknown(key, permitted)
        return True
    scope = "global PAX" if is_global else "PAX"
    if is_global and not known.is_global:
        # One record that renames or resizes every member after it, in the readers that honour it.
        raise ArchiveError(f"has a global PAX {key}")
    if not value or b"\0" in value:
        # By POSIX an empty value takes back what was said before; some readers take it for a value.
        raise ArchiveError(f"has an empty {scope} {key}, or one with a NUL")
    if not known.holds(value):
        raise ArchiveError(f"has the {scope} {key} {value!r}, which is not {known.form}")
    return False


def _check_unknown(key: str, permitted: Collection[str]) -> None:
    reason = never(key)
    if reason:
        raise ArchiveError(f"has a PAX record {key!r}, which {reason}: no kit may hold it")
    if key not in permitted:
        raise ArchiveError(
            f"has a PAX record {key!r}, which is not known to be harmless",
            hint=f"if whoever made the kit says what it is for, permit it: --allow-records {key}",
        )

"""Records in front of a tar header: PAX records (POSIX pax, "pax Extended Header") and GNU long names.

Two readers of one archive may differ in the records that they know: one sees another name or size than the other.
``SUN.holesdata``, for example, makes bsdtar write zeros over signed bytes. So there is a list of accepted keys
(schemas/archive.md), each with what GNU tar, bsdtar, Python and Go do with it, and any other key is refused.

Laws: a record is exact, in a form that every reader accepts, or refused. An override that was not needed must agree
with the header that it overrides. A key that decides what a member holds, is called, or may do (sparse maps, volumes,
character sets, rights) is refused, whatever the user permits.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

from kit.archive.read.headers import MAX_ID, MAX_TIME, MIN_TIME, NAME_BYTES, ExtensionKind, TarHeader
from kit.errors import ArchiveError

_DECIMAL = re.compile(rb"0|[1-9][0-9]{0,18}")
_TIME = re.compile(rb"(-?[0-9]{1,12})(?:\.[0-9]*)?")
_ID = re.compile(rb"[0-9]{1,10}")
_UTF8 = b"ISO-IR 10646 2000 UTF-8"
# Keys that only the user can permit: VENDOR.keyword, the vendor in capitals (POSIX pax, "pax Extended Header").
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
    return _ID.fullmatch(value) is not None and int(value) <= MAX_ID


def _is_any(value: bytes) -> bool:  # noqa: ARG001  it is compared with the member's header later
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Harmless:
    """A key that is accepted."""

    holds: Callable[[bytes], bool]
    """Whether every reader accepts a value, which is not empty and has no NUL."""
    form: str
    """The form of such a value, for messages."""
    why: str
    """Why the four readers agree on the member nevertheless."""
    is_global: bool = False
    """Whether a global header may have it, for all members that follow."""


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
    "uid": Harmless(holds=_is_id, form=f"a number up to {MAX_ID}", why=_OWNER, is_global=True),
    "gid": Harmless(holds=_is_id, form=f"a number up to {MAX_ID}", why=_OWNER, is_global=True),
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
# Compared without case and with percent signs decoded, as libarchive decodes the names of attributes. So no spelling
# that some reader might take for one of these is accepted. A key that POSIX may define later has no vendor.
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


def reason_to_refuse(key: str) -> str:
    """Return why no user may permit records of this key; "" if a user may, or if it is accepted anyway."""
    if key in HARMLESS:
        return ""
    plain = unquote_to_bytes(key).decode("utf-8", "replace").casefold()
    if _USER_ATTRIBUTE.fullmatch(key) and "%" not in key:
        return ""
    reason = next((why for prefix, why in _NEVER if plain.startswith(prefix)), "")
    return reason or ("" if _VENDOR_KEY.fullmatch(key) else _NEVER_BUT_HARMLESS)


def check_record(key: str, value: bytes, permitted: Collection[str], *, is_global: bool = False) -> bool:
    """Check one record; return whether it is only accepted because the user permits it.

    Args:
        key: Key of the record.
        value: Value of the record.
        permitted: Keys that the user permits.
        is_global: Whether it is in a global header, for all members that follow.

    Raises:
        ArchiveError: Its key is not accepted there or at all, or its value has a form that not every reader accepts.
    """
    known = HARMLESS.get(key)
    if known is None:
        _check_unknown(key, permitted)
        return True
    scope = "global PAX" if is_global else "PAX"
    if is_global and not known.is_global:
        # In the readers that obey it, one such record renames or resizes every member after it.
        raise ArchiveError(f"has a global PAX {key}")
    if not value or b"\0" in value:
        # By POSIX an empty value cancels an earlier record; some readers take it for a value.
        raise ArchiveError(f"has an empty {scope} {key}, or one with a NUL")
    if not known.holds(value):
        raise ArchiveError(f"has the {scope} {key} {value!r}, which is not {known.form}")
    return False


def _check_unknown(key: str, permitted: Collection[str]) -> None:
    reason = reason_to_refuse(key)
    if reason:
        raise ArchiveError(f"has a PAX record {key!r}, which {reason}: no kit may hold it")
    if key not in permitted:
        raise ArchiveError(
            f"has a PAX record {key!r}, which is not known to be harmless",
            hint=f"if its producer confirms the purpose, permit it: --allow-records {key}",
        )


_LENGTH = re.compile(rb"[1-9][0-9]{0,9}")
_SECONDS = re.compile(rb"(-?[0-9]{1,12})(?:\.([0-9]*))?")
# Python before 3.13 looks for a character set anywhere in a PAX header, also inside of the value of another record.
_CHARSET_RECORD = re.compile(rb"[0-9]+ hdrcharset=")
# What the 11 digits of a ustar size can hold; a larger size is written as 0 (GNU tar, Python, Go) or saturated.
_MAX_OCTAL = 8**11 - 1
_PLACEHOLDERS = frozenset({0, _MAX_OCTAL, 8**12 - 1})


@dataclass(slots=True, kw_only=True)
class Extensions:
    """The records in front of one member; absent parts are None."""

    pax: dict[str, bytes] | None = None
    long_name: bytes | None = None
    long_link: bytes | None = None
    defaults: dict[str, bytes] = field(default_factory=dict)
    """Values of global records, in force until the end of the archive."""
    permitted: frozenset[str] = frozenset()
    """Keys of records that the user permits."""
    used: set[str] = field(default_factory=set)
    """Those of them that were found in front of this member."""

    def add(self, kind: ExtensionKind, data: bytes) -> None:
        """Add one block of records.

        Raises:
            ArchiveError: It is malformed, or a second one of its kind in front of one member.
        """
        match kind:
            case ExtensionKind.PAX_GLOBAL:
                if (self.pax, self.long_name, self.long_link) != (None, None, None):
                    # Go forgets the earlier records of the member; others keep them.
                    raise ArchiveError("has a global PAX header between a record and the member that it is about")
                self.defaults |= self._parse(data, is_global=True)
            case ExtensionKind.PAX:
                # POSIX lets the second win in some readers and the first in others.
                _refuse_second(self.pax, "PAX header")
                self.pax = self._parse(data)
            case ExtensionKind.GNU_LONG_NAME:
                _refuse_second(self.long_name, "GNU long name")
                self.long_name = _parse_long(data)
            case ExtensionKind.GNU_LONG_LINK:
                _refuse_second(self.long_link, "GNU long link")
                self.long_link = _parse_long(data)

    def _parse(self, data: bytes, *, is_global: bool = False) -> dict[str, bytes]:
        records = parse_pax(data)
        for key, value in records.items():
            if check_record(key, value, self.permitted, is_global=is_global):
                self.used.add(key)
        return records

    def name_over(self, header: TarHeader) -> bytes:
        """Return the member's name.

        Raises:
            ArchiveError: Two records have one, a record that was not needed contradicts the header, or only one of
                record and header ends in the slash that makes an old file a folder.
        """
        name = self._text_over(header.name, self.long_name, "path")
        if header.is_old_file and name.endswith(b"/") is not header.name.endswith(b"/"):
            # Python decides by the header whether it is a folder, GNU tar by the record.
            raise ArchiveError(f"is of the old kind, {header.name!r} in its header and {name!r} in a record")
        return name

    def link_over(self, header: TarHeader) -> bytes:
        """Return the member's link target.

        Raises:
            ArchiveError: As for the name, or a GNU record has a target and the header has none.
        """
        if self.long_link is not None and not header.link:
            # libarchive looks in the header for whether there is a link at all.
            raise ArchiveError("has a GNU link target in a record and none in its header")
        return self._text_over(header.link, self.long_link, "linkpath")

    def size_over(self, header: TarHeader) -> int:
        """Return the member's size.

        Raises:
            ArchiveError: A PAX size contradicts the header: a reader without PAX would find other members.
        """
        value = (self.pax or {}).get("size")
        if value is None:
            return header.size
        size = int(value)
        if size != header.size and not (size > _MAX_OCTAL and header.size in _PLACEHOLDERS):
            raise ArchiveError(f"declares {size} bytes in its PAX record and {header.size} in its header")
        return size

    def mtime_over(self, header: TarHeader) -> int:
        """Return the time of last change in seconds, rounded down to an integer."""
        value = (self.pax or {}).get("mtime", self.defaults.get("mtime", b""))
        match = _SECONDS.fullmatch(value) if value else None
        if match is None:  # absent: a record of another form was refused when it was read
            return header.mtime
        return int(match[1]) - (match[1].startswith(b"-") and bool((match[2] or b"").strip(b"0")))

    def _text_over(self, plain: bytes, long: bytes | None, key: str) -> bytes:
        override = (self.pax or {}).get(key)
        if override is not None and long is not None:
            raise ArchiveError(f"has both a GNU long record and a PAX {key}")
        text = long if override is None else override
        if text is None:
            return plain
        # Writers override only what does not fit, so an override that would fit hides another name. (Old GNU tar keeps
        # the last byte of the field for a NUL, so 100 bytes do not fit there.)
        fits = len(text) <= NAME_BYTES and text.isascii()
        if fits and text != plain and (long is None or plain != text[: NAME_BYTES - 1]):
            raise ArchiveError(f"has the {key} {text!r} in an extension record and {plain!r} in its header")
        return text


def parse_pax(data: bytes) -> dict[str, bytes]:
    """Parse ``length key=value newline`` records, exactly up to the end of ``data``.

    Raises:
        ArchiveError: A record is malformed or repeated, or hides another in its value.
    """
    records: dict[str, bytes] = {}
    at = 0
    while at < len(data):
        digits = data[at : at + 11].partition(b" ")[0]
        end = at + int(digits) if _LENGTH.fullmatch(digits) else 0
        if not at < end <= len(data) or data[end - 1 : end] != b"\n":
            raise ArchiveError(f"has a malformed PAX record at byte {at} of its PAX header")
        key_bytes, equals, value = data[at + len(digits) + 1 : end - 1].partition(b"=")
        try:
            key = key_bytes.decode("utf-8")
        except UnicodeDecodeError:
            key = ""
        if not key or "\0" in key or not equals:
            raise ArchiveError(f"has a PAX record without a key at byte {at} of its PAX header")
        if key in records:
            raise ArchiveError(f"has two PAX records {key!r}")
        records[key] = value
        at = end
    if len(_CHARSET_RECORD.findall(data)) != ("hdrcharset" in records):
        raise ArchiveError("has a PAX record that holds another one, a character set")
    return records


def _parse_long(data: bytes) -> bytes:
    text = data[:-1]
    if not text or data[-1:] != b"\0" or b"\0" in text:
        raise ArchiveError("has a GNU long record that is not one text ended by one NUL")
    return text


def _refuse_second(earlier: object, label: str) -> None:
    if earlier is not None:
        raise ArchiveError(f"has two records of the kind {label}")

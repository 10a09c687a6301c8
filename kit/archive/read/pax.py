"""Parses what stands in front of a tar header: PAX records (POSIX pax, "pax Extended Header") and GNU long names.

An override is where two readers of one archive part ways: one that knows it sees another name or size than one that
does not. Laws: records are exact or refused; an override that was not needed must agree with the header it
overrides; a record that would change what the body is (sparse maps, volumes, character sets) is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from kit.archive.record_keys import check_record
from kit.archive.tar_headers import NAME_BYTES, ExtensionKind, TarHeader
from kit.errors import ArchiveError

_LENGTH = re.compile(rb"[1-9][0-9]{0,9}")
_SECONDS = re.compile(rb"(-?[0-9]{1,12})(?:\.([0-9]*))?")
# Python before 3.13 looks for a character set anywhere in a PAX header, also inside of the value of another record.
_CHARSET_RECORD = re.compile(rb"[0-9]+ hdrcharset=")
# What the 11 digits of a ustar size can hold; a larger size is written as 0 (GNU tar, Python, Go) or saturated.
_OCTAL_MAXIMUM = 8**11 - 1
_STAND_INS = frozenset({0, _OCTAL_MAXIMUM, 8**12 - 1})


@dataclass(slots=True, kw_only=True)
class Extensions:
    """What the records in front of one member say; absent parts are None."""

    pax: dict[str, bytes] | None = None
    long_name: bytes | None = None
    long_link: bytes | None = None
    defaults: dict[str, bytes] = field(default_factory=dict)
    """From global records, in force until the end of the archive."""
    permitted: frozenset[str] = frozenset()
    """Keys of records that the user permits."""
    used: set[str] = field(default_factory=set)
    """Of these, the ones met in front of this member."""

    def add(self, kind: ExtensionKind, data: bytes) -> None:
        """Take in one record block.

        Raises:
            ArchiveError: It is malformed, or a second one of its kind in front of one member.
        """
        match kind:
            case ExtensionKind.PAX_GLOBAL:
                if (self.pax, self.long_name, self.long_link) != (None, None, None):
                    # Go forgets what was said of the member before; others keep it.
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
        """The member's name.

        Raises:
            ArchiveError: Two records give it, one that was not needed contradicts the header, or only one of record
                and header ends in the slash that makes an old file a folder.
        """
        name = self._text_over(header.name, self.long_name, "path")
        if header.is_old_file and name.endswith(b"/") is not header.name.endswith(b"/"):
            # Python decides by the header whether it is a folder, GNU tar by the record.
            raise ArchiveError(f"is of the old kind, {header.name!r} in its header and {name!r} in a record")
        return name

    def link_over(self, header: TarHeader) -> bytes:
        """The member's link target.

        Raises:
            ArchiveError: As of the name; or a GNU record gives a target to a header without one.
        """
        if self.long_link is not None and not header.link:
            # libarchive asks the header whether there is a link at all.
            raise ArchiveError("has a GNU link target in a record and none in its header")
        return self._text_over(header.link, self.long_link, "linkpath")

    def size_over(self, header: TarHeader) -> int:
        """The member's size.

        Raises:
            ArchiveError: A PAX size contradicts the header: a reader without PAX would find other members.
        """
        value = (self.pax or {}).get("size")
        if value is None:
            return header.size
        size = int(value)
        if size != header.size and not (size > _OCTAL_MAXIMUM and header.size in _STAND_INS):
            raise ArchiveError(f"declares {size} bytes in its PAX record and {header.size} in its header")
        return size

    def mtime_over(self, header: TarHeader) -> int:
        """Return the time of last change in whole seconds; a fraction is cut towards the past, as a clock has it."""
        value = (self.pax or {}).get("mtime", self.defaults.get("mtime", b""))
        match = _SECONDS.fullmatch(value) if value else None
        if match is None:  # none: a record of another form was refused where it was read
            return header.mtime
        return int(match[1]) - (match[1].startswith(b"-") and bool((match[2] or b"").strip(b"0")))

    def _text_over(self, plain: bytes, long: bytes | None, key: str) -> bytes:
        override = (self.pax or {}).get(key)
        if override is not None and long is not None:
            raise ArchiveError(f"has both a GNU long record and a PAX {key}")
        text = long if override is None else override
        if text is None:
            return plain
        # Writers override only what does not fit: an override that would have fitted hides another name. (Old GNU
        # tar keeps the last byte of the field for a NUL, so 100 bytes do not fit there.)
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

"""The canonical form of one value: what the platform's ``linkset`` holds where ``rawLinkset`` has it verbatim.

==========  ==========================================================================================================
alias       without case
purl        type lower-cased, namespace and name as their type requires, no qualifiers, no subpath; version kept
CPE         the 2.3 formatted string, vendor and product lower-cased; a 2.2 URI (``cpe:/``) is converted first
reference   its URL, as it stands
==========  ==========================================================================================================

Laws: canonical forms are idempotent; nothing here raises. A purl or CPE that does not parse has no canonical form and
stands for itself, byte for byte: its parts cannot be told apart, so lower-casing it could only hide a difference, while
an exact comparison at worst names a document whose value deserves a look anyway.

Sources: package-url/purl-spec by way of packageurl-python; NISTIR 7695, sections 6.1 (URI) and 6.2 (formatted string).
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from packageurl import PackageURL

_REMEMBERED: Final = 16384
"""Values kept for each cache: a few MB in each worker; advisories repeat their packages for long stretches."""

_LOWER_BEYOND_LIBRARY: Final = {
    "brew": ("namespace", "name"),
    "deb": ("namespace", "name"),
    "golang": ("namespace", "name"),
    "npm": ("namespace",),
    "rpm": ("namespace",),
    "vscode-extension": ("namespace", "name"),
}
"""What the definitions of types (purl-spec, ``types/``) call case-insensitive, and packageurl-python 0.17.6 keeps.

Both sides of a comparison pass here, so that a type that is missing can only report a difference that is none.
"""

_VALUE: Final = r"(?:\\.|[^\\:])+"
_FORMATTED: Final = re.compile(
    rf"cpe:2\.3:([aho*-]):({_VALUE}):({_VALUE})((?::{_VALUE}){{8}})", re.IGNORECASE | re.DOTALL
)
_URI_PREFIX: Final = "cpe:/"
_URI_COMPONENTS: Final = 7
"""part, vendor, product, version, update, edition, language."""
_PACKED_PARTS: Final = 6
"""``~edition~sw_edition~target_sw~target_hw~other``: five attributes in the one place of the edition."""
_ANY: Final = "*"
_URI_CHARACTER: Final = re.compile(r"%([0-9a-f]{2})|([!-$&-~])", re.IGNORECASE)
_BARE: Final = frozenset("._-")
"""Punctuation that a formatted string does not quote (NISTIR 7695, 6.2.2.2)."""
_WILDCARDS: Final = {"01": "?", "02": "*"}


def canonical_alias(alias: str) -> str:
    """Return ``alias`` without case."""
    return alias.casefold()


@lru_cache(maxsize=_REMEMBERED)
def canonical_purl(purl: str) -> str:
    """Return ``purl`` normalised, without qualifiers and subpath; as it stands if it is no package URL."""
    try:
        # Qualifiers are dropped after parsing: for some types they decide about the case of the name.
        parsed = PackageURL.from_string(purl)
        for component in _LOWER_BEYOND_LIBRARY.get(parsed.type, ()):
            parsed = parsed._replace(**{component: (getattr(parsed, component) or "").lower()})
        return str(parsed._replace(qualifiers={}, subpath=None).to_string())
    except ValueError:
        return purl


@lru_cache(maxsize=_REMEMBERED)
def canonical_cpe(cpe: str) -> str:
    """Return ``cpe`` as a 2.3 formatted string, vendor and product lower-cased; as it stands if it is no CPE."""
    if cpe[: len(_URI_PREFIX)].lower() == _URI_PREFIX:
        converted = _formatted_string(cpe[len(_URI_PREFIX) :])
        if converted is None:
            return cpe
    else:
        converted = cpe
    match = _FORMATTED.fullmatch(converted)
    if match is None:
        return cpe
    part, vendor, product, others = match.groups()
    return f"cpe:2.3:{part.lower()}:{vendor.lower()}:{product.lower()}{others}"


def _formatted_string(uri: str) -> str | None:
    """Convert what follows ``cpe:/``; None if it is not a CPE 2.2 name (NISTIR 7695, 6.1.3 and 6.2.2)."""
    components = uri.split(":")
    if len(components) > _URI_COMPONENTS:
        return None
    components += [""] * (_URI_COMPONENTS - len(components))
    *named, edition, language = components
    packed = [edition, "", "", "", ""]
    if edition.startswith("~"):
        parts = edition.split("~")
        if len(parts) != _PACKED_PARTS:
            return None
        packed = parts[1:]
    values = [_attribute(value) for value in (*named, packed[0], language, *packed[1:])]
    return ":".join(["cpe:2.3", *(value for value in values if value is not None)]) if None not in values else None


def _attribute(value: str) -> str | None:
    if value in {"", "-"}:
        return value or _ANY
    quoted = []
    end = 0
    while end < len(value):
        match = _URI_CHARACTER.match(value, end)
        if match is None:
            return None
        end = match.end()
        code, character = match.groups()
        if code in _WILDCARDS:
            quoted.append(_WILDCARDS[code])
            continue
        character = character or chr(int(code, 16))
        if not "!" <= character <= "~":
            return None
        quoted.append(character if character.isalnum() or character in _BARE else f"\\{character}")
    return "".join(quoted)

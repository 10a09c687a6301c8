"""The canonical form of one value: what the platform's ``linkset`` holds where ``rawLinkset`` has it verbatim.

==========  ==========================================================================================================
alias       without case
purl        type lower-cased, namespace, name and version as their type requires, percent-encoded alike, no qualifiers,
            no subpath
CPE         the 2.3 formatted string, quoted as its grammar wants, vendor and product lower-cased; a 2.2 URI
            (``cpe:/``) is converted first
reference   its URL, as it stands
==========  ==========================================================================================================

Laws: canonical forms are idempotent; nothing here raises. A purl or CPE that does not parse has no canonical form and
stands for itself, byte for byte: its parts cannot be told apart, so lower-casing it could only hide a difference, while
an exact comparison at worst names a document whose value deserves a look anyway.

Sources: package-url/purl-spec by way of packageurl-python, and for the case of components the definitions of types
themselves (``purl_types``), which the library is behind; NISTIR 7695, sections 5.3.2 (quoting), 6.1 (URI) and 6.2
(formatted string).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from packageurl import PackageURL, quote, unquote

from kit.transforms.raw_linkset.purl_types import LOWERED

_REMEMBERED: Final = 16384
"""Values kept for each cache: a few MB in each worker; advisories repeat their packages for long stretches."""

_SCHEME: Final = "pkg"
_PROSE: Final = frozenset({"cpan", "hackage", "mlflow", "pub", "pypi"})
"""Types whose definitions have rules in words beside those of case, such as ``_`` for ``-``: the library knows them."""
_BY_QUALIFIER: Final = "mlflow"
"""The type whose name has case or not depending on where the package is kept."""

_VALUE: Final = r"(?:\\.|[^\\:])+"
_ATTRIBUTE: Final = re.compile(rf":({_VALUE})", re.DOTALL)
_CHARACTER: Final = re.compile(r"\\(.)|(.)", re.DOTALL)
_FORMATTED: Final = re.compile(
    rf"cpe:2\.3:([aho*-]):({_VALUE}):({_VALUE})((?::{_VALUE}){{8}})", re.IGNORECASE | re.DOTALL
)
_URI_PREFIX: Final = "cpe:/"
_URI_COMPONENTS: Final = 7
"""part, vendor, product, version, update, edition, language."""
_PACKED_PARTS: Final = 6
"""``~edition~sw_edition~target_sw~target_hw~other``: five attributes in the one place of the edition."""
_ANY: Final = "*"
_NOT_APPLICABLE: Final = "-"
_URI_CHARACTER: Final = re.compile(r"%([0-9a-f]{2})|([!-$&-~])", re.IGNORECASE)
_BARE: Final = frozenset("._-")
"""Punctuation that a formatted string does not quote (NISTIR 7695, 6.2.2.2)."""
_WILDCARDS: Final = {"01": "?", "02": "*"}
_UNQUOTED: Final = frozenset("?*")


def canonical_alias(alias: str) -> str:
    """Return ``alias`` without case."""
    return alias.casefold()


@lru_cache(maxsize=_REMEMBERED)
def canonical_purl(purl: str) -> str:
    """Return ``purl`` normalised, without qualifiers and subpath; as it stands if it is no package URL."""
    try:
        return _normalised(purl)
    except ValueError:
        return purl


def _normalised(purl: str) -> str:
    """Return a package URL's canonical form, without what follows the version.

    Raises:
        ValueError: It is no package URL.
    """
    scheme, _, rest = purl.partition(":")
    if scheme.lower() != _SCHEME:
        raise ValueError("not a package URL")
    # What is dropped is cut off first: it may be malformed without the package being another one.
    head = rest.partition("#")[0].partition("?")[0]
    parsed = PackageURL.from_string(f"{_SCHEME}:{head}", normalize_purl=False)
    lowered = LOWERED.get(parsed.type)
    decode: Callable[[str], str] = unquote
    if lowered is None or parsed.type in _PROSE:
        parsed, decode = _by_library(head, rest if parsed.type == _BY_QUALIFIER else head), str

    def encoded(component: str, value: str) -> str:
        value = decode(value)
        return quote(value.lower() if lowered is not None and component in lowered else value)

    # A slash within a segment stays one: `quote` leaves it, and it would start another segment.
    segments = [encoded("namespace", one) for one in (parsed.namespace or "").split("/") if one]
    segments.append(encoded("name", parsed.name))
    path = "/".join([segment.replace("/", "%2F") for segment in segments])
    return f"{_SCHEME}:{parsed.type}/{path}" + (f"@{encoded('version', parsed.version)}" if parsed.version else "")


def _by_library(head: str, whole: str) -> PackageURL:
    """Return what the library makes of ``whole``, or of ``head`` where the qualifiers are malformed; decoded."""
    try:
        return PackageURL.from_string(f"{_SCHEME}:{whole}")
    except ValueError:
        return PackageURL.from_string(f"{_SCHEME}:{head}")


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
    named = f"cpe:2.3:{part.lower()}:{_value(vendor).lower()}:{_value(product).lower()}"
    return ":".join([named, *map(_value, _ATTRIBUTE.findall(others))])


def _value(value: str) -> str:
    """Return an attribute of a formatted string with the quoting that its grammar wants, and no other.

    Quoted or not, a letter, a digit, ``.``, ``-`` and ``_`` are themselves, and other punctuation is only itself when
    quoted (NISTIR 7695, 6.2.2.2). What is not quoted though it should be has one meaning as well, but for ``*`` and
    ``?``, which then are wildcards, and for ``-`` alone, which is "not applicable".
    """
    if value in {_ANY, _NOT_APPLICABLE, rf"\{_NOT_APPLICABLE}"}:
        return value
    return _CHARACTER.sub(_requoted, value)


def _requoted(match: re.Match[str]) -> str:
    escaped, bare = match.groups()
    character = escaped or bare
    if character.isalnum() or character in _BARE or (bare and bare in _UNQUOTED):
        return character
    return f"\\{character}"


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
    if value in {"", _NOT_APPLICABLE}:
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

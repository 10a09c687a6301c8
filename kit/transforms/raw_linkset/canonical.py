"""The canonical form of one value, as in the platform's ``linkset``; ``rawLinkset`` has values verbatim.

==========  ==========================================================================================================
alias       without case
purl        type lower-cased, namespace, name and version as their type requires, percent-encoded alike, no qualifiers,
            no subpath
CPE         the 2.3 formatted string, quoted as its grammar wants, vendor and product lower-cased; a 2.2 URI
            (``cpe:/``) is converted first
reference   its URL, as it stands
==========  ==========================================================================================================

Laws: canonical forms are idempotent; nothing here raises. A purl or CPE that does not parse is its own canonical form,
byte for byte: its parts are unknown, so lower-casing could hide a difference, while an exact comparison at worst names
a document whose value deserves a look anyway.

Sources: package-url/purl-spec through packageurl-python; for the case of components the type definitions themselves
(``purl_types``), since the library lags behind; NISTIR 7695, sections 5.3.2 (quoting), 6.1 (URI) and 6.2 (formatted
string).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from packageurl import PackageURL, quote, unquote

from kit.transforms.raw_linkset.purl_types import LOWERED

_CACHE_SIZE: Final = 16384
"""Values in each cache: a few MB in each worker; advisories repeat their packages for long stretches."""

_SCHEME: Final = "pkg"
_PROSE: Final = frozenset({"cpan", "hackage", "mlflow", "pub", "pypi"})
"""Types whose definitions have rules other than case, such as ``_`` for ``-``: the library implements them."""
_BY_QUALIFIER: Final = "mlflow"
"""The type whose name is case-sensitive or not, depending on the package's repository."""

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
"""``~edition~sw_edition~target_sw~target_hw~other``: five attributes in the edition's place."""
_ANY: Final = "*"
_NOT_APPLICABLE: Final = "-"
_URI_CHARACTER: Final = re.compile(r"%([0-9a-f]{2})|([!-$&-~])", re.IGNORECASE)
_BARE: Final = frozenset("._-")
"""Punctuation that a formatted string does not quote (NISTIR 7695, 6.2.2.2)."""
_WILDCARDS: Final = {"01": "?", "02": "*"}
_UNQUOTED: Final = frozenset("?*")


def canonical_alias(alias: str) -> str:
    """Return ``alias``, lower-cased."""
    return alias.casefold()


@lru_cache(maxsize=_CACHE_SIZE)
def canonical_purl(purl: str) -> str:
    """Return ``purl`` normalised, without qualifiers and subpath; unchanged if it is no package URL."""
    try:
        return _normalise(purl)
    except ValueError:
        return purl


def _normalise(purl: str) -> str:
    """Return a package URL's canonical form, without what follows the version.

    Raises:
        ValueError: It is no package URL.
    """
    scheme, _, rest = purl.partition(":")
    if scheme.lower() != _SCHEME:
        raise ValueError("not a package URL")
    # Qualifiers and subpath are cut off first: they may be malformed without changing the package.
    head = rest.partition("#")[0].partition("?")[0]
    parsed = PackageURL.from_string(f"{_SCHEME}:{head}", normalize_purl=False)
    lowered = LOWERED.get(parsed.type)
    decode: Callable[[str], str] = unquote
    if lowered is None or parsed.type in _PROSE:
        parsed, decode = _by_library(head, rest if parsed.type == _BY_QUALIFIER else head), str

    def encode(component: str, value: str) -> str:
        value = decode(value)
        return quote(value.lower() if lowered is not None and component in lowered else value)

    # A slash within a segment stays encoded: `quote` keeps it, and it would start another segment.
    segments = [encode("namespace", one) for one in (parsed.namespace or "").split("/") if one]
    segments.append(encode("name", parsed.name))
    path = "/".join([segment.replace("/", "%2F") for segment in segments])
    return f"{_SCHEME}:{parsed.type}/{path}" + (f"@{encode('version', parsed.version)}" if parsed.version else "")


def _by_library(head: str, whole: str) -> PackageURL:
    """Return ``whole`` parsed by the library, or ``head`` if the qualifiers are malformed; decoded."""
    try:
        return PackageURL.from_string(f"{_SCHEME}:{whole}")
    except ValueError:
        return PackageURL.from_string(f"{_SCHEME}:{head}")


@lru_cache(maxsize=_CACHE_SIZE)
def canonical_cpe(cpe: str) -> str:
    """Return ``cpe`` as a 2.3 formatted string, vendor and product lower-cased; unchanged if it is no CPE."""
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
    """Return an attribute of a formatted string with exactly the quoting that its grammar requires.

    A letter, a digit, ``.``, ``-`` and ``_`` mean themselves, quoted or not; other punctuation does only when quoted
    (NISTIR 7695, 6.2.2.2). Unquoted punctuation is still unambiguous, except ``*`` and ``?``, which are wildcards, and
    a lone ``-``, which means "not applicable".
    """
    if value in {_ANY, _NOT_APPLICABLE, rf"\{_NOT_APPLICABLE}"}:
        return value
    return _CHARACTER.sub(_requote, value)


def _requote(match: re.Match[str]) -> str:
    escaped, bare = match.groups()
    character = escaped or bare
    if character.isalnum() or character in _BARE or (bare and bare in _UNQUOTED):
        return character
    return f"\\{character}"


def _formatted_string(uri: str) -> str | None:
    """Return what follows ``cpe:/`` as a formatted string; None if it is no CPE 2.2 name (NISTIR 7695, 6.1.3)."""
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

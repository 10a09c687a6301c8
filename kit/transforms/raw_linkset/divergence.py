"""The check of a derived ``rawLinkset`` against the observation's own ``linkset``.

Other code made ``linkset`` from the same upstream document when the observation was stored. It cannot be turned back
into a projection, since order and duplicates are lost, but it must hold the same values. Otherwise the document was
changed since, came from another revision, or is read differently here. Such a document is *divergent*; the caller
decides what follows.

Both sides are put into canonical form and compared as sets, list by list. A value in ``linkset`` of the wrong type
matches nothing, except a reference that is just its URL. Types and sources of references are not compared.
``rawLinkset`` has values verbatim; their canonical form is that of the platform's ``linkset``:

==========  ==========================================================================================================
alias       without case
purl        type lower-cased, namespace, name and version as their type requires, percent-encoded alike, no qualifiers,
            no subpath
CPE         the 2.3 formatted string, quoted as its grammar wants, vendor and product lower-cased; a 2.2 URI
            (``cpe:/``) is converted first
reference   its URL, unchanged
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
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from operator import itemgetter
from typing import Any, Final

from packageurl import PackageURL, quote, unquote

from kit.transforms.raw_linkset import shape
from kit.transforms.raw_linkset.projection import Projection, Reference
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


NAMED: Final = 5
"""Maximum values named of one side of a list; the rest is counted."""
_SHOWN: Final = 200
"""Maximum characters shown of one value."""

_url_of_value = itemgetter(Reference._fields.index("url"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """The values that only one side of a list has, in canonical form."""

    count: int
    named: tuple[str, ...]
    """The first NAMED of them, sorted, each cut to a readable length."""

    @classmethod
    def of(cls, values: Iterable[str]) -> Side:
        """Return ``values`` counted, the first of them named."""
        ordered = sorted(values)
        named = (value if len(value) <= _SHOWN else f"{value[:_SHOWN]}…" for value in ordered[:NAMED])
        return cls(count=len(ordered), named=tuple(named))

    def __str__(self) -> str:
        more = [f"{self.count - len(self.named)} more"] if self.count > len(self.named) else []
        return ", ".join([*map(repr, self.named), *more])


@dataclass(frozen=True, slots=True, kw_only=True)
class ListDivergence:
    """One list in which the two sides differ."""

    name: str
    """``aliases``, ``purls``, ``cpes`` or ``references``."""
    only_raw: Side
    only_linkset: Side
    element: str = shape.RAW_LINKSET
    """The name of the derived element."""

    def __str__(self) -> str:
        sides = ((self.element, self.only_raw), ("linkset", self.only_linkset))
        return f"{self.name}: " + "; ".join(f"only in {name} {side}" for name, side in sides if side.count)


@dataclass(frozen=True, slots=True, kw_only=True)
class Divergence:
    """How a derived ``rawLinkset`` and the canonical ``linkset`` differ; ``str()`` is one line for the report."""

    lists: tuple[ListDivergence, ...]
    """At least one; in the order of ``shape.ELEMENTS``."""

    def __str__(self) -> str:
        return " | ".join(map(str, self.lists))


def compare(projection: Projection, linkset: Mapping[str, Any], names: shape.Names = shape.NAMES) -> Divergence | None:
    """Return the differences of ``projection`` and a decoded ``linkset``; None if they agree.

    Args:
        projection: The derived value.
        linkset: The observation's subdocument; a missing list counts as empty.
        names: The names of its lists and their members.
    """
    aliases = linkset.get(names.aliases)
    purls = linkset.get(names.purls)
    cpes = linkset.get(names.cpes)
    references = linkset.get(names.references)
    # Nearly all documents agree without normalising: then four set comparisons are the whole check.
    if type(aliases) is list and type(purls) is list and type(cpes) is list and type(references) is list:
        try:
            if (
                set(map(str.casefold, projection.aliases)) == set(map(str.casefold, aliases))
                and (not (purls or projection.purls) or set(projection.purls) == set(purls))
                and (not (cpes or projection.cpes) or set(projection.cpes) == set(cpes))
                and set(map(_url_of_value, projection.references)) == set(map(itemgetter(names.url), references))
            ):
                return None
        except (KeyError, TypeError):
            pass  # a value is no string or no reference; it is named below
    urls = [reference.url for reference in projection.references]
    lists = (
        _differ(names.aliases, projection.aliases, aliases, canonical_alias),
        _differ(names.purls, projection.purls, purls, canonical_purl),
        _differ(names.cpes, projection.cpes, cpes, canonical_cpe),
        _differ(names.references, urls, _urls(references, names.url), str),
    )
    found = tuple(replace(one, element=names.raw_linkset) for one in lists if one is not None)
    return Divergence(lists=found) if found else None


def _differ(name: str, raw: Iterable[str], listed: object, canonical: Callable[[str], str]) -> ListDivergence | None:
    left = {canonical(value) for value in raw}
    right = set()
    strange = []
    for value in _as_list(listed):
        if type(value) is str:
            right.add(canonical(value))
        else:
            strange.append(_name_of(value))
    if left == right and not strange:
        return None
    # The placeholder of a value that is no string must count even if a real value has the same text.
    only_linkset = [*(right - left), *strange]
    return ListDivergence(name=name, only_raw=Side.of(left - right), only_linkset=Side.of(only_linkset))


def _urls(references: object, url: str) -> list[object]:
    return [reference.get(url) if isinstance(reference, dict) else reference for reference in _as_list(references)]


def _as_list(values: object) -> list[object]:
    if isinstance(values, list):
        return values
    return [] if values is None else [(values,)]


def _name_of(value: object) -> str:
    if isinstance(value, tuple):
        return f"<{type(value[0]).__name__} instead of a list>"
    return f"<{type(value).__name__} instead of a string>"

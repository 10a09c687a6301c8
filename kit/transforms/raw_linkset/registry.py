"""Finds the extractor of a document by the name of its format, or by its content if it names none.

The four built-ins are listed here; installed distributions add theirs through the entry point group ``kit.extractors``.
The built-ins are declared in that group too, as an example to copy, but do not depend on it: a tree that was never
installed, or whose metadata is older than its code, has the same registry. An extractor that cannot be loaded, breaks
the protocol, or claims a format that is taken is an error at the start of a run; load order never decides.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, Final, final

from kit.errors import ContentError, UsageError
from kit.transforms.raw_linkset import csaf, cve, ghsa, osv
from kit.transforms.raw_linkset.extractor import OTHERS, Extraction, Extractor
from kit.values.extractor_release import ExtractorRelease
from kit.version import TOOL, VERSION

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP: Final = "kit.extractors"
_BUILT_IN: Final[tuple[Extractor, ...]] = (osv.EXTRACTOR, csaf.EXTRACTOR, cve.EXTRACTOR, ghsa.EXTRACTOR)
_OWN_PACKAGE: Final = __name__.rpartition(".")[0] + "."

_NAME_LENGTH: Final = 64
"""Longer texts are no format names."""
_SEPARATORS: Final = re.compile(r"[\s_/-]+")
_NAME_SEPARATORS: Final = re.compile("[-_.]+")
_FAMILY_AND_VERSION: Final = re.compile(r"(.*?)(?:-?(?<!\d)(?:(?<=-)v)?(\d+(?:\.\d+)*)(?:\.x)?)?")


@lru_cache(maxsize=256)
def format_names(stated: str) -> tuple[str, ...]:
    """Return the names by which to look up a format that an observation states, best first.

    Case does not matter; blanks, ``_``, ``/`` and ``-`` are one separator; a version at the end may follow with or
    without one, with or without a ``v``. A name with a version is looked up with the whole version, then with its major
    part, and never without: ``CSAF 1.2`` must not reach the extractor of CSAF 2. A ``v`` between name and version is
    read as part of the name first (``osv1.6``), then of the version (``csafv2``).

    >>> format_names("CVE JSON v5.1")
    ('cve-json-5.1', 'cve-json-5')
    >>> format_names("osv")
    ('osv',)
    >>> format_names("cvelistV5")
    ('cvelistv-5', 'cvelist-5')
    """
    name = _SEPARATORS.sub("-", stated.strip().lower())
    match = _FAMILY_AND_VERSION.fullmatch(name) if len(name) <= _NAME_LENGTH else None
    if match is None or not match[1]:
        return ()
    family, version = match[1], match[2]
    if version is None:
        return (family,)
    major = version.partition(".")[0]
    families = [family]
    if match.end(1) == match.start(2) and family.endswith("v"):
        families.append(family[:-1].rstrip("-"))
    return tuple(dict.fromkeys(f"{name}-{number}" for name in families if name for number in (version, major)))


def _join_name(name: str) -> str:
    """Return a name without separators, as some programs spell it: ``CveRecord5.1``, ``csafVex``."""
    family, separator, version = name.rpartition("-")
    is_versioned = bool(separator) and version[:1].isdigit()
    return f"{family.replace('-', '')}-{version}" if is_versioned else name.replace("-", "")


@final
class Registry:
    """All extractors of a run.

    Attributes:
        extractors: In the order in which they are asked.
        needs: The top-level names any extractor reads: what to decode before :meth:`sniff`.
    """

    def __init__(self, extractors: tuple[Extractor, ...]) -> None:
        """Take the extractors.

        Raises:
            UsageError: Two of them have one name or claim one format.
        """
        self.extractors: Final = extractors
        self.needs: Final[dict[str, None]] = {}
        self._claims: Final[dict[str, Extractor]] = {}
        # By the claim without separators; None where that is the same for two extractors.
        self._claims_joined: Final[dict[str, Extractor | None]] = {}
        names: set[str] = set()
        for extractor in self.extractors:
            if extractor.name in names:
                raise UsageError("two extractors have this name", where=f"extractor {extractor.name!r}", hint=_HINT)
            names.add(extractor.name)
            self.needs.update(dict.fromkeys(name for name in extractor.needs if name != OTHERS))
            for claim in extractor.formats:
                other = self._claims.setdefault(claim, extractor)
                if other is not extractor:
                    raise UsageError(
                        f"claims the format {claim!r}, which {other.name!r} reads",
                        where=f"extractor {extractor.name!r}",
                        hint=_HINT,
                    )
                joined = _join_name(claim)
                same = self._claims_joined.get(joined, extractor) is extractor
                self._claims_joined[joined] = extractor if same else None

    def for_format(self, name: object) -> Extractor | None:
        """Return the extractor for the stated format ``name``; None if there is none, or it is no string."""
        if type(name) is not str:
            return None
        candidates = format_names(name)
        for candidate in candidates:
            extractor = self._claims.get(candidate)
            if extractor is not None:
                return extractor
        return next(filter(None, (self._claims_joined.get(_join_name(candidate)) for candidate in candidates)), None)

    @property
    def added(self) -> tuple[ExtractorRelease, ...]:
        """The releases of the extractors that other distributions add, sorted by name."""
        return tuple(sorted(one.release for one in self.extractors if isinstance(one, _InstalledExtractor)))

    def releases(self) -> Iterator[tuple[Extractor, ExtractorRelease]]:
        """Yield each extractor, in the order in which they are asked, with the release that it is from."""
        for one in self.extractors:
            if isinstance(one, _InstalledExtractor):
                yield one, one.release
            else:
                yield one, ExtractorRelease(name=one.name, distribution=TOOL, version=VERSION)

    def shipped(self, name: str) -> str | None:
        """Return the name of the built-in extractor for the stated format ``name``, if there is one."""
        extractor = self.for_format(name)
        return extractor.name if extractor is not None and any(extractor is one for one in _BUILT_IN) else None

    def sniff(self, raw: Mapping[str, Any]) -> Extractor | None:
        """Return the one extractor that recognises ``raw``; None if there is none or more than one."""
        found = [extractor for extractor in self.extractors if extractor.recognises(raw)]
        return found[0] if len(found) == 1 else None


_HINT: Final = "uninstall or repair the package that adds it"


@cache
def load() -> Registry:
    """Return the built-in and installed extractors; loaded once a process.

    Raises:
        UsageError: An installed extractor cannot be loaded, breaks the protocol, or claims what another has.
    """
    from importlib.metadata import entry_points  # noqa: PLC0415  half as long to load as all of this package

    return assemble(entry_points(group=GROUP))


def assemble(declared: Iterable[EntryPoint]) -> Registry:
    """Return the built-in extractors and those ``declared``, in the order of their names.

    Raises:
        UsageError: As :func:`load`.
    """
    # A distribution that is on the path twice (installed and editable) declares everything twice.
    added = sorted({(point.name, point.value): point for point in declared}.items())
    return Registry(
        _BUILT_IN + tuple(_load_extractor(point) for (_, value), point in added if not value.startswith(_OWN_PACKAGE))
    )


def _load_extractor(point: EntryPoint) -> Extractor:
    where = f"extractor {point.name!r} ({point.value})"
    try:
        extractor = point.load()
    except Exception as error:
        # Importing foreign code may raise anything.
        raise UsageError(f"cannot be loaded: {error!r}", where=where, hint=_HINT) from error
    fault = _find_fault(extractor)
    if fault:
        raise UsageError(fault, where=where, hint=_HINT)
    return _InstalledExtractor(extractor, where, _find_release(extractor.name, point, where))


def _find_release(name: str, point: EntryPoint, where: str) -> ExtractorRelease:
    """Return what an entry point was loaded from; its distribution by its normalised name (PEP 503)."""
    # Metadata without a name or version reads as None, whatever the type says.
    stated = (point.dist.metadata["Name"], point.dist.metadata["Version"]) if point.dist is not None else ()
    if not stated or not all(stated):
        raise UsageError("its distribution does not state a name and a version", where=where, hint=_HINT)
    distribution, version = stated
    return ExtractorRelease(name=name, distribution=_NAME_SEPARATORS.sub("-", distribution).lower(), version=version)


def _find_fault(extractor: Any) -> str:
    """Return why an object is no :class:`Extractor`; empty if it is one."""
    name = getattr(extractor, "name", None)
    if not isinstance(name, str) or not name:
        return "its name is not a string"
    formats = getattr(extractor, "formats", None)
    if not isinstance(formats, frozenset) or not all(isinstance(value, str) for value in formats):
        return "its formats are not a frozenset of strings"
    if not _is_needs(getattr(extractor, "needs", None)):
        return "its needs are not a mapping of names"
    for method in ("recognises", "extract"):
        if not callable(getattr(extractor, method, None)):
            return f"it has no method {method}"
    for claim in sorted(extractor.formats):
        if format_names(claim)[:1] != (claim,):
            known = format_names(claim)
            return f"its format {claim!r} is not spelled as formats are looked up" + (
                f": write {known[0]!r}" if known else ": write lower-case words joined by hyphens"
            )
    return ""


def _is_needs(needs: object) -> bool:
    return isinstance(needs, Mapping) and all(
        isinstance(name, str) and (inner is None or _is_needs(inner)) for name, inner in needs.items()
    )


class _InstalledExtractor:
    """An extractor of another package; its exceptions become errors that name it."""

    def __init__(self, inner: Extractor, where: str, release: ExtractorRelease) -> None:
        self._inner = inner
        self._where = where
        self.release: Final = release
        self.name: Final = inner.name
        self.formats: Final = inner.formats
        self.needs: Final = inner.needs

    def recognises(self, raw: Mapping[str, Any]) -> bool:
        try:
            return bool(self._inner.recognises(raw))
        except Exception as error:
            raise ContentError(f"failed to recognise a document: {error!r}", where=self._where) from error

    def extract(self, raw: Mapping[str, Any]) -> Extraction:
        try:
            extraction = self._inner.extract(raw)
        except Exception as error:
            raise ContentError(f"failed on a document: {error!r}", where=self._where) from error
        if not isinstance(extraction, Extraction):
            raise ContentError(f"returned {type(extraction).__name__}, not an Extraction", where=self._where)
        return extraction

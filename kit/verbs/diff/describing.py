"""What a person calls an advisory, and what it is about: title, severity, aliases, dates, affected packages.

Read from the upstream document of an observation, in whatever format it is; the names of each format are in one table.
Nothing is derived: a severity is the word or the vector that the document states. Law: a description is bounded but for
its number of packages, whatever the document holds. A value that is encrypted, or malformed, has no description.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from bson.datetime_ms import DatetimeMS

from kit.documents import Kind, elements
from kit.encryption.envelope import looks_like
from kit.errors import KitError
from kit.transforms.raw_linkset.fields import Fields
from kit.transforms.raw_linkset.shape import ALIASES, CPES, OBSERVATION, PURLS
from kit.verbs.diff.fields import render_value

MAX_TITLE = 300
MAX_ALIASES = 50
_MAX_NAME = 200
_ZERO_TIME = "0001-01-01T"
"""How Go writes a time that is not set."""
_MAX_VERSIONS = 160

_RANK = ("low", "medium", "moderate", "high", "important", "critical")
"""Words for a severity, in their order, of a document that states several."""
_NEEDS: Final[Mapping[str, Any]] = {
    # OSV and GHSA
    **dict.fromkeys(("summary", "severity", "published", "modified", "published_at", "updated_at", "cvss", "aliases")),
    "affected": {"package": None, "ranges": None, "versions": None},
    "database_specific": {"severity": None},
    # GHSA and CSAF
    "vulnerabilities": {"package": None, "vulnerable_version_range": None, "scores": None},
    # CVE JSON 5
    "cveMetadata": {"datePublished": None, "dateUpdated": None},
    "containers": {
        "cna": {"title": None, "metrics": None, "affected": None},
        "adp": {"metrics": None},
    },
    # CSAF
    "document": {"title": None, "aggregate_severity": None, "tracking": None},
}
_TITLES = (("summary",), ("containers", "cna", "title"), ("document", "title"))
_PUBLISHED = (
    *(("published",), ("published_at",), ("cveMetadata", "datePublished")),
    ("document", "tracking", "initial_release_date"),
)
_MODIFIED = (
    *(("modified",), ("updated_at",), ("cveMetadata", "dateUpdated")),
    ("document", "tracking", "current_release_date"),
)


class Package(NamedTuple):
    """A package that an advisory affects."""

    name: str
    versions: str
    """Which, in words, cut; "" if the document does not state them."""
    digest: bytes
    """Of the versions in full."""


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What one observation states of its advisory."""

    title: str | None
    severity: str | None
    aliases: tuple[str, ...]
    published: str | None
    modified: str | None
    packages: tuple[Package, ...]


def describe_each(documents: Sequence[tuple[int, bytes]]) -> list[tuple[int, About | None]]:
    """Return the description of each numbered observation."""
    return [(number, describe(document)) for number, document in documents]


def describe(document: bytes) -> About | None:
    """Return what an observation states; None if that is encrypted or cannot be read."""
    try:
        fields = Fields(document)
        found = fields.find(OBSERVATION.raw)
        is_document = found is not None and found[0] == Kind.DOCUMENT
        if found is not None and is_document and looks_like(_names(fields, found)):
            return None
        raw = fields.only(found, _NEEDS) if found is not None and is_document else {}
        linkset = fields.subdocument(OBSERVATION.linkset) or {}
    except KitError:
        return None
    return About(
        title=_cut(_first(raw, _TITLES), MAX_TITLE),
        severity=_cut(_severity(raw), _MAX_NAME),
        aliases=tuple(_cut(alias, _MAX_NAME) or "" for alias in _aliases(raw, linkset)[:MAX_ALIASES]),
        published=_cut(_first(raw, _PUBLISHED), _MAX_NAME),
        modified=_cut(_first(raw, _MODIFIED), _MAX_NAME),
        packages=tuple(_packages(raw, linkset)),
    )


def _aliases(raw: Mapping[str, Any], linkset: Mapping[str, Any]) -> list[str]:
    """Return the other names, as the upstream document spells them if it lists them."""
    return _strings(raw.get("aliases")) or _strings(linkset.get(ALIASES))


def _names(fields: Fields, found: tuple[int, int, int]) -> set[bytes]:
    return {element.name for element in elements(fields.document, found[1])}


def _cut(text: str | None, length: int) -> str | None:
    return text if text is None or len(text) <= length else f"{text[: length - 1]}…"


def _first(raw: Mapping[str, Any], paths: Sequence[tuple[str, ...]]) -> str | None:
    for path in paths:
        value: Any = raw
        for name in path:
            value = value.get(name) if isinstance(value, dict) else None
        if isinstance(value, str) and value and not value.startswith(_ZERO_TIME):
            return value
        if isinstance(value, DatetimeMS):  # the database may hold a time as a date
            return render_value(Kind.DATETIME, int(value).to_bytes(8, "little", signed=True))
    return None


def _severity(raw: Mapping[str, Any]) -> str | None:
    """Return the highest word that the document states, in lower case, else its first vector."""
    words = [word for word in _severity_words(raw) if word.lower() in _RANK]
    if words:
        return max(words, key=lambda word: _RANK.index(word.lower())).lower()
    vectors = [entry.get("score") for entry in _documents(raw.get("severity"))]
    vectors += [_member(raw.get("cvss"), "vector_string")]
    return next((vector for vector in vectors if isinstance(vector, str) and vector), None)


def _severity_words(raw: Mapping[str, Any]) -> Iterator[str]:
    containers = raw.get("containers")
    metrics = _documents(_member(_member(containers, "cna"), "metrics"))
    for extra in _documents(_member(containers, "adp")):
        metrics += _documents(extra.get("metrics"))
    scores = [score for one in _documents(raw.get("vulnerabilities")) for score in _documents(one.get("scores"))]
    stated = [
        raw.get("severity"),
        _member(raw.get("database_specific"), "severity"),
        _member(_member(raw.get("document"), "aggregate_severity"), "text"),
        *(_member(one, "baseSeverity") for metric in (*metrics, *scores) for one in metric.values()),
    ]
    yield from (word for word in stated if isinstance(word, str))


def _packages(raw: Mapping[str, Any], linkset: Mapping[str, Any]) -> Iterator[Package]:
    """Yield the packages by name; of a document that lists none, the identifiers of the linkset."""
    found: dict[str, list[str]] = {}
    for name, versions in (*_affected(raw), *_of_cve(raw)):
        found.setdefault(name, []).append(versions)
    if not found:
        found = {name: [] for name in (*_strings(linkset.get(PURLS)), *_strings(linkset.get(CPES)))}
    for name, each in sorted(found.items()):
        text = "; ".join(filter(None, each))
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
        yield Package(_cut(name, _MAX_NAME) or "", _cut(text, _MAX_VERSIONS) or "", digest)


def _affected(raw: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the packages of OSV and GHSA, as ``ecosystem/name`` or package URL."""
    for one in _documents(raw.get("affected")):
        if (name := _package_name(one.get("package"))) is not None:
            events = [
                ", ".join(f"{what} {at}" for event in _documents(a_range.get("events")) for what, at in event.items())
                for a_range in _documents(one.get("ranges"))
            ]
            listed = ", ".join(_strings(one.get("versions")))
            yield name, "; ".join(filter(None, [*events, listed]))
    for one in _documents(raw.get("vulnerabilities")):
        if (name := _package_name(one.get("package"))) is not None:
            versions = one.get("vulnerable_version_range")
            yield name, versions if isinstance(versions, str) else ""


def _package_name(package: Any) -> str | None:
    purl, ecosystem, name = (_member(package, key) for key in ("purl", "ecosystem", "name"))
    if isinstance(purl, str) and purl:
        return purl
    return f"{ecosystem}/{name}" if isinstance(ecosystem, str) and isinstance(name, str) else None


def _of_cve(raw: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for one in _documents(_member(_member(raw.get("containers"), "cna"), "affected")):
        names = [one[key] for key in ("vendor", "product") if isinstance(one.get(key), str)]
        name = one.get("packageName") if not names else "/".join(names)
        if isinstance(name, str):
            keys = ("status", "version", "lessThan", "lessThanOrEqual")
            versions = [
                " ".join(f"{key} {entry[key]}" for key in keys if key in entry)
                for entry in _documents(one.get("versions"))
            ]
            default = one.get("defaultStatus")
            yield name, "; ".join([*versions, *([f"otherwise {default}"] if isinstance(default, str) else [])])


def _member(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None


def _documents(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _strings(value: Any) -> list[str]:
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []

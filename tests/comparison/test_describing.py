"""What an advisory is called and what it affects, in every format."""

from __future__ import annotations

from typing import Any

import bson
import pytest
from hypothesis import given, strategies as st

from kit.verbs.diff.describing import MAX_ALIASES, MAX_TITLE, About, describe
from tests.kits import observation

OSV = {
    "id": "GO-1",
    "summary": "A title",
    "aliases": ["CVE-1"],
    "published": "2026-01-01T00:00:00Z",
    "modified": "2026-02-01T00:00:00Z",
    "database_specific": {"severity": "HIGH"},
    "severity": [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N"}],
    "affected": [
        {
            "package": {"ecosystem": "Go", "name": "x/y"},
            "ranges": [{"type": "SEMVER", "events": [{"introduced": "0"}, {"fixed": "1.6.0"}]}],
            "versions": ["1.0", "1.1"],
        },
        {"package": {"ecosystem": "Go", "name": "z", "purl": "pkg:golang/z"}},
    ],
}
GHSA = {
    "ghsa_id": "GHSA-1",
    "summary": "A title",
    "severity": "medium",
    "published_at": "2026-01-01T00:00:00Z",
    "updated_at": "2026-02-01T00:00:00Z",
    "vulnerabilities": [
        {"package": {"ecosystem": "npm", "name": "left"}, "vulnerable_version_range": "< 2"},
    ],
}
CVE = {
    "cveMetadata": {"datePublished": "2026-01-01T00:00:00Z", "dateUpdated": "2026-02-01T00:00:00Z"},
    "containers": {
        "cna": {
            "title": "A title",
            "affected": [{"vendor": "v", "product": "p", "versions": [{"version": "0", "lessThan": "2"}]}],
            "metrics": [{"cvssV3_1": {"baseSeverity": "LOW"}}],
        },
        "adp": [{"metrics": [{"cvssV3_1": {"baseSeverity": "CRITICAL"}}]}],
    },
}
CSAF = {
    "document": {
        "title": "A title",
        "tracking": {
            "initial_release_date": "2026-01-01T00:00:00Z",
            "current_release_date": "2026-02-01T00:00:00Z",
        },
    },
    "vulnerabilities": [{"scores": [{"cvss_v3": {"baseSeverity": "MEDIUM"}}]}],
}


def described(raw: Any, **changes: Any) -> About | None:
    return describe(bson.encode(observation(1, content={"raw": raw}, **changes)))


@pytest.mark.parametrize(
    ("raw", "severity", "packages"),
    [
        (OSV, "high", [("Go/x/y", "introduced 0, fixed 1.6.0; 1.0, 1.1"), ("pkg:golang/z", "")]),
        (GHSA, "medium", [("npm/left", "< 2")]),
        (CVE, "critical", [("v/p", "version 0 lessThan 2")]),
        (CSAF, "medium", [("pkg:golang/a", "")]),
    ],
    ids=["osv", "ghsa", "cve", "csaf"],
)
def test_of_every_format(raw: dict[str, Any], severity: str, packages: list[tuple[str, str]]) -> None:
    about = described(raw, linkset={"aliases": ["cve-1"], "purls": ["pkg:golang/a"], "cpes": []})
    assert about is not None
    assert (about.title, about.severity) == ("A title", severity)
    assert [one[:10] for one in (about.published or "", about.modified or "")] == ["2026-01-01", "2026-02-01"]
    assert about.aliases == (("CVE-1",) if raw is OSV else ("cve-1",))
    assert [(one.name, one.versions) for one in about.packages] == packages


def test_a_vector_is_the_severity_if_no_word_is_stated_and_a_time_that_is_not_set_is_none() -> None:
    about = described(OSV | {"database_specific": {}, "published": "0001-01-01T00:00:00Z"})
    assert about is not None
    assert (about.severity, about.published) == ("CVSS:3.1/AV:N", None)


def test_a_description_is_bounded() -> None:
    about = described(OSV | {"summary": "x" * 9999, "aliases": [f"A-{n}" for n in range(999)]})
    assert about is not None
    assert (len(about.title or ""), len(about.aliases)) == (MAX_TITLE, MAX_ALIASES)


@pytest.mark.parametrize("raw", [{"__encrypted": True, "v": 2, "alg": "aes-256-gcm", "ct": "", "iv": "", "tag": ""}])
def test_what_is_encrypted_has_no_description(raw: Any) -> None:
    assert described(raw) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([
                *("summary", "severity", "affected", "package", "ranges", "events", "versions", "name", "purl"),
                *("vulnerabilities", "scores", "containers", "cna", "adp", "metrics", "document", "cvss", "aliases"),
            ]),
            inner,
            max_size=5,
        )
    ),
    max_leaves=25,
)  # fmt: skip


@given(raw=JSON, linkset=JSON)
def test_any_document_is_described_or_not_and_never_an_error(raw: Any, linkset: Any) -> None:
    assert described(raw, linkset=linkset) is None or described(raw, linkset=linkset) == described(raw, linkset=linkset)

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from kit.transforms.raw_linkset.divergence import NAMED, Side, canonical_purl, compare
from kit.transforms.raw_linkset.projection import EMPTY, Projection, Reference

PROJECTION = Projection(
    aliases=("CVE-1", "GHSA-x", "CVE-1"),
    purls=("pkg:PyPI/Left-Pad@1?x=y#z", "not a purl"),
    cpes=("cpe:/a:Acme:Tool:1",),
    references=(Reference("u2", "WEB"), Reference("u1"), Reference("u2", "FIX", "s")),
)
LINKSET: dict[str, Any] = {
    "aliases": ["cve-1", "ghsa-X"],
    "purls": ["not a purl", "pkg:pypi/left-pad@1"],
    "cpes": ["cpe:2.3:a:acme:tool:1:*:*:*:*:*:*:*"],
    "references": [{"type": "other", "url": "u1"}, {"url": "u2"}],
}


def test_a_linkset_of_the_same_values_agrees() -> None:
    assert compare(PROJECTION, LINKSET) is None
    assert compare(EMPTY, {"aliases": [], "purls": [], "cpes": [], "references": []}) is None
    assert compare(EMPTY, {"purls": None}) is None
    assert compare(EMPTY, {}) is None


def test_a_linkset_that_already_reads_the_same_is_not_parsed() -> None:
    canonical_purl.cache_clear()
    same = {"aliases": ["A"], "purls": ["pkg:x/y"], "cpes": ["c"], "references": [{"url": "u"}]}
    raw = Projection(aliases=("a", "a"), purls=("pkg:x/y",) * 2, cpes=("c",), references=(Reference("u", "t"),))
    assert compare(raw, same) is None
    assert canonical_purl.cache_info().misses == 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"aliases": ["cve-1"]}, "aliases: only in rawLinkset 'ghsa-x'"),
        ({"aliases": ["cve-1", "ghsa-x", "CVE-2"]}, "aliases: only in linkset 'cve-2'"),
        ({"purls": ["pkg:npm/left-pad@2"]}, "purls: only in rawLinkset 'not a purl', 'pkg:pypi/left-pad@1'; only in "),
        (
            {"purls": ["Not a purl", "pkg:pypi/left-pad@1"]},
            "only in rawLinkset 'not a purl'; only in linkset 'Not a purl'",
        ),
        ({"cpes": []}, "cpes: only in rawLinkset 'cpe:2.3:a:acme:tool:1:*:*:*:*:*:*:*'"),
        ({"references": None}, "references: only in rawLinkset 'u1', 'u2'"),
        ({"references": [{"url": "U1"}, {"url": "u2"}]}, "references: only in rawLinkset 'u1'; only in linkset 'U1'"),
        ({"aliases": None, "cpes": None}, "aliases: only in rawLinkset 'cve-1', 'ghsa-x' | cpes: only in rawLinkset"),
        ({"aliases": ["CVE-1", "GHSA-X", 5]}, "aliases: only in linkset '<int instead of a string>'"),
        ({"purls": {"pkg:pypi/left-pad@1": 1}}, "'<dict instead of a list>'"),
        ({"references": [{"url": "u1"}, {"url": "u2"}, {}]}, "only in linkset '<NoneType instead of a string>'"),
        (
            {"references": [{"url": "u1"}, {"url": "u2"}, 5, 6]},
            "'<int instead of a string>', '<int instead of a string>'",
        ),
        ({"references": "u1"}, "'<str instead of a list>'"),
    ],
)
def test_what_only_one_side_has_is_named(change: dict[str, Any], words: str) -> None:
    divergence = compare(PROJECTION, LINKSET | change)
    assert divergence is not None
    assert words in str(divergence)


def test_a_reference_may_be_its_url() -> None:
    assert compare(PROJECTION, LINKSET | {"references": ["u1", "u2"]}) is None


def test_counts_are_exact_and_names_are_bounded() -> None:
    divergence = compare(Projection(aliases=(*(f"a{n:02}" for n in range(40)), "a" * 9999)), {})
    assert divergence is not None
    (aliases,) = divergence.lists
    assert aliases.name == "aliases"
    assert aliases.only_raw.count == 41
    assert aliases.only_raw.named == ("a00", "a01", "a02", "a03", "a04")
    assert str(aliases.only_raw).endswith("'a04', 36 more")
    assert aliases.only_linkset == Side(count=0, named=())
    assert len(Side.of(["x" * 9999]).named[0]) == 201


TEXT = st.sampled_from(["A", "a", "B", "pkg:npm/A?x=1", "pkg:npm/a", "cpe:/a:B:c", "pkg:npm/B"])
TEXTS = st.lists(TEXT, max_size=5)


@settings(deadline=None)
@given(TEXTS, TEXTS, st.randoms())
def test_order_and_repetition_never_matter_and_sides_are_symmetric(
    left: list[str], right: list[str], order: Any
) -> None:
    def sided(values: list[str], others: list[str]) -> tuple[Any, Any]:
        raw = Projection(purls=tuple(values), references=tuple(map(Reference, values)))
        linkset = {"purls": others, "references": [{"url": url} for url in others]}
        divergence = compare(raw, linkset)
        if divergence is None:
            return (), ()
        return (
            tuple(one.only_raw for one in divergence.lists if one.only_raw.count),
            tuple(one.only_linkset for one in divergence.lists if one.only_linkset.count),
        )

    found = sided(left, right)
    assert sided(right, left) == found[::-1]
    shuffled = [*left, *left]
    order.shuffle(shuffled)
    assert sided(shuffled, right) == found
    assert all(len(side.named) <= NAMED for part in found for side in part)

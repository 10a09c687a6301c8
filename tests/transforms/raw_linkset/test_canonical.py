from __future__ import annotations

import json

import pytest
from hypothesis import given, settings, strategies as st

from kit.transforms.raw_linkset.canonical import canonical_alias, canonical_cpe, canonical_purl
from tests.transforms.raw_linkset.published_data import DATA, need


@pytest.mark.parametrize(
    ("stated", "canonical"),
    [
        ("pkg:NPM/%40Angular/Core@1.0?arch=x#/sub/", "pkg:npm/%40angular/core@1.0"),
        ("pkg:pypi/Django_Rest@3.1", "pkg:pypi/django-rest@3.1"),
        ("pkg:maven/Org.Apache/Thing@1?type=jar", "pkg:maven/Org.Apache/Thing@1"),
        ("pkg:julia/Foo?uuid=1-2", "pkg:julia/Foo"),
        ("pkg:deb/Debian/Curl@7+b1", "pkg:deb/debian/curl@7%2Bb1"),
        ("pkg:golang/github.com/BurntSushi/TOML@v1", "pkg:golang/github.com/burntsushi/toml@v1"),
        ("pkg:rpm/Fedora/ImageMagick@1", "pkg:rpm/fedora/ImageMagick@1"),
        ("pkg:brew/Homebrew/SQLite@3", "pkg:brew/homebrew/sqlite@3"),
        ("pkg:brew/SQLite", "pkg:brew/sqlite"),
        ("pkg:mlflow/CreditFraud@3?repository_url=https://x.databricks.net", "pkg:mlflow/creditfraud@3"),
        ("pkg:npm", "pkg:npm"),
        ("PKG without colon", "PKG without colon"),
        ("", ""),
    ],
)
def test_purls(stated: str, canonical: str) -> None:
    assert canonical_purl(stated) == canonical


@pytest.mark.parametrize(
    ("stated", "canonical"),
    [
        ("cpe:2.3:a:Acme:Tool:1.0:RC1:*:*:*:*:*:*", "cpe:2.3:a:acme:tool:1.0:RC1:*:*:*:*:*:*"),
        ("CPE:2.3:A:Acme:Tool:1.0:*:*:*:*:*:*:*", "cpe:2.3:a:acme:tool:1.0:*:*:*:*:*:*:*"),
        (r"cpe:2.3:a:A\:B:c\\:1:*:*:*:*:*:*:*", r"cpe:2.3:a:a\:b:c\\:1:*:*:*:*:*:*:*"),
        # NISTIR 7695, section 6.1.3.2, examples 1 to 5 and 7
        (
            "cpe:/a:microsoft:internet_explorer:8.0.6001:beta",
            "cpe:2.3:a:microsoft:internet_explorer:8.0.6001:beta:*:*:*:*:*:*",
        ),
        (
            "cpe:/a:microsoft:internet_explorer:8.%2a:sp%3f",
            r"cpe:2.3:a:microsoft:internet_explorer:8.\*:sp\?:*:*:*:*:*:*",
        ),
        (
            "cpe:/a:microsoft:internet_explorer:8.%02:sp%01",
            "cpe:2.3:a:microsoft:internet_explorer:8.*:sp?:*:*:*:*:*:*",
        ),
        (
            "cpe:/a:hp:insight_diagnostics:7.4.0.1570::~~online~win2003~x64~",
            "cpe:2.3:a:hp:insight_diagnostics:7.4.0.1570:*:*:*:online:win2003:x64:*",
        ),
        (
            "cpe:/a:hp:openview_network_manager:7.51:-:~~~linux~~",
            "cpe:2.3:a:hp:openview_network_manager:7.51:-:*:*:*:linux:*:*",
        ),
        ("cpe:/a:foo~bar:big%7emoney_2010", r"cpe:2.3:a:foo\~bar:big\~money_2010:*:*:*:*:*:*:*:*"),
        ("CPE:/o:Linux:Linux_Kernel", "cpe:2.3:o:linux:linux_kernel:*:*:*:*:*:*:*:*"),
        ("cpe:/a:red_hat:Enterprise+Linux:9::el9:en", r"cpe:2.3:a:red_hat:enterprise\+linux:9:*:el9:en:*:*:*:*"),
    ],
)
def test_cpes(stated: str, canonical: str) -> None:
    assert canonical_cpe(stated) == canonical


@pytest.mark.parametrize(
    "malformed",
    [
        "cpe:2.3:a:Acme:Tool:1.0",
        "cpe:2.3:a:Acme::1:*:*:*:*:*:*:*",
        "cpe:2.3:x:Acme:Tool:1:*:*:*:*:*:*:*",
        "cpe:/a:b:c:d:e:f:g:h",
        "cpe:/a:Foo%5cbar:big%24money_2010%07",  # NISTIR 7695, example 6: an illegal code
        "cpe:/a:Foo bar",
        "cpe:/a:b%zz",
        "cpe:/a:b:c:1:2:~too~few",
        "cpe:/x:b:c",
        "Acme Tool",
        "",
    ],
)
def test_what_is_no_cpe_stands_for_itself(malformed: str) -> None:
    assert canonical_cpe(malformed) == malformed


def test_aliases_lose_their_case_only() -> None:
    assert canonical_alias(" GHSA-xX ") == " ghsa-xx "


PIECES = st.lists(
    st.sampled_from(
        ["cpe:2.3:", "cpe:/", "pkg:", "npm", "PyPI", "/", ":", "@", "?", "#", "%40", "%", "~", "\\", "*", "A"]
    )
    | st.text(max_size=3),
    max_size=14,
).map("".join)


@settings(deadline=None)
@given(PIECES)
def test_canonical_forms_never_raise_and_are_idempotent(text: str) -> None:
    assert canonical_cpe(canonical_cpe(text)) == canonical_cpe(text)
    once = canonical_purl(text)
    assert canonical_purl(once) == once


PUBLISHED_ELSEWISE = {
    # packageurl-python 0.17.6 does not lower-case this one; the definition of the type calls it case-sensitive
    "pkg:git/github/Package-url/purl-Spec@244fd47e07d1004f0aed9c",
}


def test_published_purls_lose_qualifiers_and_subpath_and_nothing_else() -> None:
    folder = need(DATA / "purl-spec") / "tests"
    checked = 0
    for path in sorted(folder.rglob("*.json")):
        for case in json.loads(path.read_text())["tests"]:
            if case["test_type"] != "validate" or case["input"] in PUBLISHED_ELSEWISE:
                continue
            assert not case["expected_failure"]
            expected = case["expected_output"].partition("#")[0].partition("?")[0]
            assert canonical_purl(case["input"]) == expected, path.name
            assert canonical_purl(expected) == expected, path.name
            checked += 1
    assert checked >= 200

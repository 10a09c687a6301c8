from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from kit.transforms.raw_linkset.divergence import canonical_alias, canonical_cpe, canonical_purl
from kit.transforms.raw_linkset.purl_types import LOWERED, STATE
from schemas.build import make_purl_types
from tests.transforms.raw_linkset.published_data import DATA, need


@pytest.mark.parametrize(
    ("stated", "canonical"),
    [
        ("pkg:NPM/%40Angular/Core@1.0?arch=x#/sub/", "pkg:npm/%40Angular/Core@1.0"),
        ("pkg:npm/@Angular/Core@1.0", "pkg:npm/%40Angular/Core@1.0"),
        ("pkg:pypi/Django_Rest@3.1", "pkg:pypi/django-rest@3.1"),
        ("pkg:maven/Org.Apache/Thing@1?type=jar", "pkg:maven/Org.Apache/Thing@1"),
        ("pkg:julia/Foo?uuid=1-2", "pkg:julia/Foo"),
        ("pkg:deb/Debian/Curl@7+b1", "pkg:deb/debian/curl@7%2Bb1"),
        ("pkg:golang/github.com/BurntSushi/TOML@v1", "pkg:golang/github.com/BurntSushi/TOML@v1"),
        ("pkg:otp/Cowboy@2.0-RC", "pkg:otp/cowboy@2.0-RC"),
        ("pkg:chrome-extension/ABCDEFGHABCDEFGHABCDEFGHABCDEFGH@1", "pkg:chrome-extension/" + "abcdefgh" * 4 + "@1"),
        ("pkg:yocto/Core/Glibc@2.35", "pkg:yocto/core/Glibc@2.35"),
        ("pkg:vscode-extension/MS/Python@1.0-PRE", "pkg:vscode-extension/ms/python@1.0-pre"),
        ("pkg:pypi/Django@1.0RC1", "pkg:pypi/django@1.0rc1"),
        ("pkg:oci/Debian@SHA256:AB", "pkg:oci/debian@sha256:ab"),
        ("pkg:cpan/drolsky/DateTime@1", "pkg:cpan/DROLSKY/DateTime@1"),
        ("pkg:hackage/AC_HalfInteger@1", "pkg:hackage/AC-HalfInteger@1"),
        ("pkg:gitlab/Group/Project", "pkg:gitlab/group/project"),
        ("pkg:nowhere/Group/Project@V", "pkg:nowhere/Group/Project@V"),
        ("PKG:npm/core", "pkg:npm/core"),
        ("pkg://npm//core", "pkg:npm/core"),
        ("pkg:npm/core@1.0?malformed&&=#x", "pkg:npm/core@1.0"),
        ("pkg:mlflow/CreditFraud@3?malformed", "pkg:mlflow/CreditFraud@3"),
        ("pkg:deb/debian/attr@1%3a2.4%2bb1", "pkg:deb/debian/attr@1:2.4%2Bb1"),
        ("pkg:yocto/A/X%2FY", "pkg:yocto/a/X%2FY"),
        ("pkg:opam/git@3/16.1", "pkg:opam/git@3/16.1"),
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
        # NISTIR 7695, section 6.2.2.2: period, hyphen and underscore lose the quoting that they have in a name
        (r"cpe:2.3:a:acme:tool:1\.0\-rc\_1:*:*:*:*:*:*:*", "cpe:2.3:a:acme:tool:1.0-rc_1:*:*:*:*:*:*:*"),
        (r"cpe:2.3:a:ac\.me:to\-ol:1:\u\1:*:*:*:*:*:a\.b", "cpe:2.3:a:ac.me:to-ol:1:u1:*:*:*:*:*:a.b"),
        ("cpe:2.3:a:acme:c++:1+2!:*:*:*:*:*:*:*", r"cpe:2.3:a:acme:c\+\+:1\+2\!:*:*:*:*:*:*:*"),
        # A wildcard is not the character, and "not applicable" is not a hyphen
        (r"cpe:2.3:a:acme:tool:\*:\?:\-:1.?:*:*:*:-", r"cpe:2.3:a:acme:tool:\*:\?:\-:1.?:*:*:*:-"),
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


MIXED = "Ab"
BESIDE_CASE = {"cpan": {"namespace"}, "mlflow": set(), "pub": set(), "hackage": set(), "pypi": {"namespace"}}
"""Types with rules in words: what of them is compared without case though the definition does not state that."""


@pytest.mark.parametrize("kind", sorted(LOWERED))
def test_case_matters_in_a_component_exactly_where_its_types_definition_says(kind: str) -> None:
    parts = {"namespace": MIXED, "name": MIXED, "version": MIXED}
    without_case = {*LOWERED[kind], *BESIDE_CASE.get(kind, ())}
    for component in parts:
        other = parts | {component: MIXED.lower()}
        one, two = (
            canonical_purl("pkg:{}/{namespace}/{name}@{version}".format(kind, **each)) for each in (parts, other)
        )
        assert (one == two) == (component in without_case), component


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
    # The specification contradicts itself: the definition of the type calls both components case-sensitive
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


def test_every_type_that_the_specification_tests_is_in_the_table() -> None:
    folder = need(DATA / "purl-spec") / "tests" / "types"
    assert {path.name.removesuffix("-test.json") for path in folder.glob("*-test.json")} <= set(LOWERED)


def test_the_table_is_made_of_the_definitions(tmp_path: Path) -> None:
    types = tmp_path / "types"
    types.mkdir()
    for name, components in (("one", {"name_definition": {"case_sensitive": False}}), ("two", {})):
        (types / f"{name}-definition.json").write_text(json.dumps({"type": name} | components))
    output = tmp_path / "table.py"
    assert make_purl_types.main([str(tmp_path), "--state", "v1", "--output", str(output)]) == 0
    assert '    "one": ("name",),\n    "two": (),\n' in output.read_text()
    (types / "two-definition.json").write_text(json.dumps({"type": "other"}))
    before = output.read_text()
    assert make_purl_types.main([str(tmp_path), "--state", "v2", "--output", str(output)]) == 1
    assert output.read_text() == before


def test_the_table_is_as_its_script_writes_it(tmp_path: Path) -> None:
    types = tmp_path / "types"
    types.mkdir()
    for name, lowered in LOWERED.items():
        stated = {f"{component}_definition": {"case_sensitive": False} for component in lowered}
        (types / f"{name}-definition.json").write_text(json.dumps({"type": name} | stated))
    assert make_purl_types.module(tmp_path, STATE) == make_purl_types.TARGET.read_text()

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from kit.errors import DigestError, ManifestError
from kit.manifest import Entry, FaultKind, files, history_paths, locate, location
from kit.values import MemberPath, Sha256
from tests.manifest.samples import digest

P = MemberPath
ROOT = P("offline-manifest.json")
FOLDER = P("manifest/offline-manifest.json")


def _entry(name: str, text: str, size: int | None = 1) -> Entry:
    return Entry(path=P(name), sha256=digest(text), size=size)


def test_a_kit_that_is_what_the_manifest_says_has_no_faults() -> None:
    faults = files.compare(
        [_entry("a", "a"), _entry("b", "b", None)], {P("a"): (digest("a"), 1), P("b"): (digest("b"), 9)}
    )
    assert faults == ()
    files.require(faults)


def test_every_disagreement_is_found_in_the_order_of_paths() -> None:
    entries = [_entry("z", "z"), _entry("c", "c"), _entry("b", "b"), _entry("a", "a")]
    members = {
        P("c"): (digest("other"), 2),
        P("b"): (digest("b"), 3),
        P("y"): (digest("y"), 1),
        P("a"): (digest("a"), 1),
    }
    faults = files.compare(entries, members)
    assert [(str(fault.path), fault.kind) for fault in faults] == [
        ("b", FaultKind.SIZE),
        ("c", FaultKind.DIGEST),
        ("c", FaultKind.SIZE),
        ("y", FaultKind.UNLISTED),
        ("z", FaultKind.ABSENT),
    ]
    assert [str(fault) for fault in faults] == [
        "b: size differs: 3 where the manifest lists 1",
        f"c: digest differs: {digest('other')} where the manifest lists {digest('c')}",
        "c: size differs: 2 where the manifest lists 1",
        "y: not listed in the manifest",
        "z: listed in the manifest, but absent",
    ]
    with pytest.raises(DigestError, match=r"b: size differs.* \(and 4 more\)"):
        files.require(faults)
    with pytest.raises(DigestError, match=r"absent$"):
        files.require(faults[4:])


NAMES = st.sampled_from("abcd").map(P)
WORLD = st.dictionaries(NAMES, st.tuples(st.sampled_from("xy").map(digest), st.integers(0, 1)))


@given(WORLD, WORLD)
def test_there_are_no_faults_exactly_when_the_worlds_are_equal(
    listed: dict[MemberPath, tuple[Sha256, int]], met: dict[MemberPath, tuple[Sha256, int]]
) -> None:
    entries = [Entry(path=path, sha256=sha256, size=size) for path, (sha256, size) in listed.items()]
    assert (files.compare(entries, met) == ()) == (listed == met)


@pytest.mark.parametrize("place", [ROOT, FOLDER])
def test_the_one_manifest_is_found(place: MemberPath) -> None:
    found = locate([P("a"), place, P("sub/offline-manifest.json")])
    assert found.manifest == place
    assert found.signature == P(f"{place}.jws")


def test_no_manifest_and_two_manifests_are_refused() -> None:
    with pytest.raises(ManifestError, match="no manifest"):
        locate([P("sub/offline-manifest.json"), P("offline-manifest.json.jws")])
    with pytest.raises(ManifestError, match="two manifests"):
        locate([ROOT, FOLDER])


def test_only_manifest_signature_and_history_are_outside_the_closed_world() -> None:
    found = locate([FOLDER])
    outside = [FOLDER, P(f"{FOLDER}.jws"), P("manifest/history/0/x"), history_paths(7).statement]
    assert all(found.is_outside(path) for path in outside)
    inside = [P("manifest/history"), P("manifest/other"), P(f"{ROOT}.jws"), P("manifest/historyx/a"), P("a")]
    assert not any(found.is_outside(path) for path in inside)


def test_names_are_reserved_wherever_the_manifest_is_and_in_any_case() -> None:
    reserved = [ROOT, FOLDER, P(f"{ROOT}.jws"), P(f"{FOLDER}.jws"), P("MANIFEST/History/3/x"), P("manifest/history")]
    assert all(location.is_reserved(path) for path in reserved)
    assert not any(
        location.is_reserved(path) for path in [P("manifest"), P("manifest/x"), P("a/offline-manifest.json")]
    )


def test_history_is_kept_in_one_place_per_generation() -> None:
    paths = history_paths(12)
    assert str(paths.manifest) == "manifest/history/12/offline-manifest.json"
    assert list(map(str, paths.signatures)) == [
        "manifest/history/12/offline-manifest.json.jws",
        "manifest/history/12/offline-manifest.json.dsse.json",
    ]
    assert str(paths.statement) == "manifest/history/12/patch.intoto.json"
    assert all(location.is_history(path) for path in (paths.manifest, *paths.signatures, paths.statement))

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping
from importlib.metadata import Distribution, EntryPoint
from pathlib import Path
from typing import Any, ClassVar

import pytest

from kit.errors import ContentError, UsageError
from kit.transforms.raw_linkset import registry
from kit.transforms.raw_linkset.extractor import OTHERS
from kit.transforms.raw_linkset.projection import EMPTY, Extraction
from kit.values.extractor_release import ExtractorRelease

BUILT_IN = registry.assemble([])


@pytest.mark.parametrize(
    ("stated", "name"),
    [
        *((stated, "osv") for stated in ("OSV", "osv", " osv ", "osv-1.6.0", "OSV 1.x", "osv1", "OSV-Schema v1.7")),
        *((stated, "osv") for stated in ("osv1.7.5", "OSVv1", "osvV1.7.5", "OsvSchema")),
        *((stated, "csaf") for stated in ("CSAFv2", "csafV2.1", "CSAF-V2", "csafVex", "CSAFVEX2.0", "CsafJson v2.1")),
        *((stated, "csaf") for stated in ("csaf_security_advisory", "csaf_base", "csaf_withdrawn", "csaf_superseded")),
        *((stated, "cve") for stated in ("cvelistV5", "CVEv5", "cveListV5.2", "CVE_Record_Format 5.2.0", "CveRecord")),
        *((stated, "ghsa") for stated in ("GithubAdvisory", "githubSecurityAdvisory")),
        *(
            (stated, "csaf")
            for stated in ("CSAF", "csaf-2.0", "CSAF 2.1", "csaf_vex", "csaf/2.0", "csaf v2", "CSAF2.0")
        ),
        *((stated, "cve") for stated in ("CVE", "CVE5", "cve-5.1", "cve json 5", "CVE JSON v5.1.1", "CVE_RECORD 5.0")),
        *((stated, "ghsa") for stated in ("GHSA", "ghsa-rest", "GitHub Security Advisory")),
    ],
)
def test_a_format_is_known_by_its_usual_names(stated: str, name: str) -> None:
    extractor = BUILT_IN.for_format(stated)
    assert extractor is not None
    assert extractor.name == name


@pytest.mark.parametrize(
    "stated",
    [
        *(
            "HTML",
            "",
            " ",
            "5.1",
            "csaf-1.2",
            "CVRF 1.2",
            "cve-4",
            "CVE JSON 4.0",
            "osv-2.0",
            "osvx",
            "o" * 65,
            None,
            5,
        ),
        *("CSAFv1.2", "CSAFv3", "cvelistV4", "cvelistv", "csafv", "cnaContainer", "adpContainer", "v5", "v", "os1"),
    ],
)
def test_other_names_and_versions_are_unknown(stated: object) -> None:
    assert BUILT_IN.for_format(stated) is None


def test_a_document_that_names_no_format_must_be_recognised_by_exactly_one() -> None:
    osv = {"id": "X", "modified": "2024-01-01T00:00:00Z"}
    found = BUILT_IN.sniff(osv)
    assert found is not None
    assert found.name == "osv"
    assert BUILT_IN.sniff(osv | {"ghsa_id": "GHSA-1"}) is None
    assert BUILT_IN.sniff({"title": "nothing known"}) is None
    assert BUILT_IN.sniff(osv | {"schema_version": "2.0"}) is None


def test_sniffing_needs_the_top_level_names_of_all() -> None:
    assert frozenset().union(*(one.needs for one in BUILT_IN.extractors)) - {OTHERS} == set(BUILT_IN.needs)
    assert {"id", "document", "containers", "ghsa_id"} <= set(BUILT_IN.needs)


def test_the_installed_registry_holds_the_built_ins_once_and_is_read_once() -> None:
    loaded = registry.load()
    assert [one.name for one in loaded.extractors][:4] == ["osv", "csaf", "cve", "ghsa"]
    assert registry.load() is loaded


def test_built_ins_travel_to_a_worker() -> None:
    for extractor in BUILT_IN.extractors:
        assert pickle.loads(pickle.dumps(extractor)) == extractor  # noqa: S301 -- our own bytes


SOUND = """
from kit.transforms.raw_linkset.projection import Extraction, Projection

class Cyclone:
    name = "cyclone"
    formats = frozenset({"cyclonedx", "cyclonedx-1"})
    needs = {"bomFormat": None}

    def recognises(self, raw):
        return raw["bomFormat"] == "CycloneDX"

    def extract(self, raw):
        if raw.get("garbage"):
            return None
        return Extraction(Projection(aliases=(raw["bomFormat"],)), 0)

class Twin(Cyclone):
    name = "twin"

class Rival(Cyclone):
    name = "rival"
    formats = frozenset({"osv"})

class Nameless(Cyclone):
    name = None

class Listed(Cyclone):
    formats = ["x"]

class Loud(Cyclone):
    formats = frozenset({"CycloneDX"})

class Rootless(Cyclone):
    needs = {1: None}

class Mute(Cyclone):
    extract = None

class Namesake(Cyclone):
    formats = frozenset({"other"})

SOUND, TWIN, RIVAL, NAMELESS, LISTED, LOUD, ROOTLESS, MUTE, NAMESAKE = (
    kind() for kind in (Cyclone, Twin, Rival, Nameless, Listed, Loud, Rootless, Mute, Namesake)
)
"""


@pytest.fixture(autouse=True)
def _package_of_somebody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "somebody_elses_extractors.py").write_text(SOUND)
    (tmp_path / "somebody_elses_broken_module.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(tmp_path)
    yield
    registry.format_names.cache_clear()


class Elses(Distribution):
    """The metadata of a distribution of somebody else, as an installer leaves them."""

    def __init__(self, points: str, metadata: str) -> None:
        self.files_read = {"METADATA": metadata, "entry_points.txt": f"[{registry.GROUP}]\n{points}\n"}

    def read_text(self, filename: str) -> str | None:
        return self.files_read.get(filename)

    def locate_file(self, path: Any) -> Any:
        raise FileNotFoundError(path)


METADATA = "Metadata-Version: 2.1\nName: Somebody.Elses\nVersion: 2.5\n"


def declared(attribute: str, module: str = "somebody_elses_extractors", *, metadata: str = METADATA) -> EntryPoint:
    (point,) = Elses(f"{attribute.lower()} = {module}:{attribute}", metadata).entry_points
    return point


def test_an_installed_extractor_is_found_by_format_and_by_look() -> None:
    both_times = [declared("SOUND"), declared("SOUND")]
    added = registry.assemble(both_times)
    extractor = added.for_format("CycloneDX 1.6")
    assert extractor is not None
    assert extractor.name == "cyclone"
    assert extractor.extract({"bomFormat": "CycloneDX"}).projection.aliases == ("CycloneDX",)
    assert added.sniff({"bomFormat": "CycloneDX"}) is extractor
    assert "bomFormat" in added.needs
    release = ExtractorRelease(name="cyclone", distribution="somebody-elses", version="2.5")
    assert added.added == (release,)
    assert [one for _, one in added.releases()][4:] == [release]
    assert {one.distribution for _, one in BUILT_IN.releases()} == {"offline-kit"}
    assert BUILT_IN.added == ()


@pytest.mark.parametrize(
    ("points", "words"),
    [
        ([declared("SOUND"), declared("TWIN")], "claims the format 'cyclonedx"),
        ([declared("RIVAL")], "extractor 'rival': claims the format 'osv', which 'osv' reads"),
        ([declared("SOUND"), declared("NAMESAKE")], "two extractors have this name"),
        ([declared("NAMELESS")], "its name is not a string"),
        ([declared("LISTED")], "its formats are not a frozenset of strings"),
        ([declared("LOUD")], "its format 'CycloneDX' is not spelled as formats are looked up: write 'cyclonedx'"),
        ([declared("ROOTLESS")], "its needs are not a mapping of names"),
        ([declared("MUTE")], "it has no method extract"),
        ([declared("SOUND", metadata="Name: x\n")], "its distribution does not state a name and a version"),
        ([EntryPoint("x", "somebody_elses_extractors:SOUND", registry.GROUP)], "its distribution does not state"),
        ([declared("ABSENT")], r"extractor 'absent' \(somebody_elses_extractors:ABSENT\): cannot be loaded"),
        ([declared("X", "somebody_elses_broken_module")], "cannot be loaded: ZeroDivisionError"),
        ([declared("X", "no_such_module_anywhere")], "cannot be loaded: ModuleNotFoundError"),
    ],
)
def test_a_broken_or_conflicting_extractor_is_named_before_the_run(points: list[EntryPoint], words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        registry.assemble(points)
    assert caught.value.hint


def test_an_installed_extractor_that_fails_on_a_document_is_named() -> None:
    extractor = registry.assemble([declared("SOUND")]).for_format("cyclonedx")
    assert extractor is not None
    for failing, words in (({}, "failed on a document: KeyError"), ({"garbage": 1}, "returned NoneType")):
        with pytest.raises(ContentError, match=words) as caught:
            extractor.extract(failing)
        assert "somebody_elses_extractors:SOUND" in str(caught.value)
    with pytest.raises(ContentError, match="failed to recognise a document"):
        extractor.recognises({})


def test_metadata_that_declares_the_built_ins_changes_nothing() -> None:
    stale = EntryPoint(name="osv", value="kit.transforms.raw_linkset.osv:EXTRACTOR", group=registry.GROUP)
    gone = EntryPoint(name="nvd", value="kit.transforms.raw_linkset.nvd:EXTRACTOR", group=registry.GROUP)
    assert registry.assemble([stale, gone]).extractors == BUILT_IN.extractors


def test_the_protocol_is_met_by_a_plain_class() -> None:
    class Plain:
        name = "plain"
        formats = frozenset({"plain"})
        needs: ClassVar[dict[str, None]] = {"x": None}

        def recognises(self, raw: Mapping[str, Any]) -> bool:
            return "x" in raw

        def extract(self, raw: Mapping[str, Any]) -> Extraction:
            return Extraction(EMPTY, len(raw))

    plain = registry.Registry((Plain(),)).for_format("plain")
    assert plain is not None
    assert plain.extract({"y": 1}).skipped == 1

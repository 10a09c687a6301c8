"""An extractor of another distribution, through the commands: the package of docs/extractors.md, installed."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import bson
import pytest
from jsonschema import Draft202012Validator

from tests import kits
from tests.commands import ROOT, Outcome
from tests.end_to_end.desk import Desk
from tests.kits import AT, OBSERVATIONS, observation

PAGE = ROOT / "docs/extractors.md"
INSTALL = "import setuptools; setuptools.setup()"
RELEASE = {"name": "harbour-bulletin", "distribution": "harbour-bulletins", "version": "1.0"}
BULLETIN = {"bulletin": "HB-7", "packages": ["pkg:deb/debian/crane@1"], "links": ["https://harbour.example/7"]}


def shown() -> dict[str, str]:
    """Return the files of the package as the page shows them, by name."""
    page = PAGE.read_text(encoding="utf-8")
    return dict(re.findall(r"^`([\w.]+)`:\n\n```\w+\n(.*?)^```$", page, re.MULTILINE | re.DOTALL))


def install(folder: Path, changes: Mapping[str, str] = MappingProxyType({})) -> Path:
    """Build the package of the page with some of its texts changed, install it, and return where it is."""
    source, target = folder / "source", folder / "installed"
    source.mkdir(parents=True)
    for file in shown().items():
        name, text = file
        for old, new in changes.items():
            name, text = name.replace(old, new), text.replace(old, new)
        (source / name).write_text(text)
    words = ["install", "--single-version-externally-managed", "--root", "/", "--install-lib", target]
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", INSTALL, "-q", *map(str, words), "--record", str(folder / "record")],
        cwd=source,
        check=True,
        capture_output=True,
    )
    return target


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(tmp_path_factory.mktemp("package"))


def run(*words: object, packages: tuple[Path, ...] = ()) -> Outcome:
    path = os.pathsep.join(map(str, (*packages, ROOT)))
    command = [sys.executable, "-P", "-c", "from kit.cli import main; main()", *map(str, words)]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False)
    return Outcome(code=done.returncode, out=done.stdout, err=done.stderr)


class Site(Desk):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        stated = observation(1, content={"format": "Harbour Bulletin 1.2", "raw": BULLETIN})
        silent = observation(2, content={"raw": BULLETIN | {"bulletin": "HB-8"}})
        self.base = self.kit(kits.content(stated, silent, observation(3)))
        self.made = self.kits / "patched.tar.zst"
        self.delta = self.kits / "to.delta"

    def patch_with(self, *packages: Path, to: Path | None = None) -> Outcome:
        words = ("--signing-key", self.keys / "site", "--created-at", AT, "--workers", 1, "-o", to or self.made)
        return run("patch", self.base, *self.trust("vendor", "site"), *words, packages=packages)

    def build(self, *packages: Path) -> Outcome:
        words = ("-o", self.delta, "--signing-key", self.keys / "site", "--created-at", AT)
        trust = self.trust("vendor", "site")
        return run("delta", "build", self.base, self.made, *words, *trust, packages=packages)

    def apply(self, *packages: Path, to: str = "applied.tar.zst") -> Outcome:
        words = ("-o", self.kits / to, *self.trust("vendor", "site"))
        return run("delta", "apply", self.base, self.delta, *words, packages=packages)

    def statement(self) -> dict[str, Any]:
        envelope = json.loads(kits.read(self.made)["manifest/history/3/patch.intoto.json"])
        value: dict[str, Any] = json.loads(base64.b64decode(envelope["payload"]))
        return value


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def validate(document: object, schema: str) -> None:
    Draft202012Validator(json.loads((ROOT / "schemas" / schema).read_text())).validate(document)


def test_the_tests_of_the_page_pass(package: Path, tmp_path: Path) -> None:
    (tmp_path / "test_harbour_bulletins.py").write_text(shown()["test_harbour_bulletins.py"])
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_harbour_bulletins.py"],
        env={**os.environ, "PYTHONPATH": f"{package}:{ROOT}"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout


def test_it_is_listed_with_its_distribution_as_the_page_shows(package: Path) -> None:
    listed = run("formats", packages=(package,))
    lines = "harbour-bulletin  (harbour-bulletins 1.0)\n  harbour-bulletin, harbour-bulletin-1\n"
    assert lines in listed.out
    assert "".join(f"    {line}\n" for line in lines.splitlines()) in PAGE.read_text(encoding="utf-8")
    report = json.loads(run("formats", "--json", packages=(package,)).out)
    validate(report, "formats-report.schema.json")
    assert report["extractors"][-1] == {
        **RELEASE,
        "formats": ["harbour-bulletin", "harbour-bulletin-1"],
        "reads": ["bulletin", "links", "packages"],
    }
    assert {one["distribution"] for one in json.loads(run("formats", "--json").out)["extractors"]} == {"offline-kit"}


def test_it_reads_documents_and_is_named_in_the_signed_provenance(site: Site, package: Path) -> None:
    planned = run("plan", site.base, *site.trust("vendor"), "--json", packages=(package,))
    report = json.loads(planned.out)
    validate(report, "patch-report.schema.json")
    assert report["transforms"][0]["extractors"] == [RELEASE]
    assert report["outcomes"]["raw-linkset"] == {"acme": {"content": 3}}
    done = site.patch_with(package)
    assert done.code == 0, done
    assert "with the added extractors harbour-bulletin (harbour-bulletins 1.0)" in done.out
    first, second, _ = (bson.decode(one) for one in kits.documents_of(kits.read(site.made)[OBSERVATIONS]))
    assert first["rawLinkset"]["purls"] == BULLETIN["packages"]
    assert second["rawLinkset"]["aliases"] == ["HB-8"]
    statement = site.statement()
    validate(statement, "patch-provenance.schema.json")
    (applied,) = statement["predicate"]["transforms"]
    assert applied["extractors"] == [RELEASE]
    plain = json.loads(run("plan", site.base, *site.trust("vendor"), "--json").out)
    assert "extractors" not in plain["transforms"][0]
    assert plain["migration"]["sha256"] == statement["predicate"]["migration"]["sha256"]
    verdict = run("verify", site.made, *site.trust("vendor", "site"), "--deep")
    assert verdict.code == 0, verdict


def test_a_recipe_needs_the_same_extractors_in_the_same_versions(site: Site, package: Path, tmp_path: Path) -> None:
    assert site.patch_with(package).code == 0
    built = site.build(package)
    assert "computed at the site: raw-linkset version 1" in built.out, built
    shown_as = run("delta", "inspect", site.delta, "--json", packages=(package,))
    report = json.loads(shown_as.out)
    validate(report, "delta-report.schema.json")
    assert report["recipe"]["transforms"][0]["extractors"] == [RELEASE]
    assert site.apply(package).code == 0
    assert (site.kits / "applied.tar.zst").read_bytes() == site.made.read_bytes()
    before = kits.folder_state(site.kits)
    newer = install(tmp_path / "newer", {'version = "1.0"': 'version = "1.1"'})
    other = install(tmp_path / "other", {"harbour-bulletin": "quay-bulletin", "harbour_bulletins": "quay_bulletins"})
    site.apply(to="no").refused(10, "this program has no added extractors", "pip install harbour-bulletins==1.0")
    site.apply(newer, to="no").refused(
        10, "harbour-bulletin (harbour-bulletins 1.1)", "pip install harbour-bulletins==1.0"
    )
    site.apply(package, other, to="no").refused(10, "quay-bulletin", "pip uninstall quay-bulletins")
    assert kits.folder_state(site.kits) == before
    assert "will refuse it: the recipe needs raw-linkset with" in run("delta", "inspect", site.delta).out


def test_a_recipe_without_them_is_refused_where_one_is_installed(site: Site, package: Path) -> None:
    assert site.patch_with().code == 0
    assert "computed at the site" in site.build().out
    site.apply(package).refused(10, "raw-linkset with no added extractors", "pip uninstall harbour-bulletins")


def test_a_builder_with_another_release_gives_no_recipe_and_the_reason(
    site: Site, package: Path, tmp_path: Path
) -> None:
    assert site.patch_with(package).code == 0
    newer = install(tmp_path / "newer", {'version = "1.0"': 'version = "1.1"'})
    built = site.build(newer)
    assert built.code == 0, built
    assert "the site computes nothing: raw-linkset was applied with the added extractors harbour-bulletin" in built.out
    assert site.apply().code == 0


def test_a_run_that_began_with_one_release_is_not_resumed_with_another(site: Site, tmp_path: Path) -> None:
    dying = {"from typing": "import os\nfrom typing", "purls, purl": "os.kill(os.getpid(), 9)\n        purls, purl"}
    began = site.patch_with(install(tmp_path / "dying", dying))
    assert began.code == -9, began
    newer = install(tmp_path / "newer", {'version = "1.0"': 'version = "1.1"'})
    words = ("--signing-key", site.keys / "site", "--created-at", AT, "-o", site.made, "--resume")
    resumed = run("patch", site.base, *site.trust("vendor", "site"), *words, packages=(newer,))
    resumed.refused(64, "other options", "harbour-bulletins")


def test_a_format_as_documents_spell_it_is_refused_before_the_kit_is_opened(site: Site, tmp_path: Path) -> None:
    loud = install(tmp_path / "loud", {'{"harbour-bulletin", "harbour-bulletin-1"}': '{"Harbour Bulletin"}'})
    for words in (("plan", site.kits / "no-such-kit.tar", *site.trust("vendor")), ("formats",)):
        run(*words, packages=(loud,)).refused(
            64, "its format 'Harbour Bulletin' is not spelled as formats are looked up: write 'harbour-bulletin'"
        )

"""The pages that ship with the program: whole, linked, readable without a browser's help, and in every wheel."""

from __future__ import annotations

import posixpath
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest
from setuptools import Distribution  # type: ignore[import-untyped]

from scripts import building, make_offline_install, pages
from scripts.build_pages import BuildPy

ROOT = pages.ROOT
EMPTY = {"br", "hr", "meta"}
FILES = pages.shipped()
HTML = sorted(name for name in FILES if name.endswith(".html"))
MANUAL = pages.manual()


class Reader(HTMLParser):
    """Reads a page strictly: every element is closed in its order."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self.is_open: list[str] = []
        self.seen: set[str] = set()
        self.links: list[str] = []
        self.anchors: list[str] = []
        self.text: list[str] = []
        self.feed(data.decode())
        assert self.is_open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.links += [value or "" for name, value in attrs if name in {"href", "src"}]
        self.anchors += [value or "" for name, value in attrs if name == "id"]
        if tag not in EMPTY:
            self.is_open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.is_open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def code_lines(source: Path) -> set[str]:
    blocks = re.findall(r"^```\w*\n(.*?)^```$", source.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return {line for block in blocks for line in block.splitlines() if line.strip()}


@pytest.mark.parametrize("name", HTML)
def test_a_page_is_well_formed_loads_nothing_and_has_every_line_of_code(name: str) -> None:
    found = Reader(FILES[name])
    assert found.seen & {"script", "img", "link", "iframe", "object", "form"} == set()
    assert b"default-src 'none'" in FILES[name]
    shown = set("".join(found.text).splitlines())
    assert code_lines(ROOT / f"{name.removesuffix('.html')}.md") <= shown


@pytest.mark.parametrize("name", HTML)
def test_every_link_of_a_page_leads_to_what_ships(name: str) -> None:
    for href in Reader(FILES[name]).links:
        if "://" in href:
            continue
        path, _, place = href.partition("#")
        target = posixpath.normpath(posixpath.join(posixpath.dirname(name), path)) if path else name
        assert target in FILES, href
        if place:
            assert place in Reader(FILES[target]).anchors, href


def test_pages_link_to_each_other_and_to_formats() -> None:
    links = Reader(FILES["docs/auditor.html"]).links
    assert "../schemas/receipt.html" in links
    assert "../schemas/verify-report.html#what-each-line-means" in links


@pytest.mark.parametrize("name", sorted(MANUAL))
def test_a_man_page_is_set_without_a_warning_and_has_every_line_of_code(name: str) -> None:
    groff = shutil.which("groff")
    if groff is None:
        pytest.skip("groff is not here")
    words = [groff, "-man", "-ww", "-Kutf8", "-Tutf8", "-P-cbou", "-rLL=400n"]
    done = subprocess.run(words, input=MANUAL[name], capture_output=True, check=True)
    assert done.stderr == b""
    shown = {line.strip() for line in done.stdout.decode().splitlines()}
    title = Path(name).stem
    (source,) = (source for source, (known, *_) in pages.MANUAL.items() if known == title)
    lost = {line.strip() for line in code_lines(ROOT / f"docs/{source}.md")} - shown
    assert lost == set()
    assert any(line.startswith(f"{title} - ") for line in shown)


def test_a_build_of_the_package_has_them_and_records_them(tmp_path: Path) -> None:
    distribution = Distribution({"name": "offline-kit", "packages": ["kit"], "package_dir": {"": str(ROOT)}})
    distribution.script_name = "setup.py"
    distribution.get_command_obj("build").build_base = str(tmp_path / "base")
    step = BuildPy(distribution)
    step.build_lib = str(tmp_path / "lib")
    step.ensure_finalized()
    step.run()
    for name, data in FILES.items():
        assert (tmp_path / "lib/kit" / name).read_bytes() == data
    assert {str(tmp_path / "lib/kit" / name) for name in FILES} <= set(step.get_outputs())
    installed = {f"{place}/{Path(path).name}" for place, paths in distribution.data_files for path in paths}
    assert installed == {f"share/man/{name}" for name in MANUAL}


def test_every_schema_and_the_pages_for_sites_ship() -> None:
    assert {f"schemas/{path.name}" for path in (ROOT / "schemas").glob("*.schema.json")} <= FILES.keys()
    assert {"docs/runbook.html", "docs/auditor.html", "docs/reference.html"} <= FILES.keys()
    assert FILES["conformance/check_proof.py"] == (ROOT / "conformance/check_proof.py").read_bytes()


def test_the_archive_for_sites_without_a_network_has_them_under_its_digests() -> None:
    files = make_offline_install.bundle({}, version="0.1.0", python="3.11", platform="any")
    assert FILES.items() <= files.items()
    assert {f"man/{name}": data for name, data in MANUAL.items()}.items() <= files.items()
    assert b"  docs/runbook.html\n" in files["SHA256SUMS"]
    for named in re.findall(rb"docs/[\w-]+\.html", files["README.txt"]):
        assert named.decode() in files


def test_what_a_package_is_built_from_has_what_its_build_reads() -> None:
    with building.copied_package() as copy:
        for name in ("MANIFEST.in", "docs/runbook.md", "schemas/receipt.schema.json", "scripts/build_pages.py"):
            assert (copy / name).is_file()

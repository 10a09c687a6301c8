"""What the pages for contributors say of the house is so: its rooms, their order, and every path that a page names."""

from __future__ import annotations

import re
import tomllib

import pytest

from tests.docs.commands import ROOT

PICTURE = re.compile(r"```mermaid\n(.*?)```", re.DOTALL)
NODE = re.compile(r'(\w+)\["kit/(\w+): ')
ARROW = re.compile(r'(\w+)(?:\["[^"]*"\])? --> (\w+)')
NAMED = re.compile(r"`((?:kit|core|tests|docs|fixtures|conformance|hardening|benchmarks|schemas|scripts)/[^` ]*)")
PAGES = sorted(
    str(page.relative_to(ROOT))
    for folder in (".", "docs", "docs/design", "schemas", "fixtures", "conformance", "hardening", "benchmarks")
    for page in (ROOT / folder).glob("*.md")
)


def layers() -> dict[str, range]:
    """Return the layers that the import contract has of each room and its parts; 0 is the outermost."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contract = settings["tool"]["importlinter"]["contracts"][0]
    assert contract["type"] == "layers"
    names = {number: line.split(" | ") for number, line in enumerate(contract["layers"])}
    found: dict[str, range] = {}
    for number, line in names.items():
        for name in line:
            room = name.split(".")[1]
            found[room] = range(found.get(room, range(number, 0)).start, number + 1)
    return found


def test_the_picture_shows_every_room_and_arrows_that_the_import_contract_allows() -> None:
    found = PICTURE.search((ROOT / "CONTRIBUTING.md").read_text())
    assert found is not None
    rooms, layer = dict(NODE.findall(found[1])), layers()
    shown = set(rooms.values())
    assert {name for name in layer if (ROOT / "kit" / name).is_dir()} <= shown <= set(layer)
    arrows = [(rooms[one], rooms[other]) for one, other in ARROW.findall(found[1])]
    assert len(arrows) >= len(shown)
    assert [(one, other) for one, other in arrows if layer[one].start >= layer[other][-1]] == []


@pytest.mark.parametrize("page", PAGES)
def test_every_path_that_a_page_names_is_there(page: str) -> None:
    named = {path.rstrip("/.") for path in NAMED.findall((ROOT / page).read_text())}
    assert sorted(path for path in named if not {*ROOT.glob(path), *ROOT.glob(f"{path}.py")}) == []

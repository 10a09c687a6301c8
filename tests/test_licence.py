from __future__ import annotations

import hashlib
import tomllib
from typing import Any

from scripts import building

ROOT = building.ROOT
OFFICIAL = "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"
"""The SHA-256 of https://www.apache.org/licenses/LICENSE-2.0.txt."""


def table(path: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((ROOT / path).read_text())[name]
    return found


def test_the_licence_is_the_official_text_and_is_shipped_with_package_and_core() -> None:
    with building.copied_package() as copy:
        texts = [folder / "LICENSE" for folder in (ROOT, copy, ROOT / "core" / "kit-core-python")]
        assert {hashlib.sha256(text.read_bytes()).hexdigest() for text in texts} == {OFFICIAL}


def test_package_and_core_state_the_same_licence() -> None:
    package, core = table("pyproject.toml", "project"), table("core/kit-core-python/pyproject.toml", "project")
    stated = [project["license"] for project in (package, core)]
    stated.append(table("core/Cargo.toml", "workspace")["package"]["license"])
    assert set(stated) == {"Apache-2.0"}
    assert package["license-files"] == core["license-files"] == ["LICENSE"]
    crates = [table(str(path.relative_to(ROOT)), "package") for path in (ROOT / "core").glob("*/Cargo.toml")]
    assert [crate["license"] for crate in crates] == [{"workspace": True}] * 2


def test_the_classifiers_name_the_oldest_python_that_is_required() -> None:
    package = table("pyproject.toml", "project")
    oldest = package["requires-python"].removeprefix(">=")
    versions = [one for one in package["classifiers"] if one.startswith("Programming Language :: Python :: 3.")]
    assert versions[0] == f"Programming Language :: Python :: {oldest}"
    assert not any(one.startswith("License ::") for one in package["classifiers"])

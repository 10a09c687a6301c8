"""A backfill is sent as its recipe: the site computes it again, and the digests prove that it is the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kit.cli.exit_codes import exit_code
from kit.errors import KitError
from kit.ops.verify import verify
from tests.delta.kits import COMPRESSED, HERE, KEY, Pair, patched, trusting
from tests.delta.test_attacks import archive, files_of, resigned
from tests.kits import OBSERVATIONS, collection, observation


def many(files: dict[str, bytes]) -> None:
    files[OBSERVATIONS] = collection(observation(number) for number in range(400))


@pytest.mark.parametrize("name", ["kit.tar.zst", "kit.tar"])
def test_a_backfill_is_its_recipe_and_comes_back_byte_for_byte(name: str, tmp_path: Path) -> None:
    two = patched(tmp_path, name, many)
    built = two.build()
    made = {str(entry.path) for entry in built.manifest.members if entry.method == "recipe"}
    assert made == {OBSERVATIONS, COMPRESSED}
    done = two.apply(output=tmp_path / "out")
    assert done.same_archive
    assert (tmp_path / "out").read_bytes() == two.target.read_bytes()
    assert verify(tmp_path / "out", trusting(KEY), HERE).failure is None


def test_a_recipe_is_as_small_whatever_the_size_of_the_collection(tmp_path: Path) -> None:
    sizes = []
    for number, change in enumerate((None, many)):
        folder = tmp_path / str(number)
        folder.mkdir()
        two = patched(folder, change=change)
        report = two.build()
        # The target's manifest, its history's statement and the delta's own manifest come on top of the recipe.
        carried = {"offline-manifest.json", "manifest/history/1/patch.intoto.json"}
        entries = [entry for entry in report.manifest.members if str(entry.path) in carried]
        sizes.append(report.output_bytes - sum(entry.payload.size for entry in entries if entry.payload))
    assert max(sizes) <= 4096
    assert abs(sizes[1] - sizes[0]) < 64


def test_without_a_recipe_the_documents_are_sent(tmp_path: Path) -> None:
    two = patched(tmp_path)
    assert "recipe" not in two.build(recipe=False).methods
    assert two.apply().same_archive


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    two = patched(tmp_path_factory.mktemp("recipe"))
    two.build()
    return two


def recipe(**changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda document: document["recipe"].update(changes)


def lie(document: dict[str, Any]) -> None:
    next(entry for entry in document["members"] if entry["method"] == "recipe")["sha256"] = "0" * 64


@pytest.mark.parametrize(
    ("code", "change"),
    [
        (12, recipe(version="999")),
        (12, recipe(parametersSha256="0" * 64)),
        (12, recipe(transform="encrypt-fields")),
        (2, lie),
        (9, lambda document: document.pop("recipe")),
    ],
    ids=["another version", "other parameters", "another transform", "a lie", "no recipe"],
)
def test_a_recipe_that_would_give_something_else_is_refused_and_nothing_is_written(
    code: int, change: Callable[[dict[str, Any]], None], built: Pair, tmp_path: Path
) -> None:
    before = sorted(built.folder.rglob("*"))
    path = tmp_path / "altered"
    path.write_bytes(archive(resigned(files_of(built.delta.read_bytes()), change, sizes=False)))
    with pytest.raises(KitError) as caught:
        built.apply(delta=path)
    assert exit_code(caught.value) == code
    assert sorted(built.folder.rglob("*")) == before


def test_the_way_back_from_a_backfill_is_no_recipe(built: Pair, tmp_path: Path) -> None:
    assert "recipe" not in built.build(tmp_path / "back", reverse=True).methods

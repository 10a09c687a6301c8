"""A backfill is sent as its recipe: the site computes it again, and the digests prove that it is the same."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kit.cli.commands import exit_code
from kit.errors import KitError
from kit.reports.delta import inspected_lines
from kit.transforms.raw_linkset import RawLinkset, parse_cache_map
from kit.values.strict_json import canonical
from kit.verbs.delta.build import DeltaBuildReport
from kit.verbs.delta.verify import DeltaVerifyRequest, inspect_delta, verify_delta
from kit.verbs.verify.verify import verify
from tests.delta.kits import COMPRESSED, HERE, KEY, Pair, patched, trusting
from tests.delta.test_attacks import archive, files_of, resigned
from tests.kits import CACHE, OBSERVATIONS, advisory, collection, observation


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


def besides_what_is_carried(report: DeltaBuildReport) -> int:
    """Give the bytes of a delta without the target's own manifest, signature and history, as packed in it."""
    carried = "manifest/"
    entries = [entry for entry in report.manifest.members if str(entry.path).startswith(carried)]
    return report.output_bytes - sum(entry.payload.size for entry in entries if entry.payload)


def test_a_recipe_is_at_most_4_kib_whatever_the_size_of_the_collection(tmp_path: Path) -> None:
    sizes = []
    for number, change in enumerate((None, many)):
        folder = tmp_path / str(number)
        folder.mkdir()
        sizes.append(besides_what_is_carried(patched(folder, change=change).build()))
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


def elsewhere(document: dict[str, Any]) -> None:
    next(entry for entry in document["members"] if entry["method"] == "recipe")["source"] = "docs/readme.txt"


def recipe(**changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda document: document["recipe"]["transforms"][0].update(changes)


def parameters(**changes: Any) -> Callable[[dict[str, Any]], None]:
    """Change parameters as whoever has others would have said them."""

    def change(document: dict[str, Any]) -> None:
        step = document["recipe"]["transforms"][0]
        step["parameters"].update(changes)
        step["parametersSha256"] = hashlib.sha256(canonical(step["parameters"])).hexdigest()

    return change


def lie(document: dict[str, Any]) -> None:
    next(entry for entry in document["members"] if entry["method"] == "recipe")["sha256"] = "0" * 64


@pytest.mark.parametrize(
    ("code", "change"),
    [
        (12, recipe(version="999")),
        (12, parameters(shape=2)),
        (12, parameters(extractors=["osv"])),
        (12, parameters(cache="dto")),
        (12, parameters(tenants="acme")),
        (12, recipe(name="encrypt-fields")),
        (12, recipe(name="rename-fields")),
        (2, parameters(tenants=["acme"])),
        (2, lie),
        (9, recipe(parametersSha256="0" * 64)),
        (9, recipe(parameters=[])),
        (9, lambda document: document["recipe"].update(transforms=[])),
        (9, lambda document: document["recipe"].update(keys={"count": 0, "sha256": "0" * 64, "dekIds": []})),
        (9, elsewhere),
        (9, lambda document: document.pop("recipe")),
    ],
    ids=[
        "another version",
        "another shape",
        "fewer extractors",
        "parameters of no form",
        "tenants of no form",
        "another transform",
        "a transform that nobody has",
        "another selection",
        "a lie",
        "another digest than its parameters have",
        "no parameters",
        "no transform",
        "keys that nothing is sealed with",
        "a member made of another",
        "no recipe",
    ],
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


def test_a_folder_gets_what_a_recipe_makes_member_for_member(tmp_path: Path) -> None:
    two = patched(tmp_path, "kit", many)
    assert two.build().methods["recipe"] == 2
    two.apply(output=tmp_path / "out")
    for path in (path for path in two.target.rglob("*") if path.is_file()):
        assert (tmp_path / "out" / path.relative_to(two.target)).read_bytes() == path.read_bytes()
    assert verify(tmp_path / "out", trusting(KEY), HERE).failure is None


def test_what_would_be_refused_is_told_before_the_maintenance_window(built: Pair, tmp_path: Path) -> None:
    shown = inspect_delta(built.delta)
    assert shown.recipe_refused is None
    assert "computed at the site: raw-linkset version 1" in inspected_lines(shown)
    path = tmp_path / "altered"
    path.write_bytes(archive(resigned(files_of(built.delta.read_bytes()), recipe(version="999"), sizes=False)))
    verified = verify_delta(DeltaVerifyRequest(delta=path, anchor=trusting(KEY).anchor))
    for told in (inspect_delta(path).recipe_refused, verified.recipe_refused):
        assert told is not None
        assert "raw-linkset version 999" in told
        assert "raw-linkset version 1 " in told


def of_two_tenants(files: dict[str, bytes]) -> None:
    files[OBSERVATIONS] = collection(observation(n, tenant="acme" if n % 2 else "beta") for n in range(40))


CACHE_MAP = b'{"schemaVersion":"1","collection":"cached","fields":{"payload":["body"],"contentHash":["hash"]}}'


def cached(files: dict[str, bytes]) -> None:
    """Put the upstream documents of some observations into a cache that is not where one usually is."""
    files[OBSERVATIONS] = collection(observation(n, content=...) for n in range(30))
    files[CACHE.replace("dto", "cached")] = collection(
        {
            "_id": n,
            "tenant": "acme",
            "sourceName": "osv",
            "upstreamId": f"GO-2025-{n:04}",
            "hash": f"sha256:{n}",
            "format": "OSV",
            "body": advisory(n),
        }
        for n in range(20)
    )


def test_the_tenants_that_a_backfill_was_limited_to_are_found_and_sent(tmp_path: Path) -> None:
    limited = RawLinkset(tenants=frozenset({"beta"}))
    two = patched(tmp_path, "kit.tar.zst", of_two_tenants, limited)
    report = two.build()
    assert report.no_recipe is None
    assert report.manifest.recipe is not None
    (step,) = report.manifest.recipe.steps
    assert step.parameters["tenants"] == ["beta"]
    assert two.apply(output=tmp_path / "out").same_archive
    assert (tmp_path / "out").read_bytes() == two.target.read_bytes()


def of_many_tenants(files: dict[str, bytes]) -> None:
    files[OBSERVATIONS] = collection(observation(n, tenant=f"tenant-{n % 9}") for n in range(36))


def test_tenants_that_the_kits_do_not_show_are_named_by_whoever_builds(tmp_path: Path) -> None:
    # Too many to try any selection, and another part of the kit has the backfill of a tenant that was not selected.
    limited = RawLinkset(tenants=frozenset({"tenant-1", "tenant-2"}), stop_on_divergence=True)
    two = patched(tmp_path, "kit.tar", of_many_tenants, limited)
    report = two.build(tmp_path / "larger")
    assert report.manifest.recipe is None
    assert "--tenant" in (report.no_recipe or "")
    report = two.build(transforms=(RawLinkset(tenants=limited.tenants),))
    assert report.manifest.recipe is not None
    assert two.apply().same_archive


def test_a_cache_map_goes_with_the_recipe(tmp_path: Path) -> None:
    mapped = RawLinkset().with_cache(parse_cache_map(CACHE_MAP, where="map"))
    two = patched(tmp_path, "kit.tar.zst", cached, mapped)
    assert two.build(tmp_path / "without").manifest.recipe is None
    report = two.build(transforms=(mapped,))
    assert report.manifest.recipe is not None
    assert report.manifest.recipe.steps[0].parameters["cache"]["collection"] == "cached"
    assert report.methods["recipe"] >= 1
    assert two.apply().same_archive


def test_the_way_back_from_a_backfill_is_no_recipe(built: Pair, tmp_path: Path) -> None:
    report = built.build(tmp_path / "back", reverse=True)
    assert "recipe" not in report.methods
    assert report.no_recipe
    assert not report.discloses

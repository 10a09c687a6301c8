"""The library refuses, as the command line does, to write at, in or around what it reads; before anything is read."""

from __future__ import annotations

from pathlib import Path

import pytest

import kit
from kit.errors import OutputError, UsageError
from kit.output.paths import require_output_apart

AT = kit.Timestamp.parse("2099-04-02T03:04:05Z")


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """Return what would be a kit if anybody read it."""
    base = tmp_path / "base"
    base.mkdir()
    (base / "file").write_bytes(b"kept")
    return base


COLLISIONS = ["base/new", "base", "base/../base", "link", "link/new"]


@pytest.mark.parametrize("output", COLLISIONS)
def test_no_delta_is_built_into_what_is_read(output: str, base: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(base)
    other = tmp_path / "other"
    for pair in ((base, other), (other, base)):
        request = kit.DeltaBuildRequest(
            base=pair[0],
            target=pair[1],
            output=tmp_path / output,
            key=kit.generate(kit.Algorithm.ED25519),
            expectation=kit.Expectation(trusted={}),
            created_at=AT,
        )
        with pytest.raises((UsageError, OutputError)):
            kit.build_delta(request)
        assert [path.name for path in base.iterdir()] == ["file"]


def test_a_kit_where_the_run_would_work_is_not_emptied(base: Path, tmp_path: Path) -> None:
    place = base.rename(tmp_path / "out.kit-build")
    request = kit.DeltaBuildRequest(
        base=place,
        target=tmp_path / "other",
        output=tmp_path / "out",
        key=kit.generate(kit.Algorithm.ED25519),
        expectation=kit.Expectation(trusted={}),
        created_at=AT,
    )
    with pytest.raises(UsageError, match="are one place"):
        kit.build_delta(request)
    assert (place / "file").read_bytes() == b"kept"


def test_a_delta_where_the_run_would_work_is_not_emptied(base: Path, tmp_path: Path) -> None:
    (tmp_path / "out.kit-job").write_bytes(b"a delta")
    request = kit.DeltaApplyRequest(
        base=base, delta=tmp_path / "out.kit-job", output=tmp_path / "out", expectation=kit.Expectation(trusted={})
    )
    with pytest.raises(UsageError, match="are one place"):
        kit.apply_delta(request)
    assert (tmp_path / "out.kit-job").read_bytes() == b"a delta"


def test_deltas_of_a_chain_are_not_overwritten(base: Path, tmp_path: Path) -> None:
    request = kit.DeltaSquashRequest(
        base=base,
        deltas=(tmp_path / "one", tmp_path / "two"),
        output=tmp_path / "two",
        key=kit.generate(kit.Algorithm.ED25519),
        expectation=kit.Expectation(trusted={}),
        created_at=AT,
    )
    with pytest.raises(UsageError, match="delta 2 are one place"):
        kit.squash_deltas(request)


@pytest.mark.parametrize(
    ("output", "match"),
    [("base/new", "inside the kit"), ("out.kit-done", "one place"), ("link", "one place"), ("BASE", "take for one")],
)
def test_what_is_one_place_by_another_name_is_found(output: str, match: str, tmp_path: Path) -> None:
    folder = tmp_path / "base" if output == "base/new" else tmp_path / "out.kit-done"
    if output != "BASE":
        folder.mkdir()
        (tmp_path / "link").symlink_to(folder)
    inputs = {"kit": tmp_path / "base" if output in {"BASE", "base/new"} else folder}
    target = tmp_path / ("out" if output == "out.kit-done" else output)
    with pytest.raises(UsageError, match=match):
        require_output_apart(target, inputs)


def test_an_output_beside_what_is_read_is_let_pass(base: Path, tmp_path: Path) -> None:
    require_output_apart(tmp_path / "new", {"base": base, "target": tmp_path / "base.2"})

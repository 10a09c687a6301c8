"""One delta of a chain gives what the chain gives, and is the one that would have been built directly."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from kit.errors import UsageError, WrongBaseError
from kit.reports.delta import applied_json, applied_lines, built_lines
from kit.verbs.delta.build import DeltaBuildReport, DeltaSquashRequest
from kit.verbs.delta.squash import squash_deltas
from tests.delta.kits import AT, HERE, KEY, Pair, trusting
from tests.kits import OBSERVATIONS, collection, contents, observation, signed, write_kit

NAMES = ("kit-1.tar.zst", "kit-2.tar.zst", "kit-3.tar.zst")


def chain(folder: Path, *collections: bytes) -> tuple[Pair, Pair, Pair]:
    """Write three generations; gives the first step, the second, and the way over both."""
    kits = [
        write_kit(folder / name, signed({OBSERVATIONS: data, "a.txt": b"%d" % number}, KEY, generation=number))
        for number, (name, data) in enumerate(zip(NAMES, collections, strict=True))
    ]
    pairs = [Pair(folder=folder, base=kits[a], target=kits[b]) for a, b in ((0, 1), (1, 2), (0, 2))]
    return pairs[0], pairs[1], pairs[2]


def squash(folder: Path, *deltas: Path) -> DeltaBuildReport:
    return squash_deltas(
        DeltaSquashRequest(
            base=folder / NAMES[0],
            deltas=deltas,
            output=folder / "squashed",
            key=KEY,
            expectation=trusting(KEY),
            created_at=AT,
            environment=HERE,
        )
    )


DOCUMENTS = st.lists(st.integers(min_value=0, max_value=6), max_size=6).map(
    lambda numbers: collection(observation(number) for number in numbers)
)


@pytest.mark.slow
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.tuples(DOCUMENTS, DOCUMENTS, DOCUMENTS))
def test_applying_the_squashed_delta_gives_what_the_direct_one_gives(
    tmp_path_factory: pytest.TempPathFactory, collections: tuple[bytes, bytes, bytes]
) -> None:
    folder = tmp_path_factory.mktemp("chain")
    first, second, over = chain(folder, *collections)
    first.build(folder / "one")
    second.build(folder / "two")
    over.build(folder / "direct")
    squash(folder, folder / "one", folder / "two")
    over.apply(delta=folder / "direct", output=folder / "by-direct")
    over.apply(delta=folder / "squashed", output=folder / "by-squashed")
    assert contents((folder / "by-squashed").read_bytes()) == contents(over.target.read_bytes())
    assert (folder / "by-squashed").read_bytes() == (folder / "by-direct").read_bytes()


def test_of_archives_of_this_program_the_squashed_delta_is_the_direct_one_byte_for_byte(tmp_path: Path) -> None:
    first, second, over = chain(tmp_path, *(collection(observation(n) for n in range(m)) for m in (3, 4, 2)))
    for step in (first, second):
        # Out and back in again: what an application writes, this program wrote.
        step.build(tmp_path / f"{step.target.name}.delta")
        step.apply(delta=tmp_path / f"{step.target.name}.delta", output=tmp_path / f"own-{step.target.name}")
    own = replace(over, target=tmp_path / f"own-{NAMES[2]}")
    own.build(tmp_path / "direct")
    replace(second, target=own.target).build(tmp_path / "of-own")
    report = squash(tmp_path, tmp_path / f"{NAMES[1]}.delta", tmp_path / "of-own")
    assert (tmp_path / "squashed").read_bytes() == (tmp_path / "direct").read_bytes()
    assert report.manifest.base.generation == 0
    assert report.manifest.target.generation == 2
    assert any("a site gets the archive byte for byte" in line for line in built_lines(report))


def test_after_a_squash_no_site_is_told_that_it_has_the_publishers_archive(tmp_path: Path) -> None:
    """The archive inside of the squash was packed on the way; what the publisher had is of other bytes."""
    first, second, over = chain(tmp_path, *(collection(observation(n) for n in range(m)) for m in (3, 4, 2)))
    first.build(tmp_path / "one")
    second.build(tmp_path / "two")
    over.build(tmp_path / "direct")
    report = squash(tmp_path, tmp_path / "one", tmp_path / "two")
    published = hashlib.sha256(over.target.read_bytes()).hexdigest()
    assert (report.manifest.archive.sha256, str(report.manifest.archive.published)) == (None, published)
    assert any(f"not the bytes of the archive, SHA-256 {published}" in line for line in built_lines(report))
    for way in ("squashed", "direct"):
        done = over.apply(delta=tmp_path / way, output=tmp_path / f"by-{way}")
        told = list(applied_lines(done))
        assert not done.same_archive
        assert f"its SHA-256 is {done.output_sha256}, not {published}" in "; ".join(told)
        assert not [line for line in told if "the archive is byte for byte" in line]
        document = applied_json(done)["archive"]
        assert (document["compared"], document["builtFrom"]["published"]) == (True, published)
    again = over.apply(delta=tmp_path / "squashed", base=over.target, output=tmp_path / "copied")
    assert again.same_archive, "where the publisher's archive is there already, that is told"


def test_a_chain_with_a_missing_link_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    first, second, _ = chain(tmp_path, *(collection(observation(n) for n in range(m)) for m in (3, 4, 2)))
    first.build(tmp_path / "one")
    second.build(tmp_path / "two")
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(WrongBaseError):
        squash(tmp_path, tmp_path / "two", tmp_path / "one")
    with pytest.raises(UsageError):
        squash(tmp_path, tmp_path / "one")
    assert sorted(path.name for path in tmp_path.iterdir()) == before

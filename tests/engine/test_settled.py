"""Members with nothing left to do: told by the first reading, exactly as a rewriting pass would find them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from kit.archive.read.reader import open_kit
from kit.engine.executors import InlineExecutor
from kit.engine.pipeline import Pipeline
from kit.engine.reading import Survey
from kit.engine.rewrite import Request, Rewrite, find_untouched, rewrite
from kit.engine.survey import survey
from kit.errors import ArchiveError, DigestError
from kit.transforms.protocol import Transform
from kit.transforms.raw_linkset import RawLinkset
from kit.values import Codec, Limits, MemberPath
from tests.archive.building import archive_in
from tests.engine.test_rewrite import AT
from tests.kits import OBSERVATIONS, SOUND, collection, observation, packed, stored, tar, write_kit
from tests.tiers import examples

PATH = MemberPath(OBSERVATIONS)
DONE = [observation(number, rawLinkset=SOUND) for number in range(40)]
LARGE = {"rawLinkset": SOUND | {"aliases": ["x" * 300_000]}}
DOCUMENTS = st.lists(
    st.tuples(st.sampled_from(["acme", "globex", None, 7]), st.sampled_from([SOUND, SOUND | {"aliases": ["a"]}])),
    max_size=12,
)


def surveyed(kit: Path, *transforms: Transform) -> Survey:
    chain = transforms or (RawLinkset(),)
    with open_kit(kit, limits=Limits()) as reader, Pipeline(InlineExecutor(), budget=1 << 20) as pipeline:
        return survey(reader, pipeline, keep=lambda _: False, count=lambda _: False, transforms=chain)


def rewritten(kit: Path, folder: Path, found: Survey, *, trusting: bool) -> tuple[Rewrite, bytes]:
    folder.mkdir()
    destination = archive_in(folder, codec=Codec.ZSTD)
    # A settled member is not proven: nothing of it changed, so nothing of it is signed anew.
    settled = found.settled if trusting else {}
    request = Request(transforms=(RawLinkset(),), lookup=None, created_at=AT, settled=settled, prove=False)
    try:
        with open_kit(kit, limits=Limits()) as reader, Pipeline(InlineExecutor(), budget=1 << 20) as pipeline:
            done = rewrite(reader, found, destination, pipeline, request)
        return done, destination.assemble().read_bytes()
    finally:
        destination.release()


@settings(deadline=None, max_examples=examples(40))
@given(kinds=DOCUMENTS)
def test_what_is_told_of_a_settled_member_is_what_rewriting_it_finds(
    kinds: list[tuple[Any, Any]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("settled")
    documents = [observation(n, tenant=tenant, rawLinkset=value) for n, (tenant, value) in enumerate(kinds)]
    kit = write_kit(folder / "kit.tar.zst", {OBSERVATIONS: collection(documents), "other": b"o"})
    found = surveyed(kit)
    assert list(found.settled) == [PATH]
    told, _ = rewritten(kit, folder / "told", found, trusting=True)
    met, _ = rewritten(kit, folder / "met", found, trusting=False)
    assert told.outcomes == met.outcomes
    assert (told.members[PATH].tally, told.members[PATH].selection) == (
        met.members[PATH].tally,
        met.members[PATH].selection,
    )
    assert told == met


@pytest.mark.parametrize(
    ("name", "data"),
    [
        (OBSERVATIONS, collection([observation(0), *DONE])),
        (OBSERVATIONS, collection([*DONE, observation(40)])),
        (OBSERVATIONS, collection([*DONE, observation(40, rawLinkset=None)])),
        (OBSERVATIONS, collection([*DONE, observation(40, rawLinkset={"aliases": []})])),
        (OBSERVATIONS, collection([*DONE, observation(40, rawLinkset=SOUND, linkset=...)])),
        (OBSERVATIONS, collection([*(one | LARGE for one in DONE), observation(40)])),
        (OBSERVATIONS, collection(DONE) + b"\x07\0\0\0\x99a\0"),
        (OBSERVATIONS, b"\x07\0\0\0\x99a\0" + collection(DONE)),
        (OBSERVATIONS, collection(DONE)[:-3]),
        (f"{OBSERVATIONS}.gz", stored(f"{OBSERVATIONS}.gz", collection(DONE))),
    ],
    ids=[
        "the first document lacks it",
        "the last one does",
        "it is null in the last one",
        "it is of another shape there",
        "the last one has no linkset",
        "the last of several runs does",
        "the last one is malformed",
        "the first one is",
        "the last one is cut",
        "a codec of its own",
    ],
)
def test_where_there_is_any_doubt_nothing_is_settled(name: str, data: bytes, tmp_path: Path) -> None:
    assert surveyed(write_kit(tmp_path / "kit.tar", {name: data})).settled == {}


def test_what_several_transforms_handle_is_not_settled(tmp_path: Path) -> None:
    kit = write_kit(tmp_path / "kit.tar", {OBSERVATIONS: collection(DONE)})
    assert list(surveyed(kit, RawLinkset()).settled) == [PATH]
    assert surveyed(kit, RawLinkset(), RawLinkset()).settled == {}


def test_a_malformed_document_is_named_when_it_is_rewritten(tmp_path: Path) -> None:
    kit = write_kit(tmp_path / "kit.tar", {OBSERVATIONS: collection(DONE) + b"\x07\0\0\0\x99a\0"})
    done, _ = rewritten(kit, tmp_path / "job", surveyed(kit), trusting=True)
    assert done.outcomes["raw-linkset", "", "unresolvable"] == 1
    ((_, _, finding),) = done.findings
    assert (finding.document, finding.reason.partition(": ")[0]) == ("(unreadable)", "the document cannot be read")


def test_an_archive_cut_inside_a_settled_member_is_refused(tmp_path: Path) -> None:
    kit = tmp_path / "kit.tar"
    kit.write_bytes(tar({OBSERVATIONS: collection(DONE)})[:5000])
    with pytest.raises(ArchiveError, match=f"^{kit}: is cut"):
        surveyed(kit)


def test_where_everything_is_settled_the_kit_is_not_read_again_but_must_be_the_same(tmp_path: Path) -> None:
    archive = tar({OBSERVATIONS: collection(DONE)})
    kit = tmp_path / "kit.tar.zst"
    kit.write_bytes(packed(archive, kit.name))
    found = surveyed(kit)
    with open_kit(kit, limits=Limits()) as reader:
        told = find_untouched(reader, found, found.settled)
        assert told is not None
        assert (told.changed, told.outcomes["raw-linkset", "acme", "present"]) == (0, 40)
        assert find_untouched(reader, found, {}) is None
        kit.write_bytes(kit.read_bytes()[:-1] + b"!")
        with pytest.raises(DigestError, match="the kit changed"):
            find_untouched(reader, found, found.settled)


def test_of_a_folder_everything_is_read_again(tmp_path: Path) -> None:
    kit = write_kit(tmp_path / "kit", {OBSERVATIONS: collection(DONE)})
    found = surveyed(kit)
    with open_kit(kit, limits=Limits()) as reader:
        assert list(found.settled) == [PATH]
        assert find_untouched(reader, found, found.settled) is None

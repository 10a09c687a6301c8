"""What of a target is put aside on the first reading, what is read again, and that neither changes the delta."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from kit.archive.frames import encode
from kit.archive.read.reader import open_kit
from kit.engine.progress import Event, PassDone, Stage
from kit.engine.reading import BodyTap, Survey, read_once
from kit.errors import ArchiveError, DigestError
from kit.values import Codec, Limits, MemberPath, Sha256
from kit.verbs.delta.stores import MAX_COLLECTIONS, BaseSpool, BaseStores, TargetSpool
from tests.delta.kits import HERE, pair, patched
from tests.delta.test_round_trip import Heard, files_of
from tests.kits import OBSERVATIONS, collection, observation, tar, write_kit

ENDING = "images/layer.bin"
PLAIN = bytes(range(256)) * 40
OPEN = Path("/proc/self/fd")


def _target_of(link: Path) -> str:
    try:
        return str(link.readlink())
    except FileNotFoundError:  # that of the listing itself
        return ""


def read(folder: Path, name: str, files: dict[str, bytes], tap: BodyTap) -> Survey:
    with open_kit(write_kit(folder / name, files), limits=Limits()) as reader:
        return read_once(reader, keep=lambda _: False, tap=tap)


def put_aside(folder: Path, base: dict[str, bytes], target: dict[str, bytes]) -> tuple[Survey, TargetSpool]:
    """Read two kits as a build does."""
    with BaseStores(folder) as stores:
        before = BaseSpool(stores, Limits())
        survey = read(folder, "base.tar", base, before)
        changed = TargetSpool(folder, survey, before, Limits())
        return read(folder, "target.tar", target, changed), changed


def test_what_has_another_size_or_begins_otherwise_is_put_aside_and_what_may_be_the_same_is_not(tmp_path: Path) -> None:
    documents = collection(observation(n) for n in range(3))
    base = {"a/c/same.bson": documents, "a/c/longer.bson": documents, "a/c/otherwise.bson": documents}
    base |= {"same": PLAIN, "ends otherwise": PLAIN, "begins otherwise": PLAIN, "longer": PLAIN}
    target = base | {
        "a/c/longer.bson": documents * 2,
        "a/c/otherwise.bson": collection(observation(n) for n in (1, 0, 2)),
        "a/c/new.bson": documents[:-1],
        "ends otherwise": PLAIN[:-1] + b"!",
        "begins otherwise": b"!" + PLAIN[1:],
        "longer": PLAIN + b"!",
        "new": b"",
    }
    found, changed = put_aside(tmp_path, base, target)
    assert {str(path) for path in changed.documents} == {"a/c/longer.bson", "a/c/otherwise.bson", "a/c/new.bson"}
    assert {str(path) for path in changed.bytes} == {"begins otherwise", "longer", "new"}
    for path, part in changed.bytes.items():
        assert part.read(0, part.size + 1) == target[str(path)]
        assert part.read(1, 5) == target[str(path)][1:6]
    for path, one in changed.documents.items():
        assert Sha256.of(one.store.data.read(0, one.store.data.size)) == found.members[path][0]
        assert one.sound == (str(path) != "a/c/new.bson")
    assert changed.documents[MemberPath("a/c/longer.bson")].store.count == 6
    changed.close()


def test_a_container_has_the_length_that_was_counted(tmp_path: Path) -> None:
    _, changed = put_aside(tmp_path, {"a": b""}, {"folder/a": b"1", "ä" * 80: PLAIN, "b": bytes(512)})
    changed.close()
    # GNU tar and Python's fill the last record with zeros; the archive of this test is not this program's.
    assert 0 <= (tmp_path / "target.tar").stat().st_size - changed.length < 10_240


def test_a_collection_whose_body_breaks_off_is_an_error_and_not_one_to_be_given_in_full(tmp_path: Path) -> None:
    whole = tar({OBSERVATIONS: collection([observation(1)])})
    (tmp_path / "cut.tar").write_bytes(whole[:700])
    with BaseStores(tmp_path) as stores:
        before = BaseSpool(stores, Limits())
        changed = TargetSpool(tmp_path, Survey(), before, Limits())
        for tap in (before, changed):
            with open_kit(tmp_path / "cut.tar", limits=Limits()) as reader, pytest.raises(ArchiveError):
                read_once(reader, keep=lambda _: False, tap=tap)
        assert not stores.documents
        changed.close()
    if OPEN.exists():
        assert not [name for file in OPEN.iterdir() if str(tmp_path) in (name := _target_of(file))]


def test_what_is_put_aside_of_a_base_on_a_guess_is_removed_where_it_is_not_needed(tmp_path: Path) -> None:
    documents = collection(observation(n) for n in range(3))
    base = {"a/c/same.bson": documents, "a/c/longer.bson": documents, "a/c/broken.bson": documents[:-1]}
    base |= {"small": b"1", "large": bytes(1 << 17)}
    with BaseStores(tmp_path) as stores:
        before = BaseSpool(stores, Limits())
        found = read(tmp_path, "base.tar", base, before)
        assert {str(path) for path in stores.documents} == {"a/c/same.bson", "a/c/longer.bson"}
        assert {str(path) for path in stores.bytes} == {"small"}
        kept = TargetSpool(tmp_path, found, before, Limits())
        after = read(
            tmp_path, "target.tar", base | {"a/c/longer.bson": documents * 2, "large": b"", "small": b"2"}, kept
        )
        kept.close()
        with open_kit(tmp_path / "base.tar", limits=Limits()) as reader:
            read_once(reader, keep=lambda _: False)  # what comes again is compared with the survey
            stores.fill(reader, found, after)
        assert {str(path) for path in stores.documents} == {"a/c/longer.bson"}
        assert {str(path): part.read(0, part.size) for path, part in stores.bytes.items()} == {
            "small": b"1",
            "large": base["large"],
        }
        assert sorted(path.name for path in tmp_path.glob("base-*.documents")) == ["base-1.documents"]


@pytest.mark.parametrize("name", ["kit.tar.zst", "kit"])
def test_what_only_the_digest_tells_is_read_again(name: str, tmp_path: Path) -> None:
    documents = [observation(n) for n in range(4)]
    edited = [*documents[:3], observation(7)]
    base = {OBSERVATIONS: collection(documents), ENDING: PLAIN, "a/c/moved.bson": collection(documents[:2])}
    target = {OBSERVATIONS: collection(edited), ENDING: PLAIN[:-1] + b"!", "a/c/moved.bson": collection(documents[:3])}
    assert [*map(len, base.values())][:2] == [*map(len, target.values())][:2]
    two = pair(tmp_path, name, base=base, target=target)
    assert dict(two.build().methods) == {"documents": 2, "binary": 1, "full": 2}
    two.apply()
    assert files_of(two.base) == files_of(two.target)


def test_more_collections_change_than_are_put_aside(tmp_path: Path) -> None:
    names = [f"a/c/many{n}.bson" for n in range(MAX_COLLECTIONS + 2)]
    base = {name: collection([observation(n)]) for n, name in enumerate(names)}
    target = {name: collection([observation(n), observation(n + 50)]) for n, name in enumerate(names)}
    two = pair(tmp_path, base=base, target=target)
    assert two.build().methods["documents"] == len(names)
    two.apply()
    assert files_of(two.base) == files_of(two.target)


@pytest.mark.slow
def test_many_segments_are_made_by_workers_and_are_the_same(tmp_path: Path) -> None:
    def documents(note: str) -> Iterator[dict[str, object]]:
        return ({"_id": number, "note": f"{note} {number}", "data": bytes(1 << 21)} for number in range(7))

    two = pair(
        tmp_path, base={OBSERVATIONS: collection(documents("a"))}, target={OBSERVATIONS: collection(documents("b"))}
    )
    first = two.build()
    assert two.build(tmp_path / "again", environment=replace(HERE, workers=2)).output_sha256 == first.output_sha256
    two.apply()
    assert files_of(two.base) == files_of(two.target)


@pytest.mark.parametrize("name", ["kit.tar", "kit.tar.gz"])
def test_an_archive_of_this_program_with_more_zeros_at_its_end_is_not_promised(name: str, tmp_path: Path) -> None:
    two = patched(tmp_path, name)
    assert two.build(tmp_path / "own").manifest.archive.sha256 is not None
    for beside in tmp_path.glob("target-*.s*"):
        beside.unlink()
    # One end more, in a frame of its own as this program would make it: only the length of it all tells.
    own = two.target.read_bytes()
    two.target.write_bytes(own + encode(Codec.GZIP if name.endswith(".gz") else Codec.NONE, bytes(1024)))
    assert two.build().manifest.archive.sha256 is None
    assert not two.apply().same_archive
    assert files_of(two.base) == files_of(two.target)


@pytest.mark.skipif(not OPEN.exists(), reason="the system does not tell what is open")
def test_a_build_leaves_no_file_open(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    two, own = pair(tmp_path), patched(tmp_path / "own")
    before = len(list(OPEN.iterdir()))
    two.build()
    own.build(recipe=False)
    assert len(list(OPEN.iterdir())) == before


class Meddler(Heard):
    """Does something once the first reading of the target is over."""

    def __init__(self, meddle: Callable[[], object]) -> None:
        super().__init__()
        self._meddle = meddle

    def tell(self, event: Event) -> None:
        super().tell(event)
        if isinstance(event, PassDone) and self.done() == [Stage.SURVEY, Stage.SURVEY]:
            self._meddle()


@pytest.mark.parametrize("side", ["base", "target"])
@pytest.mark.parametrize("harm", ["a new file", "a file less", "another byte"])
def test_a_folder_that_changes_between_its_two_readings_is_refused(side: str, harm: str, tmp_path: Path) -> None:
    # The last byte only: so both kits are read a second time.
    body = {name: bytes(1 << 17) for name in ("images/a.bin", "images/b.bin")}
    two = pair(tmp_path, "kit", base=body, target={name: data[:-1] + b"!" for name, data in body.items()})
    where = (two.base if side == "base" else two.target) / "images"

    def meddle() -> None:
        if harm == "a new file":
            (where / "new.bin").write_bytes(b"new")
        elif harm == "a file less":
            (where / "b.bin").unlink()
        else:
            (where / "b.bin").write_bytes(bytes((1 << 17) - 1) + b"?")

    heard = Meddler(meddle)
    with pytest.raises(DigestError, match="changed while it was being read"):
        two.build(environment=replace(HERE, progress=heard))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["base", "target"]

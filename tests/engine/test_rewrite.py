"""Survey and rewrite of whole kits: what is carried stays, and workers and chunks do not show."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import bson
import pytest

from kit.archive.read.reader import KitReader, open_kit
from kit.archive.write.folder import FolderDestination
from kit.archive.write.tar import ArchiveDestination, CountingDestination
from kit.engine.executors import local_executor
from kit.engine.leaves import LeafStore
from kit.engine.lookup import LookupReader, LookupWriter, close_lookups
from kit.engine.pipeline import Pipeline
from kit.engine.reading import Survey
from kit.engine.rewrite import MAX_FINDINGS, Request, Rewrite, rewrite, unchanged_members
from kit.engine.survey import survey
from kit.errors import ArchiveError, BsonError, DigestError, KitError, LimitError
from kit.transforms.allowance import Limit
from kit.transforms.raw_linkset import RawLinkset
from kit.values import Codec, Limits, MemberPath, Sha256, Timestamp
from tests.archive.building import archive_in
from tests.kits import (
    OBSERVATIONS,
    SNAPSHOTS,
    advisory,
    collection,
    contents,
    observation,
    packed,
    small_files,
    snapshot,
    tar,
    write_kit,
)
from tests.tiers import slow

AT = Timestamp(1_760_000_000)
IDLE = "dump/concelier/part-2/concelier/advisory_observations.bson.gz"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    found: Survey
    done: Rewrite
    output: Path


class Committed(CountingDestination):
    """Counts, and keeps how much there was at each commit."""

    def __init__(self) -> None:
        super().__init__(codec=Codec.ZSTD)
        self.commits: list[int] = []

    def commit(self) -> None:
        self.commits.append(self.encoded)


def run(
    kit: Path,
    job: Path,
    *,
    workers: int = 1,
    limit: int | None = None,
    leave: Sequence[str] = (),
    transform: RawLinkset | None = None,
    between: object = None,
    limits: Limits | None = None,
    leaves: LeafStore | None = None,
    batch: int | None = None,
    counting: Committed | None = None,
) -> Ran:
    job.mkdir()
    chain = (transform or RawLinkset(),)
    with ExitStack() as stack:
        reader = stack.enter_context(open_kit(kit, limits=limits or Limits()))
        executor = stack.enter_context(local_executor(workers))
        stack.callback(close_lookups)
        found = _surveyed(reader, Pipeline(executor, budget=1 << 20), job / "lookup", chain)
        if callable(between):
            between()
        destination: ArchiveDestination | FolderDestination
        if kit.is_dir():
            destination = FolderDestination(job)
        else:
            codec = Codec.ZSTD if kit.suffix == ".zst" else Codec.GZIP if kit.suffix == ".gz" else Codec.NONE
            destination = archive_in(job, codec=codec)
        stack.callback(destination.release)
        request = Request(
            transforms=chain,
            lookup=job / "lookup",
            created_at=AT,
            limit=Limit(total=limit),
            leave=frozenset(MemberPath(path) for path in leave),
            leaves=leaves,
            batch_documents=batch,
        )
        with Pipeline(executor, budget=1 << 20) as pipeline:
            done = rewrite(reader, found, counting or destination, pipeline, request)
        return Ran(found=found, done=done, output=destination.assemble())


def _surveyed(reader: KitReader, pipeline: Pipeline, lookup: Path, chain: tuple[RawLinkset, ...]) -> Survey:
    with LookupWriter(lookup) as writer:
        found = survey(
            reader,
            pipeline,
            keep=lambda path: path.text == "docs/readme.txt",
            count=lambda member: member.path.text == IDLE,
            transforms=chain,
            lookup=writer,
        )
        writer.finish()
    writer.path.rename(lookup)
    return found


@pytest.fixture
def kit(tmp_path: Path) -> Path:
    return write_kit(tmp_path / "kit.tar.zst", small_files())


def test_the_survey_digests_every_file_keeps_what_was_asked_for_and_counts(kit: Path, tmp_path: Path) -> None:
    files = small_files()
    found = run(kit, tmp_path / "job").found
    assert {str(path): digest.hex for path, (digest, _) in found.members.items()} == {
        path: hashlib.sha256(data).hexdigest() for path, data in files.items()
    }
    assert {str(path): size for path, (_, size) in found.members.items()} == {
        path: len(data) for path, data in files.items()
    }
    assert found.kept == {MemberPath("docs/readme.txt"): b"read me\n"}
    assert {str(path) for path in found.collections} == {OBSERVATIONS, IDLE, SNAPSHOTS}
    assert found.tallies[MemberPath(IDLE)].tenants["acme"].present == 2
    with_lookup = LookupReader(tmp_path / "job" / "lookup")
    assert with_lookup.has_prefix(b"")
    with_lookup.close()


def test_every_other_member_is_byte_identical_and_stands_where_it_stood(kit: Path, tmp_path: Path) -> None:
    before, after = small_files(), contents(run(kit, tmp_path / "job", leave=[IDLE]).output.read_bytes())
    assert list(after) == list(before)
    assert {path for path in before if after[path] != before[path]} == {OBSERVATIONS}


def test_a_handled_member_without_a_change_is_reported_and_carried_verbatim_when_named(
    kit: Path, tmp_path: Path
) -> None:
    first = run(kit, tmp_path / "first")
    assert unchanged_members(first.done) == {MemberPath(IDLE)}
    # Compressed anew, which is why the caller starts over with it named:
    assert contents(first.output.read_bytes())[IDLE] != small_files()[IDLE]
    second = run(kit, tmp_path / "second", leave=[IDLE])
    assert contents(second.output.read_bytes())[IDLE] == small_files()[IDLE]


def test_digest_and_size_reported_are_those_of_the_stored_body(kit: Path, tmp_path: Path) -> None:
    ran = run(kit, tmp_path / "job")
    written = contents(ran.output.read_bytes())
    for path, change in ran.done.members.items():
        assert (change.sha256, change.size) == (Sha256.of(written[str(path)]), len(written[str(path)]))
    assert gzip.decompress(written[IDLE]) == gzip.decompress(small_files()[IDLE])


def large_files() -> dict[str, bytes]:
    """Give several runs of documents: some from snapshots, some from content, some unresolvable."""
    filler = {"details": "x" * 200_000}
    documents = [observation(n, raw=advisory(n, **filler)) for n in range(60)]
    documents += [observation(n, raw={"unknown": "y" * 200_000}) for n in range(60, 70)]
    return small_files() | {
        OBSERVATIONS: collection(documents),
        "dump/concelier/z/concelier/advisory_observations.bson.zst": b"",
        SNAPSHOTS: collection(snapshot(n) for n in range(0, 60, 7)),
    }


def test_a_batch_is_committed_with_the_run_that_fills_it_and_changes_no_byte(tmp_path: Path) -> None:
    members = {
        f"dump/concelier/part-{part}/concelier/advisory_observations.bson": collection(
            [observation(2 * part + n) for n in range(2)]
        )
        for part in range(5)
    }
    path = write_kit(tmp_path / "kit.tar.zst", members)
    quiet = run(path, tmp_path / "quiet").output.read_bytes()
    for batch, commits in ((1, 5), (2, 5), (3, 2), (4, 2), (10, 1), (11, 0)):
        counting = Committed()
        run(path, tmp_path / f"counted-{batch}", batch=batch, counting=counting)
        assert len(counting.commits) == len(set(counting.commits)) == commits
        assert run(path, tmp_path / f"job-{batch}", batch=batch).output.read_bytes() == quiet


@pytest.mark.parametrize("name", ["kit.tar.zst", *slow("kit.tar", "kit.tar.gz")])
def test_the_result_does_not_depend_on_the_number_of_workers(name: str, tmp_path: Path) -> None:
    files = large_files()
    del files["dump/concelier/z/concelier/advisory_observations.bson.zst"]
    kit = write_kit(tmp_path / name, files)
    ran = [run(kit, tmp_path / f"{workers}", workers=workers) for workers in (1, 2, 3)]
    assert len({one.output.read_bytes() for one in ran}) == 1
    assert all(one.done == ran[0].done for one in ran)
    assert all(one.found == ran[0].found for one in ran)
    assert ran[0].done.changed == 60
    assert ran[0].done.outcomes["raw-linkset", "acme", "snapshot"] == 9


def test_the_result_does_not_depend_on_how_the_archive_was_compressed(tmp_path: Path) -> None:
    archive = tar(small_files())
    outputs = set()
    for number, name in enumerate(("whole.tar.zst", "pieces.tar.zst")):
        path = tmp_path / name
        step = len(archive) if not number else 777
        path.write_bytes(b"".join(packed(archive[at : at + step], name) for at in range(0, len(archive), step)))
        outputs.add(run(path, tmp_path / f"job{number}").output.read_bytes())
    assert len(outputs) == 1


@pytest.mark.parametrize("workers", [1, *slow(2)])
@pytest.mark.parametrize("limit", [0, 1, 25, 60, 1000])
def test_a_limit_changes_exactly_so_many_documents_the_first_ones(limit: int, workers: int, tmp_path: Path) -> None:
    files = {OBSERVATIONS: large_files()[OBSERVATIONS]}
    kit = write_kit(tmp_path / "kit.tar", files)
    ran = run(kit, tmp_path / "job", limit=limit, workers=workers)
    before = bson.decode_all(files[OBSERVATIONS])
    after = bson.decode_all(contents(ran.output.read_bytes())[OBSERVATIONS])
    assert [number for number, (one, two) in enumerate(zip(before, after, strict=True)) if one != two] == list(
        range(min(limit, 60))
    )
    assert ran.done.changed == min(limit, 60)
    (change,) = ran.done.members.values()
    assert change.tally.tenants["acme"].missing == 70 - min(limit, 60)
    assert sum(ran.done.outcomes.values()) == 70


def test_a_folder_gives_the_same_members_as_an_archive(tmp_path: Path) -> None:
    kit = write_kit(tmp_path / "kit", small_files())
    output = run(kit, tmp_path / "job", leave=[IDLE], workers=2).output
    archive = write_kit(tmp_path / "kit.tar", small_files())
    expected = contents(run(archive, tmp_path / "other", leave=[IDLE]).output.read_bytes())
    found = {path.relative_to(output).as_posix(): path for path in output.rglob("*") if path.is_file()}
    assert {name: path.read_bytes() for name, path in found.items()} == expected


def test_a_body_of_several_frames_is_carried_whole(tmp_path: Path) -> None:
    files = {"images/large": bytes(range(256)) * 40_000, OBSERVATIONS: b""}
    kit = write_kit(tmp_path / "kit.tar.zst", files)
    output = run(kit, tmp_path / "job", workers=2, leave=[OBSERVATIONS]).output.read_bytes()
    assert contents(output) == files


def grown(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"more")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda kit: grown(kit / "images/layer.bin"), "images/layer.bin: the kit changed"),
        (lambda kit: grown(kit / "images/empty"), "images/empty: the kit changed"),
        (lambda kit: (kit / "images/layer.bin").unlink(), "kit: the kit changed"),
        (lambda kit: (kit / "new").write_bytes(b""), "new: the kit changed"),
    ],
    ids=["a file grew", "an empty file grew", "a file vanished", "a file came"],
)
def test_a_kit_that_changes_between_the_two_readings_is_refused(change: object, message: str, tmp_path: Path) -> None:
    kit = write_kit(tmp_path / "kit", small_files())
    assert callable(change)
    with pytest.raises(DigestError, match=message):
        run(kit, tmp_path / "job", between=lambda: change(kit))


def test_a_document_changed_between_the_two_readings_is_refused(tmp_path: Path) -> None:
    kit = write_kit(tmp_path / "kit.tar", small_files())
    data = bytearray(kit.read_bytes())
    data[data.index(b"GO-2025-0003")] = ord("X")
    with pytest.raises(DigestError, match="the kit changed while it was being read"):
        run(kit, tmp_path / "job", between=lambda: kit.write_bytes(data))


DOCUMENTS = [bson.encode(observation(number)) for number in range(4)]


@pytest.mark.parametrize(
    ("member", "data", "error", "message"),
    [
        (OBSERVATIONS, DOCUMENTS[0] + DOCUMENTS[1][:-3], BsonError, "document 1: byte .*stream ends inside"),
        (f"{OBSERVATIONS}.gz", gzip.compress(DOCUMENTS[0])[:-5], ArchiveError, "is cut"),
        (f"{OBSERVATIONS}.zst", b"no frame", ArchiveError, "no zstd frame"),
    ],
    ids=["cut", "a cut codec", "another codec"],
)
@pytest.mark.parametrize("workers", [1, 2])
def test_a_collection_that_cannot_be_cut_into_documents_is_refused_by_member_and_ordinal(
    member: str, data: bytes, error: type[KitError], message: str, *, workers: int, tmp_path: Path
) -> None:
    kit = write_kit(tmp_path / "kit.tar.gz", {member: data})
    with pytest.raises(error, match=f"^{member}: {message}"):
        run(kit, tmp_path / "job", workers=workers)


def test_a_container_cut_inside_a_collection_names_the_container_first(tmp_path: Path) -> None:
    kit = tmp_path / "kit.tar"
    kit.write_bytes(tar({OBSERVATIONS: b"".join(DOCUMENTS)})[:1024])
    with pytest.raises(ArchiveError, match=f"^{kit}: is cut"):
        run(kit, tmp_path / "job")


def test_a_kept_member_over_the_limit_is_refused(kit: Path, tmp_path: Path) -> None:
    with pytest.raises(LimitError, match=r"docs/readme\.txt: 8 is over the limit json_bytes"):
        run(kit, tmp_path / "job", limits=Limits(json_bytes=7))


@pytest.mark.slow
def test_findings_are_bounded_and_counts_exact(tmp_path: Path) -> None:
    many = MAX_FINDINGS + 50
    document = bson.encode(observation(0, content={}))
    kit = write_kit(tmp_path / "kit.tar", {OBSERVATIONS: document * many})
    done = run(kit, tmp_path / "job").done
    assert (len(done.findings), done.omitted_findings) == (MAX_FINDINGS, 50)
    assert done.outcomes["raw-linkset", "acme", "unresolvable"] == many


def test_deferred_members_keep_their_place_and_mode_and_get_their_content_last(kit: Path, tmp_path: Path) -> None:
    job = tmp_path / "job"
    job.mkdir()
    late = MemberPath("docs/readme.txt")
    with open_kit(kit, limits=Limits()) as reader, local_executor(1) as executor:
        found = survey(reader, Pipeline(executor, budget=1), keep=lambda _: False, count=lambda _: False)
        destination = archive_in(job, codec=Codec.NONE)
        request = Request(transforms=(), lookup=None, created_at=AT, defer=frozenset({late}))
        done = rewrite(reader, found, destination, Pipeline(executor, budget=1), request)
    destination.close(done.deferred[late], mtime=AT)
    after = contents(destination.assemble().read_bytes())
    assert list(after) == list(small_files())
    assert after == small_files() | {"docs/readme.txt": b""}
    assert sorted(path.name for path in job.iterdir()) == ["archive", "journal", "spool"]

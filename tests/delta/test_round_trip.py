"""What a delta makes of the base is the target: every member, and the archive where this program wrote it."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from kit.archive.frames import encode
from kit.archive.read.reader import open_kit
from kit.delta.model import Method
from kit.engine.executors import InlineExecutor
from kit.engine.pipeline import Workers
from kit.engine.progress import Advanced, BatchDone, Event, PassDone, Stage
from kit.engine.reading import read_once
from kit.errors import KitError, OutputError, RollbackError, UntrustedError, UsageError, WrongBaseError
from kit.output.job import Job
from kit.values import Codec, Limits
from kit.verbs.delta.apply import apply_delta
from kit.verbs.delta.decode import NeededSpool, TargetDecoder
from kit.verbs.delta.deltas import open_delta
from kit.verbs.delta.stores import BaseStores
from kit.verbs.delta.verify import DeltaVerifyRequest, inspect_delta, verify_delta
from kit.verbs.verify.kits import is_kept
from kit.verbs.verify.verify import verify
from tests.delta.kits import HERE, KEY, OTHER, november, october, pair, patched, trusting
from tests.kits import MANIFEST, OBSERVATIONS, collection, contents, observation, signed, write_kit

CONTAINERS = ("kit.tar.zst", "kit.tar.gz", "kit.tar", "kit")


def files_of(path: Path) -> dict[str, bytes]:
    if path.is_file():
        return contents(path.read_bytes())
    return {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}


@pytest.mark.parametrize("name", CONTAINERS)
def test_the_target_comes_back_beside_the_base_member_for_member(name: str, tmp_path: Path) -> None:
    two = pair(tmp_path, name)
    built = two.build()
    assert dict(built.methods) == {"copy": 4, "full": 3, "binary": 1, "documents": 1}
    done = two.apply(output=tmp_path / name)
    assert files_of(tmp_path / name) == files_of(two.target)
    assert done.applied
    assert verify(tmp_path / name, trusting(KEY), HERE).failure is None


@pytest.mark.parametrize("name", ["kit.tar.zst", "kit.tar.gz", "kit.tar"])
def test_an_archive_of_this_program_comes_back_byte_for_byte_with_what_stands_beside_it(
    name: str, tmp_path: Path
) -> None:
    two = patched(tmp_path, name)
    two.build()
    before = two.base.read_bytes()
    done = two.apply()
    assert done.same_archive
    assert two.base.read_bytes() == two.target.read_bytes()
    sig = two.base.with_name(f"{name}.sig")
    assert sig.read_bytes() == two.target.with_name(f"{two.target.name}.sig").read_bytes()
    digest = hashlib.sha256(two.target.read_bytes()).hexdigest()
    assert two.base.with_name(f"{name}.sha256").read_text() == f"{digest}  {name}\n"
    assert two.base.with_name(f"{name}.bak.1").read_bytes() == before


def test_a_compressed_collection_of_this_program_is_said_by_its_documents(tmp_path: Path) -> None:
    # Compressed by somebody else in the base, by this program in the target.
    entries = {str(entry.path): entry.method.value for entry in patched(tmp_path).build(recipe=False).manifest.members}
    assert entries[f"{OBSERVATIONS}.zst"] == "documents"


@pytest.mark.slow
def test_a_document_larger_than_a_segment_may_ask_for_is_not_said_by_documents(tmp_path: Path) -> None:
    large, small = {"_id": 1, "raw": bytes(129 * 1024 * 1024)}, {"_id": 1}
    others = [observation(number) for number in range(20)]
    limits = Limits(document_bytes=1 << 30, ratio=1 << 30)
    sides = [{OBSERVATIONS: collection([*others, one])} for one in (large, small)]
    two = pair(tmp_path, "kit.tar.zst", *sides)
    two.build(environment=replace(HERE, limits=limits))
    two.apply(environment=replace(HERE, limits=limits))
    assert files_of(two.base) == files_of(two.target)


@pytest.mark.parametrize("name", CONTAINERS)
def test_the_way_back_leads_back(name: str, tmp_path: Path) -> None:
    two = pair(tmp_path, name)
    two.build()
    two.build(tmp_path / "back", reverse=True)
    old = files_of(two.base)
    two.apply(keep_backup=False)
    assert files_of(two.base) == files_of(two.target)
    two.apply(delta=tmp_path / "back", keep_backup=False)
    assert files_of(two.base) == old


def test_the_same_kits_give_the_same_delta_whatever_the_number_of_workers(tmp_path: Path) -> None:
    two = pair(tmp_path)
    first = two.build().output_sha256
    assert two.build(tmp_path / "again", environment=replace(HERE, workers=2)).output_sha256 == first


def test_an_empty_collection_and_one_that_becomes_empty(tmp_path: Path) -> None:
    full, empty = collection([observation(1)]), b""
    two = pair(
        tmp_path,
        base={OBSERVATIONS: full, "a/concelier/dto.bson": empty},
        target={OBSERVATIONS: empty, "a/concelier/dto.bson": full},
    )
    two.build()
    two.apply()
    assert files_of(two.base) == files_of(two.target)


def test_members_in_another_order_and_twice_the_same_content(tmp_path: Path) -> None:
    files = october()
    swapped = {**dict(reversed(files.items())), "images/twice.bin": files["images/layer.bin"]}
    two = pair(tmp_path, base=files, target=swapped)
    assert dict(two.build().methods) == {"copy": 8, "full": 2}
    two.apply()
    assert list(files_of(two.base).items()) == list(files_of(two.target).items())


def test_a_collection_that_is_malformed_is_not_said_by_documents(tmp_path: Path) -> None:
    two = pair(tmp_path, target=november(**{OBSERVATIONS: b"\x05\0\0\0\0\x09"}))
    two.build()
    two.apply()
    assert files_of(two.base) == files_of(two.target)


@pytest.mark.parametrize("broken", [b"\x05\0\0\0\0\x09", b"\x05\0\0\0\x09"])
@pytest.mark.parametrize(("suffix", "codec"), [("", Codec.NONE), (".gz", Codec.GZIP), (".zst", Codec.ZSTD)])
@pytest.mark.parametrize("name", ["kit.tar.zst", "kit"])
def test_a_release_that_mends_a_malformed_collection_can_be_sent(
    name: str, suffix: str, codec: Codec, broken: bytes, tmp_path: Path
) -> None:
    sides = [{f"{OBSERVATIONS}{suffix}": encode(codec, data)} for data in (broken, collection([observation(1)]))]
    two = pair(tmp_path, name, *sides)
    assert dict(two.build().methods)["full"] >= 1
    two.apply()
    assert files_of(two.base) == files_of(two.target)


@pytest.mark.parametrize("cut", [1, 20, 30])
def test_a_release_that_mends_a_cut_compressed_collection_can_be_sent(cut: int, tmp_path: Path) -> None:
    whole = encode(Codec.ZSTD, collection([observation(1)]))
    two = pair(tmp_path, "kit.tar", {f"{OBSERVATIONS}.zst": whole[:-cut]}, {f"{OBSERVATIONS}.zst": whole})
    two.build()
    two.apply()
    assert files_of(two.base) == files_of(two.target)


def test_a_kit_that_is_the_target_already_is_left_alone(tmp_path: Path) -> None:
    two = pair(tmp_path)
    two.build()
    two.apply()
    before = two.base.stat()
    assert not two.apply().applied
    after = two.base.stat()  # reading it may change when it was last read
    assert (after.st_ino, after.st_size, after.st_mtime_ns) == (before.st_ino, before.st_size, before.st_mtime_ns)
    assert not two.apply(output=tmp_path / "copy").applied
    assert (tmp_path / "copy").read_bytes() == two.base.read_bytes()


def test_another_base_is_refused_naming_both(tmp_path: Path) -> None:
    two = pair(tmp_path)
    two.build()
    third = write_kit(tmp_path / "third.tar", signed({"a": b"1"}, KEY, generation=1))
    with pytest.raises(WrongBaseError) as caught:
        two.apply(base=third)
    text = str(caught.value)
    assert "generation 1 of small" in text
    for path in (third, two.base):
        assert hashlib.sha256(files_of(path)[MANIFEST]).hexdigest() in text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["base", "delta", "delta.sha256", "target", "third.tar"]


def test_a_delta_replayed_on_a_newer_kit_is_a_rollback(tmp_path: Path) -> None:
    two = pair(tmp_path)
    two.build()
    third = write_kit(tmp_path / "third.tar", signed({"a": b"1"}, KEY, generation=3))
    with pytest.raises(RollbackError):
        two.apply(base=third)


def test_two_kits_that_are_no_pair_are_refused(tmp_path: Path) -> None:
    two = pair(tmp_path)
    with pytest.raises(UsageError):
        two.build(target=two.base)


def test_nothing_is_ever_written_over(tmp_path: Path) -> None:
    two = pair(tmp_path)
    two.build()
    with pytest.raises(OutputError):
        two.build()
    with pytest.raises(OutputError):
        two.apply(output=two.target)
    with Job(two.base), pytest.raises(OutputError):
        apply_delta(two.request())


def test_what_was_built_can_be_inspected_and_verified_without_a_kit(tmp_path: Path) -> None:
    two = pair(tmp_path)
    built = two.build(key=OTHER)
    shown = inspect_delta(two.delta)
    assert (shown.manifest, shown.claims) == (built.manifest, (OTHER.public.key_id,))
    report = verify_delta(DeltaVerifyRequest(delta=two.delta, anchor=trusting(KEY, OTHER).anchor))
    assert (report.signers, report.target_signers) == ((OTHER.public.key_id,), (KEY.public.key_id,))


@pytest.mark.skipif(not shutil.which("tar") or not shutil.which("zstd"), reason="needs tar and zstd")
def test_stock_tools_open_the_result(tmp_path: Path) -> None:
    two = pair(tmp_path)
    two.build()
    two.apply()
    out = tmp_path / "out"
    out.mkdir()
    subprocess.run(["tar", "--zstd", "-xf", two.base, "-C", out], check=True)
    assert files_of(out) == files_of(two.target)
    with _tar(tmp_path) as delta:
        assert delta.getnames()[:3] == ["delta-manifest.json", "delta-manifest.json.jws", "layout"]


def _tar(folder: Path) -> tarfile.TarFile:
    (folder / "delta").rename(folder / "delta.zst")
    subprocess.run(["zstd", "-q", "-d", "delta.zst"], cwd=folder, check=True)
    return tarfile.open(folder / "delta")


def test_modes_and_times_of_a_folder_come_back(tmp_path: Path) -> None:
    two = pair(tmp_path, "kit")
    script = two.target / "docs" / "new.txt"
    script.chmod(0o750)
    os.utime(script, (1_700_000_000, 1_700_000_000))
    two.build()
    two.apply()
    status = (two.base / "docs" / "new.txt").stat()
    assert (status.st_mode & 0o7777, int(status.st_mtime)) == (0o750, 1_700_000_000)


def test_what_a_delta_costs_is_told_while_it_is_built_and_while_it_is_applied(tmp_path: Path) -> None:
    two = pair(tmp_path, "kit.tar.zst")
    heard = Heard()
    two.build(environment=replace(HERE, progress=heard))
    assert heard.done() == [Stage.SURVEY, Stage.SURVEY, Stage.COMPARE, Stage.COMPARE]
    heard = Heard()
    two.apply(environment=replace(HERE, progress=heard))
    assert heard.done() == [Stage.SURVEY, Stage.MAKE, Stage.REREAD]
    read = [event.read for event in heard.events if isinstance(event, BatchDone | Advanced)]
    assert all(0 < size <= (two.target.stat().st_size + two.base.stat().st_size) for size in read)
    made = sum(map(len, files_of(two.target).values()))
    assert [event.bytes for event in heard.events if isinstance(event, PassDone)][1] == made, (
        "the base is not read again"
    )


@pytest.mark.parametrize("name", CONTAINERS)
def test_what_a_delta_needs_of_its_base_is_spooled_while_that_is_judged(name: str, tmp_path: Path) -> None:
    two = pair(tmp_path, name)
    two.build()
    with open_delta(two.delta, Limits()) as delta, BaseStores(tmp_path) as stores:
        with open_kit(two.base, limits=Limits()) as reader:
            found = read_once(reader, keep=is_kept, tap=NeededSpool(delta.manifest, stores, Limits()))
        # The reader is closed: whoever asked it for members would be refused.
        workers = Workers(executor=InlineExecutor(), budget=1)
        making = TargetDecoder(delta.manifest, reader, found, stores, workers=workers)
        making.check()
        assert making.prepare(tmp_path) == []
        needed = {entry.source for entry in delta.manifest.members if entry.method in {Method.BINARY, Method.DOCUMENTS}}
        assert needed
        assert needed <= stores.documents.keys() | stores.bytes.keys()
        copied = {entry.source for entry in delta.manifest.members if entry.method is Method.COPY}
        assert copied
        assert copied <= stores.bytes.keys() | found.kept.keys()


def test_what_was_spooled_of_a_base_that_is_refused_is_gone(tmp_path: Path) -> None:
    two = pair(tmp_path)
    two.build()
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(UntrustedError):
        two.apply(expectation=trusting(OTHER))
    altered = two.base.with_name("altered.tar.zst")
    write_kit(altered, files_of(two.base) | {"docs/readme.txt": b"altered"})
    with pytest.raises(KitError):
        two.apply(base=altered)
    altered.unlink()
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


class Heard:
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def tell(self, event: Event) -> None:
        self.events.append(event)

    def done(self) -> list[Stage]:
        return [event.stage for event in self.events if isinstance(event, PassDone)]

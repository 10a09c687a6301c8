"""A patch proves its own result before it signs: whatever the engine, the disk or an earlier process did to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import bson
import pytest

from kit.archive.frames import encode
from kit.archive.read.proven import LEAST_BYTES
from kit.archive.read.reader import open_kit
from kit.archive.write.tar import CountingDestination
from kit.documents import runs
from kit.encryption import Profile
from kit.engine.executors import InlineExecutor
from kit.engine.pipeline import Pipeline
from kit.engine.progress import Event, PassDone, Stage
from kit.engine.rewrite import Request, rewrite
from kit.engine.survey import survey
from kit.engine.work import RunResult, RunWork, transform_run
from kit.errors import DigestError, InterruptedRunError, OutputError
from kit.output.journal import FRAME, FrameRecord, Position, checksum, encode_record, scan
from kit.signing import Algorithm, generate
from kit.transforms.encrypt_fields import EncryptFields
from kit.transforms.protocol import Change, Lookup, RewrittenRun
from kit.transforms.raw_linkset import RawLinkset
from kit.values import Codec, CollectionName, Limits, Timestamp
from kit.verbs.jobs import abandon
from kit.verbs.patch.patch import Output, PatchRequest, patch, resume
from kit.verbs.verify.kits import Environment
from tests.encryption.site import MAP, NOTES, Site, note
from tests.kits import (
    OBSERVATIONS,
    collection,
    observation,
    packed,
    signed,
    tar,
    unpacked,
)

KEY = generate(Algorithm.ES256)
AT = Timestamp.parse("2026-01-02T03:04:05Z")


CODECS = {"kit.tar": Codec.NONE, "kit.tar.gz": Codec.GZIP, "kit.tar.zst": Codec.ZSTD}


class Deaf:
    """Progress that nobody hears."""

    def tell(self, event: Event) -> None:
        """Take one event."""


@dataclass(frozen=True)
class Interruption:
    """Ctrl-C when a pass is over."""

    stage: Stage = Stage.REWRITE

    def tell(self, event: Event) -> None:
        if isinstance(event, PassDone) and event.stage is self.stage:
            raise KeyboardInterrupt


@dataclass(frozen=True)
class Meddling:
    """Something happens when a pass is over."""

    meddle: Callable[[], object]
    stage: Stage = Stage.REWRITE

    def tell(self, event: Event) -> None:
        if isinstance(event, PassDone) and event.stage is self.stage:
            self.meddle()


@dataclass(frozen=True)
class Rogue(RawLinkset):
    """The real transform, whose changes go through somebody's hands."""

    hands: Callable[[list[bytes], Sequence[Change]], object] = field(default=lambda _, __: None)

    def apply(self, name: CollectionName, documents: Sequence[bytes], lookup: Lookup, first: int) -> Sequence[Change]:
        changes = list(super().apply(name, documents, lookup, first))
        self.hands(list(documents), changes)
        return changes

    def rewrite(self, *_: object) -> RewrittenRun | None:
        return None


def files(documents: int = 4, tenant: str = "acme", suffix: str = "") -> dict[str, bytes]:
    data = collection(observation(n, tenant=tenant) for n in range(documents))
    data = encode(Codec.GZIP, data) if suffix else data
    return {
        "docs/readme.txt": b"read me\n",
        f"{OBSERVATIONS}{suffix}": data,
        "images/layer.bin": bytes(range(256)) * 40,
    }


def kit(folder: Path, members: dict[str, bytes] | None = None, *, name: str = "kit.tar.zst") -> Path:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(packed(tar(signed(members or files(), KEY)), name))
    return path


def request_for(path: Path, transform: RawLinkset | None = None, progress: Any = None) -> PatchRequest:
    return PatchRequest(
        kit=path,
        transforms=(transform or RawLinkset(),),
        trusted={KEY.public.key_id: KEY.public},
        created_at=AT,
        environment=Environment(workers=1, checkpoint_bytes=1, progress=progress or Deaf()),
    )


def require_untouched(path: Path, before: bytes) -> None:
    """See that the kit is as it was, and that nobody's signature over anything else is anywhere."""
    assert path.read_bytes() == before
    assert [item.name for item in path.parent.iterdir()] == [path.name]


def changed(document: bytes, **changes: Any) -> bytes:
    return bson.encode(bson.decode(document) | changes)


def alter(_: list[bytes], changes: Sequence[Change]) -> None:
    assert changes[2].document is not None
    changes[2].document = changes[2].document.replace(b"GO-2025-0002", b"GO-2025-0666", 1)


def swap(_: list[bytes], changes: Sequence[Change]) -> None:
    changes[0].document, changes[1].document = changes[1].document, changes[0].document


def empty(_: list[bytes], changes: Sequence[Change]) -> None:
    changes[1].document = b""


def double(_: list[bytes], changes: Sequence[Change]) -> None:
    assert changes[3].document is not None
    changes[3].document += changes[3].document


def add_a_field(documents: list[bytes], changes: Sequence[Change]) -> None:
    changes[0].document = changed(documents[0], other=1, rawLinkset={})


def append_another_name(documents: list[bytes], changes: Sequence[Change]) -> None:
    changes[0].document = changed(documents[0], rawLinksets={})


def append_no_document(documents: list[bytes], changes: Sequence[Change]) -> None:
    changes[0].document = changed(documents[0], rawLinkset="text")


def append_twice(documents: list[bytes], changes: Sequence[Change]) -> None:
    assert changes[0].document is not None
    element = changes[0].document[len(documents[0]) - 1 : -1]
    whole = changes[0].document[4:-1] + element + b"\0"
    changes[0].document = (len(whole) + 4).to_bytes(4, "little") + whole


def put_it_in_front(documents: list[bytes], changes: Sequence[Change]) -> None:
    changes[0].document = bson.encode({"rawLinkset": {}} | bson.decode(documents[0]))


def claim_a_change(documents: list[bytes], changes: Sequence[Change]) -> None:
    changes[0].document = documents[0]


def count_another_tenant(_: list[bytes], changes: Sequence[Change]) -> None:
    changes[0].tenant = "somebody"


def count_as_missing(_: list[bytes], changes: Sequence[Change]) -> None:
    changes[0].outcome = "unresolvable"


ROGUES = [
    alter,
    swap,
    empty,
    double,
    add_a_field,
    append_another_name,
    append_no_document,
    append_twice,
    put_it_in_front,
    claim_a_change,
    count_another_tenant,
    count_as_missing,
]


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("hands", ROGUES)
def test_a_transform_that_does_something_else_gets_no_signature(
    hands: Callable[[list[bytes], Sequence[Change]], object], suffix: str, tmp_path: Path
) -> None:
    path = kit(tmp_path / "kits", files(suffix=suffix))
    before = path.read_bytes()
    with pytest.raises(DigestError) as refusal:
        patch(request_for(path, Rogue(hands=hands)), Output(path=None, key=KEY))
    assert "nothing was signed" in refusal.value.hint
    require_untouched(path, before)


def test_the_document_that_is_another_is_named(tmp_path: Path) -> None:
    path = kit(tmp_path / "kits")
    with pytest.raises(
        DigestError, match=r'advisory_observations\.bson: document 2 \(_id "acme:osv:GO-2025-0002:1"\): came out as'
    ):
        patch(request_for(path, Rogue(hands=alter)), Output(path=path.with_name("out"), key=KEY))


def test_what_looks_like_the_element_inside_of_content_is_no_obstacle(tmp_path: Path) -> None:
    mark = "\3rawLinkset\0\x10\0\0\0"
    odd = [observation(1, raw={"id": "x"} | {"rawLinkset": {"rawLinkset": {}}}), observation(2, note=mark)]
    path = kit(tmp_path / "kits", files() | {OBSERVATIONS: collection(odd)})
    assert patch(request_for(path), Output(path=None, key=KEY)).rewrite.changed == 2


def test_frames_that_change_places_in_the_spool_get_no_name(tmp_path: Path) -> None:
    path = kit(tmp_path / "kits", files() | {"images/a": b"a" * 99, "images/b": b"b" * 99}, name="kit.tar")
    before = path.read_bytes()

    def swap_frames() -> None:
        spool = path.with_name("kit.tar.kit-job") / "spool"
        data = spool.read_bytes()
        for one, other in ((b"a", b"?"), (b"b", b"a"), (b"?", b"b")):
            data = data.replace(one * 99, other * 99)
        spool.write_bytes(data)

    with pytest.raises(OutputError, match="does not read back"):
        patch(request_for(path, progress=Meddling(swap_frames)), Output(path=None, key=KEY))
    require_untouched(path, before)


NOISE = Random(5).randbytes(300_000)  # noqa: S311  no secret
LARGE = {
    "docs/readme.txt": b"read me\n",
    "images/a": NOISE[:100_000],
    "images/b": NOISE[100_000:200_000],
    OBSERVATIONS: collection(observation(n, note=NOISE[500 * n :][:500].hex()) for n in range(200)),
}


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


class TestReadBack:
    """Frames that were proven when they were made, and are others on the disk."""

    def damaged(self, path: Path, damage: Callable[[Path], object]) -> None:
        """Check that a kit whose spool is damaged while it is patched stays as it is."""
        before = path.read_bytes()
        spool = path.with_name(f"{path.name}.kit-job") / "spool"
        progress = Meddling(lambda: damage(spool))
        with pytest.raises(OutputError, match="does not read back"):
            patch(request_for(path, progress=progress), Output(path=None, key=KEY))
        require_untouched(path, before)

    def frames(self, path: Path) -> list[FrameRecord]:
        """Return what a job writes that is interrupted once all frames are there, and give it up."""
        with pytest.raises(InterruptedRunError):
            patch(request_for(path, progress=Interruption()), Output(path=None, key=KEY))
        lines = (path.with_name(f"{path.name}.kit-job") / "journal").read_bytes().splitlines(keepends=True)
        abandon(path)
        return [FrameRecord.of(record.body) for record in scan(lines) if record.kind == FRAME]

    @pytest.mark.parametrize("name", ["kit.tar.gz", "kit.tar.zst"])
    @pytest.mark.parametrize("patches", [1, 2], ids=["compressed", "copied"])
    def test_a_frame_that_is_damaged_on_the_disk_gets_no_name(self, name: str, patches: int, tmp_path: Path) -> None:
        path = kit(tmp_path / "kits", LARGE, name=name)
        if patches > 1:
            patch(replace(request_for(path), limit=1), Output(path=path.with_name(f"first-{name}"), key=KEY))
            (tmp_path / "own").mkdir()
            path = path.with_name(f"first-{name}").rename(tmp_path / "own" / name)
        known = [frame for frame in self.frames(path) if frame.length >= LEAST_BYTES]
        assert len(known) == 3
        for frame in known:
            self.damaged(path, partial(flip, at=frame.offset + frame.size // 2))

    def test_what_a_decoder_does_not_ask_is_found_too(self, tmp_path: Path) -> None:
        path = kit(tmp_path / "kits", LARGE, name="kit.tar.gz")
        frame = next(frame for frame in self.frames(path) if frame.length >= LEAST_BYTES)
        # RFC 1952 2.3: the operating system, which says nothing about the content.
        self.damaged(path, partial(flip, at=frame.offset + 9))

    def test_whole_frames_that_change_places_get_no_name(self, tmp_path: Path) -> None:
        path = kit(tmp_path / "kits", LARGE)
        one, other = (frame for frame in self.frames(path) if 100_000 < frame.length < 102_000)
        assert one.size == other.size

        def swap_frames(spool: Path) -> None:
            data = bytearray(spool.read_bytes())
            for place, frame in ((one, bytes(data[other.offset :])), (other, bytes(data[one.offset :]))):
                data[place.offset : place.offset + place.size] = frame[: place.size]
            spool.write_bytes(data)

        self.damaged(path, swap_frames)


class TestResumed:
    """A job folder whose frames are not what this kit gives, with checksums that fit."""

    def interrupted(self, path: Path, transform: RawLinkset | None = None, stage: Stage = Stage.REWRITE) -> Path:
        with pytest.raises(InterruptedRunError):
            patch(request_for(path, transform, Interruption(stage)), Output(path=None, key=KEY))
        return path.with_name(f"{path.name}.kit-job")

    def put(self, job: Path, frames: list[bytes], lengths: list[int]) -> None:
        """Put frames into the spool, and on record as if this job had made them."""
        records = list(scan((job / "journal").read_bytes().splitlines(keepends=True)))
        whole, at, position = b"", 0, Position()
        for record in records:
            if record.kind != FRAME:
                line, position = encode_record(record.kind, record.body, position)
                whole += line
        for frame, length in zip(frames, lengths, strict=True):
            body = FrameRecord(offset=at, size=len(frame), length=length, crc32=checksum(frame)).to_json()
            line, position = encode_record(FRAME, body, position)
            whole, at = whole + line, at + len(frame)
        (job / "journal").write_bytes(whole)
        (job / "spool").write_bytes(b"".join(frames))

    def frames(self, job: Path) -> tuple[list[bytes], list[int]]:
        records = scan((job / "journal").read_bytes().splitlines(keepends=True))
        found = [FrameRecord.of(record.body) for record in records if record.kind == FRAME]
        data = (job / "spool").read_bytes()
        return [data[one.offset : one.offset + one.size] for one in found], [one.length for one in found]

    def is_made_anew(self, path: Path, quiet: Path) -> None:
        """Check that what was put into the job folder is in nothing that comes of it."""
        patch(request_for(quiet), Output(path=None, key=KEY))
        resume(request_for(path), Output(path=None, key=KEY))
        assert path.read_bytes() == quiet.read_bytes()

    @pytest.mark.parametrize("name", CODECS)
    def test_frames_of_another_kit_are_not_taken_over(self, name: str, tmp_path: Path) -> None:
        path, other = kit(tmp_path / "a", name=name), kit(tmp_path / "b", files(tenant="evil"), name=name)
        job, foreign = self.interrupted(path), self.interrupted(other)
        self.put(job, *self.frames(foreign))
        self.is_made_anew(path, kit(tmp_path / "quiet", name=name))

    @pytest.mark.parametrize("name", CODECS)
    def test_frames_of_this_kit_with_another_element_are_not_taken_over(self, name: str, tmp_path: Path) -> None:
        path, codec = kit(tmp_path / "a", name=name), CODECS[name]
        job = self.interrupted(path)
        frames, lengths = self.frames(job)
        forged = collection(observation(n) | {"rawLinkset": {"aliases": ["CVE-0000-0000"]}} for n in range(4))
        (at,) = [n for n, frame in enumerate(frames) if b"\3rawLinkset\0" in unpacked(frame)]
        frames[at], lengths[at] = encode(codec, forged), len(forged)
        self.put(job, frames, lengths)
        self.is_made_anew(path, kit(tmp_path / "quiet", name=name))

    @pytest.mark.parametrize("name", CODECS)
    def test_a_carried_member_with_other_bytes_is_not_taken_over(self, name: str, tmp_path: Path) -> None:
        path, codec = kit(tmp_path / "a", name=name), CODECS[name]
        job = self.interrupted(path)
        frames, lengths = self.frames(job)
        (at,) = [n for n, length in enumerate(lengths) if 10240 <= length < 12000]
        frames[at], lengths[at] = encode(codec, b"evil" * 3000), 12000
        self.put(job, frames, lengths)
        self.is_made_anew(path, kit(tmp_path / "quiet", name=name))

    @pytest.mark.slow
    def test_a_frame_that_decodes_to_a_gigabyte_is_not_decoded(self, tmp_path: Path) -> None:
        path = kit(tmp_path / "a")
        job = self.interrupted(path)
        self.put(job, [encode(Codec.ZSTD, bytes(1 << 30))], [1 << 30])
        self.is_made_anew(path, kit(tmp_path / "quiet"))

    def test_what_this_kit_gave_is_taken_over_to_the_same_bytes(self, tmp_path: Path) -> None:
        quiet = kit(tmp_path / "quiet")
        patch(request_for(quiet), Output(path=None, key=KEY))
        path = kit(tmp_path / "a")
        self.interrupted(path)
        resume(request_for(path), Output(path=None, key=KEY))
        assert path.read_bytes() == quiet.read_bytes()

    def test_what_a_second_pass_says_of_the_first_is_found_again(self, tmp_path: Path) -> None:
        idle = encode(Codec.GZIP, collection([observation(9) | {"rawLinkset": {}}]))
        members = files() | {"dump/z/concelier/advisory_observations.bson.gz": idle}
        quiet = kit(tmp_path / "quiet", members)
        patch(request_for(quiet), Output(path=None, key=KEY))
        path = kit(tmp_path / "a", members)
        job = self.interrupted(path, stage=Stage.CARRY)
        assert b'"restart"' in (job / "journal").read_bytes()
        resume(request_for(path), Output(path=None, key=KEY))
        assert path.read_bytes() == quiet.read_bytes()


@dataclass(frozen=True)
class RogueSeal(EncryptFields):
    """The real encryption, whose changes go through somebody's hands."""

    hands: Callable[[Site, list[bytes], Sequence[Change]], object] = field(default=lambda *_: None)
    site: Site = field(default_factory=Site)

    def apply(self, name: CollectionName, documents: Sequence[bytes], lookup: Lookup, first: int) -> Sequence[Change]:
        changes = list(super().apply(name, documents, lookup, first))
        self.hands(self.site, list(documents), changes)
        return changes

    def rewrite(self, *_: object) -> RewrittenRun | None:
        return None


def leave_as_it_is(_: Site, __: list[bytes], ___: Sequence[Change]) -> None:
    pass


def alter_another_field(_: Site, __: list[bytes], changes: Sequence[Change]) -> None:
    assert changes[0].document is not None
    changes[0].document = changes[0].document.replace(b"shown", b"shone")


def leave_plaintext(_: Site, __: list[bytes], changes: Sequence[Change]) -> None:
    changes[1].document = None


def swap_sealed(_: Site, __: list[bytes], changes: Sequence[Change]) -> None:
    swap([], changes)


def swap_envelopes(_: Site, __: list[bytes], changes: Sequence[Change]) -> None:
    one, other = (bson.decode(change.document or b"") for change in changes[:2])
    changes[0].document, changes[1].document = (
        bson.encode(to | {"body": of["body"]}) for to, of in ((one, other), (other, one))
    )


def seal_another_value(site: Site, documents: list[bytes], changes: Sequence[Change]) -> None:
    changes[0].document = site.encrypt(changed(documents[0], body="another"))[0]


def seal_for_a_stranger(_: Site, documents: list[bytes], changes: Sequence[Change]) -> None:
    changes[0].document = Site(field_map=MAP).encrypt(changed(documents[0], userId="eve"))[0]


def move_an_envelope(_: Site, __: list[bytes], changes: Sequence[Change]) -> None:
    whole = bson.decode(changes[0].document or b"")
    changes[0].document = bson.encode(whole | {"title": whole["body"]})


def append_to_it(_: Site, __: list[bytes], changes: Sequence[Change]) -> None:
    changes[0].document = changed(changes[0].document or b"", rawLinkset={})


def count_one_more(_: Site, __: list[bytes], changes: Sequence[Change]) -> None:
    changes[0].counts = {name: 2 * count for name, count in changes[0].counts.items()}


ROGUE_SEALS = [
    alter_another_field,
    leave_plaintext,
    swap_sealed,
    swap_envelopes,
    seal_another_value,
    seal_for_a_stranger,
    move_an_envelope,
    append_to_it,
    count_one_more,
]


def sealed(hands: Callable[[Site, list[bytes], Sequence[Change]], object], codec: Codec) -> RunResult:
    site = Site()
    half = site.encrypt(note(9))[0]
    documents = [note(1, title="shown"), note(2), changed(half, meta={"title": "t"}), note(4, "__builtin__"), half]
    site.prepare(*documents, note(1, body="another"))
    transform = RogueSeal(field_map=MAP, profile=Profile.BOUND, keys=site.keys, hands=hands, site=site)
    work = RunWork(
        name=NOTES,
        transforms=(transform,),
        lookup=None,
        member_codec=codec,
        container_codec=Codec.NONE,
        limits=Limits(),
    )
    (run,) = runs([b"".join(documents)], limits=Limits())
    return transform_run(work, run, None)


@pytest.mark.parametrize("hands", ROGUE_SEALS)
def test_an_encryption_that_does_something_else_goes_no_further(
    hands: Callable[[Site, list[bytes], Sequence[Change]], object],
) -> None:
    with pytest.raises(DigestError) as refusal:
        sealed(hands, Codec.NONE)
    assert "nothing was signed" in refusal.value.hint


def test_a_run_of_the_core_comes_to_what_one_document_after_the_other_does() -> None:
    site = Site()
    (half,) = site.encrypt(note(9))
    documents = [
        note(1, tenant="t"),
        changed(half, meta={"title": "t"}),
        note(4, "__builtin__"),
        half,
        note(5, tenant=5),
    ]
    site.prepare(*documents)
    (run,) = runs([b"".join(documents)], limits=Limits())
    results = []
    for transform in (site.transform, RogueSeal(field_map=MAP, profile=Profile.BOUND, keys=site.keys)):
        work = RunWork(
            name=NOTES,
            transforms=(transform,),
            lookup=None,
            member_codec=Codec.GZIP,
            container_codec=Codec.ZSTD,
            limits=Limits(),
        )
        results.append(transform_run(work, run, None))
    assert results[0] == results[1]


@pytest.mark.parametrize("codec", Codec)
def test_what_was_sealed_before_needs_not_be_opened_and_is_counted(codec: Codec) -> None:
    result = sealed(leave_as_it_is, codec)
    assert result.proven is not None
    assert result.envelopes == {("w1", "body"): 4, ("w1", "meta.title"): 4}


def test_the_result_of_another_run_is_not_taken(tmp_path: Path) -> None:
    path = kit(tmp_path / "kits")

    class Mixed(InlineExecutor):
        """Gives what it was asked before."""

        def __init__(self) -> None:
            self.before: Any = None

        def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
            future = super().submit(fn, *args, **kwargs)
            if fn is transform_run:
                self.before, future = future, self.before or super().submit(fn, args[0], other, None)
            return future

    (other,) = runs([collection(observation(n) for n in range(4, 8))], limits=Limits())
    with open_kit(path, limits=Limits()) as reader:
        found = survey(reader, Pipeline(InlineExecutor(), budget=1 << 20), keep=lambda _: False, count=lambda _: False)
        pipeline = Pipeline(Mixed(), budget=1 << 20)
        request = Request(transforms=(RawLinkset(),), lookup=None, created_at=AT)
        with pytest.raises(DigestError, match="not what was proven"):
            rewrite(reader, found, CountingDestination(codec=Codec.ZSTD), pipeline, request)

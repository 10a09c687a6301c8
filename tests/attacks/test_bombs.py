"""Bombs, small: what costs its reader something is counted, whatever layer it is in, and refused by the limit's name.

The large ones, with what they cost, are run by ``hardening/bombs``.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from kit.archive.read.codecs import decode
from kit.archive.read.reader import open_kit
from kit.archive.source import ChunkReader
from kit.delta.packing import read_pieces
from kit.documents import runs
from kit.documents.framing import count_elements, elements_in
from kit.engine.executors import InlineExecutor
from kit.engine.pipeline import Pipeline
from kit.errors import ContentError, LimitError, SignatureError
from kit.manifest import lineage
from kit.manifest.model import Manifest
from kit.signing import Algorithm, generate, jws
from kit.values import Codec, Limits, MemberPath, Price
from kit.values.strict_json import parse
from kit.verbs.verify.kits import Environment, open_with_workers
from tests.archive.building import END, header, member, pax, record
from tests.attacks import bombs_of_kits as made
from tests.attacks.bomb_list import DELTAS
from tests.commands import kit
from tests.end_to_end.desk import Desk, key as key_of
from tests.kits import OBSERVATIONS, SIGNATURE, content, foreign_manifest_of

NAME = OBSERVATIONS.encode()
LITTLE = 1_000_000
"""Of work: less than what each of these asks for, which is little enough for a test."""


def metered(work: int = LITTLE, kept: int = LITTLE) -> Limits:
    return Limits(work_bytes=work, kept_bytes=kept).with_meter(lambda: 0)


def decoded(codec: Codec, data: bytes, limits: Limits) -> int:
    return sum(map(len, decode(codec, ChunkReader([data], where="it"), limits, where="it")))


CODED = {
    "empty zstd frames": (Codec.ZSTD, made.EMPTY_ZSTD * 200),
    "skippable frames": (Codec.ZSTD, made.SKIPPABLE * 1000),
    "empty zstd blocks": (Codec.ZSTD, made.zstd_of_blocks(b"", 2000)),
    "zstd blocks of a byte": (Codec.ZSTD, made.zstd_of_blocks(b"\5", 2000)),
    "empty gzip members": (Codec.GZIP, made.EMPTY_GZIP * 200),
    "gzip comments": (Codec.GZIP, made.gzip_comment(20_000)),
    "empty deflate blocks": (Codec.GZIP, made.deflate_blocks(30_000)),
}


@pytest.mark.parametrize("name", CODED)
def test_what_gives_no_byte_has_a_price(name: str) -> None:
    codec, data = CODED[name]
    with pytest.raises(LimitError, match="over the limit work_bytes = 1,000,000"):
        decoded(codec, data, metered())


@pytest.mark.parametrize("name", ["empty zstd frames", "empty gzip members"])
def test_without_a_kit_nothing_is_counted(name: str) -> None:
    codec, data = CODED[name]
    assert decoded(codec, data, Limits()) == 0


ARCHIVES: dict[str, Callable[[], bytes]] = {
    "empty members": lambda: b"".join(header(b"%d" % number) for number in range(40)),
    "global records": lambda: b"".join(pax(record("comment", b"c"), flag=b"g") + header(b"%d" % n) for n in range(25)),
    "long records": lambda: pax(record("comment", b"c" * 70_000)) + header(b"a"),
    "empty documents": lambda: member(NAME, made.TINY * 200),
    "elements": lambda: member(NAME, made.wide_document(5000)),
    "values of JSON": lambda: member(b"offline-manifest.json", b"[" + b"1," * 1000 + b"1]"),
}


@pytest.mark.parametrize("name", ARCHIVES)
def test_what_an_archive_holds_many_of_has_a_price(name: str, tmp_path: Path) -> None:
    path = tmp_path / "kit"
    path.write_bytes(ARCHIVES[name]() + END)
    outcome = kit("inspect", path, "--workers", 1, "--max", f"work_bytes={LITTLE}")
    assert "over the limit work_bytes = 1,000,000" in outcome.out + outcome.err, outcome
    assert outcome.code == 9, outcome
    assert kit("inspect", path, "--workers", 1, "--max", "work_bytes=100000000").code == 0


KEPT: dict[str, Callable[[], bytes]] = {
    "names": lambda: b"".join(
        pax(record("path", b"%d/" % n + (b"n" * 200 + b"/") * 4 + b"n")) + header(b"n") for n in range(9)
    ),
    "folders in names": lambda: pax(record("path", b"/".join([b"f"] * 60))) + header(b"f"),
    "names that are longer as keys": lambda: b"".join(header("\ufdfa".encode() * 20 + b"%d" % n) for n in range(20)),
    "history": lambda: member(b"manifest/history/1/offline-manifest.json", b" " * 100_000),
    "tenants": lambda: member(
        NAME, b"".join(made.bson_of(made.element(2, b"tenant", made.text(b"%d" % n))) for n in range(200))
    ),
    "long tenants": lambda: member(NAME, made.bson_of(made.element(2, b"tenant", made.text(b"t" * 100_000)))),
    "containers of JSON": lambda: member(b"offline-manifest.json", b"[" + b"[]," * 500 + b"[]]"),
    "a wide character": lambda: member(b"offline-manifest.json", '"\U0001f600'.encode() + b"a" * 20_000 + b'"'),
}


@pytest.mark.parametrize("name", KEPT)
def test_what_is_held_is_counted_for_the_kit_as_a_whole(name: str, tmp_path: Path) -> None:
    path = tmp_path / "kit"
    path.write_bytes(KEPT[name]() + END)
    outcome = kit("inspect", path, "--workers", 1, "--max", "kept_bytes=50000")
    assert "over the limit kept_bytes = 50,000" in outcome.out + outcome.err, outcome
    assert kit("inspect", path, "--workers", 1).code == 0


def test_tenants_of_many_collections_are_counted_together(tmp_path: Path) -> None:
    names = b"".join(made.bson_of(made.element(2, b"tenant", made.text(b"%d" % number))) for number in range(20))
    path = tmp_path / "kit"
    path.write_bytes(b"".join(member(b"db/c%d.bson" % number, names) for number in range(10)) + END)
    kit("inspect", path, "--workers", 1, "--max", "kept_bytes=60000").refused(9, "over the limit kept_bytes = 60,000")
    assert kit("inspect", path, "--workers", 1, "--max", "tenants=20").code == 0


@pytest.mark.parametrize(
    "block",
    [
        made.wide_document(300),
        made.wide_document(300, name=b""),
        made.observation(1) * 10,
        made.bson_of(made.element(5, b"b", (500).to_bytes(4, "little") + b"\0" + bytes(500))),
        made.TINY * 50,
    ],
)
def test_elements_are_never_fewer_than_what_is_counted(block: bytes) -> None:
    met = sum(
        count_elements(run.data, start, end, Limits())
        for run in runs([block], limits=Limits())
        for start, end in zip((0, *run.ends), run.ends, strict=False)
    )
    assert elements_in(block, exactly=False) >= elements_in(block, exactly=True) >= met


def test_zeros_are_no_elements_where_it_is_counted_exactly() -> None:
    zeros = made.bson_of(made.element(5, b"b", (100_000).to_bytes(4, "little") + b"\0" + bytes(100_000)))
    assert elements_in(zeros, exactly=True) < 10 < elements_in(zeros, exactly=False)


def test_a_long_way_to_many_items_is_spelled_only_where_it_is_told() -> None:
    # A pointer for each item would be 20 GB.
    text = b'{"%s":[%s0],"\\ud83d\\ude00":0}' % (b"k" * 400_000, b"0," * 50_000)
    assert len(parse(text, limits=Limits(), where="it")) == 2
    bad = text.replace(b"0],", b"1e999],")
    with pytest.raises(ContentError, match=r"at /k{200}…/50000: the number 1e999 cannot be kept") as refused:
        parse(bad, limits=Limits(), where="it")
    assert len(str(refused.value)) < 400


def test_a_payload_in_one_chunk_is_cut_into_pieces_without_copying_it_for_each() -> None:
    # 2 MB copied for each of 100,000 pieces would be 200 GB.
    assert sum(1 for _ in read_pieces([b"\1x" * 1_000_000 + b"\0"])) == 1_000_000


def test_a_payload_that_makes_more_than_the_member_is_ended(tmp_path: Path, desk: Desk) -> None:
    path = tmp_path / "delta"
    path.write_bytes(DELTAS["delta: pieces that make 400 GiB"](key_of("vendor")))
    kit("delta", "verify", path, *desk.trust("vendor")).refused(2, "is not what the delta's manifest states")


def test_a_delta_with_a_list_for_its_container_is_malformed(tmp_path: Path) -> None:
    path = tmp_path / "delta"
    path.write_bytes(DELTAS["delta: a list for its container"](generate(Algorithm.ES256)))
    kit("delta", "inspect", path).refused(9)


def test_history_that_nobody_who_may_has_signed_is_not_read(desk: Desk) -> None:
    path = desk.patched()
    members = made_members(path)
    for name in list(members):
        if name.startswith("manifest/history/") and name.endswith("manifest.json"):
            members[name] = b"[" * 50
    unsigned = desk.write({name: body for name, body in members.items() if name != SIGNATURE}, "unsigned.tar.zst")
    report = json.loads(desk.verify(unsigned, options=("--json",)).out)
    states = {one["number"]: (one["status"], one["detail"]) for one in report["obligations"]}
    assert states[3][0] == "failed"
    assert states[6] == ("not applicable", "nobody who may has signed the manifest, so its history is not read")


def made_members(path: Path) -> dict[str, bytes]:
    with open_kit(path, limits=Limits()) as reader:
        return {str(one.path): b"".join(body) for one, body in reader.members()}


def test_of_many_generations_two_are_held(tmp_path: Path) -> None:
    path = tmp_path / "kit"
    path.write_bytes(made.lineage_kit(generate(Algorithm.ES256), 12, 40))
    members = {MemberPath(name): body for name, body in made_members(path).items()}
    current = members[MemberPath("manifest/offline-manifest.json")]
    history = {name: body for name, body in members.items() if name.text.startswith("manifest/history/")}
    limits = Limits().with_meter(lambda: 0)
    manifest = Manifest.parse(current, limits=limits, where="m")
    alone = limits.held
    steps = lineage.check(manifest, history, limits=limits)
    assert len(steps) == 12
    assert limits.held <= 3 * alone
    assert [step.manifest.generation for step in steps] == list(range(1, 13))
    assert limits.held <= 3 * alone


def test_a_document_with_many_signatures_is_refused() -> None:
    many = made.many_signatures(400)
    with pytest.raises(SignatureError, match="over the limit json_values = 1,000"):
        jws.verify(many, b"", {})


def test_work_begins_anew_with_each_reading(tmp_path: Path) -> None:
    path = tmp_path / "kit"
    path.write_bytes(member(b"a", bytes(1000)) + END)
    with open_kit(path, limits=Limits(work_bytes=Price.MEMBER + 2000)) as reader:
        for _ in range(3):
            for _, body in reader.members():
                assert sum(map(len, body)) == 1000


def test_a_wide_document_weighs_what_it_takes_when_it_is_looked_into() -> None:
    (narrow,) = runs([made.observation(1) * 100], limits=Limits())
    (wide,) = runs([made.wide_document(200_000)], limits=Limits())
    assert narrow.weight == len(narrow.data)
    assert wide.weight > 200_000 * 200


def test_what_weighs_much_is_not_worked_on_beside_other_work() -> None:
    waiting: list[int] = []
    with Pipeline(InlineExecutor(), budget=10) as pipeline:
        for number in range(3):
            pipeline.submit(abs, number, cost=1, then=waiting.append, weight=11)
            assert pipeline.peak_pieces == 1
    assert waiting == [0, 1, 2]


def test_a_kit_of_a_few_kilobytes_is_read_by_two_processes_at_most(desk: Desk) -> None:
    with open_with_workers(desk.kit(), Environment(workers=16)) as small:
        assert small.budget == 2 * Environment().budget_per_worker


def test_a_member_that_the_last_step_tells_of_and_that_is_absent_is_named(desk: Desk) -> None:
    # Without declared collections nothing else told of it, and the deep reading looked for it in vain.
    path = desk.patched(desk.kit(manifest=foreign_manifest_of(content())))
    members = made_members(path)
    del members[OBSERVATIONS]
    desk.write(members, "absent.tar.zst")
    outcome = desk.verify(desk.kits / "absent.tar.zst", options=("--deep",))
    assert outcome.code == 2, outcome
    assert "listed in the manifest, but absent" in outcome.err, outcome

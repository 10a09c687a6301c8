"""Laws of the codecs: what is said is what comes back, whatever the documents are and in whatever order."""

from __future__ import annotations

import hashlib
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import HealthCheck, example, given, settings, strategies as st

from kit.delta import prefix
from kit.delta.dictionary import MAX_PATH_BYTES, MAX_PLACES, Picker, encode_places, parse_places
from kit.delta.edits import StreamBuilder
from kit.delta.layout import Header, Layout, encode_layout, parse_headers, parse_layout
from kit.delta.model import Payload
from kit.delta.packing import END, Reader, frame_piece, pack, read_pieces, signed, unpack, unsigned
from kit.delta.segment import SegmentInput, Source, Step, decode, encode, encode_steps, parse_head, parse_steps
from kit.documents import runs
from kit.engine.executors import InlineExecutor, ThreadExecutor
from kit.engine.pipeline import Workers
from kit.errors import ArchiveError, KitError
from kit.values import Limits, MemberPath, Sha256
from kit.verbs.delta.documents import DocumentStore, match_documents
from kit.verbs.delta.joining import join_segments
from kit.verbs.delta.segments import MAX_SEGMENT_BYTES, PICKED_FROM_BYTES, encode_segment, plan_segments
from tests.documents.strategies import DOCUMENTS, SCALARS, VALUES, binary, document, string
from tests.tiers import examples

INLINE = Workers(executor=InlineExecutor(), budget=1 << 20)
IDS = st.one_of(st.none(), SCALARS)
WITH_ID = st.builds(
    lambda identity, rest: document([("_id", identity), *rest] if identity is not None else rest),
    IDS,
    st.lists(st.tuples(st.sampled_from(["a", "b", "c"]), VALUES), max_size=4),
)
NUMBERS = st.integers(min_value=0, max_value=2**62)
ON_DISK = settings(max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""For laws that go through files: what a loaded machine takes for an example says nothing."""


@st.composite
def two_collections(draw: st.DrawFn) -> tuple[list[bytes], list[bytes]]:
    """Give a base and a target made of it: documents kept, moved, edited, repeated, removed and new, in any order."""
    base = draw(st.lists(WITH_ID, max_size=6))
    kept = draw(st.lists(st.sampled_from(base), max_size=6)) if base else []
    new = draw(st.lists(WITH_ID, max_size=3))
    return base, draw(st.permutations([*kept, *new]))


def stored(folder: Path, base: Sequence[bytes], target: Sequence[bytes]) -> tuple[DocumentStore, DocumentStore]:
    old, new = DocumentStore(folder, "base"), DocumentStore(folder, "target")
    old.put(runs([b"".join(base)], limits=Limits()))
    new.put(runs([b"".join(target)], limits=Limits()))
    return old, new


def delta_of(base: Sequence[bytes], target: Sequence[bytes]) -> bytes:
    """Say ``target`` by ``base``, make it again, and see that it is the same; gives the segments."""
    with tempfile.TemporaryDirectory() as name:
        old, new = stored(Path(name), base, target)
        segments = [encode_segment(plan) for plan in plan_segments(old, new, match_documents(old, new))]
        made = b"".join(join_segments(old, segments, most=sum(map(len, target)), workers=INLINE))
        for store in (old, new):
            store.close()
    assert made == b"".join(target)
    return b"".join(segments)


@ON_DISK
@given(two_collections())
def test_a_collection_comes_back_from_its_base_and_what_is_said_of_it(two: tuple[list[bytes], list[bytes]]) -> None:
    base, target = two
    delta_of(base, target)
    delta_of(target, base)


@ON_DISK
@given(DOCUMENTS, DOCUMENTS)
@example(b"\x05\0\0\0\0", b"\x05\0\0\0\0")
def test_any_document_can_be_edited_into_any_other(old: bytes, new: bytes) -> None:
    steps = (Step(Source.CHANGE, 0, 1),)
    material = SegmentInput(steps=steps, expected=0, documents=(new,), olds=(old,))
    head = parse_head(encode(material), 0)
    assert list(decode(head, [old], [], most=len(new))) == [new]


@ON_DISK
@given(st.lists(DOCUMENTS, max_size=4), st.data())
def test_a_column_that_is_picked_is_the_one_that_taking_apart_gives(
    documents: list[bytes], data: st.DataObject
) -> None:
    whole = [one for one in documents if StreamBuilder().try_add(one, None)]
    table = StreamBuilder.of(whole).node.table
    places = data.draw(st.lists(st.sampled_from(sorted(table)), unique=True)) if table else []
    picker = Picker(places)
    for one in whole:
        picker.add(one)
    assert picker.table == {place: table[place] for place in places}


@ON_DISK
@given(st.lists(st.tuples(DOCUMENTS, DOCUMENTS), min_size=1, max_size=4), st.lists(DOCUMENTS, max_size=2))
def test_documents_come_back_where_only_columns_of_their_older_selves_are_repeated(
    pairs: list[tuple[bytes, bytes]], references: list[bytes]
) -> None:
    olds, news = zip(*pairs, strict=True)
    material = SegmentInput(
        steps=(Step(Source.CHANGE, 0, len(pairs)),),
        expected=0,
        documents=news,
        olds=olds,
        ranges=((len(pairs), len(references)),),
        references=tuple(references),
        picking=True,
    )
    head = parse_head(encode(material), 0)
    assert tuple(decode(head, olds, references, most=sum(map(len, news)))) == news


def test_what_is_derived_from_a_few_fields_costs_little_whatever_else_there_is() -> None:
    def advisory(number: int, *, derived: bool) -> bytes:
        texts = {name: hashlib.shake_256(f"{name} {number}".encode()).hexdigest(5000) for name in ("url", "about")}
        fields = [(name, (2, string(text))) for name, text in texts.items()]
        again = [("links", (3, document([("url", (2, string(texts["url"])))])))] if derived else []
        return document([("_id", (16, number.to_bytes(4, "little"))), *fields, *again])

    count = 200
    olds = [advisory(number, derived=False) for number in range(count)]
    assert sum(map(len, olds)) > PICKED_FROM_BYTES
    assert len(delta_of(olds, [advisory(number, derived=True) for number in range(count)])) < 500


@pytest.mark.parametrize(
    "places",
    [
        pytest.param([(b".b", 2), (b".a", 2)], id="in another order"),
        pytest.param([(b".a", 2), (b".a", 2)], id="twice"),
        pytest.param([(b"." * (MAX_PATH_BYTES + 1), 2)], id="of a path that is too long"),
        pytest.param([(b".%d" % (1000 + number), 2) for number in range(MAX_PLACES + 1)], id="too many"),
    ],
)
def test_columns_to_pick_are_refused(places: list[tuple[bytes, int]]) -> None:
    with pytest.raises(ArchiveError):
        parse_places(Reader(encode_places(places), "x"))


@ON_DISK
@given(st.binary(min_size=1, max_size=40))
def test_what_is_no_document_inside_goes_whole(inside: bytes) -> None:
    framed = (len(inside) + 5).to_bytes(4, "little") + inside + b"\0"
    delta_of([framed], [framed, framed + framed[:0]])
    delta_of([], [framed])


def test_an_array_that_gains_a_member_in_front_costs_that_member() -> None:
    def holding(members: Sequence[str]) -> bytes:
        texts = [(2, (len(text) + 1).to_bytes(4, "little") + text.encode() + b"\0") for text in members]
        array = document([(str(number), value) for number, value in enumerate(texts)])
        return document([("_id", (16, bytes(4))), ("list", (4, array))])

    many = [f"https://example.com/{number * number}" for number in range(200)]
    assert len(delta_of([holding(many)], [holding(["new", *many])])) < 60


def test_a_collection_in_its_old_order_costs_next_to_nothing() -> None:
    documents = [document([("_id", (16, number.to_bytes(4, "little")))]) for number in range(5000)]
    assert len(delta_of(documents, documents)) < 30
    assert len(delta_of(documents, documents[100:])) < 30


@pytest.mark.slow
def test_documents_that_became_small_come_back_however_many_bytes_they_had() -> None:
    # All stand in one batch of the target; what a segment may ask for of the base is less than they were.
    ids = [("_id", (16, number.to_bytes(4, "little"))) for number in range(9)]
    dropped = ("raw", (5, binary(0, bytes(15 * 1024 * 1024))))
    base = [document([one, dropped]) for one in ids]
    assert sum(map(len, base)) > MAX_SEGMENT_BYTES
    delta_of(base, [document([one]) for one in ids])


@pytest.mark.parametrize("copies", [2, 5])
def test_documents_of_one_id_are_matched_first_with_first(copies: int, tmp_path: Path) -> None:
    documents = [document([("_id", (10, b"")), ("n", (16, n.to_bytes(4, "little")))]) for n in range(copies)]
    other = [document([("_id", (16, bytes(4)))])]
    old, new = stored(tmp_path, documents, other + documents + documents[:1])
    assert list(match_documents(old, new).of(0, new.count)) == [-1, *range(copies), -1]


@given(st.integers(min_value=-(2**61), max_value=2**61), NUMBERS)
def test_numbers_come_back(number: int, count: int) -> None:
    reader = Reader(signed(number) + unsigned(count), "x")
    assert (reader.signed(), reader.unsigned()) == (number, count)
    reader.finish()


STEPS = st.lists(
    st.builds(
        lambda source, start, length: Step(source, 0 if source is Source.INSERT else start, length),
        st.sampled_from(Source),
        st.integers(min_value=0, max_value=2**40),
        st.integers(min_value=1, max_value=2**20),
    ),
    max_size=20,
)


@given(STEPS, st.integers(min_value=0, max_value=1000))
@example([Step(Source.COPY, 0, 1), Step(Source.COPY, 0, 1)], 0)
def test_an_order_comes_back(steps: list[Step], expected: int) -> None:
    reader = Reader(encode_steps(steps, expected), "x")
    assert parse_steps(reader, expected) == steps
    reader.finish()


@given(st.binary(max_size=300), st.binary(max_size=300), st.sampled_from([1, 9, 19]))
def test_a_packed_stream_comes_back_and_never_as_more_than_it_may(data: bytes, dictionary: bytes, level: int) -> None:
    packed = pack(data, dictionary, level=level)
    assert unpack(Reader(packed, "x"), dictionary, most=len(data)) == data
    if data:
        with pytest.raises(ArchiveError):
            unpack(Reader(packed, "x"), dictionary, most=len(data) - 1)


@given(st.lists(st.binary(min_size=1, max_size=300), max_size=5), st.integers(min_value=1, max_value=50))
def test_a_row_of_pieces_comes_back_however_it_is_cut(row: list[bytes], size: int) -> None:
    data = b"".join(map(frame_piece, row)) + END
    assert list(read_pieces(data[at : at + size] for at in range(0, len(data), size))) == row
    with pytest.raises(ArchiveError):
        list(read_pieces([data[:-1]]))
    with pytest.raises(ArchiveError):
        list(read_pieces([data + b"x"]))


def file(name: str, size: int = 0) -> Payload:
    return Payload(path=MemberPath(name), sha256=Sha256.of(b""), size=size)


NAMES = st.text(st.sampled_from("ab/ä"), min_size=1, max_size=180).map(lambda text: "x" + text.replace("/", "/x"))
LAYOUTS: tuple[Literal[0, 1, 2], ...] = (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)
FILES = st.lists(st.builds(file, NAMES, st.integers(0, 2**40)), max_size=9)


@given(FILES, st.data(), st.lists(NUMBERS), st.lists(NUMBERS, max_size=5))
def test_a_layout_comes_back(files: list[Payload], data: st.DataObject, frames: list[int], made: list[int]) -> None:
    headers = [Header(data=data.draw(header_of(one)), has_body=True) for one in files]
    for folder in data.draw(st.lists(st.binary(max_size=50), max_size=4)):
        headers.insert(data.draw(st.integers(0, len(headers))), Header(data=folder, has_body=False))
    layout = Layout(headers=tuple(headers), frames=tuple(frames))
    printed = encode_layout(layout, files, made)
    assert parse_layout(printed, files, made, most=1 << 20) == layout
    assert tuple(parse_headers(printed, files, most=1 << 20)) == layout.headers
    with pytest.raises(ArchiveError):
        parse_layout(printed, [*files, file("more")], made, most=1 << 20)


def header_of(one: Payload) -> st.SearchStrategy[bytes]:
    """Make any bytes, or a header as some tool writes it."""
    return st.one_of(st.binary(max_size=50), st.sampled_from(LAYOUTS).map(lambda layout: _header(one, layout)))


def _header(one: Payload, layout: Literal[0, 1, 2]) -> bytes:
    info = tarfile.TarInfo(f"./{one.path}")
    info.size = one.size
    try:
        return info.tobuf(layout)
    except ValueError:  # a name or size that ustar cannot hold
        return b"none"


@pytest.mark.parametrize("layout", LAYOUTS)
def test_headers_that_differ_in_name_and_size_alone_cost_next_to_nothing(layout: Literal[0, 1, 2]) -> None:
    files = [file(f"images/{hashlib.sha256(b'%d' % number).hexdigest()}/layer", number) for number in range(5000)]
    headers = tuple(Header(data=_header(one, layout), has_body=True) for one in files)
    printed = encode_layout(Layout(headers=headers, frames=()), files)
    assert len(printed) < 400
    assert parse_layout(printed, files, most=1 << 23).headers == headers


@given(st.lists(NUMBERS, max_size=5), st.lists(NUMBERS, max_size=5))
def test_a_recipe_that_cuts_other_frames_leaves_them_unknown_and_all_else_as_it_is(
    made: list[int], others: list[int]
) -> None:
    layout = Layout(headers=(Header(data=b"header", has_body=True),), frames=(1, 2, 3))
    met = parse_layout(encode_layout(layout, [file("a")], made), [file("a")], others, most=1 << 20)
    assert met.headers == layout.headers
    assert met.frames == (layout.frames if made == others else ())


def test_frames_that_a_recipe_cuts_cost_next_to_nothing_however_many() -> None:
    made = [4_194_304 + (number * 7919) % 100_000 for number in range(5000)]
    frames = (512, 1000, *made, 0, 1024)
    layout = Layout(headers=(), frames=frames)
    assert len(encode_layout(layout, [], made)) < 100
    assert len(encode_layout(layout, [])) > 10_000


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_bytes_of_any_kind_come_back(base: bytes, target: bytes) -> None:
    stretch = prefix.choose_stretch(0, base_size=len(base), target_size=len(target))
    said = prefix.pack_piece(target, stretch, base[stretch.start :][: stretch.size], 9)
    met, reader = prefix.parse_stretch(said)
    assert met == stretch
    assert prefix.unpack_piece(reader, base) == target


def documents_and_fault(
    base: DocumentStore, segments: Sequence[bytes], most: int, workers: Workers
) -> tuple[bytes, str]:
    """Return what comes out of segments or, where that is not all, the fault."""
    try:
        return b"".join(join_segments(base, segments, most=most, workers=workers)), ""
    except KitError as error:
        return b"", str(error)


ALTERED = st.tuples(st.integers(0, 3), st.integers(0, 10_000), st.integers(1, 255))
"""Number of a segment, place in it, and what to change there."""


@ON_DISK
@given(two_collections(), st.lists(ALTERED, max_size=3))
def test_whatever_workers_there_are_the_first_fault_is_the_one_that_is_told(
    two: tuple[list[bytes], list[bytes]], changes: list[tuple[int, int, int]]
) -> None:
    base, target = two
    threads = ThreadExecutor(3)
    with tempfile.TemporaryDirectory() as name:
        old, new = stored(Path(name), base, target)
        # Behind the first it is about other documents, and often about some that are not there.
        segments = [encode_segment(plan) for plan in plan_segments(old, new, match_documents(old, new))] * 4
        for number, at, byte in changes:
            if number < len(segments):
                altered = bytearray(segments[number])
                altered[at % len(altered)] ^= byte
                segments[number] = bytes(altered)
        most = 5 * sum(map(len, (*base, *target)))
        alone = documents_and_fault(old, segments, most, Workers(executor=InlineExecutor(), budget=1))
        for budget in (1, 1 << 30):
            assert documents_and_fault(old, segments, most, Workers(executor=threads, budget=budget)) == alone
        for store in (old, new):
            store.close()
    threads.shutdown()


@ON_DISK
@given(two_collections(), st.data())
def test_a_segment_that_was_altered_ends_in_an_error_or_in_documents(
    two: tuple[list[bytes], list[bytes]], data: st.DataObject
) -> None:
    base, target = two
    with tempfile.TemporaryDirectory() as name:
        old, new = stored(Path(name), base, target)
        segments = [encode_segment(plan) for plan in plan_segments(old, new, match_documents(old, new))]
        if segments and segments[0]:
            at = data.draw(st.integers(min_value=0, max_value=len(segments[0]) - 1))
            byte = data.draw(st.integers(min_value=0, max_value=255))
            altered = segments[0][:at] + bytes((byte,)) + segments[0][at + 1 :]
            try:
                made = b"".join(join_segments(old, [altered], most=2 * sum(map(len, target)) + 100, workers=INLINE))
            except KitError:
                pass
            else:
                assert len(made) <= 2 * sum(map(len, target)) + 100
        for store in (old, new):
            store.close()

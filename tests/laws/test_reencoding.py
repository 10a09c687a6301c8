"""What this program compressed is compressed to the same bytes again, wherever its frames were cut."""

from __future__ import annotations

import hashlib

import bson
import pytest
from hypothesis import given, strategies as st

from kit.archive.frames import encode
from kit.documents import runs
from kit.engine.reencoding import Reencoding, sizes_when_cut, without_appended
from kit.values import Codec, Limits, RunLengths

SIZES = st.lists(st.integers(0, 400), max_size=30)


def document(number: int, size: int, **more: object) -> bytes:
    return bytes(bson.encode({"_id": number, "text": "x" * size, **more}))


@given(sizes=SIZES, data=st.data(), codec=st.sampled_from([Codec.ZSTD, Codec.GZIP]), target=st.integers(1, 600))
def test_frames_are_cut_by_the_documents_that_were_read(
    sizes: list[int], data: st.DataObject, codec: Codec, target: int
) -> None:
    before = [document(number, size) for number, size in enumerate(sizes)]
    flags = [data.draw(st.booleans()) for _ in sizes]
    added = {"rawLinkset": {"aliases": ["a"]}}
    after = [
        document(number, size, **(added if flag else {}))
        for number, (size, flag) in enumerate(zip(sizes, flags, strict=True))
    ]
    # As a patch does: a run of what is read becomes a frame of what is written.
    stored = b""
    for run in runs([b"".join(before)], limits=Limits(), target=target):
        stored += encode(codec, b"".join(after[run.first : run.first + len(run)]))
    again, at = Reencoding(codec, target=target), 0
    while at < len(after):
        count = data.draw(st.integers(1, len(after) - at))
        chosen = after[at : at + count]
        again.update(b"".join(chosen), sizes_when_cut(chosen, RunLengths.of(flags[at : at + count])))
        at += count
    assert again.digest().hex == hashlib.sha256(stored).hexdigest()


@pytest.mark.parametrize(
    ("element", "is_cut"),
    [
        ({"rawLinkset": {}}, True),
        ({"rawLinkset": None}, False),
        ({"rawLinkset": []}, False),
        ({"rawLinkset": {}, "more": 1}, False),
        ({"other": {}}, False),
    ],
)
def test_only_the_element_at_the_end_is_cut_out(element: dict[str, object], is_cut: bool) -> None:  # noqa: FBT001
    found = without_appended(document(1, 3, **element))
    assert found == (document(1, 3) if is_cut else None)

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from kit.errors import ArchiveError, ContentError, LimitError
from kit.values import Codec, CollectionName, Limits, MemberPath, Sha256, Timestamp, collection_member


@given(st.binary())
def test_a_digest_survives_printing_and_parsing(data: bytes) -> None:
    digest = Sha256.of(data)
    assert Sha256.parse(str(digest)) == digest
    assert Sha256.parse(f"sha256:{str(digest).upper()}") == digest


@pytest.mark.parametrize("text", ["", "00", "sha512:" + "0" * 64, "g" * 64, "0" * 65, "0" * 64 + "\n"])
def test_what_is_not_a_digest_is_refused(text: str) -> None:
    with pytest.raises(ContentError):
        Sha256.parse(text)


@given(st.integers(0, 253402300799))
def test_a_time_stamp_survives_printing_and_parsing(seconds: int) -> None:
    assert Timestamp.parse(str(Timestamp(seconds))) == Timestamp(seconds)
    assert Timestamp.parse(str(seconds)) == Timestamp(seconds)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "2025-13-01T00:00:00Z",
        "2025-01-01T00:00:00+02:00",
        "1969-12-31T23:59:59Z",
        "9" * 20,
        "9" * 5000,
        "2025-01-01",
        "²",
    ],
)
def test_what_is_not_a_time_stamp_is_refused(text: str) -> None:
    with pytest.raises(ContentError):
        Timestamp.parse(text)


def test_fractions_of_a_second_are_dropped() -> None:
    assert str(Timestamp.parse("2025-10-20T00:00:00.123456Z")) == "2025-10-20T00:00:00Z"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "is empty"),
        ("/etc/passwd", "is absolute"),
        ("../x", "has a '..' segment"),
        ("a/../b", "has a '..' segment"),
        ("a//b", "has an empty or '.' segment"),
        ("a/", "has an empty or '.' segment"),
        ("./a", "has an empty or '.' segment"),
        ("a\\b", "contains a backslash"),
        ("é\\b", "contains a backslash"),
        ("a\0b", "contains control or formatting characters"),
        ("a\x7f", "contains control or formatting characters"),
        ("a\u202eb", "contains control or formatting characters"),
        ("a\udc80", "is not valid UTF-8"),
        ("e\u0301", "is not in Unicode normal form C"),
        ("C:/x", "starts with a drive letter"),
        ("x:b.txt", "starts with a drive letter"),
        ("a:b:c/d.txt", "starts with a drive letter"),
        ("d/" + "n" * 256, "has a segment of more than 255 bytes"),
        ("é" * 128 + "/x", "has a segment of more than 255 bytes"),
    ],
)
def test_a_hostile_name_is_refused_with_its_fault(text: str, fault: str) -> None:
    with pytest.raises(ArchiveError) as caught:
        MemberPath.parse(text)
    assert fault in caught.value.what


@pytest.mark.parametrize("text", ["a", "a/b.c", "é/ü", "..a/b..", "a b", "ab:c", "d/a:b", "a ", "n" * 255])
def test_an_ordinary_name_prints_as_it_was_spelled(text: str) -> None:
    assert str(MemberPath.parse(text)) == text


@pytest.mark.parametrize(
    ("one", "other"),
    [
        *[("A/b", "a/B"), ("straße", "STRASSE"), ("ﬁle", "file")],
        *[("a /b", "a/b"), ("a.", "a"), ("a. .", "a"), ("A ", "a"), ("é ", "É"), ("a?b", "a_b"), ("d/x:y", "d/x|y")],
    ],
)
def test_names_that_meet_on_a_case_folding_file_system_collide(one: str, other: str) -> None:
    assert MemberPath.parse(one).collision_key == MemberPath.parse(other).collision_key


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x/db/c.bson", ("db", "c", Codec.NONE)),
        ("db/c.bson.gz", ("db", "c", Codec.GZIP)),
        ("x/y/db/c.d.bson.zst", ("db", "c.d", Codec.ZSTD)),
        ("c.bson", None),
        ("db/.bson", None),
        ("db/c.metadata.json", None),
        ("db/c.bson.xz", None),
        ("x/db/._c.bson", None),
        ("__MACOSX/x/db/._c.bson.gz", None),
        ("x/.AppleDouble/c.bson", None),
        ("db/.DS_Store.bson.zst", None),
        (".snapshot/db/c.bson", ("db", "c", Codec.NONE)),
        ("__MACOSX/db/c.bson", ("db", "c", Codec.NONE)),
    ],
)
def test_collections_are_known_by_the_layout_of_mongodump(text: str, expected: tuple[str, str, Codec] | None) -> None:
    member = collection_member(MemberPath.parse(text))
    if expected is None:
        assert member is None
        return
    assert member is not None
    database, collection, codec = expected
    assert member.name == CollectionName(database=database, collection=collection)
    assert str(member.name) == f"{database}.{collection}"
    assert member.codec is codec


def test_a_limit_names_itself_the_value_met_and_the_way_out() -> None:
    limits = Limits().with_overrides({"members": 2})
    limits.check("members", 2)
    with pytest.raises(LimitError) as caught:
        limits.check("members", 3, where="a.tar")
    assert str(caught.value) == "a.tar: 3 is over the limit members = 2"
    assert caught.value.hint.endswith("--max members=3")
    assert "members" in Limits.names()

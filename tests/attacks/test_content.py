"""Hostile content inside of sound archives: manifests and collections that two readers would read differently.

All of it is signed by the publisher that is trusted here, so that nothing but the content can be the reason.
"""

from __future__ import annotations

import gzip
import json
import struct
from collections.abc import Callable
from typing import Any

import bson
import pytest
import zstandard

from tests import kits
from tests.attacks import bombs
from tests.commands import kit
from tests.end_to_end.desk import Desk
from tests.kits import MANIFEST, OBSERVATIONS

HOSTILE, CONTENT, OK = 9, 11, 0
MIB = 1 << 20


def manifest(extra: bytes) -> bytes:
    """Give a sound manifest with one more text in its first object."""
    whole = kits.to_json(kits.manifest_of(kits.content()))
    return whole.replace(b"{", b"{" + extra, 1)


def _renamed(path: str) -> bytes:
    document = kits.manifest_of(kits.content())
    document["files"][0]["path"] = path
    return json.dumps(document).encode()


def _sized(size: Any) -> bytes:
    document = kits.manifest_of(kits.content())
    document["files"][0]["size"] = size
    return json.dumps(document).encode()


MANIFESTS = {
    "a key twice": (manifest(b'"generation": 9,'), CONTENT, "'generation' is there twice"),
    "a key twice, one of them escaped": (manifest(b'"gener\\u0061tion": 9,'), CONTENT, "is there twice"),
    "a key twice, deep inside": (manifest(b'"x": [{"a": {"b": 1, "b": 1}}],'), CONTENT, "at /x/0/a: the key 'b'"),
    "NaN": (manifest(b'"x": NaN,'), CONTENT, "NaN is not a JSON number"),
    "Infinity": (manifest(b'"x": [-Infinity],'), CONTENT, "-Infinity is not a JSON number"),
    "a number beyond a double": (manifest(b'"x": 1e999,'), CONTENT, "cannot be kept exactly"),
    "an integer beyond 64 bits": (manifest(b'"x": 9223372036854775808,'), CONTENT, "beyond 64 bits"),
    "an integer of a megabyte": (manifest(b'"x": ' + b"9" * MIB + b","), CONTENT, "beyond 64 bits"),
    "half a surrogate pair": (manifest(b'"x": "\\ud800",'), CONTENT, "lone surrogate"),
    "bytes that are not UTF-8": (manifest(b'"x": "\xff",'), CONTENT, "not UTF-8"),
    "an overlong character": (manifest(b'"x": "\xc0\x80",'), CONTENT, "not UTF-8"),
    "a byte order mark": (b"\xef\xbb\xbf" + manifest(b""), CONTENT, "byte order mark"),
    "UTF-16": (manifest(b"").decode().encode("utf-16"), CONTENT, "not UTF-8"),
    "a comment": (manifest(b"/* x */"), CONTENT, "not JSON"),
    "a second text behind it": (manifest(b"") + b"{}", CONTENT, "not JSON"),
    "nothing": (b"", CONTENT, "not JSON"),
    "a text without an object": (b'"manifest"', CONTENT, ""),
    "300 levels": (manifest(b'"x": ' + b"[" * 300 + b"]" * 300 + b","), HOSTILE, "nested over 256 deep"),
    "65 levels": (manifest(b'"x": ' + b"[" * 65 + b"]" * 65 + b","), HOSTILE, "json_depth = 64"),
    "a million brackets that never close": (manifest(b'"x": ' + b"[" * MIB), HOSTILE, "nested over 256 deep"),
    "a file's size as a fraction": (_sized(6.5), CONTENT, "size"),
    "a file's size as a text": (_sized("6"), CONTENT, "size"),
    "a negative size of a file": (_sized(-1), CONTENT, "size"),
    "a size that is true": (_sized(True), CONTENT, "size"),
    "a size of another file": (_sized(7), 2, "README.txt: size"),
    "a path that climbs": (_renamed("../README.txt"), CONTENT, "'..' segment"),
    "a path that is absolute": (_renamed("/README.txt"), CONTENT, "absolute"),
    "a path of another case": (_renamed("readme.txt"), 2, "README.txt: not listed"),
    "a path that is listed twice": (_renamed(OBSERVATIONS), CONTENT, "names the same file"),
}


@pytest.mark.parametrize(("data", "code", "words"), MANIFESTS.values(), ids=MANIFESTS)
def test_a_manifest_that_readers_would_read_differently_is_refused_though_it_is_signed(
    data: bytes, code: int, words: str, desk: Desk
) -> None:
    desk.refused(desk.kit(manifest=data), code, words)


def test_two_manifests_are_refused(desk: Desk) -> None:
    members = kits.signed(kits.content(), None)
    desk.refused(desk.write({**members, MANIFEST.rpartition("/")[2]: members[MANIFEST]}), CONTENT, "two manifests")


def document(*elements: bytes) -> bytes:
    inside = b"".join(elements)
    return struct.pack("<i", len(inside) + 5) + inside + b"\0"


def string(name: bytes, value: bytes, length: int | None = None) -> bytes:
    return b"\x02" + name + b"\0" + struct.pack("<i", len(value) + 1 if length is None else length) + value + b"\0"


GOOD = bson.encode(kits.observation(1))
_ID = string(b"_id", b"acme:1") + string(b"tenant", b"acme")
DOCUMENTS = {
    "a length of 4": (struct.pack("<i", 4), CONTENT, "below 5"),
    "a length of 0": (bytes(8), CONTENT, "below 5"),
    "a negative length": (struct.pack("<i", -1) + b"x\0", CONTENT, "below 5"),
    "a length of 2 GiB in 4 bytes": (struct.pack("<i", 2**31 - 1), HOSTILE, "document_bytes"),
    "a length one too large": (struct.pack("<i", len(GOOD) + 1) + GOOD[4:], CONTENT, "document 1"),
    "a length one too small": (struct.pack("<i", len(GOOD) - 1) + GOOD[4:], CONTENT, "document 2"),
    "a document that is cut": (GOOD[:-1], CONTENT, "document 1"),
    "a length that is cut": (GOOD[:3], CONTENT, "inside a document's length"),
    "a document without its last NUL": (GOOD[:-1] + b"\x01", CONTENT, "terminating NUL"),
    "a string longer than the document": (document(_ID, string(b"a", b"b", 10_000)), CONTENT, '"a"'),
    "a string of 2 GiB": (document(_ID, string(b"a", b"b", 2**31 - 1)), CONTENT, '"a"'),
    "a string of length 0": (document(_ID, string(b"a", b"b", 0)), CONTENT, '"a"'),
    "a string of length -1": (document(_ID, string(b"a", b"b", -1)), CONTENT, '"a"'),
    "a string without its NUL": (document(_ID, string(b"a", b"b", 1)[:-1] + b"c"), CONTENT, ""),
    "a string that is not UTF-8": (document(_ID, string(b"a", b"\xff\xfe")), CONTENT, "not UTF-8"),
    "a string of a surrogate": (document(_ID, string(b"a", b"\xed\xa0\x80")), CONTENT, "not UTF-8"),
    "a name that is not UTF-8": (document(_ID, string(b"\xff", b"b")), CONTENT, "not UTF-8"),
    "a name without an end": (document(_ID, b"\x0aabc"), CONTENT, "without terminating NUL"),
    "an unknown type": (document(_ID, b"\x77a\0"), CONTENT, "0x77"),
    "a nested document longer than its parent": (
        document(_ID, b"\x03a\0" + struct.pack("<i", 999) + b"\0"), CONTENT, '"a"'
    ),
    "a boolean of 2": (document(_ID, b"\x08a\0\2"), CONTENT, "boolean is 2"),
    "an array of length 4": (document(_ID, b"\x04a\0" + struct.pack("<i", 4)), CONTENT, '"a"'),
    "300 levels": (bombs.nested_document(300), HOSTILE, "document_depth = 200"),
    "two million levels": (bombs.nested_document(2_000_000), HOSTILE, "document_depth = 200"),
    "one byte over 16 MiB and 16 KiB": (bombs.document(16 * MIB + 16 * 1024 + 1), HOSTILE, "document_bytes"),
}  # fmt: skip
CODECS = {"": lambda data: data, ".gz": gzip.compress, ".zst": zstandard.compress}


@pytest.mark.parametrize(("data", "code", "words"), DOCUMENTS.values(), ids=DOCUMENTS)
def test_a_document_that_is_malformed_is_refused_though_its_digest_is_signed(
    data: bytes, code: int, words: str, desk: Desk
) -> None:
    path = desk.kit({**kits.content(), OBSERVATIONS: GOOD + data}, name="kit.tar")
    outcome = desk.verify(path, "vendor", options=("--deep",))
    assert (outcome.code, "\nvalid: " in outcome.out) == (code, False), outcome
    assert OBSERVATIONS in outcome.err
    assert words in outcome.err


@pytest.mark.parametrize("name", ["a length one too large", "a length of 4", "a document that is cut"])
@pytest.mark.parametrize("suffix", CODECS)
def test_patch_refuses_it_too_and_leaves_nothing(name: str, suffix: str, desk: Desk) -> None:
    data, code, words = DOCUMENTS[name]
    members = {"README.txt": b"a kit\n", OBSERVATIONS + suffix: CODECS[suffix](GOOD + data)}
    path = desk.kit(members, name="kit.tar")
    desk.patch(path, "--in-place").refused(code, OBSERVATIONS + suffix, words)
    assert [file.name for file in desk.kits.iterdir()] == ["kit.tar"]


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
@pytest.mark.parametrize(
    ("damage", "words"),
    [
        pytest.param(lambda data: data[:-1], "is cut", id="cut"),
        pytest.param(lambda data: data + bytes(512), "data after the last", id="followed by zeros"),
        pytest.param(lambda _: b"", "no ", id="empty"),
    ],
)
def test_a_collection_whose_own_codec_is_damaged_is_refused(damage: Any, words: str, suffix: str, desk: Desk) -> None:
    members = {"README.txt": b"a kit\n", OBSERVATIONS + suffix: damage(CODECS[suffix](GOOD))}
    outcome = desk.verify(desk.kit(members, name="kit.tar"), "vendor", options=("--deep",))
    assert (outcome.code, words in outcome.err) == (HOSTILE, True), outcome


def test_a_collection_that_expands_too_far_is_refused(desk: Desk) -> None:
    members = {"README.txt": b"a kit\n", OBSERVATIONS + ".gz": bombs.packed_documents(2)}
    path = desk.kit(members, name="kit.tar")
    kit("inspect", path, "--workers", 1, "--max", f"expanded_bytes={100 * MIB}").refused(HOSTILE, "expanded_bytes")


NESTED: dict[str, Callable[[], dict[str, bytes]]] = {
    # 130 MiB of documents in less than 3 kB: each codec stays below its own ratio, the kit does not.
    "gzip in zstd": lambda: {OBSERVATIONS + ".gz": bombs.packed_documents(2) + gzip.compress(bombs.document(2 * MIB))},
    # Each stays below the floor that no ratio is asked of.
    "many small collections": lambda: {
        f"dump/{number}/{OBSERVATIONS}.zst": zstandard.compress(bombs.document(MIB) * 30) for number in range(3)
    },
}


@pytest.mark.slow
@pytest.mark.parametrize("container", ["kit.tar.zst", "kit.tar.gz"])
@pytest.mark.parametrize("members", NESTED.values(), ids=NESTED)
def test_codecs_in_codecs_are_held_to_one_ratio_over_the_whole_kit(
    members: Callable[[], dict[str, bytes]], container: str, desk: Desk
) -> None:
    path = desk.kit({"README.txt": b"a kit\n", **members()}, name=container)
    words = (f"{container}: its collections expand ", "times in all", "limit ratio = 2000")
    kit("inspect", path, "--workers", 1).refused(HOSTILE, *words)
    desk.patch(path, "--in-place").refused(HOSTILE, *words)
    outcome = desk.verify(path, "vendor", options=("--deep",))
    assert (outcome.code, "\nvalid: " in outcome.out) == (HOSTILE, False), outcome
    sound = desk.verify(path, "vendor", options=("--deep", "--max", "ratio=1000000"))
    assert sound.code == OK, sound


def test_small_kits_that_expand_much_are_sound(desk: Desk) -> None:
    path = desk.kit({"README.txt": b"a kit\n", OBSERVATIONS + ".gz": gzip.compress(bombs.document(16 * MIB) * 3)})
    assert desk.verify(path, "vendor", options=("--deep",)).code == OK


@pytest.mark.slow
def test_a_document_of_16_mib_is_verified_and_carried(desk: Desk) -> None:
    large = bombs.document(16 * MIB + 16 * 1024)
    path = desk.kit({**kits.content(), OBSERVATIONS: GOOD + large}, name="kit.tar.zst")
    assert desk.verify(path, "vendor", options=("--deep",)).code == OK
    patched = desk.patched(path, "--allow-unimportable")
    assert large in kits.read(patched)[OBSERVATIONS]
    assert desk.verify(patched, options=("--deep",)).code == OK


def test_a_repeated_name_is_legal_in_bson_and_refused_where_it_would_decide_something(desk: Desk) -> None:
    twice = document(_ID, string(b"tenant", b"other"))
    path = desk.kit({**kits.content(), OBSERVATIONS: GOOD + twice}, name="kit.tar")
    outcome = desk.verify(path, "vendor", options=("--deep",))
    assert (outcome.code, "repeated element name" in outcome.err) == (CONTENT, True), outcome

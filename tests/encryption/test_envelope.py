from __future__ import annotations

import base64
from typing import Any

import bson
import pytest
from bson.int64 import Int64
from hypothesis import given, strategies as st

from kit.encryption import Envelope, Profile
from kit.encryption.envelope import SUBDOCUMENTS, looks_like
from kit.errors import EnvelopeError

TAG = base64.b64encode(b"t" * 16).decode()
COMPAT: dict[str, Any] = {
    "__encrypted": True,
    "v": 1,
    "alg": "aes-256-gcm",
    "ct": base64.b64encode(b"cipher").decode(),
    "iv": base64.b64encode(b"i" * 12).decode(),
    "tag": TAG,
    "dekId": "dek-1",
    "mekVersion": 1,
}
BOUND = {**COMPAT, "v": 2, "ctx": "notes", "bt": 2}


@pytest.mark.parametrize("members", [COMPAT, BOUND], ids=["compat", "bound"])
def test_an_envelope_prints_as_it_was_read(members: dict[str, Any]) -> None:
    data = bson.encode(members)
    envelope = Envelope.parse(data)
    assert envelope.to_bson() == data
    assert envelope.ciphertext == b"cipher"
    assert "cipher" not in repr(envelope)


def test_members_in_another_order_are_the_same_envelope() -> None:
    assert Envelope.parse(bson.encode(dict(reversed(BOUND.items())))) == Envelope.parse(bson.encode(BOUND))


@given(
    st.sampled_from(SUBDOCUMENTS),
    st.binary(max_size=40),
    st.text("abcXYZ019._:-", min_size=1),
    st.integers(1, 2**31 - 1),
)
def test_any_envelope_survives_printing_and_parsing(profile: Profile, data: bytes, dek_id: str, version: int) -> None:
    bound = profile is Profile.BOUND
    envelope = Envelope(
        profile=profile,
        ciphertext=data,
        iv=b"i" * 12,
        tag=b"t" * 16,
        dek_id=dek_id[:128],
        mek_version=version,
        context="c" if bound else None,
        bson_type=2 if bound else None,
    )
    assert Envelope.parse(envelope.to_bson()) == envelope


def _without(name: str) -> dict[str, Any]:
    return {key: value for key, value in BOUND.items() if key != name}


@pytest.mark.parametrize(
    ("members", "fault"),
    [
        pytest.param({**BOUND, "__encrypted": False}, "__encrypted is not true", id="mark false"),
        pytest.param({**BOUND, "__encrypted": 1}, "__encrypted is not true", id="mark a number"),
        pytest.param(_without("__encrypted"), "__encrypted is not true", id="mark missing"),
        pytest.param({**BOUND, "v": 3}, "v is 3", id="unknown version"),
        pytest.param({**BOUND, "v": Int64(2)}, "v is of BSON type 18, not 16", id="version of 64 bits"),
        pytest.param(_without("v"), "lacks 'v'", id="version missing"),
        pytest.param(_without("ct"), "lacks 'ct'", id="ciphertext missing"),
        pytest.param(_without("bt"), "lacks 'bt'", id="type missing"),
        pytest.param({**BOUND, "x": 1}, "it has 'x'", id="another member"),
        pytest.param({**COMPAT, "ctx": "notes", "bt": 2}, "it has 'bt'", id="compat with the members of bound"),
        pytest.param({**BOUND, "v": 1}, "it has 'bt'", id="bound called compat"),
        pytest.param({**BOUND, "alg": "aes-128-gcm"}, "alg is 'aes-128-gcm'", id="another algorithm"),
        pytest.param({**BOUND, "alg": 1}, "alg is of BSON type 16", id="algorithm a number"),
        pytest.param({**BOUND, "ct": b"cipher"}, "ct is of BSON type 5, not 2", id="binary for base64"),
        pytest.param({**BOUND, "ct": "!!!!"}, "ct is not base64", id="no base64"),
        pytest.param({**BOUND, "ct": "YQ"}, "ct is not base64", id="base64 without padding"),
        pytest.param({**BOUND, "ct": "YR=="}, "not canonical base64", id="base64 with unused bits"),
        pytest.param({**BOUND, "ct": "YQ==\n"}, "ct is not base64", id="base64 with a line end"),
        pytest.param({**BOUND, "ct": "YQ=="[:2] + "_w"}, "ct is not base64", id="base64url"),
        pytest.param({**BOUND, "iv": TAG}, "iv has 16 bytes, not 12", id="long vector"),
        pytest.param({**BOUND, "tag": BOUND["iv"]}, "tag has 12 bytes, not 16", id="short tag"),
        pytest.param({**BOUND, "tag": ""}, "tag has 0 bytes", id="empty tag"),
        pytest.param({**BOUND, "dekId": ""}, "dekId ''", id="no key name"),
        pytest.param({**BOUND, "dekId": "a b"}, "dekId 'a b'", id="blank in a key name"),
        pytest.param({**BOUND, "dekId": "a" * 129}, "is not 1 to 128", id="long key name"),
        pytest.param({**BOUND, "mekVersion": 0}, "versions start at 1", id="master key 0"),
        pytest.param({**BOUND, "mekVersion": "1"}, "mekVersion is of BSON type 2", id="master key as text"),
        pytest.param({**BOUND, "bt": 10}, "bt is 10", id="null, which is never sealed"),
        pytest.param({**BOUND, "bt": 99}, "bt is 99", id="a type BSON does not have"),
        pytest.param({**BOUND, "bt": -1}, "bt is -1", id="a negative type"),
        pytest.param({**BOUND, "ctx": 1}, "ctx is of BSON type 16", id="context a number"),
    ],
)
def test_what_is_not_exactly_an_envelope_is_refused(members: dict[str, Any], fault: str) -> None:
    with pytest.raises(EnvelopeError, match=fault):
        Envelope.parse(bson.encode(members))


def test_bytes_that_are_no_document_or_repeat_a_member_are_refused() -> None:
    with pytest.raises(EnvelopeError, match="not an envelope"):
        Envelope.parse(b"\0")
    data = bson.encode(COMPAT)
    twice = (len(data) + 4).to_bytes(4, "little") + data[4:-1] + b"\x08v\0\x01\0"
    with pytest.raises(EnvelopeError, match="repeated"):
        Envelope.parse(twice)
    text = data.replace(b"dek-1\0", b"dek-\xff\0")
    with pytest.raises(EnvelopeError, match="dekId is not text"):
        Envelope.parse(text)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ({b"__encrypted"}, True),
        ({b"ct", b"iv", b"tag", b"x"}, True),
        ({b"ct", b"iv"}, False),
        (set(), False),
    ],
)
def test_the_mark_or_what_only_ciphertext_has_makes_it_look_like_an_envelope(names: set[bytes], expected: bool) -> None:  # noqa: FBT001
    assert looks_like(names) is expected


def test_profiles_go_by_their_names() -> None:
    assert [Profile.named(str(profile)) for profile in Profile] == list(Profile)
    with pytest.raises(EnvelopeError, match="no envelope profile 'x'"):
        Profile.named("x")

"""A kit whose manifest another producer signed with DSSE goes through every command, and keeps that form.

The envelope is spelled out here, from the pre-authentication encoding on, so that what reads it is tested.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from kit.signing import jws
from tests import kits
from tests.commands import kit
from tests.end_to_end.desk import Desk, key
from tests.kits import MANIFEST, SIGNATURE, Members

ENVELOPE = f"{MANIFEST}.dsse.json"
KEPT = "manifest/history/3/offline-manifest.json.dsse.json"
TYPE = "application/vnd.offline-kit.manifest+json"


def envelope(payload: bytes, *names: str, kind: str = TYPE) -> bytes:
    """Return a DSSE envelope by these people (DSSE 1.0.2)."""
    encoded = b"DSSEv1 %d %s %d %s" % (len(kind), kind.encode(), len(payload), payload)
    signatures = [
        {"keyid": key(name).public.key_id, "sig": base64.b64encode(key(name).sign_der(encoded)).decode()}
        for name in names
    ]
    text = {"payload": base64.b64encode(payload).decode(), "payloadType": kind, "signatures": signatures}
    return kits.to_json(text)


def signed(members: Members | None = None, *names: str, **more: Any) -> Members:
    """Return the members of a kit, by the vendor if nobody is named."""
    files = kits.content() if members is None else members
    manifest = kits.to_json(kits.manifest_of(files))
    return {MANIFEST: manifest, ENVELOPE: envelope(manifest, *(names or ("vendor",)), **more), **files}


@pytest.mark.parametrize("name", ["kit.tar.zst", "kit.tgz", "kit"], ids=["zst", "gzip", "folder"])
def test_a_patched_kit_keeps_the_form(name: str, desk: Desk) -> None:
    path = desk.write(signed(), name)
    assert desk.verify(path, "vendor", options=("--deep",)).code == 0
    shown = kit("inspect", path, "--workers", 1, "--json").json
    assert not shown["problems"]
    assert key("vendor").public.key_id in json.dumps(shown)
    old = kits.read(path)
    outcome = desk.patch(path, "--in-place")
    assert outcome.code == 0, outcome
    new = kits.read(path)
    assert new[KEPT] == old[ENVELOPE]
    assert SIGNATURE not in new
    assert base64.b64decode(json.loads(new[ENVELOPE])["payload"]) == new[MANIFEST]
    assert json.loads(new[MANIFEST])["lineage"][0]["signature"] == KEPT
    assert desk.verify(path, options=("--deep",)).code == 0
    desk.refused(path, 4, "manifest/history/3", trusting=("site",))
    assert desk.verify(path, "vendor").code == 4


def test_a_delta_carries_the_envelope(desk: Desk, tmp_path: Path) -> None:
    path = desk.write(signed(), "base.tar.zst")
    target, delta, made = desk.patched(path), tmp_path / "a.delta", desk.kits / "made.tar.zst"
    words = (*desk.trust("vendor", "site"), "--workers", 1)
    built = kit("delta", "build", path, target, "--output", delta, "--signing-key", desk.keys / "site", *words)
    assert built.code == 0, built
    applied = kit("delta", "apply", path, delta, "--output", made, *words)
    assert applied.code == 0, applied
    assert made.read_bytes() == target.read_bytes()


def test_a_second_publisher_signs_the_same_envelope(desk: Desk) -> None:
    path, output = desk.write(signed()), desk.kits / "both.tar.zst"
    signing = ("--signing-key", desk.keys / "stranger", "--output", output)
    assert kit("sign", path, *desk.trust("vendor"), *signing, "--workers", 1).code == 0
    assert {one["keyid"] for one in json.loads(kits.read(output)[ENVELOPE])["signatures"]} == {
        key(name).public.key_id for name in ("vendor", "stranger")
    }
    for name in ("vendor", "stranger"):
        assert desk.verify(output, name).code == 0


def _of_another(members: Members) -> Members:
    return members | {ENVELOPE: envelope(members[MANIFEST] + b"\n", "vendor")}


def _of_another_type(members: Members) -> Members:
    return members | {ENVELOPE: envelope(members[MANIFEST], "vendor", kind="application/vnd.in-toto+json")}


def _changed(members: Members) -> Members:
    return members | {ENVELOPE: members[ENVELOPE].replace(b'"sig": "', b'"sig": "MEUC')}


def _signed_twice(members: Members) -> Members:
    return members | {SIGNATURE: jws.sign(members[MANIFEST], [key("vendor")])}


def _a_jws_in_its_place(members: Members) -> Members:
    return members | {ENVELOPE: jws.sign(members[MANIFEST], [key("vendor")])}


def _in_the_place_of_a_jws(members: Members) -> Members:
    return {SIGNATURE if name == ENVELOPE else name: data for name, data in members.items()}


def _by_nobody(members: Members) -> Members:
    return members | {ENVELOPE: envelope(members[MANIFEST])}


@pytest.mark.parametrize(
    ("attack", "code", "words"),
    [
        pytest.param(_of_another, 5, "byte for byte", id="another manifest in it"),
        pytest.param(_of_another_type, 5, "payloadType", id="signed for another purpose"),
        pytest.param(_changed, 5, ENVELOPE, id="another signature"),
        pytest.param(_signed_twice, 11, "two signatures", id="a signature in either form"),
        pytest.param(_a_jws_in_its_place, 5, "not a DSSE envelope", id="a JWS under its name"),
        pytest.param(_in_the_place_of_a_jws, 5, "not a detached JWS", id="under the name of a JWS"),
        pytest.param(_by_nobody, 3, ENVELOPE, id="nobody's"),
    ],
)
def test_what_is_not_the_manifests_envelope_is_refused(attack: Any, code: int, words: str, desk: Desk) -> None:
    path = desk.write(attack(signed()))
    desk.refused(path, code, words)
    before = path.read_bytes()
    desk.patch(path, "--in-place").refused(code, words)
    assert path.read_bytes() == before


def test_no_manifest_lists_a_file_under_the_name(desk: Desk) -> None:
    desk.refused(desk.kit(kits.content() | {ENVELOPE: b"{}"}), 11)


def test_the_script_of_a_verdict_refuses_an_envelope(desk: Desk, tmp_path: Path) -> None:
    path, script = desk.write(signed()), tmp_path / "verify.sh"
    assert desk.verify(path, "vendor", options=("--write-script", script)).code == 0
    assert "is a DSSE envelope, which needs kit verify" in script.read_text()

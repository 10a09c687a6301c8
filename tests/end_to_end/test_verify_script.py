"""``verify.sh`` needs none of this program: run by ``sh`` over kits that are valid, and over each way to spoil them."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from kit.signing import Algorithm, dsse, jws
from kit.signing.check import url_encode
from tests import kits
from tests.commands import ROOT, kit
from tests.end_to_end.desk import Desk, key
from tests.kits import MANIFEST, OBSERVATIONS, SIGNATURE, Members

HISTORY = "manifest/history/3"


def script(desk: Desk, path: Path, *trusting: str) -> Path:
    place = desk.kits / "verify.sh"
    place.unlink(missing_ok=True)
    outcome = desk.verify(path, *trusting, options=("--write-script", place))
    assert outcome.code == 0, outcome
    return place


def run(place: Path, path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["sh", place, path], capture_output=True, text=True, check=False)


def refused(desk: Desk, place: Path, members: Members, code: int | None = None) -> None:
    path = desk.write(members, "spoiled.tar")
    done = run(place, path)
    assert done.returncode != 0, done
    assert code is None or done.returncode == code, done
    assert done.stderr.splitlines()[-1].startswith("verify.sh: refused: "), done
    assert done.stdout == "", done
    path.unlink()


@pytest.mark.parametrize("algorithm", list(Algorithm), ids=str)
@pytest.mark.parametrize("name", ["kit.tar", "kit.tar.gz", "kit.tar.zst", "folder"])
def test_a_valid_kit_of_every_container_and_algorithm(algorithm: Algorithm, name: str, desk: Desk) -> None:
    desk.add_key(str(algorithm), algorithm)
    members = kits.signed(kits.content(), key(str(algorithm), algorithm))
    path = desk.write(members, name)
    done = run(script(desk, path, str(algorithm)), path)
    assert (done.returncode, done.stderr) == (0, ""), done
    assert done.stdout.startswith(f"valid: {path}: 3 files, manifest {kits.sha256(members[MANIFEST])}")


@pytest.mark.slow
def test_many_signatures_with_every_length_of_integer(desk: Desk) -> None:
    vendor = key("vendor")
    place = script(desk, desk.kit())
    # ECDSA integers start with a zero byte once in 256, and need one more in every other: 24 kits see both signs.
    for number in range(24):
        members = {"a.txt": b"%d" % number}
        path = desk.write(kits.signed(members, vendor), "many.tar")
        assert run(place, path).returncode == 0


@pytest.mark.parametrize("fixture", ["harbor.tar.zst", "foreign.tar.gz", "parts.tar"])
def test_the_published_fixtures_patched_and_not(fixture: str, desk: Desk) -> None:
    base = Path(shutil.copy(ROOT / "fixtures/kits" / fixture, desk.kits))
    publisher = ROOT / "fixtures/keys/publisher-TEST-ONLY.pub.pem"
    output, place = desk.kits / f"patched-{fixture}", desk.kits / "verify.sh"
    signing = (
        "--signing-key",
        desk.keys / "site",
        *(f"--{what}=2099-04-02T03:04:05Z" for what in ("created-at", "at")),
    )
    assert kit("patch", base, "--output", output, "--trusted-key", publisher, *signing, "--workers", 1).code == 0
    both = ("--trusted-key", publisher, "--trusted-key", desk.public("site"))
    assert kit("verify", output, *both, "--write-script", place, "--workers", 1).code == 0
    for path in (base, output):
        done = run(place, path)
        assert (done.returncode, done.stderr) == (0, ""), done


@pytest.mark.slow
def test_names_that_json_spells_with_escapes(desk: Desk) -> None:
    members = {"a b/Grüße 𝄞.txt": b"1", 'quo"ted.txt': b"2", "tail\u20ac.bin": b""}
    plain = kits.manifest_of(members)
    for manifest in (json.dumps(plain), json.dumps(plain, ensure_ascii=False), json.dumps(plain, indent=7)):
        signed = kits.signed(members, key("vendor"), manifest.encode())
        for path in (desk.write(signed, "names"), desk.write(signed, "names.tar")):
            assert run(script(desk, path), path).returncode == 0, path
        shutil.rmtree(desk.kits / "names")


@pytest.fixture
def patched(desk: Desk) -> Members:
    return kits.read(desk.patched())


@pytest.mark.slow
def test_each_member_removed_emptied_flipped_and_one_added(patched: Members, desk: Desk) -> None:
    place = script(desk, desk.write(patched, "whole.tar"))
    for name, data in patched.items():
        refused(desk, place, {other: body for other, body in patched.items() if other != name})
        refused(desk, place, patched | {name: b""})
        few = random.Random(name).sample(range(len(data)), 2)  # noqa: S311  places, not secrets
        for at in {0, len(data) - 1, *few}:
            refused(desk, place, patched | {name: bytes([*data[:at], data[at] ^ 1, *data[at + 1 :]])})
    for name in ("more.txt", "manifest/more.txt", f"{HISTORY}/more.txt", "manifest/history/9/offline-manifest.json"):
        refused(desk, place, patched | {name: b"more"}, 2)


def header(**changes: object) -> Callable[[Members], Members]:
    def change(members: Members) -> Members:
        vendor = key("vendor")
        whole = {"alg": "ES256", "b64": False, "crit": ["b64"], "kid": vendor.public.key_id, "typ": jws.MANIFEST_TYPE}
        text = json.dumps({name: value for name, value in (whole | changes).items() if value is not ...})
        protected = url_encode(text.encode())
        signature = vendor.sign(protected.encode() + b"." + members[MANIFEST])
        return members | {SIGNATURE: f"{protected}..{url_encode(signature)}".encode()}

    return change


def test_a_header_in_another_order_is_the_same_header(desk: Desk) -> None:
    members = kits.signed(kits.content(), key("vendor"))
    place = script(desk, desk.write(members))
    assert run(place, desk.write(header()(members), "again.tar")).returncode == 0


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        pytest.param(header(alg="none"), 5, id="alg none"),
        pytest.param(header(alg="HS256"), 5, id="HMAC with the public key"),
        pytest.param(header(alg="EdDSA"), 5, id="ES256 for EdDSA"),
        pytest.param(header(crit=["b64", "exp"]), 5, id="unknown crit"),
        pytest.param(header(b64=True), 5, id="b64 true"),
        pytest.param(header(b64=...), 5, id="no b64"),
        pytest.param(header(jwk={"kty": "EC"}), 5, id="a key of its own"),
        pytest.param(header(typ="JWT"), 5, id="signed for another purpose"),
        pytest.param(header(kid="stranger"), 4, id="an unknown key"),
        pytest.param(lambda m: m | {SIGNATURE: m[SIGNATURE].replace(b"..", b".e30.")}, 5, id="a payload of its own"),
        pytest.param(lambda m: m | {SIGNATURE: m[SIGNATURE] + b"\n\n"}, 5, id="two line feeds after it"),
        pytest.param(lambda m: m | {SIGNATURE: m[SIGNATURE] + b"="}, 5, id="padding"),
        pytest.param(lambda m: {n: b for n, b in m.items() if n != SIGNATURE}, 3, id="unsigned"),
        pytest.param(lambda m: m | {"offline-manifest.json": m[MANIFEST]}, 11, id="two manifests"),
        pytest.param(lambda m: {n: b for n, b in m.items() if n != MANIFEST}, 11, id="no manifest"),
        pytest.param(lambda _: kits.signed({}, key("vendor"), b'{"files": []}\n'), 11, id="an empty manifest"),
        pytest.param(lambda _: kits.signed(kits.content(), key("stranger")), 4, id="signed by a stranger"),
    ],
)
def test_attacks_on_the_signature(spoil: Callable[[Members], Members], code: int, desk: Desk) -> None:
    members = kits.signed(kits.content(), key("vendor"))
    refused(desk, script(desk, desk.write(members)), spoil(members), code)


def test_a_statement_of_a_stranger_or_of_another_step(patched: Members, desk: Desk) -> None:
    place = script(desk, desk.write(patched, "whole.tar"))
    statement = f"{HISTORY}/patch.intoto.json"
    payload = dsse.verify(patched[statement], {key("site").public.key_id: key("site").public}).payload
    refused(desk, place, patched | {statement: dsse.sign(payload, [key("stranger")])}, 4)
    other = payload.replace(kits.sha256(patched[MANIFEST]).encode(), b"0" * 64)
    refused(desk, place, patched | {statement: dsse.sign(other, [key("site")])}, 2)


def test_a_patcher_may_not_publish(desk: Desk) -> None:
    policy = desk.keys / "policy.json"
    roles = ("--key", desk.public("vendor"), "publisher", "--key", desk.public("site"), "patcher")
    assert kit("trust", "init", policy, *roles).code == 0
    path, place = desk.kit(), desk.kits / "verify.sh"
    assert kit("verify", path, "--trust", policy, "--write-script", place, "--workers", 1).code == 0
    assert run(place, path).returncode == 0
    refused(desk, place, kits.signed(kits.content(), key("site")), 4)


def test_archives_that_are_no_kits(desk: Desk) -> None:
    path = desk.kit()
    place = script(desk, path)
    spoiled = desk.kits / "spoiled"
    for data in (b"", b"no archive", path.read_bytes()[:-40]):
        spoiled.write_bytes(data)
        assert run(place, spoiled).returncode in {9, 11}
    assert run(place, desk.kits / "absent").returncode == 1


def test_it_is_not_written_into_the_kit_nor_for_a_refused_one_nor_weaker_than_the_policy(desk: Desk) -> None:
    folder = desk.kit(name="folder")
    desk.verify(folder, options=("--write-script", folder / "verify.sh")).refused(64, "would be inside the kit")
    place = desk.kits / "verify.sh"
    assert desk.verify(desk.kit(), "stranger", options=("--write-script", place)).code == 4
    assert not place.exists()
    policy = desk.keys / "policy.json"
    limited = ("--key", desk.public("vendor"), "publisher", "--key", desk.public("site"), "publisher")
    assert kit("trust", "init", policy, *limited, "--threshold", "publisher", 2).code == 0
    both = kits.content()
    manifest = kits.to_json(kits.manifest_of(both))
    signature = jws.sign(manifest, [key("vendor"), key("site")])
    path = desk.write(both | {MANIFEST: manifest, SIGNATURE: signature}, "two.tar")
    assert kit("verify", path, "--trust", policy, "--workers", 1).code == 0
    outcome = kit("verify", path, "--trust", policy, "--write-script", place, "--workers", 1)
    assert outcome.code == 64, outcome
    assert OBSERVATIONS in both

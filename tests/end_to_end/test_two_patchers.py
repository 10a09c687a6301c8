"""A policy that asks for two patchers: both keys sign everything of the step, and one alone gets nowhere."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from kit.signing import Algorithm
from tests import kits
from tests.commands import Outcome, kit
from tests.end_to_end.desk import Desk, key
from tests.end_to_end.test_trust import LATER, Office
from tests.kits import AT, MANIFEST, OBSERVATIONS, SIGNATURE, observation

STATEMENT = "manifest/history/3/patch.intoto.json"


@pytest.fixture
def office(desk: Desk) -> Office:
    desk.add_key("edwards", Algorithm.ED25519)
    found = Office(desk)
    found.init("--threshold", "patcher", 2, vendor="publisher", site="patcher", edwards="patcher", stranger="auditor")
    return found


def patch(office: Office, *names: str, options: tuple[object, ...] = (), verb: str = "patch") -> Outcome:
    signing = [word for name in names for word in ("--signing-key", office.desk.keys / name)]
    at = ("--trust", office.policy, "--at", LATER, "--created-at", AT, "--workers", 1)
    return kit(verb, office.desk.kits / "kit.tar.zst", *at, *signing, *options)


def out(office: Office, name: str = "out.tar.zst") -> Path:
    return office.desk.kits / name


def signed_by(document: bytes) -> list[str]:
    return [json.loads(base64.urlsafe_b64decode(one["protected"] + "=="))["kid"] for one in parsed(document)]


def parsed(document: bytes) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(document)["signatures"]
    return found


def test_both_sign_the_manifest_and_the_statement_and_the_kit_is_valid(office: Office) -> None:
    office.desk.kit()
    outcome = patch(office, "site", "edwards", options=("--output", out(office), "--json"))
    assert outcome.code == 0, outcome
    both = sorted(key(name).public.key_id for name in ("site", "edwards"))
    members = kits.read(out(office))
    assert outcome.json["signedBy"] == signed_by(members[SIGNATURE]) == both
    assert [one["keyid"] for one in parsed(members[STATEMENT])] == both
    statement = json.loads(base64.b64decode(json.loads(members[STATEMENT])["payload"]))
    assert statement["predicate"]["keyIds"] == both
    told = office.valid(out(office), "--deep").out
    assert "as patcher (2 needed)" in told


def test_one_key_is_refused_before_anything_is_written(office: Office) -> None:
    office.desk.kit()
    before = kits.folder_state(office.desk.kits)
    outcome = patch(office, "site", options=("--output", out(office)))
    assert outcome.code == 4
    assert "the signing key: signed by 1 of the 2 patcher keys needed" in outcome.err
    wrong = patch(office, "site", "stranger", options=("--output", out(office)))
    assert (wrong.code, "it has the role auditor" in wrong.err) == (4, True)
    assert kits.folder_state(office.desk.kits) == before


def test_a_plan_tells_whether_the_keys_will_do(office: Office) -> None:
    office.desk.kit()
    assert patch(office, verb="plan").code == patch(office, "edwards", "site", verb="plan").code == 0
    assert patch(office, "site", verb="plan").code == 4


@pytest.mark.parametrize("verb", ["plan", "patch"])
def test_a_key_does_not_count_for_two(office: Office, verb: str) -> None:
    office.desk.kit()
    options = ("--output", out(office)) if verb == "patch" else ()
    outcome = patch(office, "site", "site", options=options, verb=verb)
    assert (outcome.code, "same signing key is given twice" in outcome.err) == (64, True)
    assert not out(office).exists()


def without(document: bytes, number: int) -> bytes:
    whole = json.loads(document)
    del whole["signatures"][number]
    return kits.to_json(whole)


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("member", [SIGNATURE, STATEMENT])
def test_a_signature_taken_away_is_missed(office: Office, member: str, number: int) -> None:
    office.desk.kit()
    assert patch(office, "site", "edwards", options=("--output", out(office))).code == 0
    members = kits.read(out(office))
    members[member] = without(members[member], number)
    office.refused(kits.write_kit(out(office, "cut.tar"), members), 4, "signed by 1 of the 2 patcher keys needed")


def test_the_order_of_the_keys_decides_the_archive_signature_and_nothing_else(office: Office) -> None:
    office.desk.kit()
    one, other = out(office, "one.tar.zst"), out(office, "other.tar.zst")
    office.desk.add_key("third")
    office.add("third", "--role", "patcher")
    assert patch(office, "site", "third", options=("--output", one)).code == 0
    assert patch(office, "third", "site", options=("--output", other)).code == 0
    assert one.read_bytes() == other.read_bytes()
    for path, first in ((one, "site"), (other, "third")):
        if shutil.which("openssl"):
            raw = path.with_suffix(".raw")
            raw.write_bytes(base64.b64decode(Path(f"{path}.sig").read_bytes()))
            public = office.desk.public(first)
            command = ["openssl", "dgst", "-sha256", "-verify", str(public), "-signature", str(raw), str(path)]
            subprocess.run(command, check=True, capture_output=True)
        office.valid(path)


def test_each_sealed_key_has_its_passphrase_on_a_line_of_its_own(office: Office) -> None:
    office.desk.kit()
    for name, passphrase in (("sealed", b"one"), ("closed", b"two")):
        office.desk.add_key(name, passphrase=passphrase)
        office.add(name, "--role", "patcher")
    reading, writing = os.pipe()
    os.write(writing, b"two\none\n")
    os.close(writing)
    options = ("--output", out(office), "--passphrase-fd", reading)
    outcome = patch(office, "closed", "site", "sealed", options=options)
    os.close(reading)
    assert outcome.code == 0, outcome
    assert len(parsed(kits.read(out(office))[SIGNATURE])) == 3


def test_a_passphrase_may_be_in_a_variable(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    office.desk.kit()
    office.desk.add_key("sealed", passphrase=b"one two")
    office.add("sealed", "--role", "patcher")
    for text, code in (("one two", 0), ("another", 13), ("", 13)):
        monkeypatch.setenv("SECRET", text)
        options = ("--output", out(office, f"{code}{len(text)}.tar"), "--passphrase-fd", "env:SECRET")
        assert patch(office, "site", "sealed", options=options).code == code, text


@pytest.mark.parametrize("wrong", ["secret", "env:", "fd:x", "-1", "file:x"])
def test_a_passphrase_itself_is_refused_and_not_shown(wrong: str, office: Office) -> None:
    office.desk.kit()
    done = patch(office, "site", "edwards", options=("--output", out(office), "--passphrase-fd", wrong))
    done.refused(64, "--passphrase-fd: the number of a file descriptor or env:NAME is expected")
    assert f"{wrong!r}" not in done.err


def test_a_chain_of_two_steps_each_by_two(office: Office) -> None:
    members = kits.content() | {OBSERVATIONS: kits.collection([observation(1), observation(2, "globex")])}
    office.desk.kit(members)
    first = out(office, "first.tar.zst")
    assert patch(office, "site", "edwards", options=("--output", first, "--tenant", "acme")).code == 0
    first.rename(office.desk.kits / "kit.tar.zst")
    for side in (".sha256", ".sig"):
        Path(f"{first}{side}").unlink()
    assert patch(office, "edwards", "site", options=("--output", out(office))).code == 0
    assert "2 earlier generations" in office.valid(out(office), "--deep").out
    manifest = json.loads(kits.read(out(office))[MANIFEST])
    assert manifest["generation"] == 5

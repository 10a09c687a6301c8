"""The name that a policy gives a key is behind its id wherever a command under that policy prints it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from tests.commands import ROOT, kit
from tests.end_to_end.desk import Desk, key

VENDOR, SITE = "Harbour Ltd", "Site 4"


@pytest.fixture
def policy(desk: Desk) -> Path:
    path = desk.kits.parent / "policy.json"
    vendor, site = desk.public("vendor"), desk.public("site")
    keys = ("--key", vendor, "publisher", "--key", site, "patcher,auditor")
    made = kit("trust", "init", path, *keys, "--name", vendor, VENDOR, "--name", site, SITE)
    assert made.code == 0, made
    assert f"{key('vendor').public.key_id} ({VENDOR}): ES256; publisher" in made.out
    return path


def require_named(text: str, *people: str) -> None:
    """Check that every id of a key has its name behind it, once, and that each person is there."""
    for person, name in (("vendor", VENDOR), ("site", SITE)):
        key_id = key(person).public.key_id
        assert text.count(key_id) == text.count(f"{key_id} ({name})"), text
        assert f"({name}) ({name})" not in text
        assert (key_id in text) == (person in people), text


def test_reports_of_verify_patch_delta_and_receipt_name_keys(desk: Desk, policy: Path) -> None:
    path, new, delta = desk.kit(), desk.kits / "new.tar.zst", desk.kits / "delta"
    receipt = desk.kits / "receipt"
    trusting = ("--trust", policy, "--workers", 1)
    signing = ("--signing-key", desk.keys / "site")
    require_named(kit("patch", path, "-o", new, *trusting, *signing).out, "site")
    require_named(kit("verify", new, *trusting, "--receipt", receipt, *signing).out, "vendor", "site")
    require_named(kit("receipt", "verify", receipt, "--trust", policy).out, "site")
    # The policy remembers the patched kit by now, so its base is judged by keys.
    words = (*desk.trust("vendor", "site"), *signing, "--workers", 1)
    built = kit("delta", "build", path, new, "-o", delta, *words)
    assert built.code == 0, built
    require_named(kit("delta", "verify", delta, "--trust", policy).out, "site")


def test_errors_name_keys(desk: Desk, policy: Path) -> None:
    path = desk.kit(signer="site")
    for command in ("verify", "plan"):
        done = kit(command, path, "--trust", policy, "--workers", 1)
        assert done.code == 4, done
        require_named(done.err, "site")


def test_json_has_the_names_of_the_keys_in_it(desk: Desk, policy: Path) -> None:
    done = kit("verify", desk.kit(), "--trust", policy, "--workers", 1, "--json")
    assert done.json["keyNames"] == {key("vendor").public.key_id: VENDOR}
    schema = json.loads((ROOT / "schemas" / "verify-report.schema.json").read_text())
    Draft202012Validator(schema).validate(done.json)
    assert "keyNames" not in desk.verify(desk.kit(), options=("--json",)).json


def test_a_name_that_moves_the_cursor_is_spelled_out(desk: Desk) -> None:
    path = desk.kits.parent / "policy.json"
    words = ("--key", desk.public("vendor"), "publisher", "--name", desk.public("vendor"), "\x1b[2Jvalid")
    assert kit("trust", "init", path, *words).code == 0
    done = kit("verify", desk.kit(), "--trust", path, "--workers", 1)
    assert "\x1b" not in done.out
    assert "(\\x1b[2Jvalid)" in done.out


def test_a_name_for_a_key_that_is_not_given_is_refused(desk: Desk) -> None:
    path = desk.kits.parent / "policy.json"
    words = ("trust", "init", path, "--key", desk.public("vendor"), "publisher", "--name")
    kit(*words, desk.public("site"), SITE).refused(64, "is not given with --key")
    kit(*words, desk.public("vendor"), "").refused(64, "the name is empty")
    assert not path.exists()

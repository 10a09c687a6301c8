"""``check_proof.py`` against an adversary: it accepts nothing that ``kit prove --check`` refuses, and no lie."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conformance import check_proof
from conformance.build.signing import key, signature_part
from hardening import fuzz_proofs
from kit.errors import KitError
from kit.verbs.prove.proof import Proof
from kit.verbs.prove.prove import check
from tests.attacks import mutants
from tests.commands import ROOT

needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
SEEDS = fuzz_proofs.seeds()
NUMBERED = b"$numberInt"


def outcomes(data: bytes) -> tuple[bool, bool]:
    """Return whether ``kit prove --check`` accepts a proof, and whether the script does, asked either way.

    Only refusals are caught. Neither accepts a proof both as one of presence and as one of absence.
    """
    by_kit = [_by_kit(data, absent=absent) for absent in (False, True)]
    by_script = [_by_script(data, absent=absent) for absent in (False, True)]
    assert not all(by_kit)
    assert not all(by_script)
    return any(by_kit), any(by_script)


def _by_kit(data: bytes, *, absent: bool) -> bool:
    try:
        check(Proof.parse(data, where="k"), fuzz_proofs.EXPECTATION, absent=absent)
    except KitError:
        return False
    return True


def _by_script(data: bytes, *, absent: bool) -> bool:
    try:
        check_proof.check(data, fuzz_proofs.PUBLIC.pem, verify=fuzz_proofs.verify, absent=absent)
    except (ValueError, RecursionError):
        return False
    return True


def refused_mutants(seed: bytes) -> Iterator[tuple[str, bytes]]:
    """Return the mutants of a proof that no checker may accept."""
    whole = json.loads(seed)
    for name, made in (*mutants.retyped(whole), *mutants.rearranged(whole)):
        if not re.search(r" is \d+\.0$", name):  # the same integer, spelled as a fraction
            yield name, json.dumps(made).encode()
    yield from mutants.respelled(seed)


@needs_openssl
@pytest.mark.parametrize("number", [pytest.param(n, marks=pytest.mark.slow) if n else n for n in range(len(SEEDS))])
def test_every_mutant_of_a_proof_is_refused_by_both_checkers_or_true(number: int) -> None:
    assert outcomes(fuzz_proofs.whole_proof(SEEDS[number])) == (True, NUMBERED not in SEEDS[number])
    for name, mutant in refused_mutants(SEEDS[number]):
        data = fuzz_proofs.whole_proof(mutant)
        by_kit, by_script = outcomes(data)
        assert by_kit == by_script or (NUMBERED in mutant and not by_script), name
        if by_kit:
            # Another _id between the same neighbours is as absent; one of two leaves, or of two members, shows as much.
            claim, before = json.loads(data)["claim"], json.loads(SEEDS[number])["claim"]
            assert fuzz_proofs.is_true(claim), name
            assert claim != before or " lacks " in name, name


@needs_openssl
def test_an_index_between_two_leaves_proves_no_absence() -> None:
    """The attack: leaf 1 as 1.5 and leaf 3 as 2.5 are neighbours, and lead to the root; 2 would be absent."""
    leaves = fuzz_proofs.leaves_of("dump/a.bson")
    shown = [leaves[0] | {"index": 0.5}, leaves[3] | {"index": 1.5}]
    for indices in ((0.5, 1.5), (1.0, 2.0), (True, 2), ("1", "2"), (-1, 0), (2**64, 2**64 + 1)):
        shown = [leaf | {"index": index} for leaf, index in zip((leaves[1], leaves[3]), indices, strict=True)]
        data = fuzz_proofs.shown("d", {"dump/a.bson": shown}, present=False, tenant="acme")
        assert outcomes(fuzz_proofs.whole_proof(data)) == (False, False)


def signature_mutants() -> Iterator[tuple[str, bytes]]:
    """Return signature documents that must be refused."""
    manifest = fuzz_proofs.MANIFEST
    part = signature_part(manifest, "site")
    compact = f"{part['protected']}..{part['signature']}".encode()
    other = signature_part(manifest, "publisher")
    yield "two line feeds at the end", compact + b"\n\n"
    yield "a carriage return at the end", compact + b"\r"
    yield "a line feed before", b"\n" + compact
    yield "a payload", compact.replace(b"..", b".e30.")
    yield "three dots", compact.replace(b"..", b"...")
    yield "padding", compact + b"="
    yield "another character", compact[:-1] + b"+"
    yield "another spelling of the last character", _respelled_end(compact)
    yield "cut", compact[:-2]
    yield "twice", compact + b"." + compact
    yield "no signature", b""
    for name, entries in (
        ("the same twice", [part, part]),
        ("a member more", [part | {"header": {}}]),
        ("none", []),
        ("no list", {}),
        ("another's only", [other]),
        ("a header of another", [part | {"protected": other["protected"]}]),
    ):
        yield name, json.dumps({"signatures": entries}, separators=(",", ":")).encode()
    spelled = json.dumps({"signatures": [part]}, separators=(",", ":")).encode()
    yield "a blank more", spelled.replace(b"[", b"[ ", 1)
    yield "a payload in JSON", json.dumps({"payload": "", "signatures": [part]}).encode()
    yield "a key twice", spelled.replace(b'{"signatures"', b'{"signatures":[],"signatures"', 1)
    strange: list[dict[str, Any]] = [
        {"alg": "none"},
        {"alg": "HS256"},
        {"b64": True},
        {"crit": []},
        {"typ": "JWT"},
        {"more": 1},
        {"kid": 1},
    ]
    for changes in strange:
        header = json.loads(check_proof.unbase(part["protected"], url=True)) | changes
        text = base64.urlsafe_b64encode(json.dumps(header).encode()).rstrip(b"=")
        yield f"a header with {changes}", text + b".." + part["signature"].encode()


def _respelled_end(compact: bytes) -> bytes:
    """Return the text with unused bits set in its last character: 64 bytes leave four of them."""
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return compact[:-1] + bytes([alphabet[alphabet.index(compact[-1]) | 1]])


@needs_openssl
def test_every_mutant_of_the_signature_in_a_proof_is_refused_by_both_checkers() -> None:
    for name, document in signature_mutants():
        data = SEEDS[0].replace(b"@SIGNATURE", base64.b64encode(document))
        assert outcomes(fuzz_proofs.whole_proof(data)) == (False, False), name


@needs_openssl
def test_a_whole_number_is_an_integer_to_both_checkers_however_it_is_spelled() -> None:
    data = fuzz_proofs.whole_proof(SEEDS[0])
    spelled = re.sub(rb'"index": ?(\d+)', rb'"index": \1.0', data)
    assert spelled != data
    assert outcomes(spelled) == outcomes(data) == (True, True)


@needs_openssl
@pytest.mark.parametrize("end", [b"\n", b"\r\n"], ids=["LF", "CRLF"])
def test_the_end_of_the_last_line_says_nothing_to_both_checkers(end: bytes) -> None:
    part = signature_part(fuzz_proofs.MANIFEST, "site")
    for document in (
        f"{part['protected']}..{part['signature']}".encode(),
        json.dumps({"signatures": [part]}).encode(),
        json.dumps({"signatures": [part]}, indent=2, sort_keys=True).encode(),
    ):
        data = SEEDS[0].replace(b"@SIGNATURE", base64.b64encode(document + end))
        assert outcomes(fuzz_proofs.whole_proof(data)) == (True, True)


@needs_openssl
def test_what_is_printed_reaches_the_terminal_as_ascii(tmp_path: Path) -> None:
    """The attack: an _id, a tenant or a member name with escape sequences, in what is proven and in what is refused."""
    public = tmp_path / "\x1b[2J.pem"
    public.write_bytes(fuzz_proofs.PUBLIC.pem)
    evil = "g\x1b[1A\x1b[2K\u202eproven\r\n\u0000"
    leaves = fuzz_proofs.leaves_of("dump/a.bson")
    absent = fuzz_proofs.shown(evil, {"dump/a.bson": leaves[3:5]}, present=False, tenant="acme")
    strange = absent.replace(b"dump/a.bson", json.dumps(evil).encode()[1:-1])
    for data, code in ((absent, 0), (strange, 1), (absent.replace(b'"1"', b'"\\ud800\\u001b"'), 1), (b"\x1b[2J", 1)):
        place = tmp_path / "a.proof"
        place.write_bytes(fuzz_proofs.whole_proof(data))
        run = subprocess.run(
            [sys.executable, str(ROOT / "conformance/check_proof.py"), "--absent", str(place), str(public)],
            capture_output=True,
            check=False,
        )
        assert run.returncode == code, run
        assert all(0x20 <= byte < 0x7F or byte == 0x0A for byte in run.stdout + run.stderr), run
        assert b"Traceback" not in run.stderr


def test_what_cannot_be_read_is_said_and_no_verdict(tmp_path: Path) -> None:
    public = tmp_path / "k.pem"
    public.write_bytes(fuzz_proofs.PUBLIC.pem)
    proof = tmp_path / "a.proof"
    proof.write_bytes(fuzz_proofs.whole_proof(SEEDS[0]))
    for words, environment in (
        ([], None),
        ([proof], None),
        ([proof, public, proof, proof], None),
        ([tmp_path / "none", public], None),
        ([tmp_path, public], None),
        ([proof, public], {"PATH": str(tmp_path)}),
    ):
        run = subprocess.run(
            [sys.executable, str(ROOT / "conformance/check_proof.py"), *map(str, words)],
            capture_output=True,
            text=True,
            check=False,
            env=environment,
        )
        assert (run.returncode, run.stdout) == (2, ""), run
        assert "Traceback" not in run.stderr


def test_a_key_of_another_kind_proves_nothing() -> None:
    data = fuzz_proofs.whole_proof(SEEDS[0])
    pem = fuzz_proofs.PUBLIC.pem
    for name, public in {
        "another key": key("vendor").public.pem,
        "Ed25519": key("publisher").public.pem,
        "RSA": key("rsa").public.pem,
        "two keys": pem + pem,
        "a private key": pem.replace(b"PUBLIC", b"PRIVATE"),
        "nothing": b"",
        "no base64": pem[:40] + b"!!!" + pem[43:],
    }.items():
        with pytest.raises(ValueError, match=r".") as caught:
            check_proof.check(data, public)
        assert str(caught.value), name


def test_a_document_that_is_not_the_one_of_the_claim() -> None:
    data, document = fuzz_proofs.whole_proof(SEEDS[0]), fuzz_proofs.document("dump/a.bson", 0)
    assert "checked: the document given is one of those leaves" in check_proof.check(
        data, fuzz_proofs.PUBLIC.pem, document
    )
    for other in (fuzz_proofs.document("dump/a.bson", 1), document + b"\0", document[:-1], b""):
        with pytest.raises(ValueError, match="the document"):
            check_proof.check(data, fuzz_proofs.PUBLIC.pem, other)
    absent: Any = fuzz_proofs.whole_proof(SEEDS[6])
    with pytest.raises(ValueError, match="the document"):
        check_proof.check(absent, fuzz_proofs.PUBLIC.pem, document, absent=True)

"""The targets of hardening/fuzz: their seeds reach what they should, and a share of what a fuzzer would try."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

from hardening.fuzz_targets import NAMES, target_of
from kit.errors import KitError
from kit.output.journal import BEGIN, Position, checksum, encode_record, scan
from tests.commands import ROOT
from tests.tiers import examples

_RUNS = {"whole-delta": 40, "resume": 25, "verify-sh": 25}  # each is a command as a whole


def mutated(seed: bytes, chance: random.Random) -> bytes:
    """Change, cut, double or fill a place or two."""
    data = bytearray(seed)
    for _ in range(chance.choice((1, 1, 2, 4))):
        at = chance.randrange(len(data) + 1)
        match chance.randrange(5):
            case 0:
                data[at : at + 1] = bytes([chance.choice((0, 1, 0x20, 0x2F, 0x7F, 0x80, 0xFF))])
            case 1:
                del data[at : at + chance.choice((1, 4, 512))]
            case 2:
                data[at:at] = data[at : at + chance.choice((1, 8, 512))]
            case 3:
                data[at : at + 4] = chance.choice((0, 5, 2**31 - 1, 2**32 - 1)).to_bytes(4, "little")
            case _ if at < len(data):
                data[at] ^= 1 << chance.randrange(8)
    return bytes(data)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in _RUNS else name for name in NAMES]
)
def test_seeds_and_what_is_near_them_end_in_a_result_or_an_error_of_ours(name: str) -> None:
    target, seeds = target_of(name)
    chance = random.Random(1)  # noqa: S311
    accepted = 0
    for seed in seeds():
        try:
            target(seed)
            accepted += 1
        except KitError:
            pass
    assert accepted, "no seed is accepted, so nothing behind the first check is tried"
    found = seeds()
    for number in range(examples(_RUNS.get(name, 150))):
        data = mutated(found[number % len(found)], chance)
        try:
            target(data)
        except KitError:
            continue


@pytest.mark.slow
def test_the_fuzzer_runs(tmp_path: Path) -> None:
    pytest.importorskip("atheris")
    command = [sys.executable, str(ROOT / "hardening/fuzz.py"), "bson", "--runs", "200", "--seed", "1"]
    run = subprocess.run([*command, "--crashes", str(tmp_path)], capture_output=True, text=True, check=False, cwd=ROOT)
    assert run.returncode == 0, run.stderr
    assert "stat::number_of_executed_units: 200" in run.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", [b"\xef", b"{", b"[]", b"1", b'{"kind":1}'])
def test_a_line_of_a_journal_whose_checksum_fits_but_is_no_record_ends_it(text: bytes) -> None:
    first, after = encode_record(BEGIN, {}, Position())
    line = b"%08x %s\n" % (checksum(text, after.crc32), text)
    assert [record.kind for record in scan([first, line])] == [BEGIN]

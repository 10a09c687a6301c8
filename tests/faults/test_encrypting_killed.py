"""An encryption killed at its steps on the disk (kit.verbs.selftest.striker) and resumed: same bytes, no key is
lost."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyrage
import pytest

from kit.encryption import AgeRecord, Credentials, create, load, new_keyring, shipped, unlock
from kit.signing import PublicKey, load_public
from kit.values import Timestamp
from kit.verbs.selftest.bench import CLOCK
from kit.verbs.verify.field_proof import Comparison, FieldExpectation
from kit.verbs.verify.kits import Environment
from kit.verbs.verify.obligations import Expectation
from kit.verbs.verify.verify import verify
from tests.end_to_end.vault import members
from tests.kits import signed, write_keys, write_kit

ROOT = Path(__file__).parents[2]
KIT, KEYRING = "kit.tar.zst", "site.keyring"
IDENTITY = pyrage.x25519.Identity.generate()
ENVELOPES = 27
CREDENTIALS = Credentials(age_identities=(str(IDENTITY),))


class Site:
    """A folder with a kit and its keyring, in which the runner encrypts in place."""

    def __init__(self, folder: Path) -> None:
        self.start, self.place, keys = folder / "start", folder / "place", folder / "keys"
        for one in (self.start, keys):
            one.mkdir()
        key, private, public = write_keys(keys)
        write_kit(self.start / KIT, signed(members(), key, createdAt="2025-10-01T00:00:00Z"))
        create(self.start / KEYRING, new_keyring(AgeRecord.make((str(IDENTITY.to_public()),)), now=Timestamp(0)))
        self.public: PublicKey = load_public(public)
        self.request = {
            "kit": KIT,
            "output": None,
            "backup": True,
            "key": str(private),
            "trusted": [str(public)],
            "checkpoint": 1,
            "encrypt": {"keyring": KEYRING, "identity": str(IDENTITY)},
        }
        self.runner = subprocess.Popen(
            [sys.executable, "-m", "kit.verbs.selftest.striker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            text=True,
        )

    def fresh(self) -> None:
        shutil.rmtree(self.place, ignore_errors=True)
        shutil.copytree(self.start, self.place)

    def run(self, at: int = -1, *, do: str = "patch") -> dict[str, Any]:
        """Encrypt in the folder as it is, killed before its durable step ``at``."""
        strike = "kill" if at >= 0 else "none"
        order = {"place": str(self.place), "strike": strike, "at": at, "steps": "durable", "do": do, "clock": CLOCK}
        assert self.runner.stdin is not None
        assert self.runner.stdout is not None
        self.runner.stdin.write(json.dumps(order | {"request": self.request}) + "\n")
        self.runner.stdin.flush()
        answer: dict[str, Any] = json.loads(self.runner.stdout.readline())
        return answer

    def killed_and_resumed(self, at: int) -> bytes:
        """Kill a fresh run, do what its message would say, and give the kit; what is there in between is whole."""
        self.fresh()
        old = (self.place / KIT).read_bytes()
        assert self.run(at)["killed"]
        between = (self.place / KIT).read_bytes()
        job = (self.place / f"{KIT}.kit-job").exists()
        assert between == old or (self.place / f"{KIT}.bak.3").read_bytes() == old
        answer = self.run(do="resume" if job else "patch")
        assert answer["failure"] == "", (at, answer)
        assert not list(self.place.glob("*.kit-job"))
        return (self.place / KIT).read_bytes()

    def proven(self) -> None:
        """Open every envelope of the kit with the keyring that is beside it."""
        keys = unlock(load(self.place / KEYRING).keyring, CREDENTIALS).key_set()
        report = verify(
            self.place / KIT,
            Expectation(trusted={self.public.key_id: self.public}),
            Environment(workers=1),
            mapped=FieldExpectation(field_map=shipped("notelett"), keys=keys),
        )
        assert report.judgement.failure is None, report.judgement.failure
        fields = [(member, *field) for member in report.fields for field in member.proof.fields.items()]
        assert sum(counts.opened for _, _, counts in fields) == ENVELOPES
        for member, name, counts in fields:
            assert member.comparison(name) is (Comparison.MATCHES if counts.envelopes else Comparison.NONE)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    yield site
    site.runner.communicate()


@pytest.mark.slow
def test_killed_and_resumed_the_same_envelopes_come_out(site: Site) -> None:
    site.fresh()
    steps = site.run()["met"]
    # Keys are drawn once, so the keyring is the one that this run made; from now on it only counts uses.
    shutil.copy(site.place / KEYRING, site.start / KEYRING)
    undisturbed = (site.place / KIT).read_bytes()
    site.fresh()
    steps = site.run()["met"]
    assert (site.place / KIT).read_bytes() == undisturbed
    assert steps > 40
    for at in range(1, steps, 6):
        assert site.killed_and_resumed(at) == undisturbed, at
    site.proven()


@pytest.mark.slow
def test_killed_while_keys_are_made_no_envelope_is_without_its_key(site: Site) -> None:
    site.fresh()
    steps = site.run()["met"]
    for at in range(0, steps, 10):
        site.killed_and_resumed(at)
        site.proven()

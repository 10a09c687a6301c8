#!/usr/bin/env python3
"""Replaces a leaked data key and kills the run at random steps: the resumed run must give the bytes of a quiet one.

A kit of NoteLett's notes is sealed, and one of two owners' data key is replaced (``kit patch --rekey``).
The run is killed before a step on the disk, resumed, and compared; each time no plaintext may be in the job folder,
and the keyring must open all that the result holds. Steps and points follow from the seed that is printed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:  # run as a file: its folder is on the path, but not the one above
    sys.path.insert(0, str(ROOT))

import pyrage  # noqa: E402

from kit.encryption import AgeRecord, Credentials, create, load, new_keyring, shipped, unlock  # noqa: E402
from kit.signing import load_public  # noqa: E402
from kit.values import Timestamp  # noqa: E402
from kit.verbs.selftest.bench import CLOCK  # noqa: E402
from kit.verbs.verify.field_proof import Comparison, FieldExpectation  # noqa: E402
from kit.verbs.verify.kits import Environment  # noqa: E402
from kit.verbs.verify.obligations import Expectation  # noqa: E402
from kit.verbs.verify.verify import verify  # noqa: E402
from tests import kits  # noqa: E402

KIT, KEYRING, LEAKED = "kit.tar.zst", "site.keyring", "ada"
PLAINTEXT = "TEST-ONLY plaintext that no disk may hold"


@dataclass(frozen=True, slots=True, kw_only=True)
class Killed:
    """What came of the kills.

    Attributes:
        steps: The durable steps of a quiet run.
        points: The steps that the run was killed before.
        resumed: How many of these runs left a job that was resumed; the others began anew.
        faults: What was wrong; empty if nothing was.
    """

    steps: int
    points: tuple[int, ...]
    resumed: int
    faults: tuple[str, ...]


def _digest(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


class Site:
    """A folder with a sealed kit and its keyring, in which a key is replaced in place."""

    def __init__(self, folder: Path, values: int, *, checkpoint: int) -> None:
        """Make the kit, and seal it."""
        self._start, self._place, keys = folder / "start", folder / "place", folder / "keys"
        for one in (self._start, keys):
            one.mkdir(parents=True)
        self._identity = pyrage.x25519.Identity.generate()
        key, private, public = kits.write_keys(keys)
        # Digests do not compress: a small archive of so many documents would be refused as a bomb (work_bytes).
        notes = (
            {"_id": n, "workspaceId": "w", "userId": (LEAKED, "bob")[n % 2], "body": f"{PLAINTEXT} {_digest(n)}"}
            for n in range(2 * values)
        )
        bodies = {"dump/notelett/notes.bson": kits.collection(notes)}
        kits.write_kit(self._start / KIT, kits.signed(bodies, key, createdAt="2025-10-01T00:00:00Z"))
        record = AgeRecord.make((str(self._identity.to_public()),))
        create(self._start / KEYRING, new_keyring(record, now=Timestamp(0)))
        self._public, self._values = load_public(public), values
        self._encrypt: dict[str, Any] = {"keyring": KEYRING, "identity": str(self._identity)}
        self._request = {
            "kit": KIT,
            "output": None,
            "backup": True,
            "key": str(private),
            "trusted": [str(public)],
            "checkpoint": checkpoint,
        }
        self._runner = subprocess.Popen(
            [sys.executable, "-m", "kit.verbs.selftest.striker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            text=True,
        )
        if (made := self._run(folder=self._start))["failure"]:
            raise RuntimeError(made["told"])
        for left in self._start.glob(f"{KIT}.bak*"):
            left.unlink()
        (self.leaked,) = (dek.dek_id for dek in self._deks(self._start) if dek.scope.owner == LEAKED)
        self._encrypt["rekey"] = [self.leaked]

    def close(self) -> None:
        """End the process that carries out the runs."""
        self._runner.communicate()

    def kill(self, points: int, seed: int) -> Killed:
        """Replace the key in a quiet run, then in runs that are killed before ``points`` of its steps."""
        self._fresh()
        self._run()
        # New keys are drawn once: from now on a run only counts uses.
        shutil.copy(self._place / KEYRING, self._start / KEYRING)
        self._fresh()
        steps = self._run()["met"]
        quiet = (self._place / KIT).read_bytes()
        faults = [*self._judge("a quiet run")]
        chosen = sorted(random.Random(seed).sample(range(1, steps), min(points, steps - 1)))  # noqa: S311  no secret
        resumed = 0
        for at in chosen:
            self._fresh()
            self._run(at)
            if found := self._plaintext():
                faults.append(f"step {at}: plaintext in {', '.join(found)}")
            job = (self._place / f"{KIT}.kit-job").exists()
            resumed += job
            answer = self._run(do="resume" if job else "patch")
            if answer["failure"]:
                faults.append(f"step {at}: {answer['failure']}: {answer['told']}")
            elif (self._place / KIT).read_bytes() != quiet:
                faults.append(f"step {at}: other bytes than those of a quiet run")
            else:
                faults += self._judge(f"step {at}")
        return Killed(steps=steps, points=tuple(chosen), resumed=resumed, faults=tuple(faults))

    def _deks(self, folder: Path) -> list[Any]:
        return list(load(folder / KEYRING).keyring.deks.values())

    def _fresh(self) -> None:
        shutil.rmtree(self._place, ignore_errors=True)
        shutil.copytree(self._start, self._place)

    def _plaintext(self) -> list[str]:
        files = [path for path in self._place.rglob("*") if path.is_file()]
        return [path.name for path in files if PLAINTEXT.encode() in path.read_bytes()]

    def _run(self, at: int = -1, *, do: str = "patch", folder: Path | None = None) -> dict[str, Any]:
        order = {
            "place": str(folder or self._place),
            "strike": "kill" if at >= 0 else "none",
            "at": at,
            "steps": "durable",
            "do": do,
            "clock": CLOCK,
            "request": self._request | {"encrypt": self._encrypt},
        }
        if self._runner.stdin is None or self._runner.stdout is None:
            raise RuntimeError("the runner has no pipes")
        self._runner.stdin.write(json.dumps(order) + "\n")
        self._runner.stdin.flush()
        answer: dict[str, Any] = json.loads(self._runner.stdout.readline())
        return answer

    def _judge(self, what: str) -> list[str]:
        """Return what is wrong with the kit: all must open, hold what it held, and none be under the leaked key."""
        credentials = Credentials(age_identities=(str(self._identity),))
        keys = unlock(load(self._place / KEYRING).keyring, credentials).key_set()
        report = verify(
            self._place / KIT,
            Expectation(trusted={self._public.key_id: self._public}),
            Environment(workers=1),
            mapped=FieldExpectation(field_map=shipped("notelett"), keys=keys, replaced=frozenset({self.leaked})),
        )
        if report.judgement.failure is not None:
            return [f"{what}: {report.judgement.failure}"]
        (member,) = report.fields
        counts = member.proof.fields["body"]
        if (counts.opened, member.comparison("body")) != (2 * self._values, Comparison.MATCHES):
            return [f"{what}: {counts.opened:,} of {2 * self._values:,} values opened, {member.comparison('body')}"]
        return []


def main(arguments: list[str]) -> int:
    """Run, print what came of it, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--values", type=int, default=100_000, help="values under the leaked key (default 100,000)")
    parser.add_argument("--points", type=int, default=50, help="steps to kill at (default 50)")
    parser.add_argument("--seed", type=int, default=1, help="which steps (default 1)")
    parser.add_argument("--checkpoint", type=int, default=1 << 20, help="bytes between commits (default 1 MiB)")
    options = parser.parse_args(arguments)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        site = Site(Path(folder) / "site", options.values, checkpoint=options.checkpoint)
        try:
            found = site.kill(options.points, options.seed)
        finally:
            site.close()
    print(
        f"{options.values:,} values sealed again; {found.steps:,} durable steps; killed before {len(found.points)} of"
        f" them (seed {options.seed}), {found.resumed} resumed; {len(found.faults)} faults;"
        f" {time.monotonic() - began:.0f} s"
    )
    for fault in found.faults:
        print(f"  {fault}")
    return 1 if found.faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

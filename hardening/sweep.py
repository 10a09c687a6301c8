#!/usr/bin/env python3
"""Changes every byte of what is signed, and of signatures, in every way of a list, and counts verdicts: none is valid.

Kits are surveyed once, from real archives of the conformance table's makers; then each file that is held whole while a
kit is read (manifest, signature, history, statement) and each policy with its signature is put in its place changed at
one byte, and judged as ``kit verify`` judges. Every byte is taken, and of each all single-bit flips, some other values,
its removal and its doubling. Prints cases and exit codes by file; exits 1 if one of them is called valid.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:  # run as a file: its folder is on the path, but not the one above
    sys.path.insert(0, str(ROOT))

from conformance.build.kits import (  # noqa: E402
    AFTER,
    JUDGED_AT,
    OBSERVATIONS,
    Members,
    encoded,
    files,
    patched,
    published,
    sha256,
    step,
    tar,
)
from conformance.build.trust import POLICIES, SEALED  # noqa: E402
from kit.cli.commands import exit_code  # noqa: E402
from kit.engine.executors import InlineExecutor  # noqa: E402
from kit.engine.pipeline import Pipeline  # noqa: E402
from kit.engine.reading import Survey  # noqa: E402
from kit.engine.survey import survey  # noqa: E402
from kit.errors import KitError  # noqa: E402
from kit.trust import Anchor, Policy, State  # noqa: E402
from kit.values import Limits, MemberPath, Sha256, Timestamp  # noqa: E402
from kit.verbs.trust import PolicyFile  # noqa: E402
from kit.verbs.verify.judgement import Expectation, Sidecars  # noqa: E402
from kit.verbs.verify.kits import Environment, is_kept, open_with_workers  # noqa: E402
from kit.verbs.verify.obligations import judge  # noqa: E402

AT = Timestamp.parse(JUDGED_AT)
POLICY, SEAL = "policy.json", "policy.json.jws"
_ALONE = Sidecars(archive=None, checksum=None, signature=None)
_VALUES = (0x00, 0x09, 0x0A, 0x0D, 0x20, 0x30, 0x41, 0x7F, 0x80, 0xFF)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A valid kit and the policy under which it is."""

    name: str
    says: str
    members: Members
    policy: str

    @property
    def files(self) -> dict[str, bytes]:
        """Everything that is changed, by name; the policy and its signature among it."""
        kept = {name: data for name, data in self.members.items() if name.startswith("manifest/")}
        seal = {SEAL: SEALED[self.policy]} if self.policy in SEALED else {}
        return kept | {POLICY: POLICIES[self.policy].to_bytes()} | seal


@cache
def targets() -> Mapping[str, Target]:
    """Give the kits: each kind of signature, one signer and several, own and foreign manifest, both kinds of policy."""
    foreign = {"artifacts": [{"name": path, "digest": f"sha256:{sha256(data)}"} for path, data in files().items()]}
    foreign_patched = step(published(document=foreign), {OBSERVATIONS: encoded(AFTER)})
    every = (
        Target(name="patched", says="Ed25519, then ES256", members=patched(), policy="policy"),
        Target(name="sealed", says="a policy signed by its root", members=patched(), policy="rotated"),
        Target(
            name="two-signers",
            says="two signatures, both needed",
            members=published(by=["publisher", "site"]),
            policy="two-publishers",
        ),
        Target(name="rsa", says="PS256", members=published(by=["rsa"]), policy="rsa-publishes"),
        Target(name="foreign", says="somebody else's manifest", members=foreign_patched, policy="policy"),
    )
    return {target.name: target for target in every}


def mutations(data: bytes, at: int) -> Iterator[bytes]:
    """Give ``data`` changed at one byte: each bit flipped, other values, removed, doubled."""
    byte = data[at]
    for value in sorted({byte ^ 1 << bit for bit in range(8)} | set(_VALUES) - {byte}):
        yield data[:at] + bytes([value]) + data[at + 1 :]
    yield data[:at] + data[at + 1 :]
    yield data[: at + 1] + data[at:]


@cache
def surveyed(name: str) -> Survey:
    """Read a target's archive once."""
    with tempfile.TemporaryDirectory(prefix="kit-sweep-") as folder:
        path = Path(folder) / "kit.tar"
        path.write_bytes(tar(targets()[name].members))
        with open_with_workers(path, Environment(workers=1)) as kit:
            return survey(kit.reader, Pipeline(InlineExecutor(), budget=1 << 20), keep=is_kept, count=lambda _: False)


def verdict(target: Target, changed: Mapping[str, bytes]) -> int:
    """Judge a target with some of its files changed, as ``kit verify --trust`` does, and give the exit code."""
    found = surveyed(target.name)
    held = {MemberPath(name): data for name, data in changed.items() if name not in {POLICY, SEAL}}
    before = {path: (found.kept[path], found.members[path]) for path in held}
    try:
        for path, data in held.items():
            found.kept[path], found.members[path] = data, (Sha256.of(data), len(data))
        expectation = Expectation(trust=_anchor(target, changed))
        failure = judge(found, _ALONE, expectation, limits=Limits()).failure
    except KitError as error:  # of the policy, before any kit is looked at
        failure = error
    finally:
        for path, (data, met) in before.items():
            found.kept[path], found.members[path] = data, met
    return exit_code(failure) if failure is not None else 0


def _anchor(target: Target, changed: Mapping[str, bytes]) -> Anchor:
    genuine = POLICIES[target.policy].to_bytes()
    data = changed.get(POLICY, genuine)
    seal = changed.get(SEAL, SEALED.get(target.policy))
    # A policy with a root key is known by its signature, on first use too; another by what was pinned at its making.
    pinned = State(policy_version=POLICIES[target.policy].version, policy_sha256=Sha256.of(genuine))
    state = None if target.policy in SEALED else pinned
    policy = Policy.parse(data, where=POLICY)
    PolicyFile(path=Path(POLICY), data=data, policy=policy, signature=seal, state=state).check(AT)
    return Anchor(policy=policy, policy_sha256=Sha256.of(data), state=state, at=AT)


def sweep(task: tuple[str, str]) -> tuple[str, str, int, Counter[int], list[str]]:
    """Change every byte of one file of one target; give the exit codes, and the cases that were called valid."""
    name, file = task
    target = targets()[name]
    data = target.files[file]
    codes: Counter[int] = Counter()
    wrong: list[str] = []
    for at in range(len(data)):
        for number, changed in enumerate(mutations(data, at)):
            code = verdict(target, {file: changed})
            codes[code] += 1
            if code == 0:
                wrong.append(f"{name} {file}: byte {at}, change {number}")
    return name, file, len(data), codes, wrong


def main(arguments: list[str]) -> int:
    """Sweep, and print the counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=None, help="processes; one a core by default")
    parser.add_argument("--target", action="append", choices=sorted(targets()), help="only this kit; repeatable")
    options = parser.parse_args(arguments)
    chosen = options.target or list(targets())
    for name in chosen:
        code = verdict(targets()[name], {})
        if code != 0:
            print(f"{name}: not valid to begin with (exit code {code})", file=sys.stderr)
            return 1
    total: Counter[int] = Counter()
    wrong: list[str] = []
    tasks = [(name, file) for name in chosen for file in targets()[name].files]
    print(f"{'kit':<12} {'file':<44} {'bytes':>6} {'cases':>8} {'valid':>6}  exit codes")
    with ProcessPoolExecutor(options.workers) as pool:
        for name, file, size, codes, found in pool.map(sweep, tasks):
            told = ", ".join(f"{code}: {number:,}" for code, number in sorted(codes.items()))
            print(f"{name:<12} {file:<44} {size:>6,} {codes.total():>8,} {codes[0]:>6,}  {told}", flush=True)
            total += codes
            wrong += found
    print(f"{total.total():,} cases, {total[0]:,} called valid")
    for line in wrong[:20]:
        print(f"VALID: {line}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

#!/usr/bin/env python3
"""Builds ``conformance/``: kits, keys, policies, and what a verifier must say; ``--check`` compares.

What is built is a function of these programs alone, down to the byte.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:  # run as a file: its folder is on the path, but not the one above
    sys.path.insert(0, str(ROOT))

from conformance.build import authority, containers, content, history, signatures, valid  # noqa: E402
from conformance.build.case import Attack, Case  # noqa: E402
from conformance.build.kits import sha256  # noqa: E402
from conformance.build.signing import key  # noqa: E402
from conformance.build.trust import KEYS, POLICIES, SAMPLES, SEALED  # noqa: E402
from fixtures.build.make_fixtures import differences  # noqa: E402

FOLDER = ROOT / "conformance"
PARTS = (valid, signatures, authority, history, content, containers)
"""Who has the cases, in the order of the table."""
GENERATED = ("kits", "keys", "policies", "table.json", "TABLE.md")
"""What of the folder is built; people write the rest."""


def all_cases() -> list[Case]:
    """Give every case, in the order of the table.

    Raises:
        SystemExit: Two cases have one name.
    """
    found = [case for part in PARTS for case in part.cases()]
    twice = [name for name, number in Counter(case.name for case in found).items() if number > 1]
    if twice:
        raise SystemExit(f"two cases are called {twice[0]}")
    return found


def build(folder: Path) -> None:
    """Write everything that is not written by hand below ``folder``."""
    for name in ("kits", "keys", "policies"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    found = all_cases()
    for case in found:
        path = folder / "kits" / case.file
        path.write_bytes(case.data)
        for suffix, data in case.beside.items():
            path.with_name(path.name + suffix).write_bytes(data)
    for name in sorted({name for names in KEYS.values() for name in names}):
        (folder / "keys" / f"{name}-TEST-ONLY.pub.pem").write_bytes(key(name).public.pem)
    for name, policy in POLICIES.items():
        (folder / "policies" / f"{name}.json").write_bytes(policy.to_bytes())
    for name, data in SEALED.items():
        (folder / "policies" / f"{name}.json.jws").write_bytes(data)
    (folder / "table.json").write_bytes(_table(found))
    (folder / "TABLE.md").write_text(_page(found), encoding="utf-8")


def main(arguments: list[str]) -> int:
    """Build in place, or with ``--check`` aside and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="build aside and compare; exit 1 where something differs")
    if not parser.parse_args(arguments).check:
        for path in FOLDER.glob("kits/*"):
            path.unlink()  # of cases that are no more
        build(FOLDER)
        return 0
    with tempfile.TemporaryDirectory(prefix="kit-conformance-") as made:
        build(Path(made))
        names = differences(Path(made), FOLDER, GENERATED)
    for name in names:
        print(f"conformance/{name} is not what conformance/build/make_conformance.py makes", file=sys.stderr)
    return 1 if names else 0


def _table(found: list[Case]) -> bytes:
    trust: dict[str, Any] = {
        name: {
            "keys": [f"keys/{person}-TEST-ONLY.pub.pem" for person in names],
            "sample": _file(found, SAMPLES.get(name)),
        }
        for name, names in KEYS.items()
    }
    trust |= {name: {"policy": f"policies/{name}.json", "sample": None} for name in POLICIES}
    table = {
        "warning": "TEST-ONLY keys, known to everybody",
        "exitCodes": "schemas/verify-report.md",
        "trust": trust,
        "cases": [_row(found, case) for case in found],
    }
    return (json.dumps(table, ensure_ascii=False, indent=1) + "\n").encode()


def _page(found: list[Case]) -> str:
    """Give the table for people: what is in ``table.json``, counted and in words."""
    refused = [case for case in found if case.code]
    scripted = sum(case.script is not None for case in found)
    counts = Counter(str(case.attack) for case in refused)
    lines = [
        "# The conformance table",
        "",
        "Made by `conformance/build/make_conformance.py` from the cases of `table.json`. *Code* is the exit code of",
        "`kit verify`, *obligation* the first that must fail ([which](../schemas/verify-report.md)), *script* the",
        "exit code of `verify.sh`, `-` where the case is beyond what that checks.",
        "",
        f"{len(found)} cases: {len(found) - len(refused)} valid, {len(refused)} refused; {scripted} in the scope",
        "of `verify.sh`.",
        "",
        "| attack | cases |",
        "|---|---|",
        *(f"| {attack} | {counts[attack]} |" for attack in map(str, Attack) if counts[attack]),
        "",
        "| case | what it is | attack | code | obligation | script |",
        "|---|---|---|---|---|---|",
    ]
    for case in found:
        cells = (case.name, case.says.replace("|", "\\|"), case.attack, case.code, case.obligation, case.script)
        lines.append(f"| {' | '.join('-' if cell is None else str(cell) for cell in cells)} |")
    return "\n".join(lines) + "\n"


def _row(found: list[Case], case: Case) -> dict[str, Any]:
    row = {
        "name": case.name,
        "says": case.says,
        "kit": f"kits/{case.file}",
        "sha256": sha256(case.data),
        "trust": case.trust,
        "at": case.at,
        "needs": dict(case.needs) or None,
        "before": [_file(found, name) for name in case.before] or None,
        "unpack": case.unpack,
        "verdict": "valid" if case.code == 0 else "refused",
        "exitCode": case.code,
        "obligation": case.obligation,
        "attack": case.attack,
        "script": case.script,
    }
    return {
        name: value for name, value in row.items() if value is not None or name in {"obligation", "attack", "script"}
    }


def _file(found: list[Case], name: str | None) -> str | None:
    return next(f"kits/{case.file}" for case in found if case.name == name) if name is not None else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

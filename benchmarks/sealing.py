"""Measures what the core saves of field encryption: each step by it and by the reference, in processor time.

    python benchmarks/sealing.py [--documents N] [--owners N]

Documents are the notes of benchmarks/run, each with one field of 2 kB to seal, cut into runs as a patch cuts them.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:  # run as a file: its folder is on the path, but not the one above
    sys.path.insert(0, str(ROOT))

from benchmarks.kits import FIELD_MAP, OWNERS, notes  # noqa: E402
from kit.documents import Run, core, runs  # noqa: E402
from kit.encryption import FieldMap, KeySet, Profile, Scope  # noqa: E402
from kit.encryption.keys import DataKey  # noqa: E402
from kit.encryption.needs import find_needs, find_needs_each  # noqa: E402
from kit.encryption.proof import prove, prove_each  # noqa: E402
from kit.encryption.restoring import Reopener, reopen, unseal, unseal_each  # noqa: E402
from kit.engine.checks import ends_of  # noqa: E402
from kit.engine.lookup import EmptyLookup  # noqa: E402
from kit.transforms.encrypt_fields import EncryptFields  # noqa: E402
from kit.values import CollectionName, Limits  # noqa: E402

NAME = CollectionName(database="concelier", collection="notes")


def _keys(owners: int) -> KeySet:
    keys = [
        DataKey(
            dek_id=f"TEST-ONLY-{number}",
            scope=Scope(product="bench", context="notes", owner=f"user{number:07}"),
            mek_version=1,
            secret=hashlib.sha256(b"TEST-ONLY %d" % number).digest(),
        )
        for number in range(owners)
    ]
    return KeySet(
        scopes={key.dek_id: key.scope for key in keys},
        opening={key.dek_id: key for key in keys},
        sealing={key.scope: key.dek_id for key in keys},
        mek_versions=1,
    )


class _Clock:
    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = {}

    def compare(self, step: str, by_core: Callable[[], Any], by_reference: Callable[[], Any]) -> Any:
        """Do a step in both ways, which must give the same."""
        results = []
        for number, act in enumerate((by_core, by_reference)):
            start = time.process_time()
            results.append(act())
            self.seconds.setdefault(step, [0.0, 0.0])[number] += time.process_time() - start
        if results[0] != results[1]:
            raise SystemExit(f"{step}: core and reference disagree")
        return results[0]


def _measure(clock: _Clock, transform: EncryptFields, run: Run) -> None:
    mapped, keys = transform.mapped(NAME), transform.keys.key_set()

    def sealed() -> bytes:
        whole = transform.rewrite(NAME, run.data, run.ends, EmptyLookup(), run.first)
        return whole.body if whole is not None else b""

    def sealed_each() -> bytes:
        changes = transform.apply(NAME, list(run), EmptyLookup(), run.first)
        return b"".join([change.document or b"" for change in changes])

    def reopened() -> bytes:
        done = reopen(mapped, keys, Run.of(run), Run.of(after))
        return done.data if done is not None else b""

    def reopened_each() -> bytes:
        opening = Reopener(mapped, keys)
        return b"".join([opening.undo(old, new) for old, new in zip(run, after, strict=True)])

    clock.compare("needs", lambda: find_needs(mapped, run), lambda: find_needs_each(mapped, run))
    body = clock.compare("seal", sealed, sealed_each)
    after = Run(first=run.first, offset=run.offset, data=body, ends=tuple(ends_of(body)))
    clock.compare("open again", reopened, reopened_each)
    clock.compare("prove", lambda: prove(mapped, after), lambda: prove_each(mapped, after))
    clock.compare("prove, keys", lambda: prove(mapped, after, keys=keys), lambda: prove_each(mapped, after, keys=keys))
    flags = [True] * len(after)
    clock.compare("unseal", lambda: unseal(mapped, after, flags, keys), lambda: unseal_each(mapped, after, flags, keys))


def main() -> None:
    """Print a line for each step."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--documents", type=int, default=20_000)
    parser.add_argument("--owners", type=int, default=OWNERS)
    chosen = parser.parse_args()
    if core.ABSENCE:
        parser.exit(1, f"the core is {core.ABSENCE}\n")
    field_map = FieldMap.parse(json.dumps(FIELD_MAP).encode())
    transform = EncryptFields(field_map=field_map, profile=Profile.BOUND, keys=_keys(chosen.owners))
    clock = _Clock()
    for run in runs(notes(chosen.documents, chosen.owners)[2], limits=Limits()):
        _measure(clock, transform, run)
    print(f"{'µs a document':14}{'core':>8}{'reference':>11}{'ratio':>7}")
    for step, (by_core, by_reference) in clock.seconds.items():
        each = [seconds / chosen.documents * 1e6 for seconds in (by_core, by_reference)]
        print(f"{step:14}{each[0]:8.1f}{each[1]:11.1f}{each[1] / each[0]:7.1f}")


if __name__ == "__main__":
    main()

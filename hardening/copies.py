#!/usr/bin/env python3
"""Plants copies of sealed texts and counts what ``kit verify --deep`` finds of them; counts false alarms on other kits.

First a made-up kit: no copy, then ``--plants`` copies of 32 to 80 bytes in other fields. Then each kit that is given:
its ``content.raw`` is sealed, and every place that is reported is compared with what a search for the bytes
themselves finds. A row has the sealed values, the copies reported, those that the other search finds, and what only one
of the two finds.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:  # run as a file: its folder is on the path, but not the one above
    sys.path.insert(0, str(ROOT))

import bson  # noqa: E402

from kit.archive.read.reader import open_kit  # noqa: E402
from kit.engine.reading import member_runs  # noqa: E402
from kit.values import Limits  # noqa: E402
from kit.values.member_path import NAMED  # noqa: E402
from tests.commands import Outcome, kit  # noqa: E402
from tests.end_to_end.vault import PASSPHRASE, Vault, descriptor, members, note  # noqa: E402

LONG, WINDOW, STEP = 32, 25, 8


def verified(vault: Vault, path: Path, field_map: str, *trusted: object) -> Outcome:
    """Return the deep verdict on a sealed kit, with its keyring."""
    with descriptor(PASSPHRASE) as number:
        keys = ("--keyring", vault.keyring, "--keyring-passphrase-fd", number)
        words = ("--field-map", field_map, "--deep", "--json", "--max", "work_bytes=1000000000000")
        return kit("verify", path, *trusted, *vault.trust("site"), *keys, *words)


def plant(folder: Path, plants: int, seed: int) -> tuple[int, int, int]:
    """Return the copies that are reported where there is none, those that are planted, and those reported then."""
    vault, dice = Vault(folder), random.Random(seed)  # noqa: S311  no secret
    bodies = ["".join(dice.choices("abcdefghij klmnop", k=dice.randint(80, 400))) for _ in range(50)]
    sealed = [note(number, body=body) for number, body in enumerate(bodies)]
    quiet = verified(vault, vault.encrypted(vault.kit(members({"notes": sealed}))), "notelett", *vault.trust("vendor"))
    for number in range(plants):
        body, size = dice.choice(bodies), dice.randint(LONG, 80)
        start = dice.randint(0, len(body) - size)
        sealed.append(note(1000 + number, body=None, title=f"-{body[start : start + size]}-"))
    path = vault.kit(members({"notes": sealed}), name="planted.tar.zst")
    planted = verified(vault, vault.encrypted(path, name="sealed.tar.zst"), "notelett", *vault.trust("vendor"))
    return quiet.json["copies"]["copies"], plants, planted.json["copies"]["copies"]


def texts(value: object) -> Iterator[bytes]:
    """Yield the texts and binary values in a decoded value."""
    if isinstance(value, Mapping):
        for one in value.values():
            yield from texts(one)
    elif isinstance(value, list):
        for one in value:
            yield from texts(one)
    elif isinstance(value, str):
        yield value.encode("utf-8", "surrogatepass")
    elif isinstance(value, bytes):
        yield value


def documents(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each document of a kit with the path of its member."""
    with open_kit(path, limits=Limits(work_bytes=10**12)) as reader:
        for member, body in reader.members():
            collection = NAMED.member(member.path) if member.path is not None and member.is_file else None
            if collection is not None:
                for run in member_runs(collection, body, reader):
                    for document in run:
                        yield str(member.path), bson.decode(document)


def searched(base: Path, after: Path) -> tuple[dict[str, int], int]:
    """Return the texts with a copy by member, and the bytes of the sealed texts: by comparing the bytes themselves."""
    windows: set[bytes] = set()
    size = 0
    for path, document in documents(base):
        if path.endswith(
            ("advisory_observations.bson", "advisory_observations.bson.gz", "advisory_observations.bson.zst")
        ):
            for text in texts(document.get("content", {}).get("raw")):
                size += len(text)
                if len(text) >= LONG:
                    windows.update(text[at : at + WINDOW] for at in range(0, len(text) - WINDOW + 1, STEP))
    found: dict[str, int] = {}
    for path, document in documents(after):
        for text in texts(document):
            if len(text) >= LONG and any(text[at : at + WINDOW] in windows for at in range(len(text) - WINDOW + 1)):
                found[path] = found.get(path, 0) + 1
    return found, size


def measure(folder: Path, path: Path, publisher: Path) -> str:
    """Seal a kit, search it in both ways, and return a row."""
    vault, trusted = Vault(folder), ("--trusted-key", publisher)
    after = vault.kits / path.name
    more = ("--output", after, "--max", "work_bytes=1000000000000")
    made = vault.encrypting("patch", path, *trusted, *more, field_map="concelier", trusting=())
    if made.code:
        raise RuntimeError(made.err)
    began = time.monotonic()
    report = verified(vault, after, "concelier", *trusted).json["copies"]
    took = time.monotonic() - began
    reported: dict[str, int] = {}
    for place in report["places"]:
        if place["collection"] is not None and place["copies"] and not place["field"].startswith("("):
            reported[place["path"]] = reported.get(place["path"], 0) + place["copies"]
    others = sum(place["copies"] for place in report["places"]) - sum(reported.values())
    found, size = searched(path, after)
    false = sum(max(0, count - found.get(name, 0)) for name, count in reported.items())
    missed = sum(max(0, count - reported.get(name, 0)) for name, count in found.items())
    return (
        f"{path.name:<20} {report['values']:>7,} {size:>11,} {sum(reported.values()):>8,} {sum(found.values()):>8,} "
        f"{false:>6,} {missed:>6,} {others:>6,} {report['equal']:>9,} {took:>6.1f}"
    )


def main(arguments: list[str]) -> int:
    """Run, print the table, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kits", nargs="*", type=Path, help="kits with observations, to seal and search")
    parser.add_argument("--publisher", type=Path, help="the public key that verifies them")
    parser.add_argument("--plants", type=int, default=300, help="copies to plant (default 300)")
    parser.add_argument("--seed", type=int, default=1, help="where (default 1)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "made").mkdir()
        quiet, planted, found = plant(Path(folder) / "made", options.plants, options.seed)
        print(
            f"without copies: {quiet} reported; {planted} planted: {found} reported (seed {options.seed})", flush=True
        )
        if options.kits:
            print("kit                   values sealed bytes reported by bytes  false missed others   shorter      s")
        for number, path in enumerate(options.kits):
            (Path(folder) / str(number)).mkdir()
            print(measure(Path(folder) / str(number), path, options.publisher), flush=True)
    return 1 if quiet or found < planted else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

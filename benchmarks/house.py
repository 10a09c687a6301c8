#!/usr/bin/env python3
"""Counts the house: modules a room, their lines, who imports them, and how many of them one document passes.

    benchmarks/house.py [--root CHECKOUT] [--json FILE] [--no-passes]

It knows no module of ``kit/`` by name but the command line, so one file counts the trees before and after a move.

A **room** is a folder below ``kit/``; a sub-room counts for itself. **Importers** of a module are the modules of
``kit/`` that import it, anywhere in them, or a name that it defines through a package that passes the name on. A
module that only a table of commands names has none, and counts with those of one.

**Passes** are the modules in which a function runs between the first byte read of a member and its last byte written:
a kit of one document, one worker, the reference core, traced with ``sys.setprofile`` in every thread. What runs while a
module is imported is not counted, nor are ``cli/``, ``values/`` and ``errors``.

- *Read* is when a function of ``kit/`` first returns or yields bytes of the kit's file that reach into the member.
- *Written* is when the bytes that the output holds of the member, as they are stored, are first in any file of the
  working folder (its job, as a rule). *Published* is when the file that gets the output's name holds them for good.
  After each call that may write, all files there are compared with the output as it is in the end.
- *In the last reading* counts from the last time that the member was read before it was written.
"""

from __future__ import annotations

import argparse
import ast
import io
import json
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
MOST_MODULES, MOST_LINES, FEWEST_LINES = 25, 450, 60
NOT_COUNTED = ("kit/cli/", "kit/values/", "kit/errors.py")
VERBS = ("patch", "delta build")
WRITING = frozenset({
    *("write", "pwrite", "writev", "pwritev", "writelines", "flush", "close", "__exit__"),
    *("sendfile", "copy_file_range", "splice", "ioctl", "link", "rename", "replace"),
})  # fmt: skip
"""Functions of Python in C after which a file may hold more."""
HEADER_BYTES = 18
"""The longest header of a zstd frame (RFC 8878, 3.1.1): who reads no further has only looked at what it is."""
MEMBER = "concelier/dump/concelier/advisory_observations.bson"


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """One file of ``kit/``."""

    name: str
    path: str
    lines: int
    tree: ast.Module

    @property
    def is_package(self) -> bool:
        """Whether it is the ``__init__`` of a room."""
        return self.path.endswith("/__init__.py")

    @property
    def room(self) -> str:
        """Return the folder it is in."""
        return self.path.rpartition("/")[0]


def modules(root: Path) -> dict[str, Module]:
    """Return the modules of a checkout by name."""
    found = {}
    for path in sorted((root / "kit").rglob("*.py")):
        text, where = path.read_text("utf-8"), path.relative_to(root).as_posix()
        name = where.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        found[name] = Module(name=name, path=where, lines=text.count("\n"), tree=ast.parse(text))
    return found


def importers(house: dict[str, Module]) -> dict[str, set[str]]:
    """Return who imports each module, or what it defines."""
    found: dict[str, set[str]] = {name: set() for name in house}
    for module in house.values():
        for node in ast.walk(module.tree):
            for name in _imported(node, house):
                if name != module.name:
                    found[name].add(module.name)
    return found


def _imported(node: ast.AST, house: dict[str, Module]) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (one.name for one in node.names if one.name in house)
    elif isinstance(node, ast.ImportFrom) and node.module in house:
        for one in node.names:
            yield _home(house, node.module, one.name)


def _home(house: dict[str, Module], module: str, name: str) -> str:
    """Return the module that defines a name which another passes on."""
    seen = set()
    while module not in seen:
        seen.add(module)
        if f"{module}.{name}" in house:
            return f"{module}.{name}"
        for node in house[module].tree.body:
            if isinstance(node, ast.ImportFrom) and node.module in house:
                for one in node.names:
                    if (one.asname or one.name) == name:
                        module, name = node.module, one.name
    return module


def count(root: Path) -> dict[str, Any]:
    """Return what there is to count without running anything."""
    house = modules(root)
    known_by = importers(house)
    rooms = Counter(module.room for module in house.values())
    parts = [module for module in house.values() if not module.is_package]
    lines = sorted(module.lines for module in parts)
    alone = [module for module in parts if len(known_by[module.name]) < 2]
    small = [module for module in parts if module.lines < FEWEST_LINES]
    return {
        "modules": len(house),
        "modulesWithoutPackages": len(parts),
        "lines": sum(module.lines for module in house.values()),
        "medianLines": statistics.median(lines),
        "rooms": dict(sorted(rooms.items())),
        "roomsOver": sorted(room for room, number in rooms.items() if number > MOST_MODULES),
        "oneImporter": len(alone),
        "small": len(small),
        "smallWithOneImporter": sorted(module.path for module in small if module in alone),
        "large": sorted(module.path for module in parts if module.lines > MOST_LINES),
    }


# --- what one document passes -------------------------------------------------------------------------------------


@dataclass(slots=True, kw_only=True)
class Trace:
    """What ran, in order; made in the process that is traced."""

    root: str
    folder: Path
    inputs: Sequence[tuple[bytes, int]]
    """Of each kit that is read: its bytes, and where those of the member begin."""
    ran: list[str] = field(default_factory=list)
    read_at: list[int] = field(default_factory=list)
    """How many functions had run each time before the first byte was read."""
    held: list[tuple[int, dict[int, bytes]]] = field(default_factory=list)
    """After each writing call: how many functions had run, and the contents of all files by inode."""
    importing: Counter[int] = field(default_factory=Counter)
    """By thread, how many modules are being imported."""

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        """Take note of one event of ``sys.setprofile``."""
        if event == "c_return":
            if self.read_at and getattr(argument, "__name__", "") in WRITING:
                self.look()
            return
        path = frame.f_code.co_filename
        if event not in {"call", "return"} or not path.startswith(self.root):
            return
        thread = threading.get_ident()
        if frame.f_code.co_name == "<module>":
            self.importing[thread] += 1 if event == "call" else -1
        elif event == "call" and not self.importing[thread]:
            self.ran.append(path)
        elif event == "return" and isinstance(argument, (bytes, bytearray, memoryview)):
            self._returned(bytes(argument))

    def _returned(self, data: bytes) -> None:
        for whole, begin in self.inputs:
            at = whole.find(data)
            if len(data) > HEADER_BYTES and 0 <= at <= begin < at + len(data):
                self.read_at.append(len(self.ran) - 1)  # the one that returned it has read it
                return

    def look(self) -> None:
        """Take down what all files hold."""
        held = {}
        for path in [*self.folder.rglob("*"), *Path("/proc/self/fd").iterdir()]:
            try:
                if path.is_file():
                    held[path.stat().st_ino] = path.read_bytes()
            except OSError:  # gone meanwhile, or not to be read
                continue
        if not self.held or self.held[-1][1] != held:
            self.held.append((len(self.ran), held))

    def passed(self, begin: int, until: int) -> list[str]:
        """Return the modules that were passed between two moments."""
        paths = {f"kit/{path.removeprefix(self.root)}" for path in self.ran[begin:until]}
        return sorted(path for path in paths if not path.startswith(NOT_COUNTED))


def frames(stored: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Yield every frame of a zstd stream: where it begins and ends, and what it holds."""
    import zstandard  # noqa: PLC0415  only the process that is traced needs it

    begin = 0
    while begin < len(stored):
        decoder = zstandard.ZstdDecompressor().decompressobj()
        data = decoder.decompress(stored[begin:])
        end = len(stored) - len(decoder.unused_data)
        yield begin, end, data
        begin = end


def stored_bytes(path: Path, member: str) -> tuple[int, list[bytes]]:
    """Return where the first frame that holds some of a member begins, and all such frames."""
    found = list(frames(path.read_bytes()))
    data = b"".join(data for _, _, data in found)
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        header = archive.getmember(member)
    begin, end = header.offset_data, header.offset_data + header.size
    first, at = 0, 0
    kept: list[bytes] = []
    stored = path.read_bytes()
    for frame_begin, frame_end, data in found:
        if data and at < end and at + len(data) > begin:
            first = frame_begin if not kept else first
            kept.append(stored[frame_begin:frame_end])
        at += len(data)
    return first, kept


def payload_of(delta: Path) -> str:
    """Return the name of the payload that makes the member."""
    with tarfile.open(fileobj=io.BytesIO(b"".join(data for _, _, data in frames(delta.read_bytes())))) as archive:
        for name in archive.getnames():
            if name.endswith("manifest.json") and (file := archive.extractfile(name)):
                entries = json.load(file)["members"]
                return next(str(one["payload"]["path"]) for one in entries if one["path"] == MEMBER)
    raise SystemExit(f"{delta}: no manifest")


def trace(verb: str, root: Path, folder: Path) -> dict[str, Any]:
    """Run a verb on one document and return what it passed."""
    sys.path.insert(0, str(root))
    from kit.cli import run  # noqa: PLC0415  of the checkout that is counted

    keys = _keys(folder)
    kits = [_kit(folder / f"{name}.tar.zst", number, keys) for number, name in enumerate(("base", "target"), 1)]
    output = folder / "out" / ("patched.tar.zst" if verb == "patch" else "kit.delta")
    output.parent.mkdir()
    words = [str(kits[0])] if verb == "patch" else list(map(str, kits))
    options = [
        *("-o", str(output), "--workers", "1", "--created-at", "1790000000"),
        *("--signing-key", str(folder / "TEST-ONLY.pem"), "--trusted-key", str(folder / "TEST-ONLY.pub.pem")),
    ]
    inputs = [(kit.read_bytes(), stored_bytes(kit, MEMBER)[0] + HEADER_BYTES) for kit in kits]
    found = Trace(root=f"{root}/kit/", folder=output.parent, inputs=inputs)
    threading.setprofile(found)
    sys.setprofile(found)
    code = run([*verb.split(), *words, *options])
    sys.setprofile(None)
    threading.setprofile(None)
    found.look()
    if code:
        raise SystemExit(f"kit {verb} ended with {code}")
    member = MEMBER if verb == "patch" else payload_of(output)
    _, kept = stored_bytes(output, member)
    final = output.stat().st_ino
    written = next(at for at, held in found.held if any(holds(data, kept) for data in held.values()))
    first, last = found.read_at[0], max(at for at in found.read_at if at < written)
    return {
        "written": found.passed(first, written),
        "published": found.passed(first, for_good(found.held, final, kept)),
        "inLastReading": found.passed(last, written),
    }


def holds(data: bytes, kept: list[bytes]) -> bool:
    """Whether a file holds all frames."""
    return all(frame in data for frame in kept)


def for_good(held: list[tuple[int, dict[int, bytes]]], inode: int, kept: list[bytes]) -> int:
    """Return the moment from which on a file holds all frames."""
    found = held[-1][0]
    for at, files in reversed(held):
        if not holds(files.get(inode, b""), kept):
            break
        found = at
    return found


def _keys(folder: Path) -> Any:
    from kit.signing import Algorithm, generate, write_private, write_public  # noqa: PLC0415

    key = generate(Algorithm.ED25519) if hasattr(Algorithm, "ED25519") else generate(next(iter(Algorithm)))
    write_private(folder / "TEST-ONLY.pem", key)
    write_public(folder / "TEST-ONLY.pub.pem", key.public)
    return key


def _kit(path: Path, generation: int, key: Any) -> Path:
    """Write a kit of one observation; that of the second generation has one more reference."""
    from benchmarks import kits  # noqa: PLC0415

    record = kits.load_records(1)[0]
    if generation > 1:
        record["containers"]["cna"].setdefault("references", []).append({"url": "https://example.org/new"})
    document = kits.template(record, 0)[0].replace(kits.MARK, b"%0*d" % (kits.DIGITS, 0))
    name = MEMBER.removesuffix(".bson")
    kits.write_kit(path, [(name, len(document), iter([document]))], key, container="tar.zst", generation=generation)
    return path


def passes(root: Path) -> dict[str, dict[str, list[str]]]:
    """Return the modules that one document passes, by verb; each runs in a process of its own."""
    found = {}
    for verb in VERBS:
        with tempfile.TemporaryDirectory(prefix="kit-house-") as folder:
            result = Path(folder) / "result.json"
            program = [sys.executable, str(Path(__file__).resolve()), "--root", str(root)]
            subprocess.run(
                [*program, "--trace", verb, folder, str(result)],
                env={**os.environ, "KIT_CORE": "off"},
                stdout=subprocess.DEVNULL,
                check=True,
            )
            found[verb] = json.loads(result.read_text())
    return found


def lines_of(facts: dict[str, Any]) -> Iterator[str]:
    """Yield what is counted as text."""
    yield f"modules                     {facts['modules']:>7,} ({facts['modulesWithoutPackages']} without __init__)"
    yield f"lines                       {facts['lines']:>7,}"
    yield f"median                      {facts['medianLines']:>7,g}"
    yield f"with one importer or none   {facts['oneImporter']:>7,}"
    yield f"below {FEWEST_LINES} lines              {facts['small']:>7,}"
    yield f"  of these, one importer    {len(facts['smallWithOneImporter']):>7,}"
    yield f"over {MOST_LINES} lines              {len(facts['large']):>7,}"
    for verb, found in facts.get("passes", {}).items():
        more = f"until published {len(found['published'])}, in the last reading {len(found['inLastReading'])}"
        yield f"{f'passed by {verb}':<27} {len(found['written']):>7,} ({more})"
    yield ""
    for room, number in facts["rooms"].items():
        yield f"{room:<27} {number:>7,}{'  over ' + str(MOST_MODULES) if number > MOST_MODULES else ''}"


def main() -> None:
    """Count, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=ROOT, help="the checkout to count (default: this one)")
    parser.add_argument("--json", type=Path, help="write all there is, with the names of modules, here")
    parser.add_argument("--no-passes", action="store_true", help="run nothing")
    parser.add_argument("--trace", nargs=3, metavar=("VERB", "FOLDER", "RESULT"), help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    root = chosen.root.resolve()
    if chosen.trace:
        verb, folder, result = chosen.trace
        Path(result).write_text(json.dumps(trace(verb, root, Path(folder))), "utf-8")
        return
    facts = count(root)
    if not chosen.no_passes:
        facts["passes"] = passes(root)
    for line in lines_of(facts):
        print(line)
    if chosen.json:
        chosen.json.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

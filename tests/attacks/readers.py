"""One archive as five readers have it: GNU tar, bsdtar (libarchive), Python's tarfile, Go, and the one under test.

A reading is the list of members in the order of the archive, or None where the reader ends in an error; a warning alone
is none. Names lose what readers spell differently though they mean the same: ``./`` in front, the slash of a folder.
What a reader lists is not what it unpacks, so an archive is unpacked as well.
"""

from __future__ import annotations

import atexit
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from kit.archive.read.reader import KitReader
from kit.errors import KitError
from kit.values import Allowed, Limits
from tests.archive.building import collect
from tests.archive.test_reader import MemorySource

LINKS = Allowed(links=True)
_ENVIRONMENT = {**os.environ, "LC_ALL": "C.UTF-8", "TZ": "UTC"}
_KINDS = {"-": "file", "d": "directory", "l": "symlink", "h": "hardlink"}
# GNU: mode owner size date time name; bsdtar: mode links owner group size month day year name.
# A date is padded to 16 characters, as that of the year 1 needs.
_GNU = re.compile(r"(?P<kind>.)\S+ +\S+ +(?P<size>\d+) (?:(?=.{16} )\d{1,3}-\S+ \S+ {1,3}|\S+ \S+) (?P<name>.*)")
_ESCAPED = re.compile(r"(?:\\[0-7]{3})+")
_BSD = re.compile(r"(?P<kind>.)\S+ +-?\d+ +\S+ +\S+ +(?P<size>\d+) +\S+ +\S+ +\S+ (?P<name>.*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One member."""

    name: str
    kind: str
    size: int
    digest: str
    """Of its body; empty for what is no file."""
    target: str = ""


Reading = list[Entry] | None


def _entry(name: str, kind: str, size: int, body: bytes, target: str = "") -> Entry:
    digest = hashlib.sha256(body).hexdigest() if kind == "file" else ""
    return Entry(name=plain_name(name), kind=kind, size=size if kind == "file" else 0, digest=digest, target=target)


def plain_name(name: str) -> str:
    """Give the name without what only spells it."""
    return name.removeprefix("./").removesuffix("/") or "."


def ours(data: bytes, allowed: Allowed = LINKS) -> Reading:
    """Read with the reader under test."""
    try:
        found = collect(KitReader(MemorySource(data), path=Path("k"), limits=Limits(), allowed=allowed).members())
    except KitError:
        return None
    return [
        _entry(
            str(item.member.path or "."), item.member.kind.value, item.member.size, item.body, item.member.link_target
        )
        for item in found
    ]


def tarfile_of(mode: str) -> Callable[[bytes], Reading]:
    """Read with ``tarfile`` in one of its modes."""

    def read(data: bytes) -> Reading:
        try:
            with warnings.catch_warnings(), tarfile.open(fileobj=io.BytesIO(data), mode=mode) as archive:  # type: ignore[call-overload]
                warnings.simplefilter("ignore")
                return [_of_tarfile(archive, info) for info in archive]
        except (tarfile.TarError, OSError, EOFError, ValueError, KeyError):
            return None

    return read


def _of_tarfile(archive: tarfile.TarFile, info: tarfile.TarInfo) -> Entry:
    if info.issym() or info.islnk():
        return _entry(info.name, "symlink" if info.issym() else "hardlink", 0, b"", info.linkname)
    if info.isdir():
        return _entry(info.name, "directory", 0, b"")
    kind = "file" if info.isreg() else f"type {info.type!r}"
    body = archive.extractfile(info) if info.isreg() else None
    return _entry(info.name, kind, info.size, body.read() if body is not None else b"")


def _by_program(program: list[str], pattern: re.Pattern[str], folder: Path, data: bytes) -> Reading:
    path = folder / "archive"
    path.write_bytes(data)
    listed = _run([*program, "-tvf", str(path)])
    bodies = _run([*program, "-xOf", str(path)])
    if listed is None or bodies is None:
        return None
    found, at = [], 0
    for line in listed.decode("utf-8", "surrogateescape").splitlines():
        match = pattern.fullmatch(line)
        if match is None:
            return [Entry(name=f"a line not understood: {line}", kind="", size=0, digest="")]
        kind = _KINDS.get(match["kind"], match["kind"])
        # bsdtar spells what the C library does not call printable in octal; a name accepted here has no backslash.
        name, target = _ESCAPED.sub(_unescaped, match["name"]), ""
        for mark, told in ((" -> ", "symlink"), (" link to ", "hardlink")):
            if mark in name and kind in {told, "file"}:
                kind, (name, _, target) = told, name.partition(mark)
        size = int(match["size"]) if kind == "file" else 0
        found.append(_entry(name, kind, size, bodies[at : at + size], target))
        at += size
    if at != len(bodies):
        found.append(Entry(name="bodies differ in length from sizes", kind="", size=len(bodies) - at, digest=""))
    return found


def gnu_tar(folder: Path, data: bytes) -> Reading:
    """Read with GNU tar, which must end with exit code 0."""
    return _by_program(["tar", "--numeric-owner", "--quoting-style=literal"], _GNU, folder, data)


def bsdtar(folder: Path, data: bytes) -> Reading:
    """Read with bsdtar, which must end with exit code 0."""
    return _by_program(["bsdtar", "--numeric-owner"], _BSD, folder, data)


@cache
def compiled(source: Path) -> Path | None:
    """Compile a program in Go, once; None where there is no compiler."""
    compiler = shutil.which("go")
    if compiler is None:
        return None
    program = Path(tempfile.mkdtemp(prefix="kit-tests-")) / source.stem
    atexit.register(shutil.rmtree, program.parent, ignore_errors=True)
    subprocess.run([compiler, "build", "-o", str(program), str(source)], check=True, capture_output=True)
    return program


def go(program: Path, folder: Path, data: bytes) -> Reading:
    """Read with Go's archive/tar; its entries for global headers are none of the other readers'."""
    path = folder / "archive"
    path.write_bytes(data)
    listed = _run([str(program), str(path)])
    if listed is None:
        return None
    found = [json.loads(line) for line in listed.splitlines()]
    kinds = {"0": "file", "1": "hardlink", "2": "symlink", "5": "directory"}
    return [
        Entry(
            name=plain_name(one["name"]),
            kind=(kind := kinds.get(one["flag"], f"type {one['flag']!r}")),
            size=one["size"],
            digest=one["digest"] if kind == "file" else "",
            target=one["target"],
        )
        for one in found
        if one["flag"] != "g"
    ]


def expected_files(reading: list[Entry]) -> dict[str, str]:
    """Return what a folder holds into which an archive was unpacked that reads so: names, and what each is."""
    found: dict[str, str] = {}
    for entry in reading:
        parts = entry.name.split("/")
        for depth in range(1, len(parts)):
            found["/".join(parts[:depth])] = "directory"
        if entry.name == ".":
            continue
        found[entry.name] = {
            "file": entry.digest,
            "hardlink": found.get(plain_name(entry.target), "a link to nothing"),
            "symlink": f"-> {entry.target}",
        }.get(entry.kind, entry.kind)
    return found


def unpacked(folder: Path, data: bytes) -> dict[str, dict[str, str] | None]:
    """Unpack with all that can; of each, what is in the folder then, None where it ends in an error."""
    (folder / "archive").write_bytes(data)
    found: dict[str, dict[str, str] | None] = {}
    for program in ("tar", "bsdtar"):
        place = Path(tempfile.mkdtemp(dir=folder))
        done = _run([program, "-xf", str(folder / "archive"), "-C", str(place), "--no-same-owner"])
        found[f"{program} -x"] = None if done is None else _files(place)
        shutil.rmtree(place)
    place = Path(tempfile.mkdtemp(dir=folder))
    try:
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            archive.extractall(place, filter="data")
        found["tarfile, unpacked"] = _files(place)
    except (tarfile.TarError, OSError, ValueError):
        found["tarfile, unpacked"] = None
    shutil.rmtree(place)
    return found


def _files(place: Path) -> dict[str, str]:
    found = {}
    for path in place.rglob("*"):
        if path.is_symlink():
            what = f"-> {os.readlink(path)}"  # noqa: PTH115  pathlib would respell it
        else:
            what = "directory" if path.is_dir() else hashlib.sha256(path.read_bytes()).hexdigest()
        found[str(path.relative_to(place))] = what
    return found


def _unescaped(match: re.Match[str]) -> str:
    return bytes(int(part, 8) for part in match[0].split("\\")[1:]).decode("utf-8", "surrogateescape")


def _run(command: Iterable[str]) -> bytes | None:
    run = subprocess.run(list(command), capture_output=True, check=False, env=_ENVIRONMENT)
    return run.stdout if run.returncode == 0 else None


def readings(folder: Path, data: bytes) -> dict[str, Reading]:
    """Read with all others."""
    program = compiled(Path(__file__).with_name("read_tar.go"))
    return {
        "GNU tar": gnu_tar(folder, data),
        "bsdtar": bsdtar(folder, data),
        "tarfile": tarfile_of("r:")(data),
        "tarfile, streaming": tarfile_of("r|")(data),
        **({"Go": go(program, folder, data)} if program is not None else {}),
    }


def disagreement(folder: Path, data: bytes, allowed: Allowed = LINKS) -> str:
    """Say who reads or unpacks something else than the reader under test; empty where it refuses, or all agree."""
    mine = ours(data, allowed)
    if mine is None:
        return ""
    others = readings(folder, data)
    found = [f"{name}: {read}\n  ours: {mine}" for name, read in others.items() if read != mine]
    due = expected_files(mine)
    found += [f"{name}: {files}\n  ours: {due}" for name, files in unpacked(folder, data).items() if files != due]
    return "\n".join(found)

"""Measures deltas: size, time and memory of ``kit delta build`` and of the tools one would take instead, in one run.

For every pair of benchmarks/pairs, two kits are made and signed. Peers get the decompressed collections, which is
the best case for them, and the archives as they would be sent. Of ours, "collection" is what the delta holds for that
member and "archive" the whole delta, signature and manifests included; time and memory are those of the whole command,
which verifies both kits and reads its delta back. Each delta is applied, timed, and compared: ours by the whole
command, which verifies base, delta and result; what a peer makes of a collection is packed as kits are, by the programs
of this machine. A peer that is not installed is named and skipped; one that takes longer than ``--limit`` seconds is
ended and shown so. Memory of a peer is its largest resident set, of ours the sum of the proportional set sizes of all
its processes. With ``--rounds``, all tools run in turn so many times, and a figure of time is the median, of memory the
most.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import shutil
import statistics
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import zstandard

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:  # run as a file: its folder is on the path, but not the one above
    sys.path.insert(0, str(ROOT))

from benchmarks import kits  # noqa: E402
from benchmarks.pairs import PairMaker, makers, write  # noqa: E402
from benchmarks.patches import encryption  # noqa: E402
from benchmarks.process_tree import Run, measure  # noqa: E402
from kit.signing import Algorithm, PrivateKey, generate, write_private, write_public  # noqa: E402

_CHECKOUT = (sys.executable, "-P", "-c", "from kit.cli import main; main()")
COMMAND = (os.environ["MEASURED"],) if "MEASURED" in os.environ else _CHECKOUT
"""What is measured: the program installed from its wheels (benchmarks/run_deltas), or this checkout."""
PATCH_FROM = str(ROOT / "benchmarks/patch_from.py")
MIB = 1 << 20
STEP = MIB
QUICK_OBSERVATIONS, QUICK_LIMIT = 3000, 60.0
BSDIFF_BYTES = 64 * MIB
"""Larger inputs are not given to bsdiff with --quick: it takes 17 times their size of memory, and minutes."""
OURS = "kit delta"
COMPRESSING = {
    "tar": "true",
    "tar.gz": "gzip -1 -c '{file}' > '{file}.packed'",
    "tar.zst": "zstd -3 -T{workers} -qq -f '{file}' -o '{file}.packed'",
}
"""What packs a collection as the archives of kits are packed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A tool that makes a delta of two files."""

    name: str
    program: str
    command: Callable[[str, str, str], list[str]]
    """(before, after, delta) → what to run."""
    restoring: Callable[[str, str, str], list[str]]
    """(before, after, delta) → what makes ``after`` again."""


PEERS = (
    Peer(
        name="xdelta3 -9",
        program="xdelta3",
        command=lambda before, after, delta: ["xdelta3", "-9", "-e", "-f", "-s", before, after, delta],
        restoring=lambda before, after, delta: ["xdelta3", "-d", "-f", "-s", before, delta, after],
    ),
    Peer(
        name="xdelta3 -9 -B 512M",
        program="xdelta3",
        command=lambda before, after, delta: [
            *("xdelta3", "-9", "-B", str(512 * MIB), "-e", "-f", "-s", before, after, delta)
        ],
        restoring=lambda before, after, delta: [
            *("xdelta3", "-B", str(512 * MIB), "-d", "-f", "-s", before, delta, after)
        ],
    ),
    Peer(
        name="bsdiff",
        program="bsdiff",
        command=lambda before, after, delta: ["bsdiff", before, after, delta],
        restoring=lambda before, after, delta: ["bspatch", before, after, delta],
    ),
    Peer(
        name="zstd -19 --patch-from",
        program="zstd",
        command=lambda before, after, delta: [
            *("zstd", "-19", "--long=31", f"--patch-from={before}", after, "-o", delta, "-f", "-qq")
        ],
        restoring=lambda before, after, delta: [
            *("zstd", "-d", "--long=31", f"--patch-from={before}", delta, "-o", after, "-f", "-qq")
        ],
    ),
    Peer(
        name=f"libzstd {'.'.join(map(str, zstandard.ZSTD_VERSION))} -19, from the earlier",
        program=sys.executable,
        command=lambda before, after, delta: [sys.executable, PATCH_FROM, "make", before, after, delta],
        restoring=lambda before, after, delta: [sys.executable, PATCH_FROM, "apply", before, delta, after],
    ),
    Peer(
        name="rdiff",
        program="rdiff",
        command=lambda before, after, delta: [
            *("sh", "-c", 'rdiff -f signature "$1" "$3.sig" && rdiff -f delta "$3.sig" "$2" "$3"'),
            *("rdiff", before, after, delta),
        ],
        restoring=lambda before, after, delta: ["rdiff", "-f", "patch", before, delta, after],
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One tool on one pair."""

    pair: str
    tool: str
    of: str
    """``collection`` or ``archive``."""
    before_bytes: int
    after_bytes: int
    delta_bytes: int | None
    """None where it was not made; see ``why``."""
    seconds: float | None = None
    cpu_seconds: float | None = None
    peak_bytes: int | None = None
    apply_seconds: float | None = None
    """To make the target again, compressed as kits are: of ours, the whole command."""
    apply_cpu_seconds: float | None = None
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """Where a run works, and with what."""

    folder: Path
    key: PrivateKey
    limit: float
    quick: bool
    peers: tuple[str, ...]
    """Only those whose name holds one of these; all where there are none."""
    workers: int
    container: str
    rounds: int

    @property
    def signing(self) -> tuple[str, ...]:
        """Options that sign."""
        return ("--signing-key", str(self.folder / "bench-TEST-ONLY.pem"), "--created-at", "1790000000")

    @property
    def trusting(self) -> tuple[str, ...]:
        """Options that trust what was signed."""
        return ("--trusted-key", str(self.folder / "bench-TEST-ONLY.pub.pem"), "--workers", str(self.workers))

    def wants(self, name: str) -> bool:
        """Whether a tool was asked for."""
        return not self.peers or any(word in name for word in self.peers)


def bench_pair(maker: PairMaker, observations: int, desk: Desk) -> Iterator[Row]:
    """Make a pair and give a row for each tool."""
    made = zip(_SIDES, maker.make(observations), strict=True)
    files = [write(desk.folder / f"{side}.bson", documents) for side, documents in made]
    kits = [_kit(file, maker, desk, generation) for generation, file in enumerate(files, 1)]
    if maker.is_encrypted:
        kits = [_encrypted(kit, desk) for kit in kits]
        files = [_extracted(kit, file, maker) for kit, file in zip(kits, files, strict=True)]
    rounds = [list(_round(maker, files, kits, desk)) for _ in range(desk.rounds)]
    yield from map(_typical, zip(*rounds, strict=True))


_SIDES = ("before", "after")


def _round(maker: PairMaker, files: list[Path], kits: list[Path], desk: Desk) -> Iterator[Row]:
    """Run every tool once."""
    if desk.wants(OURS):
        yield from _ours(maker, files, kits, desk)
    for peer in PEERS:
        if desk.wants(peer.name):
            for of, paths in (("collection", files), ("archive", kits)):
                yield _theirs(peer, (maker.name, peer.name, of), paths, desk)


def _typical(rows: tuple[Row, ...]) -> Row:
    """Make one row of those of all rounds; one that was not made stays so."""
    made = [row for row in rows if row.delta_bytes is not None]
    if len(made) < len(rows):
        return next(row for row in rows if row.delta_bytes is None)
    return replace(
        rows[0],
        seconds=_median(row.seconds for row in rows),
        cpu_seconds=_median(row.cpu_seconds for row in rows),
        peak_bytes=max((row.peak_bytes for row in rows if row.peak_bytes is not None), default=None),
        apply_seconds=_median(row.apply_seconds for row in rows),
        apply_cpu_seconds=_median(row.apply_cpu_seconds for row in rows),
    )


def _median(figures: Iterable[float | None]) -> float | None:
    known = [figure for figure in figures if figure is not None]
    return statistics.median(known) if known else None


def _kit(file: Path, maker: PairMaker, desk: Desk, generation: int) -> Path:
    path = desk.folder / f"{file.stem}.{desk.container}"
    members = [(maker.collection, file.stat().st_size, _chunks(file))]
    kits.write_kit(path, members, desk.key, container=desk.container, generation=generation)
    return path


def _chunks(file: Path) -> Iterator[bytes]:
    with file.open("rb") as stream:
        while chunk := stream.read(STEP):
            yield chunk


def _encrypted(kit: Path, desk: Desk) -> Path:
    """Encrypt a kit with the keyring of the run, and publish what came out as a kit of its own."""
    output = kit.with_name(f"encrypted-{kit.name}")
    output.unlink(missing_ok=True)
    words = [*COMMAND, "patch", str(kit), "-o", str(output), *desk.signing, *desk.trusting, *encryption(desk.folder)]
    if measure(words) is None:
        raise SystemExit("there was no limit")
    return output


def _extracted(kit: Path, file: Path, maker: PairMaker) -> Path:
    return write(file, _collection(kit, maker))


def _collection(kit: Path, maker: PairMaker) -> Iterator[bytes]:
    """Read the collection of a kit with other code than the kit's own."""
    with _opened(kit) as archive:
        for member in archive:
            if member.name.endswith(f"/{maker.collection}.bson") and (body := archive.extractfile(member)) is not None:
                while chunk := body.read(STEP):
                    yield chunk


def _opened(kit: Path) -> tarfile.TarFile:
    if kit.name.endswith(".zst"):
        reader = zstandard.ZstdDecompressor().stream_reader(kit.open("rb"), read_across_frames=True, closefd=True)
        return tarfile.open(fileobj=reader, mode="r|")
    return tarfile.open(kit)


def _digest(chunks: Iterator[bytes]) -> str:
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()


def _ours(maker: PairMaker, files: list[Path], kits: list[Path], desk: Desk) -> Iterator[Row]:
    delta, again = desk.folder / "ours.delta", desk.folder / f"again.{desk.container}"
    for path in desk.folder.glob("ours.delta*"):
        path.unlink()
    before, after = map(str, kits)
    words = [*COMMAND, "delta", "build", before, after, "-o", str(delta), *desk.signing, *desk.trusting]
    run = measure(words)
    if run is None:
        raise SystemExit("there was no limit")
    for path in desk.folder.glob(f"{again.name}*"):
        path.unlink()
    applied = measure([*COMMAND, "delta", "apply", before, str(delta), "-o", str(again), *desk.trusting])
    if applied is None or _digest(_collection(again, maker)) != _digest(_chunks(files[1])):
        raise SystemExit("the delta does not give the target")
    sizes = (("collection", _payload_bytes(delta, maker, desk), files), ("archive", delta.stat().st_size, kits))
    for of, size, sides in sizes:
        yield _row((maker.name, OURS, of), sides, size, run, applied)


def _payload_bytes(delta: Path, maker: PairMaker, desk: Desk) -> int:
    """Give what a delta holds for the collection."""
    report = desk.folder / "report.json"
    measure([*COMMAND, "delta", "inspect", str(delta), "--json"], output=report)
    (member,) = (
        member
        for member in json.loads(report.read_text())["members"]
        if member["path"].endswith(f"/{maker.collection}.bson")
    )
    return int(member["payload"]["size"]) if "payload" in member else 0


def _row(tool: tuple[str, str, str], sides: list[Path], size: int, run: Run, applied: Run) -> Row:
    before, after = (side.stat().st_size for side in sides)
    peak = max(run.peak_bytes, run.largest_bytes) if tool[1] == OURS else run.largest_bytes
    return Row(
        pair=tool[0],
        tool=tool[1],
        of=tool[2],
        before_bytes=before,
        after_bytes=after,
        delta_bytes=size,
        seconds=run.seconds,
        cpu_seconds=run.cpu_seconds,
        peak_bytes=peak,
        apply_seconds=applied.seconds,
        apply_cpu_seconds=applied.cpu_seconds,
    )


def _theirs(peer: Peer, tool: tuple[str, str, str], sides: list[Path], desk: Desk) -> Row:
    before, after = (side.stat().st_size for side in sides)
    why = ""
    if shutil.which(peer.program) is None:
        why = "not installed"
    elif desk.quick and peer.program == "bsdiff" and max(before, after) > BSDIFF_BYTES:
        why = "skipped, --quick"
    else:
        delta = desk.folder / "peer.delta"
        run = measure(peer.command(str(sides[0]), str(sides[1]), str(delta)), limit=desk.limit)
        applied = _restored(peer, tool[2], sides, delta, desk) if run is not None else None
        if run is not None and applied is not None:
            return _row(tool, sides, delta.stat().st_size, run, applied)
        why = f"over {desk.limit:,.0f} s"
    pair, name, of = tool
    return Row(pair=pair, tool=name, of=of, before_bytes=before, after_bytes=after, delta_bytes=None, why=why)


def _restored(peer: Peer, of: str, sides: list[Path], delta: Path, desk: Desk) -> Run | None:
    """Make the later side again; a collection, which is not compressed yet, is compressed as in a kit.

    By the ``zstd`` and ``gzip`` of the machine, at the level of kits, into one frame.
    """
    again = desk.folder / "peer.again"
    words = peer.restoring(str(sides[0]), str(again), str(delta))
    if of == "collection":
        words = [
            "sh",
            "-c",
            f'"$@" && {COMPRESSING[desk.container].format(file=again, workers=desk.workers)}',
            "sh",
            *words,
        ]
    run = measure(words, limit=desk.limit)
    if run is not None and _digest(_chunks(again)) != _digest(_chunks(sides[1])):
        raise SystemExit(f"{peer.name} does not give the target")
    return run


HEADS = (
    "pair",
    "tool",
    "of",
    "MB before",
    "MB after",
    "delta bytes",
    "of best",
    "seconds",
    "CPU s",
    "MiB",
    "apply s",
    "CPU s",
)
_WIDTHS = (10, 22, 10, 9, 9, 13, 8, 8, 8, 7, 8, 8)


def line(row: Row, best: int | None) -> str:
    """Give a row of the table; ``best`` is the smallest delta of any peer."""
    made = row.delta_bytes is not None
    cells = (
        row.pair,
        row.tool,
        row.of,
        f"{row.before_bytes / 1e6:,.1f}",
        f"{row.after_bytes / 1e6:,.1f}",
        f"{row.delta_bytes:,}" if made else row.why,
        f"{row.delta_bytes / best:.2f}" if row.delta_bytes is not None and best else "-",
        f"{row.seconds:,.2f}" if row.seconds is not None else "-",
        f"{row.cpu_seconds:,.2f}" if row.cpu_seconds is not None else "-",
        f"{row.peak_bytes / MIB:,.0f}" if row.peak_bytes is not None else "-",
        f"{row.apply_seconds:,.2f}" if row.apply_seconds is not None else "-",
        f"{row.apply_cpu_seconds:,.2f}" if row.apply_cpu_seconds is not None else "-",
    )
    return _spaced(cells)


def _spaced(cells: tuple[str, ...]) -> str:
    padded = (c.ljust(w) if n < 3 else c.rjust(w) for n, (c, w) in enumerate(zip(cells, _WIDTHS, strict=True)))
    return "  ".join(padded).rstrip()


def _best(rows: list[Row], of: str) -> int | None:
    sizes = [row.delta_bytes for row in rows if row.of == of and row.tool != OURS and row.delta_bytes is not None]
    return min(sizes, default=None)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pair", action="append", help="only pairs whose name contains this; repeatable")
    parser.add_argument("--tool", action="append", help="only tools whose name contains this; repeatable")
    parser.add_argument("--observations", type=int, help="of every pair that is no month (default: each its own)")
    parser.add_argument("--limit", type=float, default=900.0, help="seconds for one run of a peer (default 900)")
    parser.add_argument("--quick", action="store_true", help="3,000 observations, 60 s a peer, no bsdiff over 64 MiB")
    parser.add_argument("--rounds", type=int, default=1, metavar="N", help="run all tools N times in turn (default 1)")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--container", choices=("tar", "tar.gz", "tar.zst"), default="tar.zst")
    parser.add_argument("--json", type=Path, help="write all figures here")
    parser.add_argument("--folder", type=Path, help="work here instead of a temporary folder")
    return parser.parse_args()


def main() -> None:
    """Run what the options say."""
    chosen = _options()
    folder = Path(tempfile.mkdtemp(prefix="kit-bench-", dir=chosen.folder))
    key = generate(Algorithm.ES256)
    write_private(folder / "bench-TEST-ONLY.pem", key)
    write_public(folder / "bench-TEST-ONLY.pub.pem", key.public)
    desk = Desk(
        folder=folder,
        key=key,
        limit=QUICK_LIMIT if chosen.quick else chosen.limit,
        quick=chosen.quick,
        peers=tuple(chosen.tool or ()),
        workers=chosen.workers,
        container=chosen.container,
        rounds=max(1, chosen.rounds),
    )
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print(_spaced(HEADS))
    results: list[dict[str, Any]] = []
    try:
        for maker in makers():
            if chosen.pair and not any(word in maker.name for word in chosen.pair):
                continue
            count = chosen.observations or (QUICK_OBSERVATIONS if chosen.quick else maker.observations or 0)
            rows = list(bench_pair(maker, count, desk))
            results += [asdict(row) | {"what": maker.what} for row in rows]
            for row in rows:
                print(line(row, _best(rows, row.of)), flush=True)
    finally:
        shutil.rmtree(folder)
    if chosen.json:
        document = {"machine": platform.platform(), "cores": os.cpu_count(), "results": results}
        chosen.json.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()

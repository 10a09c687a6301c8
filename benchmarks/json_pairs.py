"""Compares deltas between two months of JSON lines with what ``zstd --patch-from`` makes of the same texts.

    python -m benchmarks.json_pairs

The texts are the upstream advisories of ../shared/data, one a line. A delta is what a kit's delta holds for that
member, and is applied: every byte must come back. Prints bytes, and the processor time of building and applying.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import zstandard

from benchmarks.pairs import ADVISORIES
from benchmarks.patch_from import make
from kit.engine.executors import InlineExecutor
from kit.engine.pipeline import Workers
from kit.engine.reading import cut_documents
from kit.values import CollectionFormat, Limits
from kit.verbs.delta.documents import DocumentStore, match_documents
from kit.verbs.delta.joining import join_segments
from kit.verbs.delta.segments import encode_segment, plan_segments

MONTHS = ("go-vulndb-osv", "pypa")
_WORKERS = Workers(executor=InlineExecutor(), budget=1 << 20)


def read_lines(path: Path) -> bytes:
    """Return the advisories of a file, one a line."""
    with zstandard.open(path, "rt", encoding="utf-8") as lines:
        return b"".join(_texts(lines))


def _texts(lines: Iterator[str]) -> Iterator[bytes]:
    for line in lines:
        yield json.dumps(json.loads(line)["raw"], separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


def store(folder: Path, name: str, data: bytes) -> DocumentStore:
    """Return a store of the documents of a member."""
    made = DocumentStore(folder, name, CollectionFormat.NDJSON)
    made.put(cut_documents(CollectionFormat.NDJSON, [data], Limits()))
    return made


def main() -> None:
    """Print the table."""
    print(f"{'pair':16}{'bytes':>12}{'delta':>10}{'patch-from':>12}{'build, s':>10}{'apply, s':>10}")
    for name in MONTHS:
        before, after = (read_lines(ADVISORIES / f"{name}{month}.ndjson.zst") for month in (".base30d", ""))
        with tempfile.TemporaryDirectory() as folder:
            old, new = store(Path(folder), "old", before), store(Path(folder), "new", after)
            began = time.process_time()
            segments = [encode_segment(plan) for plan in plan_segments(old, new, match_documents(old, new))]
            built = time.process_time()
            made = b"".join(join_segments(old, segments, most=len(after), workers=_WORKERS))
            applied = time.process_time()
            old.close()
            new.close()
        if made != after:
            raise SystemExit(f"{name}: other bytes came back")
        size, peer = sum(map(len, segments)), len(make(before, after))
        print(f"{name:16}{len(after):12,}{size:10,}{peer:12,}{built - began:10.2f}{applied - built:10.2f}")


if __name__ == "__main__":
    main()

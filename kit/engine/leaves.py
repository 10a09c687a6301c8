"""Sorts the leaves of collections on disk and makes Merkle roots of them (schemas/merkle.md).

Workers return sorted lines, run by run; they are gathered up to a bound, sorted and spilled, and merged when the root
is computed. Subtrees are hashed by the workers. Laws: the result does not depend on the order in which runs were added,
or how documents were cut into runs; memory does not grow with their number.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from kit.documents.identity import hash_digits
from kit.engine.pipeline import Pipeline
from kit.errors import OutputError
from kit.values import MemberPath, Sha256
from kit.values.digest import root_of

BLOCK = 4096
"""Leaves of a subtree that one piece of work hashes; a power of two, so that it is a node of the whole tree."""
HELD_BYTES = 16 * 1024 * 1024
"""Lines held in memory before they are spilled, and buffers of all files together while they are merged."""
_MAX_FILES = 128
_DIGEST_BYTES = 32


@dataclass(slots=True)
class _Tree:
    """The leaves of one member."""

    held: list[bytes] = field(default_factory=list)
    held_bytes: int = 0
    files: list[Path] = field(default_factory=list)


class LeafStore:
    """See the module docstring; its files are in a folder that the caller removes."""

    def __init__(self, folder: Path, *, held_bytes: int = HELD_BYTES) -> None:
        """Keep files in ``folder``, made when the first is needed."""
        self._folder = folder
        self._held_bytes = held_bytes
        self._trees: dict[MemberPath, _Tree] = {}
        self._open: MemberPath | None = None
        self._made = 0
        self.written_bytes = 0
        """Room the files took, all together."""

    def add(self, path: MemberPath, lines: bytes) -> None:
        """Add the sorted lines of one run of a member; members come one after another.

        Raises:
            OutputError: The disk is full or failed.
        """
        tree = self._trees.setdefault(path, _Tree())
        if self._open not in {None, path}:
            self._spill(self._trees[self._open])
        self._open = path
        tree.held.append(lines)
        tree.held_bytes += len(lines)
        if tree.held_bytes > self._held_bytes:
            self._spill(tree)

    def lines(self, path: MemberPath) -> Iterator[bytes]:
        """Yield the lines of a member in the order of its leaves, each with its line feed.

        Raises:
            OutputError: The disk failed.
        """
        tree = self._trees.get(path, _Tree())
        if not tree.files:
            yield from _sorted(tree.held)
            return
        self._spill(tree)
        with self._merged(tree.files) as merged:
            yield from merged

    def root(self, path: MemberPath, pipeline: Pipeline) -> Sha256:
        """Return the root over the leaves of a member.

        Raises:
            OutputError: The disk failed.
            StoppedError: A worker died.
        """
        return Sha256(root_of(self.block_roots(path, pipeline)).hex())

    def block_roots(self, path: MemberPath, pipeline: Pipeline) -> list[bytes]:
        """Return the roots of the subtrees of :data:`BLOCK` leaves each, the last one of fewer.

        Raises:
            OutputError: The disk failed.
            StoppedError: A worker died.
        """
        roots: list[bytes] = []
        lines = self.lines(path)
        while digits := b"".join(hash_digits(line) for line in islice(lines, BLOCK)):
            pipeline.submit(block_root, digits, cost=len(digits), then=roots.append, where=str(path))
        pipeline.drain()
        return roots

    def _spill(self, tree: _Tree) -> None:
        if not tree.held:
            return
        tree.files.append(self._write(_sorted(tree.held)))
        tree.held, tree.held_bytes = [], 0
        if len(tree.files) >= _MAX_FILES:  # descriptors are few; only a collection of a billion leaves has so many
            with self._merged(tree.files) as merged:
                whole = self._write(merged)
            for path in tree.files:
                path.unlink(missing_ok=True)
            tree.files = [whole]

    def _write(self, lines: Iterable[bytes]) -> Path:
        self._made += 1
        path = self._folder / f"leaves-{self._made}"
        with _disk_errors(path):
            self._folder.mkdir(mode=0o700, exist_ok=True)
            with path.open("xb") as file:
                file.writelines(lines)
                self.written_bytes += file.tell()
        return path

    @contextmanager
    def _merged(self, paths: list[Path]) -> Iterator[Iterator[bytes]]:
        buffering = max(self._held_bytes // len(paths), 1 << 14)
        with ExitStack() as stack:
            yield heapq.merge(*(self._lines_of(stack, path, buffering) for path in paths))

    def _lines_of(self, stack: ExitStack, path: Path, buffering: int) -> Iterator[bytes]:
        with _disk_errors(path):
            file: BinaryIO = stack.enter_context(path.open("rb", buffering=buffering))
            yield from file


def block_root(digits: bytes) -> bytes:
    """Hash the subtree over leaf hashes given as hex digits, back to back."""
    return root_of(leaf_hashes(digits))


def leaf_hashes(digits: bytes) -> list[bytes]:
    """Return the leaf hashes of a block."""
    whole = bytes.fromhex(digits.decode("ascii"))
    return [whole[at : at + _DIGEST_BYTES] for at in range(0, len(whole), _DIGEST_BYTES)]


def _sorted(runs: list[bytes]) -> list[bytes]:
    # Runs that follow each other in order are found by the sort, which then only walks over them.
    return sorted(line for run in runs for line in run.splitlines(keepends=True))


@contextmanager
def _disk_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"cannot keep the leaves of a Merkle tree on disk: {error.strerror}",
            where=str(path),
            hint="make room on that file system",
        ) from error

"""A pass hands out every entry once; of two passes over a kit that changed, the second ends in the one error."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

import kit
from kit.archive.read.reader import KitReader, open_kit
from kit.archive.read.tar import Member
from kit.engine.passing import Digests, entries, read_again, read_first
from kit.engine.reading import Survey
from kit.errors import DigestError
from kit.values import Limits, MemberPath, Sha256
from tests.kits import write_kit

CHANGED = "the kit changed while it was being read"
FILES = {"a/c/one.bson": b"1" * 3_000_000, "b.txt": b"2" * 600, "empty": b""}
OTHER = FILES["a/c/one.bson"][:-1] + b"!"
containers = pytest.mark.parametrize("name", ["kit", "kit.tar", "kit.tar.zst"])


def opened(folder: Path, name: str) -> KitReader:
    return open_kit(write_kit(folder / name, FILES), limits=Limits())


def ignore(member: Member, body: Iterator[bytes]) -> None:
    """Read nothing."""


def read_all(member: Member, body: Iterator[bytes]) -> None:  # noqa: ARG001
    for _ in body:
        pass


def known_of(reader: KitReader) -> Survey:
    return Survey(members=read_first(reader, ignore), stored=reader.pass_digest())


def change(folder: Path, name: str, files: dict[str, bytes]) -> None:
    """Change a kit that is open: its files, or what the archive's descriptor leads to."""
    if name == "kit":
        for path, data in files.items():
            (folder / name / path).write_bytes(data)
        return
    other = write_kit(folder / f"other-{name}", FILES | files)
    (folder / name).write_bytes(other.read_bytes())


@containers
def test_every_file_is_digested_whatever_the_visitor_reads(tmp_path: Path, name: str) -> None:
    due = {MemberPath(path): (Sha256.of(data), len(data)) for path, data in FILES.items()}
    seen: list[tuple[MemberPath | None, bytes]] = []

    def begin(member: Member, body: Iterator[bytes]) -> None:
        seen.append((member.path, b"".join(islice(body, 1))))

    with opened(tmp_path, name) as reader:
        found: Digests = read_first(reader, begin)
        assert found == due
        files = [(path, first) for path, first in seen if path in due]
        assert [path for path, _ in files] == list(found)
        assert all(FILES[str(path)].startswith(first) for path, first in files)
        read_again(reader, Survey(members=found, stored=reader.pass_digest()), read_all)


@containers
@pytest.mark.parametrize("most", [None, 1], ids=["whole", "begun"])
def test_a_body_that_changed_is_found_out_though_only_its_beginning_was_read(
    tmp_path: Path, name: str, most: int | None
) -> None:
    visited = []

    def visit(member: Member, body: Iterator[bytes]) -> None:
        visited.append(member.path)
        list(islice(body, most))

    with opened(tmp_path, name) as reader:
        known = known_of(reader)
        change(tmp_path, name, {"a/c/one.bson": OTHER})
        with pytest.raises(DigestError, match=CHANGED) as failure:
            read_again(reader, known, visit)
    place = "a/c/one.bson" if name == "kit" else str(tmp_path / name)
    assert failure.value.where == place
    assert visited


@containers
def test_a_file_that_was_not_there_is_found_out_though_nobody_reads_it(tmp_path: Path, name: str) -> None:
    with opened(tmp_path, name) as reader:
        known = known_of(reader)
        change(tmp_path, name, {"c.txt": b"new"})
        with pytest.raises(DigestError, match=CHANGED):
            read_again(reader, known, ignore)


def test_of_a_folder_a_body_that_nobody_reads_is_not_read(tmp_path: Path) -> None:
    with opened(tmp_path, "kit") as reader:
        known = known_of(reader)
        change(tmp_path, "kit", {"a/c/one.bson": OTHER})
        read_again(reader, known, ignore)


def test_who_takes_entries_as_needed_is_told_as_well(tmp_path: Path) -> None:
    with opened(tmp_path, "kit") as reader:
        known = known_of(reader)
        change(tmp_path, "kit", {"b.txt": b"3" * 600})
        taken = entries(reader, known)
        bodies = (b"".join(body) for member, body in taken if member.path == MemberPath("b.txt"))
        with pytest.raises(DigestError, match=CHANGED):
            next(bodies)


def test_the_error_is_worded_once() -> None:
    package = Path(kit.__file__).parent
    words = [path for path in package.rglob("*.py") if CHANGED in path.read_text()]
    assert [str(path.relative_to(package)) for path in words] == ["archive/read/reader.py"]

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from kit.encryption import audit_log
from kit.encryption.audit_log import Chain
from kit.errors import DigestError, KeyUnusableError, OutputError, UnreadableError
from kit.values import Sha256

Change: TypeAlias = Callable[[list[bytes]], list[bytes]]


def written(path: Path, count: int = 3) -> list[bytes]:
    for number in range(count):
        with audit_log.open_log(path) as log:
            log.append({"record": f"entry {number}", "who": "Ada ☂"})
    return path.read_bytes().splitlines(keepends=True)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.log"


def test_what_is_appended_verifies_and_is_numbered(path: Path) -> None:
    lines = written(path)
    chain = audit_log.verify(path)
    assert (chain.records, chain.head) == (3, Sha256.of(lines[-1]))
    assert path.stat().st_mode & 0o777 == 0o600
    assert audit_log.verify(path, anchor=Sha256.of(lines[0])) == chain


@pytest.mark.parametrize("line", range(3))
def test_any_one_byte_changed_breaks_the_chain_or_its_line(line: int, path: Path) -> None:
    lines = written(path)
    offset = sum(map(len, lines[:line]))
    whole = b"".join(lines)
    for at in range(offset, offset + len(lines[line])):
        # A letter of a value in the last line changes only the head: which an anchor tells.
        path.write_bytes(whole[:at] + bytes((whole[at] ^ 1,)) + whole[at + 1 :])
        with pytest.raises(DigestError):
            audit_log.verify(path, anchor=Sha256.of(lines[-1]))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param(lambda lines: lines[1:], "line 1: does not follow", id="the first removed"),
        pytest.param(lambda lines: [lines[0], lines[2]], "line 2: does not follow", id="one removed"),
        pytest.param(lambda lines: [lines[0], lines[0], *lines[1:]], "line 2: does not follow", id="one inserted"),
        pytest.param(lambda lines: [lines[0], lines[2], lines[1]], "line 2: does not follow", id="two swapped"),
        pytest.param(lambda lines: [*lines[:2], lines[2][:-1]], "line 3: is truncated", id="the last line feed"),
        pytest.param(lambda lines: [*lines, b"\n"], "line 4: is not a record", id="an empty line"),
        pytest.param(lambda lines: [*lines, b"[]\n"], "line 4: is not a record in canonical", id="no object"),
        pytest.param(lambda lines: [lines[0].replace(b",", b", "), *lines[1:]], "canonical form", id="blanks"),
        pytest.param(
            lambda lines: [lines[0].replace(b'"sequence":1', b'"sequence":2')], "sequence number 2", id="misnumbered"
        ),
    ],
)
def test_a_log_that_was_changed_says_where_and_takes_no_more(change: Change, words: str, path: Path) -> None:
    path.write_bytes(b"".join(change(written(path))))
    before = path.read_bytes()
    with pytest.raises(DigestError, match=words):
        audit_log.verify(path)
    with pytest.raises(DigestError, match=words), audit_log.open_log(path):
        pass
    assert path.read_bytes() == before


def test_an_end_cut_off_shows_to_who_has_an_anchor(path: Path) -> None:
    lines = written(path)
    path.write_bytes(b"".join(lines[:2]))
    assert audit_log.verify(path).records == 2
    with pytest.raises(DigestError, match="it was truncated"):
        audit_log.verify(path, anchor=Sha256.of(lines[2]))


def test_nobody_else_appends_meanwhile(path: Path) -> None:
    with audit_log.open_log(path), pytest.raises(OutputError, match="another process"), audit_log.open_log(path):
        pass


def test_a_record_that_is_not_on_disk_is_an_error(path: Path) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with audit_log.open_log(path, sync=full) as log, pytest.raises(OutputError, match="No space left"):
        log.append({"record": "x"})


def test_what_no_reader_could_verify_is_not_written(path: Path) -> None:
    with audit_log.open_log(path) as log:
        with pytest.raises(DigestError, match="surrogate"):
            log.append({"record": "\udc80"})
        log.append({"record": "x"})
    assert audit_log.verify(path).records == 1


def test_a_link_and_a_log_that_others_write_are_refused(path: Path, tmp_path: Path) -> None:
    written(path)
    path.chmod(0o620)
    with pytest.raises(KeyUnusableError, match="others can write"), audit_log.open_log(path):
        pass
    link = tmp_path / "link"
    link.symlink_to(path)
    with pytest.raises(OutputError, match="cannot open the audit log"), audit_log.open_log(link):
        pass
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(KeyUnusableError, match="not a regular file"), audit_log.open_log(tmp_path / "fifo"):
        pass
    with pytest.raises(UnreadableError, match="not a regular file"):
        audit_log.verify(tmp_path / "fifo")
    with pytest.raises(UnreadableError, match="No such file"):
        audit_log.verify(tmp_path / "absent")


def test_an_empty_log_is_a_chain_of_none(path: Path) -> None:
    path.touch()
    assert audit_log.verify(path) == Chain()

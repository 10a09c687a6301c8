"""What hardening/fuzz attacks of ``verify.sh``: what is in an archive, and the tools that the script calls.

Law: "valid" is said only of an archive that holds the files that were signed, each once, and nothing else but folders;
and only where every command that the script calls has ended well.
"""

# ruff: noqa: S101  the laws

from __future__ import annotations

import functools
import io
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path

from conformance.build.kits import Members, files, patched, published, tar
from conformance.build.signing import key
from conformance.build.tar_bytes import END, header, padded
from kit.errors import KitError, UnreadableError
from kit.verbs.verify.judgement import Expectation
from kit.verbs.verify.receipt import make_script

TOOLS: tuple[str, ...] = (
    *("awk", "cat", "cmp", "find", "grep", "gzip", "head", "mkdir", "mktemp", "od", "openssl", "sed", "sha256sum"),
    *("sort", "tar", "tr", "uniq", "wc", "zstd"),
)
"""What ``verify.sh`` calls, apart from what it tidies up with."""
_BETWEEN = b"\x1e\x1e\x1e"
_CODES = {1, 2, 3, 4, 5, 9, 11}
_SHIM = """#!/bin/sh
printf x >> '{calls}'
[ "$('{count}' -c < '{calls}')" -ne "$FAIL_AT" ] || exit 3
exec '{real}' "$@"
"""


@functools.cache
def script() -> bytes:
    """Return ``verify.sh`` for the keys of publisher and site."""
    keys = [key(name).public for name in ("publisher", "site")]
    return make_script(Expectation(trusted={one.key_id: one for one in keys}))


def run_script(
    kit: Path, *, shell: str = "sh", path: str = "", **environment: str
) -> subprocess.CompletedProcess[bytes]:
    """Run the script over a kit; ``path`` goes before the folders of PATH."""
    place = kit.parent / "verify.sh"
    place.write_bytes(script())
    searched = f"{path}:{os.environ['PATH']}" if path else os.environ["PATH"]
    whole = {**os.environ, "PATH": searched, "TMPDIR": str(kit.parent), **environment}
    return subprocess.run([shell, str(place), str(kit)], capture_output=True, check=False, env=whole, timeout=300)


def run_failing(kit: Path, tool: str, call: int) -> tuple[subprocess.CompletedProcess[bytes], int]:
    """Run the script while one call of a tool fails, and return how often the tool was called, too."""
    with tempfile.TemporaryDirectory(prefix="kit-fuzz-") as folder:
        calls, shim = Path(folder, "calls"), Path(folder, tool)
        shim.write_text(_SHIM.format(calls=calls, count=shutil.which("wc"), real=shutil.which(tool)))
        shim.chmod(0o755)
        run = run_script(kit, path=folder, FAIL_AT=str(call))
        return run, calls.stat().st_size if calls.exists() else 0


def verify_sh(data: bytes) -> None:
    """Law: see the module. A part of an input is a type flag, a name, a separator and a body; the first is a tool.

    Raises:
        KitError: The script refused.
    """
    first, *parts = data.split(_BETWEEN)
    archive = b"".join(map(_entry, parts)) + END
    with tempfile.TemporaryDirectory(prefix="kit-fuzz-") as folder:
        kit = Path(folder, "kit.tar")
        kit.write_bytes(archive)
        tool = TOOLS[first[1] % len(TOOLS)] if len(first) > 2 and first[:1] == b"F" and shutil.which("zstd") else None
        run, calls = run_failing(kit, tool, first[2]) if tool else (run_script(kit), 0)
        left = sorted(item.name for item in kit.parent.iterdir())
    assert left == ["kit.tar", "verify.sh"], left
    assert all(0x20 <= byte < 0x7F or byte == 0x0A for byte in run.stdout + run.stderr), run
    if run.returncode:
        assert run.returncode in _CODES, run
        assert not run.stdout, run
        assert run.stderr.startswith(b"verify.sh: "), run
        raise UnreadableError(run.stderr.decode())
    assert not (tool and calls >= first[2] > 0), f"{tool} failed, and the kit is called valid"
    assert _files(archive) in _signed()


def _entry(part: bytes) -> bytes:
    flag, rest = part[:1] or b"0", part[1:]
    name, _, body = rest.partition(b"\x1e")
    if flag == b"!":
        return rest
    return header(name[:100], size=len(body), flag=flag, link=body[:100] if flag in b"12" else b"") + padded(body)


def _files(archive: bytes) -> list[tuple[str, bytes]]:
    found = []
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        for info in opened:
            assert info.isfile() or info.isdir(), info.name
            if info.isfile() and (body := opened.extractfile(info)) is not None:
                found.append((info.name.removeprefix("./"), body.read()))
    return sorted(found)


@functools.cache
def _signed() -> tuple[list[tuple[str, bytes]], ...]:
    return tuple(sorted(members.items()) for members in _kits())


def _kits() -> tuple[Members, ...]:
    return published(), patched(), published(files() | {" a ": b"1", "-b*": b"2", "é/[c]": b"3"})


def shown(members: Mapping[str, bytes], first: bytes = b"") -> bytes:
    """Return members as an input."""
    return _BETWEEN.join((first, *(b"0" + name.encode() + b"\x1e" + body for name, body in members.items())))


def seeds() -> list[bytes]:
    """Return kits, what is added to one, and one with a tool that fails."""
    first = published()
    added = [
        b"0more\x1ex",
        b"5empty\x1e",
        b"5manifest/\x1e",
        b"2link\x1eREADME.txt",
        b"0./README.txt\x1ea kit\n",
        b"0../x\x1ex",
    ]
    return [
        *map(shown, _kits()),
        *(shown(first) + _BETWEEN + one for one in added),
        shown(first, b"F\x03\x02"),
        shown(first) + _BETWEEN + b"!" + tar({"evil": b"x"}),
    ]


__all__ = ["TOOLS", "KitError", "run_failing", "run_script", "script", "seeds", "shown", "verify_sh"]

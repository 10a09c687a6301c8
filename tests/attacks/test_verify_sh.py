"""``verify.sh`` against an adversary: "valid" is said only where every command has ended well, and of nothing else."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conformance.build.kits import Members, compressed, files, manifest, patched, published, tar
from conformance.build.tar_bytes import END, header, member, pax, record
from hardening import fuzz_scripts
from kit.cli import run

needs_tools = pytest.mark.skipif(
    not all(map(shutil.which, (*fuzz_scripts.TOOLS, "bsdtar"))), reason="needs GNU tar, bsdtar, zstd and openssl"
)


@pytest.fixture(params=["GNU tar", pytest.param("bsdtar", marks=pytest.mark.slow)])
def tar_folder(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Give a folder for PATH in which tar is this one."""
    folder = tmp_path / "bin"
    folder.mkdir()
    if request.param == "bsdtar":
        (folder / "tar").symlink_to(str(shutil.which("bsdtar")))
    return str(folder)


def unpacked(members: Members, place: Path) -> Path:
    for name, data in members.items():
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return place


def written(place: Path, data: bytes) -> Path:
    place.write_bytes(data)
    return place


def verdict(kit: Path, code: int, *words: str, **more: str) -> None:
    """Run the script, and check its exit code, its words, and that it writes to no terminal what a terminal obeys."""
    run = fuzz_scripts.run_script(kit, **more)
    told = run.stdout + run.stderr
    assert all(0x20 <= byte < 0x7F or byte == 0x0A for byte in told), told
    text = told.decode()
    assert run.returncode == code, text
    assert text.startswith({0: "valid: ", 1: "verify.sh: no verdict: "}.get(code, "verify.sh: refused: ")), text
    assert code == 0 or not run.stdout, text
    for word in words:
        assert word in text


NAMES = (
    " before",
    "after ",
    "two  blanks",
    "-rf",
    "--",
    "*",
    "[a]",
    "a?",
    "é",
    "\U0001d11e",
    "'",
    '"',
    "$HOME",
    "`id`",
    ";",
    "#",
)
MORE = ("BZh91AY&SYx", "begin 644 x", "LZIP", "a=b", "%s", "~", " OK", "\u00a0")


@needs_tools
def test_names_that_windows_takes_for_others_are_refused(tmp_path: Path) -> None:
    for name in ("x:b.txt", "a:b", "C:", "d/end.", "end. ", "d./f", "aux", "NUL.txt", "d/com1 .x", "conin$"):
        verdict(written(tmp_path / "kit.tar", tar(published(files() | {name: b"x"}))), 11)


@needs_tools
@pytest.mark.parametrize(
    ("name", "respelled", "code"),
    [
        ("size", str, 11),
        ("size", float, 0),
        ("size", lambda _: "", 11),
        ("size", lambda _: True, 11),
        ("size", lambda _: None, 11),
        ("size", lambda _: ..., 11),
        ("size", lambda _: [7], 11),
        ("sha256", lambda _: 10**63, 11),
        ("path", lambda _: 7, 11),
    ],
)
def test_members_of_an_entry_have_the_type_that_every_reader_takes(
    name: str, respelled: Callable[[Any], object], code: int, tmp_path: Path
) -> None:
    document = manifest(files())
    members = document["files"][1] | {name: respelled(document["files"][1][name])}
    document["files"][1] = {key: value for key, value in members.items() if value is not ...}
    kit = written(tmp_path / "kit.tar", tar(published(document=document)))
    verdict(kit, code)
    assert verified(kit) == code


def verified(kit: Path) -> int:
    """Return the exit code of ``kit verify``."""
    words = [
        "verify",
        str(kit),
        "--trusted-key",
        str(Path(__file__).parents[2] / "fixtures/keys/publisher-TEST-ONLY.pub.pem"),
        "--workers=1",
    ]
    return run(words)


@needs_tools
def test_names_that_a_shell_could_take_for_something_else_are_kept(tar_folder: str, tmp_path: Path) -> None:
    members = published(
        files() | {name: name.encode() for name in NAMES + MORE} | {f"d/{name}/f": b"" for name in NAMES}
    )
    first = dict(sorted(members.items(), key=lambda item: not item[0].startswith("BZh")))
    for kit in (
        written(tmp_path / "kit.tar", tar(first)),
        written(tmp_path / "kit.tar.zst", compressed(tar(members), ".tar.zst")),
        unpacked(members, tmp_path / "folder"),
    ):
        verdict(kit, 0, f": {len(members) - 2} files,", path=tar_folder)
    (tmp_path / "folder" / "after ").rename(tmp_path / "folder" / "after")
    verdict(tmp_path / "folder", 2, "after", path=tar_folder)


@pytest.mark.slow
@needs_tools
def test_each_way_to_put_something_beside_what_is_signed(tar_folder: str, tmp_path: Path) -> None:
    whole = tar(published())[: -len(END)]
    evil = member(b"plugin.so", b"evil")
    for name, more, code in (
        ("a file", evil, 2),
        ("a file in a folder of mode 0311", member(b"d/", b"", flag=b"5", mode=b"0000311\0") + member(b"d/x", b"x"), 2),
        ("a file in a folder of mode 0", member(b"d/", b"", flag=b"5", mode=b"0000000\0") + member(b"d/x", b"x"), 2),
        ("a file without leave to read it", member(b"x", b"x", mode=b"0000000\0"), 2),
        ("a file again", member(b"README.txt", b"evil"), 9),
        ("a file again, as it is", member(b"README.txt", b"a kit\n"), 9),
        ("a file again, behind a dot", member(b"./README.txt", b"evil"), 9),
        ("a file again, behind two", member(b"././README.txt", b"evil"), 9),
        ("a file again, through a dot", member(b"images/./layer.bin", b"evil"), 9),
        ("a file again, with two slashes", member(b"images//layer.bin", b"evil"), 9),
        ("a folder of a file's name", member(b"README.txt/", b"", flag=b"5"), 9),
        ("a symlink", header(b"l", flag=b"2", link=b"README.txt"), 9),
        ("a hard link", header(b"l", flag=b"1", link=b"README.txt"), 9),
        ("a FIFO", header(b"f", flag=b"6"), 9),
        ("a device", header(b"f", flag=b"3"), 9),
        ("a name that climbs", member(b"../x", b"x"), 9),
        ("a name that climbs and returns", member(b"../kit/README.txt", b"evil"), 9),
        ("an absolute name", member(b"/tmp/kit-evil", b"x"), 9),
        ("a backslash", member(b"a\\b", b"x"), 9),
        ("an escape sequence", member(b"a\x1b[2Jb", b"x"), 9),
        ("a line feed", member(b"a\n./README.txt", b"x"), 9),
        ("another name in a PAX record", pax(record("path", b"x\x1b")) + member(b"a", b"x"), 9),
        ("an owner with a line feed", pax(record("uname", b"x\n-rw-r--r-- 0/0 1 x")) + evil, 2),
    ):
        kit = written(tmp_path / "kit.tar", whole + more + END)
        try:
            verdict(kit, code, path=tar_folder)
        except AssertionError as error:
            raise AssertionError(name) from error
    assert not Path("/tmp/kit-evil").exists()  # noqa: S108  the attack's


@pytest.mark.slow
@needs_tools
def test_what_tar_would_unpack_though_it_is_no_tar(tar_folder: str, tmp_path: Path) -> None:
    """The attack: another format, or one more compression, that only some tars see through."""
    plain = tar(published())
    for name, data in {
        "gzip in gzip": compressed(compressed(plain, ".tar.gz"), ".tar.gz"),
        "zstd in gzip": compressed(compressed(plain, ".tar.zst"), ".tar.gz"),
        "cut in a header": plain[:700],
        "nothing": b"",
        "zeros": bytes(10240),
        "an ar archive": b"!<arch>\n" + plain,
        "a checksum that is wrong": plain[:148] + b"0000000\0" + plain[156:],
    }.items():
        kit = written(tmp_path / "kit.tar", data)
        run = fuzz_scripts.run_script(kit, path=tar_folder)
        assert run.returncode in {9, 11}, (name, run)


@needs_tools
@pytest.mark.parametrize("make", [os.mkfifo, lambda p: p.symlink_to("README.txt")], ids=["FIFO", "symlink"])
def test_what_is_neither_file_nor_folder_in_a_folder_kit(make: Any, tmp_path: Path) -> None:
    kit = unpacked(published(), tmp_path / "folder")
    make(kit / "x\x1b")
    verdict(kit, 9, r"x\033")


@needs_tools
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="needs setpriv")
def test_an_unreadable_folder_hides_nothing() -> None:
    """The attack: a folder of mode 0311 can be entered and not listed; what is in it was neither met nor missed."""
    with tempfile.TemporaryDirectory() as name:
        kit = unpacked(published(), Path(name, "folder"))
        (kit / "plugins").mkdir()
        (kit / "plugins/evil.so").write_bytes(b"evil")
        for path in (Path(name), kit, *kit.rglob("*")):
            path.chmod(0o755)
        for path in (Path(name), kit):
            path.chmod(0o777)
        (kit / "plugins").chmod(0o311)
        place = Path(name, "verify.sh")
        place.write_bytes(fuzz_scripts.script())
        ordinary = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] if os.geteuid() == 0 else []
        run = subprocess.run([*ordinary, "sh", place, kit], capture_output=True, text=True, check=False, env=_NOBODY)
        assert (run.returncode, run.stdout) == (1, ""), run
        assert "a folder in" in run.stderr


_NOBODY = {"PATH": os.environ["PATH"], "TMPDIR": "/tmp"}  # noqa: S108  where anybody may write


@needs_tools
@pytest.mark.parametrize(
    "tool",
    [tool if tool in {"find", "sort"} else pytest.param(tool, marks=pytest.mark.slow) for tool in fuzz_scripts.TOOLS],
)
def test_no_command_of_the_script_fails_unnoticed(tool: str, tmp_path: Path) -> None:
    """The attack: a disk that fills, a folder that cannot be read, a process that is killed: each ends the verdict."""
    suffix = ".tar.zst" if tool == "zstd" else ".tar.gz"
    kit = written(tmp_path / f"kit{suffix}", compressed(tar(patched()), suffix))
    _, calls = fuzz_scripts.run_failing(kit, tool, 0)
    assert calls
    for call in {1, calls}:
        run, _ = fuzz_scripts.run_failing(kit, tool, call)
        assert (run.returncode, run.stdout) != (0, b""), (call, run)
        assert run.returncode in {1, 2, 5, 9}, (call, run)
        assert run.stderr.startswith((b"verify.sh: no verdict: ", b"verify.sh: refused: ")), (call, run)
    assert sorted(path.name for path in tmp_path.iterdir()) == [kit.name, "verify.sh"]


@pytest.mark.slow
@needs_tools
def test_what_the_environment_says_changes_no_verdict(tmp_path: Path) -> None:
    """The attack: options for tar in TAR_OPTIONS, another place for cd in CDPATH, a folder with blanks for TMPDIR."""
    whole = tar(published())
    kit = written(tmp_path / "kit.tar", whole)
    evil = written(tmp_path / "evil.tar", whole[: -len(END)] + member(b"plugin.so", b"evil") + END)
    blanks = tmp_path / " a b "
    blanks.mkdir()
    for name, value in (
        ("TAR_OPTIONS", "--exclude=plugin.so"),
        ("TAR_READER_OPTIONS", "hdrcharset=BINARY"),
        ("GZIP", "-l"),
        ("CDPATH", str(blanks)),
        ("LC_ALL", "C.UTF-8"),
        ("TMPDIR", str(blanks)),
        ("POSIXLY_CORRECT", "1"),
        ("IFS", "./"),
    ):
        verdict(kit, 0, **{name: value})
        verdict(evil, 2, **{name: value})
    verdict(kit, 1, "TMPDIR", TMPDIR=str(tmp_path / "none"))


@needs_tools
def test_a_tool_that_is_missing_or_another_tar_is_named(tmp_path: Path) -> None:
    kit = written(tmp_path / "kit.tar", tar(published()))
    tools = tmp_path / "tools"
    tools.mkdir()
    for tool in (*fuzz_scripts.TOOLS, "sh", "rm", "chmod"):
        (tools / tool).symlink_to(str(shutil.which(tool)))
    environment = {"PATH": str(tools), "TMPDIR": str(tmp_path)}
    place = written(tmp_path / "verify.sh", fuzz_scripts.script())
    for tool in ("tar", "openssl", "find", "mktemp", "awk"):
        (tools / tool).rename(tmp_path / tool)
        run = subprocess.run(["/bin/sh", place, kit], capture_output=True, text=True, check=False, env=environment)
        assert run.returncode == 1, run
        assert tool == "awk" or f"{tool} is not there" in run.stderr, run
        (tmp_path / tool).rename(tools / tool)
    (tools / "tar").unlink()
    (tools / "tar").write_text("#!/bin/sh\necho 'tar (busybox) 1.36'\n")
    (tools / "tar").chmod(0o755)
    run = subprocess.run(["/bin/sh", place, kit], capture_output=True, text=True, check=False, env=environment)
    assert (run.returncode, "neither GNU tar nor bsdtar" in run.stderr) == (1, True), run


@pytest.mark.slow
@needs_tools
def test_the_name_of_the_kit_is_no_option_and_reaches_no_terminal(tmp_path: Path) -> None:
    place = written(tmp_path / "verify.sh", fuzz_scripts.script())
    for name in ("-x.tar", "-", "a b.tar ", "x\x1b[2J.tar", "\\é\n.tar"):
        written(tmp_path / name, tar(published()))
        unpacked(published(), tmp_path / f"{name}.folder")
        for kit in (name, f"{name}.folder"):
            run = subprocess.run(["sh", place, kit], capture_output=True, check=False, cwd=tmp_path)
            assert run.returncode == 0, run
            assert all(0x20 <= byte < 0x7F or byte == 0x0A for byte in run.stdout + run.stderr), run


def test_a_full_disk_for_the_verdict_is_no_verdict(tmp_path: Path) -> None:
    kit = written(tmp_path / "kit.tar", tar(published()))
    place = written(tmp_path / "verify.sh", fuzz_scripts.script())
    with Path("/dev/full").open("wb") as full:
        run = subprocess.run(["sh", place, kit], stdout=full, stderr=subprocess.PIPE, check=False)
    assert run.returncode == 1, run

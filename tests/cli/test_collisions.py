"""No command writes where it reads, or two things at one place, whatever that is called: refused before anything."""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import click
import pytest

from kit.cli import kit as group
from kit.cli.paths import Command, require_apart
from kit.cli.places import NameOrFile, Place
from kit.errors import UsageError
from tests import kits
from tests.cli.test_manners import commands, inner
from tests.commands import kit
from tests.end_to_end.desk import Desk

NO_PATHS = {
    *("--age", "--allow-records", "--anchor", "--at", "--bundle-id", "--canary", "--collection", "--created-at"),
    *("--environment", "--executor", "--expires", "--expires-at", "--id", "--incident", "--max", "--max-memory"),
    *("--minimum-generation", "--name", "--not-after", "--not-before", "--operator", "--owner", "--partition"),
    *("--pkcs11-key", "--pkcs11-key-id", "--pkcs11-token", "--reason", "--reference-collection", "--rollback-note"),
    *("--sealed-to", "--tenant", "--document of approval create", "--key of trust init"),
    *("--uri", "--allow-field"),
    *("--advisory", "TEXT of find", "[PATH] of ls", "MEMBER of cat", "--channel", "--producer", "--version"),
    *("--product", "--context", "--only", "--rekey", "DEK-ID...", "--stated", "--not-applicable"),
}
"""Options that take text which no command opens as a path; of --key, the second word."""
WRITTEN = {
    "approval create": {"--output"},
    "approval sign": {"--output"},
    "cat": {"--output"},
    "census": {"--html"},
    "compare": {"--receipt", "--trust"},
    "create": {"--output"},
    "delta apply": {"--backup", "--output", "--trust"},
    "delta build": {"--output", "--trust"},
    "delta squash": {"--output", "--trust"},
    "delta verify": {"--trust"},
    "diff": {"--html"},
    "export-changes": {"--output", "--trust"},
    "extract": {"--output", "--trust"},
    "keyring add": {"PATH"},
    "keyring export": {"--audit-log", "--output", "--trust"},
    "keyring import": {"--keyring"},
    "keyring init": {"PATH"},
    "keyring rekey": {"--keyring"},
    "keyring retire": {"PATH"},
    "keyring rewrap": {"--keyring"},
    "keys generate": {"PATH"},
    "patch": {"--backup", "--output", "--keyring", "--trust", "--record", "--metrics"},
    "plan": {"--output", "--keyring", "--trust", "--record", "--metrics"},
    "prove": {"--output", "--trust"},
    "recover": {"--audit-log", "--output", "--trust"},
    "rollback": {"KIT", "--trust"},
    "sign": {"--output", "--trust"},
    "trust add": {"POLICY", "--output"},
    "trust init": {"POLICY"},
    "trust rotate": {"POLICY"},
    "trust show": {"POLICY"},
    "trust sign": {"POLICY"},
    "verify": {"--trust", "--receipt", "--write-script", "--html"},
}
"""What a command writes, at the path itself or, of a policy, beside it."""
BESIDE_ONLY = {"--trust", "POLICY of trust show"}
ROOMS = {"--work-folder", "--temp", "--directory"}
EVERY = pytest.mark.parametrize("words", list(commands()), ids=" ".join)


def found(words: tuple[str, ...]) -> click.Command:
    command: click.Command = group
    for word in words:
        assert isinstance(command, click.Group)
        command = inner(command, word)
    return command


def label(parameter: click.Parameter) -> str:
    if isinstance(parameter, click.Option):
        return max(parameter.opts, key=len)
    return parameter.human_readable_name.split()[0]


def kinds(parameter: click.Parameter) -> tuple[click.ParamType[Any], ...]:
    return tuple(parameter.type.types) if isinstance(parameter.type, click.Tuple) else (parameter.type,)


def given(parameter: click.Parameter, path: Path) -> object:
    value = tuple(path if isinstance(kind, Place) else str(path) for kind in kinds(parameter))
    one = value if isinstance(parameter.type, click.Tuple) else value[0]
    return (one,) if parameter.multiple or parameter.nargs == -1 else one


@EVERY
def test_every_parameter_that_is_a_path_declares_what_is_done_there(words: tuple[str, ...]) -> None:
    command = found(words)
    for parameter in command.params:
        for kind in kinds(parameter):
            name = label(parameter)
            if isinstance(kind, Place | NameOrFile):
                assert isinstance(command, Command)  # which compares them
            elif kind is click.STRING or isinstance(kind, click.Path | click.File):
                assert not isinstance(kind, click.Path | click.File)
                assert {name, f"{name} of {' '.join(words)}"} & NO_PATHS, f"is {name} a path?"


@EVERY
def test_what_is_written_is_no_other_path_of_the_command(words: tuple[str, ...], tmp_path: Path) -> None:
    command, same = found(words), tmp_path / "same"
    same.touch()
    places = [one for one in command.params if any(isinstance(kind, Place | NameOrFile) for kind in kinds(one))]
    written = WRITTEN.get(" ".join(words), set())
    for one, other in combinations(places, 2):
        names = {label(one), label(other)}
        counts = names & written - BESIDE_ONLY - {
            f"{name}" for name in names if f"{name} of {' '.join(words)}" in BESIDE_ONLY
        }
        context = click.Context(command)
        context.params = {one.name or "": given(one, same), other.name or "": given(other, same)}
        if counts or len(names & ROOMS) == 1:
            with pytest.raises(UsageError, match="are one place, and it would be written"):
                require_apart(context)
        else:
            require_apart(context)


@EVERY
def test_the_state_of_a_policy_is_no_other_path_of_the_command(words: tuple[str, ...], tmp_path: Path) -> None:
    command = found(words)
    places = {label(one): one for one in command.params if any(isinstance(kind, Place) for kind in kinds(one))}
    policy = places.pop("--trust", None)
    for other in places.values() if policy is not None else ():
        assert policy is not None
        context = click.Context(command)
        context.params = {
            policy.name or "": tmp_path / "policy",
            other.name or "": given(other, tmp_path / "policy.state"),
        }
        with pytest.raises(UsageError, match="the state of --trust"):
            require_apart(context)


IN_PLACE = ("patch", "k", "--in-place", "--trusted-key", "v.pub", "--signing-key", "s.pem")
BESIDE = ("patch", "k", "-o", "new", "--trusted-key", "v.pub", "--signing-key", "s.pem")
APPLY = ("delta", "apply", "k", "d", "--in-place", "--trusted-key", "v.pub")


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the working folder, with a file for each name that the commands above read."""
    monkeypatch.chdir(tmp_path)
    for name in ("k", "d", "v.pub", "s.pem", "ring", "policy", "policy.state", "map"):
        (tmp_path / name).write_text(name)
    (tmp_path / "folder").mkdir()
    return tmp_path


def refused(table: Path, words: tuple[object, ...], *what: str) -> None:
    before = kits.folder_state(table)
    outcome = kit(*words)
    outcome.refused(64, *what)
    assert "kit: hint: " in outcome.err
    assert kits.folder_state(table) == before


@pytest.mark.parametrize(
    ("words", "what"),
    [
        *(
            ((*IN_PLACE, option, f"k{suffix}"), option)
            for option in ("--record", "--metrics")
            for suffix in ("", ".sha256", ".sig", ".bak.3", ".bak.3.sha256", ".bak.3.sig", ".kit-job", ".kit-done")
        ),
        *(
            ((*BESIDE, option, f"new{suffix}"), option)
            for option in ("--record", "--metrics")
            for suffix in ("", ".sha256", ".sig", ".kit-job")
        ),
        *(((*BESIDE, "--record", name), "--record") for name in ("k", "k.sig", "v.pub", "s.pem")),
        ((*BESIDE, "--record", "r", "--metrics", "r"), "--record and --metrics"),
        ((*BESIDE, "--record", "r", "--metrics", ".r.new"), "the unfinished file of --record"),
        ((*BESIDE, "--keyring", "ring", "--metrics", "ring"), "--keyring and --metrics"),
        ((*BESIDE, "--keyring", "ring", "--record", ".ring.lock"), "the lock of --keyring"),
        ((*BESIDE, "--migration", "map", "--record", "map"), "--migration and --record"),
        ((*BESIDE, "--field-map", "map", "--record", "map"), "--field-map and --record"),
        ((*BESIDE, "--cache-map", "map", "--metrics", "map"), "--cache-map and --metrics"),
        ((*BESIDE, "--work-folder", "new"), "--work-folder"),
        (("patch", "k", "-o", "k", "--trusted-key", "v.pub", "--signing-key", "s.pem"), "KIT and --output"),
        (("patch", "k", "-o", "k.sig", "--trusted-key", "v.pub", "--signing-key", "s.pem"), "the signature of KIT"),
        ((*APPLY[:3], "k.bak.3", *APPLY[4:]), "the backup of BASE and DELTA"),
        ((*APPLY[:3], "b.sig", *APPLY[4:], "--backup", "b"), "DELTA and the signature of --backup"),
        ((*APPLY, "--keyring", "k.bak.3"), "the backup of BASE and --keyring"),
        (("rollback", "k", "--trusted-key", "v.pub", "--delta", "k.rolled-back.4"), "kept of KIT and --delta"),
        (("verify", "k", "--trusted-key", "v.pub", "--html", "k.sig"), "the signature of KIT and --html"),
        (("verify", "k", "--trust", "policy", "--html", ".policy.state.lock"), "the lock of --trust"),
        (("verify", "k", "--trusted-key", "v.pub", "--html", "h", "--write-script", "h"), "--write-script and --html"),
        (("diff", "k", "d", "--html", "d"), "B and --html"),
        (("trust", "add", "policy", "v.pub", "--role", "patcher", "-o", "v.pub"), "KEY and --output"),
        (("keyring", "add", "ring", "--rsa", "ring"), "PATH and --rsa"),
        (("prove", "k", "--id", "x", "-o", "k.sha256"), "the checksum of KIT and --output"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_a_path_that_is_also_another_is_refused_before_anything_is_written(
    table: Path, words: tuple[str, ...], what: str
) -> None:
    refused(table, words, what, "would be written")


SPELLINGS: dict[str, Callable[[Path], Path]] = {
    "dots": lambda _: Path("folder/.././ring"),
    "absolute": lambda table: table / "ring",
    "hard link": lambda table: linked(os.link, table),
    "symbolic link": lambda table: linked(os.symlink, table),
    "link to a link": lambda table: linked(os.symlink, table, through="middle"),
    "folder that is a link": lambda table: linked(os.symlink, table, "here", table) / "ring",
}


def linked(
    link: Callable[[Path, Path], None], table: Path, name: str = "other", to: Path | None = None, through: str = ""
) -> Path:
    if through:
        link(table / "ring", table / through)
    link(to or table / (through or "ring"), table / name)
    return table / name


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_another_name_of_a_file_is_that_file(table: Path, spelling: str) -> None:
    path = SPELLINGS[spelling](table)
    before = kits.folder_state(table)
    for options in (("--keyring", "ring", "--record", path), ("--keyring", path, "--metrics", "ring")):
        kit(*BESIDE, *options).refused(64, "are one place")
    assert kits.folder_state(table) == before


def test_what_is_not_there_yet_is_one_place_by_its_folder_and_name(table: Path) -> None:
    (table / "here").symlink_to(table)
    (table / "dangling").symlink_to(table / "new.sig")
    for path in ("./new.sig", "folder/../new.sig", table / "new.sig", "here/new.sig", "dangling"):
        refused(table, (*BESIDE, "--record", path), "the signature of --output and --record are one place")


def test_names_that_some_file_systems_take_for_one_are_one_are_not_both_written(table: Path) -> None:
    for one, other in (("R", "r"), ("r\u00e9", "re\u0301"), ("r", "r."), ("STRASSE", "straße")):
        refused(
            table,
            (*BESIDE, "--record", one, "--metrics", other),
            "--record and --metrics have names that some file systems take for one",
        )


@pytest.mark.parametrize("inner_name", ["file", "sub/file", "new-sub/file"])
def test_nothing_is_written_into_a_kit_that_is_read(table: Path, inner_name: str) -> None:
    (table / "tree" / "sub").mkdir(parents=True)
    within = Path("folder/../tree") / inner_name
    patching = ("patch", "tree", "--trusted-key", "v.pub", "--signing-key", "s.pem")
    for words in (
        (*patching, "-o", "new", "--record", within),
        (*patching, "-o", "new", "--metrics", within),
        (*patching, "-o", within),
        (*patching, "--in-place", "--record", within),
        (*patching, "-o", "new", "--work-folder", within),
        ("verify", "tree", "--trusted-key", "v.pub", "--html", within),
        ("diff", "k", "tree", "--temp", within),
        ("extract", "tree", "--trusted-key", "v.pub", "-o", within),
    ):
        refused(table, words, "would be inside")


def test_nothing_is_read_from_or_written_to_a_folder_that_a_run_empties(table: Path) -> None:
    (table / "k.kit-job").mkdir()
    (table / "k.kit-job" / "key").write_text("x")
    refused(table, (*IN_PLACE, "--migration", "k.kit-job/key"), "--migration would be inside the job folder of KIT")
    refused(table, (*IN_PLACE, "--record", "k.kit-job/r"), "--record would be inside the job folder of KIT")


@pytest.mark.parametrize("kind", ["link", "fifo", "null"])
def test_a_record_replaces_no_link_and_no_device(table: Path, kind: str) -> None:
    place = table / "place"
    if kind == "link":
        place.symlink_to("elsewhere")
    elif kind == "fifo":
        os.mkfifo(place)
    else:
        place = Path("/dev/null")
    for option in ("--record", "--metrics"):
        refused(table, (*BESIDE, option, place), f"would be replaced by the file of {option}")
    assert not Path("/dev/null").is_file()


def test_a_name_to_which_nothing_can_be_added_is_refused_before_the_work(table: Path) -> None:
    for length, what in ((255, "checksum"), (250, "checksum"), (248, "job folder")):
        name = "n" * length
        (table / name).write_text("kit")
        patching = ("patch", "--trusted-key", "v.pub", "--signing-key", "s.pem")
        refused(table, (*patching, name, "--in-place"), f"the {what} of KIT would have a name of", "allows 255")
        (table / name).unlink()
        refused(table, (*patching, "k", "-o", name), f"the {what} of --output would have a name of")
    refused(table, (*BESIDE, "--record", "r" * 252), "the unfinished file of --record would have a name of 257 bytes")


def test_paths_that_only_look_alike_are_taken(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    path = desk.kit()
    monkeypatch.chdir(desk.kits)
    (desk.kits / "work").mkdir()
    options = ("--record", "kit.tar.zst.bak.3.json", "--metrics", "work/kit.tar.zst", "--work-folder", "work")
    assert desk.patch(path, "--in-place", *options).code == 0
    assert desk.patch(desk.kit(name="other.tar.zst"), "-o", "-", "--metrics", "-").code == 0
    assert (desk.kits / "-").is_file()
    assert kit("diff", path, path).code == 0


def test_a_site_that_works_inside_of_its_folder_does_not_remove_it(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = desk.kit(name="folder")
    for place in (folder, next(one for one in folder.iterdir() if one.is_dir())):
        monkeypatch.chdir(place)
        here = Path(os.path.relpath(folder.parent)) / folder.name
        outcome = desk.patch(here, "--in-place", "--no-backup")
        outcome.refused(64, "the working folder is inside, and would be removed with the old kit")
        assert f"kit: hint: cd {folder.parent.resolve()}" in outcome.err
    here = Path(os.path.relpath(folder.parent)) / folder.name
    assert desk.patch(here, "--in-place", "--record", Path(os.path.relpath(folder.parent)) / "r.json").code == 0
    assert (folder.parent / "r.json").is_file()

"""A file of another kind than the one that is expected is named, with the command for it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from importlib.resources import files
from itertools import product
from pathlib import Path

import click
import pytest

from kit.archive.recognise import COMMANDS, recognise
from kit.cli import kit as group
from kit.cli.output import unknown_options
from kit.cli.places import Expected, NameOrFile, Place, require_kinds
from kit.encryption.audit_log import Chain
from kit.errors import KitError
from kit.values.file_kind import FileKind
from tests import kits
from tests.commands import Outcome, kit
from tests.end_to_end.desk import Desk

Files = Mapping[FileKind, Path]
LATER = "2099-05-01T00:00:00Z"


@pytest.fixture(scope="module", name="desk")
def desk_of_the_module(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    return Desk(tmp_path_factory.mktemp("desk"))


@pytest.fixture(scope="module", name="there")
def one_of_each_kind(desk: Desk) -> Files:
    """Each made by the command that makes it, where there is one."""
    folder = desk.kits
    base, vendor = desk.kit(), ("--signing-key", desk.keys / "vendor")
    target = desk.patched(base, "--merkle", "--record", folder / "record")
    both = desk.trust("vendor", "site")
    policy, keyring = folder / "policy", folder / "keyring"
    roles = ("--key", desk.public("vendor"), "publisher,auditor", "--key", desk.public("site"), "patcher")
    approved = ("--incident", "I", "--reason", "r", "--collection", "a.b", "--whole-collections", "--expires", LATER)
    (folder / "passphrase").write_bytes(b"words\n")
    with (folder / "passphrase").open() as passphrase:
        made = [
            kit("delta", "build", base, target, "-o", folder / "delta", *vendor, *both, "--created-at", LATER),
            kit("trust", "init", policy, *roles),
            kit(
                "compare",
                target,
                target,
                "--trust",
                policy,
                "--receipt",
                folder / "comparison",
                *vendor,
                "--at",
                kits.AT,
            ),
            kit("verify", target, "--trust", policy, "--receipt", folder / "receipt", *vendor, "--at", kits.AT),
            kit("verify", target, *both, "--html", folder / "page", "--write-script", folder / "script"),
            kit("prove", target, "--id", "nobody", "--absent", "--output", folder / "proof"),
            kit("approval", "create", target, *approved, *vendor, "-o", folder / "approval"),
            kit("keyring", "init", keyring, "--passphrase-fd", passphrase.fileno()),
        ]
    assert [done for done in made if done.code] == []
    members = kits.read(target)
    (statement,) = (data for name, data in members.items() if name.endswith("intoto.json"))
    written = {
        FileKind.STATEMENT: statement,
        FileKind.MANIFEST: members[kits.MANIFEST],
        FileKind.AUDIT_LOG: Chain().line({"incidentId": "I"}) * 2,
        FileKind.FIELD_MAP: (files("kit.encryption") / "maps" / "concelier.json").read_bytes(),
        FileKind.MIGRATION: (files("kit.migrations") / "20251031_raw_linkset.json").read_bytes(),
    }
    for kind, data in written.items():
        (folder / kind.name).write_bytes(data)
    return {
        FileKind.KIT: target,
        FileKind.PUBLIC_KEY: desk.public("vendor"),
        FileKind.PRIVATE_KEY: desk.keys / "vendor",
        FileKind.STATE: folder / "policy.state",
        **{kind: folder / kind.name for kind in written},
        **{
            kind: folder / kind.name.lower()
            for kind in (
                FileKind.DELTA,
                FileKind.RECORD,
                FileKind.POLICY,
                FileKind.RECEIPT,
                FileKind.COMPARISON,
                FileKind.PROOF,
                FileKind.APPROVAL,
                FileKind.KEYRING,
                FileKind.PAGE,
                FileKind.SCRIPT,
            )
        },
    }


def test_each_kind_is_recognised(there: Files) -> None:
    assert there.keys() == set(FileKind)
    assert {kind: recognise(path) for kind, path in there.items()} == {kind: kind for kind in FileKind}


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz", ".tar.zst", ""])
def test_a_kit_is_recognised_however_it_is_packed(suffix: str, tmp_path: Path) -> None:
    path = kits.write_kit(tmp_path / f"k{suffix}", kits.signed(kits.content(), None))
    assert recognise(path) is FileKind.KIT


@pytest.mark.parametrize(
    "data", [b"", b"text", b"{", b"{}", b"[" * 100_000, b"{" * 100_000, b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"\0" * 2048]
)
def test_what_is_not_known_has_no_kind(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(data)
    assert recognise(tmp_path / "x") is None


def test_nothing_but_files_and_folders_is_opened(tmp_path: Path, there: Files) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(there[FileKind.DELTA])
    (tmp_path / "folder").mkdir()
    assert [recognise(tmp_path / name) for name in ("pipe", "link", "folder", "absent")] == [None] * 4
    reading, writing = os.pipe()
    os.write(writing, b"{}")
    assert recognise(Path(f"/dev/fd/{reading}")) is None
    assert os.read(reading, 9) == b"{}"
    for end in (reading, writing):
        os.close(end)


def parameters(command: click.Command = group, context: click.Context | None = None) -> Iterator[tuple[str, Place]]:
    """Return every parameter of every command that expects a kind."""
    context = click.Context(command, parent=context, info_name=(context and command.name) or "kit")
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from parameters(inner, context)
        return
    for parameter in command.params:
        place = parameter.type.place if isinstance(parameter.type, NameOrFile) else parameter.type
        if isinstance(place, Place) and place.expects not in {None, FileKind.KEYRING}:
            yield f"{context.command_path} {parameter.name}", place


def refusal(place: Place, path: Path) -> KitError | None:
    assert place.expects is not None
    try:
        require_kinds([Expected(parameter="IT", kind=place.expects, path=path)], click.Context(click.Command("x")))
    except KitError as error:
        return error
    return None


def test_the_parameters_of_all_verbs_expect_a_kind() -> None:
    assert {place.expects for _, place in parameters()} == {
        FileKind.KIT,
        FileKind.DELTA,
        FileKind.RECEIPT,
        FileKind.PAGE,
        FileKind.PROOF,
        FileKind.APPROVAL,
        FileKind.POLICY,
        FileKind.FIELD_MAP,
        FileKind.MIGRATION,
        FileKind.AUDIT_LOG,
    }


def test_each_parameter_refuses_every_other_kind_and_names_it(there: Files) -> None:
    for (name, place), (kind, path) in product(parameters(), there.items()):
        error = refusal(place, path)
        assert (error is None) == (place.expects is not None and kind.is_a(place.expects)), (name, kind)
        if error is not None:
            assert place.expects is not None
            assert (error.what, error.where) == (f"is {kind.value}, not {place.expects.value}", str(path)), name
            assert bool(error.hint) == (kind in COMMANDS), name


def test_one_receipt_serves_as_the_other_and_nothing_else_does() -> None:
    others = {(one, two) for one, two in product(FileKind, FileKind) if one is not two and one.is_a(two)}
    assert others == {(FileKind.COMPARISON, FileKind.RECEIPT)}


def test_each_command_that_is_named_exists() -> None:
    context = click.Context(group, info_name="kit")
    for text in COMMANDS.values():
        for part in text.split(", or "):
            words = part.split(": ")[-1].split()
            if words[0] == "kit":
                inner = group.get_command(context, words[1])
                if isinstance(inner, click.Group):
                    assert inner.get_command(context, words[2]) is not None, text
                assert inner is not None, text
            assert list(unknown_options(part, context)) == [], text


def signed(desk: Desk, *words: object) -> Outcome:
    return kit(*words, "--signing-key", desk.keys / "vendor", *desk.trust("vendor"))


def test_commands_of_kits_refuse_a_delta_with_the_code_of_a_kit_without_manifest(desk: Desk, there: Files) -> None:
    delta, trust = there[FileKind.DELTA], desk.trust("vendor", "site")
    hint = f"kit: hint: kit delta verify {delta}, or kit delta inspect {delta}\n"
    for words in (
        ("inspect", delta),
        ("verify", delta, *trust),
        ("diff", there[FileKind.KIT], delta),
        ("prove", delta, "--id", "x", "-o", desk.kits / "none"),
        ("extract", delta, "-o", desk.kits / "none", *trust),
        ("plan", delta, *trust),
        ("patch", delta, "-o", desk.kits / "none", "--signing-key", desk.keys / "site", *trust),
        ("rollback", delta, *trust),
    ):
        kit(*words).refused(11, f"kit: error: {delta}: is a delta, not a kit\n{hint}")


@pytest.mark.parametrize("kind", [kind for kind in FileKind if kind is not FileKind.KEYRING])
def test_what_is_given_as_a_keyring_and_is_none_is_named(kind: FileKind, there: Files) -> None:
    kit("keyring", "show", there[kind]).refused(13, f"is {kind.value}, not a keyring")


def test_the_error_as_json_names_the_kind_too(desk: Desk, there: Files) -> None:
    done = kit("verify", there[FileKind.PROOF], *desk.trust("vendor"), "--json")
    assert (done.code, done.json["error"]["what"]) == (9, "is a proof, not a kit")
    assert json.loads(done.out)["exitCode"] == 9


def test_commands_of_deltas_refuse_a_kit(desk: Desk, there: Files) -> None:
    for verb in (("inspect",), ("verify", *desk.trust("vendor"))):
        kit("delta", verb[0], there[FileKind.KIT], *verb[1:]).refused(9, "is a kit, not a delta", "kit inspect")


def test_base_and_delta_that_are_swapped_are_put_in_order(desk: Desk, there: Files) -> None:
    base, delta, out = desk.kits / "kit.tar.zst", there[FileKind.DELTA], desk.kits / "made.tar.zst"
    trust = desk.trust("vendor", "site")
    done = kit("delta", "apply", delta, base, "-o", out, *trust)
    done.refused(9, f"{delta}: is a delta, and {base} is a kit")
    (line,) = (line for line in done.err.splitlines() if "hint" in line)
    advice = line.removeprefix("kit: hint: BASE and DELTA are swapped: kit ")
    assert kit(*advice.split(), "-o", out, *trust).code == 0
    squash = ("--signing-key", desk.keys / "vendor", "-o", out.with_name("squashed"), *trust)
    kit("delta", "squash", delta, base, *squash).refused(9, "hint: BASE and DELTA are swapped\n")


@pytest.mark.parametrize("kind", [kind for kind in FileKind if not kind.is_a(FileKind.RECEIPT)])
def test_what_is_given_as_a_receipt_and_is_none_is_named(kind: FileKind, desk: Desk, there: Files) -> None:
    words = (f"is {kind.value}, not a receipt", COMMANDS[kind].partition("{}")[0] if kind in COMMANDS else "")
    kit("receipt", "show", there[kind]).refused(5, *words)
    kit("receipt", "verify", there[kind], *desk.trust("vendor")).refused(5, *words)


def test_what_is_given_as_the_page_of_a_receipt_and_is_none_is_named(desk: Desk, there: Files) -> None:
    words = ("receipt", "verify", there[FileKind.RECEIPT], *desk.trust("vendor"), "--page", there[FileKind.SCRIPT])
    kit(*words).refused(2, "is a verification script, not a report page")


@pytest.mark.parametrize("kind", [kind for kind in FileKind if not kind.is_key])
def test_what_is_given_as_a_key_and_is_none_is_named(kind: FileKind, there: Files) -> None:
    kit("verify", there[FileKind.KIT], "--trusted-key", there[kind]).refused(13, f"is {kind.value}, not a key")


@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_a_public_key_given_as_signing_key_is_named_whatever_its_mode(mode: int, desk: Desk, tmp_path: Path) -> None:
    public = tmp_path / "site.pub.pem"
    public.write_bytes(desk.public("site").read_bytes())
    public.chmod(mode)
    words = ("patch", desk.kits / "kit.tar.zst", "-o", tmp_path / "out", *desk.trust("vendor"), "--signing-key", public)
    kit(*words).refused(13, f"kit: error: {public}: a public key where a private key is expected\n")
    (tmp_path / "site.pem").touch(0o600)
    kit(*words).refused(13, f"kit: hint: did you mean {tmp_path / 'site.pem'}?")


def test_a_kit_without_roots_proves_nothing_whatever_is_asked_of_it(desk: Desk, tmp_path: Path) -> None:
    empty = desk.kit({"README": b"x"}, name="empty.tar")
    for path, words in product((desk.kits / "kit.tar.zst", empty), ((), ("--collection", "a.b"))):
        done = kit("prove", path, "--id", "x", "-o", tmp_path / "p", *words)
        done.refused(11, f"{path}: the manifest has no Merkle roots, so nothing can be proven", "kit patch --merkle")


def test_a_collection_that_there_is_not_is_answered_with_those_there_are(there: Files, tmp_path: Path) -> None:
    done = kit("prove", there[FileKind.KIT], "--id", "x", "-o", tmp_path / "p", "--collection", "a.b")
    done.refused(11, "the manifest names no member of a.b", "kit: hint: it has concelier.advisory_observations")

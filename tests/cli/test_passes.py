"""What a display takes for the whole of a command is what the command does: its passes, in their order."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kit.reports.progress import expected_passes
from tests import kits
from tests.cli.terminal import Terminal
from tests.commands import kit
from tests.end_to_end.desk import Desk
from tests.kits import observation


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    made = Desk(tmp_path)
    observations = [observation(number, "acme" if number % 2 else "globex") for number in range(8)]
    made.patched(made.kit(kits.content(*observations)), "--merkle", "--tenant", "acme")
    return made


def passes(*words: object) -> tuple[str, ...]:
    """Run a command, and give the passes that it went through."""
    done = kit(*words, "--progress", "json")
    assert done.code == 0, done
    lines = [json.loads(line) for line in done.err.splitlines() if line.startswith("{")]
    return tuple(line["stage"] for line in lines if line["event"] == "started")


def test_of_every_command_that_takes_long(desk: Desk, tmp_path: Path) -> None:
    base, patched, folder = desk.kits / "kit.tar.zst", desk.kits / "patched.tar.zst", tmp_path
    trust, key = desk.trust("vendor", "site"), ("--signing-key", desk.keys / "site")
    export = folder / "export"
    export.mkdir()
    (export / "a.txt").write_text("a\n")
    in_place = folder / "in-place.tar.zst"
    in_place.write_bytes(base.read_bytes())
    where = ("--collection", "concelier.advisory_observations")
    mine = ("--signing-key", desk.keys / "vendor")

    def check(command: str, *words: object, **options: Any) -> None:
        assert passes(*command.split(), *words) == expected_passes(command, options), command

    check("plan", base, *trust)
    # A kit that is transformed while it is judged has no pass before that one; the display counts it as done.
    assert passes("patch", in_place, "--in-place", *trust, *key) == expected_passes("patch", {})[1:]
    check("rollback", in_place, *trust)
    check("patch", patched, "-o", folder / "whole.tar.zst", *trust, *key)
    check("verify", patched, *trust)
    assert passes("verify", patched, *trust, "--deep") == expected_passes("verify", {"deep": True})[:2]
    check("delta build", base, patched, "-o", folder / "one.delta", *trust, *mine)
    check("delta build", patched, folder / "whole.tar.zst", "-o", folder / "two.delta", *trust, *mine)
    check("delta apply", base, folder / "one.delta", "-o", folder / "applied.tar.zst", *trust)
    deltas = (folder / "one.delta", folder / "two.delta")
    check("delta squash", base, *deltas, "-o", folder / "both.delta", *trust, *mine, deltas=deltas)
    check("extract", patched, *trust, *where, "--projection", "canonical", "--output", folder / "dump")
    check("prove", patched, "--advisory", kits.identifier(1), *where, "-o", folder / "proof.json")
    check("create", export, "-o", folder / "new.tar", "--bundle-id", "export", *mine)
    check("sign", folder / "new.tar", *desk.trust("vendor"), *key, "-o", folder / "signed.tar")
    check("diff", base, patched)
    check("inspect", patched)
    check("ls", patched)
    check("cat", patched, kits.MANIFEST, "-o", folder / "manifest.json")
    check("find", patched, "acme")


@pytest.mark.parametrize("words", [["verify"], ["verify", "--deep"], ["inspect"]], ids=" ".join)
def test_a_terminal_shows_which_pass_of_how_many(words: list[str], desk: Desk) -> None:
    trust = desk.trust("vendor", "site") if words[0] == "verify" else []
    path = desk.kits / "patched.tar.zst"
    with Terminal(*words, path, *trust, "--workers", 1, TERM="xterm") as terminal:
        assert terminal.wait() == 0
        assert f"survey 1 of {4 if '--deep' in words else 1}" in terminal.shown

"""The page on changes of a schema is true: its migrations and its commands run, in order."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import bson
import pytest

from kit.signing import Algorithm, generate, write_private, write_public
from tests import kits
from tests.commands import ROOT, kit, subprocess_kit
from tests.end_to_end.test_reshape import VALIDATOR

PAGE = (ROOT / "docs/reshape.md").read_text()
BLOCKS = re.findall(r"```(json migration=(\S+)|sh)\n(.*?)```", PAGE, re.DOTALL)


def test_every_migration_and_command_of_the_page_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("publisher", "site"):
        made = generate(Algorithm.ES256)
        write_private(Path(f"{name}.pem"), made)
        write_public(Path(f"{name}.pub.pem"), made.public)
        if name == "publisher":
            documents = [
                {"_id": n, "userId": f"u{n % 3}", "workspaceId": "w", "state": "shut" if n % 2 else "open"}
                for n in range(9)
            ]
            files = {
                "dump/notelett/notes.bson": b"".join(map(bson.encode, documents)),
                "dump/notelett/notes.metadata.json": VALIDATOR,
            }
            kits.write_kit(Path("notes.tar.zst"), kits.signed(files, made, generation=1))
    commands = 0
    for _, migration, text in BLOCKS:
        if migration:
            Path(migration).write_text(text)
            planned = kit("plan", "notes.tar.zst",
                          "--trusted-key", "publisher.pub.pem", "--migration", migration)  # fmt: skip
            assert planned.code in {0, 11}, planned
            assert planned.code == 0 or migration == "remove.json"
            continue
        for line in text.splitlines():
            words = shlex.split(line)[1:]
            commands += 1
            if words[0] == "cat":  # which writes bytes
                assert json.loads(subprocess_kit(*words).stdout)["schemaVersion"] == "1"
                continue
            outcome = kit(*words)
            assert outcome.code == 0, (line, outcome)
            assert "not proven" not in outcome.out, outcome
    assert commands == 13

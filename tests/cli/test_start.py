"""What a command does not need it does not load: most of the time of a short command is that.

Facts about what is loaded, not about time, so they hold on any machine.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click
import pytest

from kit.cli import kit as group, options
from kit.cli.commands import Commands
from kit.encryption import SHIPPED, Profile
from kit.encryption.master_keys import MECHANISMS
from kit.migrations import BUILT_IN, Validation
from kit.signing import Algorithm
from kit.transforms import registry
from kit.trust import RevocationReason, Role
from kit.verbs.diff import diff
from kit.verbs.extract.documents import Form, KeptProjections
from tests.cli.test_manners import commands, inner
from tests.commands import ENVIRONMENT, ROOT

LIBRARIES = {
    "bson",
    "cryptography",
    "email",
    "importlib.metadata",
    "isal",
    "joserfc",
    "jsonschema",
    "multiprocessing",
    "packageurl",
    "pyrage",
    "rich",
    "sqlite3",
    "zstandard",
}
ROOMS = {
    f"kit.{name}" for name in ("archive", "documents", "encryption", "manifest", "output.commit", "signing", "trust")
}
FOR_SOME_VERDICTS = {
    "kit.encryption",
    "kit.engine.leaves",
    "kit.engine.lookup",
    "kit.engine.proving",
    "kit.engine.work",
    "kit.migrations",
    "kit.verbs.verify.receipt",
    "kit.reports.html",
    "kit.transforms.raw_linkset",
}

PROBE = """
import contextlib, io, json, os, sys
before = set(sys.modules)  # what measures coverage is there first, and loads some of it itself
sys.path.insert(0, sys.argv[1])
from kit.cli import commands as completion, kit, run
words, completed = json.loads(sys.argv[2])
with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as errors:
    for one in words:
        assert run(one) == 0, (one, errors.getvalue())
for line in completed:
    os.environ.update({"_KIT_COMPLETE": "zsh_complete", "COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))})
    with contextlib.redirect_stdout(io.TextIOWrapper(io.BytesIO())) as shown:
        completion.complete(kit)
        shown.flush()
    assert shown.buffer.getvalue(), line
print(json.dumps(sorted(sys.modules.keys() - before)))
"""


def loaded(*words: Iterable[object], completed: Iterable[str] = ()) -> set[str]:
    """Return the modules that a new process loads to run the commands and to answer a shell."""
    asked = json.dumps([[[str(word) for word in one] for one in words], list(completed)])
    done = subprocess.run(
        [sys.executable, "-c", PROBE, ROOT, asked], env=ENVIRONMENT, capture_output=True, text=True, check=True
    )
    return set(json.loads(done.stdout))


def test_no_help_and_no_completion_loads_what_does_the_work() -> None:
    pages = [(*words, "--help") for words in commands()]
    groups = {words[:-1] for words in commands()}
    lines = [" ".join(("kit", *words, "--")) for words in commands()]
    lines += [" ".join(("kit", *words, "")) for words in groups]
    found = loaded(("--help",), *pages, completed=lines)
    assert {"kit.cli.verify", "kit.cli.delta_apply"} <= found  # so it is known of all of them
    assert found & (LIBRARIES | ROOMS) == set()


def test_the_list_of_commands_loads_none_of_them() -> None:
    found = loaded(("--help",), completed=["kit ", "kit ver"])
    assert {name for name in found if name.startswith("kit.")} <= {
        "kit.cli",
        "kit.cli.commands",
        "kit.cli.manual",
        "kit.cli.output",
        "kit.engine",
        "kit.engine.interrupts",
        "kit.errors",
        "kit.reports",
        "kit.reports.text",
        "kit.safe_point",
    }


def test_the_version_loads_the_parts_that_know_their_own_and_no_other() -> None:
    found = loaded(("--version",))
    assert found & LIBRARIES == {"cryptography", "zstandard"}
    assert found & ROOMS <= {"kit.documents", "kit.signing"}


@pytest.fixture(name="words")
def plain_verdict() -> list[object]:
    fixtures = ROOT / "fixtures"
    return ["verify", fixtures / "kits/harbor.tar.zst", "--trusted-key", fixtures / "keys/publisher-TEST-ONLY.pub.pem"]


def test_a_verdict_loads_what_it_needs_and_no_more(words: list[object]) -> None:
    found = loaded(words)
    assert {"kit.verbs.verify.verify", "kit.signing", "cryptography"} <= found
    assert found & FOR_SOME_VERDICTS == set()
    assert found & LIBRARIES <= {"cryptography", "isal", "zstandard"}


def test_a_verdict_that_needs_more_loads_it(words: list[object], tmp_path: Path) -> None:
    found = loaded([*words, "--deep", "--html", tmp_path / "page.html"])
    assert found & FOR_SOME_VERDICTS >= {"kit.engine.proving", "kit.engine.leaves", "kit.reports.html"}


@pytest.mark.parametrize(
    ("shown", "source"),
    [
        (options.ALGORITHMS, [one.value for one in Algorithm]),
        (options.KINDS, sorted(one.name.lower() for one in Algorithm)),
        (options.ROLES, [one.value for one in Role]),
        (options.REASONS, [one.value for one in RevocationReason]),
        (options.PROFILES, [one.name.lower() for one in Profile]),
        (options.FIELD_MAPS, list(SHIPPED)),
        (options.MECHANISMS, list(MECHANISMS)),
        (options.MIGRATIONS, list(BUILT_IN)),
        (options.TRANSFORMS, [one for one in registry.BUILT_IN if not one.startswith("reshape-")]),
        (options.VALIDATIONS, [one.value for one in Validation]),
        (options.FORMS, [one.value for one in Form]),
        (options.PROJECTIONS, [one.value for one in KeptProjections]),
        ((options.LISTED,), [diff.LISTED]),
    ],
    ids=lambda value: str(value[0]) if isinstance(value, tuple) else "",
)
def test_words_that_help_shows_are_those_of_their_source(shown: tuple[Any, ...], source: list[Any]) -> None:
    assert list(shown) == source


def lists(command: click.Command) -> Iterable[Commands]:
    if isinstance(command, Commands):
        yield command
        for name in command.homes:
            yield from lists(inner(command, name))


@pytest.mark.parametrize("found", list(lists(group)), ids=lambda found: found.name)
def test_what_a_list_says_of_a_command_is_what_its_own_help_says(found: Commands) -> None:
    for name, home in found.homes.items():
        assert home.purpose == inner(found, name).get_short_help_str(limit=1000)

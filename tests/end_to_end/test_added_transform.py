"""Transforms of another distribution, through the commands: nothing of them is known here but their entry point."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import bson
import pytest

from tests import kits
from tests.commands import Outcome
from tests.end_to_end.desk import Desk
from tests.kits import AT, OBSERVATIONS, observation

PAGE = Path(__file__).parents[2] / "docs/transforms.md"
MORE = '''
from dataclasses import dataclass
from kit.documents import element, find, replace_at, Replacement
from kit.transforms.coverage import is_observations, tenant_named
from kit.transforms.protocol import Change, Transform

@dataclass(frozen=True, slots=True, kw_only=True)
class Rename(Transform):
    """Calls the element ``source`` ``origin``; ``undo`` says how to go back, and lies where it is told to."""
    lies: bool = False
    NAME = "rename"
    name = NAME
    version = 1
    kind = "rename"

    @classmethod
    def of_parameters(cls, parameters):
        return cls(lies=parameters.get("lies", False))

    def parameters(self):
        return {"lies": self.lies}

    def handles(self, name):
        return is_observations(name)

    def apply(self, name, documents, lookup, first):
        return [self._change(document) for document in documents]

    def _change(self, document):
        new = renamed(document, "source", "origin")
        if self.lies and new is not None:
            new = new.replace(b"osv", b"OSV")
        return Change(tenant=tenant_named(document), outcome="present" if new is None else "renamed", document=new)

    def undo(self, name, document):
        return renamed(document, "origin", "source")

def renamed(document, old, new):
    found = find(document, [old])
    if found is None:
        return None
    at = found.start + 1
    body = document[4:at] + new.encode() + document[at + len(old):]
    return (len(body) + 4).to_bytes(4, "little") + body

class Silent(Rename):
    """Does the same and cannot say how to go back."""
    NAME = "silent"
    name = NAME
    def undo(self, name, document):
        return None

def broken():
    raise RuntimeError("no")
'''
POINTS = """
rename = more:Rename
silent = more:Silent
lost = nowhere:Lost
odd = more:broken
"""


class Site(Desk):
    """A desk at which a package with transforms is installed."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.package = folder / "package"
        page = PAGE.read_text(encoding="utf-8")
        (code,) = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
        (declared,) = re.findall(r"^```toml\n\[.*\]\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
        (self.migration,) = re.findall(r"^```json\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
        self.install(
            stamps=code,
            more=MORE,
            points=declared.replace('"', "")
            + "rename = more:Rename\nsilent = more:Silent\nlost = nowhere:Lost\nodd = more:broken\n",
        )

    def install(self, *, points: str, **modules: str) -> None:
        metadata = self.package / "added-1.dist-info"
        metadata.mkdir(parents=True, exist_ok=True)
        for name, code in modules.items():
            (self.package / f"{name}.py").write_text(code)
        (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: added\nVersion: 1\n")
        (metadata / "entry_points.txt").write_text(f"[kit.transforms]\n{points}")

    def run(self, *words: object, installed: bool = True) -> Outcome:
        path = os.pathsep.join([*([str(self.package)] if installed else []), str(PAGE.parents[1])])
        command = [sys.executable, "-P", "-c", "from kit.cli import main; main()", *map(str, words)]
        environment = {**os.environ, "PYTHONPATH": path}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        return Outcome(code=done.returncode, out=done.stdout, err=done.stderr)

    def patch_with(self, kit: Path, *words: object, to: str = "patched.tar.zst", workers: int = 2) -> Outcome:
        signing = ("--signing-key", self.keys / "site", "--created-at", AT, "--workers", workers)
        return self.run("patch", kit, *self.trust("vendor", "site"), *signing, "-o", self.kits / to, *words)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def documents(kit: Path) -> list[dict[str, object]]:
    return [bson.decode(one) for one in kits.documents_of(kits.read(kit)[OBSERVATIONS])]


def test_the_transform_of_the_page_runs_through_every_command(site: Site) -> None:
    base = site.kit(kits.content(observation(1), observation(2, "globex"), observation(3, reviewed="already")))
    planned = site.run("plan", base, *site.trust("vendor"), "--transform", "stamp", "--json")
    assert json.loads(planned.out)["outcomes"] == {
        "stamp": {"acme": {"present": 1, "stamped": 1}, "globex": {"stamped": 1}}
    }
    migration = site.kits / "reviewed.json"
    migration.write_text(site.migration)
    patched = site.patch_with(base, "--migration", migration)
    assert patched.code == 0, patched
    made = site.kits / "patched.tar.zst"
    assert [one["reviewed"] for one in documents(made)] == ["harbour master", "harbour master", "already"]
    assert kits.read(made)["images/layer.bin"] == kits.read(base)["images/layer.bin"]
    for installed in (True, False):
        verdict = site.run("verify", made, *site.trust("vendor", "site"), "--deep", "--json", installed=installed)
        assert verdict.code == 0, verdict
    statement = json.loads(kits.read(made)["manifest/history/3/patch.intoto.json"])
    payload = json.loads(base64.b64decode(statement["payload"]))
    (applied,) = payload["predicate"]["transforms"]
    assert (applied["name"], applied["kind"], applied["version"]) == ("stamp", "additive-optional", "1")
    again = site.patch_with(made, "--migration", migration, to="again.tar.zst")
    assert "nothing to change" in again.out
    assert (site.kits / "again.tar.zst").read_bytes() == made.read_bytes()
    delta = site.kits / "to.delta"
    both = site.trust("vendor", "site")
    built = site.run(
        *("delta", "build", base, made, "-o", delta, *both, "--signing-key", site.keys / "site", "--created-at", AT),
        *("--migration", migration),
    )
    assert "computed at the site: stamp version 1" in built.out, built
    applied = site.run("delta", "apply", base, delta, "-o", site.kits / "applied.tar.zst", *both)
    assert applied.code == 0, applied
    assert (site.kits / "applied.tar.zst").read_bytes() == made.read_bytes()
    refused = site.run("delta", "apply", base, delta, "-o", site.kits / "no.tar.zst", *both, installed=False)
    refused.refused(12, "stamp version 1", "this program has encrypt-fields and raw-linkset")


def test_a_tenant_is_selected_in_it_and_in_its_recipe(site: Site) -> None:
    base = site.kit(kits.content(observation(1), observation(2, "globex")))
    assert site.patch_with(base, "--transform", "stamp", "--tenant", "globex").code == 0
    made = site.kits / "patched.tar.zst"
    assert [one.get("reviewed") for one in documents(made)] == [None, "nobody"]
    built = site.run(
        *("delta", "build", base, made, "-o", site.kits / "to.delta", *site.trust("vendor", "site")),
        *("--signing-key", site.keys / "site", "--created-at", AT),
    )
    assert "computed at the site: stamp version 1" in built.out, built


@pytest.mark.parametrize("workers", [1, 3])
def test_a_chain_with_the_transforms_of_the_package_is_proven_and_one_set_of_bytes(site: Site, workers: int) -> None:
    base = site.kit()
    words = ("--transform", "raw-linkset", "--transform", "stamp", "--transform", "rename", "--rollback-note", "x")
    done = site.patch_with(base, *words, workers=workers)
    assert done.code == 0, done
    for one in documents(site.kits / "patched.tar.zst"):
        assert "origin" in one
        assert "source" not in one
        assert one["reviewed"] == "nobody"
        assert list(one)[-1] == "reviewed"
    site.patch_with(base, *words, to="other.tar.zst", workers=5 - workers)
    assert (site.kits / "other.tar.zst").read_bytes() == (site.kits / "patched.tar.zst").read_bytes()


def lying(site: Site) -> list[object]:
    migration = site.kits / "lying.json"
    value = json.loads(site.migration) | {
        "kind": "rename",
        "transforms": [{"name": "rename", "parameters": {"lies": True}}],
    }
    migration.write_text(json.dumps(value | {"rollback": {"decision": "restore-copy", "note": "x"}}))
    return ["--migration", migration]


@pytest.mark.parametrize(
    "words", [lying, lambda _: ["--transform", "silent", "--rollback-note", "x"]], ids=["does more", "cannot go back"]
)
def test_what_a_transform_cannot_undo_is_not_signed(site: Site, words: Callable[[Site], list[object]]) -> None:
    base = site.kit()
    given = words(site)
    before = kits.folder_state(site.kits)
    site.patch_with(base, *given).refused(2, "came out as another document")
    assert kits.folder_state(site.kits) == before


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("lost", "it cannot be loaded"),
        ("odd", "its NAME is not that of its entry point"),
        ("nobodys", "'nobodys' is not one of 'raw-linkset', 'encrypt-fields', "),
    ],
)
def test_one_that_is_not_there_or_breaks_the_protocol_is_named(site: Site, name: str, words: str) -> None:
    site.run("plan", site.kit(), *site.trust("vendor"), "--transform", name).refused(64, words)


def test_a_name_that_is_taken_is_an_error_and_never_a_choice(site: Site) -> None:
    site.install(points="encrypt-fields = more:Rename\n")
    site.run("plan", site.kit(), *site.trust("vendor"), "--transform", "stamp").refused(
        64, "its name is that of another"
    )
    assert site.run("plan", site.kit(), *site.trust("vendor")).code == 0

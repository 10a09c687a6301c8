"""The library gives each name out on first use: a program does not load what it does not ask for.

Facts about what is loaded, not about time, so they hold on any machine.
"""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from kit import Expectation, api, load_public, verify
from tests.commands import ROOT

FIXTURES = ROOT / "fixtures"
NOT_TO_VERIFY = {
    "kit.encryption",
    "kit.migrations",
    "kit.reports",
    "kit.transforms.raw_linkset",
    "kit.verbs.delta",
    "kit.verbs.diff",
    "kit.verbs.extract",
    "kit.verbs.patch",
    "kit.verbs.recover",
    "kit.verbs.selftest",
}


def loaded(*names: str) -> set[str]:
    """Return the modules that a new process loads to import ``names`` from the library."""
    # What measures coverage is there first, and loads some of what is asked for itself.
    before = "import json, sys\nbefore = set(sys.modules)"
    code = f"{before}\nfrom kit import {', '.join(names)}\nprint(json.dumps(sorted(sys.modules.keys() - before)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


def test_a_program_that_verifies_loads_no_other_verb() -> None:
    found = loaded("verify", "Expectation", "Environment", "Timestamp", "load_public", "KitError")
    assert "kit.verbs.verify.verify" in found
    assert found & NOT_TO_VERIFY == set()
    assert found & {"bson", "jsonschema", "packageurl", "multiprocessing", "sqlite3"} == set()


@pytest.mark.parametrize(
    ("names", "others"),
    [
        (("patch", "PatchRequest", "Output"), {"kit.verbs.delta", "kit.verbs.diff", "kit.verbs.extract"}),
        (("inspect",), NOT_TO_VERIFY),
        (("diff", "DiffRequest"), NOT_TO_VERIFY - {"kit.verbs.diff", "kit.encryption", "kit.transforms.raw_linkset"}),
        (("build_delta", "DeltaBuildRequest"), {"kit.verbs.patch", "kit.verbs.diff", "kit.transforms.raw_linkset"}),
        (("Extractor", "Extraction", "Projection", "Reference"), {"kit.verbs", "kit.engine", "kit.signing"}),
        (("Timestamp",), NOT_TO_VERIFY | {"kit.verbs", "kit.engine", "kit.signing", "kit.archive"}),
    ],
)
def test_each_verb_loads_what_it_needs(names: tuple[str, ...], others: set[str]) -> None:
    assert loaded(*names) & others == set()


def test_the_names_that_a_type_checker_sees_are_those_given_out_at_run_time() -> None:
    tree = ast.parse(Path(api.__file__).read_text(encoding="utf-8"))
    (checked,) = (node for node in tree.body if isinstance(node, ast.If))
    seen = {
        one.asname or one.name: (node.module, one.name)
        for node in checked.body
        if isinstance(node, ast.ImportFrom)
        for one in node.names
    }
    given_out: dict[str, tuple[str, ...]] = vars(api)["_HOMES"]
    places = {name.split()[-1]: (module, name.split()[0]) for module, names in given_out.items() for name in names}
    assert places == seen
    assert sorted(seen) == api.__all__


def test_a_name_that_the_library_does_not_have_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'absent'"):
        _ = api.absent


def test_a_report_is_valid_exactly_where_nothing_failed() -> None:
    publisher, site = (load_public(FIXTURES / f"keys/{name}-TEST-ONLY.pub.pem") for name in ("publisher", "site"))
    for key, is_valid in ((publisher, True), (site, False)):
        report = verify(FIXTURES / "kits/harbor.tar.zst", Expectation(trusted={key.key_id: key}))
        assert report.valid is is_valid
        assert (report.failure is None) is is_valid

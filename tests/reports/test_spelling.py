"""Names are spelled so that nothing of them is obeyed, and no two of them alike."""

from __future__ import annotations

import html
import json
import os
import re
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import example, given, strategies as st

from kit.cli.output import json_text
from kit.reports.html import escaped
from kit.reports.metrics import RunFacts, RunLog, metrics_text
from kit.reports.text import is_shown, printable, well_formed
from kit.values import strict_json

TEXTS = st.text(st.sampled_from("\\\\xun10b\x1b\n\t\u202e\U000e0001\ud800é"), max_size=8) | st.text()
PAIRS = [("a\x1b[2J", r"a\x1b[2J"), ("\n", r"\n"), ("\\", "\\\\"), ("\u202e", r"\u202e"), ("\ud800", r"\ud800")]


def unspelled(text: str) -> str:
    r"""Return what a spelling spells: ``\\``, ``\x1b`` and the like are read as Python reads them."""
    return re.sub(
        r"\\(?:[\\nrt]|x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8})",
        lambda match: match[0].encode().decode("unicode_escape"),
        text,
    )


def test_the_table_of_names_that_are_not_utf_8_is_true() -> None:
    page = (Path(__file__).parents[2] / "schemas/README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `((?:[0-9a-f]{2} ?)+)` \| `(.+)` \| `(.+)` \|$", page, re.MULTILINE)
    assert len(rows) == 2
    for name, in_json, read in rows:
        path = os.fsdecode(bytes.fromhex(name))
        assert json.loads(in_json) == read == well_formed(path)
        # What is printed, and what is recorded.
        for written in (strict_json.canonical(well_formed({"kit": path})), json_text({"kit": path}).encode()):
            assert json.loads(written) == {"kit": read}
            assert in_json.encode() in written


@given(TEXTS)
@example("\\x1b\x1b")
def test_a_spelling_shows_all_of_a_text_and_can_be_read_back(text: str) -> None:
    spelled = printable(text)
    assert all(map(is_shown, spelled))
    assert unspelled(spelled) == text
    assert unspelled(html.unescape(escaped(text))) == text


@pytest.mark.parametrize(("first", "second"), PAIRS, ids=ascii)
def test_two_tenants_of_one_look_are_two_series_of_metrics(first: str, second: str) -> None:
    """The attack: a tenant named as another one is spelled takes over its series."""
    log = RunLog(clock=lambda: 0.0)
    log.documents = Counter(
        {(one, "db.c", "raw-linkset", "unresolvable"): count for count, one in ((1, first), (2, second))}
    )
    facts = RunFacts(command="patch", migration="m", migration_sha256="0", seconds=0, exit_code=0)
    text = metrics_text(log, facts)
    series = [line.rpartition(" ") for line in text.splitlines() if line.startswith("raw_linkset_missing_total{")]
    assert len({name for name, _, _ in series}) == 2
    assert sorted(count for _, _, count in series) == ["1.0", "2.0"]
    assert printable(first) != printable(second)
    assert escaped(first) != escaped(second)

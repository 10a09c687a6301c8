"""A rehearsal and a verdict stay readable with hundreds of tenants: what matters is shown, the rest is added up."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from kit.reports.tenants import ALL_TENANTS, MAX_NAME, SHOWN_REASONS, SHOWN_TENANTS, gap_rows, tenant_rows
from kit.reports.text import clip, clip_names, printable, table
from kit.verbs.verify.judgement import Gap
from tests import kits
from tests.commands import Outcome, kit
from tests.end_to_end.desk import Desk
from tests.kits import observation
from tests.reports.pages import Page

TENANTS = 300
INCOMPLETE = 90
LONG = "a-tenant-with-a-very-long-name-" * 4


@pytest.fixture
def many(desk: Desk) -> Path:
    """Write a kit of 300 tenants, of which the last 90 lack the source of one observation, and one has a long name."""
    documents = [
        observation(number, f"tenant-{number % TENANTS:03}", raw=number < TENANTS or number % TENANTS < 210)
        for number in range(2 * TENANTS)
    ]
    return desk.kit(kits.content(*documents, observation(900, LONG)), name="many.tar")


def rows(text: str, head: str) -> list[list[str]]:
    """Return the rows below a heading, each as words, up to an empty line."""
    lines: Iterator[str] = iter(text.splitlines())
    next(line for line in lines if line.split()[:1] == [head])
    found: list[list[str]] = []
    for line in lines:
        if not line:
            break
        found.append(line.split())
    return found


def short(outcome: Outcome, code: int = 0) -> str:
    assert outcome.code == code, outcome
    assert len(outcome.out.splitlines()) + len(outcome.err.splitlines()) < 60, outcome.out
    assert LONG not in outcome.out.replace("osv:GO", "")
    return outcome.out


class TestThreeHundredTenants:
    def test_a_rehearsal_shows_the_unresolvable_first(self, desk: Desk, many: Path) -> None:
        for outcome in (
            kit("plan", many, *desk.trust("vendor"), "--workers", 1),
            desk.patch(many, "--output", "out.tar"),
        ):
            found = rows(short(outcome), "raw-linkset")
            assert [row[0] for row in found[:-2]] == [f"tenant-{210 + n}" for n in range(SHOWN_TENANTS)]
            more = TENANTS + 1 - SHOWN_TENANTS
            assert found[-2] == ["and", f"{more}", "more", "491", "70"]
            assert found[-1] == ["all", "tenants", "511", "90"]

    def test_a_rehearsal_shows_the_tenants_that_were_selected(self, desk: Desk, many: Path) -> None:
        words = ("--tenant", "tenant-250", "--tenant", LONG)
        found = rows(short(kit("plan", many, *desk.trust("vendor"), "--workers", 1, *words)), "raw-linkset")
        assert found == [
            [clip(LONG, MAX_NAME), "1", "0", "0"],
            ["tenant-250", "1", "1", "0"],
            ["not", "selected:", "299", "tenants", "0", "0", "598"],
            ["all", "tenants", "2", "1", "598"],
        ]

    def test_a_verdict_is_a_sentence_and_complete_tenants_are_one_row(self, desk: Desk, many: Path) -> None:
        path = desk.patched(many, name="out.tar")
        outcome = desk.verify(path, options=("--require-raw-linkset",))
        found = rows(short(outcome, 11), "tenant")
        assert found[SHOWN_TENANTS:] == [
            ["and", "70", "more", "140", "70", "70", "70", "50.0", "%"],
            ["complete:", "211", "tenants", "421", "421", "0", "0", "100", "%"],
            ["all", "tenants", "601", "511", "90", "90", "85.0", "%"],
        ]
        sentence = (
            "90 of 301 tenants are incomplete (90 of 601 observations); worst: tenant-210 1 of 2, tenant-211 1 of 2, "
            "tenant-212 1 of 2, tenant-213 1 of 2, tenant-214 1 of 2\n"
        )
        # Once in each stream.
        assert (outcome.out.count(sentence), outcome.err.count(sentence)) == (1, 1)
        assert outcome.out.endswith("\nrefused: " + f"{path}: obligation 8, rawLinkset on every observation\n")
        assert "  90 tenants: 90 x unresolvable, no raw document: tenant-210:osv:GO-2025-" in outcome.out
        assert "\n  added up over tenants; the JSON report has each (gaps)\n" in outcome.out

    def test_a_verdict_shows_the_tenants_that_were_selected(self, desk: Desk, many: Path) -> None:
        path = desk.patched(many, name="out.tar")
        outcome = desk.verify(path, options=("--require-raw-linkset", "--tenant", "tenant-250"))
        assert [row[0] for row in rows(short(outcome, 11), "tenant")] == ["tenant-250", "not", "all"]

    def test_a_rehearsal_with_two_tables_is_short_as_well(self, desk: Desk) -> None:
        documents = [observation(number, f"tenant-{number % TENANTS:03}") for number in range(2 * TENANTS)]
        documents = [one | ({"rawLinkset": None} if at % 2 else {}) for at, one in enumerate(documents)]
        path = desk.kit(kits.content(*documents), name="null.tar")
        found = rows(short(kit("plan", path, *desk.trust("vendor"), "--workers", 1)), "tenant")
        assert [len(found), found[-2][:3], found[-1][:2]] == [12, ["and", "140", "more"], ["all", "tenants"]]

    def test_the_json_report_has_every_tenant(self, desk: Desk, many: Path) -> None:
        path = desk.patched(many, name="out.tar")
        report = desk.verify(path, options=("--require-raw-linkset", "--json")).json
        assert (len(report["coverage"]), len(report["gaps"])) == (TENANTS + 1, INCOMPLETE)
        planned = kit("plan", many, *desk.trust("vendor"), "--workers", 1, "--json").json
        assert len(planned["outcomes"]["raw-linkset"]) == TENANTS + 1

    def test_the_page_states_what_it_leaves_out(self, desk: Desk, many: Path) -> None:
        path = desk.patched(many, name="out.tar")
        desk.verify(path, options=("--require-raw-linkset", "--html", "out.html"))
        page = Page(Path("out.html").read_bytes())
        coverage = page.sections["coverage"]
        assert page.faults == []
        assert "All tenants 601 511 90 85.0 % tenant-210 2 1 1" in coverage
        assert "tenant-249 2 1 1 50.0 % and 50 more 100 50 50 50.0 % complete: 211 tenants 421 421 0" in coverage
        assert "261 tenants added up; kit verify --json has each" in coverage
        assert "added up over tenants; kit verify --json has each (gaps)" in coverage
        assert "and 50 more, which kit verify --json names (evidence)" in page.sections["obligations"]
        assert sum(tag == "tr" for tag, _ in page.elements) < 120


def test_of_more_incomplete_tenants_than_there_is_evidence_the_rest_is_counted(desk: Desk) -> None:
    path = desk.kit(kits.content(*(observation(number, f"t{number:03}", raw=False) for number in range(150))))
    (gate,) = desk.verify(path, options=("--require-raw-linkset", "--json")).json["obligations"][7:]
    assert len(gate["evidence"]) == 100
    assert gate["evidence"][-1]["place"] == "51 more tenants"


@given(
    tenants=st.dictionaries(st.text(max_size=50), st.integers(0, 3), max_size=80),
    selected=st.none() | st.sets(st.text(max_size=3)),
    fold=st.sampled_from(["", "complete"]),
)
def test_every_tenant_is_in_one_row_and_rows_are_bounded(
    tenants: dict[str, int], selected: set[str] | None, fold: str
) -> None:
    found = tenant_rows(tenants, concern=tenants.__getitem__, selected=selected, fold=fold)
    parts = [row for row in found if not row.total]
    assert sorted(name for row in parts for name in row.tenants) == sorted(tenants)
    assert [row.tenants for row in found if row.total] == ([tuple(sorted(tenants))] if len(tenants) > 1 else [])
    assert len(found) <= SHOWN_TENANTS + 5
    if len(tenants) <= SHOWN_TENANTS and selected is None:
        assert [row.tenants for row in parts] == [(name,) for name in sorted(tenants)]
    assert all(row.label != ALL_TENANTS or row.total or ALL_TENANTS in row.tenants for row in found)


@given(st.sets(st.text(max_size=60) | st.text(alphabet="ab\u202e\\", min_size=30, max_size=60), max_size=30))
def test_clipped_names_are_short_and_differ(names: set[str]) -> None:
    found = clip_names(sorted(names), 20)
    assert len(set(found.values())) == len(names)
    assert all(len(printable(short)) <= 20 for short in found.values())
    assert all(short == name for name, short in found.items() if len(printable(name)) <= 20)


def test_clipped_names_that_read_the_same_are_numbered() -> None:
    names = [f"{'a' * 30}{letter}{'z' * 30}" for letter in "xy"]
    assert list(clip_names(names, 20).values()) == ["aaaaaaaaaaaaaa…zzzzz", "aaaaaaaaaaa…zzzz (2)"]


def test_a_table_is_aligned_as_it_is_shown() -> None:
    lines = [printable(line) for line in table(("tenant", "n"), [("a\u202e", "1"), ("b", "2")])]
    assert {line.rindex(last) for line, last in zip(lines, "n12", strict=True)} == {11}


def gap(tenant: str, reason: str, documents: int = 1) -> Gap:
    return Gap(tenant=tenant, missing=True, source=None, reason=reason, documents=documents, examples=(f"{tenant}:1",))


def test_few_reasons_are_listed_by_tenant_and_many_are_added_up() -> None:
    few = [gap(f"t{number}", "no raw document") for number in range(SHOWN_REASONS)]
    found, omitted = gap_rows(few)
    assert ([row.label for row in found], omitted) == ([one.tenant for one in few], 0)
    found, omitted = gap_rows([*few, gap("", "format unknown", 50)])
    assert [(row.label, row.gap.documents) for row in found] == [("(no tenant)", 50), (f"{SHOWN_REASONS} tenants", 12)]
    found, omitted = gap_rows([gap("t", f"reason {number}") for number in range(SHOWN_REASONS + 3)])
    assert (len(found), omitted) == (SHOWN_REASONS, 3)

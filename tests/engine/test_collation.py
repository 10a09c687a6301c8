"""Which documents of two kits are the same: compared with a model that holds everything in memory."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from kit.errors import OutputError
from kit.verbs.diff.collation import AFTER, BEFORE, STATES, Collation, find_advisories, mark_migrated
from kit.verbs.diff.diff import Differences
from kit.verbs.diff.documents import Advisory, Sketch
from tests.tiers import examples

ROOT = Path(__file__).parents[2]
Made = tuple[int, int, str, str]
"""(identity, content, tenant, upstream id) of a document; one content, one tenant and advisory."""
DOCUMENTS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 3), st.sampled_from("AB"), st.sampled_from("xyz")), max_size=10
)


def sketched(made: Made) -> Sketch:
    identity, content, tenant, upstream_id = made
    digest = hashlib.sha256(repr(made).encode()).digest()
    about = Advisory(tenant, "v", upstream_id, content, withdrawn=content == 3, raw_linkset=False)
    return Sketch(hashlib.sha256(b"%d" % identity).digest(), digest, f"id-{identity}", about)


class Outcome:
    """What a collation says, as plain values."""

    def __init__(self, before: list[Made], after: list[Made]) -> None:
        with tempfile.TemporaryDirectory() as folder, Collation(Path(folder) / "c") as collation:
            for side, documents in ((BEFORE, before), (AFTER, after)):
                collation.put(side, 0, map(sketched, documents[:3]))
                collation.put(side, 0, map(sketched, documents[3:]))
            collation.match()
            find_advisories(collation)
            mark_migrated(collation)
            found = Differences(collation, limit=100)
            self.added, self.removed = found.only_in(AFTER, 0).items, found.only_in(BEFORE, 0).items
            self.changed = tuple(change.document for change in found.changed(0).items)
            self.states = {
                state: [
                    (a.tenant, a.moved_to, a.upstream_id, a.observations, a.documents)
                    for a in found.advisories(0, state).items
                ]
                for state in STATES
            }
            # A pair without its comparison is not known to be a migration.
            assert self.states["migrated"] == []

    def counts(self) -> tuple[Counter[str], Counter[str], Counter[str]]:
        return Counter(self.added), Counter(self.changed), Counter(self.removed)


def model(before: list[Made], after: list[Made]) -> tuple[Counter[str], Counter[str], Counter[str]]:
    """Do the same in memory: take away what both have, pair the rest by identity."""
    one, two = Counter(before) - Counter(after), Counter(after) - Counter(before)
    left = Counter(f"id-{made[0]}" for made in one.elements())
    come = Counter(f"id-{made[0]}" for made in two.elements())
    return come - left, left & come, left - come


@settings(deadline=None, max_examples=examples(60))
@given(before=DOCUMENTS, after=DOCUMENTS, data=st.data())
def test_documents_are_matched_as_multisets_in_any_order(
    before: list[Made], after: list[Made], data: st.DataObject
) -> None:
    outcome = Outcome(before, after)
    assert outcome.counts() == model(before, after)
    shuffled = Outcome(data.draw(st.permutations(before)), data.draw(st.permutations(after)))
    assert vars(shuffled) == vars(outcome)


MIRRORED = {"added": "removed", "removed": "added", "withdrawn": "reinstated", "reinstated": "withdrawn"}


@settings(deadline=None, max_examples=examples(60))
@given(before=DOCUMENTS, after=DOCUMENTS)
def test_exchanging_the_sides_mirrors_everything(before: list[Made], after: list[Made]) -> None:
    there, back = Outcome(before, after), Outcome(after, before)
    assert (there.added, there.changed, there.removed) == (back.removed, back.changed, back.added)
    for state, items in there.states.items():
        mirrored = [
            (target or tenant, tenant if target else None, upstream, counts[::-1], documents[::-1])
            for tenant, target, upstream, counts, documents in items
        ]
        assert mirrored == back.states[MIRRORED.get(state, state)]


@settings(deadline=None, max_examples=examples(60))
@given(before=DOCUMENTS, after=DOCUMENTS)
def test_every_advisory_that_differs_is_under_exactly_one_heading(before: list[Made], after: list[Made]) -> None:
    outcome = Outcome(before, after)
    sides = [
        {key: Counter(made for made in side if made[2:] == key) for key in {made[2:] for made in side}}
        for side in (before, after)
    ]
    differing = {key for key in sides[0].keys() | sides[1].keys() if sides[0].get(key) != sides[1].get(key)}
    listed = [
        (place, upstream)
        for items in outcome.states.values()
        for tenant, target, upstream, _, _ in items
        for place in (tenant, target)
        if place is not None
    ]
    assert sorted(listed) == sorted(differing)


def test_the_same_documents_on_both_sides_differ_in_nothing() -> None:
    documents: list[Made] = [(1, 1, "A", "x"), (1, 1, "A", "x"), (2, 2, "B", "y")]
    outcome = Outcome(documents, documents[::-1])
    assert outcome.counts() == (Counter(), Counter(), Counter())
    assert not any(outcome.states.values())


def test_an_advisory_is_compared_by_its_latest_observation() -> None:
    early, late, later = (1, 0, "A", "x"), (2, 1, "A", "x"), (3, 2, "A", "x")
    outcome = Outcome([late, early], [later, early, late])
    assert outcome.states["changed"] == [("A", None, "x", (2, 3), ("id-2", "id-3"))]
    assert Outcome([early], [early, (2, 3, "A", "x")]).states["withdrawn"] == [
        ("A", None, "x", (1, 2), ("id-1", "id-2"))
    ]


def test_an_advisory_that_left_one_tenant_and_came_to_another_has_moved() -> None:
    outcome = Outcome([(1, 0, "A", "x"), (2, 0, "A", "y")], [(3, 0, "B", "x")])
    assert outcome.states["moved"] == [("A", "B", "x", (1, 1), ("id-1", "id-3"))]
    assert [item[2] for item in outcome.states["removed"]] == ["y"]
    assert outcome.states["added"] == []


def test_a_folder_that_is_not_there_is_an_output_error_with_a_way_out(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot keep the comparison on disk") as caught:
        Collation(tmp_path / "missing" / "collation")
    assert "--temp" in caught.value.hint


_FILL = """
import hashlib, resource, sys
from pathlib import Path
from kit.verbs.diff.documents import Advisory, Sketch
from kit.verbs.diff.collation import find_advisories, mark_migrated
from kit.verbs.diff.collation import Collation
from kit.verbs.diff.diff import Differences
count, path = int(sys.argv[1]), Path(sys.argv[2])
digest = lambda *parts: hashlib.sha256(repr(parts).encode()).digest()
with Collation(path) as collation:
    for side in (0, 1):
        for start in range(0, count, 5000):
            numbers = range(start, min(start + 5000, count))
            collation.put(side, 0, (
                Sketch(digest(n), digest(n, side * (n % 2)), f"id-{n}", Advisory("a", "v", str(n), n, False, False))
                for n in (numbers if side else reversed(numbers))
            ))
    collation.match()
    find_advisories(collation)
    mark_migrated(collation)
    found = Differences(collation, limit=20)
    assert found.changed(0).total == found.advisories(0, "changed").total == count // 2
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def peak_kib(count: int, folder: Path) -> int:
    run = subprocess.run(
        [sys.executable, "-c", _FILL, str(count), str(folder / str(count))],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]},
    )
    return int(run.stdout)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_documents(tmp_path: Path) -> None:
    few, many = peak_kib(30_000, tmp_path), peak_kib(90_000, tmp_path)
    assert (tmp_path / "90000").stat().st_size > 40 * 1024 * 1024
    assert many - few < 12 * 1024

"""Deltas under a policy: what was accepted before, what is too old, and who may sign; named as the attacks."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import kits
from tests.commands import Outcome, kit
from tests.end_to_end.desk import Desk
from tests.end_to_end.test_trust import LATER, Office
from tests.kits import AT, observation


class Line(Office):
    """Three generations of the vendor, and the deltas along them."""

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self.init()
        self.kits = [self._generation(number) for number in (1, 2, 3)]
        self.deltas = [self.built(a, b) for a, b in ((0, 1), (1, 2))]

    def _generation(self, number: int) -> Path:
        members = kits.content(*(observation(n) for n in range(number)))
        manifest = kits.manifest_of(members, generation=number, createdAt=f"2025-10-2{number}T00:00:00Z")
        return self.desk.kit(members, name=f"kit-{number}.tar", manifest={**manifest, "stalenessWindowHours": 24 * 200})

    def built(self, base: int, target: int, by: str = "vendor") -> Path:
        output = self.desk.kits / f"{base}-{target}-by-{by}.delta"
        words = ["--signing-key", self.desk.keys / by, "--trust", self.policy, "--at", LATER, "--created-at", AT]
        outcome = kit("delta", "build", self.kits[base], self.kits[target], "-o", output, *words, "--workers", 1)
        assert outcome.code == 0, outcome
        return output

    def applied(self, base: Path, delta: Path, *options: object, at: str = LATER) -> Outcome:
        words = ("--in-place", "--no-backup", "--trust", self.policy, "--at", at, "--workers", 1)
        return kit("delta", "apply", base, delta, *words, *options)


@pytest.fixture
def line(desk: Desk) -> Line:
    return Line(desk)


def test_an_old_delta_replayed_on_a_restored_kit_is_a_rollback_by_what_was_accepted(line: Line) -> None:
    site = line.desk.kits / "site.tar"
    site.write_bytes(line.kits[0].read_bytes())
    old = site.read_bytes()
    for delta in line.deltas:
        assert line.applied(site, delta).code == 0
    site.write_bytes(old)  # somebody puts the backup back, and the first delta with it
    site.with_name("site.tar.sha256").unlink()
    before, state = kits.folder_state(line.desk.kits), line.state.read_bytes()
    line.applied(site, line.deltas[0]).refused(8, "accepted before")
    assert (kits.folder_state(line.desk.kits), line.state.read_bytes()) == (before, state)


def test_an_old_delta_replayed_on_the_newest_kit_is_a_rollback(line: Line) -> None:
    before = kits.folder_state(line.desk.kits)
    line.applied(line.kits[2], line.deltas[0]).refused(8, "generation 3 of small", "generation 1 of small")
    assert kits.folder_state(line.desk.kits) == before


def test_a_delta_held_back_until_its_target_is_stale_is_refused(line: Line) -> None:
    before = kits.folder_state(line.desk.kits)
    line.applied(line.kits[0], line.deltas[0], at="2026-12-01T00:00:00Z").refused(7)
    assert kits.folder_state(line.desk.kits) == before


def test_a_delta_signed_in_the_role_of_an_auditor_is_refused(line: Line) -> None:
    line.desk.add_key("reader")
    line.add("reader", "--role", "auditor")
    before = kits.folder_state(line.desk.kits)
    by_reader = line.built(0, 1, by="reader")
    by_reader_snapshot = kits.folder_state(line.desk.kits)
    assert by_reader_snapshot != before
    line.applied(line.kits[0], by_reader).refused(4)
    line.applied(line.kits[0], line.built(0, 1, by="stranger")).refused(4)
    assert kits.folder_state(line.desk.kits).items() >= by_reader_snapshot.items()

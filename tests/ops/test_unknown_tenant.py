"""A tenant that nobody has is refused, so that a typing error never looks like work that is done."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests import kits
from tests.commands import Outcome, kit
from tests.end_to_end.desk import Desk
from tests.kits import AT, observation


def plan(desk: Desk, path: Path, *options: object) -> Outcome:
    return kit("plan", path, *desk.trust("vendor"), "--created-at", AT, "--workers", 1, *options)


def patch(desk: Desk, path: Path, *options: object) -> Outcome:
    return desk.patch(path, "--in-place", *options)


@pytest.mark.parametrize("command", [plan, patch])
@pytest.mark.parametrize("limit", [(), ("--limit", 0)], ids=["all", "none"])
def test_it_is_refused_and_those_that_there_are_are_named_the_nearest_first(
    command: Callable[..., Outcome], limit: tuple[object, ...], desk: Desk
) -> None:
    path = desk.kit()
    before = kits.folder_state(desk.kits)
    outcome = command(desk, path, "--tenant", "globx", *limit)
    outcome.refused(64, "tenant 'globx'", "nothing was changed", "tenants that there are: 'globex', 'acme'")
    assert kits.folder_state(desk.kits) == before


@pytest.mark.parametrize("command", [plan, patch])
def test_one_of_several_is_enough(command: Callable[..., Outcome], desk: Desk) -> None:
    path = desk.kit()
    before = kits.folder_state(desk.kits)
    command(desk, path, "--tenant", "acme", "--tenant", "ACME").refused(64, "'ACME'")
    assert kits.folder_state(desk.kits) == before


def test_a_kit_that_concerns_nobody_says_so(desk: Desk) -> None:
    path = desk.kit({"README.txt": b"nothing else"})
    plan(desk, path, "--tenant", "acme").refused(64, "'acme'", "tenants that there are: none")
    assert plan(desk, path).code == 0


def test_a_tenant_that_has_everything_already_is_no_error(desk: Desk) -> None:
    path = desk.kit(kits.content(observation(1, rawLinkset={})))
    outcome = patch(desk, path, "--tenant", "acme")
    assert outcome.code == 0
    assert "nothing to change" in outcome.out


def test_names_are_shown_as_they_can_be_and_not_without_end(desk: Desk) -> None:
    tenants = ["\x1b[2J", *(f"tenant-{number:02}" for number in range(30))]
    documents = [observation(number, tenant) for number, tenant in enumerate(tenants)]
    outcome = plan(desk, desk.kit(kits.content(*documents)), "--tenant", "nobody")
    outcome.refused(64, "'\\x1b[2J', 'tenant-00'", "'tenant-18' and 11 more")

"""A few environments made up at random: no internal error, no hang, no kit lost (``hardening/random_environments``)."""

from __future__ import annotations

import random

import pytest

from hardening import random_environments as environments


@pytest.mark.slow
def test_in_a_few_environments_nothing_goes_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    assert environments.main(["--seed", "14", "--runs", "5"]) == 0, capsys.readouterr().out


def test_environments_follow_from_the_seed() -> None:
    one, same, other = ([str(_drawn(f"{seed} {number}")) for number in range(20)] for seed in (1, 1, 2))
    assert one == same != other
    assert len(set(one)) > 15


def _drawn(seed: str) -> environments.Environment:
    return environments.drawn(random.Random(seed), mounts=True)  # noqa: S311

"""Any single byte of manifest, signature, history, statement, policy or its signature changed: never valid."""

from __future__ import annotations

import pytest
from hypothesis import given, settings, strategies as st

from hardening import sweep
from tests.tiers import examples


@pytest.mark.parametrize("name", sorted(sweep.targets()))
def test_a_target_is_valid_as_it_is(name: str) -> None:
    assert sweep.verdict(sweep.targets()[name], {}) == 0


@st.composite
def _changed(draw: st.DrawFn) -> tuple[str, str, int, bytes]:
    target = sweep.targets()[draw(st.sampled_from(sorted(sweep.targets())))]
    file = draw(st.sampled_from(sorted(target.files)))
    data = target.files[file]
    at = draw(st.integers(0, len(data) - 1))
    # Replaced, removed or doubled as the exhaustive sweep does, or any byte put in its place or before it.
    other = bytes([draw(st.integers(0, 255))])
    any_byte = [data[:at] + other + data[at + 1 :], data[:at] + other + data[at:]]
    return target.name, file, at, draw(st.sampled_from([*sweep.mutations(data, at), *any_byte]))


@settings(max_examples=examples(300), deadline=None)
@given(case=_changed())
def test_one_byte_changed_is_never_valid(case: tuple[str, str, int, bytes]) -> None:
    name, file, at, changed = case
    target = sweep.targets()[name]
    if changed != target.files[file]:
        assert sweep.verdict(target, {file: changed}) in {2, 3, 4, 5, 8, 9, 11}, (name, file, at)


def test_the_sweep_sees_a_change_that_matters_not() -> None:
    """The sweep itself can fail: a file that nothing holds may change, and that is called valid."""
    target = sweep.targets()["patched"]
    assert sweep.verdict(target, {sweep.SEAL: b"a policy without a root key has no signature to look at"}) == 0


def test_every_byte_of_a_file_is_changed_in_every_way() -> None:
    data = b"ab\n"
    changed = [one for at in range(len(data)) for one in sweep.mutations(data, at)]
    assert data not in changed
    assert {b"b\n", b"a\n", b"ab", b"aab\n", b"abb\n", b"ab\n\n", b"ab ", b"\x00b\n"} <= set(changed)

from __future__ import annotations

from pathlib import Path

from kit.errors import ContentError
from kit.ops.obligations import Expectation
from kit.ops.verify import verify
from tests import kits


def test_the_gate_does_not_open_for_a_kit_without_observations(tmp_path: Path) -> None:
    key, _, _ = kits.write_keys(tmp_path)
    kit = kits.write_kit(tmp_path / "kit.tar", kits.signed({"README.txt": b"nothing else"}, key))
    expectation = Expectation(trusted={key.public.key_id: key.public}, require_raw_linkset=True)
    failure = verify(kit, expectation).failure
    assert isinstance(failure, ContentError)
    assert failure.what == "there are no observations in this kit"

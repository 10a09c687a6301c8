"""A share of hardening/rekeying: killed and resumed, the same bytes come out, and no plaintext is on the disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from hardening.rekeying import Site


@pytest.mark.slow
def test_killed_and_resumed_the_same_bytes_come_out_and_no_plaintext_is_left(tmp_path: Path) -> None:
    site = Site(tmp_path / "site", 100, checkpoint=1024)
    try:
        found = site.kill(points=6, seed=7)
    finally:
        site.close()
    assert found.faults == ()
    assert found.resumed > 2

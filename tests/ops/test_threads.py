"""Threads of one process work with kits side by side, and each gets what it would get alone."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace as with_changes
from pathlib import Path

import pytest

from kit.transforms.raw_linkset import RawLinkset
from kit.values import Timestamp
from kit.verbs.patch.patch import Output, PatchRequest, patch
from kit.verbs.verify.kits import Environment
from tests import kits
from tests.end_to_end.desk import Desk, key
from tests.kits import AT, observation


def request_for(kit: Path, workers: int) -> PatchRequest:
    return PatchRequest(
        kit=kit,
        transforms=(RawLinkset(),),
        trusted={key("vendor").public.key_id: key("vendor").public},
        created_at=Timestamp.parse(AT),
        environment=Environment(workers=workers),
    )


def patched(request: PatchRequest, output: Path) -> bytes:
    report = patch(request, Output(key=key("site"), path=output))
    assert report.rewrite.changed
    return output.read_bytes()


@pytest.mark.parametrize("workers", [1, 2])
def test_patches_side_by_side_are_those_made_in_turn(desk: Desk, tmp_path: Path, workers: int) -> None:
    tenants = ("acme", "dock-south", "pier")
    made = [
        desk.kit(kits.content(*(observation(number, tenant) for number in range(40))), name=f"{tenant}.tar.zst")
        for tenant in tenants
    ]
    requests = [request_for(path, workers) for path in made]
    alone = [patched(request, tmp_path / f"alone-{request.kit.name}") for request in requests]
    assert len({*alone}) == len(alone)
    with ThreadPoolExecutor(len(requests)) as side_by_side:
        outputs = [tmp_path / f"beside-{request.kit.name}" for request in requests]
        assert list(side_by_side.map(patched, requests, outputs)) == alone
    assert patched(with_changes(requests[0], environment=Environment(workers=3)), tmp_path / "three") == alone[0]

"""One odd observation among sound ones: it is named by every command, hides from no gate, and stops no run."""

from __future__ import annotations

import json
from typing import Any

import bson
import pytest

from tests import kits
from tests.commands import kit
from tests.end_to_end.desk import Desk
from tests.kits import AT, OBSERVATIONS, observation

GOOD, ODD = observation(1)["_id"], observation(2)["_id"]
SOUND = bson.encode(observation(2))


def twice(document: bytes, name: str, value: Any = None) -> bytes:
    more = bson.encode({name: value})[4:-1]
    return (len(document) + len(more)).to_bytes(4, "little") + document[4:-1] + more + b"\0"


RAW, WHOLE = "raw cannot be read: ", "the document cannot be read: "
ODDITIES = {
    "an alias in no UTF-8": (SOUND.replace(b"CVE-2025", b"CVE\xff2025"), RAW, False),
    "an unknown type": (SOUND.replace(b"\2summary\0", b"\x99summary\0"), RAW, False),
    "the content twice": (twice(SOUND, "content", {}), WHOLE, True),
    "the tenant twice": (twice(SOUND, "tenant", "globex"), WHOLE, False),
    "rawLinkset twice": (twice(twice(SOUND, "rawLinkset", {}), "rawLinkset", {}), WHOLE, False),
}


@pytest.mark.parametrize(("odd", "reason", "is_well_formed"), ODDITIES.values(), ids=ODDITIES)
def test_an_odd_observation_is_unresolvable_everywhere_and_no_gate_opens_on_it(
    odd: bytes, reason: str, *, is_well_formed: bool, desk: Desk
) -> None:
    path = desk.kit({**kits.content(), OBSERVATIONS: bson.encode(observation(1)) + odd})
    plan = kit("plan", path, *desk.trust("vendor"), "--created-at", AT, "--workers", 1, "--json").json
    (finding,) = [one for one in plan["findings"] if one["kind"] == "unresolvable"]
    assert (finding["document"], finding["reason"].startswith(reason)) == (ODD, True), finding
    output = desk.patched(path, "--merkle")
    assert kits.read(output)[OBSERVATIONS].endswith(odd)
    (collection,) = json.loads(kits.read(output)[kits.MANIFEST])["collections"]
    assert sum(tenant["rawLinkset"]["unresolvable"] for tenant in collection["tenants"].values()) == 1
    gate = desk.verify(output, options=("--require-raw-linkset",))
    assert (gate.code, ODD in gate.out) == (11, True), gate
    deep = desk.verify(output, options=("--deep",))
    assert (deep.code, ODD in deep.err) == ((0, False) if is_well_formed else (11, True)), deep
    assert kit("diff", path, output).code == 0
    left_out = kit("extract", path, *desk.trust("vendor"), "--output", desk.kits / "out.json", "--workers", 1)
    assert (left_out.code, ODD in left_out.err) == (0, True), left_out
    assert kit("prove", output, "--id", GOOD, "--output", desk.kits / "good.proof").code == 0
    assert desk.patch(output, "--in-place", trusting=("vendor", "site")).code == 0

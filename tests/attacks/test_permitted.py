"""What a user permits in a container is on record: in reports, in the verdict, and in the provenance of a patch."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from tests import kits
from tests.archive.building import member, pax, record
from tests.end_to_end.desk import Desk


def test_what_is_permitted_is_reported_with_its_place(desk: Desk) -> None:
    members = kits.read(desk.kit(kits.content() | {"notes.txt": b"a note"}))
    body = members.pop("notes.txt")
    path = desk.kits / "noted.tar"
    path.write_bytes(pax(record("VENDOR.origin", b"here")) + member(b"notes.txt", body) + kits.tar(members))
    desk.refused(path, 9, "VENDOR.origin")
    outcome = desk.verify(path, options=("--allow-records", "VENDOR.origin", "--allow-records", "VENDOR.b", "--json"))
    assert outcome.code == 0, outcome
    assert outcome.json["permitted"] == {
        "links": False,
        "names": [],
        "records": ["VENDOR.b", "VENDOR.origin"],
        "met": [{"path": "notes.txt", "what": "record VENDOR.origin"}],
    }


def test_a_kit_with_a_permitted_name_is_verified_and_patched_and_says_so(desk: Desk) -> None:
    path = desk.kit(kits.content() | {"docs/why?.txt": b"w", "docs/a:b.txt": b"x", "d/notes ": b"y"})
    desk.refused(path, 9, "--allow-names colon")
    desk.patch(path, "--output", desk.kits / "out.tar.zst").refused(9, "a:b.txt")
    permit = ("--allow-names", "colon")
    patched = desk.patched(path, *permit)
    outcome = desk.verify(patched, options=(*permit, "--json"))
    assert (outcome.code, outcome.json["permitted"]["names"]) == (0, ["colon"]), outcome
    assert outcome.json["permitted"]["met"] == [{"path": "docs/a:b.txt", "what": "name colon"}]
    assert "permitted: name colon" in desk.verify(patched, options=permit).out
    assert predicate_of(patched)["permitted"] == ["name colon"]
    assert "permitted" not in predicate_of(desk.patched(desk.kit(), name="plain.tar.zst"))


def predicate_of(path: Path) -> dict[str, Any]:
    """Give what the provenance of a patched kit states."""
    envelope = json.loads(kits.read(path)["manifest/history/3/patch.intoto.json"])
    predicate: dict[str, Any] = json.loads(base64.b64decode(envelope["payload"]))["predicate"]
    return predicate

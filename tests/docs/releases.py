"""What a release engineer has on the desk: three generations of one kit, another kit, and the key that signs them."""

from __future__ import annotations

import json
from pathlib import Path

import bson

from kit.signing import jws
from tests import kits
from tests.commands import ROOT
from tests.docs import staging

HARBOR = ROOT / "fixtures" / "kits" / "harbor.tar.zst"


def release(folder: Path) -> None:
    """Write the kit of the fixtures, one before it, and one after it with an observation more and one less."""
    publisher = staging.make_key(folder, "publisher")
    members = kits.read(HARBOR)
    manifest = json.loads(members[kits.MANIFEST])
    content = {name: data for name, data in members.items() if not name.startswith("manifest/")}
    for name, generation in (("september", 6), ("october", 7)):
        signed = kits.signed(content, publisher, manifest | {"generation": generation})
        kits.write_kit(folder / f"{name}.tar.zst", signed)
    (place,) = (name for name in content if name.endswith("advisory_observations.bson"))
    first, *others = kits.documents_of(content[place])
    added = bson.encode({**bson.decode(first), "_id": "dock-north:harbor-osv:HARBOR-2099-9000:1"})
    content[place] = b"".join(others) + added
    manifest |= {"generation": 8, "version": "2099.5.0"}
    manifest["files"] = [entry | kits.facts(content[entry["path"]]) for entry in manifest["files"]]
    for entry in manifest["collections"]:
        entry["bytes"] = len(content[entry["path"]])
    kits.write_kit(folder / "november.tar.zst", kits.signed(content, publisher, manifest))
    members = kits.read(HARBOR.with_name("parts.tar"))
    kits.write_kit(
        folder / "depot.tar", {**members, f"{kits.MANIFEST}.jws": jws.sign(members[kits.MANIFEST], [publisher])}
    )

"""What the reader of a page has on the desk before the first command: a kit, public keys, a key of the site."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from kit.signing import jws, write_private, write_public
from kit.values import Timestamp
from scripts.fixture_kits import publisher_key, site_key
from tests.end_to_end import kits

FIXTURES = kits.ROOT / "fixtures" / "kits"
_AGE = 20 * 3600


def site(folder: Path) -> None:
    """A site that got kits: those of the fixtures, as if they were made yesterday; signed with the fixtures' keys."""
    _kit(folder / "kit.tar.zst", FIXTURES / "harbor.tar.zst")
    _kit(folder / "depot.tar", FIXTURES / "parts.tar")
    write_public(folder / "publisher.pub.pem", publisher_key().public)
    write_private(folder / "site.pem", site_key())
    write_public(folder / "site.pub.pem", site_key().public)


def _kit(path: Path, fixture: Path) -> None:
    members = kits.read(fixture)
    (place,) = (name for name in members if name.endswith("offline-manifest.json"))
    manifest = json.loads(members.pop(place))
    manifest["createdAt"] = str(Timestamp(int(time.time()) - _AGE))
    data = kits.to_json(manifest)
    members |= {place: data, f"{place}.jws": jws.sign(data, [publisher_key()])}
    kits.write(path, members)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    path.with_name(f"{path.name}.sha256").write_text(f"{digest}  {path.name}\n")


STAGES: Mapping[str, Callable[[Path], None]] = {"site": site}
"""By the name that a page is listed with."""

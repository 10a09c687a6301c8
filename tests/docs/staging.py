"""What the reader of a page has on the desk before the first command: a kit, and public keys of others.

Keys of the reader are made by a command of the page. Those of others are made by the same command, before.
"""

from __future__ import annotations

import base64
import contextlib
import gzip
import hashlib
import io
import json
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import bson
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from fixtures.build import notelett
from fixtures.build.keys import publisher_key
from kit.cli import run
from kit.signing import PrivateKey, jws, load_private, write_public
from kit.transforms.raw_linkset import RawLinkset
from kit.values import Timestamp
from kit.verbs.patch.patch import Output, PatchRequest, patch
from kit.verbs.verify.kits import Environment
from tests import kits
from tests.commands import ROOT

FIXTURES = ROOT / "fixtures" / "kits"
_AGE = 20 * 3600


def site(folder: Path) -> None:
    """A site that got kits: those of the fixtures, as if they were made yesterday; signed with the fixtures' keys."""
    _kit(folder / "kit.tar.zst", FIXTURES / "harbor.tar.zst")
    _kit(folder / "depot.tar", FIXTURES / "parts.tar")
    write_public(folder / "publisher.pub.pem", publisher_key().public)


def published(folder: Path) -> None:
    """A site that got a kit of published advisories, made as if it were of yesterday, and the depot of :func:`site`."""
    _kit(folder / "kit.tar.zst", kits.REAL / "go-osv.tar.zst")
    _kit(folder / "depot.tar", FIXTURES / "parts.tar")
    write_public(folder / "publisher.pub.pem", publisher_key().public)


def auditor(folder: Path) -> None:
    """An auditor who got a kit that a site patched, with the script that needs nothing of this program."""
    published, patched = folder / "published.tar.zst", folder / "kit.tar.zst"
    site_key = make_key(folder, "site")
    _kit(published, FIXTURES / "harbor.tar.zst")
    request = PatchRequest(
        kit=published,
        transforms=(RawLinkset(),),
        trusted={publisher_key().public.key_id: publisher_key().public},
        created_at=Timestamp(int(time.time()) - 3600),
        merkle=True,
        environment=Environment(workers=1),
    )
    patch(request, Output(path=patched, key=site_key))
    for path in (published, published.with_name(f"{published.name}.sha256")):
        path.unlink()
    write_public(folder / "publisher.pub.pem", publisher_key().public)
    (folder / "site.pem").unlink()
    shutil.copy(ROOT / "conformance" / "check_proof.py", folder)


def make_key(folder: Path, name: str) -> PrivateKey:
    """Make the key pair of ``name`` with the command that every page names, and give the private key."""
    with contextlib.redirect_stdout(io.StringIO()):
        assert run(["keys", "generate", str(folder / f"{name}.pem")]) == 0
    assert (folder / f"{name}.pub.pem").is_file()
    return load_private(folder / f"{name}.pem")


def export(folder: Path) -> None:
    """A platform's export: a dump, and the keys of two publishers."""
    dump = folder / "dump" / "notelett"
    dump.mkdir(parents=True)
    notes = ({"_id": f"n-{number}", "workspaceId": "ws-1", "body": f"note {number}"} for number in range(3))
    (dump / "notes.bson.gz").write_bytes(gzip.compress(kits.collection(notes), mtime=0))
    (dump / "notes.metadata.json.gz").write_bytes(gzip.compress(b'{"options":{}}', mtime=0))
    (folder / "dump" / "README.txt").write_text("exported for a test\n")
    for name in ("publisher", "second"):
        make_key(folder, name)


def product(folder: Path) -> None:
    """A platform that is to be encrypted: the export of the fixtures, its live keys, and what reads as it does."""
    shutil.copytree(FIXTURES.with_name("export"), folder / "dump")
    shutil.copy(ROOT / "tests" / "docs" / "platform.mjs", folder)
    live = notelett.containers()["notes"][12]
    (folder / "live.bson").write_bytes(bson.encode(live))
    service = rsa.generate_private_key(65537, 3072)
    pkcs8, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "kms.pem").write_bytes(service.private_bytes(serialization.Encoding.PEM, pkcs8, plain))
    (folder / "kms.pem").chmod(0o600)
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    (folder / "kms.pub.pem").write_bytes(service.public_key().public_bytes(serialization.Encoding.PEM, form))
    oaep = padding.OAEP(mgf=padding.MGF1(hashes.SHA256()), algorithm=hashes.SHA256(), label=None)
    record = {
        "id": notelett.LIVE_KEY_ID,
        "productId": "notelett",
        "context": "notes",
        "userId": live["userId"],
        "wrappedDek": base64.b64encode(service.public_key().encrypt(notelett.LIVE_KEY, oaep)).decode(),
        "mekVersion": notelett.LIVE_MEK_VERSION,
        "status": "active",
    }
    (folder / "dek_store.json").write_text(json.dumps([record]))
    for name in ("publisher", "site"):
        make_key(folder, name)


def _kit(path: Path, fixture: Path) -> None:
    members = kits.read(fixture)
    (place,) = (name for name in members if name.endswith("offline-manifest.json"))
    manifest = json.loads(members.pop(place))
    manifest["createdAt"] = str(Timestamp(int(time.time()) - _AGE))
    data = kits.to_json(manifest)
    members |= {place: data, f"{place}.jws": jws.sign(data, [publisher_key()])}
    kits.write_kit(path, members)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    path.with_name(f"{path.name}.sha256").write_text(f"{digest}  {path.name}\n")


STAGES: Mapping[str, Callable[[Path], None]] = {
    "site": site,
    "published": published,
    "auditor": auditor,
    "export": export,
    "product": product,
}
"""By the name that a page is listed with."""

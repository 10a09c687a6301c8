"""Pairs of kits to build deltas between, and the requests with all that they need."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kit.encryption import Credentials, KeySet, PassphraseRecord, create, load, new_keyring, unlock
from kit.signing import Algorithm, PrivateKey, generate
from kit.transforms.protocol import Transform
from kit.transforms.raw_linkset import RawLinkset
from kit.values import Timestamp
from kit.verbs.delta.apply import DeltaApplyReport, DeltaApplyRequest, apply_delta
from kit.verbs.delta.build import DeltaBuildReport, DeltaBuildRequest, build_delta
from kit.verbs.patch.patch import Output, PatchRequest, patch
from kit.verbs.patch.request import Keying
from kit.verbs.verify.kits import Environment
from kit.verbs.verify.obligations import Expectation
from tests.kits import OBSERVATIONS, collection, observation, signed, small_files, stored, write_kit

AT = Timestamp.parse("2026-01-02T03:04:05Z")
HERE = Environment(workers=1)
KEY = generate(Algorithm.ES256)
OTHER = generate(Algorithm.ED25519)
PASSPHRASE = b"TEST-ONLY passphrase"
CREDENTIALS = Credentials(passphrase=lambda _: PASSPHRASE)
COMPRESSED = f"{OBSERVATIONS}.zst"

Files = Mapping[str, bytes]


def october(**changes: Any) -> dict[str, bytes]:
    """Give the files of the base."""
    return {**small_files(), "images/blob.bin": bytes(range(256)) * 300, **changes}


def november(**changes: Any) -> dict[str, bytes]:
    """Give the files of the target: documents moved, changed, removed and new; files changed, gone, renamed, new."""
    files = october()
    documents = [observation(n) for n in (3, 0, 9, 1, 5)]
    documents[1]["upstream"]["upstreamId"] = "GO-2025-CHANGED"
    del files["docs/readme.txt"]
    files["images/renamed.bin"] = files.pop("images/layer.bin")
    files["images/blob.bin"] = files["images/blob.bin"][:40_000] + b"changed" + files["images/blob.bin"][40_000:]
    return {**files, OBSERVATIONS: collection(documents), "docs/new.txt": b"new\n", **changes}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two kits of one bundle in a folder, and what may be done with them."""

    folder: Path
    base: Path
    target: Path

    @property
    def delta(self) -> Path:
        """Where the delta is built."""
        return self.folder / "delta"

    def build(self, output: Path | None = None, *, key: PrivateKey = KEY, **changes: Any) -> DeltaBuildReport:
        """Build the delta."""
        facts: dict[str, Any] = {
            "base": self.base,
            "target": self.target,
            "output": output or self.delta,
            "key": key,
            "expectation": trusting(KEY, OTHER),
            "created_at": AT,
            "environment": HERE,
        }
        return build_delta(DeltaBuildRequest(**(facts | changes)))

    def request(self, **changes: Any) -> DeltaApplyRequest:
        """Make the request to apply the delta in place of the base."""
        facts: dict[str, Any] = {
            "base": self.base,
            "delta": self.delta,
            "expectation": trusting(KEY, OTHER),
            "environment": HERE,
        }
        return DeltaApplyRequest(**(facts | changes))

    def apply(self, **changes: Any) -> DeltaApplyReport:
        """Apply the delta."""
        return apply_delta(self.request(**changes))


def trusting(*keys: PrivateKey) -> Expectation:
    """Believe these keys in everything."""
    return Expectation(trusted={key.public.key_id: key.public for key in keys})


def pair(
    folder: Path, name: str = "kit.tar.zst", base: Files | None = None, target: Files | None = None, **changes: Any
) -> Pair:
    """Write two kits, generations 1 and 2."""
    sides = []
    for side, files, generation in (("base", base, 1), ("target", target, 2)):
        place = folder / side
        place.mkdir()
        made = october(**changes) if side == "base" else november(**changes)
        kit = signed(made if files is None else files, KEY, generation=generation)
        sides.append(write_kit(place / name, kit))
    return Pair(folder=folder, base=sides[0], target=sides[1])


def patched(
    folder: Path,
    name: str = "kit.tar.zst",
    change: Callable[[dict[str, bytes]], None] | None = None,
    *transforms: Transform,
    **more: Any,
) -> Pair:
    """Write a kit, and what a patch makes of it: a target that this program wrote."""
    files = october()
    files[COMPRESSED] = stored(COMPRESSED, collection(observation(n, tenant="beta") for n in range(8)))
    if change is not None:
        change(files)
    (folder / "base").mkdir()
    base = write_kit(folder / "base" / name, signed(files, KEY, generation=1))
    target = folder / f"target-{name}"
    step(base, target, *(transforms or (RawLinkset(),)), **more)
    return Pair(folder=folder, base=base, target=target)


def step(base: Path, target: Path, *transforms: Transform, **more: Any) -> None:
    """Patch a kit."""
    request: dict[str, Any] = {
        "kit": base,
        "transforms": transforms,
        "trusted": {KEY.public.key_id: KEY.public},
        "created_at": AT,
        "environment": HERE,
        "allow_unimportable": True,  # made documents may have one _id
    }
    patch(PatchRequest(**(request | more)), Output(path=target, key=KEY, rollback_note="the old kit is kept"))


def keyring(folder: Path, name: str = "keyring") -> Keying:
    """Make a keyring, and say what opens it."""
    record = PassphraseRecord.make(PASSPHRASE, random=os.urandom, cost=1 << 10)
    create(folder / name, new_keyring(record, now=AT))
    return Keying(random=os.urandom, now=AT, keyring=folder / name, credentials=CREDENTIALS)


def keys_in(path: Path) -> KeySet:
    """Open a keyring as it is now."""
    return unlock(load(path).keyring, CREDENTIALS).key_set()

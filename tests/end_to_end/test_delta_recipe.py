"""An encryption as a recipe, through the commands: what builder, carrier and site see, and what the site must have."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests import kits
from tests.commands import ROOT, Outcome, kit
from tests.end_to_end.vault import PASSPHRASE, Vault, descriptor
from tests.kits import AT

BOTH = ("vendor", "site")


class Courier(Vault):
    """A vault with a kit, what an encryption made of it, and what leads from one to the other."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.base = self.notes()
        self.target = self.encrypted(self.base)
        self.delta = self.kits / "sealed.delta"

    def delta_of(self, command: str, *words: object, keyring: Path | None = None) -> Outcome:
        """Run ``kit delta``, with a keyring where one is named."""
        given = ["delta", command, *words]
        if command != "inspect":
            given += self.trust(*BOTH)
        if command in {"build", "squash"}:
            given += ["--signing-key", self.keys / "site", "--created-at", AT]
        if keyring is None:
            return kit(*given, "--workers", 1)
        with descriptor(PASSPHRASE) as number:
            return kit(*given, "--workers", 1, "--keyring", keyring, "--keyring-passphrase-fd", number)

    def build(self, *words: object, keyring: Path | None = None) -> Outcome:
        return self.delta_of("build", self.base, self.target, "-o", self.delta, *words, keyring=keyring)


@pytest.fixture
def courier(tmp_path: Path) -> Courier:
    return Courier(tmp_path)


def test_a_site_with_the_keyring_gets_the_encrypted_kit_of_a_few_kilobytes(courier: Courier) -> None:
    built = courier.build(keyring=courier.keyring)
    assert built.code == 0, built
    assert "computed at the site: encrypt-fields version 1" in built.out
    assert courier.delta.stat().st_size < 8192
    shown = courier.delta_of("inspect", courier.delta)
    assert "needs a keyring with the 1 data key that it seals with: dek-" in shown.out
    assert courier.delta_of("verify", courier.delta).code == 0
    keyring = courier.keyring.read_bytes()
    old = courier.base.read_bytes()
    applied = courier.delta_of("apply", courier.base, courier.delta, "--in-place", keyring=courier.keyring)
    assert applied.code == 0, applied
    assert courier.base.read_bytes() == courier.target.read_bytes()
    assert courier.base.with_name(f"{courier.base.name}.bak.3").read_bytes() == old
    assert courier.keyring.read_bytes() == keyring
    assert courier.proving(courier.base, passphrase=PASSPHRASE).code == 0


def test_a_site_without_it_is_told_what_it_needs_and_nothing_is_written(courier: Courier) -> None:
    courier.build(keyring=courier.keyring)
    other = courier.add_keyring("other.keyring")
    before = kits.folder_state(courier.kits)
    for keyring, words in ((None, "no keyring is given"), (other, "does not have the data key dek-")):
        for where in (("--in-place",), ("--output", courier.kits / "never.tar.zst")):
            refused = courier.delta_of("apply", courier.base, courier.delta, *where, keyring=keyring)
            refused.refused(13, words)
            assert "--keyring" in refused.err
            assert kits.folder_state(courier.kits) == before


def test_a_builder_without_it_is_told_how_to_send_less(courier: Courier) -> None:
    built = courier.build()
    assert built.code == 0, built
    assert "the site computes nothing: the target was encrypted" in built.out
    assert "--keyring" in built.out
    assert courier.delta_of("apply", courier.base, courier.delta, "--in-place").code == 0
    assert courier.base.read_bytes() == courier.target.read_bytes()


def test_whoever_builds_the_way_back_is_warned_of_what_it_holds(courier: Courier) -> None:
    built = courier.build("--reverse", keyring=courier.keyring)
    assert built.code == 0, built
    assert "contains in the clear" in built.err
    forward = courier.delta_of(
        "build", courier.base, courier.target, "-o", courier.kits / "there.delta", keyring=courier.keyring
    )
    assert "contains in the clear" not in forward.err


def test_a_migration_file_names_the_field_map_that_the_provenance_has_the_digest_of(courier: Courier) -> None:
    migration = courier.kits.parent / "job.json"
    own = json.loads((ROOT / "kit/encryption/maps/notelett.json").read_text())
    own["collections"] = [one for one in own["collections"] if one["collection"] == "notes"]
    migration.write_text(
        json.dumps(
            {
                "schemaVersion": "1",
                "id": "20260101_our_notes",
                "kind": "encrypted-field",
                "description": "",
                "transforms": [{"name": "encrypt-fields", "parameters": {"fieldMap": own}}],
                "rollback": {"decision": "restore-copy", "note": "the old kit is kept"},
            }
        )
    )
    target = courier.kits / "own.tar.zst"
    with descriptor(PASSPHRASE) as number:
        opening = ("--keyring", courier.keyring, "--keyring-passphrase-fd", number)
        done = courier.patch(courier.base, "-o", target, "--migration", migration, *opening)
    assert done.code == 0, done
    courier.target = target
    unknown = courier.build(keyring=courier.keyring)
    assert "--migration" in unknown.out
    courier.delta = courier.kits / "known.delta"
    known = courier.build("--migration", migration, keyring=courier.keyring)
    assert "computed at the site: encrypt-fields version 1" in known.out
    out = courier.kits / "again.tar.zst"
    assert courier.delta_of("apply", courier.base, courier.delta, "-o", out, keyring=courier.keyring).code == 0
    assert out.read_bytes() == target.read_bytes()


def test_a_cache_map_and_tenants_are_named_by_options(courier: Courier) -> None:
    cache = courier.kits.parent / "cache.json"
    cache.write_text('{"schemaVersion": "1", "collection": "cached"}')
    base = courier.kit(name="observations.tar.zst")
    target = courier.patched(base, "--cache-map", cache, "--tenant", "acme", name="some.tar.zst")
    if base.read_bytes() == target.read_bytes():
        pytest.fail("the tenant has nothing to patch, so that nothing is tried here")
    courier.base, courier.target = base, target
    words = ("--cache-map", cache, "--tenant", "acme")
    built = courier.build(*words)
    assert "computed at the site: raw-linkset version 1" in built.out, built
    assert courier.delta_of("apply", base, courier.delta, "--in-place").code == 0
    assert base.read_bytes() == target.read_bytes()

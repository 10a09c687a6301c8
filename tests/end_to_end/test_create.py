"""A kit is made of files that are none yet, and a finished kit gets another signature."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from kit import CreateRequest, Environment, Timestamp, create_kit
from kit.signing import Algorithm
from tests import kits
from tests.commands import ROOT, Outcome, kit
from tests.end_to_end.desk import Desk, key
from tests.kits import AT, observation

SCHEMA = json.loads((ROOT / "schemas" / "create-report.schema.json").read_text())


@pytest.fixture
def dump(tmp_path: Path) -> Path:
    """Return a folder as mongodump writes it, with another file."""
    folder = tmp_path / "dump"
    members = kits.content() | {"dump/concelier/advisory_observations.metadata.json": b"{}"}
    for name, data in members.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def create(desk: Desk, source: Path, *options: object, name: str = "new.tar.zst", by: str = "vendor") -> Outcome:
    words = ("--bundle-id", "small", "--signing-key", desk.keys / by, "--created-at", AT, "--workers", 1)
    return kit("create", source, "--output", desk.kits / name, *words, *options)


def made(desk: Desk, source: Path, *options: object, name: str = "new.tar.zst") -> Path:
    outcome = create(desk, source, *options, name=name)
    assert outcome.code == 0, outcome
    return desk.kits / name


def sign(desk: Desk, path: Path, by: str, *options: object, name: str = "signed.tar.zst") -> Outcome:
    return kit("sign", path, "-o", desk.kits / name, "--signing-key", desk.keys / by, "--workers", 1, *options)


class TestCreate:
    @pytest.mark.parametrize("name", ["new.tar.zst", "new.tar.gz", "new.tgz", "new.tar"])
    def test_a_dump_becomes_a_valid_kit_in_every_container(self, name: str, desk: Desk, dump: Path) -> None:
        path = made(desk, dump, name=name)
        assert desk.verify(path, "vendor", options=("--deep",)).code == 0
        files = {str(file.relative_to(dump)): file.read_bytes() for file in dump.rglob("*") if file.is_file()}
        found = kits.read(path)
        assert {place: data for place, data in found.items() if not place.startswith("manifest/")} == files

    def test_the_manifest_lists_counts_and_roots_everything(self, desk: Desk, dump: Path) -> None:
        path = made(desk, dump, "--generation", 8, "--version", "2026.1", "--staleness-window-hours", 48)
        manifest = json.loads(kits.read(path)[kits.MANIFEST])
        assert {name: manifest[name] for name in ("bundleId", "generation", "version", "createdAt", "lineage")} == {
            "bundleId": "small",
            "generation": 8,
            "version": "2026.1",
            "createdAt": AT,
            "lineage": [],
        }
        assert manifest["stalenessWindowHours"] == 48
        (summary,) = manifest["collections"]
        assert summary["documents"] == 3
        assert summary["tenants"]["globex"]["rawLinkset"] == {"present": 0, "missing": 1, "unresolvable": 0}
        assert len(summary["merkleRoot"]) == 64
        schema = json.loads((ROOT / "schemas" / "offline-manifest.schema.json").read_text())
        Draft202012Validator(schema).validate(manifest)

    def test_what_it_makes_is_patched_and_proven_like_any_kit(self, desk: Desk, dump: Path, tmp_path: Path) -> None:
        patched = desk.patched(made(desk, dump))
        assert desk.verify(patched, options=("--deep",)).code == 0
        proof = tmp_path / "proof"
        done = kit("prove", patched, "--id", "acme:osv:GO-2025-0001:1", "-o", proof, "--workers", 1)
        assert done.code == 0, done

    def test_times_modes_owners_and_folders_of_the_source_have_no_part_in_the_kit(
        self, desk: Desk, dump: Path, tmp_path: Path
    ) -> None:
        first = made(desk, dump, name="one.tar.zst").read_bytes()
        with tarfile.open(tmp_path / "dump.tar", "w", format=tarfile.PAX_FORMAT) as archive:
            for file in sorted(dump.rglob("*")):
                if file.is_file():
                    archive.add(file, str(file.relative_to(dump)))
        (dump / "empty").mkdir()
        for file in dump.rglob("*"):
            os.utime(file, (1, 1))
            file.chmod(0o700)
        assert made(desk, dump, name="two.tar.zst").read_bytes() == first
        assert made(desk, tmp_path / "dump.tar", name="three.tar.zst").read_bytes() == first
        again = kit(
            *("create", dump, "-o", desk.kits / "four.tar.zst", "--bundle-id", "small", "--created-at", AT),
            *("--signing-key", desk.keys / "vendor", "--workers", 3),
        )
        assert again.code == 0, again
        assert (desk.kits / "four.tar.zst").read_bytes() == first

    @pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
    def test_stock_tools_check_the_archive(self, desk: Desk, dump: Path, tmp_path: Path) -> None:
        path = made(desk, dump)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        assert path.with_name(f"{path.name}.sha256").read_text() == f"{digest}  {path.name}\n"
        plain = tmp_path / "sig"
        subprocess.run(["openssl", "base64", "-d", "-A", "-in", f"{path}.sig", "-out", plain], check=True)
        words = [
            "openssl",
            "dgst",
            "-sha256",
            "-verify",
            str(desk.public("vendor")),
            "-signature",
            str(plain),
            str(path),
        ]
        assert subprocess.run(words, capture_output=True, check=False).stdout == b"Verified OK\n"

    def test_several_signers_sign_at_once(self, desk: Desk, dump: Path) -> None:
        path = made(desk, dump, "--signing-key", desk.keys / "site")
        verdict = desk.verify(path, options=("--json",))
        assert verdict.code == 0
        assert set(verdict.json["signers"]) == {key(name).public.key_id for name in ("vendor", "site")}

    def test_the_report_is_valid(self, desk: Desk, dump: Path) -> None:
        Draft202012Validator(SCHEMA).validate(create(desk, dump, "--json").json)
        desk.add_key("edward", Algorithm.ED25519)
        done = create(desk, dump, "--json", name="other.tar", by="edward")
        Draft202012Validator(SCHEMA).validate(done.json)
        assert done.json["archiveSigned"] is False
        assert not (desk.kits / "other.tar.sig").exists()

    def test_no_manifest_names_the_command(self, desk: Desk, dump: Path) -> None:
        kit("plan", dump, *desk.trust("vendor"), "--workers", 1).refused(11, "no manifest", "kit create")

    def test_the_library_makes_the_same_kit(self, desk: Desk, dump: Path) -> None:
        path = made(desk, dump)
        report = create_kit(
            CreateRequest(
                source=dump,
                output=desk.kits / "library.tar.zst",
                bundle_id="small",
                keys=(key("vendor"),),
                created_at=Timestamp.parse(AT),
                environment=Environment(workers=1),
            )
        )
        assert report.output.read_bytes() == path.read_bytes()
        assert report.signers == (key("vendor").public.key_id,)


class TestRefusedSources:
    def nothing_was_left(self, desk: Desk) -> None:
        assert [path.name for path in desk.kits.iterdir()] == []

    def test_a_kit(self, desk: Desk, dump: Path) -> None:
        (dump / "manifest").mkdir()
        (dump / "manifest" / "offline-manifest.json").write_text("{}")
        create(desk, dump).refused(64, "so it is a kit already", "kit sign")
        self.nothing_was_left(desk)

    def test_a_link(self, desk: Desk, dump: Path) -> None:
        (dump / "link").symlink_to("README.txt")
        create(desk, dump, "--allow-links").refused(64, "is a link, and a new kit has none")
        assert create(desk, dump).code == 9
        self.nothing_was_left(desk)

    def test_no_file(self, desk: Desk, tmp_path: Path) -> None:
        (tmp_path / "empty").mkdir()
        create(desk, tmp_path / "empty").refused(11, "has no file")
        self.nothing_was_left(desk)

    def test_a_torn_collection(self, desk: Desk, dump: Path) -> None:
        torn = dump / kits.OBSERVATIONS
        torn.write_bytes(torn.read_bytes()[:-1])
        assert create(desk, dump).code == 11
        self.nothing_was_left(desk)

    @pytest.mark.parametrize("name", ["new", "new.zip", "new.zst"])
    def test_a_name_without_a_container(self, name: str, desk: Desk, dump: Path) -> None:
        create(desk, dump, name=name).refused(64, "must end in .tar.zst")
        self.nothing_was_left(desk)

    def test_an_output_that_is_there(self, desk: Desk, dump: Path) -> None:
        path = made(desk, dump)
        before = path.read_bytes()
        assert create(desk, dump).code == 74
        assert path.read_bytes() == before

    def test_an_output_in_the_source(self, desk: Desk, dump: Path) -> None:
        done = kit(
            *("create", dump, "-o", dump / "new.tar", "--bundle-id", "b", "--signing-key", desk.keys / "vendor"),
        )
        assert done.code == 64, done
        assert not (dump / "new.tar").exists()

    def test_the_same_key_twice(self, desk: Desk, dump: Path) -> None:
        assert create(desk, dump, "--signing-key", desk.keys / "vendor").code == 64
        self.nothing_was_left(desk)

    def test_no_key(self, desk: Desk, dump: Path) -> None:
        words = ("create", dump, "-o", desk.kits / "new.tar", "--bundle-id", "b")
        kit(*words).refused(64, "Missing option '--signing-key'")


class TestSign:
    def test_a_second_signature_changes_nothing_else(self, desk: Desk) -> None:
        path = desk.kit()
        done = sign(desk, path, "site", *desk.trust("vendor"))
        assert done.code == 0, done
        before, after = kits.read(path), kits.read(desk.kits / "signed.tar.zst")
        assert {name for name in before if before[name] != after[name]} == {kits.SIGNATURE}
        assert list(before) == list(after)
        for name in ("vendor", "site"):
            assert desk.verify(desk.kits / "signed.tar.zst", name).code == 0

    def test_two_of_two_under_a_policy_sign_in_turn(self, desk: Desk, tmp_path: Path) -> None:
        policy = tmp_path / "policy.json"
        keys = [word for name in ("vendor", "site") for word in ("--key", desk.public(name), "publisher")]
        assert kit("trust", "init", policy, *keys, "--threshold", "publisher", 2).code == 0
        path = desk.kit()
        assert kit("verify", path, "--trust", policy, "--workers", 1).code == 4
        done = sign(desk, path, "site", "--trust", policy)
        assert done.code == 0, done
        assert kit("verify", desk.kits / "signed.tar.zst", "--trust", policy, "--workers", 1).code == 0

    def test_a_kit_without_a_signature_gets_its_first(self, desk: Desk) -> None:
        path = desk.kit(signer=None)
        done = sign(desk, path, "site", "--json")
        assert done.code == 0, done
        Draft202012Validator(SCHEMA).validate(done.json)
        assert desk.verify(desk.kits / "signed.tar.zst", "site").code == 0

    def test_an_unpacked_kit_stays_unpacked(self, desk: Desk, tmp_path: Path) -> None:
        with tarfile.open(desk.kit(name="kit.tar")) as archive:
            archive.extractall(tmp_path / "unpacked")  # noqa: S202  our own
        done = sign(desk, tmp_path / "unpacked", "site", *desk.trust("vendor"), name="folder")
        assert done.code == 0, done
        assert desk.verify(desk.kits / "folder", "site").code == 0

    def test_a_signature_that_nobody_vouches_for_is_kept_only_when_asked(self, desk: Desk) -> None:
        path = desk.kit()
        sign(desk, path, "site").refused(64, "claims to be signed by", "--trusted-key")
        assert sign(desk, path, "site", *desk.trust("stranger")).code == 4
        done = sign(desk, path, "site", "--insecure-unverified-base")
        assert done.code == 0
        assert "not verified" in done.err
        assert desk.verify(desk.kits / "signed.tar.zst", "vendor").code == 0

    def test_a_kit_that_is_not_what_it_lists_is_not_signed(self, desk: Desk) -> None:
        members = kits.signed(kits.content(), key("vendor"), None)
        path = desk.write(members | {"README.txt": b"another\n"})
        assert sign(desk, path, "site", *desk.trust("vendor")).code == 2
        assert not (desk.kits / "signed.tar.zst").exists()

    def test_a_key_signs_once(self, desk: Desk) -> None:
        sign(desk, desk.kit(), "vendor", *desk.trust("vendor")).refused(64, "has signed this kit already")

    def test_a_patched_kit_is_signed_by_the_patch(self, desk: Desk) -> None:
        done = sign(desk, desk.patched(), "stranger", *desk.trust("vendor", "site"))
        done.refused(64, "which a patch made", "kit patch")


def test_many_small_files_and_a_large_one_are_the_same_bytes_again(desk: Desk, dump: Path) -> None:
    for number in range(50):
        (dump / f"file-{number}").write_bytes(b"x" * number)
    (dump / "large").write_bytes(bytes(range(256)) * 40_000)
    (dump / "concelier").mkdir()
    (dump / "concelier" / "advisory_observations.bson").write_bytes(kits.collection([observation(9)]))
    path = made(desk, dump)
    assert desk.verify(path, "vendor", options=("--deep",)).code == 0
    assert kits.read(path)["large"] == bytes(range(256)) * 40_000

"""``kit rollback``: only the very kit that the patched one was made of comes back, with what belongs beside it."""

from __future__ import annotations

import base64
import json
import shutil
import stat
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from kit.output.job import Job
from kit.output.switch import checksum_line
from kit.signing import archive_signature
from kit.values import Sha256
from kit.verbs.jobs import begin, record_judged
from tests import kits
from tests.commands import ROOT, Outcome, kit
from tests.end_to_end.desk import Desk, key
from tests.kits import AT, OBSERVATIONS

SCHEMA = json.loads((ROOT / "schemas/rollback-report.schema.json").read_text())
NAMES = ("kit.tar", "kit.tar.gz", "kit.tar.zst", "kit")


def rollback(desk: Desk, path: Path, *options: object, trusting: tuple[str, ...] = ("vendor", "site")) -> Outcome:
    return kit("rollback", path, *desk.trust(*trusting), "--workers", 1, *options)


def in_place(desk: Desk, name: str = "kit.tar.zst") -> Path:
    """Patch a kit in place, which has what a vendor puts beside one."""
    path = desk.kit(name=name)
    if path.is_file():
        digest = Sha256.of(path.read_bytes())
        path.with_name(f"{name}.sha256").write_text(f"{digest}  {name}\n")
        signature = archive_signature.sign(digest, key("vendor"))
        assert signature is not None
        path.with_name(f"{name}.sig").write_bytes(signature)
    assert desk.patch(path, "--in-place").code == 0
    return path


def unchanged(desk: Desk, path: Path, code: int, *words: str, options: tuple[object, ...] = ()) -> None:
    before = kits.folder_state(desk.kits)
    rollback(desk, path, *options).refused(code, *words)
    assert kits.folder_state(desk.kits) == before


@pytest.mark.parametrize("name", NAMES)
def test_the_old_kit_is_back_byte_for_byte_and_the_new_one_is_kept(name: str, desk: Desk) -> None:
    path = desk.kit(name=name)
    before = kits.read(path)
    mode = stat.S_IMODE(path.stat().st_mode)
    assert desk.patch(path, "--in-place").code == 0
    after = kits.read(path)
    outcome = rollback(desk, path, "--json")
    assert outcome.code == 0, outcome
    Draft202012Validator(SCHEMA).validate(outcome.json)
    assert (outcome.json["generation"], outcome.json["keptGeneration"]) == (3, 4)
    assert kits.read(path) == before
    assert kits.read(path.with_name(f"{name}.rolled-back.4")) == after
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert not path.with_name(f"{name}.bak.3").exists()
    assert not list(desk.kits.glob("*.kit-*"))
    assert desk.verify(path, "vendor").code == 0


def test_checksum_and_signature_go_with_their_archive(desk: Desk) -> None:
    path = in_place(desk)
    assert rollback(desk, path).code == 0
    for archive, signer in ((path, "vendor"), (path.with_name("kit.tar.zst.rolled-back.4"), "site")):
        digest = Sha256.of(archive.read_bytes())
        assert archive.with_name(f"{archive.name}.sha256").read_text() == f"{digest}  {archive.name}\n"
        signature = archive.with_name(f"{archive.name}.sig").read_bytes()
        archive_signature.verify(signature, digest, {signer: key(signer).public})
        assert base64.b64decode(signature)
    assert sorted(file.name.removeprefix("kit.tar.zst") for file in desk.kits.iterdir()) == sorted(
        ["", ".sha256", ".sig", ".rolled-back.4", ".rolled-back.4.sha256", ".rolled-back.4.sig"]
    )


def test_patched_again_it_is_the_same_kit_again(desk: Desk) -> None:
    path = in_place(desk)
    patched = path.read_bytes()
    assert rollback(desk, path).code == 0
    assert desk.patch(path, "--in-place").code == 0
    assert path.read_bytes() == patched
    assert rollback(desk, path).code == 0
    assert desk.patch(path, "--in-place").code == 0
    path.with_name(f"{path.name}.rolled-back.4").write_bytes(b"another")
    unchanged(desk, path, 74, ".rolled-back.4", "already exists")


def test_of_two_steps_the_last_is_undone(desk: Desk) -> None:
    path = desk.kit()
    desk.patch(path, "--in-place", "--tenant", "acme")
    middle = path.read_bytes()
    path.with_name("kit.tar.zst.bak.3").unlink()
    path.with_name("kit.tar.zst.bak.3.sha256").unlink()
    desk.patch(path, "--in-place", trusting=("vendor", "site"))
    assert rollback(desk, path).code == 0
    assert path.read_bytes() == middle


class TestOfADelta:
    """``kit delta apply --in-place`` keeps the old kit too; the signed delta says what the new one was made of."""

    def next_month(self, desk: Desk, name: str = "kit.tar.zst") -> tuple[Path, Path]:
        """Apply the vendor's delta to its next generation in place; gives the kit and the delta."""
        members = kits.content() | {"README.txt": b"november\n"}
        target = desk.kit(members, name=f"november-{name}", manifest=kits.manifest_of(members, generation=4))
        return self.applied(desk, desk.kit(name=name), target)

    def applied(self, desk: Desk, path: Path, target: Path) -> tuple[Path, Path]:
        trust = (*desk.trust("vendor", "site"), "--workers", 1)
        signing = ("--signing-key", desk.keys / "vendor", "--created-at", AT)
        delta = desk.kits.parent / "delta"
        built = kit("delta", "build", path, target, "--output", delta, *signing, *trust)
        assert built.code == 0, built
        outcome = kit("delta", "apply", path, delta, "--in-place", *trust)
        assert outcome.code == 0, outcome
        assert path.with_name(f"{path.name}.bak.3").exists()
        return path, delta

    @pytest.mark.parametrize("name", NAMES)
    def test_a_publishers_next_generation_is_taken_back_by_its_delta(self, name: str, desk: Desk) -> None:
        before = kits.read(desk.kit(name=f"copy-{name}"))
        path, delta = self.next_month(desk, name)
        after = kits.read(path)
        unchanged(desk, path, 64, "was never patched", "--delta DELTA")
        outcome = rollback(desk, path, "--delta", delta, "--json")
        assert (outcome.code, outcome.json["generation"], outcome.json["keptGeneration"]) == (0, 3, 4), outcome
        assert kits.read(path) == before
        assert kits.read(path.with_name(f"{name}.rolled-back.4")) == after
        assert not path.with_name(f"{name}.bak.3").exists()
        assert desk.verify(path, "vendor").code == 0

    def test_a_patched_target_is_taken_back_by_its_lineage_alone(self, desk: Desk) -> None:
        path = desk.kit()
        before = kits.read(path)
        self.applied(desk, path, desk.patched(path))
        assert rollback(desk, path).code == 0
        assert kits.read(path) == before

    def test_a_step_of_two_generations_is_taken_back_by_its_delta(self, desk: Desk) -> None:
        path = desk.kit()
        before = kits.read(path)
        middle = desk.patched(path, "--tenant", "acme", name="middle.tar.zst")
        target = desk.patched(middle, trusting=("vendor", "site"))
        _, delta = self.applied(desk, path, target)
        unchanged(desk, path, 1, "there is no backup of generation 4", "--delta DELTA")
        named = ("--backup", path.with_name(f"{path.name}.bak.3"))
        unchanged(desk, path, 2, "is generation 3 ", "but the base of", "is generation 4 ", options=named)
        assert rollback(desk, path, "--delta", delta).code == 0
        assert kits.read(path) == before

    def test_the_delta_of_another_kit_another_backup_and_a_stranger_s_delta_are_refused(self, desk: Desk) -> None:
        path, delta = self.next_month(desk)
        other = desk.kits.parent / "other"
        signing = ("--signing-key", desk.keys / "vendor", "--created-at", AT, "--workers", 1)
        later = kits.content() | {"README.txt": b"december\n"}
        target = desk.kit(later, name="d.tar", manifest=kits.manifest_of(later, generation=5))
        assert kit("delta", "build", path, target, "-o", other, *signing, *desk.trust("vendor")).code == 0
        unchanged(desk, path, 10, "leads to generation 5", options=("--delta", other))
        before = kits.folder_state(desk.kits)
        rollback(desk, path, "--delta", delta, trusting=("site",)).refused(4)
        kit("rollback", path, "--insecure-unverified-base", "--delta", delta).refused(
            64, "only believed by its signature"
        )
        assert kits.folder_state(desk.kits) == before
        shutil.copy(target, path.with_name("kit.tar.zst.bak.3"))
        unchanged(desk, path, 2, "is generation 5 ", "but the base of", "is generation 3 ", options=("--delta", delta))


class TestSeveralGenerations:
    def twice(self, desk: Desk, name: str, *options: object) -> tuple[Path, list[dict[str, bytes]]]:
        """Patch a kit in place twice; return it and what it was as generations 3, 4 and 5."""
        path = desk.kit(name=name)
        seen = [kits.read(path)]
        for tenant in ("acme", "globex"):
            outcome = desk.patch(path, "--in-place", "--tenant", tenant, *options, trusting=("vendor", "site"))
            assert outcome.code == 0, outcome
            seen.append(kits.read(path))
        return path, seen

    @pytest.mark.parametrize("name", NAMES)
    def test_each_has_a_backup_and_the_way_back_is_gone_step_by_step(self, name: str, desk: Desk) -> None:
        path, (three, four, five) = self.twice(desk, name)
        assert (three != four, four != five) == (True, True)
        assert kits.read(path.with_name(f"{name}.bak.3")) == three
        assert kits.read(path.with_name(f"{name}.bak.4")) == four
        for due in (four, three):
            assert rollback(desk, path).code == 0
            assert kits.read(path) == due
        assert kits.read(path.with_name(f"{name}.rolled-back.5")) == five
        assert kits.read(path.with_name(f"{name}.rolled-back.4")) == four
        assert not list(desk.kits.glob("*.bak*"))
        unchanged(desk, path, 64, "never patched")

    def test_a_backup_of_an_earlier_version_is_found_where_the_numbered_one_is_not_the_base(self, desk: Desk) -> None:
        path = in_place(desk)
        for suffix in ("", ".sha256", ".sig"):
            path.with_name(f"{path.name}.bak.3{suffix}").rename(path.with_name(f"{path.name}.bak{suffix}"))
        path.with_name(f"{path.name}.bak.sha256").unlink()  # it names the other
        old = path.with_name(f"{path.name}.bak").read_bytes()
        other = desk.kit(name="older.tar.zst", manifest=kits.manifest_of(kits.content(), generation=2))
        other.rename(path.with_name(f"{path.name}.bak.3"))
        assert rollback(desk, path).code == 0
        assert path.read_bytes() == old
        assert not path.with_name(f"{path.name}.bak").exists()
        assert path.with_name(f"{path.name}.bak.3").exists()

    @pytest.mark.parametrize("name", NAMES)
    def test_a_place_of_ones_own_keeps_the_old_kit_and_is_named_again_to_go_back(self, name: str, desk: Desk) -> None:
        path = desk.kit(name=name)
        before = kits.read(path)
        place = desk.kits / "kept" / "september"
        place.parent.mkdir()
        outcome = desk.patch(path, "--in-place", "--backup", place)
        assert outcome.code == 0, outcome
        assert f"the old kit is kept as {place}" in outcome.out
        assert kits.read(place) == before
        assert not list(desk.kits.glob("*.bak*"))
        unchanged(desk, path, 1, "there is no backup of generation 3", "--backup PATH")
        assert rollback(desk, path, "--backup", place).code == 0
        assert kits.read(path) == kits.read(place) == before

    @pytest.mark.parametrize("name", NAMES)
    def test_a_copy_of_the_kit_under_the_backups_name_is_its_backup(self, name: str, desk: Desk) -> None:
        path = desk.kit(name=name)
        before = kits.read(path)
        copy = path.with_name(f"{name}.bak.3")
        if path.is_dir():
            shutil.copytree(path, copy)
        else:
            shutil.copy(path, copy)
            copy.with_name(f"{copy.name}.sha256").write_bytes(checksum_line(Sha256.of(copy.read_bytes()), copy.name))
        assert desk.patch(path, "--in-place").code == 0
        assert kits.read(copy) == before
        assert rollback(desk, path).code == 0
        assert kits.read(path) == before

    @pytest.mark.parametrize("suffix", ["", ".sha256", ".sig"])
    def test_what_else_has_the_backups_name_is_told_before_any_document_is_read(self, suffix: str, desk: Desk) -> None:
        path = desk.kit()
        path.with_name(f"{path.name}.bak.3{suffix}").write_bytes(b"another")
        before = kits.folder_state(desk.kits)
        # A stop rule or a tenant that is not there would be told only once the documents were read.
        outcome = desk.patch(path, "--in-place", "--tenant", "nobody")
        outcome.refused(74, f"kit.tar.zst.bak.3{suffix}", "already exists")
        assert kits.folder_state(desk.kits) == before

    def test_options_of_the_backup_that_contradict_each_other(self, desk: Desk) -> None:
        path = desk.kit()
        desk.patch(path, "--in-place", "--backup", "b", "--no-backup").refused(64, "exclude each other")
        desk.patch(path, "-o", desk.kits / "out", "--backup", "b").refused(64, "--backup needs --in-place")
        desk.patch(path, "--in-place", "--backup", desk.kits / "none" / "b").refused(74, "No such file")
        desk.patch(path, "--in-place", "--backup", "/proc/kit-backup").refused(74, "another file system")


class TestRefusals:
    def test_there_is_no_backup(self, desk: Desk) -> None:
        path = desk.kit()
        desk.patch(path, "--in-place", "--no-backup")
        unchanged(desk, path, 1, ".bak.3", "there is no backup")

    def test_the_kit_was_never_patched(self, desk: Desk) -> None:
        path = desk.kit()
        shutil.copy(path, path.with_name("kit.tar.zst.bak.3"))
        unchanged(desk, path, 64, "never patched")

    def test_the_backup_is_a_genuine_kit_but_not_the_one(self, desk: Desk) -> None:
        """Mix and match: an older kit of the same vendor, signed and whole, under the backup's name."""
        path = in_place(desk)
        older = desk.kit(name="older.tar.zst", manifest=kits.manifest_of(kits.content(), generation=2))
        shutil.copy(older, path.with_name("kit.tar.zst.bak.3"))
        path.with_name("kit.tar.zst.bak.3.sha256").unlink()
        path.with_name("kit.tar.zst.bak.3.sig").unlink()
        unchanged(desk, path, 2, "is generation 2 ", "but the base of", "is generation 3 ")

    def test_a_member_of_the_backup_was_changed(self, desk: Desk) -> None:
        path = desk.kit()
        members = kits.read(path)
        desk.patch(path, "--in-place")
        backup = path.with_name("kit.tar.zst.bak.3")
        kits.write_kit(backup.with_name("spoilt.tar.zst"), members | {"README.txt": b"other\n"}).rename(backup)
        backup.with_name("kit.tar.zst.bak.3.sha256").unlink()
        unchanged(desk, path, 2, "kit.tar.zst.bak.3: README.txt")

    def test_the_backup_has_bytes_that_its_checksum_does_not_say(self, desk: Desk) -> None:
        path = in_place(desk)
        backup = path.with_name("kit.tar.zst.bak.3")
        backup.write_bytes(backup.read_bytes() + b"\x50\x2a\x4d\x18\x00\x00\x00\x00")
        unchanged(desk, path, 5, "kit.tar.zst.bak.3", ".sig")
        backup.with_name("kit.tar.zst.bak.3.sig").unlink()
        unchanged(desk, path, 2, "kit.tar.zst.bak.3", ".sha256")

    @pytest.mark.parametrize("missing", ["vendor", "site"])
    def test_a_key_that_signed_is_not_trusted(self, missing: str, desk: Desk) -> None:
        path = in_place(desk)
        before = kits.folder_state(desk.kits)
        rollback(desk, path, trusting=tuple({"vendor", "site"} - {missing})).refused(4, "not among")
        assert kits.folder_state(desk.kits) == before

    def test_the_lineage_of_the_present_kit_was_rewritten(self, desk: Desk) -> None:
        """A lineage that points to another base is believed only if the site signed it."""
        path = in_place(desk)
        members = kits.read(path)
        manifest = json.loads(members[kits.MANIFEST])
        manifest["lineage"][0]["manifestSha256"] = "0" * 64
        path.unlink()
        kits.write_kit(path, members | {kits.MANIFEST: kits.to_json(manifest)})
        unchanged(desk, path, 5)

    def test_the_present_kit_cannot_be_read(self, desk: Desk) -> None:
        path = in_place(desk)
        path.write_bytes(path.read_bytes()[:500])
        unchanged(desk, path, 9, "kit verify", "kit.tar.zst.bak.3")

    def test_another_run_was_interrupted(self, desk: Desk) -> None:
        path = in_place(desk)
        with Job(path) as job:
            job.keep = True
        unchanged(desk, path, 74, "--resume")

    def test_there_is_nothing_to_resume(self, desk: Desk) -> None:
        unchanged(desk, in_place(desk), 64, "nothing to resume", options=("--resume",))

    def test_no_trust_was_named(self, desk: Desk) -> None:
        kit("rollback", in_place(desk)).refused(64, "--trusted-key")


def test_a_damaged_member_of_the_present_kit_is_a_reason_to_go_back(desk: Desk) -> None:
    path = desk.kit()
    before = path.read_bytes()
    desk.patch(path, "--in-place")
    members = kits.read(path)
    path.unlink()
    kits.write_kit(path, members | {OBSERVATIONS: b""})
    desk.refused(path, 5, ".sig")
    assert rollback(desk, path).code == 0
    assert path.read_bytes() == before


def test_an_unverified_base_can_come_back_where_that_is_said(desk: Desk) -> None:
    path = desk.kit(signer=None)
    before = path.read_bytes()
    words = ("--insecure-unverified-base", "--workers", 1)
    signing = ("--signing-key", desk.keys / "site", "--created-at", kits.AT)
    assert kit("patch", path, "--in-place", *words, *signing).code == 0
    rollback(desk, path).refused(3)
    outcome = kit("rollback", path, *words)
    assert (outcome.code, path.read_bytes()) == (0, before)
    assert "no signature was verified" in outcome.err


def test_a_policy_that_remembers_the_newer_kit_must_be_overridden_and_remembers_that(
    desk: Desk, tmp_path: Path
) -> None:
    policy = tmp_path / "policy.json"
    roles = ("--key", desk.public("vendor"), "publisher", "--key", desk.public("site"), "patcher")
    assert kit("trust", "init", policy, *roles).code == 0
    path = in_place(desk)
    assert kit("verify", path, "--trust", policy).code == 0
    before = kits.folder_state(desk.kits)
    kit("rollback", path, "--trust", policy).refused(8, "was accepted before", "--force")
    assert kits.folder_state(desk.kits) == before
    outcome = kit("rollback", path, "--trust", policy, "--force", "--reason", "INC-9")
    assert outcome.code == 0, outcome
    assert "forced: " in outcome.out
    (record,) = json.loads(Path(f"{policy}.state").read_text())["overrides"]
    assert record["reason"] == "INC-9"


def test_a_patch_that_was_interrupted_is_not_resumed_as_a_rollback(desk: Desk) -> None:
    path = in_place(desk)
    with Job(path) as job:
        job.keep = True
        begin(job, {"transforms": []})
        record_judged(job, {})
    unchanged(desk, path, 64, "no rollback", "kit patch", options=("--resume",))
    assert rollback(desk, path, "--abandon").code == 0
    assert rollback(desk, path).code == 0

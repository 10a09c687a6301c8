"""A kit that is copied as it is: who changes it between the verdict and the copy gets a refusal, or nothing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from kit.cli.commands import exit_code
from kit.engine.progress import Event, PassDone, Stage
from kit.errors import KitError
from kit.signing import Algorithm, archive_signature, generate
from kit.transforms.raw_linkset import RawLinkset
from kit.values import Sha256, Timestamp
from kit.verbs.delta.apply import DeltaApplyRequest, apply_delta
from kit.verbs.delta.build import DeltaBuildRequest, build_delta
from kit.verbs.patch.patch import Output, PatchRequest, patch
from kit.verbs.rollback import RollbackRequest, rollback
from kit.verbs.verify.kits import Environment
from kit.verbs.verify.obligations import Expectation
from tests.kits import OBSERVATIONS, collection, observation, signed, write_kit

KEY = generate(Algorithm.ES256)
TRUSTED = {KEY.public.key_id: KEY.public}
AT = Timestamp.parse("2026-01-02T03:04:05Z")
LAYER = "images/layer.bin"
EVIL = b"evil" * 2560


@dataclass
class Meddling:
    """Something happens when the last of so many passes of a kind is over."""

    meddle: Callable[[], object]
    stage: Stage
    after: int = 1
    seen: int = field(default=0, init=False)

    def tell(self, event: Event) -> None:
        if isinstance(event, PassDone) and event.stage is self.stage:
            self.seen += 1
            if self.seen == self.after:
                self.meddle()


def environment(meddle: Callable[[], object], stage: Stage, after: int = 1) -> Environment:
    return Environment(workers=1, progress=Meddling(meddle, stage, after))


def complete_kit(path: Path, generation: int = 0) -> Path:
    """Write a kit in which nothing is left to patch."""
    files = {
        "docs/readme.txt": b"read me\n",
        OBSERVATIONS: collection(observation(n) | {"rawLinkset": {"aliases": []}} for n in range(3)),
        LAYER: b"good" * 2560,
    }
    return write_kit(path, signed(files, KEY, generation=generation))


def exchange(kit: Path) -> None:
    (kit.parent / "evil").write_bytes(EVIL)
    (kit.parent / "evil").rename(kit / LAYER)


def write_over(kit: Path) -> None:
    with (kit / LAYER).open("r+b") as file:
        file.write(EVIL)


def link(kit: Path) -> None:
    (kit.parent / "evil").write_bytes(EVIL)
    (kit / LAYER).unlink()
    (kit / LAYER).symlink_to("../../evil")


def link_the_folder(kit: Path) -> None:
    shutil.copytree(kit / "images", kit.parent / "images")
    (kit.parent / LAYER).write_bytes(EVIL)
    shutil.rmtree(kit / "images")
    (kit / "images").symlink_to("../images")


def take_away(kit: Path) -> None:
    (kit / LAYER).unlink()


def put_beside(kit: Path) -> None:
    (kit / "images" / "another").write_bytes(b"")


def hang(kit: Path) -> None:
    (kit / LAYER).unlink()
    os.mkfifo(kit / LAYER)


CHANGES = [exchange, write_over, link, link_the_folder, take_away, put_beside, hang]


def request_for(path: Path, environment: Environment) -> PatchRequest:
    return PatchRequest(kit=path, transforms=(RawLinkset(),), trusted=TRUSTED, created_at=AT, environment=environment)


@pytest.mark.parametrize("change", CHANGES)
def test_a_folder_that_changes_before_it_is_copied_gives_no_copy(
    change: Callable[[Path], None], tmp_path: Path
) -> None:
    kit, out = complete_kit(tmp_path / "kit"), tmp_path / "out"
    with pytest.raises(KitError) as refusal:
        patch(request_for(kit, environment(lambda: change(kit), Stage.REWRITE)), Output(path=out, key=KEY))
    assert exit_code(refusal.value) in {1, 2, 9}
    assert not out.exists()


def test_a_folder_that_is_exchanged_as_a_whole_is_copied_as_it_was_verified(tmp_path: Path) -> None:
    kit, out = complete_kit(tmp_path / "kit"), tmp_path / "out"

    def swap() -> None:
        kit.rename(tmp_path / "away")
        shutil.copytree(tmp_path / "away", kit)
        write_over(kit)

    patch(request_for(kit, environment(swap, Stage.REWRITE)), Output(path=out, key=KEY))
    assert (out / LAYER).read_bytes() == b"good" * 2560


def test_an_archive_that_is_written_over_before_it_is_copied_gives_no_copy(tmp_path: Path) -> None:
    kit, out = complete_kit(tmp_path / "kit.tar"), tmp_path / "out.tar"

    def change() -> None:
        data = kit.read_bytes()
        with kit.open("r+b") as file:
            file.write(data.replace(b"good", b"evil"))

    with pytest.raises(KitError, match="no longer what was verified"):
        patch(request_for(kit, environment(change, Stage.REWRITE)), Output(path=out, key=KEY))
    assert not out.exists()


def test_the_signature_beside_a_copy_is_the_one_that_was_judged(tmp_path: Path) -> None:
    kit, out = complete_kit(tmp_path / "kit.tar"), tmp_path / "out.tar"
    good = archive_signature.sign(Sha256.of(kit.read_bytes()), KEY)
    assert good is not None
    kit.with_name("kit.tar.sig").write_bytes(good)

    def change() -> None:
        kit.with_name("kit.tar.sig").write_bytes(b"evil")

    patch(request_for(kit, environment(change, Stage.REWRITE)), Output(path=out, key=KEY))
    assert out.with_name("out.tar.sig").read_bytes() == good


@pytest.mark.parametrize("change", CHANGES)
def test_a_backup_that_changes_before_it_is_restored_is_not(change: Callable[[Path], None], tmp_path: Path) -> None:
    files = {OBSERVATIONS: collection([observation(1)]), LAYER: b"good" * 2560}
    kit, backup = write_kit(tmp_path / "kit", signed(files, KEY)), tmp_path / "kit.bak.3"
    patch(request_for(kit, Environment(workers=1)), Output(path=None, key=KEY))
    now = (kit / OBSERVATIONS).read_bytes()
    with pytest.raises(KitError) as refusal:
        rollback(
            RollbackRequest(
                kit=kit, trusted=TRUSTED, environment=environment(lambda: change(backup), Stage.SURVEY, after=2)
            )
        )
    assert exit_code(refusal.value) in {1, 2, 9}
    assert (kit / OBSERVATIONS).read_bytes() == now
    assert backup.is_dir()


def test_an_archive_that_is_another_while_it_is_judged_is_not_restored(tmp_path: Path) -> None:
    """Its digest was asked before its members were read: the bytes judged and those restored could differ."""
    files = {OBSERVATIONS: collection([observation(1)]), LAYER: b"good" * 2560}
    kit, backup = write_kit(tmp_path / "kit.tar", signed(files, KEY)), tmp_path / "kit.tar.bak.3"
    good = kit.read_bytes()
    patch(request_for(kit, Environment(workers=1)), Output(path=None, key=KEY))
    now, evil = kit.read_bytes(), good.replace(b"good", b"evil")

    def write(data: bytes) -> None:
        with backup.open("r+b") as file:
            file.write(data)

    with pytest.raises(KitError):
        rollback(
            RollbackRequest(
                kit=kit, trusted=TRUSTED, environment=environment(lambda: write(evil), Stage.SURVEY, after=2)
            )
        )
    assert kit.read_bytes() == now


def test_a_base_that_is_the_target_already_and_changes_gives_no_copy(tmp_path: Path) -> None:
    base, target = complete_kit(tmp_path / "base"), complete_kit(tmp_path / "target", generation=1)

    expectation = Expectation(trusted=TRUSTED)
    delta, out = tmp_path / "delta", tmp_path / "out"
    build_delta(
        DeltaBuildRequest(
            base=base,
            target=target,
            output=delta,
            key=KEY,
            expectation=expectation,
            created_at=AT,
            environment=Environment(workers=1),
        )
    )
    with pytest.raises(KitError) as refusal:
        apply_delta(
            DeltaApplyRequest(
                base=target,
                delta=delta,
                expectation=expectation,
                output=out,
                environment=environment(lambda: write_over(target), Stage.SURVEY),
            )
        )
    assert exit_code(refusal.value) == 2
    assert not out.exists()

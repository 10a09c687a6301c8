"""What somebody put beside a kit, a policy or an output is named and refused: no wait, no link, nothing lost."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from kit.cli.commands import exit_code
from kit.errors import KitError, OutputError, UntrustedError
from kit.output import publish, secret_files
from kit.output.folders import NewFolder
from kit.output.publish import NewFile
from kit.signing import Algorithm, generate
from kit.trust import Policy, Role, State, TrustedKey
from kit.values import Sha256, Timestamp
from kit.verbs import trust
from kit.verbs.verify.kits import Environment
from kit.verbs.verify.obligations import Expectation
from kit.verbs.verify.verify import verify
from tests.kits import signed, small_files, write_kit

KEY = generate(Algorithm.ES256)
NOW = Timestamp.parse("2026-01-02T03:04:05Z")
HERE = Environment(workers=1)


def fifo(place: Path) -> None:
    os.mkfifo(place)


def folder(place: Path) -> None:
    place.mkdir()


def link(place: Path) -> None:
    (place.parent / "elsewhere").write_bytes(b"elsewhere")
    place.symlink_to("elsewhere")


def dangling_link(place: Path) -> None:
    place.symlink_to("nowhere")


def huge(place: Path) -> None:
    with place.open("wb") as file:
        file.truncate(1 << 40)


def device(place: Path) -> None:
    place.symlink_to("/dev/zero")


PUT: list[Callable[[Path], None]] = [fifo, folder, link, dangling_link, huge, device]


@pytest.mark.parametrize("suffix", [".sha256", ".sig"])
@pytest.mark.parametrize("put", PUT)
def test_what_is_beside_a_kit_is_a_small_file_or_named(
    put: Callable[[Path], None], suffix: str, tmp_path: Path
) -> None:
    kit = write_kit(tmp_path / "kit.tar", signed(small_files(), KEY))
    place = kit.with_name(f"kit.tar{suffix}")
    put(place)
    with pytest.raises(KitError) as refusal:
        verify(kit, Expectation(trusted={KEY.public.key_id: KEY.public}), HERE)
    assert exit_code(refusal.value) == 1
    assert str(place) in str(refusal.value)


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    path = tmp_path / "policy.json"
    trusted = (TrustedKey(key=KEY.public, roles=frozenset({Role.PUBLISHER})),)
    trust.create(path, Policy(version=1, keys=trusted))
    return path


@pytest.mark.parametrize("put", PUT)
def test_what_is_beside_a_policy_is_a_file_or_named(put: Callable[[Path], None], policy: Path) -> None:
    state = trust.state_path(policy)
    state.unlink()
    put(state)
    with pytest.raises(KitError) as refusal:
        trust.read_anchor(policy, NOW)
    assert exit_code(refusal.value) == 1


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_state_that_others_can_write_remembers_nothing(mode: int, policy: Path) -> None:
    trust.state_path(policy).chmod(mode)
    with pytest.raises(UntrustedError, match=f"mode {mode:04o}"):
        trust.read_anchor(policy, NOW)


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a file away")
def test_nor_does_one_of_another_user(policy: Path) -> None:
    os.chown(trust.state_path(policy), 12345, 12345)
    with pytest.raises(UntrustedError, match="another user"):
        trust.read_anchor(policy, NOW)


@pytest.mark.parametrize("put", [fifo, folder, link, dangling_link, device])
def test_a_lock_is_a_file_or_named(put: Callable[[Path], None], tmp_path: Path) -> None:
    put(tmp_path / ".file.lock")
    with pytest.raises(OutputError, match="cannot lock"), secret_files.lock(tmp_path / "file", what="file"):
        pass


@pytest.mark.parametrize("put", [fifo, link, dangling_link, huge, device])
def test_a_name_that_is_needed_for_a_moment_leads_nowhere(put: Callable[[Path], None], tmp_path: Path) -> None:
    place = tmp_path / "file"
    put(tmp_path / ".file.new")
    publish.replace(place, b"data", what="file")
    assert place.read_bytes() == b"data"
    assert not place.is_symlink()
    elsewhere = tmp_path / "elsewhere"
    assert not elsewhere.exists() or elsewhere.read_bytes() == b"elsewhere"
    assert not (tmp_path / "nowhere").exists()


def test_a_file_that_is_exchanged_before_it_has_its_name_is_not_published(tmp_path: Path) -> None:
    place = tmp_path / "plain"
    with NewFile(place, unnamed=False) as output:
        output.write(b"secret")
        output.check()
        (tmp_path / "evil").write_bytes(b"evil")
        (tmp_path / "evil").rename(tmp_path / ".plain.new")
        with pytest.raises(OutputError, match="exchanged"):
            output.publish()
    assert not place.exists()


def test_a_folder_that_is_exchanged_gets_nothing_of_what_is_written(tmp_path: Path) -> None:
    target = tmp_path / "out"
    with NewFolder(target) as made:
        (work,) = tmp_path.glob(".out.writing-*")
        work.rename(tmp_path / "away")
        work.mkdir(mode=0o777)
        made.place("a/b").write_bytes(b"secret")
        with pytest.raises(OutputError, match="exchanged"):
            made.publish()
    assert not list(target.rglob("*"))
    assert not list((tmp_path / "away").rglob("b"))


def test_a_state_in_place_of_another_is_not_believed_because_of_its_name(policy: Path) -> None:
    """One of another policy: it says what was accepted under that."""
    other = State(policy_version=7, policy_sha256=Sha256.of(b"another policy"))
    trust.state_path(policy).write_bytes(other.to_bytes())
    with pytest.raises(KitError):
        trust.read_anchor(policy, NOW)

"""Everything that is in the way is told at once, each with its way out and before anything is written."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from kit.engine.budget import BASE_BYTES, THIS_HOST, allotment
from kit.errors import KitError, OutputError, StaleError, StoppedError
from kit.output.paths import require_replaceable
from kit.reports.patch import patch_lines
from kit.transforms.raw_linkset import RawLinkset
from kit.values import Timestamp
from kit.verbs.patch.patch import Output, PatchRequest, patch, plan
from kit.verbs.patch.plan import Aim
from kit.verbs.verify.kits import Environment
from tests import kits
from tests.commands import kit
from tests.end_to_end.desk import Desk, key
from tests.end_to_end.vault import Vault, note
from tests.kits import AT

BASE_AT = "2025-10-20T00:00:00Z"


@dataclass(frozen=True, kw_only=True)
class Machine:
    """A machine of the test's choice."""

    free: int | None = 1 << 40
    memory: int | None = 1 << 40
    writable: bool = True

    def free_bytes(self, _folder: Path) -> int | None:
        return self.free

    def may_write(self, _folder: Path) -> bool:
        return self.writable

    def keeps_modes(self, _folder: Path) -> bool:
        return True

    def free_memory(self) -> int | None:
        return self.memory


def request_for(path: Path, machine: Machine | None = None, **changes: Any) -> PatchRequest:
    vendor = key("vendor").public
    facts: dict[str, Any] = {
        "kit": path,
        "transforms": (RawLinkset(),),
        "trusted": {vendor.key_id: vendor},
        "created_at": Timestamp.parse(AT),
        "environment": Environment(workers=1, host=machine or Machine()),
    }
    return PatchRequest(**(facts | changes))


def refused(request: PatchRequest, *, unread: bool = True) -> list[KitError]:
    """Give all that a patch is refused for; if ``unread``, not even a job folder was made before."""
    folder = request.kit.parent
    before = kits.folder_state(folder, itself=unread)
    with pytest.raises(KitError) as caught:
        patch(request, Output(path=None, key=key("site")))
    assert kits.folder_state(folder, itself=unread) == before
    return [caught.value, *caught.value.also]


class TestFindings:
    def test_too_little_room(self, desk: Desk) -> None:
        path = desk.kit()
        (found,) = refused(request_for(path, Machine(free=2 * path.stat().st_size - 1)))
        assert isinstance(found, OutputError)
        assert f"at least {2 * path.stat().st_size:,} bytes" in found.what
        assert "--output" in found.hint

    def test_just_enough_room_or_a_system_that_does_not_say(self, desk: Desk) -> None:
        for number, free in enumerate((None, 1 << 20)):
            path = desk.kit(name=f"{number}.tar")
            assert patch(request_for(path, Machine(free=free)), Output(path=None, key=key("site"))).changed

    def test_a_folder_needs_room_for_one_copy(self, desk: Desk) -> None:
        path = desk.kit(name="unpacked")
        size = sum(place.stat().st_size for place in path.rglob("*") if place.is_file())
        (found,) = refused(request_for(path, Machine(free=size - 1)))
        assert f"at least {size:,} bytes" in found.what

    def test_no_permission(self, desk: Desk) -> None:
        (found,) = refused(request_for(desk.kit(), Machine(writable=False)))
        assert isinstance(found, OutputError)
        assert found.where == str(desk.kits)

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts, and becomes somebody else")
    @pytest.mark.parametrize("place", ["the kit", "its folder", "its checksum"])
    @pytest.mark.parametrize(("flag", "attribute"), [("i", "immutable"), ("a", "append-only")])
    def test_what_nobody_may_replace_is_found_before_the_work(
        self, desk: Desk, place: str, flag: str, attribute: str
    ) -> None:
        path = desk.kit()
        beside = path.with_name(f"{path.name}.sha256")
        beside.write_text(f"{kits.sha256(path.read_bytes())}  {path.name}\n")
        fixed = {"the kit": path, "its folder": path.parent, "its checksum": beside}[place]
        if subprocess.run(["chattr", f"+{flag}", fixed], capture_output=True, check=False).returncode:
            pytest.skip("needs root, and a file system with attributes")
        try:
            before = kits.folder_state(desk.kits)
            checked = kit("plan", path, *desk.trust("vendor"), "--preflight", "--in-place")
            assert checked.code == 74
            assert f"has the attribute {attribute}" in checked.err
            outcome = desk.patch(path, "--in-place")
            outcome.refused(74, f"has the attribute {attribute}", f"kit: hint: chattr -{flag} ")
            assert kits.folder_state(desk.kits) == before
        finally:
            subprocess.run(["chattr", f"-{flag}", fixed], check=True)
        assert desk.patch(path, "--in-place").code == 0

    def test_a_kit_that_is_mounted_there_or_in_a_sticky_folder_cannot_be_replaced(self, desk: Desk) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "kit.tar"
            path.touch()
            path.parent.chmod(0o1777)
            require_replaceable(path)
            os.seteuid(65534)
            try:
                with pytest.raises(OutputError, match=r"belongs to another user, and its folder \(sticky\)"):
                    require_replaceable(path)
            finally:
                os.seteuid(0)
        path = desk.kit()
        real = path.rename(path.with_name("real"))
        path.touch()
        if subprocess.run(["mount", "--bind", real, path], capture_output=True, check=False).returncode:
            pytest.skip("nothing can be mounted here")
        try:
            met = refused(request_for(path))
        finally:
            subprocess.run(["umount", path], check=True)
        assert "is mounted there by itself" in str(met[0])
        assert "--output" in met[0].hint

    def test_too_little_memory_for_the_workers(self, desk: Desk) -> None:
        machine = Machine(memory=BASE_BYTES + (100 << 20))
        environment = Environment(workers=4, host=machine)
        (found,) = refused(request_for(desk.kit(), environment=environment))
        assert isinstance(found, StoppedError)
        assert f"--max-memory {machine.memory >> 20 if machine.memory else 0}M" in found.hint

    def test_a_clock_behind_the_base(self, desk: Desk) -> None:
        early = Timestamp(Timestamp.parse(BASE_AT).seconds - 1)
        (found,) = refused(request_for(desk.kit(), created_at=early, created_now=True), unread=False)
        assert isinstance(found, StaleError)
        assert f"the base is of {BASE_AT}, and by this machine's clock it is {early}" in found.what

    def test_a_base_of_the_same_second_is_none(self, desk: Desk) -> None:
        request = request_for(desk.kit(), created_at=Timestamp.parse(BASE_AT))
        assert patch(request, Output(path=None, key=key("site"))).generation

    def test_a_time_to_come_which_no_time_zone_explains(self, desk: Desk) -> None:
        now = Timestamp.parse(AT)
        for seconds, expected in ((86_400, 0), (86_401, 1)):
            path = desk.kit(name=f"{seconds}.tar")
            request = request_for(path, created_at=Timestamp(now.seconds + seconds), now=now)
            report = plan(request, aim=Aim(output=None))
            assert [type(error) for error in report.obstacles] == [StaleError] * expected
        request = request_for(desk.kit(name="late.tar"), created_at=Timestamp(now.seconds + 86_401), now=now)
        (found,) = refused(request)
        assert f"is to be of {request.created_at}, and it is {now}" in found.what
        assert "--at" in found.hint

    def test_a_base_of_a_time_to_come_shows_that_it_is_the_clock_that_is_wrong(self, desk: Desk) -> None:
        behind = Timestamp(Timestamp.parse(BASE_AT).seconds - 1)
        request = request_for(desk.kit(), now=behind)
        assert patch(request, Output(path=None, key=key("site"))).generation

    def test_a_time_that_nobody_gave_is_the_clock_s_whatever_is_judged_at(self, desk: Desk) -> None:
        request = request_for(desk.kit(), now=Timestamp.parse(BASE_AT), created_now=True)
        assert patch(request, Output(path=None, key=key("site"))).generation

    def test_the_command_holds_a_given_time_to_the_clock_or_to_what_it_is_told(self, desk: Desk) -> None:
        late = ("--created-at", "2099-01-01T00:00:00Z", "--workers", 1)
        path = desk.kit()
        found = kit("plan", path, *desk.trust("vendor"), *late, "--preflight")
        assert found.code == 7
        assert "is to be of 2099-01-01T00:00:00Z" in found.err
        words = ("--created-at", "2099-01-01T00:00:00Z", "--in-place")
        desk.patch(path, *words).refused(7, "is to be of 2099-01-01T00:00:00Z", "--at")
        told = kit("plan", path, *desk.trust("vendor"), *late, "--preflight", "--at", "2099-01-01T00:00:00Z")
        assert told.code == 0, told

    def test_all_at_once_in_their_order_and_the_first_decides(self, desk: Desk) -> None:
        early = Timestamp(Timestamp.parse(BASE_AT).seconds - 1)
        environment = Environment(workers=2, host=Machine(free=0, memory=0))
        found = refused(request_for(desk.kit(), environment=environment, created_at=early))
        assert [type(error) for error in found] == [OutputError, StoppedError, StaleError]
        assert all(error.hint for error in found)


class TestPlan:
    def test_it_reports_what_would_be_in_the_way_by_the_size_it_counted(self, desk: Desk) -> None:
        path = desk.kit()
        needed = plan(request_for(path)).temp_bytes
        for free, expected in ((needed - 1, 1), (needed, 0)):
            report = plan(request_for(path, Machine(free=free)), aim=Aim(output=None))
            assert len(report.obstacles) == expected
            found = f"{expected} obstacle{'s' if expected > 1 else ''}" if expected else "no obstacles"
            assert f"preflight: {found} (keys, output, permissions, disk space, memory, clock)" in patch_lines(report)
            assert report.changed == 2

    def test_without_being_asked_it_reports_nothing(self, desk: Desk) -> None:
        assert plan(request_for(desk.kit(), Machine(free=0, memory=0, writable=False))).obstacles == ()

    def test_a_backup_name_that_is_taken_is_told_where_the_run_in_place_would_be_refused(self, desk: Desk) -> None:
        path = desk.kit()
        taken = path.with_name(f"{path.name}.bak.3")
        words = (
            "plan",
            path,
            *desk.trust("vendor"),
            "--preflight",
            "--signing-key",
            desk.keys / "site",
            "--workers",
            1,
        )
        assert kit(*words, "--in-place").code == 0
        taken.write_bytes(b"another")
        planned = kit(*words, "--in-place")
        assert (planned.code, desk.patch(path, "--in-place").code) == (74, 74)
        assert f"kit: error: {taken}: already exists" in planned.err
        assert kit(*words, "--output", desk.kits / "out.tar").code == 0

    def test_the_command_prints_them_all_and_exits_with_the_first(self, desk: Desk) -> None:
        path = desk.kit()
        (desk.keys / "site").chmod(0o644)
        (desk.kits / "out").write_text("precious")
        words = ("--preflight", "--output", desk.kits / "out", "--signing-key", desk.keys / "site", "--json")
        outcome = kit("plan", path, *desk.trust("vendor"), "--created-at", AT, "--workers", 1, *words)
        assert outcome.code == 13
        assert [obstacle["kind"] for obstacle in outcome.json["obstacles"]] == ["KeyUnusableError", "OutputError"]
        assert outcome.err.count("kit: error: ") == outcome.err.count("kit: hint: ") == 2
        assert outcome.json["changed"] == 2

    @pytest.mark.parametrize("word", ["--in-place", "--output=x"])
    def test_a_place_goes_with_a_preflight(self, word: str, desk: Desk) -> None:
        kit("plan", desk.kit(), *desk.trust("vendor"), word).refused(64, "need --preflight")


class TestKeys:
    def test_a_key_that_cannot_be_used_is_told_with_everything_else(self, desk: Desk) -> None:
        (desk.kits / "out").write_text("precious")
        outcome = desk.patch(desk.kit(), "--output", desk.kits / "out", "--json", by="nobody")
        assert outcome.code == 13
        document = json.loads(outcome.out)
        assert document["error"]["kind"] == "KeyUnusableError"
        assert [error["what"] for error in document["also"]] == ["already exists"]

    def test_a_keyring_that_does_not_open_is_found_before_the_kit_is_read(self, tmp_path: Path) -> None:
        vault = Vault(tmp_path)
        path = vault.notes(note(1), note(2, owner=1))
        outcome = vault.encrypting("patch", path, "--in-place", passphrase=b"wrong")
        outcome.refused(13, "wrong passphrase")

    def test_the_passphrase_of_a_keyring_is_read_once(self, tmp_path: Path) -> None:
        vault = Vault(tmp_path)
        assert vault.encrypting("patch", vault.notes(note(1)), "--in-place").code == 0


class TestThisMachine:
    def test_it_says_what_it_has_left(self, tmp_path: Path) -> None:
        assert (THIS_HOST.free_bytes(tmp_path) or 0) > 0
        assert (THIS_HOST.free_memory() or 0) > 0
        assert THIS_HOST.may_write(tmp_path)

    def test_of_a_folder_that_is_not_there_it_says_nothing(self, tmp_path: Path) -> None:
        assert THIS_HOST.free_bytes(tmp_path / "absent") is None
        assert not THIS_HOST.may_write(tmp_path / "absent")


def test_a_request_of_less_memory_has_less_in_flight_then_fewer_workers() -> None:
    full = allotment(4)
    assert allotment(4, full.peak_bytes) == full
    sizes = [allotment(4, size << 20) for size in range(BASE_BYTES >> 20, full.peak_bytes >> 20, 16)]
    for size, found in zip(range(BASE_BYTES >> 20, full.peak_bytes >> 20, 16), sizes, strict=True):
        assert found.peak_bytes <= size << 20
    assert sizes == sorted(sizes, key=lambda one: (one.workers, one.budget if one.workers > 1 else 0))
    assert sizes[0].workers == 1
    assert replace(full, budget=sizes[-1].budget) == sizes[-1]

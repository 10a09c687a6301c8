"""The structured rollback of a migration, and the checklist of its plan: signed, recorded, shown, refused."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from kit.signing import dsse
from tests import kits
from tests.commands import Outcome, kit
from tests.end_to_end.desk import Desk
from tests.end_to_end.test_reshape import DEFAULT, members

DETAILS = {
    "previousImage": "registry/backend:2.3.9",
    "containers": ["notes", "notes_by_user"],
    "restorePoint": "2026-02-01T04:00Z",
    "validationQueries": ["SELECT VALUE COUNT(1) FROM c"],
    "featureFlags": ["notes-write"],
}
DEMANDED = ["restore-point", "writes-paused", "sampled"]
TOLD = ("--stated", "writes-paused=A. Keeper@2026-01-01T10:00:00Z", "--not-applicable", "sampled=no platform here")


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def migrated(desk: Desk, *options: object, **more: Any) -> tuple[Outcome, Path]:
    rollback = {"decision": "leave", "note": "nothing", **DETAILS}
    file = desk.kits / "migration.json"
    file.write_text(json.dumps(DEFAULT | {"rollback": rollback} | more))
    output = desk.kits / "patched.tar.zst"
    base = desk.kit(members())
    return desk.patch(base, "--output", output, "--migration", file, *options), output


def predicate(path: Path) -> dict[str, Any]:
    envelope = kits.read(path)["manifest/history/3/patch.intoto.json"]
    found = json.loads(dsse.payload_of(envelope))["predicate"]
    assert json.loads(base64.b64decode(json.loads(envelope)["payload"]))["predicate"] == found
    assert isinstance(found, dict)
    return found


def test_a_checklist_is_ticked_off_by_the_tool_and_by_people_and_signed(desk: Desk) -> None:
    record = desk.kits / "release.json"
    outcome, output = migrated(desk, *TOLD, "--record", record, checklist=DEMANDED)
    assert outcome.code == 0, outcome
    signed = predicate(output)
    assert signed["rollback"] == {"decision": "leave", **DETAILS}
    ticks = {one.pop("step"): one for one in signed["checklist"]}
    assert {step: one["status"] for step, one in ticks.items()} == {
        "keys": "not-applicable",
        "dry-run": "open",
        "restore-point": "done",
        "writes-paused": "stated",
        "one-container": "done",
        "stop-rules": "done",
        "sampled": "not-applicable",
        "recorded": "done",
        "readers-deployed": "open",
        "owners-tested": "open",
    }
    assert ticks["writes-paused"] == {"status": "stated", "by": "A. Keeper", "at": "2026-01-01T10:00:00Z"}
    assert ticks["sampled"]["text"] == "no platform here"
    recorded = json.loads(record.read_text())
    assert recorded["rollback"] == {"decision": "leave", "note": "nothing", **DETAILS}
    assert recorded["checklist"] == predicate(output)["checklist"]
    assert "writes-paused: stated (by A. Keeper at 2026-01-01T10:00:00Z)" in outcome.out
    assert "registry/backend:2.3.9" in outcome.out


def test_what_was_stated_is_shown_to_who_verifies(desk: Desk) -> None:
    page = desk.kits / "page.html"
    outcome, output = migrated(desk, *TOLD)
    assert outcome.code == 0, outcome
    verdict = desk.verify(output, options=("--html", page))
    assert verdict.code == 0, verdict
    for shown in (verdict.out, page.read_text()):
        for words in ("A. Keeper", "no platform here", "registry/backend:2.3.9", "notes-write"):
            assert words in shown


def test_a_dry_run_on_record_is_ticked_off(desk: Desk) -> None:
    record = desk.kits / "release.json"
    file = desk.kits / "migration.json"
    file.write_text(json.dumps(DEFAULT | {"checklist": ["dry-run"]}))
    base = desk.kit(members())
    refused = desk.patch(base, "--output", desk.kits / "a.tar.zst", "--migration", file)
    refused.refused(64, "demands steps that nobody has ticked off: dry-run")
    planned = kit("plan", base, *desk.trust("vendor"), "--migration", file, "--record", record, "--created-at", kits.AT)
    assert planned.code == 0, planned
    outcome = desk.patch(base, "--output", desk.kits / "b.tar.zst", "--migration", file, "--record", record)
    assert outcome.code == 0, outcome
    assert "dry-run: done (the release record has a dry run)" in outcome.out


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        ((), 64, "nobody has ticked off: writes-paused, sampled"),
        (("--stated", "writes-paused=A"), 64, "nobody has ticked off: sampled"),
        (("--stated", "writes=A"), 64, "there is no step 'writes'"),
        (("--stated", "sampled"), 64, "the form is STEP=NAME"),
        (("--stated", "sampled=@2026-01-01T00:00:00Z"), 64, "who states it is missing"),
        (("--stated", "sampled=A@yesterday"), 11, "yesterday"),
        (("--not-applicable", "sampled= "), 64, "the form is STEP=REASON"),
        (("--stated", "sampled=A", "--not-applicable", "sampled=B"), 64, "is stated twice"),
    ],
)
def test_a_step_that_is_open_or_misspelt_is_refused(
    desk: Desk, options: tuple[str, ...], code: int, words: str
) -> None:
    outcome, output = migrated(desk, *options, checklist=DEMANDED)
    outcome.refused(code, words)
    assert not output.exists()


def test_nobody_makes_a_step_done_by_stating_it(desk: Desk) -> None:
    outcome, output = migrated(desk, "--stated", "stop-rules=A. Keeper", "--stated", "dry-run=A. Keeper")
    assert outcome.code == 0, outcome
    ticks = {one["step"]: one["status"] for one in predicate(output)["checklist"]}
    assert (ticks["stop-rules"], ticks["dry-run"]) == ("done", "stated")


@pytest.mark.parametrize(
    "wrong",
    [
        {"rollback": {"decision": "leave", "previousImage": ""}},
        {"rollback": {"decision": "leave", "containers": []}},
        {"rollback": {"decision": "leave", "containers": [1]}},
        {"rollback": {"decision": "leave", "image": "x"}},
        {"checklist": ["sampled", "sampled"]},
        {"checklist": ["everything"]},
    ],
)
def test_a_migration_with_a_rollback_or_checklist_of_another_form_is_refused(desk: Desk, wrong: dict[str, Any]) -> None:
    outcome, output = migrated(desk, **wrong)
    outcome.refused(11)
    assert not output.exists()


def test_without_either_nothing_is_signed_of_them(desk: Desk) -> None:
    outcome, output = migrated(desk, rollback={"decision": "leave"})
    assert outcome.code == 0, outcome
    assert {"rollback", "checklist"} & predicate(output).keys() == set()

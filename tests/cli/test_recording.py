"""Metrics and release record: of every ending of a run, true, whole, and without a secret."""

from __future__ import annotations

import gzip
import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from kit.migrations import built_in
from kit.version import tool_commit
from tests import kits
from tests.commands import COMMAND, ENVIRONMENT, ROOT, Outcome, kit
from tests.end_to_end.desk import Desk, key
from tests.end_to_end.vault import NOTE, PASSPHRASE, Vault, note
from tests.kits import AT, SOUND, observation

SCHEMA = Draft202012Validator(json.loads((ROOT / "schemas" / "release-record.schema.json").read_text()))
NAME = "20251031_raw_linkset"
PROCESSED = "concelier_migrations_documents_processed_total"


def plan(path: Path, desk: Desk, *options: object) -> Outcome:
    return kit("plan", path, *desk.trust("vendor"), "--created-at", AT, "--workers", 1, *options)


def samples(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Read metrics with the parser of another hand."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)  # type: ignore[no-untyped-call]
        for sample in family.samples
    }


def value(text: str, name: str, **labels: str) -> float:
    return samples(text)[name, frozenset(labels.items())]


def record_of(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(path.read_text())
    SCHEMA.validate(document)
    return document


@pytest.fixture
def record(desk: Desk) -> Path:
    return desk.kits.parent / "release.json"


@pytest.fixture
def metrics(desk: Desk) -> Path:
    return desk.kits.parent / "kit.prom"


class TestMetrics:
    def test_another_parser_reads_what_the_report_counts(self, desk: Desk, metrics: Path) -> None:
        outcome = desk.patch(desk.kit(), "--in-place", "--json", "--metrics", metrics)
        text = metrics.read_text()
        told = {
            (transform, tenant, name): count
            for transform, tenants in outcome.json["outcomes"].items()
            for tenant, outcomes in tenants.items()
            for name, count in outcomes.items()
        }
        counted = {
            (labels["transform"], labels["tenant"], labels["outcome"]): count
            for (name, pairs), count in samples(text).items()
            if name == PROCESSED and (labels := dict(pairs))["collection"] == "concelier.advisory_observations"
        }
        assert counted == told != {}
        assert value(text, "raw_linkset_missing_total", tenant="acme") == 1
        assert value(text, "raw_linkset_missing_total", tenant="globex") == 0
        assert value(text, "kit_pass_documents_total", stage="rewrite") == 3
        assert value(text, "kit_run_exit_code") == 0
        assert value(text, "kit_output_bytes") == outcome.json["outputBytes"]
        assert text.endswith("# EOF\n")

    def test_a_second_pass_counts_no_document_twice(self, desk: Desk, metrics: Path) -> None:
        done = kits.collection([observation(9, rawLinkset=SOUND)])
        # Of a member with a codec of its own it takes a pass to see that nothing is left to do.
        member = "dump/archive/advisory_observations.bson.gz"
        path = desk.kit({**kits.content(), member: gzip.compress(done)})
        assert desk.patch(path, "--in-place", "--metrics", metrics).code == 0
        text = metrics.read_text()
        assert sum(count for (name, _), count in samples(text).items() if name == PROCESSED) == 4
        assert value(text, "kit_pass_documents_total", stage="carry") == 3

    @pytest.mark.parametrize("missing", [True, False], ids=["beside others", "alone"])
    def test_a_member_that_needs_no_pass_is_counted_all_the_same(
        self, desk: Desk, metrics: Path, *, missing: bool
    ) -> None:
        done = kits.collection([observation(9, rawLinkset=SOUND), observation(10, rawLinkset=SOUND)])
        content = kits.content() if missing else {}
        path = desk.kit({**content, "dump/archive/advisory_observations.bson": done})
        assert desk.patch(path, "--in-place", "--metrics", metrics).code == 0
        text = metrics.read_text()
        assert sum(count for (name, _), count in samples(text).items() if name == PROCESSED) == 2 + 3 * missing
        assert "carry" not in text

    def test_on_standard_output_they_are_alone(self, desk: Desk) -> None:
        outcome = plan(desk.kit(), desk, "--metrics", "-")
        assert value(outcome.out, "kit_run_exit_code") == 0
        assert "nothing was written" in outcome.err
        assert plan(desk.kit(), desk, "--metrics", "-", "--json").code == 64

    def test_a_tenant_is_a_label_whatever_it_is_called(self, desk: Desk) -> None:
        outcome = plan(desk.kit(kits.content(observation(1, 'a"b\\c\n\x1b'))), desk, "--metrics", "-")
        (tenant,) = {dict(pairs)["tenant"] for name, pairs in samples(outcome.out) if name == PROCESSED}
        assert tenant == 'a"b\\\\c\\n\\x1b'

    def test_the_same_counts_give_the_same_text_but_for_times(self, desk: Desk) -> None:
        path = desk.kit()
        one, other = (samples(plan(path, desk, "--metrics", "-").out) for _ in range(2))
        timed = {"kit_pass_seconds_total", "kit_run_seconds", "kit_queue_peak_pieces", "kit_queue_peak_bytes"}
        drop = {"kit_temp_bytes"} | timed
        assert {k: v for k, v in one.items() if k[0] not in drop} == {
            k: v for k, v in other.items() if k[0] not in drop
        }


class TestRecord:
    def test_a_part_is_never_taken_for_the_whole(self, desk: Desk, record: Path) -> None:
        path = desk.kit()
        assert plan(path, desk, "--tenant", "globex", "--record", record).code == 0
        part = record_of(record)
        assert part["selection"] == {"tenants": ["globex"], "productId": None}
        assert part["dryRun"]["covered"] == {"whole": False, "tenants": ["globex"], "leftOut": {"acme": 2}}
        desk.patch(path, "--output", desk.kits / "r.tar", "--tenant", "globex", "--record", record)
        assert record_of(record)["live"]["covered"] == part["dryRun"]["covered"]
        desk.patch(path, "--in-place", "--record", record).refused(64, "another migration")
        record.unlink()
        desk.patch(path, "--in-place", "--limit", 1, "--record", record)
        limited = record_of(record)
        assert limited["selection"]["tenants"] is None
        assert [one["limit"] for one in limited["attempts"]] == [1]
        assert limited["live"]["covered"]["whole"] is False

    def test_the_whole_says_so(self, desk: Desk, record: Path) -> None:
        assert desk.patch(desk.kit(), "--in-place", "--record", record).code == 0
        covered = {"whole": True, "tenants": ["acme", "globex"], "leftOut": {}}
        assert record_of(record)["live"]["covered"] == covered

    def test_a_plan_begins_it_and_the_patch_goes_on(self, desk: Desk, record: Path) -> None:
        path = desk.kit()
        assert plan(path, desk, "--record", record).code == 0
        planned = record_of(record)
        assert (planned["live"], planned["result"], planned["keyProvider"]) == (None, None, None)
        who = ("--operator", "A. Keeper", "--environment", "harbour")
        report = desk.patch(path, "--in-place", "--json", "--record", record, *who).json
        done = record_of(record)
        assert done["dryRun"] == planned["dryRun"] == done["live"]
        assert [(one["command"], one["outcome"]) for one in done["attempts"]] == [
            ("plan", "planned"),
            ("patch", "changed"),
        ]
        assert done["migration"]["sha256"] == built_in(NAME, random=bytes).sha256.hex
        assert (done["operator"], done["environment"]) == ("A. Keeper", "harbour")
        assert [one["keyId"] for one in done["keyProvider"]["signing"]] == [key("site").public.key_id]
        backup = Path(report["backup"])
        digest = subprocess.run(["sha256sum", backup], capture_output=True, text=True, check=True).stdout.split()[0]
        assert done["backup"] == {"path": str(backup), "sha256": digest}
        assert done["base"]["sha256"] == digest
        assert done["result"]["sha256"] == report["outputSha256"].removeprefix("sha256:")

    def test_of_a_run_that_changes_nothing(self, desk: Desk, record: Path) -> None:
        assert desk.patch(desk.kit(), "--in-place", "--limit", 0, "--record", record).code == 0
        done = record_of(record)
        assert done["attempts"][0]["outcome"] == "unchanged"
        assert done["result"]["generation"] is done["backup"] is None

    def test_of_another_job_is_left_alone(self, desk: Desk, record: Path) -> None:
        plan(desk.kit(), desk, "--record", record)
        before = record.read_bytes()
        plan(desk.kit(), desk, "--record", record, "--tenant", "acme").refused(64, "another kit or another migration")
        plan(desk.kit(name="other.tar"), desk, "--record", record).refused(64, "another kit or another migration")
        assert record.read_bytes() == before
        record.write_text("{}")
        plan(desk.kit(), desk, "--record", record).refused(11, "exists and is not a release record")
        assert record.read_text() == "{}"

    @pytest.mark.parametrize("place", ["kit.tar.zst", "no-folder/x"])
    def test_a_place_that_cannot_be_is_refused_before_the_run(self, place: str, desk: Desk) -> None:
        path = desk.kit()
        before = kits.folder_state(desk.kits, itself=True)
        outcome = desk.patch(path, "--in-place", "--record", desk.kits / place)
        assert outcome.code in {64, 74}
        assert kits.folder_state(desk.kits, itself=True) == before


class TestEndings:
    """Both are written however it ends."""

    def test_stopped_by_a_rule(self, desk: Desk, record: Path, metrics: Path) -> None:
        linkset = {"aliases": ["other"], "purls": [], "cpes": [], "references": []}
        path = desk.kit(kits.content(observation(1, linkset=linkset)))
        options = ("--on-divergence", "stop", "--record", record, "--metrics", metrics)
        desk.patch(path, "--in-place", *options).refused(12, "would diverge")
        (attempt,) = record_of(record)["attempts"]
        assert (attempt["outcome"], attempt["exitCode"], attempt["error"]["kind"]) == ("stopped", 12, "StoppedError")
        assert value(metrics.read_text(), "kit_run_exit_code") == 12

    def test_refused_by_the_base(self, desk: Desk, record: Path, metrics: Path) -> None:
        path = desk.kit(signer="stranger")
        desk.patch(path, "--in-place", "--record", record, "--metrics", metrics).refused(4, "not among")
        document = record_of(record)
        assert document["attempts"][0]["outcome"] == "failed"
        assert document["base"] is document["live"] is document["result"] is None
        assert value(metrics.read_text(), "kit_run_exit_code") == 4

    @pytest.mark.slow
    def test_interrupted(self, desk: Desk, record: Path, metrics: Path) -> None:
        path = desk.kit(kits.content(*(observation(number) for number in range(200))))
        script = (
            "import sys, os, signal\n"
            "from kit.cli.progress import JsonLines\n"
            "tell = JsonLines.tell\n"
            "def interrupted(self, event):\n"
            "    tell(self, event)\n"
            "    if type(event).__name__ == 'BatchDone' and event.stage == 'rewrite':\n"
            "        os.kill(os.getpid(), signal.SIGINT)\n"
            "JsonLines.tell = interrupted\n"
            "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
            "from kit.cli import main\n"
            "main()\n"
        )
        words = [
            "patch",
            path,
            "--in-place",
            *desk.trust("vendor"),
            "--signing-key",
            desk.keys / "site",
            "--workers",
            1,
        ]
        words += ["--progress", "json", "--created-at", AT, "--record", record, "--metrics", metrics]
        run = subprocess.run(
            [COMMAND[0], "-c", script, *map(str, words)], capture_output=True, env=ENVIRONMENT, check=False
        )
        assert run.returncode == 128 + signal.SIGINT, run.stderr
        assert record_of(record)["attempts"][0]["outcome"] == "interrupted"
        text = metrics.read_text()
        assert value(text, "kit_run_exit_code") == 130
        assert value(text, "kit_pass_documents_total", stage="rewrite") == 200
        resumed = desk.patch(path, "--in-place", "--resume", "--record", record, "--metrics", metrics)
        assert resumed.code == 0, resumed
        done = record_of(record)
        assert [(one["command"], one["outcome"]) for one in done["attempts"]] == [
            ("patch", "interrupted"),
            ("resume", "changed"),
        ]
        assert done["live"]["changed"] == 200

    def test_a_record_that_cannot_be_written_fails_a_run_that_went_well(self, desk: Desk, record: Path) -> None:
        # A folder where the new file is made: the last step of replacing it.
        record.with_name(f".{record.name}.new").mkdir()
        outcome = desk.patch(desk.kit(), "--in-place", "--record", record)
        assert outcome.code == 74
        assert "cannot write the release record" in outcome.err

    def test_and_leaves_the_exit_code_of_one_that_failed(self, desk: Desk, record: Path) -> None:
        record.with_name(f".{record.name}.new").mkdir()
        outcome = desk.patch(desk.kit(signer="stranger"), "--in-place", "--record", record)
        assert outcome.code == 4
        assert "cannot write the release record" in outcome.err


def test_an_encryption_tells_its_provider_and_nothing_that_is_secret(tmp_path: Path) -> None:
    vault = Vault(tmp_path)
    record, metrics = tmp_path / "release.json", tmp_path / "kit.prom"
    path = vault.notes(*(note(number) for number in range(5)))
    outcome = vault.encrypting("patch", path, "--in-place", "--record", record, "--metrics", metrics)
    assert outcome.code == 0, outcome
    document = record_of(record)
    assert document["keyProvider"]["encryption"] == {
        "keyring": str(vault.keyring),
        "provider": "passphrase",
        "masterKeyVersion": 1,
    }
    assert document["rollback"]["note"] == "the old kit is kept"
    wrapped = [dek["wrapped"] for dek in json.loads(vault.keyring.read_text())["deks"]]
    for written in (record.read_text(), metrics.read_text()):
        for secret in (NOTE, json.dumps(NOTE), PASSPHRASE.decode(), "PRIVATE KEY", *map(str, wrapped)):
            assert secret not in written


class TestCommit:
    COMMIT = "0123456789abcdef0123456789abcdef01234567"

    @pytest.fixture
    def package(self, tmp_path: Path) -> Path:
        (tmp_path / "kit").mkdir()
        return tmp_path / "kit"

    def git(self, package: Path, *words: str) -> str:
        identity = ("-c", "user.name=x", "-c", "user.email=x@example.org")
        command = ["git", *identity, *words]
        return subprocess.run(command, cwd=package.parent, capture_output=True, text=True, check=True).stdout.strip()

    def test_the_stamp_of_a_build_goes_first(self, package: Path) -> None:
        assert tool_commit(package) is None
        (package / "COMMIT").write_text(f"{self.COMMIT}\n")
        assert tool_commit(package) == self.COMMIT
        (package / "COMMIT").write_text("unknown\n")
        assert tool_commit(package) is None

    def test_it_is_what_git_says_of_the_checkout(self, package: Path) -> None:
        self.git(package, "init", "-q")
        self.git(package, "commit", "-q", "--allow-empty", "-m", "one")
        head = self.git(package, "rev-parse", "HEAD")
        assert tool_commit(package) == head
        self.git(package, "pack-refs", "--all")
        assert tool_commit(package) == head
        self.git(package, "checkout", "-q", "--detach")
        assert tool_commit(package) == head

    def test_and_of_a_worktree(self, package: Path) -> None:
        self.git(package, "init", "-q")
        self.git(package, "commit", "-q", "--allow-empty", "-m", "one")
        self.git(package, "worktree", "add", "-q", "beside")
        (package.parent / "beside" / "kit").mkdir()
        assert tool_commit(package.parent / "beside" / "kit") == self.git(package, "rev-parse", "HEAD")

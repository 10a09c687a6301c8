"""How a long run is told: the same on standard output whatever is chosen, and never an obstacle."""

from __future__ import annotations

import io
import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from rich.console import Console

from kit.cli.display import Display, Screen
from kit.cli.progress import JsonLines, Listeners, TextLines, show_progress
from kit.engine.progress import SILENCE, Advanced, BatchDone, Event, PassDone, PassStarted, Stage
from kit.reports.progress import RunSoFar
from tests import kits
from tests.cli.terminal import Terminal
from tests.commands import ROOT, Outcome, kit
from tests.end_to_end.desk import Desk
from tests.kits import observation
from tests.tiers import slow

LINE = Draft202012Validator(json.loads((ROOT / "schemas" / "progress.schema.json").read_text()))
MEMBER = "dump/concelier/advisory_observations.bson"


def batch(documents: int, read: int, **outcomes: int) -> BatchDone:
    told = {("raw-linkset", "acme", outcome): count for outcome, count in outcomes.items()}
    return BatchDone(stage=Stage.REWRITE, member=MEMBER, documents=documents, bytes=10, outcomes=told, read=read)


def events() -> list[Event]:
    return [
        PassStarted(stage=Stage.REWRITE, total=200),
        batch(6_000, 50, content=5_000, present=1_000),
        Advanced(stage=Stage.REWRITE, bytes=64 << 20, read=60),
        batch(6_000, 100, content=6_000),
        PassDone(stage=Stage.REWRITE, documents=12_000, bytes=3 << 20, queue_peak=2, queue_peak_bytes=9),
    ]


def clock() -> Iterator[float]:
    yield from range(1000)


def lines(*, quiet: int = 0, told: list[Event] | None = None) -> list[str]:
    written: list[str] = []
    listener = TextLines(written.append, clock().__next__, quiet=quiet)
    for event in events() if told is None else told:
        listener.tell(event)
    listener.close()
    return written


class TestLines:
    def test_each_batch_is_one_line_with_whose_how_many_how_far_and_how_fast(self) -> None:
        said_of_both = (
            "content 5,000, present 1,000); 6,000 documents so far, 25% read, 6,000 documents/s",
            "content 6,000); 12,000 documents so far, 50% read, 4,000 documents/s",
        )
        assert lines() == [
            *(f"kit: rewrite: {MEMBER}: 6,000 documents of acme ({said}" for said in said_of_both),
            "kit: rewrite: done: 12,000 documents, 3.0 MiB in 4.0 s",
        ]

    def test_where_nothing_looks_at_documents_the_bytes_are_told(self) -> None:
        told: list[Event] = [
            PassStarted(stage=Stage.REREAD, total=100),
            Advanced(stage=Stage.REREAD, bytes=64 << 20, read=50),
            PassDone(stage=Stage.REREAD, documents=0, bytes=64 << 20, queue_peak=0, queue_peak_bytes=0),
        ]
        expected = ["kit: reread: 64 MiB so far, 50% read", "kit: reread: done: 64.0 MiB in 2.0 s"]
        assert lines(told=told) == lines(told=told, quiet=10_000) == expected

    def test_a_quiet_listener_tells_nothing_of_a_small_kit_and_everything_of_a_large_one(self) -> None:
        assert lines(quiet=12_001) == []
        assert lines(quiet=12_000) == lines()

    def test_names_cannot_begin_a_line_or_move_the_cursor(self) -> None:
        odd = BatchDone(stage=Stage.DEEP, member="a\nkit: error\x1b[2J", documents=1, bytes=1, outcomes={}, read=1)
        (line,) = lines(told=[odd])
        assert "\n" not in line
        assert "\x1b" not in line


class TestJson:
    def test_every_event_is_of_the_schema_and_carries_the_time(self) -> None:
        written: list[str] = []
        listener = JsonLines(written.append, clock().__next__)
        for event in events():
            listener.tell(event)
        documents = [json.loads(line) for line in written]
        for document in documents:
            LINE.validate(document)
        assert [document["seconds"] for document in documents] == [1, 2, 3, 4, 5]
        assert documents[1]["outcomes"] == {"raw-linkset": {"acme": {"content": 5_000, "present": 1_000}}}
        assert (documents[1]["db"], documents[1]["collection"]) == ("concelier", "advisory_observations")

    def test_a_line_of_another_event_is_not_of_the_schema(self) -> None:
        assert not LINE.is_valid({"event": "done", "schemaVersion": "1", "stage": "rewrite", "seconds": 1})
        assert not LINE.is_valid({"event": "late", "schemaVersion": "1", "stage": "rewrite", "seconds": 1})


class TestRun:
    def run(self, *told: tuple[Event, float | None]) -> RunSoFar:
        run = RunSoFar(("survey", "rewrite", "reread"))
        for second, (event, ratio) in enumerate(told):
            run.take(event, ratio, second)
        return run

    def test_passes_add_up_to_one_share(self) -> None:
        survey, rewrite = (PassStarted(stage=stage, total=200) for stage in (Stage.SURVEY, Stage.REWRITE))
        assert self.run((survey, None)).place == "1 of 3"
        run = self.run((survey, None), (batch(1, 100), 0.5), (rewrite, None), (batch(1, 100), 0.5))
        assert (run.place, run.share) == ("2 of 3", 0.5)
        # From 0.1 at the first event to 0.5 in two seconds: the other half takes two and a half.
        assert run.left(3) == pytest.approx(2.5)

    def test_a_resumed_pass_that_begins_far_in_promises_nothing(self) -> None:
        start = PassStarted(stage=Stage.REWRITE, total=200)
        run = self.run((start, None), (batch(1, 150), 0.75))
        assert (run.place, run.share) == ("2 of 3", 0.65)
        assert run.left(1) is None
        run.take(batch(1, 160), 0.8, 3)
        assert run.left(3) == pytest.approx(2 * (1 - 0.68) / 0.03)

    def test_a_pass_that_nobody_expected_is_one_more(self) -> None:
        run = self.run(
            *((PassStarted(stage=stage, total=1), None) for stage in (Stage.SURVEY, Stage.REWRITE, Stage.CARRY))
        )
        assert (run.place, run.share < 1) == ("3 of 4", True)


class TestDisplay:
    def test_it_shows_whose_how_many_how_far_and_what_became_of_them(self) -> None:
        screen = io.StringIO()
        console = Console(file=screen, force_terminal=True, width=160, color_system=None)
        display = Display(console, clock().__next__)
        for event in events():
            display.tell(event)
        display.close()
        drawn = [
            line for line in re.split(r"[\r\n]", re.sub(r"\x1b\[[^A-Za-z]*[A-Za-z]", "", screen.getvalue())) if line
        ]
        assert any("advisory_observations.bson 6,000 documents" in line and "25%" in line for line in drawn)
        assert "12,000 documents" in drawn[-1]
        assert "docs/s of acme (content 11,000, present 1,000)" in drawn[-1]
        # The cursor is shown again.
        assert screen.getvalue().rstrip().endswith("\x1b[?25h")

    def test_it_shows_one_progress_over_all_passes(self) -> None:
        screen = io.StringIO()
        console = Console(file=screen, force_terminal=True, width=160, color_system=None)
        display = Display(console, clock().__next__, ("survey", "rewrite", "reread"))
        for event in events():
            display.tell(event)
        display.close()
        # The survey is a fifth of the whole, the pass that rewrites three fifths.
        assert "rewrite 2 of 3" in screen.getvalue()
        assert "35%" in screen.getvalue()
        assert "80%" in screen.getvalue()
        assert " left" in screen.getvalue()

    def test_markup_in_a_name_is_shown_and_not_obeyed(self) -> None:
        screen = io.StringIO()
        display = Display(Console(file=screen, force_terminal=True, width=160, color_system=None), clock().__next__)
        display.tell(PassStarted(stage=Stage.DEEP, total=None))
        display.tell(BatchDone(stage=Stage.DEEP, member="x/[red]a[b].bson", documents=1, bytes=1, outcomes={}, read=1))
        display.close()
        assert "[red]a[b].bson 1 documents" in screen.getvalue()

    def test_a_terminal_that_goes_away_stops_nothing(self) -> None:
        class Gone(io.StringIO):
            def write(self, _text: str) -> int:
                raise BrokenPipeError

        display = Display(Screen(file=Gone(), force_terminal=True, color_system=None), clock().__next__)
        for event in events():
            display.tell(event)
        display.close()


def test_several_listeners_all_hear_everything() -> None:
    one: list[str] = []
    other: list[str] = []
    several = Listeners([JsonLines(one.append, clock().__next__), TextLines(other.append, clock().__next__)])
    for event in events():
        several.tell(event)
    assert (len(one), len(other)) == (5, 3)


def test_nobody_is_told_where_nobody_wants_to_know() -> None:
    with show_progress("none") as progress:
        assert progress is SILENCE


@pytest.fixture
def path(desk: Desk) -> Path:
    return desk.kit(kits.content(*(observation(number) for number in range(40))))


def planned(path: Path, desk: Desk, *options: object) -> Outcome:
    outcome = kit("plan", path, *desk.trust("vendor"), "--created-at", kits.AT, "--workers", 1, *options)
    assert outcome.code == 0, outcome
    return outcome


class TestCommands:
    def test_standard_output_is_the_same_whatever_is_chosen(self, path: Path, desk: Desk) -> None:
        outcomes = {mode: planned(path, desk, "--progress", mode) for mode in ("auto", "none", "plain", "json", "rich")}
        assert len({outcome.out for outcome in outcomes.values()}) == 1
        assert outcomes["none"].err == outcomes["auto"].err == ""
        assert "kit: rewrite: done: 40 documents" in outcomes["plain"].err
        assert "40 documents" in outcomes["rich"].err

    def test_each_line_of_json_is_of_the_schema_for_patch_and_for_verify(self, path: Path, desk: Desk) -> None:
        patched = desk.patch(path, "--in-place", "--progress", "json", "--validate", "deep")
        verified = desk.verify(path, options=("--deep", "--progress", "json"))
        assert patched.code == verified.code == 0
        told = [json.loads(line) for line in (patched.err + verified.err).splitlines()]
        for document in told:
            LINE.validate(document)
        stages = [document["stage"] for document in told if document["event"] == "done"]
        assert stages == ["rewrite", "reread", "deep", "survey", "deep"]

    def test_each_line_of_json_is_of_the_schema_for_extract_and_for_diff(self, path: Path, desk: Desk) -> None:
        words = ("--workers", 1, "--progress", "json")
        output = desk.kits.parent / "dump"
        extracted = kit("extract", path, *desk.trust("vendor"), "--output", output, *words)
        changed = desk.kit(kits.content(observation(0), observation(1, x=1)), name="changed.tar")
        compared = kit("diff", path, changed, *words)
        gate = desk.verify(path, options=("--require-raw-linkset", "--progress", "json"))
        assert (extracted.code, compared.code, gate.code) == (0, 0, 11)
        told = [json.loads(line) for line in (extracted.err + compared.err + gate.err).splitlines() if line[0] == "{"]
        for document in told:
            LINE.validate(document)
        done = [(document["stage"], document["documents"]) for document in told if document["event"] == "done"]
        assert done[:2] == [("survey", 0), ("extract", 40)]
        assert done[2:6] == [("survey", 40), ("survey", 2), ("compare", 0), ("compare", 0)]
        assert done[6:] == [("survey", 40), ("explain", 0), ("explain", 40)]
        assert kit("diff", path, changed, "--workers", 1).out == compared.out

    def test_each_line_of_json_is_of_the_schema_for_prove_and_for_squash(self, path: Path, desk: Desk) -> None:
        words = ("--workers", 1, "--progress", "json")
        some = desk.patched(path, "--merkle", "--limit", 10, name="some.tar.zst")
        both = ("vendor", "site")
        proven = kit("prove", some, "--id", observation(1)["_id"], "--output", desk.kits / "proof.json", *words)
        chain = [path, some, desk.patched(some, name="all.tar.zst", trusting=both)]
        signing = ("--signing-key", desk.keys / "site", *desk.trust(*both))
        deltas = [desk.kits / f"{number}.delta" for number in (0, 1)]
        for (base, target), delta in zip(itertools.pairwise(chain), deltas, strict=True):
            assert kit("delta", "build", base, target, "-o", delta, *signing).code == 0
        squashed = kit("delta", "squash", path, *deltas, "-o", desk.kits / "all.delta", *signing, *words)
        assert (proven.code, squashed.code) == (0, 0)
        for outcome in (proven, squashed):
            told = [json.loads(line) for line in outcome.err.splitlines()]
            assert any(document["event"] == "done" for document in told)
            for document in told:
                LINE.validate(document)

    @pytest.mark.slow
    def test_a_display_does_not_draw_over_documents(self, path: Path, desk: Desk) -> None:
        words = ("extract", path, *desk.trust("vendor"), "--workers", 1, "--output", "-")
        with Terminal(*words, TERM="xterm") as terminal:
            assert terminal.wait() == 0
            assert "\x1b" not in terminal.shown
            assert terminal.shown.count('{"_id":') == 40

    def test_a_batch_is_as_long_as_the_migration_says(self, path: Path, desk: Desk) -> None:
        document = {
            "schemaVersion": "1",
            "id": "20260101_small_batches",
            "kind": "additive-optional",
            "description": "",
            "transforms": [{"name": "raw-linkset"}],
            "batchSize": 1,
            "rollback": {"decision": "leave"},
        }
        file = desk.kits.parent / "migration.json"
        file.write_text(json.dumps(document))
        # A batch ends with the run of documents that fills it, and the run of this kit is all of it.
        told = planned(path, desk, "--progress", "json", "--migration", file).err.splitlines()
        batches = [found for found in map(json.loads, told) if found["event"] == "batch"]
        assert [found["documents"] for found in batches] == [40]

    @pytest.mark.parametrize("colour", [True, *slow(False)], ids=["colour", "NO_COLOR"])
    def test_at_a_terminal_there_is_a_display(self, path: Path, desk: Desk, *, colour: bool) -> None:
        words = ("plan", path, *desk.trust("vendor"), "--workers", 1)
        with Terminal(*words, TERM="xterm", NO_COLOR="" if colour else "1") as terminal:
            assert terminal.wait() == 0
            shown = terminal.shown
        assert "rewrite" in shown
        assert "docs/s" in shown
        assert bool(re.search(r"\x1b\[[0-9;]*[39][0-9]m", shown)) is colour
        assert shown.endswith(f"kit patch would change {40} documents\r\n")

    def test_a_dumb_terminal_gets_no_display(self, path: Path, desk: Desk) -> None:
        with Terminal("plan", path, *desk.trust("vendor"), "--workers", 1, TERM="dumb") as terminal:
            assert terminal.wait() == 0
            assert "\x1b" not in terminal.shown

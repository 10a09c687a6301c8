"""A base that is transformed while it is judged: from outside, nothing tells that from two readings but the time.

``--limit`` with more documents than there are is the other way: it changes no byte of the result, and reads twice.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kit.engine.progress import BatchDone, Event, Stage
from kit.errors import DigestError, InterruptedRunError
from kit.output.journal import JournalFile
from kit.verbs.patch.patch import patch, resume
from kit.verbs.verify.kits import Environment
from tests import kits
from tests.attacks.forging import PUBLISHER, output, request
from tests.commands import Outcome, kit
from tests.end_to_end.desk import Desk, key
from tests.kits import MANIFEST, OBSERVATIONS, SIGNATURE, SNAPSHOTS, SOUND, Members, collection, observation, snapshot

TWICE = ("--limit", 1000)
PLAIN = {
    "README.txt": b"a kit\n",
    OBSERVATIONS: collection(observation(n) for n in range(9)),
    "images/layer.bin": bytes(range(256)) * 8,
}


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def last(members: Members) -> Members:
    """Put what describes the others behind them, as a sorted archive has it."""
    return {path: members[path] for path in sorted(members, key=lambda path: path in {MANIFEST, SIGNATURE})}


def run(desk: Desk, path: Path, *options: object, name: str = "out.tar.zst", **more: Any) -> Outcome:
    return desk.patch(path, "--output", desk.kits / name, "-v", *options, **more)


def stages(outcome: Outcome) -> list[str]:
    """Give the passes that were made to their end."""
    return [line.split(": ")[1] for line in outcome.err.splitlines() if ": done: " in line]


def both(desk: Desk, path: Path, *options: object) -> tuple[Outcome, Outcome]:
    """Patch in either way, and check that the results are the same bytes."""
    once, twice = (run(desk, path, *options, *more, name=name) for name, more in (("one", ()), ("two", TWICE)))
    assert (once.code, twice.code) == (0, 0), once
    assert (desk.kits / "one").read_bytes() == (desk.kits / "two").read_bytes()
    assert stages(twice)[0] == "survey"
    return once, twice


@pytest.mark.parametrize("name", ["kit.tar.zst", "kit.tar.gz"])
@pytest.mark.parametrize("order", [dict, last], ids=["manifest first", "manifest last"])
def test_a_kit_in_which_nothing_is_looked_up_is_read_once(
    desk: Desk, name: str, order: Callable[[Members], Members]
) -> None:
    path = desk.write(order(kits.signed(PLAIN, key("vendor"))), name)
    once, _ = both(desk, path)
    assert stages(once) == ["rewrite", "reread"]
    desk.verify(desk.kits / "one", "vendor", "site")


METADATA = OBSERVATIONS.replace(".bson", ".metadata.json")
ID_INDEX = b'{"indexes": [{"v": 2, "key": {"_id": 1}, "name": "_id_"}], "collectionName": "advisory_observations"}'
UNIQUE = b'{"indexes": [{"v": 2, "key": {"upstream.upstreamId": 1}, "name": "u", "unique": true}]}'
PART = "part-2/concelier/advisory_observations.bson"


def part(made: Any) -> Members:
    """Give another member of observations, which have this ``rawLinkset``."""
    return {PART: collection(observation(n, rawLinkset=made) for n in range(3))}


@pytest.mark.parametrize(
    ("more", "passes"),
    [
        ({METADATA: ID_INDEX}, ["rewrite", "reread"]),
        ({METADATA: UNIQUE}, ["rewrite", "survey", "rewrite", "reread"]),
        ({SNAPSHOTS: collection([snapshot(1)])}, ["survey", "rewrite", "reread"]),
        (part(SOUND), ["survey", "rewrite", "reread"]),
        (part({"aliases": []}), ["rewrite", "survey", "rewrite", "carry", "reread"]),
        ({"notes/large.bin": bytes(5 << 20)}, ["rewrite", "reread"]),
        ({"a/large.bin": bytes(5 << 20)}, ["survey", "rewrite", "reread"]),
    ],
    ids=["metadata", "a unique index", "a snapshot", "complete", "of another shape", "much behind", "much before"],
)
def test_what_is_only_known_later_makes_two_readings_of_one(desk: Desk, more: Members, passes: list[str]) -> None:
    files = PLAIN | more
    members = {path: files[path] for path in sorted(files)}
    once, _ = both(desk, desk.write(kits.signed(members, key("vendor"))))
    assert stages(once) == passes


def test_documents_of_a_reading_that_was_in_vain_are_not_counted_twice(desk: Desk) -> None:
    path, metrics = desk.kit({**PLAIN, METADATA: UNIQUE}), desk.kits / "metrics"
    counted = []
    for name, options in (("one", ()), ("two", TWICE)):
        assert run(desk, path, "--metrics", metrics, *options, name=name).code == 0
        counted.append(
            [line for line in metrics.read_text().splitlines() if "documents" in line and "pass" not in line]
        )
    assert counted[0] == counted[1] != []


def test_a_kit_of_this_program_is_read_twice_so_that_its_frames_are_copied(desk: Desk) -> None:
    path = desk.kit({**PLAIN, OBSERVATIONS: collection([observation(1), observation(2, "globex")])})
    assert run(desk, path, "--tenant", "acme").code == 0
    again = run(desk, desk.kits / "out.tar.zst", name="again.tar.zst", trusting=("vendor", "site"))
    assert stages(again)[0] == "survey"


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def changed(path: Path) -> None:
    members = kits.contents(path.read_bytes())
    kits.write_kit(path, {**members, "README.txt": b"another\n"})


def malformed(path: Path) -> None:
    members = kits.contents(path.read_bytes())
    kits.write_kit(path, {**members, OBSERVATIONS: members[OBSERVATIONS][:-9]})


BAD: dict[str, Callable[[Path], object]] = {
    "a flipped bit": flip,
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-30]),
    "with more behind": lambda path: path.write_bytes(path.read_bytes() + b"more"),
    "of another member": changed,
    "of a malformed document": malformed,
    "with a member more": lambda path: kits.write_kit(path, kits.contents(path.read_bytes()) | {"x": b"more"}),
    "without a signature": lambda path: kits.write_kit(
        path, {name: data for name, data in kits.contents(path.read_bytes()).items() if name != SIGNATURE}
    ),
    "without a manifest": lambda path: kits.write_kit(path, PLAIN),
    "beside another checksum": lambda path: path.with_name(f"{path.name}.sha256").write_text(
        f"{'0' * 64}  {path.name}\n"
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_base_that_is_refused_leaves_nothing_and_the_same_words(desk: Desk, name: str) -> None:
    path = desk.write(last(kits.signed(PLAIN, key("vendor"))))
    BAD[name](path)
    before = kits.folder_state(desk.kits)
    once, twice = (desk.patch(path, "--output", desk.kits / "out", "-q", *more) for more in ((), TWICE))
    assert (once.code, once.err, once.out) == (twice.code, twice.err, twice.out)
    assert once.code not in {0, 70}
    assert kits.folder_state(desk.kits) == before


def test_a_stranger_is_not_trusted_either(desk: Desk) -> None:
    path = desk.kit(PLAIN, signer="stranger")
    before = kits.folder_state(desk.kits)
    once, twice = (desk.patch(path, "--output", desk.kits / "out", "-q", *more) for more in ((), TWICE))
    assert (once.code, once.err) == (twice.code, twice.err)
    assert once.code not in {0, 70}
    assert kits.folder_state(desk.kits) == before


def test_documents_that_stop_a_patch_are_named_as_ever(desk: Desk) -> None:
    bad = observation(1, linkset={"aliases": ["other"], "purls": [], "cpes": [], "references": []})
    path = desk.kit({**PLAIN, OBSERVATIONS: collection([observation(0), bad])})
    before = kits.folder_state(desk.kits)
    stop = ("--output", desk.kits / "out", "-q", "--on-divergence", "stop")
    once, twice = (desk.patch(path, *stop, *more) for more in ((), TWICE))
    assert (once.code, once.err) == (twice.code, twice.err)
    assert once.code not in {0, 70}
    assert kits.folder_state(desk.kits) == before


class Interruption:
    """Presses Ctrl-C when the documents of a pass are done."""

    def tell(self, event: Event) -> None:
        if isinstance(event, BatchDone) and event.stage is Stage.REWRITE:
            raise KeyboardInterrupt


def publish(folder: Path) -> Path:
    folder.mkdir()
    return kits.write_kit(folder / "kit.tar.zst", kits.signed(PLAIN, PUBLISHER))


def test_a_run_that_was_interrupted_before_its_base_was_judged_judges_it_when_it_is_resumed(tmp_path: Path) -> None:
    calm, struck = publish(tmp_path / "calm"), publish(tmp_path / "struck")
    patch(request(calm), output())
    with pytest.raises(InterruptedRunError):
        patch(request(struck, environment=Environment(workers=1, progress=Interruption())), output())
    journal = JournalFile(struck.with_name("kit.tar.zst.kit-job") / "journal")
    assert journal.begun is not None
    assert journal.judged is None
    assert journal.frames > 0
    listed = kit("jobs", struck.parent)
    assert "its base was not yet judged" in listed.out, listed
    good = struck.read_bytes()
    changed(struck)
    with pytest.raises(DigestError):
        resume(request(struck), output())
    struck.write_bytes(good)
    resume(request(struck), output())
    assert struck.read_bytes() == calm.read_bytes()

"""Times that contradict each other: no generation is older than the one below it, for whoever reads the manifest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from conformance.build.kits import (
    AFTER,
    JUDGED_AT,
    LATER,
    MANIFEST,
    OBSERVATIONS,
    PATCHED_AT,
    PUBLISHED_AT,
    Members,
    encoded,
    files,
    published,
    sha256,
    step,
    to_json,
)
from conformance.build.signing import key
from conformance.build.trust import POLICIES
from kit.errors import ManifestError
from kit.manifest import Manifest
from kit.values import Limits
from tests.commands import Outcome, kit
from tests.kits import write_kit

BEFORE = "2025-12-31T23:59:59Z"
APPENDED = {OBSERVATIONS: encoded(AFTER)}
MORE = {"README.txt": b"more\n"}


def verified(folder: Path, members: Members, *options: object) -> Outcome:
    words: list[object] = []
    for name in ("publisher", "site", "site-b"):
        public = folder / f"{name}.pub"
        public.write_bytes(key(name).public.pem)
        words += ["--trusted-key", public]
    return kit("verify", write_kit(folder / "kit.tar", members), *words, "--workers", 1, *options)


def foreign(**more: Any) -> Members:
    named = [{"name": path, "digest": f"sha256:{sha256(data)}"} for path, data in sorted(files().items())]
    return published(document={"artifacts": named, **more})


@pytest.mark.parametrize(
    ("members", "words"),
    [
        pytest.param(step(published(), APPENDED, at=BEFORE), f"made at {PUBLISHED_AT}", id="before the publisher's"),
        pytest.param(
            step(step(published(), APPENDED, at=LATER), MORE, by="site-b", at=PATCHED_AT),
            f"made at {PATCHED_AT}, before {LATER}",
            id="a second step before the first",
        ),
        pytest.param(
            step(step(published(), APPENDED, at=BEFORE), MORE, by="site-b", at=LATER),
            f"made at {PUBLISHED_AT}, and replaced at {BEFORE}",
            id="hidden below a second step of a good time",
        ),
        pytest.param(
            step(foreign(createdAt=LATER), APPENDED, at=PATCHED_AT),
            f"{LATER}, after {PATCHED_AT}",
            id="of a foreign manifest that says a time",
        ),
        pytest.param(
            step(foreign(createdAt=PUBLISHED_AT), APPENDED, manifest_changes={"createdAt": BEFORE}),
            f"made at {PUBLISHED_AT}, but its successor at {BEFORE}",
            id="a foreign manifest whose own time goes back",
        ),
    ],
)
def test_a_generation_older_than_the_one_below_is_refused(members: Members, words: str, tmp_path: Path) -> None:
    outcome = verified(tmp_path, members)
    assert outcome.code == 11, outcome
    assert words in outcome.err
    assert "\nvalid: " not in outcome.out


def test_two_generations_of_one_second_are_in_order(tmp_path: Path) -> None:
    twice = step(step(published(), APPENDED, at=PUBLISHED_AT), MORE, by="site-b", at=PUBLISHED_AT)
    assert verified(tmp_path, twice).code == 0


def test_a_time_that_nobody_says_is_named_as_not_compared(tmp_path: Path) -> None:
    members = step(foreign(), APPENDED)
    outcome = verified(tmp_path, members)
    assert outcome.code == 0, outcome
    assert "generation 0 has no time, so none was compared with it" in outcome.out


@pytest.mark.parametrize("at", [BEFORE, LATER])
def test_a_manifest_of_another_time_than_its_lineage_is_none_for_any_reader(at: str) -> None:
    """A proof and a delta carry the manifest without its history: it shows by itself."""
    document = json.loads(step(published(), APPENDED)[MANIFEST]) | {"createdAt": at}
    with pytest.raises(ManifestError, match="but lineage has"):
        Manifest.parse(to_json(document), limits=Limits(), where="m")


@pytest.mark.parametrize("at", [BEFORE, PATCHED_AT, "2026-01-06T00:00:00Z"])
def test_whoever_left_with_the_key_signs_with_whatever_date(at: str, tmp_path: Path) -> None:
    """Before the generation that it is made of, between that and the revocation, or after it."""
    policy = tmp_path / "policy.json"
    policy.write_bytes(POLICIES["rotated-site"].to_bytes())
    path = write_kit(tmp_path / "kit.tar", step(published(), APPENDED, at=at))
    outcome = kit("verify", path, "--trust", policy, "--at", JUDGED_AT, "--workers", 1, "--json")
    assert outcome.code == 4, outcome
    report = outcome.json
    assert report["signers"] == []
    failed = [one["number"] for one in report["obligations"] if one["status"] == "failed"]
    assert failed[0] == 4
    assert 6 in failed  # by its time, or by the statement, which the same key signed

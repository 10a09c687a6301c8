"""Four published kits, patched as a user would, against what other code says a correct patch yields."""

from __future__ import annotations

import io
import json
import shutil
import stat
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import zstandard

from kit.signing import Algorithm
from kit.values import Timestamp
from tests import kits
from tests.commands import Outcome, kit
from tests.end_to_end.desk import Desk
from tests.kits import REAL
from tests.tiers import slow

KITS = ("cisa-csaf.tar.zst", "cve5-foreign.tar.gz", "go-osv.tar.zst", "pypa-osv.tgz")
PUBLISHER = REAL / "publisher-TEST-ONLY.pub.pem"

pytestmark = pytest.mark.skipif(not REAL.is_dir(), reason="the published kits are not beside the project")
# One of the four in the first tier of tests.
every_kit = pytest.mark.parametrize("name", [KITS[0], *slow(*KITS[1:])])


def patch(base: Path, desk: Desk, *options: object, workers: int = 1, signer: str = "site") -> Outcome:
    return kit(
        *("patch", base, "--trusted-key", PUBLISHER, "--signing-key", desk.keys / signer),
        *("--created-at", kits.AT, "--workers", workers, *options),
    )


def patched(name: str, desk: Desk, *, into: str = "", **how: Any) -> Path:
    """Patch a kit, with what is put beside it; as it always is, unless something else is asked for."""
    output = desk.kits / (into or name)
    if not into and not how:
        for suffix, data in _always(name).items():
            Path(f"{output}{suffix}").write_bytes(data)
        return output
    outcome = patch(REAL / name, desk, "--output", output, **how)
    assert (outcome.code, outcome.err) == (0, "")
    return output


@cache
def _always(name: str) -> dict[str, bytes]:
    """Return the files that a patch by the site writes, which are made once: the keys of a run of the tests stay."""
    with tempfile.TemporaryDirectory() as folder:
        output = patched(name, Desk(Path(folder)), signer="site")
        return {suffix: Path(f"{output}{suffix}").read_bytes() for suffix in ("", ".sha256", ".sig")}


def everything(path: Path) -> bytes:
    """Give the bytes of an archive; of a folder, names, modes, times and contents."""
    if not path.is_dir():
        return path.read_bytes()
    lines = []
    for file in sorted(path.rglob("*")):
        status = file.stat()
        body = kits.sha256(file.read_bytes()) if file.is_file() else ""
        lines.append(f"{file.relative_to(path)} {status.st_mode:o} {int(status.st_mtime)} {body}")
    return "\n".join(lines).encode()


@cache
def expected(name: str) -> list[dict[str, Any]]:
    data = (REAL / f"{name}.expected.ndjson.zst").read_bytes()
    with zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data), read_across_frames=True) as stream:
        return [json.loads(line) for line in stream.read().splitlines()]


def observations(path: Path) -> list[bytes]:
    name, body = next(item for item in kits.read(path).items() if "advisory_observations.bson" in item[0])
    return kits.documents_of(kits.plain(body, name))


def other_entries(path: Path) -> dict[str, tuple[bytes, bytes]]:
    return {
        name: entry
        for name, entry in kits.entries(path).items()
        if "advisory_observations.bson" not in name and not name.startswith("manifest/")
    }


@every_kit
def test_every_document_has_the_size_and_digest_expected_in_order(name: str, desk: Desk) -> None:
    met = [(kits.sha256(document), len(document)) for document in observations(patched(name, desk))]
    assert met == [(line["sha256"], line["size"]) for line in expected(name)]


@every_kit
def test_every_other_member_keeps_its_header_and_its_bytes(name: str, desk: Desk) -> None:
    before, after = other_entries(REAL / name), other_entries(patched(name, desk))
    assert list(after) == list(before)
    assert after == before
    assert len(before) >= 5


@every_kit
def test_the_old_manifest_and_signature_are_kept_byte_for_byte(name: str, desk: Desk) -> None:
    before, after = kits.read(REAL / name), kits.read(patched(name, desk))
    kept = {path for path in after if path.startswith("manifest/history/")}
    generation = "0" if "foreign" in name else "3"
    folder = f"manifest/history/{generation}"
    assert kept == {
        f"{folder}/{leaf}" for leaf in ("offline-manifest.json", "offline-manifest.json.jws", "patch.intoto.json")
    }
    assert after[f"{folder}/offline-manifest.json"] == before[kits.MANIFEST]
    assert after[f"{folder}/offline-manifest.json.jws"] == before[kits.SIGNATURE]


@every_kit
def test_the_result_is_valid_with_both_keys_and_refused_with_either_missing(name: str, desk: Desk) -> None:
    output = patched(name, desk)
    publisher, site = ("--trusted-key", PUBLISHER), ("--trusted-key", desk.public("site"))
    assert kit("verify", output, *publisher, *site).code == 0
    assert kit("verify", output, *publisher).code == 4
    assert kit("verify", output, *site).code == 4
    assert kit("verify", output).code == 4


@every_kit
def test_a_second_patch_changes_nothing_says_so_and_copies_byte_for_byte(name: str, desk: Desk) -> None:
    once, twice = patched(name, desk), desk.kits / f"twice-{name}"
    outcome = patch(once, desk, "--trusted-key", desk.public("site"), "--output", twice)
    assert (outcome.code, outcome.err) == (0, "")
    assert "nothing to change: every document that could be patched already is" in outcome.out
    assert f"wrote {twice}, a byte-for-byte copy of {once}" in outcome.out
    assert twice.read_bytes() == once.read_bytes()
    assert Path(f"{twice}.sig").read_bytes() == Path(f"{once}.sig").read_bytes()
    subprocess.run(["sha256sum", "--check", "--strict", f"{twice.name}.sha256"], cwd=desk.kits, check=True)


@every_kit
def test_a_second_patch_in_place_touches_nothing(name: str, desk: Desk) -> None:
    output = patched(name, desk)
    before = kits.folder_state(desk.kits)
    outcome = patch(output, desk, "--trusted-key", desk.public("site"), "--in-place")
    assert (outcome.code, outcome.err) == (0, "")
    assert "nothing to change" in outcome.out
    assert kits.folder_state(desk.kits) == before


@every_kit
def test_the_number_of_workers_does_not_show(name: str, desk: Desk) -> None:
    one, two = (patched(name, desk, into=f"{n}-{name}", workers=n) for n in (1, 2))
    assert one.read_bytes() == two.read_bytes()


@pytest.mark.parametrize("algorithm", [Algorithm.ES256, Algorithm.ED25519], ids=str)
def test_two_runs_give_the_same_archive(algorithm: Algorithm, desk: Desk) -> None:
    desk.add_key(str(algorithm), algorithm)
    one, two = (patched(KITS[0], desk, into=f"{n}.tar.zst", signer=str(algorithm)) for n in (1, 2))
    assert one.read_bytes() == two.read_bytes()


@every_kit
def test_in_place_gives_the_archive_that_output_gives_and_keeps_the_old_one(name: str, desk: Desk) -> None:
    output, kept = patched(name, desk), desk.kits / f"in-place-{name}"
    shutil.copyfile(REAL / name, kept)
    outcome = patch(kept, desk, "--in-place")
    assert (outcome.code, outcome.err) == (0, "")
    assert kept.read_bytes() == output.read_bytes()
    generation = "0" if "foreign" in name else "3"
    assert Path(f"{kept}.bak.{generation}").read_bytes() == (REAL / name).read_bytes()
    assert not Path(f"{kept}.kit-job").exists()


@pytest.fixture
def unpacked(desk: Desk) -> Path:
    """Unpack the smallest kit with GNU tar."""
    folder = desk.kits / "unpacked"
    folder.mkdir()
    plain = desk.kits / "plain.tar"
    plain.write_bytes(kits.plain_tar(REAL / KITS[0]))
    subprocess.run(["tar", "-xpf", plain, "-C", folder], check=True)
    return folder


@pytest.mark.slow
def test_an_unpacked_kit_is_patched_into_the_files_that_the_archive_would_hold(unpacked: Path, desk: Desk) -> None:
    archive, folder = patched(KITS[0], desk), desk.kits / "folder"
    assert patch(unpacked, desk, "--output", folder).code == 0
    assert kits.read(folder) == dict(sorted(kits.read(archive).items()))
    again = desk.kits / "again"
    assert patch(unpacked, desk, "--output", again, workers=2).code == 0
    assert everything(again) == everything(folder)
    assert kit("verify", folder, "--trusted-key", PUBLISHER, "--trusted-key", desk.public("site")).code == 0


def test_a_folder_that_a_patch_makes_has_the_time_of_the_generation(unpacked: Path, desk: Desk) -> None:
    folder = desk.kits / "folder"
    assert patch(unpacked, desk, "--output", folder).code == 0
    for made in ("manifest/history", "manifest/history/3"):
        status = (folder / made).stat()
        assert (status.st_mtime, stat.S_IMODE(status.st_mode)) == (Timestamp.parse(kits.AT).seconds, 0o755)


def test_an_unpacked_kit_is_patched_in_place(unpacked: Path, desk: Desk) -> None:
    before, folder = everything(unpacked), desk.kits / "folder"
    assert patch(unpacked, desk, "--output", folder).code == 0
    outcome = patch(unpacked, desk, "--in-place")
    assert (outcome.code, outcome.err) == (0, "")
    assert everything(unpacked) == everything(folder)
    assert everything(desk.kits / "unpacked.bak.3") == before
    assert not (desk.kits / "unpacked.sha256").exists()


def test_a_plain_tar_stays_one_and_holds_the_same_members(desk: Desk) -> None:
    base, output = desk.kits / "base.tar", desk.kits / "out.tar"
    base.write_bytes(kits.plain_tar(REAL / KITS[0]))
    assert patch(base, desk, "--output", output).code == 0
    assert output.read_bytes() == kits.plain_tar(patched(KITS[0], desk))


@every_kit
def test_plan_counts_what_patch_does(name: str, desk: Desk) -> None:
    planned = kit("plan", REAL / name, "--trusted-key", PUBLISHER, "--json", "--workers", 1).json
    live = patch(REAL / name, desk, "--output", desk.kits / name, "--json").json
    for part in ("changed", "collections", "outcomes", "counts", "findings", "omittedFindings", "transforms", "base"):
        assert planned[part] == live[part]
    sources = [line["source"] for line in expected(name)]
    totals = {source: sources.count(source) for source in ("snapshot", "content", "unresolvable", "present")}
    outcomes = live["outcomes"]["raw-linkset"].values()
    assert {source: sum(tenant.get(source, 0) for tenant in outcomes) for source in totals} == totals
    assert (planned["live"], live["live"]) == (False, True)

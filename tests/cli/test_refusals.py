"""Every exit code that can occur, through the commands; and after every refusal everything is as it was."""

from __future__ import annotations

import os
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from kit.signing import Algorithm
from tests import kits
from tests.cli.terminal import Terminal
from tests.commands import COMMAND, ENVIRONMENT, kit
from tests.end_to_end.desk import Desk, key
from tests.kits import AT, MANIFEST, OBSERVATIONS, SIGNATURE, observation
from tests.tiers import slow

Make = Callable[[Desk], Path]


def altered(desk: Desk, change: Callable[[kits.Members], None]) -> Path:
    """Sign a kit, then change it."""
    members = kits.signed(kits.content(), key("vendor"))
    change(members)
    return desk.write(members)


def without(name: str) -> Make:
    def absent(members: kits.Members) -> None:
        del members[name]

    return lambda desk: altered(desk, absent)


def flipped(members: kits.Members) -> None:
    body = bytearray(members["images/layer.bin"])
    body[100] ^= 1
    members["images/layer.bin"] = bytes(body)


def with_checksum(desk: Desk, line: str) -> Path:
    path = desk.kit()
    Path(f"{path}.sha256").write_text(line)
    return path


def with_signature_of_other_bytes(desk: Desk) -> Path:
    path = desk.kit()
    other = desk.patched(path)
    Path(f"{other}.sig").rename(f"{path}.sig")
    return path


def truncated(desk: Desk) -> Path:
    path = desk.kit()
    path.write_bytes(path.read_bytes()[:-20])
    return path


def twice_the_same_name(desk: Desk) -> Path:
    path = desk.kits / "kit.tar"
    with tarfile.open(path, "w") as archive:
        for _ in range(2):
            info = tarfile.TarInfo("a.txt")
            archive.addfile(info)
    return path


def two_manifests(members: kits.Members) -> None:
    members["offline-manifest.json"] = members[MANIFEST]


def manifest_with_a_key_twice(desk: Desk) -> Path:
    text = kits.to_json(kits.manifest_of(kits.content())).replace(b'"generation"', b'"generation": 1, "generation"')
    return desk.kit(manifest=text)


def a_link_to_a_kit(desk: Desk) -> Path:
    link = desk.kits / "link.tar.zst"
    link.symlink_to(desk.kit())
    return link


def a_fifo(desk: Desk) -> Path:
    os.mkfifo(desk.kits / "fifo.tar")
    return desk.kits / "fifo.tar"


REFUSED_BY_ALL = [
    pytest.param(lambda desk: desk.kits / "absent.tar", 1, "No such file", id="1 no such kit"),
    pytest.param(a_fifo, 1, "is not a regular file", id="1 a FIFO"),
    pytest.param(a_link_to_a_kit, 1, "cannot be read", id="1 a link to a kit"),
    pytest.param(lambda desk: altered(desk, flipped), 2, "layer.bin: digest differs", id="2 one bit of a member"),
    pytest.param(
        lambda desk: altered(desk, lambda m: m.update({"more.txt": b""})), 2, "more.txt: not listed", id="2 unlisted"
    ),
    pytest.param(without("README.txt"), 2, "README.txt: listed", id="2 absent"),
    pytest.param(
        lambda desk: with_checksum(desk, f"{'0' * 64}  kit.tar.zst\n"),
        2,
        "the .sha256 file: states 000",
        id="2 .sha256",
    ),
    pytest.param(
        lambda desk: with_checksum(desk, ""), 2, "the .sha256 file: states no digest", id="2 an empty .sha256"
    ),
    pytest.param(
        lambda desk: with_checksum(desk, "SHA256 (kit.tar.zst) = 0"), 2, "states no digest", id="2 a .sha256 cut short"
    ),
    pytest.param(lambda desk: desk.kit(signer=None), 3, f"{SIGNATURE}: the manifest has no", id="3 never signed"),
    pytest.param(
        lambda desk: altered(desk, lambda m: m.update({SIGNATURE: b""})), 3, "signature", id="3 an empty signature"
    ),
    pytest.param(lambda desk: desk.kit(signer="stranger"), 4, "not among the", id="4 signed by a stranger"),
    pytest.param(
        lambda desk: altered(desk, lambda m: m.update({MANIFEST: m[MANIFEST] + b"\n"})),
        5,
        SIGNATURE,
        id="5 other bytes",
    ),
    pytest.param(
        lambda desk: altered(desk, lambda m: m.update({SIGNATURE: b"x" + m[SIGNATURE]})), 5, SIGNATURE, id="5 corrupt"
    ),
    pytest.param(with_signature_of_other_bytes, 5, "the .sig file: ", id="5 .sig of other bytes"),
    pytest.param(truncated, 9, "kit.tar.zst", id="9 truncated"),
    pytest.param(twice_the_same_name, 9, "a.txt", id="9 a name twice"),
    pytest.param(lambda desk: altered(desk, two_manifests), 11, "two manifests", id="11 two manifests"),
    pytest.param(without(MANIFEST), 11, "no manifest: neither", id="11 no manifest"),
    pytest.param(manifest_with_a_key_twice, 11, "'generation' is there twice", id="11 manifest with a key twice"),
    pytest.param(lambda desk: desk.kit(manifest=b"[]"), 11, MANIFEST, id="11 manifest of another type"),
    pytest.param(
        lambda desk: desk.kit(manifest=kits.manifest_of({})), 11, "lists no files", id="11 manifest that lists nothing"
    ),
]


@pytest.mark.parametrize(("make", "code", "words"), REFUSED_BY_ALL)
def test_what_verify_refuses_patch_refuses_with_the_same_code_and_leaves_as_it_was(
    make: Make, code: int, words: str, desk: Desk
) -> None:
    path = make(desk)
    before = kits.folder_state(desk.kits)
    desk.refused(path, code, words)
    desk.patch(path, "--output", desk.kits / "out").refused(code, words)
    desk.patch(path, "--in-place").refused(code, words)
    assert kits.folder_state(desk.kits) == before


def test_an_empty_trust_refuses_everything(desk: Desk) -> None:
    kit("verify", desk.kit()).refused(4, "no key is trusted, so nothing can be valid\nkit: hint: name one with")


def test_a_checksum_in_capitals_is_one_that_sha256sum_accepts(desk: Desk) -> None:
    path = desk.kit()
    Path(f"{path}.sha256").write_text(f"{kits.sha256(path.read_bytes()).upper()} *kit.tar.zst\n")
    subprocess.run(["sha256sum", "--check", "--strict", f"{path}.sha256"], cwd=desk.kits, check=True)
    assert desk.verify(path, "vendor").code == 0


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        ("members=2", "3 is over the limit members = 2"),
        ("total_bytes=100", "is over the limit total_bytes = 100"),
        ("json_bytes=100", "is over the limit json_bytes = 100"),
    ],
)
def test_9_a_limit_of_the_user_s_holds_and_says_how_to_raise_it(limit: str, words: str, desk: Desk) -> None:
    name = limit.partition("=")[0]
    outcome = desk.patch(desk.kit(), "--output", desk.kits / "out", "--max", limit)
    outcome.refused(9, words, f"\nkit: hint: if this kit is known to be sound, raise it: --max {name}=")


def test_9_a_kit_that_history_takes_over_a_limit_says_which_and_leaves_nothing(desk: Desk) -> None:
    path = desk.kit()
    before = kits.folder_state(desk.kits)
    outcome = desk.patch(path, "--output", desk.kits / "out", "--max", "members=10")
    outcome.refused(9, "the new kit would be over a limit: 11 is over the limit members = 10", "--max members=11")
    assert kits.folder_state(desk.kits) == before


@pytest.mark.parametrize(
    ("body", "words"),
    [
        pytest.param(b"\x05\x00\x00\x00\x01", "document 0", id="no end mark"),
        pytest.param(b"\x00\x00\x10\x00\x00", "document 0", id="a length that the member does not have"),
        pytest.param(kits.collection([observation(1)]) + b"\x00", "document 1", id="a byte too many"),
        pytest.param(kits.collection([observation(1)])[:-3], "document 0", id="cut short"),
    ],
)
def test_11_malformed_bson_is_refused_by_member_and_document(body: bytes, words: str, desk: Desk) -> None:
    path = desk.kit({**kits.content(), OBSERVATIONS: body})
    before = kits.folder_state(desk.kits)
    for workers in (1, 2):
        outcome = desk.patch(path, "--output", desk.kits / "out", "--workers", workers)
        outcome.refused(11, f"kit: error: {OBSERVATIONS}: ", words)
    assert kits.folder_state(desk.kits) == before


def test_11_coverage_below_100_percent_fails_the_gate_for_all_or_for_the_tenants_named(desk: Desk) -> None:
    output = desk.patched()
    outcome = desk.verify(output, options=("--require-raw-linkset",))
    error, hint = outcome.err.splitlines()
    assert (outcome.code, error) == (
        11,
        "kit: error: not every observation has linkset and rawLinkset (v1): acme 1 of 2",
    )
    assert hint.startswith("kit: hint: a patch completes none of them: 1 unresolvable")
    assert ["acme", "2", "1", "1", "1", "50.0", "%"] in [line.split() for line in outcome.out.splitlines()]
    assert desk.verify(output, options=("--require-raw-linkset", "--tenant", "acme")).code == 11
    assert desk.verify(output, options=("--require-raw-linkset", "--tenant", "globex")).code == 0
    absent = desk.verify(output, options=("--require-raw-linkset", "--tenant", "globex", "--tenant", "gl0bex"))
    assert (absent.code, absent.err) == (11, "kit: error: tenant 'gl0bex' has no observations in this kit\n")


def test_12_a_document_that_would_diverge_stops_the_run_where_that_is_asked_for(desk: Desk) -> None:
    other = observation(7, linkset={"aliases": ["cve-1999-1"], "purls": [], "cpes": [], "references": []})
    path = desk.kit(kits.content(observation(1), other))
    before = kits.folder_state(desk.kits)
    outcome = desk.patch(path, "--output", desk.kits / "out", "--on-divergence", "stop")
    outcome.refused(12, f'{OBSERVATIONS}: document 1: _id "acme:osv:GO-2025-0007:1": rawLinkset would diverge')
    assert kits.folder_state(desk.kits) == before
    warned = desk.patch(path, "--output", desk.kits / "out")
    assert warned.code == 0
    assert "divergent: 1 x rawLinkset and linkset disagree: acme:osv:GO-2025-0007:1" in warned.out


class TestKeysThatCannotBeUsed:
    """13, and nothing is written."""

    def refused(self, desk: Desk, words: str, *, by: str) -> None:
        path = desk.kit()
        before = kits.folder_state(desk.kits)
        desk.patch(path, "--output", desk.kits / "out", by=by).refused(13, words)
        assert kits.folder_state(desk.kits) == before

    def test_one_that_is_not_there(self, desk: Desk) -> None:
        self.refused(desk, "cannot read the private key: No such file", by="nobody")

    def test_one_that_others_can_read(self, desk: Desk) -> None:
        (desk.keys / "site").chmod(0o640)
        self.refused(desk, "others can get at this private key (mode 0640)\nkit: hint: chmod 600 ", by="site")

    def test_a_public_key_where_a_private_one_is_expected(self, desk: Desk) -> None:
        desk.public("site").chmod(0o600)
        self.refused(desk, "a public key where a private key is expected", by="site.pub")

    def test_a_private_key_where_a_public_one_is_expected(self, desk: Desk) -> None:
        outcome = kit("verify", desk.kit(), "--trusted-key", desk.keys / "vendor")
        outcome.refused(13, "a private key (PRIVATE KEY) where a public key is expected")

    def test_a_trusted_key_that_is_not_there(self, desk: Desk) -> None:
        kit("verify", desk.kit(), "--trusted-key", desk.keys / "nobody").refused(13, "No such file")


class TestOutputThatCannotBeWritten:
    """74, and nothing is left of the attempt."""

    @pytest.mark.parametrize("suffix", ["", ".sha256", ".sig", ".kit-job"])
    def test_what_is_there_already_is_never_overwritten(self, suffix: str, desk: Desk) -> None:
        path = desk.kit()
        (desk.kits / f"out{suffix}").write_text("precious")
        before = kits.folder_state(desk.kits)
        desk.patch(path, "--output", desk.kits / "out").refused(74, f"{desk.kits}/out{suffix}: ")
        assert kits.folder_state(desk.kits) == before

    @pytest.mark.parametrize("suffix", [".bak.3", ".bak.3.sha256", ".bak.3.sig"])
    def test_an_earlier_backup_is_never_overwritten(self, suffix: str, desk: Desk) -> None:
        path = desk.kit()
        Path(f"{path}{suffix}").write_text("precious")
        before = kits.folder_state(desk.kits)
        desk.patch(path, "--in-place").refused(74, f"kit.tar.zst{suffix}: already exists\nkit: hint: move it away")
        assert kits.folder_state(desk.kits) == before
        assert desk.patch(path, "--in-place", "--no-backup").code == 0
        assert Path(f"{path}{suffix}").read_text() == "precious"

    def test_a_link_that_leads_nowhere_is_something_too(self, desk: Desk) -> None:
        (desk.kits / "out").symlink_to("nowhere")
        desk.patch(desk.kit(), "--output", desk.kits / "out").refused(74, "already exists")

    def test_the_job_folder_of_another_run_locks_the_kit(self, desk: Desk) -> None:
        path = desk.kit()
        Path(f"{path}.kit-job").mkdir(mode=0o700)
        before = kits.folder_state(desk.kits)
        outcome = desk.patch(path, "--in-place")
        outcome.refused(74, "an earlier run on this kit was interrupted\nkit: hint: continue it with --resume, or")
        assert kits.folder_state(desk.kits) == before

    def test_a_folder_that_cannot_be_written(self, desk: Desk) -> None:
        (desk.kits / "file").write_text("no folder")
        desk.patch(desk.kit(), "--output", desk.kits / "file" / "out").refused(
            74, "file: is no folder\nkit: hint: choose another"
        )

    def test_a_folder_that_is_not_there(self, desk: Desk) -> None:
        desk.patch(desk.kit(), "--output", desk.kits / "absent" / "out").refused(
            74, "absent: is no folder\nkit: hint: choose another"
        )

    def test_a_disk_that_is_full(self, desk: Desk) -> None:
        # The system's own limit on the size of a file is a full disk that a test can have.
        limited = f"ulimit -f 1; trap '' XFSZ; exec {COMMAND[0]} -c '{COMMAND[2]}' \"$@\""
        noise = {**kits.content(), "noise.bin": os.urandom(64 * 1024)}
        path = desk.kit(noise)
        before = kits.folder_state(desk.kits)
        words = ("--signing-key", desk.keys / "site", "--output", desk.kits / "out", "--workers", 1)
        command = ["sh", "-c", limited, "kit", "patch", path, *desk.trust("vendor"), *words]
        done = subprocess.run([str(word) for word in command], env=ENVIRONMENT, capture_output=True, check=False)
        assert (done.returncode, done.stdout) == (74, b"")
        assert done.stderr.startswith(b"kit: error: ")
        assert kits.folder_state(desk.kits) == before


class TestPlacesThatMakeNoSense:
    def test_an_output_inside_the_kit_that_is_read(self, desk: Desk) -> None:
        path = desk.kit(name="unpacked")
        before = kits.folder_state(desk.kits)
        desk.patch(path, "--output", path / "docs" / ".." / "out").refused(64, "would be inside the kit that is read")
        assert kits.folder_state(desk.kits) == before

    @pytest.mark.parametrize("name", [".", ".."])
    def test_a_folder_without_a_name_to_put_the_backup_beside(
        self, name: str, desk: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(desk.kit(name="unpacked") / "dump")
        desk.patch(Path(name), "--in-place").refused(64, "has no name of its own, so no result can be put next to it")

    def test_the_kit_itself_is_no_output(self, desk: Desk) -> None:
        path = desk.kit()
        desk.patch(path, "--output", path).refused(64, "KIT and --output are one place")


EXTRACTOR = """
import os, signal
from kit.transforms.raw_linkset.extractor import Extraction
from kit.transforms.raw_linkset.projection import EMPTY
import dataclasses

class Late:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)

class Broken:
    name = "broken"
    formats = frozenset({"broken"})
    needs = {"id": None}
    def recognises(self, raw):
        return False
    def extract(self, raw):
        if raw["id"] == "interrupt":
            os.kill(os.getpid(), signal.SIGINT)
        if raw["id"] == "interrupt in a finaliser":
            Late()
            signal.pause()
        if raw["id"] == "terminate":
            os.kill(os.getpid(), signal.SIGTERM)
        if raw["id"] == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if raw["id"] == "exit":
            raise SystemExit(0)
        return Extraction(projection=dataclasses.replace(EMPTY, aliases=(object(),)))

EXTRACTOR = Broken()
"""


class TestFaultsInTheMiddleOfARun:
    """A third-party extractor that does what none should, in a process of its own."""

    def run(self, desk: Desk, fault: str, *options: object, workers: int = 1) -> subprocess.CompletedProcess[str]:
        plug_in = desk.keys / "plug-in"
        metadata = plug_in / "broken-1.dist-info"
        metadata.mkdir(parents=True)
        (plug_in / "broken_extractor.py").write_text(EXTRACTOR)
        (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1\n")
        (metadata / "entry_points.txt").write_text("[kit.extractors]\nbroken = broken_extractor:EXTRACTOR\n")
        content = {"format": "broken", "raw": {"id": fault}}
        path = desk.kit(kits.content(observation(1), observation(2, content=content)))
        before = kits.folder_state(desk.kits)
        environment = {**ENVIRONMENT, "PYTHONPATH": f"{ENVIRONMENT['PYTHONPATH']}:{plug_in}"}
        if fault == "die":  # and with it what it wrote of a measurement of coverage
            environment = {name: text for name, text in environment.items() if not name.startswith("COV")}
        words = ("--signing-key", desk.keys / "site", "--in-place", "--workers", workers, "--created-at", AT)
        done = subprocess.run(
            [*COMMAND, "patch", str(path), *map(str, (*desk.trust("vendor"), *words, *options))],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        abandoned = kit("patch", path, "--in-place", "--abandon").out.startswith("removed ")
        assert abandoned == (fault != "exit")
        after = kits.folder_state(desk.kits)
        assert {name: facts for name, facts in after.items() if name != "."} == {
            name: facts for name, facts in before.items() if name != "."
        }
        return done

    @pytest.mark.parametrize("workers", [2, *slow(1)])
    def test_70_a_defect_is_called_one(self, workers: int, desk: Desk) -> None:
        done = self.run(desk, "exit", workers=workers)
        assert (done.returncode, done.stdout) == (70, "")
        first, second = done.stderr.splitlines()
        assert first.startswith("kit: error: internal error: ")
        assert second == "kit: hint: this is a defect of kit; KIT_DEBUG=1 shows where it happened"

    @pytest.mark.slow
    def test_70_with_json_is_an_object_too(self, desk: Desk) -> None:
        done = self.run(desk, "exit", "--json")
        assert '"exitCode": 70' in done.stdout

    @pytest.mark.slow
    def test_70_shows_where_it_happened_to_who_asks(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(ENVIRONMENT, "KIT_DEBUG", "1")
        assert self.run(desk, "exit").stderr.startswith("Traceback")

    @pytest.mark.parametrize("fault", ["interrupt", *slow("terminate", "interrupt in a finaliser")])
    def test_130_a_signal_ends_the_run_and_leaves_the_kit_as_it_was(self, fault: str, desk: Desk) -> None:
        done = self.run(desk, fault)
        assert (done.returncode, done.stdout) == (130, "")
        error, hint = done.stderr.splitlines()
        assert error == f"kit: error: {desk.kits}/kit.tar.zst: interrupted; the kit is as it was"
        assert hint == ("kit: hint: continue with the same command and --resume, or give it up with --abandon")

    def test_12_a_worker_that_is_killed_stops_the_run(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(ENVIRONMENT, "KIT_CORE", "off")  # whose workers are processes
        done = self.run(desk, "die", workers=2)
        assert (done.returncode, done.stdout) == (12, "")
        assert done.stderr.startswith("kit: error: a worker died: ")
        assert "--resume" in done.stderr


def test_130_a_signal_while_a_file_is_waited_for(desk: Desk) -> None:
    fifo = desk.keys / "cache-map.json"
    os.mkfifo(fifo)
    path = desk.kit()
    before = kits.folder_state(desk.kits)
    words = ("--in-place", "--signing-key", desk.keys / "site", "--cache-map", fifo)
    # The FIFO opens once the other side has it open too, and keeps it waiting.
    with Terminal("patch", path, *desk.trust("vendor"), *words) as terminal, fifo.open("wb"):
        terminal.interrupt()
        assert terminal.wait() == 130
    answer, outcome = [line for line in terminal.shown.splitlines() if line]
    assert answer == "kit: interrupted; ending the work at hand"
    assert outcome == "kit: error: interrupted; the kit is as it was"
    assert kits.folder_state(desk.kits) == before


def test_a_key_that_cannot_sign_archives_leaves_no_signature_beside_one(desk: Desk) -> None:
    desk.add_key("ed", Algorithm.ED25519)
    output = desk.patched(by="ed")
    assert not Path(f"{output}.sig").exists()
    assert desk.verify(output, "vendor", "ed").code == 0

"""What a patch writes, opened and checked by programs that are not this one."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any, Literal

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from joserfc import jws
from joserfc.jwk import import_key
from securesystemslib.dsse import Envelope
from securesystemslib.signer import SSlibKey  # type: ignore[attr-defined]

from kit.signing import Algorithm
from tests import kits
from tests.commands import COMMAND, ENVIRONMENT, ROOT, kit
from tests.end_to_end.desk import Desk, key
from tests.end_to_end.test_real_kits import KITS, PUBLISHER, every_kit, expected, observations, patch, patched
from tests.kits import MANIFEST, REAL, SIGNATURE
from tests.tiers import slow

NODE_MODULES = ROOT / ".venv/node"
NAMES = ("kit.tar", "kit.tar.gz", "kit.tar.zst")
every_container = pytest.mark.parametrize("name", NAMES)


def tool(name: str) -> str:
    return shutil.which(name) or pytest.skip(f"{name} is not installed")


def run(*words: object, cwd: Path | None = None, data: bytes | None = None) -> bytes:
    return subprocess.run([str(word) for word in words], check=True, capture_output=True, cwd=cwd, input=data).stdout


@pytest.fixture
def output(name: str, desk: Desk) -> Path:
    return desk.patched(desk.kit(name=name), name=f"patched-{name}")


class TestArchivers:
    @every_container
    @pytest.mark.parametrize("program", ["tar", "bsdtar"])
    def test_an_archiver_extracts_the_very_members(self, program: str, output: Path, tmp_path: Path) -> None:
        folder = tmp_path / "extracted"
        folder.mkdir()
        run(tool(program), "-xf", output, "-C", folder)
        assert kits.read(folder) == dict(sorted(kits.read(output).items()))
        assert len(kits.read(folder)) == 8

    @every_container
    def test_gnu_tar_finds_no_difference_to_what_it_extracted(self, output: Path, tmp_path: Path) -> None:
        folder = tmp_path / "extracted"
        folder.mkdir()
        run(tool("tar"), "-xpf", output, "-C", folder)
        assert run("tar", "--compare", "-f", output, "-C", folder) == b""

    @pytest.mark.parametrize(("name", "program"), [("kit.tar.zst", "zstd"), ("kit.tar.gz", "gzip")])
    def test_the_compressor_s_own_test_passes(self, program: str, output: Path) -> None:
        run(tool(program), "-t", output)
        assert run(program, "-d", "-c", output) == kits.plain_tar(output)

    @pytest.mark.parametrize(("name", "mode"), [("kit.tar", "r|"), ("kit.tar", "r:"), ("kit.tar.gz", "r:gz")])
    def test_python_opens_it(self, mode: Literal["r|", "r:", "r:gz"], output: Path) -> None:
        with tarfile.open(output, mode) as archive:
            assert [member.name for member in archive] == list(kits.read(output))


@every_container
def test_the_checksum_and_signature_beside_it_are_those_of_stock_tools(output: Path, desk: Desk) -> None:
    run(tool("sha256sum"), "--check", "--strict", f"{output.name}.sha256", cwd=output.parent)
    (output.parent / "raw.sig").write_bytes(run("base64", "-d", f"{output}.sig"))
    words = ("dgst", "-sha256", "-verify", desk.public("site"), "-signature", output.parent / "raw.sig", output)
    assert run(tool("openssl"), *words) == b"Verified OK\n"


class TestTheManifestsSignature:
    @pytest.fixture(params=[Algorithm.ES256, Algorithm.ED25519], ids=str)
    def signer(self, request: pytest.FixtureRequest, desk: Desk) -> str:
        name = str(request.param)
        desk.add_key(name, request.param)
        return name

    @pytest.mark.filterwarnings("ignore:.*EdDSA")
    def test_joserfc_verifies_it(self, signer: str, desk: Desk) -> None:
        members = kits.read(desk.patched(by=signer))
        kind: Literal["OKP", "EC"] = "OKP" if "Ed" in signer else "EC"
        public = import_key(desk.public(signer).read_bytes(), kind)
        found = jws.deserialize_compact(
            members[SIGNATURE], public, algorithms=["ES256", "EdDSA"], payload=members[MANIFEST]
        )
        assert found.headers()["kid"] == key(signer).public.key_id

    def test_openssl_verifies_it(self, signer: str, desk: Desk, tmp_path: Path) -> None:
        members = kits.read(desk.patched(by=signer))
        header, _, text = members[SIGNATURE].partition(b"..")
        signature = base64.urlsafe_b64decode(text.rpartition(b".")[2] + b"==")
        (tmp_path / "signed").write_bytes(header + b"." + members[MANIFEST])
        public = desk.public(signer)
        if "Ed" in signer:
            (tmp_path / "signature").write_bytes(signature)
            words = ("pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", public, "-sigfile", tmp_path / "signature")
            assert b"Verified Successfully" in run(tool("openssl"), *words, "-in", tmp_path / "signed")
        else:
            halves = (int.from_bytes(signature[at : at + 32], "big") for at in (0, 32))
            (tmp_path / "signature").write_bytes(encode_dss_signature(*halves))
            check = ("dgst", "-sha256", "-verify", public, "-signature", tmp_path / "signature", tmp_path / "signed")
            assert run(tool("openssl"), *check) == b"Verified OK\n"

    def test_securesystemslib_verifies_the_statement(self, signer: str, desk: Desk) -> None:
        members = kits.read(desk.patched(by=signer))
        document = json.loads(members["manifest/history/3/patch.intoto.json"])
        envelope = Envelope.from_dict(document)
        public = desk.public(signer).read_text()
        kinds = ("ed25519", "ed25519") if "Ed" in signer else ("ecdsa", "ecdsa-sha2-nistp256")
        key_id = key(signer).public.key_id
        known = SSlibKey(key_id, *kinds, {"public": public})
        if "Ed" in signer:
            raw = base64.b64decode("".join(public.splitlines()[1:-1]))[-32:]
            known = SSlibKey(key_id, *kinds, {"public": raw.hex()})
        assert list(envelope.verify([known], 1)) == [key_id]
        assert json.loads(envelope.payload)["subject"][0]["digest"]["sha256"] == kits.sha256(members[MANIFEST])


def decoded_by_node(documents: list[bytes], folder: Path) -> list[dict[str, Any]]:
    file = folder / "documents.bson"
    file.write_bytes(b"".join(documents))
    script = Path(__file__).with_name("read_bson.mjs")
    lines = run(tool("node"), script, NODE_MODULES, file).splitlines()
    return [json.loads(line) for line in lines]


@pytest.mark.slow
@pytest.mark.skipif(not REAL.is_dir(), reason="the published kits are not beside the project")
@pytest.mark.skipif(not (NODE_MODULES / "node_modules/bson").is_dir(), reason="the npm package bson is not installed")
@every_kit
def test_the_npm_package_bson_reads_what_is_expected_and_all_else_as_it_was(name: str, desk: Desk) -> None:
    before = decoded_by_node(observations(REAL / name), desk.kits)
    after = decoded_by_node(observations(patched(name, desk)), desk.kits)
    added = 0
    for old, new, line in zip(before, after, expected(name), strict=True):
        assert new["_id"] == line["_id"]
        if line["source"] in {"snapshot", "content"}:
            assert list(new)[-1] == "rawLinkset"
            assert new["rawLinkset"] == line["rawLinkset"]
            assert list(new["rawLinkset"]) == list(line["rawLinkset"])
            assert new == {**old, "rawLinkset": new["rawLinkset"]}
            added += 1
        else:
            assert new == old
    assert added > 190


class TestOffline:
    """Every socket call of the interpreter is forbidden by an audit hook, in all processes of the run."""

    FORBIDDEN = """
import sys
def forbid(event, arguments):
    if event.startswith("socket."):
        raise RuntimeError(f"{event} {arguments}")
sys.addaudithook(forbid)
"""

    def run(self, *words: object) -> subprocess.CompletedProcess[bytes]:
        program = f"{self.FORBIDDEN}\nfrom kit.cli import main; main()"
        command = [COMMAND[0], "-c", program, *map(str, words)]
        # A measurement of coverage names its files after the host, which it asks the socket module for.
        environment = {name: text for name, text in ENVIRONMENT.items() if not name.startswith("COV")}
        return subprocess.run(command, env=environment, capture_output=True, check=False)

    def test_the_hook_works(self) -> None:
        program = f"{self.FORBIDDEN}\nimport socket; socket.socket()"
        done = subprocess.run([COMMAND[0], "-c", program], capture_output=True, check=False)
        assert b"RuntimeError: socket.__new__" in done.stderr

    @pytest.mark.parametrize("workers", [2, *slow(1)])
    def test_patch_and_verify_open_no_socket(self, workers: int, desk: Desk) -> None:
        output = desk.kits / "patched.tar.zst"
        words = ("--signing-key", desk.keys / "site", "--output", output, "--workers", workers)
        done = self.run("patch", desk.kit(), *desk.trust("vendor"), *words)
        assert (done.returncode, done.stderr) == (0, b"")
        gate = ("--require-raw-linkset", "--tenant", "globex", "--workers", workers)
        done = self.run("verify", output, *desk.trust("vendor", "site"), *gate)
        assert (done.returncode, done.stderr) == (0, b"")


def test_the_published_key_is_the_one_that_the_publisher_used(desk: Desk) -> None:
    if not REAL.is_dir():
        pytest.skip("the published kits are not beside the project")
    outcome = patch(REAL / KITS[0], desk, "--output", desk.kits / "o", "--json")
    assert outcome.json["base"]["signers"] == [kit("keys", "show", PUBLISHER, "--json").json["keyId"]]

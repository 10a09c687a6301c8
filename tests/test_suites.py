"""Other projects' test data, each with the verdict that its README has right: tar, zstd, JSON, cryptography.

Kept outside the project, so these skip where it is absent. MongoDB's BSON corpus is in tests/documents/test_corpus.py.
"""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import tarfile
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from kit.archive.read.headers import EntryKind
from kit.archive.read.reader import open_kit
from kit.archive.read.zstd import decode
from kit.archive.source import ChunkReader
from kit.encryption.keys import Mac, expand, extract
from kit.encryption.master_keys import Credentials
from kit.encryption.providers import RsaRecord, _AesKwp
from kit.errors import KeyUnusableError, KitError, SignatureError, UnsignedError, UntrustedError
from kit.signing import PrivateKey, PublicKey, jws
from kit.values import Allowed, Limits
from kit.values.strict_json import parse

SUITES = Path(__file__).parents[1].parent / "shared/data/suites"
LIMITS = Limits()

pytestmark = pytest.mark.skipif(not SUITES.is_dir(), reason="the suites are kept outside the project")

# Keys there twice are refused by design (RFC 7493 2.3).
DOUBLED_KEYS = {"y_object_duplicated_key.json", "y_object_duplicated_key_and_value.json"}
# Archives that must not be refused; of the others it is enough that none is read wrong.
READ = {
    "go/file-and-dir.tar",
    "go/gnu-utf8.tar",
    "go/gnu.tar",
    "go/trailing-slash.tar",
    "go/ustar-file-devs.tar",
    "go/ustar.tar",
    "tar-rs/7z_long_path.tar",
    "tar-rs/biguid_gnu.tar",
    "tar-rs/biguid_pax.tar",
    "tar-rs/directory.tar",
    "tar-rs/file_times.tar",
    "tar-rs/pax.tar",
    "tar-rs/reading_files.tar",
    "tar-rs/simple.tar",
    "tar-rs/simple_missing_last_header.tar",
    "tar-rs/spaces.tar",
    "tar-stream/base-256-size.tar",
    "tar-stream/base-256-uid-gid.tar",
    "tar-stream/gnu.tar",
    "tar-stream/large-uid-gid.tar",
    "tar-stream/long-name.tar",
    "tar-stream/multi-file.tar",
    "tar-stream/name-is-100.tar",
    "tar-stream/one-file.tar",
    "tar-stream/unicode-bsd.tar",
    "tar-stream/unicode.tar",
    "tar-stream/v7.tar",
}


def outcome(read: Callable[[], Any]) -> Any:
    """Return what is read, or the refusal; any other error is a defect."""
    try:
        return read()
    except KitError as error:
        return error


def is_refused(found: Any) -> bool:
    return isinstance(found, KitError)


def test_json_is_accepted_and_refused_as_the_suite_has_it() -> None:
    wrong = []
    for path in sorted((SUITES / "json").glob("*.json")):
        data = path.read_bytes()
        found = outcome(lambda data=data, name=path.name: parse(data, limits=LIMITS, where=name))  # type: ignore[misc]
        due = {"y": path.name in DOUBLED_KEYS, "n": True}.get(path.name[0])
        if due is not None and is_refused(found) is not due:
            wrong.append(path.name)
        if not is_refused(found):
            assert found == json.loads(data), path.name
    assert wrong == []


def archives() -> Iterator[tuple[str, Path]]:
    for path in sorted((SUITES / "tar").rglob("*")):
        if path.is_file():
            yield str(path.relative_to(SUITES / "tar")), path


def read_archive(path: Path, *, links: bool) -> dict[str, bytes | None]:
    """Return the body of each file, None for what has none."""
    with open_kit(path, limits=LIMITS, allowed=Allowed(links=links)) as kit:
        return {
            str(member.path): b"".join(body) if member.kind is EntryKind.FILE else None
            for member, body in kit.members()
        }


def read_by_tarfile(path: Path) -> dict[str, bytes | None]:
    with tarfile.open(fileobj=io.BytesIO(path.read_bytes())) as archive:
        found: dict[str, bytes | None] = {}
        for info in archive:
            body = archive.extractfile(info) if info.isreg() else None
            found[info.name.rstrip("/").removeprefix("./")] = body.read() if body is not None else None
        return found


@pytest.mark.parametrize("links", [False, True], ids=["strict", "links"])
def test_tar_is_read_as_python_does_or_refused(*, links: bool) -> None:
    accepted = set()
    for name, path in archives():
        found = outcome(lambda path=path: read_archive(path, links=links))  # type: ignore[misc]
        if is_refused(found):
            continue
        accepted.add(name)
        assert found == read_by_tarfile(path), name
    assert accepted >= READ


@pytest.mark.slow
@pytest.mark.parametrize("program", ["tar", "bsdtar"])
def test_tar_is_unpacked_by_other_programs_as_it_is_read(program: str, tmp_path: Path) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    for name, path in archives():
        found = outcome(lambda path=path: read_archive(path, links=False))  # type: ignore[misc]
        if is_refused(found):
            continue
        folder = tmp_path / name.replace("/", "-")
        folder.mkdir()
        command = [program, "--no-same-owner", "-xf", str(path), "-C", str(folder)]
        subprocess.run(command, check=True, capture_output=True, env={"LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin"})
        unpacked = {
            unicodedata.normalize("NFC", str(one.relative_to(folder))): one.read_bytes() if one.is_file() else None
            for one in folder.rglob("*")
        }
        assert {path: body for path, body in unpacked.items() if body is not None} == {
            path: body for path, body in found.items() if body is not None
        }, name


@pytest.mark.parametrize("kind", ["valid", "invalid"])
def test_zstd_is_decoded_as_the_library_does_or_refused(kind: str) -> None:
    for path in sorted((SUITES / "zstd" / kind).iterdir()):
        data = path.read_bytes()
        found = outcome(lambda data=data: b"".join(decode(ChunkReader([data], where="z"), LIMITS, where="z")))  # type: ignore[misc]
        assert is_refused(found) is (kind == "invalid"), path.name
        if kind == "valid":
            whole = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data), read_across_frames=True).read()
            assert found == whole, path.name


def groups(name: str) -> list[dict[str, Any]]:
    loaded: list[dict[str, Any]] = json.loads((SUITES / "wycheproof" / f"{name}_test.json").read_text())["testGroups"]
    return loaded


SIGNATURES = {
    "ecdsa_secp256r1_sha256_p1363": PublicKey.verify,
    "ecdsa_secp256r1_sha256": PublicKey.verify_der,
    "ed25519": PublicKey.verify,
    "rsa_pss_3072_sha256_mgf1_32": PublicKey.verify,
}


@pytest.mark.parametrize("name", SIGNATURES)
def test_a_signature_verifies_exactly_where_wycheproof_has_it_valid(name: str) -> None:
    verified = 0
    for group in groups(name):
        key = outcome(lambda group=group: PublicKey.parse(group["publicKeyPem"].encode()))  # type: ignore[misc]
        assert not is_refused(key) or isinstance(key, KeyUnusableError)
        for test in group["tests"]:
            found: Any = key
            if not is_refused(key):
                signature, message = bytes.fromhex(test["sig"]), bytes.fromhex(test["msg"])
                found = outcome(lambda k=key, s=signature, m=message: SIGNATURES[name](k, s, m))  # type: ignore[misc]
                assert found is None or isinstance(found, SignatureError)
            verified += found is None
            assert test["result"] == "acceptable" or (test["result"] == "valid") is (found is None), test["tcId"]
    assert verified > 50


def test_no_jws_of_wycheproof_passes_for_a_detached_one() -> None:
    """Payloads attached, keys chosen by the header, algorithms confused: none is what signs a manifest."""
    for group in groups("json_web_signature"):
        for test in group["tests"]:
            document = test["jws"] if isinstance(test["jws"], str) else json.dumps(test["jws"])
            with pytest.raises((SignatureError, UnsignedError, UntrustedError)):
                jws.verify(document.encode(), b"", {})


@pytest.mark.slow
def test_master_keys_open_exactly_what_wycheproof_has_valid() -> None:
    for group in groups("aes_kwp"):
        for test in group["tests"]:
            wrapper = _AesKwp(bytes.fromhex(test["key"]))
            found = outcome(lambda w=wrapper, c=test["ct"]: w.unwrap(bytes.fromhex(c)))  # type: ignore[misc]
            due = bytes.fromhex(test["msg"]) if test["result"] == "valid" else None
            assert test["result"] == "acceptable" or (None if is_refused(found) else found) == due, test["tcId"]
    for group in groups("rsa_oaep_3072_sha256_mgf1sha256"):
        pem = group["privateKeyPem"].encode()
        key = RsaRecord.make(PrivateKey.parse(pem).public.pem).activate(
            Credentials(rsa_private_key=pem), version=1, where="w"
        )
        for test in (test for test in group["tests"] if not test["label"]):
            found = outcome(lambda key=key, c=test["ct"]: key.unwrap(bytes.fromhex(c)))  # type: ignore[misc]
            due = bytes.fromhex(test["msg"]) if test["result"] == "valid" else None
            assert test["result"] == "acceptable" or (None if is_refused(found) else found) == due, test["tcId"]


def test_macs_and_derived_keys_are_those_of_wycheproof() -> None:
    for group in groups("hmac_sha256"):
        for test in group["tests"]:
            whole = Mac(bytes.fromhex(test["key"])).digest(bytes.fromhex(test["msg"])).hex()
            assert (whole[: len(test["tag"])] == test["tag"]) is (test["result"] == "valid"), test["tcId"]
    derived = [test for group in groups("hkdf_sha256") for test in group["tests"]]
    for test in (test for test in derived if test["size"] == 32 and not test["salt"]):
        made = expand(extract(bytes.fromhex(test["ikm"])), bytes.fromhex(test["info"])).hex()
        assert (made == test["okm"]) is (test["result"] == "valid"), test["tcId"]


def test_the_cipher_of_envelopes_opens_exactly_what_wycheproof_has_valid() -> None:
    opened = 0
    for group in groups("aes_gcm"):
        if (group["ivSize"], group["keySize"], group["tagSize"]) != (96, 256, 128):
            continue
        for test in group["tests"]:
            parts = {name: bytes.fromhex(test[name]) for name in ("key", "iv", "aad", "msg", "ct", "tag")}
            try:
                found = AESGCM(parts["key"]).decrypt(parts["iv"], parts["ct"] + parts["tag"], parts["aad"])
            except InvalidTag:
                found = None
            opened += found is not None
            assert found == (parts["msg"] if test["result"] == "valid" else None), test["tcId"]
    assert opened > 10

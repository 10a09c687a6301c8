"""A ``.sha256`` file counts in every form of sha256sum; kit and ``verify.sh`` read the same out of each."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest

from kit.values import Sha256
from kit.verbs.verify import receipt
from kit.verbs.verify.judgement import ChecksumFile

ARCHIVE = b"the archive"
DIGEST = hashlib.sha256(ARCHIVE).hexdigest()
OTHER = "0" * 64
NAME = "kit.tar.zst"
ODD = "k\\i\nt"

OF_IT: dict[str, str | bytes] = {
    "sha256sum": f"{DIGEST}  {NAME}\n",
    "sha256sum --binary": f"{DIGEST} *{NAME}\n",
    "one blank": f"{DIGEST} {NAME}\n",
    "sha256sum --tag": f"SHA256 ({NAME}) = {DIGEST}\n",
    "openssl dgst": f"SHA256({NAME})= {DIGEST}\n",
    "openssl 3 dgst": f"SHA2-256({NAME})= {DIGEST}\n",
    "openssl dgst -r": f"{DIGEST} *{NAME}\n",
    "from standard input": f"{DIGEST}  -\n",
    "the digest alone": DIGEST,
    "in capitals": f"{DIGEST.upper()}  {NAME}\n",
    "CRLF": f"{DIGEST}  {NAME}\r\n",
    "a byte order mark": f"\ufeff{DIGEST}  {NAME}\n",
    "a comment": f"# made by hand\n\n{DIGEST}  {NAME}\n",
    "another name": f"{DIGEST}  renamed.tar.zst\n",
    "in a folder": f"{DIGEST}  ./out/{NAME}\n",
    "several files": f"{OTHER}  other\n{DIGEST}  {NAME}\n{OTHER}  more\n",
    "several files, tagged": f"SHA256 (other) = {OTHER}\nSHA256 (out/{NAME}) = {DIGEST}\n",
    "several files, of both forms": f"SHA256 (other) = {OTHER}\n{DIGEST} *{NAME}\n",
    "twice the same": f"{DIGEST}  {NAME}\nSHA256 ({NAME}) = {DIGEST}\n{OTHER}  x\n",
    "other algorithms": f"SHA512 ({NAME}) = {DIGEST * 2}\nMD5 ({NAME}) = {DIGEST[:32]}\nSHA256 ({NAME}) = {DIGEST}\n",
    "lines of no form": f"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n{DIGEST}  {NAME}\n{DIGEST}x\n",
    "UTF-16": f"\ufeff{DIGEST.upper()}\r\n".encode("utf-16-le"),
}
NOT_OF_IT = {
    "empty": "",
    "another digest": f"{OTHER}  {NAME}\n",
    "none of several": f"{DIGEST}  one\n{OTHER}  two\n",
    "a name that ends alike": f"{DIGEST}  other-{NAME}\n{OTHER}  two\n",
    "contradictory": f"{DIGEST}  {NAME}\n{OTHER}  {NAME}\n",
    "contradictory, tagged": f"SHA256 ({NAME}) = {OTHER}\n{DIGEST}  {NAME}\n",
    "contradictory, the same first and last": f"{DIGEST}  {NAME}\n{OTHER}  {NAME}\n{DIGEST}  {NAME}\n",
    "commented out": f"#{DIGEST}  {NAME}\n",
    "a digit short": f"{DIGEST[:-1]}  {NAME}\n",
    "a digit more": f"{DIGEST}0  {NAME}\n",
    "another algorithm": f"SHA512 ({NAME}) = {DIGEST}\n",
    "no name in brackets": f"SHA256 {NAME} = {DIGEST}\n",
    "the digest among words": f"see {DIGEST}\n",
}
ESCAPED = {
    "an escaped name": f"\\{DIGEST}  k\\\\i\\nt\n{OTHER}  x\n",
    "an escaped name, tagged": f"\\SHA256 (a/k\\\\i\\nt) = {DIGEST}\n{OTHER}  x\n",
}


def encoded(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode()


@pytest.mark.parametrize("text", OF_IT.values(), ids=OF_IT)
def test_a_checksum_counts_in_every_form_of_sha256sum(text: str | bytes) -> None:
    assert ChecksumFile.parse(encoded(text), NAME).is_of(Sha256(DIGEST))


@pytest.mark.parametrize("text", NOT_OF_IT.values(), ids=NOT_OF_IT)
def test_what_states_another_digest_or_none_does_not_count(text: str) -> None:
    stated = ChecksumFile.parse(text.encode(), NAME)
    assert not stated.is_of(Sha256(DIGEST))
    assert str(stated)


@pytest.mark.parametrize("text", ESCAPED.values(), ids=ESCAPED)
def test_an_escaped_name_is_read_as_it_is(text: str) -> None:
    assert ChecksumFile.parse(text.encode(), ODD).is_of(Sha256(DIGEST))
    assert not ChecksumFile.parse(text.encode().removeprefix(b"\\"), ODD).is_of(Sha256(DIGEST))


def test_verify_sh_reads_the_same_out_of_each(tmp_path: Path) -> None:
    source = Path(receipt.__file__).with_name("verify.sh").read_text()
    function, end, _ = source[source.index("stated_digest() {") :].partition("}'\n}\n")
    strip = r"LC_ALL=C tr -d '\000\376\377'"
    assert f'{strip} < "$kit.sha256"' in source
    lines = [function + end]
    texts: list[str | bytes] = [*OF_IT.values(), *NOT_OF_IT.values()]
    cases = [(NAME, text) for text in texts] + [(ODD, text) for text in ESCAPED.values()]
    for number, (name, text) in enumerate(cases):
        (tmp_path / str(number)).write_bytes(encoded(text))
        lines.append(f"[ \"$({strip} < {number} | stated_digest '/x/{name}')\" = {DIGEST} ] && echo of || echo not")
    script = "\n".join(lines)
    shells = [shell for shell in ("sh", "busybox") if shutil.which(shell)]
    for shell in shells:
        command = [shell, "sh", "-c", script] if shell == "busybox" else [shell, "-c", script]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=True)
        verdicts = [ChecksumFile.parse(encoded(text), name).is_of(Sha256(DIGEST)) for name, text in cases]
        assert done.stdout.decode().split() == ["of" if verdict else "not" for verdict in verdicts]


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="needs sha256sum")
@pytest.mark.parametrize("options", [[], ["--tag"], ["--binary"]], ids=" ".join)
def test_what_sha256sum_writes_of_any_name_is_read(tmp_path: Path, options: list[str]) -> None:
    for name in (NAME, ODD, "a b ", "é", "x) = y", "*star"):
        (tmp_path / name).write_bytes(ARCHIVE)
        (tmp_path / "other").write_bytes(b"other")
        command = ["sha256sum", *options, "other", name]
        written = subprocess.run(command, cwd=tmp_path, capture_output=True, check=True).stdout
        assert ChecksumFile.parse(written, name).is_of(Sha256(DIGEST)), written

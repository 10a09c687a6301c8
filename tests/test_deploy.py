"""What deploy/ holds, as far as it can be tested without a container engine and without a running systemd."""

from __future__ import annotations

import configparser
import ctypes
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from scripts import building
from tests.commands import ROOT, kit
from tests.docs import staging

DEPLOY = ROOT / "deploy"
PAGE = ROOT / "docs/containers.md"
INSTRUCTIONS = {"ARG", "FROM", "COPY", "RUN", "ENV", "WORKDIR", "USER", "ENTRYPOINT", "CMD"}
STRANGER = ["unshare", "--map-user=65532", "--map-group=65532", "--net", "--pid", "--fork"]
"""As a container runs a program: no network, the first process, a user that no file names."""
NO_NEW_CODE = 65
"""PR_SET_MDWE of prctl(2), which MemoryDenyWriteExecute= of systemd sets."""


def instructions() -> list[tuple[str, str]]:
    lines = [line for line in (DEPLOY / "Containerfile").read_text().splitlines() if line and not line.startswith("#")]
    return [(words[0], words[2]) for words in (line.partition(" ") for line in lines)]


def unit(name: str) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(DEPLOY / name)
    return parser


def is_possible(words: list[str]) -> bool:
    found = shutil.which(words[0]) is not None
    return found and subprocess.run([*words, "true"], capture_output=True, check=False).returncode == 0


def test_the_image_has_known_instructions_no_network_and_a_user_by_number() -> None:
    found = instructions()
    assert {name for name, _ in found} <= INSTRUCTIONS
    stages = [words.split(" AS ") for name, words in found if name == "FROM"]
    assert [stage[0] for stage in stages] == ["${BASE}", "${BASE}"]
    (copied,) = (words for name, words in found if name == "COPY" and words.startswith("--from="))
    assert copied == f"--from={stages[0][1]} /opt/kit /opt/kit"
    last = dict(found[[name for name, _ in found].index("FROM", 3) :])
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", last["USER"])
    assert json.loads(last["ENTRYPOINT"]) == ["/opt/kit/bin/kit"]
    assert isinstance(json.loads(last["CMD"]), list)
    text = " ".join(words for _, words in found)
    assert not re.search(r"\b(curl|wget|pip|apt|apt-get|apk)\b", text)


def test_the_image_installs_what_the_archive_for_sites_without_a_network_holds(tmp_path: Path) -> None:
    (command,) = (words for name, words in instructions() if name == "RUN")
    for place in ("tmp", "opt"):
        (tmp_path / place).mkdir()
    stand_in = b'#!/bin/sh\nset -eu\ntest -f "${0%/*}/wheels/a.whl"\nmkdir "$1"\necho installed > "$1/proof"\n'
    files = {"install.sh": stand_in, "wheels/a.whl": b"a wheel"}
    data = building.packed({f"offline-kit-0.1.0-any/{name}": body for name, body in files.items()}, 0)
    (tmp_path / "tmp/archive.tar.gz").write_bytes(data)
    here = re.sub(r"/(tmp|opt)/", rf"{tmp_path}/\1/", command)
    subprocess.run(["sh", "-euc", here], check=True, env={"PATH": "/usr/bin:/bin"}, capture_output=True)
    assert (tmp_path / "opt/kit/proof").read_text() == "installed\n"
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        assert {name.partition("/")[0] for name in archive.getnames()} == {"offline-kit-0.1.0-any"}


def runs() -> list[list[str]]:
    """Return the commands of the page that run the image, as words."""
    return [shlex.split(line) for line in PAGE.read_text().splitlines() if line.startswith("podman run ")]


def test_the_page_runs_the_image_without_a_network_and_without_privileges() -> None:
    assert len(runs()) == 2
    for words in runs():
        options = words[: words.index("kit")]
        for due in ("--read-only", "--cap-drop", "--security-opt"):
            assert due in options
        assert options[options.index("--network") + 1] == "none"


def test_the_commands_of_the_page_work_for_a_user_without_a_name_as_the_first_process(tmp_path: Path) -> None:
    if not is_possible(STRANGER):
        pytest.skip("this host lets nobody make namespaces")
    for name in ("kits", "keys", "run", "run/secrets", "tmp"):
        (tmp_path / name).mkdir()
    (tmp_path / "desk").mkdir()
    staging.site(tmp_path / "desk")
    staging.make_key(tmp_path / "desk", "site")
    for name, to in (("kit.tar.zst", "kits"), ("publisher.pub.pem", "keys"), ("site.pem", "run/secrets")):
        (tmp_path / "desk" / name).rename(tmp_path / to / name)
    (tmp_path / "run/secrets/site.pem").chmod(0o400)
    before = sorted(path.name for path in (tmp_path / "kits").iterdir())
    for words in runs():
        given = words[words.index("kit") + 1 :]
        here = [re.sub(r"^/(keys|run)/", rf"{tmp_path}/\1/", word) for word in given]
        done = subprocess.run(
            [*STRANGER, sys.executable, "-m", "kit", *here],
            cwd=tmp_path / "kits",
            env={"PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path / "tmp"), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    after = sorted(path.name for path in (tmp_path / "kits").iterdir())
    assert after == sorted([*before, "patched.tar.zst", "patched.tar.zst.sha256", "patched.tar.zst.sig"])


def deny_new_code() -> None:
    """Deny this process and its children memory that is written and then run."""
    ctypes.CDLL(None).prctl(NO_NEW_CODE, 1, 0, 0, 0)


def test_the_service_verifies_and_fails_with_the_code_of_the_verdict(tmp_path: Path) -> None:
    words = shlex.split(unit("kit-verify.service")["Service"]["ExecStart"])
    assert words[0] == "/opt/kit/bin/kit"
    (tmp_path / "srv").mkdir()
    (tmp_path / "lib").mkdir(mode=0o700)
    target, policy = tmp_path / "srv/kit.tar.zst", tmp_path / "lib/policy.json"
    staging.site(target.parent)
    assert kit("trust", "init", policy, "--key", target.parent / "publisher.pub.pem", "publisher").code == 0
    places = {"/srv/kit/kit.tar.zst": str(target), "/var/lib/kit/policy.json": str(policy)}
    assert places.keys() <= set(words)
    command = [sys.executable, "-m", "kit", *(places.get(word, word) for word in words[1:])]
    environment = {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}

    def started() -> int:
        return subprocess.run(
            command, env=environment, cwd="/", capture_output=True, check=False, preexec_fn=deny_new_code
        ).returncode

    target.parent.chmod(0o500)
    assert started() == 0
    assert policy.with_name("policy.json.state").is_file()
    target.write_bytes(target.read_bytes()[:-100])
    assert started() == 9


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not here")
def test_systemd_takes_the_units_and_the_service_is_confined(tmp_path: Path) -> None:
    program = str(Path(sys.executable))
    for path in DEPLOY.glob("kit-verify.*"):
        (tmp_path / path.name).write_text(path.read_text().replace("/opt/kit/bin/kit", program))
    environment = {**os.environ, "SYSTEMD_UNIT_PATH": f"{tmp_path}:"}
    words = ["systemd-analyze", "verify", "--man=no", *map(str, sorted(tmp_path.glob("kit-verify.*")))]
    done = subprocess.run(words, capture_output=True, text=True, env=environment, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    exposure = ["systemd-analyze", "security", "--offline=true", "--threshold=15", str(tmp_path / "kit-verify.service")]
    assert subprocess.run(exposure, capture_output=True, env=environment, check=False).returncode == 0
    when = unit("kit-verify.timer")["Timer"]["OnCalendar"]
    assert subprocess.run(["systemd-analyze", "calendar", when], capture_output=True, check=False).returncode == 0


def test_every_file_that_the_page_names_is_there() -> None:
    named = set(re.findall(r"\bdeploy/[\w.-]+", PAGE.read_text()))
    assert named == {f"deploy/{path.name}" for path in DEPLOY.iterdir()}

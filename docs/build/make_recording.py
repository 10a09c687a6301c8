#!/usr/bin/env python3
"""Records a rehearsal, a live run and the way back as a terminal shows them: docs/recording.txt.

The commands run on a kit of fixtures/, with its keys and a fixed time, so the recording is the same wherever made;
sizes of archives and digests of what is made here are left out. ``--check`` makes it again and compares.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import re
import shlex
import shutil
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:  # run as a file: its folder is on the path, but not the one above
    sys.path.insert(0, str(ROOT))

from kit.cli import run  # noqa: E402

RECORDING = ROOT / "docs" / "recording.txt"
_KIT, _TRUST = "harbor.tar.zst", "--trusted-key publisher.pub.pem"
_BOTH = f"{_TRUST} --trusted-key site.pub.pem"
_SIGN = "--signing-key site.pem --created-at 2099-04-02T03:04:05Z"
_MADE_HERE = re.compile(r"(?<=\()[\d,]+(?= bytes\))|(?<=about )[\d,]+ bytes, in [\d,]+(?= bytes)|\b[0-9a-f]{64}\b")
STORY: tuple[tuple[str, str], ...] = (
    ("what is in the kit, and who says so", f"kit inspect {_KIT}"),
    ("is it what the publisher signed?", f"kit verify {_KIT} {_TRUST}"),
    ("rehearsal: what would change for one tenant", f"kit plan {_KIT} {_TRUST} --tenant dock-north"),
    ("rehearsal: into another file", f"kit patch {_KIT} -o rehearsal.tar.zst {_TRUST} {_SIGN} --tenant dock-north"),
    ("was only rawLinkset appended?", f"kit verify rehearsal.tar.zst {_BOTH} --deep"),
    ("live run, in place", f"kit patch {_KIT} --in-place {_TRUST} {_SIGN}"),
    ("verification", f"kit verify {_KIT} {_BOTH} --deep"),
    ("the gate for the policy switch", f"kit verify {_KIT} {_BOTH} --require-raw-linkset"),
    ("again: nothing to change, and why some are left", f"kit patch {_KIT} --in-place {_BOTH} {_SIGN}"),
    ("the way back", f"kit rollback {_KIT} {_BOTH}"),
    ("it is the publisher's kit again", f"kit verify {_KIT} {_TRUST}"),
)


def recorded() -> str:
    """Run the story in a new folder, and give what a terminal would show."""
    with tempfile.TemporaryDirectory(prefix="kit-recording-") as scratch, contextlib.chdir(scratch):
        shutil.copy(ROOT / "fixtures" / "kits" / _KIT, _KIT)
        for name in ("publisher", "site"):
            shutil.copy(ROOT / "fixtures" / "keys" / f"{name}-TEST-ONLY.pub.pem", f"{name}.pub.pem")
        shutil.copy(ROOT / "fixtures" / "keys" / "site-TEST-ONLY.pem", "site.pem")
        Path("site.pem").chmod(0o600)
        return "".join(_shown(what, command) for what, command in STORY)


def main(arguments: list[str]) -> int:
    """Write the recording, or with ``--check`` compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 where it differs")
    check = parser.parse_args(arguments).check
    text = recorded()
    if not check:
        RECORDING.write_text(text, encoding="utf-8")
    elif not RECORDING.exists() or RECORDING.read_text(encoding="utf-8") != text:
        print("docs/recording.txt is not what docs/build/make_recording.py makes", file=sys.stderr)
        return 1
    return 0


def _shown(what: str, command: str) -> str:
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        code = run([*shlex.split(command)[1:], "--workers", "1"])
    text = _MADE_HERE.sub("…", out.getvalue())
    return f"# {what}\n$ {command}\n{text}{f'(exit code {code})' + chr(10) if code else ''}\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

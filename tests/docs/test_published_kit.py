"""The runbook, word for word, on a kit of real advisories: its commands do what it says of them on other data, too.

Of the commands only what names this kit differs: its tenants and generations. Of the output that the page shows,
figures and tables are the fixture's. The rest of it must be printed here as well, in the same order. That every
observation is right is known from other code than this project's: its list stands beside the kit.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import bson
import pytest
import zstandard
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument

from tests import kits
from tests.commands import ROOT, kit
from tests.docs.commands import TOOLS, offline

PUBLISHED = kits.REAL / "go-osv.tar.zst"
NAMES = {
    "dock-norht": "amce",
    "dock-north": "acme",
    "dock-south": "default",
    "pilot-boats": "globex",
    "harbor": "kitlab",
    ".bak.7": ".bak.3",
    "ulimit -f 70\n": "ulimit -f 2000\n",
}
"""What the page calls the tenants, the bundle and the backup of its kit, and what they are called in this one; and how
much of a disk is too little for it."""
ANOTHER_KIT = "## 9. "
"""From here on the page is about depot.tar, which is the fixture."""
FENCE = re.compile(r"^```(sh|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SENTENCE = re.compile(r"  [1-8]  (ok|FAILED) |\S")
FIGURE = re.compile(r"\d[\d,.]*")
OWN = re.compile(r"dock-|pilot-boats|not-selected|unresolvable: |  raw-linkset  |rawLinkset removed|in its time")
"""In lines that are the fixture's alone. (This kit states no time within which it is fresh.)"""


def adapted(page: str) -> str:
    """Give the page for the other kit."""
    text, mark, rest = page.partition(ANOTHER_KIT)
    return FENCE.sub(_adapt, text) + mark + rest


def _adapt(fence: re.Match[str]) -> str:
    kind, text = fence.groups()
    if kind == "sh":
        for name, other in NAMES.items():
            text = text.replace(name, other)
        return f"```sh\n{text}```"
    lines = text.splitlines()
    code = [lines.pop()] if lines[-1].startswith("(exit code ") else []
    shown = [line for line in lines if line != "…" and SENTENCE.match(line) and not OWN.search(line)]
    loose = [FIGURE.sub("…", line.replace("harbor", "kitlab")) for line in shown]
    return "\n".join(["```text", *(part for line in loose for part in ("…", line)), "…", *code, "```"])


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(not all(map(shutil.which, TOOLS)), reason=f"needs {', '.join(TOOLS)}")
def test_the_runbook_does_what_it_says_on_a_kit_of_published_advisories(tmp_path: Path) -> None:
    if not PUBLISHED.exists():
        pytest.skip("no shared data")
    key = kits.REAL / "publisher-TEST-ONLY.pub.pem"
    assert kit("verify", PUBLISHED, "--trusted-key", key, "--deep").code == 0
    page, desk = tmp_path / "runbook.md", tmp_path / "desk"
    text = (ROOT / "docs" / "runbook.md").read_text()
    # The patched kit is looked at before the page rolls it back.
    before, mark, after = text.partition("## 8. Rollback")
    keep = f"\n```sh\ncp kit.tar.zst {tmp_path / 'patched.tar.zst'}\n```\n\n"
    page.write_text(adapted(f"{before}{keep}{mark}{after}"))
    desk.mkdir()
    words = [*offline(), sys.executable, "-m", "tests.docs.follow", str(page), "published", str(desk)]
    done = subprocess.run(words, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == text.count("```sh\n") + 1

    told = zstandard.decompress(Path(f"{PUBLISHED}.expected.ndjson.zst").read_bytes(), 1 << 30).splitlines()
    expected = [json.loads(line) for line in told]
    members = kits.read(tmp_path / "patched.tar.zst")
    (path,) = (name for name in members if name.endswith("/advisory_observations.bson"))
    documents = bson.decode_all(members[path], CodecOptions(document_class=RawBSONDocument))
    assert [kits.sha256(bytes(one.raw)) for one in documents] == [one["sha256"] for one in expected]
    release = json.loads((desk / "release.json").read_text())
    met: dict[str, Counter[str]] = {}
    for one in expected:
        met.setdefault(one["tenant"], Counter())[one["source"]] += 1
    assert release["live"]["outcomes"] == {"raw-linkset": met}

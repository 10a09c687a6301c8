#!/usr/bin/env python3
"""Makes the pictures of verdict pages under ``docs/`` from the fixtures, with a headless Chromium.

Each is a page that ``kit verify --html`` writes: of a valid kit, of a patched one, and of one refused since the site's
key is not trusted. Pictures depend on the browser and its fonts, so nothing checks them byte for byte; look at them.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:  # run as a file: its folder is on the path, but not the one above
    sys.path.insert(0, str(ROOT))

from fixtures.build.kits import PATCHED_AT  # noqa: E402
from kit.cli import run  # noqa: E402

FIXTURES = ROOT / "fixtures"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
AT = "2099-04-03T00:00:00Z"
HEIGHTS = {"valid": 2050, "patched": 3050, "refused": 2900}
"""Of the pages at this width, in CSS pixels."""
WIDTH = 960


def pages(folder: Path) -> dict[str, Path]:
    """Write the three pages.

    Raises:
        SystemExit: A fixture does not get the verdict it should.
    """
    site = folder / "site.pem"
    shutil.copy(FIXTURES / "keys" / "site-TEST-ONLY.pem", site)
    site.chmod(0o600)
    shutil.copy(FIXTURES / "kits" / "harbor.tar.zst", folder)
    publisher, patcher = (
        ("--trusted-key", FIXTURES / "keys" / f"{who}-TEST-ONLY.pub.pem") for who in ("publisher", "site")
    )
    who = ("--operator", "harbour master", "--environment", "quay 3", "--created-at", PATCHED_AT)
    base, patched = "harbor.tar.zst", "harbor-patched.tar.zst"
    # In the folder of the kit, so that a page names it as a user does, and no folder of this machine.
    with contextlib.chdir(folder):
        _kit(0, "patch", base, "-o", patched, *publisher, "--signing-key", site, *who)
        _kit(0, "verify", base, *publisher, "--at", AT, "--html", "valid.html")
        _kit(0, "verify", patched, *publisher, *patcher, "--deep", "--at", AT, "--html", "patched.html")
        _kit(4, "verify", patched, *publisher, "--at", AT, "--html", "refused.html")
    return {name: folder / f"{name}.html" for name in HEIGHTS}


def browser() -> str | None:
    """Find a Chromium."""
    return next((path for name in BROWSERS if (path := shutil.which(name))), None)


def headless(program: str, *arguments: str) -> bytes:
    """Run a browser without a window and give what it prints."""
    quiet = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run")
    return subprocess.run([program, *quiet, *arguments], check=True, capture_output=True, timeout=120).stdout


def main(arguments: list[str]) -> int:
    """Make the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=ROOT / "docs", help="where to put them")
    output = parser.parse_args(arguments).output
    program = browser()
    if program is None:
        print(f"none of {', '.join(BROWSERS)} is installed", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="kit-pages-") as folder:
        for name, path in pages(Path(folder)).items():
            picture = output / f"verdict-{name}.png"
            size = f"--window-size={WIDTH},{HEIGHTS[name]}"
            headless(program, size, f"--screenshot={picture}", path.as_uri())
            _shrink(picture)
            print(f"{picture.name}: {picture.stat().st_size:,} bytes")
    return 0


def _shrink(picture: Path) -> None:
    """Keep 32 colours: a page has few, and that takes a third of the bytes."""
    with Image.open(picture) as image:
        small = image.convert("RGB").quantize(32)
    small.save(picture, optimize=True)


def _kit(code: int, *words: object) -> None:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as told:
        met = run([str(word) for word in words])
    if met != code:
        raise SystemExit(f"kit {words[0]} exits with {met}, not {code}: {told.getvalue()}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

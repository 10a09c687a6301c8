#!/usr/bin/env python3
"""Makes the pictures in ``docs/pictures`` of pages that ``kit`` writes, from the fixtures, with a headless Chromium.

The pages are the verdicts on a kit as it was published, on a patched one, and on one refused since the site's key is
not trusted (``kit verify --html``), and the differences between two kits (``kit diff --html``). Each is shown in the
light, in the dark, on paper, and on a screen of 400 pixels. Pictures depend on the browser and its fonts, so nothing
checks them byte for byte: look at them. ``tests/reports/test_layout.py`` checks the layout of these pages.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from PIL import Image
from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:  # run as a file: its folder is on the path, but not the one above
    sys.path.insert(0, str(ROOT))

from fixtures.build.kits import PATCHED_AT  # noqa: E402
from kit.cli import run  # noqa: E402

FIXTURES = ROOT / "fixtures"
PICTURES = ROOT / "docs" / "pictures"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
AT = "2099-04-03T00:00:00Z"
_COLOURS = 40
_PATIENCE = 120_000  # milliseconds, of a machine with much else to do


@dataclass(frozen=True, slots=True, kw_only=True)
class Light:
    """How a page is looked at; ``width`` is in CSS pixels."""

    width: int
    scheme: Literal["light", "dark"] = "light"
    media: Literal["screen", "print"] = "screen"


LIGHTS = {
    "light": Light(width=960),
    "dark": Light(width=960, scheme="dark"),
    "print": Light(width=672, media="print"),  # A4 without the margins of @page
    "narrow": Light(width=400),
}
"""By the last word of a picture's name."""


def pages(folder: Path) -> dict[str, Path]:
    """Write the pages into a folder, and give them by the first words of their pictures' names.

    Raises:
        SystemExit: A fixture does not get the verdict it should.
    """
    site = folder / "site.pem"
    shutil.copy(FIXTURES / "keys" / "site-TEST-ONLY.pem", site)
    site.chmod(0o600)
    shutil.copy(FIXTURES / "kits" / "harbor.tar.zst", folder)
    publisher, patcher = (FIXTURES / "keys" / f"{who}-TEST-ONLY.pub.pem" for who in ("publisher", "site"))
    who = ("--operator", "harbour master", "--environment", "quay 3", "--created-at", PATCHED_AT)
    base, patched = "harbor.tar.zst", "harbor-patched.tar.zst"
    # In the folder of the kit, so that a page names it as a user does, and no folder of this machine.
    with contextlib.chdir(folder):
        for policy, keys in ("publisher.json", ()), ("trust.json", ((patcher, "patcher", "Harbour site"),)):
            _kit(0, "trust", "init", policy, "--key", publisher, "publisher", "--name", publisher, "Harbour publisher")
            for path, role, name in keys:
                _kit(0, "trust", "add", policy, path, "--role", role, "--name", name)
        _kit(0, "patch", base, "-o", patched, "--trusted-key", publisher, "--signing-key", site, *who)
        judging = ("--no-remember", "--at", AT, "--html")
        _kit(0, "verify", base, "--trust", "trust.json", *judging, "valid.html")
        _kit(0, "verify", patched, "--trust", "trust.json", "--deep", *judging, "patched.html")
        _kit(4, "verify", patched, "--trust", "publisher.json", *judging, "refused.html")
        _kit(0, "diff", base, patched, "--html", "diff.html")
    return {
        **{f"verdict-{name}": folder / f"{name}.html" for name in ("valid", "patched", "refused")},
        "diff": folder / "diff.html",
    }


def browser() -> str | None:
    """Find a Chromium."""
    return next((path for name in BROWSERS if (path := shutil.which(name))), None)


def headless(program: str, *arguments: str) -> bytes:
    """Run a browser without a window and give what it prints."""
    quiet = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run")
    return subprocess.run([program, *quiet, *arguments], check=True, capture_output=True, timeout=120).stdout


@contextlib.contextmanager
def opened(program: str) -> Iterator[Page]:
    """Give a browser's tab, which can be asked about the page that it shows."""
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=arguments)
        try:
            tab = browser.new_page()
            tab.set_default_timeout(_PATIENCE)
            yield tab
        finally:
            browser.close()


def show(tab: Page, page: Path, light: Light) -> Page:
    """Show a page in a light."""
    tab.set_viewport_size({"width": light.width, "height": 800})
    tab.emulate_media(media=light.media, color_scheme=light.scheme)
    if tab.url != page.as_uri():
        tab.goto(page.as_uri())
    return tab


def main(arguments: list[str]) -> int:
    """Make the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=PICTURES, help="where to put them")
    output = parser.parse_args(arguments).output
    program = browser()
    if program is None:
        print(f"none of {', '.join(BROWSERS)} is installed", file=sys.stderr)
        return 1
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="kit-pages-") as folder, opened(program) as tab:
        for name, path in pages(Path(folder)).items():
            for word, light in LIGHTS.items():
                picture = output / f"{name}-{word}.png"
                show(tab, path, light).screenshot(path=picture, full_page=True)
                _shrink(picture)
                print(f"{picture.name}: {picture.stat().st_size:,} bytes")
    return 0


def _shrink(picture: Path) -> None:
    """Keep a few colours: a page has no more, and that takes a third of the bytes."""
    with Image.open(picture) as image:
        small = image.convert("RGB").quantize(_COLOURS)
    small.save(picture, optimize=True)


def _kit(code: int, *words: object) -> None:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as told:
        met = run([str(word) for word in words])
    if met != code:
        raise SystemExit(f"kit {words[0]} exits with {met}, not {code}: {told.getvalue()}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""The step of a build that puts pages and schemas into the wheel: next to the code, and man pages where man looks.

``pyproject.toml`` names :class:`BuildPy`, so that every way to build a wheel has it: pip, pipx and uv on a checkout, an
sdist, ``scripts/release``. An editable installation has the checkout itself.
"""

from __future__ import annotations

import itertools
import os
import posixpath
import sys
from pathlib import Path

from setuptools.command.build_py import build_py  # type: ignore[import-untyped]

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:  # a build backend runs with neither this folder nor the one above on its path
    sys.path.insert(0, str(ROOT))

from scripts import pages  # noqa: E402


class BuildPy(build_py):  # type: ignore[misc]  # setuptools has no types
    """Builds the package, and then what ships with it."""

    def run(self) -> None:
        """Build it."""
        super().run()
        if getattr(self, "editable_mode", False):
            return
        pages.write(pages.shipped(), Path(self.build_lib) / "kit")
        manual = pages.manual()
        place = Path(self.get_finalized_command("build").build_base) / "man"
        pages.write(manual, place)
        # Next to bin, so that man finds them wherever the program is on the path.
        self.distribution.data_files = [
            (posixpath.join("share", "man", folder), [os.fspath(place / name) for name in names])
            for folder, names in itertools.groupby(sorted(manual), posixpath.dirname)
        ]

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:  # noqa: FBT001, FBT002  as in setuptools
        """Return all files that it makes, so that an installation can record them."""
        made = [] if getattr(self, "editable_mode", False) else sorted(pages.shipped())
        outputs: list[str] = super().get_outputs(include_bytecode)
        return [*outputs, *(os.fspath(Path(self.build_lib) / "kit" / name) for name in made)]

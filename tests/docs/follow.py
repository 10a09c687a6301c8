"""Follows one page with sockets forbidden: ``python -m tests.docs.follow PAGE STAGE FOLDER``; a program, not a test.

Prints how many blocks there were; what the page says wrong is the message of the error it ends with.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.docs import no_sockets, releases, staging
from tests.docs.commands import follow

if __name__ == "__main__":
    page, stage, folder = sys.argv[1:]
    no_sockets.forbid()
    stages = {**staging.STAGES, "release": releases.release}
    stages[stage](Path(folder))
    print(follow(Path(page), Path(folder)))  # noqa: T201  a program

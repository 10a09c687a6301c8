"""``kit selftest``: strikes runs of ``kit patch`` on the operator's own disk, and counts what went wrong: nothing may.

A file system, a mount option or a disk that loses what it reported as written is found here, on a kit made for the
purpose, rather than in the one maintenance window. The same strikes are the fault matrix of the tests.
"""

from kit.verbs.selftest.bench import CONTAINERS, WAYS, Bench, Delta, Facts
from kit.verbs.selftest.strikes import DAMAGES, FAULTS, Matrix, Row, SelftestReport, kill_everywhere, phases, selftest

__all__ = [
    "CONTAINERS",
    "DAMAGES",
    "FAULTS",
    "WAYS",
    "Bench",
    "Delta",
    "Facts",
    "Matrix",
    "Row",
    "SelftestReport",
    "kill_everywhere",
    "phases",
    "selftest",
]

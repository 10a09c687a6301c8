"""What is left to the second tier of tests (tests/conftest.py): most examples of a law, costly cases of a family."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import settings

_ALL = 100
"""Examples of a law that asks for no number, when everything runs."""


def examples(count: int) -> int:
    """Return the examples for this tier, of a law that is tried on ``count`` when everything runs."""
    return max(1, count * settings().max_examples // _ALL)


def slow(*values: Any) -> Sequence[Any]:
    """Return cases for ``parametrize`` that are tests of the second tier; several arguments of one case are a tuple."""
    cases = (value if isinstance(value, tuple) else (value,) for value in values)
    return [pytest.param(*case, marks=pytest.mark.slow) for case in cases]

from __future__ import annotations

import pytest

from kit.encryption import Profile
from tests.encryption.site import Site


@pytest.fixture
def site() -> Site:
    return Site(Profile.BOUND)


@pytest.fixture
def compat() -> Site:
    return Site(Profile.COMPAT)

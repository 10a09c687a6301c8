from __future__ import annotations

import shutil

import pytest

from kit.encryption import Profile
from tests.encryption.site import Site


@pytest.fixture
def site() -> Site:
    return Site(Profile.BOUND)


@pytest.fixture
def compat() -> Site:
    return Site(Profile.COMPAT)


@pytest.fixture(scope="session")
def node() -> str:
    return shutil.which("node") or pytest.skip("Node is not installed")

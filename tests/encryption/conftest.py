from __future__ import annotations

import shutil
from pathlib import Path
from types import ModuleType

import pytest

from kit.encryption import Profile
from tests.encryption.site import Site
from tests.encryption.softhsm import new_keys, new_token, softhsm_module


@pytest.fixture
def site() -> Site:
    return Site(Profile.BOUND)


@pytest.fixture
def compat() -> Site:
    return Site(Profile.COMPAT)


@pytest.fixture(scope="session")
def node() -> str:
    return shutil.which("node") or pytest.skip("Node is not installed")


@pytest.fixture(scope="session")
def pkcs11() -> ModuleType:
    package: ModuleType = pytest.importorskip("pkcs11", reason="the extra pkcs11 is not installed")
    return package


@pytest.fixture(scope="session")
def module(pkcs11: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = softhsm_module()
    new_token(tmp_path_factory.mktemp("softhsm"))
    new_keys(pkcs11, found)
    return found

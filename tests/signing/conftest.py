from __future__ import annotations

import io
import shutil
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest
import zstandard

from kit.signing import Algorithm, PrivateKey, PublicKey, generate

SHARED_KITS = Path(__file__).parents[2].parent / "shared/data/kits"


@pytest.fixture(scope="session")
def keys() -> Mapping[Algorithm, PrivateKey]:
    """Give one key of each kind, made once: an RSA key takes a while."""
    return {kind: generate(kind) for kind in Algorithm}


@pytest.fixture(params=list(Algorithm), ids=str)
def key(request: pytest.FixtureRequest, keys: Mapping[Algorithm, PrivateKey]) -> PrivateKey:
    return keys[request.param]


@pytest.fixture(scope="session")
def trusted(keys: Mapping[Algorithm, PrivateKey]) -> Mapping[str, PublicKey]:
    return {key.public.key_id: key.public for key in keys.values()}


@pytest.fixture(scope="session")
def stranger() -> PrivateKey:
    return generate(Algorithm.ED25519)


@pytest.fixture(scope="session")
def openssl() -> str:
    return shutil.which("openssl") or pytest.skip("openssl is not installed")


@pytest.fixture(params=["cisa-csaf.tar.zst", "cve5-foreign.tar.gz", "go-osv.tar.zst", "pypa-osv.tgz"])
def shared_manifest(request: pytest.FixtureRequest) -> tuple[bytes, bytes]:
    """Give manifest and signature of a kit that other code than this project's made."""
    path = SHARED_KITS / str(request.param)
    if not path.exists():
        pytest.skip("the shared kits are not here")
    data = path.read_bytes()
    if path.suffix == ".zst":
        data = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data), read_across_frames=True).read()
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        names = [name for name in archive.getnames() if name.endswith("offline-manifest.json")]
        manifest, signature = (archive.extractfile(name) for name in (names[0], f"{names[0]}.jws"))
        assert manifest is not None
        assert signature is not None
        return manifest.read(), signature.read()

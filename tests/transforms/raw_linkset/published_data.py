"""Reads the public data beside the project with none of the project's own code, as an oracle must."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bson
import pytest
import zstandard

DATA = Path(__file__).parents[4] / "shared" / "data"
KITS = ("cisa-csaf.tar.zst", "cve5-foreign.tar.gz", "go-osv.tar.zst", "pypa-osv.tgz")
ADVISORIES = (
    "cisa-csaf.sample",
    "cisa-vulnrichment.sample",
    "go-vulndb-osv",
    "go-vulndb-osv.base30d",
    "osv-schema-fixtures",
    "pypa",
    "pypa.base30d",
)


def need(path: Path) -> Path:
    if not path.exists():
        pytest.skip(f"{path.name} is not beside the project")
    return path


def plain(data: bytes, name: str) -> bytes:
    if name.endswith(".zst"):
        return zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True).read()
    return gzip.decompress(data) if name.endswith(("gz",)) else data


def json_lines(path: Path) -> Iterator[dict[str, Any]]:
    for line in plain(need(path).read_bytes(), path.name).splitlines():
        yield json.loads(line)


def advisories(name: str) -> Iterator[dict[str, Any]]:
    return json_lines(DATA / "advisories" / f"{name}.ndjson.zst")


def collection(kit: str, name: str) -> list[dict[str, Any]]:
    path = need(DATA / "kits" / kit)
    found: list[dict[str, Any]] = []
    with tarfile.open(fileobj=io.BytesIO(plain(path.read_bytes(), kit))) as archive:
        for member in archive.getmembers():
            if f"/{name}.bson" in member.name:
                body = archive.extractfile(member)
                assert body is not None
                found += bson.decode_all(plain(body.read(), member.name))
    return found


def expected(kit: str) -> Iterator[dict[str, Any]]:
    return json_lines(DATA / "kits" / f"{kit}.expected.ndjson.zst")

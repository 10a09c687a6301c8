"""``kit --version``: the program, and every part that decides what it writes or accepts."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from importlib import metadata

import zstandard

from kit.cli.commit import tool_commit
from kit.documents import core
from kit.signing import openssl_version
from kit.version import CORE_VERSION, TOOL, VERSION

_OPTIONAL = ("python-pkcs11", "distributed")
_PARTS = (
    "click",
    "cryptography",
    "deflate",
    "isal",
    "joserfc",
    "jsonschema",
    "packageurl-python",
    "prometheus-client",
    "pymongo",
    "pyrage",
    "rich",
    "securesystemslib",
    "zstandard",
    *_OPTIONAL,
)
"""What pyproject.toml names; a test holds the two together."""


def version_lines() -> Iterator[str]:
    """Give the version of the program, then one part a line."""
    commit = tool_commit()
    yield f"{TOOL} {VERSION}{f' (commit {commit})' if commit else ''}"
    yield f"  Python {platform.python_version()} ({platform.python_implementation()}, {platform.platform()})"
    yield f"  reference, since the core is {core.ABSENCE}" if core.ABSENCE else f"  core {CORE_VERSION}"
    inside = {
        "cryptography": openssl_version(),
        "zstandard": "libzstd " + ".".join(map(str, zstandard.ZSTD_VERSION)),
        "pymongo": "its module bson",
    }
    for name in _PARTS:
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            if name not in _OPTIONAL:
                yield f"  {name} (not installed as a package)"
            continue
        yield f"  {name} {version}{f' ({inside[name]})' if name in inside else ''}"

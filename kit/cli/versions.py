"""``kit --version``: the program, and every part that affects what it writes or accepts."""

from __future__ import annotations

import os
import platform
import re
import sys
from collections.abc import Iterator
from contextlib import suppress

import zstandard

from kit.documents import core
from kit.signing import openssl_version
from kit.version import CORE_VERSION, TOOL, VERSION, tool_commit

_OPTIONAL = ("python-pkcs11", "distributed")
_PARTS = (
    "click",
    "cryptography",
    "deflate",
    "fastcrc",
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
"""The dependencies of pyproject.toml; a test holds the two together."""


def version_lines() -> Iterator[str]:
    """Yield the version of the program, then one line per part."""
    commit = tool_commit()
    yield f"{TOOL} {VERSION}{f' (commit {commit})' if commit else ''}"
    yield f"  Python {platform.python_version()} ({platform.python_implementation()}, {platform.platform()})"
    yield f"  reference, since the core is {core.ABSENCE}" if core.ABSENCE else f"  core {CORE_VERSION}"
    inside = {
        "cryptography": openssl_version(),
        "zstandard": "libzstd " + ".".join(map(str, zstandard.ZSTD_VERSION)),
        "pymongo": "its module bson",
    }
    known = _read_installed()
    for name in _PARTS:
        version = known.get(name) or _version_of(name)
        if version is not None:
            yield f"  {name} {version}{f' ({inside[name]})' if name in inside else ''}"
        elif name not in _OPTIONAL:
            yield f"  {name} (not installed as a package)"


def _read_installed() -> dict[str, str]:
    """Return the version of each installed package by normalised name, from the names of the metadata folders.

    "Recording installed projects" of the Python Packaging Authority defines them. importlib.metadata would take a third
    of the time of the whole command.
    """
    found: dict[str, str] = {}
    for place in sys.path:
        with suppress(OSError):
            for entry in os.scandir(place or "."):
                project, dash, version = entry.name.removesuffix(".dist-info").partition("-")
                if dash and entry.name.endswith(".dist-info"):
                    found.setdefault(re.sub(r"[-_.]+", "-", project).lower(), version)
    return found


def _version_of(name: str) -> str | None:
    """Return the version of a part that is recorded in another way, if it is."""
    from importlib import metadata

    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None

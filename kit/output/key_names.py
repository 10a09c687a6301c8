"""Names of key files: the public key of ``site.pem`` is ``site.pub.pem``.

Law: no two private keys have one public name, except ``N`` and ``N.pem``. Earlier versions wrote ``site.pem.pub``,
which is still found.
"""

from __future__ import annotations

import os
from difflib import get_close_matches
from itertools import islice
from pathlib import Path

SUFFIX, PUBLIC_SUFFIX = ".pem", ".pub.pem"
_EARLIER_SUFFIX = ".pub"
_SUFFIXES = (PUBLIC_SUFFIX, f"{SUFFIX}{_EARLIER_SUFFIX}", _EARLIER_SUFFIX, SUFFIX)
_MAX_NAMES = 1000
"""Of a folder in which a similar name is looked for."""


def stem(name: str) -> str:
    """Return the name of a private key without ``.pem``."""
    return name.removesuffix(SUFFIX) or name


def public_path(private: Path) -> Path:
    """Return the path of the public key that belongs to a private key."""
    return private.with_name(f"{stem(private.name)}{PUBLIC_SUFFIX}")


def earlier_public_path(private: Path) -> Path:
    """Return the path that earlier versions gave that public key."""
    return private.with_name(f"{private.name}{_EARLIER_SUFFIX}")


def find_public(path: Path) -> Path:
    """Return the path of a public key, or its name of earlier versions if only that exists."""
    if not path.name.endswith(PUBLIC_SUFFIX) or os.path.lexists(path):
        return path
    name = path.name.removesuffix(PUBLIC_SUFFIX)
    earlier = (earlier_public_path(path.with_name(private)) for private in (f"{name}{SUFFIX}", name) if private)
    return next((one for one in earlier if os.path.lexists(one)), path)


def similar(path: Path, *, secret: bool) -> Path | None:
    """Return the file next to a missing key file that is probably meant, if there is one.

    Another name of the same key comes first, then the nearest name. A public key is never offered as a private one,
    nor the other way around, as far as names show it.
    """
    try:
        with os.scandir(path.parent) as entries:
            names = [entry.name for entry in islice(entries, _MAX_NAMES) if not entry.name.startswith(".")]
    except OSError:
        return None
    fitting = sorted(name for name in names if (_is_public(name) is not secret) or not _has_suffix(name))
    by_bare = {_bare(name): name for name in reversed(fitting)}
    wanted = _bare(path.name)
    near = [wanted] if wanted in by_bare else get_close_matches(wanted, by_bare, n=1, cutoff=0.75)
    return path.with_name(by_bare[near[0]]) if near else None


def _has_suffix(name: str) -> bool:
    return any(name.endswith(suffix) for suffix in _SUFFIXES)


def _is_public(name: str) -> bool:
    return name.endswith((PUBLIC_SUFFIX, _EARLIER_SUFFIX))


def _bare(name: str) -> str:
    return next((name.removesuffix(suffix) for suffix in _SUFFIXES if name.endswith(suffix)), name)

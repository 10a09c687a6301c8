"""The case rules of the purl specification for the components of each type; made by schemas/build/make_purl_types.py.

A type that is not here has no definition in the specification. One with an empty tuple is compared as it is written:
case_sensitive is true, or not stated, which means the same (purl-type-definition schema, ``case_sensitive``).
"""

from __future__ import annotations

from typing import Final

STATE: Final = "types/ on main after change 872 (npm and golang, 2026-05-22) and 796 (brew, 2026-07-09)"
"""Of package-url/purl-spec: the definitions that were read."""

LOWERED: Final[dict[str, tuple[str, ...]]] = {
    "alpm": ("namespace", "name"),
    "apk": ("namespace", "name"),
    "bazel": (),
    "bitbucket": ("namespace", "name"),
    "bitnami": ("name",),
    "brew": ("namespace", "name"),
    "cargo": (),
    "chrome-extension": ("name",),
    "cocoapods": (),
    "composer": ("namespace", "name"),
    "conan": (),
    "conda": (),
    "cpan": (),
    "cran": (),
    "deb": ("namespace", "name"),
    "docker": (),
    "gem": (),
    "generic": (),
    "git": (),
    "github": ("namespace", "name"),
    "golang": (),
    "hackage": (),
    "hex": ("namespace", "name"),
    "huggingface": ("version",),
    "julia": (),
    "luarocks": ("namespace", "name"),
    "maven": (),
    "mlflow": (),
    "npm": (),
    "nuget": (),
    "oci": ("name", "version"),
    "opam": (),
    "otp": ("name",),
    "pub": ("name",),
    "pypi": ("name", "version"),
    "qpkg": ("namespace",),
    "rpm": ("namespace",),
    "swid": (),
    "swift": (),
    "vcpkg": (),
    "vscode-extension": ("namespace", "name", "version"),
    "yocto": ("namespace",),
}
"""By type: the components that are case-insensitive, so that their canonical form is lower-case."""

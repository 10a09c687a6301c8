#!/usr/bin/env python3
"""Writes kit/transforms/raw_linkset/purl_types.py: the case rules of the purl specification for each type.

The specification (package-url/purl-spec) defines each type in ``types/TYPE-definition.json``. A component is compared
without case where its definition says ``"case_sensitive": false``; the schema's default is true. Give a checkout of the
specification, and the words by which its state can be found again:

    schemas/build/make_purl_types.py ~/purl-spec --state "main, 2026-11-30"

Definitions that contradict themselves, or are of no type at all, end the run; nothing is written then.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any, Final

TARGET: Final = Path(__file__).resolve().parents[2] / "kit/transforms/raw_linkset/purl_types.py"
COMPONENTS: Final = ("namespace", "name", "version")
_HEAD: Final = '''\
"""The case rules of the purl specification for the components of each type; made by schemas/build/make_purl_types.py.

A type that is not here has no definition in the specification. One with an empty tuple is compared as it is written:
case_sensitive is true, or not stated, which means the same (purl-type-definition schema, ``case_sensitive``).
"""

from __future__ import annotations

from typing import Final

STATE: Final = {state}
"""Of package-url/purl-spec: the definitions that were read."""

LOWERED: Final[dict[str, tuple[str, ...]]] = {{
{table}
}}
"""By type: the components that are case-insensitive, so that their canonical form is lower-case."""
'''


def lowered(definition: dict[str, Any]) -> tuple[str, ...]:
    """Return the components that a type's definition calls case-insensitive.

    Raises:
        ValueError: A statement is not a boolean.
    """
    found = []
    for component in COMPONENTS:
        stated = definition.get(f"{component}_definition", {}).get("case_sensitive", True)
        if not isinstance(stated, bool):
            raise ValueError(f"case_sensitive of {component} is {stated!r}")  # noqa: TRY004  a fault of the file
        if not stated:
            found.append(component)
    return tuple(found)


def module(folder: Path, state: str) -> str:
    """Return the text of the module for the definitions below ``folder``/types.

    Raises:
        ValueError: There is no definition, or one is not of the type in its file's name.
    """
    table = {}
    for path in sorted(folder.glob("types/*-definition.json")):
        definition = json.loads(path.read_text())
        name = definition.get("type")
        if name != path.name.removesuffix("-definition.json"):
            raise ValueError(f"{path.name} defines {name!r}")
        table[name] = lowered(definition)
    if not table:
        raise ValueError(f"{folder}/types has no definitions")
    lines = []
    for name, components in table.items():
        items = ", ".join(f'"{component}"' for component in components)
        lines.append(f'    "{name}": ({items}{"," if len(components) == 1 else ""}),')
    return _HEAD.format(state=json.dumps(state), table="\n".join(lines))


def main(arguments: list[str] | None = None) -> int:
    """Write the module; exit 1 if a definition cannot be read."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("folder", type=Path, help="a checkout of package-url/purl-spec")
    parser.add_argument("--state", required=True, help="what the checkout is: a tag, or a branch and date")
    parser.add_argument("--output", type=Path, default=TARGET)
    options = parser.parse_args(arguments)
    try:
        text = module(options.folder, options.state)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    options.output.write_text(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

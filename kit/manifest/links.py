"""The links of a kit, as its manifest lists them (schemas/offline-manifest.md, ``links``).

A link has no bytes to digest: its target and its kind are compared as they are. The reader of the container checks that
a link stays inside the kit; this module checks that it is listed once, under a name that nothing else has.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass

from kit.errors import ManifestError
from kit.manifest.fields import Fields
from kit.manifest.location import is_reserved
from kit.values import MemberPath

NAME = "links"
_MEMBERS = ("path", "target", "kind")


class LinkKind(enum.StrEnum):
    """How a link leads to its target."""

    SYMBOLIC = "symbolic"
    HARD = "hard"


@dataclass(frozen=True, slots=True, order=True, kw_only=True)
class Link:
    """One link; the target of a hard link is a member's name, that of a symbolic one its text."""

    path: MemberPath
    target: str
    kind: LinkKind

    def __str__(self) -> str:
        return f"a {self.kind} link to {self.target!r}"


def read_links(fields: Fields, files: Iterable[MemberPath], *, own: bool) -> tuple[Link, ...] | None:
    """Return the list of links; None if the manifest has none.

    A foreign manifest may use the name for something else: it is the list of links if its first item is a link.

    Raises:
        ManifestError: It is no list of links; a path is refused, reserved, or listed twice, also among ``files``; or
            the target of a hard link is no listed file.
    """
    value = fields.members.get(NAME)
    if NAME not in fields.members or not (own or _is_list_of_links(value)):
        return None
    links = tuple(_link(Fields.of(item, f"{NAME}[{n}]")) for n, item in enumerate(fields.items(NAME)))
    listed = {path.collision_key: path for path in files}
    targets = {path.text for path in listed.values()}
    for number, link in enumerate(links):
        place = f"{NAME}[{number}]"
        earlier = listed.setdefault(link.path.collision_key, link.path)
        if earlier is not link.path:
            raise ManifestError(f"{place}: {link.path} names the same file as {earlier}")
        if is_reserved(link.path):
            raise ManifestError(f"{place}: {link.path} is kept for manifests and cannot be listed")
        if link.kind is LinkKind.HARD and link.target not in targets:
            raise ManifestError(f"{place}: {link.path} is a hard link to {link.target!r}, which is no listed file")
    return links


def _is_list_of_links(value: object) -> bool:
    return isinstance(value, list) and (not value or (isinstance(value[0], dict) and set(_MEMBERS) <= value[0].keys()))


def _link(fields: Fields) -> Link:
    fields.exactly(_MEMBERS)
    kind = fields.text("kind")
    if kind not in list(LinkKind):
        raise ManifestError(f"{fields.place}.kind: {' or '.join(LinkKind)} is expected, not {kind!r}")
    return Link(path=fields.member_path("path"), target=fields.text("target"), kind=LinkKind(kind))

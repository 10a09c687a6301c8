"""The places of manifest, signature and history: rules over names alone (schemas/offline-manifest.md "Place").

These members, and no others, are outside the closed world: the manifest cannot list them, because they are the
manifest, sign it, or are bound by its lineage.

The links of a kit, as its manifest lists them (schemas/offline-manifest.md, ``links``).

A link has no bytes to digest: its target and its kind are compared as they are. The reader of the container checks that
a link stays inside the kit; this module checks that it is listed once, under a name that nothing else has.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass

from kit.errors import ManifestError
from kit.values import MemberPath
from kit.values.fields import ManifestFields

MANIFEST_PATHS = (MemberPath("manifest/offline-manifest.json"), MemberPath("offline-manifest.json"))
SIGNATURE_SUFFIXES = (".jws", ".dsse.json")
"""Of the two forms of a signature (schemas/manifest-signature.md); the first is written unless a kit has the other."""
HISTORY_FOLDER = "manifest/history"


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """The places of one kit's manifest and signature, whether or not a signature is present."""

    manifest: MemberPath
    form: str = SIGNATURE_SUFFIXES[0]
    """The ending of the signature's name, which is its form."""

    @property
    def signature(self) -> MemberPath:
        """The path of the signature, next to the manifest."""
        return MemberPath(f"{self.manifest}{self.form}")

    def kept_signature(self, generation: int) -> MemberPath:
        """Return where the signature is kept when another generation replaces this one: in its form."""
        return MemberPath(f"{history_paths(generation).manifest}{self.form}")

    def is_outside(self, path: MemberPath) -> bool:
        """Return whether a member is outside the closed world: this manifest, its signature, or history."""
        return path in {self.manifest, self.signature} or is_history(path)


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryPaths:
    """The paths of one replaced generation."""

    manifest: MemberPath
    signatures: tuple[MemberPath, ...]
    """One for each form; a generation has one of them at most."""
    statement: MemberPath
    record: MemberPath
    """Of a step that changed the schema of collections (schemas/reshape-record.md)."""


def locate(members: Iterable[MemberPath]) -> Location:
    """Return the place of the one manifest among the members of a kit.

    Raises:
        ManifestError: There is none, or there are two, of which readers may choose different ones; or it has a
            signature in either form, of which a reader may look at one only.
    """
    present = set(members)
    found = [path for path in MANIFEST_PATHS if path in present]
    if not found:
        raise ManifestError(
            f"no manifest: neither {' nor '.join(map(str, MANIFEST_PATHS))} is there",
            hint="to make a kit of these files: kit create --help",
        )
    if len(found) > 1:
        raise ManifestError(f"two manifests: {' and '.join(map(str, found))}; exactly one is expected")
    signatures = [path for path in signatures_of(found[0]) if path in present]
    if len(signatures) > 1:
        raise ManifestError(f"two signatures: {' and '.join(map(str, signatures))}; one at most is expected")
    return next((at for at in _places(found[0]) if at.signature in signatures), Location(manifest=found[0]))


def signatures_of(manifest: MemberPath) -> tuple[MemberPath, ...]:
    """Return where the signature of a manifest may be."""
    return tuple(place.signature for place in _places(manifest))


def _places(manifest: MemberPath) -> tuple[Location, ...]:
    return tuple(Location(manifest=manifest, form=form) for form in SIGNATURE_SUFFIXES)


def history_paths(generation: int) -> HistoryPaths:
    """Return the paths of a replaced generation; they do not depend on the folder its manifest was in."""
    folder = f"{HISTORY_FOLDER}/{generation}"
    manifest = MemberPath(f"{folder}/offline-manifest.json")
    return HistoryPaths(
        manifest=manifest,
        signatures=signatures_of(manifest),
        statement=MemberPath(f"{folder}/patch.intoto.json"),
        record=MemberPath(f"{folder}/reshape.json"),
    )


def is_history(path: MemberPath) -> bool:
    """Return whether a member belongs to the kept generations, which lineage binds."""
    return path.text.startswith(f"{HISTORY_FOLDER}/")


def is_reserved(path: MemberPath) -> bool:
    """Return whether no manifest may list this name, wherever the manifest itself is.

    Wider than :meth:`Location.is_outside` on purpose: the unused place of manifest and signature is neither outside the
    closed world nor listable. So no file can be there for a reader that looks there first.
    """
    places = {place.collision_key for manifest in MANIFEST_PATHS for place in (manifest, *signatures_of(manifest))}
    key = path.collision_key
    return key in places or key == HISTORY_FOLDER or key.startswith(f"{HISTORY_FOLDER}/")


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


def read_links(fields: ManifestFields, files: Iterable[MemberPath], *, own: bool) -> tuple[Link, ...] | None:
    """Return the list of links; None if the manifest has none.

    A foreign manifest may use the name for something else: it is the list of links if its first item is a link.

    Raises:
        ManifestError: It is no list of links; a path is refused, reserved, or listed twice, also among ``files``; or
            the target of a hard link is no listed file.
    """
    value = fields.members.get(NAME)
    if NAME not in fields.members or not (own or _is_list_of_links(value)):
        return None
    links = tuple(_link(ManifestFields.of(item, f"{NAME}[{n}]")) for n, item in enumerate(fields.items(NAME)))
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


def _link(fields: ManifestFields) -> Link:
    fields.exactly(_MEMBERS)
    kind = fields.text("kind")
    if kind not in list(LinkKind):
        raise ManifestError(f"{fields.place}.kind: {' or '.join(LinkKind)} is expected, not {kind!r}")
    return Link(path=fields.member_path("path"), target=fields.text("target"), kind=LinkKind(kind))

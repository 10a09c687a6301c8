"""The places of manifest, signature and history: rules over names alone (schemas/offline-manifest.md "Place").

These members, and no others, are outside the closed world: the manifest cannot list them, because they are the
manifest, sign it, or are bound by its lineage.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from kit.errors import ManifestError
from kit.values import MemberPath

MANIFEST_PATHS = (MemberPath("manifest/offline-manifest.json"), MemberPath("offline-manifest.json"))
SIGNATURE_SUFFIX = ".jws"
HISTORY_FOLDER = "manifest/history"


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """The places of one kit's manifest and signature, whether or not a signature is present."""

    manifest: MemberPath

    @property
    def signature(self) -> MemberPath:
        """The path of the detached signature, next to the manifest."""
        return signature_of(self.manifest)

    def is_outside(self, path: MemberPath) -> bool:
        """Return whether a member is outside the closed world: this manifest, its signature, or history."""
        return path in {self.manifest, self.signature} or is_history(path)


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryPaths:
    """The paths of one replaced generation."""

    manifest: MemberPath
    signature: MemberPath
    statement: MemberPath


def locate(members: Iterable[MemberPath]) -> Location:
    """Return the place of the one manifest among the members of a kit.

    Raises:
        ManifestError: There is none, or there are two, of which readers may choose different ones.
    """
    present = set(members)
    found = [path for path in MANIFEST_PATHS if path in present]
    if not found:
        raise ManifestError(f"no manifest: neither {' nor '.join(map(str, MANIFEST_PATHS))} is there")
    if len(found) > 1:
        raise ManifestError(f"two manifests: {' and '.join(map(str, found))}; exactly one is expected")
    return Location(manifest=found[0])


def signature_of(manifest: MemberPath) -> MemberPath:
    """Return the path of the detached signature of a manifest."""
    return MemberPath(f"{manifest}{SIGNATURE_SUFFIX}")


def history_paths(generation: int) -> HistoryPaths:
    """Return the paths of a replaced generation; they do not depend on the folder its manifest was in."""
    folder = f"{HISTORY_FOLDER}/{generation}"
    manifest = MemberPath(f"{folder}/offline-manifest.json")
    return HistoryPaths(
        manifest=manifest, signature=signature_of(manifest), statement=MemberPath(f"{folder}/patch.intoto.json")
    )


def is_history(path: MemberPath) -> bool:
    """Return whether a member belongs to the kept generations, which lineage binds."""
    return path.text.startswith(f"{HISTORY_FOLDER}/")


def is_reserved(path: MemberPath) -> bool:
    """Return whether no manifest may list this name, wherever the manifest itself is.

    Wider than :meth:`Location.is_outside` on purpose: the unused place of manifest and signature is neither outside the
    closed world nor listable. So no file can be there for a reader that looks there first.
    """
    places = {place.collision_key for manifest in MANIFEST_PATHS for place in (manifest, signature_of(manifest))}
    key = path.collision_key
    return key in places or key == HISTORY_FOLDER or key.startswith(f"{HISTORY_FOLDER}/")

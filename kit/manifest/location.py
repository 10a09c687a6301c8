"""Where a kit keeps its manifest, signature and history: rules over names alone (schemas/offline-manifest.md "Place").

These members, and no others, are outside the closed world: they cannot be listed by the manifest, because they hold it,
sign it, or are bound by its lineage.
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
    """The manifest of one kit; the signature's path is where it belongs, present or not."""

    manifest: MemberPath

    @property
    def signature(self) -> MemberPath:
        """The detached signature, beside the manifest."""
        return signature_of(self.manifest)

    def is_outside(self, path: MemberPath) -> bool:
        """Tell whether a member is not to be listed: this manifest, its signature, or history."""
        return path in {self.manifest, self.signature} or is_history(path)


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryPaths:
    """Where one replaced generation is kept."""

    manifest: MemberPath
    signature: MemberPath
    statement: MemberPath


def locate(members: Iterable[MemberPath]) -> Location:
    """Find the one manifest among the members of a kit.

    Raises:
        ManifestError: There is none, or one in each place: which of two is the manifest would be the reader's choice.
    """
    present = set(members)
    found = [path for path in MANIFEST_PATHS if path in present]
    if not found:
        raise ManifestError(f"no manifest: neither {' nor '.join(map(str, MANIFEST_PATHS))} is there")
    if len(found) > 1:
        raise ManifestError(f"two manifests: {' and '.join(map(str, found))}; exactly one is expected")
    return Location(manifest=found[0])


def signature_of(manifest: MemberPath) -> MemberPath:
    """Name the detached signature of a manifest."""
    return MemberPath(f"{manifest}{SIGNATURE_SUFFIX}")


def history_paths(generation: int) -> HistoryPaths:
    """Name the places where a replaced generation is kept, whatever folder its manifest was in."""
    folder = f"{HISTORY_FOLDER}/{generation}"
    manifest = MemberPath(f"{folder}/offline-manifest.json")
    return HistoryPaths(
        manifest=manifest, signature=signature_of(manifest), statement=MemberPath(f"{folder}/patch.intoto.json")
    )


def is_history(path: MemberPath) -> bool:
    """Tell whether a member belongs to the kept generations, which lineage binds."""
    return path.text.startswith(f"{HISTORY_FOLDER}/")


def is_reserved(path: MemberPath) -> bool:
    """Tell whether no manifest may list this name, wherever the manifest itself is.

    Wider than :meth:`Location.is_outside` on purpose: the unused place of manifest and signature is then neither
    outside the closed world nor listable, so that nothing can wait there for a reader that looks there first.
    """
    places = {place.collision_key for manifest in MANIFEST_PATHS for place in (manifest, signature_of(manifest))}
    key = path.collision_key
    return key in places or key == HISTORY_FOLDER or key.startswith(f"{HISTORY_FOLDER}/")

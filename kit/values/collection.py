"""Which members are collections: the layout of ``mongodump`` (schemas/offline-manifest.md, "Fields")."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from kit.values.member_path import MemberPath


class Codec(enum.Enum):
    """The compression of a container or of a member; the value is a member's suffix."""

    NONE = ""
    GZIP = ".gz"
    ZSTD = ".zst"


@dataclass(frozen=True, slots=True, order=True, kw_only=True)
class CollectionName:
    """A collection as MongoDB names it."""

    database: str
    collection: str

    def __str__(self) -> str:
        return f"{self.database}.{self.collection}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionMember:
    """A member that holds documents of one collection; several members may hold parts of the same collection."""

    path: MemberPath
    name: CollectionName
    codec: Codec


def collection_member(path: MemberPath) -> CollectionMember | None:
    """Return the collection of ``…/<db>/<collection>.bson[.gz|.zst]``; None for other members, metadata included.

    MongoDB permits no name that begins with a dot. So companion files are no collections: ``._advisories.bson`` of
    macOS, and what is in a folder ``.AppleDouble``.
    """
    folder, _, leaf = path.text.rpartition("/")
    database = folder.rpartition("/")[2]
    if leaf.startswith(".") or database.startswith("."):
        return None
    for codec in Codec:
        stem = leaf.removesuffix(f".bson{codec.value}")
        if stem and stem != leaf and folder:
            name = CollectionName(database=database, collection=stem)
            return CollectionMember(path=path, name=name, codec=codec)
    return None

"""The manifest of a delta: schemas/kit-delta.md, format ``kit-delta`` v1.

Names base and target, and how each member of the target is made. Strict and closed: an unknown field, method
or form is refused, since it might change what is made. Laws: ``DeltaManifest.parse(m.to_bytes()) == m``;
every payload is named once, with digest and size; every member of the target is made by exactly one entry.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

from kit.delta.recipe import MANIFEST_NAME, Fields, Recipe, exact_digest
from kit.errors import ArchiveError, ContentError
from kit.values import Limits, MemberPath, Sha256, Timestamp
from kit.values.strict_json import canonical, parse as parse_json

FORMAT = "kit-delta"
VERSION = "1"
DELTA_TYPE = "application/vnd.offline-kit.delta+jws"
MANIFEST = MemberPath(MANIFEST_NAME)
SIGNATURE = MemberPath(f"{MANIFEST_NAME}.jws")
LAYOUT = MemberPath("layout")
ARCHIVE_SIGNATURE = MemberPath("target.sig")
_MEMBERS = "members"
"""The dictionary of a layout: the members that the manifest names."""


class Method(enum.StrEnum):
    """How a member of the target is made."""

    COPY = "copy"
    """The bytes of a member of the base."""
    FULL = "full"
    """The payload holds all bytes."""
    BINARY = "binary"
    """A binary delta, in pieces, against a member of the base."""
    DOCUMENTS = "documents"
    """A document delta against a collection of the base."""
    TEXTS = "texts"
    """A delta of texts against a collection in JSON, likewise."""
    RECIPE = "recipe"
    """Computed from the base by transforms, again on site."""


_WITH_PAYLOAD = frozenset({Method.FULL, Method.BINARY, Method.DOCUMENTS, Method.TEXTS})
_WITH_SOURCE = frozenset({Method.COPY, Method.BINARY, Method.DOCUMENTS, Method.TEXTS, Method.RECIPE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """A member of the delta with the bytes for a member of the target, or its layout or signature."""

    path: MemberPath
    sha256: Sha256
    size: int

    def to_json(self) -> dict[str, Any]:
        """Return the value for ``strict_json.canonical``."""
        return {"path": str(self.path), "sha256": str(self.sha256), "size": self.size}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A member of the target."""

    path: MemberPath
    sha256: Sha256
    size: int
    method: Method
    source: MemberPath | None = None
    """The member of the base it is made from."""
    payload: Payload | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the value for ``strict_json.canonical``; fields that the method does not have are omitted."""
        whole: dict[str, Any] = {
            "path": str(self.path),
            "sha256": str(self.sha256),
            "size": self.size,
            "method": self.method.value,
        }
        if self.source is not None:
            whole["source"] = str(self.source)
        if self.payload is not None:
            whole["payload"] = self.payload.to_json()
        return whole


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """Base or target of a delta: a generation of a bundle."""

    generation: int
    manifest_sha256: Sha256

    def to_json(self) -> dict[str, Any]:
        """Return the value for ``strict_json.canonical``."""
        return {"generation": self.generation, "manifestSha256": str(self.manifest_sha256)}

    def __str__(self) -> str:
        return f"generation {self.generation} (manifest {self.manifest_sha256})"


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetArchive:
    """The container of the target, and whether it can be restored byte for byte."""

    container: str
    """``folder``, ``tar``, ``tar.gz`` or ``tar.zst``."""
    sha256: Sha256 | None
    """Of the archive, if applying the delta can restore it byte for byte; None if it restores only the members."""
    signature: Payload | None = None
    """The ``.sig`` file of the archive; only with ``sha256``, since it signs those bytes."""
    published: Sha256 | None = None
    """Of the publisher's archive, if applying the delta cannot restore it; None where ``sha256`` is it, or unknown."""

    @classmethod
    def of(
        cls, container: str, digest: Sha256 | None, *, published: TargetArchive | None, comes_back: bool
    ) -> TargetArchive:
        """Return a target's container, with the digest that a site will get only if it is the publisher's archive.

        Args:
            container: Of the target.
            digest: Of its archive.
            published: The container that the publisher had; None if the target is the original.
            comes_back: Whether applying the delta restores the archive ``digest``.
        """
        original = digest if published is None else published.original
        is_restored = comes_back and digest is not None and digest == original
        lost = None if is_restored or container == "folder" else original
        return cls(container=container, sha256=digest if is_restored else None, published=lost)

    @property
    def original(self) -> Sha256 | None:
        """Digest of the archive that the publisher had; None for a folder, or where the delta has none."""
        return self.sha256 or self.published

    def to_json(self) -> dict[str, Any]:
        """Return the value for ``strict_json.canonical``."""
        whole: dict[str, Any] = {"container": self.container, "sha256": str(self.sha256) if self.sha256 else None}
        if self.published is not None:
            whole["published"] = str(self.published)
        if self.signature is not None:
            whole["signature"] = self.signature.to_json()
        return whole


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveComparison:
    """Compares the container of a kit with that of a delta's target; the members are the same."""

    container: str
    """Of the kit, as :attr:`TargetArchive.container`."""
    sha256: Sha256 | None
    """Of the kit's archive; None for a folder."""
    target: TargetArchive

    @property
    def is_compared(self) -> bool:
        """Whether both are archives with a known digest."""
        return self.sha256 is not None and self.target.original is not None

    @property
    def is_same(self) -> bool:
        """Whether the kit's archive is byte for byte the one that the publisher had."""
        return self.is_compared and self.sha256 == self.target.original

    @property
    def difference(self) -> str | None:
        """Why it is not known to be the published archive; None if it is."""
        if self.is_same:
            return None
        what = "a folder" if self.sha256 is None else f"a {self.container} archive"
        if self.target.container == "folder":
            return f"it is {what}; the publisher had a folder, so no archive was compared"
        published = f"the {self.target.container} archive that the publisher had"
        if self.sha256 is None:
            return f"it is {what}, not {published}; no archive was compared"
        if self.target.original is None:
            # It may still be that archive, if it was there before.
            return f"it is {what}; it was not compared with {published}, because the delta has no digest of it"
        return f"it is not {published}: its SHA-256 is {self.sha256}, not {self.target.original}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeltaManifest:
    """See the module docstring."""

    bundle_id: str | None
    """None if neither manifest has one."""
    base: End
    target: End
    archive: TargetArchive
    layout: Payload
    layout_of_base: bool = False
    """Whether the layout is packed against the headers of the base's container, as earlier versions did."""
    members: tuple[Entry, ...]
    """In the order of the target's container."""
    created_at: Timestamp
    tool_name: str
    tool_version: str
    recipe: Recipe | None = None
    """Present exactly if a member has the method ``recipe``."""

    @property
    def payloads(self) -> tuple[Payload, ...]:
        """All members of the delta besides this manifest and its signature, in the order of its archive."""
        signature = (self.archive.signature,) if self.archive.signature is not None else ()
        return (self.layout, *signature, *(entry.payload for entry in self.members if entry.payload is not None))

    def entry_of(self, digest: Sha256) -> Entry | None:
        """Return the member of the target with this digest."""
        return next((entry for entry in self.members if entry.sha256 == digest), None)

    def to_bytes(self) -> bytes:
        """Return the manifest as canonical JSON, keys sorted."""
        return canonical(
            {
                "format": FORMAT,
                "schemaVersion": VERSION,
                "bundleId": self.bundle_id,
                "base": self.base.to_json(),
                "target": {**self.target.to_json(), "archive": self.archive.to_json()},
                "layout": self.layout.to_json() | ({} if self.layout_of_base else {"dictionary": _MEMBERS}),
                "members": [entry.to_json() for entry in self.members],
                "createdAt": str(self.created_at),
                "tool": {"name": self.tool_name, "version": self.tool_version},
                **({"recipe": self.recipe.to_json()} if self.recipe is not None else {}),
            }
        )

    @classmethod
    def parse(cls, data: bytes, *, limits: Limits) -> Self:
        """Return the manifest that these bytes hold.

        Raises:
            ArchiveError: It is not strict JSON, or not of this format in any part.
            LimitError: It is over a limit.
        """
        where = str(MANIFEST)
        try:
            fields = Fields.of(parse_json(data, limits=limits, where=where), "manifest")
        except ContentError as error:
            raise ArchiveError(error.what, where=error.where or where) from error
        fields.exactly(
            ("format", "schemaVersion", "bundleId", "base", "target", "layout", "members", "createdAt", "tool"),
            ("recipe",),
        )
        if (fields.text("format"), fields.text("schemaVersion")) != (FORMAT, VERSION):
            found = f"{fields.text('format')!r} {fields.text('schemaVersion')!r}"
            raise fields.refusal(f"is {found}; this program reads 'kit-delta' '1'")
        base, target, tool = (fields.object(name) for name in ("base", "target", "tool"))
        base.exactly(("generation", "manifestSha256"))
        target.exactly(("generation", "manifestSha256", "archive"))
        tool.exactly(("name", "version"))
        layout = fields.object("layout")
        made = cls(
            bundle_id=fields.text("bundleId") if fields.members["bundleId"] is not None else None,
            base=_end(base),
            target=_end(target),
            archive=_archive(target.object("archive")),
            layout=_payload(layout, "dictionary"),
            layout_of_base=_is_of_base(layout),
            members=tuple(_entry(item, f"members[{n}]") for n, item in enumerate(fields.items("members"))),
            created_at=fields.timestamp("createdAt"),
            tool_name=tool.text("name"),
            tool_version=tool.text("version"),
            recipe=Recipe.parse(fields.members["recipe"]) if "recipe" in fields.members else None,
        )
        if (made.recipe is not None) != any(entry.method is Method.RECIPE for entry in made.members):
            raise fields.refusal("names a recipe without a member made by it, or the other way round")
        _check_names("member", (entry.path for entry in made.members))
        _check_names("payload", (MANIFEST, SIGNATURE, *(payload.path for payload in made.payloads)))
        return made


def _check_names(what: str, paths: Iterable[MemberPath]) -> None:
    seen: set[str] = set()
    for path in paths:
        if path.collision_key in seen:
            raise ArchiveError(f"the {what} {path} is listed twice", where=str(MANIFEST))
        seen.add(path.collision_key)


def _end(fields: Fields) -> End:
    return End(
        generation=fields.integer("generation"), manifest_sha256=fields.parse_text("manifestSha256", exact_digest)
    )


def _archive(fields: Fields) -> TargetArchive:
    fields.exactly(("container", "sha256"), ("signature", "published"))
    container = fields.text("container")
    if container not in {"folder", "tar", "tar.gz", "tar.zst"}:
        raise fields.refusal("has an unknown container")
    if "published" in fields.members and (fields.members["sha256"] is not None or container == "folder"):
        raise fields.refusal("has a published archive besides the one that comes back, or of a folder")
    return TargetArchive(
        container=container,
        published=fields.parse_text("published", exact_digest) if "published" in fields.members else None,
        sha256=fields.parse_text("sha256", exact_digest) if fields.members["sha256"] is not None else None,
        signature=_payload(fields.object("signature")) if "signature" in fields.members else None,
    )


def _entry(value: object, place: str) -> Entry:
    fields = Fields.of(value, place)
    try:
        method = Method(fields.text("method"))
    except ValueError:
        raise fields.refusal(f"has the unknown method {fields.text('method')!r}") from None
    names = ["path", "sha256", "size", "method"]
    names += ["source"] if method in _WITH_SOURCE else []
    names += ["payload"] if method in _WITH_PAYLOAD else []
    fields.exactly(names)
    if method is Method.RECIPE and fields.text("source") != fields.text("path"):
        raise fields.refusal("is made by a recipe from a member of another name")
    return Entry(
        path=fields.member_path("path"),
        sha256=fields.parse_text("sha256", exact_digest),
        size=fields.integer("size"),
        method=method,
        source=fields.member_path("source") if "source" in fields.members else None,
        payload=_payload(fields.object("payload")) if "payload" in fields.members else None,
    )


def _is_of_base(layout: Fields) -> bool:
    if "dictionary" not in layout.members:
        return True
    if layout.text("dictionary") != _MEMBERS:
        raise layout.refusal(f"has the unknown dictionary {layout.text('dictionary')!r}")
    return False


def _payload(fields: Fields, *optional: str) -> Payload:
    fields.exactly(("path", "sha256", "size"), optional)
    return Payload(
        path=fields.member_path("path"),
        sha256=fields.parse_text("sha256", exact_digest),
        size=fields.integer("size"),
    )

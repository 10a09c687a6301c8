"""Limits: how much a kit may ask of the host that reads it. Declared sizes are never trusted, only met ones.

Every bound is a field here and nowhere else; ``--max NAME=VALUE`` sets each of them, and a refusal names the limit, the
value met and the option that raises it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields

from kit.errors import LimitError

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB


def _bound(value: int, unit: str, meaning: str) -> int:
    bound: int = field(default=value, metadata={"unit": unit, "meaning": meaning})
    return bound


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """One limit, explained."""

    name: str
    value: int
    """What is in force."""
    default: int
    unit: str
    """What is counted: ``bytes``, ``members``, ``levels`` …"""
    meaning: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Generous bounds, every one of them overridable (``--max name=value``); :meth:`table` explains them."""

    members: int = _bound(250_000, "members", "members, and folders known from names only")
    member_bytes: int = _bound(1024 * GIB, "bytes", "one member's body as stored in the archive")
    total_bytes: int = _bound(4096 * GIB, "bytes", "all of the decompressed container")
    expanded_bytes: int = _bound(4096 * GIB, "bytes", "one collection member after its own codec")
    # Of each stream, and of all collections over the whole kit, since a codec inside of a codec multiplies.
    ratio: int = _bound(2000, "times", "decompressed over compressed bytes of a stream, or of the kit as a whole")
    ratio_floor_bytes: int = _bound(64 * MIB, "bytes", "decompressed bytes, likewise, that no ratio is asked of")
    # RFC 8878 3.1.1.1.2
    window_bytes: int = _bound(128 * MIB, "bytes", "the zstd window that a frame may demand of the reader")
    header_bytes: int = _bound(1 * MIB, "bytes", "all extension records (PAX, GNU long names) in front of one member")
    names_bytes: int = _bound(64 * MIB, "bytes", "all member names, and folders they imply, held while a kit is read")
    path_bytes: int = _bound(4096, "bytes", "one member name")
    path_depth: int = _bound(64, "levels", "folders in one member name, the last part included")
    # MongoDB's limit for a stored document is 16 MiB; its internal one is 16 KiB more.
    document_bytes: int = _bound(16 * MIB + 16 * KIB, "bytes", "one document of a collection")
    # An element takes two bytes at least, and 100 to 250 of memory once it is looked up or decoded. The widest
    # advisory seen has 17,094 in 1.3 MB; as dense as the densest large one (30 a kilobyte), 16 MiB hold 512,000.
    document_elements: int = _bound(600_000, "values", "elements of one document, nested ones and items included")
    # MongoDB's own nesting limit is 100 for user documents; mongodump can hold up to 200.
    document_depth: int = _bound(200, "levels", "documents nested in one document, itself included")
    tenants: int = _bound(10_000, "tenants", "tenants of one collection member, each counted apart")
    json_bytes: int = _bound(64 * MIB, "bytes", "a manifest, signature or statement: the members that are held whole")
    json_depth: int = _bound(64, "levels", "containers nested in one JSON text")
    # "[]," costs 3 bytes in a text, and 64 when it is read.
    json_values: int = _bound(2_000_000, "values", "values of one JSON text, containers included")
    kept_bytes: int = _bound(256 * MIB, "bytes", "all members that are held whole, history included")

    def check(self, name: str, met: int, *, where: str = "") -> None:
        """Refuse ``met`` if it is over the limit called ``name``.

        Raises:
            LimitError: It is; the message names limit, value met and the option that raises it.
        """
        bound: int = getattr(self, name)
        if met > bound:
            raise LimitError(
                f"{met:,} is over the limit {name} = {bound:,}",
                where=where,
                hint=f"if this kit is known to be sound, raise it: --max {name}={met}",
            )

    def with_overrides(self, overrides: dict[str, int]) -> Limits:
        """Replace the limits named; the caller has checked the names against :meth:`names`."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return Limits(**(values | overrides))

    def table(self) -> tuple[Limit, ...]:
        """Explain every limit in force, in the order of this class."""
        defaults = Limits()
        return tuple(
            Limit(name=one.name, value=getattr(self, one.name), default=getattr(defaults, one.name), **one.metadata)
            for one in fields(self)
        )

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """The name of every limit, in the order of this class."""
        return tuple(field.name for field in fields(cls))

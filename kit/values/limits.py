"""Limits: how much a kit may ask of the host that reads it. Declared sizes are never trusted, only met ones."""

from __future__ import annotations

from dataclasses import dataclass, fields

from kit.errors import LimitError

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Generous bounds, every one of them overridable (``--max name=value``); all in the unit their name says."""

    members: int = 1_000_000
    member_bytes: int = 1024 * GIB
    """One member's body as stored in the archive."""
    total_bytes: int = 4096 * GIB
    """All of the decompressed container."""
    expanded_bytes: int = 4096 * GIB
    """One collection member after its own codec."""
    ratio: int = 2000
    """Decompressed over compressed bytes of one stream, once past ratio_floor_bytes."""
    ratio_floor_bytes: int = 64 * MIB
    window_bytes: int = 128 * MIB
    """The zstd window a frame may demand of the reader (RFC 8878 3.1.1.1.2)."""
    header_bytes: int = 1 * MIB
    """All extension records (PAX, GNU long names) in front of one member."""
    path_bytes: int = 4096
    path_depth: int = 64
    document_bytes: int = 16 * MIB + 16 * KIB
    """MongoDB's limit for a stored document is 16 MiB; its internal one is 16 KiB more."""
    document_depth: int = 200
    """MongoDB's own nesting limit is 100 for user documents; mongodump can hold up to 200."""
    json_bytes: int = 256 * MIB
    """A manifest, signature or statement: the only members ever held whole."""
    json_depth: int = 64

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

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """The name of every limit, in the order of this class."""
        return tuple(field.name for field in fields(cls))

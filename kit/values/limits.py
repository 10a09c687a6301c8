"""Limits: how much a kit may ask of the host that reads it. Only actual sizes count, never declared ones.

Every bound is a field here and nowhere else. ``--max NAME=VALUE`` sets it; a refusal names the limit, the actual value
and that option. Two bounds are for the kit as a whole (:class:`Meter`): the work of reading it, and the memory held
meanwhile. These two bound whatever else a small file can contain many of.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from enum import IntEnum

from kit.errors import LimitError

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB


def _bound(value: int, unit: str, meaning: str) -> int:
    bound: int = field(default=value, metadata={"unit": unit, "meaning": meaning})
    return bound


class Price(IntEnum):
    """The work on one item, in units of the time that one byte of a file takes (1 to 3 ns in each pass).

    Measured in CPython on one core, with margin. Everything that a kit can contain many of has a price, even if empty:
    a frame without content, a member without a body.
    """

    MEMBER = 32 * KIB
    """A header of an archive, or an entry of a folder: parsed, named, looked up."""
    RECORD = 16 * KIB
    """An extension record before a header."""
    RECORD_BYTE = 16
    CODED_BYTE = 64
    """A byte that the codec of a member reads: a block of deflate with tables takes 13."""
    FRAME = 8 * KIB
    """A frame of zstd, a member of gzip."""
    SKIPPED = 2 * KIB
    """A skippable frame of zstd."""
    BLOCK = KIB
    """A block of zstd."""
    COLLECTION = 128 * KIB
    """A member that is split into documents: decoded, handed to a worker, counted by tenant."""
    DOCUMENT = 8 * KIB
    ELEMENT = 512
    """An element of a document, nested ones included."""
    JSON_VALUE = KIB
    JSON_BYTE = 8


class MemoryPrice(IntEnum):
    """The memory held for one item, in bytes: measured, objects and tables included."""

    MEMBER = 1536
    """In addition to its name."""
    LISTED = 1024
    """A file that a manifest lists, in addition to its JSON."""
    TENANT = 512
    """A tenant of one collection member, in addition to its name."""
    JSON_VALUE = 112
    JSON_CONTAINER = 160
    """In addition to a value."""


class Meter:
    """What one kit has cost so far; it stays in the process that reads and is not sent to workers.

    Attributes:
        work: In units of :class:`Price`, since the present pass began.
        held: Bytes held until the kit is closed.
        passing: Bytes held until the next pass begins.
    """

    __slots__ = ("_stored", "_stored_bytes", "held", "passing", "work")

    def __init__(self, stored: Callable[[], int]) -> None:
        """Start at zero for a kit of ``stored()`` bytes, which is called when the number matters."""
        self._stored = stored
        self._stored_bytes: int | None = None
        self.work = 0
        self.held = 0
        self.passing = 0

    def __reduce__(self) -> tuple[Callable[[], None], tuple[()]]:
        return _no_meter, ()

    def begin(self) -> None:
        """Begin a pass."""
        self.work = self.passing = 0

    @property
    def stored(self) -> int:
        """The size of the kit as stored, in bytes."""
        if self._stored_bytes is None:
            self._stored_bytes = self._stored()
        return self._stored_bytes


def _no_meter() -> None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """One limit with its meaning."""

    name: str
    value: int
    """The value in force."""
    default: int
    unit: str
    """The unit: ``bytes``, ``members``, ``levels`` …"""
    meaning: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Generous bounds; each can be raised (``--max name=value``), and :meth:`table` explains them."""

    members: int = _bound(250_000, "members", "members, and folders known from names only")
    member_bytes: int = _bound(1024 * GIB, "bytes", "one member's body as stored in the archive")
    total_bytes: int = _bound(4096 * GIB, "bytes", "all of the decompressed container")
    expanded_bytes: int = _bound(4096 * GIB, "bytes", "one collection member after its own codec")
    # Of each stream, and of all collections over the whole kit, since a codec inside of a codec multiplies.
    ratio: int = _bound(2000, "times", "decompressed over compressed bytes of a stream, or of the kit as a whole")
    ratio_floor_bytes: int = _bound(64 * MIB, "bytes", "decompressed bytes, likewise, below which no ratio is checked")
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
    tenants: int = _bound(10_000, "tenants", "tenants of one collection member, counted separately")
    json_bytes: int = _bound(64 * MIB, "bytes", "a manifest, signature or statement: the members that are held whole")
    json_depth: int = _bound(64, "levels", "containers nested in one JSON text")
    # "[]," costs 3 bytes in a text, and 64 when it is read.
    json_values: int = _bound(2_000_000, "values", "values of one JSON text, containers included")
    work_bytes: int = _bound(1 * GIB, "bytes", "work of one pass over a kit: its bytes, and a price for each item")
    work_ratio: int = _bound(2000, "times", "added to work_bytes for each byte stored beyond the first MiB")
    kept_bytes: int = _bound(112 * MIB, "bytes", "memory held of a kit: names, manifests, history, tenants")
    kept_ratio: int = _bound(50, "times", "added to kept_bytes for each byte stored beyond the first MiB")
    meter: Meter | None = field(default=None, compare=False, repr=False)
    """The meter of the kit that these limits are for; None where there is no kit."""

    def check(self, name: str, value: int, *, where: str = "") -> None:
        """Check a value against the limit called ``name``.

        Raises:
            LimitError: It is over the limit; the message names limit, value and the option that raises it.
        """
        bound: int = getattr(self, name)
        if value > bound:
            raise LimitError(
                f"{value:,} is over the limit {name} = {bound:,}",
                where=where,
                hint=f"if this kit is known to be sound, raise it: --max {name}={value}",
            )

    def with_overrides(self, overrides: dict[str, int]) -> Limits:
        """Return these limits with some replaced; the caller has checked the names against :meth:`names`."""
        values = {name: getattr(self, name) for name in self.names()}
        return Limits(**(values | overrides), meter=self.meter)

    def with_meter(self, stored: Callable[[], int]) -> Limits:
        """Return the same limits with a new meter, for one kit of ``stored()`` bytes."""
        return replace(self, meter=Meter(stored))

    def spend(self, work: int, *, where: str = "") -> None:
        """Add work to the meter, in units of :class:`Price`; without a meter, do nothing.

        Raises:
            LimitError: This pass has cost more than ``work_bytes`` and ``work_ratio`` allow.
        """
        meter = self.meter
        if meter is not None:
            meter.work += work
            if meter.work > self.work_bytes:
                self._check_metered("work", meter.work, meter, where)

    def is_work_scarce(self) -> bool:
        """Return whether a quarter of the budget is spent, so that work is counted from now on and not estimated."""
        meter = self.meter
        return (
            meter is not None
            and meter.work > self.work_bytes >> 2
            and meter.work > (self.work_bytes + self._more("work", meter)) >> 2
        )

    def hold(self, size: int, *, where: str = "", passing: bool = False) -> None:
        """Add held memory to the meter; without a meter, do nothing.

        Args:
            size: Bytes, as :class:`MemoryPrice` counts them; negative when memory is released.
            where: For the message.
            passing: Whether it is released when this pass ends.

        Raises:
            LimitError: More is held than ``kept_bytes`` and ``kept_ratio`` allow.
        """
        meter = self.meter
        if meter is None:
            return
        if passing:
            meter.passing += size
        else:
            meter.held += size
        if meter.held + meter.passing > self.kept_bytes:
            self._check_metered("kept", meter.held + meter.passing, meter, where)

    @property
    def stored(self) -> int:
        """The size of the kit as stored, in bytes; 0 without a meter."""
        return self.meter.stored if self.meter is not None else 0

    @property
    def held(self) -> int:
        """The memory held until the kit is closed, in bytes."""
        return self.meter.held if self.meter is not None else 0

    @contextmanager
    def release_at_exit(self) -> Iterator[None]:
        """Release, when the body ends, the memory that it added with :meth:`hold`."""
        held = self.meter.held if self.meter is not None else 0
        try:
            yield
        finally:
            if self.meter is not None:
                self.meter.held = held

    def _more(self, name: str, meter: Meter) -> int:
        """Return what the size of a kit adds to the fixed bound."""
        ratio: int = getattr(self, f"{name}_ratio")
        return ratio * max(meter.stored - MIB, 0)

    def _check_metered(self, name: str, value: int, meter: Meter, where: str) -> None:
        bound: int = getattr(self, f"{name}_bytes")
        ratio: int = getattr(self, f"{name}_ratio")
        more = self._more(name, meter)
        if value <= bound + more:
            return
        allowed = f"{bound + more:,} that {name}_ratio = {ratio:,} allows for {meter.stored:,} bytes stored"
        grown = f", and over the {allowed}" if more else ""
        raise LimitError(
            f"{value:,} is over the limit {name}_bytes = {bound:,}{grown}",
            where=where,
            hint=f"if this kit is known to be sound, raise it: --max {name}_bytes={2 * value}",
        )

    def table(self) -> tuple[Limit, ...]:
        """Return every limit with its value and meaning, in the order of this class."""
        defaults = Limits()
        return tuple(
            Limit(name=one.name, value=getattr(self, one.name), default=getattr(defaults, one.name), **one.metadata)
            for one in fields(self)
            if one.metadata
        )

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Return the name of every limit, in the order of this class."""
        return tuple(one.name for one in fields(cls) if one.metadata)

"""The core of offline-kit: whole runs of documents in, whole results out; None is "not me", and the reference does it.

``places`` and ``names`` are the values of ``kit.transforms.raw_linkset.shape``. ``data`` are whole documents, back to
back, and ``ends`` the offset after each. Every function releases the interpreter's lock.
"""

from collections.abc import Callable, Sequence, Set as AbstractSet
from typing import Literal, Protocol, TypeAlias

VERSION: str

class Place(Protocol):
    @property
    def paths(self) -> tuple[tuple[str, ...], ...]: ...

class Places(Protocol):
    @property
    def tenant(self) -> Place: ...
    @property
    def vendor(self) -> Place: ...
    @property
    def upstream_id(self) -> Place: ...
    @property
    def content_hash(self) -> Place: ...
    @property
    def format(self) -> Place: ...
    @property
    def raw(self) -> Place: ...
    @property
    def linkset(self) -> Place: ...
    @property
    def identifiers(self) -> Place: ...

class Names(Protocol):
    @property
    def linkset(self) -> str: ...
    @property
    def raw_linkset(self) -> str: ...
    @property
    def aliases(self) -> str: ...
    @property
    def purls(self) -> str: ...
    @property
    def cpes(self) -> str: ...
    @property
    def references(self) -> str: ...
    @property
    def scopes(self) -> str: ...
    @property
    def relationships(self) -> str: ...
    @property
    def reconciled_from(self) -> str: ...
    @property
    def reconciled_from_spellings(self) -> tuple[str, ...]: ...
    @property
    def notes(self) -> str: ...
    @property
    def type(self) -> str: ...
    @property
    def url(self) -> str: ...
    @property
    def source(self) -> str: ...
    @property
    def target(self) -> str: ...
    @property
    def envelope(self) -> str: ...

Tally: TypeAlias = tuple[str, int, int, int, list[int]]
"""Documents of one tenant (empty where a document has none), by what became of them: those that had both projections,
those not selected, those from their content, and those from each source by its number. Documents left to the reference
are not counted, and others that had the element are among these."""

Rewritten: TypeAlias = tuple[bytes | None, bytes, list[Tally], list[tuple[int, int]]]
"""What became of a run. The documents as they are now, None if none changed; a byte for each: 1 if it changed, else 0;
the tallies; the documents that are the reference's: the number of each, and its offset among all, where it is as it
was."""

def keys(
    data: bytes,
    ends: Sequence[int],
    *,
    names: Names,
    places: Places,
    tenants: AbstractSet[str] | None,
    database: str,
) -> list[bytes | None] | None:
    """Return the key of each observation that needs a source, without its kind; empty for none, None in doubt."""

def rewrite(
    data: bytes,
    ends: Sequence[int],
    *,
    names: Names,
    places: Places,
    tenants: AbstractSet[str] | None,
    found: Sequence[tuple[int, bytes] | None] | None,
    sources: int,
    format_of: Callable[[str], str | None],
) -> Rewritten | None:
    """Give each observation of a run its element.

    Args:
        data: See above.
        ends: See above.
        names: See above.
        places: Of observations.
        tenants: Only observations of these; None for all.
        found: For each document what the kit has for it beside its content: the number of the source, and the finished
            element; -1 where that is the reference's to decide; None where there is nothing.
        sources: How many there are.
        format_of: Returns the name of the shipped extractor that reads documents of a stated format, if one does.

    Raises:
        Exception: What ``format_of`` raised.
    """

def gather(
    data: bytes,
    ends: Sequence[int],
    *,
    names: Names,
    places: Places,
    database: str,
    format_of: Callable[[str], str | None] | None,
) -> list[tuple[bytes, bytes] | None] | None:
    """Return what each document gives to the lookup: its key without its kind, and its finished element; None in doubt.

    ``format_of`` is None for snapshots, whose linkset is copied; otherwise the raw document is extracted.

    Raises:
        Exception: What ``format_of`` raised.
    """

class Counted(Protocol):
    """What documents are counted by."""

    @property
    def tenant(self) -> str:
        """The name of the element that says whose a document is."""
    @property
    def names(self) -> Names: ...
    @property
    def observed(self) -> bool:
        """Whether they are observations; of others only the documents of each tenant are counted."""

Counts: TypeAlias = tuple[list[tuple[str, int, int, int, int]], list[int]]
"""By tenant (empty where a document has none): documents, those without ``rawLinkset``, with null, of another type; all
others have both projections. Then the numbers of the documents that are the reference's, and not counted."""

def count(
    data: bytes, ends: Sequence[int], by: Counted, appended: tuple[bytes, bytes] | None
) -> tuple[Counts, list[int]] | None:
    """Count the documents of a run; or, with ``appended``, what became of them.

    Args:
        data: See above.
        ends: See above.
        by: What they are counted by.
        appended: The documents as they are now, and a byte for each: not 0 where one ``rawLinkset`` was appended to it.
            None is returned unless that, and nothing else, became of them.

    Returns:
        The counts, and the offsets after each document as it is now; none without ``appended``.
    """

EarlierRun: TypeAlias = tuple[int, bytes | None, bytes, bytes]
"""How many had the element cut out; all documents, as they were, None if none had it; the size of each when frames were
cut, as an array of ``I``; the leaves, as sorted lines."""

def prove(
    data: bytes,
    ends: Sequence[int],
    by: Counted,
    bounds: tuple[int, int],
    earlier: Sequence[tuple[bytes, bytes | None, bool]],
    rooted: bool,
) -> tuple[Counts, list[EarlierRun], bytes] | None:
    """Check that every document of a run is well formed; count them, and cut out what was appended.

    Args:
        data: See above.
        ends: See above.
        by: What they are counted by.
        bounds: Bytes of a document, and levels of nesting, at most.
        earlier: Of each generation below: a byte for each document, not 0 where it was appended to since; the same
            since that generation's frames were cut, None where no sizes are wanted; whether leaves are.
        rooted: Whether leaves of the documents as they are are wanted.

    Returns:
        The counts, what is asked of each generation, and the leaves as sorted lines; None if one is not well formed.
    """

def leaves(data: bytes, ends: Sequence[int]) -> bytes | None:
    """Return the leaves of the documents of a run as sorted lines; None if one is not of its length."""

class Observed(Protocol):
    """Where observations keep what they are about."""

    @property
    def tenant(self) -> Place: ...
    @property
    def vendor(self) -> Place: ...
    @property
    def upstream_id(self) -> Place: ...
    @property
    def moments(self) -> Place:
        """When one was received."""
    @property
    def withdrawn(self) -> Sequence[tuple[Sequence[Sequence[str]], AbstractSet[str] | None]]:
        """Whether its advisory was withdrawn: paths, and the values in lower case that say so; None for any."""

Sketch: TypeAlias = tuple[bytes, bytes, str, tuple[str, str, str, int, bool, bool] | None, tuple[bytes, int] | None]
"""SHA-256 of the ``_id`` with its type, and of the document; the ``_id`` as text; tenant, vendor, upstream id, moment,
whether it was withdrawn and whether it has ``rawLinkset``; SHA-256 without the ``rawLinkset`` at its end, and how many
elements that has."""

def sketch(data: bytes, ends: Sequence[int], names: Names, observed: Observed | None) -> list[Sketch | None] | None:
    """Sketch the documents of a run, None for each in doubt; ``observed`` is None unless they are observations."""

def max_elements(block: bytes, exactly: bool) -> int:
    """Return how many NULs there are; if ``exactly``, how many NULs follow another byte."""

Key: TypeAlias = tuple[tuple[str, str, bool], tuple[int, bytes], tuple[bytes, bytes, bytes, bytes]]
"""A data key: its name, whose it is, and whether it seals; the version of the master key that its envelopes state, and
its last parts of associated data; the key itself, and what was derived of it for documents, vectors and digests."""

class Members(Protocol):
    """What the members of envelopes are called."""

    @property
    def mark(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def algorithm(self) -> str: ...
    @property
    def ciphertext(self) -> str: ...
    @property
    def iv(self) -> str: ...
    @property
    def tag(self) -> str: ...
    @property
    def dek_id(self) -> str: ...
    @property
    def mek_version(self) -> str: ...
    @property
    def context(self) -> str: ...
    @property
    def bson_type(self) -> str: ...

class Map(Protocol):
    """A mapped collection at its place; ``kit.encryption.runs.CoreMap`` says what each is."""

    @property
    def names(self) -> Members: ...
    @property
    def algorithm(self) -> str: ...
    @property
    def bound(self) -> int: ...
    @property
    def version(self) -> int: ...
    @property
    def identity(self) -> str: ...
    @property
    def product(self) -> tuple[str, str] | None: ...
    @property
    def partition(self) -> tuple[str, ...]: ...
    @property
    def partitions(self) -> AbstractSet[str] | None: ...
    @property
    def owner(self) -> tuple[str, ...]: ...
    @property
    def skipped(self) -> AbstractSet[str]: ...
    @property
    def context(self) -> str: ...
    @property
    def fields(self) -> tuple[tuple[str, ...], ...]: ...
    @property
    def infixes(self) -> tuple[bytes, ...]: ...
    @property
    def prefix(self) -> bytes: ...
    @property
    def key_prefix(self) -> bytes: ...
    @property
    def mek_versions(self) -> int: ...

Partition: TypeAlias = tuple[str, tuple[int, int, int, int], list[tuple[int, int, int, int]]]
"""A partition, and its documents: changed, unchanged, of a skipped owner, not selected. Of each field the values in the
first two: sealed or opened, envelopes that stay, null, missing."""

Mapped: TypeAlias = tuple[bytes | None, bytes, list[Partition], list[tuple[int, bytes]], list[tuple[int, int]]]
"""What became of a run. The documents as they are now, None if none changed. A byte for each: 1 if it changed, else 0;
against another run, 1 if it is another. The tallies. Of each field how many values were digested, and the sum of their
digests, big-endian. The documents that are the reference's: the number of each, and its offset among all, where it is
as it was."""

def apply_map(
    data: bytes,
    ends: Sequence[int],
    *,
    mapped: Map,
    keys: Sequence[Key] | None,
    task: Literal["seal", "open", "prove"],
    against: bytes | tuple[bytes, Sequence[int]] | None = None,
) -> Mapped | None:
    """Seal, open or prove the mapped values of a run.

    Args:
        data: See above.
        ends: See above.
        mapped: What is mapped.
        keys: Those that the run needs; of a value whose key is not there the reference decides. None to count what
            would be opened.
        task: ``seal`` what is plaintext; ``open`` what is sealed; ``prove`` that each value is sealed, and opens.
        against: For ``open``: a byte for each document, 1 where all is opened; or the same documents as they were, and
            the offset after each: then what is not sealed in these is opened.
    """

def survey_map(
    data: bytes, ends: Sequence[int], *, mapped: Map, is_checked: bool
) -> tuple[list[tuple[str, int]], list[str], list[int]] | None:
    """Return for whom a run needs keys.

    Owners with plaintext values, and how many each has; the data keys that envelopes name; the numbers of the documents
    that are the reference's. ``is_checked`` also checks that each value can be sealed, and each envelope decoded.
    """

def frame(data: bytes) -> list[int] | None:
    """Return the offset after each of the documents that ``data`` is, by their lengths; None if it is none."""

def suspects(data: bytes, ends: Sequence[int], touched: bytes, most: tuple[int, int]) -> list[int] | None:
    """Return the numbers of those documents of a run that may be over a bound.

    Args:
        data: See above.
        ends: See above.
        touched: A byte for each document; one of 0 is not looked at.
        most: Bytes of a document, and levels of nesting, that it may have.
    """

def import_scan(
    data: bytes, ends: Sequence[int], levels: int, scope: bytes, place: int
) -> tuple[list[int], bytes] | None:
    """Return the numbers of documents that a server may refuse, and a record for each ``_id`` of a plain type.

    Args:
        data: See above.
        ends: See above.
        levels: Levels of nesting that a document may have.
        scope: What the key of an ``_id`` begins with.
        place: The place of the first document; the others follow.
    """

def import_select(records: bytes, part: int, parts: int) -> bytes:
    """Return the records whose keys are in ``part`` of ``parts`` equal ranges."""

def import_repeats(records: bytes, most: int) -> tuple[int, list[tuple[int, int, bytes]]]:
    """Return at how many places a key is repeated, and ``most`` of them: place, first place with that key, and key."""

def identity_keys(data: bytes, ends: Sequence[int]) -> bytes | None:
    """Return a key of 8 bytes for each document: a digest of its typed ``_id``, or of all of it where it has none."""

def delta_features(
    data: bytes, ends: Sequence[int], wanted: Sequence[bytes], kept: int
) -> list[tuple[int, int, list[int]]] | None:
    """Return which of the features ``wanted`` the documents have.

    For each that is there: its number, how many documents have it, and the numbers of the latest ``kept``, in order.
    """

def delta_is_nearly(old: bytes, document: bytes) -> bool:
    """Whether three quarters of a document are in another that is not much longer, as far as a glance tells."""

def delta_gather(documents: Sequence[bytes], olds: Sequence[bytes | None]) -> tuple[bytes, bytes, bytes] | None:
    """Take documents apart, by edits of their older selves where they have one: script, headers and joined columns."""

def delta_choose(
    olds: Sequence[bytes], documents: Sequence[bytes], most: int, path: int
) -> list[tuple[bytes, int]] | None:
    """Return the places of the columns of ``olds`` that ``documents`` repeat: at most ``most``, sorted.

    None of them has a path of more than ``path`` bytes.
    """

def delta_dictionary(
    references: Sequence[bytes], olds: Sequence[bytes], places: Sequence[tuple[bytes, int]] | None
) -> tuple[bytes, bytes] | None:
    """Return what scripts may repeat, all of it, and what columns may.

    Of ``olds``, the columns at ``places``; None to take them apart like references.
    """

def delta_restore(
    olds: Sequence[bytes | None], script: bytes, headers: bytes, columns: bytes, most: int
) -> tuple[bytes, list[int]] | None:
    """Put a document together for each of ``olds``, its older self or None: at most ``most`` bytes, and their ends."""

def census(
    data: bytes, ends: Sequence[int], seals: Sequence[Sequence[bytes]], examples: int, most: tuple[int, int]
) -> bytes | None:
    """Return the table of a run (``kit.documents.census``).

    A subdocument with all names of a group of ``seals`` is an envelope. ``most`` bounds bytes and levels of a document.
    """

def census_sum(one: bytes, other: bytes, examples: int) -> bytes | None:
    """Return the sum of two tables."""

def copy_windows(data: bytes, size: int, point: int, bits: bytes) -> list[int] | None:
    """Return where a window of ``size`` bytes begins whose mark is in the filter ``bits``."""

def copy_shorts(data: bytes, ends: Sequence[int], long: int, point: int, bits: bytes) -> list[int] | None:
    """Return which documents have a text of fewer than ``long`` bytes whose mark is in the filter ``bits``."""

def copy_marks(texts: Sequence[bytes], point: int) -> list[int]:
    """Return the mark of each text."""

def copy_filter(bits: bytes, marks: Sequence[int]) -> bytes | None:
    """Return the filter ``bits`` with the bits of ``marks``."""

def json_views(
    data: bytes, at: Sequence[tuple[int, int]], most: tuple[int, int, int]
) -> tuple[bytes, list[int], list[int]] | None:
    """Return the documents that texts represent.

    Args:
        data: What the texts are in.
        at: Begin and end of each.
        most: Bytes of a document, levels of nesting, and values, at most.

    Returns:
        The documents, back to back, and the end of each; and the numbers of the texts that are left to the reference,
        which have nothing in between.
    """

def json_spell(data: bytes, places: Sequence[tuple[int, int]]) -> list[bytes] | None:
    """Return the elements at each of ``places`` as members of a JSON object; None where the reference must do it."""

def tables() -> str:
    """Return what is read of each format, as JSON by the name of its extractor.

    ``needs`` is nested: an object by member, null for all of a value, with an empty name where the names of all other
    members matter; ``known`` are the known members by place.
    """

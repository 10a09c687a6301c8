"""What whoever asks for a whole run brings along."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kit.documents import Place
    from kit.transforms.change import Change
    from kit.transforms.protocol import Lookup


class Direct(Protocol):
    """Reads documents of one format."""

    def __call__(self, document: bytes, top: dict[bytes, Place], /) -> bytes | None:
        """Give the element to append, of the raw document whose top level is ``top``; None in doubt."""
        ...


@final
class Asked:
    """What a run of observations is rewritten for.

    Attributes:
        tenants: Only observations of these; None for all.
        database: They are in.
        kinds: Of the sources that the kit has beside the observations, in the order they are tried.
        lookup: What these hold.
        reader_of: Gives how documents of a format are read directly, if they can be.
        alone: Decides about a document, of that number in the run, as ``RawLinkset.apply`` would.
    """

    def __init__(  # noqa: PLR0917  once for every run
        self,
        tenants: frozenset[str] | None,
        database: bytes,
        kinds: Sequence[bytes],
        lookup: Lookup,
        reader_of: Callable[[str], Direct | None],
        alone: Callable[[bytes, int], Change],
    ) -> None:
        self.tenants = tenants
        self.database = database
        self.kinds = kinds
        self.lookup = lookup
        self.reader_of = reader_of
        self.alone = alone

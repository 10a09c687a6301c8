"""What a transform made of one document: made for every document of a kit, so apart, to be compiled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, final

if TYPE_CHECKING:
    from kit.transforms.protocol import Finding

NO_COUNTS: Final[Mapping[str, int]] = MappingProxyType({})


@final
class Change:
    """What became of one document.

    Attributes:
        tenant: Whose it is.
        outcome: One word of the transform's own closed list; counted per tenant.
        document: The new bytes, or None where the document stays as it is.
        counts: Further counters of the transform, by name. Documents that came out alike share one mapping where they
            can, which is then added up once for all of them.
        sums: Counters to which each document adds an amount of its own; they are of the member, not of a tenant.
        findings: What to name in the report.
    """

    __slots__ = ("counts", "document", "findings", "outcome", "sums", "tenant")

    def __init__(
        self,
        *,
        tenant: str,
        outcome: str,
        document: bytes | None = None,
        counts: Mapping[str, int] = NO_COUNTS,
        sums: Sequence[tuple[str, int]] = (),
        findings: Sequence[Finding] = (),
    ) -> None:
        self.tenant = tenant
        self.outcome = outcome
        self.document = document
        self.counts = counts
        self.sums = sums
        self.findings = findings

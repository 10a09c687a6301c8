"""The projection straight from bytes to bytes: no text, list or dict is made of what most documents hold.

Compiled, that is a tenth of what decoding, projecting and encoding cost; interpreted it would cost more, so it is only
used when compiled. One law: what is given is, byte for byte, what the twins give (``extract`` or ``from_linkset``, then
``encode_element``; ``divergence.compare``), and wherever a document is not plainly what its format says, faults
included, nothing is given and the twin is asked. So nothing here skips a value, refuses a format or words an error.

``scanning`` reads elements, ``sheet`` writes lists; ``cve``, ``osv`` and ``linkset`` are the sources, ``agreement`` is
the check, ``levels`` finds all of them, and ``whole`` does it for a run of documents.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from kit.documents import COMPILED, Place
from kit.transforms.change import Change, Rewritten

Direct: TypeAlias = Callable[[bytes, dict[bytes, Place]], bytes | None]
"""(a document, the top level of the raw document within it) → the element to append; None in doubt."""
Whole: TypeAlias = Callable[
    [bytes, Sequence[int], frozenset[str] | None, Callable[[str], Direct | None], Callable[[bytes, int], Change]],
    Rewritten,
]
"""(a run, its ends, tenants, how a format is read, how one document is asked for) → what became of it."""

EXTRACTORS: Final[dict[str, Direct]] = {}
"""By name of the extractor that is the twin; empty where nothing is compiled."""
OF_LINKSET: Final[list[Callable[[bytes, int, Place | None], bytes | None]]] = []
"""(a snapshot, where its linkset starts, its identifiers) → the element; at most one."""
AGREES: Final[list[Callable[[bytes, bytes, int], bool]]] = []
"""(an element, an observation, where its linkset starts) → whether they agree; at most one."""
WHOLE: Final[list[Whole]] = []
"""At most one."""

if COMPILED:
    try:
        from kit.transforms.raw_linkset.direct import agreement, cve, linkset, osv, whole
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "librt":
            raise
        # mypyc's own run-time library is not installed: the twins do it all, with the same bytes.
    else:
        EXTRACTORS.update(cve=cve.cve_element, osv=osv.osv_element)
        OF_LINKSET.append(linkset.linkset_element)
        AGREES.append(agreement.agrees)
        WHOLE.append(whole.rewrite)

"""The projection straight from bytes to bytes: no text, list or dict is made of what most documents hold.

Compiled, that is a tenth of what decoding, projecting and encoding cost; interpreted it would cost more, so it is only
used when compiled. One law: what is given is, byte for byte, what the twins give (``extract`` or ``from_linkset``, then
``encode_element``; ``divergence.compare``), and wherever a document is not plainly what its format says, faults
included, nothing is given and the twin is asked. So nothing here skips a value, refuses a format or words an error.

``scanning`` reads elements, ``sheet`` writes lists; ``cve``, ``osv`` and ``linkset`` are the sources, ``agreement`` is
the check, ``levels`` and ``keyed`` find them and what they belong with, ``whole`` does it all for a run of documents.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from kit.documents import COMPILED
from kit.transforms.change import Rewritten
from kit.transforms.raw_linkset.direct.asked import Asked, Direct

EXTRACTORS: Final[dict[str, Direct]] = {}
"""By name of the extractor that is the twin; empty where nothing is compiled."""
AGREES: Final[list[Callable[[bytes, bytes, int], bool]]] = []
"""(an element, an observation, where its linkset starts) → whether they agree; at most one."""
SNAPSHOT_PAIR: Final[list[Callable[[bytes, bytes], tuple[bytes, bytes] | None]]] = []
"""(a snapshot, its database) → what it gives to the lookup; at most one."""
WHOLE: Final[list[Callable[[bytes, Sequence[int], Asked], Rewritten]]] = []
"""(a run of observations, its ends, what it is rewritten for) → what became of it; at most one."""

if COMPILED:
    try:
        from kit.transforms.raw_linkset.direct import agreement, cve, keyed, osv, whole
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "librt":
            raise
        # mypyc's own run-time library is not installed: the twins do it all, with the same bytes.
    else:
        EXTRACTORS.update(cve=cve.cve_element, osv=osv.osv_element)
        AGREES.append(agreement.agrees)
        SNAPSHOT_PAIR.append(keyed.snapshot_pair)
        WHOLE.append(whole.rewrite)

"""Chooses core or reference: the one place that does, at import, function by function.

The core (``core/``, the module ``kit_core``) reads whole runs of documents. Whatever is None here is done by the plain
Python that specifies it, with the same result: the core is not installed, is of another version than this package
expects, or is switched off by ``KIT_CORE=off`` in the environment, which is for comparing the two.
"""

from __future__ import annotations

import os
from typing import Final

from kit.version import CORE_VERSION

try:
    import kit_core
except ImportError as error:
    _absence = "not installed" if error.name == "kit_core" else f"cannot be loaded: {error}"
    kit_core = None  # type: ignore[assignment]
else:
    _absence = "" if kit_core.VERSION == CORE_VERSION else f"of version {kit_core.VERSION}, not {CORE_VERSION}"
if os.environ.get("KIT_CORE") == "off":
    _absence = "switched off by KIT_CORE"

ABSENCE: Final = _absence
"""Why the reference is used; empty if the core is."""

# An older core may decide otherwise than this package does, so it is all of one version, or none of it.
keys = None if ABSENCE else kit_core.keys
"""By what observations of a run are looked up."""
rewrite = None if ABSENCE else kit_core.rewrite
"""A run of observations with its ``rawLinkset``."""
gather = None if ABSENCE else kit_core.gather
"""What a run of snapshots or cached payloads gives to the lookup."""
apply_map = None if ABSENCE else kit_core.apply_map
"""A run of a mapped collection, sealed, opened or proven."""
survey_map = None if ABSENCE else kit_core.survey_map
"""For whom a run of a mapped collection needs keys."""
frame = None if ABSENCE else kit_core.frame
"""Where each document of a run ends."""
suspects = None if ABSENCE else kit_core.suspects
"""Which documents of a run may be over a bound."""
identity_keys = None if ABSENCE else kit_core.identity_keys
"""By what documents of a run are matched with those of another kit."""
delta_features = None if ABSENCE else kit_core.delta_features
"""Which features of new documents stand in a run."""
delta_is_nearly = None if ABSENCE else kit_core.delta_is_nearly
"""Whether a new document is nearly another."""
delta_gather = None if ABSENCE else kit_core.delta_gather
"""Documents taken apart, for a segment of a delta."""
delta_choose = None if ABSENCE else kit_core.delta_choose
"""Which columns a segment repeats."""
delta_dictionary = None if ABSENCE else kit_core.delta_dictionary
"""What the packed streams of a segment may repeat."""
delta_restore = None if ABSENCE else kit_core.delta_restore
"""The documents of a segment, put together."""
tables = None if ABSENCE else kit_core.tables
"""What is read of each format."""
count = None if ABSENCE else kit_core.count
"""Whose documents a run holds, and which projections they have; or those of a run with elements appended."""
prove = None if ABSENCE else kit_core.prove
"""A run that is well formed to its last byte: its counts, its leaves, and what it was before."""
sketch = None if ABSENCE else kit_core.sketch
"""What is kept of the documents of a run while two kits are compared."""
max_elements = None if ABSENCE else kit_core.max_elements
"""A number that the elements in a stretch of documents are not above."""

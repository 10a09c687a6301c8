"""The one place that chooses between core and reference: at import, function by function.

The core (``core/``, the module ``kit_core``) works on runs of documents. A function that is None here is done by the
reference, the plain Python that specifies it, with the same result. All of them are None if the core is not installed,
has another version than this package expects, or is switched off by ``KIT_CORE=off``, which serves to compare the two.
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
"""Why the reference is used; empty if the core is used."""

# A core of another version may decide differently, so either all functions are of this version or none is used.
keys = None if ABSENCE else kit_core.keys
"""The keys by which observations of a run are looked up."""
rewrite = None if ABSENCE else kit_core.rewrite
"""A run of observations with its ``rawLinkset``."""
gather = None if ABSENCE else kit_core.gather
"""The entries of the lookup from a run of snapshots or cached payloads."""
apply_map = None if ABSENCE else kit_core.apply_map
"""A run of a mapped collection, sealed, opened or proven."""
survey_map = None if ABSENCE else kit_core.survey_map
"""The scopes for which a run of a mapped collection needs keys."""
frame = None if ABSENCE else kit_core.frame
"""The end of each document of a run."""
suspects = None if ABSENCE else kit_core.suspects
"""The documents of a run that may be over a bound."""
identity_keys = None if ABSENCE else kit_core.identity_keys
"""The keys by which documents of a run are matched with those of another kit."""
delta_features = None if ABSENCE else kit_core.delta_features
"""The features of new documents that occur in a run."""
delta_is_nearly = None if ABSENCE else kit_core.delta_is_nearly
"""Whether a new document is nearly another."""
delta_gather = None if ABSENCE else kit_core.delta_gather
"""The columns of documents, for a segment of a delta."""
delta_choose = None if ABSENCE else kit_core.delta_choose
"""The columns that a segment repeats."""
delta_dictionary = None if ABSENCE else kit_core.delta_dictionary
"""The dictionary for the packed streams of a segment."""
delta_restore = None if ABSENCE else kit_core.delta_restore
"""The documents of a segment, restored from columns."""
tables = None if ABSENCE else kit_core.tables
"""The names that are read of each format."""
count = None if ABSENCE else kit_core.count
"""The documents of a run by tenant and projection, of the run itself or with elements appended."""
prove = None if ABSENCE else kit_core.prove
"""The counts, leaves and former digest of a run that is well formed to its last byte."""
leaves = None if ABSENCE else kit_core.leaves
"""The leaves of a run, as sorted lines."""
sketch = None if ABSENCE else kit_core.sketch
"""The summary of a run's documents that is kept while two kits are compared."""
import_scan = None if ABSENCE else kit_core.import_scan
"""The documents of a run that a server may refuse, and the keys of their ``_id``s."""
import_select = None if ABSENCE else kit_core.import_select
"""The records of keys in a range."""
import_repeats = None if ABSENCE else kit_core.import_repeats
"""The records whose key another has."""
max_elements = None if ABSENCE else kit_core.max_elements
"""An upper bound of the number of elements in a stretch of documents."""
census = None if ABSENCE else kit_core.census
"""The table of a run: what there is on each path."""
census_sum = None if ABSENCE else kit_core.census_sum
"""The sum of two such tables."""
copy_windows = None if ABSENCE else kit_core.copy_windows
"""Where a window begins that may be one of those noted."""
copy_shorts = None if ABSENCE else kit_core.copy_shorts
"""The documents of a run with a short text that may be one of those noted."""
copy_marks = None if ABSENCE else kit_core.copy_marks
"""The marks of texts."""
copy_filter = None if ABSENCE else kit_core.copy_filter
"""A filter with more marks."""
json_views = None if ABSENCE else kit_core.json_views
"""The documents that the texts of a run represent."""
json_spell = None if ABSENCE else kit_core.json_spell
"""Elements as members of a JSON object."""

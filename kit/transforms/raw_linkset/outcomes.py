"""The outcomes of an observation, one word each."""

from __future__ import annotations

from typing import Final

PRESENT: Final = "present"
NULL: Final = "null"
NOT_SELECTED: Final = "not-selected"
FROM_SNAPSHOT: Final = "snapshot"
FROM_CACHE: Final = "cache"
FROM_CONTENT: Final = "content"
UNRESOLVABLE: Final = "unresolvable"
UNREADABLE: Final = "unreadable"
"""Kind of a finding: a source document whose key cannot be read."""
CHANGED: Final = frozenset({FROM_SNAPSHOT, FROM_CACHE, FROM_CONTENT})
OTHER_TYPE: Final = "other-type"
"""Counter: documents that had the element, and in which it is neither null nor a document."""
OTHER_SHAPE: Final = "other-shape"
"""Counter: documents that had the element, and in which it is a document of another shape."""
NO_LINKSET: Final = "no-linkset"
"""Counter: documents that had it in shape v1 or got it, and whose canonical linkset is no document."""
NO_PROJECTION: Final = "no-projection"
"""Kind of a finding: one of these documents, or one with null."""
OUTCOMES: Final = (FROM_SNAPSHOT, FROM_CACHE, FROM_CONTENT, PRESENT, NULL, UNRESOLVABLE, NOT_SELECTED)

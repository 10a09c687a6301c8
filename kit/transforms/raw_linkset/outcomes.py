"""What becomes of an observation, in one word each."""

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
"""The kind of a finding: a document that nothing can be looked up by, since its key cannot be read."""
CHANGED: Final = frozenset({FROM_SNAPSHOT, FROM_CACHE, FROM_CONTENT})
OTHER_TYPE: Final = "other-type"
"""Counts, of the documents that had the element, those in which it is neither null nor a document."""
OTHER_SHAPE: Final = "other-shape"
"""Counts, of the documents that had the element, those in which it is a document of another shape."""
NO_LINKSET: Final = "no-linkset"
"""Counts, of the documents that had it in shape v1 or got it, those whose canonical linkset is no document."""
NO_PROJECTION: Final = "no-projection"
"""The kind of finding of those, and of the null ones."""
OUTCOMES: Final = (FROM_SNAPSHOT, FROM_CACHE, FROM_CONTENT, PRESENT, NULL, UNRESOLVABLE, NOT_SELECTED)

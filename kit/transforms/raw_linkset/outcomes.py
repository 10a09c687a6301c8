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
OUTCOMES: Final = (FROM_SNAPSHOT, FROM_CACHE, FROM_CONTENT, PRESENT, NULL, UNRESOLVABLE, NOT_SELECTED)

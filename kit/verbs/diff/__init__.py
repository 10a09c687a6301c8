"""What differs between two documents, and what an observation is about: the pure half of ``kit diff``.

Laws: ``compare(a, b)`` is empty exactly if ``a == b``; ``compare(b, a)`` is ``compare(a, b)`` mirrored; nothing that a
result holds grows with the size of a document, except the number of its fields.
"""

from kit.comparison.fields import FieldChange, How, compare, is_migration
from kit.comparison.pairing import Compared, Pair, compare_appended, compare_pairs
from kit.comparison.sketch import Advisory, Appended, Sketch, Sketches, sketch_run
from kit.comparison.values import bound_name, render_value

__all__ = [
    "Advisory",
    "Appended",
    "Compared",
    "FieldChange",
    "How",
    "Pair",
    "Sketch",
    "Sketches",
    "bound_name",
    "compare",
    "compare_appended",
    "compare_pairs",
    "is_migration",
    "render_value",
    "sketch_run",
]

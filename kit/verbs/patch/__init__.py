"""``kit plan`` and ``kit patch``: one path from a kit to the kit that the transforms make of it.

- ``request`` (asked and reported, keys included), ``plan`` (what can be known before anything is written), ``judging``
  (base and result), ``passes`` (the rewriting), ``generation`` (what is signed), ``patch`` (the run).
"""

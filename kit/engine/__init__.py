"""How much work is done, where, and in which order: surveys, rewrites, workers and their lookups on disk.

- Going over a kit: ``passing`` is the one loop, and what visits a kit is ``reading`` (a survey), ``survey`` (the first
  pass of a patch, with ``settled``), ``rewrite`` (the second one), ``proving`` (every document), ``extracting``,
  ``gap`` and ``gaps``. What a pass adds up is in ``changes``, what it reports meanwhile in ``progress``.
- Doing it: ``pipeline`` keeps results in order; ``work`` is what a worker does; ``executors`` chooses between this
  thread, several and processes, ``clusters`` has those of others; ``memory`` and ``host`` decide how much,
  ``interrupts`` when to stop.
- Kept on disk: ``scratch`` (SQLite), ``lookup``, ``leaves`` and ``leaf_search`` (Merkle trees).
- Two kits: ``collation`` and ``comparing`` find what differs, ``differences`` and ``advisories`` report it.
- Deltas: ``saying`` encodes a kit against another (``changed``, ``stores``, ``document_store``, ``matching``,
  ``likeness``, ``differing``), ``making`` a kit of payloads; ``recipes`` and ``recipe_keys`` compute members instead.
"""
